/* A file of cases for a policy, and an identity from the command line. By the reader of the configuration (table.c), so
 * that an error has its place and an unknown key its nearest one; the rows are here and not in keys.c because they
 * are no part of the configuration. An identity's fields are the same rows for both ways of writing it.
 * Elsewhere: whether a rule, a listener or a reason of that name exists, and whether a name is one (who tries the
 * case knows that). */
#include "sallyport/config/cases.h"

#include "config/table.h"

#define AT(s, f)        offsetof(struct s, f)
#define KEYS(rows)      .keys = rows, .key_count = SP_COUNTOF(rows)
#define CASES_MAX_BYTES ((size_t)256 * 1024 * 1024)

/* ---- types ---- */

/* At least `min` bytes of it. */
static void read_text(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    if (node->text.len < key->min)
        sp_report_expected(r, where, node, key->type->expected);
    else
        *(const char **)sp_key_field(key, base) = sp_reader_copy(r, node->text);
}

/* One, or a list of them. */
static void read_texts(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    bool is_list = node->kind == SP_NODE_LIST;
    size_t count = is_list ? node->count : 1, i = 0;
    const char **items = sp_reader_alloc(r, count, sizeof(*items));
    struct sp_pos *at = sp_reader_alloc(r, count, sizeof(*at));

    if (items == NULL || at == NULL)
        return;
    for (const struct sp_node *n = is_list ? node->first : node; i < count; n = n->next, i++) {
        struct sp_where item = {.up = where, .index = i};
        at[i] = n->at;
        if (n->kind == SP_NODE_SCALAR && n->text.len > 0)
            items[i] = sp_reader_copy(r, n->text);
        else if (n->kind != SP_NODE_BAD)
            sp_report_expected(r, is_list ? &item : where, n, "a text");
    }
    *(struct sp_strings *)sp_key_field(key, base) = (struct sp_strings){items, at, count};
}

static void read_identity(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_config_identity *identity = sp_reader_alloc(r, 1, sizeof(*identity));

    if (identity == NULL)
        return;
    identity->at = node->at;
    sp_section_read(r, key->section, node, where, identity);
    *(const struct sp_config_identity **)sp_key_field(key, base) = identity;
}

/* {X-Tenant: acme, X-Debug: [1, 2]}: a list is a field that comes so many times. */
static void read_fields(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    size_t count = 0, i = 0;

    for (const struct sp_node *n = node->first; n != NULL; n = n->next)
        count += n->kind == SP_NODE_LIST ? n->count : 1;
    struct sp_config_header *fields = sp_reader_alloc(r, count, sizeof(*fields));
    if (fields == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next) {
        struct sp_where inner = {.up = where, .key = n->key};
        const struct sp_node *value = n->kind == SP_NODE_LIST ? n->first : n;
        for (; value != NULL && n->key.ptr != NULL; value = value == n ? NULL : value->next) {
            if (value->kind == SP_NODE_SCALAR)
                fields[i++] = (struct sp_config_header){
                    value->at, sp_reader_copy(r, n->key), sp_reader_copy(r, value->text)};
            else if (value->kind != SP_NODE_BAD)
                sp_report_expected(r, &inner, value, "the field's value");
        }
    }
    *(const struct sp_config_header **)sp_key_field(key, base) = fields;
    *(size_t *)(void *)((char *)base + key->extra) = i;
}

/* `true`, or the word that is expected. */
static void read_outcome(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    if (node->text.len == 0 || sp_slice_equal(node->text, SP_SLICE("false")))
        sp_report_expected(r, where, node, key->type->expected);
    else if (!sp_slice_equal(node->text, SP_SLICE("true")))
        *(const char **)sp_key_field(key, base) = sp_reader_copy(r, node->text);
}

/* clang-format off */
static const struct sp_type
/*  name          label      expected                                    wants           reader         bounds */
    text_type     = {"text",     "a text",                               SP_NODE_SCALAR, read_text,     NULL, NULL, false, false},
    texts_type    = {"texts",    "a text or a list of them",             SP_NODE_ANY,    read_texts,    NULL, NULL, false, false},
    identity_type = {"identity", "a mapping of fields such as {uri: spiffe://x/y}", SP_NODE_MAP, read_identity, NULL, NULL, false, false},
    fields_type   = {"fields",   "a mapping of header fields such as {X-Tenant: acme}", SP_NODE_MAP, read_fields, NULL, NULL, false, false},
    allowed_type  = {"allowed",  "true or a rule's name",                SP_NODE_SCALAR, read_outcome,  NULL, NULL, false, false},
    refused_type  = {"refused",  "true or a reason such as no_rule",     SP_NODE_SCALAR, read_outcome,  NULL, NULL, false, false};

/* ---- rows ---- */
static const struct sp_word yes_no[]     = {{"false", 0}, {"true", 1}, {NULL, 0}};
static const struct sp_word qc_types[]   = {{"esign", SP_QC_ESIGN}, {"eseal", SP_QC_ESEAL}, {"web", SP_QC_WEB}, {NULL, 0}};
static const struct sp_word psd2_roles[] = {{"PSP_AS", SP_PSD2_AS}, {"PSP_PI", SP_PSD2_PI}, {"PSP_AI", SP_PSD2_AI}, {"PSP_IC", SP_PSD2_IC}, {NULL, 0}};

static const struct sp_key identity_keys[] = {
/*  name                  type                   field                                       min max default */
    {"uri",               &texts_type,           AT(sp_config_identity, uri),                0,  0,  NULL, .doc = NULL},
    {"dns",               &texts_type,           AT(sp_config_identity, dns),                0,  0,  NULL, .doc = NULL},
    {"email",             &texts_type,           AT(sp_config_identity, email),              0,  0,  NULL, .doc = NULL},
    {"ip",                &texts_type,           AT(sp_config_identity, ip),                 0,  0,  NULL, .doc = NULL},
    {"subject",           &sp_type_subject,      AT(sp_config_identity, subject),            0,  0,  NULL, .extra = AT(sp_config_identity, subject_count)},
    {"issuer",            &sp_type_subject,      AT(sp_config_identity, issuer),             0,  0,  NULL, .extra = AT(sp_config_identity, issuer_count)},
    {"serial",            &sp_type_serial,       AT(sp_config_identity, serial),             0,  0,  NULL, .doc = NULL},
    {"fingerprint_sha256", &sp_type_fingerprint, AT(sp_config_identity, fingerprint_sha256), 0,  0,  NULL, .doc = NULL},
    {"spki_sha256",       &sp_type_fingerprint,  AT(sp_config_identity, spki_sha256),        0,  0,  NULL, .doc = NULL},
    {"policies",          &texts_type,           AT(sp_config_identity, policies),           0,  0,  NULL, .doc = NULL},
    {"eku",               &texts_type,           AT(sp_config_identity, eku),                0,  0,  NULL, .doc = NULL},
    {"qc_type",           &sp_type_choice,       AT(sp_config_identity, qc_type),            0,  0,  NULL, .words = qc_types},
    {"psd2_roles",        &sp_type_flags,        AT(sp_config_identity, psd2_roles),         0,  0,  NULL, .words = psd2_roles},
    {"psd2_authority",    &text_type,            AT(sp_config_identity, psd2_authority),     1,  0,  NULL, .doc = NULL},
};
static const struct sp_section identity_section = {
    "cases[].identity", NULL, KEYS(identity_keys), sizeof(struct sp_config_identity), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key request_keys[] = {
    {"method",  &text_type,   AT(sp_case, method),  1, 0, NULL,  .doc = NULL},
    {"host",    &text_type,   AT(sp_case, host),    1, 0, NULL,  .doc = NULL},
    {"path",    &text_type,   AT(sp_case, path),    1, 0, NULL,  .doc = NULL},
    {"headers", &fields_type, AT(sp_case, headers), 0, 0, NULL,  .extra = AT(sp_case, header_count)},
    {"upgrade", &text_type,   AT(sp_case, upgrade), 1, 0, NULL,  .doc = NULL},
    {"source",  &text_type,   AT(sp_case, source),  1, 0, NULL,  .doc = NULL},
};
static const struct sp_section request_section = {
    "cases[].request", NULL, KEYS(request_keys), sizeof(struct sp_case), SP_NOWHERE, SP_NOWHERE, NULL};

static sp_check check_expect, check_case;

static const struct sp_key expect_keys[] = {
    {"allowed",  &allowed_type,   AT(sp_case, rule),     0,   0,   NULL, .doc = NULL},
    {"upstream", &text_type,      AT(sp_case, upstream), 1,   0,   NULL, .doc = NULL},
    {"refused",  &refused_type,   AT(sp_case, reason),   0,   0,   NULL, .doc = NULL},
    {"status",   &sp_type_count,  AT(sp_case, status),   400, 599, NULL, .doc = NULL},
};
static const struct sp_section expect_section = {
    "cases[].expect", NULL, KEYS(expect_keys), sizeof(struct sp_case), SP_NOWHERE, SP_NOWHERE, check_expect};

static const struct sp_key case_keys[] = {
    {"name",      &text_type,       AT(sp_case, name),      1, 0, SP_REQUIRED, .doc = NULL},
    {"cert",      &sp_type_path,    AT(sp_case, cert),      0, 0, NULL, .doc = NULL},
    {"identity",  &identity_type,   AT(sp_case, identity),  0, 0, NULL, .section = &identity_section},
    {"anonymous", &sp_type_flag,    AT(sp_case, anonymous), 0, 0, NULL, .words = yes_no},
    {"listener",  &text_type,       AT(sp_case, listener),  1, 0, NULL, .doc = NULL},
    {"sni",       &text_type,       AT(sp_case, sni),       0, 0, NULL, .doc = NULL},
    {"request",   &sp_type_section, 0,                      0, 0, "{}", .section = &request_section},
    {"time",      &text_type,       AT(sp_case, time),      1, 0, NULL, .doc = NULL},
    {"expect",    &sp_type_section, 0,                      0, 0, SP_REQUIRED, .section = &expect_section},
};
static const struct sp_section case_section = {
    "cases[]", NULL, KEYS(case_keys), sizeof(struct sp_case), AT(sp_case, at), SP_NOWHERE, check_case};

static const struct sp_key root_keys[] = {
    {"cases", &sp_type_sections, AT(sp_cases, items), 1, 0, SP_REQUIRED, .extra = AT(sp_cases, count), .section = &case_section},
};
static const struct sp_section root_section = {
    "", NULL, KEYS(root_keys), sizeof(struct sp_cases), SP_NOWHERE, SP_NOWHERE, NULL};
/* clang-format on */

/* ---- checks ---- */

static void check_expect(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    struct sp_case *c = base;
    bool allowed = sp_node_find(node, "allowed") != NULL, refused = sp_node_find(node, "refused") != NULL;

    c->allowed = allowed;
    if (allowed == refused)
        sp_report(r, SP_DIAG_ERROR, where, node->at, "expected one of \"allowed\" and \"refused\", found %s",
            allowed ? "both" : "neither");
    else if (refused && c->upstream != NULL)
        sp_report(r, SP_DIAG_ERROR, where, node->at, "what is refused goes to no upstream");
    else if (allowed && c->status != 0)
        sp_report(
            r, SP_DIAG_ERROR, where, node->at, "the status of what is allowed is the backend's to choose");
}

static void check_case(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    static const char *const WHO[] = {"cert", "identity", "anonymous"};
    const struct sp_case *c = base;
    unsigned given = 0;

    for (size_t i = 0; i < SP_COUNTOF(WHO); i++)
        given += sp_node_find(node, WHO[i]) != NULL;
    if (given != 1 || (c->cert == NULL && c->identity == NULL && !c->anonymous && r->diags->errors == 0))
        sp_report(r, SP_DIAG_ERROR, where, c->at,
            "who it is must be told by one of \"cert\", \"identity\" and \"anonymous: true\"");
}

/* Two of one name could not be told apart in what is printed. */
static void check_unique(struct sp_reader *r, const struct sp_cases *cases)
{
    struct sp_named_list names = {0};
    struct sp_where list = {.key = SP_SLICE("cases")}, item = {.up = &list};
    const struct sp_named *twice;
    size_t i = 0, first = 0;
    char shown[SP_SHOWN_MAX];

    if (!sp_named_index(
            r, cases->items, cases->count, sizeof(cases->items[0]), offsetof(struct sp_case, name), &names))
        return;
    while ((twice = sp_named_twice(&names, &i, &first)) != NULL) {
        item.index = twice->index;
        sp_report(r, SP_DIAG_ERROR, &item, cases->items[twice->index].at,
            "the name \"%s\" is given twice; first on line %u", sp_shown(sp_slice_of(twice->name), shown),
            cases->items[names.sorted[first].index].at.line);
    }
    sp_free(names.sorted);
}

/* ---- the file ---- */

static void read_cases(struct sp_reader *r, struct sp_slice text, struct sp_cases *cases)
{
    struct sp_arena tree;
    struct sp_node *root = NULL;

    sp_arena_init(&tree, CASES_MAX_BYTES);
    if (sp_yaml_parse(&tree, r->file, text, r->diags, &root) == SP_OK) {
        if (root->kind == SP_NODE_MAP) {
            sp_section_read(r, &root_section, root, NULL, cases);
            check_unique(r, cases);
        } else if (root->kind != SP_NODE_BAD) {
            sp_report_expected(r, NULL, root, "a mapping with the key \"cases\"");
        }
    }
    sp_arena_free(&tree);
}

enum sp_rc sp_cases_parse(
    const char *file, struct sp_slice text, struct sp_cases **out, struct sp_diags *diags)
{
    struct sp_cases *cases = SP_NEW(struct sp_cases);
    size_t errors_before = diags->errors;

    *out = NULL;
    if (cases == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, file, (struct sp_pos){0, 0}, "out of memory");
        return SP_FAIL;
    }
    sp_arena_init(&cases->arena, CASES_MAX_BYTES);
    struct sp_reader reader = sp_reader_of(&cases->arena, file, diags);
    cases->file = sp_reader_copy(&reader, sp_slice_of(file));
    read_cases(&reader, text, cases);
    if (diags->errors != errors_before) {
        sp_cases_free(cases);
        return SP_FAIL;
    }
    *out = cases;
    return SP_OK;
}

enum sp_rc sp_cases_load(const char *file, struct sp_cases **out, struct sp_diags *diags)
{
    struct sp_buf text;

    *out = NULL;
    sp_buf_init(&text, 2 * SP_YAML_MAX_BYTES);
    enum sp_rc rc = sp_read_file(file, &text, diags);
    if (rc == SP_OK)
        rc = sp_cases_parse(file, sp_buf_slice(&text), out, diags);
    sp_buf_free(&text);
    return rc;
}

void sp_cases_free(struct sp_cases *cases)
{
    if (cases == NULL)
        return;
    sp_arena_free(&cases->arena);
    sp_free(cases);
}

/* ---- FIELD=VALUE ---- */

static bool append_strings(struct sp_arena *arena, struct sp_strings *into, const struct sp_strings *more)
{
    size_t count = into->count + more->count;
    const char **items = sp_arena_alloc(arena, count, sizeof(*items));
    struct sp_pos *at = sp_arena_alloc(arena, count, sizeof(*at));

    if (items == NULL || at == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        items[i] = i < into->count ? into->items[i] : more->items[i - into->count];
    *into = (struct sp_strings){items, at, count};
    return true;
}

static bool append_attrs(struct sp_arena *arena, const struct sp_config_attr **into, size_t *into_count,
    const struct sp_config_attr *more, size_t more_count)
{
    size_t count = *into_count + more_count;
    struct sp_config_attr *attrs = sp_arena_alloc(arena, count, sizeof(*attrs));

    if (attrs == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        attrs[i] = i < *into_count ? (*into)[i] : more[i - *into_count];
    *into = attrs;
    *into_count = count;
    return true;
}

static bool set_once(const char **into, const char *value)
{
    bool twice = *into != NULL && value != NULL;

    *into = value != NULL ? value : *into;
    return !twice;
}

static enum sp_rc merge(struct sp_config_identity *into, const struct sp_config_identity *more,
    struct sp_arena *arena, struct sp_err *err)
{
    if (!append_strings(arena, &into->uri, &more->uri) || !append_strings(arena, &into->dns, &more->dns) ||
        !append_strings(arena, &into->email, &more->email) || !append_strings(arena, &into->ip, &more->ip) ||
        !append_strings(arena, &into->policies, &more->policies) ||
        !append_strings(arena, &into->eku, &more->eku) ||
        !append_attrs(arena, &into->subject, &into->subject_count, more->subject, more->subject_count) ||
        !append_attrs(arena, &into->issuer, &into->issuer_count, more->issuer, more->issuer_count))
        return sp_err_set(err, "out of memory");
    if (!set_once(&into->serial, more->serial) ||
        !set_once(&into->fingerprint_sha256, more->fingerprint_sha256) ||
        !set_once(&into->spki_sha256, more->spki_sha256) ||
        !set_once(&into->psd2_authority, more->psd2_authority) ||
        (into->qc_type != SP_QC_NONE && more->qc_type != SP_QC_NONE))
        return sp_err_set(err, "a certificate has only one of it");
    into->qc_type = more->qc_type != SP_QC_NONE ? more->qc_type : into->qc_type;
    into->psd2_roles |= more->psd2_roles;
    return SP_OK;
}

/* What a file would say for it: the value as it is, in a list where the key wants one, or, for subject.OU, as the
 * attribute of a mapping. */
static void shape_node(struct sp_slice *key, struct sp_node nodes[2])
{
    const char *dot = memchr(key->ptr, '.', key->len);
    struct sp_slice head = {key->ptr, dot != NULL ? (size_t)(dot - key->ptr) : key->len};

    for (size_t i = 0; i < SP_COUNTOF(identity_keys); i++) {
        enum sp_node_kind wants = identity_keys[i].type->wants;
        if (!sp_slice_equal(sp_slice_of(identity_keys[i].name), head) ||
            (wants == SP_NODE_MAP) != (dot != NULL) || (wants != SP_NODE_MAP && wants != SP_NODE_LIST))
            continue;
        nodes[1] = nodes[0];
        if (dot != NULL)
            nodes[1].key = sp_slice_sub(*key, head.len + 1, key->len);
        nodes[0] = (struct sp_node){.kind = wants, .first = &nodes[1], .last = &nodes[1], .count = 1};
        *key = head;
        return;
    }
}

enum sp_rc sp_config_identity_add(
    struct sp_config_identity *into, struct sp_arena *arena, struct sp_slice field_value, struct sp_err *err)
{
    const char *equals = field_value.len > 0 ? memchr(field_value.ptr, '=', field_value.len) : NULL;
    struct sp_config_identity one = {0};
    struct sp_diags diags = {0};
    enum sp_rc rc = SP_OK;

    if (equals == NULL || equals == field_value.ptr)
        return sp_err_set(err, "expected FIELD=VALUE such as uri=spiffe://corp.example/x or subject.OU=dev");
    for (size_t i = 0; i < field_value.len; i++) {
        unsigned char c = (unsigned char)field_value.ptr[i];
        if (c < 0x20 || c == 0x7F)
            return sp_err_set(err, "a control character (0x%02X) is not allowed in a value", c);
    }
    struct sp_slice key = {field_value.ptr, (size_t)(equals - field_value.ptr)};
    struct sp_node nodes[2] = {{.kind = SP_NODE_SCALAR,
        .text = sp_slice_sub(field_value, key.len + 1, field_value.len),
        .quoted = true}};
    shape_node(&key, nodes);
    nodes[0].key = key;
    struct sp_node map = {.kind = SP_NODE_MAP, .first = &nodes[0], .last = &nodes[0], .count = 1};
    struct sp_reader reader = sp_reader_of(arena, "", &diags);
    sp_section_read(&reader, &identity_section, &map, NULL, &one);
    if (diags.errors > 0)
        rc = sp_err_set(err, "%s", diags.count > 0 ? diags.items[0].text : "out of memory");
    else if (merge(into, &one, arena, err) != SP_OK)
        rc = sp_err_wrap(err, "%.*s", SP_FMT(key));
    sp_diags_free(&diags);
    return rc;
}
