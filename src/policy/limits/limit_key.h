/* What of a client shares one bucket, as a key of the table of places. Private to the room. */
#ifndef SP_POLICY_LIMIT_KEY_H
#define SP_POLICY_LIMIT_KEY_H

#include "policy/limits/limit_table.h"
#include "sallyport/base/hash.h"
#include "sallyport/pki/identity.h"

struct sp_limit_secret {
    struct sp_hash_key keys[2]; /* one for each half */
};
SP_MUST_USE enum sp_rc sp_limit_secret_init(struct sp_limit_secret *secret);

/* Of a client of the caller `name`, by `per` as the configuration has it: "identity", "caller", "certificate", "uri", "dns",
 * "email", "subject.OU". A client that lacks what `per` names: by its identity. NULL: anonymous, by the caller. */
struct sp_limit_key sp_limit_key_of(
    const struct sp_limit_secret *secret, const char *name, const char *per, const struct sp_identity *id);

#endif
