/* Labelled gauges: whatever a name holds, a sample stays one line that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sallyport/obs/gauge.h"

static void test_a_value_of_a_label_is_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *value, *printed;
    } cases[] = {
        {"CN=Root CA,O=Example", "CN=Root CA,O=Example"},
        {"", ""},
        {"say \"hi\"", "say \\\"hi\\\""},
        {"back\\slash\\", "back\\\\slash\\\\"},
        {"two\nlines\n", "two\\nlines\\n"},
        {"cr\rtab\t\x01\x7f", "cr\\\\x0dtab\\\\x09\\\\x01\\\\x7f"},
        {"Zo\xc3\xab \xff", "Zo\\\\xc3\\\\xab \\\\xff"},
        {"}{ 5\n# TYPE x counter", "}{ 5\\n# TYPE x counter"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_buf out = {0};
        char expected[256];
        const char *const labels[SP_GAUGE_LABELS] = {"internal", cases[i].value, "f"};
        sp_gauge_sample(&out, SP_GAUGE_crl_entries, labels, 12);
        sp_buf_add_char(&out, '\0');
        (void)snprintf(expected, sizeof(expected),
            "sallyport_crl_entries{listener=\"internal\",issuer=\"%s\",source=\"f\"} 12\n", cases[i].printed);
        assert_string_equal(out.ptr, expected);
        sp_buf_free(&out);
    }
}

static void test_every_family_has_its_help_and_type(void **state)
{
    (void)state;
    for (int id = 0; id < SP_GAUGE_COUNT; id++) {
        struct sp_buf out = {0};
        char name[128] = "", type[16] = "";
        sp_gauge_head(&out, (enum sp_gauge_id)id);
        sp_buf_add_char(&out, '\0');
        assert_int_equal(sscanf(out.ptr, "# HELP %127s %*[^\n]\n# TYPE %*s %15s", name, type), 2);
        assert_memory_equal(name, "sallyport_", 10);
        assert_string_equal(type, "gauge");
        sp_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_of_a_label_is_escaped),
        cmocka_unit_test(test_every_family_has_its_help_and_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
