/* What `explain --log` says of the line itself, before what the present file makes of it: what the log says became of the
 * client, what can be done about it, and what the line does not tell. A line is tried again only where what it lacks cannot
 * turn the answer: what seems to be in order for want of a field would be a lie. */
#include "json.h"
#include "log_line.h"

/* ---- can it be tried? ---- */

static bool is_one_of(enum sp_refusal reason, const enum sp_refusal *reasons, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (reasons[i] == reason)
            return true;
    }
    return false;
}

/* Tried without the fields, such a request would seem to be in order. */
static bool lies_in_the_head(enum sp_refusal reason)
{
    static const enum sp_refusal HEAD[] = {SP_REFUSAL_bad_header, SP_REFUSAL_bad_header_name,
        SP_REFUSAL_bad_framing, SP_REFUSAL_bad_expectation, SP_REFUSAL_protected_header,
        SP_REFUSAL_unsupported_coding, SP_REFUSAL_header_too_large, SP_REFUSAL_body_too_large,
        SP_REFUSAL_ambiguous_header, SP_REFUSAL_upgrade_not_allowed, SP_REFUSAL_request_loop};

    return is_one_of(reason, HEAD, SP_COUNTOF(HEAD));
}

/* A log holds what was understood of a request, not what was not. */
static bool lies_in_the_line(enum sp_refusal reason)
{
    static const enum sp_refusal LINE[] = {SP_REFUSAL_bad_request_line, SP_REFUSAL_bad_host,
        SP_REFUSAL_bad_target, SP_REFUSAL_http_version, SP_REFUSAL_bad_chunk, SP_REFUSAL_request_timeout,
        SP_REFUSAL_client_gone};

    return is_one_of(reason, LINE, SP_COUNTOF(LINE));
}

const char *sp_log_line_untriable(const struct sp_log_line *l, const struct sp_try *given)
{
    bool by_certificate = given->cert != NULL;

    char when = l->reason != SP_REFUSAL_none ? sp_refusal_when(l->reason) : 'R';

    if (when != 'R' && when != 'U' && !by_certificate)
        return l->has_request
                   ? "it is about the certificate, of which the line does not tell enough: give it with --cert"
                   : "it is about the connection and not about a request: to judge the client's certificate by the "
                     "present file, give it with --cert";
    if (lies_in_the_head(l->reason) && given->header_count == 0)
        return "what was wrong stands in header fields or a body, which the line does not tell: give the fields with "
               "--header";
    if (lies_in_the_line(l->reason))
        return "what was wrong is not in the line as it came; the detail says it";
    if (!l->has_request && !by_certificate)
        return "it does not say what was asked";
    if (l->asked.path != NULL && strstr(l->asked.path, "...[+") != NULL)
        return "its path is cut";
    return NULL;
}

/* ---- what it lacks ---- */

#define NOTES_MAX 5

/* What the line does not tell, a sentence each. Returns how many. */
static size_t notes_of(const struct sp_log_line *l, const struct sp_try *given, const char *notes[NOTES_MAX])
{
    bool by_line = l->has_identity && given->cert == NULL;
    size_t n = 0;

    notes[n++] =
        given->header_count > 0
            ? "the line does not say which query the request had: it is tried without"
            : "the line does not say which header fields and which query the request had: it is tried without; "
              "--header gives fields";
    if (by_line && !l->has_names)
        notes[n++] =
            "the line does not say which names (subjectAltName) the certificate has: a caller by uri, dns, email or ip "
            "cannot be found; give --cert";
    if (by_line && l->is_cut)
        notes[n++] = "the line does not say all names of the certificate, it is cut: give --cert";
    if (by_line)
        notes[n++] =
            "the line does not say which key, policies and qualified statements the certificate has: a caller by those "
            "cannot be found; give --cert";
    if (l->reason == SP_REFUSAL_caller_rate || l->reason == SP_REFUSAL_caller_requests)
        notes[n++] = "how much was asked at that time is not counted here: the limits are only shown";
    return n;
}

/* ---- what it says ---- */

struct said {
    const char *reason, *meaning, *detail, *advice; /* NULL: none */
};

static void add_text(struct sp_buf *out, const struct said *said, const char *why_not)
{
    const char *const lines[] = {said->meaning, said->detail, said->advice};

    sp_buf_printf(out, "the log says that it was %s%s\n", said->reason != NULL ? "refused: " : "let through",
        said->reason != NULL ? said->reason : "");
    for (size_t i = 0; i < SP_COUNTOF(lines); i++) {
        if (lines[i] != NULL)
            sp_buf_printf(out, "  %s\n", lines[i]);
    }
    if (why_not != NULL)
        sp_buf_printf(out, "the line cannot be tried again: %s\n", why_not);
    else
        sp_buf_add_str(out, "by the present file\n");
}

static void add_json(
    struct sp_buf *out, const struct sp_log_line *l, const struct said *said, const char *why_not)
{
    sp_json_text(out, "event", l->event);
    sp_json_text(out, "time", sp_log_line_field(l, "time"));
    sp_json_text(out, "reason", said->reason);
    sp_json_text(out, "meaning", said->meaning);
    sp_json_text(out, "detail", said->detail);
    sp_json_text(out, "advice", said->advice);
    sp_json_text(out, "rule", sp_log_line_field(l, "rule"));
    sp_json_text(out, "not_tried", why_not);
}

void sp_log_line_account(struct sp_buf *out, const struct sp_log_line *l, const struct sp_try *given,
    const char *why_not, bool json)
{
    bool refused = l->reason != SP_REFUSAL_none;
    const struct said said = {refused ? sp_refusal_name(l->reason) : NULL,
        refused ? sp_refusal_meaning(l->reason) : NULL, sp_log_line_field(l, "detail"),
        sp_advice_of(l->reason)};
    const char *notes[NOTES_MAX];
    size_t note_count = why_not == NULL ? notes_of(l, given, notes) : 0;

    if (!json) {
        add_text(out, &said, why_not);
        for (size_t i = 0; i < note_count; i++)
            sp_buf_printf(out, "note        %s\n", notes[i]);
        return;
    }
    sp_json_key(out, "log");
    sp_buf_add_char(out, '{');
    add_json(out, l, &said, why_not);
    sp_json_key(out, "notes");
    sp_buf_add_char(out, '[');
    for (size_t i = 0; i < note_count; i++) {
        sp_json_next(out);
        sp_json_string(out, sp_slice_of(notes[i]));
    }
    sp_buf_add_str(out, "]}");
}
