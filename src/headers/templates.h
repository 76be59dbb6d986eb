/* What a template is made of. Private to templates.c, which compiles and fills in, and variables.c, which knows what there is to
 * be said. */
#ifndef SP_HEADERS_TEMPLATES_H
#define SP_HEADERS_TEMPLATES_H

#include "families.h"

struct sp_variable;

struct sp_template_part {
    const struct sp_variable *variable; /* NULL: `text` as it is */
    struct sp_slice text; /* of a variable that has one: the attribute's type, as sp_identity has it */
};

struct sp_variable {
    const char *name;
    /* Appends the value, nothing if it is absent. NULL: known with the decision only. */
    void (*add)(
        struct sp_buf *out, const struct sp_template_part *part, const struct sp_headers_about *about);
    enum { SP_OF_IDENTITY, SP_OF_CONNECTION, SP_OF_RULE, SP_OF_CALLER } of;
    bool has_type; /* an attribute's type follows */
};
extern const struct sp_variable sp_variables[];
extern const size_t sp_variable_count;

#endif
