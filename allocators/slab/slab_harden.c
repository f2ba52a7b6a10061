/* SPDX-License-Identifier: MIT */
/*
 * The variant hardened=on: every double free and every invalid free, at the call.
 *
 * THEORY. By default a free knows where objects start (slab_grid.h), but not whether an
 * object is in somebody's hands: the arrays are lists of addresses, and to search them
 * would cost more than the free. Here a table outside of all objects has a byte for each
 * 16 bytes of the direct map, its mark. It is not 0 exactly where an object starts that
 * a caller holds; then it is the number of the object's cache:
 *
 *   direct map  | object 0          | object 1          | object 2 (free)   |
 *   marks         7   0   0           7   0   0           0   0   0
 *
 * An allocation writes the mark with a plain store: nobody else has the object. A free
 * compares and clears it in one step, so that of two frees that race exactly one finds it
 * set. Whatever finds 0 frees nothing: an object that is free already, wherever it lies
 * (array, depot, slab), the middle of an object, a descriptor, memory of another
 * allocator. The mark names the cache too, so that the page's descriptor is not read.
 *
 * The hit paths know nothing of this: they are told no numbers of magazines (hit_out,
 * page_id), so that everything comes by the slow paths, which look here first.
 *
 * What is missed. An address whose object was freed and has been allocated again since is
 * the new holder's: nothing tells the two apart without changing the pointer. Writes
 * through stale pointers: see debug=on.
 *
 * Price. A byte of table for 16 of memory, touched where objects start. An atomic
 * step for each free, and for both calls the way around the hit path. Objects are at
 * least 16 bytes apart.
 */
#include "allocators/slab/slab_harden.h"
#include "allocators/os/os_mem.h"
#include "allocators/slab/slab_fast.h"
#include <kmem/error.h>
#include <errno.h>
#include <sys/random.h>

_Atomic uint8_t *slab_marks;

static size_t marks_bytes(void)
{
	return (slab_pages.nr_frames << PAGE_SHIFT) / SLAB_MARK_BYTES;
}

int slab_marks_init(void)
{
	slab_marks = os_map_anon(marks_bytes());
	if (slab_marks == NULL)
		return kmem_error(
			-ENOMEM,
			"no memory for the marks of hardened=on, %zu bytes: lower "
			"option 'memory' or raise 'ulimit -v'",
			marks_bytes());
	return 0;
}

void slab_marks_exit(void)
{
	if (slab_marks != NULL)
		os_unmap((void *)slab_marks, marks_bytes());
	slab_marks = NULL;
}

/* --- marks --- */

/* NULL where nothing can start. */
static _Atomic uint8_t *mark_of(const void *addr)
{
	size_t offset = (size_t)((const char *)addr - slab_pages.base);

	if (offset >> PAGE_SHIFT >= slab_pages.nr_frames || offset % SLAB_MARK_BYTES != 0)
		return NULL;
	return &slab_marks[offset / SLAB_MARK_BYTES];
}

static void set_mark(const void *addr, uint8_t value)
{
	/* Release: whoever gets the address from its holder finds the mark. */
	atomic_store_explicit(mark_of(addr), value, memory_order_release);
}

/* Of several that do so at once one succeeds. */
static bool clear_mark(_Atomic uint8_t *mark, uint8_t value)
{
	return atomic_compare_exchange_strong_explicit(
		mark, &value, 0, memory_order_acq_rel, memory_order_acquire);
}

static uint8_t mark_for(const struct kmem_cache *cache)
{
	uint8_t id = cache->mag.in;

	return id != 0 && id < SLAB_NR_NUMBERS ? id : SLAB_MARK_OTHER;
}

void slab_mark_object(const struct kmem_cache *cache, const void *object)
{
	set_mark(object, mark_for(cache));
}

void slab_mark_large(const void *block)
{
	set_mark(block, SLAB_MARK_LARGE);
}

bool slab_mark_live(const void *addr)
{
	_Atomic uint8_t *mark = mark_of(addr);

	return mark && atomic_load_explicit(mark, memory_order_acquire) != 0;
}

uint8_t slab_mark_take(const struct kmem_cache *cache, const void *addr)
{
	_Atomic uint8_t *mark = mark_of(addr);
	uint8_t have = mark ? atomic_load_explicit(mark, memory_order_acquire) : 0;

	if (have == 0)
		return 0;
	if (cache && (have != mark_for(cache) || virt_to_page(addr)->slab_cache != cache))
		return 0;
	return clear_mark(mark, have) ? have : 0;
}

/* --- the short ways --- */

void *slab_hardened_alloc(size_t size)
{
	struct kmem_cache *cache;
	void *object;

	if (size > KMALLOC_MAX_CACHE_SIZE)
		return NULL;
	cache = kmalloc_cache_of(size, __GFP_NOWARN);
	if (!cache || cache->mag.out == 0 || slab_nr_nodes > 1)
		return NULL;
	object = magazine_pop_hit(cache->mag.out);
	if (!object)
		object = magazine_pop(&cache->mag);
	if (object)
		set_mark(object, mark_for(cache));
	return object;
}

bool slab_hardened_free(void *object)
{
	_Atomic uint8_t *mark = mark_of(object);
	uint8_t id = mark ? atomic_load_explicit(mark, memory_order_acquire) : 0;
	struct kmem_cache *cache;

	if (id == 0 || id >= SLAB_NR_NUMBERS || slab_nr_nodes > 1)
		return false;
	/* The loser of a race finds 0 here, and is reported further on. */
	if (!clear_mark(mark, id))
		return false;
	if (KMEM_LIKELY(magazine_push_hit(id, object)))
		return true;
	cache = slab_id_caches[id];
	if (!magazine_push(&cache->mag, object))
		slab_flush(cache, object);
	return true;
}

/* --- the check --- */

/* While slab_check() has marked the objects on arrays BUFCTL_BUSY. */
int slab_marks_check(const struct kmem_cache *cache, const struct slab *slab)
{
	for (unsigned int i = 0; i < cache->num; i++) {
		const char *object = slab_object(cache, slab, i);
		bool live = slab_mark_live(object);

		if (slab->bufctl[i] == BUFCTL_QUARANTINE)
			continue;
		if (live != (slab->bufctl[i] == BUFCTL_ACTIVE))
			return kmem_error(
				-EFAULT, "cache '%s': object %p is %s, its mark says not",
				cache->name, (const void *)object,
				live ? "free" : "live");
	}
	return 0;
}

/* --- order --- */

/* A sequence that an outsider cannot know; its steps may race, which only adds to that.
 */
static uint64_t random_bits(void)
{
	static _Atomic uint64_t state;
	uint64_t x = atomic_load_explicit(&state, memory_order_relaxed);

	if (x == 0 && getrandom(&x, sizeof(x), GRND_NONBLOCK) != (ssize_t)sizeof(x))
		x = (uintptr_t)&x;
	/* splitmix64 */
	x += 0x9e3779b97f4a7c15;
	atomic_store_explicit(&state, x, memory_order_relaxed);
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Sattolo's algorithm makes a permutation that is one cycle, which is what a chain is
 * when its ends are joined. */
void slab_shuffle(const struct kmem_cache *cache, struct slab *slab)
{
	unsigned int num = cache->num, start;

	for (unsigned int i = 0; i < num; i++)
		slab->bufctl[i] = (kmem_bufctl_t)i;
	for (unsigned int i = num - 1; i > 0; i--) {
		unsigned int j = (unsigned int)(random_bits() % i);
		kmem_bufctl_t swap = slab->bufctl[i];

		slab->bufctl[i] = slab->bufctl[j];
		slab->bufctl[j] = swap;
	}
	start = (unsigned int)(random_bits() % num);
	slab->free = slab->bufctl[start];
	slab->bufctl[start] = BUFCTL_END;
}
