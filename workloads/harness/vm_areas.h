/* SPDX-License-Identifier: MIT */
/*
 * What the workloads of virtual ranges share: requests drawn before the clock starts, the
 * pair of alloc and free that they play, and the checks of what a user asks for.
 */
#ifndef KMEMBENCH_VM_AREAS_H
#define KMEMBENCH_VM_AREAS_H

#include <kmem/mm_types.h>

#include "workloads/harness/worker_fast.h"

/* Read in a circle: 64 KiB, so that no few sizes come round at once. */
#define VM_REQUESTS 8192u
/* 1 GiB: sizes and alignments fit 32 bits. */
#define VM_PAGES_MAX (1u << 18)

struct vm_request {
	uint32_t size_bytes;
	uint32_t align_bytes; /* 0: a page */
};

/* Some 500 of the sizes of vm-random: 0.1 s where each page faults, and 99 of its 100
 * sizes. */
#define VM_WARM_PAGES	 25000u
#define VM_WARM_REQUESTS 1024u

/* One thread's; from an arena. */
struct vm_requests {
	uint32_t next;
	struct vm_request ring[VM_REQUESTS];
};

/*
 * For thread_setup() and thread_teardown(). draw(): one request. The first ones are
 * played off the clock, VM_WARM_PAGES of them: an allocator that keeps freed ranges maps
 * one of each size before it has any to hand out again, which outweighs a short pass.
 */
struct vm_requests *vm_requests_new(struct worker *w,
				    struct vm_request (*draw)(struct rng *rng,
							      const void *arg),
				    const void *arg);
void vm_requests_delete(struct vm_requests *r);

/* For validate(): 0, or -EINVAL with a text that names the workload and the parameter. */
int vm_check_whole_pages(const struct workload_run *run);
int vm_check_pages(const char *workload, uint64_t pages_min, uint64_t pages_max);
/*
 * The same where `name`=`areas` ranges, which live at once, may take more mappings than
 * vm.max_map_count allows a process: `mappings`, and a sixteenth that is left to the rest
 * of it.
 */
int vm_check_mappings(const char *workload, const char *name, uint64_t areas,
		      uint64_t mappings);

/* Ends the cell: the range at ptr is not aligned. */
void vm_fail_align(const struct worker *w, const void *ptr, size_t align)
	__attribute__((noreturn, cold));

/* Allocates, touches by the cell's rule, frees; align 0: none is asked for. */
static KMEM_ALWAYS_INLINE void vm_pair(struct worker *w, struct probe *p, size_t size,
				       size_t align)
{
	void *ptr = worker_alloc_aligned(w, p, size, align);

	if (align != 0 && KMEM_UNLIKELY(((uintptr_t)ptr & (align - 1)) != 0))
		vm_fail_align(w, ptr, align);
	worker_free(w, p, ptr, size);
}

/* The next n requests. */
static KMEM_ALWAYS_INLINE void vm_play(struct worker *w, struct probe *p,
				       struct vm_requests *r, uint32_t n)
{
	uint32_t next = r->next;

	for (uint32_t i = 0; i < n; i++) {
		vm_pair(w, p, r->ring[next].size_bytes, r->ring[next].align_bytes);
		next = (next + 1) % VM_REQUESTS;
	}
	r->next = next;
	w->ops += n;
}

#endif /* KMEMBENCH_VM_AREAS_H */
