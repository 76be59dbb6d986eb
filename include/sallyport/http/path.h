/* Paths and hosts: one reading or none. Pure functions. The path that passes is forwarded byte for byte;
 * nothing is rewritten. */
#ifndef SP_HTTP_PATH_H
#define SP_HTTP_PATH_H

#include "sallyport/base/base.h"
#include "sallyport/http/message.h"

/* Refuses what two readers could take differently: dot segments (also %2e), "//", ";", "\", "#", %2f, %5c, %00
 * and the other encoded control bytes, a '%' without two hex digits, encoded bytes that need no encoding (RFC
 * 3986 §2.3 unreserved, so that %61dmin is not another name of admin), "%25" before two hex digits (encoded
 * twice), overlong UTF-8 (%c0%af), and any byte outside RFC 3986 pchar and '/'. `path` begins with '/', without
 * query; "*" passes. SP_FAIL fills `fault`: bad_target for what is malformed, ambiguous_path for the rest. */
SP_MUST_USE enum sp_rc sp_path_check(struct sp_slice path, struct sp_fault *fault);
/* RFC 3986 §3.4 bytes ('%' with two hex digits), and []{}|^` which clients send raw; refuses '#', blanks, quotes, control and
 * non-ASCII bytes. */
SP_MUST_USE enum sp_rc sp_query_check(struct sp_slice query, struct sp_fault *fault);

/* A checked path, or a pattern of one, in the one spelling that rules compare: a percent-encoded byte that a path may
 * hold as it is (RFC 3986 sub-delims, ':', '@') counts as that byte, hex digits as upper case, and a '*' of a path as "%2A",
 * which in a pattern is the byte and no wildcard. Backends read all spellings alike, so a rule must too; what is forwarded
 * stays as it came. The result is `path` itself, or in `out`, which has room for three times as many bytes. */
#define SP_PATH_MAX 16384 /* bytes of a path: what limits.target_bytes is at most */
struct sp_slice sp_path_canonical(struct sp_slice path, bool is_pattern, char *out);

/* A Host value or authority: a name, IPv4 or [IPv6], optional port 0-65535, no userinfo, not empty. Names are
 * of letters, digits, '-', '_' and '.', without empty labels (one trailing dot is fine), shorter than
 * SP_HOST_MAX; one that ends in a number must be an IPv4 address. Percent-encoding and the other bytes of RFC
 * 3986 reg-name are refused. */
SP_MUST_USE enum sp_rc sp_host_check(struct sp_slice host, struct sp_fault *fault);
/* The one canonical form for comparing: lower case, no port, no trailing dot, IPv6 in brackets as RFC 5952
 * writes it. `out` holds at least SP_HOST_MAX bytes; the result points into it, absent if it does not fit or
 * nothing is left. Also for SNI. */
#define SP_HOST_MAX 256
struct sp_slice sp_host_canonical(struct sp_slice host, char out[SP_HOST_MAX]);

/* Does canonical `host` match `pattern` (canonical too): equal, or "*.rest" for exactly one more label. */
bool sp_host_match(struct sp_slice pattern, struct sp_slice host);
/* Path patterns: exact; "*" inside a segment stands for any bytes but '/', at least one when it is the whole
 * segment; "**" only as the last segment, for any rest: "**" after "/v1/x/" matches "/v1/x/" and everything
 * below, not "/v1/x". Case matters. The same grammar serves SPIFFE ids. */
bool sp_path_match(struct sp_slice pattern, struct sp_slice path);
/* Is it a pattern that sp_path_match understands? The message names what is wrong; NULL if nothing is. */
const char *sp_path_pattern_check(struct sp_slice pattern);
const char *sp_host_pattern_check(struct sp_slice pattern);

#endif
