/* Builds up what the demo plays on, and takes it down again, in the opposite order and from wherever it came
 * to:
 *
 *   signals --> backends --> folder --> PKI --> port --> sallyport.yaml --> proxy --> its `listening` and `ready` events
 *
 * The folder comes after the backends, whose event loops may end the process when there are no descriptors at
 * all.
 *
 * The port is 8443 if nobody has it, so that what is printed looks the same each time; else whatever the kernel
 * gives. Listeners of a proxy share their port among its gates (SO_REUSEPORT), and so would two demos of one
 * user: an abstract socket, which goes away with its process however that ends, is held as the claim to the
 * well-known one. */
#include <errno.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo_impl.h"
#include "sallyport/base/clock.h"
#include "sallyport/io/socket.h"

#define PORT     8443 /* kept free of other demos by the claim, of anybody else by a look */
#define READY_MS 20000

/* ---- the process: signals, terminal ---- */

static bool is_ignored(int signo)
{
    struct sigaction now;

    return sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static enum sp_rc catch_signals(struct sp_demo_stage *s, struct sp_err *err)
{
    sigset_t ours;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGQUIT);
    if (!is_ignored(SIGHUP)) /* nohup */
        sigaddset(&ours, SIGHUP);
    if (pthread_sigmask(SIG_BLOCK, &ours, &s->signals_before) != 0)
        return sp_err_sys(err, errno, "signals");
    s->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    s->child.signals = s->signals;
    return s->signals >= 0 ? SP_OK : sp_err_sys(err, errno, "signals");
}

static void choose_attributes(struct sp_demo_stage *s)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool plain = !isatty(STDOUT_FILENO) || (no_color != NULL && no_color[0] != '\0') || term == NULL ||
                 strcmp(term, "dumb") == 0;

    s->bold = plain ? "" : "\033[1m";
    s->dim = plain ? "" : "\033[2m";
    s->red = plain ? "" : "\033[31m";
    s->green = plain ? "" : "\033[32m";
    s->off = plain ? "" : "\033[0m";
}

static enum sp_rc prepare_process(struct sp_demo_stage *s, struct sp_err *err)
{
    choose_attributes(s);
    return catch_signals(s, err);
}

/* ---- folder, PKI, backend, configuration ---- */

static enum sp_rc make_folder(struct sp_demo_stage *s, struct sp_err *err)
{
    return sp_demo_folder_make(&s->folder, err);
}

static enum sp_rc make_pki(struct sp_demo_stage *s, struct sp_err *err)
{
    return sp_demo_pki_write(&s->folder, err);
}

static enum sp_rc start_backends(struct sp_demo_stage *s, struct sp_err *err)
{
    enum sp_rc rc = SP_OK;

    for (size_t i = 0; rc == SP_OK && i < SP_COUNTOF(s->backends); i++)
        rc = sp_demo_backend_start(&s->backends[i], err);
    return rc;
}

/* Is nobody there? The socket is given back: the proxy opens its own. */
static bool is_free(uint16_t port)
{
    struct sp_addr address = {.len = sizeof(address.u.in4),
        .u.in4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd;

    if (sp_socket_listen(&address, false, &fd, NULL) != SP_OK)
        return false;
    close(fd);
    return true;
}

static unsigned choose_port(struct sp_demo_stage *s)
{
    struct sockaddr_un claim = {.sun_family = AF_UNIX};
    int len = snprintf(claim.sun_path + 1, sizeof(claim.sun_path) - 1, "sallyport-demo-%d", PORT);

    s->port_claim = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->port_claim < 0)
        return 0;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    if (bind(s->port_claim, (const struct sockaddr *)&claim, size) != 0)
        return 0;
    return is_free(PORT) ? PORT : 0;
}

static enum sp_rc write_config(struct sp_demo_stage *s, struct sp_err *err)
{
    static const char TEXT[] = "# Made by `sallyport demo`, and removed when it ends.\n"
                               "workers: 1\n"
                               "gates: 1\n"
                               "drain_timeout: 1s\n"
                               "admin: {address: 127.0.0.1:0}\n"
                               "log: {format: json, output: stderr, access: stderr}\n"
                               "limits: {connections: 256}\n"
                               "\n"
                               "listeners:\n"
                               "  - name: demo\n"
                               "    address: 127.0.0.1:%u\n"
                               "    tls:\n"
                               "      certificates: [{chain: server.pem, key: server.key}]\n"
                               "      hosts:\n"
                               "        - names: [" SP_DEMO_PARTNER_NAME "]\n"
                               "          client_auth: {ca: [partner-ca.pem], crl: [partner.crl]}\n"
                               "    client_auth:\n"
                               "      mode: required\n"
                               "      ca: [ca.pem]\n"
                               "      crl: [root.crl, " SP_DEMO_CRL "]\n"
                               "    rewrite: [{prefix: /archive}]\n"
                               "  - name: raw\n"
                               "    address: 127.0.0.1:0\n"
                               "    mode: tcp\n"
                               "    tls: {certificates: [{chain: server.pem, key: server.key}]}\n"
                               "    client_auth: {ca: [ca.pem], crl: [root.crl, " SP_DEMO_CRL "]}\n"
                               "\n"
                               "callers:\n"
                               "  billing:\n"
                               "    - uri: \"spiffe://demo.example/ns/billing/**\"\n"
                               "  auditors:\n"
                               "    - email: \"*@audit.example.com\"\n"
                               "  partners:\n"
                               "    match:\n"
                               "      - uri: \"spiffe://partner.example/**\"\n"
                               "    limits: {rate: 2/m, burst: 1}\n"
                               "\n"
                               "rules:\n"
                               "  - name: drafts-are-private\n"
                               "    not_from: [billing]\n"
                               "    path: /v1/invoices/drafts/**\n"
                               "    deny: 404\n"
                               "  - name: partner-orders\n"
                               "    from: [partners]\n"
                               "    host: " SP_DEMO_PARTNER_NAME "\n"
                               "    path: /v1/orders/**\n"
                               "    upstream: echo\n"
                               "  - name: invoices-write\n"
                               "    from: [billing]\n"
                               "    path: /v1/invoices/**\n"
                               "    methods: [GET, POST]\n"
                               "    upstream: echo\n"
                               "  - name: invoices-read\n"
                               "    from: [billing, auditors]\n"
                               "    path: /v1/invoices/**\n"
                               "    methods: [GET]\n"
                               "    upstream: echo\n"
                               "  - name: anything-raw\n"
                               "    from: [billing]\n"
                               "    listener: raw\n"
                               "    upstream: echo\n"
                               "\n"
                               "upstreams:\n"
                               "  echo:\n"
                               "    endpoints: [\"%s\", \"%s\"]\n"
                               "    identity_headers: [plain]\n";
    char backends[2][SP_ADDR_TEXT];
    struct sp_buf text = {0};

    sp_buf_printf(&text, TEXT, choose_port(s),
        sp_addr_format(sp_demo_backend_address(s->backends[0]), backends[0]),
        sp_addr_format(sp_demo_backend_address(s->backends[1]), backends[1]));
    enum sp_rc rc = text.failed
                        ? sp_err_set(err, "not enough memory")
                        : sp_demo_folder_write(&s->folder, "sallyport.yaml", sp_buf_slice(&text), err);
    sp_buf_free(&text);
    return rc;
}

/* ---- the proxy ---- */

static enum sp_rc start_proxy(struct sp_demo_stage *s, struct sp_err *err)
{
    char config[PATH_MAX + 32];

    snprintf(config, sizeof(config), "%s/sallyport.yaml", s->folder.path);
    return sp_demo_child_start(&s->child, s->self, config, &s->signals_before, err);
}

static enum sp_rc note_address(struct sp_demo_stage *s, const struct sp_demo_line *l, struct sp_err *err)
{
    struct sp_slice address = sp_demo_line_get(l, "address");
    struct sp_addr *to = sp_demo_line_is(l, "listener", "admin") ? &s->admin
                         : sp_demo_line_is(l, "listener", "raw") ? &s->raw
                                                                 : &s->proxy;

    if (sp_addr_parse(address, to, err) != SP_OK)
        return sp_err_wrap(err, "where the proxy listens");
    return SP_OK;
}

/* Until the proxy is ready; `said` gathers what it says besides, in case it never is. */
static enum sp_rc wait_until_ready(struct sp_demo_stage *s, struct sp_buf *said, struct sp_err *err)
{
    uint64_t deadline = sp_mono_ms() + READY_MS;
    struct sp_slice text = {NULL, 0};
    struct sp_demo_line line;

    for (;;) {
        uint64_t now = sp_mono_ms();
        switch (sp_demo_child_hear(&s->child, now < deadline ? (int64_t)(deadline - now) : 0, &text)) {
        case SP_DEMO_STOPPED:
            return SP_EOF;
        case SP_DEMO_ENDED:
            return sp_err_set(err, "the proxy ended before it was ready");
        case SP_DEMO_LATE:
            return sp_err_set(err, "the proxy was not ready within %d s", READY_MS / 1000);
        case SP_DEMO_LINE:
            break;
        }
        bool parsed = sp_demo_line_parse(text, &line);
        if (parsed && sp_demo_line_is(&line, "event", "ready"))
            break;
        if (!parsed || !sp_demo_line_is(&line, "event", "listening"))
            sp_buf_printf(said, "%.*s\n", SP_FMT(text));
        else if (note_address(s, &line, err) != SP_OK)
            return SP_FAIL;
    }
    return s->proxy.len > 0 && s->raw.len > 0 && s->admin.len > 0
               ? SP_OK
               : sp_err_set(err, "the proxy did not say where it listens");
}

static enum sp_rc await_proxy(struct sp_demo_stage *s, struct sp_err *err)
{
    struct sp_buf said;

    sp_buf_init(&said, 16384);
    enum sp_rc rc = wait_until_ready(s, &said, err);
    if (rc == SP_FAIL)
        fprintf(stderr, "%.*s", SP_FMT(sp_buf_slice(&said)));
    sp_buf_free(&said);
    return rc;
}

/* ---- up and down ---- */

static enum sp_rc (*const UP[])(struct sp_demo_stage *s, struct sp_err *err) = {
    prepare_process, start_backends, make_folder, make_pki, write_config, start_proxy, await_proxy};

enum sp_rc sp_demo_stage_up(struct sp_demo_stage *s, struct sp_err *err)
{
    enum sp_rc rc = SP_OK;

    s->signals = s->port_claim = s->child.log = -1;
    sigemptyset(&s->signals_before);
    for (size_t i = 0; rc == SP_OK && i < SP_COUNTOF(UP); i++)
        rc = UP[i](s, err);
    return rc;
}

static enum sp_rc end_proxy(struct sp_demo_stage *s)
{
    int status = sp_demo_child_end(&s->child);

    if (WIFSIGNALED(status))
        fprintf(stderr, "sallyport demo: the proxy was ended by signal %d\n", WTERMSIG(status));
    else if (status != 0)
        fprintf(stderr, "sallyport demo: the proxy ended with status %d\n", WEXITSTATUS(status));
    return status == 0 ? SP_OK : SP_FAIL;
}

enum sp_rc sp_demo_stage_down(struct sp_demo_stage *s)
{
    struct sp_err err = {0};
    enum sp_rc rc = end_proxy(s);

    for (size_t i = 0; i < SP_COUNTOF(s->backends); i++) {
        sp_demo_backend_stop(s->backends[i]);
        s->backends[i] = NULL;
    }
    if (sp_demo_folder_remove(&s->folder, &err) != SP_OK) {
        fprintf(stderr, "sallyport demo: %s\n", err.text);
        rc = SP_FAIL;
    }
    if (s->port_claim >= 0)
        close(s->port_claim);
    if (s->signals >= 0) {
        struct signalfd_siginfo info;
        while (read(s->signals, &info, sizeof(info)) > 0)
            ; /* what came while we were leaving is what we did */
        close(s->signals);
        pthread_sigmask(SIG_SETMASK, &s->signals_before, NULL);
    }
    return rc;
}
