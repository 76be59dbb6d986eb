/* Identities and configurations made by hand, so that the tables of callers.c and policy.c stand without a
 * parser or a certificate. */
#ifndef SP_TEST_POLICY_FIXTURE_H
#define SP_TEST_POLICY_FIXTURE_H

#include "sallyport/policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TEXT(literal) SP_SLICE(literal)
#define HERE                                                                                                 \
    {                                                                                                        \
        7, 3                                                                                                 \
    }
#define NAMES_MAX 4

static const struct sp_pos here = HERE;

struct names {
    struct sp_slice uris[NAMES_MAX], dns[NAMES_MAX], emails[NAMES_MAX];
    struct sp_name_attr attrs[NAMES_MAX];
    uint8_t sha256[32];
};

static size_t given(const struct sp_slice *items)
{
    size_t n = 0;
    while (n < NAMES_MAX && items[n].ptr != NULL)
        n++;
    return n;
}

static struct sp_identity identity_of(const struct names *n)
{
    struct sp_identity id = {
        .uris = {n->uris, given(n->uris)},
        .dns_names = {n->dns, given(n->dns)},
        .emails = {n->emails, given(n->emails)},
        .subject_attrs = n->attrs,
    };
    while (id.subject_attr_count < NAMES_MAX && n->attrs[id.subject_attr_count].type.ptr != NULL)
        id.subject_attr_count++;
    memcpy(id.sha256, n->sha256, sizeof id.sha256);
    return id;
}

static const char *const only_caller[] = {"it"};
static const struct sp_config_upstream upstreams[] = {{.name = "other"}, {.name = "billing"}};

static inline struct sp_config_rule rule_for_it(void)
{
    return (struct sp_config_rule){.at = here,
        .name = "r",
        .from = {only_caller, &here, 1},
        .host_at = here,
        .path_at = here,
        .upstream = "billing",
        .upstream_at = here};
}

static inline struct sp_config config_of(const struct sp_config_caller *callers, size_t caller_count,
    const struct sp_config_rule *rules, size_t rule_count)
{
    return (struct sp_config){.refs = 1, /* never given up: it lies on the stack */
        .file = "t.yaml",
        .callers = callers,
        .caller_count = caller_count,
        .rules = rules,
        .rule_count = rule_count,
        .upstreams = upstreams,
        .upstream_count = SP_COUNTOF(upstreams)};
}

static inline struct sp_standing *stand(const struct sp_policy *p, const struct sp_identity *id)
{
    struct sp_connection c = {.identity = id, .listener = "internal"};
    struct sp_standing *s = sp_policy_stand(p, &c);
    assert_non_null(s);
    return s;
}

/* The policy of `config` is refused, with `count` errors, all at `here`; the first says `needle`. */
static inline void expect_refused(struct sp_config *config, size_t count, const char *needle)
{
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(config, NULL, &diags);
    assert_null(p);
    assert_int_equal(diags.errors, count);
    for (size_t i = 0; i < diags.count; i++) {
        assert_int_equal(diags.items[i].severity, SP_DIAG_ERROR);
        assert_string_equal(diags.items[i].file, "t.yaml");
        assert_int_equal(diags.items[i].at.line, here.line);
        assert_int_equal(diags.items[i].at.column, here.column);
    }
    if (strstr(diags.items[0].text, needle) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", diags.items[0].text, needle);
    sp_diags_free(&diags);
}

#endif
