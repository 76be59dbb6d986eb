/* What `explain` and `test` are given: any bytes as a line of the log, as a file of cases, as FIELD=VALUE. An answer, never a
 * crash or a leak. A line that was read is written again by the log, and must come back as the same fields. */
#include "sallyport/config/cases.h"
#include "sallyport/obs/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As the log would write these values. Only as text: there every byte has a spelling of its own, while JSON spells a byte that
 * is no UTF-8 like the character of that number. */
static void check_again(const struct sp_record_field *fields, size_t count)
{
    static const char *const KEYS[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct sp_log_field written[SP_COUNTOF(KEYS)];
    const struct sp_record_field *again;
    struct sp_buf line = {0};
    struct sp_arena arena;
    struct sp_err err = {0};
    size_t n = count < SP_COUNTOF(KEYS) ? count : SP_COUNTOF(KEYS);

    for (size_t i = 0; i < n; i++)
        written[i] = SP_LOG_S(KEYS[i], fields[i].value);
    sp_arena_init(&arena, 0);
    sp_log_format(&line, SP_LOG_TEXT, SP_LOG_INFO, 0, "event", written, n);
    SP_ASSERT(!line.failed);
    if (line.len < 60000) {
        SP_ASSERT(sp_record_parse(&arena, sp_buf_slice(&line), &again, &count, &err) == SP_OK);
        SP_ASSERT(count == n + 3);
        for (size_t i = 0; i < n; i++)
            SP_ASSERT(sp_slice_equal(again[i + 3].value, fields[i].value));
    }
    sp_arena_free(&arena);
    sp_buf_free(&line);
}

static void try_line(struct sp_slice text)
{
    const struct sp_record_field *fields;
    struct sp_arena arena;
    struct sp_err err = {0};
    size_t count;

    sp_arena_init(&arena, 0);
    if (sp_record_parse(&arena, text, &fields, &count, &err) == SP_OK) {
        for (size_t i = 0; i < count; i++)
            SP_ASSERT(fields[i].key.ptr != NULL && fields[i].value.ptr != NULL);
        check_again(fields, count);
    } else {
        SP_ASSERT(err.text[0] != '\0' && count == 0);
    }
    sp_arena_free(&arena);
}

static void try_cases(struct sp_slice text)
{
    struct sp_cases *cases = NULL;
    struct sp_diags diags = {0};

    if (sp_cases_parse("fuzz/x.yaml", text, &cases, &diags) == SP_OK) {
        SP_ASSERT(cases->count > 0 && diags.errors == 0);
        for (size_t i = 0; i < cases->count; i++) {
            const struct sp_case *c = &cases->items[i];
            SP_ASSERT(c->name != NULL);
            SP_ASSERT((c->cert != NULL) + (c->identity != NULL) + c->anonymous == 1);
            SP_ASSERT(c->allowed || (c->rule == NULL && c->upstream == NULL));
            SP_ASSERT(!c->allowed || (c->reason == NULL && c->status == 0));
            for (size_t h = 0; h < c->header_count; h++)
                SP_ASSERT(c->headers[h].name != NULL && c->headers[h].value != NULL);
        }
    } else {
        SP_ASSERT(cases == NULL && diags.errors > 0);
    }
    sp_cases_free(cases);
    sp_diags_free(&diags);
}

static void try_field(struct sp_slice text)
{
    struct sp_config_identity identity = {0};
    struct sp_arena arena;
    struct sp_err err = {0};

    sp_arena_init(&arena, 0);
    if (sp_config_identity_add(&identity, &arena, text, &err) != SP_OK)
        SP_ASSERT(err.text[0] != '\0');
    sp_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_slice text = {(const char *)data, size};

    try_line(text);
    try_cases(text);
    try_field(text);
    return 0;
}
