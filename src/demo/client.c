/* The client that --run-once asks with: one request on one connection, TLS 1.3 with a certificate, or plain. It
 * blocks, within limits: there is nothing else to do meanwhile.
 *
 * In TLS 1.3 the client's handshake is over before the server has looked at its certificate, so a refusal
 * arrives as an alert on the first read. A client that has already sent its request by then may lose the alert
 * to a connection reset (data that nobody read makes the kernel send one), so where a refusal is expected
 * nothing is sent before that read. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/time.h>
#include <unistd.h>

#include "certificate.h"
#include "demo_impl.h"
#include "sallyport/base/clock.h"
#include "sallyport/http/h1_parse.h"

#define WAIT_SECONDS 10
#define ANSWER_MAX   (1024 * 1024)
#define READ_MAX     16384

static const struct sp_h1_limits LIMITS = {
    .header_bytes = 32768, .headers = SP_HEADERS_MAX, .target_bytes = 8192};

struct line {
    int fd;
    SSL_CTX *context;
    SSL *ssl; /* NULL: plain */
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

/* ---- the connection ---- */

static enum sp_rc open_socket(
    struct line *l, const struct sp_addr *to, char local[SP_ADDR_TEXT], struct sp_err *err)
{
    struct timeval wait = {.tv_sec = WAIT_SECONDS};
    struct sp_addr ours = {.len = sizeof(ours.u)};

    l->fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return sp_err_sys(err, errno, "socket");
    if (setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
        setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0)
        return sp_err_sys(err, errno, "socket");
    if (connect(l->fd, &to->u.sa, to->len) != 0)
        return sp_err_sys(err, errno, "connect");
    if (getsockname(l->fd, &ours.u.sa, &ours.len) != 0)
        return sp_err_sys(err, errno, "socket");
    sp_addr_format(&ours, local);
    return SP_OK;
}

static bool load_files(SSL_CTX *context, const struct sp_demo_folder *f, const char *who)
{
    char ca[PATH_MAX + 64], cert[PATH_MAX + 64], key[PATH_MAX + 64];

    snprintf(ca, sizeof(ca), "%s/ca.pem", f->path);
    if (SSL_CTX_load_verify_file(context, ca) != 1)
        return false;
    if (who == NULL)
        return true;
    snprintf(cert, sizeof(cert), "%s/%s.pem", f->path, who);
    snprintf(key, sizeof(key), "%s/%s.key", f->path, who);
    return SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
           SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
}

static enum sp_rc open_tls(
    struct line *l, const struct sp_demo_folder *f, const char *who, struct sp_err *err)
{
    ERR_clear_error();
    l->context = SSL_CTX_new(TLS_client_method());
    if (l->context == NULL || SSL_CTX_set_min_proto_version(l->context, TLS1_3_VERSION) != 1 ||
        !load_files(l->context, f, who))
        return sp_demo_ssl_err(err, "TLS client");
    SSL_CTX_set_verify(l->context, SSL_VERIFY_PEER, NULL);
    l->ssl = SSL_new(l->context);
    if (l->ssl == NULL || SSL_set1_host(l->ssl, "localhost") != 1 ||
        SSL_set_tlsext_host_name(l->ssl, "localhost") != 1 || SSL_set_fd(l->ssl, l->fd) != 1)
        return sp_demo_ssl_err(err, "TLS client");
    return SP_OK;
}

static void close_line(struct line *l)
{
    if (l->ssl != NULL)
        SSL_shutdown(l->ssl);
    SSL_free(l->ssl);
    SSL_CTX_free(l->context);
    if (l->fd >= 0)
        close(l->fd);
    ERR_clear_error();
}

/* What a TLS call that failed means: the alert that came, or an error. An alert is an answer too. */
static enum sp_rc tls_ended(
    struct line *l, int rc, const char *what, struct sp_demo_answer *out, struct sp_err *err)
{
    int sys = errno, kind = SSL_get_error(l->ssl, rc);
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
        reason < SSL_AD_REASON_OFFSET + 256) {
        out->alert = (unsigned)(reason - SSL_AD_REASON_OFFSET);
        ERR_clear_error();
        return SP_EOF;
    }
    if (kind == SSL_ERROR_ZERO_RETURN)
        return SP_EOF;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        return sp_err_sys(err, ETIMEDOUT, "%s", what);
    if (kind == SSL_ERROR_SYSCALL && sys != 0)
        return sp_err_sys(err, sys, "%s", what);
    return sp_demo_ssl_err(err, what);
}

static enum sp_rc send_some(
    struct line *l, struct sp_slice *text, struct sp_demo_answer *out, struct sp_err *err)
{
    ssize_t n;

    errno = 0;
    ERR_clear_error();
    if (l->ssl != NULL)
        n = SSL_write(l->ssl, text->ptr, (int)text->len);
    else
        n = send(l->fd, text->ptr, text->len, MSG_NOSIGNAL);
    if (n <= 0)
        return l->ssl != NULL ? tls_ended(l, (int)n, "sending", out, err) : sp_err_sys(err, errno, "sending");
    *text = sp_slice_sub(*text, (size_t)n, text->len);
    return SP_OK;
}

static enum sp_rc read_some(struct line *l, struct sp_demo_answer *out, struct sp_err *err)
{
    char *room = sp_buf_room(&out->raw, READ_MAX);
    ssize_t n;

    if (room == NULL)
        return sp_err_set(err, "the answer is too long");
    errno = 0;
    ERR_clear_error();
    n = l->ssl != NULL ? SSL_read(l->ssl, room, READ_MAX) : recv(l->fd, room, READ_MAX, 0);
    if (n > 0) {
        out->raw.len += (size_t)n;
        return SP_OK;
    }
    if (l->ssl != NULL)
        return tls_ended(l, (int)n, "waiting for an answer", out, err);
    return n == 0 ? SP_EOF : sp_err_sys(err, errno, "waiting for an answer");
}

/* ---- request and answer ---- */

static enum sp_rc send_request(struct line *l, const struct sp_addr *to, const struct sp_demo_case *c,
    struct sp_demo_answer *out, struct sp_err *err)
{
    struct sp_buf text = {0};
    enum sp_rc rc = SP_OK;

    sp_buf_printf(&text, "%s %s HTTP/1.1\r\nHost: localhost:%u\r\nUser-Agent: sallyport-demo\r\n", c->method,
        c->path, (unsigned)sp_addr_port(to));
    if (c->header != NULL)
        sp_buf_printf(&text, "%s\r\n", c->header);
    if (c->body != NULL)
        sp_buf_printf(&text, "Content-Length: %zu\r\n", strlen(c->body));
    sp_buf_printf(&text, "Connection: close\r\n\r\n%s", c->body != NULL ? c->body : "");
    if (text.failed)
        rc = sp_err_set(err, "not enough memory");
    struct sp_slice rest = sp_buf_slice(&text);
    while (rc == SP_OK && rest.len > 0)
        rc = send_some(l, &rest, out, err);
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

static enum sp_rc wait_for_answer(
    struct line *l, const struct sp_demo_case *c, struct sp_demo_answer *out, struct sp_err *err)
{
    uint64_t deadline = sp_mono_ms() + WAIT_SECONDS * 1000;

    for (;;) {
        enum sp_rc rc = read_some(l, out, err);
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

static enum sp_rc talk(struct line *l, const struct sp_demo_folder *f, const struct sp_addr *to,
    const struct sp_demo_case *c, struct sp_demo_answer *out, struct sp_err *err)
{
    if (!c->plain) {
        if (open_tls(l, f, c->who, err) != SP_OK)
            return SP_FAIL;
        int done = SSL_connect(l->ssl);
        if (done != 1)
            return tls_ended(l, done, "handshake", out, err);
    }
    if (c->alert == 0) {
        enum sp_rc rc = send_request(l, to, c, out, err);
        if (rc != SP_OK)
            return rc;
    }
    return wait_for_answer(l, c, out, err);
}

enum sp_rc sp_demo_ask(const struct sp_demo_folder *f, const struct sp_addr *to, const struct sp_demo_case *c,
    struct sp_demo_answer *out, struct sp_err *err)
{
    struct line l = {.fd = -1};

    *out = (struct sp_demo_answer){0};
    sp_buf_init(&out->raw, ANSWER_MAX);
    sp_buf_init(&out->body, ANSWER_MAX);
    enum sp_rc rc = open_socket(&l, to, out->local, err);
    if (rc == SP_OK)
        rc = talk(&l, f, to, c, out, err);
    close_line(&l);
    if (rc == SP_EOF && out->alert == 0)
        rc = sp_err_set(err, "the connection was closed without an answer");
    return rc == SP_EOF ? SP_OK : rc;
}

void sp_demo_answer_free(struct sp_demo_answer *a)
{
    sp_buf_free(&a->raw);
    sp_buf_free(&a->body);
    *a = (struct sp_demo_answer){0};
}
