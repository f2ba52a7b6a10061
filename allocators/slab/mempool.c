/* SPDX-License-Identifier: MIT */
/*
 * Memory pools.
 *
 * THEORY
 *
 * Concepts. Who has to make progress in order that memory becomes free, such as a
 * driver that writes pages out, must not wait for memory itself. Its pool holds
 * min_nr elements back. Only what the allocator cannot serve at once is taken from
 * them, and what is freed fills them up before anything returns to the allocator. As
 * long as every user of the pool frees what it got without waiting for a second
 * element, min_nr elements in use at once are guaranteed, and a waiter's turn comes.
 *
 * Structures. The reserve is a stack of pointers. It and the pool itself are mapped
 * from the system: a reserve must not depend on the allocator that it insures.
 *
 * Allocation, in steps: ask the allocator without leave to sleep; pop the reserve;
 * where the caller may sleep, ask once more with the caller's own mask, and wait until
 * somebody frees. A waiter looks again after MEMPOOL_WAIT_S at the latest, since
 * the allocator may have got memory from elsewhere meanwhile.
 *
 * Free. The look at whether the reserve is full takes no lock. It can be out of date
 * when others are popping at this moment; then the element goes to the allocator, and
 * those who popped will find the reserve short when they free. An element whose
 * allocation left the reserve short always sees that (both are sequentially
 * consistent), so the last element in use always wakes the waiter.
 *
 * Locking. One mutex for each pool; no function of the allocator is called with it
 * held. The pool's mutex is a leaf. All pools are on a list, whose mutex comes before
 * theirs: at a fork every one is taken, so that the child's copy is whole. Who waited
 * in the parent is not in the child, so the child's condition variables are made anew.
 *
 * Differences. From Linux 2.6.28: a mask with __GFP_ZERO is refused; destroying a
 * pool with elements out is refused instead of a panic; the sleep is a condition
 * variable, woken for each free, not only for the first waiter of a queue.
 *
 * References: Linux 2.6.28 mm/mempool.c (I. Molnar, 2001).
 */
#include <kmem/mempool.h>

#include <errno.h>
#include <kmem/error.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "allocators/os/os_fork.h"
#include "allocators/os/os_mem.h"

/* As Linux: long enough not to burn time, short enough for a missed chance. */
#define MEMPOOL_WAIT_S 5

struct mempool {
	/* --- constant --- */
	mempool_alloc_t alloc;
	mempool_free_t free;
	void *pool_data;

	/* --- the reserve: written under lock --- */
	pthread_mutex_t lock;
	pthread_cond_t freed;
	_Atomic int curr_nr, min_nr; /* read without it by mempool_free() */
	void **elements;	     /* min_nr of them */

	/* --- statistics: under lock, but failures --- */
	uint64_t from_reserve, refills, waits;
	_Atomic uint64_t failures;

	mempool_t *next; /* under pools_mutex */
};

static pthread_mutex_t pools_mutex = PTHREAD_MUTEX_INITIALIZER;
static mempool_t *pools;

/* --- fork --- */

static bool init_freed(mempool_t *pool)
{
	pthread_condattr_t attr;
	bool done;

	if (pthread_condattr_init(&attr) != 0)
		return false;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	done = pthread_cond_init(&pool->freed, &attr) == 0;
	pthread_condattr_destroy(&attr);
	return done;
}

static void fork_lock(void)
{
	pthread_mutex_lock(&pools_mutex);
	for (mempool_t *pool = pools; pool; pool = pool->next)
		pthread_mutex_lock(&pool->lock);
}

static void fork_child(void)
{
	for (mempool_t *pool = pools; pool; pool = pool->next)
		init_freed(pool);
}

static void fork_unlock(void)
{
	for (mempool_t *pool = pools; pool; pool = pool->next)
		pthread_mutex_unlock(&pool->lock);
	pthread_mutex_unlock(&pools_mutex);
}

static void list_pool(mempool_t *pool)
{
	static const struct os_fork_ops ops = {
		.lock_inner = fork_lock,
		.child = fork_child,
		.unlock = fork_unlock,
	};

	os_fork_set(OS_FORK_MEMPOOL, &ops);
	pthread_mutex_lock(&pools_mutex);
	pool->next = pools;
	pools = pool;
	pthread_mutex_unlock(&pools_mutex);
}

static void unlist_pool(mempool_t *pool)
{
	mempool_t **link = &pools;

	pthread_mutex_lock(&pools_mutex);
	while (*link != pool)
		link = &(*link)->next;
	*link = pool->next;
	pthread_mutex_unlock(&pools_mutex);
}

/* --- life --- */

static void **map_elements(int nr)
{
	return os_map_anon((size_t)nr * sizeof(void *));
}

static void unmap_elements(void **elements, int nr)
{
	os_unmap(elements, (size_t)nr * sizeof(void *));
}

static int check_nr(int min_nr)
{
	if (min_nr < 1 || min_nr > MEMPOOL_MIN_NR_MAX)
		return kmem_error(-EINVAL, "a pool of '%d' elements: use 1 to %d", min_nr,
				  MEMPOOL_MIN_NR_MAX);
	return 0;
}

static bool init_lock(mempool_t *pool)
{
	return pthread_mutex_init(&pool->lock, NULL) == 0 && init_freed(pool);
}

static void free_reserve(mempool_t *pool)
{
	while (pool->curr_nr > 0) {
		pool->curr_nr--;
		pool->free(pool->elements[pool->curr_nr], pool->pool_data);
	}
}

mempool_t *mempool_create(int min_nr, mempool_alloc_t alloc_fn, mempool_free_t free_fn,
			  void *pool_data)
{
	mempool_t *pool;

	if (check_nr(min_nr) != 0)
		return NULL;
	if (!alloc_fn || !free_fn) {
		kmem_error(-EINVAL,
			   "a pool needs a function that allocates, and one that "
			   "frees");
		return NULL;
	}
	pool = os_map_anon(sizeof(*pool));
	if (!pool) {
		kmem_error(-ENOMEM, "no memory for a pool");
		return NULL;
	}
	*pool = (mempool_t){.alloc = alloc_fn, .free = free_fn, .pool_data = pool_data};
	pool->min_nr = min_nr;
	pool->elements = map_elements(min_nr);
	if (!pool->elements || !init_lock(pool)) {
		kmem_error(-ENOMEM, "no memory for a pool of '%d' elements", min_nr);
		goto out_pool;
	}
	while (pool->curr_nr < min_nr) {
		void *element = alloc_fn(GFP_KERNEL, pool_data);

		if (!element) {
			kmem_error(-ENOMEM,
				   "a pool of '%d' elements: only %d were to be had",
				   min_nr, pool->curr_nr);
			goto out_reserve;
		}
		pool->elements[pool->curr_nr] = element;
		pool->curr_nr++;
	}
	list_pool(pool);
	return pool;
out_reserve:
	free_reserve(pool);
	pthread_cond_destroy(&pool->freed);
	pthread_mutex_destroy(&pool->lock);
out_pool:
	if (pool->elements)
		unmap_elements(pool->elements, min_nr);
	os_unmap(pool, sizeof(*pool));
	return NULL;
}

int mempool_destroy(mempool_t *pool)
{
	if (!pool)
		return 0;
	if (pool->curr_nr != pool->min_nr)
		return kmem_error(-EBUSY,
				  "the pool lacks %d of its %d elements, free them first",
				  pool->min_nr - pool->curr_nr, pool->min_nr);
	unlist_pool(pool);
	free_reserve(pool);
	pthread_cond_destroy(&pool->freed);
	pthread_mutex_destroy(&pool->lock);
	unmap_elements(pool->elements, pool->min_nr);
	os_unmap(pool, sizeof(*pool));
	return 0;
}

/* --- the reserve --- */

static void *reserve_pop_locked(mempool_t *pool)
{
	if (pool->curr_nr == 0)
		return NULL;
	pool->from_reserve++;
	pool->curr_nr--;
	return pool->elements[pool->curr_nr];
}

static void *reserve_pop(mempool_t *pool)
{
	void *element;

	pthread_mutex_lock(&pool->lock);
	element = reserve_pop_locked(pool);
	pthread_mutex_unlock(&pool->lock);
	return element;
}

/* False when the reserve is full. */
static bool reserve_push(mempool_t *pool, void *element)
{
	bool pushed;

	pthread_mutex_lock(&pool->lock);
	pushed = pool->curr_nr < pool->min_nr;
	if (pushed) {
		pool->elements[pool->curr_nr] = element;
		pool->curr_nr++;
		pool->refills++;
		pthread_cond_signal(&pool->freed);
	}
	pthread_mutex_unlock(&pool->lock);
	return pushed;
}

/* Waits until the reserve has an element, which is returned, or for MEMPOOL_WAIT_S. */
static void *reserve_wait(mempool_t *pool)
{
	struct timespec until;
	void *element;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += MEMPOOL_WAIT_S;
	pthread_mutex_lock(&pool->lock);
	while (!(element = reserve_pop_locked(pool)) && err == 0) {
		pool->waits++;
		err = pthread_cond_timedwait(&pool->freed, &pool->lock, &until);
	}
	pthread_mutex_unlock(&pool->lock);
	return element;
}

/* --- allocation and free --- */

/* Flags that contradict nothing. */
#define PLAIN_GFP (__GFP_WAIT | __GFP_HIGH | __GFP_COLD | __GFP_NOWARN | __GFP_MEMALLOC)

void *mempool_alloc(mempool_t *pool, gfp_t gfp)
{
	/* Quickly and quietly; the emergency reserves of the system stay for others. */
	gfp_t quick = (gfp & ~(__GFP_WAIT | __GFP_NOFAIL | __GFP_REPEAT | __GFP_NORETRY |
			       __GFP_MEMALLOC)) |
		      __GFP_NOWARN;
	void *element;

	if (KMEM_UNLIKELY(gfp & __GFP_ZERO)) {
		kmem_error(-EINVAL, "elements of a pool are not zeroed, drop __GFP_ZERO");
		return NULL;
	}
	/* The allocator sees parts of the mask only, and where it refuses them for ever,
	 * waiting would have no end. */
	if (KMEM_UNLIKELY((gfp & ~PLAIN_GFP) != 0) && gfp_check(gfp) != 0)
		return NULL;
	element = pool->alloc(quick, pool->pool_data);
	if (KMEM_LIKELY(element != NULL))
		return element;
	element = reserve_pop(pool);
	while (!element && (gfp & __GFP_WAIT)) {
		element = pool->alloc((gfp & ~__GFP_NOFAIL) | __GFP_NOWARN,
				      pool->pool_data);
		if (!element)
			element = reserve_wait(pool);
	}
	if (!element)
		atomic_fetch_add_explicit(&pool->failures, 1, memory_order_relaxed);
	return element;
}

void mempool_free(void *element, mempool_t *pool)
{
	if (!element)
		return;
	if (KMEM_UNLIKELY(pool->curr_nr < pool->min_nr) && reserve_push(pool, element))
		return;
	pool->free(element, pool->pool_data);
}

/* --- size --- */

/* Installs an array of the new size; what no longer fits is handed out through old[],
 * whose first entries it then holds. Returns how many. */
static int swap_arrays(mempool_t *pool, void ***array, int new_min_nr)
{
	void **old = pool->elements;
	int keep, rest = 0;

	pthread_mutex_lock(&pool->lock);
	keep = pool->curr_nr < new_min_nr ? pool->curr_nr : new_min_nr;
	memcpy(*array, old, (size_t)keep * sizeof(void *));
	while (keep + rest < pool->curr_nr) {
		old[rest] = old[keep + rest];
		rest++;
	}
	pool->elements = *array;
	pool->curr_nr = keep;
	pool->min_nr = new_min_nr;
	pthread_mutex_unlock(&pool->lock);
	*array = old;
	return rest;
}

int mempool_resize(mempool_t *pool, int new_min_nr)
{
	int old_min_nr = pool->min_nr, rest;
	void **array;

	if (check_nr(new_min_nr) != 0)
		return -EINVAL;
	array = map_elements(new_min_nr);
	if (!array)
		return kmem_error(-ENOMEM, "no memory for a pool of '%d' elements",
				  new_min_nr);
	rest = swap_arrays(pool, &array, new_min_nr);
	while (rest > 0)
		pool->free(array[--rest], pool->pool_data);
	unmap_elements(array, old_min_nr);
	while (pool->curr_nr < new_min_nr) {
		void *element = pool->alloc(GFP_KERNEL | __GFP_NOWARN, pool->pool_data);

		if (!element)
			break;
		mempool_free(element, pool);
	}
	return 0;
}

/* --- ready-made pools --- */

void *mempool_alloc_slab(gfp_t gfp, void *pool_data)
{
	return kmem_cache_alloc(pool_data, gfp);
}

void mempool_free_slab(void *element, void *pool_data)
{
	kmem_cache_free(pool_data, element);
}

void *mempool_kmalloc(gfp_t gfp, void *pool_data)
{
	return kmalloc((size_t)(uintptr_t)pool_data, gfp);
}

void mempool_kfree(void *element, void *pool_data)
{
	(void)pool_data;
	kfree(element);
}

void mempool_stats(mempool_t *pool, struct mempool_stats *stats)
{
	pthread_mutex_lock(&pool->lock);
	*stats = (struct mempool_stats){
		.min_nr = pool->min_nr,
		.curr_nr = pool->curr_nr,
		.from_reserve = pool->from_reserve,
		.refills = pool->refills,
		.waits = pool->waits,
		.failures = pool->failures,
	};
	pthread_mutex_unlock(&pool->lock);
}
