/* A certificate judged by what the operator asks of it (requirements.c). It all depends on the certificate alone and not on
 * the clock, so a verdict holds as long as the certificate does.
 *
 * An identity that was only written down (sp_identity_from_fields) has no validity, key and signature, and key usages and
 * policies only if they were given, so it is not asked for what it does not tell; one that was proven tells all. */
#include <arpa/inet.h>
#include <stdio.h>

#include "pki/chain/requirements_impl.h"
#include "sallyport/base/text.h"

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
    const char *word = sp_key_word(id->key_type);
    if (r->key_types != 0 && (r->key_types & 1U << id->key_type) == 0) {
        size_t n = (size_t)snprintf(detail, room, "the key is %s, key_types has", word);
        for (unsigned t = 0; t < SP_KEY_TYPES && n < room; t++) {
            if ((r->key_types & 1U << t) != 0)
                n += (size_t)snprintf(detail + n, room - n, " %s", sp_key_word((enum sp_key_type)t));
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

/* ---- names ---- */

static bool match_uri(const struct sp_name_pattern *p, struct sp_slice name)
{
    return sp_uri_pattern_match(&p->is.uri, name);
}
static bool match_dns(const struct sp_name_pattern *p, struct sp_slice name)
{
    return sp_dns_name_match(p->is.dns, name);
}
static bool match_email(const struct sp_name_pattern *p, struct sp_slice name)
{
    return sp_email_pattern_match(&p->is.email, name);
}
static bool match_ip(const struct sp_name_pattern *p, struct sp_slice name)
{
    return sp_cidr_match(&p->is.ip, (const uint8_t *)name.ptr, name.len);
}

static const struct {
    const char *word;
    bool (*match)(const struct sp_name_pattern *p, struct sp_slice name);
} name_types[SP_NAME_TYPES] = {
    [SP_NAME_URI] = {"uri", match_uri},
    [SP_NAME_DNS] = {"dns", match_dns},
    [SP_NAME_EMAIL] = {"email", match_email},
    [SP_NAME_IP] = {"ip", match_ip},
};

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

static bool fits(const struct sp_naming *n, enum sp_name_type type, struct sp_slice name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (name_types[type].match(&n->patterns[i], name))
            return true;
    }
    return n->count == 0;
}

static bool naming_is_met(const struct sp_naming *n, enum sp_name_type type, const struct sp_slices *names,
    char *detail, size_t room)
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

/* ---- all of it ---- */

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
