/* A wheel of moments: which of many sessions end by the clock, found once a second without a timer each.
 * Private to `proxy`; one thread's.
 *
 * An entry lies in the slot of its second, counted round. A turn moves the slots that went by to `ripe`,
 * from where they are taken in portions: those of a later round go back. So a turn costs nothing for those
 * whose time has not come, but for one look every SP_WHEEL_SLOTS seconds.
 *
 * The clock may be set. Back: nothing is ripe before its second comes again. Forward: everything that was
 * passed over is looked at. */
#ifndef SP_SRC_PROXY_WHEEL_H
#define SP_SRC_PROXY_WHEEL_H

#include "sallyport/base/list.h"

#define SP_WHEEL_SLOTS 512
#define SP_WHEEL_NEVER INT64_MAX

struct sp_wheel_entry {
    struct sp_list link;
    int64_t due_s; /* SP_WHEEL_NEVER: in no slot */
};

struct sp_wheel {
    struct sp_list slots[SP_WHEEL_SLOTS];
    struct sp_list ripe;
    int64_t now_s; /* of the last turn */
};

void sp_wheel_init(struct sp_wheel *w, int64_t now_s);
void sp_wheel_entry_init(struct sp_wheel_entry *e);
/* In place of the moment that it had. What is due already is ripe at once. */
void sp_wheel_set(struct sp_wheel *w, struct sp_wheel_entry *e, int64_t due_s);
void sp_wheel_remove(struct sp_wheel_entry *e);
void sp_wheel_turn(struct sp_wheel *w, int64_t now_s);
/* The next one that is due, out of the wheel; or NULL when there is none or `budget` entries were looked at,
 * which it counts down. */
struct sp_wheel_entry *sp_wheel_take(struct sp_wheel *w, unsigned *budget);
bool sp_wheel_has_ripe(const struct sp_wheel *w);

#endif
