/* Intrusive doubly linked list. A link that is in no list points at itself after sp_list_init / sp_list_remove,
 * so removing twice is harmless. Not thread safe. */
#ifndef SP_BASE_LIST_H
#define SP_BASE_LIST_H

#include "sallyport/base/base.h"

struct sp_list {
    struct sp_list *prev, *next;
};

static inline void sp_list_init(struct sp_list *l)
{
    l->prev = l->next = l;
}

static inline bool sp_list_is_empty(const struct sp_list *l)
{
    return l->next == l;
}

static inline void sp_list_append(struct sp_list *head, struct sp_list *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

static inline void sp_list_prepend(struct sp_list *head, struct sp_list *l)
{
    sp_list_append(head->next, l);
}

static inline void sp_list_remove(struct sp_list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    sp_list_init(l);
}

/* The body may remove `it` from its list; nothing else. */
#define SP_LIST_EACH(head, it)                                                                               \
    for (struct sp_list *it = (head)->next, *it##_next = it->next; it != (head);                             \
         it = it##_next, it##_next = it->next)

#endif
