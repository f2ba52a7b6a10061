/* SPDX-License-Identifier: MIT */
/* numa-pass: memory that goes home, and memory that an allocator lets stray. */
#include "tests/workloads/numa_cell.h"

#define WIDE \
	"buddy:memory=256M,dma=0,highmem=0,pcp=off,kswapd=off,topology=numa:4 core:1 pu:1"

/* 8192 blocks are passed in a step, 16 of each 64 then allocated by the consumer. */
static void memory_goes_home(void **state)
{
	struct buddy_stats s;

	(void)state;
	if (!have_cpu_of(0) || !have_cpu_of(1))
		skip();
	assert_int_equal(cell_begin(WIDE, "numa-pass", "queue_batches=2", 4096, 2), 0);
	cell_pass(2);
	assert_figure("producer_local_ratio", 1);
	assert_figure("consumer_local_ratio", 1);
	/* At most four batches are under way: what is not among them has come home. Half
	 * a step does not count. */
	assert_true(figure("home_ratio") > 0.98);
	assert_int_equal(cell.workers[0].ops, 0);
	assert_int_equal(cell.workers[1].ops, 2 * 8192);
	assert_int_equal(cell.probes[1].series[0].count, 2 * 8192);
	assert_int_equal(cell.probes[1].series[1].count, 2 * 8192 / 4);
	s = stats_of(0);
	assert_int_equal(s.numa[NUMA_HIT], 2 * 8192);
	assert_int_equal(s.numa[NUMA_LOCAL], 2 * 8192);
	s = stats_of(1);
	assert_int_equal(s.numa[NUMA_HIT], 2 * 8192 / 4);
	assert_int_equal(s.numa[NUMA_OTHER] + s.numa[NUMA_MISS], 0);
	cell_end();
}

/* An allocator that gives a thread again what it has freed, wherever it lies. Only the
 * consumer frees. */
static void *stash[16384];
static size_t stashed;
static __thread bool frees;
static struct allocator *below;

static void *stash_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			 int node)
{
	(void)a;
	return frees && stashed > 0 ? stash[--stashed]
				    : below->ops->alloc(below, size, align, gfp, node);
}

static void stash_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a, (void)size;
	frees = true;
	stash[stashed++] = ptr;
}

static void stray_memory_is_found(void **state)
{
	struct allocator_ops ops;
	struct allocator a = {.ops = &ops};

	(void)state;
	if (!have_cpu_of(0) || !have_cpu_of(1))
		skip();
	assert_int_equal(cell_begin(WIDE, "numa-pass", "", 4096, 2), 0);
	below = cell.run.allocator;
	ops = *below->ops;
	ops.alloc = stash_alloc;
	ops.free = stash_free;
	cell.run.allocator = &a;
	stashed = 0;
	cell_pass(1);
	assert_figure("producer_local_ratio", 1);
	assert_figure("consumer_local_ratio", 0);
	assert_figure("home_ratio", 0);
	assert_int_equal(stashed, 8192);
	cell.run.allocator = below;
	while (stashed > 0)
		below->ops->free(below, stash[--stashed], 4096);
	cell_end();
}

static void what_cannot_be_is_refused(void **state)
{
	static const char one[] = "buddy:" MEMORY "topology=numa:1 pu:1";

	(void)state;
	refused("kmem:memory=64M", "numa-pass", "", 4096, 2,
		"allocator 'kmem' has one node");
	refused(one, "numa-pass", "", 4096, 2, "needs two memory nodes");
	refused(FOUR, "numa-pass", "node=63", 4096, 2, "node=63");
	refused(FOUR, "numa-pass", "", 4096, 1, "give an even number");
	refused(FOUR, "numa-pass", "queue_batches=3", 4096, 2, "give a power of two");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_goes_home),
		cmocka_unit_test(stray_memory_is_found),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
