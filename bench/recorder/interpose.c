/* SPDX-License-Identifier: MIT */
/*
 * libkmembench-record.so: the allocation functions of the recorded program.
 *
 * Each function calls the next definition in the program's search order (libc's,
 * or that of an allocator which is preloaded behind us) and logs what happened.
 * C++ new and delete arrive here through malloc() and free().
 *
 * Start-up. The next functions are looked up by the first call of all, made by
 * the dynamic linker or a library's constructor while there is one thread. The
 * look-up may itself allocate: such calls, and only they, are served from a
 * small static buffer whose blocks are never given back and never logged.
 *
 * Nesting. An allocator may be written in terms of its own public functions
 * (valloc() calling memalign()); what the program asked for is the outermost
 * call, so inner ones are passed on unlogged. `depth` counts per thread.
 *
 * A call that returned no memory is not logged: nothing was allocated.
 *
 * Threads. pthread_create() and pthread_join() are logged too, as the order between
 * threads that has nothing to do with blocks. A new thread enters through a function of
 * ours, with a note of 24 bytes from the allocator behind us, which it gives back at
 * once. Threads that are made in other ways (thrd_create, clone) are recorded without
 * that order.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/recorder/log.h"

enum lookup { LOOKUP_NOT_DONE, LOOKUP_RUNNING, LOOKUP_DONE };
static _Atomic int lookup_state;

static struct {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void *(*memalign)(size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
	int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
			      void *);
	int (*pthread_join)(pthread_t, void **);
} next;

static __thread unsigned int depth;

/* --- before the look-up is done --- */

#define BOOT_BYTES ((size_t)64 << 10)

/* Each block lies behind a granule that holds its size. */
static char boot_buffer[BOOT_BYTES] __attribute__((aligned(16)));
static _Atomic size_t boot_used;

static bool boot_owns(const void *ptr)
{
	return (const char *)ptr >= boot_buffer &&
	       (const char *)ptr < boot_buffer + BOOT_BYTES;
}

/* Zeroed, aligned to 16 bytes; NULL when the buffer is used up. */
static KMEM_COLD void *boot_alloc(size_t size)
{
	size_t offset;

	if (size <= BOOT_BYTES) {
		offset = atomic_fetch_add(&boot_used, KMEM_ALIGN_UP(size, 16) + 16);
		if (offset + 16 + size <= BOOT_BYTES) {
			memcpy(boot_buffer + offset, &size, sizeof(size));
			return boot_buffer + offset + 16;
		}
	}
	errno = ENOMEM;
	return NULL;
}

static size_t boot_size(const void *ptr)
{
	size_t size;

	memcpy(&size, (const char *)ptr - 16, sizeof(size));
	return size;
}

static KMEM_COLD void look_up(void)
{
	next.malloc = dlsym(RTLD_NEXT, "malloc");
	next.calloc = dlsym(RTLD_NEXT, "calloc");
	next.realloc = dlsym(RTLD_NEXT, "realloc");
	next.free = dlsym(RTLD_NEXT, "free");
	next.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	next.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
	next.memalign = dlsym(RTLD_NEXT, "memalign");
	next.valloc = dlsym(RTLD_NEXT, "valloc");
	next.pvalloc = dlsym(RTLD_NEXT, "pvalloc");
	next.pthread_create = dlsym(RTLD_NEXT, "pthread_create");
	next.pthread_join = dlsym(RTLD_NEXT, "pthread_join");
	if (!next.malloc || !next.calloc || !next.realloc || !next.free ||
	    !next.posix_memalign || !next.aligned_alloc || !next.memalign ||
	    !next.valloc || !next.pvalloc || !next.pthread_create || !next.pthread_join) {
		static const char text[] =
			"kmembench: cannot record: the program's libc lacks "
			"one of the allocation or thread functions\n";

		if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
			_exit(127);
		_exit(127);
	}
}

/* True when the next functions can be called; false from within their look-up. */
static KMEM_COLD bool ready_slow(void)
{
	int expected = LOOKUP_NOT_DONE;

	if (!atomic_compare_exchange_strong(&lookup_state, &expected, LOOKUP_RUNNING))
		return expected == LOOKUP_DONE;
	look_up();
	atomic_store(&lookup_state, LOOKUP_DONE);
	log_attach();
	return true;
}

static KMEM_ALWAYS_INLINE bool ready(void)
{
	return KMEM_LIKELY(atomic_load_explicit(&lookup_state, memory_order_acquire) ==
			   LOOKUP_DONE) ||
	       ready_slow();
}

/* For programs that never allocate before main, and for a first call that came before
 * libc knew the environment. */
static void KMEM_CONSTRUCTOR start(void)
{
	if (ready())
		log_attach();
}

/* --- the functions --- */

/* Smallest n with 2^n >= align, as the allocators round it. */
static unsigned int align_log2_of(size_t align)
{
	return align <= 1 ? 0 : 64 - (unsigned int)__builtin_clzll(align - 1);
}

/* Ends a call: logs it when it was the outermost one and gave memory. */
static KMEM_ALWAYS_INLINE void *finish(enum raw_op op, size_t align, void *ptr,
				       size_t size)
{
	if (--depth == 0 && ptr != NULL)
		log_event(op, align_log2_of(align), ptr, size, NULL);
	return ptr;
}

KMEM_API void *malloc(size_t size)
{
	if (!ready())
		return boot_alloc(size);
	depth++;
	return finish(RAW_MALLOC, 0, next.malloc(size), size);
}

KMEM_API void *calloc(size_t n, size_t size)
{
	size_t bytes;

	if (!ready()) {
		if (!__builtin_mul_overflow(n, size, &bytes))
			return boot_alloc(bytes);
		errno = ENOMEM;
		return NULL;
	}
	depth++;
	return finish(RAW_CALLOC, 0, next.calloc(n, size), n * size);
}

KMEM_API void free(void *ptr)
{
	if (ptr == NULL || boot_owns(ptr) || !ready())
		return;
	if (depth == 0)
		log_event(RAW_FREE, 0, ptr, 0, NULL);
	depth++;
	next.free(ptr);
	depth--;
}

/* A block of the static buffer moves out of it; it is never freed. */
static KMEM_COLD void *boot_realloc(void *old, size_t size)
{
	size_t old_size = boot_size(old);
	void *ptr = ready() ? malloc(size) : boot_alloc(size);

	if (ptr != NULL)
		memcpy(ptr, old, old_size < size ? old_size : size);
	return ptr;
}

KMEM_API void *realloc(void *old, size_t size)
{
	void *ptr;

	if (KMEM_UNLIKELY(boot_owns(old)))
		return boot_realloc(old, size);
	if (!ready())
		return boot_alloc(size);
	if (old == NULL) {
		depth++;
		return finish(RAW_MALLOC, 0, next.realloc(NULL, size), size);
	}
	if (depth != 0)
		return next.realloc(old, size);
	log_event(RAW_REALLOC_BEGIN, 0, old, 0, NULL);
	depth++;
	ptr = next.realloc(old, size);
	depth--;
	log_event(RAW_REALLOC_END, 0, ptr, size, old);
	return ptr;
}

/* Not passed on: libc's own calls realloc() by its public name. */
KMEM_API void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

KMEM_API int posix_memalign(void **out, size_t align, size_t size)
{
	int err;

	if (!ready())
		return ENOMEM;
	depth++;
	err = next.posix_memalign(out, align, size);
	finish(RAW_MEMALIGN, align, err == 0 ? *out : NULL, size);
	return err;
}

KMEM_API void *aligned_alloc(size_t align, size_t size)
{
	if (!ready())
		return NULL;
	depth++;
	return finish(RAW_MEMALIGN, align, next.aligned_alloc(align, size), size);
}

KMEM_API void *memalign(size_t align, size_t size)
{
	if (!ready())
		return NULL;
	depth++;
	return finish(RAW_MEMALIGN, align, next.memalign(align, size), size);
}

KMEM_API void *valloc(size_t size)
{
	if (!ready())
		return NULL;
	depth++;
	return finish(RAW_MEMALIGN, (size_t)sysconf(_SC_PAGESIZE), next.valloc(size),
		      size);
}

/* Asks for whole pages; recorded is what that amounts to. */
KMEM_API void *pvalloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!ready())
		return NULL;
	depth++;
	return finish(RAW_MEMALIGN, page, next.pvalloc(size), KMEM_ALIGN_UP(size, page));
}

/* --- threads --- */

struct thread_note {
	void *(*routine)(void *);
	void *arg;
	uint32_t number;
};

/* Straight from the next allocator, and not logged: the program did not ask for it. */
static struct thread_note *note_new(void)
{
	struct thread_note *note;

	depth++;
	note = next.malloc(sizeof(*note));
	depth--;
	return note;
}

static void note_delete(struct thread_note *note)
{
	depth++;
	next.free(note);
	depth--;
}

static void *thread_main(void *arg)
{
	const struct thread_note note = *(const struct thread_note *)arg;

	note_delete(arg);
	log_thread_begin(note.number);
	return note.routine(note.arg);
}

KMEM_API int pthread_create(pthread_t *restrict thread,
			    const pthread_attr_t *restrict attr, void *(*routine)(void *),
			    void *restrict arg)
{
	struct thread_note *note;
	uint32_t number;
	int err;

	if (!ready())
		return EAGAIN;
	number = log_thread_create();
	note = number != 0 ? note_new() : NULL;
	if (note == NULL)
		return next.pthread_create(thread, attr, routine, arg);
	*note = (struct thread_note){routine, arg, number};
	err = next.pthread_create(thread, attr, thread_main, note);
	if (err != 0)
		note_delete(note);
	return err;
}

KMEM_API int pthread_join(pthread_t thread, void **result)
{
	int err;

	if (!ready())
		return EINVAL;
	err = next.pthread_join(thread, result);
	if (err == 0)
		log_event(RAW_THREAD_JOIN, 0, (const void *)(uintptr_t)thread, 0, NULL);
	return err;
}
