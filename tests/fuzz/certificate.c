/* Certificate to identity: any bytes give an identity or an error. What comes out keeps the promises of its
 * header, since it goes into headers and logs as it is, and requirements are judged on it. The facts for the log are made
 * of everything that parses at all. */
#include <openssl/x509.h>

#include "sallyport/match/match.h"
#include "sallyport/pki/identity.h"
#include "sallyport/pki/requirements.h"
#include "sallyport/pki/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_printable(struct sp_slice s, bool blank_ok)
{
    for (size_t i = 0; i < s.len; i++)
        SP_ASSERT((s.ptr[i] > 0x20 && s.ptr[i] < 0x7f) || (s.ptr[i] == ' ' && blank_ok));
}

static void must_all_be_printable(const struct sp_slices *list)
{
    for (size_t i = 0; i < list->count; i++) {
        SP_ASSERT(list->items[i].len > 0);
        must_be_printable(list->items[i], false);
        SP_ASSERT(memchr(list->items[i].ptr, ',', list->items[i].len) == NULL);
    }
}

static void check_attrs(const struct sp_name_attr *attrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        SP_ASSERT(attrs[i].type.len > 0 && attrs[i].value.ptr != NULL);
        for (size_t j = 0; j < attrs[i].value.len; j++)
            SP_ASSERT((unsigned char)attrs[i].value.ptr[j] >= 0x20 && attrs[i].value.ptr[j] != 0x7f);
    }
}

static void must_all_be_oids(const struct sp_slices *list)
{
    for (size_t i = 0; i < list->count; i++)
        SP_ASSERT(sp_oid_is_valid(list->items[i]));
}

static void check_text(struct sp_slice text)
{
    SP_ASSERT(text.len <= 4 * 256); /* characters */
    for (size_t i = 0; i < text.len; i++)
        SP_ASSERT((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
}

static void check_claims(const struct sp_identity *id)
{
    const struct sp_qualified *q = &id->qualified;
    must_all_be_oids(&id->ekus);
    must_all_be_oids(&id->policies);
    SP_ASSERT(id->has_eku == (id->ekus.count > 0));
    SP_ASSERT(id->signature_algorithm.len > 0 && id->sha1_hex.len == 40);
    SP_ASSERT((q->psd2_roles & ~15U) == 0 && (q->authority.len > 0) == (q->authority_id.len > 0));
    SP_ASSERT(q->psd2_roles == 0 || q->authority_id.len > 0);
    check_text(q->authority);
    check_text(q->authority_id);
}

#define LIST(...)                                                                                            \
    {                                                                                                        \
        (const char *const[]){__VA_ARGS__}, NULL, SP_COUNTOF(((const char *const[]){__VA_ARGS__}))           \
    }

/* One that asks for something of each kind, and one that asks only for names, which most get to. */
static const struct sp_config_requirements asked[] = {
    {.max_validity_ms = 400 * 86400000ULL,
        .key_types = LIST("ec", "ed25519", "rsa"),
        .min_rsa_bits = 2048,
        .min_ec_bits = 256,
        .signature_algorithms = LIST("ecdsa-with-SHA256", "ED25519", "1.2.840.113549.1.1.11"),
        .eku = LIST("clientAuth"),
        .policies = LIST("0.4.0.19495.3.1"),
        .client_eku_required = true},
    {.names = {[SP_NAME_URI] = {SP_PRESENCE_MAY, LIST("spiffe://corp.example/ns/**", "urn:x")},
         [SP_NAME_DNS] = {SP_PRESENCE_MAY, LIST("*.example", "a.corp.example")},
         [SP_NAME_EMAIL] = {SP_PRESENCE_MUST, LIST("*@corp.example")},
         [SP_NAME_IP] = {SP_PRESENCE_MUST_NOT, {.count = 0}}}},
};

static void check_requirements(const struct sp_identity *id)
{
    for (size_t i = 0; i < SP_COUNTOF(asked); i++) {
        char detail[64]; /* short, so that cutting is tried */
        struct sp_diags diags = {.count = 0};
        struct sp_requirements *r = sp_requirements_new("fuzz", "require", &asked[i], &diags);
        SP_ASSERT(r != NULL);
        memset(detail, 'x', sizeof(detail));
        if (sp_requirements_judge(r, id, detail, sizeof(detail)) != SP_REFUSAL_none) {
            SP_ASSERT(memchr(detail, '\0', sizeof(detail)) != NULL);
            must_be_printable(sp_slice_of(detail), true);
        }
        sp_requirements_free(r);
        sp_diags_free(&diags);
    }
}

static void check_identity(const struct sp_identity *id)
{
    must_be_printable(id->subject, true);
    must_be_printable(id->issuer, true);
    must_be_printable(id->serial_hex, false);
    must_be_printable(id->client_cert, false);
    SP_ASSERT(id->serial_hex.len >= 2 && id->sha256_hex.len == 64 && id->sha256_b64url.len == 43);
    must_all_be_printable(&id->uris);
    must_all_be_printable(&id->dns_names);
    must_all_be_printable(&id->emails);
    for (size_t i = 0; i < id->ips.count; i++)
        SP_ASSERT(id->ips.items[i].len == 4 || id->ips.items[i].len == 16);
    check_attrs(id->subject_attrs, id->subject_attr_count);
    check_attrs(id->issuer_attrs, id->issuer_attr_count);
    check_claims(id);
    check_requirements(id);
}

static void check_facts(const uint8_t *data, size_t size)
{
    struct sp_cert_facts facts;
    const unsigned char *p = data;
    X509 *cert = d2i_X509(NULL, &p, (long)size);
    if (cert == NULL)
        return;
    sp_cert_facts_of(cert, &facts);
    must_be_printable(sp_slice_of(facts.subject), true);
    must_be_printable(sp_slice_of(facts.issuer), true);
    must_be_printable(sp_slice_of(facts.serial), false);
    must_be_printable(sp_slice_of(facts.sans), true);
    X509_free(cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_err err;
    struct sp_identity *id = NULL;
    struct sp_slice der = {(const char *)data, size};
    if (sp_identity_from_der(der, &der, 1, &id, &err) == SP_OK)
        check_identity(id);
    sp_identity_free(id);
    check_facts(data, size);
    return 0;
}
