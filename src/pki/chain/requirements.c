/* What the operator asks of certificates beside that they verify, compiled once. It all depends on the certificate alone
 * and not on the clock, so a verdict holds as long as the certificate does.
 *
 * An identity that was only written down (sp_identity_from_fields) has no validity, key and signature, and key usages and
 * policies only if they were given, so it is not asked for what it does not tell; one that was proven tells all. */
#include "sallyport/pki/requirements.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdio.h>

#include "pki/x509/claims.h"
#include "sallyport/base/text.h"
#include "sallyport/match/match.h"

struct pattern {
    struct sp_slice text;
    union {
        struct sp_uri_pattern uri;
        struct sp_slice dns;
        struct sp_email_pattern email;
        struct sp_cidr ip;
    } is;
};

struct naming {
    enum sp_presence presence;
    const struct pattern *patterns;
    size_t count; /* 0: any name will do */
};

struct sp_requirements {
    struct sp_arena
        arena; /* everything is copied: a trust may outlive the configuration that it was made of */
    uint64_t max_validity_ms;
    unsigned key_types; /* bits: 1 << enum sp_key_type; 0: any */
    unsigned min_bits[SP_KEY_ED448 + 1];
    struct sp_slices signature_algorithms, ekus, policies;
    bool client_eku_required;
    struct naming names[SP_NAME_TYPES];
};

static const char *const key_words[] = {
    [SP_KEY_OTHER] = "another type",
    [SP_KEY_RSA] = "rsa",
    [SP_KEY_EC] = "ec",
    [SP_KEY_ED25519] = "ed25519",
    [SP_KEY_ED448] = "ed448",
};

/* ---- compiling ---- */

struct compiling {
    struct sp_requirements *r;
    const char *file, *key;
    const struct sp_config_requirements *config;
    struct sp_diags *diags;
    bool failed;
};

static void complain(
    struct compiling *c, const char *what, const struct sp_strings *list, size_t i, const char *why)
{
    c->failed = true;
    sp_diag_add(c->diags, SP_DIAG_ERROR, c->file, list->at != NULL ? list->at[i] : c->config->at,
        "%s.%s: \"%s\": %s", c->key, what, list->items[i], why);
}

static struct sp_slice keep(struct compiling *c, struct sp_slice text)
{
    struct sp_slice copy = sp_arena_copy(&c->r->arena, text);
    if (copy.ptr == NULL && !c->failed) {
        c->failed = true;
        sp_diag_add(c->diags, SP_DIAG_ERROR, c->file, c->config->at, "%s: out of memory", c->key);
    }
    return copy;
}

static void compile_key_types(struct compiling *c)
{
    const struct sp_strings *list = &c->config->key_types;
    for (size_t i = 0; i < list->count; i++) {
        unsigned bit = 0;
        for (unsigned t = SP_KEY_RSA; t < SP_COUNTOF(key_words); t++) {
            if (strcmp(list->items[i], key_words[t]) == 0)
                bit = 1U << t;
        }
        if (bit == 0)
            complain(c, "key_types", list, i, "expected rsa, ec, ed25519 or ed448");
        c->r->key_types |= bit;
    }
}

static bool is_signature_algorithm(int nid)
{
    int digest, key;
    return nid != NID_undef && OBJ_find_sigid_algs(nid, &digest, &key) == 1;
}

/* OpenSSL's own look-ups heed the case. */
static int algorithm_by_name(struct sp_slice name)
{
    int end = OBJ_new_nid(0);
    for (int nid = 1; nid < end; nid++) {
        if (is_signature_algorithm(nid) && (sp_slice_equal_nocase(sp_slice_of(OBJ_nid2sn(nid)), name) ||
                                               sp_slice_equal_nocase(sp_slice_of(OBJ_nid2ln(nid)), name)))
            return nid;
    }
    return NID_undef;
}

/* As the identity has it. Absent: no such algorithm. */
static struct sp_slice algorithm_of(struct sp_slice text)
{
    if (!sp_oid_is_valid(text)) {
        int nid = algorithm_by_name(text);
        return nid != NID_undef ? sp_slice_of(OBJ_nid2ln(nid)) : (struct sp_slice){NULL, 0};
    }
    int nid = OBJ_txt2nid(text.ptr);
    if (nid == NID_undef)
        return text;
    return is_signature_algorithm(nid) ? sp_slice_of(OBJ_nid2ln(nid)) : (struct sp_slice){NULL, 0};
}

static struct sp_slice policy_of(struct sp_slice text)
{
    return sp_oid_is_valid(text) ? text : (struct sp_slice){NULL, 0};
}

/* Each text by `read` into what the identity would have there. */
static struct sp_slices compile_list(struct compiling *c, const char *what, const struct sp_strings *list,
    struct sp_slice (*read)(struct sp_slice text), const char *expected)
{
    struct sp_slice *items = sp_arena_alloc(&c->r->arena, list->count + 1, sizeof(*items));
    for (size_t i = 0; items != NULL && i < list->count; i++) {
        struct sp_slice value = read(sp_slice_of(list->items[i]));
        if (value.ptr == NULL)
            complain(c, what, list, i, expected);
        else
            items[i] = keep(c, value);
    }
    ERR_clear_error();
    if (items == NULL)
        (void)keep(c, SP_SLICE("")); /* tells of it */
    return (struct sp_slices){items, items != NULL ? list->count : 0};
}

/* ---- names ---- */

static const char *compile_uri(struct sp_arena *arena, struct pattern *p)
{
    (void)arena;
    return sp_uri_pattern_compile(p->text, &p->is.uri);
}
static bool match_uri(const struct pattern *p, struct sp_slice name)
{
    return sp_uri_pattern_match(&p->is.uri, name);
}
static const char *compile_dns(struct sp_arena *arena, struct pattern *p)
{
    return sp_host_pattern_compile(arena, p->text, &p->is.dns);
}
static bool match_dns(const struct pattern *p, struct sp_slice name)
{
    return sp_dns_name_match(p->is.dns, name);
}
static const char *compile_email(struct sp_arena *arena, struct pattern *p)
{
    (void)arena;
    return sp_email_pattern_compile(p->text, &p->is.email);
}
static bool match_email(const struct pattern *p, struct sp_slice name)
{
    return sp_email_pattern_match(&p->is.email, name);
}
static const char *compile_ip(struct sp_arena *arena, struct pattern *p)
{
    (void)arena;
    return sp_cidr_compile(p->text, &p->is.ip);
}
static bool match_ip(const struct pattern *p, struct sp_slice name)
{
    return sp_cidr_match(&p->is.ip, (const uint8_t *)name.ptr, name.len);
}

static const struct {
    const char *word, *patterns; /* as the configuration calls them */
    const char *(*compile)(struct sp_arena *arena, struct pattern *p);
    bool (*match)(const struct pattern *p, struct sp_slice name);
} name_types[SP_NAME_TYPES] = {
    [SP_NAME_URI] = {"uri", "names.uri.patterns", compile_uri, match_uri},
    [SP_NAME_DNS] = {"dns", "names.dns.patterns", compile_dns, match_dns},
    [SP_NAME_EMAIL] = {"email", "names.email.patterns", compile_email, match_email},
    [SP_NAME_IP] = {"ip", "names.ip.patterns", compile_ip, match_ip},
};

static void compile_names(struct compiling *c, enum sp_name_type type)
{
    const struct sp_config_naming *from = &c->config->names[type];
    struct naming *into = &c->r->names[type];
    struct pattern *patterns = sp_arena_alloc(&c->r->arena, from->patterns.count + 1, sizeof(*patterns));
    into->presence = from->presence;
    if (patterns == NULL) {
        (void)keep(c, SP_SLICE("")); /* tells of it */
        return;
    }
    for (size_t i = 0; i < from->patterns.count && !c->failed; i++) {
        patterns[i].text = keep(c, sp_slice_of(from->patterns.items[i]));
        const char *wrong =
            patterns[i].text.ptr != NULL ? name_types[type].compile(&c->r->arena, &patterns[i]) : NULL;
        if (wrong != NULL)
            complain(c, name_types[type].patterns, &from->patterns, i, wrong);
    }
    into->patterns = patterns;
    into->count = from->patterns.count;
}

struct sp_requirements *sp_requirements_new(const char *config_file, const char *key,
    const struct sp_config_requirements *config, struct sp_diags *diags)
{
    struct sp_requirements *r = SP_NEW(struct sp_requirements);
    struct compiling c = {r, config_file, key, config, diags, false};
    if (r == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, config_file, config->at, "%s: out of memory", key);
        return NULL;
    }
    sp_arena_init(&r->arena, 0);
    r->max_validity_ms = config->max_validity_ms;
    r->min_bits[SP_KEY_RSA] = config->min_rsa_bits;
    r->min_bits[SP_KEY_EC] = config->min_ec_bits;
    r->client_eku_required = config->client_eku_required;
    compile_key_types(&c);
    r->signature_algorithms = compile_list(&c, "signature_algorithms", &config->signature_algorithms,
        algorithm_of, "expected a signature algorithm such as ecdsa-with-SHA256, or its OID");
    r->ekus = compile_list(&c, "eku", &config->eku, sp_claims_eku_oid,
        "expected an extended key usage such as clientAuth, or its OID");
    r->policies =
        compile_list(&c, "policies", &config->policies, policy_of, "expected an OID such as 1.2.3.4");
    for (int t = 0; t < SP_NAME_TYPES; t++)
        compile_names(&c, (enum sp_name_type)t);
    if (!c.failed)
        return r;
    sp_requirements_free(r);
    return NULL;
}

void sp_requirements_free(struct sp_requirements *r)
{
    if (r == NULL)
        return;
    sp_arena_free(&r->arena);
    sp_free(r);
}

/* ---- judging ---- */

static bool has(const struct sp_slices *list, struct sp_slice what)
{
    for (size_t i = 0; i < list->count; i++) {
        if (sp_slice_equal(list->items[i], what))
            return true;
    }
    return false;
}

/* All of `wanted` are among `list`, or *missing is the first that is not. */
static bool has_all(const struct sp_slices *list, const struct sp_slices *wanted, struct sp_slice *missing)
{
    for (size_t i = 0; i < wanted->count; i++) {
        *missing = wanted->items[i];
        if (!has(list, *missing))
            return false;
    }
    return true;
}

/* "a, b, c", cut at `room`. */
static const char *join(const struct sp_slices *list, char *out, size_t room)
{
    size_t n = 0;
    snprintf(out, room, "none");
    for (size_t i = 0; i < list->count && n < room; i++) {
        int w = snprintf(out + n, room - n, "%s%.*s", i > 0 ? ", " : "", SP_FMT(list->items[i]));
        n += w > 0 ? (size_t)w : room;
    }
    return out;
}

/* From the first second to the last; that both count (RFC 5280 §4.1.2.5) makes no day longer. */
static bool validity_is_met(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    char max[SP_DURATION_MAX], is[SP_SPAN_MAX], over[SP_SPAN_MAX];
    int64_t s = id->not_after - id->not_before;
    if (r->max_validity_ms == 0 || s <= 0 || (uint64_t)s <= r->max_validity_ms / 1000)
        return true;
    snprintf(detail, room, "max_validity is %s, the certificate's validity is %s, %s too long",
        sp_format_duration_ms(r->max_validity_ms, max), sp_format_span_s(s, is),
        sp_format_span_s(s - (int64_t)(r->max_validity_ms / 1000), over));
    return false;
}

static bool key_is_met(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    const char *word = key_words[id->key_type];
    if (r->key_types != 0 && (r->key_types & 1U << id->key_type) == 0) {
        size_t n = (size_t)snprintf(detail, room, "the key is %s, key_types has", word);
        for (unsigned t = 0; t < SP_COUNTOF(key_words) && n < room; t++) {
            if ((r->key_types & 1U << t) != 0)
                n += (size_t)snprintf(detail + n, room - n, " %s", key_words[t]);
        }
        return false;
    }
    if (id->key_bits >= r->min_bits[id->key_type])
        return true;
    snprintf(detail, room, "min_%s_bits is %u, the key has %u bits", word, r->min_bits[id->key_type],
        id->key_bits);
    return false;
}

static bool signature_is_met(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    char wanted[128];
    if (r->signature_algorithms.count == 0 || has(&r->signature_algorithms, id->signature_algorithm))
        return true;
    snprintf(detail, room, "signature_algorithms has %s; the certificate is signed with %.*s",
        join(&r->signature_algorithms, wanted, sizeof(wanted)), SP_FMT(id->signature_algorithm));
    return false;
}

static bool ekus_are_met(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    char found[128];
    struct sp_slice missing;
    if (has_all(&id->ekus, &r->ekus, &missing))
        return true;
    snprintf(detail, room, "eku asks for %.*s; the certificate has %s", SP_FMT(missing),
        join(&id->ekus, found, sizeof(found)));
    return false;
}

static bool client_eku_is_met(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    char found[128];
    if (!r->client_eku_required || sp_identity_has_client_eku(id))
        return true;
    snprintf(detail, room, "client_eku is required; %s%s",
        id->has_eku ? "the certificate's extendedKeyUsage has " : "the certificate has no extendedKeyUsage",
        id->has_eku ? join(&id->ekus, found, sizeof(found)) : "");
    return false;
}

static bool policies_are_met(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    char found[128];
    struct sp_slice missing;
    if (has_all(&id->policies, &r->policies, &missing))
        return true;
    snprintf(detail, room, "policies asks for %.*s; the certificate has %s", SP_FMT(missing),
        join(&id->policies, found, sizeof(found)));
    return false;
}

static const struct sp_slices *names_of(const struct sp_identity *id, enum sp_name_type type)
{
    switch (type) {
    case SP_NAME_URI:
        return &id->uris;
    case SP_NAME_DNS:
        return &id->dns_names;
    case SP_NAME_EMAIL:
        return &id->emails;
    default:
        return &id->ips;
    }
}

static const char *show(enum sp_name_type type, struct sp_slice name, char *out, size_t room)
{
    if (type != SP_NAME_IP)
        snprintf(out, room, "%.*s", SP_FMT(name));
    else if (inet_ntop(name.len == 4 ? AF_INET : AF_INET6, name.ptr, out, (socklen_t)room) == NULL)
        out[0] = '\0';
    return out;
}

static bool fits(const struct naming *n, enum sp_name_type type, struct sp_slice name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (name_types[type].match(&n->patterns[i], name))
            return true;
    }
    return n->count == 0;
}

static bool naming_is_met(
    const struct naming *n, enum sp_name_type type, const struct sp_slices *names, char *detail, size_t room)
{
    char name[160];
    const char *word = name_types[type].word;
    if (n->presence == SP_PRESENCE_MUST && names->count == 0) {
        snprintf(detail, room, "names.%s is must, the certificate has none", word);
        return false;
    }
    if (n->presence == SP_PRESENCE_MUST_NOT && names->count > 0) {
        snprintf(detail, room, "names.%s is must_not, the certificate has %s", word,
            show(type, names->items[0], name, sizeof(name)));
        return false;
    }
    for (size_t i = 0; i < names->count; i++) {
        if (!fits(n, type, names->items[i])) {
            snprintf(detail, room, "%s fits no pattern of names.%s",
                show(type, names->items[i], name, sizeof(name)), word);
            return false;
        }
    }
    return true;
}

static bool names_are_met(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    for (int t = 0; t < SP_NAME_TYPES; t++) {
        enum sp_name_type type = (enum sp_name_type)t;
        if (!naming_is_met(&r->names[type], type, names_of(id, type), detail, room))
            return false;
    }
    return true;
}

enum tells { CERTIFICATE, USAGES, POLICIES, NAMES };

static bool is_told(const struct sp_identity *id, enum tells what)
{
    if (id->client_cert.len > 0 || what == NAMES)
        return true;
    return (what == USAGES && id->has_eku) || (what == POLICIES && id->policies.count > 0);
}

static const struct {
    enum sp_refusal reason;
    enum tells of;
    bool (*is_met)(const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room);
} checks[] = {
    {SP_REFUSAL_validity_too_long, CERTIFICATE, validity_is_met},
    {SP_REFUSAL_key_not_allowed, CERTIFICATE, key_is_met},
    {SP_REFUSAL_signature_not_allowed, CERTIFICATE, signature_is_met},
    {SP_REFUSAL_eku_missing, USAGES, ekus_are_met},
    {SP_REFUSAL_client_eku_missing, USAGES, client_eku_is_met},
    {SP_REFUSAL_policy_missing, POLICIES, policies_are_met},
    {SP_REFUSAL_name_convention, NAMES, names_are_met},
};

enum sp_refusal sp_requirements_judge(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room)
{
    for (size_t i = 0; r != NULL && i < SP_COUNTOF(checks); i++) {
        if (is_told(id, checks[i].of) && !checks[i].is_met(r, id, detail, room))
            return checks[i].reason;
    }
    return SP_REFUSAL_none;
}
