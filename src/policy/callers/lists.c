/* Files of identities, read and compiled (see lists.h). Every line that is wrong is told, with its place, and then none of the list
 * counts: half an allow list is another one than the operator wrote. Elsewhere: what the kinds mean (caller_fields.c). */
#include "policy/callers/lists.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

static enum sp_rc read_all(int fd, size_t expected, struct sp_buf *out, struct sp_err *err)
{
    for (;;) {
        size_t room = expected + 4096; /* more than it has: so that its end is seen without growing */
        char *to = sp_buf_room(out, room);
        if (to == NULL)
            return sp_err_set(err, "no memory to read it");
        ssize_t n = read(fd, to, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sp_err_sys(err, errno, "cannot be read");
        if (n == 0)
            return SP_OK;
        out->len += (size_t)n;
        expected = expected > (size_t)n ? expected - (size_t)n : 0;
        if (out->len > SP_LIST_MAX_BYTES)
            return sp_err_set(err, "is longer than %u MiB", SP_LIST_MAX_BYTES >> 20);
    }
}

enum sp_rc sp_list_read(const char *path, struct sp_buf *out, struct sp_err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return sp_err_sys(err, errno, "cannot be opened");
    enum sp_rc rc = SP_FAIL;
    if (fstat(fd, &st) != 0)
        sp_err_sys(err, errno, "cannot be read");
    else if (!S_ISREG(st.st_mode))
        sp_err_set(err, "is not a regular file");
    else if (st.st_size > (off_t)SP_LIST_MAX_BYTES)
        sp_err_set(err, "is longer than %u MiB", SP_LIST_MAX_BYTES >> 20);
    else
        rc = read_all(fd, (size_t)st.st_size, out, err);
    close(fd);
    return rc;
}

struct sp_list_digest sp_list_digest_of(const struct sp_hash_key *key, struct sp_slice text)
{
    return (struct sp_list_digest){{sp_hash(key, 0, text), sp_hash(key, 1, text)}, text.len};
}

/* ---- parsing ---- */

size_t sp_list_count_lines(struct sp_slice text)
{
    size_t lines = 1;
    for (size_t at = 0; at < text.len; lines++) {
        const char *end = memchr(text.ptr + at, '\n', text.len - at);
        if (end == NULL)
            break;
        at = (size_t)(end - text.ptr) + 1;
    }
    return lines;
}

struct reading {
    struct sp_arena *arena;
    const char *path;
    struct sp_diags *diags;
    const char *line; /* where it begins */
    unsigned number;
    size_t errors;
};

/* Text of the file in a message: cut, and nothing that a terminal would act on. */
static const char *shown(struct sp_slice text, char out[84])
{
    size_t len = text.len < 80 ? text.len : 80;
    for (size_t i = 0; i < len; i++)
        out[i] = text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f ? text.ptr[i] : '?';
    memcpy(out + len, "...", 4);
    if (len == text.len)
        out[len] = '\0';
    return out;
}

static void wrong(struct reading *r, struct sp_slice what, const char *problem)
{
    char text[84];
    if (r->errors++ >= SP_LIST_ERRORS_MAX)
        return;
    struct sp_pos at = {r->number, (unsigned)(what.ptr - r->line) + 1};
    sp_diag_add(r->diags, SP_DIAG_ERROR, r->path, at, "\"%s\": %s", shown(what, text), problem);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct sp_slice trimmed(struct sp_slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = sp_slice_sub(s, 1, s.len);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool has_control(struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((uint8_t)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

/* The row whose key it is, and for an attribute its type. */
static const struct sp_field_row *row_of(struct sp_slice kind, struct sp_slice *attribute)
{
    struct sp_slice subject = sp_slice_of(sp_field_rows[SP_FIELD_SUBJECT].key);
    *attribute = (struct sp_slice){NULL, 0};
    if (sp_slice_starts(kind, subject)) {
        *attribute = sp_slice_sub(kind, subject.len, kind.len);
        return &sp_field_rows[SP_FIELD_SUBJECT];
    }
    for (size_t i = 0; i < SP_FIELD_TYPES; i++) {
        const struct sp_field_row *row = &sp_field_rows[i];
        if (row->in_lists && row->compile != NULL && sp_slice_equal(kind, sp_slice_of(row->key)))
            return row;
    }
    return NULL;
}

static bool parse_line(struct reading *r, struct sp_slice line, struct sp_field *out)
{
    static const char expected[] =
        "expected a line such as \"uri:spiffe://corp.example/batch\"; kinds are uri, "
        "dns, email, ip, serial, fingerprint_sha256, spki_sha256 and subject.CN, "
        "subject.OU, ...";
    struct sp_slice attribute;
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t kind_len = colon != NULL ? (size_t)(colon - line.ptr) : line.len;
    const struct sp_field_row *row = row_of(sp_slice_sub(line, 0, kind_len), &attribute);
    if (colon == NULL || row == NULL) {
        wrong(r, line, expected);
        return false;
    }
    struct sp_slice value = trimmed(sp_slice_sub(line, kind_len + 1, line.len));
    *out = (struct sp_field){.type = (uint8_t)(row - sp_field_rows)};
    const char *problem = has_control(value) ? "expected no control byte"
                          : attribute.ptr != NULL
                              ? sp_field_compile_attr(r->arena, SP_FIELD_SUBJECT, attribute, value, out)
                              : row->compile(r->arena, value, out);
    if (problem != NULL)
        wrong(r, value.len > 0 ? value : line, problem);
    return problem == NULL;
}

enum sp_rc sp_list_parse(struct sp_arena *arena, const char *path, struct sp_slice text, struct sp_field *out,
    size_t *count, struct sp_diags *diags)
{
    static const struct sp_slice mark = {"\xEF\xBB\xBF", 3};
    struct reading r = {.arena = arena, .path = path, .diags = diags};
    size_t at = sp_slice_starts(text, mark) ? mark.len : 0;
    *count = 0;
    while (at < text.len) {
        const char *newline = memchr(text.ptr + at, '\n', text.len - at);
        size_t end = newline != NULL ? (size_t)(newline - text.ptr) : text.len;
        struct sp_slice line = trimmed(sp_slice_sub(text, at, end));
        r.line = text.ptr + at;
        r.number++;
        at = end + 1;
        if (line.len > 0 && line.ptr[0] != '#' && parse_line(&r, line, &out[*count]))
            ++*count;
    }
    if (r.errors > SP_LIST_ERRORS_MAX)
        sp_diag_add(diags, SP_DIAG_ERROR, path, (struct sp_pos){r.number, 1}, "and %zu more lines are wrong",
            r.errors - SP_LIST_ERRORS_MAX);
    return r.errors == 0 ? SP_OK : SP_FAIL;
}
