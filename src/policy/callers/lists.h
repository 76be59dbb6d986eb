/* Files of one identity a line: "uri:spiffe://corp.example/batch", "subject.OU:dev". Private to the room.
 *
 * Blank lines and lines whose first byte is '#' are passed over; blanks around a line and behind its first ':' do not count, nor does
 * a carriage return at its end or a byte order mark in front of the first. */
#ifndef SP_POLICY_LISTS_H
#define SP_POLICY_LISTS_H

#include "policy/callers/caller_fields.h"
#include "sallyport/base/err.h"
#include "sallyport/base/hash.h"
#include "sallyport/config/diag.h"

#define SP_LIST_MAX_BYTES  (64u << 20)
#define SP_LIST_ERRORS_MAX 20 /* told of one list; the rest are counted */

/* The whole file, to the end of `out`. A regular file of at most SP_LIST_MAX_BYTES. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_list_read(const char *path, struct sp_buf *out, struct sp_err *err);
/* What tells two contents apart. */
struct sp_list_digest {
    uint64_t half[2];
    size_t len;
};
struct sp_list_digest sp_list_digest_of(const struct sp_hash_key *key, struct sp_slice text);

/* How many lines there are. */
size_t sp_list_count_lines(struct sp_slice text);
/* Each identity becomes a field in `out`, which has room for as many as there are lines; the fields borrow `text`. `path` names
 * it in messages. SP_FAIL: errors were told. Pure. */
SP_MUST_USE enum sp_rc sp_list_parse(struct sp_arena *arena, const char *path, struct sp_slice text,
    struct sp_field *out, size_t *count, struct sp_diags *diags);

#endif
