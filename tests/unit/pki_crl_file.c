/* Files of CRLs: PEM and DER, several in one, and what is wrong with which. */
#include <stdlib.h>

#include "pki_bench.h"

#include <openssl/pem.h>
#include <sys/stat.h>

#include "pki/crl/crl_file.h"
#include "pki_crl_bytes.h"

/* "@" stands for a whole PEM block of a CRL, "%" for its base64 alone. */
struct file_case {
    const char *name, *text;
    size_t crls;       /* that are read */
    const char *error; /* words; NULL: none */
};

static const struct file_case cases[] = {
    {"one", "@", 1, NULL},
    {"three with text between", "first\n@\nsecond:\n@@last\n", 3, NULL},
    {"lines that end in CR LF and blanks", "-----BEGIN X509 CRL-----  \r\n%\r\n-----END X509 CRL-----\t\r\n",
        1, NULL},
    {"no newline at the end", "-----BEGIN X509 CRL-----\n%-----END X509 CRL-----", 1, NULL},
    {"another block before", "-----BEGIN EC PARAMETERS-----\nabc:\n-----END EC PARAMETERS-----\n@", 1, NULL},
    {"nothing", "\n", 0, "there is no CRL in the file"},
    {"another block alone", "-----BEGIN X-----\n-----END X-----\n", 0, "there is no CRL in the file"},
    {"another block that does not end", "@-----BEGIN X-----\n@", 1, "PEM block 2 is cut off"},
    {"a damaged beginning", "@-----BEGIN X509 CRL---\n%-----END X509 CRL-----\n", 1,
        "PEM block 2 is cut off"},
    {"a damaged beginning of the first", "-----BEGIN\n%-----END X509 CRL-----\n", 0,
        "PEM block 1 is cut off"},
    {"a damaged dash", "X----BEGIN X509 CRL-----\n%-----END X509 CRL-----\n@", 1, "PEM block 1 is cut off"},
    {"a mark of three bytes before it", "\xef\xbb\xbf@@", 1, "PEM block 1 is cut off"},
    {"cut off in the next beginning", "@-----BEGI", 1, "PEM block 2 is cut off"},
    {"cut off in the first dash of it", "@-", 1, "PEM block 2 is cut off"},
    {"no end", "@-----BEGIN X509 CRL-----\n%", 1, "CRL 2 cannot be parsed: its PEM block is cut off"},
    {"the end of something else", "-----BEGIN X509 CRL-----\n%-----END CERTIFICATE-----\n@", 1,
        "CRL 1 cannot be parsed: its PEM block is cut off"},
    {"the next begins before the end", "-----BEGIN X509 CRL-----\n%@", 0, "CRL 1 cannot be parsed"},
    {"a byte that is no base64", "-----BEGIN X509 CRL-----\nMII*%-----END X509 CRL-----\n@", 1,
        "CRL 1 cannot be parsed: its base64"},
    {"base64 in base64", "-----BEGIN X509 CRL-----\n%%-----END X509 CRL-----\n@", 1,
        "CRL 1 cannot be parsed: "},
    {"a header", "-----BEGIN X509 CRL-----\nProc-Type: 4,ENCRYPTED\n\n%-----END X509 CRL-----\n@", 1,
        "CRL 1 cannot be parsed: "},
    {"the good one between two bad ones",
        "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n@-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        1, "CRL 1 cannot be parsed"},
    {"empty block", "-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n", 0,
        "CRL 1 cannot be parsed: it is cut off in its beginning"},
};

static char *pem_of(const X509_CRL *crl)
{
    char *data = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
    assert_int_equal(BIO_write(bio, "", 1), 1); /* its end */
    assert_true(BIO_get_mem_data(bio, &data) > 1);
    char *copy = strdup(data);
    BIO_free(bio);
    return copy;
}

static void check_file(const char *path, size_t want, const char *error, const char *name)
{
    struct sp_crl_list list = {NULL, 0, 0};
    struct stat st;
    struct sp_err err = {0};
    enum sp_rc rc = sp_crl_file_read(path, &list, &st, &err);
    if (rc != (error == NULL ? SP_OK : SP_FAIL) || list.count != want ||
        (error != NULL && (strstr(err.text, error) == NULL || strstr(err.text, path) == NULL)))
        fail_msg("%s: %zu CRLs, \"%s\"", name, list.count, err.text);
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(list.items[i]->revoked_count, 1);
    sp_crl_list_free(&list);
}

static void test_each_file_is_read_as_far_as_it_is_good(void **state)
{
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.serial = "55"}, &ca);
    char *pem = pem_of(crl), *base64 = strdup(strchr(pem, '\n') + 1);
    (void)state;
    *strstr(base64, "-----END") = '\0';
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_buf text = {0};
        for (const char *p = cases[i].text; *p != '\0'; p++) {
            if (*p == '@')
                sp_buf_add_str(&text, pem);
            else if (*p == '%')
                sp_buf_add_str(&text, base64);
            else
                sp_buf_add_char(&text, *p);
        }
        sp_buf_add_char(&text, '\0');
        check_file(fix_write_text("case.crl", text.ptr), cases[i].crls, cases[i].error, cases[i].name);
        sp_buf_free(&text);
    }
    free(base64);
    free(pem);
    X509_CRL_free(crl);
    fix_free(&ca);
}

/* ---- beside OpenSSL ---- */

static bool is_same(const struct sp_crl *a, const struct sp_crl *b)
{
    return a->revoked_count == b->revoked_count && a->proof.digest_len == b->proof.digest_len &&
           memcmp(a->proof.digest, b->proof.digest, a->proof.digest_len) == 0 &&
           sp_slice_equal(a->proof.signature, b->proof.signature);
}

/* Whether it was taken; then OpenSSL must make the same bytes of it. */
static bool taken_as_openssl_does(const char *text)
{
    struct sp_crl_list list = {NULL, 0, 0};
    struct stat st;
    struct sp_err err = {0};
    bool taken = sp_crl_file_read(fix_write_text("case.crl", text), &list, &st, &err) == SP_OK;
    if (taken) {
        char *name = NULL, *header = NULL;
        unsigned char *data = NULL;
        long len = 0;
        BIO *bio = BIO_new_mem_buf(text, -1);
        assert_int_equal(list.count, 1);
        if (PEM_read_bio(bio, &name, &header, &data, &len) != 1)
            fail_msg("OpenSSL does not take it:\n%s", text);
        struct sp_crl *theirs = crl_of_bytes(data, (size_t)len, 0, &err);
        assert_true(theirs != NULL && is_same(theirs, list.items[0]));
        sp_crl_free(theirs);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
        BIO_free(bio);
    }
    sp_crl_list_free(&list);
    return taken;
}

/* The base64 of `pem` in lines of another length, of 64 at least: OpenSSL takes the first shorter one for the last. */
static char *rewrap(const char *pem, size_t width)
{
    struct sp_buf text = {0};
    const char *p = strchr(pem, '\n') + 1, *end = strstr(pem, "-----END");
    sp_buf_add_str(&text, "-----BEGIN X509 CRL-----\n");
    for (size_t n = 0; p < end; p++) {
        if (*p == '\n')
            continue;
        sp_buf_add_char(&text, *p);
        if (++n % width == 0)
            sp_buf_add_char(&text, '\n');
    }
    sp_buf_add_str(&text, "\n-----END X509 CRL-----\n");
    sp_buf_add_char(&text, '\0');
    char *copy = strdup(text.ptr);
    sp_buf_free(&text);
    return copy;
}

static void test_what_is_taken_of_damaged_base64_openssl_takes_for_the_same_bytes(void **state)
{
    static const char likely[] = "AZaz09+/=-*\xff\x7f@[`{,:.";
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.serial = "55"}, &ca);
    char *pem = pem_of(crl);
    uint64_t random = 1;
    size_t taken = 0, refused = 0;
    (void)state;
    for (size_t i = 0; i < 2000; i++) {
        char *text = rewrap(pem, 64 + 4 * (i % 4));
        bool was_whole = i < 4;
        size_t first = strlen("-----BEGIN X509 CRL-----\n"), body = strlen(text) - 2 * first;
        random = random * 6364136223846793005U + 1442695040888963407U;
        if (was_whole)
            assert_true(taken_as_openssl_does(text));
        char *at = &text[first + (random >> 33) % body];
        if (*at != '\n')
            *at = likely[(random >> 20) % (sizeof(likely) - 1)];
        bool is_taken = taken_as_openssl_does(text);
        taken += is_taken;
        refused += !is_taken;
        free(text);
    }
    assert_true(taken > 100 && refused > 100);
    free(pem);
    X509_CRL_free(crl);
    fix_free(&ca);
}

static void test_der_may_stand_in_a_row(void **state)
{
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.serial = "55"}, &ca);
    const char *path = fix_write_crl_der("one.der", crl);
    (void)state;
    check_file(path, 1, NULL, "one");
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    assert_int_equal(i2d_X509_CRL_fp(f, crl), 1);
    assert_int_equal(fflush(f), 0);
    check_file(path, 2, NULL, "two");
    assert_int_equal(fputc('\n', f), '\n');
    assert_int_equal(fclose(f), 0);
    check_file(path, 2, "CRL 3 cannot be parsed: it is cut off", "two and a newline");
    X509_CRL_free(crl);
    fix_free(&ca);
}

static int tear_down(void **state)
{
    (void)state;
    fix_remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_file_is_read_as_far_as_it_is_good),
        cmocka_unit_test(test_what_is_taken_of_damaged_base64_openssl_takes_for_the_same_bytes),
        cmocka_unit_test(test_der_may_stand_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
