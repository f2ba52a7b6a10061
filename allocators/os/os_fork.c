/* SPDX-License-Identifier: MIT */
#include "allocators/os/os_fork.h"
#include "allocators/core/error_internal.h"
#include "allocators/os/magazine_fast.h"
#include "allocators/os/os_cpu.h"
#include "allocators/os/os_sys.h"
#include "allocators/os/percpu_area.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/single_threaded.h>

static const struct os_fork_ops none;
static _Atomic(const struct os_fork_ops *) layers[OS_FORK_LAYERS];

/* One fork at a time: what was locked is what is unlocked. */
static pthread_mutex_t fork_mutex = PTHREAD_MUTEX_INITIALIZER;
static const struct os_fork_ops *taken[OS_FORK_LAYERS]; /* under fork_mutex */
/* Whether this thread's handler has locked anything; the child's copy says it too. */
static _Thread_local bool locked;

/* Longer than any sequence of some hundred instructions lasts that is not preempted (and
 * the kernel restarts those that are): for a system that refuses every way to know. */
#define SEQUENCE_NS 20000000L

static void freeze_all(void)
{
	for (;;) {
		bool all = true;

		for (int l = 0; l < OS_FORK_LAYERS; l++) {
			if (taken[l]->freeze != NULL)
				all &= taken[l]->freeze();
		}
		if (all)
			return;
		if (!os_restart_sequences())
			os_sleep(SEQUENCE_NS);
	}
}

static void before_fork(void)
{
	if (__libc_single_threaded)
		return;
	pthread_mutex_lock(&fork_mutex);
	for (int l = 0; l < OS_FORK_LAYERS; l++) {
		taken[l] = atomic_load(&layers[l]);
		if (taken[l] == NULL)
			taken[l] = &none;
		if (taken[l]->lock != NULL)
			taken[l]->lock();
	}
	magazine_fork_lock();
	freeze_all();
	for (int l = 0; l < OS_FORK_LAYERS; l++) {
		if (taken[l]->lock_inner != NULL)
			taken[l]->lock_inner();
	}
	percpu_area_fork_lock();
	kmem_bug_fork_lock();
	locked = true;
}

static void after_fork(void)
{
	if (!locked)
		return;
	locked = false;
	kmem_bug_fork_unlock();
	percpu_area_fork_unlock();
	for (int l = OS_FORK_LAYERS - 1; l >= 0; l--) {
		if (taken[l]->unlock != NULL)
			taken[l]->unlock();
	}
	magazine_fork_unlock();
	pthread_mutex_unlock(&fork_mutex);
}

static void after_fork_in_child(void)
{
	for (int l = OS_FORK_LAYERS - 1; locked && l >= 0; l--) {
		if (taken[l]->child != NULL)
			taken[l]->child();
	}
	after_fork();
}

static void register_handlers(void)
{
	pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

void os_fork_set(enum os_fork_layer layer, const struct os_fork_ops *ops)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	atomic_store(&layers[layer], ops);
	pthread_once(&once, register_handlers);
}
