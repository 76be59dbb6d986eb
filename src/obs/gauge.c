/* Labelled samples in the Prometheus text format. The format knows three escapes in a label's value: \\, \" and \n; and
 * a page that is not UTF-8 is not read at all. */
#include "sallyport/obs/gauge.h"

#include <inttypes.h>

#include "label.h"

static const struct {
    const char *name;
    const char *labels[SP_GAUGE_LABELS];
    const char *help;
} ROWS[SP_GAUGE_COUNT] = {
#define X(id, name, label1, label2, label3, label4, help) {name, {label1, label2, label3, label4}, help},
    SP_GAUGES(X)
#undef X
};

void sp_gauge_head(struct sp_buf *out, enum sp_gauge_id id)
{
    sp_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", ROWS[id].name, ROWS[id].help, ROWS[id].name);
}

static void add_escaped(struct sp_buf *out, char c)
{
    if (c == '\n')
        sp_buf_add_str(out, "\\n");
    else if (c == '"' || c == '\\')
        sp_buf_printf(out, "\\%c", c);
    else /* the backslash is the value's own */
        sp_buf_printf(out, "\\\\x%02x", (unsigned char)c);
}

void sp_label_value(struct sp_buf *out, const char *text)
{
    while (*text != '\0') {
        const char *plain = text;
        while (*text >= 0x20 && *text <= 0x7e && *text != '"' && *text != '\\')
            text++;
        sp_buf_add(out, plain, (size_t)(text - plain));
        if (*text != '\0')
            add_escaped(out, *text++);
    }
}

void sp_gauge_sample(
    struct sp_buf *out, enum sp_gauge_id id, const char *const values[SP_GAUGE_LABELS], int64_t value)
{
    sp_buf_add_str(out, ROWS[id].name);
    for (size_t i = 0; i < SP_GAUGE_LABELS && ROWS[id].labels[i] != NULL; i++) {
        sp_buf_printf(out, "%c%s=\"", i == 0 ? '{' : ',', ROWS[id].labels[i]);
        sp_label_value(out, values[i]);
        sp_buf_add_char(out, '"');
    }
    sp_buf_printf(out, "} %" PRId64 "\n", value);
}
