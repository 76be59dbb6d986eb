/* A line of the log as a try: who came and what was asked, as far as the line says. Not a door. */
#ifndef SP_CLI_LOG_LINE_H
#define SP_CLI_LOG_LINE_H

#include "sallyport/config/cases.h"
#include "trial.h"

struct sp_log_line {
    struct sp_arena arena;
    const struct sp_record_field *fields;
    size_t count;
    const char *event;      /* "access", "decision", "refused" or "session_ended" */
    enum sp_refusal reason; /* none: it was not refused */
    struct sp_config_identity identity;
    bool has_identity, has_names; /* a subject; alternative names */
    bool is_cut;                  /* a name, or the list of them, found no room in the line */
    bool has_request;             /* method and path, or that it was a connection in mode tcp */
    struct sp_try asked;          /* of these, without `now`; borrows the rest */
};

/* SP_FAIL: `err` says what is wrong with the line. To be freed in any case. */
SP_MUST_USE enum sp_rc sp_log_line_read(struct sp_log_line *out, struct sp_slice line, struct sp_err *err);
void sp_log_line_free(struct sp_log_line *l);
/* The field's text, or NULL. */
const char *sp_log_line_field(const struct sp_log_line *l, const char *key);

/* Why the line cannot be tried again with what is `given` beside it (cert, headers), or NULL. */
const char *sp_log_line_untriable(const struct sp_log_line *l, const struct sp_try *given);
/* What the line says, as text or as the member "log" of an object; `why_not` as above. */
void sp_log_line_account(struct sp_buf *out, const struct sp_log_line *l, const struct sp_try *given,
    const char *why_not, bool json);

/* The reason of that word; SP_REFUSAL_none: there is none. Takes NULL. */
enum sp_refusal sp_reason_of(const char *word);
/* What an operator can do about a refusal, a sentence; NULL: nothing that would be true of every case. */
const char *sp_advice_of(enum sp_refusal reason);

#endif
