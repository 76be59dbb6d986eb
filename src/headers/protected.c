/* The names that only we may say. A header that a backend could take for a proven identity, for where a request
 * came from, or for another path or method than the judged one, never passes from a client, whichever family
 * the upstream is configured for: a backend may trust one that we do not send.
 *
 * Names are compared folded: case does not matter, and all that is neither letter nor digit is one ('-', '_',
 * '.', but also '!' or '+'), because CGI-like backends read them so. */
#include "families.h"

/* Folded form: lower case, '-' for all but letters and digits. A trailing '*' stands for any rest. Sorted by
 * nothing but family. */
static const char *const NAMES[] = {
    /* rfc9440 */
    "client-cert",
    "client-cert-chain",
    /* plain */
    "x-client-verify",
    "x-client-subject*",
    "x-client-issuer*",
    "x-client-serial",
    "x-client-san-*",
    "x-client-cert*",
    "x-client-not-after",
    "x-client-not-before",
    "x-client-rule",
    /* xfcc, traefik, and where a request came from */
    "forwarded",
    "x-forwarded-client-cert",
    "x-forwarded-tls-client-cert*",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-server",
    "x-real-ip",
    /* alb */
    "x-amzn-mtls-*",
    /* another path or method than the one that was judged */
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    /* a request that came as 0-RTT data: we take none */
    "early-data",
};

/* Who somebody is, as nginx, its ingress controllers and authenticating proxies say it: no family says it so (but those of
 * SAID), so that an operator may. */
static const char *const OPEN[] = {
    "x-ssl-*",
    "ssl-client-*",
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
};

char sp_header_fold(char c)
{
    c = sp_lower(c);
    return sp_is_digit(c) || (c >= 'a' && c <= 'z') ? c : '-';
}

struct sp_slice sp_header_fold_copy(struct sp_arena *arena, struct sp_slice name)
{
    char *copy = sp_arena_alloc(arena, name.len + 1, 1);

    for (size_t i = 0; copy != NULL && i < name.len; i++)
        copy[i] = sp_header_fold(name.ptr[i]);
    return (struct sp_slice){copy, name.len};
}

int sp_header_fold_compare(struct sp_slice key, struct sp_slice name)
{
    if (key.len != name.len)
        return key.len < name.len ? -1 : 1;
    for (size_t i = 0; i < key.len; i++) {
        int difference = key.ptr[i] - sp_header_fold(name.ptr[i]);
        if (difference != 0)
            return difference;
    }
    return 0;
}

bool sp_header_names_are_alike(struct sp_slice a, struct sp_slice b)
{
    bool alike = a.len == b.len;

    for (size_t i = 0; alike && i < a.len; i++)
        alike = sp_header_fold(a.ptr[i]) == sp_header_fold(b.ptr[i]);
    return alike;
}

static bool matches(struct sp_slice name, const char *pattern)
{
    size_t i = 0;

    for (; pattern[i] != '\0'; i++) {
        if (pattern[i] == '*')
            return true;
        if (i >= name.len || sp_header_fold(name.ptr[i]) != pattern[i])
            return false;
    }
    return i == name.len;
}

static bool matches_any(struct sp_slice name, const char *const *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (matches(name, patterns[i]))
            return true;
    }
    return false;
}

bool sp_name_is_protected(struct sp_slice name)
{
    if (name.len < 9) /* the shortest above is "forwarded", but for what "x-ssl-*" stands for */
        return name.len >= 6 && matches(name, "x-ssl-*");
    switch (sp_header_fold(name.ptr[0])) {
    case 'c':
    case 'e':
    case 'f':
    case 'r':
    case 's':
    case 'x':
        break;
    default:
        return false;
    }
    return matches_any(name, NAMES, SP_COUNTOF(NAMES)) || matches_any(name, OPEN, SP_COUNTOF(OPEN));
}

/* ---- whose they are ---- */

/* What each family consists of. X-Client-Rule is not among them: it says what we decided, and nobody else can. */
static const struct {
    const char *name;
    unsigned family;
    bool repeats;
} SAID[] = {
    {"x-client-verify", SP_IDENTITY_PLAIN, false},
    {"x-client-subject", SP_IDENTITY_PLAIN, false},
    {"x-client-issuer", SP_IDENTITY_PLAIN, false},
    {"x-client-serial", SP_IDENTITY_PLAIN, false},
    {"x-client-san-uri", SP_IDENTITY_PLAIN, true},
    {"x-client-san-dns", SP_IDENTITY_PLAIN, true},
    {"x-client-san-email", SP_IDENTITY_PLAIN, true},
    {"x-client-cert-sha256", SP_IDENTITY_PLAIN, false},
    {"x-client-not-after", SP_IDENTITY_PLAIN, false},
    {"x-client-cert-thumbprint", SP_IDENTITY_PLAIN, false},
    {"client-cert", SP_IDENTITY_RFC9440, false},
    {"client-cert-chain", SP_IDENTITY_RFC9440, true},
    {"x-forwarded-client-cert", SP_IDENTITY_XFCC, false},
    {"x-ssl-client-verify", SP_IDENTITY_NGINX, false},
    {"x-ssl-client-s-dn", SP_IDENTITY_NGINX, false},
    {"x-ssl-client-i-dn", SP_IDENTITY_NGINX, false},
    {"x-ssl-client-serial", SP_IDENTITY_NGINX, false},
    {"x-ssl-client-fingerprint", SP_IDENTITY_NGINX, false},
    {"x-ssl-client-cert", SP_IDENTITY_NGINX, false},
    {"x-forwarded-tls-client-cert", SP_IDENTITY_TRAEFIK, false},
    {"x-forwarded-tls-client-cert-info", SP_IDENTITY_TRAEFIK, false},
    {"x-amzn-mtls-clientcert", SP_IDENTITY_ALB, false},
    {"x-amzn-mtls-clientcert-serial-number", SP_IDENTITY_ALB, false},
    {"x-amzn-mtls-clientcert-issuer", SP_IDENTITY_ALB, false},
    {"x-amzn-mtls-clientcert-subject", SP_IDENTITY_ALB, false},
    {"x-amzn-mtls-clientcert-validity", SP_IDENTITY_ALB, false},
    {"x-amzn-mtls-clientcert-leaf", SP_IDENTITY_ALB, false},
};

unsigned sp_header_family_of(struct sp_slice name, bool *single)
{
    for (size_t i = 0; i < SP_COUNTOF(SAID); i++) {
        if (sp_slice_equal_nocase(name, sp_slice_of(SAID[i].name))) {
            *single = !SAID[i].repeats;
            return SAID[i].family;
        }
    }
    return 0;
}

bool sp_header_is_reserved(struct sp_slice name)
{
    for (size_t i = 0; i < SP_COUNTOF(SAID); i++) {
        if (sp_header_fold_compare(sp_slice_of(SAID[i].name), name) == 0)
            return true;
    }
    return matches_any(name, NAMES, SP_COUNTOF(NAMES));
}
