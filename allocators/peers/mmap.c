/* SPDX-License-Identifier: MIT */
/*
 * mmap: one mapping for each block, the system calls laid bare.
 *
 * THEORY. What memory costs when nothing is kept: mmap(2) on allocation, a page
 * fault on first touch, munmap(2) on free, with its interrupt to the other
 * CPUs that run the process. It is the yardstick for ranges and large blocks,
 * where allocators do or do not keep their mappings, and hopeless for small ones.
 *
 * Sizes are rounded to pages. A block of 2^k pages lies at a multiple of its size,
 * as a page allocator's does. To get that for one system call, the kernel is
 * asked for the aligned place below the thread's last block, or for the place of
 * the block that it freed last; only where that is taken, too much is mapped
 * and both ends are cut off, which is three calls. (Always cutting made vmalloc's
 * workload of 16 KiB ranges 3 times slower than unaligned mappings.)
 * "natural=off" maps without alignment, "populate=on" has the kernel bring in all pages
 * with the mapping instead of one at a time: who touches them all is best served by both.
 *
 * Lengths are kept outside of the blocks, since a caller may free without
 * naming the size: two levels of tables by page number, a leaf for each GiB of
 * addresses. An entry belongs to the owner of the block that starts there; it
 * is atomic because the kernel may give an address to another thread as soon as
 * it is unmapped, with no order between the two that the language knows of.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "allocators/peers/floors.h"
#include <kmem/error.h>

#define ADDRESS_BITS 48
#define LEAF_SHIFT   30 /* bytes of addresses for one leaf */
#define LEAF_ENTRIES ((size_t)1 << (LEAF_SHIFT - PAGE_SHIFT))
#define LEAF_BYTES   (LEAF_ENTRIES * sizeof(_Atomic uint32_t))
#define ROOT_ENTRIES ((size_t)1 << (ADDRESS_BITS - LEAF_SHIFT))
#define ROOT_BYTES   (ROOT_ENTRIES * sizeof(_Atomic(leaf_entry *)))

/* Pages of the block that starts here; 0: none does. */
typedef _Atomic uint32_t leaf_entry;

struct mmap_config {
	bool natural, populate;
};

static const struct kmem_option mmap_options[] = {
	{.name = "natural",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct mmap_config, natural),
	 .initial = "on",
	 .help = "blocks of 2^k pages lie at a multiple of their size, sometimes for two more "
		 "system calls"},
	{.name = "populate",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct mmap_config, populate),
	 .initial = "off",
	 .help = "all pages come with the mapping (MAP_POPULATE), not by a fault each; worse "
		 "where not all are touched"},
	KMEM_OPTION_END,
};
static const struct kmem_option_group mmap_option_groups[] = {{mmap_options, 0},
							      {NULL, 0}};

struct mmap_allocator {
	struct allocator base;
	bool natural, populate;
	_Atomic(leaf_entry *) *root; /* ROOT_ENTRIES, NULL until used */
};

static struct allocator *mmap_create(const struct allocator_ops *ops, const void *config,
				     const struct allocator_env *env)
{
	const struct mmap_config *c = config;
	struct mmap_allocator *m = calloc(1, sizeof(*m));

	(void)env;
	if (m == NULL) {
		kmem_error(-ENOMEM, "no memory for allocator '%s'", ops->name);
		return NULL;
	}
	m->base.ops = ops;
	m->natural = c->natural;
	m->populate = c->populate;
	m->root = floor_reserve("allocator 'mmap'", ROOT_BYTES, PAGE_SIZE);
	if (m->root == NULL) {
		free(m);
		return NULL;
	}
	return &m->base;
}

/* Blocks still live are the caller's; only the tables go. */
static void mmap_destroy(struct allocator *a)
{
	struct mmap_allocator *m = (struct mmap_allocator *)a;

	for (size_t i = 0; i < ROOT_ENTRIES; i++) {
		leaf_entry *leaf = atomic_load_explicit(&m->root[i],
							memory_order_relaxed);

		if (leaf != NULL)
			floor_release(leaf, LEAF_BYTES);
	}
	floor_release(m->root, ROOT_BYTES);
	free(m);
}

/* The entry of a page; NULL where no block ever was and `make` is not set, or no memory.
 */
static leaf_entry *mmap_entry(struct mmap_allocator *m, const void *ptr, bool make)
{
	uintptr_t address = (uintptr_t)ptr;
	_Atomic(leaf_entry *) *slot;
	leaf_entry *leaf;

	if (address >> ADDRESS_BITS != 0)
		return NULL;
	slot = &m->root[address >> LEAF_SHIFT];
	leaf = atomic_load_explicit(slot, memory_order_acquire);
	if (leaf == NULL && make) {
		leaf_entry *other = NULL;

		leaf = floor_map(LEAF_BYTES, PAGE_SIZE, MAP_NORESERVE);
		if (leaf != NULL && !atomic_compare_exchange_strong(slot, &other, leaf)) {
			floor_release(leaf, LEAF_BYTES);
			leaf = other;
		}
	}
	if (leaf == NULL)
		return NULL;
	return &leaf[(address >> PAGE_SHIFT) & (LEAF_ENTRIES - 1)];
}

static void mmap_unmap(void *ptr, size_t bytes)
{
	/*
	 * Unmapping the middle of a mapping makes two of it, which may be one more
	 * than vm.max_map_count: then at least the memory goes back.
	 */
	if (munmap(ptr, bytes) != 0)
		madvise(ptr, bytes, MADV_DONTNEED);
}

/* Above the place that the calling thread's next aligned block is asked for; 0: none yet.
 */
static _Thread_local uintptr_t mmap_hint;

static void *mmap_map_aligned(size_t bytes, size_t align)
{
	uintptr_t want = (mmap_hint - bytes) & ~(align - 1);
	void *p;

	if (mmap_hint > bytes + align) {
		p = mmap((void *)want, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return NULL;
		if (((uintptr_t)p & (align - 1)) == 0) {
			mmap_hint = (uintptr_t)p;
			return p;
		}
		munmap(p, bytes);
	}
	p = floor_map(bytes, align, 0);
	mmap_hint = (uintptr_t)p;
	return p;
}

static void *mmap_map(const struct mmap_allocator *m, size_t bytes, size_t align)
{
	void *p;

	if (align <= PAGE_SIZE)
		return floor_map(bytes, PAGE_SIZE, m->populate ? MAP_POPULATE : 0);
	p = mmap_map_aligned(bytes, align);
	/* Not what is cut off again. A kernel before 5.14 leaves the pages to faults. */
	if (m->populate && p != NULL)
		madvise(p, bytes, MADV_POPULATE_WRITE);
	return p;
}

static void *mmap_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			int node)
{
	struct mmap_allocator *m = (struct mmap_allocator *)a;
	size_t bytes = KMEM_ALIGN_UP(size, PAGE_SIZE);
	size_t natural = m->natural ? floor_natural_align(bytes) : PAGE_SIZE;
	leaf_entry *entry;
	void *p;

	(void)gfp;
	(void)node;
	if (bytes < size || bytes >> PAGE_SHIFT > UINT32_MAX)
		return NULL;
	p = mmap_map(m, bytes, align > natural ? align : natural);
	if (p == NULL)
		return NULL;
	entry = mmap_entry(m, p, true);
	if (entry == NULL) {
		mmap_unmap(p, bytes);
		return NULL;
	}
	atomic_store_explicit(entry, (uint32_t)(bytes >> PAGE_SHIFT),
			      memory_order_relaxed);
	return p;
}

/* Pages of a live block; 0, reported, when ptr starts none. */
static size_t mmap_pages(struct mmap_allocator *m, const char *what, const void *ptr,
			 leaf_entry **entry)
{
	uint32_t pages = 0;

	*entry = ((uintptr_t)ptr & (PAGE_SIZE - 1)) == 0 ? mmap_entry(m, ptr, false)
							 : NULL;
	if (*entry != NULL)
		pages = atomic_load_explicit(*entry, memory_order_relaxed);
	if (pages == 0)
		kmem_bug("mmap: %s(%p): no live block starts there", what, ptr);
	return pages;
}

static void mmap_free(struct allocator *a, void *ptr, size_t size)
{
	leaf_entry *entry;
	size_t pages;

	(void)size;
	if (ptr == NULL)
		return;
	pages = mmap_pages((struct mmap_allocator *)a, "free", ptr, &entry);
	if (pages == 0)
		return;
	/* Before the address can be handed out again. */
	atomic_store_explicit(entry, 0, memory_order_relaxed);
	mmap_unmap(ptr, pages << PAGE_SHIFT);
	if (pages > 1)
		mmap_hint = (uintptr_t)ptr + (pages << PAGE_SHIFT);
}

/* The kernel moves page tables, not bytes. A block that moves keeps a page's alignment
 * only. */
static void *mmap_realloc(struct allocator *a, void *ptr, size_t old_size,
			  size_t new_size)
{
	struct mmap_allocator *m = (struct mmap_allocator *)a;
	size_t bytes = KMEM_ALIGN_UP(new_size, PAGE_SIZE);
	leaf_entry *entry;
	size_t pages = mmap_pages(m, "realloc", ptr, &entry);
	void *p;

	(void)old_size;
	if (pages == 0 || bytes < new_size || bytes >> PAGE_SHIFT > UINT32_MAX)
		return NULL;
	if (pages == bytes >> PAGE_SHIFT)
		return ptr;
	atomic_store_explicit(entry, 0, memory_order_relaxed);
	p = mremap(ptr, pages << PAGE_SHIFT, bytes, MREMAP_MAYMOVE);
	if (p == MAP_FAILED) {
		atomic_store_explicit(entry, (uint32_t)pages, memory_order_relaxed);
		return NULL;
	}
	entry = mmap_entry(m, p, true);
	if (entry == NULL) {
		/* No memory for a table of 1 MiB of addresses: what was moved is lost. */
		mmap_unmap(p, bytes);
		return NULL;
	}
	atomic_store_explicit(entry, (uint32_t)(bytes >> PAGE_SHIFT),
			      memory_order_relaxed);
	return p;
}

/* Fresh mappings are zero. */
static void *mmap_zalloc(struct allocator *a, size_t size)
{
	return mmap_alloc(a, size, 0, GFP_KERNEL, NUMA_NO_NODE);
}

static size_t mmap_usable_size(struct allocator *a, void *ptr)
{
	leaf_entry *entry;

	return mmap_pages((struct mmap_allocator *)a, "usable_size", ptr, &entry)
	       << PAGE_SHIFT;
}

static const struct allocator_ops mmap_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "mmap",
	.description = "one mmap(2) and munmap(2) for each block: the kernel's own price",
	.caps = CAP_OBJECT | CAP_PAGE | CAP_VRANGE | CAP_ALIGN | CAP_USABLE_SIZE |
		CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.options = mmap_option_groups,
	.config_size = sizeof(struct mmap_config),
	.create = mmap_create,
	.destroy = mmap_destroy,
	.alloc = mmap_alloc,
	.free = mmap_free,
	.realloc = mmap_realloc,
	.zalloc = mmap_zalloc,
	.usable_size = mmap_usable_size,
};
ALLOCATOR_REGISTER(mmap_ops);
