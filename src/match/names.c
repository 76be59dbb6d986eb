/* The patterns that an operator may write, compiled and compared (see match.h).
 *
 * Why here: typed matchers, one for each kind of name, are what keeps a URI from being read as a DNS name and a
 * prefix of an authority from being taken for it. The wildcard grammars for paths and hosts themselves are
 * http/path.h's, so that a rule's path and a SPIFFE id read alike. */
#include "sallyport/match/match.h"

#include "sallyport/http/path.h"

static bool has(struct sp_slice s, char c)
{
    return s.len > 0 && memchr(s.ptr, c, s.len) != NULL;
}

/* Where `c` stands first, or s.len. */
static size_t find(struct sp_slice s, char c)
{
    const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

static bool is_visible_ascii(struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7E)
            return false;
    }
    return true;
}

/* ---- paths ---- */

const char *sp_path_pattern_compile(struct sp_slice text, struct sp_path_pattern *out)
{
    if (text.len == 0 || text.ptr[0] != '/')
        return "expected a path that begins with \"/\"";
    const char *wrong = sp_path_pattern_check(text);
    if (wrong != NULL)
        return wrong;
    size_t star = find(text, '*');
    if (star == text.len)
        *out = (struct sp_path_pattern){SP_PATH_EXACT, text};
    else if (text.len - star == 2 && text.ptr[star + 1] == '*')
        *out = (struct sp_path_pattern){SP_PATH_PREFIX, sp_slice_sub(text, 0, star)};
    else
        *out = (struct sp_path_pattern){SP_PATH_GLOB, text};
    return NULL;
}

bool sp_path_pattern_match(const struct sp_path_pattern *p, struct sp_slice path)
{
    switch (p->shape) {
    case SP_PATH_EXACT:
        return sp_slice_equal(p->text, path);
    case SP_PATH_PREFIX:
        return sp_slice_starts(path, p->text);
    case SP_PATH_GLOB:
        return sp_path_match(p->text, path);
    }
    return false;
}

/* ---- URIs ---- */

/* RFC 3986 §3.1: the length of a well-formed scheme in front of a ':', or 0. */
static size_t scheme_length(struct sp_slice s)
{
    size_t colon = find(s, ':');
    if (colon == s.len || colon == 0 || sp_lower(s.ptr[0]) < 'a' || sp_lower(s.ptr[0]) > 'z')
        return 0;
    for (size_t i = 1; i < colon; i++) {
        char c = sp_lower(s.ptr[i]);
        if (!((c >= 'a' && c <= 'z') || sp_is_digit(c) || c == '+' || c == '-' || c == '.'))
            return 0;
    }
    return colon;
}

const char *sp_uri_pattern_compile(struct sp_slice text, struct sp_uri_pattern *out)
{
    if (!is_visible_ascii(text))
        return "expected a URI without blanks, control or non-ASCII bytes";
    size_t scheme = scheme_length(text);
    if (scheme == 0 || scheme + 1 == text.len)
        return "expected a URI with a scheme, such as spiffe://corp.example/ns/billing";
    *out = (struct sp_uri_pattern){.exact = true, .head = text};
    if (!has(text, '*'))
        return NULL;

    struct sp_slice rest = sp_slice_sub(text, scheme, text.len);
    if (!sp_slice_starts(rest, SP_SLICE("://")))
        return "expected \"*\" only in the path of a URI with an authority (scheme://authority/path)";
    size_t authority = scheme + 3;
    size_t path = authority + find(sp_slice_sub(text, authority, text.len), '/');
    if (path == text.len || has(sp_slice_sub(text, 0, path), '*'))
        return "expected \"*\" only in the path; scheme and authority are literal";
    if (path == authority)
        return "expected a URI with an authority in front of the path that holds a wildcard";
    if (has(text, '?') || has(text, '#'))
        return "expected no query and no fragment beside a wildcard";
    out->exact = false;
    out->head = sp_slice_sub(text, 0, path);
    return sp_path_pattern_compile(sp_slice_sub(text, path, text.len), &out->path);
}

bool sp_uri_pattern_match(const struct sp_uri_pattern *p, struct sp_slice uri)
{
    if (p->exact)
        return sp_slice_equal(p->head, uri);
    if (!sp_slice_starts(uri, p->head))
        return false;
    /* What follows the authority must begin the path: "spiffe://corp.example.evil/x" only begins like it.
     * sp_path_check sees to that, and to "..", "//", "?" and "#", none of which a wildcard shall cover. */
    struct sp_slice path = sp_slice_sub(uri, p->head.len, uri.len);
    struct sp_fault fault;
    if (path.len == 0 || path.ptr[0] != '/' || sp_path_check(path, &fault) != SP_OK)
        return false;
    return sp_path_pattern_match(&p->path, path);
}

/* ---- e-mail ---- */

/* The one '@', or s.len. Two of them leave open which ends the local part. */
static size_t only_at(struct sp_slice s)
{
    size_t at = find(s, '@');
    if (at == s.len || has(sp_slice_sub(s, at + 1, s.len), '@'))
        return s.len;
    return at;
}

const char *sp_email_pattern_compile(struct sp_slice text, struct sp_email_pattern *out)
{
    size_t at = only_at(text);
    if (!is_visible_ascii(text) || at == text.len || at == 0 || at + 1 == text.len)
        return "expected \"name@domain\" or \"*@domain\"";
    out->local = sp_slice_sub(text, 0, at);
    out->domain = sp_slice_sub(text, at + 1, text.len);
    if (has(out->domain, '*') || (has(out->local, '*') && out->local.len > 1))
        return "expected \"*\" only as the whole of what is before the \"@\"";
    if (out->local.ptr[0] == '*')
        out->local = (struct sp_slice){NULL, 0};
    return NULL;
}

bool sp_email_pattern_match(const struct sp_email_pattern *p, struct sp_slice email)
{
    size_t at = only_at(email);
    if (at == email.len || at == 0)
        return false;
    return sp_slice_equal_nocase(p->domain, sp_slice_sub(email, at + 1, email.len)) &&
           (p->local.ptr == NULL || sp_slice_equal(p->local, sp_slice_sub(email, 0, at)));
}

/* ---- hosts ---- */

const char *sp_host_pattern_compile(struct sp_arena *arena, struct sp_slice text, struct sp_slice *out)
{
    char canonical[SP_HOST_MAX];
    *out = (struct sp_slice){NULL, 0};
    if (!is_visible_ascii(text) || text.len >= SP_HOST_MAX)
        return "expected a host name of fewer than 256 visible ASCII bytes";
    const char *wrong = sp_host_pattern_check(text);
    if (wrong != NULL)
        return wrong;
    /* in the form of what it is compared with: "a.example." and "[2001:db8:0::1]" would otherwise match nothing */
    *out = sp_arena_copy(arena, sp_host_canonical(text, canonical));
    return out->ptr != NULL ? NULL : "no memory for it";
}

bool sp_dns_name_match(struct sp_slice pattern, struct sp_slice name)
{
    char lower[SP_HOST_MAX];
    if (name.len == 0 || name.len > sizeof lower)
        return false;
    bool label_is_empty = true;
    for (size_t i = 0; i < name.len; i++) {
        char c = sp_lower(name.ptr[i]);
        bool is_label = (c >= 'a' && c <= 'z') || sp_is_digit(c) || c == '-' || c == '_';
        if (!is_label && (c != '.' || label_is_empty))
            return false;
        label_is_empty = !is_label;
        lower[i] = c;
    }
    return !label_is_empty && sp_host_match(pattern, (struct sp_slice){lower, name.len});
}
