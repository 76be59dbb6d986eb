/* The two ways to play: --run-once tries everything itself; otherwise the audience does, and sees in the
 * proxy's log, line by line, what became of it. Building up and taking down is stage.c's, so that every path
 * out of here leaves nothing behind. */
#include "sallyport/demo/demo.h"

#include "demo_impl.h"

/* One row of what there is; `at` takes as much room as the longest name with a port. */
static void print_place(const char *what, const char *at, const char *says)
{
    printf("   %-9s %-33s %s\n", what, at, says);
}

static void print_stage(const struct sp_demo_stage *s)
{
    char at[SP_ADDR_TEXT + 16], address[SP_ADDR_TEXT];
    unsigned port = sp_addr_port(&s->proxy);

    printf("%ssallyport demo%s: mutual TLS in front of two backends that echo what they receive\n\n", s->bold,
        s->off);
    snprintf(at, sizeof(at), "https://" SP_DEMO_NAME ":%u", port);
    print_place("proxy", at, "billing may GET and POST, auditors may GET");
    snprintf(at, sizeof(at), "https://" SP_DEMO_PARTNER_NAME ":%u", port);
    print_place("", at, "partners may order, twice a minute; their CA is another one");
    snprintf(at, sizeof(at), "https://" SP_DEMO_NAME ":%u", (unsigned)sp_addr_port(&s->raw));
    print_place("", at, "mode tcp: billing may say what it likes");
    for (size_t i = 0; i < SP_COUNTOF(s->backends); i++) {
        snprintf(
            at, sizeof(at), "http://%s", sp_addr_format(sp_demo_backend_address(s->backends[i]), address));
        print_place(
            i == 0 ? "backends" : "", at, i == 0 ? "answer with the request as it arrived" : "in turn");
    }
    snprintf(at, sizeof(at), "http://%s", sp_addr_format(&s->admin, address));
    print_place("admin", at, "/metrics, /upstreams, /healthz, /readyz");
    print_place("folder", s->folder.path, "certificates, CRLs, sallyport.yaml; removed at the end");
    putchar('\n');
    fflush(stdout);
}

static void print_curl_lines(const struct sp_demo_stage *s)
{
    size_t count;
    const struct sp_demo_case *cases = sp_demo_cases(&count);
    char admin[SP_ADDR_TEXT];

    printf("%sTry, in another terminal:%s\n\n", s->bold, s->off);
    for (size_t i = 0; i < count; i++) {
        if (cases[i].show)
            sp_demo_case_print_curl(s, &cases[i]);
    }
    sp_demo_print_explaining(s);
    sp_demo_print_revoking(s);
    printf("  %s# what was refused and ended so far, and why%s\n", s->dim, s->off);
    printf("  curl -s http://%s/metrics | grep '_total{reason' | grep -v ' 0$'\n\n",
        sp_addr_format(&s->admin, admin));
    printf("%sWhat the proxy says about it%s (Ctrl-C ends the demo and removes the folder):\n\n", s->bold,
        s->off);
    fflush(stdout);
}

/* "2026-11-22T09:25:00.123Z" --> "09:25:00" */
static struct sp_slice clock_of(const struct sp_demo_line *l)
{
    struct sp_slice time = sp_demo_line_get(l, "time");

    return time.len >= 19 ? sp_slice_sub(time, 11, 19) : time;
}

/* The first line behind the time, the others below it. */
static void print_behind(struct sp_slice text)
{
    const char *end;

    while ((end = text.len > 0 ? memchr(text.ptr, '\n', text.len) : NULL) != NULL) {
        size_t len = (size_t)(end - text.ptr);
        printf("%.*s\n          ", (int)len, text.ptr);
        text = sp_slice_sub(text, len + 1, text.len);
    }
    printf("%.*s", SP_FMT(text));
}

static void print_line(const struct sp_demo_stage *s, struct sp_slice text)
{
    struct sp_demo_line line;
    struct sp_buf out = {0};

    if (sp_demo_line_parse(text, &line)) {
        bool refused = sp_demo_line_get(&line, "reason").ptr != NULL;
        sp_demo_line_format(&line, &s->folder, &out);
        printf("%s%.*s%s  %s", s->dim, SP_FMT(clock_of(&line)), s->off, refused ? s->red : "");
        print_behind(sp_buf_slice(&out));
        printf("%s\n", s->off);
    } else {
        printf("%.*s\n", SP_FMT(text));
    }
    fflush(stdout);
    sp_buf_free(&out);
}

/* Until somebody stops it. SP_FAIL: the proxy ended by itself. */
static enum sp_rc watch(struct sp_demo_stage *s)
{
    struct sp_slice text = {NULL, 0};
    enum sp_demo_heard heard;

    print_curl_lines(s);
    while ((heard = sp_demo_child_hear(&s->child, -1, &text)) == SP_DEMO_LINE && !ferror(stdout))
        print_line(s, text);
    if (heard != SP_DEMO_ENDED)
        return SP_OK;
    fprintf(stderr, "sallyport demo: the proxy has ended\n");
    return SP_FAIL;
}

int sp_demo_run(const char *self, bool run_once)
{
    struct sp_demo_stage stage = {.self = self};
    struct sp_err err = {0};
    enum sp_rc rc = sp_demo_stage_up(&stage, &err);

    if (rc == SP_FAIL)
        fprintf(stderr, "sallyport demo: %s\n", err.text);
    if (rc == SP_OK) {
        print_stage(&stage);
        rc = run_once ? sp_demo_try_all(&stage) : watch(&stage);
    }
    if (sp_demo_stage_down(&stage) != SP_OK)
        rc = SP_FAIL;
    /* what could not be printed was not shown */
    if (fflush(stdout) != 0 || ferror(stdout) || stage.child.unread)
        rc = SP_FAIL;
    return rc == SP_OK || (rc == SP_EOF && !run_once) ? 0 : 1;
}
