/* SPDX-License-Identifier: MIT */
#include "workloads/harness/arena.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "workloads/workload.h"

static _Atomic uint64_t live_bytes, live_bytes_max;

static size_t arena_round(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return bytes == 0 ? page : KMEM_ALIGN_UP(bytes, page);
}

static void account(size_t size)
{
	uint64_t live =
		atomic_fetch_add_explicit(&live_bytes, size, memory_order_relaxed) + size;
	uint64_t max = atomic_load_explicit(&live_bytes_max, memory_order_relaxed);

	while (live > max && !atomic_compare_exchange_weak_explicit(
				     &live_bytes_max, &max, live, memory_order_relaxed,
				     memory_order_relaxed))
		;
}

void *arena_alloc(size_t bytes)
{
	size_t size = arena_round(bytes);
	void *p;

	if (size < bytes)
		worker_fail(NULL, "the harness cannot map %zu bytes for itself: too many",
			    bytes);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p == MAP_FAILED)
		worker_fail(NULL, "the harness cannot map %zu bytes for itself: %s", size,
			    strerror(errno));
	account(size);
	return p;
}

void arena_free(void *p, size_t bytes)
{
	size_t size = arena_round(bytes);

	if (p == NULL)
		return;
	munmap(p, size);
	atomic_fetch_sub_explicit(&live_bytes, size, memory_order_relaxed);
}

uint64_t arena_bytes(void)
{
	return atomic_load_explicit(&live_bytes, memory_order_relaxed);
}

uint64_t arena_bytes_max(void)
{
	return atomic_load_explicit(&live_bytes_max, memory_order_relaxed);
}

void arena_bytes_max_reset(void)
{
	atomic_store_explicit(&live_bytes_max, arena_bytes(), memory_order_relaxed);
}
