/* SPDX-License-Identifier: MIT */
/* Structures shared by the files of kmap; see the theory comment of kmap.c. */
#ifndef KMEM_KMAP_INTERNAL_H
#define KMEM_KMAP_INTERNAL_H

#include "allocators/os/percpu_fast.h"
#include "allocators/os/spinlock.h"
#include "allocators/phys/phys_internal.h"
#include <kmem/highmem.h>

#include <pthread.h>

/*
 * A slot of the window, as one word, so that who finds it by a frame and raises the count
 * knows that it is still that frame's:
 *
 *   63          32 31           0
 *   |     pfn     |    count     |    0: shows nothing, or what failed to be unmapped
 *                                     1: shows the frame, nobody uses it
 *                                     n: n - 1 users (Linux counts in the same way)
 */
#define PKMAP_PFN_SHIFT 32
#define PKMAP_COUNT(w)	((uint32_t)(w))
#define PKMAP_PFN(w)	((unsigned long)((w) >> PKMAP_PFN_SHIFT))
#define PKMAP_NONE	UINT32_MAX /* no slot */

/* Owned by one thread, or by nobody: then on a CPU's stack or the list. */
struct kmap_stack {
	uint32_t depth;			      /* pages in use */
	struct page *page[KMAP_ATOMIC_DEPTH]; /* that each slot shows; NULL: none */
	struct kmap_stack *next;	      /* in the list */
};

/* Stacks: threads that may be inside at once, and what CPUs keep. 256 MiB of addresses.
 */
#define KMAP_STACKS_MAX 4096u
/* Stacks that a CPU keeps for its next callers; more go to the list. Two, for one thread
 * that loses its CPU inside: a thousand CPUs keep half of all. */
#define KMAP_PERCPU_STACKS 2u

struct kmap_layer {
	/* --- properties: constant between kmap_init() and kmap_exit() --- */
	char *base;	   /* of the window */
	uint32_t nr_slots; /* 0: the layer is down */
	bool flush;
	int fd;			/* of the memory file */
	uint64_t maps_aside;	/* taken from what vmalloc may map */
	_Atomic uint64_t *word; /* [nr_slots] */
	_Atomic uint32_t
		*slot_of; /* by pfn: slot + 1, 0: none. A hint, the word decides */
	size_t word_bytes, slot_of_bytes;
	char *atomic_base;	  /* KMAP_STACKS_MAX times KMAP_ATOMIC_DEPTH pages */
	struct kmap_stack *stack; /* [KMAP_STACKS_MAX] */
	struct percpu_stacks percpu;
	uint32_t generation; /* of kmap_init() */

	/* --- the window: under the mutex --- */
	pthread_mutex_t mutex;
	uint32_t last; /* where the search for a slot stopped */
	_Atomic uint64_t maps, flushes, waits;

	/* --- those who wait: any thread --- */
	_Atomic uint32_t waiters;
	_Atomic uint32_t freed; /* futex: changes when a slot gets free with waiters */

	/* --- stacks that no CPU has room for: under the lock, a leaf --- */
	struct kmem_spinlock lock;
	struct kmap_stack *list;

	_Atomic uint32_t nr_stacks; /* made */
	_Atomic uint64_t atomic_maps;
};
extern struct kmap_layer kmap_layer;

static KMEM_ALWAYS_INLINE bool kmap_is_highmem(unsigned long pfn)
{
	return phys_zone_id(pfn) % MAX_NR_ZONES == ZONE_HIGHMEM;
}

static inline char *pkmap_addr(uint32_t slot)
{
	return kmap_layer.base + ((size_t)slot << PAGE_SHIFT);
}

static inline char *kmap_stack_addr(const struct kmap_stack *s, uint32_t level)
{
	size_t nr = (size_t)(s - kmap_layer.stack);

	return kmap_layer.atomic_base + ((nr * KMAP_ATOMIC_DEPTH + level) << PAGE_SHIFT);
}

/* The frame's number, or with a report -1: page is no descriptor. */
long kmap_pfn(const char *caller, const struct page *page);
/* Shows the frame at a page of address space. 0, or -ENOMEM with a text. */
int kmap_show(const char *caller, char *addr, unsigned long pfn);
/* -EINVAL with a text: HIGHMEM before kmap_init(). */
int kmap_is_down(const char *caller);
/* For page_address(): where a HIGHMEM frame is in use by kmap(), or NULL. */
void *kmap_highmem_address(const struct page *page);

/* --- kmap_atomic.c --- */
int kmap_atomic_init(void); /* 0 or -ENOMEM with a text */
void kmap_atomic_exit(void);
bool kmap_atomic_freeze(void);
void kmap_atomic_thaw(void);
int kmap_atomic_check(void);

#endif /* KMEM_KMAP_INTERNAL_H */
