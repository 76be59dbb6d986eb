/* Errors that carry their context and gain it while rising:
 *     "crl file ca/root.crl: line 3: bad base64"  <-  sp_err_wrap(err, "crl file %s", path)
 * Owned by whoever declares it (usually on the stack); callees only write into it. Text is cut, never overrun. */
#ifndef SP_BASE_ERR_H
#define SP_BASE_ERR_H

#include "sallyport/base/base.h"

#define SP_ERR_TEXT 768

struct sp_err {
    int sys; /* the errno behind it, or 0 */
    char text[SP_ERR_TEXT];
};

/* All three return SP_FAIL, so that a failing call ends in `return sp_err_set(err, ...)`. `err` may be NULL. */
enum sp_rc sp_err_set(struct sp_err *err, const char *fmt, ...) SP_PRINTF(2, 3);
/* The text, then ": " and what errno value `sys` means. */
enum sp_rc sp_err_sys(struct sp_err *err, int sys, const char *fmt, ...) SP_PRINTF(3, 4);
/* Puts "<text>: " in front of what is there. */
enum sp_rc sp_err_wrap(struct sp_err *err, const char *fmt, ...) SP_PRINTF(2, 3);

#endif
