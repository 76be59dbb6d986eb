/* One exchange with nothing around it but what the functions that change heads look at. */
#ifndef SP_TEST_PROXY_HEADS_FIXTURE_H
#define SP_TEST_PROXY_HEADS_FIXTURE_H

#include "config_fixture.h"
#include "proxy/proxy_impl.h"

static const struct sp_h1_limits LIMITS = {
    .header_bytes = 16384, .headers = SP_HEADERS_MAX, .target_bytes = 1024};

static const struct sp_slice URIS[] = {SP_SLICE("spiffe://corp/a"), SP_SLICE("spiffe://corp/b")};

/* One exchange with nothing around it but what the two functions look at. */
struct rig {
    struct sp_h1_parser parser;
    struct sp_head head, response;
    struct sp_snapshot snapshot;
    struct sp_snapshot_listener listener;
    struct sp_view view;
    struct sp_worker worker;
    struct sp_identity id;
    struct sp_handover who;
    struct sp_session session;
    struct sp_exchange exchange;
    struct sp_diags diags;
    char text[65536]; /* of the lines that came out */
};

static inline void forget_configuration(struct rig *r)
{
    sp_identity_lines_forget(&r->session);
    sp_standing_free(r->session.standing);
    r->session.standing = NULL;
    sp_headers_free(r->snapshot.headers);
    sp_policy_free(r->snapshot.policy);
    sp_config_free(r->snapshot.config);
    r->snapshot = (struct sp_snapshot){0};
}

/* `listener`, `rule` and `upstream` are what stands in the braces of the only one of each: an upstream without forwarding_headers
 * is told nothing of where a request comes from. `rest` are more top-level keys. The client is caller c. */
static inline void configure_all(
    struct rig *r, const char *listener, const char *rule, const char *upstream, const char *rest)
{
    char text[4096];

    forget_configuration(r);
    snprintf(text, sizeof(text),
        "listeners: [{name: l, address: \"127.0.0.1:8443\", " TLS ", " AUTH "%s}]\n"
        "callers: {c: [{uri: \"spiffe://corp/a\"}]}\n"
        "rules: [{name: r, from: [c], upstream: u%s}]\n"
        "upstreams: {u: {endpoints: [\"127.0.0.1:80\"], %s%s}}\n%s",
        listener, rule, strstr(upstream, "forwarding_headers") == NULL ? "forwarding_headers: [], " : "",
        upstream, rest);
    r->snapshot.config = parse_good("t.yaml", text, "");
    r->snapshot.headers = sp_headers_new(r->snapshot.config, &r->diags);
    r->snapshot.policy = sp_policy_new(r->snapshot.config, NULL, &r->diags);
    if (r->snapshot.headers == NULL || r->snapshot.policy == NULL)
        fail_msg("%s", printed(&r->diags));
    r->listener.config = &r->snapshot.config->listeners[0];
    const struct sp_connection c = {.identity = &r->id, .listener = "l"};
    r->session.standing = sp_policy_stand(r->snapshot.policy, &c);
    assert_non_null(r->session.standing);
}

static inline void configure(struct rig *r, const char *upstream, const char *rest)
{
    configure_all(r, "", ", headers: [{name: X-Tenant}]", upstream, rest);
}

static inline enum sp_rc check(struct rig *r, struct sp_fault *fault)
{
    return sp_request_check(r->snapshot.headers, r->snapshot.policy, &r->head, fault);
}

static inline int set_up(void **state)
{
    struct rig *r = SP_NEW(struct rig);
    struct sp_err err;

    assert_non_null(r);
    r->view.snapshot = &r->snapshot;
    r->session.view = &r->view;
    r->session.listener = &r->listener;
    r->id = (struct sp_identity){.subject = SP_SLICE("CN=a"),
        .uris = {URIS, 2},
        .serial_hex = SP_SLICE("0f"),
        .sha256_hex = SP_SLICE("abcd"),
        .client_cert = SP_SLICE(":BB==:")};
    r->who =
        (struct sp_handover){.identity = &r->id, .listener = "", .peer = "", .via = "", .sni = "", .tls = ""};
    assert_int_equal(sp_addr_parse(SP_SLICE("192.0.2.7:4711"), &r->who.source, &err), SP_OK);
    assert_int_equal(sp_addr_parse(SP_SLICE("192.0.2.1:8443"), &r->who.destination, &err), SP_OK);
    r->session.worker = &r->worker;
    r->session.who = &r->who;
    sp_arena_init(&r->session.arena, 0);
    r->exchange = (struct sp_exchange){.session = &r->session,
        .view = &r->view,
        .head = &r->head,
        .id = "id-1",
        .decision.rule_name = "the-rule",
        .decision.caller_name = "c"};
    configure(r, "identity_headers: [plain], headers: {X-Team: fixed}", "");
    *state = r;
    return 0;
}

static inline int tear_down(void **state)
{
    struct rig *r = *state;

    sp_exchange_unaim(&r->exchange);
    forget_configuration(r);
    sp_free(r);
    return 0;
}

/* Reads it, and sees what it asks for. */
static inline void read_request(struct rig *r, const char *text)
{
    struct sp_fault fault;
    char host[SP_HOST_MAX];
    size_t used;

    sp_h1_parser_reset(&r->parser);
    if (sp_h1_parse_request(&r->parser, &LIMITS, sp_slice_of(text), &r->head, &used, &fault) != SP_OK)
        fail_msg("the parser refuses it (%s): %s", fault.detail, text);
    sp_exchange_unaim(&r->exchange);
    if (sp_exchange_aim(&r->exchange, sp_host_canonical(r->head.host, host), &fault) != SP_OK)
        fail_msg("it asks for nothing that can be (%s): %s", fault.detail, text);
}

static inline void read_response(struct rig *r, enum sp_method method, const char *text)
{
    struct sp_fault fault;
    size_t used;

    sp_h1_parser_reset(&r->parser);
    if (sp_h1_parse_response(&r->parser, &LIMITS, method, sp_slice_of(text), &r->response, &used, &fault) !=
        SP_OK)
        fail_msg("the parser refuses it (%s): %s", fault.detail, text);
}

static inline size_t add_lines(char *to, size_t room, const struct sp_line *lines, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(
            to + at, room - at, "%.*s: %.*s\n", SP_FMT(lines[i].name), SP_FMT(lines[i].value));
    return at;
}

static inline const char *lines_of(struct rig *r, const struct sp_head_out *out)
{
    r->text[0] = '\0';
    size_t at = add_lines(r->text, sizeof(r->text), out->lines, out->line_count);
    add_lines(r->text + at, sizeof(r->text) - at, out->more, out->more_count);
    return r->text;
}

#endif
