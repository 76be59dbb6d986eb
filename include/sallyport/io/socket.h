/* Sockets: listening, accepting, connecting. All descriptors are non-blocking and close-on-exec. */
#ifndef SP_IO_SOCKET_H
#define SP_IO_SOCKET_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

/* A bound, listening socket. TCP ones have SO_REUSEADDR, TCP_NODELAY, which those that they accept inherit, and, if `shared`,
 * SO_REUSEPORT (one a gate). A unix socket's path is taken over if nobody answers there, and is refused if somebody
 * does. IPv6 "[::]" takes IPv4 too. */
SP_MUST_USE enum sp_rc sp_socket_listen(
    const struct sp_addr *address, bool shared, int *fd, struct sp_err *err);
/* Does anybody, another process included, listen on that TCP address? SO_REUSEPORT would let us join without a
 * word. SP_FAIL: yes, or it cannot be bound at all; `err` says. Unix addresses and port 0 are always free. */
SP_MUST_USE enum sp_rc sp_socket_check_free(const struct sp_addr *address, struct sp_err *err);
/* The address it is really bound to (port 0 was chosen by the kernel); of a connection our own end, an IPv4 one as IPv4. */
SP_MUST_USE enum sp_rc sp_socket_local(int fd, struct sp_addr *out);
/* SP_OK: *fd and *peer (an IPv4 one as IPv4, also on an "[::]" socket). SP_AGAIN: nobody waits. SP_FAIL:
 * *errnum says why (EMFILE, ENFILE, ENOBUFS, ENOMEM mean: pause; a connection that was aborted before we came
 * is skipped, never reported). */
SP_MUST_USE enum sp_rc sp_socket_accept(int listen_fd, int *fd, struct sp_addr *peer, int *errnum);
/* SP_OK: connected at once. SP_AGAIN: under way; a writable edge comes, then ask sp_socket_connect_result.
 * *fd is handed over in both cases. SP_FAIL: *errnum, no descriptor. TCP_NODELAY is set. */
SP_MUST_USE enum sp_rc sp_socket_connect(const struct sp_addr *address, int *fd, int *errnum);
/* SP_OK connected, SP_AGAIN still under way, SP_FAIL with *errnum. */
SP_MUST_USE enum sp_rc sp_socket_connect_result(int fd, int *errnum);
/* What failed so lacks descriptors or memory of ours: the other side has no part in it. */
bool sp_socket_is_our_lack(int errnum);
/* From now on the kernel asks a silent peer whether it is still there; one that is not is an error within two minutes. Does
 * nothing on unix sockets. */
void sp_socket_keep_alive(int fd);
/* Looks at waiting bytes without taking them. SP_OK with *n > 0, SP_AGAIN, SP_EOF, SP_FAIL. */
SP_MUST_USE enum sp_rc sp_socket_peek(int fd, void *buf, size_t room, size_t *n);
/* Takes `n` of the bytes that were looked at, and throws them away. SP_FAIL: they are not there any more. */
SP_MUST_USE enum sp_rc sp_socket_drop(int fd, size_t n);

#endif
