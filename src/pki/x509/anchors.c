/* The operator's bundle, and the certificates beside it that only help to build a chain.
 *
 * An anchor is a self-signed certificate of the bundle. One that is not self-signed is known (it need not be sent, and
 * it is where a chain goes on), but no chain ends at it; unless trust_intermediates is true, when the topmost ones of
 * the bundle are anchors too. Where the bundle holds the issuer, a chain goes on to it in any case, so that an
 * intermediate that its root has revoked is seen. (OpenSSL's PARTIAL_CHAIN flag would end each chain at the first
 * certificate of the bundle.) So the anchors are marked here as trusted for client authentication, the rest are merely
 * known, and OpenSSL's own rules do the rest.
 *
 * A CA outside of its validity takes part in nothing: it neither verifies nor hides one with the same name that
 * does. Two CAs of one name, with or without key identifiers, are told apart by whose key verifies. */
#include "pki/x509/anchors.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "pki/x509/asn1.h"
#include "sallyport/base/mem.h"
#include "sallyport/pki/x509.h"

static bool has_signed(X509 *issuer, X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    bool verified = key != NULL && X509_verify(cert, key) == 1;
    ERR_clear_error();
    return verified;
}

/* ---- look-up ---- */

void sp_cas_of(const struct sp_cas *cas, const X509_NAME *name, size_t *first, size_t *end)
{
    size_t low = 0, high = cas->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (X509_NAME_cmp(X509_get_subject_name(cas->items[mid].cert), name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *first = low;
    while (low < cas->count && X509_NAME_cmp(X509_get_subject_name(cas->items[low].cert), name) == 0)
        low++;
    *end = low;
}

/* Whether the client sent another certificate of the same subject, which may be the right one instead. */
static bool has_rival(const STACK_OF(X509) * untrusted, X509 *ca)
{
    for (int i = 0; untrusted != NULL && i < sk_X509_num(untrusted); i++) {
        X509 *other = sk_X509_value(untrusted, i);
        if (X509_NAME_cmp(X509_get_subject_name(other), X509_get_subject_name(ca)) == 0 &&
            X509_cmp(other, ca) != 0)
            return true;
    }
    return false;
}

/* Of two that both verify: where the chain can end, then the longer validity. */
static bool is_better(const struct sp_ca *a, const struct sp_ca *b)
{
    if (b == NULL || a->ends_chain != b->ends_chain)
        return b == NULL || a->ends_chain;
    return a->not_after > b->not_after;
}

/* One from which no chain leads to an end is none of these: it is only known, like what a client sends (paths.c). */
static bool may_issue(const struct sp_ca *ca, X509 *cert, int64_t now)
{
    return ca->reaches_end && sp_ca_is_valid_at(ca, now) && X509_check_issued(ca->cert, cert) == X509_V_OK;
}

struct sp_ca *sp_cas_issuer(
    const struct sp_cas *cas, X509 *cert, const STACK_OF(X509) * untrusted, int64_t now)
{
    struct sp_ca *best = NULL, *only = NULL;
    size_t first, end, candidates = 0;
    sp_cas_of(cas, X509_get_issuer_name(cert), &first, &end);
    for (size_t i = first; i < end; i++) {
        struct sp_ca *ca = &cas->items[i];
        if (may_issue(ca, cert, now)) {
            candidates++;
            if (is_better(ca, only))
                only = ca;
        }
    }
    if (candidates == 0)
        return NULL;
    bool rival = has_rival(untrusted, only->cert);
    if (candidates == 1 && !rival)
        return only; /* its key is tried in the verification itself; once is enough */
    for (size_t i = first; i < end; i++) {
        struct sp_ca *ca = &cas->items[i];
        if (is_better(ca, best) && may_issue(ca, cert, now) && has_signed(ca->cert, cert))
            best = ca;
    }
    return best != NULL || rival ? best : only;
}

const struct sp_ca *sp_cas_outdated_issuer(const struct sp_cas *cas, X509 *cert, int64_t now)
{
    size_t first, end;
    sp_cas_of(cas, X509_get_issuer_name(cert), &first, &end);
    for (size_t i = first; i < end; i++) {
        const struct sp_ca *ca = &cas->items[i];
        if (!sp_ca_is_valid_at(ca, now) && X509_check_issued(ca->cert, cert) == X509_V_OK &&
            has_signed(ca->cert, cert))
            return ca;
    }
    return NULL;
}

/* ---- where chains end ---- */

static bool is_self_signed(X509 *cert)
{
    bool yes = X509_self_signed(cert, 1) == 1;
    ERR_clear_error();
    return yes;
}

/* Whether the bundle holds a certificate that signed `ca`. Validity does not matter: a root that has expired does
 * not make an anchor of what it once issued. */
static bool has_issuer(const struct sp_cas *cas, const struct sp_ca *ca, bool that_reaches_end)
{
    size_t first, end;
    sp_cas_of(cas, X509_get_issuer_name(ca->cert), &first, &end);
    for (size_t i = first; i < end; i++) {
        const struct sp_ca *above = &cas->items[i];
        if (above != ca && (!that_reaches_end || above->reaches_end) &&
            X509_check_issued(above->cert, ca->cert) == X509_V_OK && has_signed(above->cert, ca->cert))
            return true;
    }
    return false;
}

static void mark_what_reaches_an_end(struct sp_cas *cas)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < cas->count; i++) {
            struct sp_ca *ca = &cas->items[i];
            if (!ca->reaches_end && has_issuer(cas, ca, true))
                ca->reaches_end = changed = true;
        }
    }
}

static void mark_ends(struct sp_cas *cas, bool trust_intermediates)
{
    for (size_t i = 0; i < cas->count; i++) {
        struct sp_ca *ca = &cas->items[i];
        ca->ends_chain = is_self_signed(ca->cert) || (trust_intermediates && !has_issuer(cas, ca, false));
        ca->reaches_end = ca->ends_chain;
    }
    mark_what_reaches_an_end(cas);
    /* those that issued each other in a ring, and no root beside them */
    for (size_t i = 0; trust_intermediates && i < cas->count; i++) {
        cas->items[i].ends_chain |= !cas->items[i].reaches_end;
        cas->items[i].reaches_end = true;
    }
}

static enum sp_rc tell_openssl(struct sp_cas *cas)
{
    ASN1_OBJECT *client_auth = OBJ_nid2obj(NID_client_auth); /* static: not freed */
    for (size_t i = 0; i < cas->count; i++) {
        if (cas->items[i].ends_chain && X509_add1_trust_object(cas->items[i].cert, client_auth) != 1)
            return SP_FAIL;
    }
    return SP_OK;
}

/* Only where trust_intermediates is false can there be one that reaches no end. */
static enum sp_rc judge_ends(
    const struct sp_cas *cas, const char *config_file, bool of_servers, struct sp_diags *diags)
{
    char subject[192], issuer[192];
    bool has_anchor = false;
    for (size_t i = 0; i < cas->count; i++)
        has_anchor |= cas->items[i].ends_chain;
    for (size_t i = 0; i < cas->count; i++) {
        const struct sp_ca *ca = &cas->items[i];
        if (ca->reaches_end)
            continue;
        sp_diag_add(diags, has_anchor ? SP_DIAG_WARNING : SP_DIAG_ERROR, config_file, ca->at,
            "%s: CA %s leads to no self-signed CA of the bundle (its issuer is %s): no chain ends there%s%s",
            ca->file, sp_asn1_name_text(X509_get_subject_name(ca->cert), subject, sizeof(subject)),
            sp_asn1_name_text(X509_get_issuer_name(ca->cert), issuer, sizeof(issuer)),
            of_servers ? "" : ", unless client_auth.trust_intermediates is true",
            has_anchor ? "" : "; so nobody could be trusted");
    }
    return has_anchor || cas->count == 0 ? SP_OK : SP_FAIL;
}

/* ---- loading ---- */

static int by_subject(const void *a, const void *b)
{
    const struct sp_ca *x = a, *y = b;
    return X509_NAME_cmp(X509_get_subject_name(x->cert), X509_get_subject_name(y->cert));
}

static bool is_known(const struct sp_cas *cas, const X509 *cert)
{
    for (size_t i = 0; i < cas->count; i++) {
        if (X509_cmp(cas->items[i].cert, cert) == 0)
            return true;
    }
    return false;
}

static enum sp_rc append(struct sp_cas *cas, const struct sp_ca *ca)
{
    if (cas->count == cas->room) {
        size_t room = cas->room == 0 ? 16 : cas->room * 2;
        struct sp_ca *items = sp_alloc(room, sizeof(*items));
        if (items == NULL)
            return SP_FAIL;
        if (cas->count > 0)
            memcpy(items, cas->items, cas->count * sizeof(*items));
        sp_free(cas->items);
        cas->items = items;
        cas->room = room;
    }
    if (X509_up_ref(ca->cert) != 1)
        return SP_FAIL;
    cas->items[cas->count++] = *ca;
    return SP_OK;
}

/* Where a message belongs: the configuration file and the place of the key that named the CA file. */
struct place {
    struct sp_diags *diags;
    const char *config_file;
    struct sp_pos at;
};

static void warn_about(const struct sp_ca *ca, const char *subject, int64_t now, const struct place *place)
{
    char when[SP_RFC3339_MAX];
    if (ca->not_after <= now)
        sp_diag_add(place->diags, SP_DIAG_WARNING, place->config_file, place->at,
            "%s: CA %s expired on %s; it is left out", ca->file, subject,
            sp_asn1_time_text(ca->not_after, when));
    else if (ca->not_before > now)
        sp_diag_add(place->diags, SP_DIAG_WARNING, place->config_file, place->at,
            "%s: CA %s is not valid before %s; it is left out until then", ca->file, subject,
            sp_asn1_time_text(ca->not_before, when));
    if (X509_check_ca(ca->cert) != 1)
        sp_diag_add(place->diags, SP_DIAG_WARNING, place->config_file, place->at,
            "%s: CA %s has no basicConstraints (an X.509 v1 root?); it is taken as an anchor", ca->file,
            subject);
}

/* What makes a certificate of a file unusable, or NULL. Fills OpenSSL's cache of the extensions, so that no gate thread
 * has to lock for it. */
static const char *fault_of(X509 *cert, int64_t *not_before, int64_t *not_after)
{
    const char *wrong = NULL;
    X509_trust_clear(cert);
    X509_reject_clear(cert);
    int parsed = X509_check_purpose(cert, -1, 0);
    if (parsed != 1 || (X509_get_extension_flags(cert) & EXFLAG_INVALID) != 0)
        wrong = "has an extension that cannot be parsed";
    else if (!sp_asn1_time(X509_get0_notBefore(cert), not_before) ||
             !sp_asn1_time(X509_get0_notAfter(cert), not_after))
        wrong = "has a notBefore or notAfter that is not a time";
    else if (X509_get0_pubkey(cert) == NULL)
        wrong = "has a public key of a kind that is not supported";
    ERR_clear_error();
    return wrong;
}

static enum sp_rc take(
    struct sp_cas *cas, const char *file, X509 *cert, int item, int64_t now, const struct place *place)
{
    char subject[256];
    struct sp_ca ca = {.cert = cert, .file = file, .at = place->at};
    sp_asn1_name_text(X509_get_subject_name(cert), subject, sizeof(subject));
    const char *wrong = fault_of(cert, &ca.not_before, &ca.not_after);
    if (wrong == NULL && X509_check_ca(cert) == 0)
        wrong = "is not a CA (basicConstraints says CA:FALSE, or nothing says that it is one)";
    if (wrong != NULL) {
        sp_diag_add(place->diags, SP_DIAG_ERROR, place->config_file, place->at, "%s: certificate %d (%s) %s",
            file, item, subject, wrong);
        return SP_FAIL;
    }
    if (is_known(cas, cert))
        return SP_OK;
    warn_about(&ca, subject, now, place);
    if (append(cas, &ca) != SP_OK) {
        sp_diag_add(place->diags, SP_DIAG_ERROR, place->config_file, place->at, "%s: out of memory", file);
        return SP_FAIL;
    }
    return SP_OK;
}

static struct place place_of(
    const struct sp_strings *files, size_t i, const char *config_file, struct sp_diags *diags)
{
    return (struct place){diags, config_file, files->at != NULL ? files->at[i] : (struct sp_pos){0, 0}};
}

static enum sp_rc take_file(struct sp_cas *cas, const char *path, int64_t now, const struct place *place)
{
    enum sp_rc rc = SP_OK;
    struct sp_err err = {0};
    const char *file = sp_arena_copy(&cas->texts, sp_slice_of(path)).ptr;
    STACK_OF(X509) *certs = sp_pki_load_certificates(path, &err);
    if (certs == NULL || file == NULL) {
        sp_diag_add(place->diags, SP_DIAG_ERROR, place->config_file, place->at, "%s",
            certs == NULL ? err.text : "out of memory");
        rc = SP_FAIL;
    }
    for (int j = 0; rc == SP_OK && j < sk_X509_num(certs); j++)
        rc = take(cas, file, sk_X509_value(certs, j), j + 1, now, place);
    sk_X509_pop_free(certs, X509_free);
    return rc;
}

enum sp_rc sp_cas_load(struct sp_cas *cas, const char *config_file, const struct sp_config_client_auth *auth,
    int64_t now, struct sp_diags *diags)
{
    enum sp_rc rc = SP_OK;
    for (size_t i = 0; i < auth->ca.count; i++) {
        struct place place = place_of(&auth->ca, i, config_file, diags);
        if (take_file(cas, auth->ca.items[i], now, &place) != SP_OK)
            rc = SP_FAIL;
    }
    if (cas->count > 1)
        qsort(cas->items, cas->count, sizeof(*cas->items), by_subject);
    mark_ends(cas, auth->trust_intermediates);
    if (tell_openssl(cas) != SP_OK) {
        sp_diag_add(
            diags, SP_DIAG_ERROR, config_file, (struct sp_pos){0, 0}, "out of memory for the CA bundle");
        rc = SP_FAIL;
    }
    return rc == SP_OK ? judge_ends(cas, config_file, auth->of_servers, diags) : rc;
}

enum sp_rc sp_cas_copy(const struct sp_cas *from, struct sp_cas *to)
{
    for (size_t i = 0; i < from->count; i++) {
        struct sp_ca ca = from->items[i];
        ca.file = sp_arena_copy(&to->texts, sp_slice_of(ca.file)).ptr;
        if (ca.file == NULL || append(to, &ca) != SP_OK)
            return SP_FAIL;
    }
    return SP_OK;
}

void sp_cas_free(struct sp_cas *cas)
{
    for (size_t i = 0; i < cas->count; i++)
        X509_free(cas->items[i].cert);
    sp_free(cas->items);
    sp_arena_free(&cas->texts);
    *cas = (struct sp_cas){0};
}

/* ---- beside the bundle ---- */

/* Neither a CA nor a signer of CRLs is no fault, only of no use. */
static enum sp_rc take_intermediate(
    STACK_OF(X509) * into, const char *path, X509 *cert, int item, int64_t now, const struct place *place)
{
    char subject[256], when[SP_RFC3339_MAX];
    int64_t from = 0, to = 0;
    const char *wrong = fault_of(cert, &from, &to);
    sp_asn1_name_text(X509_get_subject_name(cert), subject, sizeof(subject));
    if (wrong != NULL) {
        sp_diag_add(place->diags, SP_DIAG_ERROR, place->config_file, place->at, "%s: certificate %d (%s) %s",
            path, item, subject, wrong);
        return SP_FAIL;
    }
    if (to <= now)
        sp_diag_add(place->diags, SP_DIAG_WARNING, place->config_file, place->at,
            "%s: intermediate %s expired on %s", path, subject, sp_asn1_time_text(to, when));
    else if (X509_check_ca(cert) == 0 && (X509_get_key_usage(cert) & KU_CRL_SIGN) == 0)
        sp_diag_add(place->diags, SP_DIAG_WARNING, place->config_file, place->at,
            "%s: intermediate %s is not a CA and may not sign CRLs: it is of no use", path, subject);
    if (X509_add_cert(into, cert, X509_ADD_FLAG_UP_REF | X509_ADD_FLAG_NO_DUP) != 1) {
        sp_diag_add(place->diags, SP_DIAG_ERROR, place->config_file, place->at, "%s: out of memory", path);
        return SP_FAIL;
    }
    return SP_OK;
}

static enum sp_rc take_intermediates(
    STACK_OF(X509) * into, const char *path, int64_t now, const struct place *place)
{
    struct sp_err err = {0};
    enum sp_rc rc = SP_OK;
    STACK_OF(X509) *certs = sp_pki_load_certificates(path, &err);
    if (certs == NULL) {
        sp_diag_add(place->diags, SP_DIAG_ERROR, place->config_file, place->at, "%s", err.text);
        return SP_FAIL;
    }
    for (int i = 0; i < sk_X509_num(certs); i++) {
        if (take_intermediate(into, path, sk_X509_value(certs, i), i + 1, now, place) != SP_OK)
            rc = SP_FAIL;
    }
    sk_X509_pop_free(certs, X509_free);
    return rc;
}

STACK_OF(X509) * sp_intermediates_load(const char *config_file, const struct sp_config_client_auth *auth,
                     int64_t now, struct sp_diags *diags)
{
    enum sp_rc rc = SP_OK;
    STACK_OF(X509) *all = sk_X509_new_null();
    for (size_t i = 0; all != NULL && i < auth->intermediates.count; i++) {
        struct place place = place_of(&auth->intermediates, i, config_file, diags);
        if (take_intermediates(all, auth->intermediates.items[i], now, &place) != SP_OK)
            rc = SP_FAIL;
    }
    if (rc == SP_OK)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}
