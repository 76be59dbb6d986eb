/* X-Forwarded-Client-Cert read back, by a parser written from the grammar alone: elements separated by ',', pairs by ';', key and
 * value by '='; a value in double quotes may hold any of them, and a quote as \". Whatever a certificate is called, its reader must
 * come out with that name, in that key, of one element. */
#include "headers_fixture.h"

#define PAIRS_MAX 32

struct pair {
    unsigned element;
    char key[16];
    char value[4096];
};
struct parsed {
    struct pair pairs[PAIRS_MAX];
    size_t count;
    unsigned elements;
};

static size_t parse_value(const char *at, char *out)
{
    size_t i = 0, n = 0;

    if (at[0] != '"') {
        for (; at[i] != '\0' && at[i] != ',' && at[i] != ';'; i++) {
            assert_true(at[i] != '=' && at[i] != '"');
            out[n++] = at[i];
        }
        out[n] = '\0';
        return i;
    }
    for (i = 1; at[i] != '"'; i++) {
        assert_true(at[i] != '\0');
        if (at[i] == '\\' && at[i + 1] == '"')
            i++;
        out[n++] = at[i];
    }
    out[n] = '\0';
    return i + 1;
}

static void parse(const char *at, struct parsed *out)
{
    out->count = 0;
    out->elements = 1;
    for (;;) {
        struct pair *p = &out->pairs[out->count++];
        size_t key = strcspn(at, "=,;\"");
        assert_true(out->count < PAIRS_MAX && at[key] == '=' && key > 0 && key < sizeof(p->key));
        memcpy(p->key, at, key);
        p->key[key] = '\0';
        p->element = out->elements;
        at += key + 1;
        at += parse_value(at, p->value);
        if (*at == '\0')
            return;
        assert_true(*at == ',' || *at == ';');
        out->elements += *at++ == ',';
    }
}

static int hex(char c)
{
    const char *at = strchr("0123456789ABCDEF", c);
    assert_true(at != NULL && c != '\0');
    return (int)(at - "0123456789ABCDEF");
}

/* The value of a one-attribute name "CN=…", RFC 4514 §2.4 undone. */
static void read_name(const char *dn, char *out)
{
    size_t n = 0;

    assert_memory_equal(dn, "CN=", 3);
    for (size_t i = 3; dn[i] != '\0'; i++) {
        if (dn[i] != '\\') {
            assert_null(strchr(",+\"<>;", dn[i])); /* unescaped they would end the value */
            out[n++] = dn[i];
            continue;
        }
        out[n++] = (char)(hex(dn[i + 1]) * 16 + hex(dn[i + 2]));
        i += 2;
    }
    out[n] = '\0';
}

static const char *value_of(const struct parsed *p, const char *key, size_t nth)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->pairs[i].key, key) == 0 && nth-- == 0)
            return p->pairs[i].value;
    }
    return NULL;
}

/* A name as OpenSSL prints it with XN_FLAG_RFC2253. */
static void print_name(const char *value, char *out)
{
    size_t n = (size_t)snprintf(out, 4, "CN="), len = strlen(value);

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == len && c == ' ');
        if (c < 0x20 || c >= 0x7f) {
            n += (size_t)snprintf(out + n, 4, "\\%02X", c);
            continue;
        }
        if (edge || strchr(",+\"\\<>;", c) != NULL)
            out[n++] = '\\';
        out[n++] = (char)c;
    }
    out[n] = '\0';
}

static void test_every_name_is_read_back_as_it_was(void **state)
{
    static const char *const VALUES[] = {"plain", "a,b", "a;URI=spiffe://evil", "a\",By=\"b", "\"", "\\",
        "\\\\\"", "a\\", "ends\"", "#hash", " blank", "blank ", " ", "a=b", "a+CN=b", "<x>", "S\xc3\xb6hne",
        "\\2C", "\\22;Hash=0", "x,Hash=ffff;Subject=\"CN=admin", "a\x01\x7f.b", "100%", "'single'",
        "Acme, Inc."};
    static const char *const NAMES[] = {
        "spiffe://a/b", "https://x/?a=b;c", "urn:x;By=y", "urn:a=b", "urn:a,b", "a.example"};
    char printed_name[4096], read[4096], text[8192];
    struct parsed *p = SP_NEW(struct parsed);
    struct told *t = SP_NEW(struct told);
    (void)state;

    compile(t, "identity_headers: [xfcc], xfcc_details: [cert, chain]", "");
    for (size_t i = 0; i < SP_COUNTOF(VALUES) * SP_COUNTOF(NAMES); i++) {
        const char *value = VALUES[i / SP_COUNTOF(NAMES)], *name = NAMES[i % SP_COUNTOF(NAMES)];
        const struct sp_slice uris[] = {SP_SLICE("urn:first"), sp_slice_of(name)},
                              dns[] = {sp_slice_of(name)};
        print_name(value, printed_name);
        const struct sp_identity id = {.subject = sp_slice_of(printed_name),
            .sha256_hex = SP_SLICE("0a"),
            .client_cert = SP_SLICE(":AA+/:"),
            .client_cert_chain = SP_SLICE(":BB==:"),
            .uris = {uris, 2},
            .dns_names = {dns, 1}};
        const struct sp_headers_about about = {
            .identity = &id, .own_uri = sp_slice_of(name), .proxy = (size_t)-1};
        assert_int_equal(tell(t, &about), SP_OK);
        assert_int_equal(t->lines.count, 1);
        snprintf(text, sizeof(text), "%.*s", SP_FMT(t->lines.lines[0].value));
        parse(text, p);
        assert_int_equal(p->elements, 1);
        assert_int_equal(p->count, 8);
        assert_string_equal(value_of(p, "By", 0), name);
        assert_string_equal(value_of(p, "Hash", 0), "0a");
        assert_string_equal(value_of(p, "URI", 0), "urn:first");
        assert_string_equal(value_of(p, "URI", 1), name);
        assert_string_equal(value_of(p, "DNS", 0), name);
        assert_string_equal(value_of(p, "Cert", 0),
            "-----BEGIN%20CERTIFICATE-----%0AAA%2B%2F%0A-----END%20CERTIFICATE-----%0A");
        assert_non_null(strstr(value_of(p, "Chain", 0), "%0AAA%2B%2F%0A"));
        assert_non_null(strstr(value_of(p, "Chain", 0), "%0ABB%3D%3D%0A"));
        read_name(value_of(p, "Subject", 0), read);
        assert_string_equal(read, value);
    }
    forget(t);
    sp_free(t);
    sp_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_is_read_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
