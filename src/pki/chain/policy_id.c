/* The id of a client policy: SHA-256 over everything that decides who passes. Sessions, tickets and remembered chains are
 * bound to it, so whatever is asked of clients and is not in it could be got round by a session from before.
 *
 * Every part has a fixed size or its length in front, so that no two policies are the same bytes. The contents of the
 * CRLs are left out: each new one would be a new policy. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "pki/chain/trust_impl.h"
#include "sallyport/base/mem.h"

static bool add_number(EVP_MD_CTX *md, uint64_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(n >> (8 * i));
    return EVP_DigestUpdate(md, bytes, sizeof(bytes)) == 1;
}

/* `text` may be NULL. */
static bool add_text(EVP_MD_CTX *md, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    return add_number(md, len) && EVP_DigestUpdate(md, text, len) == 1;
}

static int by_bytes32(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* The digests of certificates, sorted: the same ones in another order are the same policy. */
static bool add_certs(EVP_MD_CTX *md, const struct sp_cas *cas, const STACK_OF(X509) * list)
{
    bool ok = true;
    size_t count = cas != NULL ? cas->count : (size_t)sk_X509_num(list);
    uint8_t(*sums)[32] = sp_alloc(count + 1, sizeof(*sums));
    if (sums == NULL)
        return false;
    for (size_t i = 0; i < count && ok; i++) {
        const X509 *cert = cas != NULL ? cas->items[i].cert : sk_X509_value(list, (int)i);
        ok = X509_digest(cert, EVP_sha256(), sums[i], NULL) == 1;
    }
    qsort(sums, count, sizeof(*sums), by_bytes32);
    ok = ok && add_number(md, count) && EVP_DigestUpdate(md, sums, count * sizeof(*sums)) == 1;
    sp_free(sums);
    return ok;
}

static bool add_texts(EVP_MD_CTX *md, const struct sp_strings *texts)
{
    bool ok = add_number(md, texts->count);
    for (size_t i = 0; i < texts->count && ok; i++)
        ok = add_text(md, texts->items[i]);
    return ok;
}

static bool add_requirements(EVP_MD_CTX *md, const struct sp_config_requirements *r)
{
    if (r == NULL)
        return add_number(md, 0);
    bool ok = add_number(md, 1) && add_number(md, r->max_validity_ms) && add_texts(md, &r->key_types) &&
              add_number(md, r->min_rsa_bits) && add_number(md, r->min_ec_bits) &&
              add_texts(md, &r->signature_algorithms) && add_texts(md, &r->eku) &&
              add_texts(md, &r->policies) && add_number(md, r->client_eku_required);
    for (size_t i = 0; i < SP_NAME_TYPES && ok; i++)
        ok = add_number(md, (uint64_t)r->names[i].presence) && add_texts(md, &r->names[i].patterns);
    return ok;
}

enum sp_rc sp_trust_put_policy_id(struct sp_trust *t, const struct sp_config_client_auth *auth)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              add_number(md, (uint64_t)auth->mode) && add_number(md, (uint64_t)auth->crl_missing) &&
              add_number(md, (uint64_t)auth->crl_stale) &&
              add_number(md, auth->crl_stale == SP_CRL_STALE_GRACE ? auth->crl_grace_ms : 0) &&
              add_number(md, auth->depth) && add_number(md, auth->trust_intermediates) &&
              add_certs(md, &t->cas, NULL) && add_certs(md, NULL, t->intermediates) &&
              add_number(md, auth->ocsp_unreachable_accept) && add_text(md, auth->ocsp_url) &&
              add_texts(md, &auth->crl) && add_requirements(md, auth->require) &&
              (!auth->of_servers || add_text(md, "servers"));
    ok = ok && EVP_DigestFinal_ex(md, t->policy_id, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? SP_OK : SP_FAIL;
}
