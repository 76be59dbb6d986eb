/* Preloaded into the gate: what connects to syslog's or journald's socket connects to the test's instead. A mount over the
 * system's own sockets would say the same, but takes rights that a container does not give. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    static const char *const services[] = {"/dev/log", "/run/systemd/journal/socket"};
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))(size_t)dlsym(RTLD_NEXT, "connect");
    const char *instead = getenv("SP_TEST_SERVICE");
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    for (size_t i = 0; instead != NULL && address->sa_family == AF_UNIX && i < 2; i++) {
        if (strcmp(((const struct sockaddr_un *)(const void *)address)->sun_path, services[i]) != 0)
            continue;
        (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", instead);
        return real(fd, (const struct sockaddr *)&un, sizeof un);
    }
    return real(fd, address, len);
}
