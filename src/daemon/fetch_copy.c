/* Keeping what was fetched, so that neither a crash nor a full disk costs the last good copy: everything is written
 * into a draft of its own, synced, renamed over what was there, and the folder synced.
 *
 * A draft is locked for as long as it is written. So one that can be locked was left by a process that is gone, and
 * another process that shares the folder loses none of its own. */
#include "fetch_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/base/text.h"

#define DRAFT_PREFIX   ".sallyport-draft-"
#define META_ENDING    ".meta"
#define META_FIRST     "sallyport fetched copy 1"
#define META_BYTES_MAX 2048

/* ---- drafts ---- */

/* With the slash at its end; "./" for a lone name. SP_FAIL: too long. */
static enum sp_rc folder_of(const char *file, char out[PATH_MAX], struct sp_err *err)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash != NULL ? (size_t)(slash - file) + 1 : 0;

    if (len + sizeof(DRAFT_PREFIX "XXXXXX") > PATH_MAX)
        return sp_err_sys(err, ENAMETOOLONG, "%s", file);
    memcpy(out, file, len);
    strcpy(out + len, len > 0 ? "" : "./");
    return SP_OK;
}

static enum sp_rc write_all(int fd, struct sp_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return SP_FAIL;
        bytes = sp_slice_sub(bytes, (size_t)n, bytes.len);
    }
    return SP_OK;
}

static enum sp_rc open_draft(const char *file, struct sp_copy_draft *d, struct sp_err *err)
{
    char folder[PATH_MAX];

    d->fd = -1;
    if (folder_of(file, folder, err) != SP_OK)
        return SP_FAIL;
    if (mkdir(folder, 0750) != 0 && errno != EEXIST)
        return sp_err_sys(err, errno, "%s: the folder cannot be made", folder);
    int len = snprintf(d->path, sizeof(d->path), "%s%sXXXXXX", folder, DRAFT_PREFIX);
    SP_ASSERT(len > 0 && (size_t)len < sizeof(d->path)); /* folder_of has seen to it */
    d->fd = mkostemp(d->path, O_CLOEXEC);
    if (d->fd < 0)
        return sp_err_sys(err, errno, "%s: nothing can be written there", folder);
    return SP_OK;
}

enum sp_rc sp_copy_draft_write(
    const char *file, struct sp_slice bytes, struct sp_copy_draft *out, struct sp_err *err)
{
    if (open_draft(file, out, err) != SP_OK)
        return SP_FAIL;
    if (flock(out->fd, LOCK_EX | LOCK_NB) == 0 && fchmod(out->fd, 0640) == 0 &&
        write_all(out->fd, bytes) == SP_OK)
        return SP_OK;
    sp_err_sys(err, errno, "%s: %zu bytes cannot be written", file, bytes.len);
    sp_copy_draft_drop(out);
    return SP_FAIL;
}

static enum sp_rc sync_folder(const char *file, struct sp_err *err)
{
    char folder[PATH_MAX];

    if (folder_of(file, folder, err) != SP_OK)
        return SP_FAIL;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* some file systems cannot sync a folder, and say EINVAL */
    enum sp_rc rc =
        fd < 0 || (fsync(fd) != 0 && errno != EINVAL) ? sp_err_sys(err, errno, "%s", folder) : SP_OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

enum sp_rc sp_copy_draft_keep(struct sp_copy_draft *d, const char *file, struct sp_err *err)
{
    if (fsync(d->fd) != 0) {
        sp_err_sys(err, errno, "%s: cannot be written", file);
        sp_copy_draft_drop(d);
        return SP_FAIL;
    }
    if (rename(d->path, file) != 0) {
        sp_err_sys(err, errno, "%s: cannot be replaced", file);
        sp_copy_draft_drop(d);
        return SP_FAIL;
    }
    close(d->fd);
    d->fd = -1;
    (void)!sync_folder(file, NULL); /* it is in place; after a power cut perhaps the one before */
    return SP_OK;
}

void sp_copy_draft_drop(struct sp_copy_draft *d)
{
    if (d->fd < 0)
        return;
    unlink(d->path);
    close(d->fd);
    d->fd = -1;
}

void sp_copy_sweep(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, DRAFT_PREFIX, strlen(DRAFT_PREFIX)) != 0)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
        close(fd);
    }
    closedir(dir);
}

bool sp_copy_is(const char *file, struct sp_slice bytes)
{
    char block[16384];
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool same = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == bytes.len;

    while (same && bytes.len > 0) {
        ssize_t n = read(fd, block, bytes.len < sizeof(block) ? bytes.len : sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        same = n > 0 && memcmp(block, bytes.ptr, (size_t)n) == 0;
        if (same)
            bytes = sp_slice_sub(bytes, (size_t)n, bytes.len);
    }
    if (fd >= 0)
        close(fd);
    return same;
}

/* ---- what a server said ---- */

static bool take_line(struct sp_slice *text, const char *key, struct sp_slice *value)
{
    const char *eol = text->len > 0 ? memchr(text->ptr, '\n', text->len) : NULL;
    size_t key_len = strlen(key), len = eol != NULL ? (size_t)(eol - text->ptr) : 0;

    if (eol == NULL || len < key_len || memcmp(text->ptr, key, key_len) != 0)
        return false;
    *value = sp_slice_sub(*text, key_len, len);
    *text = sp_slice_sub(*text, len + 1, text->len);
    return true;
}

static bool take_number(struct sp_slice *text, const char *key, uint64_t *out)
{
    struct sp_slice value;

    return take_line(text, key, &value) && sp_parse_u64(value, out) && *out <= INT64_MAX;
}

static bool take_text(struct sp_slice *text, const char *key, char *out, size_t room)
{
    struct sp_slice value;

    if (!take_line(text, key, &value) || value.len >= room || memchr(value.ptr, '\0', value.len) != NULL)
        return false;
    memcpy(out, value.ptr, value.len);
    out[value.len] = '\0';
    return true;
}

enum sp_rc sp_copy_meta_parse(struct sp_slice text, struct sp_copy_meta *out)
{
    struct sp_copy_meta m = {0};
    struct sp_slice rest;
    uint64_t mtime_ns, looked_at;

    *out = (struct sp_copy_meta){0};
    if (!take_line(&text, META_FIRST, &rest) || rest.len != 0 || !take_number(&text, "inode ", &m.inode) ||
        !take_number(&text, "size ", &m.size) || !take_number(&text, "mtime_ns ", &mtime_ns) ||
        !take_number(&text, "looked_at ", &looked_at) || !take_text(&text, "etag ", m.etag, sizeof(m.etag)) ||
        !take_text(&text, "modified ", m.modified, sizeof(m.modified)) || text.len != 0)
        return SP_FAIL;
    m.mtime_ns = (int64_t)mtime_ns;
    m.looked_at = (int64_t)looked_at;
    *out = m;
    return SP_OK;
}

void sp_copy_meta_print(const struct sp_copy_meta *m, struct sp_buf *out)
{
    sp_buf_printf(out,
        META_FIRST "\ninode %" PRIu64 "\nsize %" PRIu64 "\nmtime_ns %" PRId64 "\nlooked_at %" PRId64 "\n",
        m->inode, m->size, m->mtime_ns, m->looked_at);
    sp_buf_printf(out, "etag %s\nmodified %s\n", m->etag, m->modified);
}

static enum sp_rc meta_path(const char *file, char out[PATH_MAX], struct sp_err *err)
{
    int len = snprintf(out, PATH_MAX, "%s" META_ENDING, file);

    return len > 0 && len < PATH_MAX ? SP_OK : sp_err_sys(err, ENAMETOOLONG, "%s", file);
}

static bool note_copy(const char *file, struct sp_copy_meta *m)
{
    struct stat st;

    if (stat(file, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    m->inode = (uint64_t)st.st_ino & INT64_MAX;
    m->size = (uint64_t)st.st_size;
    m->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return m->mtime_ns >= 0;
}

enum sp_rc sp_copy_meta_load(const char *file, struct sp_copy_meta *out)
{
    char path[PATH_MAX], text[META_BYTES_MAX];
    struct sp_copy_meta is;

    *out = (struct sp_copy_meta){0};
    if (meta_path(file, path, NULL) != SP_OK)
        return SP_FAIL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return SP_FAIL;
    ssize_t len = read(fd, text, sizeof(text)); /* of a regular file that small: all or an error */
    close(fd);
    if (len > 0 && sp_copy_meta_parse((struct sp_slice){text, (size_t)len}, out) == SP_OK &&
        note_copy(file, &is) && is.inode == out->inode && is.size == out->size &&
        is.mtime_ns == out->mtime_ns)
        return SP_OK;
    *out = (struct sp_copy_meta){0};
    return SP_FAIL;
}

enum sp_rc sp_copy_meta_save(const char *file, struct sp_copy_meta *m, struct sp_err *err)
{
    char path[PATH_MAX];
    struct sp_copy_draft draft;
    struct sp_buf text = {0};
    enum sp_rc rc = SP_FAIL;

    if (meta_path(file, path, err) != SP_OK)
        return SP_FAIL;
    if (!note_copy(file, m))
        return sp_err_set(err, "%s: it is gone", file);
    sp_copy_meta_print(m, &text);
    if (text.failed)
        sp_err_set(err, "not enough memory");
    else if (sp_copy_draft_write(path, sp_buf_slice(&text), &draft, err) == SP_OK)
        rc = sp_copy_draft_keep(&draft, path, err);
    sp_buf_free(&text);
    return rc;
}
