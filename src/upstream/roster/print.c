/* What operators see of the roster: samples for /metrics, and the whole of it as JSON for /upstreams. Read by the main thread, behind
 * the roster's lock; numbers are atomics that others go on writing. */
#include <inttypes.h>

#include "sallyport/obs/gauge.h"
#include "upstream/roster/roster_impl.h"

/* ---- one endpoint ---- */

enum state { STATE_UP, STATE_DOWN, STATE_EJECTED, STATE_DRAINED, STATE_COUNT };

static const char *const STATES[STATE_COUNT] = {"up", "down", "ejected", "drained"};

static enum state state_of(const struct sp_member *m)
{
    if (atomic_load_explicit(&m->weight, memory_order_relaxed) == 0)
        return STATE_DRAINED;
    if (atomic_load_explicit(&m->ep.is_down, memory_order_relaxed))
        return STATE_DOWN;
    return atomic_load_explicit(&m->ep.is_ejected, memory_order_relaxed) ? STATE_EJECTED : STATE_UP;
}

/* ---- gauges ---- */

static void sample(
    struct sp_buf *out, enum sp_gauge_id id, const struct sp_member *m, const char *state, int64_t value)
{
    const char *const values[SP_GAUGE_LABELS] = {m->ep.upstream, m->ep.text, m->ep.host, state};

    sp_gauge_sample(out, id, values, value);
}

static void print_states(struct sp_roster *r, struct sp_buf *out)
{
    sp_gauge_head(out, SP_GAUGE_endpoint_state);
    SP_LIST_EACH (&r->members, it) {
        const struct sp_member *m = SP_CONTAINER_OF(it, struct sp_member, link);
        for (int i = 0; i < STATE_COUNT; i++)
            sample(out, SP_GAUGE_endpoint_state, m, STATES[i], (int)state_of(m) == i);
    }
}

static void print_numbers(struct sp_roster *r, struct sp_buf *out)
{
    sp_gauge_head(out, SP_GAUGE_endpoint_requests);
    SP_LIST_EACH (&r->members, it) {
        const struct sp_member *m = SP_CONTAINER_OF(it, struct sp_member, link);
        sample(out, SP_GAUGE_endpoint_requests, m, NULL, atomic_load(&m->ep.requests));
    }
    sp_gauge_head(out, SP_GAUGE_endpoint_connections);
    SP_LIST_EACH (&r->members, it) {
        const struct sp_member *m = SP_CONTAINER_OF(it, struct sp_member, link);
        sample(out, SP_GAUGE_endpoint_connections, m, NULL, atomic_load(&m->ep.connections));
    }
}

static bool is_panic(struct sp_fleet *f, size_t upstream)
{
    struct sp_lineup *l = sp_fleet_lineup(f, upstream);
    bool panic = l->is_panic;

    sp_lineup_unref(l);
    return panic;
}

static void print_panics(struct sp_roster *r, struct sp_buf *out)
{
    sp_gauge_head(out, SP_GAUGE_upstream_panic);
    for (size_t i = 0; i < r->shown->upstream_count; i++) {
        const char *const values[SP_GAUGE_LABELS] = {r->shown->upstreams[i].config->name};
        sp_gauge_sample(out, SP_GAUGE_upstream_panic, values, is_panic(r->shown, i));
    }
}

static void print_names(struct sp_roster *r, struct sp_buf *out)
{
    sp_gauge_head(out, SP_GAUGE_name_addresses);
    SP_LIST_EACH (&r->names, it) {
        const struct sp_name *n = SP_CONTAINER_OF(it, struct sp_name, link);
        const char *const values[SP_GAUGE_LABELS] = {n->text};
        sp_gauge_sample(out, SP_GAUGE_name_addresses, values, (int64_t)n->count);
    }
    sp_gauge_head(out, SP_GAUGE_name_failing);
    SP_LIST_EACH (&r->names, it) {
        const struct sp_name *n = SP_CONTAINER_OF(it, struct sp_name, link);
        const char *const values[SP_GAUGE_LABELS] = {n->text};
        sp_gauge_sample(out, SP_GAUGE_name_failing, values, n->state == SP_NAME_FAILING);
    }
}

/* A family without a sample is not printed at all. */
void sp_roster_print_gauges(struct sp_roster *r, struct sp_buf *out)
{
    pthread_mutex_lock(&r->lock);
    if (!sp_list_is_empty(&r->members)) {
        print_states(r, out);
        print_numbers(r, out);
    }
    if (r->shown != NULL)
        print_panics(r, out);
    if (!sp_list_is_empty(&r->names))
        print_names(r, out);
    pthread_mutex_unlock(&r->lock);
}

/* ---- JSON ---- */

static void add_text(struct sp_buf *out, const char *key, const char *text)
{
    sp_buf_printf(out, "\"%s\":", key);
    sp_log_add_json(out, sp_slice_of(text));
}

static void add_number(struct sp_buf *out, const char *key, uint64_t number)
{
    sp_buf_printf(out, ",\"%s\":%" PRIu64, key, number);
}

static void print_endpoint(const struct sp_member *m, struct sp_buf *out)
{
    sp_buf_add_char(out, '{');
    add_text(out, "address", m->ep.text);
    sp_buf_add_char(out, ',');
    add_text(out, "host", m->ep.host);
    sp_buf_add_char(out, ',');
    add_text(out, "state", STATES[state_of(m)]);
    sp_buf_printf(out, ",\"backup\":%s", atomic_load(&m->is_backup) ? "true" : "false");
    add_number(out, "weight", atomic_load(&m->weight));
    add_number(out, "max_connections", atomic_load(&m->ep.max_connections));
    add_number(out, "requests", atomic_load(&m->ep.requests));
    add_number(out, "connections", atomic_load(&m->ep.connections));
    add_number(out, "failed_in_a_row", atomic_load(&m->ep.failed_in_a_row));
    add_number(out, "ejections", atomic_load(&m->ejections));
    sp_buf_printf(out, ",\"checks\":{\"ok\":%" PRIu64 ",\"failed\":%" PRIu64 ",", atomic_load(&m->checks_ok),
        atomic_load(&m->checks_failed));
    add_text(out, "failure", m->last_check);
    sp_buf_add_str(out, "}}");
}

static void print_upstream(struct sp_roster *r, size_t upstream, struct sp_buf *out)
{
    struct sp_lineup *l = sp_fleet_lineup(r->shown, upstream);

    sp_buf_add_char(out, '{');
    add_text(out, "name", r->shown->upstreams[upstream].config->name);
    sp_buf_printf(out, ",\"panic\":%s,\"endpoints\":[", l->is_panic ? "true" : "false");
    for (size_t i = 0; i < l->all_count; i++) {
        if (i > 0)
            sp_buf_add_char(out, ',');
        print_endpoint(sp_member_of(l->all[i]), out);
    }
    sp_buf_add_str(out, "]}");
    sp_lineup_unref(l);
}

static void print_name(const struct sp_name *n, struct sp_buf *out)
{
    static const char *const states[] = {
        [SP_NAME_NEW] = "unknown", [SP_NAME_KNOWN] = "known", [SP_NAME_FAILING] = "failing"};

    sp_buf_add_char(out, '{');
    add_text(out, "name", n->text);
    sp_buf_add_char(out, ',');
    add_text(out, "state", states[n->state]);
    add_number(out, "addresses", n->count);
    sp_buf_add_char(out, ',');
    add_text(out, "failure", n->failure);
    sp_buf_add_char(out, '}');
}

void sp_roster_print_json(struct sp_roster *r, struct sp_buf *out)
{
    const char *comma = "";

    pthread_mutex_lock(&r->lock);
    sp_buf_add_str(out, "{\"upstreams\":[");
    for (size_t i = 0; r->shown != NULL && i < r->shown->upstream_count; i++) {
        if (i > 0)
            sp_buf_add_char(out, ',');
        print_upstream(r, i, out);
    }
    sp_buf_add_str(out, "],\"names\":[");
    SP_LIST_EACH (&r->names, it) {
        sp_buf_add_str(out, comma);
        print_name(SP_CONTAINER_OF(it, struct sp_name, link), out);
        comma = ",";
    }
    sp_buf_add_str(out, "]}\n");
    pthread_mutex_unlock(&r->lock);
}
