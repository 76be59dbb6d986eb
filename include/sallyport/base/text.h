/* Units and small encodings as an operator writes them and a log prints them. Pure functions. */
#ifndef SP_BASE_TEXT_H
#define SP_BASE_TEXT_H

#include "sallyport/base/base.h"

/* Whole decimal number, no sign, no leading '+', no blanks. False on anything else or overflow. */
SP_MUST_USE bool sp_parse_u64(struct sp_slice s, uint64_t *out);
/* "250ms", "2s", "5m", "24h", "7d" (a unit is required, except for "0"). Result in milliseconds. */
SP_MUST_USE bool sp_parse_duration_ms(struct sp_slice s, uint64_t *out);
/* "512", "16KiB", "4MiB", "1GiB" (1024s) or "16kB", "4MB", "1GB" (1000s). Result in bytes. */
SP_MUST_USE bool sp_parse_size(struct sp_slice s, uint64_t *out);
/* The shortest way to write a duration that sp_parse_duration_ms reads back. Returns `out`. */
#define SP_DURATION_MAX 24
char *sp_format_duration_ms(uint64_t ms, char out[SP_DURATION_MAX]);
/* A span of time for people, its two largest units, rounded down: "41 d", "6 d 3 h", "9 s". A negative one as if it
 * were positive. Returns `out`. */
#define SP_SPAN_MAX 32
char *sp_format_span_s(int64_t seconds, char out[SP_SPAN_MAX]);

/* Lower-case hex; `out` needs 2 * len + 1 bytes and ends in NUL. Returns `out`. */
char *sp_hex(const void *bytes, size_t len, char *out);
/* Pairs of hex digits, upper or lower case, optional ':' between pairs. False unless exactly `len` bytes. */
SP_MUST_USE bool sp_unhex(struct sp_slice s, uint8_t *out, size_t len);

/* RFC 4648 §4 with its padding and nothing else. `out` has room for 3 bytes of each 4; *len is what was written. False: it is
 * something else. */
SP_MUST_USE bool sp_base64_decode(struct sp_slice s, char *out, size_t *len);

/* The well-formed UTF-8 sequence of two bytes or more at the start of `s`, which is not empty: its length, and its code point in *code. 0: there
 * is none. */
size_t sp_utf8_take(struct sp_slice s, uint32_t *code);

/* Edits needed to turn `a` into `b` (Damerau-Levenshtein, ASCII case ignored), for "did you mean". At most 64
 * bytes of each are looked at. */
unsigned sp_edit_distance(struct sp_slice a, struct sp_slice b);

#endif
