/* What requirements are compiled to (requirements.c) and judged by (requirements_judge.c). Private to `pki`. */
#ifndef SP_SRC_PKI_REQUIREMENTS_IMPL_H
#define SP_SRC_PKI_REQUIREMENTS_IMPL_H

#include "sallyport/match/match.h"
#include "sallyport/pki/requirements.h"

enum { SP_KEY_TYPES = SP_KEY_ED448 + 1 };

struct sp_name_pattern {
    struct sp_slice text;
    union {
        struct sp_uri_pattern uri;
        struct sp_slice dns;
        struct sp_email_pattern email;
        struct sp_cidr ip;
    } is;
};

struct sp_naming {
    enum sp_presence presence;
    const struct sp_name_pattern *patterns;
    size_t count; /* 0: any name will do */
};

struct sp_requirements {
    struct sp_arena
        arena; /* everything is copied: a trust may outlive the configuration that it was made of */
    uint64_t max_validity_ms;
    unsigned key_types; /* bits: 1 << enum sp_key_type; 0: any */
    unsigned min_bits[SP_KEY_TYPES];
    struct sp_slices signature_algorithms, ekus, policies;
    bool client_eku_required;
    struct sp_naming names[SP_NAME_TYPES];
};

/* As the configuration writes it. */
const char *sp_key_word(enum sp_key_type type);

#endif
