/* SPDX-License-Identifier: MIT */
/*
 * Exactly as many pages as asked for (Linux alloc_pages_exact()): a block is
 * split into single pages, and those behind the size are given back.
 */
#include "allocators/buddy/buddy_internal.h"

#include <errno.h>
#include <kmem/error.h>

static bool size_served(size_t size)
{
	return size != 0 && size <= MAX_ORDER_NR_PAGES << PAGE_SHIFT;
}

void *alloc_pages_exact(size_t size, gfp_t gfp)
{
	unsigned long addr, pages;
	struct page *page;
	unsigned int order;
	struct zone *zone;

	if (!size_served(size)) {
		kmem_error(
			-EINVAL,
			"%zu bytes are no size for alloc_pages_exact(); it serves 1 byte to 4 "
			"MiB, vmalloc() more",
			size);
		return NULL;
	}
	order = get_order(size);
	addr = __get_free_pages(gfp, order);
	if (addr == 0)
		return NULL;
	page = virt_to_page((void *)addr);
	pages = KMEM_ALIGN_UP(size, PAGE_SIZE) >> PAGE_SHIFT;
	zone = pfn_zone(page_to_pfn(page));
	zone_split_block(zone, page, order);
	for (unsigned long i = 0; i < 1UL << order; i++)
		prep_new_block(zone, page + i, 0);
	for (unsigned long i = pages; i < 1UL << order; i++)
		__free_pages(page + i, 0);
	return (void *)addr;
}

void free_pages_exact(void *addr, size_t size)
{
	unsigned long pages = KMEM_ALIGN_UP(size, PAGE_SIZE) >> PAGE_SHIFT;

	if (addr == NULL)
		return;
	if (!size_served(size)) {
		kmem_bug(
			"free of %zu bytes at %p: alloc_pages_exact() serves 1 byte to 4 "
			"MiB, and no other size can come back",
			size, addr);
		return;
	}
	for (unsigned long i = 0; i < pages; i++)
		free_pages((unsigned long)addr + (i << PAGE_SHIFT), 0);
}
