/* What is asked of a certificate beside that it verifies: how long it lives, its key, its algorithm, what it is for, and
 * which names it has. Compiled with the snapshot, immutable. Judged on plain data, so that a handshake, a session that is
 * open, a caller and `explain` have one judge. */
#ifndef SP_PKI_REQUIREMENTS_H
#define SP_PKI_REQUIREMENTS_H

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"

struct sp_requirements;

/* `key` is where it stands in the file, as messages say it: "listeners[0].client_auth.require". NULL: an error in
 * `diags`, or no memory, which is told there too. */
SP_MUST_USE struct sp_requirements *sp_requirements_new(const char *config_file, const char *key,
    const struct sp_config_requirements *config, struct sp_diags *diags);
void sp_requirements_free(struct sp_requirements *r); /* takes NULL */

/* SP_REFUSAL_none, or which is not met; `detail` then says what was asked and what was found. An identity that was only
 * written down (sp_identity_from_fields) is not asked about its validity, key and signature, and about key usages and
 * policies only if it tells any. Any thread; takes NULL, which asks nothing. */
enum sp_refusal sp_requirements_judge(
    const struct sp_requirements *r, const struct sp_identity *id, char *detail, size_t room);

#endif
