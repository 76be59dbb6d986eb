/* Callers: compiles the entries of `callers:` and says which of them an identity is.
 *
 * An entry matches when every field that it gives holds; a caller when any of its entries does. Each field
 * looks at names of its own type and at no other: a URI is never searched among DNS names, nor a CN taken for
 * one. An entry that gives no field would match everybody and is an error, and so is one that can match nobody.
 *
 * Who decides what a caller may do is rules.c; the wildcards are in patterns.c. */
#include "callers.h"

#include "sallyport/base/text.h"
#include "sallyport/match/match.h"

struct attr {
    struct sp_slice type, value;
};

struct entry {
    enum sp_caller_any any;
    bool has_uri, has_dns, has_email, has_fingerprint;
    struct sp_uri_pattern uri;
    struct sp_slice dns;
    struct sp_email_pattern email;
    uint8_t fingerprint[32];
    struct attr *attrs;
    size_t attr_count;
};

struct sp_caller {
    struct entry *entries;
    size_t entry_count;
};

/* The types that an identity calls by name, and their OIDs: an operator may write either, in any case. */
static const struct {
    const char *name, *oid;
} attr_types[] = {
    {"CN", "2.5.4.3"},
    {"serialNumber", "2.5.4.5"},
    {"C", "2.5.4.6"},
    {"L", "2.5.4.7"},
    {"ST", "2.5.4.8"},
    {"O", "2.5.4.10"},
    {"OU", "2.5.4.11"},
    {"UID", "0.9.2342.19200300.100.1.1"},
    {"DC", "0.9.2342.19200300.100.1.25"},
    {"emailAddress", "1.2.840.113549.1.9.1"},
};

/* ---- compiling ---- */

/* The spelling that identities use; absent if it is no attribute type. */
static struct sp_slice attr_type(const char *written)
{
    struct sp_slice text = sp_slice_of(written);
    for (size_t i = 0; i < SP_COUNTOF(attr_types); i++) {
        struct sp_slice name = sp_slice_of(attr_types[i].name);
        if (sp_slice_equal_nocase(text, name) || sp_slice_equal(text, sp_slice_of(attr_types[i].oid)))
            return name;
    }
    return sp_oid_is_valid(text) ? text : (struct sp_slice){NULL, 0};
}

/* Which key is at fault: "callers.billing[0].uri". */
struct place {
    struct sp_policy_build *build;
    const struct sp_config_caller *caller;
    const struct sp_config_caller_entry *entry;
};

static void wrong(const struct place *p, const char *field, const char *found, const char *problem)
{
    sp_policy_wrong(p->build, p->entry->at, found, problem, "callers.%s[%zu]%s", p->caller->name,
        (size_t)(p->entry - p->caller->entries), field);
}

static void compile_names(const struct place *p, struct entry *out)
{
    const struct sp_config_caller_entry *in = p->entry;
    const char *problem;

    if (in->uri != NULL) {
        out->has_uri = true;
        if ((problem = sp_uri_pattern_compile(sp_slice_of(in->uri), &out->uri)) != NULL)
            wrong(p, ".uri", in->uri, problem);
    }
    if (in->dns != NULL) {
        out->has_dns = true;
        problem = sp_host_pattern_compile(p->build->arena, sp_slice_of(in->dns), &out->dns);
        if (problem != NULL)
            wrong(p, ".dns", in->dns, problem);
    }
    if (in->email != NULL) {
        out->has_email = true;
        if ((problem = sp_email_pattern_compile(sp_slice_of(in->email), &out->email)) != NULL)
            wrong(p, ".email", in->email, problem);
    }
    if (in->fingerprint_sha256 != NULL) {
        out->has_fingerprint = true;
        if (!sp_unhex(sp_slice_of(in->fingerprint_sha256), out->fingerprint, sizeof out->fingerprint))
            wrong(p, ".fingerprint_sha256", in->fingerprint_sha256,
                "expected 64 hex digits, with or without \":\" between the bytes");
    }
}

static void compile_subject(const struct place *p, struct entry *out)
{
    const struct sp_config_caller_entry *in = p->entry;
    if (in->subject_count == 0)
        return;
    out->attrs = sp_policy_room(p->build, in->subject_count, sizeof *out->attrs);
    if (out->attrs == NULL)
        return;
    out->attr_count = in->subject_count;
    for (size_t i = 0; i < in->subject_count; i++) {
        out->attrs[i].type = attr_type(in->subject[i].type);
        out->attrs[i].value = sp_slice_of(in->subject[i].value);
        if (out->attrs[i].type.ptr == NULL)
            wrong(p, ".subject", in->subject[i].type,
                "expected CN, O, OU, C, L, ST, DC, UID, serialNumber, emailAddress or a dotted OID");
        if (out->attrs[i].value.len == 0)
            wrong(p, ".subject", in->subject[i].type, "expected a value that is not empty");
    }
}

static void compile_entry(const struct place *p, struct entry *out)
{
    compile_names(p, out);
    compile_subject(p, out);
    out->any = p->entry->any;
    bool has_name =
        out->has_uri || out->has_dns || out->has_email || out->has_fingerprint || p->entry->subject_count > 0;
    if (out->any == SP_CALLER_ANY_ANONYMOUS && has_name)
        wrong(p, ".any", "anonymous",
            "expected no other field beside it: a client without a certificate has no name");
    if (out->any == SP_CALLER_NOT_ANY && !has_name)
        wrong(p, "", NULL, "expected at least one of uri, dns, email, subject, fingerprint_sha256, any");
}

void sp_callers_compile(struct sp_policy_build *b, struct sp_compiled_callers *out)
{
    const struct sp_config *config = b->config;
    out->items = sp_policy_room(b, config->caller_count, sizeof *out->items);
    if (out->items == NULL)
        return;
    out->count = config->caller_count;
    for (size_t i = 0; i < config->caller_count; i++) {
        const struct sp_config_caller *in = &config->callers[i];
        struct entry *entries = sp_policy_room(b, in->entry_count, sizeof *entries);
        if (entries == NULL)
            return;
        out->items[i] = (struct sp_caller){entries, in->entry_count};
        for (size_t k = 0; k < in->entry_count; k++)
            compile_entry(&(struct place){b, in, &in->entries[k]}, &entries[k]);
    }
}

/* ---- matching ---- */

static bool any_uri(const struct sp_uri_pattern *p, const struct sp_slices *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (sp_uri_pattern_match(p, names->items[i]))
            return true;
    }
    return false;
}

static bool any_dns(struct sp_slice pattern, const struct sp_slices *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (sp_dns_name_match(pattern, names->items[i]))
            return true;
    }
    return false;
}

static bool any_email(const struct sp_email_pattern *p, const struct sp_slices *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (sp_email_pattern_match(p, names->items[i]))
            return true;
    }
    return false;
}

static bool has_attr(const struct sp_identity *id, const struct attr *wanted)
{
    for (size_t i = 0; i < id->subject_attr_count; i++) {
        const struct sp_name_attr *attr = &id->subject_attrs[i];
        if (sp_slice_equal(attr->type, wanted->type) && sp_slice_equal(attr->value, wanted->value))
            return true;
    }
    return false;
}

static bool entry_matches(const struct entry *e, const struct sp_identity *id)
{
    if (id == NULL || e->any == SP_CALLER_ANY_ANONYMOUS)
        return id == NULL && e->any == SP_CALLER_ANY_ANONYMOUS;
    if ((e->has_uri && !any_uri(&e->uri, &id->uris)) || (e->has_dns && !any_dns(e->dns, &id->dns_names)) ||
        (e->has_email && !any_email(&e->email, &id->emails)))
        return false;
    if (e->has_fingerprint && memcmp(e->fingerprint, id->sha256, sizeof e->fingerprint) != 0)
        return false;
    for (size_t i = 0; i < e->attr_count; i++) {
        if (!has_attr(id, &e->attrs[i]))
            return false;
    }
    return true;
}

void sp_callers_match(const struct sp_compiled_callers *callers, const struct sp_identity *id, uint64_t *bits)
{
    for (size_t i = 0; i < callers->count; i++) {
        for (size_t k = 0; k < callers->items[i].entry_count; k++) {
            if (entry_matches(&callers->items[i].entries[k], id)) {
                bits[i / 64] |= (uint64_t)1 << (i % 64);
                break;
            }
        }
    }
}
