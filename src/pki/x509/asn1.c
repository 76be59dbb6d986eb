/* Times, serial numbers, names and keys out of OpenSSL's types. Every text that leaves this file is printable
 * ASCII: what a certificate holds otherwise is escaped, so that the callers' messages can go to a log as they
 * are. */
#include "pki/x509/asn1.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <time.h>

#include "sallyport/base/text.h"

bool sp_asn1_time(const ASN1_TIME *t, int64_t *out)
{
    struct tm tm;
    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *out = (int64_t)timegm(&tm);
    return true;
}

char *sp_asn1_time_text(int64_t unix_s, char out[SP_RFC3339_MAX])
{
    /* Certificates may name any year up to 9999; nothing in that range overflows in microseconds. */
    return sp_time_rfc3339(unix_s * 1000000, false, out);
}

char *sp_asn1_serial_text(const ASN1_INTEGER *serial, char *out, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    SP_ASSERT(room >= 8);
    const unsigned char *p = ASN1_STRING_get0_data(serial);
    size_t len = ASN1_STRING_length(serial) > 0 ? (size_t)ASN1_STRING_length(serial) : 0;
    size_t n = 0;
    while (len > 1 && p[0] == 0) {
        p++;
        len--;
    }
    if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
        out[n++] = '-';
    if (len == 0) {
        memcpy(out + n, "00", 3);
        return out;
    }
    for (size_t i = 0; i < len; i++) {
        if (n + 2 + 4 > room && i + 1 < len) {
            memcpy(out + n, "...", 4);
            return out;
        }
        out[n++] = digits[p[i] >> 4];
        out[n++] = digits[p[i] & 15];
    }
    out[n] = '\0';
    return out;
}

char *sp_asn1_name_dup(const X509_NAME *name, size_t *len)
{
    char *copy = NULL;
    char *data = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL)
        return NULL;
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
        goto out;
    long n = BIO_get_mem_data(bio, &data);
    if (n < 0 || (copy = OPENSSL_malloc((size_t)n + 1)) == NULL)
        goto out;
    if (n > 0)
        memcpy(copy, data, (size_t)n);
    copy[n] = '\0';
    *len = (size_t)n;
out:
    BIO_free(bio);
    return copy;
}

char *sp_asn1_escape(struct sp_slice bytes, char *out, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    SP_ASSERT(room >= 8);
    size_t n = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        bool plain = c >= 0x20 && c <= 0x7e && c != '\\';
        size_t need = plain ? 1 : 4;
        if (n + need + 4 > room && (i + 1 < bytes.len || n + need + 1 > room)) {
            memcpy(out + n, "...", 4);
            return out;
        }
        if (plain) {
            out[n++] = (char)c;
        } else {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    out[n] = '\0';
    return out;
}

char *sp_asn1_name_text(const X509_NAME *name, char *out, size_t room)
{
    SP_ASSERT(room >= 8);
    size_t len = 0;
    char *text = sp_asn1_name_dup(name, &len);
    if (text == NULL) {
        out[0] = '?';
        out[1] = '\0';
        return out;
    }
    size_t n = 0;
    /* Printed names are ASCII with their own escapes; a second escape of the backslash would make them
     * unreadable. */
    for (size_t i = 0; i < len; i++) {
        if (n + 1 + 4 > room && i + 1 < len) {
            memcpy(out + n, "...", 4);
            n = room;
            break;
        }
        out[n++] = text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?';
    }
    if (n < room)
        out[n] = '\0';
    OPENSSL_free(text);
    return out;
}

void *sp_asn1_extension(const X509 *cert, int nid, const ASN1_ITEM *type, bool *wrong)
{
    int at = X509_get_ext_by_NID(cert, nid, -1);
    *wrong = at >= 0 && X509_get_ext_by_NID(cert, nid, at) >= 0;
    if (at < 0 || *wrong)
        return NULL;
    const ASN1_OCTET_STRING *bytes = X509_EXTENSION_get_data(X509_get_ext(cert, at));
    const unsigned char *p = ASN1_STRING_get0_data(bytes), *end = p + ASN1_STRING_length(bytes);
    ASN1_VALUE *value = ASN1_item_d2i(NULL, &p, end - p, type);
    *wrong = value == NULL || p != end;
    if (*wrong) {
        ASN1_item_free(value, type);
        value = NULL;
        ERR_clear_error();
    }
    return value;
}

bool sp_asn1_same_key(const X509_PUBKEY *a, const X509_PUBKEY *b)
{
    const unsigned char *ka, *kb;
    int la, lb;
    X509_ALGOR *aa, *ab;
    if (a == b)
        return a != NULL;
    if (a == NULL || b == NULL || X509_PUBKEY_get0_param(NULL, &ka, &la, &aa, a) != 1 ||
        X509_PUBKEY_get0_param(NULL, &kb, &lb, &ab, b) != 1)
        return false;
    return la == lb && la > 0 && memcmp(ka, kb, (size_t)la) == 0 && X509_ALGOR_cmp(aa, ab) == 0;
}
