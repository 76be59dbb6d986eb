/* What operators are told of a source: a failure once for each cause and then once an hour, so that a server that is down
 * for a night does not fill the log; success when something has changed. */
#include <stdio.h>

#include "fetch_plan.h"
#include "fetch_source.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/text.h"

#define TELL_AGAIN_MS ((uint64_t)3600 * 1000)

struct sp_slice sp_fetch_shown(const char *url)
{
    return (struct sp_slice){url, strcspn(url, "?")};
}

void sp_fetch_tell_failure(
    struct sp_fetch_source *s, struct sp_logger *logger, const char *cause, uint64_t next_ms)
{
    char span[SP_SPAN_MAX], in_force[SP_FETCH_WHAT + 64];
    uint64_t now_ms = sp_mono_ms();
    bool is_good = s->has_copy && sp_wall_s() < s->until;
    bool is_news = s->cause[0] == '\0' || !sp_fetch_is_same_cause(s->cause, cause) ||
                   s->told_status != s->job.status || s->told_good != is_good ||
                   now_ms - s->told_at_ms >= TELL_AGAIN_MS;

    if (!s->has_copy)
        snprintf(in_force, sizeof(in_force), "nothing: there is no good copy yet");
    else
        snprintf(in_force, sizeof(in_force), "the copy that is kept%s: %s",
            is_good ? "" : ", which has ended", s->what);
    struct sp_log_field fields[] = {SP_LOG_S("url", sp_fetch_shown(s->url)), SP_LOG_C("file", s->file),
        SP_LOG_C("cause", cause), SP_LOG_C("in_force", in_force), SP_LOG_N("failures", s->failures),
        SP_LOG_C("next_try_in", sp_format_span_s((int64_t)(next_ms + 500) / 1000, span))};
    enum sp_log_level level = is_good ? SP_LOG_WARN : SP_LOG_ERROR;
    sp_log_event(logger, is_news ? level : SP_LOG_DEBUG, "fetch_failed", fields, SP_COUNTOF(fields));
    if (!is_news)
        return;
    snprintf(s->cause, sizeof(s->cause), "%s", cause);
    s->told_at_ms = now_ms;
    s->told_status = s->job.status;
    s->told_good = is_good;
}

void sp_fetch_tell_success(
    const struct sp_fetch_source *s, struct sp_logger *logger, bool is_new, bool recovers, uint64_t next_ms)
{
    char span[SP_SPAN_MAX];
    struct sp_log_field fields[] = {SP_LOG_S("url", sp_fetch_shown(s->url)), SP_LOG_C("file", s->file),
        SP_LOG_C("copy", s->what),
        SP_LOG_C("next_look_in", sp_format_span_s((int64_t)(next_ms + 500) / 1000, span))};

    sp_log_event(logger, is_new || recovers ? SP_LOG_INFO : SP_LOG_DEBUG,
        is_new ? "fetched" : "fetch_unchanged", fields, SP_COUNTOF(fields));
}
