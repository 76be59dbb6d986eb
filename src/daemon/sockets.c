/* Which addresses are bound, over reloads. Each has one socket a gate (SO_REUSEPORT, or one unix socket shared by all), whose number
 * never changes while it stays: closing one would drop the connections that wait in its queue.
 *
 * The descriptors are the gates' from the moment they are published; here they are only remembered, to name them again. */
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

    SP_LIST_EACH(&d->bindings, it)
    {
        struct sp_binding *b = binding_of(it);
        if (sp_addr_equal(&b->address, &l->address) && (!any_port || strcmp(b->name, l->name) == 0))
            return b;
    }
    return NULL;
}

static void close_fds(const struct sp_binding *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(b->fds[i]);
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
    if (gate == 0 && sp_socket_check_free(&address, err) != SP_OK)
        return sp_err_wrap(err, "listener %s", b->name);
    if (sp_socket_listen(&address, true, &b->fds[gate], err) != SP_OK)
        return sp_err_wrap(err, "listener %s", b->name);
    return SP_OK;
}

static struct sp_binding *bind_one(struct sp_daemon *d, const struct sp_config_listener *l, struct sp_err *err)
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
            close_fds(b, i);
            sp_free(b);
            return NULL;
        }
    }
    return b;
}

enum sp_rc sp_sockets_bind(struct sp_daemon *d, const struct sp_snapshot *snapshot, struct sp_err *err)
{
    struct sp_list fresh;

    sp_list_init(&fresh);
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        const struct sp_config_listener *l = snapshot->listeners[i].config;
        if (find(d, l) != NULL)
            continue;
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
    SP_LIST_EACH(&fresh, it)
    {
        close_fds(binding_of(it), d->gate_count);
        sp_free(binding_of(it));
    }
    return SP_FAIL;
}

static struct sp_gate_update *update_of(struct sp_daemon *d, unsigned gate, struct sp_snapshot *snapshot)
{
    struct sp_gate_update *u = sp_gate_update_new(d->gates[gate].gate, snapshot, snapshot->listener_count);

    if (u == NULL)
        return NULL;
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        struct sp_binding *b = find(d, snapshot->listeners[i].config);
        strncpy(b->name, snapshot->listeners[i].config->name, sizeof(b->name) - 1);
        b->named = true;
        memcpy(u->sockets[i].listener, b->name, sizeof(b->name));
        u->sockets[i].fd = b->fds[gate];
    }
    return u;
}

enum sp_rc sp_sockets_publish(struct sp_daemon *d, struct sp_snapshot *snapshot, struct sp_err *err)
{
    struct sp_gate_update **updates = sp_alloc(d->gate_count, sizeof(*updates));
    enum sp_rc rc = SP_OK;

    SP_LIST_EACH(&d->bindings, it)
        binding_of(it)->named = false;
    for (unsigned i = 0; updates != NULL && i < d->gate_count; i++) {
        updates[i] = update_of(d, i, snapshot);
        if (updates[i] == NULL)
            rc = SP_FAIL;
    }
    if (updates == NULL || rc != SP_OK) {
        for (unsigned i = 0; updates != NULL && i < d->gate_count; i++)
            sp_gate_update_free(updates[i]);
        sp_free(updates);
        return sp_err_sys(err, ENOMEM, "listeners");
    }
    for (unsigned i = 0; i < d->gate_count; i++)
        sp_gate_post(updates[i]);
    sp_free(updates);
    SP_LIST_EACH(&d->bindings, it)
    {
        if (!binding_of(it)->named) {
            sp_list_remove(it);
            sp_free(binding_of(it));
        }
    }
    return SP_OK;
}

void sp_sockets_forget(struct sp_daemon *d)
{
    while (!sp_list_is_empty(&d->bindings)) {
        struct sp_binding *b = binding_of(d->bindings.next);
        sp_list_remove(&b->link);
        sp_free(b);
    }
}

void sp_sockets_tell(struct sp_daemon *d)
{
    SP_LIST_EACH(&d->bindings, it)
    {
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
