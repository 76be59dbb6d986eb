/* Socket addresses, as text and as the kernel wants them: "192.0.2.1:443", "[2001:db8::1]:443",
 * "unix:/run/x.sock". */
#ifndef SP_BASE_ADDR_H
#define SP_BASE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

struct sp_addr {
    socklen_t len; /* of u.sa; 0: no address */
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

#define SP_ADDR_TEXT 128 /* "unix:" and 107 bytes of path, or a bracketed IPv6 address with scope and port */

/* Numeric addresses only, never a look-up. The error says what was wrong and what would be right. */
SP_MUST_USE enum sp_rc sp_addr_parse(struct sp_slice text, struct sp_addr *out, struct sp_err *err);
/* Splits "host:port" or "[v6]:port"; the host may be a name. False unless both parts are there and the port is
 * 1-65535 (0 too, when `zero_ok`). */
SP_MUST_USE bool sp_addr_split(struct sp_slice text, bool zero_ok, struct sp_slice *host, uint16_t *port);
/* The inverse of sp_addr_parse; an unnamed unix peer is "unix:". Returns `out`. */
char *sp_addr_format(const struct sp_addr *a, char out[SP_ADDR_TEXT]);
bool sp_addr_equal(const struct sp_addr *a, const struct sp_addr *b);
bool sp_addr_is_unix(const struct sp_addr *a);
bool sp_addr_is_loopback(const struct sp_addr *a); /* 127/8, ::1, any unix address */
bool sp_addr_is_any(const struct sp_addr *a);      /* 0.0.0.0, :: */
uint16_t sp_addr_port(const struct sp_addr *a);    /* 0 for unix */

#endif
