/* Bytes both ways between a client and a backend, when neither speaks HTTP to us (any more). Private to the room. */
#ifndef SP_SRC_PROXY_TUNNEL_H
#define SP_SRC_PROXY_TUNNEL_H

#include "sallyport/base/base.h"
#include "sallyport/base/list.h"

struct sp_exchange;
struct sp_worker;
struct sp_tunnel_told;

/* One direction. */
struct sp_tunnel_way {
    char *block;     /* bytes that the writer has not taken, or NULL */
    size_t at, end;  /* in it */
    bool is_run;     /* it is a run */
    bool lags;       /* the last run was not taken at once */
    bool ask_again;  /* the kernel is asked once more, though its reader's socket was emptied */
    bool unsure;     /* ... unless what is written to that socket tells as much (tunnel.c) */
    bool starved;    /* it waits for its reader, not for its writer */
    bool was_dry;    /* its reader has been asked once when it had nothing, and knows that it is waited for */
    bool read_ended; /* nothing more comes from its reader */
    bool write_ended; /* and its writer was told so */
};

struct sp_tunnel {
    struct sp_tunnel_way in;     /* client to backend */
    struct sp_tunnel_way out;    /* backend to client */
    struct sp_list link;         /* among worker->unsure; once it is open */
    bool open;                   /* it was counted */
    bool spoken;                 /* its client has sent something */
    struct sp_tunnel_told *told; /* what it moved with; NULL: it has the view that it began with */
};

/* tunnel.c */
/* The exchange goes on as a tunnel. After a 101 that was asked for (its head has been given to the client's codec, x->answered and
 * x->status say so), or in mode tcp. */
enum sp_next sp_tunnel_begin(struct sp_exchange *x);
enum sp_next sp_tunnel(struct sp_exchange *x); /* the step */
void sp_tunnel_end(struct sp_exchange *x);     /* gives back what it holds; once, or any number of times */
/* If it is a tunnel whose listener is gone, it ends within drain_timeout. Whenever that may be so; any number of times. */
void sp_tunnel_leave_with_listener(struct sp_exchange *x);
void sp_tunnels_ask(struct sp_worker *w); /* once a second */

/* moving.c, for sp_session_move. */
/* Nothing of it belongs to its view any more. False: no memory, and it stays. */
bool sp_tunnel_pack(struct sp_exchange *x);
/* It is its session's view that it goes by now. `has_same_callers`: of the one before. */
void sp_tunnel_unpack(struct sp_exchange *x, bool has_same_callers);

#endif
