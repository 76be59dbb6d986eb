/* What a head says of this hop alone: a change of protocol, and whether its sender takes trailers. */
#include "h1_support.h"

#define GET "GET / HTTP/1.1\r\n"
#define H   "Host: a.example\r\n"
#define END "\r\n"
#define IN(text)                                                                                             \
    {                                                                                                        \
        "" text, sizeof(text) - 1                                                                            \
    }

static void test_what_is_asked_of_this_hop_is_told_of_http_1_1_alone(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in;
        const char *has, *has_not;
    } cases[] = {
        {IN(GET H "TE: deflate;q=0.5, Trailers\r\nConnection: TE\r\n" END), "te=[trailers]", "upgrade="},
        {IN(GET H "TE: deflate\r\nTE: trailers\r\n" END), "te=[trailers]", "upgrade="},
        {IN(GET H "TE: deflate\r\n" END), "", "te="},
        {IN("GET / HTTP/1.0\r\n" H "TE: trailers\r\nConnection: upgrade\r\nUpgrade: x\r\n" END), "", "te="},
        {IN("GET / HTTP/1.0\r\n" H "TE: trailers\r\nConnection: upgrade\r\nUpgrade: x\r\n" END), "",
            "upgrade="},
        {IN(GET H "Connection: upgrade\r\n" END), "", "upgrade="},
        {IN(GET H "Upgrade: a, b/2\r\nConnection: close\r\nConnection: UPGRADE\r\n" END), "upgrade=[a, b/2]",
            "te="},
        {IN("OPTIONS / HTTP/1.1\r\n" H "Max-Forwards: 010\r\n" END), "name=[Max-Forwards]\nvalue=[010]",
            "te="},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct outcome o;
        h1_run(&h1_test_limits, -1, cases[i].in, &o);
        if (o.rc != SP_OK || strstr(o.text, cases[i].has) == NULL || strstr(o.text, cases[i].has_not) != NULL)
            fail_msg("case %zu: rc %d %s", i, o.rc, o.rc == SP_FAIL ? o.fault.detail : o.text);
    }
}

static void test_an_upgrade_of_a_response_counts_only_where_connection_names_it_and_once(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in;
        const char *want; /* NULL: none */
    } cases[] = {
        {IN("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n" END),
            "upgrade=[WebSocket]\n"},
        {IN("HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: TLS/1.3\r\n"
            "Content-Length: 0\r\n" END),
            "upgrade=[TLS/1.3]\n"},
        {IN("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" END), NULL},
        {IN("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n" END), NULL},
        {IN("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: a\r\n" END), NULL},
        {IN("HTTP/1.0 101 X\r\nConnection: upgrade\r\nUpgrade: a\r\n" END), NULL},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct outcome o;
        h1_run(&h1_test_limits, SP_METHOD_GET, cases[i].in, &o);
        const char *want = cases[i].want != NULL ? cases[i].want : "upgrade=";
        if (o.rc != SP_OK || (strstr(o.text, want) != NULL) != (cases[i].want != NULL))
            fail_msg("case %zu: rc %d %s", i, o.rc, o.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_asked_of_this_hop_is_told_of_http_1_1_alone),
        cmocka_unit_test(test_an_upgrade_of_a_response_counts_only_where_connection_names_it_and_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
