/* Callers that name each other, in an order in which each comes behind those that it names; a circle has none and is an error. */
#include "policy/callers/callers_impl.h"

enum climb_state { NEW, OPEN, DONE };

/* Down from one set to those that its entries name, with a stack of its own: names may go as deep as there are callers. */
struct climb {
    struct sp_policy_build *build;
    struct sp_compiled_callers *callers;
    uint8_t *state;   /* by set */
    uint32_t *cursor; /* by set: the entry that is looked at */
    uint32_t *stack;
    size_t depth;
};

static void tell_circle(const struct climb *c, uint32_t set, uint32_t entry)
{
    const struct sp_config_caller *caller = &c->build->config->callers[set];
    uint32_t number = entry - c->callers->entries_of[set];
    const struct sp_config_caller_entry *e = &caller->entries[number];
    sp_policy_wrong(c->build, e->caller_at, e->caller, "expected no circle of callers that name each other",
        "callers.%s[%u].caller", caller->name, number);
}

/* A set that `entry` of `set` names and that was not looked at yet, or UINT32_MAX; the rank of `set` grows by the others. */
static uint32_t next_below(struct climb *c, uint32_t set, uint32_t entry)
{
    const struct sp_caller_entry *e = &c->callers->entries[entry];
    for (uint32_t i = 0; i < e->count; i++) {
        const struct sp_field *f = &c->callers->fields[e->first + i];
        if (f->type != SP_FIELD_CALLER && f->type != SP_FIELD_FILE)
            continue;
        if (c->state[f->number] == NEW)
            return f->number;
        if (c->state[f->number] == OPEN)
            tell_circle(c, set, entry);
        uint32_t above = c->callers->rank[f->number] + 1;
        if (c->callers->rank[set] < above)
            c->callers->rank[set] = above;
    }
    return UINT32_MAX;
}

static void climb_from(struct climb *c, uint32_t from)
{
    c->stack[c->depth++] = from;
    while (c->depth > 0) {
        uint32_t set = c->stack[c->depth - 1], below = UINT32_MAX;
        if (c->state[set] == NEW) {
            c->state[set] = OPEN;
            c->cursor[set] = c->callers->entries_of[set];
        }
        while (c->cursor[set] < c->callers->entries_of[set + 1] && below == UINT32_MAX) {
            below = next_below(c, set, c->cursor[set]);
            c->cursor[set] += below == UINT32_MAX; /* else once more, when that one is done */
        }
        if (below != UINT32_MAX) {
            c->stack[c->depth++] = below;
        } else {
            c->state[set] = DONE;
            c->depth--;
        }
    }
}

void sp_callers_rank(struct sp_policy_build *b, struct sp_compiled_callers *callers)
{
    size_t sets = sp_callers_sets(callers);
    struct climb c = {.build = b, .callers = callers};
    c.state = sp_alloc(sets, sizeof *c.state);
    c.cursor = sp_alloc(sets, sizeof *c.cursor);
    c.stack = sp_alloc(sets, sizeof *c.stack);
    if (c.state == NULL || c.cursor == NULL || c.stack == NULL)
        sp_policy_no_memory(b);
    for (uint32_t set = 0; !b->failed && set < b->config->caller_count; set++) {
        if (c.state[set] == NEW)
            climb_from(&c, set);
    }
    sp_free(c.state);
    sp_free(c.cursor);
    sp_free(c.stack);
}
