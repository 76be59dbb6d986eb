/* The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt, 2020): who a connection comes from, said by who
 * relays it, before anything else. Pure: bytes in, header or error out; header in, bytes out. */
#ifndef SP_IO_PROXY_PROTOCOL_H
#define SP_IO_PROXY_PROTOCOL_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"

/* Of version 2: 16 bytes and a length of 16 bits. A reader need not take more than SP_PROXY_READ_MAX. */
#define SP_PROXY_READ_MAX  4096
#define SP_PROXY_WRITE_MAX (16 + 65535)

/* What was said. Slices point into the input. */
struct sp_proxy_header {
    unsigned version;                   /* 1 or 2 */
    bool is_local;                      /* of the relay's own (LOCAL, UNKNOWN): there is no address */
    struct sp_addr source, destination; /* len 0: none */
    struct sp_slice authority;          /* the name that the client asked for; absent */
    struct sp_slice alpn;               /* absent */
    struct sp_slice unique_id;          /* absent */
};

/* SP_OK: *used bytes belong to it, no byte more. SP_AGAIN: more are needed; *used is how many are known to belong to it
 * at least, so that a reader can take exactly these off a socket and never one of what comes after. SP_FAIL: `err` says
 * what is wrong and where: a bad signature, version, command, family or length, an address or port that is none, bytes
 * after UNKNOWN without an end, a TLV beyond the end, a CRC32C that does not fit, more than SP_PROXY_READ_MAX. */
SP_MUST_USE enum sp_rc sp_proxy_parse(
    struct sp_slice in, struct sp_proxy_header *out, size_t *used, struct sp_err *err);
/* May these bytes be the beginning of one? (For telling what it is that came where none is taken.) */
bool sp_proxy_is_likely(struct sp_slice in);

/* What we say to a backend. All borrowed for the call; absent slices are not said. */
struct sp_proxy_about {
    struct sp_addr source, destination; /* either is not TCP over IP: LOCAL (v1: UNKNOWN) */
    struct sp_slice authority, alpn;
    struct sp_slice unique_id; /* at most 128 bytes */
    bool has_tls;
    struct sp_slice tls_version, cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
    bool has_certificate;                /* the client proved one, in this connection or the one it resumed */
    bool certificate_is_of_session;      /* resumed: shown in an earlier connection */
    struct sp_slice common_name;         /* of its subject */
    struct sp_slice sig_alg, key_alg; /* of our own certificate (§2.2.6); as sp_tls_own_algorithms has them */
    struct sp_slice group, sig_scheme; /* of the handshake, likewise */
    struct sp_slice certificate;       /* DER; absent: not said */
};
/* `room` at least SP_PROXY_V1_MAX. Returns how many bytes. */
#define SP_PROXY_V1_MAX 107
size_t sp_proxy_write_v1(const struct sp_proxy_about *about, char out[SP_PROXY_V1_MAX]);
/* Appends to `out`, with the SSL TLV (§2.2.6) if has_tls and the CRC32C last. SP_FAIL: no memory, or more than its 16
 * bits of length can say (EMSGSIZE in err->sys); nothing was appended. */
SP_MUST_USE enum sp_rc sp_proxy_write_v2(
    const struct sp_proxy_about *about, struct sp_buf *out, struct sp_err *err);

#endif
