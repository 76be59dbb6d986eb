/* Reads a line of the log, the access records or the audit records, and takes out of it what a trial asks for. Names are
 * taken apart again as x509/names.c and the log wrote them: a subject is RFC 4514, the alternative names are a list
 * "URI:...,DNS:...". What does not come apart cleanly is left out, and the explanation says what the line lacks. */
#include "log_line.h"

#include <stdio.h>

/* ---- fields ---- */

const char *sp_log_line_field(const struct sp_log_line *l, const char *key)
{
    for (size_t i = 0; i < l->count; i++) {
        if (sp_slice_equal(l->fields[i].key, sp_slice_of(key)))
            return l->fields[i].value.ptr; /* NUL-terminated in read_strings */
    }
    return NULL;
}

/* A value as a string; one that holds a NUL is left out. */
static enum sp_rc read_strings(
    struct sp_log_line *l, const struct sp_record_field *fields, size_t count, struct sp_err *err)
{
    struct sp_record_field *kept = sp_arena_alloc(&l->arena, count, sizeof(*kept));

    if (kept == NULL)
        return sp_err_set(err, "not enough memory");
    for (size_t i = 0; i < count; i++) {
        if (memchr(fields[i].value.ptr, '\0', fields[i].value.len) != NULL)
            continue;
        kept[l->count] = (struct sp_record_field){fields[i].key, sp_arena_copy(&l->arena, fields[i].value)};
        if (kept[l->count++].value.ptr == NULL)
            return sp_err_set(err, "not enough memory");
    }
    l->fields = kept;
    return SP_OK;
}

/* ---- names ---- */

/* As x509/facts.c and the log cut it. */
static bool is_cut(const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;

    return (len >= 3 && strcmp(text + len - 3, "...") == 0) || (len > 0 && strstr(text, "...[+") != NULL);
}

/* Adds "<prefix><text>"; what no certificate can hold is passed over. */
static void add(struct sp_log_line *l, const char *prefix, struct sp_slice text)
{
    struct sp_err err = {0};
    const char *both = sp_arena_printf(&l->arena, "%s%.*s", prefix, SP_FMT(text));

    if (both != NULL)
        (void)!sp_config_identity_add(&l->identity, &l->arena, sp_slice_of(both), &err);
}

static int hex_digit(char c)
{
    c = sp_lower(c);
    return sp_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 4514, section 3: a backslash before a byte, or before two hex digits. Returns what is behind the attribute. */
static size_t take_attribute(struct sp_slice dn, size_t at, struct sp_buf *type, struct sp_buf *value)
{
    struct sp_buf *into = type;

    for (; at < dn.len && dn.ptr[at] != ',' && dn.ptr[at] != '+'; at++) {
        char c = dn.ptr[at];
        if (c == '=' && into == type) {
            into = value;
            continue;
        }
        if (c == '\\' && at + 1 < dn.len) {
            int high = hex_digit(dn.ptr[at + 1]), low = at + 2 < dn.len ? hex_digit(dn.ptr[at + 2]) : -1;
            bool is_hex = high >= 0 && low >= 0;
            c = is_hex ? (char)(high << 4 | low) : dn.ptr[at + 1];
            at += is_hex ? 2 : 1;
        }
        sp_buf_add_char(into, c);
    }
    return at;
}

/* A name is written from its end; the fields are from its beginning. */
static void add_name(struct sp_log_line *l, const char *key, const char *text)
{
    enum { ATTRS_MAX = 64 };
    struct sp_slice dn = sp_slice_of(text), parts[ATTRS_MAX];
    size_t count = 0;

    for (size_t at = 0; at < dn.len && count < ATTRS_MAX; at++) {
        struct sp_buf type = {0}, value = {0};
        at = take_attribute(dn, at, &type, &value);
        const char *part = sp_arena_printf(&l->arena, "%s.%.*s=%.*s", key, (int)type.len,
            type.len > 0 ? type.ptr : "", (int)value.len, value.len > 0 ? value.ptr : "");
        sp_buf_free(&type);
        sp_buf_free(&value);
        if (part != NULL)
            parts[count++] = sp_slice_of(part);
    }
    while (count > 0)
        add(l, "", parts[--count]);
}

static void add_alternative_names(struct sp_log_line *l, const char *text)
{
    static const struct {
        struct sp_slice prefix;
        const char *field;
    } KINDS[] = {
        {{"URI:", 4}, "uri="}, {{"DNS:", 4}, "dns="}, {{"email:", 6}, "email="}, {{"IP:", 3}, "ip="}};
    struct sp_slice rest = sp_slice_of(text);

    if (rest.len >= 3 && memcmp(rest.ptr + rest.len - 3, "...", 3) == 0)
        rest.len -= 3; /* stands behind the last one that found room */
    while (rest.len > 0) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        struct sp_slice one = {rest.ptr, comma != NULL ? (size_t)(comma - rest.ptr) : rest.len};
        rest = sp_slice_sub(rest, one.len + (comma != NULL), rest.len);
        for (size_t k = 0; k < SP_COUNTOF(KINDS); k++) {
            if (sp_slice_starts(one, KINDS[k].prefix))
                add(l, KINDS[k].field, sp_slice_sub(one, KINDS[k].prefix.len, one.len));
        }
    }
}

static void read_identity(struct sp_log_line *l)
{
    const char *subject = sp_log_line_field(l, "subject"), *sans = sp_log_line_field(l, "sans");
    const char *issuer = sp_log_line_field(l, "issuer"), *serial = sp_log_line_field(l, "serial");
    const char *digest = sp_log_line_field(l, "sha256");

    l->has_names = sans != NULL;
    l->is_cut = is_cut(subject) || is_cut(issuer) || is_cut(sans);
    l->has_identity = subject != NULL || sans != NULL;
    if (subject != NULL)
        add_name(l, "subject", subject);
    if (issuer != NULL)
        add_name(l, "issuer", issuer);
    if (sans != NULL)
        add_alternative_names(l, sans);
    if (serial != NULL)
        add(l, "serial=", sp_slice_of(serial));
    if (digest != NULL)
        add(l, "fingerprint_sha256=", sp_slice_of(digest));
}

/* ---- the whole ---- */

/* Without what a journal or a syslog puts in front: up to an object, or to the ": " behind "sallyport[7]". */
static struct sp_slice without_prefix(struct sp_slice line)
{
    const char *start = line.len > 0 ? memmem(line.ptr, line.len, "{\"", 2) : NULL;
    const char *equals = line.len > 0 ? memchr(line.ptr, '=', line.len) : NULL;

    if (start == NULL && equals != NULL) {
        start = memmem(line.ptr, (size_t)(equals - line.ptr), ": ", 2);
        start = start != NULL ? start + 2 : NULL;
    }
    return start != NULL ? sp_slice_sub(line, (size_t)(start - line.ptr), line.len) : line;
}

/* A client of a unix socket has no address. */
static const char *source_of(const struct sp_log_line *l)
{
    const char *peer = sp_log_line_field(l, "peer");

    return peer != NULL && strncmp(peer, "unix:", 5) != 0 ? peer : NULL;
}

/* As it came: rewritten anew, if it was. Of a connection in mode tcp there is nothing but its name. */
static void read_request(struct sp_log_line *l)
{
    const char *mode = sp_log_line_field(l, "mode"), *before = sp_log_line_field(l, "rewritten_from");

    l->asked.host = sp_log_line_field(l, "host");
    l->asked.method = sp_log_line_field(l, "method");
    l->asked.path = before != NULL ? before : sp_log_line_field(l, "path");
    l->asked.upgrade = sp_log_line_field(l, "upgrade");
    l->has_request = l->asked.method != NULL && l->asked.path != NULL;
    if (mode != NULL && strcmp(mode, "tcp") == 0) {
        l->asked.host = l->asked.method = l->asked.path = l->asked.upgrade = NULL;
        l->has_request = true;
    }
}

/* Is it about a client, and do we know what is said of it? */
static enum sp_rc judge_event(const struct sp_log_line *l, struct sp_err *err)
{
    static const char *const EVENTS[] = {"access", "decision", "refused", "session_ended"};
    const char *reason = sp_log_line_field(l, "reason");
    bool known = false;

    if (l->event == NULL)
        return sp_err_set(
            err, "expected a line of the log, access or audit stream: this one has no \"event\"");
    for (size_t i = 0; i < SP_COUNTOF(EVENTS); i++)
        known = known || strcmp(l->event, EVENTS[i]) == 0;
    if (!known)
        return sp_err_set(err,
            "expected an event access, decision, refused or session_ended, found \"%s\": it is about no client",
            l->event);
    if (reason != NULL && l->reason == SP_REFUSAL_none)
        return sp_err_set(err, "there is no reason \"%s\": see docs/refusals.md", reason);
    return SP_OK;
}

enum sp_rc sp_log_line_read(struct sp_log_line *out, struct sp_slice line, struct sp_err *err)
{
    const struct sp_record_field *fields;
    size_t count;

    *out = (struct sp_log_line){.reason = SP_REFUSAL_none};
    sp_arena_init(&out->arena, 0);
    if (sp_record_parse(&out->arena, without_prefix(line), &fields, &count, err) != SP_OK ||
        read_strings(out, fields, count, err) != SP_OK)
        return SP_FAIL;
    out->event = sp_log_line_field(out, "event");
    out->reason = sp_reason_of(sp_log_line_field(out, "reason"));
    read_identity(out);
    out->asked = (struct sp_try){.listener = sp_log_line_field(out, "listener"),
        .sni = sp_log_line_field(out, "sni"),
        .source = source_of(out),
        .now = INT64_MAX,
        .identity = out->has_identity ? &out->identity : NULL};
    if (out->asked.sni == NULL)
        out->asked.sni = "";
    read_request(out);
    return judge_event(out, err);
}

void sp_log_line_free(struct sp_log_line *l)
{
    sp_arena_free(&l->arena);
}
