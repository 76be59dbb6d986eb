/* A certificate of ours as the operator gave it: chain file, key file, the names that clients may ask for.
 *
 * Whatever makes it unusable is an error that names the file; what makes it useless is a warning. That it nears its end
 * is told elsewhere, from report.c's list. Keys stay inside OpenSSL, which cleanses them. */
#include <errno.h>
#include <stdlib.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "sallyport/pki/x509.h"
#include "tls_private.h"

#define TAG_SEQUENCE 0x30
#define TAG_DNS_NAME 0x82 /* [2] IMPLICIT IA5String */
#define TAG_URI      0x86 /* [6] IMPLICIT IA5String */

#define ERROR(...) sp_diag_add(diags, SP_DIAG_ERROR, config_file, config->at, __VA_ARGS__)
#define WARN(...)  sp_diag_add(diags, SP_DIAG_WARNING, config_file, config->at, __VA_ARGS__)

/* OpenSSL asks here for the passphrase of an encrypted key: there is nobody to type it. */
static int refuse_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)arg = true;
    return -1;
}

static EVP_PKEY *load_key(
    const char *config_file, const struct sp_config_certificate *config, struct sp_diags *diags)
{
    ERR_clear_error();
    errno = 0;
    BIO *file = BIO_new_file(config->key, "r");
    if (file == NULL) {
        int sys = errno;
        ERR_clear_error();
        ERROR("key %s: %s", config->key, sys != 0 ? strerror(sys) : "cannot be opened");
        return NULL;
    }
    bool encrypted = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(file, NULL, refuse_passphrase, &encrypted);
    BIO_free(file);
    if (key == NULL && encrypted)
        ERROR("key %s: is encrypted; give a key without a passphrase", config->key);
    else if (key == NULL)
        ERROR("key %s: holds no usable PEM private key (%s)", config->key, openssl_reason());
    ERR_clear_error();
    return key;
}

/* ---- names ---- */

static bool is_usable_name(struct sp_slice name)
{
    if (sp_slice_starts(name, SP_SLICE("*.")))
        name = sp_slice_sub(name, 2, name.len);
    if (name.len == 0 || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char b = sp_lower(name.ptr[i]);
        if (!sp_is_digit(b) && !(b >= 'a' && b <= 'z') && b != '-' && b != '.' && b != '_')
            return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads one DER header at *p; false unless the whole element lies before `end`. */
static bool next_element(
    const unsigned char **p, const unsigned char *end, unsigned char *tag, struct sp_slice *value)
{
    const unsigned char *at = *p;
    if (at >= end)
        return false;
    long len;
    int number, class;
    *tag = *at;
    int rc = ASN1_get_object(&at, &len, &number, &class, end - at);
    if ((rc & 0x80) != 0 || (rc & 1) != 0) /* malformed, or of indefinite length */
        return false;
    *value = (struct sp_slice){(const char *)at, (size_t)len};
    *p = at + len;
    return true;
}

static bool add_name(struct certificate *c, struct sp_slice name)
{
    char *text = sp_alloc(name.len + 1, 1);
    if (text == NULL)
        return false;
    for (size_t i = 0; i < name.len; i++)
        text[i] = sp_lower(name.ptr[i]);
    c->names[c->name_count++] = text;
    return true;
}

static void sort_names(struct certificate *c)
{
    size_t kept = 0;
    qsort(c->names, c->name_count, sizeof *c->names, compare_names);
    for (size_t i = 0; i < c->name_count; i++) {
        if (kept > 0 && strcmp(c->names[kept - 1], c->names[i]) == 0)
            sp_free(c->names[i]);
        else
            c->names[kept++] = c->names[i];
    }
    c->name_count = kept;
}

/* The GeneralNames of the leaf's subjectAltName, as DER; absent without one. */
static struct sp_slice alt_names(const X509 *leaf)
{
    struct sp_slice names = {NULL, 0};
    int at = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1);
    if (at < 0)
        return names;
    const ASN1_OCTET_STRING *der = X509_EXTENSION_get_data(X509_get_ext(leaf, at));
    const unsigned char *p = ASN1_STRING_get0_data(der);
    unsigned char tag;
    if (!next_element(&p, p + ASN1_STRING_length(der), &tag, &names) || tag != TAG_SEQUENCE)
        names = (struct sp_slice){NULL, 0};
    return names;
}

/* The DNS names of the leaf's subjectAltName. What no client can ask for is passed over; the common name counts
 * for nothing. */
static bool read_names(struct certificate *c)
{
    const unsigned char *p, *end;
    unsigned char tag;
    struct sp_slice value = alt_names(c->leaf);
    if (value.ptr == NULL)
        return true;
    c->names = sp_alloc(value.len / 2 + 1, sizeof *c->names); /* an element has two bytes at least */
    if (c->names == NULL)
        return false;
    p = (const unsigned char *)value.ptr;
    end = p + value.len;
    while (next_element(&p, end, &tag, &value)) {
        if (tag == TAG_DNS_NAME && value.len > 1 && value.ptr[value.len - 1] == '.')
            value.len--;
        if (tag == TAG_DNS_NAME && is_usable_name(value) && !add_name(c, value))
            return false;
    }
    sort_names(c);
    return true;
}

/* ---- what deserves a warning ---- */

static void check_validity(const char *config_file, const struct sp_config_certificate *config,
    const char *peers, const struct certificate *c, struct sp_diags *diags)
{
    time_t now = (time_t)(sp_wall_s());
    const ASN1_TIME *not_after = X509_get0_notAfter(c->leaf);
    struct tm tm;
    char when[SP_RFC3339_MAX] = "a time that cannot be read";
    if (ASN1_TIME_to_tm(not_after, &tm))
        sp_time_rfc3339((int64_t)timegm(&tm) * 1000000, false, when);
    /* X509_cmp_time: -1 earlier or the same, 1 later, 0 not readable */
    if (X509_cmp_time(not_after, &now) != 1)
        WARN("certificate %s: expired at %s; %s will refuse it", config->chain, when, peers);
    if (X509_cmp_time(X509_get0_notBefore(c->leaf), &now) == 1)
        WARN("certificate %s: is not valid yet; %s will refuse it", config->chain, peers);
}

static void check_order(const char *config_file, const struct sp_config_certificate *config,
    const char *peers, const struct certificate *c, struct sp_diags *diags)
{
    const X509 *below = c->leaf;
    for (int i = 0; i < sk_X509_num(c->chain); i++) {
        const X509 *above = sk_X509_value(c->chain, i);
        if (X509_NAME_cmp(X509_get_issuer_name(below), X509_get_subject_name(above)) != 0) {
            WARN(
                "certificate %s: item %d of the file did not issue item %d; %s want the leaf first, then each "
                "issuer in turn",
                config->chain, i + 2, i + 1, peers);
            return;
        }
        below = above;
    }
}

enum sp_rc certificate_load(const char *config_file, const struct sp_config_certificate *config,
    const char *peers, struct certificate *out, struct sp_diags *diags)
{
    struct sp_err err;
    *out = (struct certificate){0};
    out->chain = sp_pki_load_certificates(config->chain, &err);
    if (out->chain == NULL)
        ERROR("certificate %s", err.text);
    else
        out->leaf = sk_X509_shift(out->chain);
    out->key = load_key(config_file, config, diags); /* also when the chain is wrong: all errors at once */
    if (out->leaf == NULL || out->key == NULL)
        return SP_FAIL;
    if (X509_check_private_key(out->leaf, out->key) != 1) {
        ERR_clear_error();
        ERROR("key %s: does not belong to the certificate in %s", config->key, config->chain);
        return SP_FAIL;
    }
    if (!read_names(out)) {
        ERROR("certificate %s: out of memory", config->chain);
        return SP_FAIL;
    }
    check_validity(config_file, config, peers, out, diags);
    check_order(config_file, config, peers, out, diags);
    return SP_OK;
}

enum sp_rc certificate_copy(const struct certificate *from, struct certificate *out)
{
    *out = (struct certificate){.chain = X509_chain_up_ref(from->chain)};
    if (X509_up_ref(from->leaf) == 1)
        out->leaf = from->leaf;
    if (EVP_PKEY_up_ref(from->key) == 1)
        out->key = from->key;
    return out->chain != NULL && out->leaf != NULL && out->key != NULL && read_names(out) ? SP_OK : SP_FAIL;
}

struct sp_slice certificate_uri(const X509 *leaf)
{
    struct sp_slice names = alt_names(leaf), value;
    const unsigned char *p = (const unsigned char *)names.ptr, *end = p + names.len;
    unsigned char tag;
    while (names.ptr != NULL && next_element(&p, end, &tag, &value)) {
        if (tag == TAG_URI)
            return value;
    }
    return (struct sp_slice){NULL, 0};
}

void certificate_free(struct certificate *c)
{
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    for (size_t i = 0; i < c->name_count; i++)
        sp_free(c->names[i]);
    sp_free(c->names);
    *c = (struct certificate){0};
}
