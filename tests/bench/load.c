/* sp_load: loads an mTLS proxy with requests and prints what came of it as one line of JSON.
 *
 * Here are the requests and the printing; see load.h for where the rest is. A tool of the benchmark
 * (tests/bench/run.py), usable by hand: tests/bench/README.md has examples. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

/* ---- the run's parts ---- */

/* Behind the fields in `head`: lines of 128 bytes, as far as they go, and the rest in the last one. */
static size_t fill_head(char *head, size_t at, size_t wanted)
{
    static const char value[] =
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567890";
    for (unsigned n = 0; at + 32 < wanted; n++) {
        size_t line = wanted - at < 2 * 128 ? wanted - at : 128;
        at += (size_t)snprintf(
            head + at, LOAD_HEAD_MAX - at, "X-Field-%03u: %.*s\r\n", n, (int)line - 15, value);
    }
    return at;
}

static enum sp_rc make_job(
    struct sp_load_job *job, const struct sp_load_options *opt, enum load_mode mode, bool closes)
{
    uint64_t bytes = (uint64_t)opt->mb * LOAD_MB;
    char path[512], length[64] = "";
    (void)snprintf(path, sizeof(path), "%s", opt->path != NULL ? opt->path : "");
    job->expect_len = opt->expect_length;
    job->close = closes;
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
        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sp_load\r\n%s%s", mode == LOAD_UPLOAD ? "POST" : "GET",
        path, opt->host, length, job->close ? "Connection: close\r\n" : "");
    if (len < 0 || (size_t)len + 2 >= sizeof(job->head)) {
        (void)fprintf(stderr, "sp_load: too long: \"%s\"\n", path);
        return SP_FAIL;
    }
    size_t filled = fill_head(job->head, (size_t)len, opt->head_bytes);
    job->head_len = filled + (size_t)snprintf(job->head + filled, sizeof(job->head) - filled, "\r\n");
    return SP_OK;
}

static enum sp_rc make_jobs(struct sp_load *load)
{
    struct sp_load_options warm = load->opt;
    if (warm.mode == LOAD_DOWNLOAD || warm.mode == LOAD_UPLOAD) {
        warm.path = "/small";
        warm.expect_length = 128;
    }
    enum load_mode mode = load->opt.mode;
    if (make_job(&load->warm, &warm, LOAD_KEEPALIVE, false) != SP_OK ||
        make_job(&load->last, &load->opt, mode, true) != SP_OK)
        return SP_FAIL;
    return make_job(&load->main, &load->opt, mode, mode == LOAD_HANDSHAKE);
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
        sp_load_mode_name(load->opt.mode), load->opt.tls_version == TLS1_3_VERSION ? "1.3" : "1.2",
        load->conn_count, (unsigned long long)load->done, (unsigned long long)sp_load_error_sum(load),
        seconds, seconds > 0 ? (double)load->done / seconds : 0, (double)load->bytes / LOAD_MB,
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
    struct sp_load *load = calloc(1, sizeof(*load));
    if (load == NULL)
        return 1;
    load->epoll_fd = load->signal_fd = -1;
    enum sp_rc rc = sp_load_options_read(argc, argv, &load->opt);
    if (rc == SP_EOF)
        status = 0;
    if (rc != SP_OK || make_jobs(load) != SP_OK || sp_load_tls_open(load) != SP_OK)
        goto out;
    raise_limit(load->opt.connections);
    status = run(load) == SP_OK ? 0 : 1;
out:
    sp_load_close(load);
    sp_load_tls_close(load);
    free(load);
    return status;
}
