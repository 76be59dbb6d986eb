/* Looks at files and folders: which directories inotify has to watch for them, and a number that changes when
 * they do.
 *
 * A path is walked component by component, as the kernel would. Each directory on the way is watched for being
 * moved or removed itself, which is rare and therefore quiet; the directory that holds a symbolic link, the
 * file, or the first component that is missing, and a folder that is named itself, for everything. Links are
 * followed by us, so that `at` never goes through one. Everything is walked again at every look: the kernel
 * gives a directory that is watched already the same number, so that the set of the last look and that of this
 * one are compared by number, and no path is remembered.
 *
 * Invariant: a directory is watched *before* what is in it is looked at (before the second time, where the first
 * has shown that its entries matter). What changes in between is seen, what changes afterwards stirs.
 *
 * Elsewhere: file_watch.c says when to look. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_watch_private.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"

enum {
    WATCH_SELF = IN_MOVE_SELF | IN_DELETE_SELF,
    WATCH_ENTRIES = WATCH_SELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE |
                    IN_MODIFY /* for who writes in place and never closes */ | IN_ATTRIB /* chmod */,
    MAX_LINKS = 40, /* as the kernel */
    MAX_TRIES = 3,
    DRAIN_ROUNDS = 64,
};

/* ---- the set of watched directories ---- */

static size_t find(const struct sp_file_eye_dirs *dirs, int wd)
{
    size_t low = 0, high = dirs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (dirs->items[middle].wd < wd)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* False: there is no such directory, though there was one a moment ago. What else may fail (no permission, too
 * many watches) leaves it to the comparison every few seconds. Adds to what is asked of a directory and never
 * takes away, not for a moment: another path may need it. */
static bool watch_dir(struct sp_file_eye *e, const char *dir, uint32_t mask)
{
    struct sp_file_eye_dirs *dirs = e->dirs;
    if (dirs->count == SP_FILE_EYE_MAX_DIRS)
        return true;
    int wd = inotify_add_watch(e->fd, dir, mask | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD);
    if (wd < 0)
        return errno != ENOENT && errno != ENOTDIR;
    size_t i = find(dirs, wd);
    struct sp_file_eye_dir *item = &dirs->items[i];
    if (i == dirs->count || item->wd != wd) {
        memmove(item + 1, item, (dirs->count - i) * sizeof(*item));
        *item = (struct sp_file_eye_dir){.wd = wd};
        dirs->count++;
    }
    item->mask |= mask;
    return true;
}

/* Those of the last look that this one has not met, or asks less of: the kernel lowers nothing that was added.
 * True: one of the latter, which has to be watched anew. One that the kernel has removed itself is no error. */
static bool forget_the_rest(struct sp_file_eye *e)
{
    struct sp_file_eye_dirs *dirs = e->dirs;
    bool again = false;
    for (size_t i = 0; i < e->before->count; i++) {
        const struct sp_file_eye_dir *old = &e->before->items[i];
        size_t at = find(dirs, old->wd);
        bool met = at < dirs->count && dirs->items[at].wd == old->wd;
        if (met && (old->mask & ~dirs->items[at].mask) == 0)
            continue;
        (void)!inotify_rm_watch(e->fd, old->wd);
        if (!met)
            continue;
        dirs->count--;
        memmove(&dirs->items[at], &dirs->items[at + 1], (dirs->count - at) * sizeof(dirs->items[0]));
        again = true;
    }
    return again;
}

/* ---- youth ---- */

static int64_t ms_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* A time from the future is that of a file server with a clock of its own, and tells nothing. */
static void note_youth(struct sp_file_eye *e, const struct stat *st)
{
    int64_t changed_ms = ms_of(&st->st_ctim);
    if (changed_ms >= e->since_ms - SP_FILE_EYE_TICK_MS &&
        changed_ms <= sp_wall_us() / 1000 + SP_FILE_EYE_TICK_MS)
        e->young = true;
}

/* ---- the walk ---- */

struct walk {
    char at[PATH_MAX];   /* a directory, reached through no link */
    char rest[PATH_MAX]; /* from there */
    char next[PATH_MAX]; /* `at` and the component that is looked at */
    unsigned links;
};

static const char *const NOWHERE = "";

/* Takes the next component off `rest` into `next`. SP_EOF: there is none. SP_FAIL: too long. */
static enum sp_rc step(struct walk *walk)
{
    size_t from = strspn(walk->rest, "/");
    size_t len = strcspn(walk->rest + from, "/");
    size_t at_len = strlen(walk->at);
    if (len == 0)
        return SP_EOF;
    if (at_len + 1 + len >= sizeof walk->next)
        return SP_FAIL;
    memcpy(walk->next, walk->at, at_len);
    if (walk->at[at_len - 1] != '/')
        walk->next[at_len++] = '/';
    memcpy(walk->next + at_len, walk->rest + from, len);
    walk->next[at_len + len] = '\0';
    memmove(walk->rest, walk->rest + from + len, strlen(walk->rest + from + len) + 1);
    return SP_OK;
}

/* `next` is a link: what it says is gone first, then the rest. */
static enum sp_rc follow(struct walk *walk)
{
    char target[PATH_MAX];
    ssize_t len = readlink(walk->next, target, sizeof target);
    size_t rest_len = strlen(walk->rest);
    if (len <= 0 || (size_t)len + rest_len >= sizeof walk->rest || ++walk->links > MAX_LINKS)
        return SP_FAIL;
    memmove(walk->rest + len, walk->rest, rest_len + 1);
    memcpy(walk->rest, target, (size_t)len);
    if (walk->rest[0] == '/')
        strcpy(walk->at, "/");
    return SP_OK;
}

/* SP_OK: went on. SP_EOF: this is as far as it goes. SP_AGAIN: the ground has moved, so from the beginning. */
static enum sp_rc walk_on(struct sp_file_eye *e, struct walk *walk)
{
    struct stat st;
    if (!watch_dir(e, walk->at, WATCH_SELF))
        return SP_AGAIN;
    enum sp_rc rc = step(walk);
    if (rc == SP_EOF) /* a folder; of a file nothing else than its directory is of use */
        return watch_dir(e, walk->at, WATCH_ENTRIES) ? SP_EOF : SP_AGAIN;
    if (rc != SP_OK)
        return SP_EOF;
    bool there = lstat(walk->next, &st) == 0;
    if (!there || !S_ISDIR(st.st_mode)) {
        if (!watch_dir(e, walk->at, WATCH_ENTRIES))
            return SP_AGAIN;
        there = lstat(walk->next, &st) == 0;
    }
    if (there && S_ISLNK(st.st_mode)) {
        note_youth(e, &st);
        return follow(walk) == SP_OK ? SP_OK : SP_EOF;
    }
    if (!there || !S_ISDIR(st.st_mode))
        return SP_EOF;
    strcpy(walk->at, walk->next);
    return SP_OK;
}

static void watch_path(struct sp_file_eye *e, const char *folder, const char *name)
{
    struct walk walk;
    enum sp_rc rc = SP_AGAIN;
    for (unsigned tries = 0; rc == SP_AGAIN && tries < MAX_TRIES; tries++) {
        const char *slash = folder != NOWHERE ? "/" : "";
        size_t need = strlen(folder) + strlen(slash) + strlen(name);
        if (need >= sizeof walk.rest)
            return;
        strcpy(stpcpy(stpcpy(walk.rest, folder), slash), name);
        walk.links = 0;
        strcpy(walk.at, walk.rest[0] == '/' ? "/" : ".");
        do
            rc = walk_on(e, &walk);
        while (rc == SP_OK);
    }
}

/* ---- the number ---- */

/* FNV-1a: nobody can gain by a collision that he could not have by leaving the file alone. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3;
    return hash;
}

#define MIX_START UINT64_C(0xcbf29ce484222325)

/* `errnum` 0: `st` holds. */
static uint64_t mix_stat(struct sp_file_eye *e, uint64_t hash, int errnum, const struct stat *st)
{
    if (errnum != 0)
        return mix(hash, &errnum, sizeof errnum);
    note_youth(e, st);
    int64_t facts[] = {(int64_t)st->st_dev, (int64_t)st->st_ino, st->st_size, st->st_mtim.tv_sec,
        st->st_mtim.tv_nsec, st->st_ctim.tv_sec, st->st_ctim.tv_nsec};
    return mix(hash, facts, sizeof facts);
}

/* The sum over its files, since a folder promises no order. Those that begin with '.' are nobody's: they are
 * what editors and updaters make on their way (and Kubernetes' `..data`). */
static uint64_t look_at_folder(struct sp_file_eye *e, const char *path, const struct stat *folder)
{
    uint64_t sum = 0;
    size_t count = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return mix_stat(e, MIX_START, errno, NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        if (count++ == SP_FILE_EYE_MAX_FILES) {
            sum += mix_stat(e, MIX_START, 0, folder);
            break;
        }
        if (e->fd >= 0 && (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN))
            watch_path(e, path, entry->d_name);
        int errnum = fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 ? 0 : errno;
        if (errnum == 0 && !S_ISREG(st.st_mode))
            continue;
        uint64_t hash = mix(MIX_START, entry->d_name, strlen(entry->d_name));
        sum += mix_stat(e, hash, errnum, &st);
    }
    closedir(dir);
    return sum;
}

static uint64_t look_at(struct sp_file_eye *e, const char *path)
{
    struct stat st;
    int errnum = stat(path, &st) == 0 ? 0 : errno;
    if (errnum == 0 && S_ISDIR(st.st_mode))
        return look_at_folder(e, path, &st);
    return mix_stat(e, MIX_START, errnum, &st);
}

static void look_once(
    struct sp_file_eye *e, const char *const *paths, size_t count, struct sp_file_mark *marks)
{
    struct sp_file_eye_dirs *dirs = e->before;
    e->before = e->dirs;
    e->dirs = dirs;
    dirs->count = 0;
    for (size_t i = 0; i < count; i++) {
        e->young = false;
        if (e->fd >= 0)
            watch_path(e, NOWHERE, paths[i]);
        marks[i].number = look_at(e, paths[i]);
        marks[i].young = e->young;
    }
}

void sp_file_eye_look(struct sp_file_eye *e, const char *const *paths, size_t count, int64_t since_us,
    struct sp_file_mark *marks)
{
    e->since_ms = since_us / 1000;
    look_once(e, paths, count, marks);
    for (unsigned tries = 0; e->fd >= 0 && forget_the_rest(e) && tries < MAX_TRIES; tries++)
        look_once(e, paths, count, marks);
}

/* ---- what inotify tells ---- */

/* IN_IGNORED follows our own forgetting, and a removal that was told already. A queue that ran over is a stir. */
static bool tells_of_a_stir(const char *events, size_t len)
{
    struct inotify_event event;
    for (size_t at = 0; at < len; at += sizeof event + event.len) {
        memcpy(&event, events + at, sizeof event);
        if (!(event.mask & IN_IGNORED))
            return true;
    }
    return false;
}

bool sp_file_eye_drain(struct sp_file_eye *e)
{
    char events[16 * 1024];
    bool stirred = false;
    for (unsigned i = 0; e->fd >= 0 && i < DRAIN_ROUNDS; i++) {
        ssize_t len = read(e->fd, events, sizeof events);
        if (len <= 0)
            break;
        stirred = stirred || tells_of_a_stir(events, (size_t)len);
    }
    return stirred;
}

enum sp_rc sp_file_eye_open(struct sp_file_eye *e, struct sp_err *err)
{
    e->dirs = SP_NEW(struct sp_file_eye_dirs);
    e->before = SP_NEW(struct sp_file_eye_dirs);
    if (e->dirs == NULL || e->before == NULL) {
        SP_FREE(e->dirs);
        SP_FREE(e->before);
        return sp_err_sys(err, ENOMEM, "watching files");
    }
    e->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (e->fd < 0)
        sp_err_sys(err, errno, "watching files: inotify");
    return SP_OK;
}

void sp_file_eye_close(struct sp_file_eye *e)
{
    if (e->fd >= 0)
        close(e->fd);
    SP_FREE(e->dirs);
    SP_FREE(e->before);
}
