/* What the operator asks of certificates beside that they verify, read from the configuration once. The certificates are
 * judged by it in requirements_judge.c. */
#include <openssl/err.h>
#include <openssl/objects.h>

#include "pki/chain/requirements_impl.h"
#include "pki/x509/claims.h"
#include "sallyport/base/text.h"

static const char *const key_words[SP_KEY_TYPES] = {
    [SP_KEY_OTHER] = "another type",
    [SP_KEY_RSA] = "rsa",
    [SP_KEY_EC] = "ec",
    [SP_KEY_ED25519] = "ed25519",
    [SP_KEY_ED448] = "ed448",
};

const char *sp_key_word(enum sp_key_type type)
{
    return key_words[type];
}

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

static const char *compile_uri(struct sp_arena *arena, struct sp_name_pattern *p)
{
    (void)arena;
    return sp_uri_pattern_compile(p->text, &p->is.uri);
}
static const char *compile_dns(struct sp_arena *arena, struct sp_name_pattern *p)
{
    return sp_host_pattern_compile(arena, p->text, &p->is.dns);
}
static const char *compile_email(struct sp_arena *arena, struct sp_name_pattern *p)
{
    (void)arena;
    return sp_email_pattern_compile(p->text, &p->is.email);
}
static const char *compile_ip(struct sp_arena *arena, struct sp_name_pattern *p)
{
    (void)arena;
    return sp_cidr_compile(p->text, &p->is.ip);
}

static const struct {
    const char *patterns; /* as the configuration calls them */
    const char *(*compile)(struct sp_arena *arena, struct sp_name_pattern *p);
} name_types[SP_NAME_TYPES] = {
    [SP_NAME_URI] = {"names.uri.patterns", compile_uri},
    [SP_NAME_DNS] = {"names.dns.patterns", compile_dns},
    [SP_NAME_EMAIL] = {"names.email.patterns", compile_email},
    [SP_NAME_IP] = {"names.ip.patterns", compile_ip},
};

static void compile_names(struct compiling *c, enum sp_name_type type)
{
    const struct sp_config_naming *from = &c->config->names[type];
    struct sp_naming *into = &c->r->names[type];
    struct sp_name_pattern *patterns =
        sp_arena_alloc(&c->r->arena, from->patterns.count + 1, sizeof(*patterns));
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
    r->policies = compile_list(
        &c, "policies", &config->policies, sp_claims_policy_oid, "expected an OID such as 1.2.3.4");
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
