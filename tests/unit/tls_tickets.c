/* Ticket keys: which files are taken and what is said of the others, which key seals and which open. And what a ticket says
 * beside OpenSSL's session, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tls/tls_private.h"
#include "tls_fixture.h"

static int tear_down(void **state)
{
    (void)state;
    fix_remove_folder();
    return 0;
}

/* A line of `len` equal bytes in base64. */
static const char *line(char byte, size_t len)
{
    static char lines[64][256];
    static size_t next;
    unsigned char bytes[128];
    char *out = lines[next++ % SP_COUNTOF(lines)];
    memset(bytes, byte, len);
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    return out;
}

static const char *write_keys(const char *text, mode_t mode)
{
    const char *path = fix_write_text("ticket.keys", text);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

struct sealed {
    unsigned char name[TICKET_KEY_NAME], iv[EVP_MAX_IV_LENGTH];
    unsigned char tag[32], text[64];
    int text_len;
};

static EVP_MAC_CTX *mac_new(void)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    assert_non_null(ctx);
    EVP_MAC_free(mac);
    return ctx;
}

/* As OpenSSL uses the two contexts. */
static void seal(struct sp_tickets *t, struct sealed *out)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC_CTX *mac = mac_new();
    size_t tag_len;
    assert_true(tickets_seal(t, out->name, out->iv, cipher, mac));
    assert_int_equal(
        EVP_EncryptUpdate(cipher, out->text, &out->text_len, (const unsigned char *)"session", 7), 1);
    int more;
    assert_int_equal(EVP_EncryptFinal_ex(cipher, out->text + out->text_len, &more), 1);
    out->text_len += more;
    assert_int_equal(EVP_MAC_init(mac, NULL, 0, NULL), 1);
    assert_int_equal(EVP_MAC_update(mac, out->text, (size_t)out->text_len), 1);
    assert_int_equal(EVP_MAC_final(mac, out->tag, &tag_len, sizeof out->tag), 1);
    assert_int_equal(tag_len, sizeof out->tag);
    EVP_CIPHER_CTX_free(cipher);
    EVP_MAC_CTX_free(mac);
}

static bool opens(struct sp_tickets *t, const struct sealed *in)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC_CTX *mac = mac_new();
    unsigned char tag[32], text[80];
    size_t tag_len;
    int len, more;
    bool found = tickets_open(t, in->name, in->iv, cipher, mac);
    if (found) {
        assert_int_equal(EVP_MAC_init(mac, NULL, 0, NULL), 1);
        assert_int_equal(EVP_MAC_update(mac, in->text, (size_t)in->text_len), 1);
        assert_int_equal(EVP_MAC_final(mac, tag, &tag_len, sizeof tag), 1);
        assert_memory_equal(tag, in->tag, sizeof tag);
        assert_int_equal(EVP_DecryptUpdate(cipher, text, &len, in->text, in->text_len), 1);
        assert_int_equal(EVP_DecryptFinal_ex(cipher, text + len, &more), 1);
        assert_int_equal(len + more, 7);
        assert_memory_equal(text, "session", 7);
    }
    EVP_CIPHER_CTX_free(cipher);
    EVP_MAC_CTX_free(mac);
    return found;
}

static struct sp_tickets *load(const char *text)
{
    struct sp_tickets *t;
    struct sp_err err = {0};
    if (sp_tickets_load(write_keys(text, 0600), &t, &err) != SP_OK)
        fail_msg("%s", err.text);
    return t;
}

static void test_a_bad_file_is_named_with_its_line_and_what_is_wrong(void **state)
{
    (void)state;
    char text[4096], many[8192] = "";
    for (char c = 'a'; c < 'a' + 17; c++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s\n", line(c, 80));
    const struct {
        const char *first, *second;
        mode_t mode;
        const char *says; /* NULL: it is in order */
    } cases[] = {
        {line('a', 80), "", 0600, NULL},
        {line('a', 80), line('b', 80), 0400, NULL},
        {"# a comment\r\n\n", line('b', 80), 0600, NULL},
        {"  \t", line('b', 80), 0600, NULL},
        {"", "", 0600, "holds no key"},
        {"# nothing", "\n", 0600, "holds no key"},
        {line('a', 80), line('b', 79), 0600, "line 2: has 79 bytes; a key has 80"},
        {line('a', 48), "", 0600, "line 1: has 48 bytes; a key has 80"},
        {line('a', 81), "", 0600, "line 1: has 81 bytes; a key has 80"},
        {"\n# two lines", "not base64 at all", 0600, "line 3: is not base64"},
        {line('a', 80) + 1, "", 0600, "line 1: is not base64"},
        {"=", "", 0600, "line 1: is not base64"},
        {"ab=c", "", 0600, "line 1: is not base64"},
        {line('a', 80), line('a', 80), 0600, "line 2: begins with the same 16 bytes as an earlier key"},
        {many, "", 0600, "line 17: is one key too many"},
        {line('a', 80), "", 0640, "others than its owner may use it (mode 0640)"},
        {line('a', 80), "", 0604, "others than its owner may use it (mode 0604)"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_tickets *t;
        struct sp_err err = {0};
        snprintf(text, sizeof text, "%s\n%s\n", cases[i].first, cases[i].second);
        const char *path = write_keys(text, cases[i].mode);
        enum sp_rc rc = sp_tickets_load(path, &t, &err);
        if ((rc == SP_OK) != (cases[i].says == NULL) || (t != NULL) != (rc == SP_OK))
            fail_msg("case %zu: %s", i, err.text);
        if (cases[i].says != NULL &&
            (strstr(err.text, cases[i].says) == NULL || strstr(err.text, path) == NULL))
            fail_msg("case %zu: %s", i, err.text);
        if (strstr(err.text, line('a', 80)) != NULL)
            fail_msg("case %zu: the message holds a key", i);
        sp_tickets_free(t);
    }
    struct sp_tickets *t;
    struct sp_err err = {0};
    assert_int_equal(sp_tickets_load("/nonexistent/keys", &t, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "ticket keys /nonexistent/keys: cannot be opened: No such file"));
    assert_int_equal(sp_tickets_load(fix_folder(), &t, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "is no regular file"));
}

static void test_the_first_key_of_a_file_seals_and_all_open(void **state)
{
    (void)state;
    char text[512];
    snprintf(text, sizeof text, "%s\n", line('a', 80));
    struct sp_tickets *before = load(text);
    snprintf(text, sizeof text, "%s\n%s", line('b', 80), line('a', 80));
    struct sp_tickets *between = load(text);
    snprintf(text, sizeof text, "%s\n%s\n", line('c', 80), line('b', 80));
    struct sp_tickets *after = load(text);
    struct sealed a, b;
    seal(before, &a);
    assert_memory_equal(a.name, "aaaaaaaaaaaaaaaa", sizeof a.name);
    assert_true(opens(before, &a));
    assert_true(opens(between, &a));
    assert_false(opens(after, &a)); /* its key is gone */
    seal(between, &b);
    assert_memory_equal(b.name, "bbbbbbbbbbbbbbbb", sizeof b.name);
    assert_false(opens(before, &b));
    assert_true(opens(after, &b));
    sp_tickets_free(before);
    sp_tickets_free(between);
    sp_tickets_free(after);
}

static void test_what_a_ticket_says_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    char bytes[128] = "\1", *p = bytes + 1;
    memset(p, 'P', 32);
    p += 32;
    static const char rest[] = "\0\0\0\0\x12\x34\x56\x78"
                               "\6a.test"
                               "\2\0\3abc\0\1d";
    memcpy(p, rest, sizeof rest - 1);
    size_t len = 33 + sizeof rest - 1;
    struct origin s;
    assert_true(origin_read((struct sp_slice){bytes, len}, &s));
    assert_memory_equal(s.policy, bytes + 1, 32);
    assert_int_equal(s.authenticated_at, 0x12345678);
    assert_true(sp_slice_equal(s.sni, SP_SLICE("a.test")));
    assert_int_equal(s.chain_count, 2);
    assert_true(sp_slice_equal(s.chain[0], SP_SLICE("abc")) && sp_slice_equal(s.chain[1], SP_SLICE("d")));
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = malloc(cut + 1); /* so that a sanitizer sees the end */
        memcpy(copy, bytes, cut);
        char *exact = realloc(copy, cut > 0 ? cut : 1);
        assert_false(origin_read((struct sp_slice){exact, cut}, &s));
        free(exact);
    }
    assert_false(origin_read((struct sp_slice){bytes, len + 1}, &s));
    static const struct {
        size_t at;
        char byte;
    } wrong[] = {
        {0, 0}, {0, 2}, {33, '\x80'} /* before 1970 */, {48, 9} /* certificates */, {48, '\xff'}, {49, 1}};
    for (size_t i = 0; i < SP_COUNTOF(wrong); i++) {
        char kept = bytes[wrong[i].at];
        bytes[wrong[i].at] = wrong[i].byte;
        if (origin_read((struct sp_slice){bytes, len}, &s))
            fail_msg("case %zu", i);
        bytes[wrong[i].at] = kept;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bad_file_is_named_with_its_line_and_what_is_wrong),
        cmocka_unit_test(test_the_first_key_of_a_file_seals_and_all_open),
        cmocka_unit_test(test_what_a_ticket_says_is_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests_name("tls_tickets", tests, NULL, tear_down);
}
