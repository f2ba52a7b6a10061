/* SPDX-License-Identifier: MIT */
/*
 * Atomic slots: a stack of pages that one thread has to itself.
 *
 * kmem/highmem.h says why a thread and not a CPU owns a stack while it is in use. Free
 * stacks lie on the CPUs' stacks of stacks, which keeps the page tables that a CPU has
 * used last near it, then in a list. A slot goes on showing its frame when its user has
 * gone: the same frame at the same depth is there at once, another one is mapped over it.
 */
#include "allocators/os/os_mem.h"
#include "allocators/vmalloc/kmap_internal.h"
#include <kmem/error.h>

#include <errno.h>

/* The calling thread's; NULL: it has nothing mapped. */
static _Thread_local struct kmap_stack *current;
/* kmap_init() that `current` is of, for a thread that ends after kmap_exit(). */
static _Thread_local uint32_t current_generation;
static _Thread_local bool watched; /* the end of this thread is */

/* --- stacks --- */

static void put_stack(struct kmap_stack *s)
{
	if (percpu_push(&kmap_layer.percpu, s))
		return;
	spin_lock(&kmap_layer.lock);
	s->next = kmap_layer.list;
	kmap_layer.list = s;
	spin_unlock(&kmap_layer.lock);
}

static struct kmap_stack *take_listed(void)
{
	struct kmap_stack *s;

	spin_lock(&kmap_layer.lock);
	s = kmap_layer.list;
	if (s != NULL)
		kmap_layer.list = s->next;
	spin_unlock(&kmap_layer.lock);
	return s;
}

static struct kmap_stack *fresh_stack(void)
{
	uint32_t nr = atomic_load(&kmap_layer.nr_stacks);

	do {
		if (nr >= KMAP_STACKS_MAX) {
			kmem_error(-ENOMEM,
				   "'kmap_atomic' in more than %u threads at once: unmap "
				   "in some of them first",
				   KMAP_STACKS_MAX);
			return NULL;
		}
	} while (!atomic_compare_exchange_weak(&kmap_layer.nr_stacks, &nr, nr + 1));
	return &kmap_layer.stack[nr];
}

static struct kmap_stack *take_stack(void)
{
	struct kmap_stack *s = percpu_pop(&kmap_layer.percpu);

	if (s == NULL)
		s = take_listed();
	return s != NULL ? s : fresh_stack();
}

/* --- the end of a thread --- */

static pthread_key_t end_key;
static bool end_key_made;

static void thread_ends(void *unused)
{
	struct kmap_stack *s = current;

	(void)unused;
	if (s == NULL || kmap_layer.nr_slots == 0 ||
	    current_generation != kmap_layer.generation)
		return;
	kmem_bug("a thread ended with %u pages mapped by kmap_atomic(): unmap each by "
		 "kunmap_atomic()",
		 s->depth);
	current = NULL;
	while (s->depth > 0)
		atomic_fetch_sub_explicit(&s->page[--s->depth]->_mapcount, 1,
					  memory_order_relaxed);
	put_stack(s);
}

static void make_end_key(void)
{
	end_key_made = pthread_key_create(&end_key, thread_ends) == 0;
}

/* Without a key, the program has used up all of them: the end of threads goes unseen. */
static KMEM_COLD void watch_thread(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_end_key);
	watched = true;
	if (end_key_made)
		pthread_setspecific(end_key, &kmap_layer);
}

/* --- kmap_atomic and kunmap_atomic --- */

/* NULL also for a thread that had mapped something when kmap_exit() was called. */
static KMEM_ALWAYS_INLINE struct kmap_stack *current_stack(void)
{
	if (KMEM_UNLIKELY(current_generation != kmap_layer.generation))
		current = NULL;
	return current;
}

static KMEM_ALWAYS_INLINE struct kmap_stack *own_stack(void)
{
	struct kmap_stack *s = current_stack();

	if (s != NULL)
		return s;
	if (KMEM_UNLIKELY(kmap_layer.nr_slots == 0)) {
		kmap_is_down("kmap_atomic");
		return NULL;
	}
	if (KMEM_UNLIKELY(!watched))
		watch_thread();
	s = take_stack();
	current = s;
	current_generation = kmap_layer.generation;
	return s;
}

/* The thread has nothing mapped any more. */
static KMEM_ALWAYS_INLINE void give_up_if_empty(struct kmap_stack *s)
{
	if (s->depth > 0)
		return;
	current = NULL;
	put_stack(s);
}

void *kmap_atomic(struct page *page)
{
	long pfn = kmap_pfn("kmap_atomic", page);
	struct kmap_stack *s;
	char *addr;

	if (KMEM_UNLIKELY(pfn < 0))
		return NULL;
	if (!kmap_is_highmem((unsigned long)pfn))
		return pfn_to_virt((unsigned long)pfn);
	s = own_stack();
	if (KMEM_UNLIKELY(s == NULL))
		return NULL;
	if (KMEM_UNLIKELY(s->depth == KMAP_ATOMIC_DEPTH)) {
		kmem_bug(
			"kmap_atomic() of pfn %ld: the thread has mapped %u pages, which is "
			"as many as it may: unmap some, or use kmap()",
			pfn, KMAP_ATOMIC_DEPTH);
		return NULL;
	}
	addr = kmap_stack_addr(s, s->depth);
	if (s->page[s->depth] != page) {
		s->page[s->depth] = NULL;
		if (kmap_show("kmap_atomic", addr, (unsigned long)pfn) != 0) {
			give_up_if_empty(s);
			return NULL;
		}
		s->page[s->depth] = page;
		atomic_fetch_add_explicit(&kmap_layer.atomic_maps, 1,
					  memory_order_relaxed);
	}
	s->depth++;
	atomic_fetch_add_explicit(&page->_mapcount, 1, memory_order_relaxed);
	return addr;
}

static KMEM_COLD void report_bad_unmap(const void *addr)
{
	if (current == NULL)
		kmem_bug("kunmap_atomic() of %p: this thread has nothing mapped by "
			 "kmap_atomic()",
			 addr);
	else
		kmem_bug(
			"kunmap_atomic() of %p: the page that this thread mapped last is "
			"at %p; unmap in the opposite order",
			addr, (void *)kmap_stack_addr(current, current->depth - 1));
}

void kunmap_atomic(const void *addr)
{
	struct kmap_stack *s = current_stack();
	char *last;

	if (virt_addr_valid(addr) && !kmap_is_highmem(virt_to_pfn(addr)))
		return;
	last = s != NULL ? kmap_stack_addr(s, s->depth - 1) : NULL;
	if (KMEM_UNLIKELY(s == NULL || (uintptr_t)addr - (uintptr_t)last >= PAGE_SIZE)) {
		report_bad_unmap(addr);
		return;
	}
	s->depth--;
	atomic_fetch_sub_explicit(&s->page[s->depth]->_mapcount, 1, memory_order_relaxed);
	give_up_if_empty(s);
}

/* --- fork --- */

bool kmap_atomic_freeze(void)
{
	return percpu_freeze(&kmap_layer.percpu);
}

void kmap_atomic_thaw(void)
{
	percpu_thaw(&kmap_layer.percpu);
}

/* --- start and end --- */

/* With a page behind that nothing is ever mapped to. */
#define ATOMIC_BYTES (((size_t)KMAP_STACKS_MAX * KMAP_ATOMIC_DEPTH + 1) << PAGE_SHIFT)
#define STACKS_BYTES KMEM_ALIGN_UP(KMAP_STACKS_MAX * sizeof(struct kmap_stack), PAGE_SIZE)

int kmap_atomic_init(void)
{
	kmap_layer.atomic_base = os_reserve(ATOMIC_BYTES);
	kmap_layer.stack = os_map_anon(STACKS_BYTES);
	if (kmap_layer.atomic_base != NULL && kmap_layer.stack != NULL &&
	    percpu_stacks_init(&kmap_layer.percpu, KMAP_PERCPU_STACKS) == 0)
		return 0;
	return kmem_error(-ENOMEM,
			  "no %zu MiB of addresses for kmap_atomic: raise 'ulimit -v'",
			  ATOMIC_BYTES >> 20);
}

void kmap_atomic_exit(void)
{
	if (kmap_layer.stack != NULL) {
		for (uint32_t nr = 0; nr < atomic_load(&kmap_layer.nr_stacks); nr++) {
			struct kmap_stack *s = &kmap_layer.stack[nr];

			while (s->depth > 0)
				atomic_fetch_sub(&s->page[--s->depth]->_mapcount, 1);
		}
		os_unmap(kmap_layer.stack, STACKS_BYTES);
	}
	current = NULL;
	if (kmap_layer.atomic_base != NULL)
		os_unmap(kmap_layer.atomic_base, ATOMIC_BYTES);
	percpu_stacks_destroy(&kmap_layer.percpu);
}

/* --- checking --- */

struct stack_walk {
	uint32_t free;
	const struct kmap_stack *bad;
};

static void walk_free(void *entry, void *arg)
{
	const struct kmap_stack *s = entry;
	struct stack_walk *walk = arg;

	walk->free++;
	if (s->depth != 0)
		walk->bad = s;
}

static int check_stack(const struct kmap_stack *s)
{
	for (uint32_t level = 0; level < KMAP_ATOMIC_DEPTH; level++) {
		const struct page *page = s->page[level];
		bool used = level < s->depth;

		if ((page == NULL && used) ||
		    (page != NULL &&
		     (page < kmem_mem_map || !pfn_valid(page_to_pfn(page)))))
			return kmem_error(-EFAULT,
					  "level %u of atomic stack %u shows no page",
					  level, (unsigned int)(s - kmap_layer.stack));
		if (used && atomic_load(&page->_mapcount) < 1)
			return kmem_error(
				-EFAULT,
				"pfn %lu is mapped by kmap_atomic(), but its mapcount is %d",
				page_to_pfn(page), atomic_load(&page->_mapcount));
	}
	return 0;
}

int kmap_atomic_check(void)
{
	uint32_t made = atomic_load(&kmap_layer.nr_stacks), held = 0;
	struct stack_walk walk = {0, NULL};
	int err = 0;

	percpu_walk(&kmap_layer.percpu, walk_free, &walk);
	for (struct kmap_stack *s = kmap_layer.list; s != NULL && walk.free <= made;
	     s = s->next)
		walk_free(s, &walk);
	for (uint32_t nr = 0; nr < made && err == 0; nr++) {
		held += kmap_layer.stack[nr].depth > 0;
		err = check_stack(&kmap_layer.stack[nr]);
	}
	if (err != 0)
		return err;
	if (walk.bad != NULL)
		return kmem_error(-EFAULT, "atomic stack %u is free with %u pages mapped",
				  (unsigned int)(walk.bad - kmap_layer.stack),
				  walk.bad->depth);
	if (walk.free + held != made)
		return kmem_error(-EFAULT,
				  "%u atomic stacks are free and %u held, %u were made",
				  walk.free, held, made);
	return 0;
}
