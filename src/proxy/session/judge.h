/* Whether a session that is open may stay, by what is in force now. Private to `proxy`. */
#ifndef SP_SRC_PROXY_JUDGE_H
#define SP_SRC_PROXY_JUDGE_H

#include "proxy/proxy_impl.h"

/* Starts as "may stay" (SP_REFUSAL_none). */
struct sp_judgement {
    enum sp_refusal reason;
    char detail[256];
};

/* NULL where there is nothing to tell, or no memory: the reason must do then. */
char *sp_detail_copy(const char *detail);

/* Verdicts of one walk: many sessions of one client share an identity, which is judged once. Holds
 * references. */
struct sp_memo;
SP_MUST_USE struct sp_memo *sp_memo_new(
    size_t sessions);                    /* NULL without memory: everybody is then judged by himself */
void sp_memo_free(struct sp_memo *memo); /* takes NULL */

/* By the worker's present view: the client, if the trust that it is judged by has changed since (or `anew`),
 * and the exchange in flight, if the rules have. `memo` may be NULL. */
void sp_judge(struct sp_session *s, struct sp_memo *memo, int64_t now_s, bool anew, struct sp_judgement *out);
/* By the clock alone: the end of its chain, or of its age. */
void sp_judge_clock(const struct sp_session *s, int64_t now_s, struct sp_judgement *out);

#endif
