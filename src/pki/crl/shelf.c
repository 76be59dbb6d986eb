/* See the header. A file is known by what stat says of it; what it holds is shared by reference.
 *
 * When a file has changed, its CRLs are laid beside those that are on the shelf, line by line (the same issuer, key,
 * scope and kind). The one on the shelf gives way only to a usable one of its line that is not older and is in force;
 * else it stays, with the reason. The new one goes beside it, unless it goes back in time: it may be another CA's of the
 * same name, or come into force later. What nobody is known to have signed, or was never in force, keeps nothing
 * out: of two that nobody has proven both stay, for the CA that a client brings along to decide. What the file no
 * longer speaks of is forgotten; but if a part of the file cannot be read, or holds a new CRL of nobody known,
 * nobody knows what it speaks of. */
#include "pki/crl/shelf_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pki/x509/asn1.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"

/* The kernel's clock for files goes in steps, of 10 ms at most: a file that was read within one of them may change without a
 * trace. */
#define RACY_US 10000
/* Of a file whose CRLs grow older each time and are nobody's, so many are kept. */
#define UNPROVEN_MAX 8

struct shelf_file {
    struct shelf_file *next;
    char *path;
    struct stat st;
    bool wanted;  /* since sp_shelf_begin */
    bool is_sure; /* `st` tells whether it has changed */
    struct sp_shelf_items held;
};

struct sp_shelf {
    struct shelf_file *files; /* few: a list does */
};

/* ---- items ---- */

void sp_shelf_items_free(struct sp_shelf_items *l)
{
    for (size_t i = 0; i < l->count; i++) {
        sp_crl_free(l->items[i].crl);
        free(l->items[i].trouble);
    }
    free(l->items);
    free(l->trouble);
    *l = (struct sp_shelf_items){0};
}

/* Takes over the reference and the text. */
static enum sp_rc add(struct sp_shelf_items *l, struct sp_crl *c, int64_t loaded_at, char *trouble)
{
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 4 : l->room * 2;
        struct sp_shelf_item *items = realloc(l->items, room * sizeof(*items));
        if (items == NULL) {
            sp_crl_free(c);
            free(trouble);
            return SP_FAIL;
        }
        l->items = items;
        l->room = room;
    }
    l->items[l->count++] = (struct sp_shelf_item){c, loaded_at, trouble};
    return SP_OK;
}

static enum sp_rc copy(const struct sp_shelf_items *from, struct sp_shelf_items *out)
{
    enum sp_rc rc = SP_OK;
    for (size_t i = 0; i < from->count && rc == SP_OK; i++) {
        const struct sp_shelf_item *item = &from->items[i];
        char *trouble = item->trouble != NULL ? strdup(item->trouble) : NULL;
        if (item->trouble != NULL && trouble == NULL)
            return SP_FAIL;
        rc = add(out, sp_crl_ref(item->crl), item->loaded_at, trouble);
    }
    if (rc == SP_OK && from->trouble != NULL && (out->trouble = strdup(from->trouble)) == NULL)
        rc = SP_FAIL;
    return rc;
}

/* ---- signers ---- */

/* Asks every CA of the CRL's issuer name whether it signed it; the answers are remembered in the CRL. */
static void find_signer(struct sp_crl *c, const struct sp_cas *cas)
{
    size_t first, end;
    bool found = false;
    if (c->unusable != NULL)
        return;
    sp_cas_of(cas, c->issuer, &first, &end);
    for (size_t i = first; i < end; i++)
        found |= sp_crl_is_signed_by(c, cas->items[i].cert);
    if (found)
        sp_crl_settle(c);
}

/* ---- the new beside the old ---- */

static bool is_same_crl(const struct sp_crl *a, const struct sp_crl *b)
{
    return a->this_update == b->this_update && a->revoked_count == b->revoked_count &&
           sp_slice_equal(a->proof.signature, b->proof.signature) &&
           X509_NAME_cmp(a->issuer, b->issuer) == 0 && a->proof.digest_len == b->proof.digest_len &&
           memcmp(a->proof.digest, b->proof.digest, a->proof.digest_len) == 0 && a->proof.digest_len > 0;
}

static bool is_older(const struct sp_crl *a, const struct sp_crl *b)
{
    bool numbered = a->number[0] != '\0' && b->number[0] != '\0';
    return a->this_update < b->this_update || (numbered && sp_crl_compare_numbers(a->number, b->number) < 0);
}

enum relation { ANOTHER, GIVES_WAY, STAYS, GOES_BACK };

/* What becomes of `old` by `fresh`; with STAYS and GOES_BACK, `why` says for which reason. */
static enum relation compare(
    struct sp_crl *fresh, const struct sp_crl *old, int64_t now, char *why, size_t room)
{
    char was[SP_RFC3339_MAX], is[SP_RFC3339_MAX];
    if (X509_NAME_cmp(fresh->issuer, old->issuer) != 0)
        return ANOTHER;
    if (fresh->unusable != NULL) {
        snprintf(why, room, "%s", fresh->unusable);
        return STAYS;
    }
    if (!sp_slice_equal(fresh->idp, old->idp) || fresh->is_delta != old->is_delta)
        return ANOTHER;
    if (sp_crl_has_known_signer(old) && !sp_crl_has_signer_of(fresh, old)) {
        snprintf(why, room, "it is not signed by the key that signed the one before");
        return STAYS;
    }
    if (old->this_update > now)
        return GIVES_WAY; /* it never was in force */
    bool is_proven = sp_crl_has_known_signer(old);
    if (!is_proven && sp_crl_has_known_signer(fresh))
        return ANOTHER;
    if (is_older(fresh, old)) {
        snprintf(why, room, "it goes back in time: CRLNumber %s (hex) of %s after %s of %s",
            fresh->number[0] != '\0' ? fresh->number : "none", sp_asn1_time_text(fresh->this_update, is),
            old->number[0] != '\0' ? old->number : "none", sp_asn1_time_text(old->this_update, was));
        return is_proven ? GOES_BACK : STAYS;
    }
    if (fresh->this_update > now) {
        snprintf(why, room, "it is not in force before %s", sp_asn1_time_text(fresh->this_update, is));
        return STAYS;
    }
    return GIVES_WAY;
}

/* The text that names `fresh`, what is wrong with it, and what happens now. */
static char *tell(const struct sp_crl *fresh, const char *why, int64_t loaded_at)
{
    char when[SP_RFC3339_MAX];
    char *text = NULL;
    if (asprintf(&text, "%s: %s; the one loaded at %s stays in force", fresh->source, why,
            sp_asn1_time_text(loaded_at, when)) < 0)
        return NULL;
    return text;
}

struct change {
    const struct sp_crl_list *fresh;
    bool *goes_back; /* of each of `fresh` */
    const struct sp_shelf_items *held;
    int64_t now;
    bool is_damaged;              /* not all of the file could be read */
    const struct sp_crl *nobodys; /* of `fresh`, or NULL; see find_nobodys */
    size_t unproven;              /* kept so far of `held` */
    struct sp_shelf_items *into;
};

/* A new CRL that nobody is known to have signed, of an issuer that the shelf had none of: a damaged name makes one such of
 * a CRL that is missing then. */
static const struct sp_crl *find_nobodys(const struct sp_crl_list *fresh, const struct sp_shelf_items *held)
{
    for (size_t i = 0; i < fresh->count; i++) {
        const struct sp_crl *c = fresh->items[i];
        bool is_one = !sp_crl_has_known_signer(c);
        for (size_t k = 0; k < held->count && is_one; k++)
            is_one = X509_NAME_cmp(held->items[k].crl->issuer, c->issuer) != 0;
        if (is_one)
            return c;
    }
    return NULL;
}

/* Whether `old` stays, and why. SP_EOF: it does not. */
static enum sp_rc judge_old(struct change *ch, const struct sp_shelf_item *old, char **trouble)
{
    bool stays = false, gives_way = false;
    char why[512], first_why[512] = "";
    const struct sp_crl *told = NULL;
    if (old->crl->unusable != NULL)
        return SP_EOF;
    for (size_t i = 0; i < ch->fresh->count; i++) {
        struct sp_crl *fresh = ch->fresh->items[i];
        if (fresh == old->crl)
            return SP_EOF; /* it is there as it was */
        enum relation r = compare(fresh, old->crl, ch->now, why, sizeof(why));
        gives_way |= r == GIVES_WAY;
        ch->goes_back[i] |= r == GOES_BACK;
        if ((r == STAYS || r == GOES_BACK) && told == NULL) {
            stays = true;
            told = fresh;
            memcpy(first_why, why, sizeof(why));
        }
    }
    if (!stays && !ch->is_damaged && ch->nobodys != NULL && sp_crl_has_known_signer(old->crl)) {
        char name[192];
        told = ch->nobodys;
        snprintf(first_why, sizeof(first_why), "nobody is known who signed it, and the one of %s is gone",
            sp_asn1_name_text(old->crl->issuer, name, sizeof(name)));
    }
    if (gives_way || (told == NULL && !ch->is_damaged))
        return SP_EOF;
    if (!sp_crl_has_known_signer(old->crl) && ++ch->unproven > UNPROVEN_MAX)
        return SP_EOF;
    if (told != NULL && (*trouble = tell(told, first_why, old->loaded_at)) == NULL)
        return SP_FAIL;
    return SP_OK;
}

static enum sp_rc merge(struct change *ch)
{
    for (size_t i = 0; i < ch->held->count; i++) {
        const struct sp_shelf_item *old = &ch->held->items[i];
        char *trouble = NULL;
        enum sp_rc rc = judge_old(ch, old, &trouble);
        if (rc == SP_OK)
            rc = add(ch->into, sp_crl_ref(old->crl), old->loaded_at, trouble);
        if (rc == SP_FAIL)
            return SP_FAIL;
    }
    for (size_t i = 0; i < ch->fresh->count; i++) {
        if (!ch->goes_back[i] && add(ch->into, sp_crl_ref(ch->fresh->items[i]), ch->now, NULL) != SP_OK)
            return SP_FAIL;
    }
    return SP_OK;
}

/* Where the file says again what is on the shelf, it is the one on the shelf, with the keys that it remembers. */
static void keep_known(struct sp_crl_list *fresh, const struct sp_shelf_items *held)
{
    for (size_t i = 0; i < fresh->count; i++) {
        for (size_t k = 0; k < held->count; k++) {
            struct sp_crl *old = held->items[k].crl;
            if (old == fresh->items[i] || !is_same_crl(fresh->items[i], old))
                continue;
            sp_crl_free(fresh->items[i]);
            fresh->items[i] = sp_crl_ref(old);
            break;
        }
    }
}

static enum sp_rc lay_beside(struct sp_crl_list *fresh, const struct sp_shelf_items *held, bool is_damaged,
    int64_t now, struct sp_shelf_items *into)
{
    keep_known(fresh, held);
    struct change ch = {.fresh = fresh,
        .goes_back = sp_alloc(fresh->count + 1, sizeof(bool)),
        .held = held,
        .now = now,
        .is_damaged = is_damaged,
        .nobodys = find_nobodys(fresh, held),
        .into = into};
    enum sp_rc rc = ch.goes_back != NULL ? merge(&ch) : SP_FAIL;
    sp_free(ch.goes_back);
    return rc;
}

/* ---- files ---- */

static bool is_unchanged(const struct shelf_file *f)
{
    struct stat st;
    return f->is_sure && stat(f->path, &st) == 0 && st.st_dev == f->st.st_dev && st.st_ino == f->st.st_ino &&
           st.st_size == f->st.st_size && st.st_mtim.tv_sec == f->st.st_mtim.tv_sec &&
           st.st_mtim.tv_nsec == f->st.st_mtim.tv_nsec && st.st_ctim.tv_sec == f->st.st_ctim.tv_sec &&
           st.st_ctim.tv_nsec == f->st.st_ctim.tv_nsec;
}

static struct shelf_file *file_of(struct sp_shelf *s, const char *path)
{
    for (struct shelf_file *f = s->files; f != NULL; f = f->next) {
        if (strcmp(f->path, path) == 0)
            return f;
    }
    return NULL;
}

static struct shelf_file *add_file(struct sp_shelf *s, const char *path)
{
    struct shelf_file *f = SP_NEW(struct shelf_file);
    char *copied = strdup(path);
    if (f == NULL || copied == NULL) {
        sp_free(f);
        free(copied);
        return NULL;
    }
    f->path = copied;
    f->next = s->files;
    s->files = f;
    return f;
}

static void free_file(struct shelf_file *f)
{
    sp_shelf_items_free(&f->held);
    free(f->path);
    sp_free(f);
}

/* What is wrong with the file as a whole, and what happens now. */
static char *tell_of_file(const struct sp_err *err, const struct sp_shelf_items *held)
{
    char when[SP_RFC3339_MAX];
    char *text = NULL;
    int64_t newest = 0;
    for (size_t i = 0; i < held->count; i++)
        newest = held->items[i].loaded_at > newest ? held->items[i].loaded_at : newest;
    int n = asprintf(
        &text, "%s; what was loaded at %s stays in force", err->text, sp_asn1_time_text(newest, when));
    return n < 0 ? NULL : text;
}

/* Reads the file anew and lays it beside what is held. */
static enum sp_rc renew(struct shelf_file *f, const struct sp_cas *cas, int64_t now, struct sp_err *err)
{
    struct sp_crl_list fresh = {NULL, 0, 0};
    struct sp_shelf_items next = {0};
    struct stat st;
    int64_t read_at = sp_wall_us();
    enum sp_rc read = sp_crl_file_read(f->path, &fresh, &st, err), rc;
    if (read != SP_OK && f->held.count == 0) {
        sp_crl_list_free(&fresh);
        return read;
    }
    for (size_t i = 0; i < fresh.count; i++)
        find_signer(fresh.items[i], cas);
    rc = lay_beside(&fresh, &f->held, read != SP_OK, now, &next);
    if (rc == SP_OK && read != SP_OK && (next.trouble = tell_of_file(err, &f->held)) == NULL)
        rc = SP_FAIL;
    sp_crl_list_free(&fresh);
    if (rc != SP_OK) {
        sp_shelf_items_free(&next);
        return sp_err_sys(err, ENOMEM, "%s", f->path);
    }
    sp_shelf_items_free(&f->held);
    f->held = next;
    f->st = st;
    int64_t changed_at = (int64_t)st.st_ctim.tv_sec * 1000000 + st.st_ctim.tv_nsec / 1000;
    f->is_sure = (read == SP_OK || !sp_load_lacks(err)) && st.st_ino != 0 && read_at - changed_at > RACY_US;
    return SP_OK;
}

static enum sp_rc read_plainly(
    const char *path, const struct sp_cas *cas, int64_t now, struct sp_shelf_items *out, struct sp_err *err)
{
    struct sp_crl_list fresh = {NULL, 0, 0};
    struct stat st;
    enum sp_rc rc = sp_crl_file_read(path, &fresh, &st, err);
    for (size_t i = 0; i < fresh.count && rc == SP_OK; i++) {
        find_signer(fresh.items[i], cas);
        if (add(out, sp_crl_ref(fresh.items[i]), now, NULL) != SP_OK)
            rc = sp_err_sys(err, ENOMEM, "%s", path);
    }
    sp_crl_list_free(&fresh);
    return rc;
}

static enum sp_rc read_shelved(struct sp_shelf *s, const char *path, const struct sp_cas *cas, int64_t now,
    struct sp_shelf_items *out, struct sp_err *err)
{
    struct shelf_file *f = file_of(s, path);
    if (f == NULL)
        f = add_file(s, path);
    if (f == NULL)
        return sp_err_sys(err, ENOMEM, "%s", path);
    f->wanted = true;
    if (!is_unchanged(f)) {
        enum sp_rc rc = renew(f, cas, now, err);
        if (rc != SP_OK)
            return rc;
    }
    for (size_t i = 0; i < f->held.count; i++)
        find_signer(f->held.items[i].crl, cas); /* of another trust than the one that it was read for */
    return copy(&f->held, out) == SP_OK ? SP_OK : sp_err_sys(err, ENOMEM, "%s", path);
}

enum sp_rc sp_shelf_read(struct sp_shelf *s, const char *path, const struct sp_cas *cas, int64_t now,
    struct sp_shelf_items *out, struct sp_err *err)
{
    enum sp_rc rc =
        s != NULL ? read_shelved(s, path, cas, now, out, err) : read_plainly(path, cas, now, out, err);
    if (rc != SP_OK)
        sp_shelf_items_free(out);
    return rc;
}

static bool is_in_folder(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    if (strncmp(path, folder, len) != 0 || path[len] != '/')
        return false;
    const char *name = path + len + strspn(path + len, "/");
    return *name != '\0' && strchr(name, '/') == NULL;
}

enum sp_rc sp_shelf_list(const struct sp_shelf *s, const char *folder, struct sp_file_list *out)
{
    for (const struct shelf_file *f = s != NULL ? s->files : NULL; f != NULL; f = f->next) {
        if (f->held.count > 0 && is_in_folder(f->path, folder) &&
            sp_file_list_add(out, strdup(f->path)) != SP_OK) {
            sp_file_list_free(out);
            return SP_FAIL;
        }
    }
    return SP_OK;
}

static bool is_listed(const struct sp_file_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->paths[i], path) == 0)
            return true;
    }
    return false;
}

/* SP_EOF: nothing of `set` is older than it, or something is newer. */
static enum sp_rc judge_gone(
    const struct sp_shelf_item *gone, const struct sp_crls *set, int64_t now, char **trouble)
{
    char why[512];
    const struct sp_crl *older = NULL;
    if (gone->crl->unusable != NULL || !sp_crl_has_known_signer(gone->crl))
        return SP_EOF;
    for (size_t i = 0; i < set->count; i++) {
        char because[sizeof(why)] = "";
        switch (compare(set->infos[i].crl, gone->crl, now, because, sizeof(because))) {
        case GIVES_WAY:
            return SP_EOF;
        case GOES_BACK:
            older = set->infos[i].crl;
            memcpy(why, because, sizeof(why));
            break;
        default:
            break;
        }
    }
    if (older == NULL)
        return SP_EOF;
    *trouble = tell(older, why, gone->loaded_at);
    return *trouble != NULL ? SP_OK : SP_FAIL;
}

enum sp_rc sp_shelf_keep_newer(struct sp_shelf *s, const char *folder, const struct sp_file_list *present,
    const struct sp_crls *set, int64_t now, struct sp_shelf_items *out)
{
    for (struct shelf_file *f = s != NULL ? s->files : NULL; f != NULL; f = f->next) {
        if (!is_in_folder(f->path, folder) || is_listed(present, f->path))
            continue;
        for (size_t i = 0; i < f->held.count; i++) {
            const struct sp_shelf_item *item = &f->held.items[i];
            char *trouble = NULL;
            enum sp_rc rc = judge_gone(item, set, now, &trouble);
            if (rc == SP_EOF)
                continue;
            f->wanted = true;
            if (rc != SP_OK || add(out, sp_crl_ref(item->crl), item->loaded_at, trouble) != SP_OK) {
                sp_shelf_items_free(out);
                return SP_FAIL;
            }
        }
    }
    return SP_OK;
}

/* ---- the shelf ---- */

struct sp_shelf *sp_shelf_new(void)
{
    return SP_NEW(struct sp_shelf);
}

void sp_shelf_free(struct sp_shelf *s)
{
    if (s == NULL)
        return;
    for (struct shelf_file *f = s->files, *next; f != NULL; f = next) {
        next = f->next;
        free_file(f);
    }
    sp_free(s);
}

void sp_shelf_begin(struct sp_shelf *s)
{
    for (struct shelf_file *f = s->files; f != NULL; f = f->next)
        f->wanted = false;
}

void sp_shelf_end(struct sp_shelf *s)
{
    for (struct shelf_file **at = &s->files; *at != NULL;) {
        struct shelf_file *f = *at;
        if (f->wanted) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        free_file(f);
    }
}
