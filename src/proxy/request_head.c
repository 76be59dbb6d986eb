/* From the client's request head to the backend's: hop-by-hop fields out first, then what only we may say, then
 * our own words last, so that nothing a client sends can delete or precede them. The path goes on byte for byte
 * as it was judged.
 *
 * A trusted proxy may say of its own clients what we leave unsaid then (sp_headers_may_pass); everything else of it is
 * stripped like anybody's.
 *
 * The lines borrow the client's input block and what was made of the session's identity; only an X-Forwarded-Client-Cert
 * that ours is added to is copied. */
#include <errno.h>

#include "proxy_impl.h"

#define TOKENS_MAX 16

struct tokens {
    struct sp_slice items[TOKENS_MAX];
    size_t count;
    bool overflow;
};

static void add_tokens(struct tokens *t, struct sp_slice list)
{
    struct sp_slice token;

    while (sp_field_list_next(&list, &token)) {
        if (t->count == TOKENS_MAX) {
            t->overflow = true;
            return;
        }
        t->items[t->count++] = token;
    }
}

/* The fields that Connection declares to be meant for this hop. */
static void connection_tokens(const struct sp_head *head, struct tokens *t)
{
    t->count = 0;
    t->overflow = false;
    for (size_t i = 0; i < head->header_count; i++) {
        if (head->headers[i].id == SP_HDR_CONNECTION)
            add_tokens(t, head->headers[i].value);
    }
}

static bool is_listed(const struct tokens *t, struct sp_slice name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (sp_slice_equal_nocase(t->items[i], name))
            return true;
    }
    return false;
}

/* Removing one of these by way of Connection changes who the request is from, where it goes or where it ends. */
static bool must_stay(const struct sp_headers *headers, const struct sp_policy *policy, struct sp_slice token)
{
    static const char *const ESSENTIAL[] = {
        "host", "content-length", "transfer-encoding", "x-request-id", "authorization", "cookie", "expect"};

    for (size_t i = 0; i < SP_COUNTOF(ESSENTIAL); i++) {
        if (sp_slice_equal_nocase(token, sp_slice_of(ESSENTIAL[i])))
            return true;
    }
    return sp_headers_is_ours(headers, token) || sp_policy_looks_at(policy, token);
}

enum sp_rc sp_request_check(const struct sp_headers *headers, const struct sp_policy *policy,
    const struct sp_head *head, struct sp_fault *fault)
{
    struct tokens tokens;

    connection_tokens(head, &tokens);
    *fault =
        (struct sp_fault){SP_REFUSAL_protected_header, 400, "Connection lists more fields than we look at"};
    if (tokens.overflow)
        return SP_FAIL;
    fault->detail = "Connection names a field that must not be removed";
    for (size_t i = 0; i < tokens.count; i++) {
        if (must_stay(headers, policy, tokens.items[i]))
            return SP_FAIL;
    }
    *fault =
        (struct sp_fault){SP_REFUSAL_misdirected, 421, "the target's scheme is http on a TLS connection"};
    if (sp_slice_equal_nocase(head->scheme, SP_SLICE("http")))
        return SP_FAIL;
    *fault = (struct sp_fault){SP_REFUSAL_bad_target, 400, "a query without a path"};
    if (head->query.ptr != NULL && head->path.ptr + head->path.len + 1 != head->query.ptr)
        return SP_FAIL; /* "https://host?query": there is no path to forward as it came */
    return SP_OK;
}

/* What a head is judged by on its way. */
struct way {
    const struct sp_headers *headers;
    size_t proxy; /* SP_NONE: no trusted one */
    struct tokens tokens;
};

/* Content-Length and Expect are said anew by the codec, the request id by us. */
static bool is_dropped(const struct way *way, const struct sp_header *h)
{
    switch (h->id) {
    case SP_HDR_CONTENT_LENGTH:
    case SP_HDR_EXPECT:
    case SP_HDR_X_REQUEST_ID:
    case SP_HDR_EARLY_DATA:
        return true;
    case SP_HDR_OTHER:
        return is_listed(&way->tokens, h->name) ||
               (sp_headers_is_ours(way->headers, h->name) &&
                   !sp_headers_may_pass(way->headers, way->proxy, h->name));
    default:
        return (sp_header_flags(h->id) & SP_HDR_HOP) != 0 || is_listed(&way->tokens, h->name);
    }
}

/* Origin-form, whatever form the client used. Path and query lie side by side in the input, with the '?'
 * between them. */
static struct sp_slice origin_form(const struct sp_head *head)
{
    size_t query_len = head->query.ptr != NULL ? 1 + head->query.len : 0;

    return (struct sp_slice){head->path.ptr, head->path.len + query_len};
}

#define XFCC SP_SLICE("X-Forwarded-Client-Cert")

/* Our element behind what a trusted proxy said in the one field that went on (sp_headers_check_passed has seen to that), or
 * alone. SP_FAIL: more than a head holds. */
static enum sp_rc add_xfcc(
    struct sp_worker *w, struct sp_slice element, struct sp_line *lines, size_t *count, struct sp_err *err)
{
    size_t i = 0;

    while (i < *count && !sp_slice_equal_nocase(lines[i].name, XFCC))
        i++;
    if (i == *count || lines[i].value.len == 0) {
        *count += i == *count;
        lines[i] = (struct sp_line){XFCC, element};
        return SP_OK;
    }
    struct sp_slice theirs = lines[i].value;
    if (theirs.len + 1 + element.len > sizeof(w->xfcc))
        return sp_err_sys(err, EMSGSIZE, "X-Forwarded-Client-Cert");
    memcpy(w->xfcc, theirs.ptr, theirs.len);
    w->xfcc[theirs.len] = ',';
    memcpy(w->xfcc + theirs.len + 1, element.ptr, element.len);
    lines[i].value = (struct sp_slice){w->xfcc, theirs.len + 1 + element.len};
    return SP_OK;
}

enum sp_rc sp_request_head_out(struct sp_exchange *x, struct sp_head_out *out, struct sp_err *err)
{
    struct sp_session *s = x->session;
    struct sp_line *lines = s->worker->lines;
    const struct sp_head *head = x->head;
    const struct sp_header_lines *identity = sp_identity_lines_of(s, x->decision.upstream, err);
    struct way way = {.headers = x->view->snapshot->headers, .proxy = sp_proxy_of(s)};
    size_t count = 0;

    if (identity == NULL)
        return SP_FAIL;
    connection_tokens(head, &way.tokens);
    for (size_t i = 0; i < head->header_count; i++) {
        if (!is_dropped(&way, &head->headers[i]))
            lines[count++] = (struct sp_line){head->headers[i].name, head->headers[i].value};
    }
    if (identity->xfcc_element.ptr != NULL &&
        add_xfcc(s->worker, identity->xfcc_element, lines, &count, err) != SP_OK)
        return SP_FAIL;
    lines[count++] = (struct sp_line){SP_SLICE("X-Request-Id"), sp_slice_of(x->id)};
    count += sp_headers_of_decision(
        way.headers, x->decision.upstream, x->decision.rule_name, x->decision.caller_name, lines + count);
    *out = (struct sp_head_out){
        .method = head->method_text,
        .target = origin_form(head),
        .lines = lines,
        .line_count = count,
        .more = identity->lines,
        .more_count = identity->count,
        .framing = head->framing,
        .content_length = head->content_length,
        .announce_length = head->has_content_length,
        .expect_continue = head->expect_continue,
    };
    return SP_OK;
}
