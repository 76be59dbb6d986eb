/* sp_load's command line: one row an option, and what they may hold.
 *
 * What the options mean stands in the usage text; what is done with them, in load_run.c. */
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    "      --per-connection N  requests, then a new one: the last of them says Connection: close (0: any number)\n"
    "      --reconnect       a connection that the peer closes between two requests is opened anew, and no error;\n"
    "                        one that it has closed already is noticed before the next request is written\n"
    "      --per-address N   connections from 127.0.1.1, as many from 127.0.1.2, and so on: one address has 28,000 ports\n"
    "      --head-bytes N    a request's head, filled up with fields of 128 bytes (0: as short as it is)\n"
    "      --max-errors N    (100) then the run stops\n"
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
    O_ISSUER_KEY,
    O_PER_CONNECTION,
    O_PER_ADDRESS,
    O_HEAD_BYTES,
    O_RECONNECT,
    O_MAX_ERRORS,
    O_HELP
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
    {"per-connection", required_argument, NULL, O_PER_CONNECTION},
    {"per-address", required_argument, NULL, O_PER_ADDRESS},
    {"head-bytes", required_argument, NULL, O_HEAD_BYTES},
    {"reconnect", no_argument, NULL, O_RECONNECT},
    {"max-errors", required_argument, NULL, O_MAX_ERRORS},
    {"help", no_argument, NULL, O_HELP},
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
    case O_PER_CONNECTION:
        return read_unsigned(value, 0, 1e9, &opt->per_connection);
    case O_PER_ADDRESS:
        return read_unsigned(value, 0, 1e9, &opt->per_address);
    case O_HEAD_BYTES:
        return read_unsigned(value, 0, LOAD_HEAD_MAX - 1, &opt->head_bytes);
    case O_MAX_ERRORS:
        return read_unsigned(value, 1, 1e9, &opt->max_errors);
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
    case O_RECONNECT:
        opt->reconnect = true;
        return SP_OK;
    case O_HELP:
        return fputs(usage_text, stdout) < 0 ? SP_FAIL : SP_EOF;
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

const char *sp_load_mode_name(enum load_mode mode)
{
    for (size_t i = 0; i < SP_COUNTOF(modes); i++)
        if (modes[i].mode == mode)
            return modes[i].name;
    return "";
}

enum sp_rc sp_load_options_read(int argc, char **argv, struct sp_load_options *opt)
{
    int option;
    enum sp_rc rc;
    size_t mode = 0;
    *opt = (struct sp_load_options){.sni = "localhost",
        .tls_version = TLS1_3_VERSION,
        .connections = 32,
        .seconds = 3,
        .rate = 1000,
        .hold_seconds = 300,
        .mb = 8,
        .expect_length = 128,
        .timeout_ms = 10000,
        .max_errors = 100};
    while ((option = getopt_long(argc, argv, "c:n:t:T:", long_options, NULL)) != -1)
        if ((rc = read_option(option, optarg, opt)) != SP_OK)
            return rc;
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
