/* SPDX-License-Identifier: MIT */
/*
 * The arrays of all caches by number, and the number by page.
 *
 * A free knows an address only. Its page's descriptor would tell the cache, but that
 * is a line of 64 bytes for two pages, and the cache another line: in a program with
 * mixed sizes both are often cold. So each cache with arrays has a number from 1 to
 * 255, and `page_id` holds one byte for each page frame: a line of it covers 256 KiB
 * of memory. Pages of no such cache have 0, whose arrays are always full and always
 * empty: everything unusual goes to the slow path without a test of its own. That is
 * also the state before the start.
 *
 *   address --> page_id[pfn] --> slab_arrays[id] --> this CPU's stack
 *   size ----> class table ------'
 *
 * The sequences below do what percpu_push() and percpu_pop() of os/percpu_fast.h do,
 * on the same stacks; they differ in that a miss is a jump instead of a result, and
 * that what they read of the arrays are operands in memory: fewer instructions.
 */
#ifndef KMEM_SLAB_ARRAYS_H
#define KMEM_SLAB_ARRAYS_H

#include <kmem/mm_types.h>
#include "allocators/os/percpu_fast.h"

#define SLAB_NR_IDS 256

struct slab_arrays {
	struct percpu_stacks percpu; /* a copy of the cache's; limit 0: never a hit */
	/* Address bits that are zero in every object. */
	uintptr_t free_mask;
	struct kmem_cache *cache; /* NULL: the number is free; under slab_chain_mutex */
};
_Static_assert(sizeof(struct slab_arrays) == 32, "two entries share a cache line");

/* What a free reads first, in one line. Written by kmem_cache_init() and _exit(). */
struct slab_pages {
	_Atomic uint8_t *page_id; /* by pfn */
	const char *base;	  /* address of pfn 0 */
	unsigned long nr_frames;  /* 0: not initialised */
} KMEM_CACHELINE_ALIGNED;

/* Hidden, so that no address comes from the global offset table. */
#pragma GCC visibility push(hidden)
extern struct slab_arrays slab_arrays[SLAB_NR_IDS];
extern struct slab_pages slab_pages;
#pragma GCC visibility pop

/* Number of the cache that owns the address's page; 0: none that has a number. */
static KMEM_ALWAYS_INLINE size_t slab_id_of(const void *addr)
{
	unsigned long pfn = (unsigned long)((const char *)addr - slab_pages.base) >>
			    PAGE_SHIFT;

	if (KMEM_UNLIKELY(pfn >= slab_pages.nr_frames))
		return 0;
	return atomic_load_explicit(&slab_pages.page_id[pfn], memory_order_relaxed);
}

#if OS_PERCPU_RSEQ
/* See PERCPU_RSEQ_HEAD for labels, abort and restart; afterwards %rax is this CPU's
 * stack, %rdx its state and %ecx the number of entries. */
#define SLAB_RSEQ_HEAD                                                   \
	".pushsection __rseq_cs, \"aw\"\n\t"                             \
	".balign 32\n"                                                   \
	"3:\n\t"                                                         \
	".long 0, 0\n\t"                                                 \
	".quad 1f, 2f - 1f, 4f\n\t"                                      \
	".popsection\n"                                                  \
	"6:\n\t"                                                         \
	"leaq 3b(%%rip), %%rax\n\t"                                      \
	"movq %%rax, %%fs:%c[cs](%[rs])\n"                               \
	"1:\n\t"                                                         \
	"movl %%fs:%c[cpu](%[rs]), %%eax\n\t"                            \
	"cmpl %[nr], %%eax\n\t"                                          \
	"jae %l[miss]\n\t"                                               \
	"shlq $" PERCPU_STR(PERCPU_AREA_SHIFT) ", %%rax\n\t"             \
					       "addq %[base], %%rax\n\t" \
					       "movq (%%rax), %%rdx\n\t" \
					       "movzwl %%dx, %%ecx\n\t"

#define SLAB_RSEQ_TAIL                            \
	"movq %%rdx, (%%rax)\n"                   \
	"2:\n\t"                                  \
	".pushsection __rseq_failure, \"ax\"\n\t" \
	".byte 0x0f, 0xb9, 0x3d\n\t"              \
	".long %c[sig]\n"                         \
	"4:\n\t"                                  \
	"jmp 6b\n\t"                              \
	".popsection\n\t"

#define SLAB_RSEQ_INPUTS(a)                                                    \
	[rs] "r"(os_rseq_offset), [cs] "i"(offsetof(struct rseq, rseq_cs)),    \
		[cpu] "i"(offsetof(struct rseq, cpu_id)), [sig] "i"(RSEQ_SIG), \
		[base] "m"((a)->percpu.base), [nr] "m"((a)->percpu.nr_cpus),   \
		[limit] "m"((a)->percpu.limit)
#endif

/* The newest object of this CPU's array, or NULL: empty, or to be found out by the slow
 * path, as in the mode with locks, where the hit path stays free of calls. */
static KMEM_ALWAYS_INLINE void *slab_pop_hit(const struct slab_arrays *arrays)
{
#if OS_PERCPU_RSEQ
	void *object;

	if (KMEM_UNLIKELY(!os_percpu_use_rseq))
		return NULL;
	__asm__ __volatile__ goto(
		SLAB_RSEQ_HEAD
		/* Empty (-1) and stopped (0xfffe) are both above limit - 1. */
		"subl $1, %%ecx\n\t"
		"cmpl %[limit], %%ecx\n\t"
		"jae %l[miss]\n\t"
		"movq 16(%%rax,%%rcx,8), %[object]\n\t"
		"addq $0xffff, %%rdx\n\t" /* pops + 1, avail - 1 */
		SLAB_RSEQ_TAIL
		: [object] "=&r"(object)
		: SLAB_RSEQ_INPUTS(arrays)
		: "rax", "rcx", "rdx", "memory", "cc"
		: miss);
	if (object == NULL)
		__builtin_unreachable(); /* nobody pushes NULL: callers need no test */
	return object;
miss:
#endif
	(void)arrays;
	return NULL;
}

/* False where pop would be NULL, and when the array is full. */
static KMEM_ALWAYS_INLINE bool slab_push_hit(const struct slab_arrays *arrays,
					     void *object)
{
#if OS_PERCPU_RSEQ
	if (KMEM_UNLIKELY(!os_percpu_use_rseq))
		return false;
	__asm__ __volatile__ goto(SLAB_RSEQ_HEAD "cmpl %[limit], %%ecx\n\t"
						 "jae %l[miss]\n\t"
						 "movq %[object], 16(%%rax,%%rcx,8)\n\t"
						 "addq $1, %%rdx\n\t" SLAB_RSEQ_TAIL
				  :
				  : SLAB_RSEQ_INPUTS(arrays), [object] "r"(object)
				  : "rax", "rcx", "rdx", "memory", "cc"
				  : miss);
	return true;
miss:
#endif
	(void)arrays, (void)object;
	return false;
}

#endif /* KMEM_SLAB_ARRAYS_H */
