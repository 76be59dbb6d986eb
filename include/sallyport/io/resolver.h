/* Names to addresses, without blocking, with the time that the answer is good for. Over c-ares: /etc/hosts and
 * /etc/resolv.conf (with its search list) as the system has them, UDP with a change to TCP where an answer is cut.
 *
 * Belongs to one loop's thread. No c-ares type shows here. */
#ifndef SP_IO_RESOLVER_H
#define SP_IO_RESOLVER_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/io/loop.h"

struct sp_resolver;

struct sp_resolved {
    struct sp_addr address; /* with its port */
    unsigned weight;        /* of SRV, as it is there (0-65535); of an address record 0 */
    unsigned priority;      /* of SRV; 0 */
    char name[256];         /* of SRV: the target, in lower case; else "" */
};

#define SP_RESOLVED_MAX 1024 /* addresses of one answer; what is beyond is left out */

/* What a question came to. Borrowed for the call. */
struct sp_resolution {
    enum sp_rc
        rc; /* SP_OK: at least one address. SP_EOF: the name exists no more, or has no address. SP_FAIL: nobody
                    * could say: the last answer still stands. */
    const struct sp_resolved *items; /* sorted; none twice, by address and name */
    size_t count;
    /* With SP_OK: of some of a service's targets, or of addresses of one family, nobody could say; what was known of them still
     * stands. */
    bool is_partial;
    uint64_t ttl_s;  /* of SP_OK: the smallest of all records involved; 0 also for what is in /etc/hosts */
    char error[128]; /* unless SP_OK */
};

/* `servers`: "127.0.0.1:5353,[::1]:53" in place of the system's, for tests; NULL. Borrows `loop` for its life. */
SP_MUST_USE enum sp_rc sp_resolver_new(
    struct sp_loop *loop, const char *servers, struct sp_resolver **out, struct sp_err *err);
/* Questions under way are given up: no answer comes. Not from within an answer. Takes NULL. */
void sp_resolver_free(struct sp_resolver *r);

/* One question; embedded in what waits for it. Zeroed it is not under way. */
struct sp_question {
    void (*on_answer)(struct sp_question *q, const struct sp_resolution *answer);
    /* Addresses of these families were known before: where an answer has none, it is made sure that there are none. */
    bool had_ipv4, had_ipv6;
    /* the rest is private */
    struct sp_resolver *resolver;
    void *state;
};
/* Addresses of `host`, each with `port`. The answer comes once, never from within this call, within a few seconds.
 * SP_FAIL: no memory, and no answer comes. */
SP_MUST_USE enum sp_rc sp_resolver_ask(
    struct sp_resolver *r, struct sp_question *q, const char *host, uint16_t port);
/* Services of `name` ("_api._tcp.corp.example", RFC 2782) and their addresses, of all priorities. "." as the target
 * means that there is none. */
SP_MUST_USE enum sp_rc sp_resolver_ask_srv(struct sp_resolver *r, struct sp_question *q, const char *name);
/* No answer comes any more. Of one that is not under way: nothing. */
void sp_question_cancel(struct sp_question *q);

#endif
