/* See the header. */
#include "pki/x509/strength.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <stdio.h>

/* One with a long public exponent is as costly as one with a long modulus; 65537 is what everybody uses. */
#define RSA_MAX_BITS          8192
#define RSA_MAX_EXPONENT_BITS 33
/* A digest is worth half its bits; MD5 and SHA-1 not even that. */
#define DIGEST_MIN_BYTES 28

static int exponent_bits(const EVP_PKEY *key)
{
    BIGNUM *e = NULL;
    int bits = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 ? BN_num_bits(e) : 0;
    BN_free(e);
    return bits;
}

bool sp_is_costly_key(const X509 *cert, char *why, size_t room)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    int kind = key != NULL ? EVP_PKEY_get_base_id(key) : NID_undef;
    bool is_rsa = kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS;
    if (!is_rsa && kind != EVP_PKEY_DSA && kind != EVP_PKEY_DH)
        return false;
    if (EVP_PKEY_get_bits(key) > RSA_MAX_BITS)
        snprintf(why, room, "a certificate has a key of %d bits; at most %d are taken",
            EVP_PKEY_get_bits(key), RSA_MAX_BITS);
    else if (is_rsa && exponent_bits(key) > RSA_MAX_EXPONENT_BITS)
        snprintf(why, room,
            "a certificate has an RSA key with a public exponent of %d bits; at most %d are taken",
            exponent_bits(key), RSA_MAX_EXPONENT_BITS);
    else
        return false;
    return true;
}

bool sp_is_withdrawn_key(const X509 *leaf, char *why, size_t room)
{
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_DSA)
        return false;
    snprintf(why, room, "the key is DSA, which FIPS 186-5 withdrew and TLS 1.3 does not have");
    return true;
}

bool sp_is_weak_digest(const EVP_MD *md)
{
    return md == NULL || EVP_MD_get_size(md) < DIGEST_MIN_BYTES;
}

/* What is not written there is SHA-1. */
const EVP_MD *sp_pss_digest(const X509_ALGOR *algorithm)
{
    const void *value = NULL;
    int type = V_ASN1_UNDEF, nid = NID_sha1;
    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    RSA_PSS_PARAMS *params =
        type == V_ASN1_SEQUENCE
            ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter)
            : NULL;
    if (params == NULL)
        return NULL;
    if (params->hashAlgorithm != NULL)
        nid = OBJ_obj2nid(params->hashAlgorithm->algorithm);
    RSA_PSS_PARAMS_free(params);
    return EVP_get_digestbynid(nid);
}
