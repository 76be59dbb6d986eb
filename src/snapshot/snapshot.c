/* Builds everything that one configuration means, or nothing: a snapshot that exists is complete. What is wrong
 * is collected over all parts before giving up, so that an operator mends a file once. */
#include "sallyport/snapshot/snapshot.h"

static void free_listener(struct sp_snapshot_listener *l, unsigned gates)
{
    for (unsigned i = 0; l->tls != NULL && i < gates; i++)
        sp_tls_server_free(l->tls[i]);
    sp_free(l->tls);
    sp_trust_free(l->trust);
}

static void snapshot_free(struct sp_snapshot *s)
{
    for (size_t i = 0; i < s->listener_count; i++)
        free_listener(&s->listeners[i], s->gates);
    sp_free(s->listeners);
    sp_policy_free(s->policy);
    sp_config_free(s->config);
    sp_free(s);
}

struct sp_snapshot *sp_snapshot_ref(struct sp_snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void sp_snapshot_unref(struct sp_snapshot *s)
{
    if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        snapshot_free(s);
}

static void no_memory(const struct sp_config *config, struct sp_diags *diags)
{
    sp_diag_add(diags, SP_DIAG_ERROR, config->file, (struct sp_pos){0, 0}, "not enough memory");
}

/* The first gate's contexts tell what is wrong with the files; the others repeat a load that went well, so
 * their warnings are dropped. False: it is not complete. */
static bool build_listener(struct sp_snapshot *s, struct sp_snapshot_listener *l, struct sp_diags *diags)
{
    const char *file = s->config->file;

    l->trust = sp_trust_new(file, &l->config->client_auth, diags);
    if (l->trust == NULL) {
        sp_tls_server_free(sp_tls_server_new(file, l->config, NULL, diags)); /* for what it tells */
        return false;
    }
    l->tls = sp_alloc(s->gates, sizeof(struct sp_tls_server *));
    if (l->tls == NULL)
        return false;
    for (unsigned i = 0; i < s->gates; i++) {
        struct sp_diags again = {0};
        struct sp_diags *into = i == 0 ? diags : &again;
        l->tls[i] = sp_tls_server_new(file, l->config, l->trust, into);
        if (i > 0 && l->tls[i] == NULL)
            sp_diag_add(diags, SP_DIAG_ERROR, file, l->config->at,
                "listener %s: its certificates changed while they were read", l->config->name);
        sp_diags_free(&again);
        if (l->tls[i] == NULL)
            return false;
    }
    return true;
}

/* False: something is missing, whether or not `diags` was told what. */
static bool build(struct sp_snapshot *s, struct sp_diags *diags)
{
    bool complete = true;

    s->listeners = sp_alloc(s->config->listener_count, sizeof(*s->listeners));
    if (s->listeners == NULL)
        return false;
    s->listener_count = s->config->listener_count;
    for (size_t i = 0; i < s->listener_count; i++) {
        s->listeners[i].config = &s->config->listeners[i];
        if (!build_listener(s, &s->listeners[i], diags))
            complete = false;
    }
    s->policy = sp_policy_new(s->config, diags);
    return complete && s->policy != NULL;
}

enum sp_rc sp_snapshot_load(
    const char *file, unsigned gates, uint64_t generation, struct sp_snapshot **out, struct sp_diags *diags)
{
    struct sp_config *config = NULL;

    *out = NULL;
    if (sp_config_load(file, &config, diags) != SP_OK && config == NULL)
        return SP_FAIL; /* with one, `diags` has the error that ends this below, after all others are told */
    struct sp_snapshot *s = SP_NEW(struct sp_snapshot);
    if (s == NULL) {
        no_memory(config, diags);
        sp_config_free(config);
        return SP_FAIL;
    }
    atomic_init(&s->refs, 1);
    s->generation = generation;
    s->config = config;
    s->gates = gates != 0 ? gates : config->gates;
    bool complete = build(s, diags);
    if (!complete && diags->errors == 0)
        no_memory(config, diags);
    if (diags->errors > 0) {
        sp_snapshot_unref(s);
        return SP_FAIL;
    }
    *out = s;
    return SP_OK;
}

const struct sp_snapshot_listener *sp_snapshot_find(const struct sp_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (strcmp(s->listeners[i].config->name, name) == 0)
            return &s->listeners[i];
    }
    return NULL;
}
