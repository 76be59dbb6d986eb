/* Which addresses are bound, over reloads. Each has one socket a gate (SO_REUSEPORT, or one unix socket shared
 * by all), whose number never changes while it stays: closing one would drop the connections that wait in its
 * queue.
 *
 * The descriptors are the gates' from the moment they are published; here they are only remembered, to name
 * them again. The file of a unix socket stays ours, and goes when the binding goes. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon_impl.h"
#include "sallyport/io/socket.h"

static struct sp_binding *binding_of(struct sp_list *link)
{
    return SP_CONTAINER_OF(link, struct sp_binding, link);
}

/* Port 0 is a different address each time, so there the name decides. */
static struct sp_binding *find(struct sp_daemon *d, const struct sp_config_listener *l)
{
    bool any_port = !sp_addr_is_unix(&l->address) && sp_addr_port(&l->address) == 0;

    SP_LIST_EACH (&d->bindings, it) {
        struct sp_binding *b = binding_of(it);
        if (sp_addr_equal(&b->address, &l->address) && (!any_port || strcmp(b->name, l->name) == 0))
            return b;
    }
    return NULL;
}

/* ---- files of unix sockets ---- */

static const char *path_of(const struct sp_addr *address)
{
    return address->u.un.sun_path;
}

void sp_bound_file_note(struct sp_bound_file *f, const struct sp_addr *address)
{
    struct stat st;

    *f = (struct sp_bound_file){.address = *address};
    if (!sp_addr_is_unix(address) || path_of(address)[0] == '\0' || lstat(path_of(address), &st) != 0)
        return;
    f->is_ours = true;
    f->dev = st.st_dev;
    f->ino = st.st_ino;
}

void sp_bound_file_remove(struct sp_bound_file *f)
{
    struct stat st;

    if (f->is_ours && lstat(path_of(&f->address), &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino)
        (void)unlink(path_of(&f->address)); /* the next start takes a stale one over */
    f->is_ours = false;
}

/* ---- one address ---- */

/* Ends what nobody was told of: the first `count` descriptors are still ours. */
static void discard(struct sp_binding *b, unsigned count)
{
    sp_bound_file_remove(&b->file);
    for (unsigned i = 0; i < count; i++)
        close(b->fds[i]);
    sp_list_remove(&b->link);
    sp_free(b);
}

/* The first socket settles the port; the others of the same address join it. */
static enum sp_rc open_fd(struct sp_binding *b, unsigned gate, struct sp_err *err)
{
    struct sp_addr address = b->address;

    if (gate > 0 && sp_addr_is_unix(&address)) {
        b->fds[gate] = fcntl(b->fds[0], F_DUPFD_CLOEXEC, 0);
        return b->fds[gate] >= 0 ? SP_OK : sp_err_sys(err, errno, "listener %s", b->name);
    }
    if (gate > 0 && sp_socket_local(b->fds[0], &address) != SP_OK)
        return sp_err_sys(err, errno, "listener %s", b->name);
    if (sp_socket_listen(&address, true, &b->fds[gate], err) != SP_OK)
        return sp_err_wrap(err, "listener %s", b->name);
    if (gate == 0)
        sp_bound_file_note(&b->file, &address);
    return SP_OK;
}

static struct sp_binding *bind_one(
    struct sp_daemon *d, const struct sp_config_listener *l, struct sp_err *err)
{
    struct sp_binding *b = sp_alloc(1, sizeof(*b) + d->gate_count * sizeof(int));

    if (b == NULL) {
        sp_err_sys(err, ENOMEM, "listener %s", l->name);
        return NULL;
    }
    sp_list_init(&b->link);
    b->address = l->address;
    strncpy(b->name, l->name, sizeof(b->name) - 1);
    for (unsigned i = 0; i < d->gate_count; i++) {
        if (open_fd(b, i, err) != SP_OK) {
            discard(b, i);
            return NULL;
        }
    }
    return b;
}

/* SO_REUSEPORT lets an address be widened or narrowed ("0.0.0.0" and "127.0.0.1" on one port) while the old one
 * still serves. It would also let a second daemon take its share: hence the look at what is not ours, which
 * could not tell the two apart. */
static bool has_port_of(const struct sp_list *bindings, const struct sp_addr *address)
{
    for (struct sp_list *it = bindings->next; it != bindings; it = it->next) {
        struct sp_addr bound; /* as configured, its port may be 0 */
        if (sp_socket_local(binding_of(it)->fds[0], &bound) == SP_OK && !sp_addr_is_unix(&bound) &&
            sp_addr_port(&bound) == sp_addr_port(address))
            return true;
    }
    return false;
}

enum sp_rc sp_sockets_bind(struct sp_daemon *d, const struct sp_snapshot *snapshot, struct sp_err *err)
{
    struct sp_list fresh;

    sp_list_init(&fresh);
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        const struct sp_config_listener *l = snapshot->listeners[i].config;
        if (find(d, l) != NULL)
            continue;
        bool joins_ours = has_port_of(&d->bindings, &l->address) || has_port_of(&fresh, &l->address);
        if (!joins_ours && sp_socket_check_free(&l->address, err) != SP_OK) {
            sp_err_wrap(err, "listener %s", l->name);
            goto fail;
        }
        struct sp_binding *b = bind_one(d, l, err);
        if (b == NULL)
            goto fail;
        sp_list_append(&fresh, &b->link);
    }
    while (!sp_list_is_empty(&fresh)) {
        struct sp_list *link = fresh.next;
        sp_list_remove(link);
        sp_list_append(&d->bindings, link);
    }
    return SP_OK;
fail:
    SP_LIST_EACH (&fresh, it)
        discard(binding_of(it), d->gate_count);
    return SP_FAIL;
}

/* ---- all of them ---- */

static struct sp_gate_update *update_of(struct sp_daemon *d, unsigned gate, struct sp_snapshot *snapshot)
{
    struct sp_gate_update *u = sp_gate_update_new(d->gates[gate].gate, snapshot, snapshot->listener_count);

    if (u == NULL)
        return NULL;
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        const struct sp_config_listener *l = snapshot->listeners[i].config;
        strncpy(u->sockets[i].listener, l->name, sizeof(u->sockets[i].listener) - 1);
        u->sockets[i].fd = find(d, l)->fds[gate];
    }
    return u;
}

/* The gates are being told: what `snapshot` names goes by its names now, the rest is theirs to close. */
static void settle(struct sp_daemon *d, const struct sp_snapshot *snapshot)
{
    SP_LIST_EACH (&d->bindings, it)
        binding_of(it)->named = false;
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        struct sp_binding *b = find(d, snapshot->listeners[i].config);
        SP_ASSERT(b != NULL); /* all of them are bound by now */
        strncpy(b->name, snapshot->listeners[i].config->name, sizeof(b->name) - 1);
        b->named = b->published = true;
    }
    SP_LIST_EACH (&d->bindings, it) {
        if (!binding_of(it)->named)
            discard(binding_of(it), 0);
    }
}

static void discard_unpublished(struct sp_daemon *d)
{
    SP_LIST_EACH (&d->bindings, it) {
        if (!binding_of(it)->published)
            discard(binding_of(it), d->gate_count);
    }
}

struct sp_gate_update **sp_sockets_prepare(
    struct sp_daemon *d, struct sp_snapshot *snapshot, struct sp_err *err)
{
    struct sp_gate_update **updates = sp_alloc(d->gate_count, sizeof(*updates));
    bool complete = updates != NULL;

    for (unsigned i = 0; complete && i < d->gate_count; i++) {
        updates[i] = update_of(d, i, snapshot);
        complete = updates[i] != NULL;
    }
    if (complete)
        return updates;
    for (unsigned i = 0; updates != NULL && i < d->gate_count; i++)
        sp_gate_update_free(updates[i]);
    sp_free(updates);
    discard_unpublished(d);
    sp_err_sys(err, ENOMEM, "listeners");
    return NULL;
}

void sp_sockets_publish(
    struct sp_daemon *d, const struct sp_snapshot *snapshot, struct sp_gate_update **updates)
{
    settle(d, snapshot); /* first: a gate may close what is not named as soon as it is told */
    for (unsigned i = 0; i < d->gate_count; i++)
        sp_gate_post(updates[i]);
    sp_free(updates);
}

void sp_sockets_forget(struct sp_daemon *d)
{
    SP_LIST_EACH (&d->bindings, it)
        discard(binding_of(it), binding_of(it)->published ? 0 : d->gate_count);
}

void sp_sockets_tell(struct sp_daemon *d)
{
    SP_LIST_EACH (&d->bindings, it) {
        struct sp_binding *b = binding_of(it);
        struct sp_addr address;
        char text[SP_ADDR_TEXT];
        if (b->told || sp_socket_local(b->fds[0], &address) != SP_OK)
            continue;
        b->told = true;
        struct sp_log_field fields[] = {
            SP_LOG_C("listener", b->name), SP_LOG_C("address", sp_addr_format(&address, text))};
        sp_log_event(d->logger, SP_LOG_INFO, "listening", fields, SP_COUNTOF(fields));
    }
}
