/* The list of what is wrong. Why it is bounded: a file of noise must not make a page of noise, so the first
 * hundred of each severity are kept and the rest are counted. Invariant: nothing here fails: without memory a
 * diagnostic is counted and not kept. Elsewhere: who finds what (yaml.c, table.c, check.c here, and the rooms
 * above). */
#include "sallyport/config/diag.h"

#include <stdio.h>

#define KEPT     ((size_t)2 * SP_DIAGS_KEPT)
#define TEXT_MAX 1024

void sp_diags_free(struct sp_diags *d)
{
    sp_arena_free(&d->arena);
    *d = (struct sp_diags){0};
}

static bool room_for_one(struct sp_diags *d)
{
    if (d->count < d->room)
        return true;
    size_t room = d->room == 0 ? 16 : d->room * 2;
    struct sp_diag *items = sp_arena_alloc(&d->arena, room, sizeof(*items));
    if (items == NULL)
        return false;
    if (d->count != 0)
        memcpy(items, d->items, d->count * sizeof(*items));
    d->items = items;
    d->room = room;
    return true;
}

/* The caller's file name may not outlive us; a run of diagnostics about one file shares one copy. */
static const char *keep_file(struct sp_diags *d, const char *file)
{
    if (file == NULL)
        return NULL;
    if (d->count > 0 && d->items[d->count - 1].file != NULL && strcmp(d->items[d->count - 1].file, file) == 0)
        return d->items[d->count - 1].file;
    return sp_arena_copy(&d->arena, sp_slice_of(file)).ptr;
}

void sp_diag_add(
    struct sp_diags *d, enum sp_severity severity, const char *file, struct sp_pos at, const char *fmt, ...)
{
    size_t *count = severity == SP_DIAG_ERROR ? &d->errors : &d->warnings;
    char text[TEXT_MAX];
    va_list args;

    if ((*count)++ >= SP_DIAGS_KEPT || !room_for_one(d))
        return;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len < 0)
        len = 0;
    if ((size_t)len >= sizeof(text))
        len = (int)sizeof(text) - 1;
    struct sp_slice kept = sp_arena_copy(&d->arena, (struct sp_slice){text, (size_t)len});
    if (kept.ptr == NULL)
        return;
    const char *name = keep_file(d, file);
    d->items[d->count++] = (struct sp_diag){severity, name, at, kept.ptr};
}

static bool same_file(const struct sp_diag *a, const struct sp_diag *b)
{
    return a->file == b->file || (a->file != NULL && b->file != NULL && strcmp(a->file, b->file) == 0);
}

/* Files in the order in which they were first spoken of, and inside one by place; a stable insertion of at most
 * KEPT. */
static size_t sort(const struct sp_diags *d, const struct sp_diag *sorted[KEPT])
{
    size_t count = 0;

    for (size_t i = 0; i < d->count && i < KEPT; i++) {
        const struct sp_diag *item = &d->items[i];
        size_t end = count;
        while (end > 0 && !same_file(sorted[end - 1], item))
            end--;
        size_t to = end > 0 ? end : count;
        while (to > 0 && same_file(sorted[to - 1], item) &&
               (sorted[to - 1]->at.line > item->at.line ||
                   (sorted[to - 1]->at.line == item->at.line && sorted[to - 1]->at.column > item->at.column)))
            to--;
        memmove(&sorted[to + 1], &sorted[to], (count - to) * sizeof(sorted[0]));
        sorted[to] = item;
        count++;
    }
    return count;
}

static void print_unkept(struct sp_buf *out, size_t total, size_t kept, const char *what)
{
    if (total > kept)
        sp_buf_printf(out, "%zu more %s%s\n", total - kept, what, total - kept == 1 ? "" : "s");
}

void sp_diags_print(const struct sp_diags *d, struct sp_buf *out)
{
    const struct sp_diag *sorted[KEPT + 1];
    size_t kept[2] = {0, 0}, count = sort(d, sorted);

    for (size_t i = 0; i < count; i++) {
        const struct sp_diag *item = sorted[i];
        if (item->file != NULL)
            sp_buf_printf(out, "%s:", item->file);
        if (item->at.line != 0)
            sp_buf_printf(out, "%u:%u:", item->at.line, item->at.column);
        sp_buf_printf(out, "%s%s: %s\n", item->file != NULL || item->at.line != 0 ? " " : "",
            item->severity == SP_DIAG_ERROR ? "error" : "warning", item->text);
        kept[item->severity]++;
    }
    print_unkept(out, d->errors, kept[SP_DIAG_ERROR], "error");
    print_unkept(out, d->warnings, kept[SP_DIAG_WARNING], "warning");
}
