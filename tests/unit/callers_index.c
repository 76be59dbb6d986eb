/* How many entries are looked at for one identity: a few, however many there are and whatever most of them share. */
#include "callers_rig.h"

#include "policy/callers/callers_impl.h"

#define TEXT(literal) SP_SLICE(literal)

enum { ENTRIES = 5000 };

/* What entry `i` asks for, with its number in it; NULL: not asked. */
struct shape {
    const char *name;
    const char *uri, *dns, *email, *ip, *serial, *cn;
    bool shares_organisation, shares_caller, shares_any;
    size_t most; /* looked at */
};

struct entry_texts {
    char uri[64], dns[64], email[64], ip[32], serial[32], cn[64];
};

static void count_one(void *arg, uint32_t entry)
{
    (void)entry;
    ++*(size_t *)arg;
}

static const char *numbered(char *out, size_t room, const char *format, size_t i)
{
    const char *hash = format != NULL ? strchr(format, '#') : NULL;
    if (format == NULL)
        return NULL;
    assert_non_null(hash);
    (void)snprintf(out, room, "%.*s%04zx%s", (int)(hash - format), format, i, hash + 1);
    return out;
}

static void make_entry(const struct shape *s, size_t i, struct entry_texts *t, struct sp_config_attr attrs[2],
    struct sp_config_caller_entry *out)
{
    *out = (struct sp_config_caller_entry){.uri = numbered(t->uri, sizeof t->uri, s->uri, i),
        .dns = numbered(t->dns, sizeof t->dns, s->dns, i),
        .email = numbered(t->email, sizeof t->email, s->email, i),
        .ip = numbered(t->ip, sizeof t->ip, s->ip, i),
        .serial = numbered(t->serial, sizeof t->serial, s->serial, i),
        .subject = attrs};
    if (s->shares_organisation)
        attrs[out->subject_count++] = (struct sp_config_attr){"O", "Corp"};
    if (s->cn != NULL)
        attrs[out->subject_count++] = (struct sp_config_attr){"CN", numbered(t->cn, sizeof t->cn, s->cn, i)};
    if (s->shares_caller)
        out->caller = "shared";
    if (s->shares_any)
        out->any = SP_CALLER_ANY_AUTHENTICATED;
}

static struct sp_identity number_7(void)
{
    static const struct sp_slice uris[] = {TEXT("spiffe://corp/ns/a/sa/0007"),
        TEXT("spiffe://corp/ns/x-0007-y/z")},
                                 dns[] = {TEXT("h0007.corp"), TEXT("h.0007.corp")},
                                 emails[] = {TEXT("ann0007@corp"), TEXT("ann@0007.corp")},
                                 ips[] = {{"\x20\x01\x0d\xb8\0\7\0\0\0\0\0\0\0\0\0\0", 16}};
    static const struct sp_name_attr subject[] = {
        {TEXT("O"), TEXT("Corp"), 0}, {TEXT("CN"), TEXT("n0007"), 1}};
    return (struct sp_identity){.uris = {uris, 2},
        .dns_names = {dns, 2},
        .emails = {emails, 2},
        .ips = {ips, 1},
        .subject_attrs = subject,
        .subject_attr_count = 2,
        .serial_hex = TEXT("010007")};
}

static void test_few_entries_are_looked_at_whatever_most_of_them_share(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {.name = "a URI", .uri = "spiffe://corp/ns/a/sa/#", .most = 1},
        {.name = "a segment behind a star", .uri = "spiffe://corp/ns/*/sa/#", .most = 1},
        {.name = "a segment behind two stars", .uri = "spiffe://corp/*/*/sa/#", .most = 1},
        {.name = "globs by their front", .uri = "spiffe://corp/ns/x-#-*/**", .most = 1},
        {.name = "globs by their back", .uri = "spiffe://corp/ns/*-#-y/z", .most = 1},
        {.name = "a DNS name", .dns = "h#.corp", .most = 1},
        {.name = "below a DNS name", .dns = "*.#.corp", .most = 1},
        {.name = "an e-mail name", .email = "ann#@corp", .most = 1},
        {.name = "below a domain", .email = "*@#.corp", .most = 1},
        {.name = "an address block", .ip = "2001:db8:#::/48", .most = 1},
        {.name = "a CN beside a shared O", .cn = "n#", .shares_organisation = true, .most = 1},
        {.name = "a serial beside a shared O", .serial = "01#", .shares_organisation = true, .most = 1},
        {.name = "a pattern beside a shared O",
            .uri = "spiffe://corp/ns/*/sa/#",
            .shares_organisation = true,
            .most = 1},
        {.name = "a name beside a shared caller", .dns = "h#.corp", .shares_caller = true, .most = 1},
        {.name = "a block beside any", .ip = "2001:db8:#::/48", .shares_any = true, .most = 1},
        {.name = "a name beside all that is shared",
            .email = "*@#.corp",
            .shares_organisation = true,
            .shares_caller = true,
            .shares_any = true,
            .most = 1},
    };
    struct sp_config_caller_entry *entries = calloc(ENTRIES, sizeof *entries);
    struct entry_texts *texts = calloc(ENTRIES, sizeof *texts);
    struct sp_config_attr(*attrs)[2] = calloc(ENTRIES, sizeof *attrs);
    assert_true(entries != NULL && texts != NULL && attrs != NULL);
    const struct sp_identity id = number_7();
    static const struct sp_config_caller_entry everybody = {.any = SP_CALLER_ANY_AUTHENTICATED};
    for (size_t s = 0; s < SP_COUNTOF(shapes); s++) {
        for (size_t i = 0; i < ENTRIES; i++)
            make_entry(&shapes[s], i, &texts[i], attrs[i], &entries[i]);
        const struct sp_config_caller callers[] = {{.name = "it", .entries = entries, .entry_count = ENTRIES},
            {.name = "shared", .entries = &everybody, .entry_count = 1}};
        struct callers_rig r;
        size_t looked_at = 0;
        rig_must_make(&r, callers, 2);
        sp_caller_index_probe(r.callers->index, &id, count_one, &looked_at);
        sp_caller_index_probe_set(r.callers->index, 1, count_one, &looked_at);
        if (!rig_is_it(&r, &id) || looked_at > shapes[s].most + 1) /* and the one of "shared" */
            fail_msg("%s: %zu looked at, found: %d", shapes[s].name, looked_at, rig_is_it(&r, &id));
        rig_free(&r);
    }
    free(entries);
    free(texts);
    free(attrs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_entries_are_looked_at_whatever_most_of_them_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
