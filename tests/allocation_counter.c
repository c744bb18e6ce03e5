/* Counts what one thread asks the allocator for, between `begin` and `end`: preloaded before the C library.
   With PYTHONMALLOC=malloc every Python object that does not come from a free list is such a request. */
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static __thread int is_watched __attribute__((tls_model("initial-exec")));
static long count;

static void note(void) {
    if (is_watched)
        count++;
}

void *malloc(size_t size) { note(); return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { note(); return __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { note(); return __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { note(); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { note(); return __libc_memalign(alignment, size); }

int posix_memalign(void **to, size_t alignment, size_t size) {
    note();
    *to = __libc_memalign(alignment, size);
    return *to == NULL ? 12 : 0;
}

void begin(void) { count = 0; is_watched = 1; }
void end(void) { is_watched = 0; }
long counted(void) { return count; }
