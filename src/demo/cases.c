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
    {.title = "a stranger, whose certificate another CA issued",
        .who = "stranger",
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
};

const struct sp_demo_case *sp_demo_cases(size_t *count)
{
    *count = SP_COUNTOF(CASES);
    return CASES;
}

/* The folder's path as a shell takes it for one word. */
static void print_path(const struct sp_demo_stage *s, const char *name, const char *suffix)
{
    static const char HARMLESS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%,:";
    const char *path = s->folder.path;

    if (path[strspn(path, HARMLESS)] == '\0') {
        printf("%s/%s%s", path, name, suffix);
        return;
    }
    putchar('\'');
    for (; *path != '\0'; path++)
        fputs(*path == '\'' ? "'\\''" : (char[]){*path, '\0'}, stdout);
    printf("/%s%s'", name, suffix);
}

void sp_demo_case_print_curl(const struct sp_demo_stage *s, const struct sp_demo_case *c)
{
    printf("  %s# %s: %s%s\n", s->dim, c->title, c->reason != NULL ? c->reason : "allowed", s->off);
    printf("  curl --cacert ");
    print_path(s, "ca", ".pem");
    if (c->who != NULL) {
        printf(" \\\n       --cert ");
        print_path(s, c->who, ".pem");
        printf(" --key ");
        print_path(s, c->who, ".key");
    }
    printf(" \\\n      ");
    if (c->header != NULL)
        printf(" -H '%s'", c->header);
    if (c->body != NULL)
        printf(" -d '%s'", c->body);
    printf(" https://localhost:%u%s\n\n", (unsigned)sp_addr_port(&s->proxy), c->path);
}
