/* The files that fetched things are kept in. Blocks on the disk: builder thread. Not a door. */
#ifndef SP_DAEMON_FETCH_COPY_H
#define SP_DAEMON_FETCH_COPY_H

#include <limits.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/fetch/fetch.h"

/* ---- drafts: written beside the copy, and put in its place once they are found good ---- */

struct sp_copy_draft {
    int fd; /* -1: none */
    char path[PATH_MAX];
};

/* Writes `bytes` into a new draft in the folder of `file`, making the folder if only its last part is missing. Ends
 * with sp_copy_draft_keep or sp_copy_draft_drop; on SP_FAIL nothing is left. */
SP_MUST_USE enum sp_rc sp_copy_draft_write(
    const char *file, struct sp_slice bytes, struct sp_copy_draft *out, struct sp_err *err);
/* Safely on the disk, then in the place of `file` at once. SP_FAIL: `file` is as it was and the draft is gone. */
SP_MUST_USE enum sp_rc sp_copy_draft_keep(struct sp_copy_draft *d, const char *file, struct sp_err *err);
void sp_copy_draft_drop(struct sp_copy_draft *d);
/* Removes drafts that nobody is writing any more: their process was killed. */
void sp_copy_sweep(const char *folder);

/* Whether the file holds just these bytes. */
bool sp_copy_is(const char *file, struct sp_slice bytes);

/* ---- what a server said of a copy, in a small file beside it ---- */

struct sp_copy_meta {
    uint64_t inode;    /* of the copy; */
    uint64_t size;     /* and */
    int64_t mtime_ns;  /* when it was written: of another copy it says nothing */
    int64_t looked_at; /* when the server last had nothing newer; seconds since 1970 */
    char etag[SP_ETAG_MAX];
    char modified[64];
};

/* Pure. SP_FAIL: it was not written by sp_copy_meta_print, or not to its end. */
SP_MUST_USE enum sp_rc sp_copy_meta_parse(struct sp_slice text, struct sp_copy_meta *out);
void sp_copy_meta_print(const struct sp_copy_meta *m, struct sp_buf *out);

/* Of the copy that `file` is now. SP_FAIL: there is none, and *out is zeroed. */
SP_MUST_USE enum sp_rc sp_copy_meta_load(const char *file, struct sp_copy_meta *out);
/* As of the copy that `file` is now, whatever size and mtime are in `m`. */
SP_MUST_USE enum sp_rc sp_copy_meta_save(const char *file, struct sp_copy_meta *m, struct sp_err *err);

#endif
