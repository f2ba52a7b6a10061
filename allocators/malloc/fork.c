/* SPDX-License-Identifier: MIT */
/*
 * Fork: malloc's own locks, first and last of all, and the arrays of large blocks;
 * os/os_fork.h has the theory, and malloc.c the lock order.
 */
#include "allocators/malloc/malloc_internal.h"
#include "allocators/os/os_fork.h"

static void lock_inner(void)
{
	large_fork_lock();
	spans_fork_lock();
}

static void unlock(void)
{
	spans_fork_unlock();
	large_fork_unlock();
	trim_unlock();
}

void malloc_fork_init(void)
{
	static const struct os_fork_ops ops = {
		.lock = trim_lock,
		.freeze = spans_fork_freeze,
		.lock_inner = lock_inner,
		.unlock = unlock,
	};

	os_fork_set(OS_FORK_MALLOC, &ops);
}

void malloc_fork_exit(void)
{
	os_fork_set(OS_FORK_MALLOC, NULL);
}
