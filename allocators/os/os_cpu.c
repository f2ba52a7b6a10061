/* SPDX-License-Identifier: MIT */
/* CPU numbers, and the choice between restartable sequences and locks. */
#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_fast.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

bool os_percpu_use_rseq;
ptrdiff_t os_rseq_offset;
_Atomic uint64_t os_percpu_aborts;

static unsigned int nr_cpus;

/*
 * The last number of a list such as "0-3,8-11", plus one; 0 when unreadable. Without
 * stdio, which allocates: this runs inside the first malloc() of a process.
 */
static unsigned int read_possible_cpus(void)
{
	int fd = open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC);
	const char *last;
	char line[256];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	line[n] = '\0';
	last = line;
	for (const char *c = line; *c != '\0'; c++) {
		if (*c == '-' || *c == ',')
			last = c + 1;
	}
	return *last >= '0' && *last <= '9' ? (unsigned int)strtoul(last, NULL, 10) + 1
					    : 0;
}

static unsigned int count_possible_cpus(void)
{
	unsigned int count = read_possible_cpus();

	if (count == 0) {
		long configured = sysconf(_SC_NPROCESSORS_CONF);

		count = configured < 1 ? 1 : (unsigned int)configured;
	}
	return count > OS_MAX_CPUS ? OS_MAX_CPUS : count;
}

static long membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
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
	       membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) == 0;
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
	nr_cpus = count_possible_cpus();
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
	int cpu = sched_getcpu();

	if (KMEM_UNLIKELY(cpu < 0))
		return 0;
	return KMEM_LIKELY((unsigned int)cpu < nr_cpus)
		       ? (unsigned int)cpu
		       : (unsigned int)cpu % os_nr_cpus();
}

void os_restart_sequences(void)
{
	/* A forked child may have to register anew. */
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) != 0) {
		membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ);
		membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
	}
}

void os_cpu_force_mode(bool use_rseq)
{
	os_cpu_init();
	choose_mode(use_rseq);
}
