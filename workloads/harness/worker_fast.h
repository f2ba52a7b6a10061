/* SPDX-License-Identifier: MIT */
/*
 * The operations of a workload's step, inlined. With a NULL probe known at
 * compile time they are one indirect call and one predictable branch.
 */
#ifndef KMEMBENCH_WORKER_FAST_H
#define KMEMBENCH_WORKER_FAST_H

#include "workloads/harness/histogram.h"
#include "workloads/harness/tsc_fast.h"
#include "workloads/workload.h"

/* What the latency pass of one thread gathers. */
struct probe {
	struct tsc_clock clock;
	struct histogram alloc; /* ticks, the cost of the clock pair already subtracted */
	struct histogram free;
	/* Blocks freed by another thread than their own count where they are freed, so one
	 * thread's balance may be negative; the sum over threads is right. */
	int64_t live_bytes, live_bytes_max;
	int64_t live_blocks;
	uint64_t below_resolution; /* samples shorter than twice the clock's own cost */
};

void worker_touch(struct worker *w, void *ptr, size_t size);
/* Stamps all of a block; verify ends the cell with the offset when a byte has changed. */
void worker_stamp(struct worker *w, void *ptr, size_t size);
void worker_verify(struct worker *w, const void *ptr, size_t size);

static KMEM_ALWAYS_INLINE uint64_t probe_ticks(const struct probe *p, uint64_t t0, uint64_t t1)
{
	uint64_t t = t1 - t0;

	return t > p->clock.pair_ticks ? t - p->clock.pair_ticks : 0;
}

static KMEM_ALWAYS_INLINE void probe_record(struct probe *p, struct histogram *h, uint64_t t0,
					    uint64_t t1)
{
	uint64_t t = probe_ticks(p, t0, t1);

	histogram_add(h, t);
	if (t < 2 * p->clock.pair_ticks)
		p->below_resolution++;
}

static KMEM_ALWAYS_INLINE void probe_live(struct probe *p, int64_t bytes)
{
	p->live_bytes += bytes;
	p->live_blocks += bytes >= 0 ? 1 : -1;
	if (p->live_bytes > p->live_bytes_max)
		p->live_bytes_max = p->live_bytes;
}

/* Allocates, touches by the cell's rule, never returns NULL (the cell fails instead). */
static KMEM_ALWAYS_INLINE void *worker_alloc_aligned(struct worker *w, struct probe *p,
						     size_t size, size_t align)
{
	void *ptr;

	if (p != NULL) {
		uint64_t t0 = tsc_begin();

		ptr = w->alloc(w->a, size, align, GFP_KERNEL, NUMA_NO_NODE);
		probe_record(p, &p->alloc, t0, tsc_end());
		probe_live(p, (int64_t)size);
	} else {
		ptr = w->alloc(w->a, size, align, GFP_KERNEL, NUMA_NO_NODE);
	}
	if (KMEM_UNLIKELY(ptr == NULL))
		worker_fail(w, "an allocation of %zu bytes failed", size);
	if (w->after_alloc)
		worker_touch(w, ptr, size);
	return ptr;
}

static KMEM_ALWAYS_INLINE void *worker_alloc(struct worker *w, struct probe *p, size_t size)
{
	return worker_alloc_aligned(w, p, size, 0);
}

/* size must be what was asked for. */
static KMEM_ALWAYS_INLINE void worker_free(struct worker *w, struct probe *p, void *ptr,
					   size_t size)
{
	if (KMEM_UNLIKELY(w->check))
		worker_verify(w, ptr, size);
	if (p != NULL) {
		uint64_t t0 = tsc_begin();

		w->free(w->a, ptr, size);
		probe_record(p, &p->free, t0, tsc_end());
		probe_live(p, -(int64_t)size);
	} else {
		w->free(w->a, ptr, size);
	}
}

/*
 * Instantiates `static KMEM_ALWAYS_INLINE void body(struct worker *, struct probe *)`
 * as body##_plain and body##_probed, for the hooks step and step_probed.
 */
#define WORKLOAD_STEP(body)                                                                \
	static void body##_plain(struct worker *w)                                         \
	{                                                                                  \
		body(w, NULL);                                                             \
	}                                                                                  \
	static void body##_probed(struct worker *w)                                        \
	{                                                                                  \
		body(w, w->probe);                                                         \
	}                                                                                  \
	_Static_assert(1, "a semicolon follows")

#endif /* KMEMBENCH_WORKER_FAST_H */
