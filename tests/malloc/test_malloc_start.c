/* SPDX-License-Identifier: MIT */
/*
 * How malloc starts, and what it does where it cannot: no memory, allocations in the
 * midst of the start, options of the environment that are none, little data, no thread.
 */
#include "spans_test.h"

#include "allocators/os/os_mem.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void *no_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	errno = EPERM;
	return MAP_FAILED;
}

/* The next call tries again. */
static void test_no_memory_to_start_with(void **state)
{
	static const struct os_hooks hooks = {.mmap = no_mmap};
	void *p;

	(void)state;
	kmem_set_bug_handler(malloc_test_on_bug, NULL);
	malloc_test_report[0] = '\0';
	os_set_hooks(&hooks);
	for (int i = 0; i < 3; i++) {
		errno = 0;
		assert_null(kmem_malloc(100));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(kmem_calloc(10, 300000));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(kmem_memalign(8192, 10));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(kmem_realloc(NULL, 10));
		assert_int_equal(errno, ENOMEM);
	}
	assert_false(malloc_is_up());
	kmem_free(NULL);
	assert_int_equal(kmem_malloc_trim(), 0);
	assert_int_equal(kmem_malloc_check(), 0);
	kmem_malloc_exit();
	os_set_hooks(NULL);
	errno = 4711;
	p = kmem_malloc(100);
	assert_non_null(p);
	assert_int_equal(errno, 4711);
	kmem_free(p);
	malloc_test_stop();
}

/* --- in the midst --- */

static char *early[3];
static int asked;

static int allocates(int resource, struct rlimit *limit)
{
	if (asked++ == 0) {
		errno = 4711;
		early[0] = kmem_malloc(100);
		early[1] = kmem_calloc(10, 10);
		early[2] = kmem_realloc(kmem_malloc(20), 200);
		assert_int_equal(errno, 4711);
		kmem_free(kmem_malloc(10));
		/* There is not so much. */
		assert_null(kmem_malloc(100000));
		assert_int_equal(errno, ENOMEM);
	}
	return os_hooks_system.getrlimit(resource, limit);
}

static void test_allocations_in_the_midst(void **state)
{
	static const struct os_hooks hooks = {.getrlimit = allocates};
	char *p;

	(void)state;
	kmem_set_bug_handler(malloc_test_on_bug, NULL);
	malloc_test_report[0] = '\0';
	os_set_hooks(&hooks);
	p = kmem_malloc(50);
	os_set_hooks(NULL);
	assert_true(asked > 0);
	assert_non_null(p);
	for (int i = 0; i < 3; i++) {
		assert_non_null(early[i]);
		assert_true(bootstrap_owns(early[i]));
		memset(early[i], i, 100);
	}
	assert_false(bootstrap_owns(p));
	/* They are moved as others are, and freed. */
	early[0] = kmem_realloc(early[0], 5000);
	assert_false(bootstrap_owns(early[0]));
	assert_true(all_zero(early[0], 100));
	for (int i = 0; i < 3; i++)
		kmem_free(early[i]);
	kmem_free(p);
	malloc_test_stop();
}

/* --- the environment --- */

static int status_with(const char *options, const struct os_hooks *hooks, char *text,
		       size_t size)
{
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		setenv("KMEM_MALLOC", options, 1);
		os_set_hooks(hooks);
		alarm(60);
		_exit(kmem_malloc(10) != NULL ? 0 : 1);
	}
	close(fds[1]);
	n = read(fds[0], text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_environment(void **state)
{
	static const struct os_hooks hooks = {.mmap = no_mmap};
	char text[1000];

	(void)state;
	assert_false(malloc_is_up());
	assert_int_equal(status_with("trim=0,large_slots=1", NULL, text, sizeof(text)),
			 0);
	assert_int_equal(status_with("", NULL, text, sizeof(text)), 0);
	assert_int_equal(status_with("trimm=0", NULL, text, sizeof(text)), 2);
	assert_non_null(strstr(text, "kmem: KMEM_MALLOC: "));
	assert_non_null(strstr(text, "did you mean 'trim'"));
	assert_int_equal(status_with("memory=8M", &hooks, text, sizeof(text)), 2);
	assert_non_null(strstr(text, "kmem: KMEM_MALLOC: cannot start: "));
	/* Nobody has asked for anything: a call that fails. */
	assert_int_equal(status_with("", &hooks, text, sizeof(text)), 1);
	assert_string_equal(text, "");
}

/* --- limits --- */

static rlim_t data_limit;

static int says_data(int resource, struct rlimit *limit)
{
	int err = os_hooks_system.getrlimit(resource, limit);

	if (resource == RLIMIT_DATA)
		limit->rlim_cur = data_limit;
	return err;
}

static size_t spans_bytes_with(rlim_t data_bytes)
{
	static const struct os_hooks hooks = {.getrlimit = says_data};
	size_t bytes;

	data_limit = data_bytes;
	os_set_hooks(&hooks);
	kmem_free(kmem_malloc(10));
	os_set_hooks(NULL);
	bytes = spans.bytes;
	malloc_test_stop();
	return bytes;
}

/* Of little data spans leave the most to others. */
static void test_little_data(void **state)
{
	size_t bytes;

	(void)state;
	kmem_set_bug_handler(malloc_test_on_bug, NULL);
	malloc_test_report[0] = '\0';
	assert_int_equal(spans_bytes_with(64 * MIB), 4 * MIB);
	bytes = spans_bytes_with(512 * MIB);
	assert_true(bytes > 512 * MIB / 16);
	assert_true(spans_bytes_with(RLIM_INFINITY) >= bytes);
}

/* --- no thread --- */

/* No room for its stack: calls look themselves, and it is not asked for again at once. */
static void test_no_thread(void **state)
{
	struct rlimit before, none;
	uint64_t starts;
	char *p[200];

	(void)state;
	if (KMEM_SANITIZED)
		skip(); /* they map memory at any time */
	malloc_test_start("trim=20");
	starts = background_starts();
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	none = before;
	none.rlim_cur = 1 << 20;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		memset(p[i] = kmem_malloc(200 * KIB), 1, 200 * KIB);
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		kmem_free(p[i]);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	assert_false(background_runs());
	for (int i = 0; i < 500 && stats_now().large_cached_bytes >= 30 * MIB; i++) {
		sleep_ms(10);
		kmem_free(kmem_malloc(5 * MIB));
	}
	assert_false(background_runs());
	assert_int_equal(background_starts(), starts);
	assert_true(stats_now().large_cached_bytes < 30 * MIB);
	malloc_test_stop();
}

/* --- mappings --- */

static void test_no_mapping(void **state)
{
	static char text[4 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	char *p;

	(void)state;
	malloc_test_start("trim=0,span_max=0");
	p = kmem_malloc(9 * MIB);
	assert_false(span_owns(p));
	kmem_free(p);
	kmem_free(p);
	malloc_test_expect_report("which was freed already");
	assert_int_equal(kmem_usable_size(p), 0);
	malloc_test_expect_report("size of");
	kmem_free(text + PAGE_SIZE);
	malloc_test_expect_report("which malloc did not return");
	kmem_free((void *)PAGE_SIZE);
	malloc_test_expect_report("which malloc did not return");
	malloc_test_stop();
}

/* With a guard behind it, a mapping is copied. */
static void test_hardened_mapping(void **state)
{
	static const struct os_hooks hooks = {.mmap = no_mmap};
	char *p, *q;

	(void)state;
	malloc_test_start("trim=0,hardened=on");
	p = kmem_malloc(20 * MIB);
	malloc_test_fill(p, 20 * MIB, 3);
	os_set_hooks(&hooks);
	assert_null(kmem_realloc(p, 30 * MIB));
	assert_ptr_equal(kmem_realloc(p, 9 * MIB), p);
	os_set_hooks(NULL);
	assert_true(malloc_test_filled(p, 20 * MIB, 20 * MIB, 3));
	q = kmem_realloc(p, 9 * MIB);
	assert_ptr_not_equal(q, p);
	assert_true(malloc_test_filled(q, 9 * MIB, 20 * MIB, 3));
	kmem_free(q);
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory_to_start_with),
		cmocka_unit_test(test_allocations_in_the_midst),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_little_data),
		cmocka_unit_test(test_no_thread),
		cmocka_unit_test(test_no_mapping),
		cmocka_unit_test(test_hardened_mapping),
	};

	return cmocka_run_group_tests_name("malloc_start", tests, NULL, NULL);
}
