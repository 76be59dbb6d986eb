/* One certificate of a chain, as `verify` and `explain` show it. Not a door. */
#ifndef SP_CLI_STEPS_H
#define SP_CLI_STEPS_H

#include "sallyport/base/mem.h"
#include "sallyport/pki/trust.h"

/* `revocation`: whether it was looked at. Every line begins with `indent`. */
void sp_step_text(
    struct sp_buf *out, const char *indent, size_t index, const struct sp_trust_step *step, bool revocation);
/* The next element of a list. */
void sp_step_json(struct sp_buf *out, const struct sp_trust_step *step, bool revocation);

#endif
