/* SPDX-License-Identifier: MIT */
/*
 * What a probed pass gathers in each thread: times of operations, their causes, and
 * bytes.
 */
#ifndef KMEMBENCH_PROBE_FAST_H
#define KMEMBENCH_PROBE_FAST_H

#include <stdatomic.h>

#include "workloads/harness/histogram.h"
#include "workloads/harness/tail_fast.h"
#include "workloads/harness/tsc_fast.h"
#include "workloads/workload.h"

/* Kept by all threads of a probed pass together. */
struct probe_shared {
	_Atomic int64_t live_bytes;
	_Atomic(const char *) phase; /* as worker_phase() named it; NULL: none yet */
	/* Memory pass: called by worker_phase() in the worker's thread; NULL: nobody
	 * listens. */
	void (*on_phase)(const char *name, void *arg);
	void *on_phase_arg;
} KMEM_CACHELINE_ALIGNED;

/*
 * What the memory pass counts. Written by the probe's thread alone, read by the sampler
 * at any time: it sums over all threads. A thread that frees other threads' blocks goes
 * below 0. The three belong together, so a change is framed by two steps of `sequence`,
 * which is odd meanwhile: see probe_bytes_read().
 */
struct probe_bytes {
	_Atomic uint32_t sequence;
	_Atomic int64_t live;	   /* asked for, not yet freed */
	_Atomic int64_t usable;	   /* the same blocks by usable_size() */
	_Atomic int64_t allocated; /* asked for since the pass began */
} KMEM_CACHELINE_ALIGNED;

/* One thread's; probe_init() makes it ready. */
struct probe {
	/* --- around every operation --- */
	struct tsc_clock clock;
	struct tail *tail; /* causes of long samples; NULL: nobody asks */
	/*
	 * Live bytes of all threads: each thread gathers its changes and passes them on
	 * once they exceed live_step_bytes, 16 KiB, so that blocks freed by another
	 * thread count right and the maximum is off by at most threads * live_step_bytes.
	 * A single thread passes nothing on before the end, and its maximum is exact.
	 */
	struct probe_shared *shared;
	int64_t live_pending_bytes, live_step_bytes;
	int64_t live_pending_bytes_max; /* since the last flush */
	struct probe_bytes *bytes;	/* memory pass, else NULL */
	bool usable_known;		/* with bytes: the allocator tells usable sizes */
	/* --- at each flush --- */
	int64_t live_bytes_max;	    /* of all threads, as this one saw it */
	int64_t live_own_bytes_max; /* largest live_pending_bytes_max of any time */
	/* --- ticks, the cost of the clock pair already subtracted --- */
	struct histogram alloc;
	struct histogram free;
	struct histogram series[WORKLOAD_SERIES_MAX]; /* the workload's own */
};

/* Empties the histograms and joins `shared`. clock: from tsc_calibrate(), copied. */
void probe_init(struct probe *p, struct probe_shared *shared,
		const struct tsc_clock *clock, unsigned int threads);
/* Makes it a memory pass's probe: bytes is zeroed, and counted from here on. */
void probe_count_bytes(struct probe *p, struct probe_bytes *bytes,
		       const struct allocator *a);

/* Passes the thread's pending change on and updates its view of the maximum. Called at
 * the end of a pass's work. */
void probe_live_flush(struct probe *p);
/* Both add to p->bytes, which is there; block is live. Out of line: in the memory pass
 * alone. */
void probe_bytes_allocated(struct probe *p, struct allocator *a, void *block,
			   size_t size);
void probe_bytes_freed(struct probe *p, struct allocator *a, void *block, size_t size);
/* Memory that a workload takes for its own use, in no block of the allocator's vtable, is
 * live from here on; below 0: no more. p NULL: nobody counts. Off the clock. */
void probe_hold(struct probe *p, int64_t bytes);
/* The three as they were at one moment, from any thread. False when the writer was
 * preempted half-way: that is not waited for, and they may be one block apart. */
bool probe_bytes_read(const struct probe_bytes *bytes, int64_t *live, int64_t *usable,
		      int64_t *allocated);

static KMEM_ALWAYS_INLINE uint64_t probe_ticks(const struct probe *p, uint64_t t0,
					       uint64_t t1)
{
	uint64_t t = t1 - t0;

	return t > p->clock.pair_ticks ? t - p->clock.pair_ticks : 0;
}

/* A sample begins. */
static KMEM_ALWAYS_INLINE uint64_t probe_begin(struct probe *p)
{
	if (p->tail != NULL)
		tail_before(p->tail);
	return tsc_begin();
}

/* A sample from t0 to t1. op is known at compile time. */
static KMEM_ALWAYS_INLINE void probe_add(struct probe *p, enum probe_op op, uint64_t t0,
					 uint64_t t1)
{
	uint64_t ticks = probe_ticks(p, t0, t1);

	histogram_add(op == PROBE_ALLOC ? &p->alloc : &p->free, ticks);
	if (p->tail != NULL)
		tail_after(p->tail, op, t0, t1, ticks);
}

/* It has ended. */
static KMEM_ALWAYS_INLINE void probe_end(struct probe *p, enum probe_op op, uint64_t t0)
{
	probe_add(p, op, t0, tsc_end());
}

static KMEM_ALWAYS_INLINE void probe_live(struct probe *p, int64_t bytes)
{
	p->live_pending_bytes += bytes;
	if (p->live_pending_bytes > p->live_pending_bytes_max)
		p->live_pending_bytes_max = p->live_pending_bytes;
	if (p->live_pending_bytes >= p->live_step_bytes ||
	    p->live_pending_bytes <= -p->live_step_bytes)
		probe_live_flush(p);
}

/* A block has been allocated (NULL: it has not), or is about to be freed. */
static KMEM_ALWAYS_INLINE void probe_allocated(struct probe *p, struct allocator *a,
					       void *block, size_t size)
{
	probe_live(p, (int64_t)size);
	if (p->bytes != NULL && block != NULL)
		probe_bytes_allocated(p, a, block, size);
}

static KMEM_ALWAYS_INLINE void probe_freeing(struct probe *p, struct allocator *a,
					     void *block, size_t size)
{
	if (p->bytes != NULL)
		probe_bytes_freed(p, a, block, size);
}

/*
 * A sample of a series of the workload's own (workload_ops.series), from tick t0 to
 * tick t1, with a clock pair's cost subtracted: a pair that stands around what is
 * timed, or an earlier tick as t0 where something was due then.
 */
static KMEM_ALWAYS_INLINE void worker_series(struct probe *p, unsigned int series,
					     uint64_t t0, uint64_t t1)
{
	histogram_add(&p->series[series], probe_ticks(p, t0, t1));
}

#endif /* KMEMBENCH_PROBE_FAST_H */
