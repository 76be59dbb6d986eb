/* The conditions that a rule may set, as a table: deciding and explaining ask the same functions. Private to the room. */
#ifndef SP_POLICY_CONDITIONS_H
#define SP_POLICY_CONDITIONS_H

#include "policy/rules/policy_impl.h"

/* In the order in which they are looked at. Those up to SOURCE depend on the connection alone. */
enum sp_condition_id {
    SP_CONDITION_LISTENER,
    SP_CONDITION_FROM,
    SP_CONDITION_NOT_FROM,
    SP_CONDITION_SOURCE,
    SP_CONDITION_METHODS,
    SP_CONDITION_HOST,
    SP_CONDITION_PATH,
    SP_CONDITION_HEADERS,
    SP_CONDITIONS_COUNT
};
#define SP_GIVEN(id)     (1U << SP_CONDITION_##id)
#define SP_OF_CONNECTION (SP_GIVEN(LISTENER) | SP_GIVEN(FROM) | SP_GIVEN(NOT_FROM) | SP_GIVEN(SOURCE))
#define SP_OF_REQUEST    (SP_GIVEN(METHODS) | SP_GIVEN(HOST) | SP_GIVEN(PATH) | SP_GIVEN(HEADERS))

struct sp_condition {
    const char *key;
    bool (*holds)(const struct sp_rule *r, const struct sp_facts *f);
    /* What it asks for and what there is, for people; running out of memory shows in the buffer. */
    void (*wanted)(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out);
    void (*found)(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out);
};
extern const struct sp_condition sp_conditions[SP_CONDITIONS_COUNT];

/* Whether those of the rule's conditions hold that are in `which`. */
bool sp_conditions_hold(const struct sp_rule *r, const struct sp_facts *f, unsigned which);

#endif
