/* Private to the room: what sp_headers_new asks of rules. */
#ifndef SP_HEADERS_EDITS_PRIVATE_H
#define SP_HEADERS_EDITS_PRIVATE_H

#include "sallyport/headers/headers.h"

/* Errors, each with its place, for what no rule may do to a head. `h` knows all names of upstreams' own headers. */
void sp_edits_judge(const struct sp_headers *h, const struct sp_config *config, struct sp_diags *diags);

#endif
