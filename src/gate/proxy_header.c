/* The PROXY protocol header with which a load balancer begins each connection, when its address is one of
 * proxy_protocol.from. It is looked at in the kernel's buffer and then taken off byte for byte: what comes behind it is
 * the client's, and for TLS alone. How it is read is in io; what becomes of the address in handshake.c. */
#include <stdio.h>

#include "gate_impl.h"
#include "sallyport/base/text.h"
#include "sallyport/io/proxy_protocol.h"
#include "sallyport/io/socket.h"

#define SHOWN_BYTES 16

static enum sp_rc refuse(struct sp_tls_refusal *out, enum sp_refusal reason, const char *detail)
{
    *out = (struct sp_tls_refusal){.reason = reason};
    (void)snprintf(out->detail, sizeof(out->detail), "%.*s", (int)sizeof(out->detail) - 1, detail);
    return SP_FAIL;
}

/* The header is not the client's to forget: what came instead tells the operator which side is set up wrongly. */
static enum sp_rc refuse_other(struct sp_tls_refusal *out, struct sp_slice in)
{
    char hex[2 * SHOWN_BYTES + 1], text[sizeof(hex) + 16];

    if (in.len >= 2 && in.ptr[0] == 0x16 && in.ptr[1] == 0x03)
        return refuse(out, SP_REFUSAL_no_proxy_header, "a TLS ClientHello came first");
    (void)snprintf(text, sizeof(text), "first bytes %s",
        sp_hex(in.ptr, in.len < SHOWN_BYTES ? in.len : SHOWN_BYTES, hex));
    return refuse(out, SP_REFUSAL_no_proxy_header, text);
}

/* A reset hides behind bytes that are only looked at. */
static bool is_gone(const struct sp_transport *t)
{
    int errnum;

    return t->peer_ended || sp_socket_connect_result(t->fd, &errnum) == SP_FAIL;
}

enum sp_rc sp_proxy_header_take(
    struct sp_transport *t, struct sp_proxied *out, struct sp_tls_refusal *refusal)
{
    char bytes[SP_PROXY_READ_MAX];
    struct sp_proxy_header header;
    struct sp_err err = {0};
    size_t n, used;

    if (!t->can_read)
        return SP_AGAIN;
    enum sp_rc rc = sp_socket_peek(t->fd, bytes, sizeof(bytes), &n);
    if (rc == SP_EOF || rc == SP_FAIL)
        return refuse(refusal, SP_REFUSAL_no_data, rc == SP_EOF ? "" : "reset");
    rc = sp_proxy_parse((struct sp_slice){bytes, n}, &header, &used, &err);
    if (rc == SP_AGAIN && n > 0 && is_gone(t))
        return refuse(refusal, SP_REFUSAL_bad_proxy_header, "the connection ended in the middle of it");
    if (rc == SP_AGAIN) {
        t->can_read = false;
        return SP_AGAIN;
    }
    if (rc != SP_OK && !sp_proxy_is_likely((struct sp_slice){bytes, n}))
        return refuse_other(refusal, (struct sp_slice){bytes, n});
    if (rc != SP_OK)
        return refuse(refusal, SP_REFUSAL_bad_proxy_header, err.text);
    *out = (struct sp_proxied){header.source, header.destination};
    if (sp_socket_drop(t->fd, used) != SP_OK)
        return refuse(refusal, SP_REFUSAL_client_closed, "behind its PROXY protocol header");
    return SP_OK;
}
