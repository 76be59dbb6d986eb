/* What is tried against the proxy, and how each must come out: a row a request. The same rows are curl lines
 * for people and the checks of --run-once. */
#include "demo_impl.h"

/* RFC 8446 §6 */
enum { REVOKED = 44, EXPIRED = 45, UNKNOWN_CA = 48, CERTIFICATE_REQUIRED = 116 };

static const struct sp_demo_case CASES[] = {
    {.title = "billing reads an invoice",
        .who = "billing",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .over = SP_DEMO_KEEP,
        .show = true,
        .status = 200,
        .rule = "invoices-write",
        .seen = "X-Client-SAN-URI: " SP_DEMO_BILLING_URI "\n"},
    {.title = "billing writes one",
        .who = "billing",
        .method = "POST",
        .path = SP_DEMO_PATH,
        .body = "{\"amount\": 120}",
        .status = 200,
        .rule = "invoices-write",
        .seen = "(and 15 bytes of body)\n"},
    {.title = "an auditor reads it, and claims to be somebody else in a header",
        .who = "auditor",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .over = SP_DEMO_KEEP,
        .header = "X-Client-Subject: CN=billing-batch",
        .show = true,
        .status = 200,
        .rule = "invoices-read",
        .seen = "X-Client-SAN-Email: " SP_DEMO_AUDITOR_EMAIL "\n",
        .unseen = "billing-batch"},
    {.title = "an auditor writes, which no rule allows",
        .who = "auditor",
        .method = "POST",
        .path = SP_DEMO_PATH,
        .body = "{\"amount\": 120}",
        .show = true,
        .status = 403,
        .reason = "no_rule"},
    {.title = "an auditor asks for a draft, which a rule denies",
        .who = "auditor",
        .method = "GET",
        .path = "/v1/invoices/drafts/7",
        .show = true,
        .status = 404,
        .reason = "denied",
        .rule = "drafts-are-private"},
    {.title = "a path that two parsers could read differently",
        .who = "billing",
        .method = "GET",
        .path = "/v1/invoices/..%2f..%2fadmin",
        .status = 400,
        .reason = "ambiguous_path"},
    {.title = "mallory, whose certificate is revoked",
        .who = "mallory",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .show = true,
        .alert = REVOKED,
        .reason = "revoked"},
    {.title = "somebody without a certificate",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .show = true,
        .alert = CERTIFICATE_REQUIRED,
        .reason = "no_certificate"},
    {.title = "a partner, whose certificate another CA issued",
        .who = "partner",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .show = true,
        .alert = UNKNOWN_CA,
        .reason = "untrusted_issuer"},
    {.title = "a certificate that has expired",
        .who = "expired",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .alert = EXPIRED,
        .reason = "expired"},
    {.title = "plain HTTP on the TLS port",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .plain = true,
        .status = 400,
        .reason = "plain_http"},
    {.title = "the partner under the name that has a client CA of its own",
        .who = "partner",
        .method = "GET",
        .path = "/v1/orders/7",
        .name = SP_DEMO_PARTNER_NAME,
        .show = true,
        .status = 200,
        .rule = "partner-orders",
        .seen = "X-Client-SAN-URI: " SP_DEMO_PARTNER_URI "\n"},
    {.title = "the partner again, who may order once in half a minute",
        .who = "partner",
        .method = "GET",
        .path = "/v1/orders/8",
        .name = SP_DEMO_PARTNER_NAME,
        .show = true,
        .status = 429,
        .reason = "caller_rate",
        .rule = "partner-orders",
        .told = "Retry-After: "},
    {.title = "billing asks for that host over a connection to localhost",
        .who = "billing",
        .method = "GET",
        .path = "/v1/orders/7",
        .host = SP_DEMO_PARTNER_NAME,
        .show = true,
        .status = 421,
        .reason = "misdirected"},
    {.title = "the auditor comes back with her session ticket",
        .who = "auditor",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .over = SP_DEMO_RETURN,
        .status = 200,
        .resumed = true,
        .rule = "invoices-read",
        .seen = "X-Client-SAN-Email: " SP_DEMO_AUDITOR_EMAIL "\n"},
    {.title = "a new CRL lists the auditor, whose first connection is still open",
        .who = "auditor",
        .over = SP_DEMO_REVOKED,
        .reason = "revoked"},
    {.title = "she comes back, with her session ticket",
        .who = "auditor",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .over = SP_DEMO_RETURN,
        .alert = REVOKED,
        .reason = "revoked"},
    {.title = "billing's first connection goes on being served",
        .who = "billing",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .over = SP_DEMO_KEPT,
        .status = 200,
        .rule = "invoices-write",
        .seen = "X-Client-SAN-URI: " SP_DEMO_BILLING_URI "\n"},
    {.title = "a prefix is taken away before anything is decided",
        .who = "billing",
        .method = "GET",
        .path = "/archive" SP_DEMO_PATH,
        .show = true,
        .status = 200,
        .rule = "invoices-write",
        .seen = "GET " SP_DEMO_PATH " HTTP/1.1\n"},
    {.title = "a listener of mode tcp passes on what it does not read",
        .who = "billing",
        .method = "GET",
        .path = "/whatever",
        .raw = true,
        .show = true,
        .status = 200,
        .rule = "anything-raw",
        .unseen = "X-Client"},
    {.title = "one of the two backends is stopped, and no request fails",
        .who = "billing",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .over = SP_DEMO_KEPT,
        .stops = true,
        .status = 200,
        .rule = "invoices-write"},
    {.title = "the next, which would have been the other one's turn",
        .who = "billing",
        .method = "GET",
        .path = SP_DEMO_PATH,
        .over = SP_DEMO_KEPT,
        .status = 200,
        .rule = "invoices-write"},
};

const struct sp_demo_case *sp_demo_cases(size_t *count)
{
    *count = SP_COUNTOF(CASES);
    return CASES;
}

/* As a shell takes it for one word. */
static void print_word(const char *text)
{
    static const char HARMLESS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%,:";

    if (text[strspn(text, HARMLESS)] == '\0') {
        fputs(text, stdout);
        return;
    }
    putchar('\'');
    for (; *text != '\0'; text++)
        fputs(*text == '\'' ? "'\\''" : (char[]){*text, '\0'}, stdout);
    putchar('\'');
}

/* A file of the folder; `name` and `suffix` need no quotes. */
static void print_path(const struct sp_demo_stage *s, const char *name, const char *suffix)
{
    print_word(s->folder.path);
    printf("/%s%s", name, suffix);
}

/* " --cacert … --cert … --key …", in lines that are indented alike. */
static void print_files(const struct sp_demo_stage *s, const char *who)
{
    printf(" --cacert ");
    print_path(s, "ca", ".pem");
    if (who == NULL)
        return;
    printf(" \\\n       --cert ");
    print_path(s, who, ".pem");
    printf(" --key ");
    print_path(s, who, ".key");
}

void sp_demo_case_print_curl(const struct sp_demo_stage *s, const struct sp_demo_case *c)
{
    unsigned port = sp_addr_port(c->raw ? &s->raw : &s->proxy);

    printf("  %s# %s: %s%s\n", s->dim, c->title, c->reason != NULL ? c->reason : "allowed", s->off);
    printf("  curl%s", c->told != NULL ? " -i" : "");
    print_files(s, c->who);
    printf(" \\\n      ");
    if (c->host != NULL)
        printf(" -H 'Host: %s:%u'", c->host, port);
    if (c->header != NULL)
        printf(" -H '%s'", c->header);
    if (c->body != NULL)
        printf(" -d '%s'", c->body);
    printf(" https://%s:%u%s\n\n", c->name != NULL ? c->name : SP_DEMO_NAME, port, c->path);
}

void sp_demo_print_explaining(const struct sp_demo_stage *s)
{
    printf("  %s# why an auditor may not write, told offline: what each rule wanted, and what it found%s\n  ",
        s->dim, s->off);
    print_word(s->self);
    printf(" explain -c ");
    print_path(s, "sallyport", ".yaml");
    printf(" \\\n       --cert ");
    print_path(s, "auditor", ".pem");
    printf(" --method POST --path " SP_DEMO_PATH "\n\n");
}

void sp_demo_print_revoking(const struct sp_demo_stage *s)
{
    printf(
        "  %s# the auditor reads once a second on one connection, until she is refused%s\n", s->dim, s->off);
    printf("  curl -sS --fail-early --rate 1/s -o /dev/null -w '%%{http_code}, new connections: ");
    printf("%%{num_connects}\\n' \\\n      ");
    print_files(s, "auditor");
    printf(" \\\n       'https://" SP_DEMO_NAME ":%u" SP_DEMO_PATH "?[1-600]'\n\n",
        (unsigned)sp_addr_port(&s->proxy));
    printf("  %s# meanwhile, in a third: a new CRL lists her; no signal, no reload%s\n  mv ", s->dim, s->off);
    print_path(s, SP_DEMO_NEXT_CRL, "");
    putchar(' ');
    print_path(s, SP_DEMO_CRL, "");
    printf("\n\n");
}
