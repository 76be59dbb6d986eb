/* What names, hosts, paths and addresses are matched with: each kind of name has a matcher of its own, compiled once
 * and only compared afterwards. Pure. A compile function returns NULL, or a literal saying what is wrong; matching neither
 * allocates nor fails. Everything compares by length: a NUL is a byte like any other. */
#ifndef SP_MATCH_MATCH_H
#define SP_MATCH_MATCH_H

#include "sallyport/base/addr.h"
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

/* A host name, an address or "*.rest", in the form of sp_host_canonical; the copy lives in `arena`. */
SP_MUST_USE const char *sp_host_pattern_compile(
    struct sp_arena *arena, struct sp_slice text, struct sp_slice *out);
/* A dNSName of a certificate, in any case. One that is no plain host name (a wildcard, an empty label, a port)
 * matches nothing. */
bool sp_dns_name_match(struct sp_slice pattern, struct sp_slice name);

/* An address block: "192.0.2.0/24", "2001:db8::/32", or one address without a length. RFC 4632 §3.1, RFC 4291 §2.3. */
struct sp_cidr {
    uint8_t bytes[16];
    uint8_t len;  /* 4 or 16 */
    uint8_t bits; /* of the prefix */
};
/* A block with a bit set behind its prefix is refused: it is a mistake in one of the two. */
SP_MUST_USE const char *sp_cidr_compile(struct sp_slice text, struct sp_cidr *out);
/* `bytes`: 4 or 16 of them, as an iPAddress of a certificate has them. An IPv4-mapped IPv6 address is IPv4. */
bool sp_cidr_match(const struct sp_cidr *c, const uint8_t *bytes, size_t len);
/* A unix socket has no address and matches none. */
bool sp_cidr_match_addr(const struct sp_cidr *c, const struct sp_addr *addr);

/* Is it an OID as X.660 writes it: "2.5.4.97"? At least two numbers, none with a leading zero. */
bool sp_oid_is_valid(struct sp_slice text);

#endif
