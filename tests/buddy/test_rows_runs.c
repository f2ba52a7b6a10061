/* SPDX-License-Identifier: MIT */
/*
 * Batches that rows take back: in sequence upwards and downwards, over the ends of rows
 * and groups, scattered, and with a page that is free already; alone and among others.
 * Against a list of what is taken.
 */
#include "allocators/buddy/rows_internal.h"
#include "tests/buddy/buddy_test.h"

enum { PAGES = 4096, BATCH_MAX = 1536, ROUNDS = 3000 };

static struct zone *zone;
static bool taken[PAGES];
static bool shared; /* requests of others are under way */
static uint64_t seed = 1;

static unsigned int dice(unsigned int n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)(seed >> 33) % n;
}

static void up(void)
{
	mm_up("memory=16M,dma=0,highmem=0,topology=numa:1 pu:1,pcp=off,lower=rows");
	zone = &buddy_zones[ZONE_NORMAL];
	memset(taken, 0, sizeof(taken));
}

static void down(void)
{
	assert_int_equal(all_stats().free_pages, PAGES);
	mm_drop();
}

static struct page *page_at(unsigned int at)
{
	return buddy.mem_map + zone->start_pfn + at;
}

static void set_taken(struct page *const *blocks, size_t n, unsigned int order, bool to)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)(blocks[i] - page_at(0));

		for (unsigned int k = 0; k < 1u << order; k++) {
			assert_int_equal(taken[at + k], !to);
			taken[at + k] = to;
		}
	}
}

static void enter_shared(void)
{
	if (shared)
		rows_leave(rows_enter_shared());
}

static void take(unsigned int order, size_t n)
{
	static struct page *blocks[PAGES];

	enter_shared();
	n = zone_take_blocks(zone, order, 0, n, blocks);
	set_taken(blocks, n, order, true);
}

static void put(struct page **blocks, size_t n, unsigned int order)
{
	enter_shared();
	zone_free_blocks(zone, order, n, blocks);
	set_taken(blocks, n, order, false);
}

static void compare(void)
{
	unsigned long free = 0;

	for (unsigned int at = 0; at < PAGES; at++) {
		assert_int_equal(rows_page_free(zone, zone->start_pfn + at), !taken[at]);
		free += !taken[at];
	}
	assert_int_equal(all_stats().free_pages, free);
	if (rows_check(zone) != 0)
		fail_msg("%s", kmem_last_error());
}

static bool block_taken(unsigned int at, unsigned int order)
{
	for (unsigned int k = 0; k < 1u << order; k++) {
		if (at + k >= PAGES || !taken[at + k])
			return false;
	}
	return true;
}

/* Neighbouring blocks from a random one on, or blocks from everywhere. */
static size_t choose(struct page **blocks, unsigned int order, bool run)
{
	size_t n = 0, wanted = 1 + dice(BATCH_MAX >> order);
	unsigned int at = dice(PAGES >> order) << order;

	while (n < wanted && block_taken(at, order)) {
		blocks[n++] = page_at(at);
		at += 1u << order;
	}
	for (; !run && n > 1; n--) { /* out of sequence, none twice */
		struct page *last = blocks[n - 1];
		size_t other = dice((unsigned int)n);

		if (dice(8) == 0)
			break;
		blocks[n - 1] = blocks[other];
		blocks[other] = last;
	}
	if (dice(2) == 0) {
		for (size_t i = 0; i < n / 2; i++) {
			struct page *page = blocks[i];

			blocks[i] = blocks[n - 1 - i];
			blocks[n - 1 - i] = page;
		}
	}
	return n;
}

static void model(void **state)
{
	struct page *blocks[BATCH_MAX];

	(void)state;
	for (int s = 0; s < 2; s++) {
		shared = s != 0;
		up();
		zone_free_blocks(zone, 0, 0, NULL);
		take(0, PAGES);
		for (int round = 0; round < ROUNDS; round++) {
			unsigned int order = dice(9);
			size_t n = choose(blocks, order, dice(4) != 0);

			if (n != 0)
				put(blocks, n, order);
			if (dice(2) == 0)
				take(dice(9), 1 + dice(600));
			if (round % 8 == 0)
				compare();
		}
		for (unsigned int at = 0; at < PAGES; at++) {
			blocks[0] = page_at(at);
			if (taken[at])
				put(blocks, 1, 0);
		}
		compare();
		down();
	}
}

/* One page of a run is free: it is named, and the others are freed all the same. */
static void double_free_in_a_run(void **state)
{
	static const unsigned int lengths[] = {2, 64, 100, 700};

	(void)state;
	for (unsigned int i = 0; i < 2 * 2 * KMEM_ARRAY_SIZE(lengths); i++) {
		struct page *blocks[BATCH_MAX], *twice;
		unsigned int n = lengths[i / 4];

		shared = i % 2 != 0;
		up();
		take(0, PAGES);
		for (unsigned int k = 0; k < n; k++)
			blocks[k] = page_at(30 + (i / 2 % 2 != 0 ? k : n - 1 - k));
		twice = blocks[n / 2];
		put(&twice, 1, 0);
		capture_bugs(true);
		enter_shared();
		zone_free_blocks(zone, 0, n, blocks);
		assert_report("double free of pfn %lu, order 0: the page is free already",
			      page_to_pfn(twice));
		capture_bugs(false);
		taken[twice - page_at(0)] = true;
		set_taken(blocks, n, 0, false);
		compare();
		mm_drop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(double_free_in_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
