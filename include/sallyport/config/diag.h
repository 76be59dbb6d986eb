/* What is wrong with what the operator gave, all of it at once, each with its place:
 *     conf/x.yaml:12:7: error: listeners[0].client_auth.crl_mising: unknown key; did you mean "crl_missing"? */
#ifndef SP_CONFIG_DIAG_H
#define SP_CONFIG_DIAG_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"

struct sp_pos {
    unsigned line, column; /* from 1; 0: no place in the file */
};

enum sp_severity { SP_DIAG_ERROR, SP_DIAG_WARNING };

struct sp_diag {
    enum sp_severity severity;
    const char *file;
    struct sp_pos at;
    const char *text;
};

#define SP_DIAGS_KEPT 100

/* Owner: whoever loads. Zeroed is empty. Holds at most SP_DIAGS_KEPT of each severity and counts the rest. */
struct sp_diags {
    struct sp_arena arena;
    struct sp_diag *items;
    size_t count, room;
    size_t errors, warnings; /* also those that were not kept */
};

void sp_diags_free(struct sp_diags *d);
void sp_diag_add(struct sp_diags *d, enum sp_severity severity, const char *file, struct sp_pos at,
    const char *fmt, ...) SP_PRINTF(5, 6);
/* One line each, in the order of the file, errors and warnings together; then "N more" if some were not kept. */
void sp_diags_print(const struct sp_diags *d, struct sp_buf *out);

#endif
