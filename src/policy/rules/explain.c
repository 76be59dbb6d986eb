/* Why a decision came out as it did: every condition of every rule is asked what deciding asks, and those that do not hold
 * say what they wanted and what they found.
 *
 * Cost is no matter here. All texts of one account are in one buffer, written before the account is handed out. */
#include "sallyport/policy/explain.h"

#include <stdlib.h>

#include "policy/rules/conditions.h"
#include "sallyport/http/path.h"

struct text {
    struct sp_buf bytes; /* NUL-terminated strings, one behind the other */
    struct sp_miss misses[SP_CONDITIONS_COUNT];
    size_t wanted[SP_CONDITIONS_COUNT], found[SP_CONDITIONS_COUNT]; /* where they begin */
    size_t count;
};

static void write_misses(const struct sp_rule *r, const struct sp_facts *f, struct text *t)
{
    t->count = 0;
    sp_buf_reset(&t->bytes);
    for (size_t i = 0; i < SP_CONDITIONS_COUNT; i++) {
        if ((r->given >> i & 1) == 0 || sp_conditions[i].holds(r, f))
            continue;
        t->misses[t->count].condition = sp_conditions[i].key;
        t->wanted[t->count] = t->bytes.len;
        sp_conditions[i].wanted(r, f, &t->bytes);
        (void)sp_buf_add_char(&t->bytes, '\0');
        t->found[t->count] = t->bytes.len;
        sp_conditions[i].found(r, f, &t->bytes);
        (void)sp_buf_add_char(&t->bytes, '\0');
        t->count++;
    }
    for (size_t i = 0; i < t->count && !t->bytes.failed; i++) {
        t->misses[i].wanted = t->bytes.ptr + t->wanted[i];
        t->misses[i].found = t->bytes.ptr + t->found[i];
    }
}

static size_t count_misses(const struct sp_rule *r, const struct sp_facts *f)
{
    size_t count = 0;
    for (size_t i = 0; i < SP_CONDITIONS_COUNT; i++)
        count += (r->given >> i & 1) != 0 && !sp_conditions[i].holds(r, f);
    return count;
}

struct teller {
    const struct sp_facts *facts;
    const struct sp_decision *decision;
    struct text text;
    void (*each)(void *arg, const struct sp_rule_account *account);
    void *arg;
};

static enum sp_rc tell(struct teller *t, size_t rule)
{
    const struct sp_rule *r = &t->facts->policy->rules[rule];

    write_misses(r, t->facts, &t->text);
    if (t->text.bytes.failed)
        return SP_FAIL;
    const struct sp_rule_account account = {.rule = rule,
        .name = r->config->name,
        .matches = t->text.count == 0,
        .decides = rule == t->decision->rule,
        .misses = t->text.misses,
        .miss_count = t->text.count};
    t->each(t->arg, &account);
    return SP_OK;
}

/* The rule that decides, and those in report mode that matched before it. */
static enum sp_rc tell_what_counted(struct teller *t, const uint8_t *missed, size_t end)
{
    const struct sp_policy *p = t->facts->policy;
    enum sp_rc rc = t->decision->rule != SP_NONE ? tell(t, t->decision->rule) : SP_OK;
    for (size_t i = 0; i < end && rc == SP_OK; i++) {
        if (missed[i] == 0 && p->rules[i].reports)
            rc = tell(t, i);
    }
    return rc;
}

static enum sp_rc tell_nearest(struct teller *t, const uint8_t *missed, size_t end, size_t nearest)
{
    const struct sp_policy *p = t->facts->policy;
    enum sp_rc rc = SP_OK;
    for (size_t misses = 0; misses <= SP_CONDITIONS_COUNT; misses++) {
        for (size_t i = 0; i < p->rule_count && nearest > 0 && rc == SP_OK; i++) {
            bool told = i == t->decision->rule || (misses == 0 && i < end && p->rules[i].reports);
            if (missed[i] != misses || told)
                continue;
            rc = tell(t, i);
            nearest--;
        }
    }
    return rc;
}

enum sp_rc sp_policy_explain(const struct sp_standing *s, const struct sp_connection *c,
    const struct sp_policy_request *request, size_t nearest,
    void (*each)(void *arg, const struct sp_rule_account *account), void *arg)
{
    const struct sp_policy *p = s->policy;
    struct sp_decision decision;
    struct sp_facts facts;
    struct teller t = {.facts = &facts, .decision = &decision, .each = each, .arg = arg};
    uint8_t *missed = sp_alloc(p->rule_count + 1, sizeof *missed);

    char *path = sp_alloc(request->path.len + 1, 3);
    enum sp_rc rc = missed != NULL && path != NULL ? SP_OK : SP_FAIL;

    if (rc != SP_OK)
        goto out;
    sp_policy_decide(s, request, &decision);
    sp_facts_of_connection(&facts, p, c, s->callers);
    facts.request = request;
    facts.path = sp_path_canonical(request->path, false, path);
    /* refused before any rule: there is none that counted */
    bool is_asked = sp_facts_see_headers(&facts) == SP_NONE && s->unfit == SP_REFUSAL_none;
    size_t end = !is_asked ? 0 : decision.rule != SP_NONE ? decision.rule : p->rule_count;
    for (size_t i = 0; i < p->rule_count; i++)
        missed[i] = (uint8_t)count_misses(&p->rules[i], &facts);
    rc = tell_what_counted(&t, missed, end);
    if (rc == SP_OK)
        rc = tell_nearest(&t, missed, end, nearest);
out:
    sp_buf_free(&t.text.bytes);
    sp_free(path);
    sp_free(missed);
    return rc;
}

/* ---- one caller ---- */

/* A miss's place in the buffer of its texts: that one may still move. */
struct caller_miss {
    size_t condition, wanted, found;
};

struct caller_text {
    struct sp_buf bytes, misses;
};

static void add_caller_miss(void *arg, const char *condition, const char *wanted, const char *found)
{
    struct caller_text *t = arg;
    struct caller_miss miss = {.condition = t->bytes.len};

    (void)sp_buf_add(&t->bytes, condition, strlen(condition) + 1);
    miss.wanted = t->bytes.len;
    (void)sp_buf_add(&t->bytes, wanted, strlen(wanted) + 1);
    miss.found = t->bytes.len;
    (void)sp_buf_add(&t->bytes, found, strlen(found) + 1);
    (void)sp_buf_add(&t->misses, &miss, sizeof miss);
}

enum sp_rc sp_policy_explain_caller(const struct sp_policy *p, const struct sp_connection *c, size_t caller,
    void (*each)(void *arg, const struct sp_caller_account *account), void *arg)
{
    struct caller_text text = {0};
    struct sp_caller_account account = {.caller = caller, .name = p->config->callers[caller].name};
    struct sp_miss *misses = NULL;
    enum sp_rc rc = sp_callers_explain(
        p->callers, c->identity, (uint32_t)caller, &account.entry, &account.is_one, add_caller_miss, &text);

    if (rc != SP_OK || text.bytes.failed || text.misses.failed) {
        rc = SP_FAIL;
        goto out;
    }
    account.miss_count = text.misses.len / sizeof(struct caller_miss);
    misses = sp_alloc(account.miss_count + 1, sizeof *misses);
    if (misses == NULL) {
        rc = SP_FAIL;
        goto out;
    }
    for (size_t i = 0; i < account.miss_count; i++) {
        struct caller_miss miss;
        memcpy(&miss, text.misses.ptr + i * sizeof miss, sizeof miss);
        misses[i] = (struct sp_miss){
            text.bytes.ptr + miss.condition, text.bytes.ptr + miss.wanted, text.bytes.ptr + miss.found};
    }
    account.misses = misses;
    each(arg, &account);
out:
    sp_free(misses);
    sp_buf_free(&text.bytes);
    sp_buf_free(&text.misses);
    return rc;
}
