/* SPDX-License-Identifier: MIT */
/*
 * The operations of a workload's step, inlined. With a NULL probe known at
 * compile time they are one indirect call and one predictable branch.
 */
#ifndef KMEMBENCH_WORKER_FAST_H
#define KMEMBENCH_WORKER_FAST_H

#include "workloads/harness/probe_fast.h"
#include "workloads/workload.h"

/* Touches by the cell's rule, or stamps when contents are checked. */
void worker_touch(struct worker *w, void *ptr, size_t size);
/* Stamps all of a block; verify ends the cell with the offset when a byte has changed. */
void worker_stamp(struct worker *w, void *ptr, size_t size);
void worker_verify(struct worker *w, const void *ptr, size_t size);
/*
 * Verifies a block that is about to be freed, and spoils its stamp: whoever else was
 * given the same block, of the same size, will find it damaged.
 */
void worker_retire(struct worker *w, void *ptr, size_t size);
/* Verifies the first `length` bytes of a block that was stamped at old_address with
 * old_size. */
void worker_verify_moved(struct worker *w, const void *ptr, size_t length,
			 uintptr_t old_address, size_t old_size);
void worker_verify_zero(struct worker *w, const void *ptr, size_t size);

/* Ends the cell: the allocator returned NULL. */
void worker_fail_alloc(const struct worker *w, size_t size, size_t align)
	__attribute__((noreturn, cold));

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
		uint64_t t0 = probe_begin(p);

		ptr = w->alloc(w->a, size, align, GFP_KERNEL, NUMA_NO_NODE);
		probe_end(p, PROBE_ALLOC, t0);
		probe_allocated(p, w->a, ptr, size);
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
		worker_retire(w, ptr, size);
	if (p != NULL) {
		uint64_t t0;

		probe_freeing(p, w->a, ptr, size);
		t0 = probe_begin(p);
		w->free(w->a, ptr, size);
		probe_end(p, PROBE_FREE, t0);
		probe_live(p, -(int64_t)size);
	} else {
		w->free(w->a, ptr, size);
	}
}

/*
 * The same outside the timed region, for thread_setup() and thread_teardown():
 * counted in the probe's bytes, but no sample of its histograms.
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
