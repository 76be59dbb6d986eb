/* The judgement of one OCSP response, in this order:
 *
 *   size and form -> its own status -> strength of its signature -> who signed -> which certificate -> times -> status
 *
 * Who signed is OpenSSL's OCSP_basic_verify, given a store that holds the issuer and nothing else: with a store of all
 * the CAs that are trusted here, any of them could certify a responder (and OCSP_NOEXPLICIT keeps a CA with a trust
 * setting of its own from speaking for others). What it does not look at is looked at here first: digests that can be
 * forged, keys that are costly to verify with, extensions that must be understood.
 *
 * The answer starts as unusable, and every failure has a text. Elsewhere: which issuer (ocsp_client.c for clients,
 * ocsp_subject.c for our own certificates). */
#include "sallyport/pki/ocsp.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "pki/ocsp/ocsp_veto.h"
#include "pki/x509/asn1.h"
#include "pki/x509/strength.h"
#include "sallyport/pki/x509.h"

/* Of one response. Responders that answer about several certificates at once exist; whole lists are not needed. */
#define MAX_SINGLES 64
#define MAX_CERTS   8

/* Digests of a CertID that are taken. Only what is found by one of them is believed to be the certificate. */
static const int id_digests[] = {NID_sha1, NID_sha256, NID_sha384, NID_sha512};

static void say(struct sp_ocsp_answer *out, const char *text)
{
    snprintf(out->detail, sizeof(out->detail), "%s", text);
}

/* ---- CertIDs ---- */

static OCSP_CERTID *parse_cert_id(struct sp_slice der)
{
    const unsigned char *p = (const unsigned char *)der.ptr;
    if (der.len == 0 || der.len > SP_OCSP_MAX_BYTES)
        return NULL;
    OCSP_CERTID *id = d2i_OCSP_CERTID(NULL, &p, (long)der.len);
    if (id != NULL && p != (const unsigned char *)der.ptr + der.len) {
        OCSP_CERTID_free(id);
        id = NULL;
    }
    return id;
}

static enum sp_rc put_der(unsigned char *der, int len, struct sp_buf *out, struct sp_err *err)
{
    enum sp_rc rc = len > 0 ? sp_buf_add(out, der, (size_t)len) : SP_FAIL;
    OPENSSL_free(der);
    ERR_clear_error();
    return rc == SP_OK ? SP_OK : sp_err_set(err, "OCSP request: not enough memory");
}

enum sp_rc sp_ocsp_cert_id(
    const struct x509_st *leaf, const struct x509_st *issuer, struct sp_buf *out, struct sp_err *err)
{
    unsigned char *der = NULL;
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), leaf, issuer);
    int len = id != NULL ? i2d_OCSP_CERTID(id, &der) : -1;
    OCSP_CERTID_free(id);
    return put_der(der, len, out, err);
}

enum sp_rc sp_ocsp_request(struct sp_slice cert_id, struct sp_buf *out, struct sp_err *err)
{
    unsigned char *der = NULL;
    int len = -1;
    OCSP_CERTID *id = parse_cert_id(cert_id);
    if (id == NULL) {
        ERR_clear_error();
        return sp_err_set(err, "OCSP request: there is no CertID of the certificate");
    }
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    if (request != NULL && OCSP_request_add0_id(request, id) != NULL) {
        id = NULL; /* taken over */
        len = i2d_OCSP_REQUEST(request, &der);
    }
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    return put_der(der, len, out, err);
}

enum sp_rc sp_ocsp_key(struct sp_slice url, struct sp_slice cert_id, uint8_t key[32])
{
    uint64_t len = url.len; /* in front, so that no two pairs are the same bytes */
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, &len, sizeof(len)) == 1 && EVP_DigestUpdate(md, url.ptr, url.len) == 1 &&
              EVP_DigestUpdate(md, cert_id.ptr, cert_id.len) == 1 && EVP_DigestFinal_ex(md, key, NULL) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return ok ? SP_OK : SP_FAIL;
}

/* ---- form ---- */

/* Whoever can have a responder sign what he likes could make a second response of the same MD5 or SHA-1 digest. */
static bool has_strong_digest(const OCSP_BASICRESP *basic)
{
    const X509_ALGOR *algorithm = OCSP_resp_get0_tbs_sigalg(basic);
    const ASN1_OBJECT *object = NULL;
    int digest = NID_undef, key = NID_undef;
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    int nid = OBJ_obj2nid(object);
    if (nid == NID_ED25519 || nid == NID_ED448)
        return true;
    if (nid == NID_rsassaPss)
        return !sp_is_weak_digest(sp_pss_digest(algorithm));
    return OBJ_find_sigid_algs(nid, &digest, &key) == 1 && !sp_is_weak_digest(EVP_get_digestbynid(digest));
}

static bool has_costly_key(const STACK_OF(X509) * certs)
{
    char ignored[160];
    for (int i = 0; certs != NULL && i < sk_X509_num(certs); i++) {
        const X509 *cert = sk_X509_value(certs, i);
        if (X509_get0_pubkey(cert) == NULL || sp_is_costly_key(cert, ignored, sizeof(ignored)))
            return true;
    }
    return false;
}

static bool is_acceptable(OCSP_BASICRESP *basic, struct sp_ocsp_answer *out)
{
    const STACK_OF(X509) *certs = OCSP_resp_get0_certs(basic);
    const char *problem = NULL;
    if (OCSP_resp_count(basic) < 1)
        problem = "the response is about no certificate";
    else if (OCSP_resp_count(basic) > MAX_SINGLES)
        problem = "the response is about more than 64 certificates";
    else if (certs != NULL && sk_X509_num(certs) > MAX_CERTS)
        problem = "the response brings more than 8 certificates";
    else if (has_costly_key(certs))
        problem = "the response brings a certificate whose key is malformed or too large";
    else if (OCSP_BASICRESP_get_ext_by_critical(basic, 1, -1) >= 0)
        problem = "the response has a critical extension that is not understood";
    else if (!has_strong_digest(basic))
        problem = "the response is signed with a digest that can be forged, or that is not known";
    if (problem != NULL)
        say(out, problem);
    return problem == NULL;
}

/* NULL: `out` says why. */
static OCSP_BASICRESP *parse(struct sp_slice response, struct sp_ocsp_answer *out)
{
    const unsigned char *p = (const unsigned char *)response.ptr;
    OCSP_BASICRESP *basic = NULL;
    if (response.len == 0 || response.len > SP_OCSP_MAX_BYTES) {
        say(out, response.len == 0 ? "the response is empty" : "the response is larger than 32 KiB");
        return NULL;
    }
    OCSP_RESPONSE *outer = d2i_OCSP_RESPONSE(NULL, &p, (long)response.len);
    if (outer == NULL || p != (const unsigned char *)response.ptr + response.len) {
        say(out, outer == NULL ? "not an OCSP response" : "the response is followed by other bytes");
        goto done;
    }
    int status = OCSP_response_status(outer);
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        snprintf(out->detail, sizeof(out->detail), "the responder gives no answer: %s",
            OCSP_response_status_str(status));
        goto done;
    }
    basic = OCSP_response_get1_basic(outer);
    if (basic == NULL)
        say(out, "the response is of a kind that is not known, or malformed");
done:
    OCSP_RESPONSE_free(outer);
    return basic;
}

/* ---- who signed ---- */

/* The issuer alone, as an anchor, at this time. */
static X509_STORE *store_of(X509 *issuer, int64_t now)
{
    X509_STORE *store = X509_STORE_new();
    X509_VERIFY_PARAM *param = store != NULL ? X509_STORE_get0_param(store) : NULL;
    if (store == NULL || X509_STORE_add_cert(store, issuer) != 1 ||
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST) != 1) {
        X509_STORE_free(store);
        return NULL;
    }
    X509_VERIFY_PARAM_set_time(param, (time_t)now);
    X509_VERIFY_PARAM_set_auth_level(param, SP_AUTH_LEVEL);
    X509_VERIFY_PARAM_set_depth(param, 1);
    return store;
}

/* OpenSSL's reason in words that say what to look for. */
static void explain_signer(struct sp_ocsp_answer *out)
{
    const char *data = "";
    int flags = 0;
    unsigned long code = ERR_peek_last_error_data(&data, &flags);
    const char *reason = ERR_reason_error_string(code);
    bool has_data = (flags & ERR_TXT_STRING) != 0 && data[0] != '\0';
    snprintf(out->detail, sizeof(out->detail),
        "the response is signed by neither the certificate's issuer nor a responder of its: %s%s%s",
        reason != NULL ? reason : "the signer was certified by another CA", has_data ? ", " : "",
        has_data ? data : "");
}

static bool is_signed_rightly(OCSP_BASICRESP *basic, X509 *issuer, int64_t now, struct sp_ocsp_answer *out)
{
    STACK_OF(X509) *known = sk_X509_new_null();
    X509_STORE *store = store_of(issuer, now);
    bool ok = false;
    if (known == NULL || store == NULL || sk_X509_push(known, issuer) <= 0) {
        say(out, "not enough memory to verify the response");
    } else {
        ERR_clear_error();
        ok = OCSP_basic_verify(basic, known, store, OCSP_NOEXPLICIT) == 1;
        if (!ok)
            explain_signer(out);
    }
    sk_X509_free(known);
    X509_STORE_free(store);
    return ok;
}

/* The issuer itself is nobody's to veto: without it there would be no client. */
static bool is_vetoed(
    OCSP_BASICRESP *basic, X509 *issuer, const struct sp_ocsp_veto *veto, struct sp_ocsp_answer *out)
{
    X509 *signer = NULL;
    if (veto == NULL)
        return false;
    if (OCSP_resp_get0_signer(basic, &signer, NULL) != 1 || X509_cmp(signer, issuer) == 0)
        return false; /* not among the certificates of the response: it is the issuer */
    return veto->says_no(veto->arg, signer, issuer, out->detail, sizeof(out->detail));
}

/* ---- which certificate, when, what ---- */

static bool is_about(const OCSP_SINGLERESP *single, OCSP_CERTID *asked, X509 *issuer)
{
    ASN1_OBJECT *digest = NULL;
    ASN1_INTEGER *serial = NULL;
    bool taken = false;
    OCSP_CERTID *given = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single); /* only read */
    if (OCSP_id_get0_info(NULL, &digest, NULL, NULL, given) != 1 ||
        OCSP_id_get0_info(NULL, NULL, NULL, &serial, asked) != 1)
        return false;
    for (size_t i = 0; i < SP_COUNTOF(id_digests); i++)
        taken = taken || OBJ_obj2nid(digest) == id_digests[i];
    if (!taken)
        return false;
    OCSP_CERTID *wanted = OCSP_cert_id_new(
        EVP_get_digestbyobj(digest), X509_get_subject_name(issuer), X509_get0_pubkey_bitstr(issuer), serial);
    bool same = wanted != NULL && OCSP_id_cmp(wanted, given) == 0;
    OCSP_CERTID_free(wanted);
    return same;
}

static const char *reason_text(int reason)
{
    return reason >= 0 ? OCSP_crl_reason_str(reason) : NULL;
}

static bool read_times(
    const ASN1_GENERALIZEDTIME *from, const ASN1_GENERALIZEDTIME *to, int64_t now, struct sp_ocsp_answer *out)
{
    char when[SP_RFC3339_MAX];
    int64_t next = 0;
    if (from == NULL || !sp_asn1_time(from, &out->this_update) || (to != NULL && !sp_asn1_time(to, &next))) {
        say(out, "a time of the response is malformed");
        return false;
    }
    out->is_endless = to == NULL;
    out->until = to != NULL ? next : out->this_update + SP_OCSP_ENDLESS_S;
    if (out->this_update > now + SP_OCSP_SKEW_S)
        snprintf(out->detail, sizeof(out->detail), "the response is from the future: thisUpdate %s",
            sp_asn1_time_text(out->this_update, when));
    else if (to != NULL && next < out->this_update)
        say(out, "the response ends before it begins: nextUpdate is before thisUpdate");
    else if (out->until + SP_OCSP_SKEW_S < now)
        snprintf(out->detail, sizeof(out->detail), "the response is expired: %s %s",
            to != NULL ? "nextUpdate" : "without nextUpdate, and thisUpdate",
            sp_asn1_time_text(to != NULL ? next : out->this_update, when));
    else
        return true;
    return false;
}

static void read_single(OCSP_SINGLERESP *single, int64_t now, struct sp_ocsp_answer *out)
{
    static const enum sp_ocsp_status statuses[] = {SP_OCSP_GOOD, SP_OCSP_REVOKED, SP_OCSP_UNKNOWN};
    ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *to = NULL;
    char when[SP_RFC3339_MAX], said[SP_RFC3339_MAX];
    int reason = -1;
    int status = OCSP_single_get0_status(single, &reason, &revoked, &from, &to);
    if (OCSP_SINGLERESP_get_ext_by_critical(single, 1, -1) >= 0) {
        say(out, "the response has a critical extension that is not understood");
        return;
    }
    if (!read_times(from, to, now, out))
        return;
    if (status < V_OCSP_CERTSTATUS_GOOD || status > V_OCSP_CERTSTATUS_UNKNOWN ||
        (status == V_OCSP_CERTSTATUS_REVOKED &&
            (revoked == NULL || !sp_asn1_time(revoked, &out->revoked_at)))) {
        say(out, "the status in the response is malformed");
        return;
    }
    out->status = statuses[status]; /* V_OCSP_CERTSTATUS_GOOD, _REVOKED, _UNKNOWN: 0, 1, 2 */
    sp_asn1_time_text(out->this_update, said);
    if (out->status == SP_OCSP_REVOKED) {
        out->reason = reason_text(reason);
        snprintf(out->detail, sizeof(out->detail), "revoked at %s%s%s, said at %s",
            sp_asn1_time_text(out->revoked_at, when), out->reason != NULL ? " for " : "",
            out->reason != NULL ? out->reason : "", said);
    } else {
        snprintf(out->detail, sizeof(out->detail), "%s, said at %s",
            out->status == SP_OCSP_GOOD ? "good" : "the responder does not know the certificate", said);
    }
}

/* A response may speak of the certificate twice (once a digest): the first counts, but for one that says revoked. */
static void read_status(
    OCSP_BASICRESP *basic, OCSP_CERTID *asked, X509 *issuer, int64_t now, struct sp_ocsp_answer *out)
{
    bool found = false;
    for (int i = 0; i < OCSP_resp_count(basic) && out->status != SP_OCSP_REVOKED; i++) {
        struct sp_ocsp_answer one = {.status = SP_OCSP_UNUSABLE};
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        if (!is_about(single, asked, issuer))
            continue;
        read_single(single, now, &one);
        if (!found || one.status == SP_OCSP_REVOKED)
            *out = one;
        found = true;
    }
    if (!found)
        say(out, "the response is about another certificate");
}

void sp_ocsp_judge_with(struct sp_slice response, struct sp_slice cert_id, X509 *issuer, int64_t now,
    const struct sp_ocsp_veto *veto, struct sp_ocsp_answer *out)
{
    *out = (struct sp_ocsp_answer){.status = SP_OCSP_UNUSABLE};
    OCSP_CERTID *asked = parse_cert_id(cert_id);
    OCSP_BASICRESP *basic = NULL;
    if (asked == NULL)
        say(out, "there is no CertID of the certificate");
    else
        basic = parse(response, out);
    if (basic != NULL && is_acceptable(basic, out) && is_signed_rightly(basic, issuer, now, out) &&
        !is_vetoed(basic, issuer, veto, out))
        read_status(basic, asked, issuer, now, out);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(asked);
    ERR_clear_error();
}

void sp_ocsp_judge(struct sp_slice response, struct sp_slice cert_id, struct x509_st *issuer, int64_t now,
    struct sp_ocsp_answer *out)
{
    sp_ocsp_judge_with(response, cert_id, issuer, now, NULL, out);
}
