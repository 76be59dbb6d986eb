/* What the tests of limits share: configurations and clients made by hand. */
#ifndef SP_TESTS_LIMITS_FIXTURE_H
#define SP_TESTS_LIMITS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/policy/limits.h"

#define SECOND_US UINT64_C(1000000)
#define NOW_US    (UINT64_C(1000) * SECOND_US)

enum { CALLERS = 3 };

/* Callers "a", "b" and "c"; NULL: without limits. */
struct setup {
    struct sp_config_caller callers[CALLERS];
    struct sp_config config;
};

static inline const struct sp_config *configure(struct setup *s, const struct sp_config_caller_limits *a,
    const struct sp_config_caller_limits *b, const struct sp_config_caller_limits *c)
{
    static const char *const NAMES[CALLERS] = {"a", "b", "c"};
    const struct sp_config_caller_limits *limits[CALLERS] = {a, b, c};
    for (size_t i = 0; i < CALLERS; i++)
        s->callers[i] = (struct sp_config_caller){.name = NAMES[i], .limits = limits[i]};
    s->config.callers = s->callers;
    s->config.caller_count = CALLERS;
    return &s->config;
}

static const uint32_t ALL_IDS[CALLERS] = {0, 1, 2};
static const struct sp_caller_ids ONLY_A = {ALL_IDS, 1};
static const struct sp_caller_ids A_AND_B = {ALL_IDS, 2};
static const struct sp_caller_ids ALL = {ALL_IDS, CALLERS};

static inline struct sp_config_caller_limits rate(
    unsigned requests, uint64_t period_ms, unsigned burst, const char *per)
{
    return (struct sp_config_caller_limits){.rate = {requests, period_ms}, .burst = burst, .per = per};
}

static inline struct sp_identity client(const char *subject)
{
    return (struct sp_identity){.subject = sp_slice_of(subject)};
}

/* The nth of many. */
static inline const struct sp_identity *nth(unsigned n)
{
    static char names[16][16];
    static struct sp_identity ids[16];
    snprintf(names[n % 16], sizeof(names[0]), "CN=%u", n);
    ids[n % 16] = client(names[n % 16]);
    return &ids[n % 16];
}

static inline struct sp_limit_holds *let_in(struct sp_limits *l, const struct sp_config *config,
    struct sp_caller_ids callers, const struct sp_identity *id, uint64_t now_us)
{
    struct sp_limit_holds *h;
    size_t caller;
    enum sp_refusal reason = sp_limits_connect(l, config, callers, id, now_us, &h, &caller);
    if (reason != SP_REFUSAL_none)
        fail_msg("%s", sp_refusal_name(reason));
    return h;
}

/* How many of `tries` requests that end at once are let on. */
static inline unsigned ask(struct sp_limit_holds *h, size_t caller, uint64_t now_us, unsigned tries)
{
    unsigned granted = 0;
    uint64_t retry_ms;
    for (unsigned i = 0; i < tries; i++) {
        if (sp_limits_enter(h, caller, now_us, &retry_ms) != SP_REFUSAL_none)
            continue;
        sp_limits_leave(h, caller);
        granted++;
    }
    return granted;
}

#endif
