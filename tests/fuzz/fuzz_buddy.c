/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: the input is a program for the page allocator. Each byte
 * pair is an operation and its argument; blocks must be disjoint and aligned,
 * misuse must be reported, and buddy_check() must hold in the end.
 */
#include "allocators/buddy/buddy_internal.h"

#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                              \
	do {                                                            \
		if (!(condition)) {                                     \
			fprintf(stderr, "broken: %s: %s\n", #condition, \
				kmem_last_error());                     \
			abort();                                        \
		}                                                       \
	} while (0)

enum { BLOCKS_MAX = 512 };

struct config {
	struct phys_config phys;
	struct buddy_config buddy;
};

static struct {
	struct page *page;
	unsigned int order;
} blocks[BLOCKS_MAX];
static size_t nr_blocks;
static uint8_t *taken; /* by pfn */

static void ignore_report(const char *report, void *arg)
{
	(void)report, (void)arg;
}

static void take(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page), pages = 1UL << order;

	REQUIRE(pfn_valid(pfn + pages - 1) && pfn % pages == 0);
	for (unsigned long i = 0; i < pages; i++) {
		REQUIRE(taken[pfn + i] == 0);
		taken[pfn + i] = 1;
	}
	blocks[nr_blocks].page = page;
	blocks[nr_blocks++].order = order;
}

static struct page *drop(size_t at, unsigned int *order)
{
	struct page *page = blocks[at].page;

	*order = blocks[at].order;
	blocks[at] = blocks[--nr_blocks];
	memset(taken + page_to_pfn(page), 0, 1UL << *order);
	return page;
}

/* Frees something that may or may not be a block: only a report may follow. */
static void misuse(uint8_t arg)
{
	unsigned long pfn = (unsigned long)arg * kmem_nr_frames / 256, before;

	if (taken[pfn] != 0)
		return;
	before = kmem_bug_count();
	__free_pages(pfn_to_page(pfn), arg % (MAX_ORDER + 1));
	REQUIRE(kmem_bug_count() == before + 1);
}

/* Pages of a size that is no power of two: each is freed by itself. */
static void take_exact(gfp_t gfp, size_t n)
{
	char *addr;

	if (nr_blocks + n > BLOCKS_MAX)
		return;
	addr = alloc_pages_exact(n * PAGE_SIZE, gfp);
	for (size_t i = 0; addr != NULL && i < n; i++)
		take(virt_to_page(addr + i * PAGE_SIZE), 0);
}

static void step(uint8_t op, uint8_t arg)
{
	static const gfp_t flags[] = {GFP_KERNEL, GFP_ATOMIC, GFP_HIGHUSER, GFP_DMA};
	struct page *page, *pages[16];
	unsigned int order;
	size_t n;

	switch (op % 8) {
	case 0:
	case 1:
		if (nr_blocks == BLOCKS_MAX)
			return;
		order = arg % MAX_ORDER;
		page = alloc_pages_node(op % phys_nr_nodes(), flags[arg / 16 % 4], order);
		if (page != NULL)
			take(page, order);
		return;
	case 2:
		if (nr_blocks == 0)
			return;
		page = drop(arg % nr_blocks, &order);
		__free_pages(page, order);
		return;
	case 3:
		if (nr_blocks + 16 > BLOCKS_MAX)
			return;
		n = alloc_pages_bulk(flags[arg / 16 % 4], arg % 16, pages);
		for (size_t i = 0; i < n; i++)
			take(pages[i], 0);
		return;
	case 4: misuse(arg); return;
	case 5: drain_all_pages(); return;
	case 6: take_exact(GFP_KERNEL, 1 + arg % 100); return;
	default:
		if (arg < 16) /* slow, and opens the gate to all */
			buddy_trim();
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const setups[] = {
		"memory=32M,dma=4M,highmem=8M,topology=numa:2 pu:1,min_free=128K,lower=rows",
		"memory=16M,dma=0,highmem=0,topology=numa:1 pu:1,pcp=off,min_free=64K,lower=rows",
		"memory=16M,dma=4M,highmem=0,topology=numa:1 pu:1,lower=lists,min_free=64K",
		"memory=32M,dma=4M,highmem=4M,topology=numa:3 pu:1,pcp_order_max=10,lower=rows",
	};
	static const struct kmem_option_group groups[] = {
		{phys_options, offsetof(struct config, phys)},
		{buddy_options, offsetof(struct config, buddy)},
		{NULL, 0},
	};
	struct config config;
	unsigned int order;

	if (size < 1)
		return 0;
	kmem_set_bug_handler(ignore_report, NULL);
	REQUIRE(kmem_options_defaults(groups, &config) == 0);
	REQUIRE(kmem_options_parse(groups, setups[data[0] % 4], &config) == 0);
	REQUIRE(phys_init(&config.phys) == 0);
	REQUIRE(buddy_init(&config.buddy) == 0);
	taken = calloc(kmem_nr_frames, 1);
	REQUIRE(taken != NULL);
	for (size_t i = 1; i + 1 < size; i += 2)
		step(data[i], data[i + 1]);
	REQUIRE(buddy_check() == 0);
	while (nr_blocks > 0) {
		struct page *page = drop(nr_blocks - 1, &order);

		__free_pages(page, order);
	}
	drain_all_pages();
	REQUIRE(buddy_check() == 0);
	free(taken);
	buddy_exit();
	phys_exit();
	kmem_options_release(groups, &config);
	return 0;
}
