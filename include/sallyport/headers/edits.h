/* What a rule does to the fields of a message that passes (rules[].request_headers, response_headers): first it removes, then
 * it sets (removes and adds), then it adds. They are looked at and made before our own words, which so are beyond their
 * reach; names that only we may say are refused at load (sp_headers_new). Pure. Any thread. */
#ifndef SP_HEADERS_EDITS_H
#define SP_HEADERS_EDITS_H

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/http/message.h"

#define SP_EDITS_LINES_MAX 128 /* set and added by one rule to one head; more are refused at load */

/* `edits` may be NULL. `lines` has room for SP_EDITS_LINES_MAX more than *count. Names are alike as
 * sp_header_names_are_alike has it. Borrows all. */
void sp_edits_apply(const struct sp_config_edits *edits, struct sp_line *lines, size_t *count);
/* Only takes away what would be removed or set: of an interim response. */
void sp_edits_strip(const struct sp_config_edits *edits, struct sp_line *lines, size_t *count);

#endif
