/* Callers: compiles the entries of `callers:` and the lists that they name.
 *
 * An entry holds when every field that it gives holds; a caller is whoever one of its entries holds for. An entry that gives no field
 * would match everybody and is an error, and so is one that can match nobody. Invariant: what is handed out is complete.
 *
 * What a field means is in caller_fields.c; callers that name each other in caller_ranks.c; where entries are found in caller_index.c;
 * who somebody is in caller_search.c. What a caller may do is for the rules to say. */
#include "policy/callers/callers.h"

#include "policy/callers/callers_impl.h"
#include "sallyport/match/attribute.h"

/* Which key is at fault: "callers.billing[0].uri". */
struct place {
    struct sp_policy_build *build;
    struct sp_compiled_callers *callers;
    const struct sp_config_caller *caller;
    const struct sp_config_caller_entry *entry;
};

static void wrong_at(
    const struct place *p, struct sp_pos at, const char *field, const char *found, const char *problem)
{
    sp_policy_wrong(p->build, at, found, problem, "callers.%s[%zu]%s%s", p->caller->name,
        (size_t)(p->entry - p->caller->entries), field[0] != '\0' ? "." : "", field);
}

static void wrong(const struct place *p, const char *field, const char *found, const char *problem)
{
    wrong_at(p, p->entry->at, field, found, problem);
}

/* ---- lists ---- */

static bool read_list(const struct place *p, struct sp_caller_list *list)
{
    struct sp_buf text = {0};
    struct sp_err err;
    bool ok = sp_list_read(p->entry->file, &text, &err) == SP_OK;
    if (!ok) {
        wrong(p, "file", p->entry->file, err.text);
        goto out;
    }
    list->path = p->entry->file;
    list->text = sp_arena_copy(p->build->arena, sp_buf_slice(&text));
    list->digest = sp_list_digest_of(&p->callers->key, list->text);
    ok = list->text.ptr != NULL;
    if (!ok)
        sp_policy_no_memory(p->build);
out:
    sp_buf_free(&text);
    return ok;
}

static size_t count_files(const struct sp_config *config)
{
    size_t files = 0;
    for (size_t i = 0; i < config->caller_count; i++) {
        for (size_t k = 0; k < config->callers[i].entry_count; k++)
            files += config->callers[i].entries[k].file != NULL;
    }
    return files;
}

/* Each file once, however many entries name it; `numbers` says which list a path is. */
static void read_lists(
    struct sp_policy_build *b, struct sp_compiled_callers *c, struct sp_name_table *numbers)
{
    size_t files = count_files(b->config);
    c->lists = sp_policy_room(b, files, sizeof *c->lists);
    if (c->lists == NULL)
        return;
    if (sp_name_table_init(numbers, b->arena, &c->key, files) != SP_OK) {
        sp_policy_no_memory(b);
        c->lists = NULL; /* without numbers no entry can be compiled */
        return;
    }
    for (size_t i = 0; i < b->config->caller_count && files > 0; i++) {
        const struct sp_config_caller *caller = &b->config->callers[i];
        for (size_t k = 0; k < caller->entry_count; k++) {
            const struct place p = {b, c, caller, &caller->entries[k]};
            struct sp_slice path = sp_slice_of(p.entry->file);
            if (path.ptr == NULL || sp_name_table_find(numbers, path) != SP_NO_NAME)
                continue;
            (void)sp_name_table_add(numbers, path, (uint32_t)c->list_count);
            if (read_list(&p, &c->lists[c->list_count]))
                c->list_count++;
        }
    }
}

/* The list's lines as entries of one field each. */
static void compile_list(struct sp_policy_build *b, struct sp_compiled_callers *c, size_t number)
{
    const struct sp_caller_list *list = &c->lists[number];
    size_t count = 0;
    if (sp_list_parse(b->arena, list->path, list->text, c->fields + c->field_count, &count, b->diags) !=
        SP_OK)
        b->failed = true;
    else if (count == 0)
        sp_diag_add(b->diags, SP_DIAG_WARNING, list->path, (struct sp_pos){1, 1},
            "no identity in it: this list is about nobody");
    for (size_t i = 0; i < count; i++)
        c->entries[c->entry_count++] = (struct sp_caller_entry){
            (uint32_t)(b->config->caller_count + number), (uint32_t)c->field_count++, 1};
}

/* ---- entries ---- */

static struct sp_field *next_field(struct sp_compiled_callers *c)
{
    return &c->fields[c->field_count];
}

static void add_field(struct sp_compiled_callers *c, enum sp_field_type type, const void *of, uint32_t number)
{
    c->fields[c->field_count++] = (struct sp_field){.of = of, .number = number, .type = (uint8_t)type};
}

static void compile_texts(const struct place *p)
{
    for (size_t i = 0; i < SP_FIELD_TYPES; i++) {
        const struct sp_field_row *row = &sp_field_rows[i];
        if (row->member == SP_FIELD_NO_TEXT)
            continue;
        const char *text = NULL;
        memcpy(&text, (const char *)p->entry + row->member, sizeof text);
        if (text == NULL)
            continue;
        struct sp_field *f = next_field(p->callers);
        *f = (struct sp_field){.type = (uint8_t)i};
        const char *problem = row->compile(p->build->arena, sp_slice_of(text), f);
        if (problem != NULL)
            wrong(p, row->key, text, problem);
        p->callers->field_count++;
    }
}

static void compile_attrs(
    const struct place *p, enum sp_field_type type, const struct sp_config_attr *attrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sp_field *f = next_field(p->callers);
        *f = (struct sp_field){.type = (uint8_t)type};
        const char *problem = sp_field_compile_attr(
            p->build->arena, type, sp_slice_of(attrs[i].type), sp_slice_of(attrs[i].value), f);
        if (problem != NULL)
            wrong(p, type == SP_FIELD_SUBJECT ? "subject" : "issuer", attrs[i].type, problem);
        p->callers->field_count++;
    }
}

static void compile_sets(const struct place *p, const struct sp_name_table *list_numbers)
{
    const struct sp_config_caller_entry *in = p->entry;
    if (in->caller != NULL) {
        uint32_t caller = sp_callers_find(p->callers, in->caller);
        if (caller == SP_CALLER_NONE)
            wrong_at(p, in->caller_at, "caller", in->caller, "expected a name under \"callers\"");
        add_field(p->callers, SP_FIELD_CALLER, in->caller, caller);
    }
    if (in->file != NULL)
        add_field(p->callers, SP_FIELD_FILE, in->file,
            (uint32_t)p->build->config->caller_count +
                sp_name_table_find(list_numbers, sp_slice_of(in->file)));
}

static void compile_entry(const struct place *p, const struct sp_name_table *list_numbers)
{
    static const char expected[] = "expected at least one of uri, dns, email, ip, subject, issuer, serial, "
                                   "fingerprint_sha256, spki_sha256, policy, qc_type, psd2_roles, "
                                   "psd2_authority, any, caller, file";
    const struct sp_config_caller_entry *in = p->entry;
    struct sp_compiled_callers *c = p->callers;
    size_t first = c->field_count;
    compile_texts(p);
    compile_attrs(p, SP_FIELD_SUBJECT, in->subject, in->subject_count);
    compile_attrs(p, SP_FIELD_ISSUER, in->issuer, in->issuer_count);
    if (in->qc_type != SP_QC_NONE)
        add_field(c, SP_FIELD_QC_TYPE, NULL, (uint32_t)in->qc_type);
    if (in->psd2_roles != 0)
        add_field(c, SP_FIELD_PSD2_ROLES, NULL, in->psd2_roles);
    compile_sets(p, list_numbers);
    if (in->any == SP_CALLER_ANY_ANONYMOUS && c->field_count > first)
        wrong(p, "any", "anonymous",
            "expected no other field beside it: a client without a certificate has no name");
    if (in->any != SP_CALLER_NOT_ANY)
        add_field(c, SP_FIELD_ANY, NULL, (uint32_t)in->any);
    if (c->field_count == first)
        wrong(p, "", NULL, expected);
    c->entries[c->entry_count++] = (struct sp_caller_entry){(uint32_t)(p->caller - p->build->config->callers),
        (uint32_t)first, (uint32_t)(c->field_count - first)};
}

/* What the limits of a caller are counted by: an attribute that there is. */
static void check_per(struct sp_policy_build *b, const struct sp_config_caller *caller)
{
    struct sp_slice subject = sp_slice_of(sp_field_rows[SP_FIELD_SUBJECT].key);
    struct sp_slice per = sp_slice_of(caller->limits != NULL ? caller->limits->per : NULL);
    if (per.ptr != NULL && sp_slice_starts(per, subject) &&
        sp_attribute_type(sp_slice_sub(per, subject.len, per.len)).ptr == NULL)
        sp_policy_wrong(b, caller->limits->at, caller->limits->per, SP_ATTRIBUTE_EXPECTED,
            "callers.%s.limits.per", caller->name);
}

static size_t count_fields(const struct sp_config_caller_entry *e)
{
    size_t fields = e->subject_count + e->issuer_count + (e->qc_type != SP_QC_NONE) + (e->psd2_roles != 0) +
                    (e->caller != NULL) + (e->file != NULL) + (e->any != SP_CALLER_NOT_ANY);
    for (size_t i = 0; i < SP_FIELD_TYPES; i++) {
        const char *text = NULL;
        if (sp_field_rows[i].member != SP_FIELD_NO_TEXT)
            memcpy(&text, (const char *)e + sp_field_rows[i].member, sizeof text);
        fields += text != NULL;
    }
    return fields;
}

/* Room for entries and fields. A line of a list is one of each. */
static bool make_room(struct sp_policy_build *b, struct sp_compiled_callers *c)
{
    size_t entries = 0, fields = 0;
    for (size_t i = 0; i < b->config->caller_count; i++) {
        const struct sp_config_caller *caller = &b->config->callers[i];
        entries += caller->entry_count;
        for (size_t k = 0; k < caller->entry_count; k++)
            fields += count_fields(&caller->entries[k]);
    }
    for (size_t i = 0; i < c->list_count; i++) {
        size_t lines = sp_list_count_lines(c->lists[i].text);
        entries += lines;
        fields += lines;
    }
    if (fields >= UINT32_MAX / 2) {
        sp_policy_no_memory(b);
        return false;
    }
    c->entries = sp_policy_room(b, entries, sizeof *c->entries);
    c->fields = sp_policy_room(b, fields, sizeof *c->fields);
    c->entries_of = sp_policy_room(b, sp_callers_sets(c) + 1, sizeof *c->entries_of);
    c->rank = sp_policy_room(b, sp_callers_sets(c), sizeof *c->rank);
    return c->entries != NULL && c->fields != NULL && c->entries_of != NULL && c->rank != NULL;
}

static void compile_entries(
    struct sp_policy_build *b, struct sp_compiled_callers *c, const struct sp_name_table *list_numbers)
{
    size_t callers = b->config->caller_count;
    for (size_t i = 0; i < callers; i++) {
        const struct sp_config_caller *caller = &b->config->callers[i];
        c->entries_of[i] = (uint32_t)c->entry_count;
        for (size_t k = 0; k < caller->entry_count; k++)
            compile_entry(&(struct place){b, c, caller, &caller->entries[k]}, list_numbers);
        check_per(b, caller);
    }
    for (size_t i = 0; i < c->list_count; i++) {
        c->entries_of[callers + i] = (uint32_t)c->entry_count;
        compile_list(b, c, i);
    }
    c->entries_of[callers + c->list_count] = (uint32_t)c->entry_count;
}

/* ---- all of it ---- */

static void index_names(struct sp_policy_build *b, struct sp_compiled_callers *c)
{
    if (sp_hash_key_init(&c->key) != SP_OK) {
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config->file, (struct sp_pos){0, 0},
            "no random bytes from the kernel");
        b->failed = true;
        return;
    }
    if (sp_name_table_init(&c->names, b->arena, &c->key, b->config->caller_count) != SP_OK) {
        sp_policy_no_memory(b);
        return;
    }
    for (size_t i = 0; i < b->config->caller_count; i++)
        (void)sp_name_table_add(&c->names, sp_slice_of(b->config->callers[i].name), (uint32_t)i);
}

struct sp_compiled_callers *sp_callers_compile(struct sp_policy_build *b)
{
    bool failed_before = b->failed;
    struct sp_name_table list_numbers;
    struct sp_compiled_callers *c = sp_policy_room(b, 1, sizeof *c);
    if (c == NULL)
        return NULL;
    b->failed = false;
    c->config = b->config;
    index_names(b, c);
    if (!b->failed)
        read_lists(b, c, &list_numbers);
    if (c->lists != NULL && make_room(b, c))
        compile_entries(b, c, &list_numbers);
    if (!b->failed)
        sp_callers_rank(b, c);
    if (!b->failed) {
        c->index = sp_caller_index_new(b->arena, &c->key, c->entries, c->entry_count, c->fields);
        if (c->index == NULL)
            sp_policy_no_memory(b);
    }
    bool failed = b->failed;
    b->failed = failed || failed_before;
    return failed ? NULL : c;
}

uint32_t sp_callers_find(const struct sp_compiled_callers *c, const char *name)
{
    return sp_name_table_find(&c->names, sp_slice_of(name));
}

bool sp_callers_are_current(const struct sp_compiled_callers *c)
{
    bool same = true;
    for (size_t i = 0; i < c->list_count && same; i++) {
        const struct sp_caller_list *list = &c->lists[i];
        struct sp_buf text = {0};
        same = sp_list_read(list->path, &text, NULL) == SP_OK;
        struct sp_list_digest now = sp_list_digest_of(&c->key, sp_buf_slice(&text));
        same = same && now.len == list->digest.len && now.half[0] == list->digest.half[0] &&
               now.half[1] == list->digest.half[1];
        sp_buf_free(&text);
    }
    return same;
}
