/* Any text as name and template of a header, and as the names of a client, a line each: what is compiled says nothing but
 * printable ASCII in a name that no family has, and X-Forwarded-Client-Cert stays one element whatever anybody is called. */
#include "sallyport/headers/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sp_slice cut_line(struct sp_slice *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    struct sp_slice line = {rest->ptr, len};

    *rest = sp_slice_sub(*rest, end != NULL ? len + 1 : len, rest->len);
    return line;
}

/* As pki prints it. */
static void print_name(struct sp_buf *dn, struct sp_slice value)
{
    sp_buf_add_str(dn, "CN=");
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c < 0x20 || c >= 0x7f) {
            sp_buf_printf(dn, "\\%02X", c);
            continue;
        }
        if (strchr(",+\"\\<>;", c) != NULL || ((i == 0 || i + 1 == value.len) && c == ' '))
            sp_buf_add_char(dn, '\\');
        sp_buf_add_char(dn, (char)c);
    }
}

/* One element: outside quotes no comma, and the quotes are balanced; a backslash never stands before one. */
static void check_element(struct sp_slice element)
{
    bool quoted = false;

    for (size_t i = 0; i < element.len; i++) {
        SP_ASSERT(element.ptr[i] != '"' || i == 0 || element.ptr[i - 1] != '\\');
        quoted ^= element.ptr[i] == '"';
        SP_ASSERT(quoted || element.ptr[i] != ',');
    }
    SP_ASSERT(!quoted);
}

static void check_lines(const struct sp_header_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        struct sp_slice value = lines->lines[i].value;
        SP_ASSERT(value.len > 0 && value.ptr[0] != ' ' && value.ptr[value.len - 1] != ' ');
        for (size_t n = 0; n < value.len; n++)
            SP_ASSERT(value.ptr[n] >= 0x20 && value.ptr[n] <= 0x7e);
        SP_ASSERT(sp_method_is_token(lines->lines[i].name));
        if (sp_slice_equal(lines->lines[i].name, SP_SLICE("X-Forwarded-Client-Cert")))
            check_element(value);
    }
}

static void tell(const struct sp_headers *h, struct sp_slice value, struct sp_slice name)
{
    const struct sp_name_attr attr = {.type = SP_SLICE("CN"), .value = value};
    struct sp_buf dn = {0};
    struct sp_arena arena;
    struct sp_header_lines lines;
    struct sp_err err = {0};

    print_name(&dn, value);
    const struct sp_identity id = {.subject = sp_buf_slice(&dn),
        .subject_attrs = &attr,
        .subject_attr_count = 1,
        .issuer = sp_buf_slice(&dn),
        .uris = {&name, name.len > 0},
        .serial_hex = SP_SLICE("01"),
        .sha256_hex = SP_SLICE("aa"),
        .client_cert = SP_SLICE(":AA==:")};
    const struct sp_headers_about about = {
        .identity = &id, .own_uri = name, .listener = "l", .sni = "", .tls = "", .proxy = (size_t)-1};
    sp_arena_init(&arena, 0);
    if (sp_headers_make(h, 0, &about, &arena, &lines, &err) == SP_OK)
        check_lines(&lines);
    else
        SP_ASSERT(err.text[0] != '\0');
    sp_arena_free(&arena);
    sp_buf_free(&dn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_slice rest = {(const char *)data, size};
    struct sp_arena arena;
    struct sp_diags diags = {0};

    sp_arena_init(&arena, 0);
    struct sp_slice name = cut_line(&rest);
    const struct sp_config_header header = {
        {1, 1}, sp_arena_copy(&arena, name).ptr, sp_arena_copy(&arena, cut_line(&rest)).ptr};
    const struct sp_config_upstream upstream = {
        .name = "u", .headers = &header, .header_count = 1, .identity_headers = 63, .xfcc_details = 3};
    const struct sp_config config = {.file = "f", .upstreams = &upstream, .upstream_count = 1};
    struct sp_headers *h = sp_headers_new(&config, &diags);
    SP_ASSERT((h == NULL) == (diags.errors > 0));
    if (h != NULL) {
        SP_ASSERT(sp_headers_is_ours(h, sp_slice_of(header.name)));
        struct sp_slice value = cut_line(&rest);
        tell(h, value, cut_line(&rest));
    }
    sp_headers_free(h);
    sp_diags_free(&diags);
    sp_arena_free(&arena);
    return 0;
}
