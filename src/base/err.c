/* Error texts and failed assertions. An error is formatted beside its target first, so that a message may quote
 * the text it replaces; it is cut at the end of the room, never overrun. */
#include "sallyport/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void sp_assert_failed(const char *cond, const char *file, int line)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "sallyport: assertion failed: %s (%s:%d)\n", cond, file, line);
    if (n > 0) {
        size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
        ssize_t written = write(STDERR_FILENO, text, len);
        (void)written; /* nobody is left to tell */
    }
    abort();
}

/* Returns how long the whole text is, which may be more than fits; 0 when it cannot be formatted. */
static size_t format(char text[SP_ERR_TEXT], const char *fmt, va_list ap) SP_PRINTF(2, 0);
static size_t format(char text[SP_ERR_TEXT], const char *fmt, va_list ap)
{
    int n = vsnprintf(text, SP_ERR_TEXT, fmt, ap);
    if (n < 0)
        text[0] = '\0';
    return n < 0 ? 0 : (size_t)n;
}

enum sp_rc sp_err_set(struct sp_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return SP_FAIL;
    char text[SP_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    (void)format(text, fmt, ap);
    va_end(ap);
    err->sys = 0;
    memcpy(err->text, text, sizeof(text));
    return SP_FAIL;
}

/* Puts ": " and `tail` behind the first `len` bytes of `text`, as far as they fit. */
static void append_tail(char text[SP_ERR_TEXT], size_t len, const char *tail)
{
    const char *parts[] = {": ", tail};
    for (size_t i = 0; i < SP_COUNTOF(parts) && len < SP_ERR_TEXT - 1; i++) {
        size_t fits = strnlen(parts[i], SP_ERR_TEXT - 1 - len);
        memcpy(text + len, parts[i], fits);
        len += fits;
        text[len] = '\0';
    }
}

enum sp_rc sp_err_sys(struct sp_err *err, int sys, const char *fmt, ...)
{
    if (err == NULL)
        return SP_FAIL;
    char text[SP_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    size_t len = format(text, fmt, ap);
    va_end(ap);
    char meaning[128];
    append_tail(text, len, strerror_r(sys, meaning, sizeof(meaning)));
    err->sys = sys;
    memcpy(err->text, text, sizeof(text));
    return SP_FAIL;
}

enum sp_rc sp_err_wrap(struct sp_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return SP_FAIL;
    char text[SP_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    size_t len = format(text, fmt, ap);
    va_end(ap);
    append_tail(text, len, err->text);
    memcpy(err->text, text, sizeof(text));
    return SP_FAIL;
}
