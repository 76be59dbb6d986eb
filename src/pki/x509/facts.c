/* What can be said of a leaf in a log line, whatever it holds. A refused certificate is the one that the
 * operator has to find, so nothing here refuses: bytes are escaped, lists and texts are cut. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "pki/x509/asn1.h"
#include "sallyport/base/text.h"
#include "sallyport/pki/trust.h"

/* "URI:spiffe://a,DNS:b": a comma inside a value is escaped too, so that the list has one reading. */
static size_t add_value(char *out, size_t room, const char *kind, struct sp_slice value, bool first)
{
    char text[1024]; /* as much as a whole list may have */
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

static struct sp_slice ip_text(struct sp_slice raw, char ip[INET6_ADDRSTRLEN])
{
    if ((raw.len == 4 || raw.len == 16) &&
        inet_ntop(raw.len == 4 ? AF_INET : AF_INET6, raw.ptr, ip, INET6_ADDRSTRLEN) != NULL)
        return sp_slice_of(ip);
    return raw;
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
    return san->type == GEN_IPADD ? ip_text(raw, ip) : raw;
}

/* A list on its way into `out`. When there is no room for a value, "..." ends it: 4 bytes are kept free for that. */
struct list {
    char *out;
    size_t room, n;
    bool full;
};

static void list_add(struct list *l, const char *kind, struct sp_slice value)
{
    if (l->full)
        return;
    size_t added = add_value(l->out + l->n, l->room - l->n - 4, kind, value, l->n == 0);
    l->full = added == 0;
    memcpy(l->out + l->n + added, l->full ? "..." : "", l->full ? 4 : 1);
    l->n += added;
}

static void list_sans(const GENERAL_NAMES *sans, struct list *l)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
        char ip[INET6_ADDRSTRLEN];
        const char *kind;
        struct sp_slice value = value_of(sk_GENERAL_NAME_value(sans, i), &kind, ip);
        list_add(l, kind, value);
    }
}

static void add_digest(const struct x509_st *cert, char out[65])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &len) == 1 && len == 32)
        sp_hex(digest, len, out);
}

void sp_cert_facts_of(const struct x509_st *cert, struct sp_cert_facts *out)
{
    memset(out, 0, sizeof(*out));
    sp_asn1_name_text(X509_get_subject_name(cert), out->subject, sizeof(out->subject));
    sp_asn1_name_text(X509_get_issuer_name(cert), out->issuer, sizeof(out->issuer));
    sp_asn1_serial_text(X509_get0_serialNumber(cert), out->serial, sizeof(out->serial));
    GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (sans != NULL)
        list_sans(sans, &(struct list){.out = out->sans, .room = sizeof(out->sans)});
    GENERAL_NAMES_free(sans);
    add_digest(cert, out->sha256);
    ERR_clear_error(); /* what could not be parsed must not be found by the next TLS call */
}

static void copy(char *out, size_t room, struct sp_slice text)
{
    bool cut = text.len >= room;
    size_t len = cut ? room - 4 : text.len;
    if (len > 0)
        memcpy(out, text.ptr, len);
    memcpy(out + len, cut ? "..." : "", cut ? 4 : 1);
}

void sp_cert_facts_of_identity(const struct sp_identity *id, struct sp_cert_facts *out)
{
    const struct {
        const char *kind;
        const struct sp_slices *names;
    } kinds[] = {{"URI", &id->uris}, {"DNS", &id->dns_names}, {"email", &id->emails}, {"IP", &id->ips}};
    struct list sans = {.out = out->sans, .room = sizeof(out->sans)};
    memset(out, 0, sizeof(*out));
    copy(out->subject, sizeof(out->subject), id->subject);
    copy(out->issuer, sizeof(out->issuer), id->issuer);
    copy(out->serial, sizeof(out->serial), id->serial_hex);
    copy(out->sha256, sizeof(out->sha256), id->sha256_hex);
    for (size_t k = 0; k < SP_COUNTOF(kinds); k++) {
        for (size_t i = 0; i < kinds[k].names->count; i++) {
            char ip[INET6_ADDRSTRLEN];
            struct sp_slice name = kinds[k].names->items[i];
            list_add(&sans, kinds[k].kind, kinds[k].names == &id->ips ? ip_text(name, ip) : name);
        }
    }
}
