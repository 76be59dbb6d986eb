/* Preloaded into the gate: counts what is allocated, libraries included, so that a test can ask whether all of it was given back.
 * $SP_TEST_ALLOCATIONS names a file that begins with two numbers: allocations now, and their bytes. What was there before us is missing
 * from both, which matters to nobody who compares two moments. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    int64_t count, bytes;
} before_there_is_a_file, *now = &before_there_is_a_file;

#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (real == NULL)                                                                                        \
    real = (type(*)(__VA_ARGS__))(size_t)dlsym(RTLD_NEXT, name)

static void *came(void *p)
{
    if (p != NULL) {
        __atomic_add_fetch(&now->count, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&now->bytes, (int64_t)malloc_usable_size(p), __ATOMIC_RELAXED);
    }
    return p;
}

static void goes(void *p)
{
    if (p != NULL) {
        __atomic_sub_fetch(&now->count, 1, __ATOMIC_RELAXED);
        __atomic_sub_fetch(&now->bytes, (int64_t)malloc_usable_size(p), __ATOMIC_RELAXED);
    }
}

void *malloc(size_t len)
{
    REAL(void *, "malloc", size_t);
    return came(real(len));
}

void *calloc(size_t n, size_t len)
{
    REAL(void *, "calloc", size_t, size_t);
    return came(real(n, len));
}

void *realloc(void *old, size_t len)
{
    REAL(void *, "realloc", void *, size_t);
    size_t had = old != NULL ? malloc_usable_size(old) : 0;
    void *p = real(old, len);
    if (p == NULL && len > 0)
        return NULL; /* the old one stays */
    if (old != NULL) {
        __atomic_sub_fetch(&now->count, 1, __ATOMIC_RELAXED);
        __atomic_sub_fetch(&now->bytes, (int64_t)had, __ATOMIC_RELAXED);
    }
    return came(p);
}

void free(void *p)
{
    REAL(void, "free", void *);
    goes(p);
    real(p);
}

int posix_memalign(void **out, size_t align, size_t len)
{
    REAL(int, "posix_memalign", void **, size_t, size_t);
    int rc = real(out, align, len);
    if (rc == 0)
        (void)came(*out);
    return rc;
}

void *aligned_alloc(size_t align, size_t len)
{
    REAL(void *, "aligned_alloc", size_t, size_t);
    return came(real(align, len));
}

void *memalign(size_t align, size_t len)
{
    REAL(void *, "memalign", size_t, size_t);
    return came(real(align, len));
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SP_TEST_ALLOCATIONS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (page != MAP_FAILED)
        now = page;
}
