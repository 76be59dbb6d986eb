/* Certificate to identity: any bytes give an identity or an error. What comes out keeps the promises of its
 * header, since it goes into headers and logs as it is. The facts for the log are made of everything that
 * parses at all. */
#include <openssl/x509.h>

#include "sallyport/pki/identity.h"
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
    for (size_t i = 0; i < id->subject_attr_count; i++) {
        const struct sp_name_attr *a = &id->subject_attrs[i];
        SP_ASSERT(a->type.len > 0 && a->value.ptr != NULL);
        for (size_t j = 0; j < a->value.len; j++)
            SP_ASSERT((unsigned char)a->value.ptr[j] >= 0x20 && a->value.ptr[j] != 0x7f);
    }
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
