/* SPDX-License-Identifier: MIT */
/* CPU numbers, and the choice between restartable sequences and locks. */
#include "allocators/os/os_cpu.h"
#include "allocators/os/os_sys.h"
#include "allocators/os/percpu_fast.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <unistd.h>

bool os_percpu_use_rseq;
ptrdiff_t os_rseq_offset;
_Atomic uint64_t os_percpu_aborts;

static unsigned int nr_cpus;

/* The last number of a list such as "0-3,8-11", plus one; 0 when unreadable. */
static unsigned int read_possible_cpus(void)
{
	const char *last;
	char line[256];

	if (!os_read_file("/sys/devices/system/cpu/possible", line, sizeof(line)))
		return 0;
	last = line;
	for (const char *c = line; *c != '\0'; c++) {
		if (*c == '-' || *c == ',')
			last = c + 1;
	}
	return *last >= '0' && *last <= '9' ? (unsigned int)strtoul(last, NULL, 10) + 1
					    : 0;
}

unsigned int os_count_possible_cpus(void)
{
	unsigned int count = read_possible_cpus();

	if (count == 0) {
		long configured = sysconf(_SC_NPROCESSORS_CONF);

		count = configured < 1 ? 1 : (unsigned int)configured;
	}
	return count > OS_MAX_CPUS ? OS_MAX_CPUS : count;
}

static bool membarrier(int cmd)
{
	return os_hooks_now.membarrier(cmd) == 0;
}

#if OS_PERCPU_RSEQ
/* What sequences find in lock mode: no CPU has this number, so that they fail. */
static __thread struct rseq no_rseq = {.cpu_id = (uint32_t)-1};

/* Initial-exec, so the distance from the thread pointer is the same in each thread. */
static void use_dummy_area(void)
{
	os_rseq_offset = (char *)&no_rseq - (char *)__builtin_thread_pointer();
}

/* Registered by glibc for this thread (and so for all), and a sane CPU number. */
static bool rseq_registered(void)
{
	const struct rseq *rs;

	if (__rseq_size == 0)
		return false;
	os_rseq_offset = __rseq_offset;
	rs = percpu_rseq_area();
	return *(const volatile uint32_t *)&rs->cpu_id < nr_cpus;
}

static bool choose_rseq(void)
{
	const char *mode = getenv("KMEM_PERCPU");

	if (mode != NULL && strcmp(mode, "lock") == 0)
		return false;
	return rseq_registered() &&
	       membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ);
}

static void choose_mode(bool wanted)
{
	os_percpu_use_rseq = wanted && choose_rseq();
	if (!os_percpu_use_rseq)
		use_dummy_area();
}
#else
static void choose_mode(bool wanted)
{
	(void)wanted;
	os_percpu_use_rseq = false;
}
#endif

void os_cpu_init(void)
{
	/* The first caller runs before main or as its only thread: see below. */
	if (nr_cpus != 0)
		return;
	nr_cpus = os_count_possible_cpus();
	choose_mode(true);
}

/* Early, so that other constructors find it done; before any thread exists. */
static void __attribute__((constructor(101))) os_cpu_constructor(void)
{
	os_cpu_init();
}

unsigned int os_nr_cpus(void)
{
	if (KMEM_UNLIKELY(nr_cpus == 0))
		os_cpu_init();
	return nr_cpus;
}

unsigned int os_cpu_id_slow(void)
{
	int cpu = os_hooks_now.sched_getcpu();

	if (KMEM_UNLIKELY(cpu < 0))
		return 0;
	return KMEM_LIKELY((unsigned int)cpu < nr_cpus)
		       ? (unsigned int)cpu
		       : (unsigned int)cpu % os_nr_cpus();
}

/*
 * For a system that takes membarrier(2) away from a running process (a sandbox): where
 * this thread runs, nobody else does, and who had to stop for it in a sequence is
 * restarted. A CPU that may not be used, or is not there, has none of our threads.
 */
static bool visit_all_cpus(void)
{
	cpu_set_t before, one;
	bool all = true;

	/* Beyond what a cpu_set_t holds, nothing can be said. */
	if (nr_cpus > CPU_SETSIZE ||
	    os_hooks_now.sched_getaffinity(0, sizeof(before), &before) < 0)
		return false;
	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (os_hooks_now.sched_setaffinity(0, sizeof(one), &one) != 0 &&
		    errno != EINVAL)
			all = false;
	}
	os_hooks_now.sched_setaffinity(0, sizeof(before), &before);
	return all;
}

bool os_restart_sequences(void)
{
	/* What a handler of this thread has interrupted, its signal has restarted. Tests
	 * that take the call away mean it. */
	if (__libc_single_threaded &&
	    os_hooks_now.membarrier == os_hooks_system.membarrier)
		return true;
	/* A forked child may have to register anew. */
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) ||
	       (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) &&
		membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ)) ||
	       visit_all_cpus();
}

const char *os_percpu_mode(void)
{
	os_cpu_init();
	return os_percpu_lockless() ? "rseq" : "lock";
}

void os_cpu_force_mode(bool use_rseq)
{
	os_cpu_init();
	choose_mode(use_rseq);
}
