/* Counters by rule. A rule that is there again after a reload goes on counting where it was; one that is gone takes its
 * series with it. Each worker counts in cells of its own: no lock, no shared line. */
#ifndef SP_OBS_RULE_METER_H
#define SP_OBS_RULE_METER_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"

/* X(prometheus name, labels, help) */
#define SP_RULE_FAMILIES(X)                                                                                  \
    X("sallyport_decisions_total", "rule=\"...\",decision=\"...\",mode=\"...\"",                             \
        "Requests, by rule and what it decided (allowed, denied; without a rule: refused); in mode report "  \
        "what it would have decided")                                                                        \
    X("sallyport_limited_total", "rule=\"...\",limit=\"...\"",                                               \
        "Requests that a rule allowed and a limit of the caller did not (rate, concurrent_requests); "       \
        "without a rule: connections")

enum sp_rule_event {
    SP_RULE_ALLOWED,
    SP_RULE_DENIED,
    SP_RULE_WOULD_ALLOW, /* in report mode */
    SP_RULE_WOULD_DENY,
    SP_RULE_LIMITED_RATE,
    SP_RULE_LIMITED_REQUESTS,
    SP_RULE_LIMITED_CONNECTIONS,
    SP_RULE_EVENTS
};

struct sp_rule_meters; /* of one configuration */

/* One row for each name, in their order, and one more behind them for what no rule decided (with an empty name). Rows
 * of `before` (or NULL) with the same name are shared, if it is for as many workers. NULL without memory. */
SP_MUST_USE struct sp_rule_meters *sp_rule_meters_new(
    const char *const *names, size_t count, unsigned workers, const struct sp_rule_meters *before);
/* Rows that another configuration shares go on. Any thread, when nobody counts into `m` any more; takes NULL. */
void sp_rule_meters_free(struct sp_rule_meters *m);

/* Only the thread that is `worker`, counted from 0. `rule` beyond the last: no rule, where SP_RULE_DENIED is a request that
 * none allowed. */
void sp_rule_meters_count(struct sp_rule_meters *m, size_t rule, unsigned worker, enum sp_rule_event event);
/* Both families, every row of the configuration, those of rules that were never met as 0. Any thread. */
void sp_rule_meters_print(const struct sp_rule_meters *m, struct sp_buf *out);

#endif
