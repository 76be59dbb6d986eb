/* Certificates of a chain for people and for programs. docs/verify.md has both forms. */
#include "steps.h"

#include "json.h"
#include "sallyport/base/clock.h"

void sp_step_text(
    struct sp_buf *out, const char *indent, size_t index, const struct sp_trust_step *step, bool revocation)
{
    char from[SP_RFC3339_MAX], to[SP_RFC3339_MAX];

    sp_buf_printf(out, "%s%zu. %s%s\n", indent, index,
        step->subject[0] != '\0' ? step->subject : "(no subject)", step->is_anchor ? " (anchor)" : "");
    sp_buf_printf(out, "%s   issuer %s, serial %s\n", indent, step->issuer, step->serial);
    sp_buf_printf(out, "%s   valid from %s until %s\n", indent,
        sp_time_rfc3339(step->not_before * 1000000, false, from),
        sp_time_rfc3339(step->not_after * 1000000, false, to));
    if (step->is_judged && revocation)
        sp_buf_printf(out, "%s   revocation: %s%s%s\n", indent,
            step->revocation == SP_REFUSAL_none ? "" : sp_refusal_name(step->revocation),
            step->revocation == SP_REFUSAL_none ? "" : ": ", step->detail);
}

void sp_step_json(struct sp_buf *out, const struct sp_trust_step *step, bool revocation)
{
    char time[SP_RFC3339_MAX];

    sp_json_next(out);
    sp_buf_add_char(out, '{');
    sp_json_text(out, "subject", step->subject);
    sp_json_text(out, "issuer", step->issuer);
    sp_json_text(out, "serial", step->serial);
    sp_json_text(out, "not_before", sp_time_rfc3339(step->not_before * 1000000, false, time));
    sp_json_text(out, "not_after", sp_time_rfc3339(step->not_after * 1000000, false, time));
    sp_json_bool(out, "anchor", step->is_anchor);
    sp_json_key(out, "revocation");
    if (step->is_judged && revocation) {
        sp_buf_add_char(out, '{');
        sp_json_text(
            out, "reason", step->revocation != SP_REFUSAL_none ? sp_refusal_name(step->revocation) : NULL);
        sp_json_text(out, "detail", step->detail);
        sp_buf_add_char(out, '}');
    } else {
        sp_buf_add_str(out, "null");
    }
    sp_buf_add_char(out, '}');
}
