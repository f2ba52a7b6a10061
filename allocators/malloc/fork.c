/* SPDX-License-Identifier: MIT */
/*
 * Fork handlers. Without other threads there is nothing to do: nobody is inside a
 * call. Otherwise everybody is stopped, in the order that malloc.c gives; the child
 * has the forking thread alone, so what was taken before is given back on both
 * sides by the same thread.
 *
 * The handlers are registered at the start, mostly before those of any library: so
 * they run last before the fork and first after it, and other handlers may
 * allocate.
 */
#include "allocators/buddy/buddy_internal.h"
#include "allocators/malloc/malloc_internal.h"
#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_area.h"
#include "allocators/slab/slab_internal.h"

#include <pthread.h>
#include <sys/single_threaded.h>

/* Whether this thread's handler has locked anything; the child's copy says it too. */
static _Thread_local bool locked;

static void freeze_all(void)
{
	for (;;) {
		bool slab = slab_fork_freeze();
		bool buddy_lists = buddy_fork_freeze();

		if (slab && buddy_lists)
			return;
		os_restart_sequences();
	}
}

static void before_fork(void)
{
	if (!malloc_is_up() || __libc_single_threaded)
		return;
	trim_fork_lock();
	slab_fork_lock_chain();
	buddy_fork_lock_drain();
	magazine_fork_lock();
	freeze_all();
	slab_fork_lock_lists();
	buddy_fork_lock_zones();
	percpu_area_fork_lock();
	large_fork_lock();
	locked = true;
}

static void after_fork(void)
{
	if (!locked)
		return;
	locked = false;
	large_fork_unlock();
	percpu_area_fork_unlock();
	buddy_fork_unlock();
	slab_fork_unlock();
	magazine_fork_unlock();
	trim_fork_unlock();
}

void malloc_fork_init(void)
{
	static bool done;

	if (!done)
		pthread_atfork(before_fork, after_fork, after_fork);
	done = true;
}
