/* OCSP about our own certificates, for stapling: the leaf, its issuer out of the same file, and what is asked where.
 * The judgement is in ocsp.c. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/base/mem.h"
#include "sallyport/pki/ocsp.h"
#include "sallyport/pki/x509.h"

#define FEATURE_STATUS_REQUEST 5 /* the number of the TLS extension, RFC 7633 */

struct sp_ocsp_subject {
    X509 *issuer;
    struct sp_buf cert_id, request;
    char *responder; /* NULL: it names none */
};

/* The first URL that can be asked; ldap and the like are passed over. NULL: none, or no memory. */
static char *responder_of(X509 *leaf)
{
    char *found = NULL;
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(leaf);
    for (int i = 0; found == NULL && urls != NULL && i < sk_OPENSSL_STRING_num(urls); i++) {
        struct sp_slice url = sp_slice_of(sk_OPENSSL_STRING_value(urls, i));
        bool fits = (url.len > 7 && sp_slice_equal_nocase(sp_slice_sub(url, 0, 7), SP_SLICE("http://"))) ||
                    (url.len > 8 && sp_slice_equal_nocase(sp_slice_sub(url, 0, 8), SP_SLICE("https://")));
        if (fits && (found = sp_alloc(url.len + 1, 1)) != NULL)
            memcpy(found, url.ptr, url.len);
    }
    X509_email_free(urls);
    return found;
}

static X509 *issuer_among(const STACK_OF(X509) * chain, X509 *leaf)
{
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
        X509 *above = sk_X509_value(chain, i);
        EVP_PKEY *key = X509_get0_pubkey(above);
        if (X509_cmp(above, leaf) != 0 && X509_check_issued(above, leaf) == X509_V_OK && key != NULL &&
            X509_verify(leaf, key) == 1)
            return above;
    }
    return NULL;
}

enum sp_rc sp_ocsp_subject_new(
    struct x509_st *leaf, const struct stack_st_X509 *chain, struct sp_ocsp_subject **out, struct sp_err *err)
{
    X509 *issuer = issuer_among(chain, leaf);
    *out = NULL;
    ERR_clear_error();
    if (issuer == NULL)
        return sp_err_set(err, "%s",
            X509_check_issued(leaf, leaf) == X509_V_OK
                ? "it is self-signed, and there is no OCSP about such a certificate"
                : "the certificate of its issuer is not in the file, and OCSP needs it");
    struct sp_ocsp_subject *s = SP_NEW(struct sp_ocsp_subject);
    if (s == NULL || X509_up_ref(issuer) != 1) {
        sp_free(s);
        return sp_err_set(err, "not enough memory");
    }
    s->issuer = issuer;
    s->responder = responder_of(leaf);
    if (sp_ocsp_cert_id(leaf, issuer, &s->cert_id, err) != SP_OK ||
        sp_ocsp_request(sp_buf_slice(&s->cert_id), &s->request, err) != SP_OK) {
        sp_ocsp_subject_free(s);
        return SP_FAIL;
    }
    *out = s;
    ERR_clear_error();
    return SP_OK;
}

enum sp_rc sp_ocsp_subject_load(const char *chain_file, struct sp_ocsp_subject **out, struct sp_err *err)
{
    *out = NULL;
    STACK_OF(X509) *chain = sp_pki_load_certificates(chain_file, err);
    if (chain == NULL)
        return SP_FAIL;
    enum sp_rc rc = sp_ocsp_subject_new(sk_X509_value(chain, 0), chain, out, err);
    sk_X509_pop_free(chain, X509_free);
    return rc == SP_OK ? SP_OK : sp_err_wrap(err, "%s", chain_file);
}

void sp_ocsp_subject_free(struct sp_ocsp_subject *s)
{
    if (s == NULL)
        return;
    X509_free(s->issuer);
    sp_buf_free(&s->cert_id);
    sp_buf_free(&s->request);
    sp_free(s->responder);
    sp_free(s);
}

struct sp_slice sp_ocsp_subject_request(const struct sp_ocsp_subject *s)
{
    return sp_buf_slice(&s->request);
}

const char *sp_ocsp_subject_responder(const struct sp_ocsp_subject *s)
{
    return s->responder;
}

void sp_ocsp_subject_judge(
    const struct sp_ocsp_subject *s, struct sp_slice response, int64_t now, struct sp_ocsp_answer *out)
{
    sp_ocsp_judge(response, sp_buf_slice(&s->cert_id), s->issuer, now, out);
}

bool sp_ocsp_is_required(const struct x509_st *leaf)
{
    bool required = false;
    TLS_FEATURE *features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
    for (int i = 0; features != NULL && i < sk_ASN1_INTEGER_num(features); i++)
        required = required || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == FEATURE_STATUS_REQUEST;
    TLS_FEATURE_free(features);
    ERR_clear_error();
    return required;
}

/* ---- the file of a response ---- */

static enum sp_rc read_up_to(int fd, const char *path, struct sp_buf *out, struct sp_err *err)
{
    for (size_t total = 0;;) {
        char *room = sp_buf_room(out, 4096);
        if (room == NULL)
            return sp_err_set(err, "%s: not enough memory", path);
        ssize_t got = read(fd, room, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sp_err_sys(err, errno, "%s: cannot be read", path);
        if (got == 0)
            return total > 0 ? SP_OK : sp_err_set(err, "%s: the file is empty", path);
        out->len += (size_t)got;
        total += (size_t)got;
        if (total > SP_OCSP_MAX_BYTES)
            return sp_err_set(err, "%s: larger than 32 KiB, which no OCSP response is", path);
    }
}

enum sp_rc sp_ocsp_load(const char *path, struct sp_buf *out, struct sp_err *err)
{
    struct stat st;
    err->sys = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: a FIFO must not hold us up */
    if (fd < 0)
        return sp_err_sys(err, errno, "%s: cannot be opened", path);
    enum sp_rc rc = fstat(fd, &st) != 0    ? sp_err_sys(err, errno, "%s", path)
                    : !S_ISREG(st.st_mode) ? sp_err_set(err, "%s: not a regular file", path)
                                           : read_up_to(fd, path, out, err);
    close(fd);
    return rc;
}
