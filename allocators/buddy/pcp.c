/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU page lists in front of the zone lock.
 *
 * One bounded stack per CPU, zone and order (up to pcp_order_max). The newest
 * block, likely still in the cache, is handed out first. An empty list is
 * refilled and a full one flushed by a batch, so the zone lock is taken once
 * per batch. Linux 2.6.28 keeps lists of order 0 only, doubly linked through
 * the pages, and flushes the coldest end; Linux 5.13 keeps orders up to 3. Here
 * a flush takes the newest, for an array gives them up without moving the rest.
 */
#include "allocators/buddy/buddy_internal.h"

#include <errno.h>
#include <kmem/error.h>

/* All lists of a zone together hold at most this part of it: more would be memory
 * that a request on another CPU cannot see without a drain. */
#define PCP_ZONE_SHARE 8

/* High and batch are given in pages; a list of larger blocks holds fewer of them. */
static uint32_t pcp_limit(const struct zone *zone, uint64_t high, unsigned int order)
{
	unsigned long zone_pages = zone->end_pfn - zone->start_pfn;
	uint64_t share = zone_pages / (PCP_ZONE_SHARE * (unsigned long)os_nr_cpus());

	if (high > share)
		high = share;
	high >>= order;
	if (high > PERCPU_LIMIT_MAX)
		high = PERCPU_LIMIT_MAX;
	return high < 2 ? 2 : (uint32_t)high;
}

int pcp_init(struct zone *zone, const struct buddy_config *config)
{
	for (unsigned int order = 0; order < buddy.pcp_orders; order++) {
		uint32_t limit = pcp_limit(zone, config->pcp_high, order);
		uint64_t batch = config->pcp_batch >> order;

		if (batch > limit / 2)
			batch = limit / 2;
		zone->pcp_batch[order] = batch < 1 ? 1 : (uint16_t)batch;
		if (percpu_stacks_init(&zone->pcp[order], limit) != 0)
			return kmem_error(
				-ENOMEM,
				"per-CPU page lists cannot be allocated: no memory; "
				"lower pcp_high, or use pcp=off");
	}
	return 0;
}

void pcp_exit(struct zone *zone)
{
	for (unsigned int order = 0; order < MAX_ORDER; order++)
		percpu_stacks_destroy(&zone->pcp[order]);
}

struct page *pcp_refill(struct zone *zone, unsigned int order, unsigned long mark)
{
	struct page *batch[PCP_BATCH_MAX];
	struct page *page;
	size_t n, pushed;

	n = zone_take_blocks(zone, order, mark, zone->pcp_batch[order], PG_pcp, batch);
	if (n == 0)
		return NULL;
	stat_add(&zone->pcp_refills, 1);
	page = batch[0];
	/* The list hands out the last one pushed: push in falling order of address. */
	for (size_t i = 1, j = n - 1; i < j; i++, j--) {
		struct page *swap = batch[i];

		batch[i] = batch[j];
		batch[j] = swap;
	}
	pushed = percpu_push_batch(&zone->pcp[order], n - 1, (void *const *)(batch + 1));
	/* We may have moved to a CPU whose list is full. */
	if (KMEM_UNLIKELY(pushed < n - 1))
		zone_free_blocks(zone, order, n - 1 - pushed, batch + 1 + pushed);
	return page;
}

void pcp_flush(struct zone *zone, unsigned int order, struct page *page)
{
	struct page *batch[PCP_BATCH_MAX + 1];
	size_t n;

	n = percpu_take_batch(&zone->pcp[order], zone->pcp_batch[order], (void **)batch);
	/* Fails only if we have moved to another CPU whose list is full too. */
	if (!percpu_push(&zone->pcp[order], page))
		batch[n++] = page;
	stat_add(&zone->pcp_drains, 1);
	if (n != 0)
		zone_free_blocks(zone, order, n, batch);
}

unsigned long zone_pcp_pages(const struct zone *zone)
{
	unsigned long pages = 0;

	for (unsigned int order = 0; order < buddy.pcp_orders; order++) {
		if (zone->pcp[order].base != NULL)
			pages += percpu_count(&zone->pcp[order]) << order;
	}
	return pages;
}

struct drain {
	struct zone *zone;
	unsigned int order;
	unsigned long pages;
	size_t n;
	struct page *blocks[64];
};

static void drain_push_out(struct drain *d)
{
	if (d->n != 0)
		zone_free_blocks(d->zone, d->order, d->n, d->blocks);
	d->n = 0;
}

static void drain_entry(void *entry, void *arg)
{
	struct drain *d = arg;

	d->blocks[d->n++] = entry;
	d->pages += 1UL << d->order;
	if (d->n == KMEM_ARRAY_SIZE(d->blocks))
		drain_push_out(d);
}

unsigned long pcp_drain_zone(struct zone *zone)
{
	unsigned long pages = 0;

	if (!zone_present(zone))
		return 0;
	for (unsigned int order = 0; order < buddy.pcp_orders; order++) {
		struct drain d = {.zone = zone, .order = order};

		percpu_drain_all(&zone->pcp[order], false, drain_entry, &d);
		drain_push_out(&d);
		pages += d.pages;
	}
	if (pages != 0)
		stat_add(&zone->pcp_drains, 1);
	return pages;
}

void drain_all_pages(void)
{
	for_each_zone (zone)
		pcp_drain_zone(zone);
}
