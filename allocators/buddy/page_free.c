/* SPDX-License-Identifier: MIT */
/*
 * Free: everything but the hit, and what is said about misuse.
 *
 * THEORY
 *
 * Who frees a block. A block's state (flags, order, zone and count, one word) says
 * "allocated with this order, by this zone, held once"; a free replaces it by the stamp
 * of the slot of the per-CPU list that the block is put into, in one restartable sequence
 * without a locked instruction. os/percpu_stamped.h has how, and what it promises:
 * - of two frees one after the other, or on one CPU, the second finds a stamp and is
 *   reported;
 * - of two at once on two CPUs, both may put the block on a list, but the state is the
 *   stamp of one entry only. Whoever takes the other entry off its list (allocation,
 *   flush, drain) reports it and drops it, so the block is handed out once.
 * - A free that looks before another has freed the block, and stamps after it has been
 *   handed out again with the same order, is not told from one that came later; nor is
 *   it with a compare-and-swap.
 * - When a list is flushed, blocks leave the lists without a restart of all sequences.
 *   A second free may have looked, and not stamp before a batch has been flushed, though
 *   it keeps its CPU: its cache line is long in coming, an interrupt has come, or the
 *   hypervisor has taken the processor away. Then it stamps a block of the lower
 *   level. Who takes the block from there finds the stamp, or finds it in use, reports
 *   it and drops it. Unless it has become part of a larger block: this is the one case
 *   that a compare-and-swap tells, and we do not.
 *
 * Past the lists (there is none for the order, or no room can be made) one
 * compare-and-swap decides; where others may be putting the block on a list meanwhile,
 * all sequences are restarted after it, and the state has the last word.
 *
 * References. Who lets go while there are others swaps the count. The last one has the
 * block for himself, and frees it as above.
 *
 * A block that is mapped is looked at before it is freed: nobody may map it any more by
 * then.
 */
#include "allocators/buddy/page_alloc_fast.h"
#include "allocators/os/os_cpu.h"

#include <kmem/error.h>

/* --- reports --- */

static unsigned long pfn_of(const struct page *page)
{
	return (unsigned long)(page - buddy.mem_map);
}

static KMEM_COLD void report_not_allocated(const struct page *page, unsigned int order)
{
	unsigned long pfn = pfn_of(page);

	if ((page_flags(page) & (PG_buddy | PG_pcp | PG_freed)) != 0 ||
	    zone_page_free(pfn_zone(pfn), pfn))
		kmem_bug("double free of pfn %lu, order %u", pfn, order);
	else
		kmem_bug("free of pfn %lu, order %u: no allocated block starts there",
			 pfn, order);
}

KMEM_COLD void report_stale(const struct page *page, unsigned int order)
{
	kmem_bug("double free of pfn %lu, order %u: freed by two at once", pfn_of(page),
		 order);
}

/* The block is allocated but cannot be freed: says why, and it stays as it is. */
static KMEM_COLD void report_refused(const struct page *page, unsigned int order)
{
	unsigned long pfn = pfn_of(page);
	unsigned int links = page_flags(page) >> PG_ZONE_SHIFT & PG_ZONE_MASK;
	const struct zone *zone = pfn_zone(pfn);
	int32_t mapped = atomic_load_explicit(&page->_mapcount, memory_order_relaxed);
	uint32_t flags = page_flags(page);

	if (mapped != 0)
		kmem_bug("free of pfn %lu, order %u: still mapped at %d places", pfn,
			 order, mapped);
	else if (flags_order(flags) != order)
		kmem_bug("free of pfn %lu with order %u: the block has order %u", pfn,
			 order, flags_order(flags));
	else if (links != zone_id(zone))
		kmem_bug("free of pfn %lu, order %u: it was handed out by node %u zone "
			 "%u, but is a frame of node %u zone %u",
			 pfn, order, links / MAX_NR_ZONES, links % MAX_NR_ZONES,
			 zone->nid, zone->type);
	else
		kmem_bug(
			"free of pfn %lu, order %u: still in use by its owner (flags 0x%x)",
			pfn, order, flags & (PG_ORDER_BIT - 1));
}

static KMEM_COLD void report_bad_page(const struct page *page, unsigned int order)
{
	if (order >= MAX_ORDER)
		kmem_bug("free of a block of order %u: orders are 0 to %d", order,
			 MAX_ORDER - 1);
	else
		kmem_bug(
			"free of %p, order %u: bad pfn, no descriptor of a frame is there",
			(const void *)page, order);
}

static bool page_and_order_valid(const struct page *page, unsigned int order)
{
	if (KMEM_LIKELY(order < MAX_ORDER && page_valid(page)))
		return true;
	report_bad_page(page, order);
	return false;
}

/* --- free --- */

/*
 * Whether the block can be freed: true, and nothing is done. Otherwise a reference
 * is dropped, or the reason reported.
 */
static bool may_free(unsigned int id, const struct page *page, unsigned int order)
{
	uint64_t state = page_state(page);

	while (state != allocated_state(id, order)) {
		bool head = ((uint32_t)state & PG_head) != 0;

		if (!head || (int32_t)(state >> 32) <= 1 ||
		    flags_order((uint32_t)state) != order) {
			if (head)
				report_refused(page, order);
			else
				report_not_allocated(page, order);
			return false;
		}
		if (atomic_compare_exchange_weak(&((struct page *)page)->state, &state,
						 state - PAGE_STATE(0, 1)))
			return false;
	}
	if (KMEM_UNLIKELY(page_is_mapped(page))) {
		report_refused(page, order);
		return false;
	}
	return true;
}

/* Ends the life of a block that may_free() has let through, past the lists. on_list: of
 * those that free it at once, others may try a list. */
static bool claim(unsigned int id, struct page *page, unsigned int order, bool on_list)
{
	uint64_t state = allocated_state(id, order);

	if (!atomic_compare_exchange_strong(&page->state, &state, freed_state(order))) {
		report_not_allocated(page, order);
		return false;
	}
	if (!on_list || !os_percpu_lockless())
		return true;
	/* Who had looked before we swapped, has stamped by then, or looks again. */
	os_restart_sequences();
	if (KMEM_LIKELY(page_state(page) == freed_state(order)))
		return true;
	report_stale(page, order);
	return false;
}

bool free_prepare(struct page *page, unsigned int order)
{
	struct zone *zone;
	unsigned int id;

	if (!page_and_order_valid(page, order))
		return false;
	zone = pfn_zone(pfn_of(page));
	id = zone_id(zone);
	return may_free(id, page, order) &&
	       claim(id, page, order,
		     zone_has_list(zone, zone_page_kind(zone, page, order)));
}

/* One attempt: false, and it has to be made again. */
static bool try_free(struct zone *zone, struct page *page, unsigned int order,
		     uint64_t *left)
{
	unsigned int id = zone_id(zone), kind;
	uint64_t state = *left;
	bool on_list;

	/* An interrupted attempt: it has not been. */
	if (state != 0)
		atomic_compare_exchange_strong(&page->state, &state,
					       allocated_state(id, order));
	*left = 0;
	if (!may_free(id, page, order))
		return true;
	kind = zone_page_kind(zone, page, order);
	on_list = zone_has_list(zone, kind);
	if (on_list) {
		if (percpu_push_stamped(&zone->pcp[kind], page,
					allocated_state(id, order), left))
			return true;
		/* Somebody else has been here; or we have made room. */
		if (*left != 0 || page_state(page) != allocated_state(id, order) ||
		    pcp_flush(zone, kind))
			return false;
	}
	/* No list; one that is being emptied, or a thread without sequences. */
	if (claim(id, page, order, on_list))
		zone_free_blocks(zone, order, 1, &page);
	return true;
}

KMEM_NOINLINE void free_pages_slow(struct page *page, unsigned int order, uint64_t left)
{
	struct zone *zone;

	if (!page_and_order_valid(page, order))
		return;
	zone = pfn_zone(pfn_of(page));
	while (!try_free(zone, page, order, &left))
		;
}

/* Two calls of the slow path: what they pass is put in place there. */
void __free_pages(struct page *page, unsigned int order)
{
	unsigned long pfn = page_pfn(page);
	uint64_t left;

	if (KMEM_UNLIKELY(!free_may_hit(pfn, page, order)))
		free_pages_slow(page, order, 0);
	else if (KMEM_UNLIKELY(!free_pages_hit(pfn, page, order, &left)))
		free_pages_slow(page, order, left);
}

void get_page(struct page *page)
{
	atomic_fetch_add_explicit(&page->_refcount, 1, memory_order_relaxed);
}

void put_page(struct page *page)
{
	int order = page_valid(page) ? page_block_order(page) : 0;

	__free_pages(page, order < 0 ? 0 : (unsigned int)order);
}

/* --- by address --- */

void free_pages(unsigned long addr, unsigned int order)
{
	unsigned long offset = addr - (unsigned long)kmem_direct_base;

	if (addr == 0)
		return;
	if (KMEM_UNLIKELY((offset & ~PAGE_MASK) != 0 ||
			  offset >> PAGE_SHIFT >= buddy.nr_frames)) {
		kmem_bug(
			"free of address 0x%lx, order %u: bad pfn, not the start of a page of "
			"the direct map",
			addr, order);
		return;
	}
	__free_pages(buddy.mem_map + (offset >> PAGE_SHIFT), order);
}
