/* A web server on loopback that answers by a script: a path, the bytes of the answer as they are, and what
 * comes after them. */
#ifndef TEST_FETCH_SERVER_H
#define TEST_FETCH_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum script_end {
    END_CLOSES, /* sends FIN, then waits for the client's */
    END_HOLDS,  /* says nothing more and waits for the client to go */
    END_DRIPS,  /* a byte now and then until the client goes */
    END_GATED,  /* the answer comes once server_open_gate was called */
};

struct script {
    const char *path; /* "TLS": what comes is no HTTP but a ClientHello */
    const char *head; /* sent as it is, up to its NUL */
    size_t filler;    /* then so many 'x' */
    enum script_end end;
};

enum { SERVER_CONNECTIONS_MAX = 256 };

struct server {
    const struct script *scripts;
    size_t script_count;
    int listen_fd;
    uint16_t port;
    pthread_t acceptor;
    pthread_t connections[SERVER_CONNECTIONS_MAX];
    size_t connection_count; /* the acceptor's own */

    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t stirred;
    bool gate_open;
    unsigned answering, answering_most;
    unsigned requests;
    char last_request[8192];
};

void server_start(struct server *s, const struct script *scripts, size_t count);
/* Every client must have gone or be going. */
void server_stop(struct server *s);
/* Waits until `count` requests are being answered at once. */
void server_wait_answering(struct server *s, unsigned count);
void server_open_gate(struct server *s);

#endif
