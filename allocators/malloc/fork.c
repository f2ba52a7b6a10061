/* SPDX-License-Identifier: MIT */
/*
 * Fork: malloc's own two locks, first and last of all; os/os_fork.h has the theory, and
 * malloc.c the lock order.
 */
#include "allocators/malloc/malloc_internal.h"
#include "allocators/os/os_fork.h"

static void unlock(void)
{
	large_fork_unlock();
	trim_fork_unlock();
}

void malloc_fork_init(void)
{
	static const struct os_fork_ops ops = {
		.lock = trim_fork_lock,
		.lock_inner = large_fork_lock,
		.unlock = unlock,
	};

	os_fork_set(OS_FORK_MALLOC, &ops);
}

void malloc_fork_exit(void)
{
	os_fork_set(OS_FORK_MALLOC, NULL);
}
