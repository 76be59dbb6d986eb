/* From client_auth.crl to the set of CRLs, and what is said of each on the way. What cannot be read and was never read is
 * an error; what is merely of no use, or has been kept from before, is a warning. */
#include "pki/crl/crl_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pki/crl/shelf_impl.h"
#include "pki/x509/asn1.h"
#include "pki/x509/load.h"

#define WARNING_TEXT 1024

struct loading {
    struct sp_crls *set;
    const struct sp_config_client_auth *auth;
    const struct sp_cas *cas;
    struct sp_shelf *shelf;
    int64_t now;
    struct sp_diags *diags;
    const char *config_file;
    struct sp_pos at; /* of the item of `crl` that is being read */
    const char *url;  /* of it, or NULL */
    bool is_told;     /* what is wrong with its files */
    bool is_known;    /* a folder of which something is in force */
    bool failed;
};

static void warn(struct loading *l, struct sp_pos at, const char *text)
{
    sp_diag_add(l->diags, SP_DIAG_WARNING, l->config_file, at, "%s", text);
}

static void fail(struct loading *l, const char *text)
{
    l->failed = true;
    sp_diag_add(l->diags, SP_DIAG_ERROR, l->config_file, l->at, "%s", text);
}

/* ---- one CRL ---- */

/* That no CA has the issuer's name is no fault: it is the CRL of an intermediate that clients send along, or of an
 * issuer of CRLs for others. sp_trust_each_crl tells. */
static void warn_about_signer(struct loading *l, const struct sp_crl *c)
{
    char text[WARNING_TEXT], name[192];
    size_t first, end;
    sp_cas_of(l->cas, c->issuer, &first, &end);
    if (first == end || sp_crl_has_known_signer(c))
        return;
    snprintf(text, sizeof(text),
        "%s: its signature verifies under no CA of the bundle that may sign CRLs (issuer %s); it does not count",
        c->source, sp_asn1_name_text(c->issuer, name, sizeof(name)));
    warn(l, l->at, text);
}

/* What comes of a CRL that is past its end. */
static void say_stale(const struct loading *l, const struct sp_crl *c, char *out, size_t room)
{
    char until[SP_RFC3339_MAX];
    int64_t end = c->next_update + (int64_t)(l->auth->crl_grace_ms / 1000);
    if (l->auth->crl_stale == SP_CRL_STALE_ACCEPT)
        snprintf(out, room, "it counts all the same (crl_stale: accept)");
    else if (l->auth->crl_stale == SP_CRL_STALE_GRACE && l->now < end)
        snprintf(out, room, "it counts until %s (crl_stale: grace)", sp_asn1_time_text(end, until));
    else
        snprintf(
            out, room, "%s of this CA are refused (crl_stale)", l->auth->of_servers ? "backends" : "clients");
}

static void warn_about_age(struct loading *l, const struct sp_crl *c)
{
    char text[WARNING_TEXT], when[SP_RFC3339_MAX], now_what[128];
    int64_t ahead = (int64_t)(l->auth->crl_warn_before_ms / 1000);
    if (ahead == 0)
        ahead = (c->next_update - c->this_update) / 10;
    if (c->this_update > l->now) {
        snprintf(text, sizeof(text), "%s is not in force before %s; until then it does not count", c->source,
            sp_asn1_time_text(c->this_update, when));
    } else if (c->next_update == SP_CRL_NO_END) {
        snprintf(text, sizeof(text), "%s has no nextUpdate: it will never be called stale", c->source);
    } else if (c->next_update <= l->now) {
        say_stale(l, c, now_what, sizeof(now_what));
        snprintf(text, sizeof(text), "%s is stale: its nextUpdate was %s; %s", c->source,
            sp_asn1_time_text(c->next_update, when), now_what);
    } else if (c->next_update - l->now < ahead) {
        snprintf(text, sizeof(text), "%s is near its end: its nextUpdate is %s", c->source,
            sp_asn1_time_text(c->next_update, when));
    } else {
        return;
    }
    warn(l, l->at, text);
}

/* One of the first `count` stays because of what is wrong with the CRL at `source`, and says so. */
static bool is_told_of(const struct sp_shelf_items *items, size_t count, const char *source, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        const char *told = items->items[i].trouble;
        if (told != NULL && strncmp(told, source, len) == 0 && told[len] == ':')
            return true;
    }
    return false;
}

static void warn_about(struct loading *l, const struct sp_shelf_items *items, size_t at)
{
    char text[WARNING_TEXT];
    const struct sp_shelf_item *item = &items->items[at];
    const char *source = item->crl->source;
    if (item->trouble == NULL && is_told_of(items, items->count, source, strlen(source)))
        return;
    if (item->trouble != NULL && !is_told_of(items, at, item->trouble, strcspn(item->trouble, ":")))
        warn(l, l->at, item->trouble);
    if (item->crl->unusable != NULL) {
        snprintf(text, sizeof(text), "%s is left out: %s", item->crl->source, item->crl->unusable);
        warn(l, l->at, text);
        return;
    }
    warn_about_signer(l, item->crl);
    warn_about_age(l, item->crl);
}

static enum sp_rc take(struct loading *l, const struct sp_shelf_item *item, const char *file_trouble)
{
    const char *trouble = item->trouble != NULL ? item->trouble : file_trouble;
    struct sp_crls_info info = {.crl = sp_crl_ref(item->crl),
        .url = l->url != NULL ? strndup(l->url, strcspn(l->url, "?")) : NULL,
        .trouble = trouble != NULL ? strdup(trouble) : NULL,
        .loaded_at = item->loaded_at};
    if ((l->url != NULL && info.url == NULL) || (trouble != NULL && info.trouble == NULL)) {
        sp_crl_free(info.crl);
        free(info.url);
        free(info.trouble);
        return SP_FAIL;
    }
    return sp_crls_add(l->set, &info);
}

/* What was kept of a CA that has left the bundle, while the file speaks of one of the same name that is in it: its key was
 * changed, and that is all. */
static bool is_outdated(const struct loading *l, const struct sp_shelf_items *items, size_t at)
{
    const struct sp_shelf_item *old = &items->items[at];
    bool has_successor = false;
    size_t first, end;
    if (old->trouble == NULL || !sp_crl_has_known_signer(old->crl))
        return false;
    sp_cas_of(l->cas, old->crl->issuer, &first, &end);
    for (size_t i = first; i < end; i++) {
        if (sp_crl_is_signed_by(old->crl, l->cas->items[i].cert))
            return false;
        for (size_t k = 0; k < items->count && !has_successor; k++)
            has_successor = items->items[k].trouble == NULL && items->items[k].crl->unusable == NULL &&
                            X509_NAME_cmp(items->items[k].crl->issuer, old->crl->issuer) == 0 &&
                            sp_crl_is_signed_by(items->items[k].crl, l->cas->items[i].cert);
    }
    return has_successor;
}

/* ---- files and folders ---- */

/* A file of a folder that cannot be used is left out; but not one that could not be read for want of memory or descriptors, since
 * that would be to forget who is revoked. */
static void take_file(struct loading *l, const char *path)
{
    struct sp_err err = {0};
    struct sp_shelf_items items = {0};
    char text[WARNING_TEXT];
    enum sp_rc rc = sp_shelf_read(l->shelf, path, l->cas, l->now, &items, &err);
    if (rc == SP_EOF && l->url != NULL) {
        /* without the query, which may hold a secret */
        snprintf(text, sizeof(text), "not fetched yet: %.*s", (int)strcspn(l->url, "?"), l->url);
        warn(l, l->at, text);
        return;
    }
    if (rc != SP_OK && l->is_known && !sp_load_lacks(&err)) {
        snprintf(text, sizeof(text), "%s; it is left out", err.text);
        warn(l, l->at, text);
        return;
    }
    if (rc != SP_OK) {
        fail(l, err.text);
        return;
    }
    if (items.trouble != NULL && !l->is_told)
        warn(l, l->at, items.trouble);
    for (size_t i = 0; i < items.count; i++) {
        if (is_outdated(l, &items, i))
            continue;
        warn_about(l, &items, i);
        if (take(l, &items.items[i], items.trouble) != SP_OK)
            fail(l, "out of memory for the CRLs");
    }
    sp_shelf_items_free(&items);
}

/* A folder that cannot be read any more, or is gone: what is held of its files stays. False: nothing is. */
static bool take_held(struct loading *l, const char *path, const struct sp_err *err)
{
    struct sp_file_list files = {0};
    char text[WARNING_TEXT];
    if (sp_shelf_list(l->shelf, path, &files) != SP_OK || files.count == 0)
        return false;
    snprintf(text, sizeof(text), "%s; what was loaded from the folder stays in force", err->text);
    warn(l, l->at, text);
    l->is_told = true;
    for (size_t i = 0; i < files.count; i++)
        take_file(l, files.paths[i]);
    l->is_told = false;
    sp_file_list_free(&files);
    return true;
}

/* A new file that cannot be used must not hold up those that are in force: it is an error at first only. */
static bool is_in_force(const struct loading *l, const char *folder)
{
    struct sp_file_list held = {0};
    bool is = sp_shelf_list(l->shelf, folder, &held) == SP_OK && held.count > 0;
    sp_file_list_free(&held);
    return is;
}

/* A file's name says nothing: none goes back in time by way of another one. */
static void keep_newer(struct loading *l, const char *folder, const struct sp_file_list *present)
{
    struct sp_shelf_items kept = {0};
    if (sp_shelf_keep_newer(l->shelf, folder, present, l->set, l->now, &kept) != SP_OK)
        fail(l, "out of memory for the CRLs");
    for (size_t i = 0; i < kept.count; i++) {
        warn_about(l, &kept, i);
        if (take(l, &kept.items[i], NULL) != SP_OK)
            fail(l, "out of memory for the CRLs");
    }
    sp_shelf_items_free(&kept);
}

static void take_path(struct loading *l, const char *path)
{
    struct sp_err err = {0};
    struct sp_file_list files = {0};
    char text[WARNING_TEXT];
    enum sp_rc rc = sp_load_folder(path, &files, &err);
    if (rc == SP_FAIL && take_held(l, path, &err))
        return;
    if (rc == SP_EOF || err.sys == ENOENT || err.sys == EACCES) {
        take_file(l, path); /* what is not there may be on the shelf */
    } else if (rc != SP_OK) {
        fail(l, err.text);
    } else if (files.count == 0) {
        snprintf(text, sizeof(text), "%s: there is no CRL in the folder", path);
        warn(l, l->at, text);
    }
    l->is_known = files.count > 0 && is_in_force(l, path);
    for (size_t i = 0; i < files.count; i++)
        take_file(l, files.paths[i]);
    l->is_known = false;
    if (rc == SP_OK)
        keep_newer(l, path, &files);
    sp_file_list_free(&files);
}

/* Says beforehand who will be refused. */
static void warn_about_gaps(struct loading *l)
{
    char text[WARNING_TEXT], name[256];
    if (l->auth->crl_missing != SP_CRL_MISSING_REJECT)
        return;
    if (l->auth->crl.count == 0) {
        snprintf(text, sizeof(text),
            "no crl is given and crl_missing is reject: every %s certificate will be refused",
            l->auth->of_servers ? "backend's" : "client");
        warn(l, l->auth->at, text);
        return;
    }
    for (size_t i = 0; i < l->cas->count; i++) {
        const struct sp_ca *ca = &l->cas->items[i];
        size_t first, end;
        sp_crls_of(l->set, X509_get_subject_name(ca->cert), &first, &end);
        if (!sp_ca_is_valid_at(ca, l->now) || first != end)
            continue;
        snprintf(text, sizeof(text),
            "no CRL for CA %s: certificates that it issued will be refused (crl_missing)",
            sp_asn1_name_text(X509_get_subject_name(ca->cert), name, sizeof(name)));
        warn(l, l->auth->at, text);
    }
}

enum sp_rc sp_crls_load(struct sp_crls *set, const char *config_file,
    const struct sp_config_client_auth *auth, const struct sp_cas *cas, struct sp_shelf *shelf, int64_t now,
    struct sp_diags *diags)
{
    struct loading l = {.set = set,
        .auth = auth,
        .cas = cas,
        .shelf = shelf,
        .now = now,
        .diags = diags,
        .config_file = config_file};
    for (size_t i = 0; i < auth->crl.count; i++) {
        l.at = auth->crl.at != NULL ? auth->crl.at[i] : (struct sp_pos){0, 0};
        l.url = auth->crl_urls != NULL ? auth->crl_urls[i] : NULL;
        take_path(&l, auth->crl.items[i]);
    }
    if (sp_crls_finish(set, now) != SP_OK)
        fail(&l, "out of memory for the CRLs");
    else
        warn_about_gaps(&l);
    return l.failed ? SP_FAIL : SP_OK;
}
