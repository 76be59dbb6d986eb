/* The temporary folder: made with mkdtemp, written to with files that only their owner can read, removed with
 * whatever is in it by then (somebody may have saved an answer there). Its path is absolute, so that what is
 * printed works from anywhere. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "demo_impl.h"

#define NAME          "sallyport-demo-XXXXXX"
#define WALK_FD_COUNT 8

enum sp_rc sp_demo_folder_make(struct sp_demo_folder *f, struct sp_err *err)
{
    const char *wanted = getenv("TMPDIR");
    char parent[PATH_MAX];

    f->path[0] = '\0';
    if (wanted == NULL || wanted[0] == '\0')
        wanted = "/tmp";
    if (realpath(wanted, parent) == NULL)
        return sp_err_sys(err, errno, "temporary folder in %s", wanted);
    const char *slash = strcmp(parent, "/") == 0 ? "" : "/";
    int len = snprintf(f->path, sizeof(f->path), "%s%s" NAME, parent, slash);
    if (len < 0 || (size_t)len >= sizeof(f->path)) {
        f->path[0] = '\0';
        return sp_err_sys(err, ENAMETOOLONG, "temporary folder in %s", wanted);
    }
    if (mkdtemp(f->path) == NULL) {
        f->path[0] = '\0';
        return sp_err_sys(err, errno, "temporary folder in %s", wanted);
    }
    return SP_OK;
}

static enum sp_rc write_all(int fd, struct sp_slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return SP_FAIL;
        text = sp_slice_sub(text, (size_t)n, text.len);
    }
    return SP_OK;
}

enum sp_rc sp_demo_folder_write(
    const struct sp_demo_folder *f, const char *name, struct sp_slice text, struct sp_err *err)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", f->path, name);

    if (len < 0 || (size_t)len >= sizeof(path))
        return sp_err_sys(err, ENAMETOOLONG, "%s", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sp_err_sys(err, errno, "%s", path);
    enum sp_rc rc = write_all(fd, text);
    int sys = errno;
    if (close(fd) != 0 && rc == SP_OK) {
        rc = SP_FAIL;
        sys = errno;
    }
    return rc == SP_OK ? SP_OK : sp_err_sys(err, sys, "%s", path);
}

enum sp_rc sp_demo_folder_rename(
    const struct sp_demo_folder *f, const char *name, const char *onto, struct sp_err *err)
{
    int fd = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 ? renameat(fd, name, fd, onto) : -1;
    int sys = errno;

    if (fd >= 0)
        close(fd);
    return rc == 0 ? SP_OK : sp_err_sys(err, sys, "%s/%s", f->path, name);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

enum sp_rc sp_demo_folder_remove(struct sp_demo_folder *f, struct sp_err *err)
{
    if (f->path[0] == '\0')
        return SP_OK;
    /* contents before their folder, and a link is removed, not followed */
    if (nftw(f->path, remove_one, WALK_FD_COUNT, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return sp_err_sys(err, errno, "%s could not be removed", f->path);
    f->path[0] = '\0';
    return SP_OK;
}
