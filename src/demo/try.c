/* --run-once: tries each case against the running proxy and says how it came out: what was asked, what came
 * back, and the line of the proxy's log that says why, found by the address that the request came from. A case
 * passes only if all of them are as they should. */
#include "demo_impl.h"
#include "sallyport/base/clock.h"

#define LOG_WAIT_MS 10000

struct trial {
    struct sp_demo_stage *stage;
    struct sp_demo_client *client;
    const struct sp_demo_case *c;
    struct sp_demo_answer answer;
    uint64_t took_us;         /* from the request, or the new CRL, to the answer */
    struct sp_buf text;       /* the line of the log that is about it */
    struct sp_demo_line line; /* that one, empty: none came */
    bool in_force;            /* the log said that changed files are */
    struct sp_buf wrong;      /* what differs, a line each */
};

/* ---- what happens ---- */

static void ask(struct trial *t)
{
    struct sp_demo_stage *s = t->stage;
    uint64_t began_us = sp_mono_us();
    struct sp_err err = {0};
    enum sp_rc rc = SP_OK;

    if (t->c->over == SP_DEMO_REVOKED)
        rc = sp_demo_folder_rename(&s->folder, SP_DEMO_NEXT_CRL, SP_DEMO_CRL, &err);
    if (t->c->stops) {
        sp_demo_backend_stop(s->backends[0]);
        s->backends[0] = NULL;
    }
    if (rc == SP_OK)
        rc = sp_demo_ask(t->client, t->c->raw ? &s->raw : &s->proxy, t->c, &t->answer, &err);
    t->took_us = sp_mono_us() - began_us;
    if (rc != SP_OK)
        sp_buf_printf(&t->wrong, "no answer: %s\n", err.text);
}

static bool is_about(const struct sp_demo_line *l, const char *peer)
{
    return sp_demo_line_is(l, "peer", peer) &&
           (sp_demo_line_is_access(l) || sp_demo_line_is(l, "event", "refused") ||
               sp_demo_line_is(l, "event", "session_ended"));
}

static void take_line(struct trial *t, struct sp_slice text)
{
    struct sp_demo_line l;

    if (!sp_demo_line_parse(text, &l))
        return;
    if (sp_demo_line_is(&l, "event", "material_changed"))
        t->in_force = true;
    if (!is_about(&l, t->answer.local))
        return;
    sp_buf_reset(&t->text);
    if (sp_buf_add_slice(&t->text, text) != SP_OK || !sp_demo_line_parse(sp_buf_slice(&t->text), &t->line))
        t->line.count = 0;
}

/* A new CRL is awaited until it is in force everywhere: whoever it lists is cut by the first thread that has it,
 * a moment before the last one does. */
static bool is_complete(const struct trial *t)
{
    return t->line.count > 0 && (t->in_force || t->c->over != SP_DEMO_REVOKED);
}

/* SP_EOF: told to stop, or the proxy is gone. */
static enum sp_rc find_line(struct trial *t)
{
    uint64_t deadline = sp_mono_ms() + LOG_WAIT_MS;
    struct sp_slice text = {NULL, 0};

    while (!is_complete(t)) {
        uint64_t now = sp_mono_ms();
        switch (sp_demo_child_hear(&t->stage->child, now < deadline ? (int64_t)(deadline - now) : 0, &text)) {
        case SP_DEMO_LINE:
            take_line(t, text);
            break;
        case SP_DEMO_LATE:
            sp_buf_printf(
                &t->wrong, "the proxy's log does not say all of it within %d s\n", LOG_WAIT_MS / 1000);
            return SP_OK;
        case SP_DEMO_ENDED:
            fprintf(stderr, "sallyport demo: the proxy has ended\n");
            return SP_EOF;
        case SP_DEMO_STOPPED:
            return SP_EOF;
        }
    }
    return SP_OK;
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

/* The line of the answer's head that begins with `name`, without its end; absent when there is none. */
static struct sp_slice header_of(const struct sp_demo_answer *a, const char *name)
{
    struct sp_slice raw = sp_buf_slice(&a->raw);
    const char *head_end = raw.len > 0 ? memmem(raw.ptr, raw.len, "\r\n\r\n", 4) : NULL;
    const char *at =
        head_end != NULL ? memmem(raw.ptr, (size_t)(head_end - raw.ptr), name, strlen(name)) : NULL;

    if (at == NULL)
        return (struct sp_slice){NULL, 0};
    const char *end = memmem(at, (size_t)(head_end + 2 - at), "\r\n", 2);
    return (struct sp_slice){at, (size_t)(end - at)};
}

static void judge(struct trial *t)
{
    const struct sp_demo_case *c = t->c;
    struct sp_slice body = sp_buf_slice(&t->answer.body);

    judge_number(t, "TLS alert", t->answer.alert, c->alert);
    judge_number(t, "status", t->answer.status, c->status);
    if (t->answer.closed != (c->over == SP_DEMO_REVOKED))
        sp_buf_printf(&t->wrong, "the connection was%s closed\n", t->answer.closed ? "" : " not");
    if (t->answer.resumed != c->resumed)
        sp_buf_printf(&t->wrong, "the session was%s resumed\n", t->answer.resumed ? "" : " not");
    if (c->told != NULL && header_of(&t->answer, c->told).ptr == NULL)
        sp_buf_printf(&t->wrong, "the answer has no %s\n", c->told);
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
    if (c->stops)
        printf("   %-9s stopped, with all its connections\n", "backend");
    static const char *const OVER[] = {[SP_DEMO_ONCE] = "",
        [SP_DEMO_KEEP] = ", on a connection that stays open",
        [SP_DEMO_KEPT] = ", on its open connection",
        [SP_DEMO_RETURN] = " and a session ticket"};

    if (c->over == SP_DEMO_REVOKED)
        printf("   %-9s mv " SP_DEMO_NEXT_CRL " " SP_DEMO_CRL ", no signal, no reload\n", "files");
    else if (c->plain)
        printf("   %-9s %s %s over plain HTTP\n", "request", c->method, c->path);
    else if (c->who == NULL)
        printf("   %-9s %s %s without a certificate\n", "request", c->method, c->path);
    else
        printf("   %-9s %s %s with %s.pem%s\n", "request", c->method, c->path, c->who, OVER[c->over]);
    if (c->name != NULL || c->host != NULL)
        printf("   %-9s SNI: %s, Host: %s\n", "", c->name != NULL ? c->name : SP_DEMO_NAME,
            c->host != NULL ? c->host : c->name);
    if (c->header != NULL)
        printf("   %-9s %s\n", "", c->header);
}

static void print_answer(const struct trial *t)
{
    const struct sp_demo_answer *a = &t->answer;
    struct sp_slice told = t->c->told != NULL ? header_of(a, t->c->told) : (struct sp_slice){NULL, 0};

    if (a->closed)
        printf("   %-9s connection closed, %.1f ms after the rename\n", "answer", (double)t->took_us / 1000);
    if (a->alert != 0)
        printf("   %-9s TLS alert %u, %s\n", "answer", a->alert, sp_demo_alert_name(a->alert));
    if (a->status == 0)
        return;
    printf(
        "   %-9s %u %.*s%s\n", "answer", a->status, SP_FMT(a->phrase), a->resumed ? ", session resumed" : "");
    print_lines("", told);
    if (a->status != 200 || t->c->seen != NULL || t->c->unseen != NULL)
        print_lines("", sp_buf_slice(&a->body));
}

static void print_trial(const struct trial *t, size_t number)
{
    const struct sp_demo_stage *s = t->stage;
    struct sp_buf text = {0};
    bool good = t->wrong.len == 0 && !t->wrong.failed;

    print_title(s, number, t->c->title, good);
    print_request(t->c);
    print_answer(t);
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
static enum sp_rc try_one(
    struct sp_demo_stage *s, struct sp_demo_client *client, const struct sp_demo_case *c, size_t number)
{
    struct trial t = {.stage = s, .client = client, .c = c};
    enum sp_rc rc = SP_OK;

    ask(&t);
    if (t.answer.local[0] != '\0')
        rc = find_line(&t);
    if (rc == SP_OK) {
        judge(&t);
        print_trial(&t, number);
        rc = t.wrong.len == 0 && !t.wrong.failed ? SP_OK : SP_FAIL;
    }
    sp_demo_answer_free(&t.answer);
    sp_buf_free(&t.text);
    sp_buf_free(&t.wrong);
    return rc;
}

/* ---- the metrics ---- */

/* The metric that counts what became of `c`: whoever was let in and is ended is counted apart. */
static const char *metric_of(const struct sp_demo_case *c)
{
    return c->over == SP_DEMO_REVOKED ? "sallyport_sessions_ended_total" : "sallyport_refusals_total";
}

/* The page's line of that metric and reason, without its end; absent when it counts none. */
static struct sp_slice count_line(struct sp_slice page, const struct sp_demo_case *c)
{
    char start[128];
    int len = snprintf(start, sizeof(start), "%s{reason=\"%s\"} ", metric_of(c), c->reason);
    const char *at = page.len > 0 ? memmem(page.ptr, page.len, start, (size_t)len) : NULL;
    const char *end = at != NULL ? memchr(at, '\n', (size_t)(page.ptr + page.len - at)) : NULL;

    if (end == NULL || at[len] == '0')
        return (struct sp_slice){NULL, 0};
    return (struct sp_slice){at, (size_t)(end - at)};
}

/* A line for each metric and reason of the cases, once. */
static void count_cases(struct sp_slice page, struct sp_buf *lines, struct sp_buf *wrong)
{
    size_t count;
    const struct sp_demo_case *cases = sp_demo_cases(&count);

    for (size_t i = 0; i < count; i++) {
        struct sp_slice line =
            cases[i].reason != NULL ? count_line(page, &cases[i]) : (struct sp_slice){NULL, 0};
        if (cases[i].reason == NULL)
            continue;
        if (line.ptr == NULL)
            sp_buf_printf(wrong, "%s is not counted\n", cases[i].reason);
        else if (lines->len == 0 || memmem(lines->ptr, lines->len, line.ptr, line.len) == NULL)
            sp_buf_printf(lines, "%.*s\n", SP_FMT(line));
    }
}

static enum sp_rc try_metrics(struct sp_demo_stage *s, struct sp_demo_client *client, size_t number)
{
    static const struct sp_demo_case PAGE = {
        .title = "each refusal is counted by its reason", .method = "GET", .path = "/metrics", .plain = true};
    struct sp_demo_answer answer;
    struct sp_err err = {0};
    struct sp_buf lines = {0}, wrong = {0};

    if (sp_demo_ask(client, &s->admin, &PAGE, &answer, &err) != SP_OK)
        sp_buf_printf(&wrong, "no answer: %s\n", err.text);
    count_cases(sp_buf_slice(&answer.body), &lines, &wrong);
    bool good = wrong.len == 0 && !wrong.failed && !lines.failed;
    print_title(s, number, PAGE.title, good);
    printf("   %-9s GET /metrics of the admin listener\n", "request");
    print_lines("answer", sp_buf_slice(&lines));
    print_lines("differs", sp_buf_slice(&wrong));
    putchar('\n');
    sp_demo_answer_free(&answer);
    sp_buf_free(&lines);
    sp_buf_free(&wrong);
    return good ? SP_OK : SP_FAIL;
}

static enum sp_rc try_each(struct sp_demo_stage *s, struct sp_demo_client *client)
{
    size_t count, differing = 0;
    const struct sp_demo_case *cases = sp_demo_cases(&count);

    for (size_t i = 0; i < count; i++) {
        enum sp_rc rc = try_one(s, client, &cases[i], i + 1);
        if (rc == SP_EOF)
            return SP_EOF;
        differing += rc != SP_OK;
    }
    differing += try_metrics(s, client, count + 1) != SP_OK;
    if (differing == 0)
        printf("%sAll came out as they should.%s\n", s->green, s->off);
    else
        printf("%s%zu of %zu came out otherwise.%s\n", s->red, differing, count + 1, s->off);
    return differing == 0 ? SP_OK : SP_FAIL;
}

enum sp_rc sp_demo_try_all(struct sp_demo_stage *s)
{
    struct sp_demo_client *client = sp_demo_client_new(&s->folder);

    if (client == NULL) {
        fprintf(stderr, "sallyport demo: not enough memory\n");
        return SP_FAIL;
    }
    enum sp_rc rc = try_each(s, client);
    sp_demo_client_free(client);
    return rc;
}
