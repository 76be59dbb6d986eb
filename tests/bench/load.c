/* sp_load: loads an mTLS proxy with requests and prints what came of it as one line of JSON.
 *
 * Here are the options and the printing; see load.h for where the rest is. A tool of
 * the benchmark (tests/bench/run.py), usable by hand: tests/bench/README.md has examples. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

static const char usage_text[] =
    "usage: sp_load MODE --connect IP:PORT --cert FILE --key FILE [options]\n"
    "modes:\n"
    "  keepalive  closed loop of GETs on -c connections\n"
    "  handshake  a full handshake and one request a connection, -c of them in flight\n"
    "  idle       opens -c connections, one request on each, prints \"held M\", waits for stdin or SIGTERM\n"
    "  download   closed loop of GETs of --mb each\n"
    "  upload     closed loop of POSTs of --mb each\n"
    "  rate       --rate requests a second; latency counts from when each should have been sent\n"
    "options:\n"
    "  -c, --connections N   (32)          -n, --count N        operations (0: by time alone)\n"
    "  -t, --seconds S       (3)           -T, --timeout MS     of one operation (10000)\n"
    "      --rate R          (1000)            --mb N           megabytes (10^6 bytes) an object (8)\n"
    "      --ca FILE         judge the server by it\n"
    "      --sni NAME        (localhost)       --host NAME      (the SNI)\n"
    "      --path PATH       (/small, or /big?mb=N, or /upload)\n"
    "      --length N        body bytes of the answer to --path (128)\n"
    "      --tls 1.2|1.3     (1.3)             --cipher NAME    of that version's names\n"
    "      --resume          resumed handshakes: each connection comes back with the ticket of the one before\n"
    "      --clients N       so many certificates, one after another, of the client's key and name, each new to\n"
    "                        whoever remembers N - 1 others; signed by --issuer FILE with --issuer-key FILE\n"
    "      --hold-seconds S  (300)             --sync           a part for each line of stdin\n"
    "exit: 0 no errors, 1 errors or cut short, 2 bad usage\n";

static const struct {
    const char *name;
    enum load_mode mode;
    const char *path;
} modes[] = {
    {"keepalive", LOAD_KEEPALIVE, "/small"},
    {"handshake", LOAD_HANDSHAKE, "/small"},
    {"idle", LOAD_IDLE, "/small"},
    {"download", LOAD_DOWNLOAD, NULL},
    {"upload", LOAD_UPLOAD, "/upload"},
    {"rate", LOAD_RATE, "/small"},
};

enum {
    O_CONNECT = 256,
    O_CERT,
    O_KEY,
    O_CA,
    O_SNI,
    O_HOST,
    O_PATH,
    O_LENGTH,
    O_TLS,
    O_CIPHER,
    O_RATE,
    O_MB,
    O_HOLD,
    O_SYNC,
    O_RESUME,
    O_CLIENTS,
    O_ISSUER,
    O_ISSUER_KEY
};

static const struct option long_options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"count", required_argument, NULL, 'n'},
    {"seconds", required_argument, NULL, 't'},
    {"timeout", required_argument, NULL, 'T'},
    {"connect", required_argument, NULL, O_CONNECT},
    {"cert", required_argument, NULL, O_CERT},
    {"key", required_argument, NULL, O_KEY},
    {"ca", required_argument, NULL, O_CA},
    {"sni", required_argument, NULL, O_SNI},
    {"host", required_argument, NULL, O_HOST},
    {"path", required_argument, NULL, O_PATH},
    {"length", required_argument, NULL, O_LENGTH},
    {"tls", required_argument, NULL, O_TLS},
    {"cipher", required_argument, NULL, O_CIPHER},
    {"rate", required_argument, NULL, O_RATE},
    {"mb", required_argument, NULL, O_MB},
    {"hold-seconds", required_argument, NULL, O_HOLD},
    {"sync", no_argument, NULL, O_SYNC},
    {"resume", no_argument, NULL, O_RESUME},
    {"clients", required_argument, NULL, O_CLIENTS},
    {"issuer", required_argument, NULL, O_ISSUER},
    {"issuer-key", required_argument, NULL, O_ISSUER_KEY},
    {NULL, 0, NULL, 0},
};

static enum sp_rc bad(const char *what, const char *value)
{
    (void)fprintf(stderr, "sp_load: %s: \"%s\"\n%s", what, value, usage_text);
    return SP_FAIL;
}

static enum sp_rc read_number(const char *text, double low, double high, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !(*out >= low && *out <= high))
        return bad("not a number in range", text);
    return SP_OK;
}

static enum sp_rc read_unsigned(const char *text, double low, double high, unsigned *out)
{
    double value = 0;
    if (read_number(text, low, high, &value) != SP_OK)
        return SP_FAIL;
    *out = (unsigned)value;
    return SP_OK;
}

static enum sp_rc read_peer(const char *text, struct sp_load_options *opt)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    char host[64];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return bad("want IP:PORT", text);
    bool bracketed = text[0] == '[' && colon > text + 2 && colon[-1] == ']';
    (void)snprintf(
        host, sizeof(host), "%.*s", (int)(colon - text) - (bracketed ? 2 : 0), text + (bracketed ? 1 : 0));
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return bad("want IP:PORT", text);
    memcpy(&opt->peer, found->ai_addr, found->ai_addrlen);
    opt->peer_len = found->ai_addrlen;
    freeaddrinfo(found);
    return SP_OK;
}

static enum sp_rc read_tls(const char *text, struct sp_load_options *opt)
{
    if (strcmp(text, "1.2") == 0)
        opt->tls_version = TLS1_2_VERSION;
    else if (strcmp(text, "1.3") == 0)
        opt->tls_version = TLS1_3_VERSION;
    else
        return bad("want 1.2 or 1.3", text);
    return SP_OK;
}

static enum sp_rc read_numeric_option(int option, const char *value, struct sp_load_options *opt)
{
    double count = 0;
    switch (option) {
    case 'c':
        return read_unsigned(value, 1, 100000, &opt->connections);
    case 'n':
        if (read_number(value, 0, 1e12, &count) != SP_OK)
            return SP_FAIL;
        opt->count = (uint64_t)count;
        return SP_OK;
    case 't':
        return read_number(value, 0.01, 3600, &opt->seconds);
    case 'T':
        return read_unsigned(value, 1, 600000, &opt->timeout_ms);
    case O_LENGTH:
        return read_unsigned(value, 0, 4e9, &opt->expect_length);
    case O_RATE:
        return read_number(value, 0.1, 1e6, &opt->rate);
    case O_MB:
        return read_unsigned(value, 1, 4000, &opt->mb);
    case O_HOLD:
        return read_number(value, 1, 3600, &opt->hold_seconds);
    case O_CLIENTS:
        return read_unsigned(value, 1, 100000, &opt->clients);
    default:
        return bad("unknown option", "");
    }
}

static enum sp_rc read_option(int option, const char *value, struct sp_load_options *opt)
{
    switch (option) {
    case O_CONNECT:
        return read_peer(value, opt);
    case O_CERT:
        opt->cert = value;
        return SP_OK;
    case O_KEY:
        opt->key = value;
        return SP_OK;
    case O_CA:
        opt->ca = value;
        return SP_OK;
    case O_SNI:
        opt->sni = value;
        return SP_OK;
    case O_HOST:
        opt->host = value;
        return SP_OK;
    case O_PATH:
        opt->path = value;
        return SP_OK;
    case O_TLS:
        return read_tls(value, opt);
    case O_CIPHER:
        opt->cipher = value;
        return SP_OK;
    case O_SYNC:
        opt->sync = true;
        return SP_OK;
    case O_RESUME:
        opt->resume = true;
        return SP_OK;
    case O_ISSUER:
        opt->issuer = value;
        return SP_OK;
    case O_ISSUER_KEY:
        opt->issuer_key = value;
        return SP_OK;
    default:
        return read_numeric_option(option, value, opt);
    }
}

static const char *mode_name(enum load_mode mode)
{
    for (size_t i = 0; i < SP_COUNTOF(modes); i++)
        if (modes[i].mode == mode)
            return modes[i].name;
    return "";
}

static enum sp_rc read_options(int argc, char **argv, struct sp_load_options *opt)
{
    int option;
    size_t mode = 0;
    *opt = (struct sp_load_options){.sni = "localhost",
        .tls_version = TLS1_3_VERSION,
        .connections = 32,
        .seconds = 3,
        .rate = 1000,
        .hold_seconds = 300,
        .mb = 8,
        .expect_length = 128,
        .timeout_ms = 10000};
    while ((option = getopt_long(argc, argv, "c:n:t:T:", long_options, NULL)) != -1)
        if (read_option(option, optarg, opt) != SP_OK)
            return SP_FAIL;
    if (optind + 1 != argc)
        return bad("want one mode", optind < argc ? argv[optind + 1] : "");
    while (mode < SP_COUNTOF(modes) && strcmp(modes[mode].name, argv[optind]) != 0)
        mode++;
    if (mode == SP_COUNTOF(modes))
        return bad("unknown mode", argv[optind]);
    if (opt->peer_len == 0 || opt->cert == NULL || opt->key == NULL)
        return bad("--connect, --cert and --key are needed", argv[optind]);
    if (opt->clients > 0 && (opt->issuer == NULL || opt->issuer_key == NULL))
        return bad("--clients needs --issuer and --issuer-key", argv[optind]);
    if (opt->clients > 0 && opt->resume)
        return bad("--clients and --resume exclude each other", argv[optind]);
    opt->mode = modes[mode].mode;
    if (opt->path == NULL)
        opt->path = modes[mode].path;
    if (opt->host == NULL)
        opt->host = opt->sni;
    return SP_OK;
}

/* ---- the run's parts ---- */

static enum sp_rc make_job(struct sp_load_job *job, const struct sp_load_options *opt, enum load_mode mode)
{
    uint64_t bytes = (uint64_t)opt->mb * LOAD_MB;
    char path[512], length[64] = "";
    (void)snprintf(path, sizeof(path), "%s", opt->path != NULL ? opt->path : "");
    job->expect_len = opt->expect_length;
    job->close = mode == LOAD_HANDSHAKE;
    if (mode == LOAD_DOWNLOAD) {
        if (opt->path == NULL)
            (void)snprintf(path, sizeof(path), "/big?mb=%u", opt->mb);
        job->expect_len = bytes;
    } else if (mode == LOAD_UPLOAD) {
        job->body_len = bytes;
        (void)snprintf(length, sizeof(length), "Content-Length: %llu\r\n", (unsigned long long)bytes);
        (void)snprintf(job->expect_text, sizeof(job->expect_text), "%llu\n", (unsigned long long)bytes);
        job->expect_len = strlen(job->expect_text);
    }
    int len = snprintf(job->head, sizeof(job->head),
        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sp_load\r\n%s%s\r\n", mode == LOAD_UPLOAD ? "POST" : "GET",
        path, opt->host, length, job->close ? "Connection: close\r\n" : "");
    if (len < 0 || (size_t)len >= sizeof(job->head))
        return bad("too long", opt->path);
    job->head_len = (size_t)len;
    return SP_OK;
}

static enum sp_rc make_jobs(struct sp_load *load)
{
    struct sp_load_options warm = load->opt;
    if (warm.mode == LOAD_DOWNLOAD || warm.mode == LOAD_UPLOAD) {
        warm.path = "/small";
        warm.expect_length = 128;
    }
    if (make_job(&load->warm, &warm, LOAD_KEEPALIVE) != SP_OK)
        return SP_FAIL;
    return make_job(&load->main, &load->opt, load->opt.mode);
}

/* As many descriptors as connections, and some. */
static void raise_limit(unsigned connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= connections + 64u)
        return;
    limit.rlim_cur = connections + 64u;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        (void)fprintf(
            stderr, "sp_load: cannot have %u descriptors: %s\n", connections + 64u, strerror(errno));
}

static void print_result(const struct sp_load *load)
{
    double seconds = (double)(load->end_ns - load->start_ns) / 1e9;
    const char *comma = "";
    (void)printf(
        "{\"mode\":\"%s\",\"tls\":\"%s\",\"connections\":%u,\"operations\":%llu,\"errors\":%llu,\"seconds\":%.3f,"
        "\"per_second\":%.1f,\"mb\":%.3f,\"mb_per_second\":%.1f,\"handshakes\":%llu,\"reconnects\":%llu,",
        mode_name(load->opt.mode), load->opt.tls_version == TLS1_3_VERSION ? "1.3" : "1.2", load->conn_count,
        (unsigned long long)load->done, (unsigned long long)sp_load_error_sum(load), seconds,
        seconds > 0 ? (double)load->done / seconds : 0, (double)load->bytes / LOAD_MB,
        seconds > 0 ? (double)load->bytes / LOAD_MB / seconds : 0, (unsigned long long)load->handshakes,
        (unsigned long long)load->reconnects);
    (void)printf("\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f},\"error_kinds\":{",
        (double)sp_load_hist_at(&load->hist, 0.50) / 1e3, (double)sp_load_hist_at(&load->hist, 0.90) / 1e3,
        (double)sp_load_hist_at(&load->hist, 0.99) / 1e3);
    for (unsigned i = 0; i < LOAD_ERR_KINDS; i++) {
        if (load->errors[i] == 0)
            continue;
        (void)printf("%s\"%s\":%llu", comma, sp_load_error_name(i), (unsigned long long)load->errors[i]);
        comma = ",";
    }
    (void)printf("}}\n");
    (void)fflush(stdout);
}

/* SP_OK: all operations were answered as they should be. */
static enum sp_rc run(struct sp_load *load)
{
    enum sp_rc next = SP_OK;
    uint64_t errors = 0;
    if (sp_load_open(load) != SP_OK)
        return SP_FAIL;
    do {
        if (load->opt.mode == LOAD_IDLE)
            sp_load_hold(load);
        else if (load->opt.sync && (next = sp_load_await(load)) != SP_OK)
            break;
        else
            sp_load_measure(load);
        print_result(load);
        errors += sp_load_error_sum(load);
        memset(load->errors, 0, sizeof(load->errors));
    } while (load->opt.sync && load->opt.mode != LOAD_IDLE && !load->interrupted);
    bool cut_short = next == SP_FAIL || (load->interrupted && load->opt.mode != LOAD_IDLE);
    return cut_short || errors > 0 ? SP_FAIL : SP_OK;
}

int main(int argc, char **argv)
{
    int status = 2;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage_text, stdout) < 0;
    struct sp_load *load = calloc(1, sizeof(*load));
    if (load == NULL)
        return 1;
    load->epoll_fd = load->signal_fd = -1;
    if (read_options(argc, argv, &load->opt) != SP_OK || make_jobs(load) != SP_OK ||
        sp_load_tls_open(load) != SP_OK)
        goto out;
    raise_limit(load->opt.connections);
    status = run(load) == SP_OK ? 0 : 1;
out:
    sp_load_close(load);
    sp_load_tls_close(load);
    free(load);
    return status;
}
