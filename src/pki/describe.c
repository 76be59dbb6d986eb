/* What `check` prints of a trust: a line a CA, a line a CRL, and the gaps between the two. Text only; nothing
 * is decided here. */
#include "asn1.h"
#include "sallyport/base/mem.h"
#include "trust_impl.h"

static void describe_ca(const struct sp_trust *t, const struct sp_ca *ca, int64_t now, struct sp_buf *out)
{
    char name[256], when[SP_RFC3339_MAX];
    const struct sp_crl *crl = sp_crls_current(&t->crls, ca->cert, now);
    sp_asn1_name_text(X509_get_subject_name(ca->cert), name, sizeof(name));
    sp_buf_printf(out, "CA %s, until %s", name, sp_asn1_time_text(ca->not_after, when));
    if (now >= ca->not_after)
        sp_buf_add_str(out, ", EXPIRED, left out");
    else if (now < ca->not_before)
        sp_buf_printf(out, ", not valid before %s, left out", sp_asn1_time_text(ca->not_before, when));
    else if (!ca->ends_chain)
        sp_buf_add_str(out, ", its issuer is in the bundle");
    sp_buf_printf(out, ", %s\n", crl != NULL ? "has a CRL" : "NO CRL for all of its certificates");
}

static void describe_crl(const struct sp_crl *c, int64_t now, struct sp_buf *out)
{
    char name[256], when[SP_RFC3339_MAX];
    sp_asn1_name_text(c->issuer, name, sizeof(name));
    sp_buf_printf(out, "CRL %s of %s, %zu %s, thisUpdate %s", c->source, name, c->revoked_count,
        c->revoked_count == 1 ? "entry" : "entries", sp_asn1_time_text(c->this_update, when));
    if (c->next_update == SP_CRL_NO_END)
        sp_buf_add_str(out, ", no nextUpdate");
    else
        sp_buf_printf(out, ", nextUpdate %s", sp_asn1_time_text(c->next_update, when));
    if (c->unusable != NULL)
        sp_buf_printf(out, ", LEFT OUT: %s", c->unusable);
    else if (now < c->this_update)
        sp_buf_add_str(out, ", NOT YET IN FORCE");
    else if (now >= c->next_update)
        sp_buf_add_str(out, ", STALE");
    if (c->scope != SP_CRL_ALL)
        sp_buf_add_str(out, c->scope == SP_CRL_USERS ? ", end entities only" : ", CAs only");
    if (c->partition != NULL)
        sp_buf_add_str(out, ", one distribution point only");
    if (c->unusable == NULL && !sp_crl_has_known_signer(c))
        sp_buf_add_str(out, ", signed by no CA of the bundle");
    sp_buf_add_char(out, '\n');
}

void sp_trust_describe(const struct sp_trust *t, int64_t now, struct sp_buf *out)
{
    for (size_t i = 0; i < t->cas.count; i++)
        describe_ca(t, &t->cas.items[i], now, out);
    for (size_t i = 0; i < t->crls.count; i++)
        describe_crl(t->crls.items[i], now, out);
}
