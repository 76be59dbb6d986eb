/* Configurations as an operator would write them, in pieces, so that a case shows only the piece that it is
 * about. */
#ifndef SP_TEST_CONFIG_FIXTURE_H
#define SP_TEST_CONFIG_FIXTURE_H

#include "sallyport/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TLS       "tls: {certificates: [{chain: c.pem, key: k.pem}]}"
#define AUTH      "client_auth: {ca: [ca.pem], crl: [crl/]}"
#define LISTENERS "listeners: [{name: l, address: \"127.0.0.1:8443\", " TLS ", " AUTH "}]\n"
#define CALLERS   "callers: {c: [{uri: \"spiffe://x/y\"}]}\n"
#define RULES     "rules: [{name: r, from: [c], upstream: u}]\n"
#define UPSTREAMS "upstreams: {u: {endpoints: [\"127.0.0.1:80\"]}}\n"
#define REST      LISTENERS CALLERS RULES UPSTREAMS

/* What sp_diags_print says, NUL-terminated; to be freed by free(). */
static inline char *printed(const struct sp_diags *diags)
{
    struct sp_buf out = {0};

    sp_diags_print(diags, &out);
    assert_int_equal(sp_buf_add_char(&out, '\0'), SP_OK);
    char *text = strdup(out.ptr);
    sp_buf_free(&out);
    assert_non_null(text);
    return text;
}

/* Parses what must be right; `warnings` is what must have been said. To be freed by sp_config_free. */
static inline struct sp_config *parse_good(const char *file, const char *text, const char *warnings)
{
    struct sp_diags diags = {0};
    struct sp_config *config = NULL;
    enum sp_rc rc = sp_config_parse(file, sp_slice_of(text), &config, &diags);
    char *said = printed(&diags);

    assert_string_equal(said, warnings);
    assert_int_equal(rc, SP_OK);
    assert_non_null(config);
    free(said);
    sp_diags_free(&diags);
    return config;
}

/* Parses what must be wrong in exactly the way that `expected` tells. */
static inline void parse_bad(const char *text, const char *expected)
{
    struct sp_diags diags = {0};
    struct sp_config *config = NULL;
    enum sp_rc rc = sp_config_parse("x.yaml", sp_slice_of(text), &config, &diags);
    char *said = printed(&diags);

    assert_string_equal(said, expected);
    assert_int_equal(rc, SP_FAIL);
    assert_null(config);
    free(said);
    sp_diags_free(&diags);
}

#endif
