/* SPDX-License-Identifier: MIT */
/*
 * For soak tests: more threads than there are CPUs, moved about all the time and
 * interrupted in the middle of sequences. KMEM_SOAK_OPS sets the number of operations
 * (10^9 has been run); as a test it is a few million. Include it in one file of a
 * program.
 */
#ifndef KMEM_TEST_SOAK_H
#define KMEM_TEST_SOAK_H

#include "allocators/os/os_cpu.h"
#include "tests/os/percpu_test.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define SOAK_THREADS 8u
/* Between two moves. */
#define SOAK_ROUND_US 100

static inline unsigned long soak_ops(void)
{
	const char *text = getenv("KMEM_SOAK_OPS");

	if (text != NULL)
		return strtoul(text, NULL, 10);
	return KMEM_SANITIZED ? 400000 : 8000000;
}

struct soak {
	void (*work)(uint64_t self,
		     unsigned long ops);     /* of one thread; self from 1 on */
	void (*disturb)(unsigned int round); /* in the thread that moves the others */
	unsigned long ops_each;
	/* --- set by soak_run() --- */
	pthread_t threads[SOAK_THREADS];
	pthread_barrier_t worked;
	_Atomic bool done;
};

struct soak_thread {
	struct soak *soak;
	uint64_t self;
};

static inline void *soak_work(void *arg)
{
	struct soak_thread *thread = arg;
	struct soak *soak = thread->soak;

	soak->work(thread->self, soak->ops_each);
	/* Threads end only when nobody moves them any more. */
	pthread_barrier_wait(&soak->worked);
	pthread_barrier_wait(&soak->worked);
	return NULL;
}

/* Pins threads now here, now there, and interrupts whatever sequence is under way. */
static inline void *soak_move(void *arg)
{
	struct soak *soak = arg;
	unsigned int cpus = os_nr_cpus();

	for (unsigned int round = 1; !atomic_load(&soak->done); round++) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(round / SOAK_THREADS % cpus, &set);
		pthread_setaffinity_np(soak->threads[round % SOAK_THREADS], sizeof(set),
				       &set);
		if (os_percpu_lockless())
			os_restart_sequences();
		soak->disturb(round);
		usleep(SOAK_ROUND_US);
	}
	return NULL;
}

/* Returns how many sequences were restarted. */
static inline unsigned long soak_run(struct soak *soak)
{
	uint64_t aborts = atomic_load(&os_percpu_aborts);
	struct soak_thread threads[SOAK_THREADS];
	pthread_t mover;

	atomic_store(&soak->done, false);
	assert_int_equal(pthread_barrier_init(&soak->worked, NULL, SOAK_THREADS + 1), 0);
	for (unsigned int i = 0; i < SOAK_THREADS; i++) {
		threads[i] = (struct soak_thread){soak, i + 1};
		assert_int_equal(
			pthread_create(&soak->threads[i], NULL, soak_work, &threads[i]),
			0);
	}
	assert_int_equal(pthread_create(&mover, NULL, soak_move, soak), 0);
	pthread_barrier_wait(&soak->worked);
	atomic_store(&soak->done, true);
	pthread_join(mover, NULL);
	pthread_barrier_wait(&soak->worked);
	for (unsigned int i = 0; i < SOAK_THREADS; i++)
		pthread_join(soak->threads[i], NULL);
	pthread_barrier_destroy(&soak->worked);
	return (unsigned long)(atomic_load(&os_percpu_aborts) - aborts);
}

#endif /* KMEM_TEST_SOAK_H */
