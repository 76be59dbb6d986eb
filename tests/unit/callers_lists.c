/* Lists of identities: what a line may be, what is told of one that cannot be, and that a hundred thousand are no burden. */
#include "callers_rig.h"

#include <sys/stat.h>
#include <unistd.h>

#include "policy/callers/lists.h"

#define TEXT(literal) SP_SLICE(literal)

/* ---- parsing ---- */

struct parsed {
    struct sp_arena arena;
    struct sp_diags diags;
    struct sp_field fields[64];
    size_t count;
    enum sp_rc rc;
};

static void parse(struct parsed *p, struct sp_slice text)
{
    memset(p, 0, sizeof *p);
    sp_arena_init(&p->arena, 0);
    assert_true(sp_list_count_lines(text) <= SP_COUNTOF(p->fields));
    p->rc = sp_list_parse(&p->arena, "allow.txt", text, p->fields, &p->count, &p->diags);
}

static void parsed_free(struct parsed *p)
{
    sp_arena_free(&p->arena);
    sp_diags_free(&p->diags);
}

static void test_lines_of_every_kind_are_read_however_they_end(void **state)
{
    (void)state;
    static const uint8_t wanted[] = {SP_FIELD_URI, SP_FIELD_URI, SP_FIELD_DNS, SP_FIELD_EMAIL, SP_FIELD_IP,
        SP_FIELD_SERIAL, SP_FIELD_FINGERPRINT, SP_FIELD_SPKI, SP_FIELD_SUBJECT, SP_FIELD_SUBJECT,
        SP_FIELD_SUBJECT};
    static const char text[] =
        "\xEF\xBB\xBF# who may\r\n"
        "\r\n"
        "   \t\n"
        "uri:spiffe://corp.example/ns/*/**\r\n"
        "  uri: https://corp.example/#x  \n"
        "dns:*.Corp.example\n"
        "email:*@corp.example\n"
        "  # ip:10.0.0.1\n"
        "ip:2001:db8::/32\n"
        "serial:0F:3A\n"
        "fingerprint_sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n"
        "spki_sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
        "subject.cn:J\xC3\xB6rg: \"the\" # one\n"
        "subject.2.5.4.97:PSDDE-BAFIN-123\n"
        "subject.OU:no newline at the end";
    struct parsed p;
    parse(&p, (struct sp_slice){text, sizeof text - 1});
    if (p.rc != SP_OK)
        fail_msg("%u: %s", p.diags.items[0].at.line, p.diags.items[0].text);
    assert_int_equal(p.count, SP_COUNTOF(wanted));
    for (size_t i = 0; i < p.count; i++)
        assert_int_equal(p.fields[i].type, wanted[i]);
    const struct sp_field_attr *cn = p.fields[8].of, *psd = p.fields[9].of, *ou = p.fields[10].of;
    assert_true(sp_slice_equal(cn->type, TEXT("CN")));
    assert_true(sp_slice_equal(cn->value, TEXT("J\xC3\xB6rg: \"the\" # one")));
    assert_true(sp_slice_equal(psd->type, TEXT("organizationIdentifier")));
    assert_true(sp_slice_equal(ou->value, TEXT("no newline at the end")));
    assert_true(sp_slice_equal(sp_field_text(&p.fields[5]), TEXT("0f3a")));
    parsed_free(&p);
}

static void test_a_line_that_cannot_be_is_told_with_its_place(void **state)
{
    (void)state;
    const struct {
        struct sp_slice text;
        unsigned line, column;
        const char *needle;
    } cases[] = {
        {TEXT("spiffe://corp.example/x"), 1, 1, "kinds are uri"},
        {TEXT("\n\n  nonsense"), 3, 3, "expected a line such as"},
        {TEXT("dns:a\nurl:x\n"), 2, 1, "\"url:x\": expected a line"},
        {TEXT("URI:urn:x"), 1, 1, "kinds are"},
        {TEXT("policy:1.2.3"), 1, 1, "kinds are"},
        {TEXT("issuer.CN:x"), 1, 1, "kinds are"},
        {TEXT("caller:x"), 1, 1, "kinds are"},
        {TEXT("file:x"), 1, 1, "kinds are"},
        {TEXT(":x"), 1, 1, "kinds are"},
        {TEXT("uri:"), 1, 1, "expected a URI with a scheme"},
        {TEXT("uri: spiffe://*/x"), 1, 6, "authority are literal"},
        {TEXT("uri:urn:x # who"), 1, 5, "without blanks"},
        {TEXT("dns:a b"), 1, 5, "\"a b\": expected a host"},
        {TEXT("email:ann"), 1, 7, "name@domain"},
        {TEXT("ip:10.0.0.0/33"), 1, 4, "0 to 32"},
        {TEXT("serial:xy"), 1, 8, "hex digits"},
        {TEXT("fingerprint_sha256:00"), 1, 20, "64 hex digits"},
        {TEXT("subject.:x"), 1, 10, "dotted OID"},
        {TEXT("subject.CNN:x"), 1, 13, "dotted OID"},
        {TEXT("subject.CN:"), 1, 1, "not empty"},
        {TEXT("subject:x"), 1, 1, "kinds are"},
        {TEXT("subject.CN:a\0b"), 1, 12, "\"a?b\": expected no control byte"},
        {TEXT("subject.CN:a\x1b[31mb"), 1, 12, "\"a?[31mb\""},
        {TEXT("dns:a\rb"), 1, 5, "no control byte"},
        {TEXT("dns:a\0"), 1, 5, "no control byte"},
        {TEXT("\xFF\xFE"
              "d\0n\0s\0"),
            1, 1, "kinds are"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct parsed p;
        parse(&p, cases[i].text);
        assert_int_equal(p.rc, SP_FAIL);
        assert_int_equal(p.diags.count, 1);
        const struct sp_diag *d = &p.diags.items[0];
        assert_string_equal(d->file, "allow.txt");
        if (d->at.line != cases[i].line || d->at.column != cases[i].column ||
            strstr(d->text, cases[i].needle) == NULL)
            fail_msg("case %zu: %u:%u: %s", i, d->at.line, d->at.column, d->text);
        parsed_free(&p);
    }
}

static void test_no_more_than_twenty_errors_of_a_list_are_told_and_the_rest_counted(void **state)
{
    (void)state;
    struct sp_buf text = {0};
    for (size_t i = 0; i < 60; i++)
        sp_buf_printf(&text, "nonsense %zu\n", i);
    struct parsed p;
    parse(&p, sp_buf_slice(&text));
    assert_int_equal(p.rc, SP_FAIL);
    assert_int_equal(p.diags.errors, SP_LIST_ERRORS_MAX + 1);
    assert_string_equal(p.diags.items[SP_LIST_ERRORS_MAX].text, "and 40 more lines are wrong");
    parsed_free(&p);
    sp_buf_free(&text);
}

static void test_a_long_line_is_told_cut(void **state)
{
    (void)state;
    char line[5000];
    memset(line, 'x', sizeof line);
    struct parsed p;
    parse(&p, (struct sp_slice){line, sizeof line});
    assert_int_equal(p.rc, SP_FAIL);
    assert_true(strlen(p.diags.items[0].text) < 400);
    parsed_free(&p);
}

static void test_any_beginning_of_a_list_is_read_without_harm(void **state)
{
    (void)state;
    static const char text[] = "\xEF\xBB\xBFuri:urn:a\r\n#\nsubject.CN:x\nip:10.0.0.0/8\nserial:0f\n";
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = malloc(len > 0 ? len : 1); /* of its own, so that a byte too many is seen */
        assert_non_null(copy);
        memcpy(copy, text, len);
        struct parsed p;
        parse(&p, (struct sp_slice){copy, len});
        assert_int_equal(p.rc == SP_FAIL, p.diags.errors > 0);
        parsed_free(&p);
        free(copy);
    }
}

/* ---- files ---- */

static int make_file(void **state)
{
    static char path[64];
    (void)snprintf(path, sizeof path, "/tmp/sp-list-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    *state = path;
    return 0;
}

static int drop_file(void **state)
{
    (void)unlink(*state);
    return 0;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct sp_identity named(struct sp_slice *uri, struct sp_slice *dns)
{
    return (struct sp_identity){.uris = {uri, uri != NULL}, .dns_names = {dns, dns != NULL}};
}

static void test_a_caller_is_whoever_a_line_names_and_all_else_of_the_entry_must_hold(void **state)
{
    const char *path = *state;
    const struct sp_config_caller_entry alone = {.file = path}, with_dns = {.file = path, .dns = "*.x"};
    const struct sp_config_caller callers[] = {{.name = "alone", .entries = &alone, .entry_count = 1},
        {.name = "with dns", .entries = &with_dns, .entry_count = 1}};
    struct sp_slice a = TEXT("urn:a"), b = TEXT("urn:b"), x = TEXT("h.x"), y = TEXT("h.y");
    struct sp_identity a_x = named(&a, &x), a_y = named(&a, &y), b_x = named(&b, &x),
                       only_y = named(NULL, &y);
    struct callers_rig r;
    char ids[256];
    put(path, "uri:urn:a\ndns:h.y\n");
    rig_must_make(&r, callers, 2);
    assert_string_equal(rig_ids(&r, &a_x, ids), "0 1");
    assert_string_equal(rig_ids(&r, &a_y, ids), "0");
    assert_string_equal(rig_ids(&r, &b_x, ids), "");
    assert_string_equal(rig_ids(&r, &only_y, ids), "0");
    assert_string_equal(rig_ids(&r, NULL, ids), "");
    rig_free(&r);
}

static void test_one_wrong_line_refuses_the_list_and_names_it(void **state)
{
    const char *path = *state;
    const struct sp_config_caller_entry entry = {.file = path};
    const struct sp_config_caller callers[] = {{.name = "a", .entries = &entry, .entry_count = 1},
        {.name = "b", .entries = &entry, .entry_count = 1}};
    struct callers_rig r;
    put(path, "uri:urn:a\nurn:b\n");
    rig_make(&r, callers, 2);
    rig_expect_error(&r, "\"urn:b\": expected a line such as");
    assert_int_equal(r.diags.errors, 1); /* once, though two callers read it */
    assert_string_equal(r.diags.items[0].file, path);
    assert_int_equal(r.diags.items[0].at.line, 2);
    rig_free(&r);
}

static void test_an_empty_list_is_a_warning_and_nobody(void **state)
{
    const char *path = *state;
    const struct sp_config_caller_entry entry = {.file = path};
    const struct sp_config_caller caller = {.name = "a", .entries = &entry, .entry_count = 1};
    static const char *const empty[] = {"", "\n\n", "# nobody yet\n"};
    struct sp_slice a = TEXT("urn:a");
    struct sp_identity id = named(&a, NULL);
    for (size_t i = 0; i < SP_COUNTOF(empty); i++) {
        struct callers_rig r;
        put(path, empty[i]);
        rig_must_make(&r, &caller, 1);
        assert_int_equal(r.diags.warnings, 1);
        assert_string_equal(r.diags.items[0].file, path);
        assert_false(rig_is_it(&r, &id));
        rig_free(&r);
    }
}

static void test_a_list_is_current_until_its_contents_change(void **state)
{
    const char *path = *state;
    const struct sp_config_caller_entry entry = {.file = path};
    const struct sp_config_caller caller = {.name = "a", .entries = &entry, .entry_count = 1};
    struct callers_rig r;
    put(path, "uri:urn:a\n");
    rig_must_make(&r, &caller, 1);
    assert_true(sp_callers_are_current(r.callers));
    put(path, "uri:urn:a\n");
    assert_true(sp_callers_are_current(r.callers));
    put(path, "uri:urn:b\n");
    assert_false(sp_callers_are_current(r.callers));
    put(path, "uri:urn:a\n\n");
    assert_false(sp_callers_are_current(r.callers));
    put(path, "uri:urn:a\n");
    assert_true(sp_callers_are_current(r.callers));
    assert_int_equal(unlink(path), 0);
    assert_false(sp_callers_are_current(r.callers));
    rig_free(&r);
}

static void test_a_list_that_is_too_long_or_no_file_is_refused_unread(void **state)
{
    const char *path = *state;
    struct sp_buf text = {0};
    struct sp_err err;
    assert_int_equal(truncate(path, (off_t)SP_LIST_MAX_BYTES + 1), 0);
    assert_int_equal(sp_list_read(path, &text, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "longer than 64 MiB"));
    assert_int_equal(text.len, 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* and nobody waits for its writer */
    assert_int_equal(sp_list_read(path, &text, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "not a regular file"));
    sp_buf_free(&text);
}

/* ---- many ---- */

static void test_a_hundred_thousand_lines_take_little_memory_and_each_is_found(void **state)
{
    enum { LINES = 100000 };
    const char *path = *state;
    const struct sp_config_caller_entry entry = {.file = path};
    const struct sp_config_caller caller = {.name = "a", .entries = &entry, .entry_count = 1};
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < LINES; i++) /* some of them patterns that differ behind a wildcard */
        fprintf(f,
            i % 10 == 0 ? "uri:spiffe://corp.example/ns/*/sa/service-%zu\n"
                        : "uri:spiffe://corp.example/ns/billing/sa/service-%zu\n",
            i);
    long bytes = ftell(f);
    assert_int_equal(fclose(f), 0);
    struct callers_rig r;
    rig_must_make(&r, &caller, 1);
    assert_true(r.arena.used < (size_t)bytes + (size_t)LINES * 100);
    for (size_t i = 0; i < 2 * LINES; i += 997) {
        char text[80];
        int len = snprintf(text, sizeof text, "spiffe://corp.example/ns/billing/sa/service-%zu", i);
        struct sp_slice uri = {text, (size_t)len};
        struct sp_identity id = named(&uri, NULL);
        assert_int_equal(rig_is_it(&r, &id), i < LINES);
    }
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_every_kind_are_read_however_they_end),
        cmocka_unit_test(test_a_line_that_cannot_be_is_told_with_its_place),
        cmocka_unit_test(test_no_more_than_twenty_errors_of_a_list_are_told_and_the_rest_counted),
        cmocka_unit_test(test_a_long_line_is_told_cut),
        cmocka_unit_test(test_any_beginning_of_a_list_is_read_without_harm),
        cmocka_unit_test_setup_teardown(
            test_a_caller_is_whoever_a_line_names_and_all_else_of_the_entry_must_hold, make_file, drop_file),
        cmocka_unit_test_setup_teardown(
            test_one_wrong_line_refuses_the_list_and_names_it, make_file, drop_file),
        cmocka_unit_test_setup_teardown(test_an_empty_list_is_a_warning_and_nobody, make_file, drop_file),
        cmocka_unit_test_setup_teardown(
            test_a_list_is_current_until_its_contents_change, make_file, drop_file),
        cmocka_unit_test_setup_teardown(
            test_a_list_that_is_too_long_or_no_file_is_refused_unread, make_file, drop_file),
        cmocka_unit_test_setup_teardown(
            test_a_hundred_thousand_lines_take_little_memory_and_each_is_found, make_file, drop_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
