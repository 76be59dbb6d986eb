/* The functions by which anybody in this process gets to the kernel, in front of libc's own: the dynamic linker lets the program's
 * come first, for shared libraries too. Each counts and makes the system call. Allocations are told by the sanitizer's
 * allocator if there is one, and are ours in front of glibc's if not.
 *
 * Labels instead of names, so that nothing of libc's declarations (fortified ones, attributes) stands in the way. What libc
 * asks of the kernel for itself does not come by here, and needs not: it does so only within the functions that do. */
#include "counted_calls.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

const char *const counted_names[CALL_COUNT] = {
#define X(name) #name,
    COUNTED_CALLS(X)
#undef X
};

static _Thread_local struct counted_calls *counting;

void counted_calls_into(struct counted_calls *into)
{
    counting = into;
}

static void count(enum counted_call call)
{
    if (counting != NULL)
        counting->of[call]++;
}

#define X(name)                                                                                              \
    long counted_##name(long a, long b, long c, long d, long e, long f) __asm__(#name);                      \
    long counted_##name(long a, long b, long c, long d, long e, long f)                                      \
    {                                                                                                        \
        count(CALL_##name);                                                                                  \
        return syscall(SYS_##name, a, b, c, d, e, f);                                                        \
    }
COUNTED_PLAIN(X)
#undef X

long counted_recv(int fd, void *to, size_t room, int flags) __asm__("recv");
long counted_recv(int fd, void *to, size_t room, int flags)
{
    count(CALL_recv);
    return syscall(SYS_recvfrom, fd, to, room, flags, NULL, NULL);
}

long counted_send(int fd, const void *from, size_t len, int flags) __asm__("send");
long counted_send(int fd, const void *from, size_t len, int flags)
{
    count(CALL_send);
    return syscall(SYS_sendto, fd, from, len, flags, NULL, 0);
}

int counted_epoll_wait(int fd, void *events, int room, int wait_ms) __asm__("epoll_wait");
int counted_epoll_wait(int fd, void *events, int room, int wait_ms)
{
    count(CALL_epoll_wait);
    return (int)syscall(SYS_epoll_pwait, fd, events, room, wait_ms, NULL, _NSIG / 8);
}

int counted_poll(void *fds, unsigned long many, int wait_ms) __asm__("poll");
int counted_poll(void *fds, unsigned long many, int wait_ms)
{
    struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000L};

    count(CALL_poll);
    return (int)syscall(SYS_ppoll, fds, many, wait_ms < 0 ? NULL : &wait, NULL, _NSIG / 8);
}

#ifdef SANITIZED

int __sanitizer_install_malloc_and_free_hooks(
    void (*malloc_hook)(const volatile void *, size_t), void (*free_hook)(const volatile void *));

static void on_malloc(const volatile void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
    count(CALL_allocation);
}

static void on_free(const volatile void *ptr)
{
    (void)ptr;
}

static void hook_allocator(void)
{
    if (__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) == 0)
        abort();
}

#else

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t many, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);

void *malloc(size_t size)
{
    count(CALL_allocation);
    return __libc_malloc(size);
}

void *calloc(size_t many, size_t size)
{
    count(CALL_allocation);
    return __libc_calloc(many, size);
}

void *realloc(void *ptr, size_t size)
{
    count(CALL_allocation);
    return __libc_realloc(ptr, size);
}

static void hook_allocator(void)
{
}

#endif

#define SMALL 64

static void *openssl_malloc(size_t size, const char *file, int line)
{
    struct counted_calls *into = counting;

    (void)file;
    (void)line;
    if (size <= SMALL) {
        count(CALL_small_of_openssl);
        counting = NULL;
    }
    void *ptr = size > 0 ? malloc(size) : NULL;
    counting = into;
    return ptr;
}

static void *openssl_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size > 0)
        return realloc(ptr, size);
    free(ptr);
    return NULL;
}

static void openssl_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    free(ptr);
}

/* Before OpenSSL takes its first byte. */
__attribute__((constructor)) static void install(void)
{
    hook_allocator();
    if (!CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free))
        abort();
}
