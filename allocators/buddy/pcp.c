/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU page lists in front of the zone lock.
 *
 * One bounded stack per CPU, zone and order (up to pcp_order_max). The newest
 * block, likely still in the cache, is handed out first. An empty list is
 * refilled and a full one flushed by a batch, so the zone lock is taken once
 * per batch. Linux 2.6.28 keeps lists of order 0 only, doubly linked through
 * the pages, and flushes the coldest end; Linux 5.13 keeps orders up to 3, and that
 * of transparent huge pages, as here. A flush takes the newest, for an array gives
 * them up without moving the rest.
 *
 * An order without a list, and a number that is no order, has a stack that is all zero:
 * it is of no CPU, and the hit path finds it as it finds that of a thread without a CPU.
 */
#include "allocators/buddy/buddy_internal.h"

#include <errno.h>
#include <kmem/error.h>

/* All lists of a zone together hold at most this part of it: more would be memory
 * that a request on another CPU cannot see without a drain. */
#define PCP_ZONE_SHARE 8

/* Blocks on one CPU's list: high is given in pages, but for huge pages in blocks. */
static uint32_t pcp_limit(const struct zone *zone, const struct buddy_config *config,
			  unsigned int order)
{
	unsigned long zone_pages = zone->end_pfn - zone->start_pfn;
	uint64_t share = zone_pages / (PCP_ZONE_SHARE * (unsigned long)os_nr_cpus());
	uint64_t high = config->pcp_high;

	if (order > config->pcp_order_max) {
		high = order == GROUP_ORDER ? config->pcp_huge << order : 0;
		/* Of memory that is scarce, no CPU keeps huge pages to itself. */
		if (high > share)
			high = share;
		return high >> order < 2 ? 0 : (uint32_t)(high >> order);
	}
	if (high > share)
		high = share;
	high >>= order;
	if (high > PERCPU_LIMIT_MAX)
		high = PERCPU_LIMIT_MAX;
	return high < 2 ? 2 : (uint32_t)high;
}

/* Blocks in a batch of an order above 0, where the list has room for twice as many: a
 * batch costs some five locked instructions whatever its size. */
#define PCP_BATCH_MIN 32

static int init_list(struct zone *zone, const struct buddy_config *config,
		     unsigned int kind)
{
	unsigned int order = kind_order(kind);
	uint32_t limit = pcp_limit(zone, config, order);
	uint64_t batch = order > config->pcp_order_max ? limit / 2
						       : config->pcp_batch >> order;

	if (batch < PCP_BATCH_MIN && order != 0)
		batch = PCP_BATCH_MIN;
	if (batch > limit / 2)
		batch = limit / 2;
	zone->pcp_batch[order] = batch < 1 ? 1 : (uint16_t)batch;
	return limit != 0 ? percpu_stacks_init(&zone->pcp[kind], limit) : 0;
}

int pcp_init(struct zone *zone, const struct buddy_config *config)
{
	if (buddy.pcp_orders == 0)
		return 0;
	if (percpu_counter_init(&zone->pcp_refills) != 0 ||
	    percpu_counter_init(&zone->pcp_drains) != 0)
		return kmem_error(-ENOMEM,
				  "per-CPU counters cannot be allocated: no memory");
	for (unsigned int kind = 0; kind < buddy.pcp_kinds; kind++) {
		if (kind_order(kind) < buddy.pcp_orders &&
		    init_list(zone, config, kind) != 0)
			return kmem_error(
				-ENOMEM,
				"per-CPU page lists cannot be allocated: no memory; "
				"lower pcp_high, or use pcp=off");
	}
	return 0;
}

void pcp_exit(struct zone *zone)
{
	for (unsigned int kind = 0; kind < NR_KINDS; kind++) {
		if (zone->pcp[kind].limit != 0)
			percpu_stacks_destroy(&zone->pcp[kind]);
	}
	percpu_counter_destroy(&zone->pcp_refills);
	percpu_counter_destroy(&zone->pcp_drains);
}

size_t take_unused(struct zone *zone, unsigned int kind, unsigned long mark, size_t n,
		   struct page **out)
{
	size_t taken = zone_take_blocks(zone, kind, mark, n, out), kept = 0;

	for (size_t i = 0; i < taken; i++) {
		struct page *page = out[i];

		out[kept++] = page;
		if (KMEM_UNLIKELY(!pcp_fresh_valid(page))) {
			kept--;
			report_stale(page, kind_order(kind));
		}
	}
	return kept;
}

struct page *pcp_pop(struct zone *zone, unsigned int kind)
{
	unsigned int order = kind_order(kind);
	void *const *slot;
	void *entry;

	while ((entry = percpu_pop_slot(&zone->pcp[kind], &slot)) != NULL) {
		if (KMEM_LIKELY(
			    pcp_entry_valid(entry, slot, zone_allocated(zone, order))))
			return pcp_block(entry);
		report_stale(pcp_block(entry), order);
	}
	return NULL;
}

struct page *pcp_refill(struct zone *zone, unsigned int kind, unsigned long mark)
{
	struct page *batch[PCP_BATCH_MAX];
	size_t n, pushed;

	n = zone_take_blocks(zone, kind, mark, zone->pcp_batch[kind_order(kind)], batch);
	if (n == 0)
		return NULL;
	percpu_counter_add(&zone->pcp_refills, 1);
	/* From all over the memory, the descriptors are fetched at once here, but one
	 * after the other by the requests that take the blocks. */
	for (size_t i = 0; i < n; i++) {
		__builtin_prefetch(batch[i], 1);
		batch[i] = (struct page *)((uintptr_t)batch[i] | PCP_FRESH);
	}
	/* The list hands out the last one pushed, which is the lowest. */
	pushed = percpu_push_batch_down(&zone->pcp[kind], n, (void **)batch);
	/* We may have moved to a CPU whose list is full. */
	if (KMEM_UNLIKELY(pushed < n)) {
		for (size_t i = 0; i < n - pushed; i++)
			batch[i] = pcp_block(batch[i]);
		zone_free_blocks(zone, kind_order(kind), n - pushed, batch);
	}
	return pcp_pop(zone, kind);
}

/*
 * Makes of n entries that stood in slots from `slot` downwards blocks that are nobody's
 * but ours. Those that another free has are reported and left out: how many are left. The
 * oldest first, so that others have the more time to stamp the newest: see page_free.c.
 */
static size_t take_off(const struct zone *zone, unsigned int order, size_t n,
		       struct page **entries, void *const *slot)
{
	uint64_t allocated = zone_allocated(zone, order);
	size_t kept = n;

	for (size_t i = n; i-- > 0;) {
		struct page *page = pcp_block(entries[i]);

		if (KMEM_LIKELY(pcp_entry_valid(entries[i], slot - i, allocated))) {
			atomic_store_explicit(&page->state, freed_state(order),
					      memory_order_relaxed);
			entries[i] = page;
			continue;
		}
		entries[i] = entries[--kept];
		entries[kept] = page;
	}
	for (size_t i = kept; KMEM_UNLIKELY(i < n); i++)
		report_stale(entries[i], order);
	return kept;
}

size_t pcp_pop_batch(struct zone *zone, unsigned int kind, size_t n, struct page **out)
{
	void *const *slot;

	n = percpu_pop_batch_slot(&zone->pcp[kind], n, (void **)out, &slot);
	return take_off(zone, kind_order(kind), n, out, slot);
}

bool pcp_flush(struct zone *zone, unsigned int kind)
{
	struct page *batch[PCP_BATCH_MAX];
	unsigned int order = kind_order(kind);
	void *const *slot;
	size_t n, kept;

	n = percpu_take_batch_slot(&zone->pcp[kind], zone->pcp_batch[order],
				   (void **)batch, &slot);
	if (n == 0)
		return false;
	percpu_counter_add(&zone->pcp_drains, 1);
	kept = take_off(zone, order, n, batch, slot);
	if (kept != 0)
		zone_free_blocks(zone, order, kept, batch);
	return true;
}

unsigned long zone_pcp_pages(const struct zone *zone)
{
	unsigned long pages = 0;

	for (unsigned int kind = 0; kind < buddy.pcp_kinds; kind++) {
		if (zone->pcp[kind].limit != 0)
			pages += percpu_count(&zone->pcp[kind]) << kind_order(kind);
	}
	return pages;
}

struct drain {
	struct zone *zone;
	unsigned int order;
	unsigned long pages;
	size_t n, nr_stale;
	struct page *blocks[32];
	struct page *stale[8]; /* another free has them */
};

static void drain_push_out(struct drain *d)
{
	if (d->n != 0)
		zone_free_blocks(d->zone, d->order, d->n, d->blocks);
	d->n = 0;
}

static KMEM_COLD void drain_report(struct drain *d)
{
	for (size_t i = 0; i < d->nr_stale; i++)
		report_stale(d->stale[i], d->order);
	d->nr_stale = 0;
}

static void drain_entry(void *entry, void *const *slot, void *arg)
{
	struct page *page = pcp_block(entry);
	struct drain *d = arg;

	if (KMEM_UNLIKELY(
		    !pcp_entry_valid(entry, slot, zone_allocated(d->zone, d->order)))) {
		/* Told when the lists go on: the handler may look at them. */
		if (d->nr_stale == KMEM_ARRAY_SIZE(d->stale))
			drain_report(d);
		d->stale[d->nr_stale++] = page;
		return;
	}
	atomic_store_explicit(&page->state, freed_state(d->order), memory_order_relaxed);
	d->blocks[d->n++] = page;
	d->pages += 1UL << d->order;
	if (d->n == KMEM_ARRAY_SIZE(d->blocks))
		drain_push_out(d);
}

unsigned long pcp_drain_zone(struct zone *zone)
{
	unsigned long pages = 0;

	if (!zone_present(zone))
		return 0;
	for (unsigned int kind = 0; kind < buddy.pcp_kinds; kind++) {
		struct drain d = {.zone = zone, .order = kind_order(kind)};

		if (zone->pcp[kind].limit == 0)
			continue;
		percpu_drain_slots(&zone->pcp[kind], drain_entry, &d);
		drain_push_out(&d);
		drain_report(&d);
		pages += d.pages;
	}
	if (pages != 0)
		percpu_counter_add(&zone->pcp_drains, 1);
	return pages;
}

void drain_all_pages(void)
{
	for_each_zone (zone)
		pcp_drain_zone(zone);
}
