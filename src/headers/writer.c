/* Lines of a head and the spellings that several families share. Every value passes sp_headers_put, which lets nothing by
 * but printable ASCII and not more than one head holds: so whatever a certificate says, a backend sees it whole or the
 * request is refused. */
#include <errno.h>

#include "families.h"
#include "sallyport/base/clock.h"
#include "sallyport/http/codec.h"

#define PEM_LINE 64

static void fail(struct sp_headers_writer *w, int sys, const char *what)
{
    if (!w->failed)
        (void)sp_err_sys(w->err, sys, "%s", what);
    w->failed = true;
}

void sp_headers_refuse(struct sp_headers_writer *w, struct sp_slice name, const char *what)
{
    if (!w->failed)
        (void)sp_err_set(w->err, "%.*s: %s", SP_FMT(name), what);
    w->failed = true;
}

/* Whether the value may stand in a head. */
static bool judge(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice value)
{
    if (w->failed)
        return false;
    w->bytes += name.len + value.len + 4;
    if (w->bytes > SP_IO_BLOCK)
        fail(w, EMSGSIZE, "the identity headers are larger than a head may be");
    else if (!sp_headers_is_printable(value))
        sp_headers_refuse(w, name, "its value would hold a byte that is not printable ASCII");
    else if (value.ptr[0] == ' ' || value.ptr[value.len - 1] == ' ')
        sp_headers_refuse(w, name, "its value would begin or end with a blank");
    return !w->failed;
}

static void append(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice value)
{
    w->lines[w->count++] = (struct sp_line){name, value};
}

void sp_headers_put(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice value)
{
    if (value.len > 0 && judge(w, name, value))
        append(w, name, value);
}

struct sp_slice sp_headers_keep(struct sp_headers_writer *w, struct sp_slice name, struct sp_buf *text)
{
    struct sp_slice kept = {NULL, 0};

    if (text->failed)
        fail(w, ENOMEM, "identity headers");
    if (text->len > 0 && judge(w, name, sp_buf_slice(text))) {
        kept = sp_arena_copy(w->arena, sp_buf_slice(text));
        if (kept.ptr == NULL)
            fail(w, ENOMEM, "identity headers");
    }
    sp_buf_free(text);
    return kept;
}

void sp_headers_put_buf(struct sp_headers_writer *w, struct sp_slice name, struct sp_buf *text)
{
    struct sp_slice kept = sp_headers_keep(w, name, text);

    if (kept.ptr != NULL)
        append(w, name, kept);
}

void sp_headers_put_each(struct sp_headers_writer *w, struct sp_slice name, const struct sp_slices *values)
{
    for (size_t i = 0; i < values->count; i++)
        sp_headers_put(w, name, values->items[i]);
}

/* ---- shared spellings ---- */

static void add_base64(struct sp_buf *out, struct sp_slice line, enum sp_pem_safe safe)
{
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        if (safe == SP_PEM_UNRESERVED && (c == '+' || c == '/' || c == '='))
            sp_buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
        else
            sp_buf_add_char(out, c);
    }
}

void sp_headers_add_pem(struct sp_buf *out, struct sp_slice base64, enum sp_pem_safe safe)
{
    sp_buf_add_str(out, "-----BEGIN%20CERTIFICATE-----%0A");
    for (size_t at = 0; at < base64.len; at += PEM_LINE) {
        size_t end = base64.len - at > PEM_LINE ? at + PEM_LINE : base64.len;
        add_base64(out, sp_slice_sub(base64, at, end), safe);
        sp_buf_add_str(out, "%0A");
    }
    sp_buf_add_str(out, "-----END%20CERTIFICATE-----%0A");
}

bool sp_headers_next_base64(struct sp_slice *list, struct sp_slice *base64)
{
    const char *begin = list->len > 0 ? memchr(list->ptr, ':', list->len) : NULL;
    if (begin == NULL)
        return false;
    size_t left = list->len - (size_t)(begin + 1 - list->ptr);
    const char *end = memchr(begin + 1, ':', left);
    if (end == NULL)
        return false;
    *base64 = (struct sp_slice){begin + 1, (size_t)(end - begin) - 1};
    *list = sp_slice_sub(*list, (size_t)(end + 1 - list->ptr), list->len);
    return true;
}

void sp_headers_add_dn(struct sp_buf *out, struct sp_slice dn)
{
    bool ends_blank = dn.len > 0 && dn.ptr[dn.len - 1] == ' ';

    sp_buf_add_slice(out, ends_blank ? sp_slice_sub(dn, 0, dn.len - 1) : dn);
    sp_buf_add_str(out, ends_blank ? "20" : "");
}

void sp_headers_put_dn(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice dn)
{
    struct sp_buf text = {0};

    if (dn.len == 0 || dn.ptr[dn.len - 1] != ' ') {
        sp_headers_put(w, name, dn);
        return;
    }
    sp_headers_add_dn(&text, dn);
    sp_headers_put_buf(w, name, &text);
}

void sp_headers_add_upper(struct sp_buf *out, struct sp_slice hex)
{
    for (size_t i = 0; i < hex.len; i++) {
        char c = hex.ptr[i];
        sp_buf_add_char(out, c >= 'a' && c <= 'f' ? (char)(c & ~0x20) : c);
    }
}

void sp_headers_add_time(struct sp_buf *out, int64_t unix_s)
{
    char text[SP_RFC3339_MAX];

    sp_buf_add_str(out, sp_time_rfc3339(unix_s * 1000000, false, text));
}
