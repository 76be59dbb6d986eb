/* Names become addresses with the time that they are good for, whatever a DNS server does; nobody waits for ever. Against a server
 * on loopback. */
#include "sallyport/io/resolver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "io_dns_server.h"

static const struct dns_record RECORDS[] = {
    {"one.test", DNS_A, 300, "10.0.0.1", DNS_ANSWERS},
    {"two.test", DNS_A, 60, "10.0.0.9", DNS_ANSWERS},
    {"two.test", DNS_A, 30, "10.0.0.2", DNS_ANSWERS},
    {"two.test", DNS_AAAA, 90, "2001:db8::1", DNS_ANSWERS},
    {"twice.test", DNS_A, 60, "10.0.0.3", DNS_ANSWERS},
    {"twice.test", DNS_A, 60, "10.0.0.3", DNS_ANSWERS},
    {"alias.test", DNS_CNAME, 7, "one.test", DNS_ANSWERS},
    {"cut.test", DNS_A, 20, "10.0.0.4", DNS_CUTS},
    {"empty.test", DNS_A, 0, NULL, DNS_ANSWERS},
    {"silent.test", DNS_A, 0, NULL, DNS_SILENT},
    {"garbage.test", DNS_A, 0, NULL, DNS_GARBAGE},
    {"half.test", DNS_A, 60, "10.0.0.5", DNS_ANSWERS},
    {"half.test", DNS_AAAA, 0, NULL, DNS_SILENT},
    {"lame.test", DNS_A, 60, "10.0.0.6", DNS_ANSWERS},
    {"lame.test", DNS_AAAA, 0, NULL, DNS_BREAKS},
    {"lame6.test", DNS_A, 0, NULL, DNS_BREAKS},
    {"lame6.test", DNS_AAAA, 60, "2001:db8::6", DNS_ANSWERS},
    {"refused.test", DNS_A, 0, NULL, DNS_REFUSES},
    {"broken.test", DNS_A, 0, NULL, DNS_BREAKS},
    {"_api._tcp.test", DNS_SRV, 45, "10 3 8080 one.test", DNS_ANSWERS},
    {"_api._tcp.test", DNS_SRV, 45, "20 0 8081 two.test", DNS_ANSWERS},
    {"_api._tcp.test", DNS_SRV, 45, "10 1 8082 twice.test", DNS_ANSWERS},
    {"_cut._tcp.test", DNS_SRV, 45, "0 5 8443 one.test", DNS_CUTS},
    {"_none._tcp.test", DNS_SRV, 45, "0 0 0 .", DNS_ANSWERS},
    {"_half._tcp.test", DNS_SRV, 45, "0 0 80 one.test", DNS_ANSWERS},
    {"_half._tcp.test", DNS_SRV, 45, "0 0 80 broken.test", DNS_ANSWERS},
    {"_gone._tcp.test", DNS_SRV, 45, "0 0 80 nowhere.test", DNS_ANSWERS},
    {"_garbage._tcp.test", DNS_SRV, 0, NULL, DNS_GARBAGE},
    {"same.test", DNS_A, 60, "10.0.0.1", DNS_ANSWERS},
    {"_shared._tcp.test", DNS_SRV, 45, "0 7 80 Same.Test", DNS_ANSWERS},
    {"_shared._tcp.test", DNS_SRV, 45, "9 1 80 one.test", DNS_ANSWERS},
    {"_shared._tcp.test", DNS_SRV, 45, "0 2 80 ONE.test", DNS_ANSWERS},
};

struct fixture {
    struct dns_server server;
    struct sp_loop *loop;
    struct sp_resolver *resolver;
};

/* What came, as text: "10.0.0.1:80 ... ttl 60", or "eof", or "fail". */
struct asked {
    struct sp_question question;
    unsigned answers;
    char said[512];
    char error[128];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sp_err err = {0};

    assert_non_null(f);
    dns_server_start(&f->server, RECORDS, SP_COUNTOF(RECORDS));
    assert_int_equal(sp_loop_new(&f->loop, &err), SP_OK);
    assert_int_equal(sp_resolver_new(f->loop, f->server.text, &f->resolver, &err), SP_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    sp_resolver_free(f->resolver);
    sp_loop_free(f->loop);
    dns_server_stop(&f->server);
    free(f);
    return 0;
}

static void on_answer(struct sp_question *q, const struct sp_resolution *answer)
{
    struct asked *a = SP_CONTAINER_OF(q, struct asked, question);
    char text[SP_ADDR_TEXT];
    size_t at = 0;

    a->answers++;
    if (answer->rc != SP_OK) {
        (void)snprintf(a->said, sizeof(a->said), "%s", answer->rc == SP_EOF ? "eof" : "fail");
        (void)snprintf(a->error, sizeof(a->error), "%s", answer->error);
        assert_int_equal(answer->count, 0);
        return;
    }
    for (size_t i = 0; i < answer->count; i++) {
        const struct sp_resolved *item = &answer->items[i];
        at += (size_t)snprintf(a->said + at, sizeof(a->said) - at, "%s%s", i > 0 ? " " : "",
            sp_addr_format(&item->address, text));
        if (item->weight != 0 || item->priority != 0)
            at +=
                (size_t)snprintf(a->said + at, sizeof(a->said) - at, "/%u/%u", item->priority, item->weight);
        if (item->name[0] != '\0')
            at += (size_t)snprintf(a->said + at, sizeof(a->said) - at, "=%s", item->name);
    }
    (void)snprintf(a->said + at, sizeof(a->said) - at, " ttl %u%s", (unsigned)answer->ttl_s,
        answer->is_partial ? " partial" : "");
}

static void ask(struct fixture *f, struct asked *a, const char *name)
{
    a->question.on_answer = on_answer;
    enum sp_rc rc = name[0] == '_' ? sp_resolver_ask_srv(f->resolver, &a->question, name)
                                   : sp_resolver_ask(f->resolver, &a->question, name, 80);
    assert_int_equal(rc, SP_OK);
    assert_int_equal(a->answers, 0); /* never from within the call */
}

static void wait_for(struct fixture *f, const struct asked *a)
{
    while (a->answers == 0)
        sp_loop_turn(f->loop, 60000);
}

/* ---- tests ---- */

static void test_an_answer_is_sorted_without_doubles_and_good_for_the_shortest_time(void **state)
{
    static const struct {
        const char *name, *said;
    } cases[] = {
        {"one.test", "10.0.0.1:80 ttl 300"},
        {"ONE.test", "10.0.0.1:80 ttl 300"},
        {"one.test.", "10.0.0.1:80 ttl 300"},
        {"two.test", "10.0.0.2:80 10.0.0.9:80 [2001:db8::1]:80 ttl 30"},
        {"twice.test", "10.0.0.3:80 ttl 60"},
        {"alias.test", "10.0.0.1:80 ttl 7"},
        {"cut.test", "10.0.0.4:80 ttl 20"},
        {"nowhere.test", "eof"},
        {"empty.test", "eof"},
        {"garbage.test", "fail"},
        {"refused.test", "fail"},
        {"broken.test", "fail"},
        {"_api._tcp.test",
            "10.0.0.1:8080/10/3=one.test 10.0.0.3:8082/10/1=twice.test 10.0.0.2:8081/20/0=two.test "
            "10.0.0.9:8081/20/0=two.test [2001:db8::1]:8081/20/0=two.test ttl 30"},
        {"_cut._tcp.test", "10.0.0.1:8443/0/5=one.test ttl 45"},
        {"_half._tcp.test", "10.0.0.1:80=one.test ttl 45 partial"},
        {"_shared._tcp.test", "10.0.0.1:80/0/2=one.test 10.0.0.1:80/0/7=same.test ttl 45"},
        {"lame.test", "10.0.0.6:80 ttl 60"},
        {"_none._tcp.test", "eof"},
        {"_gone._tcp.test", "eof"},
        {"_nowhere._tcp.test", "eof"},
        {"_garbage._tcp.test", "fail"},
    };

    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct asked a = {.answers = 0};
        ask(*state, &a, cases[i].name);
        wait_for(*state, &a);
        if (strcmp(a.said, cases[i].said) != 0)
            fail_msg("%s: \"%s\" (%s), not \"%s\"", cases[i].name, a.said, a.error, cases[i].said);
        assert_true(a.error[0] != '\0' || cases[i].said[0] == '1');
    }
    assert_true(((struct fixture *)*state)->server.asked_over_tcp >= 2);
}

static void test_many_questions_at_a_time_are_each_answered_once(void **state)
{
    struct asked a[100] = {0};

    for (size_t i = 0; i < SP_COUNTOF(a); i++)
        ask(*state, &a[i], i % 4 == 0 ? "cut.test" : i % 4 == 1 ? "_api._tcp.test" : "one.test");
    for (size_t i = 0; i < SP_COUNTOF(a); i++)
        wait_for(*state, &a[i]);
    for (size_t i = 0; i < SP_COUNTOF(a); i++) {
        assert_int_equal(a[i].answers, 1);
        assert_true(a[i].said[0] == '1');
    }
}

static void test_who_says_nothing_is_not_waited_for_for_long(void **state)
{
    struct asked a = {.answers = 0}, other = {.answers = 0};

    ask(*state, &a, "silent.test");
    ask(*state, &other, "one.test");
    wait_for(*state, &other);
    assert_int_equal(a.answers, 0); /* nobody else waits meanwhile */
    wait_for(*state, &a);
    assert_string_equal(a.said, "fail");
    assert_true(a.error[0] != '\0');
}

static void test_a_question_that_was_cancelled_gets_no_answer(void **state)
{
    struct fixture *f = *state;
    struct asked gone = {.answers = 0}, ready = {.answers = 0}, a = {.answers = 0};

    ask(f, &gone, "one.test");
    ask(f, &ready, "localhost"); /* is answered at the end of this very turn */
    sp_question_cancel(&gone.question);
    sp_question_cancel(&ready.question);
    sp_question_cancel(&ready.question);
    ask(f, &a, "two.test");
    wait_for(f, &a);
    assert_int_equal(gone.answers + ready.answers, 0);
    sp_question_cancel(&a.question); /* of one that is over: nothing */
}

static void test_a_resolver_that_goes_takes_its_questions_along(void **state)
{
    struct fixture *f = *state;
    struct asked a[] = {{.answers = 0}, {.answers = 0}, {.answers = 0}, {.answers = 0}};
    struct sp_err err = {0};

    ask(f, &a[0], "silent.test");
    ask(f, &a[1], "localhost");
    ask(f, &a[2], "_api._tcp.test");
    ask(f, &a[3], "cut.test");
    sp_resolver_free(f->resolver);
    assert_int_equal(sp_resolver_new(f->loop, f->server.text, &f->resolver, &err), SP_OK);
    struct asked last = {.answers = 0};
    ask(f, &last, "one.test");
    wait_for(f, &last);
    for (size_t i = 0; i < SP_COUNTOF(a); i++)
        assert_int_equal(a[i].answers, 0);
}

static void test_what_the_machine_itself_knows_needs_no_server(void **state)
{
    struct asked a = {.answers = 0};

    ask(*state, &a, "localhost");
    wait_for(*state, &a);
    if (strncmp(a.said, "127.0.0.1:80", 12) != 0 && strncmp(a.said, "[::1]:80", 8) != 0)
        fail_msg("\"%s\" (%s)", a.said, a.error);
    assert_int_equal(((struct fixture *)*state)->server.asked, 0);
}

static void test_nobody_there_is_said_soon(void **state)
{
    struct fixture *f = *state;
    struct sp_resolver *r = NULL;
    struct sp_err err = {0};
    struct asked a = {.question.on_answer = on_answer};
    struct dns_server gone;

    dns_server_start(&gone, NULL, 0);
    dns_server_stop(&gone);
    assert_int_equal(sp_resolver_new(f->loop, gone.text, &r, &err), SP_OK);
    assert_int_equal(sp_resolver_ask(r, &a.question, "one.test", 80), SP_OK);
    wait_for(f, &a);
    assert_string_equal(a.said, "fail");
    sp_resolver_free(r);
}

/* As behind a name server, or what stands before it, that drops questions for AAAA. However many servers there are, all of them
 * were asked before nobody waits any longer. */
static void test_addresses_of_one_kind_serve_though_nothing_is_said_of_the_other(void **state)
{
    struct fixture *f = *state;
    struct dns_server servers[6];
    char text[SP_COUNTOF(servers) * sizeof(servers[0].text)];
    size_t at = 0;

    for (size_t i = 0; i < SP_COUNTOF(servers); i++) {
        struct asked a = {.question.on_answer = on_answer};
        struct sp_resolver *r = NULL;
        struct sp_err err = {0};
        dns_server_start(&servers[i], RECORDS, SP_COUNTOF(RECORDS));
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? "," : "", servers[i].text);
        if (i != 0 && i != 1 && i + 1 != SP_COUNTOF(servers))
            continue;
        assert_int_equal(sp_resolver_new(f->loop, text, &r, &err), SP_OK);
        assert_int_equal(sp_resolver_ask(r, &a.question, "half.test", 80), SP_OK);
        wait_for(f, &a);
        if (strcmp(a.said, "10.0.0.5:80 ttl 60") != 0)
            fail_msg("%zu servers: \"%s\" (%s)", i + 1, a.said, a.error);
        sp_resolver_free(r);
    }
    for (size_t i = 0; i < SP_COUNTOF(servers); i++)
        dns_server_stop(&servers[i]);
}

/* c-ares says nothing of it that a family's question came to nothing, if the other's did not. */
static void test_a_family_that_was_known_is_gone_only_when_it_is_said_to_be(void **state)
{
    static const struct {
        const char *name;
        bool had_ipv4, had_ipv6;
        const char *said;
    } cases[] = {
        {"half.test", true, true, "10.0.0.5:80 ttl 60 partial"},
        {"lame.test", false, true, "10.0.0.6:80 ttl 60 partial"},
        {"lame.test", true, false, "10.0.0.6:80 ttl 60"},
        {"lame6.test", true, true, "[2001:db8::6]:80 ttl 60 partial"},
        {"lame6.test", false, true, "[2001:db8::6]:80 ttl 60"},
        {"one.test", true, true, "10.0.0.1:80 ttl 300"},
        {"alias.test", true, true, "10.0.0.1:80 ttl 7"},
        {"two.test", true, true, "10.0.0.2:80 10.0.0.9:80 [2001:db8::1]:80 ttl 30"},
        {"nowhere.test", true, true, "eof"},
    };

    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct asked a = {.question = {.had_ipv4 = cases[i].had_ipv4, .had_ipv6 = cases[i].had_ipv6}};
        ask(*state, &a, cases[i].name);
        wait_for(*state, &a);
        if (strcmp(a.said, cases[i].said) != 0)
            fail_msg("%s: \"%s\" (%s), not \"%s\"", cases[i].name, a.said, a.error, cases[i].said);
    }
}

static void test_servers_that_are_none_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sp_resolver *r = (struct sp_resolver *)f;
    struct sp_err err = {0};

    assert_int_equal(sp_resolver_new(f->loop, "not an address", &r, &err), SP_FAIL);
    assert_null(r);
    assert_true(err.text[0] != '\0');
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer_is_sorted_without_doubles_and_good_for_the_shortest_time),
        TEST(test_many_questions_at_a_time_are_each_answered_once),
        TEST(test_who_says_nothing_is_not_waited_for_for_long),
        TEST(test_a_question_that_was_cancelled_gets_no_answer),
        TEST(test_a_resolver_that_goes_takes_its_questions_along),
        TEST(test_what_the_machine_itself_knows_needs_no_server),
        TEST(test_nobody_there_is_said_soon),
        TEST(test_addresses_of_one_kind_serve_though_nothing_is_said_of_the_other),
        TEST(test_a_family_that_was_known_is_gone_only_when_it_is_said_to_be),
        TEST(test_servers_that_are_none_are_refused),
    };
    return cmocka_run_group_tests_name("io_resolver", tests, NULL, NULL);
}
