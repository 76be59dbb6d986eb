/* JSON out. Nothing is kept beside the buffer: whether a comma is due is seen from its last byte, since what opens an
 * object or a list, and what ends a key, is never the last byte of a value. */
#include "json.h"

#include <inttypes.h>

#include "sallyport/base/text.h"

size_t sp_json_take(struct sp_slice s, uint32_t *code)
{
    size_t len = sp_utf8_take(s, code);

    if (len == 0)
        *code = (uint8_t)s.ptr[0];
    return len > 0 ? len : 1;
}

static void add_code(struct sp_buf *out, uint32_t code)
{
    if (code == '"' || code == '\\')
        sp_buf_printf(out, "\\%c", (char)code);
    else if (code >= 0x20 && code <= 0x7e)
        sp_buf_add_char(out, (char)code);
    else if (code > 0xffff)
        sp_buf_printf(out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((code - 0x10000) >> 10),
            0xdc00 + ((code - 0x10000) & 0x3ff));
    else
        sp_buf_printf(out, "\\u%04" PRIx32, code);
}

void sp_json_string(struct sp_buf *out, struct sp_slice text)
{
    uint32_t code;

    if (text.ptr == NULL) {
        sp_buf_add_str(out, "null");
        return;
    }
    sp_buf_add_char(out, '"');
    for (size_t at = 0; at < text.len;) {
        at += sp_json_take(sp_slice_sub(text, at, text.len), &code);
        add_code(out, code);
    }
    sp_buf_add_char(out, '"');
}

void sp_json_next(struct sp_buf *out)
{
    char last = out->len > 0 ? out->ptr[out->len - 1] : '{';

    if (last != '{' && last != '[' && last != ':')
        sp_buf_add_char(out, ',');
}

void sp_json_key(struct sp_buf *out, const char *name)
{
    sp_json_next(out);
    sp_buf_printf(out, "\"%s\":", name);
}

void sp_json_slice(struct sp_buf *out, const char *name, struct sp_slice value)
{
    sp_json_key(out, name);
    sp_json_string(out, value);
}

void sp_json_text(struct sp_buf *out, const char *name, const char *value)
{
    sp_json_slice(out, name, sp_slice_of(value));
}

void sp_json_bool(struct sp_buf *out, const char *name, bool value)
{
    sp_json_key(out, name);
    sp_buf_add_str(out, value ? "true" : "false");
}

void sp_json_number(struct sp_buf *out, const char *name, uint64_t value)
{
    sp_json_key(out, name);
    sp_buf_printf(out, "%" PRIu64, value);
}
