/* What can be said of a leaf in a log line, whatever it holds. A refused certificate is the one that the
 * operator has to find, so nothing here refuses: bytes are escaped, lists and texts are cut. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "pki/x509/asn1.h"
#include "sallyport/pki/trust.h"

/* "URI:spiffe://a,DNS:b": a comma inside a value is escaped too, so that the list has one reading. */
static size_t add_value(char *out, size_t room, const char *kind, struct sp_slice value, bool first)
{
    char text[256];
    size_t n = 0;
    sp_asn1_escape(value, text, sizeof(text));
    int w = snprintf(out, room, "%s%s:", first ? "" : ",", kind);
    if (w < 0 || (size_t)w >= room)
        return 0;
    n = (size_t)w;
    for (const char *p = text; *p != '\0'; p++) {
        if (n + 5 > room)
            return 0;
        if (*p == ',') {
            memcpy(out + n, "\\x2c", 4);
            n += 4;
        } else {
            out[n++] = *p;
        }
    }
    return n;
}

static struct sp_slice value_of(const GENERAL_NAME *san, const char **kind, char ip[INET6_ADDRSTRLEN])
{
    const ASN1_STRING *s = NULL;
    switch (san->type) {
    case GEN_URI:
        *kind = "URI";
        s = san->d.ia5;
        break;
    case GEN_DNS:
        *kind = "DNS";
        s = san->d.ia5;
        break;
    case GEN_EMAIL:
        *kind = "email";
        s = san->d.ia5;
        break;
    case GEN_IPADD:
        *kind = "IP";
        s = san->d.iPAddress;
        break;
    default:
        *kind = "other";
        return SP_SLICE("?");
    }
    struct sp_slice raw = {(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
    if (san->type == GEN_IPADD && (raw.len == 4 || raw.len == 16) &&
        inet_ntop(raw.len == 4 ? AF_INET : AF_INET6, raw.ptr, ip, INET6_ADDRSTRLEN) != NULL)
        return sp_slice_of(ip);
    return raw;
}

static void list_sans(const GENERAL_NAMES *sans, char *out, size_t room)
{
    size_t n = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
        char ip[INET6_ADDRSTRLEN];
        const char *kind;
        struct sp_slice value = value_of(sk_GENERAL_NAME_value(sans, i), &kind, ip);
        size_t added = add_value(out + n, room - n - 4, kind, value, i == 0);
        if (added == 0) { /* 4 bytes were kept free for this */
            memcpy(out + n, "...", 4);
            return;
        }
        n += added;
    }
    out[n] = '\0';
}

void sp_cert_facts_of(const struct x509_st *cert, struct sp_cert_facts *out)
{
    memset(out, 0, sizeof(*out));
    sp_asn1_name_text(X509_get_subject_name(cert), out->subject, sizeof(out->subject));
    sp_asn1_name_text(X509_get_issuer_name(cert), out->issuer, sizeof(out->issuer));
    sp_asn1_serial_text(X509_get0_serialNumber(cert), out->serial, sizeof(out->serial));
    GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (sans != NULL)
        list_sans(sans, out->sans, sizeof(out->sans));
    GENERAL_NAMES_free(sans);
    ERR_clear_error(); /* what could not be parsed must not be found by the next TLS call */
}
