/* Notices that files and folders have changed: certificates, CAs, CRLs, keys, whatever was named.
 *
 * Watched are *directories*: the one of each path, of each symbolic link that the path goes through, and of what each
 * link points to; so that a file that is replaced by rename, a link that is swapped (Kubernetes' `..data`), a folder
 * that appears later and a file written in place all count. inotify says that something stirred; whether it concerns
 * us is told by comparing what stat says of every path (device, inode, size, mtime, ctime; of a folder: of each of its
 * files). The same comparison runs every few seconds on its own, for file systems that tell nothing (NFS).
 *
 * Changes are reported when they have been quiet for a moment, or have gone on for long enough: a file that is being
 * written is not read at its first byte. stat may block on a dead server: not for a thread that serves. */
#ifndef SP_IO_FILE_WATCH_H
#define SP_IO_FILE_WATCH_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/io/loop.h"

struct sp_file_watch;

/* `on_change` runs on the loop's thread and is given the first of the paths that have changed, valid until it returns
 * or sets others; it may call sp_file_watch_set, but not free `w`. NULL without memory. When inotify cannot be had
 * (limits), `err` says why and the comparison every few seconds is all there is: it still works. The same goes for
 * directories that may not be read, and for those beyond 2048. */
SP_MUST_USE struct sp_file_watch *sp_file_watch_new(
    struct sp_loop *loop, void (*on_change)(void *arg, const char *path), void *arg, struct sp_err *err);
void sp_file_watch_free(struct sp_file_watch *w); /* takes NULL */

/* Call before the files are read, for a sp_file_watch_set after it: what is still as it is now was read as it is, is not
 * reported by then, and counts as unchanged. What has changed only just now, so that another change could leave the
 * same times, is waited for to grow older: blocks for 10 ms, and for 40 ms if somebody writes all the time. True: something
 * has changed that had not been reported, and now will not be: it is for the caller to read it. */
SP_MUST_USE bool sp_file_watch_mark(struct sp_file_watch *w);
/* From now on these, files or folders, there or not. What they are like now is what a change is compared with, but
 * what has changed since `since_us` (wall clock; when reading them began) counts as changed, and so does what
 * changed only just now: another change may have left the same times. Of paths that were marked it is the mark that
 * says. Of a folder, names that begin with '.' do not count. Copies the paths. SP_FAIL without memory: the old ones stay. */
SP_MUST_USE enum sp_rc sp_file_watch_set(
    struct sp_file_watch *w, const char *const *paths, size_t count, int64_t since_us);

#endif
