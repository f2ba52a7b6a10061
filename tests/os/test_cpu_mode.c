/* SPDX-License-Identifier: MIT */
/*
 * Restartable sequences or locks: chosen once, before main(). Each way to have none is
 * a process of its own, this program again with another environment.
 */
#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_fast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CHILD "KMEM_TEST_CPU_MODE"

/* Stacks work whatever the mode; 0, or the number of what went wrong. */
static int use_stacks(void)
{
	struct percpu_stacks s;
	static char entries[64][16] __attribute__((aligned(16)));
	unsigned int popped = 0;

	if (percpu_stacks_init(&s, 64) != 0)
		return 1;
	for (int i = 0; i < 64; i++) {
		if (!percpu_push(&s, entries[i]))
			return 2;
	}
	/* The thread may have moved between CPUs: what lies on them is all there. */
	if (percpu_count(&s) != 64)
		return 3;
	while (percpu_pop(&s) != NULL)
		popped++;
	if (popped == 0 || popped > 64 || percpu_count(&s) != 64 - popped)
		return 4;
	percpu_stacks_destroy(&s);
	return os_cpu_id() < os_nr_cpus() ? 0 : 5;
}

/* Exit status of this program with name=value in its environment. */
static int run_with(const char *name, const char *value)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		setenv(CHILD, "1", 1);
		setenv(name, value, 1);
		execl("/proc/self/exe", "test_cpu_mode", NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

#define WITH_LOCKS 10

static int child(void)
{
	int wrong = use_stacks();

	if (wrong == 0 &&
	    strcmp(os_percpu_mode(), os_percpu_use_rseq ? "rseq" : "lock") != 0)
		return 6;
	return wrong != 0 ? wrong : os_percpu_use_rseq ? 0 : WITH_LOCKS;
}

static void sequences_where_there_are_any(void **state)
{
	int expected = OS_PERCPU_RSEQ && os_percpu_use_rseq ? 0 : WITH_LOCKS;

	(void)state;
	assert_int_equal(use_stacks(), 0);
	assert_int_equal(run_with("KMEM_PERCPU", "rseq"), expected);
}

static void locks_when_asked_for(void **state)
{
	(void)state;
	assert_int_equal(run_with("KMEM_PERCPU", "lock"), WITH_LOCKS);
}

/* As on a kernel without them: the C library has registered none. */
static void locks_without_registration(void **state)
{
	(void)state;
	assert_int_equal(run_with("GLIBC_TUNABLES", "glibc.pthread.rseq=0"), WITH_LOCKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_where_there_are_any),
		cmocka_unit_test(locks_when_asked_for),
		cmocka_unit_test(locks_without_registration),
	};

	if (getenv(CHILD) != NULL)
		return child();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
