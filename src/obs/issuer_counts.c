/* A list of fixed size behind one lock, scanned: it is short, and only certificates that are the exception come here. */
#include "sallyport/obs/issuer_counts.h"

#include <inttypes.h>
#include <pthread.h>

#include "label.h"

#define ISSUER_MAX_BYTES 512

struct row {
    char *issuer; /* owned */
    size_t len;
    uint64_t count;
};

struct sp_issuer_counts {
    pthread_mutex_t lock;
    size_t used;
    struct row rows[SP_ISSUERS_COUNTED];
    uint64_t others;
};

struct sp_issuer_counts *sp_issuer_counts_new(void)
{
    struct sp_issuer_counts *c = SP_NEW(struct sp_issuer_counts);
    if (c != NULL)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void sp_issuer_counts_free(struct sp_issuer_counts *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->used; i++)
        sp_free(c->rows[i].issuer);
    pthread_mutex_destroy(&c->lock);
    sp_free(c);
}

/* NULL: it has no series of its own, now at least. */
static struct row *row_of(struct sp_issuer_counts *c, struct sp_slice issuer)
{
    for (size_t i = 0; i < c->used; i++) {
        if (sp_slice_equal((struct sp_slice){c->rows[i].issuer, c->rows[i].len}, issuer))
            return &c->rows[i];
    }
    if (c->used == SP_ISSUERS_COUNTED || issuer.len > ISSUER_MAX_BYTES)
        return NULL;
    char *copy = sp_alloc(issuer.len + 1, 1);
    if (copy == NULL)
        return NULL;
    if (issuer.len > 0)
        memcpy(copy, issuer.ptr, issuer.len);
    c->rows[c->used] = (struct row){copy, issuer.len, 0};
    return &c->rows[c->used++];
}

void sp_issuer_counts_add(struct sp_issuer_counts *c, struct sp_slice issuer)
{
    pthread_mutex_lock(&c->lock);
    struct row *row = row_of(c, issuer);
    if (row != NULL)
        row->count++;
    else
        c->others++;
    pthread_mutex_unlock(&c->lock);
}

static const struct {
    const char *name, *help;
} FAMILY =
#define X(name, labels, help)                                                                                \
    {                                                                                                        \
        name, help                                                                                           \
    }
    SP_ISSUER_FAMILIES(X);
#undef X

static void print_sample(struct sp_buf *out, const char *issuer, uint64_t count)
{
    sp_buf_printf(out, "%s{issuer=\"", FAMILY.name);
    sp_label_value(out, issuer);
    sp_buf_printf(out, "\"} %" PRIu64 "\n", count);
}

void sp_issuer_counts_print(struct sp_issuer_counts *c, struct sp_buf *out)
{
    sp_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", FAMILY.name, FAMILY.help, FAMILY.name);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->used; i++)
        print_sample(out, c->rows[i].issuer, c->rows[i].count);
    print_sample(out, "other", c->others);
    pthread_mutex_unlock(&c->lock);
}
