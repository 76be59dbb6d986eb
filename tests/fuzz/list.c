/* Lists of identities: any bytes as a file, and its lines as callers that an identity out of the same bytes is compared with. An
 * answer, never a crash or a leak, and the index misses nothing that a field alone would find. */
#include "policy/callers/lists.h"

#include "policy/callers/caller_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sp_hash_key key = {{1, 2}};

static void note(void *arg, uint32_t entry)
{
    bool *seen = arg;
    seen[entry] = true;
}

/* An identity with the input's last line as a name of every kind: it often is what the list asks for. */
static struct sp_slice last_line(struct sp_slice text)
{
    size_t from = text.len;
    while (from > 0 && text.ptr[from - 1] != '\n')
        from--;
    struct sp_slice line = sp_slice_sub(text, from, text.len);
    const char *colon = line.len > 0 ? memchr(line.ptr, ':', line.len) : NULL;
    return colon != NULL ? sp_slice_sub(line, (size_t)(colon - line.ptr) + 1, line.len) : line;
}

static void ask(struct sp_arena *arena, const struct sp_field *fields, size_t count, struct sp_slice name)
{
    static const struct sp_config config = {.file = "fuzz.yaml"};
    static const uint64_t sets[1] = {0};
    const struct sp_name_attr attr = {SP_SLICE("CN"), name, 0};
    const struct sp_slices names = {&name, 1};
    const struct sp_identity id = {.uris = names,
        .dns_names = names,
        .emails = names,
        .ips = {&name, name.len == 4 || name.len == 16},
        .subject_attrs = &attr,
        .subject_attr_count = 1,
        .serial_hex = name};
    const struct sp_asked asked = {&id, sets, &config};
    struct sp_caller_entry *entries = sp_arena_alloc(arena, count, sizeof *entries);
    bool *seen = sp_arena_alloc(arena, count, sizeof *seen);
    SP_ASSERT(entries != NULL && seen != NULL);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct sp_caller_entry){(uint32_t)i, (uint32_t)i, 1};
    struct sp_caller_index *index = sp_caller_index_new(arena, &key, entries, count, fields);
    SP_ASSERT(index != NULL);
    sp_caller_index_probe(index, &id, note, seen);
    for (size_t i = 0; i < count; i++) {
        struct sp_buf condition = {0}, wanted = {0}, found = {0};
        SP_ASSERT(seen[i] || !sp_field_holds(&fields[i], &asked));
        sp_field_describe(&fields[i], &asked, &condition, &wanted, &found);
        SP_ASSERT(condition.len > 0 && wanted.len > 0 && found.len > 0);
        sp_buf_free(&condition);
        sp_buf_free(&wanted);
        sp_buf_free(&found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_slice text = {(const char *)data, size};
    struct sp_diags diags = {0};
    struct sp_arena arena;
    size_t count = 0;

    sp_arena_init(&arena, 0);
    size_t lines = sp_list_count_lines(text);
    struct sp_field *fields = sp_arena_alloc(&arena, lines, sizeof *fields);
    SP_ASSERT(fields != NULL);
    enum sp_rc rc = sp_list_parse(&arena, "allow.txt", text, fields, &count, &diags);
    SP_ASSERT(count <= lines && (rc == SP_OK) == (diags.errors == 0));
    ask(&arena, fields, count, last_line(text));
    sp_arena_free(&arena);
    sp_diags_free(&diags);
    return 0;
}
