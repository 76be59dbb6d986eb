/* The set of CRLs of one trust: in order, without what has been replaced, and found by the issuer's name. What they say
 * of a certificate is in revocation.c. */
#include <openssl/err.h>
#include <stdlib.h>

#include "pki/crl/revocation.h"
#include "sallyport/base/mem.h"

static void free_info(struct sp_crls_info *info)
{
    sp_crl_free(info->crl);
    free(info->url);
    free(info->trouble);
}

enum sp_rc sp_crls_add(struct sp_crls *set, const struct sp_crls_info *info)
{
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 16 : set->room * 2;
        struct sp_crls_info *infos = realloc(set->infos, room * sizeof(*infos));
        if (infos == NULL) {
            struct sp_crls_info gone = *info;
            free_info(&gone);
            return SP_FAIL;
        }
        set->infos = infos;
        set->room = room;
    }
    set->infos[set->count++] = *info;
    return SP_OK;
}

void sp_crls_free(struct sp_crls *set)
{
    for (size_t i = 0; i < set->count; i++)
        free_info(&set->infos[i]);
    free(set->infos);
    sp_free(set->items);
    sp_free(set->groups);
    *set = (struct sp_crls){0};
}

static int by_issuer_then_age(const void *a, const void *b)
{
    const struct sp_crl *x = ((const struct sp_crls_info *)a)->crl,
                        *y = ((const struct sp_crls_info *)b)->crl;
    int order = X509_NAME_cmp(x->issuer, y->issuer);
    if (order != 0)
        return order;
    return sp_crl_is_newer(x, y) ? -1 : sp_crl_is_newer(y, x) ? 1 : 0;
}

/* `old` comes after `newer` in the order of the set. Deltas stay: the complete one at hand may go with the older. */
static bool replaces(const struct sp_crl *newer, const struct sp_crl *old, int64_t now)
{
    return newer->unusable == NULL && old->unusable == NULL && !newer->is_delta && !old->is_delta &&
           newer->this_update <= now && sp_slice_equal(newer->idp, old->idp) &&
           sp_crl_have_same_signer(newer, old);
}

/* Also of two that are the same one, from two files or by two names: the first stays. */
static void drop_replaced(struct sp_crls *set, int64_t now)
{
    size_t kept = 0, first_of_issuer = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct sp_crls_info *info = &set->infos[i];
        bool drop = false;
        if (kept > 0 && X509_NAME_cmp(set->infos[kept - 1].crl->issuer, info->crl->issuer) != 0)
            first_of_issuer = kept;
        for (size_t k = first_of_issuer; k < kept && !drop; k++)
            drop = set->infos[k].crl == info->crl || replaces(set->infos[k].crl, info->crl, now);
        if (drop)
            free_info(info);
        else
            set->infos[kept++] = *info;
    }
    set->count = kept;
}

static int by_hash(const void *a, const void *b)
{
    const struct sp_crls_group *x = a, *y = b;
    return memcmp(x->issuer_hash, y->issuer_hash, sizeof(x->issuer_hash));
}

/* One group for each way in which an issuer's name is written. */
static void make_groups(struct sp_crls *set)
{
    for (size_t first = 0, end; first < set->count; first = end) {
        size_t begun = set->group_count;
        for (end = first;
             end < set->count && X509_NAME_cmp(set->items[first]->issuer, set->items[end]->issuer) == 0;
             end++) {
            struct sp_crls_group group = {.first = first};
            bool known = false;
            memcpy(group.issuer_hash, set->items[end]->issuer_hash, sizeof(group.issuer_hash));
            for (size_t i = begun; i < set->group_count && !known; i++)
                known = by_hash(&set->groups[i], &group) == 0;
            if (!known)
                set->groups[set->group_count++] = group;
        }
        for (size_t i = begun; i < set->group_count; i++)
            set->groups[i].end = end;
    }
    if (set->group_count > 1)
        qsort(set->groups, set->group_count, sizeof(*set->groups), by_hash);
}

enum sp_rc sp_crls_finish(struct sp_crls *set, int64_t now)
{
    if (set->count > 1)
        qsort(set->infos, set->count, sizeof(*set->infos), by_issuer_then_age);
    drop_replaced(set, now);
    set->items = sp_alloc(set->count + 1, sizeof(struct sp_crl *));
    set->groups = sp_alloc(set->count + 1, sizeof(*set->groups));
    if (set->items == NULL || set->groups == NULL)
        return SP_FAIL;
    for (size_t i = 0; i < set->count; i++) {
        set->items[i] = set->infos[i].crl;
        set->has_indirect |= set->items[i]->is_indirect;
    }
    make_groups(set);
    return SP_OK;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool sp_crls_are_same(const struct sp_crls *a, const struct sp_crls *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; i++)
        same = a->items[i] == b->items[i] && same_text(a->infos[i].trouble, b->infos[i].trouble);
    return same;
}

void sp_crls_of(const struct sp_crls *set, const X509_NAME *name, size_t *first, size_t *end)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (X509_NAME_cmp(set->items[mid]->issuer, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *first = low;
    while (low < set->count && X509_NAME_cmp(set->items[low]->issuer, name) == 0)
        low++;
    *end = low;
}

struct sp_crl *sp_crls_current(const struct sp_crls *set, const X509 *ca, int64_t now)
{
    size_t first, end;
    sp_crls_of(set, X509_get_subject_name(ca), &first, &end);
    for (size_t i = first; i < end; i++) {
        struct sp_crl *c = set->items[i];
        if (c->unusable == NULL && c->scope == SP_CRL_ALL && !c->is_delta && c->partition == NULL &&
            c->reasons == SP_CRL_ALL_REASONS && c->this_update <= now && sp_crl_is_signed_by(c, ca))
            return c;
    }
    return NULL;
}

int64_t sp_crls_next_change(const struct sp_crls *set, const struct sp_crl_policy *policy, int64_t now)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < set->count; i++) {
        const struct sp_crl *c = set->items[i];
        int64_t too_old = c->next_update;
        if (too_old != SP_CRL_NO_END && policy->stale == SP_CRL_STALE_GRACE)
            too_old += policy->grace_s;
        if (c->this_update > now && c->this_update < next)
            next = c->this_update;
        if (too_old != SP_CRL_NO_END && too_old > now && too_old < next)
            next = too_old;
    }
    return next;
}
