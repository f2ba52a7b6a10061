/* SPDX-License-Identifier: MIT */
/*
 * Every exported name as a C program calls it; prints what differs from the
 * promise, and "ok". Also run without the library: then it says so by status 3.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                               \
	do {                                                           \
		if (!(condition)) {                                    \
			printf("line %d: %s\n", __LINE__, #condition); \
			failures++;                                    \
		}                                                      \
	} while (0)

/* Not known to the compiler, which would fold calls of the real names away. */
static void *(*volatile v_malloc)(size_t) = malloc;
static void *(*volatile v_calloc)(size_t, size_t) = calloc;
static void *(*volatile v_realloc)(void *, size_t) = realloc;
static void *(*volatile v_reallocarray)(void *, size_t, size_t) = reallocarray;
static void (*volatile v_free)(void *) = free;
static int (*volatile v_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile v_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile v_memalign)(size_t, size_t) = memalign;

static void check_plain(void)
{
	char *p = v_malloc(0), *q = v_malloc(0);

	CHECK(p != NULL && q != NULL && p != q);
	v_free(p);
	v_free(q);
	v_free(NULL);
	p = v_malloc(100);
	CHECK(malloc_usable_size(p) >= 100);
	memset(p, 1, 100);
	errno = 4711;
	p = v_realloc(p, 100000);
	CHECK(p != NULL && p[0] == 1 && p[99] == 1);
	p = v_reallocarray(p, 3, 100000);
	CHECK(p != NULL && p[99] == 1);
	CHECK(errno == 4711);
	CHECK(v_realloc(p, SIZE_MAX / 2 + 1) == NULL && errno == ENOMEM && p[99] == 1);
	errno = 0;
	CHECK(v_reallocarray(p, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
	CHECK(p[99] == 1);
	CHECK(v_realloc(p, 0) == NULL);
	p = v_calloc(1000, 1000);
	CHECK(p != NULL && p[0] == 0 && memcmp(p, p + 1, 999999) == 0);
	v_free(p);
	errno = 0;
	CHECK(v_calloc(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
	errno = 0;
	CHECK(v_malloc(SIZE_MAX) == NULL && errno == ENOMEM);
	CHECK(malloc_usable_size(NULL) == 0);
}

static void check_aligned(void)
{
	void *p = (void *)1;

	errno = 4711;
	CHECK(v_posix_memalign(&p, 3, 10) == EINVAL && p == (void *)1);
	CHECK(v_posix_memalign(&p, 4, 10) == EINVAL);
	CHECK(v_posix_memalign(&p, 0, 10) == EINVAL);
	CHECK(v_posix_memalign(&p, 8, SIZE_MAX) == ENOMEM && p == (void *)1);
	CHECK(errno == 4711);
	for (size_t align = 8; align <= (size_t)32 << 20; align *= 2) {
		CHECK(v_posix_memalign(&p, align, 100) == 0 && (uintptr_t)p % align == 0);
		v_free(p);
		p = v_aligned_alloc(align, 3 * align);
		CHECK(p != NULL && (uintptr_t)p % align == 0);
		v_free(p);
	}
	p = v_memalign(48, 100);
	CHECK(p != NULL && (uintptr_t)p % 64 == 0);
	v_free(p);
	errno = 0;
	CHECK(v_aligned_alloc(48, 96) == NULL && errno == EINVAL);
	p = valloc(10);
	CHECK(p != NULL && (uintptr_t)p % 4096 == 0);
	v_free(p);
	p = pvalloc(10);
	CHECK(p != NULL && (uintptr_t)p % 4096 == 0 && malloc_usable_size(p) >= 4096);
	v_free(p);
}

/* A library that allocates while it is loaded, and one more thread's worth of names. */
static void check_dlopen(const char *library)
{
	void *handle = dlopen(library, RTLD_NOW);
	char **kept;

	CHECK(handle != NULL);
	if (handle == NULL)
		return;
	kept = dlsym(handle, "kept");
	CHECK(kept != NULL && *kept != NULL &&
	      strcmp(*kept, "from the constructor") == 0);
	dlclose(handle);
}

int main(int argc, char **argv)
{
	void *p = v_malloc(17);

	/* 24 bytes in glibc, the next power of two here. */
	if (malloc_usable_size(p) != 32)
		return 3;
	v_free(p);
	check_plain();
	check_aligned();
	if (argc > 1)
		check_dlopen(argv[1]);
	malloc_trim(0);
	if (failures == 0)
		puts("ok");
	return failures != 0;
}
