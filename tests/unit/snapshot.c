/* A snapshot is complete or is none, says all that is wrong at once, and lives as long as anybody holds it; a
 * hand-over goes to the desk with the fewest sessions. */
#include "sallyport/snapshot/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/snapshot/handover.h"
#include "tls_fixture.h"

#define REST                                                                                                 \
    "callers: {c: [{uri: \"spiffe://x/y\"}]}\n"                                                              \
    "rules: [{name: r, from: [c], upstream: u}]\n"                                                           \
    "upstreams: {u: {endpoints: [\"127.0.0.1:80\"]}}\n"

struct files {
    struct tls_pki pki;
    struct sp_config_certificate site;
    const char *ca;
};

static int set_up(void **state)
{
    static struct files f;

    tls_pki_make(&f.pki);
    f.site = tls_files("site", &f.pki.site_a);
    f.ca = fix_write_certs("ca.pem", (X509 *const[]){f.pki.client_ca.cert}, 1);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    tls_pki_free(&((struct files *)*state)->pki);
    fix_remove_folder();
    return 0;
}

/* One listener of a file; a NULL is what it should be. */
static size_t put_listener(const struct files *f, char *to, size_t room, const char *name, const char *chain,
    const char *key, const char *ca)
{
    static unsigned port = 10000;

    return (size_t)snprintf(to, room,
        "  - {name: %s, address: \"127.0.0.1:%u\", tls: {certificates: [{chain: %s, key: %s}]},\n"
        "     client_auth: {ca: [%s], crl_missing: accept}}\n",
        name, port++, chain != NULL ? chain : f->site.chain, key != NULL ? key : f->site.key,
        ca != NULL ? ca : f->ca);
}

static const char *good_file(const struct files *f)
{
    char text[4096];
    size_t at = (size_t)snprintf(text, sizeof(text), "%slisteners:\n", REST);

    at += put_listener(f, text + at, sizeof(text) - at, "first", NULL, NULL, NULL);
    put_listener(f, text + at, sizeof(text) - at, "second", NULL, NULL, NULL);
    return fix_write_text("good.yaml", text);
}

static const struct sp_snapshot_options two_gates = {.gates = 2, .generation = 1};

static struct sp_snapshot *load_good(const struct files *f, unsigned gates)
{
    struct sp_snapshot *s = NULL;
    struct sp_diags diags = {0};

    struct sp_snapshot_options options = {.gates = gates, .generation = 7};
    enum sp_rc rc = sp_snapshot_load(good_file(f), &options, &s, &diags);
    if (rc != SP_OK)
        fail_msg("%s", diags.items[0].text);
    assert_non_null(s);
    sp_diags_free(&diags);
    return s;
}

static void test_a_snapshot_has_all_that_its_file_asks_for(void **state)
{
    struct sp_snapshot *s = load_good(*state, 3);

    assert_int_equal(s->generation, 7);
    assert_int_equal(s->gates, 3);
    assert_int_equal(s->listener_count, 2);
    assert_non_null(s->policy);
    for (size_t i = 0; i < s->listener_count; i++) {
        assert_ptr_equal(s->listeners[i].config, &s->config->listeners[i]);
        assert_non_null(s->listeners[i].trusts[0]);
        for (unsigned gate = 0; gate < s->gates; gate++) {
            assert_non_null(s->listeners[i].tls[gate]);
            assert_true(gate == 0 || s->listeners[i].tls[gate] != s->listeners[i].tls[gate - 1]);
        }
    }
    assert_ptr_equal(sp_snapshot_find(s, "second"), &s->listeners[1]);
    assert_null(sp_snapshot_find(s, "secon"));
    assert_null(sp_snapshot_find(s, ""));
    sp_snapshot_unref(s);
}

static void test_without_a_number_of_gates_the_configurations_counts(void **state)
{
    struct sp_snapshot *s = load_good(*state, 0);

    assert_int_equal(s->gates, s->config->gates);
    sp_snapshot_unref(s);
}

static void test_it_lives_as_long_as_somebody_holds_it(void **state)
{
    struct sp_snapshot *s = load_good(*state, 1);

    assert_ptr_equal(sp_snapshot_ref(s), s);
    sp_snapshot_unref(s);
    assert_string_equal(s->config->listeners[0].name, "first"); /* a sanitizer sees it when it is gone */
    sp_snapshot_unref(s);
    sp_snapshot_unref(NULL);
}

static void test_all_that_is_wrong_is_told_at_once_and_there_is_no_snapshot(void **state)
{
    struct files *f = *state;
    struct sp_snapshot *s = (struct sp_snapshot *)f;
    struct sp_diags diags = {0};
    char text[4096];
    size_t at = (size_t)snprintf(text, sizeof(text), "%slisteners:\n", REST);

    at += put_listener(f, text + at, sizeof(text) - at, "no-ca", "nowhere.pem", NULL, "nowhere.pem");
    at += put_listener(f, text + at, sizeof(text) - at, "good", NULL, NULL, NULL);
    at += put_listener(f, text + at, sizeof(text) - at, "no-chain", "nowhere.pem", NULL, NULL);
    put_listener(f, text + at, sizeof(text) - at, "no-key", NULL, "nowhere.pem", NULL);
    assert_int_equal(sp_snapshot_load(fix_write_text("bad.yaml", text), &two_gates, &s, &diags), SP_FAIL);
    assert_null(s);
    assert_int_equal(diags.errors, 4);
    for (size_t i = 0; i < diags.count; i++)
        assert_non_null(strstr(diags.items[i].text, "nowhere.pem"));
    sp_diags_free(&diags);
}

static void test_a_name_without_an_address_hides_nothing_else(void **state)
{
    struct files *f = *state;
    struct sp_snapshot *s = (struct sp_snapshot *)f;
    struct sp_diags diags = {0};
    char text[4096];
    size_t at = (size_t)snprintf(text, sizeof(text),
        "callers: {c: [{uri: \"spiffe://x/y\"}]}\n"
        "rules: [{name: r, from: [c], path: /a/**/b, upstream: u}]\n"
        "upstreams: {u: {endpoints: [\"nowhere.invalid:80\"]}}\n"
        "listeners:\n");

    put_listener(f, text + at, sizeof(text) - at, "no-key", NULL, "nowhere.pem", NULL);
    assert_int_equal(setenv("RES_OPTIONS", "timeout:1 attempts:1", 1), 0); /* where no resolver answers */
    assert_int_equal(sp_snapshot_load(fix_write_text("bad.yaml", text), &two_gates, &s, &diags), SP_FAIL);
    assert_null(s);
    assert_int_equal(diags.errors, 2);
    assert_int_equal(diags.warnings, 1);
    sp_diags_free(&diags);
}

static void test_a_file_that_is_not_there_makes_no_snapshot(void **state)
{
    struct sp_snapshot *s = *state;
    struct sp_diags diags = {0};

    assert_int_equal(sp_snapshot_load("/nonexistent/x.yaml", &two_gates, &s, &diags), SP_FAIL);
    assert_null(s);
    assert_int_equal(diags.errors, 1);
    sp_diags_free(&diags);
}

/* ---- hand-overs ---- */

static void receive(struct sp_handover *h)
{
    unsigned *received = h->desk->worker;

    (*received)++;
    sp_handover_free(h);
}

static void test_a_session_goes_to_the_desk_with_the_fewest(void **state)
{
    enum { DESKS = 3 };
    unsigned received[DESKS] = {0};
    struct sp_desk desk[DESKS], *desks[DESKS];
    struct sp_loop *loop;
    struct sp_err err;
    (void)state;

    assert_int_equal(sp_loop_new(&loop, &err), SP_OK);
    for (unsigned i = 0; i < DESKS; i++) {
        desk[i] =
            (struct sp_desk){.loop = loop, .sessions = 5 * i, .receive = receive, .worker = &received[i]};
        desks[i] = &desk[i];
    }
    for (int i = 0; i < 18; i++) { /* 0, 5 and 10 become 11 each */
        struct sp_handover *h = SP_NEW(struct sp_handover);
        assert_non_null(h);
        sp_handover_post(h, desks, DESKS);
    }
    sp_loop_turn(loop, 0);
    for (unsigned i = 0; i < DESKS; i++) {
        assert_int_equal(desk[i].sessions, 11);
        assert_int_equal(received[i], 11 - 5 * i);
    }
    sp_loop_free(loop);
}

static void test_a_hand_over_has_text_of_its_own_and_none_is_empty(void **state)
{
    (void)state;
    char name[] = "internal";
    struct sp_handover *h =
        sp_handover_new(&(struct sp_handover){.listener = name, .tls = "TLSv1.3", .resumed = true});
    assert_non_null(h);
    name[0] = 'x';
    assert_string_equal(h->listener, "internal");
    assert_string_equal(h->tls, "TLSv1.3");
    assert_string_equal(h->peer, "");
    assert_string_equal(h->via, "");
    assert_string_equal(h->sni, "");
    assert_true(h->resumed);
    sp_handover_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_snapshot_has_all_that_its_file_asks_for),
        cmocka_unit_test(test_without_a_number_of_gates_the_configurations_counts),
        cmocka_unit_test(test_it_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(test_all_that_is_wrong_is_told_at_once_and_there_is_no_snapshot),
        cmocka_unit_test(test_a_name_without_an_address_hides_nothing_else),
        cmocka_unit_test(test_a_file_that_is_not_there_makes_no_snapshot),
        cmocka_unit_test(test_a_hand_over_has_text_of_its_own_and_none_is_empty),
        cmocka_unit_test(test_a_session_goes_to_the_desk_with_the_fewest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
