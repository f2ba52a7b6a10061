/* SPDX-License-Identifier: MIT */
/*
 * The general caches and what lies above them.
 *
 * Sizes up to KMALLOC_MAX_CACHE_SIZE come from a set of caches, "size-32" to
 * "size-131072", with a second set of pages from ZONE_DMA where there is such
 * a zone; larger ones are blocks of pages. Which sizes there are is an option:
 *
 *   pow2   powers of two, as the documents have them: 50 % to 100 % of a block used
 *   linux  with 96 and 192 in between, as Linux 2.6 has them
 *   four   four per doubling from 64 bytes on, and from 16 in steps of 16, as size
 *          classes of malloc implementations mostly are (jemalloc, TCMalloc): 80 %
 *
 * Objects are aligned to the largest power of two that divides their cache's size. See
 * kmalloc_aligned_size() for how an aligned request is served.
 */
#include "allocators/phys/phys_internal.h"
#include "allocators/slab/slab_fast.h"
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

_Atomic uint8_t kmalloc_small_id[(KMALLOC_SMALL_MAX >> KMALLOC_SMALL_STEP) + 1];
_Atomic uint8_t kmalloc_large_id[(KMALLOC_MAX_CACHE_SIZE >> KMALLOC_LARGE_STEP) + 1];

/* Sizes in rising order; the tables of bytes are made from them. */
#define KMALLOC_NR_CLASSES_MAX 48
static uint32_t kmalloc_sizes[KMALLOC_NR_CLASSES_MAX];
static unsigned int kmalloc_nr_classes;
/* NULL: nobody has needed it. */
static struct kmem_cache *_Atomic kmalloc_caches[KMALLOC_NR_CLASSES_MAX];
static struct kmem_cache *_Atomic kmalloc_dma_caches[KMALLOC_NR_CLASSES_MAX];
static bool have_dma; /* is there such a zone? */
/* Class by size in the steps of the tables of numbers. */
static uint8_t small_class[KMEM_ARRAY_SIZE(kmalloc_small_id)];
static uint8_t large_class[KMEM_ARRAY_SIZE(kmalloc_large_id)];

/* --- set-up --- */

static void choose_sizes(int classes)
{
	size_t n = 0;

	for (uint32_t size = classes == SLAB_CLASSES_FOUR ? KMALLOC_MIN_ALIGN
							  : KMALLOC_MIN_SIZE;
	     size <= KMALLOC_MAX_CACHE_SIZE; size *= 2) {
		kmalloc_sizes[n++] = size;
		if (classes == SLAB_CLASSES_LINUX && (size == 64 || size == 128))
			kmalloc_sizes[n++] = size + size / 2;
		for (uint32_t quarter = 1; classes == SLAB_CLASSES_FOUR && quarter < 4 &&
					   size < KMALLOC_MAX_CACHE_SIZE;
		     quarter++) {
			uint32_t between = size + size / 4 * quarter;

			if (between % KMALLOC_MIN_ALIGN == 0)
				kmalloc_sizes[n++] = between;
		}
	}
	kmalloc_nr_classes = (unsigned int)n;
}

/* The entries of a table for which the class is the smallest that serves them: from
 * *first to before the result. */
static size_t class_entries(unsigned int class, unsigned int step, size_t entries,
			    size_t *first)
{
	size_t end = (kmalloc_sizes[class] >> step) + 1;

	*first = class > 0 ? (kmalloc_sizes[class - 1] >> step) + 1 : 0;
	return end < entries ? end : entries;
}

static void fill_class_table(uint8_t *table, size_t entries, unsigned int step)
{
	for (unsigned int class = 0; class < kmalloc_nr_classes; class ++) {
		size_t first, end = class_entries(class, step, entries, &first);

		if (first < end)
			memset(table + first, (int)class, end - first);
	}
}

/* "size-32(DMA)". By hand: 41 snprintf() are a tenth of what start-up costs. */
static void general_name(char *name, uint32_t size, bool dma)
{
	char digits[10];
	size_t n = 0;

	for (; size > 0; size /= 10)
		digits[n++] = (char)('0' + size % 10);
	name = stpcpy(name, "size-");
	while (n > 0)
		*name++ = digits[--n];
	strcpy(name, dma ? "(DMA)" : "");
}

bool kmalloc_owns_name(const char *name)
{
	char general[SLAB_NAME_MAX];

	for (unsigned int i = 0; i < 2 * kmalloc_nr_classes; i++) {
		general_name(general, kmalloc_sizes[i / 2], i % 2 != 0);
		if ((i % 2 == 0 || have_dma) && strcmp(name, general) == 0)
			return true;
	}
	return false;
}

static struct kmem_cache *create_general_cache(unsigned int class, gfp_t gfp, bool dma)
{
	uint32_t size = kmalloc_sizes[class];
	unsigned int flags = dma ? SLAB_CACHE_DMA : 0;
	char name[SLAB_NAME_MAX];

	flags |= slab_debug_flags(slab_config.debug);
	if (size <= SLAB_DESC_MAX_BYTES)
		flags |= SLAB_DESC_ON_SLAB;
	/* Between powers of two colours would hide where objects start. */
	if (size & (size - 1))
		flags |= SLAB_EXACT;
	general_name(name, size, dma);
	return slab_cache_new(name, size, size & -size, flags, NULL, NULL,
			      gfp & SLAB_GFP_HIT,
			      dma ? &kmalloc_dma_caches[class] : &kmalloc_caches[class]);
}

static bool have_dma_zone(void)
{
	bool have = false;

	for (int nid = 0; nid < phys_memory.nr_nodes; nid++)
		have |= phys_memory.node[nid].zone[ZONE_DMA].nr_pages > 0;
	return have;
}

/* malloc/ makes the caches themselves when they are first needed: of forty, a short
 * program uses ten, and all together were half of what start-up cost. */
int kmalloc_init(void)
{
	have_dma = have_dma_zone();
	choose_sizes(slab_config.classes);
	fill_class_table(small_class, KMEM_ARRAY_SIZE(small_class), KMALLOC_SMALL_STEP);
	fill_class_table(large_class, KMEM_ARRAY_SIZE(large_class), KMALLOC_LARGE_STEP);
	return 0;
}

static void set_ids(_Atomic uint8_t *table, size_t entries, unsigned int step,
		    unsigned int class, uint8_t id)
{
	size_t i, end = class_entries(class, step, entries, &i);

	for (; i < end; i++)
		atomic_store_explicit(&table[i], id, memory_order_relaxed);
}

/* Its sizes hit that magazine from now on. */
static void open_class(unsigned int class, uint8_t id)
{
	set_ids(kmalloc_small_id, KMEM_ARRAY_SIZE(kmalloc_small_id), KMALLOC_SMALL_STEP,
		class, id);
	set_ids(kmalloc_large_id, KMEM_ARRAY_SIZE(kmalloc_large_id), KMALLOC_LARGE_STEP,
		class, id);
}

void kmalloc_publish(struct kmem_cache *_Atomic *slot, struct kmem_cache *cache)
{
	atomic_store_explicit(slot, cache, memory_order_release);
	if (!(cache->flags & SLAB_CACHE_DMA))
		open_class((unsigned int)(slot - kmalloc_caches), cache->hit_out);
}

void kmalloc_exit(void)
{
	for (unsigned int class = 0; class < kmalloc_nr_classes; class ++) {
		open_class(class, 0);
		atomic_store(&kmalloc_caches[class], NULL);
		atomic_store(&kmalloc_dma_caches[class], NULL);
	}
}

bool kmalloc_make_all(void)
{
	bool all = true;

	for (unsigned int class = 0; all && class < kmalloc_nr_classes; class ++)
		all = kmalloc_cache_of(kmalloc_sizes[class], GFP_KERNEL) != NULL;
	for (unsigned int class = 0; all && have_dma && class < kmalloc_nr_classes;
	     class ++)
		all = kmalloc_cache_of(kmalloc_sizes[class], GFP_KERNEL | __GFP_DMA) !=
		      NULL;
	return all;
}

/* --- sizes --- */

static unsigned int kmalloc_class(size_t size)
{
	if (size <= KMALLOC_SMALL_MAX)
		return small_class[(size + (1u << KMALLOC_SMALL_STEP) - 1) >>
				   KMALLOC_SMALL_STEP];
	return large_class[(size + (1u << KMALLOC_LARGE_STEP) - 1) >> KMALLOC_LARGE_STEP];
}

size_t kmalloc_class_size(size_t size)
{
	unsigned int class = 0;

	/* Asked while the caches are being made too, so not through the tables; and by
	 * who only wants to know a layout. */
	if (kmalloc_nr_classes == 0)
		choose_sizes(SLAB_CLASSES_POW2);
	while (kmalloc_sizes[class] < size)
		class ++;
	return kmalloc_sizes[class];
}

static KMEM_COLD struct kmem_cache *first_of_class(unsigned int class, gfp_t gfp)
{
	bool dma = (gfp & __GFP_DMA) != 0;

	if (dma && !have_dma) {
		kmem_error(
			-EINVAL,
			"kmalloc: there is no DMA zone, set dma=16M or drop __GFP_DMA");
		return NULL;
	}
	return create_general_cache(class, gfp, dma);
}

struct kmem_cache *kmalloc_cache_of(size_t size, gfp_t gfp)
{
	bool dma = (gfp & __GFP_DMA) != 0;
	unsigned int class = kmalloc_class(size);
	struct kmem_cache *cache = atomic_load_explicit(dma ? &kmalloc_dma_caches[class]
							    : &kmalloc_caches[class],
							memory_order_acquire);

	return KMEM_LIKELY(cache != NULL) ? cache : first_of_class(class, gfp);
}

/* --- large blocks --- */

static void *kmalloc_large(size_t size, gfp_t gfp, int nid)
{
	struct page *page;

	if (size > KMALLOC_MAX_SIZE) {
		kmem_error(
			-EINVAL,
			"kmalloc of '%zu' bytes: the largest block has %zu, use vmalloc",
			size, KMALLOC_MAX_SIZE);
		return NULL;
	}
	if (gfp & __GFP_HIGHMEM) {
		kmem_error(
			-EINVAL,
			"kmalloc: memory needs a permanent address, drop __GFP_HIGHMEM");
		return NULL;
	}
	if (nid == NUMA_NO_NODE)
		page = alloc_pages(gfp, get_order(size));
	else
		page = alloc_pages_node(nid, gfp, get_order(size));
	if (!page)
		return NULL;
	if (slab_hardened())
		slab_mark_large(page_address(page));
	return page_address(page);
}

/* Order of the block of pages that starts at addr; -1 when none does. */
static int large_order(const void *addr)
{
	if (((uintptr_t)addr & ~PAGE_MASK) != 0 || !virt_addr_valid(addr))
		return -1;
	return page_block_order(virt_to_page(addr));
}

bool kmalloc_large_free(void *object)
{
	int order = large_order(object);

	if (order < 0)
		return false;
	__free_pages(virt_to_page(object), (unsigned int)order);
	return true;
}

/* --- the family --- */

KMEM_NOINLINE void *kmalloc_slow(size_t size, gfp_t gfp, int nid, const void *caller)
{
	struct kmem_cache *cache;

	if (KMEM_UNLIKELY(slab_nr_nodes == 0)) {
		kmem_error(-EINVAL,
			   "kmalloc: the slab allocator is not up, call kmem_cache_init");
		return NULL;
	}
	if (size > KMALLOC_MAX_CACHE_SIZE)
		return kmalloc_large(size, gfp, nid);
	if (slab_hardened() && !(gfp & SLAB_GFP_SLOW) && nid == NUMA_NO_NODE) {
		void *object = slab_hardened_alloc(size);

		if (object)
			return object;
	}
	cache = kmalloc_cache_of(size, gfp);
	if (KMEM_UNLIKELY(!cache))
		return NULL;
	return slab_alloc_slow(cache, gfp, nid, caller);
}

void *kmalloc(size_t size, gfp_t gfp)
{
	return kmalloc_fast(size, gfp);
}

void *kmalloc_node(size_t size, gfp_t gfp, int nid)
{
	return kmalloc_slow(size, gfp, nid, __builtin_return_address(0));
}

void *kzalloc(size_t size, gfp_t gfp)
{
	return kmalloc_slow(size, gfp | __GFP_ZERO, NUMA_NO_NODE,
			    __builtin_return_address(0));
}

void kfree(void *object)
{
	kfree_fast(object);
}

/* As good as a free's hit path knows it; exact where that does not look. */
static bool starts_object(const struct page *page, const void *addr)
{
	size_t id = slab_id_of(addr);

	if (slab_hardened())
		return slab_mark_live(addr);
	return id != 0 ? slab_starts_object(id, addr)
		       : slab_index(page->slab_cache, page->slab, addr) >= 0;
}

size_t ksize(const void *object)
{
	int order;

	if (!object)
		return 0;
	if (virt_addr_valid(object)) {
		struct page *page = virt_to_page(object);

		if (atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_slab) {
			if (KMEM_LIKELY(starts_object(page, object)))
				return page->slab_cache->object_size;
			slab_report_bad_size(object);
			return 0;
		}
		order = slab_hardened() && !slab_mark_live(object) ? -1
								   : large_order(object);
		if (order >= 0)
			return PAGE_SIZE << order;
	}
	slab_report_bad_size(object);
	return 0;
}

void *krealloc(void *object, size_t size, gfp_t gfp)
{
	size_t old_size = ksize(object);
	void *result;

	if (size == 0) {
		kfree(object);
		return NULL;
	}
	if (object && old_size == 0)
		return NULL; /* not ours; ksize() has reported it */
	/* As Linux: a block that is large enough stays where it is. */
	if (old_size >= size)
		return object;
	result = kmalloc_slow(size, gfp, NUMA_NO_NODE, __builtin_return_address(0));
	if (result && object) {
		memcpy(result, object, old_size);
		kfree(object);
	}
	return result;
}
