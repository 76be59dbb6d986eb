/* A head as bytes. The last place where a name, a value or a target could split a message in two, so every byte
 * is judged here again, whoever wrote it; and the framing fields come from here alone. Lines that are the same in all heads of
 * a connection, a certificate among them, are judged here as well, but once (sp_lines_measure): that was a fifth of a request. */
#include "h1_conn.h"
#include "syntax.h"

struct writer {
    char *at, *end;
    bool failed;
};

static void put(struct writer *w, struct sp_slice s)
{
    if ((size_t)(w->end - w->at) < s.len) {
        w->failed = true;
        return;
    }
    if (s.len > 0)
        memcpy(w->at, s.ptr, s.len);
    w->at += s.len;
}

static void put_u64(struct writer *w, uint64_t value)
{
    char digits[20];
    size_t n = sizeof(digits);
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(w, (struct sp_slice){digits + n, sizeof(digits) - n});
}

/* Two ends of a body are one too many: nobody but the codec writes these. */
static bool is_ours(struct sp_slice name)
{
    if (name.len != sizeof("connection") - 1 && name.len != sizeof("content-length") - 1 &&
        name.len != sizeof("transfer-encoding") - 1)
        return false;
    enum sp_header_id id = sp_header_id_of(name);
    return id == SP_HDR_CONTENT_LENGTH || id == SP_HDR_TRANSFER_ENCODING || id == SP_HDR_CONNECTION;
}

static bool is_fit(const struct sp_line *line)
{
    return http_is_token(line->name) && sp_http_value_ok(line->value) && !is_ours(line->name);
}

static size_t size_of(const struct sp_line *line)
{
    return line->name.len + line->value.len + 4;
}

size_t sp_lines_measure(const struct sp_line *lines, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        if (!is_fit(&lines[i]))
            return 0;
        bytes += size_of(&lines[i]);
    }
    return bytes;
}

/* There is room. */
static char *copy_line(char *at, const struct sp_line *line)
{
    memcpy(at, line->name.ptr, line->name.len);
    at += line->name.len;
    *at++ = ':';
    *at++ = ' ';
    if (line->value.len > 0)
        memcpy(at, line->value.ptr, line->value.len);
    at += line->value.len;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static void put_lines(struct writer *w, const struct sp_line *lines, size_t count)
{
    for (size_t i = 0; i < count && !w->failed; i++) {
        if (is_fit(&lines[i]) && (size_t)(w->end - w->at) >= size_of(&lines[i]))
            w->at = copy_line(w->at, &lines[i]);
        else
            w->failed = true;
    }
}

static void put_measured(struct writer *w, const struct sp_line *lines, size_t count, size_t bytes)
{
    w->failed = w->failed || (size_t)(w->end - w->at) < bytes;
    for (size_t i = 0; i < count && !w->failed; i++)
        w->at = copy_line(w->at, &lines[i]);
}

static void put_request_line(struct writer *w, const struct sp_head_out *head)
{
    if (!http_is_token(head->method) || head->target.len == 0 || !http_all_of(head->target, CC_VISIBLE))
        w->failed = true;
    put(w, head->method);
    put(w, SP_SLICE(" "));
    put(w, head->target);
    put(w, SP_SLICE(" HTTP/1.1\r\n"));
}

static void put_status_line(struct writer *w, const struct sp_head_out *head)
{
    if (head->status < 100 || head->status > 999 || !sp_http_value_ok(head->reason))
        w->failed = true;
    put(w, SP_SLICE("HTTP/1.1 "));
    put_u64(w, head->status);
    put(w, SP_SLICE(" "));
    put(w, head->reason);
    put(w, SP_SLICE("\r\n"));
}

/* Connection, and the fields that it must name (RFC 9110 §7.8, §10.1.4). */
static void put_connection(struct writer *w, const struct sp_head_out *head, const struct h1_head_plan *plan)
{
    const struct sp_slice options[] = {plan->close ? SP_SLICE("close") : (struct sp_slice){NULL, 0},
        head->upgrade.ptr != NULL ? SP_SLICE("upgrade") : (struct sp_slice){NULL, 0},
        head->te_trailers ? SP_SLICE("TE") : (struct sp_slice){NULL, 0}};
    const char *before = "Connection: ";

    if (head->upgrade.ptr != NULL)
        put_lines(w, &(struct sp_line){SP_SLICE("Upgrade"), head->upgrade}, 1);
    if (head->te_trailers)
        put(w, SP_SLICE("TE: trailers\r\n"));
    for (size_t i = 0; i < SP_COUNTOF(options); i++) {
        if (options[i].ptr == NULL)
            continue;
        put(w, sp_slice_of(before));
        put(w, options[i]);
        before = ", ";
    }
    if (before[0] == ',')
        put(w, SP_SLICE("\r\n"));
}

size_t h1_write_head(char *out, size_t room, const struct sp_head_out *head, const struct h1_head_plan *plan)
{
    struct writer w = {out, out + room, false};
    if (head->method.ptr != NULL)
        put_request_line(&w, head);
    else
        put_status_line(&w, head);
    put_lines(&w, head->lines, head->line_count);
    if (head->more_bytes > 0)
        put_measured(&w, head->more, head->more_count, head->more_bytes);
    else
        put_lines(&w, head->more, head->more_count);
    if (plan->length) {
        put(&w, SP_SLICE("Content-Length: "));
        put_u64(&w, head->content_length);
        put(&w, SP_SLICE("\r\n"));
    }
    if (plan->chunked)
        put(&w, SP_SLICE("Transfer-Encoding: chunked\r\n"));
    if (head->expect_continue)
        put(&w, SP_SLICE("Expect: 100-continue\r\n"));
    put_connection(&w, head, plan);
    put(&w, SP_SLICE("\r\n"));
    return w.failed ? 0 : (size_t)(w.at - out);
}

size_t h1_write_trailers(char *out, size_t room, const struct sp_line *trailers, size_t count)
{
    struct writer w = {out, out + room, false};
    put(&w, SP_SLICE("0\r\n"));
    put_lines(&w, trailers, count);
    put(&w, SP_SLICE("\r\n"));
    return w.failed ? 0 : (size_t)(w.at - out);
}
