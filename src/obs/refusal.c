/* The refusal table as data: one row a reason, made from the list in the header, so that a word cannot exist in
 * one place only. */
#include "sallyport/obs/refusal.h"

struct reason {
    const char *name;
    const char *meaning;
    char when;
};

static const struct reason reasons[] = {
#define X(name, when, meaning) {#name, meaning, #when[0]},
    SP_REFUSALS(X)
#undef X
};

static const struct reason *reason_of(enum sp_refusal r)
{
    SP_ASSERT((unsigned)r < SP_COUNTOF(reasons));
    return &reasons[r];
}

const char *sp_refusal_name(enum sp_refusal r)
{
    return reason_of(r)->name;
}

const char *sp_refusal_meaning(enum sp_refusal r)
{
    return reason_of(r)->meaning;
}

char sp_refusal_when(enum sp_refusal r)
{
    return reason_of(r)->when;
}
