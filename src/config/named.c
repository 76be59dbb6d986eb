/* Names of structs, sorted: to find one of a hundred thousand, and two that are alike. Invariant: the index borrows the
 * names, and lives only while the configuration is checked. */
#include <stdlib.h>

#include "config/table.h"

static int compare_named(const void *left, const void *right)
{
    const struct sp_named *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

bool sp_named_index(struct sp_reader *r, const void *first, size_t count, size_t stride, size_t name_offset,
    struct sp_named_list *out)
{
    *out = (struct sp_named_list){.sorted = sp_alloc(count, sizeof(struct sp_named))};
    if (out->sorted == NULL) {
        sp_report_no_memory(r);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = NULL;
        memcpy(&name, (const char *)first + i * stride + name_offset, sizeof(name));
        if (name != NULL)
            out->sorted[out->count++] = (struct sp_named){name, i};
    }
    if (out->count > 1)
        qsort(out->sorted, out->count, sizeof(struct sp_named), compare_named);
    return true;
}

size_t sp_named_find(const struct sp_named_list *names, const char *name, size_t missing)
{
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, names->sorted[middle].name);
        if (order == 0)
            return names->sorted[middle].index;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return missing;
}

const struct sp_named *sp_named_twice(const struct sp_named_list *names, size_t *i, size_t *first)
{
    while (++*i < names->count) {
        if (strcmp(names->sorted[*i].name, names->sorted[*first].name) == 0)
            return &names->sorted[*i];
        *first = *i;
    }
    return NULL;
}
