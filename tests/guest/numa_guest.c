/* SPDX-License-Identifier: MIT */
/*
 * Runs in a guest of four nodes (tools/guest.sh): nodes, distances and CPUs as the
 * machine has them, every frame where it should be by move_pages(2), fallback in the
 * order of distance. Prints a line for each check; exits with the number that failed.
 */
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NODES = 4, PAGES = 256 };

struct config {
	struct phys_config phys;
	struct buddy_config buddy;
	struct slab_config slab;
};

static const struct kmem_option_group groups[] = {
	{phys_options, offsetof(struct config, phys)},
	{buddy_options, offsetof(struct config, buddy)},
	{slab_options, offsetof(struct config, slab)},
	{NULL, 0},
};

/* From each node: where a request goes, node after node. As tools/guest.sh has set it. */
static const int distance[NODES][NODES] = {
	{10, 16, 32, 33},
	{16, 10, 25, 32},
	{32, 25, 10, 16},
	{33, 32, 16, 10},
};
static const int fallback[NODES][NODES] = {
	{0, 1, 2, 3},
	{1, 0, 2, 3},
	{2, 3, 1, 0},
	{3, 2, 1, 0},
};

static int failed;

static void check(bool good, const char *what, int a, int b)
{
	printf("%s %s (%d, %d)\n", good ? "ok" : "not ok", what, a, b);
	failed += !good;
}

/* The node that a touched page lies on, as the kernel tells; negative: an errno. */
static int node_of(void *addr)
{
	int status = -1000;

	if (syscall(SYS_move_pages, 0, 1UL, &addr, NULL, &status, 0) != 0)
		return -999;
	return status;
}

static struct page *pages[1 << 16];

static void check_placement(int nid)
{
	int wrong = 0;

	for (int i = 0; i < PAGES; i++) {
		char *addr;

		pages[i] = alloc_pages_node(nid, GFP_KERNEL | __GFP_THISNODE, 0);
		if (pages[i] == NULL) {
			check(false, "a page of its own node", nid, i);
			return;
		}
		addr = page_address(pages[i]);
		addr[0] = 1;
		wrong += node_of(addr) != nid || page_to_nid(pages[i]) != nid;
	}
	check(wrong == 0, "frames lie on their node", nid, wrong);
	free_pages_bulk(PAGES, pages);
}

static void check_fallback(int nid)
{
	int seen[NODES], n = 0;
	size_t got = 0;
	bool good = true;

	while ((pages[got] = alloc_pages_node(nid, GFP_NOWAIT | __GFP_NOWARN, 0))) {
		int of = page_to_nid(pages[got++]);
		bool known = false;

		for (int i = 0; i < n; i++)
			known |= seen[i] == of;
		if (!known && n < NODES)
			seen[n++] = of;
	}
	for (int i = 0; i < NODES; i++)
		good &= n == NODES && seen[i] == fallback[nid][i];
	check(good, "fallback by distance", nid, n);
	free_pages_bulk(got, pages);
	drain_all_pages();
}

static void check_cpus(void)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (int cpu = 0; cpu < NODES; cpu++) {
		struct buddy_stats before, after;
		struct page *page;

		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		check(cpu_to_node((unsigned int)cpu) == cpu && numa_node_id() == cpu,
		      "a CPU's node", cpu, numa_node_id());
		buddy_stats(cpu, MAX_NR_ZONES, &before);
		page = alloc_page(GFP_KERNEL);
		buddy_stats(cpu, MAX_NR_ZONES, &after);
		*(char *)page_address(page) = 1;
		check(node_of(page_address(page)) == cpu &&
			      after.numa[NUMA_LOCAL] == before.numa[NUMA_LOCAL] + 1,
		      "a thread's pages are local", cpu, node_of(page_address(page)));
		__free_page(page);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

static void check_objects(void)
{
	struct kmem_cache *cache = kmem_cache_create("guest", 100, 0, 0, NULL, NULL);

	for (int nid = 0; nid < NODES; nid++) {
		char *object = kmem_cache_alloc_node(cache, GFP_KERNEL, nid);

		memset(object, 1, 100);
		check(node_of((void *)((uintptr_t)object & PAGE_MASK)) == nid,
		      "objects of a node", nid,
		      node_of((void *)((uintptr_t)object & PAGE_MASK)));
		kmem_cache_free(cache, object);
	}
	kmem_cache_destroy(cache);
}

static void run(const char *options)
{
	struct config config;

	printf("# %s\n", options);
	if (kmem_options_defaults(groups, &config) != 0 ||
	    kmem_options_parse(groups, options, &config) != 0 ||
	    phys_init(&config.phys) != 0 || buddy_init(&config.buddy) != 0 ||
	    kmem_cache_init(&config.slab) != 0) {
		printf("not ok set-up: %s\n", kmem_last_error());
		failed++;
		return;
	}
	check(phys_nr_nodes() == NODES && !phys_is_simulated(), "the machine's own nodes",
	      phys_nr_nodes(), phys_is_simulated());
	for (int from = 0; from < NODES; from++) {
		for (int to = 0; to < NODES; to++)
			check(node_distance(from, to) == distance[from][to], "distance",
			      node_distance(from, to), distance[from][to]);
	}
	for (int nid = 0; nid < NODES; nid++) {
		check_placement(nid);
		check_fallback(nid);
	}
	check_cpus();
	check_objects();
	check(slab_check() == 0 && buddy_check() == 0, "walkers", 0, 0);
	kmem_cache_exit();
	buddy_exit();
	phys_exit();
	kmem_options_release(groups, &config);
}

int main(void)
{
	run("memory=128M,dma=0,highmem=0,backing=private,kswapd=off");
	run("memory=128M,dma=0,highmem=0,kswapd=off");
	printf("GUEST %s, %d failed\n", failed == 0 ? "PASSED" : "FAILED", failed);
	return failed;
}
