/* What `explain` and `test` are asked about: an identity that is written down instead of shown, and a file of cases with
 * the decision that each is to get. Typed and immutable, as the configuration is. */
#ifndef SP_CONFIG_CASES_H
#define SP_CONFIG_CASES_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"
#include "sallyport/config/diag.h"

/* An identity by its fields. NULL or count 0: it has none of that. */
struct sp_config_identity {
    struct sp_pos at;
    struct sp_strings uri, dns, email, ip;
    const struct sp_config_attr *subject, *issuer; /* in order, each an RDN of its own */
    size_t subject_count, issuer_count;
    const char *serial, *fingerprint_sha256, *spki_sha256; /* lower-case hex */
    struct sp_strings policies, eku;
    enum sp_qc_type qc_type;
    unsigned psd2_roles;
    const char *psd2_authority;
};

struct sp_case {
    struct sp_pos at;
    const char *name;
    /* who: one of the three */
    const char *cert; /* file: the certificate, then its intermediates */
    const struct sp_config_identity *identity;
    bool anonymous;
    /* what */
    const char *listener; /* NULL: the first */
    const char *sni;      /* NULL: as the host */
    const char *host, *method, *path;
    const char *upgrade; /* a protocol; NULL: none */
    const char *source;  /* an address; NULL: none */
    const struct sp_config_header *headers;
    size_t header_count;
    const char *time; /* RFC 3339, or NULL: now */
    /* what is to come of it: one of the two */
    bool allowed;
    const char *rule;     /* NULL: any */
    const char *upstream; /* NULL: any */
    const char *reason;   /* of the refusal; NULL: any */
    unsigned status;      /* 0: any */
};

struct sp_cases {
    struct sp_arena arena;
    const char *file;
    const struct sp_case *items;
    size_t count;
};

/* Reads `file`. All that is wrong goes to `diags`, with its place. On SP_OK hands over *out. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_cases_load(const char *file, struct sp_cases **out, struct sp_diags *diags);
SP_MUST_USE enum sp_rc sp_cases_parse(
    const char *file, struct sp_slice text, struct sp_cases **out, struct sp_diags *diags);
void sp_cases_free(struct sp_cases *cases); /* takes NULL */

/* One "FIELD=VALUE" more for an identity ("uri=spiffe://…", "subject.OU=dev"): the fields above, lists by repetition.
 * Text goes into `arena`. SP_FAIL: `err` says what was expected. `into` starts zeroed. */
SP_MUST_USE enum sp_rc sp_config_identity_add(
    struct sp_config_identity *into, struct sp_arena *arena, struct sp_slice field_value, struct sp_err *err);

/* ---- a line of a log ---- */

/* A flat line as this program logs it: a JSON object, or key=value text. Slices point into `arena`. */
struct sp_record_field {
    struct sp_slice key, value;
};
/* SP_FAIL: `err` says what is wrong with the line. */
SP_MUST_USE enum sp_rc sp_record_parse(struct sp_arena *arena, struct sp_slice line,
    const struct sp_record_field **fields, size_t *count, struct sp_err *err);

#endif
