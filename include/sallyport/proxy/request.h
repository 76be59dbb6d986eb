/* What a request is judged by beside the policy, for those that try one without a connection. Any thread. */
#ifndef SP_PROXY_REQUEST_H
#define SP_PROXY_REQUEST_H

#include "sallyport/headers/headers.h"
#include "sallyport/http/message.h"
#include "sallyport/policy/policy.h"

/* Judges what the policy does not: fields that must not be there, or must not be removed because it looks at them, or we
 * say them. SP_FAIL fills `fault`. Borrows all. */
SP_MUST_USE enum sp_rc sp_request_check(const struct sp_headers *headers, const struct sp_policy *policy,
    const struct sp_head *head, struct sp_fault *fault);

#endif
