/* Headers of the operator's own making. A template is compiled once, into runs of literal text, which is printable ASCII, and
 * variables (variables.c); a connection only fills it in. */
#include "templates.h"
#include "sallyport/base/text.h"
#include "sallyport/match/attribute.h"

/* ---- compiling ---- */

static const char *no_memory(const char *text)
{
    return text != NULL ? text : "";
}

struct nearest {
    struct sp_slice wanted;
    char text[64];
    unsigned distance;
};

static void consider(struct nearest *n, const char *first, const char *second)
{
    char text[sizeof(n->text)] = "";

    strncat(text, first, sizeof(text) - 1);
    strncat(text, second, sizeof(text) - 1 - strlen(text));
    unsigned distance = sp_edit_distance(n->wanted, sp_slice_of(text));
    if (distance < n->distance) {
        n->distance = distance;
        memcpy(n->text, text, sizeof(text));
    }
}

static const char *unknown(struct sp_arena *arena, struct sp_slice name)
{
    struct nearest n = {.wanted = name, .distance = 4};

    for (size_t i = 0; i < sp_variable_count; i++) {
        if (!sp_variables[i].has_type) {
            consider(&n, sp_variables[i].name, "");
            continue;
        }
        for (size_t t = 0; sp_attribute_name(t) != NULL; t++)
            consider(&n, sp_variables[i].name, sp_attribute_name(t));
    }
    if (n.text[0] == '\0' || name.len > sizeof(n.text))
        return no_memory(sp_arena_printf(
            arena, "there is no variable {%.*s}", (int)(name.len < 64 ? name.len : 64), name.ptr));
    return no_memory(
        sp_arena_printf(arena, "there is no variable {%.*s}; did you mean {%s}?", SP_FMT(name), n.text));
}

static bool take_type(struct sp_slice type, struct sp_template_part *part)
{
    part->text = sp_attribute_type(type);
    return part->text.ptr != NULL;
}

static const char *take_variable(struct sp_arena *arena, struct sp_slice name, struct sp_template_part *part)
{
    for (size_t i = 0; i < sp_variable_count; i++) {
        const struct sp_variable *v = &sp_variables[i];
        struct sp_slice known = sp_slice_of(v->name);
        part->variable = v;
        if (!v->has_type && sp_slice_equal(name, known))
            return NULL;
        if (v->has_type && sp_slice_starts(name, known) &&
            take_type(sp_slice_sub(name, known.len, name.len), part))
            return NULL;
    }
    return unknown(arena, name);
}

/* One part off the front of what is left: a variable, a run of literal text, or a brace that stands for itself. */
static const char *take_part(
    struct sp_arena *arena, struct sp_slice text, size_t *at, struct sp_template_part *part)
{
    struct sp_slice left = sp_slice_sub(text, *at, text.len);
    char c = left.ptr[0];

    if (c != '{' && c != '}') {
        size_t n = 0;
        while (n < left.len && left.ptr[n] != '{' && left.ptr[n] != '}')
            n++;
        *part = (struct sp_template_part){.text = sp_slice_sub(left, 0, n)};
        *at += n;
        return NULL;
    }
    if (left.len > 1 && left.ptr[1] == c) {
        *part = (struct sp_template_part){.text = sp_slice_sub(left, 0, 1)};
        *at += 2;
        return NULL;
    }
    const char *end = c == '{' ? memchr(left.ptr, '}', left.len) : NULL;
    if (end == NULL)
        return no_memory(sp_arena_printf(arena, "character %zu: %s", *at + 1,
            c == '{' ? "'{' without '}'; \"{{\" is a brace that stands for itself"
                     : "'}' without '{'; \"}}\" is a brace that stands for itself"));
    *part = (struct sp_template_part){0};
    *at += (size_t)(end - left.ptr) + 1;
    return take_variable(arena, sp_slice_sub(left, 1, (size_t)(end - left.ptr)), part);
}

/* What is wrong with its bytes, wherever they stand. */
static const char *judge_bytes(struct sp_arena *arena, struct sp_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7e)
            return no_memory(sp_arena_printf(
                arena, "character %zu is not printable ASCII, and a header holds nothing else", i + 1));
    }
    if (text.len == 0)
        return "is empty";
    if (text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ')
        return "begins or ends with a blank, which would not arrive";
    return NULL;
}

static const char *judge_parts(struct sp_arena *arena, struct sp_template *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct sp_variable *v = t->parts[i].variable;
        if (v == NULL || v->add != NULL)
            continue;
        if (t->count > 1)
            return no_memory(
                sp_arena_printf(arena, "{%s} is known with the request only, and must stand alone", v->name));
        t->time = v->of == SP_OF_RULE ? SP_TEMPLATE_RULE : SP_TEMPLATE_CALLER;
    }
    return NULL;
}

const char *sp_template_compile(
    struct sp_arena *arena, const char *name, const char *text, struct sp_template *out)
{
    struct sp_slice all = sp_slice_of(text);
    const char *wrong = judge_bytes(arena, all);

    if (wrong != NULL)
        return wrong;
    struct sp_template_part *parts = sp_arena_alloc(arena, all.len, sizeof(*parts)); /* one a byte at most */
    if (parts == NULL)
        return no_memory(NULL);
    *out = (struct sp_template){.name = sp_slice_of(name), .parts = parts};
    for (size_t at = 0; at < all.len;) {
        wrong = take_part(arena, all, &at, &parts[out->count]);
        if (wrong != NULL)
            return wrong;
        out->count++;
    }
    return judge_parts(arena, out);
}

/* ---- filling in ---- */

void sp_template_put(
    struct sp_headers_writer *w, const struct sp_template *t, const struct sp_headers_about *about)
{
    struct sp_buf text = {0};

    for (size_t i = 0; i < t->count; i++) {
        const struct sp_template_part *part = &t->parts[i];
        size_t before = text.len;
        if (part->variable == NULL)
            sp_buf_add_slice(&text, part->text);
        else if (about->identity != NULL || part->variable->of != SP_OF_IDENTITY)
            part->variable->add(&text, part, about);
        if (text.len == before && !text.failed) {
            sp_buf_free(&text);
            return;
        }
    }
    sp_headers_put_buf(w, t->name, &text);
}
