/* The PROXY protocol: what is read, what is refused, what is written. Every header is read again cut at every byte, and
 * with a ClientHello behind it of which not a byte may count as its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/io/proxy_protocol.h"

#define IN(bytes)                                                                                            \
    {                                                                                                        \
        "" bytes, sizeof(bytes) - 1                                                                          \
    }
#define V2    "\r\n\r\n\0\r\nQUIT\n"
#define HELLO "\x16\x03\x01\x02\x00"

/* ---- reading ---- */

static enum sp_rc parse(struct sp_slice in, struct sp_proxy_header *out, size_t *used, struct sp_err *err)
{
    *err = (struct sp_err){0};
    enum sp_rc rc = sp_proxy_parse(in, out, used, err);
    assert_true((rc == SP_FAIL) == (err->text[0] != '\0'));
    return rc;
}

/* Whatever is cut off is asked for, and never more than there is of the header. */
static void expect_more_of_every_part(struct sp_slice whole)
{
    struct sp_proxy_header header;
    struct sp_err err;
    for (size_t cut = 0; cut < whole.len; cut++) {
        char *part = malloc(cut + 1); /* so that reading beyond is found */
        size_t used = 0;
        assert_non_null(part);
        memcpy(part, whole.ptr, cut);
        part = realloc(part, cut > 0 ? cut : 1);
        if (parse((struct sp_slice){part, cut}, &header, &used, &err) != SP_AGAIN)
            fail_msg("cut at %zu: %s", cut, err.text);
        if (used <= cut || used > whole.len)
            fail_msg("cut at %zu of %zu: %zu bytes", cut, whole.len, used);
        assert_true(sp_proxy_is_likely((struct sp_slice){part, cut}));
        free(part);
    }
}

static void parse_whole(struct sp_slice whole, struct sp_proxy_header *out)
{
    struct sp_buf more = {0};
    struct sp_err err;
    size_t used = 0;
    expect_more_of_every_part(whole);
    sp_buf_add_slice(&more, whole);
    sp_buf_add_slice(&more, SP_SLICE(HELLO));
    if (parse(sp_buf_slice(&more), out, &used, &err) != SP_OK)
        fail_msg("[%.*s]: %s", SP_FMT(whole), err.text);
    assert_int_equal(used, whole.len);
    sp_buf_free(&more);
    if (parse(whole, out, &used, &err) != SP_OK) /* the slices of `out` last as long as the caller's */
        fail_msg("[%.*s]: %s", SP_FMT(whole), err.text);
    assert_int_equal(used, whole.len);
}

static void expect_address(const struct sp_addr *a, const char *text)
{
    char found[SP_ADDR_TEXT] = "";
    if (a->len != 0)
        sp_addr_format(a, found);
    assert_string_equal(found, text);
}

struct good {
    struct sp_slice in;
    bool is_local;
    const char *source, *destination; /* "" none */
};

static void expect_good(const struct good *cases, size_t count, unsigned version)
{
    for (size_t i = 0; i < count; i++) {
        struct sp_proxy_header header;
        parse_whole(cases[i].in, &header);
        assert_int_equal(header.version, version);
        assert_int_equal(header.is_local, cases[i].is_local);
        expect_address(&header.source, cases[i].source);
        expect_address(&header.destination, cases[i].destination);
    }
}

static void test_a_line_of_version_1_is_read_and_not_a_byte_behind_it(void **state)
{
    (void)state;
    static const struct good cases[] = {
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234 443\r\n"), false, "192.0.2.10:51234",
            "198.51.100.5:443"},
        {IN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), false, "255.255.255.255:65535",
            "255.255.255.255:65535"},
        {IN("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), false, "0.0.0.0:0", "0.0.0.0:0"},
        {IN("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 51234 443\r\n"), false, "[2001:db8::1]:51234",
            "[2001:db8::2]:443"},
        {IN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
            "65535\r\n"),
            false, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {IN("PROXY TCP6 ::ffff:192.0.2.10 ::1 51234 443\r\n"), false, "192.0.2.10:51234", "[::1]:443"},
        {IN("PROXY UNKNOWN\r\n"), true, "", ""},
        {IN("PROXY UNKNOWN \r\n"), true, "", ""},
        {IN("PROXY UNKNOWN what ever \0\xff\r\n"), true, "", ""},
        {IN("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
            "65535\r\n"),
            true, "", ""},
    };
    expect_good(cases, SP_COUNTOF(cases), 1);
}

#define FOUR "\xc0\x00\x02\x0a\xc6\x33\x64\x05\xc8\x22\x01\xbb"
#define SIX                                                                                                  \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xc8\x22\x01\xbb"
#define MAPPED                                                                                               \
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x0a\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x05\xc8\x22\x01\xbb"
#define ZEROS_27 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define UNIX     ZEROS_27 ZEROS_27 ZEROS_27 ZEROS_27 ZEROS_27 ZEROS_27 ZEROS_27 ZEROS_27

static void test_a_block_of_version_2_is_read_and_not_a_byte_behind_it(void **state)
{
    (void)state;
    static const struct good cases[] = {
        {IN(V2 "\x21\x11\x00\x0c" FOUR), false, "192.0.2.10:51234", "198.51.100.5:443"},
        {IN(V2 "\x21\x21\x00\x24" SIX), false, "[2001:db8::1]:51234", "[2001:db8::2]:443"},
        {IN(V2 "\x21\x21\x00\x24" MAPPED), false, "192.0.2.10:51234", "198.51.100.5:443"},
        /* over something other than TCP, which has no address that we know */
        {IN(V2 "\x21\x12\x00\x0c" FOUR), false, "", ""},
        {IN(V2 "\x21\x22\x00\x24" SIX), false, "", ""},
        {IN(V2 "\x21\x31\x00\xd8" UNIX), false, "", ""},
        {IN(V2 "\x21\x32\x00\xdb" UNIX "\x04\0\0"), false, "", ""},
        {IN(V2 "\x21\x00\x00\x00"), false, "", ""},
        {IN(V2 "\x21\x00\x00\x05\xff\xff\xff\xff\xff"), false, "", ""},
        /* the relay's own: whatever is in it is passed over, its family too */
        {IN(V2 "\x20\x00\x00\x00"), true, "", ""},
        {IN(V2 "\x20\x11\x00\x0c" FOUR), true, "", ""},
        {IN(V2 "\x20\xff\x00\x03\x03\xff\xff"), true, "", ""},
        /* TLVs that say nothing to us */
        {IN(V2 "\x21\x11\x00\x0f" FOUR "\x04\0\0"), false, "192.0.2.10:51234", "198.51.100.5:443"},
        {IN(V2 "\x21\x11\x00\x17" FOUR "\xe0\0\x01x\x30\0\x04"
               "blue"),
            false, "192.0.2.10:51234", "198.51.100.5:443"},
    };
    expect_good(cases, SP_COUNTOF(cases), 2);
}

static void expect_bad(struct sp_slice in, const char *why)
{
    struct sp_proxy_header header;
    struct sp_err err;
    size_t used = 0, at = 0;
    enum sp_rc rc = SP_AGAIN;
    for (; at <= in.len && rc == SP_AGAIN; at++) /* no part of it is taken for a whole one */
        rc = parse(sp_slice_sub(in, 0, at), &header, &used, &err);
    if (rc != SP_FAIL || strstr(err.text, why) == NULL)
        fail_msg("[%.*s] read as far as %zu: %d \"%s\"", SP_FMT(in), at, (int)rc, err.text);
    if (parse(in, &header, &used, &err) != SP_FAIL)
        fail_msg("[%.*s] as a whole", SP_FMT(in));
}

static void test_a_malformed_line_of_version_1_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in;
        const char *why;
    } cases[] = {
        {IN("PROXY\tTCP4 192.0.2.10 198.51.100.5 51234 443\r\n"), "begins as no"},
        {IN("proxy TCP4 192.0.2.10 198.51.100.5 51234 443\r\n"), "begins as no"},
        {IN("GET / HTTP/1.1\r\n"), "begins as no"},
        {IN(HELLO), "begins as no"},
        {IN("PROXY \r\n"), "family"},
        {IN("PROXY TCP5 192.0.2.10 198.51.100.5 51234 443\r\n"), "family"},
        {IN("PROXY TCP4\r\n"), "family"},
        {IN("PROXY UNKNOWNX\r\n"), "family"},
        {IN("PROXY  TCP4 192.0.2.10 198.51.100.5 51234 443\r\n"), "family"},
        {IN("PROXY TCP4  192.0.2.10 198.51.100.5 51234 443\r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234\r\n"), "two addresses and two ports"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234 443 \r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234 443 1\r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 65536 443\r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 051234 443\r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 -1 443\r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234 00\r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234 \r\n"), "port"},
        {IN("PROXY TCP4 192.0.2.010 198.51.100.5 51234 443\r\n"), "source"},
        {IN("PROXY TCP4 192.0.2 198.51.100.5 51234 443\r\n"), "source"},
        {IN("PROXY TCP4 192.0.2.256 198.51.100.5 51234 443\r\n"), "source"},
        {IN("PROXY TCP4 192.0.2.10\0 198.51.100.5 51234 443\r\n"), "source"},
        {IN("PROXY TCP4 2001:db8::1 198.51.100.5 51234 443\r\n"), "source"},
        {IN("PROXY TCP4 192.0.2.10 2001:db8::1 51234 443\r\n"), "destination"},
        {IN("PROXY TCP6 192.0.2.10 2001:db8::1 51234 443\r\n"), "source"},
        {IN("PROXY TCP6 2001:db8::1%lo 2001:db8::1 51234 443\r\n"), "source"},
        {IN("PROXY TCP6 2001:db8::1::2 2001:db8::1 51234 443\r\n"), "source"},
        {IN("PROXY TCP6 [2001:db8::1] 2001:db8::1 51234 443\r\n"), "source"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234 443\n"), "alone"},
        {IN("PROXY TCP4 192.0.2.10 198.51.100.5 51234 443\rX"), "alone"},
        {IN("PROXY UNKNOWN\n\r\n"), "alone"},
        {IN("PROXY UNKNOWN \r \r\n"), "alone"},
        {IN("PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxx\r\n"),
            "no end"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        expect_bad(cases[i].in, cases[i].why);
}

static void test_a_malformed_block_of_version_2_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in;
        const char *why;
    } cases[] = {
        {IN("\r\n\r\n\0\r\nQUIT\r"), "begins as no"},
        {IN(V2 "\x11\x11\x00\x0c" FOUR), "version and command are 0x11"},
        {IN(V2 "\x31\x11\x00\x0c" FOUR), "version and command are 0x31"},
        {IN(V2 "\x22\x11\x00\x0c" FOUR), "version and command are 0x22"},
        {IN(V2 "\x21\x41\x00\x0c" FOUR), "family"},
        {IN(V2 "\x21\x13\x00\x0c" FOUR), "family"},
        {IN(V2 "\x21\x10\x00\x0c" FOUR), "family"},
        {IN(V2 "\x21\x01\x00\x0c" FOUR), "family"},
        {IN(V2 "\x21\x11\x00\x0b" FOUR), "too few"},
        {IN(V2 "\x21\x21\x00\x0c" FOUR), "too few"},
        {IN(V2 "\x21\x31\x00\x24" SIX), "too few"},
        {IN(V2 "\x21\x11\x0f\xf1" FOUR), "more than the 4096"},
        {IN(V2 "\x20\x00\xff\xff"), "more than the 4096"},
        {IN(V2 "\x21\x11\x00\x0d" FOUR "\x04"), "beyond the end"},
        {IN(V2 "\x21\x11\x00\x0e" FOUR "\x04\0"), "beyond the end"},
        {IN(V2 "\x21\x11\x00\x0f" FOUR "\x04\0\x01"), "beyond the end"},
        {IN(V2 "\x21\x11\x00\x13" FOUR "\x04\0\x01x\x02\xff\xff"), "beyond the end"},
        {IN(V2 "\x21\x11\x00\x12" FOUR "\x03\0\x03"
               "abc"),
            "CRC32C of 3"},
        {IN(V2 "\x21\x11\x00\x13" FOUR "\x03\0\x04"
               "abcd"),
            "does not fit"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        expect_bad(cases[i].in, cases[i].why);
}

static void test_a_unique_id_has_at_most_128_bytes(void **state)
{
    (void)state;
    for (unsigned len = 128; len <= 129; len++) {
        struct sp_buf in = {0};
        struct sp_proxy_header header;
        struct sp_err err;
        size_t used;
        const char head[] = {0x05, 0, (char)len}, size[] = {0, (char)(12 + 3 + len)};
        sp_buf_add_slice(&in, SP_SLICE(V2 "\x21\x11"));
        sp_buf_add(&in, size, sizeof size);
        sp_buf_add_slice(&in, SP_SLICE(FOUR));
        sp_buf_add(&in, head, sizeof head);
        for (unsigned i = 0; i < len; i++)
            sp_buf_add_char(&in, 'u');
        assert_int_equal(parse(sp_buf_slice(&in), &header, &used, &err), len == 128 ? SP_OK : SP_FAIL);
        if (len == 128)
            assert_int_equal(header.unique_id.len, 128);
        sp_buf_free(&in);
    }
}

static void test_other_protocols_are_told_from_it(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in;
        bool likely;
    } cases[] = {
        {IN("P"), true},
        {IN("PROXY "), true},
        {IN("PROXY nonsense"), true},
        {IN(V2), true},
        {IN("\r\n"), true},
        {IN("POST / HTTP/1.1\r\n"), false},
        {IN("PRI * HTTP/2.0\r\n"), false},
        {IN("PROXYING"), false},
        {IN("\r\n\r\n\r\n"), false},
        {IN(HELLO), false},
        {IN("SSH-2.0"), false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        assert_int_equal(sp_proxy_is_likely(cases[i].in), cases[i].likely);
}

/* ---- writing ---- */

static struct sp_addr address(const char *text)
{
    struct sp_addr a = {0};
    struct sp_err err;
    if (text[0] != '\0' && sp_addr_parse(sp_slice_of(text), &a, &err) != SP_OK)
        fail_msg("%s", err.text);
    return a;
}

static struct sp_proxy_about between(const char *source, const char *destination)
{
    return (struct sp_proxy_about){.source = address(source), .destination = address(destination)};
}

static void test_version_1_is_written_as_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *source, *destination, *line;
    } cases[] = {
        {"192.0.2.10:51234", "198.51.100.5:443", "PROXY TCP4 192.0.2.10 198.51.100.5 51234 443\r\n"},
        {"[2001:db8::1]:51234", "[2001:db8::2]:443", "PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n"},
        {"192.0.2.10:51234", "[2001:db8::2]:443", "PROXY TCP6 ::ffff:192.0.2.10 2001:db8::2 51234 443\r\n"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff2]:65535",
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff2 65535 "
            "65535\r\n"},
        {"unix:/run/x.sock", "192.0.2.10:443", "PROXY UNKNOWN\r\n"},
        {"192.0.2.10:443", "unix:/run/x.sock", "PROXY UNKNOWN\r\n"},
        {"", "", "PROXY UNKNOWN\r\n"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_proxy_about about = between(cases[i].source, cases[i].destination);
        char out[SP_PROXY_V1_MAX];
        struct sp_slice written = {out, sp_proxy_write_v1(&about, out)};
        struct sp_proxy_header header;
        if (!sp_slice_equal(written, sp_slice_of(cases[i].line)))
            fail_msg("%.*s", SP_FMT(written));
        parse_whole(written, &header);
    }
}

/* Its checksum was computed by another program. */
static const struct sp_slice EXAMPLE = IN(V2 "\x21\x11\x00\x67" FOUR "\x01\x00\x08http/1.1"
                                             "\x02\x00\x0d"
                                             "api.acme.test"
                                             "\x20\x00\x36\x07\x00\x00\x00\x00"
                                             "\x21\x00\x07TLSv1.3"
                                             "\x22\x00\x0b"
                                             "billing-svc"
                                             "\x23\x00\x16TLS_AES_256_GCM_SHA384"
                                             "\x03\x00\x04\x52\xf6\xaf\xdc");

static struct sp_proxy_about example(void)
{
    struct sp_proxy_about about = between("192.0.2.10:51234", "198.51.100.5:443");
    about.alpn = SP_SLICE("http/1.1");
    about.authority = SP_SLICE("api.acme.test");
    about.has_tls = true;
    about.has_certificate = true;
    about.tls_version = SP_SLICE("TLSv1.3");
    about.common_name = SP_SLICE("billing-svc");
    about.cipher = SP_SLICE("TLS_AES_256_GCM_SHA384");
    return about;
}

static void test_the_example_is_read_with_all_that_it_says(void **state)
{
    (void)state;
    struct sp_proxy_header header;
    assert_int_equal(EXAMPLE.len, 119);
    parse_whole(EXAMPLE, &header);
    expect_address(&header.source, "192.0.2.10:51234");
    expect_address(&header.destination, "198.51.100.5:443");
    assert_true(sp_slice_equal(header.alpn, SP_SLICE("http/1.1")));
    assert_true(sp_slice_equal(header.authority, SP_SLICE("api.acme.test")));
    assert_null(header.unique_id.ptr);
}

static void test_one_wrong_bit_of_the_example_is_one_too_many(void **state)
{
    (void)state;
    for (size_t i = 16; i < EXAMPLE.len; i++) {
        char copy[119];
        struct sp_proxy_header header;
        struct sp_err err;
        size_t used;
        memcpy(copy, EXAMPLE.ptr, sizeof copy);
        copy[i] ^= 0x10;
        if (i == 112) /* the checksum's own type: then there is none, and a checksum is not demanded */
            continue;
        if (parse((struct sp_slice){copy, sizeof copy}, &header, &used, &err) != SP_FAIL)
            fail_msg("byte %zu", i);
    }
}

static void expect_bytes(const struct sp_proxy_about *about, struct sp_slice wanted)
{
    struct sp_buf out = {0};
    struct sp_err err = {0};
    sp_buf_add_str(&out, "before");
    assert_int_equal(sp_proxy_write_v2(about, &out, &err), SP_OK);
    assert_int_equal(out.len, 6 + wanted.len);
    assert_memory_equal(out.ptr + 6, wanted.ptr, wanted.len);
    sp_buf_free(&out);
}

static void test_the_example_is_written_byte_for_byte(void **state)
{
    (void)state;
    struct sp_proxy_about about = example();
    expect_bytes(&about, EXAMPLE);
}

/* What is written, without its checksum, whose bytes are not asked about. */
static struct sp_slice written(const struct sp_proxy_about *about, struct sp_buf *out)
{
    struct sp_proxy_header header;
    struct sp_err err = {0};
    sp_buf_reset(out);
    assert_int_equal(sp_proxy_write_v2(about, out, &err), SP_OK);
    parse_whole(sp_buf_slice(out), &header);
    assert_true(out->len >= 23);
    return (struct sp_slice){out->ptr, out->len - 4};
}

static void expect_written(const struct sp_proxy_about *about, struct sp_slice wanted)
{
    struct sp_buf out = {0};
    struct sp_slice found = written(about, &out);
    assert_int_equal(found.len, wanted.len);
    assert_memory_equal(found.ptr, wanted.ptr, wanted.len);
    sp_buf_free(&out);
}

static void test_what_is_not_tcp_over_ip_is_written_as_local(void **state)
{
    (void)state;
    struct sp_proxy_about about = between("unix:/run/x.sock", "unix:/run/y.sock");
    expect_written(&about, SP_SLICE(V2 "\x20\x00\x00\x07\x03\x00\x04"));
}

static void test_two_families_are_written_as_ipv6(void **state)
{
    (void)state;
    struct sp_proxy_about about = between("[2001:db8::1]:51234", "198.51.100.5:443");
    expect_written(
        &about, SP_SLICE(V2 "\x21\x21\x00\x2b\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                            "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x05\xc8\x22\x01\xbb\x03\x00\x04"));
}

static void test_the_flags_say_how_a_certificate_was_shown(void **state)
{
    (void)state;
    static const struct {
        bool has_certificate, of_session;
        char flags, verify;
        bool names_it;
    } cases[] = {{true, false, 7, 0, true}, {true, true, 5, 0, true}, {false, false, 1, 1, false}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_proxy_about about = between("192.0.2.10:51234", "198.51.100.5:443");
        struct sp_buf out = {0};
        about.has_tls = true;
        about.has_certificate = cases[i].has_certificate;
        about.certificate_is_of_session = cases[i].of_session;
        about.common_name = SP_SLICE("c");
        about.certificate = SP_SLICE("der");
        struct sp_slice found = written(&about, &out);
        size_t parts = cases[i].names_it ? 4 + 6 : 0;
        assert_int_equal(found.len, 16 + 12 + 8 + parts + 3);
        assert_int_equal(found.ptr[28], 0x20);
        assert_int_equal(found.ptr[31], cases[i].flags);
        assert_memory_equal(found.ptr + 32, "\0\0\0", 3);
        assert_int_equal(found.ptr[35], cases[i].verify);
        sp_buf_free(&out);
    }
}

static void test_everything_that_is_known_is_written_in_the_order_of_its_numbers(void **state)
{
    (void)state;
    struct sp_proxy_about about = between("192.0.2.10:51234", "198.51.100.5:443");
    about.unique_id = SP_SLICE("id");
    about.authority = SP_SLICE("a");
    about.has_tls = true;
    about.has_certificate = true;
    about.certificate_is_of_session = true;
    about.tls_version = SP_SLICE("v");
    about.cipher = SP_SLICE("c");
    about.sig_alg = SP_SLICE("s");
    about.key_alg = SP_SLICE("k");
    about.certificate = SP_SLICE("der");
    expect_written(&about, SP_SLICE(V2 "\x21\x11\x00\x3a" FOUR "\x02\0\x01"
                                       "a\x05\0\x02id\x20\0\x1b\x05\0\0\0\0"
                                       "\x21\0\x01v\x23\0\x01"
                                       "c\x24\0\x01s\x25\0\x01k\x28\0\x03"
                                       "der\x03\0\x04"));
}

static void test_what_is_too_large_is_not_written_at_all(void **state)
{
    (void)state;
    enum { FIXED = 12 + 3 + 5 + 3 + 7 }; /* addresses, SSL, its certificate, the checksum */
    static char der[65536];
    for (size_t len = 65535 - FIXED; len <= 65535 - FIXED + 1; len++) {
        struct sp_proxy_about about = between("192.0.2.10:51234", "198.51.100.5:443");
        struct sp_buf out = {0};
        struct sp_err err = {0};
        about.has_tls = true;
        about.has_certificate = true;
        about.certificate = (struct sp_slice){der, len};
        bool fits = len == 65535 - FIXED;
        assert_int_equal(sp_proxy_write_v2(&about, &out, &err), fits ? SP_OK : SP_FAIL);
        assert_int_equal(out.len, fits ? SP_PROXY_WRITE_MAX : 0);
        assert_int_equal(err.sys, fits ? 0 : EMSGSIZE);
        sp_buf_free(&out);
    }
    struct sp_proxy_about about = {.unique_id = {der, 129}};
    struct sp_buf out = {.max = 10};
    struct sp_err err = {0};
    assert_int_equal(sp_proxy_write_v2(&about, &out, &err), SP_FAIL);
    assert_int_equal(err.sys, EMSGSIZE);
    about.unique_id.len = 0;
    assert_int_equal(sp_proxy_write_v2(&about, &out, &err), SP_FAIL);
    assert_int_equal(err.sys, ENOMEM);
    assert_int_equal(out.len, 0);
    sp_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_of_version_1_is_read_and_not_a_byte_behind_it),
        cmocka_unit_test(test_a_block_of_version_2_is_read_and_not_a_byte_behind_it),
        cmocka_unit_test(test_a_malformed_line_of_version_1_is_refused),
        cmocka_unit_test(test_a_malformed_block_of_version_2_is_refused),
        cmocka_unit_test(test_a_unique_id_has_at_most_128_bytes),
        cmocka_unit_test(test_other_protocols_are_told_from_it),
        cmocka_unit_test(test_version_1_is_written_as_one_line),
        cmocka_unit_test(test_the_example_is_read_with_all_that_it_says),
        cmocka_unit_test(test_one_wrong_bit_of_the_example_is_one_too_many),
        cmocka_unit_test(test_the_example_is_written_byte_for_byte),
        cmocka_unit_test(test_what_is_not_tcp_over_ip_is_written_as_local),
        cmocka_unit_test(test_two_families_are_written_as_ipv6),
        cmocka_unit_test(test_the_flags_say_how_a_certificate_was_shown),
        cmocka_unit_test(test_everything_that_is_known_is_written_in_the_order_of_its_numbers),
        cmocka_unit_test(test_what_is_too_large_is_not_written_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
