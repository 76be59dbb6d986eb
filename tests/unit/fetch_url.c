/* Which URLs are fetched, and what is said of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sallyport/fetch/fetch.h"

static void test_urls(void **state)
{
    static const struct {
        const char *url, *words; /* NULL: fine */
    } cases[] = {
        {"http://crl.example.com/root.crl", NULL},
        {"https://crl.example.com", NULL},
        {"HTTPS://CRL.example.com:8443/a%20b(c)?d=e&f=:@/?", NULL},
        {"http://crl.example.com./x", NULL},
        {"http://localhost?x", NULL},
        {"http://192.0.2.1:1/", NULL},
        {"http://[2001:db8::1]/x", NULL},
        {"http://[::1]:65535/x", NULL},
        {"http://host/a@b:c", NULL},
        {"", "neither http:// nor https://"},
        {"http:/x/", "neither http:// nor https://"},
        {"ftp://host/x", "neither http:// nor https://"},
        {"file:///etc/passwd", "neither http:// nor https://"},
        {"ldap://host/cn=x", "neither http:// nor https://"},
        {"host/x", "neither http:// nor https://"},
        {" http://host/", "neither http:// nor https://"},
        {"http://", "no host"},
        {"http:///x", "no host"},
        {"http://:80/x", "no host"},
        {"http://?x", "no host"},
        {"http://me@host/", "user or password"},
        {"http://me:secret@host/", "user or password"},
        {"http://host/#top", "fragment"},
        {"http://host/a b", "percent-encoded"},
        {"http://host/a\tb", "percent-encoded"},
        {"http://host/\r\nX: y", "percent-encoded"},
        {"http://host/\x7f", "percent-encoded"},
        {"http://h\xc3\xb6st/", "percent-encoded"},
        {"http://host\\x", "percent-encoded"},
        {"http://host/%", "percent-encoded"},
        {"http://host/%2", "percent-encoded"},
        {"http://host/%zz", "percent-encoded"},
        {"http://host/{x}", "percent-encoded"},
        {"http://a..b/", "empty label"},
        {"http://.a/", "empty label"},
        {"http://%61/", "no host name holds"},
        {"http://a,b/", "no host name holds"},
        {"http://host:/", "1 to 65535"},
        {"http://host:0/", "1 to 65535"},
        {"http://host:65536/", "1 to 65535"},
        {"http://host:99999999999999999999/", "1 to 65535"},
        {"http://host:8x/", "1 to 65535"},
        {"http://host:-1/", "1 to 65535"},
        {"http://[::1]x/", "1 to 65535"},
        {"http://[::1/", "no IPv6"},
        {"http://[]/", "no IPv6"},
        {"http://[127.0.0.1]/", "no IPv6"},
        {"http://[fe80::1%25eth0]/", "no IPv6"},
    };
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_err err = {.text = ""};
        bool valid = sp_fetch_url_is_valid(sp_slice_of(cases[i].url), &err);
        if (valid != (cases[i].words == NULL) || (!valid && strstr(err.text, cases[i].words) == NULL))
            fail_msg("<%s>: %s", cases[i].url, valid ? "valid" : err.text);
    }
    struct sp_err err;
    assert_false(sp_fetch_url_is_valid(SP_SLICE("http://host/\0"), &err));
    assert_false(sp_fetch_url_is_valid((struct sp_slice){NULL, 0}, NULL));
}

static void test_a_url_of_2048_bytes_is_the_longest(void **state)
{
    char url[2050];
    (void)state;
    memset(url, 'a', sizeof url);
    memcpy(url, "http://h/", 9);
    assert_true(sp_fetch_url_is_valid((struct sp_slice){url, 2048}, NULL));
    assert_false(sp_fetch_url_is_valid((struct sp_slice){url, 2049}, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_a_url_of_2048_bytes_is_the_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
