/* SPDX-License-Identifier: MIT */
/*
 * THEORY of kmap: a window of a fixed number of pages onto HIGHMEM.
 *
 * Concepts. A slot of the window shows one frame, by a mapping of its place in the memory
 * file. A slot that nobody uses any more goes on showing its frame, so that the next
 * kmap() of it finds it there; only when the search for a free slot has come round are
 * all such slots unmapped, together (pkmap_flush), or is the first of them taken as it
 * is.
 *
 * Structures. `word` has a slot's frame and its count of users, `slot_of` the slot of a
 * frame: 4 bytes for each frame, touched where frames are mapped. The kernel has a hash
 * of 128 chains for that and one spin lock for all; here a hit takes no lock.
 *
 * kmap(): (1) slot_of leads to the slot, one compare-and-swap of its word checks that it
 * shows the frame and counts the user. (2) Otherwise, under the mutex, a free slot is
 * looked for from where the last search stopped, and mapped. (3) When there is none the
 * caller sleeps.
 *
 * kunmap(): one compare-and-swap. Whoever brings the count to 1 looks for waiters. A
 * waiter first counts itself, then looks at the slots again: of a waiter and one that
 * unmaps, one sees the other. One is woken for each slot; since it may find that another
 * thread has mapped its frame meanwhile and need no slot, who has waited and goes on
 * wakes the next.
 *
 * Locking. The mutex guards who gets which slot, and is held over the system call that
 * maps: the kernel of the system takes its own lock on the address space there. A slot's
 * word goes from 0 to another value under it only, and from 1 to 0; other changes are by
 * compare-and-swap of anybody. The list of atomic stacks has a spin lock, a leaf. Nothing
 * here allocates.
 *
 * Fork. As vmalloc: parent and child share the frames, so that a child must not write to
 * what it has not got for reading; but it must not hang. The forking thread takes the
 * mutex and the lock; in the child nobody waits, and the slots of the other threads'
 * pages stay taken.
 *
 * Where this differs from the kernel. Mapping can fail, for the system may have no
 * mapping left: then NULL. Unmapping is a system call, microseconds, for one slot as for
 * a thousand neighbours. kmap_atomic() is per thread: kmem/highmem.h says why.
 *
 * References. mm/highmem.c and arch/x86/mm/highmem_32.c of Linux 2.6.28; kmap_atomic as a
 * stack: Linux 2.6.37.
 */
#include "allocators/os/os_sys.h"
#include "allocators/vmalloc/kmap_internal.h"
#include <kmem/error.h>

#include <errno.h>
#include <sys/mman.h>

/* --- what kmap and kmap_atomic share --- */

long kmap_pfn(const char *caller, const struct page *page)
{
	if (KMEM_LIKELY(page >= kmem_mem_map && pfn_valid(page_to_pfn(page))))
		return (long)page_to_pfn(page);
	kmem_bug("%s() of %p: no page descriptor", caller, (const void *)page);
	return -1;
}

int kmap_is_down(const char *caller)
{
	return kmem_error(-EINVAL,
			  "'%s' of a HIGHMEM page before kmap_init(): call it first",
			  caller);
}

int kmap_show(const char *caller, char *addr, unsigned long pfn)
{
	if (os_map_shared_at(addr, PAGE_SIZE, kmap_layer.fd, (off_t)pfn << PAGE_SHIFT) !=
	    NULL)
		return 0;
	/* The system may have taken down what was there before it failed: nobody else is
	 * to be given these addresses. */
	os_unmap_to_reserve(addr, PAGE_SIZE);
	return kmem_error(-ENOMEM,
			  "'%s' of pfn %lu: the system has no mapping left; raise the "
			  "limit with 'sysctl vm.max_map_count=N', or map fewer pages",
			  caller, pfn);
}

/* --- slots --- */

/* The slot that shows the frame, or PKMAP_NONE, and its word. */
static KMEM_ALWAYS_INLINE uint32_t slot_of(unsigned long pfn, uint64_t *word)
{
	uint32_t slot =
		atomic_load_explicit(&kmap_layer.slot_of[pfn], memory_order_acquire) - 1;

	if (slot == PKMAP_NONE)
		return slot;
	*word = atomic_load_explicit(&kmap_layer.word[slot], memory_order_acquire);
	return PKMAP_PFN(*word) == pfn && PKMAP_COUNT(*word) != 0 ? slot : PKMAP_NONE;
}

/* One more user of a frame that is shown; NULL: it is not. */
static KMEM_ALWAYS_INLINE void *map_shown(struct page *page, unsigned long pfn)
{
	uint64_t word = 0;
	uint32_t slot = slot_of(pfn, &word);

	if (slot == PKMAP_NONE)
		return NULL;
	while (!atomic_compare_exchange_weak(&kmap_layer.word[slot], &word, word + 1))
		if (PKMAP_PFN(word) != pfn || PKMAP_COUNT(word) == 0)
			return NULL;
	if (PKMAP_COUNT(word) == 1)
		atomic_fetch_add_explicit(&page->_mapcount, 1, memory_order_relaxed);
	return pkmap_addr(slot);
}

/* From 1 to 0: the frame is no longer to be found there. Under the mutex. */
static bool forget(uint32_t slot)
{
	uint64_t word = atomic_load(&kmap_layer.word[slot]);

	if (PKMAP_COUNT(word) != 1 ||
	    !atomic_compare_exchange_strong(&kmap_layer.word[slot], &word, 0))
		return false;
	atomic_store_explicit(&kmap_layer.slot_of[PKMAP_PFN(word)], 0,
			      memory_order_relaxed);
	return true;
}

/* At the limit on mappings the system refuses to remove some: then they are made
 * inaccessible, as vmap_unmap_range() does. */
static void unshow(uint32_t first, uint32_t end)
{
	size_t bytes = (size_t)(end - first) << PAGE_SHIFT;

	if (os_unmap_to_reserve(pkmap_addr(first), bytes) != 0)
		os_protect(pkmap_addr(first), bytes, PROT_NONE);
}

/*
 * Unused slots and the free ones between them by one call; what cannot be unmapped stays
 * to be seen until its slot is mapped over. Under the mutex.
 */
static void flush_unused(void)
{
	uint32_t first = PKMAP_NONE, end = 0;
	bool any = false;

	for (uint32_t slot = 0; slot <= kmap_layer.nr_slots; slot++) {
		if (slot < kmap_layer.nr_slots && forget(slot)) {
			if (first == PKMAP_NONE)
				first = slot;
			end = slot + 1;
			continue;
		}
		if (slot < kmap_layer.nr_slots &&
		    atomic_load(&kmap_layer.word[slot]) == 0)
			continue;
		if (first != PKMAP_NONE) {
			any = true;
			unshow(first, end);
		}
		first = PKMAP_NONE;
	}
	if (any)
		atomic_fetch_add_explicit(&kmap_layer.flushes, 1, memory_order_relaxed);
}

/* A slot whose word is 0, for the holder of the mutex; PKMAP_NONE: all are in use. */
static uint32_t take_slot(void)
{
	for (uint32_t left = kmap_layer.nr_slots; left > 0; left--) {
		if (++kmap_layer.last >= kmap_layer.nr_slots) {
			kmap_layer.last = 0;
			if (kmap_layer.flush) {
				flush_unused();
				left = kmap_layer.nr_slots;
			}
		}
		if (atomic_load(&kmap_layer.word[kmap_layer.last]) == 0 ||
		    (!kmap_layer.flush && forget(kmap_layer.last)))
			return kmap_layer.last;
	}
	return PKMAP_NONE;
}

/* --- kmap and kunmap --- */

/* Somebody has unmapped: all who wait look again, as in 2.6.28. One may take the slot
 * that another does not need any more, for its frame has been mapped meanwhile. */
static void wake_waiters(void)
{
	atomic_fetch_add(&kmap_layer.freed, 1);
	os_futex_wake_all(&kmap_layer.freed);
}

/* Sleeps until a slot may be free; one that gets free meanwhile is returned. Gives the
 * mutex up and takes it again. */
static uint32_t wait_for_slot(void)
{
	uint32_t slot, freed;

	atomic_fetch_add(&kmap_layer.waiters, 1);
	freed = atomic_load(&kmap_layer.freed);
	/* Who unmaps from here on sees that we wait. */
	slot = take_slot();
	if (slot == PKMAP_NONE) {
		atomic_fetch_add_explicit(&kmap_layer.waits, 1, memory_order_relaxed);
		pthread_mutex_unlock(&kmap_layer.mutex);
		os_futex_wait(&kmap_layer.freed, freed, NULL);
		pthread_mutex_lock(&kmap_layer.mutex);
	}
	atomic_fetch_sub(&kmap_layer.waiters, 1);
	return slot;
}

/* Under the mutex, which is given up while it waits. */
static void *map_new(struct page *page, unsigned long pfn)
{
	uint32_t slot;
	char *addr;

	for (;;) {
		addr = map_shown(page, pfn); /* by another thread, meanwhile */
		if (addr != NULL)
			return addr;
		slot = take_slot();
		if (slot == PKMAP_NONE)
			slot = wait_for_slot();
		if (slot != PKMAP_NONE)
			break;
	}
	addr = pkmap_addr(slot);
	if (kmap_show("kmap", addr, pfn) != 0) {
		/* The slot is free for who found none meanwhile. */
		if (atomic_load(&kmap_layer.waiters) != 0)
			wake_waiters();
		return NULL;
	}
	atomic_fetch_add_explicit(&kmap_layer.maps, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&page->_mapcount, 1, memory_order_relaxed);
	atomic_store(&kmap_layer.word[slot], (uint64_t)pfn << PKMAP_PFN_SHIFT | 2);
	atomic_store_explicit(&kmap_layer.slot_of[pfn], slot + 1, memory_order_release);
	return addr;
}

void *kmap(struct page *page)
{
	long pfn = kmap_pfn("kmap", page);
	void *addr;

	if (KMEM_UNLIKELY(pfn < 0))
		return NULL;
	if (!kmap_is_highmem((unsigned long)pfn))
		return pfn_to_virt((unsigned long)pfn);
	if (KMEM_UNLIKELY(kmap_layer.nr_slots == 0)) {
		kmap_is_down("kmap");
		return NULL;
	}
	addr = map_shown(page, (unsigned long)pfn);
	if (KMEM_LIKELY(addr != NULL))
		return addr;
	pthread_mutex_lock(&kmap_layer.mutex);
	addr = map_new(page, (unsigned long)pfn);
	pthread_mutex_unlock(&kmap_layer.mutex);
	return addr;
}

void kunmap(struct page *page)
{
	long pfn = kmap_pfn("kunmap", page);
	uint64_t word = 0;
	uint32_t slot = PKMAP_NONE;

	if (KMEM_UNLIKELY(pfn < 0) || !kmap_is_highmem((unsigned long)pfn))
		return;
	if (KMEM_LIKELY(kmap_layer.nr_slots != 0))
		slot = slot_of((unsigned long)pfn, &word);
	do {
		if (KMEM_UNLIKELY(slot == PKMAP_NONE || PKMAP_COUNT(word) < 2 ||
				  PKMAP_PFN(word) != (unsigned long)pfn)) {
			kmem_bug("kunmap() of pfn %ld: not mapped by kmap(); unmapped "
				 "twice, or never mapped",
				 pfn);
			return;
		}
	} while (!atomic_compare_exchange_weak(&kmap_layer.word[slot], &word, word - 1));
	if (PKMAP_COUNT(word) != 2)
		return;
	atomic_fetch_sub_explicit(&page->_mapcount, 1, memory_order_relaxed);
	if (KMEM_UNLIKELY(atomic_load(&kmap_layer.waiters) != 0))
		wake_waiters();
}

void kmap_flush_unused(void)
{
	if (kmap_layer.nr_slots == 0)
		return;
	pthread_mutex_lock(&kmap_layer.mutex);
	flush_unused();
	pthread_mutex_unlock(&kmap_layer.mutex);
}

/* For page_address(): where a HIGHMEM frame is in use. */
void *kmap_highmem_address(const struct page *page)
{
	uint64_t word = 0;
	uint32_t slot = slot_of(page_to_pfn(page), &word);

	return slot != PKMAP_NONE && PKMAP_COUNT(word) > 1 ? pkmap_addr(slot) : NULL;
}
