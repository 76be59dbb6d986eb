/* The names that only we may say. A header that a backend could take for a proven identity, for where a request
 * came from, or for another path or method than the judged one, never passes from a client, whichever family
 * the upstream is configured for: a backend may trust one that we do not send.
 *
 * Names are compared folded: case does not matter, and all that is neither letter nor digit is one ('-', '_',
 * '.', but also '!' or '+'), because CGI-like backends read them so. */
#include "sallyport/headers/headers.h"

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
    /* nginx, and what its ingress controllers send */
    "x-ssl-*",
    "ssl-client-*",
    /* alb */
    "x-amzn-mtls-*",
    /* who somebody is, as authenticating proxies say it */
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
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

static char fold(char c)
{
    c = sp_lower(c);
    return sp_is_digit(c) || (c >= 'a' && c <= 'z') ? c : '-';
}

static bool matches(struct sp_slice name, const char *pattern)
{
    size_t i = 0;

    for (; pattern[i] != '\0'; i++) {
        if (pattern[i] == '*')
            return true;
        if (i >= name.len || fold(name.ptr[i]) != pattern[i])
            return false;
    }
    return i == name.len;
}

bool sp_name_is_protected(struct sp_slice name)
{
    if (name.len < 9) /* the shortest above is "forwarded", but for what "x-ssl-*" stands for */
        return name.len >= 6 && matches(name, "x-ssl-*");
    switch (fold(name.ptr[0])) {
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
    for (size_t i = 0; i < SP_COUNTOF(NAMES); i++) {
        if (matches(name, NAMES[i]))
            return true;
    }
    return false;
}
