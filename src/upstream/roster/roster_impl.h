/* How the sources of the roster call each other. Not a door.
 *
 *   endpoint.c  members                      names.c     what names mean (names_table.c: which there are)
 *   lineup.c    who is asked, in what turn   check.c     questions to endpoints
 *   fleet.c     upstreams of a configuration ejection.c  leaving out who fails
 *   roster.c    what is in force             print.c     for operators
 */
#ifndef SP_UPSTREAM_ROSTER_IMPL_H
#define SP_UPSTREAM_ROSTER_IMPL_H

#include "sallyport/io/resolver.h"
#include "upstream/roster/fleet_impl.h"

/* ---- endpoint.c ---- */
/* `host`: the name that it was looked up by; NULL: none. Hands over one reference; NULL without memory. */
SP_MUST_USE struct sp_member *sp_member_new(
    struct sp_roster *r, const char *upstream, const struct sp_addr *address, const char *host);
/* The one that there is, or a new one that everybody finds from then on. With the roster's lock; `r` may be NULL: always a new
 * one. Hands over one reference; NULL without memory. */
SP_MUST_USE struct sp_member *sp_member_get(
    struct sp_roster *r, const char *upstream, const struct sp_addr *address, const char *host);
/* Those that nobody has any more are forgotten. With the roster's lock. */
void sp_members_sweep(struct sp_roster *r);
/* Any texts, or NULL. */
uint64_t sp_roster_hash(const char *a, const char *b, const char *c);

/* ---- lineup.c ---- */
struct sp_candidate {
    struct sp_endpoint *ep;
    unsigned weight; /* 0: drained */
    bool is_backup;
    unsigned max_connections; /* of the configuration; for who puts it in force */
};
#define SP_CANDIDATES_MAX SP_LINEUP_USABLE_MAX /* of one upstream; what is beyond is left out */
/* How things are now. Takes a reference of each endpoint. NULL without memory. */
SP_MUST_USE struct sp_lineup *sp_lineup_new(
    const struct sp_config_upstream *config, const struct sp_candidate *candidates, size_t count);
bool sp_lineup_is_same(const struct sp_lineup *a, const struct sp_lineup *b);

/* ---- fleet.c ---- */
/* The candidates of an upstream, by what names mean now: known endpoints where there are, new ones else. The caller holds the
 * roster's lock. *out is to be given back; SP_FAIL without memory. */
struct sp_muster {
    struct sp_candidate *items; /* one reference each */
    size_t count, room;
    uint32_t *
        slots; /* 2 * room: where in `items`, and one; by the hash of what must not be there twice. 0: free */
};
SP_MUST_USE enum sp_rc sp_muster_call(struct sp_fleet *f, size_t upstream, struct sp_muster *out);
void sp_muster_free(struct sp_muster *m);
/* Takes over `lineup`. */
void sp_fleet_replace(struct sp_fleet *f, size_t upstream, struct sp_lineup *lineup);

/* ---- names.c, names_table.c ---- */
enum sp_name_state {
    SP_NAME_NEW,     /* never answered */
    SP_NAME_KNOWN,   /* answered with addresses, last time */
    SP_NAME_FAILING, /* not, last time; `items` are those of the time before, if there was one */
};

/* A name that endpoints are given by; one for all upstreams. In roster->names; everything that is not said to be otherwise is
 * written by the roster's thread, behind the lock. */
struct sp_name {
    struct sp_list link, by_hash;
    struct sp_roster *roster;
    char host[256];
    uint16_t port;
    bool is_srv;
    char text[288]; /* as an operator writes it */
    enum sp_name_state state;
    bool is_settled; /* it was answered, or could not be: nobody need wait */
    struct sp_resolved *items;
    size_t count;
    char failure[128]; /* "" unless failing */
    /* Without the lock. */
    bool is_named;  /* by the fleet in force */
    bool is_wanted; /* by the one that comes into force */
    bool is_asked;  /* `question` is under way */
    bool was_told;  /* that it fails */
    struct sp_question question;
    struct sp_timer *timer; /* when to ask again */
    uint64_t due_ms;        /* what it is set to */
    uint64_t wait_ms;       /* after a failure */
};

/* What `e`, which is a name, means now; borrowed, under the roster's lock or by its thread. 0: nobody knows. */
size_t sp_names_answer(
    const struct sp_roster *r, const struct sp_config_endpoint *e, const struct sp_resolved **items);
struct sp_name *sp_name_find(const struct sp_roster *r, const struct sp_config_endpoint *e);
/* Calls `each` for each endpoint of `config` that is a name. */
void sp_names_each(const struct sp_config *config,
    void (*each)(void *arg, const struct sp_config_upstream *u, const struct sp_config_endpoint *e),
    void *arg);
/* The servers to be asked, as the resolver wants them, with a NUL; none: the system's. */
SP_MUST_USE enum sp_rc sp_names_servers(const struct sp_config *config, struct sp_buf *out);
/* The roster's thread: in the table from now on, NULL without memory; asked, unless it is already; which servers are asked. */
SP_MUST_USE struct sp_name *sp_name_meet(struct sp_roster *r, const struct sp_config_endpoint *e);
void sp_name_ask(struct sp_name *n);
/* Logged, if there is something new to tell. */
void sp_name_tell(struct sp_name *n, bool has_changed);
/* Upstreams in force that have it get new lineups. */
void sp_name_line_up_users(struct sp_name *n);
void sp_names_use_servers(struct sp_roster *r, const struct sp_config *config);

/* ---- names_learn.c ---- */
/* Asks what the roster does not know yet of the names of `config`, and waits for it, in all for a few seconds. What brings
 * no address is a warning. The builder's thread; the roster's runs. */
void sp_names_learn(struct sp_roster *r, struct sp_config *config, struct sp_diags *diags);
/* The same without a roster: only for what it tells. */
void sp_names_try(const struct sp_config *config, struct sp_diags *diags);

/* ---- names_table.c: the roster's thread ---- */
/* The names of r->fleet are asked from now on, others no more. */
void sp_names_follow(struct sp_roster *r);
SP_MUST_USE enum sp_rc sp_names_init(struct sp_roster *r);
void sp_names_free(struct sp_roster *r); /* no thread any more */

/* ---- roster.c: its thread ---- */
/* What is known of names or endpoints of that upstream has changed: it has a new lineup soon, in a turn's end. */
void sp_roster_line_up(struct sp_roster *r, size_t upstream);

/* ---- check.c: the roster's thread ---- */
#define SP_CHECKS_MAX        128          /* at a time */
#define SP_CHECKS_OF_ONE_MAX 64           /* of one upstream */
void sp_check_call(struct sp_task *task); /* of sp_roster.call_checks */
void sp_check_follow(
    struct sp_member *m); /* the configuration in force may ask otherwise than before, or not at all */
void sp_check_retire(struct sp_member *m); /* it is in force no more */

/* ---- ejection.c: the roster's thread ---- */
void sp_ejection_look(struct sp_mail *m);     /* of sp_member.failed */
void sp_ejection_follow(struct sp_member *m); /* by the configuration in force */
/* It is left out no more, if it was. The caller makes a new lineup. */
void sp_ejection_pardon(struct sp_member *m);
/* Arithmetic: how long an ejection of that level lasts, and what is left of a level after a time without one. */
uint64_t sp_ejection_ms(const struct sp_config_ejection *e, unsigned level);
unsigned sp_ejection_level(const struct sp_config_ejection *e, unsigned level, uint64_t well_ms);
void sp_ejection_retire(struct sp_member *m); /* it is in force no more */

#endif
