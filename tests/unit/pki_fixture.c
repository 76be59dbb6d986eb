/* See the header. Every failure of OpenSSL here is a fault of the fixture and ends the run with its place. */
#include "pki_fixture.h"

#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/dsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUST(cond) ((cond) ? (void)0 : fail(#cond, __LINE__))

static void fail(const char *what, int line)
{
    fprintf(stderr, "pki_fixture.c:%d: %s\n", line, what);
    ERR_print_errors_fp(stderr);
    abort();
}

static EVP_PKEY *huge_rsa(void)
{
    EVP_PKEY *key = NULL;
    BIGNUM *n = BN_new(), *e = BN_new();
    MUST(n != NULL && e != NULL && BN_rand(n, 8200, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) &&
         BN_set_word(e, 65537));
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    MUST(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
         OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    MUST(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return key;
}

static EVP_PKEY *generate(EVP_PKEY_CTX *ctx)
{
    EVP_PKEY *key = NULL;
    MUST(ctx != NULL && EVP_PKEY_generate(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *long_exponent(void)
{
    BIGNUM *e = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    MUST(BN_hex2bn(&e, "10000000000000001") > 0 && EVP_PKEY_keygen_init(ctx) == 1 &&
         EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1 &&
         EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) == 1);
    BN_free(e);
    return generate(ctx);
}

/* 2048 bits: its length is beyond reproach. */
static EVP_PKEY *dsa(void)
{
    EVP_PKEY *parameters = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
    MUST(ctx != NULL && EVP_PKEY_paramgen_init(ctx) == 1 &&
         EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, 2048) == 1 && EVP_PKEY_paramgen(ctx, &parameters) == 1);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, parameters, NULL);
    MUST(ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1);
    EVP_PKEY_free(parameters);
    return generate(ctx);
}

static EVP_PKEY *of_algorithm(const char *name)
{
    if (strncmp(name, "P-", 2) == 0 || strncmp(name, "brainpool", 9) == 0)
        return EVP_EC_gen(name);
    if (strcmp(name, "DSA") == 0)
        return dsa();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
    MUST(ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1);
    return generate(ctx);
}

/* Ed25519 has no digest to choose. */
static const EVP_MD *digest_for(const EVP_PKEY *key, const EVP_MD *wanted)
{
    int kind = EVP_PKEY_get_base_id(key);
    if (kind == EVP_PKEY_ED25519 || kind == EVP_PKEY_ED448)
        return NULL;
    return wanted != NULL ? wanted : EVP_sha256();
}

static EVP_PKEY *make_key(const struct fix_spec *spec)
{
    if (spec->key != NULL) {
        EVP_PKEY_up_ref(spec->key);
        return spec->key;
    }
    if (spec->huge_rsa)
        return huge_rsa();
    if (spec->long_exponent)
        return long_exponent();
    if (spec->algorithm != NULL)
        return of_algorithm(spec->algorithm);
    EVP_PKEY *key = spec->rsa_bits > 0 ? EVP_RSA_gen((unsigned)spec->rsa_bits) : EVP_EC_gen("P-256");
    MUST(key != NULL);
    return key;
}

static X509_NAME *parse_name(const char *text)
{
    X509_NAME *name = X509_NAME_new();
    char copy[512];
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *p = copy; strcmp(text, "-") != 0 && *p != '\0';) {
        bool joined = p != copy && text[p - copy - 1] == '+';
        size_t len = strcspn(p, ",+");
        char *next = p[len] == '\0' ? p + len : p + len + 1;
        p[len] = '\0';
        char *value = strchr(p, '=');
        MUST(value != NULL);
        *value++ = '\0';
        MUST(X509_NAME_add_entry_by_txt(
                 name, p, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, joined ? -1 : 0) == 1);
        p = next;
    }
    return name;
}

/* What an extension can refer to: "dirName:within" is the name O=Example. */
static CONF *make_sections(void)
{
    static const char text[] = "[within]\nO=Example\n";
    long line = 0;
    CONF *sections = NCONF_new(NULL);
    BIO *bio = BIO_new_mem_buf(text, sizeof(text) - 1);
    MUST(sections != NULL && bio != NULL && NCONF_load_bio(sections, bio, &line) == 1);
    BIO_free(bio);
    return sections;
}

static void add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    if (value == NULL || strcmp(value, "-") == 0)
        return;
    CONF *sections = make_sections();
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509V3_set_nconf(&ctx, sections);
    X509_EXTENSION *ext = X509V3_EXT_nconf_nid(sections, &ctx, nid, value);
    MUST(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
    NCONF_free(sections);
}

static void add_sans(X509 *cert, const struct fix_spec *spec)
{
    GENERAL_NAMES *sans = GENERAL_NAMES_new();
    if (spec->raw_san.ptr != NULL) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = spec->raw_san_type == GEN_IPADD ? (ASN1_STRING *)ASN1_OCTET_STRING_new()
                                                             : (ASN1_STRING *)ASN1_IA5STRING_new();
        MUST(ASN1_STRING_set(value, spec->raw_san.ptr, (int)spec->raw_san.len) == 1);
        GENERAL_NAME_set0_value(name, spec->raw_san_type, value);
        sk_GENERAL_NAME_push(sans, name);
    }
    for (int i = 0; i < spec->sans; i++) {
        char text[32];
        snprintf(text, sizeof(text), "h%d.example.com", i);
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *value = ASN1_IA5STRING_new();
        MUST(ASN1_STRING_set(value, text, -1) == 1);
        GENERAL_NAME_set0_value(name, GEN_DNS, value);
        sk_GENERAL_NAME_push(sans, name);
    }
    if (sk_GENERAL_NAME_num(sans) > 0)
        MUST(X509_add1_ext_i2d(cert, NID_subject_alt_name, sans, 0, X509V3_ADD_APPEND) == 1);
    GENERAL_NAMES_free(sans);
}

static void add_raw(X509 *cert, const char *oid, struct sp_slice der, int critical)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
    MUST(ASN1_OCTET_STRING_set(data, (const unsigned char *)der.ptr, (int)der.len) == 1);
    X509_EXTENSION *ext = X509_EXTENSION_create_by_OBJ(NULL, object, critical, data);
    MUST(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(data);
    ASN1_OBJECT_free(object);
}

static void add_extensions(X509 *cert, X509 *issuer, const struct fix_spec *spec, bool is_ca)
{
    if (spec->v1)
        return;
    X509_set_version(cert, X509_VERSION_3);
    add_ext(cert, issuer, NID_basic_constraints,
        spec->basic_constraints != NULL ? spec->basic_constraints
        : is_ca                         ? "critical,CA:TRUE"
                                        : "CA:FALSE");
    add_ext(cert, issuer, NID_key_usage,
        spec->key_usage != NULL ? spec->key_usage
        : is_ca                 ? "critical,keyCertSign,cRLSign"
                                : "critical,digitalSignature");
    add_ext(cert, issuer, NID_ext_key_usage, spec->eku != NULL ? spec->eku : is_ca ? NULL : "clientAuth");
    if (spec->key_ids) {
        add_ext(cert, issuer, NID_subject_key_identifier, "hash");
        add_ext(cert, issuer, NID_authority_key_identifier, "keyid");
    }
    add_ext(cert, issuer, NID_subject_alt_name, spec->san);
    add_ext(cert, issuer, NID_name_constraints, spec->name_constraints);
    add_ext(cert, issuer, NID_crl_distribution_points, spec->crldp);
    add_sans(cert, spec);
    add_ext(cert, issuer, NID_certificate_policies, spec->policies);
    for (size_t i = 0; i < SP_COUNTOF(spec->raw_ext) && spec->raw_ext[i].oid != NULL; i++)
        add_raw(cert, spec->raw_ext[i].oid, spec->raw_ext[i].der, 0);
    if (spec->critical_oid != NULL)
        add_raw(cert, spec->critical_oid, (struct sp_slice){"\x05", 2}, 1);
}

static void set_serial(ASN1_INTEGER *into, const char *hex)
{
    BIGNUM *n = NULL;
    MUST(BN_hex2bn(&n, hex) > 0 && BN_to_ASN1_INTEGER(n, into) != NULL);
    BN_free(n);
}

static void set_names(X509 *cert, const struct fix_spec *spec, const struct fix_cert *ca)
{
    X509_NAME *subject = parse_name(spec->subject != NULL ? spec->subject : "CN=leaf");
    if (spec->raw_cn.ptr != NULL)
        MUST(X509_NAME_add_entry_by_NID(subject, NID_commonName, spec->raw_cn_type,
                 (const unsigned char *)spec->raw_cn.ptr, (int)spec->raw_cn.len, -1, 0) == 1);
    MUST(X509_set_subject_name(cert, subject) == 1);
    X509_NAME *issuer = spec->issuer != NULL ? parse_name(spec->issuer) : NULL;
    MUST(X509_set_issuer_name(cert, issuer != NULL ? issuer
                                    : ca != NULL   ? X509_get_subject_name(ca->cert)
                                                   : subject) == 1);
    X509_NAME_free(subject);
    X509_NAME_free(issuer);
}

/* Parsed again, so that nothing cached while it was made is left in it. */
static X509 *reparse(X509 *cert, bool break_signature)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    MUST(len > 0);
    if (break_signature)
        der[len - 1] ^= 1;
    const unsigned char *p = der;
    X509 *again = d2i_X509(NULL, &p, len);
    MUST(again != NULL);
    OPENSSL_free(der);
    X509_free(cert);
    return again;
}

struct fix_cert fix_issue(const struct fix_spec *spec, const struct fix_cert *ca, bool is_ca)
{
    static unsigned next_serial = 0x1000;
    char counted[16];
    struct fix_cert out = {X509_new(), make_key(spec)};
    snprintf(counted, sizeof(counted), "%X", next_serial++);
    set_serial(X509_get_serialNumber(out.cert), spec->serial != NULL ? spec->serial : counted);
    set_names(out.cert, spec, ca);
    MUST(X509_set_pubkey(out.cert, out.key) == 1);
    MUST(ASN1_TIME_set(X509_getm_notBefore(out.cert), FIX_NOW + (spec->from != 0 ? spec->from : -FIX_DAY)) !=
         NULL);
    MUST(ASN1_TIME_set(X509_getm_notAfter(out.cert), FIX_NOW + (spec->to != 0 ? spec->to : 365 * FIX_DAY)) !=
         NULL);
    add_extensions(out.cert, ca != NULL ? ca->cert : out.cert, spec, is_ca);
    EVP_PKEY *by = ca != NULL ? ca->key : out.key;
    MUST(X509_sign(out.cert, by, digest_for(by, spec->md)) > 0);
    out.cert = reparse(out.cert, spec->break_signature);
    return out;
}

void fix_free(struct fix_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (struct fix_cert){NULL, NULL};
}

struct sp_slice fix_der(const struct fix_cert *c)
{
    unsigned char *der = NULL;
    int len = i2d_X509(c->cert, &der);
    MUST(len > 0);
    return (struct sp_slice){(char *)der, (size_t)len};
}

/* ---- CRLs ---- */

static void list_revoked(X509_CRL *crl, const struct fix_crl_spec *spec, const ASN1_INTEGER *serial)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, FIX_NOW - 2 * FIX_HOUR);
    MUST(X509_REVOKED_set_serialNumber(entry, (ASN1_INTEGER *)serial) == 1 &&
         X509_REVOKED_set_revocationDate(entry, when) == 1);
    if (spec->reason > 0) {
        ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
        MUST(ASN1_ENUMERATED_set(reason, spec->reason) == 1 &&
             X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0) == 1);
        ASN1_ENUMERATED_free(reason);
    }
    if (spec->entry_issuer) {
        GENERAL_NAMES *names = GENERAL_NAMES_new();
        GENERAL_NAME *name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, GEN_DIRNAME, parse_name("CN=another CA"));
        sk_GENERAL_NAME_push(names, name);
        MUST(X509_REVOKED_add1_ext_i2d(entry, NID_certificate_issuer, names, 1, 0) == 1);
        GENERAL_NAMES_free(names);
    }
    MUST(X509_CRL_add0_revoked(crl, entry) == 1);
    ASN1_TIME_free(when);
}

static void add_crl_ext(X509_CRL *crl, int nid, const char *value)
{
    X509V3_CTX ctx;
    if (value == NULL)
        return;
    X509V3_set_ctx(&ctx, NULL, NULL, NULL, crl, 0);
    X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    MUST(ext != NULL && X509_CRL_add_ext(crl, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static void add_integer_ext(X509_CRL *crl, int nid, const char *decimal, int critical)
{
    if (decimal == NULL)
        return;
    ASN1_INTEGER *value = s2i_ASN1_INTEGER(NULL, decimal);
    MUST(value != NULL && X509_CRL_add1_ext_i2d(crl, nid, value, critical, 0) == 1);
    ASN1_INTEGER_free(value);
}

/* ecdsa-with-SHA256 (1.2.840.10045.4.3.2) becomes ecdsa-with-SHA384 (...3) in its last place in the file, which
 * is outside. */
static X509_CRL *mix_algorithms(X509_CRL *crl)
{
    static const unsigned char oid[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    unsigned char *der = NULL, *last = NULL;
    int len = i2d_X509_CRL(crl, &der);
    for (int i = 0; i + (int)sizeof(oid) <= len; i++) {
        if (memcmp(der + i, oid, sizeof(oid)) == 0)
            last = der + i;
    }
    MUST(last != NULL);
    last[7] = 0x03;
    const unsigned char *p = der;
    X509_CRL *mixed = d2i_X509_CRL(NULL, &p, len);
    MUST(mixed != NULL);
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return mixed;
}

X509_CRL *fix_crl(const struct fix_crl_spec *spec, const struct fix_cert *ca)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, FIX_NOW + (spec->from != 0 ? spec->from : -FIX_HOUR));
    ASN1_TIME *to = ASN1_TIME_set(NULL, FIX_NOW + (spec->to != 0 ? spec->to : FIX_DAY));
    MUST(X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) == 1);
    MUST(
        X509_CRL_set1_lastUpdate(crl, from) == 1 && (spec->no_end || X509_CRL_set1_nextUpdate(crl, to) == 1));
    for (size_t i = 0; i < SP_COUNTOF(spec->revoked) && spec->revoked[i] != NULL; i++)
        list_revoked(crl, spec, X509_get0_serialNumber(spec->revoked[i]));
    if (spec->serial != NULL) {
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        set_serial(serial, spec->serial);
        list_revoked(crl, spec, serial);
        ASN1_INTEGER_free(serial);
    }
    add_integer_ext(crl, NID_crl_number, spec->number, 0);
    add_integer_ext(crl, NID_delta_crl, spec->delta ? "1" : NULL, 1);
    add_crl_ext(crl, NID_issuing_distribution_point, spec->idp);
    if (spec->unknown_critical)
        add_integer_ext(crl, NID_inhibit_any_policy, "0", 1);
    const struct fix_cert *signer = spec->key != NULL ? spec->key : ca;
    MUST(X509_CRL_sign(crl, signer->key, digest_for(signer->key, spec->md)) > 0);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return spec->mixed_algorithms ? mix_algorithms(crl) : crl;
}

/* ---- files ---- */

static char folder[64];
static char paths[256][128];
static size_t path_count;

const char *fix_folder(void)
{
    if (folder[0] == '\0') {
        snprintf(folder, sizeof(folder), "/tmp/sallyport-pki-XXXXXX");
        MUST(mkdtemp(folder) != NULL);
    }
    return folder;
}

void fix_remove_folder(void)
{
    for (size_t i = path_count; i > 0; i--)
        (void)unlink(paths[i - 1]);
    if (folder[0] != '\0')
        (void)rmdir(folder);
    folder[0] = '\0';
    path_count = 0;
}

static const char *remember_path(const char *name)
{
    char wanted[128];
    snprintf(wanted, sizeof(wanted), "%s/%.60s", fix_folder(), name);
    for (size_t i = 0; i < path_count; i++) {
        if (strcmp(paths[i], wanted) == 0)
            return paths[i];
    }
    MUST(path_count < SP_COUNTOF(paths));
    memcpy(paths[path_count], wanted, sizeof(wanted));
    return paths[path_count++];
}

static FILE *create(const char *path)
{
    FILE *f = fopen(path, "w");
    MUST(f != NULL);
    return f;
}

const char *fix_write_certs(const char *name, X509 *const *certs, size_t count)
{
    const char *path = remember_path(name);
    FILE *f = create(path);
    for (size_t i = 0; i < count; i++)
        MUST(PEM_write_X509(f, certs[i]) == 1);
    MUST(fclose(f) == 0);
    return path;
}

const char *fix_write_crls(const char *name, X509_CRL *const *crls, size_t count)
{
    const char *path = remember_path(name);
    FILE *f = create(path);
    for (size_t i = 0; i < count; i++)
        MUST(PEM_write_X509_CRL(f, crls[i]) == 1);
    MUST(fclose(f) == 0);
    return path;
}

const char *fix_write_crl_der(const char *name, const X509_CRL *crl)
{
    const char *path = remember_path(name);
    FILE *f = create(path);
    MUST(i2d_X509_CRL_fp(f, crl) == 1 && fclose(f) == 0);
    return path;
}

const char *fix_write_text(const char *name, const char *text)
{
    const char *path = remember_path(name);
    FILE *f = create(path);
    MUST(fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}
