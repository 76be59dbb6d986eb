/* A line of the proxy's log, as a program and as a person reads it. The proxy writes flat JSON objects of
 * strings and numbers whose values are escaped down to printable ASCII; the escapes are left standing, so
 * whatever a client put into its certificate or request reaches the terminal as harmless as it reached the log. */
#include "demo_impl.h"

/* ---- reading ---- */

/* A string at the front of *in, which moves behind it. */
static bool take_string(struct sp_slice *in, struct sp_slice *out)
{
    size_t i = 1;

    if (in->len == 0 || in->ptr[0] != '"')
        return false;
    while (i < in->len && in->ptr[i] != '"')
        i += in->ptr[i] == '\\' ? 2 : 1;
    if (i >= in->len)
        return false;
    *out = sp_slice_sub(*in, 1, i);
    *in = sp_slice_sub(*in, i + 1, in->len);
    return true;
}

static bool take_value(struct sp_slice *in, struct sp_slice *out)
{
    size_t i = 0;

    if (in->len > 0 && in->ptr[0] == '"')
        return take_string(in, out);
    while (i < in->len && in->ptr[i] != ',' && in->ptr[i] != '}')
        i++;
    *out = sp_slice_sub(*in, 0, i);
    *in = sp_slice_sub(*in, i, in->len);
    return i > 0;
}

static bool take_char(struct sp_slice *in, char c)
{
    if (in->len == 0 || in->ptr[0] != c)
        return false;
    *in = sp_slice_sub(*in, 1, in->len);
    return true;
}

bool sp_demo_line_parse(struct sp_slice text, struct sp_demo_line *out)
{
    out->count = 0;
    if (!take_char(&text, '{'))
        return false;
    do {
        struct sp_demo_field f;
        if (!take_string(&text, &f.key) || !take_char(&text, ':') || !take_value(&text, &f.value))
            return false;
        if (out->count < SP_COUNTOF(out->fields))
            out->fields[out->count++] = f;
    } while (take_char(&text, ','));
    return take_char(&text, '}');
}

struct sp_slice sp_demo_line_get(const struct sp_demo_line *l, const char *key)
{
    for (size_t i = 0; i < l->count; i++) {
        if (sp_slice_equal(l->fields[i].key, sp_slice_of(key)))
            return l->fields[i].value;
    }
    return (struct sp_slice){NULL, 0};
}

bool sp_demo_line_is(const struct sp_demo_line *l, const char *key, const char *value)
{
    struct sp_slice is = sp_demo_line_get(l, key);

    return is.ptr != NULL && sp_slice_equal(is, sp_slice_of(value));
}

bool sp_demo_line_is_access(const struct sp_demo_line *l)
{
    return sp_demo_line_is(l, "event", "access");
}

/* ---- writing ---- */

#define WIDTH 100

/* Which fields of a line come first, as values alone, and which follow with their names. NULL ends a list;
 * without `then`, all that are left follow. */
static const struct shape {
    const char *event;
    const char *first[4], *then[8];
} SHAPES[] = {
    {"access", {"status", "mode", "method", "path"},
        {"rewritten_from", "tries", "reason", "caller", "rule", "subject", "detail"}},
    {"refused", {"event"}, {"reason", "subject", "issuer", "detail"}},
    {"session_ended", {"event"}, {"reason", "subject", "age_s", "requests", "cut", "detail"}},
};
static const struct shape OTHERS = {"", {"event"}, {NULL}};

static const struct shape *shape_of(const struct sp_demo_line *l)
{
    for (size_t i = 0; i < SP_COUNTOF(SHAPES); i++) {
        if (sp_demo_line_is(l, "event", SHAPES[i].event))
            return &SHAPES[i];
    }
    return &OTHERS;
}

struct writer {
    struct sp_buf *out;
    const struct sp_demo_folder *folder;
    size_t line_at; /* where the present line of `out` begins */
};

/* The value, without the folder in front of a file's name. */
static void add_value(struct writer *w, struct sp_slice value)
{
    size_t len = strlen(w->folder->path);
    const char *at;

    while (len > 0 && (at = memmem(value.ptr, value.len, w->folder->path, len)) != NULL) {
        size_t before = (size_t)(at - value.ptr), behind = before + len;
        if (behind < value.len && value.ptr[behind] == '/')
            behind++;
        sp_buf_add(w->out, value.ptr, before);
        value = sp_slice_sub(value, behind, value.len);
    }
    sp_buf_add_slice(w->out, value);
}

static void add_named(struct writer *w, struct sp_slice key, struct sp_slice value)
{
    const char *quote = value.len == 0 || memchr(value.ptr, ' ', value.len) != NULL ? "\"" : "";

    if (w->out->len - w->line_at + key.len + value.len + 5 > WIDTH) {
        sp_buf_add_char(w->out, '\n');
        w->line_at = w->out->len;
    } else {
        sp_buf_add_str(w->out, "  ");
    }
    sp_buf_printf(w->out, "%.*s=%s", SP_FMT(key), quote);
    add_value(w, value);
    sp_buf_add_str(w->out, quote);
}

static void add_rest(struct writer *w, const struct sp_demo_line *l)
{
    for (size_t i = 0; i < l->count; i++) {
        struct sp_slice key = l->fields[i].key;
        if (!sp_slice_equal(key, SP_SLICE("time")) && !sp_slice_equal(key, SP_SLICE("level")) &&
            !sp_slice_equal(key, SP_SLICE("event")))
            add_named(w, key, l->fields[i].value);
    }
}

void sp_demo_line_format(
    const struct sp_demo_line *l, const struct sp_demo_folder *folder, struct sp_buf *out)
{
    const struct shape *shape = shape_of(l);
    struct writer w = {.out = out, .folder = folder, .line_at = out->len};

    for (size_t i = 0; i < SP_COUNTOF(shape->first) && shape->first[i] != NULL; i++) {
        struct sp_slice value = sp_demo_line_get(l, shape->first[i]);
        if (value.ptr != NULL)
            sp_buf_printf(out, "%s%.*s", out->len > w.line_at ? " " : "", SP_FMT(value));
    }
    if (shape->then[0] == NULL)
        add_rest(&w, l);
    for (size_t i = 0; i < SP_COUNTOF(shape->then) && shape->then[i] != NULL; i++) {
        struct sp_slice value = sp_demo_line_get(l, shape->then[i]);
        if (value.ptr != NULL)
            add_named(&w, sp_slice_of(shape->then[i]), value);
    }
}
