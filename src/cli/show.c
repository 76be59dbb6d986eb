/* What goes to a terminal. Names and paths come out of certificates, logs and requests of others: no byte of theirs may move
 * a cursor or hide a line. Well-formed UTF-8 is shown as it is, but for control characters, whose second range (U+0080 to
 * U+009F) some terminals obey as well; such a byte is shown as \xNN. */
#include "cli.h"
#include "json.h"
#include "sallyport/base/mem.h"

void sp_cli_show(FILE *to, struct sp_slice text)
{
    uint32_t code;

    for (size_t at = 0; at < text.len;) {
        size_t len = sp_json_take(sp_slice_sub(text, at, text.len), &code);
        bool ascii = len == 1 && (code == '\n' || (code >= 0x20 && code <= 0x7e));
        bool shown = ascii || (len > 1 && code >= 0xa0);
        for (size_t i = 0; i < len; i++)
            fprintf(to, shown ? "%c" : "\\x%02x", (unsigned char)text.ptr[at + i]);
        at += len;
    }
}

void sp_cli_show_diags(const struct sp_diags *diags)
{
    struct sp_buf text = {0};

    sp_diags_print(diags, &text);
    sp_cli_show(stderr, sp_buf_slice(&text));
    sp_buf_free(&text);
}
