/* SPDX-License-Identifier: MIT */
/* The slow half of a probe: what happens once a pass, or in the memory pass alone. */
#include "workloads/harness/probe_fast.h"

#include <string.h>

/* With several threads: one addition to a shared line for some hundred small blocks. */
#define LIVE_STEP_BYTES 16384
/* A change takes some ten nanoseconds; a reader that meets it again and again gives up.
 */
#define READ_TRIES 1000

void probe_init(struct probe *p, struct probe_shared *shared,
		const struct tsc_clock *clock, unsigned int threads)
{
	memset(p, 0, sizeof(*p));
	p->clock = *clock;
	p->shared = shared;
	p->live_step_bytes = threads == 1 ? INT64_MAX : LIVE_STEP_BYTES;
	histogram_reset(&p->alloc);
	histogram_reset(&p->free);
	for (int i = 0; i < WORKLOAD_SERIES_MAX; i++)
		histogram_reset(&p->series[i]);
}

void probe_count_bytes(struct probe *p, struct probe_bytes *bytes,
		       const struct allocator *a)
{
	memset(bytes, 0, sizeof(*bytes));
	p->bytes = bytes;
	p->usable_known = (a->ops->caps & CAP_USABLE_SIZE) != 0 &&
			  a->ops->usable_size != NULL;
}

void probe_live_flush(struct probe *p)
{
	int64_t before = atomic_fetch_add_explicit(
		&p->shared->live_bytes, p->live_pending_bytes, memory_order_relaxed);

	if (before + p->live_pending_bytes_max > p->live_bytes_max)
		p->live_bytes_max = before + p->live_pending_bytes_max;
	if (p->live_pending_bytes_max > p->live_own_bytes_max)
		p->live_own_bytes_max = p->live_pending_bytes_max;
	p->live_pending_bytes = 0;
	p->live_pending_bytes_max = 0;
}

/*
 * The thread is the only writer: no locked addition is needed. Stores release, so that
 * whoever reads one of them has seen the odd number before, and whoever reads the even
 * number after has seen them all.
 */
static void add(_Atomic int64_t *counter, int64_t bytes)
{
	atomic_store_explicit(counter,
			      atomic_load_explicit(counter, memory_order_relaxed) + bytes,
			      memory_order_release);
}

static void change(struct probe_bytes *b, int64_t live, int64_t usable, int64_t allocated)
{
	uint32_t sequence = atomic_load_explicit(&b->sequence, memory_order_relaxed);

	atomic_store_explicit(&b->sequence, sequence + 1, memory_order_relaxed);
	add(&b->live, live);
	add(&b->usable, usable);
	add(&b->allocated, allocated);
	atomic_store_explicit(&b->sequence, sequence + 2, memory_order_release);
}

bool probe_bytes_read(const struct probe_bytes *b, int64_t *live, int64_t *usable,
		      int64_t *allocated)
{
	uint32_t before, after;

	for (int i = 0; i < READ_TRIES; i++) {
		before = atomic_load_explicit(&b->sequence, memory_order_acquire);
		*live = atomic_load_explicit(&b->live, memory_order_acquire);
		*usable = atomic_load_explicit(&b->usable, memory_order_acquire);
		*allocated = atomic_load_explicit(&b->allocated, memory_order_acquire);
		after = atomic_load_explicit(&b->sequence, memory_order_relaxed);
		if (before == after && before % 2 == 0)
			return true;
	}
	return false;
}

static int64_t usable_bytes(const struct probe *p, struct allocator *a, void *block)
{
	return p->usable_known ? (int64_t)a->ops->usable_size(a, block) : 0;
}

void probe_bytes_allocated(struct probe *p, struct allocator *a, void *block, size_t size)
{
	change(p->bytes, (int64_t)size, usable_bytes(p, a, block), (int64_t)size);
}

void probe_hold(struct probe *p, int64_t bytes)
{
	if (p == NULL)
		return;
	probe_live(p, bytes);
	if (p->bytes != NULL)
		change(p->bytes, bytes, p->usable_known ? bytes : 0,
		       bytes > 0 ? bytes : 0);
}

void probe_bytes_freed(struct probe *p, struct allocator *a, void *block, size_t size)
{
	change(p->bytes, -(int64_t)size, -usable_bytes(p, a, block), 0);
}
