/* SPDX-License-Identifier: MIT */
/* numa-fallback on pages: what it reports is computed by hand. */
#include "tests/workloads/numa_cell.h"

#include "workloads/numa_fill.h"

static const struct workload_fill *fill(void)
{
	return cell.run.workload->fill(&cell.run);
}

static void assert_order(unsigned int a, unsigned int b, unsigned int c, unsigned int d)
{
	const unsigned int expected[] = {a, b, c, d};

	assert_int_equal(fill()->nr_order, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(fill()->order[i], expected[i]);
}

static void a_node_is_filled_to_its_marks(void **state)
{
	const struct workload_fill *f;
	struct buddy_stats s;
	uint64_t served[4] = {0};

	(void)state;
	if (!have_cpu_of(0))
		skip();
	assert_int_equal(cell_begin(FOUR, "numa-fallback", "", 4096, 1), 0);
	assert_null(fill());
	assert_figure("returned_ratio", -1);
	cell_pass(2);
	f = fill();
	assert_int_equal(f->node_bytes, NODE_PAGES * 4096);
	assert_int_equal(f->step_bytes, 256 * 4096);
	assert_int_equal(f->nr_steps, 64);
	assert_order(0, 1, 2, 3);
	/* Two fills. Step 15 holds pages 3840 to 4095, and node 0 serves to 4075. */
	assert_int_equal(f->step[14].served[0], 2 * 256);
	assert_int_equal(f->step[15].served[0], 2 * (TO_LOW - 15 * 256));
	assert_int_equal(f->step[15].served[1], 2 * (16 * 256 - TO_LOW));
	assert_int_equal(f->step[15].alloc.count, 2 * 256);
	/* The last one ends with the first request that fails; four pages of each node
	 * lie between the marks. */
	assert_int_equal(f->step[63].alloc.count, 2 * (ALL - 63 * 256));
	for (int nid = 0; nid < 4; nid++)
		assert_int_equal(f->step[63].served[nid],
				 2 * (nid == 3 ? ALL - 63 * 256 - 12 : 4));
	for (unsigned int i = 0; i < f->nr_steps; i++) {
		assert_int_equal(f->step[i].unknown, 0);
		for (int nid = 0; nid < 4; nid++)
			served[nid] += f->step[i].served[nid];
	}
	for (int nid = 0; nid < 4; nid++)
		assert_int_equal(served[nid], 2 * TO_MIN);
	assert_int_equal(f->returned->served[0], 2 * NODE_PAGES / 2);
	assert_int_equal(f->returned->alloc.count, 2 * NODE_PAGES / 2);
	assert_figure("fallback_blocks_ratio", 0.75);
	assert_figure("fallback_from_ratio", (double)TO_LOW / NODE_PAGES);
	assert_figure("failed_from_ratio", (double)ALL / NODE_PAGES);
	assert_figure("returned_ratio", 1);
	assert_true(figure("fallback_first_ns") >= 0);
	assert_int_equal(cell.probes[0].series[0].count, 2 * (TO_MIN + NODE_PAGES / 2));
	assert_int_equal(cell.probes[0].series[1].count, 2 * 3 * TO_MIN);
	/* The kernel's counters agree. */
	s = stats_of(0);
	assert_int_equal(s.numa[NUMA_HIT], 2 * (TO_MIN + NODE_PAGES / 2));
	assert_int_equal(s.numa[NUMA_FOREIGN], 2 * 3 * TO_MIN);
	assert_int_equal(s.numa[NUMA_MISS], 0);
	assert_int_equal(s.numa[NUMA_LOCAL], s.numa[NUMA_HIT]);
	for (int nid = 1; nid < 4; nid++) {
		s = stats_of(nid);
		assert_int_equal(s.numa[NUMA_HIT], 0);
		assert_int_equal(s.numa[NUMA_MISS], 2 * TO_MIN);
		assert_int_equal(s.numa[NUMA_OTHER], 2 * TO_MIN);
	}
	assert_int_equal(cell.workers[0].ops, 2 * (ALL + NODE_PAGES / 2));
	cell_end();
}

/* Equally far nodes follow on the ring; the thread may run anywhere. */
static void preferred_is_a_node_of_choice(void **state)
{
	(void)state;
	assert_int_equal(cell_begin(FOUR, "numa-fallback",
				    "policy=preferred,node=2,fill_percent=150", 4096, 1),
			 0);
	cell_pass(1);
	assert_int_equal(fill()->preferred, 2);
	assert_int_equal(fill()->nr_order, 2);
	assert_int_equal(fill()->order[0], 2);
	assert_int_equal(fill()->order[1], 3);
	/* 40 per cent of a node, times 150, in whole blocks. */
	assert_int_equal(cell.workers[0].ops,
			 (NODE_PAGES * 4096 / 100 * 150) / 4096 + NODE_PAGES / 2);
	assert_figure("failed_from_ratio", -1);
	assert_figure("fallback_from_ratio", (double)TO_LOW / NODE_PAGES);
	cell_end();
}

static void bind_goes_nowhere_else(void **state)
{
	(void)state;
	assert_int_equal(cell_begin(FOUR, "numa-fallback", "policy=bind,node=1", 4096, 1),
			 0);
	cell_pass(1);
	assert_int_equal(fill()->nr_order, 1);
	assert_int_equal(fill()->order[0], 1);
	assert_figure("fallback_blocks_ratio", 0);
	assert_figure("fallback_from_ratio", -1);
	assert_figure("failed_from_ratio", (double)TO_MIN / NODE_PAGES);
	assert_figure("returned_ratio", 1);
	assert_int_equal(stats_of(NUMA_NO_NODE).numa[NUMA_MISS], 0);
	cell_end();
}

/* Every node has its turn, to the last page. Nothing is a fallback. */
static void interleave_takes_turns(void **state)
{
	(void)state;
	assert_int_equal(cell_begin(FOUR, "numa-fallback", "policy=interleave", 4096, 1),
			 0);
	cell_pass(2);
	for (int nid = 0; nid < 4; nid++) {
		assert_int_equal(fill()->step[10].served[nid], 2 * 64);
		assert_int_equal(stats_of(nid).numa[NUMA_INTERLEAVE_HIT],
				 2 * (TO_MIN + NODE_PAGES / 8));
	}
	assert_figure("fallback_blocks_ratio", 0);
	assert_figure("failed_from_ratio", (double)ALL / NODE_PAGES);
	cell_end();
}

/* --- distance and ring --- */

/* Nodes 0 and 3 are near each other, and so are 1 and 2. */
static const int distance[4][4] = {
	{10, 32, 33, 16},
	{32, 10, 16, 25},
	{33, 16, 10, 32},
	{16, 25, 32, 10},
};

#define SETS(hex)                                                       \
	"cpuset=\"" hex "\" complete_cpuset=\"" hex "\" nodeset=\"" hex \
	"\" complete_nodeset=\"" hex "\" "

static void write_node(FILE *out, int n)
{
	const char *format =
		"<object type=\"%s\" os_index=\"%d\" cpuset=\"0x%x\" "
		"complete_cpuset=\"0x%x\" nodeset=\"0x%x\" complete_nodeset=\"0x%x\" "
		"gp_index=\"%d\" %s>\n";
	unsigned int bit = 1u << n;

	fprintf(out, format, "Package", n, bit, bit, bit, bit, 2 + 3 * n, "");
	fprintf(out, format, "NUMANode", n, bit, bit, bit, bit, 3 + 3 * n,
		"local_memory=\"1073741824\"/");
	fprintf(out, format, "PU", n, bit, bit, bit, bit, 4 + 3 * n, "/");
	fprintf(out, "</object>\n");
}

static void write_topology(const char *path)
{
	FILE *out = fopen(path, "w");
	char values[128] = "";

	assert_non_null(out);
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n<topology version=\"2.0\">\n"
		"<object type=\"Machine\" os_index=\"0\" allowed_cpuset=\"0xf\" "
		"allowed_nodeset=\"0xf\" " SETS("0xf") "gp_index=\"1\">\n");
	for (int n = 0; n < 4; n++)
		write_node(out, n);
	for (int i = 0; i < 16; i++)
		sprintf(values + strlen(values), "%d ", distance[i / 4][i % 4]);
	fprintf(out,
		"</object>\n<distances2 type=\"NUMANode\" nbobjs=\"4\" kind=\"5\" "
		"name=\"NUMALatency\" indexing=\"os\">\n"
		"<indexes length=\"8\">0 1 2 3 </indexes>\n"
		"<u64values length=\"%zu\">%s</u64values>\n</distances2>\n</topology>\n",
		strlen(values), values);
	assert_int_equal(fclose(out), 0);
}

static void order_is_by_distance_or_on_the_ring(void **state)
{
	char path[] = "/tmp/kmem-numa-XXXXXX.xml", spec[160];

	(void)state;
	close(mkstemps(path, 4));
	write_topology(path);
	for (int ring = 0; ring < 2; ring++) {
		snprintf(spec, sizeof(spec), "buddy:" MEMORY "topology=%s%s", path,
			 ring ? ",zonelist=ring" : "");
		assert_int_equal(
			cell_begin(spec, "numa-fallback", "policy=preferred", 4096, 1),
			0);
		cell_pass(1);
		if (ring)
			assert_order(0, 1, 2, 3);
		else
			assert_order(0, 3, 1, 2);
		assert_figure("fallback_blocks_ratio", 0.75);
		cell_end();
	}
	unlink(path);
}

/* Spans of kmem's lie on no node: nothing is said of them but the times. */
static void blocks_on_no_node_are_no_fallback(void **state)
{
	(void)state;
	if (!have_cpu_of(0))
		skip();
	assert_int_equal(cell_begin("kmem:memory=64M,topology=numa:4 core:1 pu:1",
				    "numa-fallback", "fill_percent=100,steps=4", 1 << 20,
				    1),
			 0);
	cell_pass(1);
	assert_int_equal(fill()->step[0].unknown, 4);
	assert_int_equal(fill()->step[0].alloc.count, 4);
	assert_int_equal(fill()->nr_order, 0);
	assert_figure("fallback_blocks_ratio", -1);
	assert_figure("fallback_from_ratio", -1);
	assert_figure("returned_ratio", -1);
	cell_end();
}

/* --- refusals --- */

static void what_cannot_be_is_refused(void **state)
{
	static const char one[] = "buddy:" MEMORY "topology=numa:1 pu:1";

	(void)state;
	refused(one, "numa-fallback", "", 4096, 1,
		"needs two memory nodes, and allocator 'buddy' has one node: run it on a "
		"machine with several, or with simulated ones, buddy:topology=numa:4");
	refused(FOUR, "numa-fallback", "node=4", 4096, 1,
		"node=4, and there are 4 nodes: give 0 to 3");
	refused(FOUR, "numa-fallback", "", 4096, 2, "give -t 1");
	refused(FOUR, "numa-fallback", "node_bytes=16K", 4096, 1,
		"fewer than 8 blocks of 4096 bytes");
	refused(FOUR, "numa-fallback", "steps=512,fill_percent=10", 1 << 20, 1,
		"for a fill in 512 steps");
	refused("kmem:memory=64M,topology=numa:4 core:1 pu:1", "numa-fallback",
		"policy=bind", 4096, 1, "takes no node: give policy=default");
	if (!have_cpu_of(3))
		refused(FOUR, "numa-fallback", "node=3", 4096, 1,
			"no CPU that it may use is on node 3");
}

/* A machine of one node says so; one of several wants to know how much it may fill. */
static void the_systems_nodes_are_looked_at(void **state)
{
	(void)state;
	assert_int_equal(cell_begin("glibc", "numa-fallback", "", 4096, 1), -EINVAL);
	if (strstr(kmem_last_error(), "this machine, whose memory") == NULL)
		assert_contains(kmem_last_error(), "say how much by node_bytes=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_is_filled_to_its_marks),
		cmocka_unit_test(preferred_is_a_node_of_choice),
		cmocka_unit_test(bind_goes_nowhere_else),
		cmocka_unit_test(interleave_takes_turns),
		cmocka_unit_test(order_is_by_distance_or_on_the_ring),
		cmocka_unit_test(blocks_on_no_node_are_no_fallback),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(the_systems_nodes_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
