/* SPDX-License-Identifier: MIT */
/*
 * What sequences and the C around them share: whether there are any (OS_PERCPU_RSEQ), and
 * the layout of the per-CPU stacks, which percpu_fast.h explains.
 */
#ifndef KMEM_OS_PERCPU_TYPES_H
#define KMEM_OS_PERCPU_TYPES_H

#include <kmem/compiler.h>
#include <sched.h>
#include <stdatomic.h>

#if !defined(OS_PERCPU_RSEQ) && KMEM_SANITIZED
#define OS_PERCPU_RSEQ 0
#endif
#if !defined(OS_PERCPU_RSEQ)
#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__has_include)
#if __has_include(<sys/rseq.h>)
#define OS_PERCPU_RSEQ 1
#endif
#endif
#endif
#if !defined(OS_PERCPU_RSEQ)
#define OS_PERCPU_RSEQ 0
#endif
#if OS_PERCPU_RSEQ
#include <sys/rseq.h>
#endif

/* CPU numbers are below this; Linux has the same bound for x86-64 (NR_CPUS_DEFAULT), a
 * lower one for aarch64. */
#define OS_MAX_CPUS 8192

/* Distance between two CPUs' copies of a stack: room for some 200 stacks of 512
 * entries in one chunk; further chunks are added when it is used up. */
#define PERCPU_AREA_SHIFT 20
#define PERCPU_AREA_BYTES ((size_t)1 << PERCPU_AREA_SHIFT)

/* Largest limit of a stack: below PERCPU_STOPPED, and small enough for one area. */
#define PERCPU_LIMIT_MAX 65000u
#define PERCPU_STOPPED	 0xffffu

#define PERCPU_AVAIL_MASK ((uint64_t)0xffff)
#define PERCPU_POPS_SHIFT 16

/* From the address of a slot, a multiple of 8, and an entry's state to its stamp:
 * percpu_stamped.h. */
#define PERCPU_STAMP_SHIFT 29
#define PERCPU_STAMP_ADDS  3

/* The state that a stamped entry must have to be pushed, and what its stamp adds to the
 * slot's: two words in memory, as hit paths have no registers left for them. */
struct percpu_from {
	uint64_t state, stamp;
};
#define PERCPU_FROM(state_) \
	((struct percpu_from){.state = (state_), .stamp = (state_) + PERCPU_STAMP_ADDS})

/* What stands in a magazine's slot above the last: see magazine_fast.h. */
#define MAGAZINE_FULL 1

struct percpu_stack {
	_Atomic uint64_t state; /* written by the owning CPU, in rseq or under lock */
	union {
		_Atomic uint32_t lock;	/* lock mode only */
		_Atomic uint64_t saved; /* rseq mode: state of a frozen stack */
	};
	void *slot[];
};
_Static_assert(offsetof(struct percpu_stack, slot) == 16, "assembly knows this offset");
_Static_assert(sizeof(struct percpu_stack) + 8 * PERCPU_LIMIT_MAX <= PERCPU_AREA_BYTES,
	       "the largest stack fits into an area");

/* One stack for each possible CPU. Read-only after percpu_stacks_init(). */
struct percpu_stacks {
	char *base; /* of CPU 0's stack; NULL: never initialised */
	uint32_t limit;
	uint32_t nr_cpus;
};

/* Decided by os_cpu_init(); constant afterwards. The offset is glibc's
 * __rseq_offset, kept here because reading another library's costs a load more; in
 * lock mode that of a dummy area of each thread, with CPU number -1. Hidden, so that no
 * address comes from the global offset table. */
#pragma GCC visibility push(hidden)
extern bool os_percpu_use_rseq;
/* Sequences that the kernel has restarted: preempted, migrated, signalled or stopped. */
extern _Atomic uint64_t os_percpu_aborts;
extern ptrdiff_t os_rseq_offset;
#pragma GCC visibility pop

#if OS_PERCPU_RSEQ
#define PERCPU_STR_(x) #x
#define PERCPU_STR(x)  PERCPU_STR_(x)

static KMEM_ALWAYS_INLINE struct rseq *percpu_rseq_area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + os_rseq_offset);
}
#endif

#endif /* KMEM_OS_PERCPU_TYPES_H */
