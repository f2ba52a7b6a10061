/* SPDX-License-Identifier: MIT */
/*
 * Peers that are shared objects: the installed ones, and libraries built here that
 * are wrong in one way each.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocators/peers/library.h"
#include <kmem/error.h>

#define STATIC_TLS "glibc.rtld.optional_static_tls=16384"

static char folder[] = "/tmp/kmembench-libraries-XXXXXX";

/* --- the installed peers --- */

static struct allocator *start(const char *name)
{
	struct allocator_env env = {.size_max_bytes = 1 << 20, .threads = 2};
	const struct allocator_ops *ops = allocator_find(name);

	if (ops->available(ops) != 0) {
		print_message("%s\n", kmem_last_error());
		return NULL;
	}
	return allocator_new(name, &env);
}

static void *take(struct allocator *a, size_t size, size_t align)
{
	void *p = a->ops->alloc(a, size, align, GFP_KERNEL, NUMA_NO_NODE);

	assert_non_null(p);
	if (align != 0)
		assert_int_equal((uintptr_t)p & (align - 1), 0);
	assert_true(a->ops->usable_size(a, p) >= size);
	return p;
}

static void serves_all_sizes_and_alignments(struct allocator *a)
{
	const struct allocator_ops *ops = a->ops;

	for (size_t size = 1; size <= 1 << 20; size = size * 2 + 1) {
		char *p = take(a, size, 0), *q;

		memset(p, 5, size);
		q = ops->realloc(a, p, size, 2 * size);
		assert_non_null(q);
		assert_int_equal(q[0], 5);
		assert_int_equal(q[size - 1], 5);
		ops->free(a, q, 2 * size);
	}
	/* Alignments that malloc does not give by itself, with sizes below them, too. */
	for (size_t align = 1; align <= 4096; align *= 2) {
		for (size_t size = 1; size < 5000; size = size * 3 + 1)
			ops->free(a, take(a, size, align), size);
	}
}

static void zeroes_when_asked(struct allocator *a)
{
	const struct allocator_ops *ops = a->ops;

	for (int i = 0; i < 64; i++) {
		char *dirty = take(a, 200, 0), *p;

		memset(dirty, 0xff, 200);
		ops->free(a, dirty, 200);
		p = i % 2 == 0 ? ops->zalloc(a, 200)
			       : ops->alloc(a, 200, i % 4 == 1 ? 64 : 0,
					    GFP_KERNEL | __GFP_ZERO, NUMA_NO_NODE);
		for (int j = 0; j < 200; j++)
			assert_int_equal(p[j], 0);
		ops->free(a, p, 0);
	}
}

struct hand_over {
	struct allocator *a;
	void *blocks[1000];
};

static void *free_blocks(void *arg)
{
	struct hand_over *h = arg;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(h->blocks); i++)
		h->a->ops->free(h->a, h->blocks[i], 64);
	return NULL;
}

static void frees_from_another_thread(struct allocator *a)
{
	static struct hand_over h;
	pthread_t thread;

	h.a = a;
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(h.blocks); i++)
			h.blocks[i] = memset(take(a, 64, 0), round, 64);
		assert_int_equal(pthread_create(&thread, NULL, free_blocks, &h), 0);
		pthread_join(thread, NULL);
	}
}

static void check_peer(const char *name, const char *version_start)
{
	struct allocator *a = start(name);

	if (a == NULL)
		skip();
	assert_memory_equal(a->ops->version(a), version_start, strlen(version_start));
	assert_non_null(strstr(library_path(a), a->ops->library));
	serves_all_sizes_and_alignments(a);
	zeroes_when_asked(a);
	frees_from_another_thread(a);
	if ((a->ops->caps & CAP_TRIM) != 0)
		a->ops->trim(a);
	a->ops->free(a, take(a, 100, 0), 100);
	allocator_delete(a);
	/* The library stays; a second instance is the same library. */
	a = start(name);
	assert_non_null(a);
	a->ops->free(a, take(a, 100, 0), 0);
	allocator_delete(a);
}

static void glibc_works(void **state)
{
	(void)state;
	check_peer("glibc", "2.");
}

static void jemalloc_works(void **state)
{
	(void)state;
	check_peer("jemalloc", "5.");
}

static void mimalloc_works(void **state)
{
	(void)state;
	check_peer("mimalloc", "2.");
}

static void tcmalloc_works(void **state)
{
	(void)state;
	check_peer("tcmalloc", "gperftools 2.");
}

static void each_peer_is_a_library_of_its_own(void **state)
{
	static const char *const names[] = {"glibc", "jemalloc", "mimalloc", "tcmalloc"};
	void *(*seen[KMEM_ARRAY_SIZE(names)])(size_t) = {NULL};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		struct allocator *a = start(names[i]);

		if (a == NULL)
			continue;
		seen[i] = ((struct library *)a)->malloc;
		for (size_t j = 0; j < i; j++)
			assert_true(seen[j] != seen[i]);
		allocator_delete(a);
	}
}

static void a_missing_peer_names_its_package(void **state)
{
	struct allocator_ops ops = *allocator_find("jemalloc");

	(void)state;
	ops.library = "libnosuchmalloc.so.9";
	ops.package = "libnosuchmalloc9";
	assert_int_equal(ops.available(&ops), -ENOENT);
	assert_string_equal(kmem_last_error(),
			    "'libnosuchmalloc.so.9' is not installed: install "
			    "the Debian package 'libnosuchmalloc9'");
	assert_null(ops.create(&ops, NULL, NULL));
	assert_string_equal(kmem_last_error(),
			    "'libnosuchmalloc.so.9' is not installed: install "
			    "the Debian package 'libnosuchmalloc9'");
}

/* --- libraries named by users --- */

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

/* False where there is no compiler. */
static bool build(const char *name, const char *source)
{
	char command[512];

	write_file("source.c", source);
	snprintf(command, sizeof(command),
		 "cc -shared -fPIC -fno-builtin -o %s/%s %s/source.c 2>%s/log", folder,
		 name, folder, folder);
	return system(command) == 0;
}

/*
 * An arena that never frees. realloc() goes through the library's own malloc()
 * and free() by name: bound to the C library's, free() would abort here.
 */
#define FAKE_MALLOC                                                                          \
	"#include <stddef.h>\n"                                                              \
	"#include <string.h>\n"                                                              \
	"static char arena[1 << 22] __attribute__((aligned(4096)));\n"                       \
	"static size_t used; unsigned long fake_frees;\n"                                    \
	"static void *take(size_t a, size_t n) { size_t at = (used + 16 + a - 1) & -a;\n"    \
	"  if (at + n > sizeof(arena)) return NULL; used = at + n;\n"                        \
	"  memcpy(arena + at - 8, &n, 8); return arena + at; }\n"                            \
	"void *malloc(size_t n) { return take(16, n); }\n"                                   \
	"void free(void *p) { if (p) fake_frees++; }\n"                                      \
	"size_t malloc_usable_size(void *p) { size_t n; memcpy(&n, (char *)p - 8, 8);\n"     \
	"  return n; }\n"                                                                    \
	"void *realloc(void *p, size_t n) { void *q = malloc(n);\n"                          \
	"  if (p && q) { size_t o = malloc_usable_size(p); memcpy(q, p, o < n ? o : n); }\n" \
	"  free(p); return q; }\n"
#define FAKE_CALLOC  "void *calloc(size_t n, size_t s) { return malloc(n * s); }\n"
#define FAKE_ALIGNED "void *aligned_alloc(size_t a, size_t n) { return take(a, n); }\n"

static void a_users_library_is_an_allocator(void **state)
{
	const struct allocator_ops *ops;
	unsigned long *frees;
	struct allocator *a;
	void *symbol;
	char *p;

	(void)state;
	if (!build("libfake.so", FAKE_MALLOC FAKE_CALLOC FAKE_ALIGNED))
		skip();
	assert_int_equal(allocator_register_library("fake", path_of("libfake.so")), 0);
	ops = allocator_find("fake");
	assert_non_null(ops);
	assert_int_equal(ops->available(ops), 0);
	a = allocator_new("fake", NULL);
	assert_non_null(a);
	assert_string_equal(a->ops->version(a), "libfake.so");
	symbol = library_symbol((struct library *)a, "fake_frees");
	assert_null(library_symbol((struct library *)a, "printf"));
	frees = symbol;
	p = take(a, 100, 0);
	memset(p, 3, 100);
#if !KMEM_SANITIZED
	p = a->ops->realloc(a, p, 100, 200);
	assert_int_equal(p[99], 3);
	assert_int_equal(*frees, 1);
#else
	*frees = 1;
#endif
	/* Through aligned_alloc(), since there is no posix_memalign(). */
	a->ops->free(a, take(a, 100, 1024), 100);
	assert_int_equal(*frees, 2);
	allocator_delete(a);
	assert_int_equal(allocator_register_library("fake", path_of("libfake.so")),
			 -EEXIST);
}

static void refused(const char *name, const char *file, const char *message)
{
	const struct allocator_ops *ops;

	assert_int_equal(allocator_register_library(name, path_of(file)), 0);
	ops = allocator_find(name);
	assert_int_equal(ops->available(ops), -EINVAL);
	if (strstr(kmem_last_error(), message) == NULL)
		fail_msg("%s", kmem_last_error());
	assert_null(allocator_new(name, NULL));
	if (strstr(kmem_last_error(), message) == NULL)
		fail_msg("%s", kmem_last_error());
}

static void a_library_without_malloc_is_refused(void **state)
{
	(void)state;
	if (!build("libnone.so", "int nothing;\n"))
		skip();
	refused("none", "libnone.so", "libnone.so' has no 'malloc': name a library that");
	/* It needs the C library, so that dlsym() finds malloc there. */
	build("libother.so",
	      "int puts(const char *); int f(void) { return puts(\"\"); }\n");
	refused("other", "libother.so",
		"libother.so' has no 'malloc' of its own, only that of '");
	build("libhalf.so", FAKE_MALLOC FAKE_ALIGNED);
	refused("half", "libhalf.so",
		"libhalf.so' has no 'calloc' of its own, only that of '");
	build("libplain.so", FAKE_MALLOC FAKE_CALLOC);
	refused("plain", "libplain.so", "has no 'posix_memalign' of its own");
}

static void a_library_that_dies_is_reported(void **state)
{
	const struct allocator_ops *ops;

	(void)state;
	if (!build("libdies.so",
		   "#include <stdlib.h>\n"
		   "__attribute__((constructor)) static void f(void) { _Exit(9); }\n"))
		skip();
	assert_int_equal(allocator_register_library("dies", path_of("libdies.so")), 0);
	ops = allocator_find("dies");
	assert_int_equal(ops->available(ops), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "libdies.so': the process ends"));
}

static void what_is_no_shared_object_is_refused(void **state)
{
	(void)state;
	assert_int_equal(allocator_register_library("x", path_of("missing.so")), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "No such file"));

	write_file("text.so", "not a library\n");
	assert_int_equal(allocator_register_library("x", path_of("text.so")), -EINVAL);
	assert_non_null(
		strstr(kmem_last_error(), "is not an ELF file: name a shared object"));
	assert_int_equal(allocator_register_library("x", folder), -EINVAL);
	assert_null(allocator_find("x"));
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(glibc_works),
		cmocka_unit_test(jemalloc_works),
		cmocka_unit_test(mimalloc_works),
		cmocka_unit_test(tcmalloc_works),
		cmocka_unit_test(each_peer_is_a_library_of_its_own),
		cmocka_unit_test(a_missing_peer_names_its_package),
		cmocka_unit_test(a_users_library_is_an_allocator),
		cmocka_unit_test(a_library_without_malloc_is_refused),
		cmocka_unit_test(a_library_that_dies_is_reported),
		cmocka_unit_test(what_is_no_shared_object_is_refused),
	};

	(void)argc;
	/* As the runner does for a cell's process: jemalloc wants static TLS. */
	if (getenv("GLIBC_TUNABLES") == NULL) {
		setenv("GLIBC_TUNABLES", STATIC_TLS, 1);
		execv("/proc/self/exe", argv);
	}
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
