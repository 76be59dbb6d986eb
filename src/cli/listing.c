/* The listing of `check`:
 *
 *     listener internal on 127.0.0.1:8443, client certificates required
 *       certificate   billing.internal, localhost
 *         file        pki/server.pem
 *         ends        2026-12-22T12:00:00Z (in 29 d 23 h)
 *       CA            CN=Root CA
 *         ...
 *         CRL         pki/crl/root.pem, 1 entry, number 1
 *     !     ends      2026-11-22T13:00:00Z (in 42 min)
 *
 *     upstream billing over TLS, backends known by billing.internal
 *       certificate   CN=sallyport
 *         ...
 *       CA            CN=Backend CA
 *         ...
 *
 *     3 callers, 4 rules, 2 upstreams
 *     1 caller with limits
 *
 * Text only: nothing is decided here. */
#include "listing.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/text.h"

#define KEY_COLUMNS 16
#define DATE_ROOM   (SP_RFC3339_MAX + SP_SPAN_MAX + 16)

struct ca_row {
    struct ca_row *next;
    struct sp_trust_ca ca;
};

struct crl_row {
    struct crl_row *next;
    struct sp_trust_crl crl;
    bool listed; /* below its CA */
};

struct listing {
    struct sp_buf *out;
    const struct sp_config *config;
    const struct sp_config_client_auth *auth;
    int64_t now;
    unsigned indent;
    size_t host;           /* whose certificates are listed */
    bool of_upstream;      /* those that are judged are backends */
    struct sp_arena arena; /* of one trust's rows */
    struct ca_row *cas, **cas_end;
    struct crl_row *crls, **crls_end;
};

/* ---- lines ---- */

SP_PRINTF(5, 6)
static void line(struct listing *l, bool marked, unsigned deeper, const char *key, const char *fmt, ...)
{
    char text[2048];
    int indent = (int)(l->indent + deeper);
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    sp_buf_printf(
        l->out, "%c%*s%-*s%s\n", marked ? '!' : ' ', indent - 1, "", KEY_COLUMNS - indent, key, text);
}

/* "2026-12-22T12:00:00Z (in 29 d)" */
static const char *date(const struct listing *l, int64_t when, char out[DATE_ROOM])
{
    char at[SP_RFC3339_MAX], span[SP_SPAN_MAX];
    bool over = when <= l->now;

    snprintf(out, DATE_ROOM, "%s (%s%s%s)", sp_time_rfc3339(when * 1000000, false, at), over ? "" : "in ",
        sp_format_span_s(when - l->now, span), over ? " ago" : "");
    return out;
}

static int64_t certificate_warn_at(const struct sp_config *config, int64_t not_after)
{
    return not_after - (int64_t)(config->certificate_warn_before_ms / 1000);
}

static void list_validity(struct listing *l, int64_t from, int64_t until, const char *over)
{
    char when[DATE_ROOM];

    if (l->now < from)
        line(l, true, 2, "begins", "%s: not valid yet", date(l, from, when));
    line(l, l->now >= certificate_warn_at(l->config, until), 2, l->now >= until ? "ended" : "ends", "%s%s",
        date(l, until, when), l->now >= until ? over : "");
}

/* ---- certificates ---- */

static void list_certificate(void *arg, const struct sp_tls_certificate *c)
{
    struct listing *l = arg;
    struct sp_buf names = {0};

    if (c->host != l->host)
        return;
    for (size_t i = 0; i < c->name_count; i++)
        sp_buf_printf(&names, "%s%s", i > 0 ? ", " : "", c->names[i]);
    if (c->name_count == 0)
        sp_buf_printf(&names, "%s (no DNS name)", c->subject);
    line(l, l->now >= certificate_warn_at(l->config, c->not_after), 0, "certificate", "%.*s",
        SP_FMT(sp_buf_slice(&names)));
    line(l, false, 2, "file", "%s", c->file);
    list_validity(l, c->not_before, c->not_after, ": clients refuse it");
    sp_buf_free(&names);
}

/* ---- CRLs ---- */

static const char *stale_meaning(const struct listing *l, const struct sp_trust_crl *crl)
{
    int64_t grace_s = (int64_t)(l->auth->crl_grace_ms / 1000);

    if (l->auth->crl_stale == SP_CRL_STALE_ACCEPT)
        return l->of_upstream ? ": backends are believed nevertheless (crl_stale: accept)"
                              : ": clients are let in nevertheless (crl_stale: accept)";
    if (l->auth->crl_stale == SP_CRL_STALE_GRACE && l->now - crl->next_update < grace_s)
        return l->of_upstream ? ": backends are still believed (crl_stale: grace)"
                              : ": clients are still let in (crl_stale: grace)";
    return l->of_upstream ? ": backends are refused (crl_stale)" : ": clients are refused (crl_stale)";
}

static void list_crl(struct listing *l, unsigned deeper, const struct sp_trust_crl *crl)
{
    char when[DATE_ROOM];
    bool used = crl->unusable == NULL, over = l->now >= crl->next_update;

    line(l, !used || l->now >= crl->warn_at || over, deeper, "CRL", "%s, %" PRIu64 " %s%s%s", crl->source,
        crl->entries, crl->entries == 1 ? "entry" : "entries", crl->number[0] != '\0' ? ", number " : "",
        crl->number);
    if (!used)
        line(l, true, deeper + 2, "left out", "%s", crl->unusable);
    if (crl->url != NULL)
        line(l, false, deeper + 2, "from", "%s", crl->url);
    line(l, used && l->now < crl->this_update, deeper + 2, "issued", "%s%s", date(l, crl->this_update, when),
        l->now < crl->this_update ? ": not yet in force" : "");
    if (crl->next_update == INT64_MAX)
        line(l, false, deeper + 2, "ends", "never: it names no nextUpdate");
    else
        line(l, used && (over || l->now >= crl->warn_at), deeper + 2, over ? "ended" : "ends", "%s%s",
            date(l, crl->next_update, when), used && over ? stale_meaning(l, crl) : "");
    if (crl->note != NULL)
        line(l, false, deeper + 2, "note", "%s", crl->note);
    if (crl->trouble != NULL)
        line(l, true, deeper + 2, "trouble", "%s", crl->trouble);
}

/* ---- CAs ---- */

static bool has_later_namesake(const struct ca_row *row)
{
    for (const struct ca_row *it = row->next; it != NULL; it = it->next) {
        if (strcmp(it->ca.subject, row->ca.subject) == 0)
            return true;
    }
    return false;
}

static void list_gap(struct listing *l, bool has_some)
{
    bool refused = l->auth->crl_missing == SP_CRL_MISSING_REJECT;

    if (l->of_upstream && l->auth->crl.count == 0) /* nobody asked for any */
        return;
    line(l, true, 2, has_some ? "gap" : "CRL", "%s; what is not covered is %s (crl_missing: %s)",
        has_some ? "none covers all of its certificates" : "none", refused ? "refused" : "let in",
        refused ? "reject" : "accept");
}

/* The CRLs stand below the last of several CAs of one name: the name is all that a CRL tells of its issuer here. */
static void list_ca(struct listing *l, const struct ca_row *row)
{
    const struct sp_trust_ca *ca = &row->ca;
    bool is_valid = ca->not_before <= l->now && l->now < ca->not_after, has_some = false;

    line(l, !is_valid || l->now >= certificate_warn_at(l->config, ca->not_after), 0, "CA", "%s%s",
        ca->subject, ca->is_anchor ? "" : " (its issuer is in the bundle)");
    if (ca->file != NULL)
        line(l, false, 2, "file", "%s", ca->file);
    list_validity(l, ca->not_before, ca->not_after, ": left out");
    for (struct crl_row *it = l->crls; it != NULL; it = it->next) {
        if (strcmp(it->crl.issuer, ca->subject) != 0)
            continue;
        has_some = true;
        if (has_later_namesake(row))
            continue;
        list_crl(l, 2, &it->crl);
        it->listed = true;
    }
    if (is_valid && !ca->has_crl)
        list_gap(l, has_some);
}

static const char *keep(struct listing *l, const char *text)
{
    const char *copy = text != NULL ? sp_arena_copy(&l->arena, sp_slice_of(text)).ptr : NULL;
    return copy != NULL || text == NULL ? copy : "";
}

static void take_ca(void *arg, const struct sp_trust_ca *ca)
{
    struct listing *l = arg;
    struct ca_row *row = sp_arena_alloc(&l->arena, 1, sizeof(*row));

    if (row == NULL)
        return;
    row->ca = *ca;
    row->ca.subject = keep(l, ca->subject);
    row->ca.file = keep(l, ca->file);
    *l->cas_end = row;
    l->cas_end = &row->next;
}

static void take_crl(void *arg, const struct sp_trust_crl *crl)
{
    struct listing *l = arg;
    struct crl_row *row = sp_arena_alloc(&l->arena, 1, sizeof(*row));

    if (row == NULL)
        return;
    row->crl = *crl;
    row->crl.issuer = keep(l, crl->issuer);
    row->crl.source = keep(l, crl->source);
    row->crl.url = keep(l, crl->url);
    row->crl.number = keep(l, crl->number);
    row->crl.unusable = keep(l, crl->unusable);
    row->crl.note = keep(l, crl->note);
    row->crl.trouble = keep(l, crl->trouble);
    *l->crls_end = row;
    l->crls_end = &row->next;
}

static void list_trust(struct listing *l, const struct sp_trust *trust)
{
    sp_arena_init(&l->arena, 0);
    l->cas = NULL;
    l->crls = NULL;
    l->cas_end = &l->cas;
    l->crls_end = &l->crls;
    sp_trust_each_ca(trust, l->now, take_ca, l);
    sp_trust_each_crl(trust, take_crl, l);
    for (const struct ca_row *it = l->cas; it != NULL; it = it->next)
        list_ca(l, it);
    for (const struct crl_row *it = l->crls; it != NULL; it = it->next) {
        if (it->listed)
            continue;
        line(l, false, 0, "other CA", "%s", it->crl.issuer);
        list_crl(l, 2, &it->crl);
    }
    sp_arena_free(&l->arena);
}

/* ---- listeners and hosts ---- */

static const char *mode_of(const struct sp_config_client_auth *auth)
{
    return auth->mode == SP_AUTH_REQUIRED ? "required" : "optional";
}

static void list_host(struct listing *l, const struct sp_snapshot_listener *s, size_t h)
{
    const struct sp_config_host *host = &s->config->hosts[h];
    struct sp_buf names = {0};

    for (size_t i = 0; i < host->names.count; i++)
        sp_buf_printf(&names, "%s%s", i > 0 ? ", " : "", host->names.items[i]);
    l->indent = 2;
    l->host = h;
    l->auth = &host->client_auth;
    if (h > 0) {
        line(l, false, 0, "host", "%.*s, client certificates %s%s", SP_FMT(sp_buf_slice(&names)),
            mode_of(l->auth), host->inherits ? " as at the listener" : "");
        l->indent = 4;
    }
    if (h == 0 || host->certificates != s->config->hosts[0].certificates)
        sp_tls_server_each_certificate(s->tls[0], list_certificate, l);
    if (h == 0 || !host->inherits)
        list_trust(l, s->trusts[h]);
    sp_buf_free(&names);
}

/* ---- upstreams ---- */

static void list_own_certificate(struct listing *l, const struct sp_tls_client_facts *own)
{
    line(l, l->now >= certificate_warn_at(l->config, own->not_after), 0, "certificate", "%s", own->subject);
    line(l, false, 2, "file", "%s", own->file);
    list_validity(l, own->not_before, own->not_after, ": backends refuse it");
}

/* All workers' are alike. */
static void list_upstream(struct listing *l, const struct sp_snapshot *s, size_t i)
{
    const struct sp_config_upstream *config = &l->config->upstreams[i];
    const struct sp_tls_client *client = sp_fleet_tls(s->fleet, i, 0);
    struct sp_tls_client_facts own;

    if (client == NULL)
        return;
    const struct sp_config_upstream_tls *tls = config->tls;
    sp_buf_printf(l->out, "\nupstream %s over TLS, ", config->name);
    if (!tls->verify)
        sp_buf_add_str(l->out, "whoever answers is believed (verify: false)\n");
    else if (tls->name == NULL && tls->uri == NULL)
        sp_buf_add_str(l->out, "backends known by the names of their endpoints\n");
    else
        sp_buf_printf(l->out, "backends known by %s%s%s\n", tls->name != NULL ? tls->name : "",
            tls->name != NULL && tls->uri != NULL ? " and " : "", tls->uri != NULL ? tls->uri : "");
    l->indent = 2;
    l->of_upstream = true;
    l->auth = &tls->trust;
    if (sp_tls_client_certificate(client, &own))
        list_own_certificate(l, &own);
    if (sp_tls_client_trust(client) != NULL)
        list_trust(l, sp_tls_client_trust(client));
}

/* ---- the whole ---- */

static void add_count(struct sp_buf *out, const char *before, size_t count, const char *what)
{
    sp_buf_printf(out, "%s%zu %s%s", before, count, what, count == 1 ? "" : "s");
}

static void list_policy(const struct sp_config *config, struct sp_buf *out)
{
    size_t reporting = 0, limited = 0;

    for (size_t i = 0; i < config->rule_count; i++)
        reporting += config->rules[i].mode == SP_RULE_REPORT;
    for (size_t i = 0; i < config->caller_count; i++)
        limited += config->callers[i].limits != NULL;
    add_count(out, "\n", config->caller_count, "caller");
    add_count(out, ", ", config->rule_count, "rule");
    add_count(out, ", ", config->upstream_count, "upstream");
    sp_buf_add_char(out, '\n');
    if (limited > 0) {
        add_count(out, "", limited, "caller");
        sp_buf_add_str(out, " with limits\n");
    }
    if (reporting > 0) {
        add_count(out, "", reporting, "rule");
        sp_buf_add_str(out, " in report mode, deciding nothing\n");
    }
}

void sp_listing_print(const struct sp_snapshot *s, int64_t now, struct sp_buf *out)
{
    struct listing l = {.out = out, .config = s->config, .now = now};

    for (size_t i = 0; i < s->listener_count; i++) {
        const struct sp_config_listener *config = s->listeners[i].config;
        sp_buf_printf(out, "%slistener %s on %s, client certificates %s\n", i > 0 ? "\n" : "", config->name,
            config->address_text, mode_of(&config->client_auth));
        for (size_t h = 0; h < config->host_count; h++)
            list_host(&l, &s->listeners[i], h);
    }
    for (size_t i = 0; i < s->config->upstream_count; i++)
        list_upstream(&l, s, i);
    list_policy(s->config, out);
}

/* ---- warnings ---- */

struct warner {
    const struct sp_config *config;
    const struct sp_config_client_auth *auth; /* of the CAs that are looked at */
    const struct sp_config_listener *listener;
    int64_t now;
    struct sp_diags *diags;
};

/* What is past its end was told when it was loaded. */
static void warn(const struct warner *w, struct sp_pos at, const char *what, const char *file, int64_t until)
{
    char when[SP_RFC3339_MAX], span[SP_SPAN_MAX];

    if (w->now < certificate_warn_at(w->config, until) || w->now >= until)
        return;
    sp_diag_add(w->diags, SP_DIAG_WARNING, w->config->file, at, "%s %s: ends in %s, at %s", what, file,
        sp_format_span_s(until - w->now, span), sp_time_rfc3339(until * 1000000, false, when));
}

static void warn_of_certificate(void *arg, const struct sp_tls_certificate *c)
{
    const struct warner *w = arg;
    const struct sp_config_host *host = &w->listener->hosts[c->host];
    struct sp_pos at = w->listener->at;

    if (c->host > 0 && host->certificates == w->listener->hosts[0].certificates)
        return; /* told of the listener */
    for (size_t i = 0; i < host->certificate_count; i++) {
        if (strcmp(host->certificates[i].chain, c->file) == 0)
            at = host->certificates[i].at;
    }
    warn(w, at, "certificate", c->file, c->not_after);
}

static void warn_of_ca(void *arg, const struct sp_trust_ca *ca)
{
    const struct warner *w = arg;
    const struct sp_strings *files = &w->auth->ca;
    struct sp_pos at = w->auth->at;
    char what[600];

    for (size_t i = 0; i < files->count && ca->file != NULL; i++) {
        if (strcmp(files->items[i], ca->file) == 0)
            at = files->at[i];
    }
    snprintf(what, sizeof(what), "CA %s in", ca->subject);
    warn(w, at, what, ca->file != NULL ? ca->file : "the bundle", ca->not_after);
}

static void warn_of_upstream(
    struct warner *w, const struct sp_config_upstream *u, const struct sp_tls_client *client)
{
    struct sp_tls_client_facts own;

    w->auth = &u->tls->trust;
    if (sp_tls_client_certificate(client, &own))
        warn(w, u->tls->certificate->at, "certificate", own.file, own.not_after);
    if (sp_tls_client_trust(client) != NULL)
        sp_trust_each_ca(sp_tls_client_trust(client), w->now, warn_of_ca, w);
}

void sp_listing_warn(const struct sp_snapshot *s, int64_t now, struct sp_diags *diags)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct sp_snapshot_listener *l = &s->listeners[i];
        struct warner w = {.config = s->config, .listener = l->config, .now = now, .diags = diags};
        sp_tls_server_each_certificate(l->tls[0], warn_of_certificate, &w);
        for (size_t h = 0; h < l->config->host_count; h++) {
            w.auth = &l->config->hosts[h].client_auth;
            if (h == 0 || !l->config->hosts[h].inherits)
                sp_trust_each_ca(l->trusts[h], now, warn_of_ca, &w);
        }
    }
    for (size_t i = 0; i < s->config->upstream_count; i++) {
        const struct sp_tls_client *client = sp_fleet_tls(s->fleet, i, 0);
        struct warner w = {.config = s->config, .now = now, .diags = diags};
        if (client != NULL)
            warn_of_upstream(&w, &s->config->upstreams[i], client);
    }
}
