/* SPDX-License-Identifier: MIT */
/* Reservations, shared and private mappings, and the hooks under them. */
#include "tests/os/os_faults.h"

#include <kmem/mm_types.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (16 * PAGE_SIZE)

/* Whether a write to addr kills the writer. */
static bool write_faults(char *addr)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* The default action: a sanitizer's own handler would print a report. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		*(volatile char *)addr = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status);
}

static void test_reserve_is_inaccessible(void **state)
{
	char *p = os_reserve(SIZE);

	(void)state;
	assert_non_null(p);
	assert_true(write_faults(p));
	assert_ptr_equal(os_map_anon_at(p, PAGE_SIZE), p);
	assert_false(write_faults(p));
	assert_true(write_faults(p + PAGE_SIZE));
	assert_int_equal(os_unmap_to_reserve(p, PAGE_SIZE), 0);
	assert_true(write_faults(p));
	assert_int_equal(os_unmap(p, SIZE), 0);
}

static void test_reserve_at_keeps_what_is_there(void **state)
{
	char *p = os_reserve(SIZE);

	(void)state;
	errno = 0;
	assert_null(os_reserve_at(p, PAGE_SIZE));
	assert_int_equal(errno, EEXIST);
	assert_int_equal(os_unmap(p + PAGE_SIZE, SIZE - PAGE_SIZE), 0);
	assert_ptr_equal(os_reserve_at(p + PAGE_SIZE, PAGE_SIZE), p + PAGE_SIZE);
	assert_int_equal(os_unmap(p, 2 * PAGE_SIZE), 0);
}

static void *elsewhere;

/* A kernel before 4.17 takes the address as a hint. */
static void *mmap_elsewhere(void *addr, size_t size, int prot, int flags, int fd,
			    off_t offset)
{
	(void)addr, (void)flags;
	elsewhere = os_hooks_system.mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS,
					 fd, offset);
	return elsewhere;
}

static void test_reserve_at_or_not_at_all(void **state)
{
	static const struct os_hooks hooks = {.mmap = mmap_elsewhere};
	char *p = os_reserve(SIZE);
	unsigned char resident;

	(void)state;
	os_set_hooks(&hooks);
	errno = 0;
	assert_null(os_reserve_at(p, SIZE));
	os_set_hooks(NULL);
	assert_int_equal(errno, EEXIST);
	/* Nothing is left of it. */
	assert_ptr_not_equal(elsewhere, p);
	assert_int_equal(mincore(elsewhere, PAGE_SIZE, &resident), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(os_unmap(p, SIZE), 0);
}

static unsigned long bound_mask[1024 / (8 * sizeof(unsigned long))];

static long mbind_seen(void *addr, unsigned long size, int mode,
		       const unsigned long *nodemask, unsigned long maxnode,
		       unsigned int flags)
{
	(void)addr, (void)size, (void)mode, (void)flags;
	assert_int_equal(maxnode, 1024);
	memcpy(bound_mask, nodemask, sizeof(bound_mask));
	return 0;
}

/* One bit, that of the node. */
static void test_bind_node(void **state)
{
	static const struct os_hooks hooks = {.mbind = mbind_seen};
	static const unsigned int nodes[] = {0, 1, 63, 64, 1023};
	const unsigned int bits = 8 * sizeof(unsigned long);

	(void)state;
	os_set_hooks(&hooks);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(nodes); i++) {
		assert_int_equal(os_bind_node(NULL, SIZE, nodes[i]), 0);
		for (unsigned int n = 0; n < 1024; n++)
			assert_int_equal(bound_mask[n / bits] >> n % bits & 1,
					 n == nodes[i]);
	}
	assert_int_equal(os_bind_node(NULL, SIZE, 1024), -EINVAL);
	os_set_hooks(NULL);
	os_faults_arm_all(1, ENOSYS);
	assert_int_equal(os_bind_node(NULL, SIZE, 0), -ENOSYS);
	os_faults_disarm();
}

static void test_shared_frames_have_two_addresses(void **state)
{
	int fd = os_memfd("test", SIZE);
	char *a, *b;

	(void)state;
	assert_true(fd >= 0);
	a = os_map_shared(SIZE, fd, 0);
	b = os_map_shared(PAGE_SIZE, fd, (off_t)(3 * PAGE_SIZE));
	assert_non_null(a);
	assert_non_null(b);
	strcpy(a + 3 * PAGE_SIZE, "the same frame");
	assert_string_equal(b, "the same frame");
	assert_int_equal(os_discard_shared(fd, (off_t)(3 * PAGE_SIZE), PAGE_SIZE), 0);
	assert_int_equal(b[0], 0);
	assert_int_equal(os_unmap(a, SIZE), 0);
	assert_int_equal(os_unmap(b, PAGE_SIZE), 0);
	close(fd);
}

static void test_discard_zeroes(void **state)
{
	char *p = os_map_anon(SIZE);

	(void)state;
	memset(p, 1, SIZE);
	assert_int_equal(os_discard_anon(p, SIZE), 0);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(p[i], 0);
	assert_int_equal(os_protect(p, PAGE_SIZE, PROT_NONE), 0);
	assert_true(write_faults(p));
	assert_int_equal(os_unmap(p, SIZE), 0);
}

static void test_errors_are_passed_on(void **state)
{
	(void)state;
	os_faults_arm(1, ENOMEM);
	assert_null(os_reserve(SIZE));
	assert_int_equal(errno, ENOMEM);
	os_faults_arm(2, ENOSPC);
	assert_int_equal(os_memfd("test", SIZE), -ENOSPC);
	os_faults_arm(1, EPERM);
	assert_int_equal(os_memfd("test", SIZE), -EPERM);
	os_faults_arm(1, ENOMEM);
	assert_int_equal(os_unmap_to_reserve(NULL, SIZE), -ENOMEM);
	os_faults_arm(1, EACCES);
	assert_int_equal(os_protect(NULL, SIZE, PROT_NONE), -EACCES);
	os_faults_disarm();
	assert_int_equal(os_bind_node(NULL, SIZE, 100000), -EINVAL);
}

/* A kernel before 6.3 refuses the flag against execution: asked again without it. */
static void test_memfd_without_noexec(void **state)
{
	int fd;

	(void)state;
	os_faults_arm(1, EINVAL);
	fd = os_memfd("test", SIZE);
	os_faults_disarm();
	assert_true(fd >= 0);
	assert_int_equal(os_faults.failed, 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve_is_inaccessible),
		cmocka_unit_test(test_reserve_at_keeps_what_is_there),
		cmocka_unit_test(test_reserve_at_or_not_at_all),
		cmocka_unit_test(test_bind_node),
		cmocka_unit_test(test_shared_frames_have_two_addresses),
		cmocka_unit_test(test_discard_zeroes),
		cmocka_unit_test(test_errors_are_passed_on),
		cmocka_unit_test(test_memfd_without_noexec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
