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

/* Kept by all threads of a latency pass together. */
struct probe_shared {
	_Atomic int64_t live_bytes;
	_Atomic(const char *) phase; /* as worker_phase() named it; NULL: none yet */
} KMEM_CACHELINE_ALIGNED;

/* What the latency pass of one thread gathers; probe_init() makes it ready. */
struct probe {
	struct tsc_clock clock;
	struct histogram alloc; /* ticks, the cost of the clock pair already subtracted */
	struct histogram free;
	/*
	 * Live bytes of all threads: each thread gathers its changes and passes them on
	 * once they exceed live_step_bytes (1 with one thread, else 16 KiB), so that
	 * blocks freed by another thread count right and the maximum is off by at most
	 * threads * live_step_bytes.
	 */
	struct probe_shared *shared;
	int64_t live_pending_bytes, live_step_bytes;
	int64_t live_pending_bytes_max; /* all there is to know below the first step */
	int64_t live_bytes_max;
	uint64_t below_resolution; /* samples shorter than twice the clock's own cost */
};

/* Touches by the cell's rule, or stamps when contents are checked. */
void worker_touch(struct worker *w, void *ptr, size_t size);
/* Stamps all of a block; verify ends the cell with the offset when a byte has changed. */
void worker_stamp(struct worker *w, void *ptr, size_t size);
void worker_verify(struct worker *w, const void *ptr, size_t size);
/* Verifies the first `length` bytes of a block that was stamped at old_address with
 * old_size. */
void worker_verify_moved(struct worker *w, const void *ptr, size_t length,
			 uintptr_t old_address, size_t old_size);
void worker_verify_zero(struct worker *w, const void *ptr, size_t size);

/* Ends the cell: the allocator returned NULL. */
void worker_fail_alloc(const struct worker *w, size_t size, size_t align)
	__attribute__((noreturn, cold));

static KMEM_ALWAYS_INLINE uint64_t probe_ticks(const struct probe *p, uint64_t t0,
					       uint64_t t1)
{
	uint64_t t = t1 - t0;

	return t > p->clock.pair_ticks ? t - p->clock.pair_ticks : 0;
}

static KMEM_ALWAYS_INLINE void probe_record(struct probe *p, struct histogram *h,
					    uint64_t t0, uint64_t t1)
{
	uint64_t t = probe_ticks(p, t0, t1);

	histogram_add(h, t);
	if (t < 2 * p->clock.pair_ticks)
		p->below_resolution++;
}

/* Passes the thread's pending change on and updates its view of the maximum. */
void probe_live_flush(struct probe *p);
/* Empties the histograms and joins `shared`. clock: from tsc_calibrate(), copied. */
void probe_init(struct probe *p, struct probe_shared *shared,
		const struct tsc_clock *clock, unsigned int threads);

static KMEM_ALWAYS_INLINE void probe_live(struct probe *p, int64_t bytes)
{
	p->live_pending_bytes += bytes;
	if (p->live_pending_bytes > p->live_pending_bytes_max)
		p->live_pending_bytes_max = p->live_pending_bytes;
	if (p->live_pending_bytes >= p->live_step_bytes ||
	    p->live_pending_bytes <= -p->live_step_bytes)
		probe_live_flush(p);
}

/* What every allocation ends with: out of memory, then touch. */
static KMEM_ALWAYS_INLINE void *worker_allocated(struct worker *w, void *ptr, size_t size,
						 size_t align)
{
	if (KMEM_UNLIKELY(ptr == NULL))
		worker_fail_alloc(w, size, align);
	if (w->touch_ends) {
		volatile char *byte = ptr;

		byte[0] = (char)size;
		byte[size - 1] = (char)size;
	} else if (w->after_alloc) {
		worker_touch(w, ptr, size);
	}
	return ptr;
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
	return worker_allocated(w, ptr, size, align);
}

static KMEM_ALWAYS_INLINE void *worker_alloc(struct worker *w, struct probe *p,
					     size_t size)
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
 * The same outside the timed region, for thread_setup() and thread_teardown():
 * counted in the probe's live bytes, but no sample of its histograms.
 */
void *worker_alloc_untimed(struct worker *w, size_t size);
void worker_free_untimed(struct worker *w, void *ptr, size_t size);

/*
 * calloc and realloc, by the allocator's own hook or made of alloc and free. They
 * are samples of the alloc histogram, all that they do included. Out of line: what
 * they copy or clear outweighs the call.
 */
void *worker_zalloc(struct worker *w, struct probe *p, size_t size);
void *worker_realloc(struct worker *w, struct probe *p, void *ptr, size_t old_size,
		     size_t new_size);

/*
 * Instantiates `static KMEM_ALWAYS_INLINE void body(struct worker *, struct probe *)`
 * as body##_plain and body##_probed, for the hooks step and step_probed.
 */
#define WORKLOAD_STEP(body)                         \
	static void body##_plain(struct worker *w)  \
	{                                           \
		body(w, NULL);                      \
	}                                           \
	static void body##_probed(struct worker *w) \
	{                                           \
		body(w, w->probe);                  \
	}                                           \
	_Static_assert(1, "a semicolon follows")

#endif /* KMEMBENCH_WORKER_FAST_H */
