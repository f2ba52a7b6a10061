/* SPDX-License-Identifier: MIT */
/*
 * How many pages of a zone are free: a shared count, and each CPU's credit.
 *
 * THEORY
 *
 * A request takes its pages off zone->free_pages before it looks for them, down to its
 * mark and no further, and a free adds its own. With two CPUs at work that word moves
 * between their caches with every batch. So while there is plenty, a CPU takes more
 * than it needs, and keeps the rest as its credit, in the line that it writes anyway
 * (struct rows_cpu); frees go to the credit, and what it has too much goes back:
 *
 *     pages that are free and promised to nobody = free_pages + credits
 *
 * Marks. free_pages alone is never more than there is, so who finds it above a mark is
 * right, and no mark is ever undercut: the count is exact, unlike the kernel's, where a
 * CPU's part may be of either sign and be missing from the sum
 * (zone_page_state_snapshot()). It may be less than there is, by all credits together: a
 * quarter of the zone at most. Therefore nobody has any when it matters. `plenty` is
 * cleared by who takes free_pages down to `credit_floor`, above every mark and the
 * largest block, and he calls the credits in. From then on all go by free_pages, which is
 * all there is, until a quarter of the zone more is free. A request that fails calls
 * credits in before it does: another CPU may just be at it.
 *
 *   free_pages   0      min low high    floor           floor + quarter       all
 *                |-------|---|---|--------|-------------------|----------------|
 *                         no credits         as it was before        plenty
 *
 * Races. Who adds to a credit looks at `plenty` afterwards, and calls the credit in when
 * it has been cleared; who clears it looks at the credits afterwards: one of the two sees
 * the other. In the same way who sets it looks at free_pages again. A thread that is
 * moved to another CPU goes on with its former CPU's credit: all of it is atomic.
 *
 * Who is alone (rows_gate.c) uses free_pages only, with plain loads and stores. Credits
 * stay what they are meanwhile.
 *
 * Locking: zone->lock while `plenty` changes and credits are called in, by one who is
 * inside the gate; fork takes it when nobody is.
 */
#include "allocators/buddy/rows_internal.h"

/* All credits together, as a part of the zone. */
#define CREDIT_ZONE_SHARE 4

/*
 * A CPU takes so many times what it needs, and keeps twice that. The shared word is
 * written once in four batches of whatever size (once in eight was no faster with two
 * CPUs, once in two was slower), and the credits of a program that uses single pages stay
 * below 2 MiB a CPU, lest it seem to use much (malloc/trim.c).
 */
#define CREDIT_BATCHES 4

/* Of requests below a batch of the lists, too. */
#define CREDIT_MIN 512

void zone_credit_init(struct zone *zone)
{
	unsigned long share = (zone->end_pfn - zone->start_pfn) / CREDIT_ZONE_SHARE;
	unsigned long max = share / os_nr_cpus();

	zone->credit_max = max < CREDIT_MIN ? 0 : max;
	zone->credit_floor = zone->pages_high + 2 * MAX_ORDER_NR_PAGES;
	zone->credit_again = zone->credit_floor + share;
}

static inline _Atomic uint64_t *credit_of(const struct zone *zone, unsigned int cpu)
{
	return &rows_cpu(&zone->rows, cpu)->credit;
}

static inline bool plenty(const struct zone *zone)
{
	return atomic_load_explicit(&zone->plenty, memory_order_relaxed);
}

/* --- calling credits in --- */

/* Under zone->lock. */
static void call_in(struct zone *zone)
{
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		_Atomic uint64_t *credit = credit_of(zone, cpu);
		uint64_t pages = atomic_load(credit);

		if (pages == 0)
			continue;
		pages = atomic_exchange(credit, 0);
		atomic_fetch_add(&zone->free_pages, pages);
	}
}

static KMEM_COLD void end_of_plenty(struct zone *zone)
{
	spin_lock(&zone->lock);
	if (atomic_load(&zone->free_pages) <= zone->credit_floor)
		atomic_store(&zone->plenty, false);
	if (!atomic_load(&zone->plenty))
		call_in(zone);
	spin_unlock(&zone->lock);
	zone_note_free(zone);
}

static KMEM_COLD void plenty_again(struct zone *zone)
{
	spin_lock(&zone->lock);
	if (atomic_load(&zone->free_pages) > zone->credit_again)
		atomic_store(&zone->plenty, true);
	spin_unlock(&zone->lock);
	if (atomic_load(&zone->free_pages) <= zone->credit_floor)
		end_of_plenty(zone);
}

void zone_call_in_credits(struct zone *zone)
{
	enum rows_visit visit;

	if (zone->credit_max == 0)
		return;
	visit = rows_enter();
	spin_lock(&zone->lock);
	call_in(zone);
	spin_unlock(&zone->lock);
	zone_note_free(zone);
	rows_leave(visit);
}

unsigned long zone_free_pages_quiescent(const struct zone *zone)
{
	unsigned long pages = zone_free_pages(zone);

	for (unsigned int cpu = 0; zone->credit_max != 0 && cpu < os_nr_cpus(); cpu++)
		pages += atomic_load_explicit(credit_of(zone, cpu), memory_order_relaxed);
	return pages;
}

unsigned long zone_free_pages_snapshot(const struct zone *zone)
{
	unsigned long all = zone->end_pfn - zone->start_pfn;
	unsigned long pages = zone_free_pages_quiescent(zone);

	return pages < all ? pages : all;
}

/* --- the shared count --- */

/*
 * With rows, two CPUs may change free_pages at once and come here in the other
 * order: each looks again after it has written, so the last one leaves the flag
 * right. Every allocating CPU reads the flag's line: it is written only when it
 * changes.
 */
void zone_note_free(struct zone *zone)
{
	for (;;) {
		bool below = atomic_load(&zone->free_pages) <= zone->pages_low;

		if (KMEM_LIKELY(below == atomic_load(&zone->below_low)))
			return;
		atomic_store(&zone->below_low, below);
	}
}

static KMEM_NOINLINE void note_change(struct zone *zone)
{
	unsigned long free;

	zone_note_free(zone);
	free = atomic_load(&zone->free_pages);
	if (atomic_load(&zone->plenty)) {
		if (free <= zone->credit_floor)
			end_of_plenty(zone);
	} else if (free > zone->credit_again && zone->credit_max != 0) {
		plenty_again(zone);
	}
}

/* free_pages has changed: brings both flags in line, which they are as a rule. */
static inline void note_free(struct zone *zone)
{
	if (KMEM_UNLIKELY(atomic_load(&zone->free_pages) <= zone->credit_floor ||
			  !atomic_load(&zone->plenty) || atomic_load(&zone->below_low)))
		note_change(zone);
}

static inline void set_free_pages(struct zone *zone, unsigned long pages)
{
	atomic_store_explicit(&zone->free_pages, pages, memory_order_relaxed);
}

static size_t promise_shared(struct zone *zone, unsigned int order, unsigned long mark,
			     size_t n, bool alone)
{
	unsigned long free = zone_free_pages(zone);

	do {
		size_t allowed = free > mark ? (free - mark) >> order : 0;

		if (n > allowed)
			n = allowed;
		if (n == 0)
			return 0;
		if (alone) {
			set_free_pages(zone, free - (n << order));
			break;
		}
	} while (!atomic_compare_exchange_weak(&zone->free_pages, &free,
					       free - (n << order)));
	note_free(zone);
	return n;
}

static void add_shared(struct zone *zone, unsigned long pages, bool alone)
{
	if (alone)
		set_free_pages(zone, zone_free_pages(zone) + pages);
	else
		atomic_fetch_add(&zone->free_pages, pages);
	note_free(zone);
}

/* --- this CPU's credit --- */

/* The most that a CPU keeps after a request for so many pages. */
static inline uint64_t credit_limit(const struct zone *zone, unsigned long pages)
{
	uint64_t limit = (uint64_t)pages * 2 * CREDIT_BATCHES;

	if (limit < CREDIT_MIN)
		limit = CREDIT_MIN;
	return limit < zone->credit_max ? limit : zone->credit_max;
}

/* What is too much goes back, half of the most is kept. */
static void add_credit(struct zone *zone, unsigned long pages, uint64_t limit)
{
	_Atomic uint64_t *credit = credit_of(zone, os_cpu_id());
	uint64_t have = atomic_load_explicit(credit, memory_order_relaxed), keep;

	do {
		keep = have + pages <= limit ? have + pages : limit / 2;
	} while (!atomic_compare_exchange_weak(credit, &have, keep));
	if (have + pages > keep)
		add_shared(zone, have + pages - keep, false);
	if (KMEM_UNLIKELY(!atomic_load(&zone->plenty)))
		end_of_plenty(zone);
}

/* All of them, or none: there would be no plenty any more. */
static bool take_plenty(struct zone *zone, unsigned long pages)
{
	unsigned long free = zone_free_pages(zone);

	do {
		if (free < zone->credit_floor + pages)
			return false;
	} while (!atomic_compare_exchange_weak(&zone->free_pages, &free, free - pages));
	note_free(zone);
	return true;
}

/* Takes pages off the credit; where that is less, off free_pages with more as new credit.
 * False: off free_pages alone. */
static bool take_credit(struct zone *zone, unsigned long pages)
{
	_Atomic uint64_t *credit = credit_of(zone, os_cpu_id());
	uint64_t have = atomic_load_explicit(credit, memory_order_relaxed);
	uint64_t limit = credit_limit(zone, pages);
	unsigned long more = limit / 2;

	while (have >= pages) {
		if (atomic_compare_exchange_weak(credit, &have, have - pages))
			return true;
	}
	if (pages > more || !take_plenty(zone, pages + more))
		return false;
	add_credit(zone, more, limit);
	return true;
}

/* --- what requests and frees do --- */

size_t zone_promise(struct zone *zone, unsigned int order, unsigned long mark, size_t n,
		    bool alone)
{
	if (!alone && plenty(zone) && mark <= zone->credit_floor &&
	    take_credit(zone, n << order))
		return n;
	return promise_shared(zone, order, mark, n, alone);
}

void zone_add_free(struct zone *zone, unsigned long pages, bool alone)
{
	if (pages == 0)
		return;
	if (!alone && plenty(zone))
		add_credit(zone, pages, credit_limit(zone, pages));
	else
		add_shared(zone, pages, alone);
}
