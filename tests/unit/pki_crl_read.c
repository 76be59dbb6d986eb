/* CRLs from bytes: what is read, what is an error and where, what is left out and why. Signatures are tried with keys of
 * every kind. */
#include <openssl/rsa.h>

#include "pki_bench.h"

#include "pki_crl_bytes.h"

/* ---- a CRL made by hand ---- */

struct text {
    uint8_t bytes[4096];
    size_t len;
};

static void add(struct text *t, struct sp_slice s)
{
    assert_true(t->len + s.len <= sizeof(t->bytes));
    if (s.len > 0)
        memcpy(t->bytes + t->len, s.ptr, s.len);
    t->len += s.len;
}

static void add_tlv(struct text *t, uint8_t tag, struct sp_slice content)
{
    uint8_t header[4] = {tag, 0x82, (uint8_t)(content.len >> 8), (uint8_t)content.len};
    add(t, (struct sp_slice){(char *)header, 4});
    add(t, content);
}

static struct sp_slice of(const struct text *t)
{
    return (struct sp_slice){(const char *)t->bytes, t->len};
}

#define ECDSA_SHA256 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define RSA_SHA1     "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00"
#define RSA_MD5      "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04\x05\x00"
#define ED_UNKNOWN   "\x30\x05\x06\x03\x2a\x03\x04"
#define NAME                                                                                                 \
    "\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02"                                                   \
    "ca"
#define TIME                                                                                                 \
    "\x17\x0d"                                                                                               \
    "270101000000Z"
#define GENERAL_TIME                                                                                         \
    "\x18\x0f"                                                                                               \
    "20280101000000Z"
#define ENTRY     "\x30\x12\x02\x01\x05" TIME
#define SIGNATURE "\x03\x03\x00\xaa\xbb"

/* A field left out takes the ordinary value; "" leaves it out. */
struct parts {
    const char *name;
    struct sp_slice version, algorithm, issuer, this_update, next_update, list, extensions, outer, signature,
        behind;
    const char *error;    /* words of it; NULL: it can be read */
    const char *unusable; /* words of the reason; NULL: it is used */
    size_t entries;
};

static struct sp_slice either(struct sp_slice s, struct sp_slice ordinary)
{
    return s.ptr != NULL ? s : ordinary;
}

static void build(const struct parts *p, struct text *out)
{
    struct text tbs = {.len = 0}, list = {.len = 0}, whole = {.len = 0};
    struct sp_slice algorithm = either(p->algorithm, SP_SLICE(ECDSA_SHA256));
    add(&tbs, either(p->version, SP_SLICE("\x02\x01\x01")));
    add(&tbs, algorithm);
    add(&tbs, either(p->issuer, SP_SLICE(NAME)));
    add(&tbs, either(p->this_update, SP_SLICE(TIME)));
    add(&tbs, either(p->next_update, SP_SLICE(GENERAL_TIME)));
    if (p->list.len > 0)
        add_tlv(&tbs, 0x30, p->list);
    if (p->extensions.len > 0) {
        add_tlv(&list, 0x30, p->extensions);
        add_tlv(&tbs, 0xa0, of(&list));
    }
    add_tlv(&whole, 0x30, of(&tbs));
    add(&whole, either(p->outer, algorithm));
    add(&whole, either(p->signature, SP_SLICE(SIGNATURE)));
    add(&whole, p->behind);
    out->len = 0;
    add_tlv(out, 0x30, of(&whole));
}

static const struct parts cases[] = {
    {.name = "ordinary", .list = SP_SLICE(ENTRY ENTRY), .entries = 2},
    {.name = "nobody listed"},
    {.name = "version 1", .version = SP_SLICE(""), .list = SP_SLICE(ENTRY), .entries = 1},
    {.name = "no nextUpdate", .next_update = SP_SLICE("")},
    {.name = "a length written longer than needed",
        .list = SP_SLICE("\x30\x84\x00\x00\x00\x12\x02\x01\x05" TIME),
        .entries = 1},
    /* times */
    {.name = "thisUpdate without seconds",
        .this_update = SP_SLICE("\x17\x0b"
                                "2701010000Z"),
        .error = "its thisUpdate is not a time"},
    {.name = "thisUpdate with an offset",
        .this_update = SP_SLICE("\x17\x11"
                                "270101000000+0100"),
        .error = "thisUpdate is not a time"},
    {.name = "thisUpdate on 30 February",
        .this_update = SP_SLICE("\x17\x0d"
                                "270230000000Z"),
        .error = "thisUpdate is not a time"},
    {.name = "29 February of a leap year",
        .this_update = SP_SLICE("\x17\x0d"
                                "240229000000Z")},
    {.name = "29 February of 2100",
        .next_update = SP_SLICE("\x18\x0f"
                                "21000229000000Z"),
        .error = "nextUpdate is not a time"},
    {.name = "nextUpdate with a fraction",
        .next_update = SP_SLICE("\x18\x11"
                                "20280101000000.5Z"),
        .error = "nextUpdate is not a time"},
    {.name = "thisUpdate is no time at all",
        .this_update = SP_SLICE("\x02\x01\x01"),
        .error = "thisUpdate is not a time"},
    /* entries */
    {.name = "an entry without a date",
        .list = SP_SLICE(ENTRY "\x30\x03\x02\x01\x05"),
        .error = "entry 2: its revocation date"},
    {.name = "a first entry with a date of nothing",
        .list = SP_SLICE("\x30\x12\x02\x01\x05\x17\x0d\0\0\0\0\0\0\0\0"
                         "0000Z"),
        .error = "entry 1: its revocation date"},
    {.name = "an entry without a serial",
        .list = SP_SLICE("\x30\x0f" TIME),
        .error = "entry 1: it does not begin with a serial"},
    {.name = "an entry with an empty serial",
        .list = SP_SLICE("\x30\x11\x02\x00" TIME),
        .error = "entry 1: its serial number is empty"},
    {.name = "an entry with something behind",
        .list = SP_SLICE("\x30\x14\x02\x01\x05" TIME "\x05\x00"),
        .error = "entry 1: its extensions are malformed"},
    {.name = "an entry that is no sequence", .list = SP_SLICE("\x04\x01\x05"), .error = "entry 1: "},
    {.name = "a reason that is no reason",
        .list =
            SP_SLICE("\x30\x20\x02\x01\x05" TIME "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x02\x01\x01"),
        .error = "entry 1: its reasonCode"},
    {.name = "the list is longer than its frame",
        .list = SP_SLICE("\x30\x20\x02\x01\x05" TIME),
        .error = "entry 1: "},
    {.name = "an unknown critical extension of an entry",
        .list = SP_SLICE(ENTRY "\x30\x22\x02\x01\x05" TIME
                               "\x30\x0e\x30\x0c\x06\x03\x2a\x03\x04\x01\x01\xff\x04\x02\x05\x00"),
        .unusable = "entry 2 has a critical extension that is not understood (1.2.3.4)",
        .entries = 2},
    {.name = "an entry that is removeFromCRL",
        .list =
            SP_SLICE("\x30\x20\x02\x01\x05" TIME "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x08"),
        .unusable = "entry 1 is removeFromCRL",
        .entries = 1},
    /* extensions */
    {.name = "an unknown critical extension",
        .extensions = SP_SLICE("\x30\x0c\x06\x03\x2a\x03\x04\x01\x01\xff\x04\x02\x05\x00"),
        .unusable = "critical extension that is not understood (1.2.3.4)"},
    {.name = "an unknown extension", .extensions = SP_SLICE("\x30\x09\x06\x03\x2a\x03\x04\x04\x02\x05\x00")},
    {.name = "two CRLNumbers",
        .extensions = SP_SLICE(
            "\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01\x07\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01\x08"),
        .unusable = "extension 2.5.29.20 stands there twice"},
    {.name = "a CRLNumber that is no number",
        .extensions = SP_SLICE("\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x04\x01\x07"),
        .error = "its CRLNumber cannot be parsed"},
    {.name = "an extension without a value",
        .extensions = SP_SLICE("\x30\x05\x06\x03\x55\x1d\x14"),
        .error = "extension 1 is malformed"},
    {.name = "extensions in version 1",
        .version = SP_SLICE(""),
        .extensions = SP_SLICE("\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01\x07"),
        .unusable = "of version 1, which has no extensions"},
    {.name = "a delta without a number",
        .extensions = SP_SLICE("\x30\x0d\x06\x03\x55\x1d\x1b\x01\x01\xff\x04\x03\x02\x01\x07"),
        .unusable = "delta CRL without a CRLNumber"},
    {.name = "no reason at all",
        .extensions = SP_SLICE("\x30\x10\x06\x03\x55\x1d\x1c\x01\x01\xff\x04\x06\x30\x04\x83\x02\x07\x80"),
        .unusable = "names no reason"},
    {.name = "an issuingDistributionPoint that is none",
        .extensions = SP_SLICE("\x30\x0c\x06\x03\x55\x1d\x1c\x01\x01\xff\x04\x02\x05\x00"),
        .unusable = "issuingDistributionPoint cannot be parsed"},
    /* the rest */
    {.name = "version 3", .version = SP_SLICE("\x02\x01\x02"), .unusable = "its version is unknown"},
    {.name = "SHA-1",
        .algorithm = SP_SLICE(RSA_SHA1),
        .unusable = "signed with sha1WithRSAEncryption, which is too weak"},
    {.name = "MD5",
        .algorithm = SP_SLICE(RSA_MD5),
        .unusable = "signed with md5WithRSAEncryption, which is too weak"},
    {.name = "an unknown algorithm",
        .algorithm = SP_SLICE(ED_UNKNOWN),
        .unusable = "signed with 1.2.3.4, which is not supported"},
    {.name = "another algorithm outside", .outer = SP_SLICE(RSA_SHA1), .unusable = "is not the one outside"},
    {.name = "an issuer that is no name",
        .issuer = SP_SLICE("\x02\x01\x01"),
        .error = "its issuer cannot be parsed"},
    {.name = "half a byte of a signature",
        .signature = SP_SLICE("\x03\x03\x04\xaa\xb0"),
        .unusable = "string of whole bytes"},
    {.name = "no signature", .signature = SP_SLICE("\x05\x00"), .error = "its signature is not"},
    {.name = "something behind the signature",
        .behind = SP_SLICE("\x05\x00"),
        .error = "it is not as long as it says"},
    {.name = "indefinite length", .issuer = SP_SLICE("\x30\x80\x00\x00"), .error = "its issuer is no DER"},
};

static void check(const struct parts *p, const struct text *der, size_t step)
{
    struct sp_err err = {0};
    struct sp_crl *c = crl_of_bytes(der->bytes, der->len, step, &err);
    if ((c == NULL) != (p->error != NULL))
        fail_msg("%s: %s", p->name, c != NULL ? "was read" : err.text);
    if (c == NULL) {
        if (strstr(err.text, p->error) == NULL)
            fail_msg("%s: \"%s\" is not in \"%s\"", p->name, p->error, err.text);
        return;
    }
    if ((c->unusable == NULL) != (p->unusable == NULL) ||
        (c->unusable != NULL && strstr(c->unusable, p->unusable) == NULL))
        fail_msg("%s: unusable: %s", p->name, c->unusable != NULL ? c->unusable : "no");
    assert_int_equal(c->revoked_count, p->entries);
    sp_crl_free(c);
}

static void test_each_crl_is_read_or_told_why_not_however_it_is_cut(void **state)
{
    struct text der;
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        build(&cases[i], &der);
        for (size_t step = 0; step < 9; step++)
            check(&cases[i], &der, step);
    }
}

static void test_a_crl_that_is_cut_off_is_never_read(void **state)
{
    struct text der;
    struct sp_err err;
    (void)state;
    build(&cases[0], &der);
    for (size_t len = 0; len < der.len; len++) {
        assert_null(crl_of_bytes(der.bytes, len, 0, &err));
        assert_non_null(strstr(err.text, "cut off"));
    }
}

static void test_what_was_read_is_what_was_written(void **state)
{
    struct sp_err err;
    struct text der;
    struct sp_revoked entry;
    (void)state;
    build(&(struct parts){.list = SP_SLICE("\x30\x20\x02\x01\x85" TIME
                                           "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x01"
                                           "\x30\x14\x02\x03\x00\xff\x01" TIME),
              .extensions = SP_SLICE("\x30\x0b\x06\x03\x55\x1d\x14\x04\x04\x02\x02\x00\xab")},
        &der);
    struct sp_crl *c = crl_of_bytes(der.bytes, der.len, 0, &err);
    assert_non_null(c);
    assert_int_equal(c->this_update, 1798761600);
    assert_int_equal(c->next_update, 1830297600);
    assert_string_equal(c->number, "ab");
    assert_true(sp_serials_find(&c->serials, (const uint8_t[]){1, 0x7b}, 2, &entry)); /* 0x85 is -0x7b */
    assert_int_equal(entry.reason, 1);
    assert_int_equal(entry.date, 1798761600);
    assert_true(sp_serials_find(&c->serials, (const uint8_t[]){0, 0xff, 0x01}, 3, &entry));
    assert_int_equal(entry.reason, -1);
    sp_crl_free(c);
}

/* An entry of the serial `i` and that date. */
static void add_dated(struct text *list, uint8_t i, const char *date)
{
    struct text entry = {.len = 0};
    bool is_utc = strlen(date) == 13;
    add(&entry, (struct sp_slice){(const char[]){0x02, 0x01, (char)i}, 3});
    add(&entry, (struct sp_slice){(const char[]){is_utc ? 0x17 : 0x18, is_utc ? 0x0d : 0x0f}, 2});
    add(&entry, sp_slice_of(date));
    add_tlv(list, 0x30, of(&entry));
}

static void test_each_entry_has_its_own_date_whatever_the_one_before_had(void **state)
{
    static const char *const dates[] = {"240229235959Z", "240229235959Z", "240229230000Z", "240229230159Z",
        "240301235959Z", "691231235959Z", "691231230001Z", "500101000000Z", "500101005959Z", "491231235959Z",
        "19500101000000Z", "20491231235958Z", "491231230000Z", "000101000000Z", "20000101000001Z",
        "000101000002Z"};
    struct text list = {.len = 0}, der;
    struct sp_err err;
    struct sp_revoked entry;
    (void)state;
    for (uint8_t i = 0; i < SP_COUNTOF(dates); i++)
        add_dated(&list, i + 1, dates[i]);
    build(&(struct parts){.list = of(&list)}, &der);
    struct sp_crl *c = crl_of_bytes(der.bytes, der.len, 0, &err);
    assert_non_null(c);
    for (uint8_t i = 0; i < SP_COUNTOF(dates); i++) {
        ASN1_TIME *theirs = ASN1_TIME_new(), *epoch = ASN1_TIME_set(NULL, 0);
        int days, seconds;
        assert_int_equal(ASN1_TIME_set_string(theirs, dates[i]), 1);
        assert_int_equal(ASN1_TIME_diff(&days, &seconds, epoch, theirs), 1);
        assert_true(sp_serials_find(&c->serials, (const uint8_t[]){0, i + 1}, 2, &entry));
        assert_int_equal(entry.date, (int64_t)days * 86400 + seconds);
        ASN1_TIME_free(theirs);
        ASN1_TIME_free(epoch);
    }
    sp_crl_free(c);
}

/* None is taken for a time because it begins as one does. */
static void test_what_begins_as_the_date_before_may_still_be_none(void **state)
{
    static const char *const none[] = {
        "240229236000Z", "240229230060Z", "2402292300a0Z", "2402292300000", "24022923 000Z"};
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(none); i++) {
        struct text list = {.len = 0}, der;
        struct sp_err err;
        add_dated(&list, 1, "240229235959Z");
        add_dated(&list, 2, none[i]);
        build(&(struct parts){.list = of(&list)}, &der);
        assert_null(crl_of_bytes(der.bytes, der.len, 0, &err));
        assert_non_null(strstr(err.text, "entry 2: its revocation date is not a time"));
    }
}

static void test_a_serial_of_255_bytes_is_the_longest(void **state)
{
    (void)state;
    for (size_t len = 255; len <= 256; len++) {
        struct text entry = {.len = 0}, list = {.len = 0}, der;
        struct sp_err err;
        char serial[256];
        memset(serial, 0x5a, sizeof(serial));
        add_tlv(&entry, 0x02, (struct sp_slice){serial, len});
        add(&entry, SP_SLICE(TIME));
        add_tlv(&list, 0x30, of(&entry));
        build(&(struct parts){.list = of(&list)}, &der);
        struct sp_crl *c = crl_of_bytes(der.bytes, der.len, 0, &err);
        assert_int_equal(c != NULL, len == 255);
        if (c == NULL)
            assert_non_null(strstr(err.text, "entry 1: its serial number has more than 255 bytes"));
        sp_crl_free(c);
    }
}

/* ---- signatures ---- */

static EVP_PKEY *make_key(int kind)
{
    switch (kind) {
    case 0:
        return EVP_EC_gen("P-256");
    case 1:
        return EVP_EC_gen("P-384");
    case 2:
    case 3:
        return EVP_RSA_gen(2048);
    case 4:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    }
}

/* Kind 3 signs with RSA-PSS. */
static void sign(X509_CRL *crl, EVP_PKEY *key, int kind)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    const EVP_MD *digest = kind >= 4 ? NULL : kind == 1 ? EVP_sha384() : EVP_sha256();
    assert_int_equal(EVP_DigestSignInit(md, &ctx, digest, NULL, key), 1);
    if (kind == 3)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
    assert_true(X509_CRL_sign_ctx(crl, md) > 0);
    EVP_MD_CTX_free(md);
}

static void check_signature(int kind)
{
    struct fix_cert ca = {0}, other = {0}, by = {0};
    struct sp_err err = {0};
    by.key = make_key(kind);
    ca = fix_issue(&(struct fix_spec){.subject = "CN=ca", .key = by.key}, NULL, true);
    other = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    EVP_PKEY_free(by.key);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.serial = "1234"}, &ca);
    sign(crl, ca.key, kind);
    struct sp_crl *c = crl_of(crl, &err);
    assert_non_null(c);
    assert_null(c->unusable);
    assert_false(sp_crl_is_signed_by(c, other.cert));
    assert_false(sp_crl_has_known_signer(c));
    assert_true(sp_crl_is_signed_by(c, ca.cert));
    sp_crl_settle(c);
    assert_null(c->proof.signed_part.ptr);
    assert_true(sp_crl_is_signed_by(c, ca.cert));
    assert_false(sp_crl_is_signed_by(c, other.cert));
    sp_crl_free(c);
    X509_CRL_free(crl);
    fix_free(&ca);
    fix_free(&other);
}

static void test_signatures_of_every_kind_are_verified(void **state)
{
    (void)state;
    for (int kind = 0; kind <= 5; kind++)
        check_signature(kind);
}

static void test_no_byte_of_what_is_signed_can_be_another(void **state)
{
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.serial = "1234", .number = "5"}, &ca);
    unsigned char *der = NULL;
    size_t len = (size_t)i2d_X509_CRL(crl, &der), signed_ones = 0;
    (void)state;
    for (size_t i = 0; i < len; i++) {
        struct sp_err err;
        der[i] ^= 1;
        struct sp_crl *c = crl_of_bytes(der, len, 0, &err);
        if (c != NULL && c->unusable == NULL)
            signed_ones += sp_crl_is_signed_by(c, ca.cert);
        sp_crl_free(c);
        der[i] ^= 1;
    }
    assert_int_equal(signed_ones, 0);
    OPENSSL_free(der);
    X509_CRL_free(crl);
    fix_free(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_crl_is_read_or_told_why_not_however_it_is_cut),
        cmocka_unit_test(test_a_crl_that_is_cut_off_is_never_read),
        cmocka_unit_test(test_what_was_read_is_what_was_written),
        cmocka_unit_test(test_each_entry_has_its_own_date_whatever_the_one_before_had),
        cmocka_unit_test(test_what_begins_as_the_date_before_may_still_be_none),
        cmocka_unit_test(test_a_serial_of_255_bytes_is_the_longest),
        cmocka_unit_test(test_signatures_of_every_kind_are_verified),
        cmocka_unit_test(test_no_byte_of_what_is_signed_can_be_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
