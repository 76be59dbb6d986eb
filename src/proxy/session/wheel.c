/* The wheel: see wheel.h. */
#include "wheel.h"

void sp_wheel_init(struct sp_wheel *w, int64_t now_s)
{
    for (size_t i = 0; i < SP_WHEEL_SLOTS; i++)
        sp_list_init(&w->slots[i]);
    sp_list_init(&w->ripe);
    w->now_s = now_s;
}

void sp_wheel_entry_init(struct sp_wheel_entry *e)
{
    sp_list_init(&e->link);
    e->due_s = SP_WHEEL_NEVER;
}

static struct sp_list *slot_of(struct sp_wheel *w, int64_t second)
{
    return &w->slots[(uint64_t)second % SP_WHEEL_SLOTS];
}

void sp_wheel_set(struct sp_wheel *w, struct sp_wheel_entry *e, int64_t due_s)
{
    sp_list_remove(&e->link);
    e->due_s = due_s;
    if (due_s != SP_WHEEL_NEVER)
        sp_list_append(due_s <= w->now_s ? &w->ripe : slot_of(w, due_s), &e->link);
}

void sp_wheel_remove(struct sp_wheel_entry *e)
{
    sp_list_remove(&e->link);
    e->due_s = SP_WHEEL_NEVER;
}

/* Everything of `from` behind everything of `to`. */
static void move_all(struct sp_list *to, struct sp_list *from)
{
    if (sp_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    sp_list_init(from);
}

void sp_wheel_turn(struct sp_wheel *w, int64_t now_s)
{
    int64_t passed = now_s > w->now_s ? now_s - w->now_s : 0;

    if (passed > SP_WHEEL_SLOTS)
        passed = SP_WHEEL_SLOTS;
    for (int64_t i = 0; i < passed; i++)
        move_all(&w->ripe, slot_of(w, now_s - i));
    w->now_s = now_s;
}

struct sp_wheel_entry *sp_wheel_take(struct sp_wheel *w, unsigned *budget)
{
    for (; *budget > 0 && !sp_list_is_empty(&w->ripe); (*budget)--) {
        struct sp_wheel_entry *e = SP_CONTAINER_OF(w->ripe.next, struct sp_wheel_entry, link);
        int64_t due_s = e->due_s;
        sp_wheel_remove(e);
        if (due_s <= w->now_s) {
            (*budget)--;
            return e;
        }
        sp_wheel_set(w, e, due_s); /* of a later round, or the clock was set back */
    }
    return NULL;
}

bool sp_wheel_has_ripe(const struct sp_wheel *w)
{
    return !sp_list_is_empty(&w->ripe);
}
