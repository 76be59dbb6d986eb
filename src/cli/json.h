/* JSON as the subcommands print it: one line, ASCII. A comma is put in front of what needs one, by what stands before it
 * in the buffer. Failure of the buffer is sticky there. Not a door. */
#ifndef SP_CLI_JSON_H
#define SP_CLI_JSON_H

#include "sallyport/base/mem.h"

/* The length of the well-formed UTF-8 sequence at the start of `s`, which is not empty, and its code point; of any other
 * byte 1 and itself. */
size_t sp_json_take(struct sp_slice s, uint32_t *code);
/* A string: UTF-8 is decoded, any other byte leaves as if it were Latin-1. An absent slice is null. */
void sp_json_string(struct sp_buf *out, struct sp_slice text);
/* "name": and what follows it is the caller's. */
void sp_json_key(struct sp_buf *out, const char *name);
/* NULL is null. */
void sp_json_text(struct sp_buf *out, const char *name, const char *value);
void sp_json_slice(struct sp_buf *out, const char *name, struct sp_slice value);
void sp_json_bool(struct sp_buf *out, const char *name, bool value);
void sp_json_number(struct sp_buf *out, const char *name, uint64_t value);
/* The next element of a list: a comma, if one is needed. */
void sp_json_next(struct sp_buf *out);

#endif
