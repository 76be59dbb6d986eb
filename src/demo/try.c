/* --run-once: tries each case against the running proxy and says how it came out: what was asked, what came
 * back, and the line of the proxy's log that says why, found by the address that the request came from. A case
 * passes only if all of them are as they should. */
#include "demo_impl.h"
#include "sallyport/base/clock.h"

#define LOG_WAIT_MS 10000

struct trial {
    struct sp_demo_stage *stage;
    const struct sp_demo_case *c;
    struct sp_demo_answer answer;
    struct sp_demo_line line; /* empty: none came */
    struct sp_buf wrong;      /* what differs, a line each */
};

/* ---- what happened ---- */

static bool is_about(const struct sp_demo_line *l, const char *peer)
{
    return sp_demo_line_is(l, "peer", peer) &&
           (sp_demo_line_is_access(l) || sp_demo_line_is(l, "event", "refused"));
}

/* SP_EOF: told to stop, or the proxy is gone. `t->line` lives until the next line is read. */
static enum sp_rc find_line(struct trial *t)
{
    uint64_t deadline = sp_mono_ms() + LOG_WAIT_MS;
    struct sp_slice text = {NULL, 0};

    for (;;) {
        uint64_t now = sp_mono_ms();
        enum sp_demo_heard heard =
            sp_demo_child_hear(&t->stage->child, now < deadline ? (int64_t)(deadline - now) : 0, &text);
        if (heard == SP_DEMO_LINE) {
            if (sp_demo_line_parse(text, &t->line) && is_about(&t->line, t->answer.local))
                return SP_OK;
            continue;
        }
        t->line.count = 0;
        if (heard == SP_DEMO_ENDED)
            fprintf(stderr, "sallyport demo: the proxy has ended\n");
        if (heard != SP_DEMO_LATE)
            return SP_EOF;
        sp_buf_printf(&t->wrong, "the proxy's log says nothing about it within %d s\n", LOG_WAIT_MS / 1000);
        return SP_OK;
    }
}

/* ---- what should have happened ---- */

static void judge_number(struct trial *t, const char *what, unsigned is, unsigned should)
{
    if (is != should)
        sp_buf_printf(&t->wrong, "%s: %u, should be %u\n", what, is, should);
}

static void judge_word(struct trial *t, const char *key, const char *should)
{
    struct sp_slice is = sp_demo_line_get(&t->line, key);

    if (is.ptr == NULL && should == NULL)
        return;
    if (is.ptr == NULL || should == NULL || !sp_slice_equal(is, sp_slice_of(should)))
        sp_buf_printf(&t->wrong, "%s in the log: %.*s, should be %s\n", key, is.ptr != NULL ? (int)is.len : 4,
            is.ptr != NULL ? is.ptr : "none", should != NULL ? should : "none");
}

static bool contains(struct sp_slice text, const char *part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static void judge(struct trial *t)
{
    const struct sp_demo_case *c = t->c;
    struct sp_slice body = sp_buf_slice(&t->answer.body);

    judge_number(t, "TLS alert", t->answer.alert, c->alert);
    judge_number(t, "status", t->answer.status, c->status);
    if (t->line.count > 0) {
        judge_word(t, "reason", c->reason);
        judge_word(t, "rule", c->rule);
        if (c->reason != NULL && sp_demo_line_get(&t->line, "endpoint").ptr != NULL)
            sp_buf_printf(&t->wrong, "it was refused, but reached the backend\n");
    }
    if (c->seen != NULL && !contains(body, c->seen))
        sp_buf_printf(&t->wrong, "the backend did not receive: %.*s\n", (int)strcspn(c->seen, "\n"), c->seen);
    if (c->unseen != NULL && contains(body, c->unseen))
        sp_buf_printf(&t->wrong, "the backend received: %s\n", c->unseen);
}

/* ---- what is printed ---- */

/* Each line of `text` behind the label or below it. */
static void print_lines(const char *label, struct sp_slice text)
{
    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
        if (len > 0 || label[0] != '\0')
            printf("   %-9s %.*s\n", label, (int)len, text.ptr);
        else
            putchar('\n');
        text = sp_slice_sub(text, end != NULL ? len + 1 : len, text.len);
        label = "";
    }
}

static void print_title(const struct sp_demo_stage *s, size_t number, const char *title, bool good)
{
    printf("%s%2zu %-72s%s %s%s%s\n", s->bold, number, title, s->off, good ? s->green : s->red,
        good ? "ok" : "DIFFERS", s->off);
}

static void print_request(const struct sp_demo_case *c)
{
    if (c->plain)
        printf("   %-9s %s %s over plain HTTP\n", "request", c->method, c->path);
    else if (c->who == NULL)
        printf("   %-9s %s %s without a certificate\n", "request", c->method, c->path);
    else
        printf("   %-9s %s %s with %s.pem\n", "request", c->method, c->path, c->who);
    if (c->header != NULL)
        printf("   %-9s %s\n", "", c->header);
}

static void print_answer(const struct sp_demo_answer *a)
{
    if (a->alert != 0)
        printf("   %-9s TLS alert %u, %s\n", "answer", a->alert, sp_demo_alert_name(a->alert));
    if (a->status == 0)
        return;
    printf("   %-9s %u %.*s\n", "answer", a->status, SP_FMT(a->phrase));
    print_lines("", sp_buf_slice(&a->body));
}

static void print_trial(const struct trial *t, size_t number)
{
    const struct sp_demo_stage *s = t->stage;
    struct sp_buf text = {0};
    bool good = t->wrong.len == 0 && !t->wrong.failed;

    print_title(s, number, t->c->title, good);
    print_request(t->c);
    print_answer(&t->answer);
    if (t->line.count > 0) {
        sp_demo_line_format(&t->line, &s->folder, &text);
        print_lines("log", sp_buf_slice(&text));
    }
    print_lines("differs", sp_buf_slice(&t->wrong));
    putchar('\n');
    fflush(stdout);
    sp_buf_free(&text);
}

/* SP_FAIL: it came out otherwise than it should. SP_EOF: there is no going on. */
static enum sp_rc try_one(struct sp_demo_stage *s, const struct sp_demo_case *c, size_t number)
{
    struct trial t = {.stage = s, .c = c};
    struct sp_err err = {0};
    enum sp_rc rc = SP_OK;

    if (sp_demo_ask(&s->folder, &s->proxy, c, &t.answer, &err) != SP_OK)
        sp_buf_printf(&t.wrong, "no answer: %s\n", err.text);
    if (t.answer.local[0] != '\0')
        rc = find_line(&t);
    if (rc == SP_OK) {
        judge(&t);
        print_trial(&t, number);
        rc = t.wrong.len == 0 && !t.wrong.failed ? SP_OK : SP_FAIL;
    }
    sp_demo_answer_free(&t.answer);
    sp_buf_free(&t.wrong);
    return rc;
}

/* ---- the metrics ---- */

#define REFUSALS "sallyport_refusals_total{reason=\""

/* The page's line of that reason, without its end; absent when it counts none. */
static struct sp_slice count_line(struct sp_slice page, const char *reason)
{
    char start[128];
    int len = snprintf(start, sizeof(start), REFUSALS "%s\"} ", reason);
    const char *at = page.len > 0 ? memmem(page.ptr, page.len, start, (size_t)len) : NULL;
    const char *end = at != NULL ? memchr(at, '\n', (size_t)(page.ptr + page.len - at)) : NULL;

    if (end == NULL || at[len] == '0')
        return (struct sp_slice){NULL, 0};
    return (struct sp_slice){at, (size_t)(end - at)};
}

static enum sp_rc try_metrics(struct sp_demo_stage *s)
{
    static const struct sp_demo_case PAGE = {
        .title = "each refusal is counted by its reason", .method = "GET", .path = "/metrics", .plain = true};
    struct sp_demo_answer answer;
    struct sp_err err = {0};
    struct sp_buf lines = {0}, wrong = {0};
    size_t count;
    const struct sp_demo_case *cases = sp_demo_cases(&count);

    if (sp_demo_ask(&s->folder, &s->admin, &PAGE, &answer, &err) != SP_OK)
        sp_buf_printf(&wrong, "no answer: %s\n", err.text);
    for (size_t i = 0; i < count; i++) {
        if (cases[i].reason == NULL)
            continue;
        struct sp_slice line = count_line(sp_buf_slice(&answer.body), cases[i].reason);
        if (line.ptr != NULL)
            sp_buf_printf(&lines, "%.*s\n", SP_FMT(line));
        else
            sp_buf_printf(&wrong, "%s is not counted\n", cases[i].reason);
    }
    bool good = wrong.len == 0 && !wrong.failed && !lines.failed;
    print_title(s, count + 1, PAGE.title, good);
    printf("   %-9s GET /metrics of the admin listener\n", "request");
    print_lines("answer", sp_buf_slice(&lines));
    print_lines("differs", sp_buf_slice(&wrong));
    putchar('\n');
    sp_demo_answer_free(&answer);
    sp_buf_free(&lines);
    sp_buf_free(&wrong);
    return good ? SP_OK : SP_FAIL;
}

enum sp_rc sp_demo_try_all(struct sp_demo_stage *s)
{
    size_t count, differing = 0;
    const struct sp_demo_case *cases = sp_demo_cases(&count);

    for (size_t i = 0; i < count; i++) {
        enum sp_rc rc = try_one(s, &cases[i], i + 1);
        if (rc == SP_EOF)
            return SP_EOF;
        differing += rc != SP_OK;
    }
    differing += try_metrics(s) != SP_OK;
    if (differing == 0)
        printf("%sAll came out as they should.%s\n", s->green, s->off);
    else
        printf("%s%zu of %zu came out otherwise.%s\n", s->red, differing, count + 1, s->off);
    return differing == 0 ? SP_OK : SP_FAIL;
}
