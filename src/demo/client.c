/* The client that --run-once asks with: a request on a connection of its own, or on one that an earlier case has
 * kept open.
 *
 * In TLS 1.3 the client's handshake is over before the server has looked at its certificate, so a refusal
 * arrives as an alert on the first read. A client that has already sent its request by then may lose the alert
 * to a connection reset (data that nobody read makes the kernel send one), so where a refusal is expected
 * nothing is sent before that read. */
#include <errno.h>

#include "connection.h"
#include "sallyport/base/clock.h"
#include "sallyport/http/h1_parse.h"

#define ANSWER_MAX (1024 * 1024)
#define KEPT_MAX   4

static const struct sp_h1_limits LIMITS = {
    .header_bytes = 32768, .headers = SP_HEADERS_MAX, .target_bytes = 8192};

struct sp_demo_client {
    const struct sp_demo_folder *folder;
    struct kept {
        const char *who;
        struct sp_demo_connection connection; /* closed once it was seen to end; its ticket stays */
    } kept[KEPT_MAX];
    size_t kept_count;
};

const char *sp_demo_alert_name(unsigned alert)
{
    static const struct {
        unsigned number;
        const char *name;
    } NAMES[] = {{40, "handshake_failure"}, {42, "bad_certificate"}, {43, "unsupported_certificate"},
        {44, "certificate_revoked"}, {45, "certificate_expired"}, {46, "certificate_unknown"},
        {47, "illegal_parameter"}, {48, "unknown_ca"}, {51, "decrypt_error"}, {70, "protocol_version"},
        {80, "internal_error"}, {112, "unrecognized_name"}, {116, "certificate_required"},
        {120, "no_application_protocol"}};

    for (size_t i = 0; i < SP_COUNTOF(NAMES); i++) {
        if (NAMES[i].number == alert)
            return NAMES[i].name;
    }
    return "alert";
}

/* ---- request and answer ---- */

static bool stays_open(const struct sp_demo_case *c)
{
    return c->over == SP_DEMO_KEEP || c->over == SP_DEMO_KEPT;
}

static const char *name_of(const struct sp_demo_case *c)
{
    return c->name != NULL ? c->name : SP_DEMO_NAME;
}

static enum sp_rc send_request(struct sp_demo_connection *l, const struct sp_addr *to,
    const struct sp_demo_case *c, struct sp_demo_answer *out, struct sp_err *err)
{
    struct sp_buf text = {0};

    sp_buf_printf(&text, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: sallyport-demo\r\n", c->method,
        c->path, c->host != NULL ? c->host : name_of(c), (unsigned)sp_addr_port(to));
    if (c->header != NULL)
        sp_buf_printf(&text, "%s\r\n", c->header);
    if (c->body != NULL)
        sp_buf_printf(&text, "Content-Length: %zu\r\n", strlen(c->body));
    if (!stays_open(c))
        sp_buf_add_str(&text, "Connection: close\r\n");
    sp_buf_printf(&text, "\r\n%s", c->body != NULL ? c->body : "");
    enum sp_rc rc = text.failed ? sp_err_set(err, "not enough memory")
                                : sp_demo_connection_send(l, sp_buf_slice(&text), out, err);
    sp_buf_free(&text);
    return rc;
}

static enum sp_rc read_body(const struct sp_head *head, struct sp_slice in, struct sp_buf *body)
{
    struct sp_h1_body reader;
    struct sp_fault fault;
    struct sp_slice data;
    size_t used;
    enum sp_rc rc;

    sp_buf_reset(body);
    sp_h1_body_init(&reader, head->framing, head->content_length);
    do {
        rc = sp_h1_body_next(&reader, in, &used, &data, &fault);
        in = sp_slice_sub(in, used, in.len);
        if (rc == SP_OK)
            rc = sp_buf_add_slice(body, data);
    } while (rc == SP_OK && in.len > 0);
    if (rc == SP_OK)
        rc = sp_h1_body_next(&reader, in, &used, &data, &fault);
    return rc;
}

/* From the start each time: answers are small, and few. SP_OK: all of it is there. */
static enum sp_rc read_answer(const struct sp_demo_case *c, struct sp_demo_answer *out, struct sp_err *err)
{
    struct sp_slice in = sp_buf_slice(&out->raw);
    struct sp_h1_parser parser;
    struct sp_head head;
    struct sp_fault fault = {0};
    size_t used;

    sp_h1_parser_reset(&parser);
    enum sp_rc rc = sp_h1_parse_response(
        &parser, &LIMITS, sp_method_of(sp_slice_of(c->method)), in, &head, &used, &fault);
    if (rc == SP_OK) {
        out->status = head.status;
        out->phrase = head.reason;
        rc = read_body(&head, sp_slice_sub(in, used, in.len), &out->body);
    }
    if (rc == SP_FAIL)
        return sp_err_set(
            err, "the answer is malformed: %s", fault.detail != NULL ? fault.detail : "its body");
    return rc == SP_AGAIN ? SP_AGAIN : SP_OK;
}

static enum sp_rc wait_for_answer(struct sp_demo_connection *l, const struct sp_demo_case *c,
    struct sp_demo_answer *out, struct sp_err *err)
{
    uint64_t deadline = sp_mono_ms() + SP_DEMO_WAIT_SECONDS * 1000;

    for (;;) {
        enum sp_rc rc = sp_demo_connection_read(l, out, err);
        if (rc == SP_EOF)
            return SP_EOF;
        if (rc == SP_OK)
            rc = read_answer(c, out, err);
        if (rc != SP_AGAIN)
            return rc;
        if (sp_mono_ms() >= deadline)
            return sp_err_sys(err, ETIMEDOUT, "waiting for an answer");
    }
}

/* ---- whose connection ---- */

static struct kept *find_kept(struct sp_demo_client *client, const char *who)
{
    for (size_t i = 0; i < client->kept_count; i++) {
        if (strcmp(client->kept[i].who, who) == 0)
            return &client->kept[i];
    }
    return NULL;
}

static enum sp_rc talk(struct sp_demo_connection *l, const struct sp_addr *to, const struct sp_demo_case *c,
    struct sp_demo_answer *out, struct sp_err *err)
{
    if (c->alert == 0) {
        enum sp_rc rc = send_request(l, to, c, out, err);
        if (rc != SP_OK)
            return rc;
    }
    return wait_for_answer(l, c, out, err);
}

static enum sp_rc talk_anew(struct sp_demo_client *client, const struct sp_addr *to,
    const struct sp_demo_case *c, struct sp_demo_answer *out, struct sp_err *err)
{
    struct kept *before = c->over == SP_DEMO_RETURN ? find_kept(client, c->who) : NULL;
    SSL_SESSION *ticket = before != NULL ? before->connection.ticket : NULL;
    struct sp_demo_connection l;

    enum sp_rc rc = sp_demo_connection_open(&l, to, err);
    memcpy(out->local, l.local, sizeof(out->local));
    if (rc == SP_OK && c->over == SP_DEMO_RETURN && ticket == NULL)
        rc = sp_err_set(err, "%s was given no session ticket", c->who);
    if (rc == SP_OK && !c->plain)
        rc = sp_demo_connection_secure(&l, client->folder, c->who, name_of(c), ticket, out, err);
    if (rc == SP_OK)
        rc = talk(&l, to, c, out, err);
    if (rc == SP_OK && c->over == SP_DEMO_KEEP && client->kept_count < KEPT_MAX) {
        sp_demo_connection_take_ticket(&l);
        client->kept[client->kept_count++] = (struct kept){c->who, l};
    } else {
        sp_demo_connection_free(&l);
    }
    return rc;
}

/* The end of a kept connection itself is the answer, and must come in order: an alert or a bare FIN is none. */
static enum sp_rc await_end(struct sp_demo_connection *l, struct sp_demo_answer *out, struct sp_err *err)
{
    enum sp_rc rc = sp_demo_connection_read(l, out, err);

    sp_demo_connection_close(l);
    if (rc == SP_OK)
        return sp_err_set(err, "the connection was not closed: it went on");
    out->closed = rc == SP_EOF && out->alert == 0;
    return rc;
}

static enum sp_rc talk_on(struct sp_demo_client *client, const struct sp_addr *to,
    const struct sp_demo_case *c, struct sp_demo_answer *out, struct sp_err *err)
{
    struct kept *kept = find_kept(client, c->who);

    if (kept == NULL || kept->connection.ssl == NULL)
        return sp_err_set(err, "%s has no open connection", c->who);
    memcpy(out->local, kept->connection.local, sizeof(out->local));
    return c->over == SP_DEMO_REVOKED ? await_end(&kept->connection, out, err)
                                      : talk(&kept->connection, to, c, out, err);
}

enum sp_rc sp_demo_ask(struct sp_demo_client *client, const struct sp_addr *to, const struct sp_demo_case *c,
    struct sp_demo_answer *out, struct sp_err *err)
{
    bool is_open = c->over == SP_DEMO_KEPT || c->over == SP_DEMO_REVOKED;

    *out = (struct sp_demo_answer){0};
    sp_buf_init(&out->raw, ANSWER_MAX);
    sp_buf_init(&out->body, ANSWER_MAX);
    enum sp_rc rc = is_open ? talk_on(client, to, c, out, err) : talk_anew(client, to, c, out, err);
    if (rc == SP_EOF && out->alert == 0 && !out->closed)
        rc = sp_err_set(err, "the connection was closed without an answer");
    return rc == SP_EOF ? SP_OK : rc;
}

void sp_demo_answer_free(struct sp_demo_answer *a)
{
    sp_buf_free(&a->raw);
    sp_buf_free(&a->body);
    *a = (struct sp_demo_answer){0};
}

struct sp_demo_client *sp_demo_client_new(const struct sp_demo_folder *f)
{
    struct sp_demo_client *client = SP_NEW(struct sp_demo_client);

    if (client != NULL)
        client->folder = f;
    return client;
}

void sp_demo_client_free(struct sp_demo_client *client)
{
    for (size_t i = 0; client != NULL && i < client->kept_count; i++)
        sp_demo_connection_free(&client->kept[i].connection);
    sp_free(client);
}
