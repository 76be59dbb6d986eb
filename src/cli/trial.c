/* The walk of a request (docs/architecture.md) without a connection: SNI to host, chain, identity, head, 421, standing,
 * decision, headers. Every verdict is asked of the code that the daemon asks; what is here is only the order, which is
 * that of gate/handshake.c and proxy/exchange.c; trial_defaults.c has the defaults. */
#include <errno.h>
#include <stdio.h>

#include "sallyport/http/h1_parse.h"
#include "sallyport/http/path.h"
#include "trial_walk.h"

enum sp_rc sp_walk_cannot(struct sp_walk *w, const char *what, const char *why)
{
    const struct sp_try *a = w->t->asked;

    if (a->file != NULL)
        sp_diag_add(w->diags, SP_DIAG_ERROR, a->file, a->at, "case \"%s\": %s: %s", a->name, what, why);
    else
        sp_diag_add(w->diags, SP_DIAG_ERROR, NULL, (struct sp_pos){0, 0}, "%s: %s", what, why);
    return SP_FAIL;
}

enum sp_rc sp_walk_no_memory(struct sp_walk *w)
{
    return sp_walk_cannot(w, "this try", "not enough memory");
}

/* SP_EOF: the walk is at its end. */
static enum sp_rc refused(
    struct sp_walk *w, enum sp_trial_stage stage, enum sp_refusal reason, unsigned status, const char *detail)
{
    struct sp_trial *t = w->t;

    t->stage = stage;
    t->reason = reason;
    t->status = status;
    snprintf(t->detail, sizeof(t->detail), "%s", detail != NULL ? detail : "");
    return SP_EOF;
}

/* ---- the handshake ---- */

static void keep_step(void *arg, const struct sp_trust_step *step)
{
    struct sp_walk *w = arg;
    struct sp_arena *arena = &w->t->arena;
    struct sp_trial_step *kept = sp_arena_alloc(arena, 1, sizeof(*kept)), **end = &w->t->steps;

    if (kept == NULL)
        return;
    kept->step = *step;
    kept->step.subject = sp_arena_copy(arena, sp_slice_of(step->subject)).ptr;
    kept->step.issuer = sp_arena_copy(arena, sp_slice_of(step->issuer)).ptr;
    kept->step.serial = sp_arena_copy(arena, sp_slice_of(step->serial)).ptr;
    kept->step.detail = sp_arena_copy(arena, sp_slice_of(step->detail)).ptr;
    if (kept->step.subject == NULL || kept->step.issuer == NULL || kept->step.serial == NULL ||
        kept->step.detail == NULL)
        return;
    while (*end != NULL)
        end = &(*end)->next;
    *end = kept;
}

static enum sp_rc judge_certificate(struct sp_walk *w)
{
    struct sp_trial *t = w->t;
    struct sp_verdict verdict = {.accepted = false};
    struct sp_err err = {0};
    struct sp_trust *trust = sp_offline_trust(w->o, w->listener, t->host, t->asked->now, w->diags);

    if (trust == NULL)
        return SP_FAIL;
    enum sp_rc rc = sp_trust_inspect(
        trust, t->asked->cert, SP_PURPOSE_CLIENT, t->now, keep_step, w, &verdict, &t->identity, &err);
    sp_trust_free(trust);
    if (rc != SP_OK)
        return sp_walk_cannot(w, "this certificate", err.text);
    return verdict.accepted ? SP_OK : refused(w, SP_TRIAL_HANDSHAKE, verdict.reason, 0, verdict.detail);
}

static enum sp_rc shake_hands(struct sp_walk *w)
{
    struct sp_trial *t = w->t;
    const struct sp_config_host *host = &t->listener->hosts[t->host];
    struct sp_err err = {0};
    bool known = true;

    if (t->host == 0 && t->sni[0] != '\0' && t->listener->reject_unknown_sni) {
        struct sp_identity *shown = sp_walk_shown_certificate(host, t->sni, &known, &err);
        if (shown == NULL)
            return sp_walk_cannot(w, "what clients are shown", err.text);
        sp_identity_free(shown);
    }
    if (!known)
        return refused(w, SP_TRIAL_HANDSHAKE, SP_REFUSAL_unknown_sni, 0, t->sni);
    if (t->asked->cert != NULL)
        return judge_certificate(w);
    if (t->asked->identity != NULL)
        return sp_identity_from_fields(t->asked->identity, &t->identity, &err) == SP_OK
                   ? SP_OK
                   : sp_walk_cannot(w, "this identity", err.text);
    return host->client_auth.mode == SP_AUTH_OPTIONAL
               ? SP_OK
               : refused(w, SP_TRIAL_HANDSHAKE, SP_REFUSAL_no_certificate, 0, NULL);
}

/* ---- the request ---- */

/* As a client would write it, read by the parser of the daemon. */
static enum sp_rc parse_request(struct sp_walk *w)
{
    const struct sp_config_limits *limits = &w->o->config->limits;
    const struct sp_h1_limits bounds = {limits->header_bytes, limits->headers, limits->target_bytes};
    struct sp_trial *t = w->t;
    struct sp_h1_parser parser;
    struct sp_fault fault = {SP_REFUSAL_bad_request_line, 400, "the head has no end"};
    struct sp_buf text = {0};
    size_t used;

    sp_buf_printf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", t->method, t->path, t->host_text);
    for (size_t i = 0; i < t->asked->header_count; i++)
        sp_buf_printf(&text, "%s: %s\r\n", t->asked->headers[i].name, t->asked->headers[i].value);
    if (t->asked->upgrade != NULL)
        sp_buf_printf(&text, "Connection: Upgrade\r\nUpgrade: %s\r\n", t->asked->upgrade);
    sp_buf_add_str(&text, "\r\n");
    struct sp_slice kept =
        text.failed ? (struct sp_slice){NULL, 0} : sp_arena_copy(&t->arena, sp_buf_slice(&text));
    sp_buf_free(&text);
    if (kept.ptr == NULL)
        return sp_walk_no_memory(w);
    sp_h1_parser_reset(&parser);
    if (sp_h1_parse_request(&parser, &bounds, kept, &t->head, &used, &fault) != SP_OK ||
        sp_request_check(w->o->headers, w->o->policy, &t->head, &fault) != SP_OK)
        return refused(w, SP_TRIAL_REQUEST, fault.reason, fault.status, fault.detail);
    return SP_OK;
}

static enum sp_rc check_host(struct sp_walk *w, struct sp_slice canonical)
{
    struct sp_trial *t = w->t;
    size_t host = sp_config_host_of(t->listener, canonical);

    if (host == t->host)
        return SP_OK;
    struct sp_trust *a = sp_offline_trust(w->o, w->listener, host, INT64_MAX, w->diags);
    struct sp_trust *b = sp_offline_trust(w->o, w->listener, t->host, INT64_MAX, w->diags);
    sp_trust_free(a);
    sp_trust_free(b);
    if (a == NULL || b == NULL)
        return SP_FAIL;
    if (sp_snapshot_hosts_agree(&w->o->listeners[w->listener], host, t->host))
        return SP_OK;
    (void)refused(w, SP_TRIAL_REQUEST, SP_REFUSAL_misdirected, 421, NULL);
    snprintf(t->detail, sizeof(t->detail),
        "the connection asked for %s, and the clients of %.*s prove themselves otherwise",
        t->sni[0] != '\0' ? t->sni : "no name", SP_FMT(canonical));
    return SP_EOF;
}

static enum sp_rc read_request(struct sp_walk *w)
{
    char canonical[SP_HOST_MAX];
    struct sp_trial *t = w->t;
    struct sp_fault fault;

    t->request = (struct sp_policy_request){.is_tcp = t->is_tcp, .host = sp_slice_of(t->sni)};
    enum sp_rc rc = t->is_tcp ? SP_EOF : parse_request(w);
    if (t->is_tcp || rc != SP_OK)
        return t->is_tcp ? SP_OK : rc;
    struct sp_slice host = sp_arena_copy(&t->arena, sp_host_canonical(t->head.host, canonical));
    if (host.ptr == NULL)
        return sp_walk_no_memory(w);
    if (sp_request_rewrite(t->listener, &w->o->config->limits, &t->head, host, &t->target, &fault) != SP_OK)
        return refused(w, SP_TRIAL_REQUEST, fault.reason, fault.status, fault.detail);
    t->request = (struct sp_policy_request){.host = host,
        .path = t->target.path,
        .method = t->head.method_text,
        .headers = t->head.headers,
        .header_count = t->head.header_count};
    return check_host(w, host);
}

/* ---- rules, headers ---- */

struct sp_connection sp_trial_connection(const struct sp_trial *t)
{
    return (struct sp_connection){
        .identity = t->identity, .listener = t->listener->name, .source = &t->source};
}

struct sp_caller_ids sp_trial_callers(const struct sp_trial *t)
{
    return t->standing != NULL ? sp_standing_callers(t->standing) : (struct sp_caller_ids){NULL, 0};
}

/* Does any caller that it is ask something of the certificate? */
static bool require_of_callers(const struct sp_walk *w)
{
    struct sp_caller_ids ids = sp_trial_callers(w->t);

    for (size_t i = 0; i < ids.count; i++) {
        if (w->o->config->callers[ids.items[i]].require != NULL)
            return true;
    }
    return false;
}

static enum sp_rc decide(struct sp_walk *w)
{
    struct sp_trial *t = w->t;
    const struct sp_connection c = sp_trial_connection(t);
    const uint64_t most = w->o->config->limits.body_bytes;
    struct sp_fault fault;

    t->standing = sp_policy_stand(w->o->policy, &c);
    if (t->standing == NULL)
        return sp_walk_no_memory(w);
    t->is_required_of = require_of_callers(w);
    if (!t->is_tcp &&
        sp_headers_check_passed(w->o->headers, sp_standing_proxy(t->standing), &t->head, &fault) != SP_OK)
        return refused(w, SP_TRIAL_REQUEST, fault.reason, fault.status, fault.detail);
    sp_policy_decide(t->standing, &t->request, &t->decision);
    if (!t->decision.allowed)
        return refused(
            w, SP_TRIAL_RULES, t->decision.reason, t->is_tcp ? 0 : t->decision.status, t->decision.detail);
    if (t->is_tcp)
        return SP_OK;
    if (most != 0 && t->head.framing == SP_FRAMING_LENGTH && t->head.content_length > most)
        return refused(
            w, SP_TRIAL_REQUEST, SP_REFUSAL_body_too_large, 413, "Content-Length is over limits.body_bytes");
    if (sp_request_check_upgrade(&t->head, &w->o->config->rules[t->decision.rule], &t->upgrade, &fault) !=
        SP_OK)
        return refused(w, SP_TRIAL_RULES, fault.reason, fault.status, fault.detail);
    t->is_for_us = sp_request_is_for_us(&t->head);
    return SP_OK;
}

/* What is said of the client, whatever it asks for. */
static enum sp_rc make_identity(struct sp_walk *w, struct sp_err *err)
{
    struct sp_trial *t = w->t;
    bool known;
    struct sp_identity *shown = sp_walk_shown_certificate(&t->listener->hosts[t->host], t->sni, &known, err);
    struct sp_headers_about about = {.identity = t->identity,
        .listener = t->listener->name,
        .sni = t->sni,
        .tls = "TLSv1.3",
        .proxy = sp_standing_proxy(t->standing)};

    if (shown != NULL && shown->uris.count > 0)
        about.own_uri = sp_arena_copy(&t->arena, shown->uris.items[0]);
    sp_identity_free(shown);
    *err = (struct sp_err){0};
    return sp_headers_make(w->o->headers, t->decision.upstream, &about, &t->arena, &t->lines, err);
}

/* A new trace would be begun out of random bytes; these are as good. */
static const uint64_t NOT_RANDOM[3] = {1, 1, 1};

/* The head as the daemon makes it, but for the request id. */
static enum sp_rc make_head(struct sp_walk *w, struct sp_err *err)
{
    struct sp_trial *t = w->t;
    struct sp_request_room *room = sp_arena_alloc(&t->arena, 1, sizeof(*room));
    struct sp_trace *trace = sp_arena_alloc(&t->arena, 1, sizeof(*trace));
    const struct sp_request_way way = {.config = w->o->config,
        .headers = w->o->headers,
        .head = &t->head,
        .target = &t->target,
        .decision = &t->decision,
        .identity = &t->lines,
        .proxy = sp_standing_proxy(t->standing),
        .source = &t->source,
        .port = sp_addr_port(&t->listener->address),
        .trace = trace,
        .upgrade = t->upgrade};

    if (room == NULL || trace == NULL)
        return sp_err_sys(err, ENOMEM, "the head");
    sp_trace_read(&t->head, NOT_RANDOM, trace);
    return sp_request_head_make(&way, room, &t->out, err);
}

static enum sp_rc make_headers(struct sp_walk *w)
{
    struct sp_err err = {0};

    if (w->t->is_tcp || w->t->is_for_us)
        return SP_OK;
    if (make_identity(w, &err) == SP_OK && make_head(w, &err) == SP_OK)
        return SP_OK;
    if (err.sys == EMSGSIZE)
        return refused(w, SP_TRIAL_HEADERS, SP_REFUSAL_identity_too_large, 431,
            "the request head with its identity is over 32 KiB");
    if (err.sys != 0)
        return sp_walk_no_memory(w);
    return refused(w, SP_TRIAL_HEADERS, SP_REFUSAL_identity_not_expressible, 403, err.text);
}

enum sp_rc sp_trial_run(
    struct sp_offline *o, const struct sp_try *asked, struct sp_trial *out, struct sp_diags *diags)
{
    static enum sp_rc (*const STEPS[])(struct sp_walk * w) = {
        sp_walk_set_out, shake_hands, read_request, decide, make_headers};
    struct sp_walk w = {o, out, diags, 0};

    memset(out, 0, sizeof(*out));
    sp_arena_init(&out->arena, 0);
    out->asked = asked;
    for (size_t i = 0; i < SP_COUNTOF(STEPS); i++) {
        enum sp_rc rc = STEPS[i](&w);
        if (rc != SP_OK)
            return rc == SP_EOF ? SP_OK : SP_FAIL;
    }
    out->stage = SP_TRIAL_UPSTREAM;
    return SP_OK;
}

void sp_trial_free(struct sp_trial *t)
{
    sp_standing_free(t->standing);
    t->standing = NULL;
    SP_FREE(t->target.own);
    sp_identity_free(t->identity);
    t->identity = NULL;
    sp_arena_free(&t->arena);
}
