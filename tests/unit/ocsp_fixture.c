/* See the header. */
#include "ocsp_fixture.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) ((cond) ? (void)0 : fail(#cond, __LINE__))

static void fail(const char *what, int line)
{
    fprintf(stderr, "ocsp_fixture.c:%d: %s\n", line, what);
    ERR_print_errors_fp(stderr);
    abort();
}

static X509_EXTENSION *critical(void)
{
    ASN1_OBJECT *object = OBJ_txt2obj("1.3.6.1.4.1.99999.7", 1);
    ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
    MUST(ASN1_OCTET_STRING_set(data, (const unsigned char *)"\x05", 2) == 1);
    X509_EXTENSION *ext = X509_EXTENSION_create_by_OBJ(NULL, object, 1, data);
    MUST(ext != NULL);
    ASN1_OCTET_STRING_free(data);
    ASN1_OBJECT_free(object);
    return ext;
}

static OCSP_CERTID *id_of(const struct fix_ocsp_spec *spec, const ASN1_INTEGER *serial)
{
    OCSP_CERTID *id = OCSP_cert_id_new(spec->id_md != NULL ? spec->id_md : EVP_sha1(),
        X509_get_subject_name(spec->issuer->cert), X509_get0_pubkey_bitstr(spec->issuer->cert), serial);
    MUST(id != NULL);
    return id;
}

static ASN1_TIME *at(const struct fix_ocsp_spec *spec, int64_t given, int64_t usual)
{
    ASN1_TIME *t =
        ASN1_GENERALIZEDTIME_set(NULL, (spec->now != 0 ? spec->now : FIX_NOW) + (given != 0 ? given : usual));
    MUST(t != NULL);
    return t;
}

static void add_one(
    OCSP_BASICRESP *basic, const struct fix_ocsp_spec *spec, const ASN1_INTEGER *serial, int status)
{
    OCSP_CERTID *id = id_of(spec, serial);
    ASN1_TIME *from = at(spec, spec->from, -FIX_HOUR), *to = at(spec, spec->to, FIX_DAY);
    ASN1_TIME *revoked = status == V_OCSP_CERTSTATUS_REVOKED ? at(spec, -2 * FIX_HOUR, 0) : NULL;
    OCSP_SINGLERESP *one = OCSP_basic_add1_status(
        basic, id, status, spec->reason != 0 ? spec->reason : -1, revoked, from, spec->no_end ? NULL : to);
    MUST(one != NULL);
    if (spec->critical_in_one) {
        X509_EXTENSION *ext = critical();
        MUST(OCSP_SINGLERESP_add_ext(one, ext, -1) == 1);
        X509_EXTENSION_free(ext);
    }
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_TIME_free(revoked);
}

static void add_others(OCSP_BASICRESP *basic, const struct fix_ocsp_spec *spec)
{
    for (int i = 0; i < spec->others; i++) {
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        MUST(ASN1_INTEGER_set(serial, 900000 + i) == 1);
        add_one(basic, spec, serial, V_OCSP_CERTSTATUS_REVOKED);
        ASN1_INTEGER_free(serial);
    }
}

static void sign(OCSP_BASICRESP *basic, const struct fix_ocsp_spec *spec)
{
    const struct fix_cert *signer = spec->signer != NULL ? spec->signer : spec->issuer;
    unsigned long flags = (spec->by_key ? (unsigned long)OCSP_RESPID_KEY : 0) |
                          (spec->without_certs ? (unsigned long)OCSP_NOCERTS : 0);
    STACK_OF(X509) *more = sk_X509_new_null();
    if (spec->more != NULL)
        MUST(sk_X509_push(more, spec->more->cert) > 0);
    MUST(OCSP_basic_sign(basic, signer->cert, signer->key, spec->md != NULL ? spec->md : EVP_sha256(),
             sk_X509_num(more) > 0 ? more : NULL, flags) == 1);
    sk_X509_free(more);
}

/* Its last bit: all that is said stays as it is. */
static void break_signature(OCSP_BASICRESP *basic)
{
    const ASN1_OCTET_STRING *signature = OCSP_resp_get0_signature(basic);
    unsigned char *bytes = (unsigned char *)(uintptr_t)ASN1_STRING_get0_data(signature);
    bytes[ASN1_STRING_length(signature) - 1] ^= 1;
}

struct sp_slice fix_ocsp(const struct fix_ocsp_spec *spec)
{
    unsigned char *der = NULL;
    OCSP_BASICRESP *basic = NULL;
    if (spec->outer == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        basic = OCSP_BASICRESP_new();
        add_others(basic, spec);
        add_one(basic, spec, X509_get0_serialNumber(spec->about->cert), spec->status);
        if (spec->critical_in_all) {
            X509_EXTENSION *ext = critical();
            MUST(OCSP_BASICRESP_add_ext(basic, ext, -1) == 1);
            X509_EXTENSION_free(ext);
        }
        sign(basic, spec);
        if (spec->break_signature)
            break_signature(basic);
    }
    OCSP_RESPONSE *response = OCSP_response_create(spec->outer, basic);
    MUST(response != NULL);
    int len = i2d_OCSP_RESPONSE(response, &der);
    MUST(len > 0);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    return (struct sp_slice){(char *)der, (size_t)len};
}

const char *fix_write_ocsp(const char *name, struct sp_slice der)
{
    const char *path = fix_write_text(name, "");
    FILE *f = fopen(path, "w");
    MUST(f != NULL && fwrite(der.ptr, 1, der.len, f) == der.len && fclose(f) == 0);
    return path;
}
