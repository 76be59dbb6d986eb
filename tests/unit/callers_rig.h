/* Callers compiled by themselves, without rules: for the tables of callers_*.c. */
#ifndef SP_TEST_CALLERS_RIG_H
#define SP_TEST_CALLERS_RIG_H

#include "policy/callers/callers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct callers_rig {
    struct sp_config config;
    struct sp_arena arena;
    struct sp_diags diags;
    struct sp_policy_build build;
    struct sp_compiled_callers *callers; /* NULL: refused */
};

/* `max`: of the arena; 0: unbounded. */
static inline void rig_make_within(
    struct callers_rig *r, const struct sp_config_caller *callers, size_t count, size_t max)
{
    memset(r, 0, sizeof *r);
    r->config = (struct sp_config){.refs = 1, .file = "t.yaml", .callers = callers, .caller_count = count};
    sp_arena_init(&r->arena, max);
    r->build = (struct sp_policy_build){.arena = &r->arena, .config = &r->config, .diags = &r->diags};
    r->callers = sp_callers_compile(&r->build);
    assert_int_equal(r->callers == NULL, r->build.failed);
    assert_int_equal(r->diags.errors > 0, r->build.failed);
}

static inline void rig_make(struct callers_rig *r, const struct sp_config_caller *callers, size_t count)
{
    rig_make_within(r, callers, count, 0);
}

static inline void rig_must_make(struct callers_rig *r, const struct sp_config_caller *callers, size_t count)
{
    rig_make(r, callers, count);
    if (r->callers == NULL)
        fail_msg("%s", r->diags.items[0].text);
}

static inline void rig_free(struct callers_rig *r)
{
    sp_arena_free(&r->arena);
    sp_diags_free(&r->diags);
}

/* The ids as text: "0 2 5". */
static inline const char *rig_ids(
    const struct callers_rig *r, const struct sp_identity *id, char out[static 256])
{
    uint32_t *ids = NULL;
    size_t count = 0, len = 0;
    assert_int_equal(sp_callers_of(r->callers, id, &ids, &count), SP_OK);
    out[0] = '\0';
    for (size_t i = 0; i < count && len < 200; i++)
        len += (size_t)snprintf(out + len, 256 - len, i > 0 ? " %u" : "%u", ids[i]);
    sp_free(ids);
    return out;
}

/* Is it the first caller? */
static inline bool rig_is_it(const struct callers_rig *r, const struct sp_identity *id)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    assert_int_equal(sp_callers_of(r->callers, id, &ids, &count), SP_OK);
    bool is = count > 0 && ids[0] == 0;
    sp_free(ids);
    return is;
}

static inline void rig_expect_error(const struct callers_rig *r, const char *needle)
{
    assert_null(r->callers);
    for (size_t i = 0; i < r->diags.count; i++) {
        if (strstr(r->diags.items[i].text, needle) != NULL)
            return;
    }
    fail_msg("\"%s\" is not said, but \"%s\"", needle, r->diags.items[0].text);
}

#endif
