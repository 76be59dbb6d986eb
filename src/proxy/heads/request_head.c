/* From the client's request head to the backend's, in this order:
 *
 *   1. what the client said, without hop-by-hop fields and without what only we may say; Host as the upstream wants it
 *   2. the edits of the rule that allows it
 *   3. our own words: request id, decision, forwarding, identity
 *
 * so that nothing that a client sends or a rule edits can delete or precede what we say. The path goes on byte for byte
 * as it was judged.
 *
 * A trusted proxy may say of its own clients what we leave unsaid then (sp_headers_may_pass); everything else of it is
 * stripped like anybody's.
 *
 * The lines borrow the client's input block and what was made of the session's identity; only values that are made of
 * two are copied. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "hop.h"
#include "sallyport/base/text.h"
#include "sallyport/proxy/request.h"

/* What is being made. */
struct head {
    const struct sp_request_way *way;
    const struct sp_config_upstream *upstream;
    struct sp_hop hop;
    struct sp_request_room *room;
    size_t count;
};

static void put(struct head *h, struct sp_slice name, struct sp_slice value)
{
    h->room->lines[h->count++] = (struct sp_line){name, value};
}

/* ---- what the client said ---- */

static bool is_dropped_by_name(const struct head *h, const struct sp_header *field)
{
    const struct sp_request_way *way = h->way;

    if (sp_hop_lists(&h->hop, field->name))
        return true;
    if (sp_headers_is_ours(way->headers, field->name))
        return !sp_headers_may_pass(way->headers, way->proxy, field->name);
    if (sp_name_is_trace(field->name))
        return !sp_trace_keeps(way->trace);
    return (h->upstream->forwarding_headers & SP_FORWARDING_VIA) != 0 && sp_name_is_via(field->name) &&
           !sp_via_is_good(field->value);
}

/* Content-Length and Expect are said anew by the codec, the request id by us. */
static bool is_dropped(const struct head *h, const struct sp_header *field)
{
    switch (field->id) {
    case SP_HDR_CONTENT_LENGTH:
    case SP_HDR_EXPECT:
    case SP_HDR_X_REQUEST_ID:
    case SP_HDR_EARLY_DATA:
        return true;
    case SP_HDR_OTHER:
        return is_dropped_by_name(h, field);
    default:
        return (sp_header_flags(field->id) & SP_HDR_HOP) != 0 || sp_hop_lists(&h->hop, field->name);
    }
}

/* One less, in an OPTIONS; in anything else it has no meaning. That there is one left was seen (sp_request_is_for_us). */
static struct sp_slice fewer_forwards(struct head *h, struct sp_slice value)
{
    uint64_t left;

    if (h->way->head->method != SP_METHOD_OPTIONS || !sp_parse_u64(value, &left) || left == 0)
        return value;
    (void)snprintf(h->room->max_forwards, sizeof(h->room->max_forwards), "%" PRIu64, left - 1);
    return sp_slice_of(h->room->max_forwards);
}

static void put_theirs(struct head *h)
{
    const struct sp_head *head = h->way->head;

    for (size_t i = 0; i < head->header_count; i++) {
        const struct sp_header *field = &head->headers[i];
        if (is_dropped(h, field))
            continue;
        struct sp_slice value = field->value;
        if (field->id == SP_HDR_HOST && h->upstream->host != NULL)
            value = sp_slice_of(h->upstream->host);
        else if (field->id == SP_HDR_MAX_FORWARDS)
            value = fewer_forwards(h, value);
        put(h, field->name, value);
    }
    if (h->way->trace->made[0] != '\0')
        put(h, SP_SLICE("traceparent"), sp_slice_of(h->way->trace->made));
}

/* ---- our own words ---- */

#define XFCC SP_SLICE("X-Forwarded-Client-Cert")

/* Our element behind what a trusted proxy said in the one field that went on (sp_headers_check_passed has seen to that), or
 * alone. SP_FAIL: more than a head holds. */
static enum sp_rc add_xfcc(struct head *h, struct sp_slice element, struct sp_err *err)
{
    struct sp_line *lines = h->room->lines;
    char *room = h->room->xfcc;
    size_t i = 0;

    while (i < h->count && !sp_slice_equal_nocase(lines[i].name, XFCC))
        i++;
    if (i == h->count || lines[i].value.len == 0) {
        h->count += i == h->count;
        lines[i] = (struct sp_line){XFCC, element};
        return SP_OK;
    }
    struct sp_slice theirs = lines[i].value;
    if (theirs.len + 1 + element.len > sizeof(h->room->xfcc))
        return sp_err_sys(err, EMSGSIZE, "X-Forwarded-Client-Cert");
    memcpy(room, theirs.ptr, theirs.len);
    room[theirs.len] = ',';
    memcpy(room + theirs.len + 1, element.ptr, element.len);
    lines[i].value = (struct sp_slice){room, theirs.len + 1 + element.len};
    return SP_OK;
}

static enum sp_rc add_forwarding(struct head *h, struct sp_err *err)
{
    const struct sp_request_way *way = h->way;
    const struct sp_forwarding_about about = {.which = h->upstream->forwarding_headers,
        .head = way->head,
        .client = way->source,
        .port = way->port,
        .prefix = way->target->prefix,
        .continues = way->proxy < way->config->trusted_proxy_count &&
                     way->config->trusted_proxies[way->proxy].keeps_forwarded};
    size_t count;

    if (sp_forwarding_make(&about, h->room->forwarding, sizeof(h->room->forwarding),
            h->room->lines + h->count, &count, err) != SP_OK)
        return SP_FAIL;
    h->count += count;
    return SP_OK;
}

static enum sp_rc put_ours(struct head *h, struct sp_err *err)
{
    const struct sp_request_way *way = h->way;
    const struct sp_decision *d = way->decision;

    if (way->identity->xfcc_element.ptr != NULL && add_xfcc(h, way->identity->xfcc_element, err) != SP_OK)
        return SP_FAIL;
    if (way->id != NULL)
        put(h, SP_SLICE("X-Request-Id"), sp_slice_of(way->id));
    h->count += sp_headers_of_decision(
        way->headers, d->upstream, d->rule_name, d->caller_name, h->room->lines + h->count);
    return add_forwarding(h, err);
}

enum sp_rc sp_request_head_make(const struct sp_request_way *way, struct sp_request_room *room,
    struct sp_head_out *out, struct sp_err *err)
{
    struct head h = {.way = way, .upstream = &way->config->upstreams[way->decision->upstream], .room = room};
    const struct sp_head *head = way->head;

    sp_hop_read(head, &h.hop);
    put_theirs(&h);
    sp_edits_apply(way->config->rules[way->decision->rule].request_headers, room->lines, &h.count);
    if (put_ours(&h, err) != SP_OK)
        return SP_FAIL;
    *out = (struct sp_head_out){
        .method = head->method_text,
        .target = way->target->target,
        .lines = room->lines,
        .line_count = h.count,
        .more = way->identity->lines,
        .more_count = way->identity->count,
        .more_bytes = way->identity->bytes,
        .framing = head->framing,
        .content_length = head->content_length,
        .announce_length = head->has_content_length,
        .expect_continue = head->expect_continue,
        .te_trailers = h.upstream->pass_trailers && head->te_trailers,
        .upgrade = way->upgrade,
    };
    return SP_OK;
}
