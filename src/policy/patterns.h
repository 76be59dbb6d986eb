/* What callers and rules are matched with, compiled once when the policy is built and only compared afterwards.
 * Private to the room. A compile function returns NULL, or a literal saying what is wrong; matching neither
 * allocates nor fails. Everything compares by length: a NUL is a byte like any other. */
#ifndef SP_POLICY_PATTERNS_H
#define SP_POLICY_PATTERNS_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"

/* The grammar of sp_path_match; the two shapes that nearly every rule has are recognised beforehand. */
struct sp_path_pattern {
    enum sp_path_shape {
        SP_PATH_EXACT,  /* no wildcard: `text` is the path */
        SP_PATH_PREFIX, /* one "**" at the end and no other: `text` is what is before it, with its '/' */
        SP_PATH_GLOB,   /* `text` is the pattern for sp_path_match */
    } shape;
    struct sp_slice text;
};
/* Borrows `text`. */
SP_MUST_USE const char *sp_path_pattern_compile(struct sp_slice text, struct sp_path_pattern *out);
bool sp_path_pattern_match(const struct sp_path_pattern *p, struct sp_slice path);

/* A URI: the same bytes, or a pattern in its path. Scheme and authority are literal, byte for byte. */
struct sp_uri_pattern {
    bool exact;
    struct sp_slice head; /* the whole URI if exact, else scheme and authority */
    struct sp_path_pattern path;
};
/* Borrows `text`. */
SP_MUST_USE const char *sp_uri_pattern_compile(struct sp_slice text, struct sp_uri_pattern *out);
/* A URI with a query, a fragment or a path that could be read in two ways is matched by its exact text alone,
 * never by a wildcard. */
bool sp_uri_pattern_match(const struct sp_uri_pattern *p, struct sp_slice uri);

/* "name@domain" or "*@domain". The part before the '@' compares by case, the domain does not. */
struct sp_email_pattern {
    struct sp_slice local; /* absent: any */
    struct sp_slice domain;
};
/* Borrows `text`. */
SP_MUST_USE const char *sp_email_pattern_compile(struct sp_slice text, struct sp_email_pattern *out);
bool sp_email_pattern_match(const struct sp_email_pattern *p, struct sp_slice email);

/* A host name or "*.rest", in lower case; the copy lives in `arena`. */
SP_MUST_USE const char *sp_host_pattern_compile(
    struct sp_arena *arena, struct sp_slice text, struct sp_slice *out);
/* A dNSName of a certificate, in any case. One that is no plain host name (a wildcard, an empty label, a port)
 * matches nothing. */
bool sp_dns_name_match(struct sp_slice pattern, struct sp_slice name);

#endif
