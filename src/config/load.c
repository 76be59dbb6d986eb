/* From a file or a text to a configuration. Parsing is pure: it opens nothing and looks nothing up, so that it
 * can be fuzzed and run on what an editor holds; only sp_config_load reads the file. Invariant: *out is set only for a
 * text in which nothing was wrong. Elsewhere: the walk over the keys (table.c). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "config/table.h"

#define THREADS_MAX      256
#define CONFIG_MAX_BYTES ((size_t)1024 * 1024 * 1024)
#define READ_BYTES       ((size_t)64 * 1024)

static unsigned usable_cpus(void)
{
    cpu_set_t set;
    long count = 0;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        count = CPU_COUNT(&set);
    else
        count = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than the set has bits */
    return count < 1 ? 1 : (count > THREADS_MAX ? THREADS_MAX : (unsigned)count);
}

struct sp_reader sp_reader_of(struct sp_arena *arena, const char *file, struct sp_diags *diags)
{
    const char *slash = strrchr(file, '/');

    return (struct sp_reader){.arena = arena,
        .diags = diags,
        .file = file,
        .folder = {file, slash != NULL ? (size_t)(slash - file) + 1 : 0}};
}

enum sp_rc sp_config_parse(
    const char *file, struct sp_slice text, struct sp_config **out, struct sp_diags *diags)
{
    struct sp_config *config = SP_NEW(struct sp_config);
    struct sp_arena tree;
    struct sp_node *root = NULL;
    size_t errors_before = diags->errors;

    *out = NULL;
    sp_arena_init(&tree, CONFIG_MAX_BYTES);
    if (config == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, file, (struct sp_pos){0, 0}, "out of memory");
        goto out;
    }
    atomic_init(&config->refs, 1);
    sp_arena_init(&config->arena, CONFIG_MAX_BYTES);
    struct sp_reader reader = sp_reader_of(&config->arena, file, diags);
    config->file = sp_reader_copy(&reader, sp_slice_of(file));
    if (sp_yaml_parse(&tree, file, text, diags, &root) != SP_OK)
        goto out;
    if (root->kind != SP_NODE_MAP) {
        if (root->kind != SP_NODE_BAD)
            sp_report_expected(&reader, NULL, root, "a mapping of keys");
        goto out;
    }
    sp_section_read(&reader, &sp_section_root, root, NULL, config);
    sp_config_derive(&reader, root, config);
    sp_check_all(&reader, root, config);
    config->workers = config->workers != 0 ? config->workers : usable_cpus();
    config->gates = config->gates != 0 ? config->gates : usable_cpus();
out:
    sp_arena_free(&tree);
    if (diags->errors != errors_before) {
        sp_config_free(config);
        return SP_FAIL;
    }
    *out = config;
    return SP_OK;
}

enum sp_rc sp_read_file(const char *file, struct sp_buf *out, struct sp_diags *diags)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : 0;

    while (error == 0 && out->len <= SP_YAML_MAX_BYTES) { /* one that is too large is refused by the parser */
        char *room = sp_buf_room(out, READ_BYTES);
        if (room == NULL) {
            error = ENOMEM;
            break;
        }
        ssize_t got = read(fd, room, READ_BYTES);
        if (got == 0)
            break;
        if (got > 0)
            out->len += (size_t)got;
        else if (errno != EINTR)
            error = errno;
    }
    if (fd >= 0)
        (void)close(fd);
    if (error == 0)
        return SP_OK;
    struct sp_err text = {0};
    (void)sp_err_sys(&text, error, "cannot read the file");
    sp_diag_add(diags, SP_DIAG_ERROR, file, (struct sp_pos){0, 0}, "%s", text.text);
    return SP_FAIL;
}

enum sp_rc sp_config_load(const char *file, struct sp_config **out, struct sp_diags *diags)
{
    struct sp_buf text;

    *out = NULL;
    sp_buf_init(&text, SP_YAML_MAX_BYTES + READ_BYTES);
    enum sp_rc rc = sp_read_file(file, &text, diags);
    if (rc == SP_OK)
        rc = sp_config_parse(file, sp_buf_slice(&text), out, diags);
    sp_buf_free(&text);
    return rc;
}

struct sp_config *sp_config_ref(struct sp_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

void sp_config_free(struct sp_config *config)
{
    if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1)
        return;
    sp_arena_free(&config->arena);
    sp_free(config);
}
