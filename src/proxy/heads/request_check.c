/* What a request is judged by beside the policy, and what it asks for. Changes of protocol are upgrade.c, the
 * head that goes on is request_head.c. */
#include "hop.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/text.h"
#include "sallyport/http/path.h"
#include "sallyport/match/rewrite.h"
#include "sallyport/proxy/request.h"

/* ---- fields ---- */

/* Removing one of these by way of Connection changes who the request is from, where it goes or where it ends. */
static bool must_stay(const struct sp_headers *headers, const struct sp_policy *policy, struct sp_slice token)
{
    static const char *const ESSENTIAL[] = {"host", "content-length", "transfer-encoding", "x-request-id",
        "authorization", "cookie", "expect", "via", "max-forwards"};

    for (size_t i = 0; i < SP_COUNTOF(ESSENTIAL); i++) {
        if (sp_slice_equal_nocase(token, sp_slice_of(ESSENTIAL[i])))
            return true;
    }
    return sp_headers_is_ours(headers, token) || sp_policy_looks_at(policy, token);
}

/* Gates in a row may share our name, and pass a request on; one that comes by so often goes round. */
#define VIA_US_MAX 16

static bool goes_round(const struct sp_head *head)
{
    size_t count = 0;

    for (size_t i = 0; i < head->header_count; i++) {
        struct sp_slice rest = head->headers[i].value, member;
        if (!sp_name_is_via(head->headers[i].name))
            continue;
        while (sp_field_list_next(&rest, &member))
            count += sp_slice_equal(member, sp_via_element(0)) || sp_slice_equal(member, sp_via_element(1));
    }
    return count >= VIA_US_MAX;
}

enum sp_rc sp_request_check(const struct sp_headers *headers, const struct sp_policy *policy,
    const struct sp_head *head, struct sp_fault *fault)
{
    struct sp_hop hop;

    sp_hop_read(head, &hop);
    *fault =
        (struct sp_fault){SP_REFUSAL_protected_header, 400, "Connection lists more fields than we look at"};
    if (hop.overflow)
        return SP_FAIL;
    fault->detail = "Connection names a field that must not be removed";
    for (size_t i = 0; i < hop.count; i++) {
        if (must_stay(headers, policy, hop.names[i]))
            return SP_FAIL;
    }
    *fault =
        (struct sp_fault){SP_REFUSAL_misdirected, 421, "the target's scheme is http on a TLS connection"};
    if (sp_slice_equal_nocase(head->scheme, SP_SLICE("http")))
        return SP_FAIL;
    *fault = (struct sp_fault){SP_REFUSAL_bad_target, 400, "a query without a path"};
    if (head->query.ptr != NULL && head->path.ptr + head->path.len + 1 != head->query.ptr)
        return SP_FAIL; /* "https://host?query": there is no path to forward as it came */
    *fault = (struct sp_fault){SP_REFUSAL_request_loop, 508, NULL};
    return goes_round(head) ? SP_FAIL : SP_OK;
}

/* ---- what is asked for ---- */

static struct sp_slice with_query(struct sp_slice path, const struct sp_head *head)
{
    return (struct sp_slice){path.ptr, path.len + (head->query.ptr != NULL ? 1 + head->query.len : 0)};
}

enum sp_rc sp_request_rewrite(const struct sp_config_listener *listener,
    const struct sp_config_limits *limits, const struct sp_head *head, struct sp_slice host,
    struct sp_request_target *out, struct sp_fault *fault)
{
    const struct sp_config_rewrite *r = NULL;
    size_t end = 0;

    /* path and query lie side by side in the head, with the '?' between them */
    *out = (struct sp_request_target){.path = head->path, .target = with_query(head->path, head)};
    if (listener != NULL)
        r = sp_rewrite_find(listener->rewrites, listener->rewrite_count, host, head->path, &end);
    if (r == NULL)
        return SP_OK;
    out->own = sp_alloc(1, SP_REWRITE_PREFIX_MAX + out->target.len);
    *fault = (struct sp_fault){SP_REFUSAL_overloaded, 503, "no memory for the rewritten path"};
    if (out->own == NULL)
        return SP_FAIL;
    if (sp_rewrite_apply(r, head->path, end, out->own, &out->path, fault) != SP_OK)
        goto fail;
    struct sp_slice rest = sp_slice_sub(out->target, head->path.len, out->target.len);
    if (rest.len > 0)
        memcpy(out->own + out->path.len, rest.ptr, rest.len);
    out->target = with_query(out->path, head);
    *fault = (struct sp_fault){
        SP_REFUSAL_target_too_long, 414, "the rewritten target is over limits.target_bytes"};
    if (out->target.len > limits->target_bytes)
        goto fail;
    if (r->replace[0] == '\0' && end > 0)
        out->prefix = sp_slice_sub(head->path, 0, end);
    return SP_OK;
fail:
    out->path = head->path;
    SP_FREE(out->own);
    return SP_FAIL;
}

bool sp_request_is_for_us(const struct sp_head *head)
{
    const struct sp_header *field = sp_head_find(head, SP_HDR_MAX_FORWARDS);
    uint64_t left;

    return head->method == SP_METHOD_OPTIONS && field != NULL && sp_parse_u64(field->value, &left) &&
           left == 0;
}
