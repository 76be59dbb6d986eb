/* Headers compiled from a configuration as an operator writes it, and identities made by hand, so that each byte of a line
 * can be told beforehand. */
#ifndef SP_TEST_HEADERS_FIXTURE_H
#define SP_TEST_HEADERS_FIXTURE_H

#include "config_fixture.h"
#include "sallyport/headers/headers.h"

#define ATTR(t, v, r)                                                                                        \
    {                                                                                                        \
        .type = SP_SLICE(t), .value = SP_SLICE(v), .rdn = (r)                                                \
    }

struct told {
    struct sp_config *config;
    struct sp_headers *headers;
    struct sp_arena arena;
    struct sp_header_lines lines;
    struct sp_err err;
    char text[200000]; /* of the lines */
};

/* `upstream` is what stands in the braces of upstream u beside its endpoints; `rest` are more top-level keys. */
static inline void compile(struct told *t, const char *upstream, const char *rest)
{
    char yaml[4096];
    struct sp_diags diags = {0};

    snprintf(yaml, sizeof(yaml),
        LISTENERS CALLERS RULES "upstreams:\n  u: {endpoints: [\"127.0.0.1:80\"], %s}\n%s", upstream, rest);
    t->config = parse_good("t.yaml", yaml, "");
    t->headers = sp_headers_new(t->config, &diags);
    if (t->headers == NULL)
        fail_msg("%s: %s", upstream, printed(&diags));
    sp_diags_free(&diags);
    sp_arena_init(&t->arena, 0);
}

/* Writes the lines into t->text, "name: value\n" each. */
static inline enum sp_rc tell(struct told *t, const struct sp_headers_about *about)
{
    size_t at = 0;
    enum sp_rc rc = sp_headers_make(t->headers, 0, about, &t->arena, &t->lines, &t->err);

    t->text[0] = '\0';
    for (size_t i = 0; rc == SP_OK && i < t->lines.count; i++)
        at += (size_t)snprintf(t->text + at, sizeof(t->text) - at, "%.*s: %.*s\n",
            SP_FMT(t->lines.lines[i].name), SP_FMT(t->lines.lines[i].value));
    return rc;
}

static inline void forget(struct told *t)
{
    sp_arena_free(&t->arena);
    sp_headers_free(t->headers);
    sp_config_free(t->config);
}

#endif
