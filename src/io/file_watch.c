/* When files and folders are looked at, and when a change is reported.
 *
 *              inotify stirs, or the comparison every few seconds differs
 *      idle ──────────────────────────────────────────────────────────────► stirred ◄─┐ quiet_ms: stirred again,
 *       ▲                                                                      │      │ or other than at the
 *       └───────────────── quiet, or most_ms are over ─────────────────────────┴──────┘ last look
 *                          (and on_change, if it differs from what was reported last)
 *
 * While stirred, inotify's descriptor is not listened to but read every quiet_ms: whoever writes without end into a
 * watched directory (a log beside the certificates) costs twenty wake-ups a second and a comparison every
 * most_ms, not one of each a line.
 *
 * "Quiet" is both that nothing was told and that two looks saw the same: a file server tells nothing.
 *
 * Invariants: `last` is what the last look said, `seen` what was reported (or set) last; they and `next` are as long as
 * `paths`. A report is
 * the last thing that a callback of ours does, so that on_change may set other paths.
 *
 * Elsewhere: file_eye.c looks. */
#include <errno.h>
#include <time.h>

#include "file_watch_private.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"

#define MARK_TRIES 4

#define QUIET_MS 50
#define MOST_MS  300
#define POLL_MS  5000

struct sp_file_watch {
    struct sp_loop *loop;
    void (*on_change)(void *arg, const char *path);
    void *arg;
    struct sp_file_watch_times times;
    struct sp_file_eye eye;
    struct sp_watch *watch; /* on the eye's descriptor; NULL when there is none */
    struct sp_timer *tick, *poll;
    struct sp_arena arena; /* of the paths and marks */
    const char **paths;
    size_t count;
    bool stirred;
    uint64_t since_ms; /* when it was stirred */
    struct sp_file_mark *seen, *last, *next;
};

/* The first that differs, or w->count. */
static size_t compare(
    const struct sp_file_watch *w, const struct sp_file_mark *a, const struct sp_file_mark *b)
{
    size_t i = 0;
    while (i < w->count && a[i].number == b[i].number)
        i++;
    return i;
}

/* True: nothing has changed since the look before. */
static bool look(struct sp_file_watch *w)
{
    struct sp_file_mark *before = w->last;
    sp_file_eye_look(&w->eye, w->paths, w->count, sp_wall_us(), w->next);
    w->last = w->next;
    w->next = before;
    return compare(w, w->last, before) == w->count;
}

/* If the kernel has no memory for it, the comparisons every few seconds are all that there is until one of them tries again. */
static void listen_again(struct sp_file_watch *w)
{
    if (w->watch != NULL)
        (void)!sp_watch_enable(w->watch);
}

static void stir(struct sp_file_watch *w)
{
    if (w->stirred)
        return;
    w->stirred = true;
    w->since_ms = sp_loop_now_ms(w->loop);
    if (w->watch != NULL)
        sp_watch_disable(w->watch);
    sp_timer_set(w->tick, w->times.quiet_ms);
}

/* What the last look saw is what later ones are compared with. But what was too young to tell a later change by
 * differs from anything, and so is reported once more. */
static void remember(struct sp_file_watch *w)
{
    bool again = false;
    for (size_t i = 0; i < w->count; i++) {
        w->seen[i] = w->last[i];
        if (w->seen[i].young)
            w->seen[i].number = ~w->seen[i].number;
        again = again || w->seen[i].young;
    }
    if (again)
        stir(w);
}

static void on_tick(void *arg)
{
    struct sp_file_watch *w = arg;
    bool late = sp_loop_now_ms(w->loop) - w->since_ms >= w->times.most_ms;
    bool quiet = !sp_file_eye_drain(&w->eye);

    if (quiet || late) {
        bool same = look(w);
        quiet = same || compare(w, w->last, w->seen) == w->count;
    }
    if (!quiet && !late) {
        sp_timer_set(w->tick, w->times.quiet_ms);
        return;
    }
    w->stirred = false;
    listen_again(w);
    size_t changed = compare(w, w->last, w->seen);
    if (changed == w->count)
        return;
    remember(w);
    w->on_change(w->arg, w->paths[changed]);
}

static void on_inotify(void *arg, unsigned events)
{
    struct sp_file_watch *w = arg;

    (void)events;
    if (sp_file_eye_drain(&w->eye))
        stir(w);
}

static void on_poll(void *arg)
{
    struct sp_file_watch *w = arg;

    sp_timer_set(w->poll, w->times.poll_ms);
    if (w->stirred)
        return;
    listen_again(w);
    (void)look(w);
    if (compare(w, w->last, w->seen) != w->count)
        stir(w);
}

struct sp_file_watch *sp_file_watch_new_timed(struct sp_loop *loop,
    void (*on_change)(void *arg, const char *path), void *arg, const struct sp_file_watch_times *times,
    struct sp_err *err)
{
    struct sp_file_watch *w = SP_NEW(struct sp_file_watch);
    if (w == NULL) {
        sp_err_sys(err, ENOMEM, "watching files");
        return NULL;
    }
    if (sp_file_eye_open(&w->eye, err) != SP_OK) {
        sp_free(w);
        return NULL;
    }
    w->loop = loop;
    w->on_change = on_change;
    w->arg = arg;
    w->times = *times;
    w->tick = sp_timer_new(loop, on_tick, w);
    w->poll = sp_timer_new(loop, on_poll, w);
    if (w->eye.fd >= 0)
        w->watch = sp_watch_new_level(loop, w->eye.fd, on_inotify, w);
    if (w->tick == NULL || w->poll == NULL || (w->eye.fd >= 0 && w->watch == NULL)) {
        sp_file_watch_free(w);
        sp_err_sys(err, ENOMEM, "watching files");
        return NULL;
    }
    sp_timer_set(w->poll, times->poll_ms);
    return w;
}

struct sp_file_watch *sp_file_watch_new(
    struct sp_loop *loop, void (*on_change)(void *arg, const char *path), void *arg, struct sp_err *err)
{
    const struct sp_file_watch_times times = {QUIET_MS, MOST_MS, POLL_MS};
    return sp_file_watch_new_timed(loop, on_change, arg, &times, err);
}

void sp_file_watch_free(struct sp_file_watch *w)
{
    if (w == NULL)
        return;
    sp_watch_free(w->watch);
    sp_timer_free(w->tick);
    sp_timer_free(w->poll);
    sp_file_eye_close(&w->eye);
    sp_arena_free(&w->arena);
    sp_free(w);
}

static bool is_any_young(const struct sp_file_watch *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->last[i].young)
            return true;
    }
    return false;
}

/* A change after this look finds another tick than the one that the look saw, so that one look tells. */
bool sp_file_watch_mark(struct sp_file_watch *w)
{
    const struct timespec tick = {.tv_nsec = (SP_FILE_EYE_TICK_MS + 1) * 1000000L};
    (void)look(w);
    for (unsigned tries = 1; tries < MARK_TRIES && is_any_young(w); tries++) {
        nanosleep(&tick, NULL);
        (void)look(w);
    }
    bool has_changed = compare(w, w->last, w->seen) != w->count;
    remember(w);
    return has_changed;
}

/* The mark of a path among the former ones, or NULL. They come in the same order as a rule. */
static const struct sp_file_mark *mark_of(const struct sp_file_watch *w, const char *path, size_t *hint)
{
    for (size_t i = 0; i < w->count; i++) {
        size_t at = (*hint + i) % w->count;
        if (strcmp(w->paths[at], path) == 0) {
            *hint = at + 1;
            return &w->seen[at];
        }
    }
    return NULL;
}

/* What is as it was when it was marked, and was old enough then, is not young; what is not has changed since. */
static void compare_with_marks(
    const struct sp_file_watch *w, const char *const *paths, size_t count, struct sp_file_mark *now)
{
    size_t hint = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sp_file_mark *mark = mark_of(w, paths[i], &hint);
        if (mark != NULL)
            now[i].young = mark->young || mark->number != now[i].number;
    }
}

static bool copy_paths(struct sp_arena *arena, const char *const *paths, size_t count, const char **copies)
{
    for (size_t i = 0; i < count; i++) {
        copies[i] = sp_arena_copy(arena, sp_slice_of(paths[i])).ptr;
        if (copies[i] == NULL)
            return false;
    }
    return true;
}

enum sp_rc sp_file_watch_set(
    struct sp_file_watch *w, const char *const *paths, size_t count, int64_t since_us)
{
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    const char **copies = sp_arena_alloc(&arena, count, sizeof(*copies));
    struct sp_file_mark *marks = sp_arena_alloc(&arena, count, 3 * sizeof(*marks));
    if (copies == NULL || marks == NULL || !copy_paths(&arena, paths, count, copies)) {
        sp_arena_free(&arena);
        return SP_FAIL;
    }
    sp_file_eye_look(&w->eye, copies, count, since_us, marks);
    compare_with_marks(w, paths, count, marks);
    sp_arena_free(&w->arena);
    w->arena = arena;
    w->paths = copies;
    w->count = count;
    w->last = marks;
    w->seen = marks + count;
    w->next = marks + 2 * count;
    remember(w);
    return SP_OK;
}
