/* The fields of a caller's entry: one row each, with what compiles it and what compares it with an identity. Matching, lists
 * and `explain` go through the same rows; caller_words.c has what each wanted and found. Private to the room. */
#ifndef SP_POLICY_CALLER_FIELDS_H
#define SP_POLICY_CALLER_FIELDS_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"
#include "sallyport/match/match.h"
#include "sallyport/pki/identity.h"

enum sp_field_type {
    SP_FIELD_URI,
    SP_FIELD_DNS,
    SP_FIELD_EMAIL,
    SP_FIELD_IP,
    SP_FIELD_SUBJECT,
    SP_FIELD_ISSUER,
    SP_FIELD_SERIAL,
    SP_FIELD_FINGERPRINT,
    SP_FIELD_SPKI,
    SP_FIELD_POLICY,
    SP_FIELD_QC_TYPE,
    SP_FIELD_PSD2_ROLES,
    SP_FIELD_PSD2_AUTHORITY,
    SP_FIELD_ANY,
    SP_FIELD_CALLER,
    SP_FIELD_FILE,
    SP_FIELD_TYPES
};

/* One field, compiled. Small: an allow list has a hundred thousand of them. */
struct sp_field {
    const void *of;  /* as the row has it: text, a pattern, a digest, an attribute */
    uint32_t number; /* the length of the text; or a set, roles, a qc_type, an sp_caller_any */
    uint8_t type;
    bool exact; /* of a URI: without a wildcard, its text alone */
};

struct sp_field_uri { /* one with a wildcard */
    struct sp_uri_pattern pattern;
    struct sp_slice text;
};
struct sp_field_email {
    struct sp_email_pattern pattern;
    struct sp_slice text;
};
struct sp_field_attr {
    struct sp_slice type, value; /* the type as identities spell it */
};
enum { SP_FIELD_DIGEST = 32 };

/* Who is asked about. A *set* is a caller (its index in config->callers) or, behind those, a list. */
struct sp_asked {
    const struct sp_identity *identity; /* NULL: anonymous */
    const uint64_t *sets;               /* a bit for each set that it is known to be in */
    const struct sp_config *config;
};

struct sp_field_row {
    const char *key; /* as the operator writes it; "subject." and a type for attributes in a list */
    size_t member;   /* where its text is in struct sp_config_caller_entry; SP_FIELD_NO_TEXT */
    bool in_lists;
    bool anonymous_too; /* is asked even without an identity */
    /* From its text, which it borrows. NULL, or what was expected. NULL for what is no text. */
    const char *(*compile)(struct sp_arena *arena, struct sp_slice text, struct sp_field *out);
    bool (*holds)(const struct sp_field *f, const struct sp_asked *asked);
};
#define SP_FIELD_NO_TEXT SIZE_MAX

extern const struct sp_field_row sp_field_rows[SP_FIELD_TYPES];

/* `type`: SP_FIELD_SUBJECT or SP_FIELD_ISSUER. NULL, or what was expected. Borrows both texts. */
SP_MUST_USE const char *sp_field_compile_attr(struct sp_arena *arena, enum sp_field_type type,
    struct sp_slice attribute, struct sp_slice value, struct sp_field *out);

static inline struct sp_slice sp_field_text(const struct sp_field *f)
{
    return (struct sp_slice){f->of, f->number};
}

static inline bool sp_field_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    const struct sp_field_row *row = &sp_field_rows[f->type];
    return (asked->identity != NULL || row->anonymous_too) && row->holds(f, asked);
}

/* The name of the condition ("uri", "subject.OU"), what was wanted and what there was, for people: long lists are cut. */
void sp_field_describe(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *condition,
    struct sp_buf *wanted, struct sp_buf *found);

static inline bool sp_set_has(const uint64_t *sets, uint32_t set)
{
    return (sets[set / 64] >> (set % 64) & 1) != 0;
}

#endif
