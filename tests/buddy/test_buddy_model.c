/* SPDX-License-Identifier: MIT */
/*
 * Random operations against a trivial reference: one byte per frame says whether
 * it is taken. No block may overlap another, each must be aligned and of the
 * zone asked for, the counts must agree, and in the end everything is whole again.
 */
#include "tests/buddy/buddy_test.h"
#include "tests/os/cpu_modes.h"

struct block {
	struct page *page;
	unsigned int order;
};

enum { BLOCKS_MAX = 4000 };

static struct block blocks[BLOCKS_MAX];
static size_t nr_blocks;
static uint8_t *taken;
static unsigned long taken_pages;
static uint64_t seed;

static unsigned int dice(unsigned int sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)(seed >> 33) % sides;
}

static void model_take(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page);

	assert_true(pfn_valid(pfn) && pfn_valid(pfn + (1UL << order) - 1));
	assert_int_equal(pfn & ((1UL << order) - 1), 0);
	for (unsigned long i = 0; i < 1UL << order; i++) {
		assert_int_equal(taken[pfn + i], 0);
		taken[pfn + i] = 1;
	}
	taken_pages += 1UL << order;
	blocks[nr_blocks++] = (struct block){page, order};
}

static struct block model_drop(size_t at)
{
	struct block b = blocks[at];

	blocks[at] = blocks[--nr_blocks];
	memset(taken + page_to_pfn(b.page), 0, 1UL << b.order);
	taken_pages -= 1UL << b.order;
	return b;
}

static void alloc_one(void)
{
	static const gfp_t flags[] = {GFP_KERNEL,
				      GFP_ATOMIC,
				      GFP_HIGHUSER,
				      GFP_DMA,
				      GFP_KERNEL | __GFP_COLD,
				      GFP_KERNEL | __GFP_RECLAIMABLE,
				      GFP_USER | __GFP_MOVABLE,
				      GFP_NOWAIT | __GFP_MEMALLOC};
	/* Small orders most of the time. */
	unsigned int order = dice(4) != 0 ? dice(3) : dice(MAX_ORDER);
	gfp_t gfp = flags[dice(KMEM_ARRAY_SIZE(flags))];
	int nid = (int)dice(buddy.nr_nodes + 1) - 1;
	struct page *page;

	if (dice(8) == 0 && nid >= 0)
		gfp |= __GFP_THISNODE;
	page = alloc_pages_node(nid, gfp, order);
	if (page == NULL)
		return;
	assert_int_equal(page_block_order(page), order);
	if ((gfp & __GFP_DMA) != 0)
		assert_int_equal(page_zonenum(page), ZONE_DMA);
	if ((gfp & __GFP_HIGHMEM) == 0)
		assert_int_not_equal(page_zonenum(page), ZONE_HIGHMEM);
	if ((gfp & __GFP_THISNODE) != 0)
		assert_int_equal(page_to_nid(page), nid);
	model_take(page, order);
}

static void alloc_many(void)
{
	struct page *pages[300];
	unsigned int order = dice(5);
	size_t got = buddy_alloc_bulk((int)dice(buddy.nr_nodes + 1) - 1, GFP_HIGHUSER,
				      order, 1 + dice(300), pages);

	for (size_t i = 0; i < got; i++)
		model_take(pages[i], order);
}

/* All blocks of one order among the next few. */
static void free_many(void)
{
	struct page *pages[64];
	unsigned int order = blocks[dice((unsigned int)nr_blocks)].order;
	size_t n = 0;

	for (int tries = 0; tries < 200 && n < 64 && nr_blocks > 0; tries++) {
		size_t at = dice((unsigned int)nr_blocks);

		if (blocks[at].order == order)
			pages[n++] = model_drop(at).page;
	}
	buddy_free_bulk(order, n, pages);
}

static void free_one(void)
{
	struct block b = model_drop(dice((unsigned int)nr_blocks));

	if (dice(2) != 0 && page_zonenum(b.page) != ZONE_HIGHMEM)
		free_pages((unsigned long)page_address(b.page), b.order);
	else
		__free_pages(b.page, b.order);
}

static void check_counts(void)
{
	struct buddy_stats s = all_stats();

	check();
	assert_int_equal(s.free_pages + s.pcp_pages + taken_pages, s.total_pages);
}

static void run(const char *options, unsigned int steps)
{
	mm_up(options);
	taken = calloc(kmem_nr_frames, 1);
	taken_pages = 0;
	nr_blocks = 0;
	for (unsigned int i = 0; i < steps; i++) {
		unsigned int d = dice(100);

		/* Grows and shrinks in turns. */
		if ((d < 50) == (i / 3000 % 2 == 0) && nr_blocks < BLOCKS_MAX - 300) {
			if (d % 16 == 0)
				alloc_many();
			else
				alloc_one();
		} else if (nr_blocks > 0) {
			if (d % 16 == 0)
				free_many();
			else
				free_one();
		}
		if (dice(2000) == 0)
			drain_all_pages();
		if (dice(4000) == 0)
			buddy_trim();
		if (i % 1000 == 0)
			check_counts();
	}
	while (nr_blocks > 0)
		free_one();
	check_counts();
	free(taken);
	mm_down();
}

static const char *const setups[] = {
	"memory=64M,dma=4M,highmem=16M,topology=numa:1 pu:1,min_free=256K,lower=rows",
	"memory=64M,dma=4M,highmem=16M,topology=numa:1 pu:1,pcp=off,lower=rows",
	"memory=64M,dma=4M,highmem=16M,topology=numa:1 pu:1,lower=lists,min_free=256K",
	"memory=64M,dma=0,highmem=0,topology=numa:2 pu:1,lower=lists,pcp=off",
	"memory=64M,dma=4M,highmem=0,backing=private,topology=numa:1 pu:1,pcp_huge=2,lower=rows",
	"memory=64M,dma=4M,highmem=0,topology=numa:1 pu:1,mobility=on,min_free=256K,lower=rows",
	"memory=96M,dma=4M,highmem=16M,topology=numa:4 core:1 pu:1,min_free=1M,lower=rows",
	"memory=64M,dma=0,highmem=0,topology=numa:2 pu:1,pcp_order_max=10,pcp_high=3000,zonelist=ring,lower=rows",
	"memory=32M,dma=4M,highmem=4M,topology=numa:2 pu:1,pcp_high=2,pcp_batch=1,lower=rows",
};

static void test_model(void **state)
{
	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(setups); i++) {
		seed = i + 1;
		run(setups[i], 30000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_MODES(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
