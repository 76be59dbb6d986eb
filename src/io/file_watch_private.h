/* What the sources of a file watch share: file_watch.c says when to look and reports, file_eye.c looks. */
#ifndef SP_IO_FILE_WATCH_PRIVATE_H
#define SP_IO_FILE_WATCH_PRIVATE_H

#include "sallyport/io/file_watch.h"

/* Directories watched at once; what goes beyond is left to the comparison every few seconds. */
#define SP_FILE_EYE_MAX_DIRS 2048
/* Files of a folder that are looked at one by one; a folder with more is told by its own times too. */
#define SP_FILE_EYE_MAX_FILES 10000

/* Kernels before 6.13 stamp with the time of the last tick, of which there are 100 a second at least. */
#define SP_FILE_EYE_TICK_MS 10

struct sp_file_eye_dir {
    int wd;
    uint32_t mask;
};

/* Sorted by wd. */
struct sp_file_eye_dirs {
    struct sp_file_eye_dir items[SP_FILE_EYE_MAX_DIRS];
    size_t count;
};

struct sp_file_eye {
    int fd; /* inotify's; -1: none is to be had */
    struct sp_file_eye_dirs *dirs, *before;
    int64_t since_ms; /* of the look that is under way */
    bool young;       /* the path that is looked at */
};

/* What a look says of a path. */
struct sp_file_mark {
    uint64_t number;
    /* Changed since the given time, or so lately that another change may leave the same times behind. */
    bool young;
};

/* SP_FAIL: no memory, and nothing to close. Without inotify it is SP_OK, fd is -1 and `err` says why. */
SP_MUST_USE enum sp_rc sp_file_eye_open(struct sp_file_eye *e, struct sp_err *err);
void sp_file_eye_close(struct sp_file_eye *e); /* of an opened one */
/* Takes what inotify has to tell. Has anything stirred? */
bool sp_file_eye_drain(struct sp_file_eye *e);
/* Looks at all paths: watches what leads to them now, and nothing else any more; and fills a mark for each, of which
 * the number stands for all that stat says. Watches come first, so that whatever happens after the look stirs.
 * `since_us`: on the wall clock. */
void sp_file_eye_look(struct sp_file_eye *e, const char *const *paths, size_t count, int64_t since_us,
    struct sp_file_mark *marks);

struct sp_file_watch_times {
    unsigned quiet_ms; /* without a stir, and twice the same: reported */
    unsigned most_ms;  /* after the first stir it is reported anyway */
    unsigned poll_ms;  /* compared on its own */
};

/* sp_file_watch_new with other times. */
SP_MUST_USE struct sp_file_watch *sp_file_watch_new_timed(struct sp_loop *loop,
    void (*on_change)(void *arg, const char *path), void *arg, const struct sp_file_watch_times *times,
    struct sp_err *err);

#endif
