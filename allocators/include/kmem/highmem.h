/* SPDX-License-Identifier: MIT */
/*
 * Windows to HIGHMEM frames, which have no address of their own; Linux <linux/highmem.h>.
 *
 * A frame below HIGHMEM keeps its direct-map address: for it all of these return
 * page_address(), cost no more than that, and work without kmap_init(). A HIGHMEM frame
 * gets a page of address space:
 *
 * - kmap(): one of pkmap_slots, all threads together, with a count of its users. Waits
 *   while all are in use. The address is good in every thread until the last kunmap(),
 * and page_address() returns it. For what is held for long, or passed on.
 * - kmap_atomic(): one of a stack of KMAP_ATOMIC_DEPTH that the calling thread has to
 *   itself. Never waits. For short: copy, and unmap in the opposite order.
 *
 * WHO OWNS AN ATOMIC SLOT. In the kernel it is the CPU: kmap_atomic() forbids preemption,
 * so whoever runs there next comes when the stack is empty again. User space cannot, and
 * a thread may be moved to another CPU with its pages mapped. So what a CPU has is a
 * supply of whole stacks. A thread's outermost kmap_atomic() takes one from the CPU that
 * it runs on, the thread keeps it wherever it is moved to, and its outermost
 * kunmap_atomic() gives it to the CPU that it runs on then. A CPU without one takes one
 * that no CPU has room for, or a fresh one, for threads that lost their CPU may hold them
 * all: there come to be as many as threads have ever been inside at once, and two for
 * each CPU. Addresses must not be passed to other threads, which cannot unmap them.
 *
 * After the last unmap a slot still shows its frame, until another one needs it: mapping
 * the same frame again costs no system call, and a stale address does not fault yet. A
 * frame that is in use in a slot counts as mapped, and freeing it is reported.
 *
 * Not for signal handlers. Misuse is reported by kmem_bug() and ignored.
 */
#ifndef KMEM_HIGHMEM_H
#define KMEM_HIGHMEM_H

#include <kmem/mm_types.h>
#include <kmem/options.h>

/* Pages that one thread can have mapped by kmap_atomic() at once; Linux: KM_TYPE_NR. */
#define KMAP_ATOMIC_DEPTH 16u

struct kmap_config {
	uint64_t pkmap_slots; /* pages of kmap()'s window; Linux: LAST_PKMAP */
	/* Unused slots are unmapped together when the search for one begins anew. */
	bool pkmap_flush;
};

extern KMEM_API const struct kmem_option kmap_options[];

/*
 * config NULL: the defaults. 0; -EBUSY when up already; -EINVAL with the private backing,
 * without phys_init(), or with no slots; -ENOMEM. One thread, after phys_init() and,
 * where there will be one, vmalloc_init(), which leaves the mappings to it.
 */
KMEM_API int kmap_init(const struct kmap_config *config);
/* Takes all windows down, those in use too; no other thread may be calling. Before
 * vmalloc_exit(). */
KMEM_API void kmap_exit(void);

/*
 * Maps the frame and returns its address; each call needs its kunmap(). May sleep: who
 * waits for a slot while it holds slots waits for others to unmap. A frame that is still
 * shown costs two atomic operations, another one a system call under a mutex. NULL with a
 * text when the system cannot map (vm.max_map_count), and before kmap_init(). Linux
 * 2.6.28 mm/highmem.c.
 */
KMEM_API void *kmap(struct page *page);
/* Never sleeps. One that no kmap() belongs to is reported. */
KMEM_API void kunmap(struct page *page);

/*
 * Maps the frame for the calling thread. Never waits for anybody. NULL with a text when
 * the system cannot map; nesting deeper than KMAP_ATOMIC_DEPTH is reported, and NULL.
 * Linux 2.6.37 (before, each caller named its slot).
 */
KMEM_API void *kmap_atomic(struct page *page);
/* addr: anywhere in the page mapped last. Another one is reported, and so is a thread
 * that ends with pages mapped, which are then unmapped. */
KMEM_API void kunmap_atomic(const void *addr);

/* Unmaps every slot of kmap()'s window that nobody uses. Other threads may run. */
KMEM_API void kmap_flush_unused(void);

struct kmap_stats {
	uint64_t pkmap_slots;
	uint64_t pkmap_used;   /* by callers of kmap() */
	uint64_t pkmap_unused; /* shown, in use by nobody */
	/* Since kmap_init(). */
	uint64_t pkmap_maps;	/* system calls that mapped */
	uint64_t pkmap_flushes; /* times that unused slots were unmapped together */
	uint64_t pkmap_waits;	/* times that a caller slept for a slot */
	uint64_t atomic_stacks; /* made; they stay */
	uint64_t atomic_maps;
};
/* Exact when no other thread is calling. */
KMEM_API void kmap_stats(struct kmap_stats *stats);

/* Walks every invariant; no other thread may be calling. 0, or -EFAULT with a text. */
KMEM_API int kmap_check(void);

#endif /* KMEM_HIGHMEM_H */
