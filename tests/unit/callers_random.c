/* Who somebody is by the index is who they are by every entry looked at one after the other: random callers and identities out of few
 * letters, so that names collide. */
#include "callers_rig.h"

#include <unistd.h>

#include "policy/callers/callers_impl.h"
#include "sallyport/base/random.h"

enum { CALLERS_MAX = 24, ENTRIES_MAX = 4, NAMES = 4, ATTRS = 3, ROUNDS = 3000, IDENTITIES = 12 };

static size_t below(struct sp_random *r, size_t n)
{
    return (size_t)(sp_random_next(r) % n);
}

static bool one_in(struct sp_random *r, size_t n)
{
    return below(r, n) == 0;
}

#define PICK(r, list) ((list)[below(r, SP_COUNTOF(list))])

/* ---- what there is to choose from ---- */

static const char *const uri_patterns[] = {"urn:a", "urn:b", "s://h/a", "s://h/**", "s://h/a/**", "s://h/*",
    "s://h/*/b", "s://h/a*/b", "s://h/a*b/**", "s://h/*b", "s://g/**", "s://g/a/*/b", "s://h/*/*",
    "s://h/a?x", "s://h/ab*"};
static const char *const uris[] = {"urn:a", "urn:b", "urn:c", "s://h/a", "s://h/b", "s://h/a/b", "s://h/ab/b",
    "s://h/aab", "s://g/a/x/b", "s://g/", "s://h", "s://h/a?x", "s://h/../a", "s://h//a", "s://hh/a",
    "s:/h/a", "s://h/ab/b/c", "s:", ""};
static const char *const dns_patterns[] = {"a", "a.x", "*.x", "*.a.x", "b.x", "A.x", "*.b.x"};
static const char *const dns_names[] = {
    "a", "a.x", "A.X", "b.x", "b.a.x", "c.B.x", "*.x", ".x", "", "a.x.", "x"};
static const char *const email_patterns[] = {"a@x", "b@x", "*@x", "*@y.x", "A@x", "*@Y"};
static const char *const emails[] = {"a@x", "A@x", "b@X", "c@y.x", "c@Y.x", "@x", "a@b@x", "x", "a@", "a@y"};
static const char *const blocks[] = {"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "10.1.2.0/31",
    "2001:db8::/32", "2001:db8::/33", "::/0", "::ffff:10.1.0.0/112", "2001:db8::1"};
static const struct sp_slice addresses[] = {{"\x0a\1\2\3", 4}, {"\x0a\1\2\1", 4}, {"\x0a\2\2\3", 4},
    {"\x0b\1\2\3", 4}, {"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16},
    {"\x20\x01\x0d\xb8\x80\0\0\0\0\0\0\0\0\0\0\1", 16}, {"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\1\2\3", 16},
    {"\0\0\0\0\0\0\0\0\0\0\0\0\x0a\1\2\3", 16}, {"\x0a\1", 2}};
static const char *const attr_types[] = {"CN", "OU", "2.5.4.42", "O"};
static const char *const values[] = {"a", "b", "ab"};
static const char *const serials[] = {"01", "02", "0f3a"};
static const char *const digests[] = {"0100000000000000000000000000000000000000000000000000000000000000",
    "0200000000000000000000000000000000000000000000000000000000000000"};
static const char *const policies[] = {"1.2.3", "1.2.4", "2.5.29.32.0"};
static const char *const authorities[] = {"DE-BAFIN", "AT-FMA"};

/* ---- random callers ---- */

struct world {
    struct sp_config_caller callers[CALLERS_MAX];
    struct sp_config_caller_entry entries[CALLERS_MAX][ENTRIES_MAX];
    struct sp_config_attr subjects[CALLERS_MAX][ENTRIES_MAX][2], issuers[CALLERS_MAX][ENTRIES_MAX][1];
    char names[CALLERS_MAX][24];
    char lists[2][64]; /* files */
    size_t count;
};

static void random_names(struct sp_random *r, struct sp_config_caller_entry *e)
{
    if (one_in(r, 4))
        e->uri = PICK(r, uri_patterns);
    if (one_in(r, 5))
        e->dns = PICK(r, dns_patterns);
    if (one_in(r, 6))
        e->email = PICK(r, email_patterns);
    if (one_in(r, 6))
        e->ip = PICK(r, blocks);
    if (one_in(r, 10))
        e->serial = PICK(r, serials);
    if (one_in(r, 20))
        e->fingerprint_sha256 = PICK(r, digests);
    if (one_in(r, 20))
        e->spki_sha256 = PICK(r, digests);
    if (one_in(r, 10))
        e->policy = PICK(r, policies);
    if (one_in(r, 15))
        e->qc_type = (enum sp_qc_type)(1 + below(r, 3));
    if (one_in(r, 15))
        e->psd2_roles = (unsigned)(1 + below(r, 15));
    if (one_in(r, 15))
        e->psd2_authority = PICK(r, authorities);
}

static void random_entry(struct sp_random *r, struct world *w, size_t caller, size_t i)
{
    struct sp_config_caller_entry *e = &w->entries[caller][i];
    memset(e, 0, sizeof *e);
    if (one_in(r, 20)) {
        e->any = SP_CALLER_ANY_ANONYMOUS;
        return;
    }
    random_names(r, e);
    if (one_in(r, 5)) {
        e->subject = w->subjects[caller][i];
        e->subject_count = 1 + below(r, 2);
        for (size_t k = 0; k < e->subject_count; k++)
            w->subjects[caller][i][k] = (struct sp_config_attr){PICK(r, attr_types), PICK(r, values)};
    }
    if (one_in(r, 10)) {
        e->issuer = w->issuers[caller][i];
        e->issuer_count = 1;
        w->issuers[caller][i][0] = (struct sp_config_attr){PICK(r, attr_types), PICK(r, values)};
    }
    if (caller + 1 < w->count && one_in(r, 4)) /* only one that comes later: no circle */
        e->caller = w->names[caller + 1 + below(r, w->count - caller - 1)];
    if (one_in(r, 8))
        e->file = w->lists[below(r, 2)];
    if (one_in(r, 10))
        e->any = SP_CALLER_ANY_AUTHENTICATED;
    const struct sp_config_caller_entry none = {.any = SP_CALLER_NOT_ANY};
    if (memcmp(e, &none, sizeof none) == 0)
        e->dns = PICK(r, dns_patterns);
}

static void random_world(struct sp_random *r, struct world *w)
{
    w->count = 1 + below(r, CALLERS_MAX);
    for (size_t i = 0; i < w->count; i++) {
        size_t entries = below(r, ENTRIES_MAX + 1);
        (void)snprintf(w->names[i], sizeof w->names[i], "c%zu", i);
        for (size_t k = 0; k < entries; k++)
            random_entry(r, w, i, k);
        w->callers[i] =
            (struct sp_config_caller){.name = w->names[i], .entries = w->entries[i], .entry_count = entries};
    }
}

static void write_list(struct sp_random *r, const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = below(r, 6); i > 0; i--) {
        fprintf(f, "uri:%s\n", PICK(r, uri_patterns));
        fprintf(f, "dns:%s\n", PICK(r, dns_patterns));
        fprintf(f, "subject.%s:%s\n", PICK(r, attr_types), PICK(r, values));
    }
    assert_int_equal(fclose(f), 0);
}

/* ---- random identities ---- */

struct somebody {
    struct sp_identity id;
    struct sp_slice uris[NAMES], dns[NAMES], emails[NAMES], ips[NAMES], policies[NAMES];
    struct sp_name_attr subject[ATTRS], issuer[ATTRS];
};

static size_t random_texts(struct sp_random *r, const char *const *from, size_t choices, struct sp_slice *out)
{
    size_t count = below(r, NAMES);
    for (size_t i = 0; i < count; i++)
        out[i] = sp_slice_of(from[below(r, choices)]);
    return count;
}

#define TEXTS(r, from, out) ((struct sp_slices){out, random_texts(r, from, SP_COUNTOF(from), out)})

static size_t random_attrs(struct sp_random *r, struct sp_name_attr *out)
{
    size_t count = below(r, ATTRS + 1);
    for (size_t i = 0; i < count; i++)
        out[i] = (struct sp_name_attr){sp_slice_of(PICK(r, attr_types)), sp_slice_of(PICK(r, values)), 0};
    return count;
}

static void random_identity(struct sp_random *r, struct somebody *s)
{
    memset(s, 0, sizeof *s);
    s->id.uris = TEXTS(r, uris, s->uris);
    s->id.dns_names = TEXTS(r, dns_names, s->dns);
    s->id.emails = TEXTS(r, emails, s->emails);
    s->id.policies = TEXTS(r, policies, s->policies);
    s->id.ips = (struct sp_slices){s->ips, below(r, NAMES)};
    for (size_t i = 0; i < NAMES; i++)
        s->ips[i] = PICK(r, addresses);
    s->id.subject_attrs = s->subject;
    s->id.subject_attr_count = random_attrs(r, s->subject);
    s->id.issuer_attrs = s->issuer;
    s->id.issuer_attr_count = random_attrs(r, s->issuer);
    s->id.serial_hex = sp_slice_of(PICK(r, serials));
    s->id.sha256[0] = (uint8_t)below(r, 3);
    s->id.spki_sha256[0] = (uint8_t)below(r, 3);
    s->id.qualified = (struct sp_qualified){.is_qualified = one_in(r, 2),
        .type = (enum sp_qc_type)below(r, 4),
        .psd2_roles = (unsigned)below(r, 16),
        .authority_id = one_in(r, 2) ? sp_slice_of(PICK(r, authorities)) : (struct sp_slice){NULL, 0}};
}

/* ---- one after the other ---- */

/* Every entry, again and again until nothing is added. */
static void naive(const struct sp_compiled_callers *c, const struct sp_identity *id, uint64_t *sets)
{
    const struct sp_asked asked = {id, sets, c->config};
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < c->entry_count; i++) {
            const struct sp_caller_entry *e = &c->entries[i];
            bool holds = !sp_set_has(sets, e->set);
            for (uint32_t k = 0; k < e->count && holds; k++)
                holds = sp_field_holds(&c->fields[e->first + k], &asked);
            if (holds)
                sets[e->set / 64] |= (uint64_t)1 << (e->set % 64);
            more = more || holds;
        }
    }
}

static size_t compare(const struct callers_rig *rig, const struct sp_identity *id, size_t round)
{
    uint64_t sets[1] = {0};
    uint32_t *ids = NULL;
    size_t count = 0, at = 0;
    naive(rig->callers, id, sets);
    assert_int_equal(sp_callers_of(rig->callers, id, &ids, &count), SP_OK);
    for (size_t i = 0; i < rig->config.caller_count; i++) {
        bool found = at < count && ids[at] == i;
        if (found != sp_set_has(sets, (uint32_t)i))
            fail_msg("round %zu: caller %zu is %sfound", round, i, found ? "" : "not ");
        at += found;
    }
    assert_int_equal(at, count);
    sp_free(ids);
    return count;
}

static void test_the_index_finds_whom_every_entry_alone_would_find(void **state)
{
    (void)state;
    static struct world w;
    struct sp_random r = {{3, 5, 7, 11}};
    size_t found = 0, asked = 0;
    for (size_t i = 0; i < SP_COUNTOF(w.lists); i++) {
        (void)snprintf(w.lists[i], sizeof w.lists[i], "/tmp/sp-callers-XXXXXX");
        int fd = mkstemp(w.lists[i]);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        struct callers_rig rig;
        if (round % 10 == 0) {
            write_list(&r, w.lists[0]);
            write_list(&r, w.lists[1]);
        }
        random_world(&r, &w);
        rig_must_make(&rig, w.callers, w.count);
        found += compare(&rig, NULL, round);
        for (size_t i = 0; i < IDENTITIES; i++) {
            struct somebody s;
            random_identity(&r, &s);
            found += compare(&rig, &s.id, round);
            asked++;
        }
        rig_free(&rig);
    }
    for (size_t i = 0; i < SP_COUNTOF(w.lists); i++)
        assert_int_equal(unlink(w.lists[i]), 0);
    assert_true(found > asked); /* they do match */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_index_finds_whom_every_entry_alone_would_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
