/* A path in the place of another one, before anything is judged by it: what comes of it is what rules see and what the
 * backend gets, byte for byte. Pure. Any thread. */
#ifndef SP_MATCH_REWRITE_H
#define SP_MATCH_REWRITE_H

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/http/message.h"

#define SP_REWRITE_PREFIX_MAX 1024 /* bytes of prefix and of replace */

/* What is wrong with it, or NULL. */
const char *sp_rewrite_check(const struct sp_config_rewrite *r);

/* The first of them that fits canonical `host` and checked `path`, or NULL. The prefix is compared segment by segment in the one
 * spelling that rules compare (sp_path_canonical), and "*" (OPTIONS) has none. `*end`: where what is left of the path begins. */
const struct sp_config_rewrite *sp_rewrite_find(const struct sp_config_rewrite *rewrites, size_t count,
    struct sp_slice host, struct sp_slice path, size_t *end);

/* The path that `r` makes of `path`, in `out` of SP_REWRITE_PREFIX_MAX + path.len bytes, judged as a client's own would be.
 * SP_FAIL fills `fault`. */
SP_MUST_USE enum sp_rc sp_rewrite_apply(const struct sp_config_rewrite *r, struct sp_slice path, size_t end,
    char *out, struct sp_slice *result, struct sp_fault *fault);

#endif
