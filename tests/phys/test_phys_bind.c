/* SPDX-License-Identifier: MIT */
/*
 * Nodes of a real machine: their frames and descriptors are bound to where they belong.
 * The machine's topology is made up here, and its mbind(2) is ours.
 */
#include "allocators/phys/phys_internal.h"
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <kmem/error.h>
#include <linux/mempolicy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static int nr_nodes;
static const unsigned int os_index[] = {5, 0, 70};

/* In place of the one that asks hwloc. */
int phys_topology_load(const char *description, struct phys_topology *t,
		       uint8_t *cpu_node, unsigned int nr_cpus)
{
	(void)description, (void)cpu_node, (void)nr_cpus;
	phys_topology_flat(t);
	t->nr_nodes = nr_nodes;
	t->simulated = false;
	for (int nid = 0; nid < nr_nodes; nid++) {
		t->os_index[nid] = os_index[nid];
		for (int to = 0; to < nr_nodes; to++)
			t->distance[nid][to] = nid == to ? 10 : 20;
	}
	return 0;
}

static struct {
	void *addr;
	unsigned long size;
	unsigned int node;
} calls[16];
static unsigned int nr_calls;
static int bind_errno; /* 0: it is done */

static long our_mbind(void *addr, unsigned long size, int mode,
		      const unsigned long *nodemask, unsigned long maxnode,
		      unsigned int flags)
{
	const unsigned long bits = 8 * sizeof(unsigned long);
	unsigned int node = 0, nodes = 0;

	assert_int_equal(mode, MPOL_BIND);
	assert_int_equal(flags, 0);
	assert_true(nr_calls < KMEM_ARRAY_SIZE(calls));
	for (unsigned int n = 0; n < maxnode; n++) {
		if ((nodemask[n / bits] >> n % bits & 1) != 0) {
			node = n;
			nodes++;
		}
	}
	assert_int_equal(nodes, 1);
	calls[nr_calls].addr = addr;
	calls[nr_calls].size = size;
	calls[nr_calls++].node = node;
	errno = bind_errno;
	return bind_errno != 0 ? -1 : 0;
}

/* Of all mappings that are made and taken down. */
static long mapped;
static bool no_shared; /* mappings of a file of less than all of it */

static void *our_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (no_shared && fd >= 0 && (flags & MAP_FIXED) == 0) {
		errno = ENFILE;
		return MAP_FAILED;
	}
	p = os_hooks_system.mmap(addr, size, prot, flags, fd, offset);
	if (p != MAP_FAILED && (flags & MAP_FIXED) == 0)
		mapped += (long)size;
	return p;
}

static int our_munmap(void *addr, size_t size)
{
	mapped -= (long)size;
	return os_hooks_system.munmap(addr, size);
}

static const struct kmem_option_group groups[] = {{phys_options, 0}, {NULL, 0}};
static struct phys_config config;

static int start(const char *options, int nodes)
{
	static const struct os_hooks hooks = {
		.mbind = our_mbind, .mmap = our_mmap, .munmap = our_munmap};

	assert_int_equal(kmem_options_defaults(groups, &config), 0);
	assert_int_equal(kmem_options_parse(groups, options, &config), 0);
	os_set_hooks(&hooks);
	nr_nodes = nodes;
	nr_calls = 0;
	mapped = 0;
	return phys_init(&config);
}

/* Nothing is left, whether it started or not. */
static void stop(void)
{
	phys_exit();
	assert_int_equal(mapped, 0);
	kmem_options_release(groups, &config);
	os_set_hooks(NULL);
	bind_errno = 0;
	no_shared = false;
}

/* Two calls a node: frames, then descriptors. */
static void expect_calls(unsigned int nodes, bool in_place)
{
	unsigned long frames = 0;

	assert_int_equal(nr_calls, 2 * nodes);
	for (unsigned int nid = 0; nid < nodes; nid++) {
		unsigned long pages = calls[2 * nid].size >> PAGE_SHIFT;

		assert_int_equal(calls[2 * nid].node, os_index[nid]);
		assert_int_equal(calls[2 * nid + 1].node, os_index[nid]);
		assert_ptr_equal(calls[2 * nid + 1].addr, pfn_to_page(frames));
		assert_int_equal(calls[2 * nid + 1].size, pages * sizeof(struct page));
		assert_int_equal(calls[2 * nid].addr == pfn_to_virt(frames), in_place);
		frames += pages;
	}
	assert_int_equal(frames, kmem_nr_frames);
}

static void test_private(void **state)
{
	(void)state;
	assert_int_equal(start("memory=48M,highmem=0,backing=private", 3), 0);
	expect_calls(3, true);
	assert_false(phys_is_simulated());
	stop();
}

/* Through a passing mapping, which reaches frames without an address, too. */
static void test_memfd(void **state)
{
	(void)state;
	assert_int_equal(start("memory=48M,highmem=16M,dma=0", 3), 0);
	expect_calls(3, false);
	assert_false(phys_is_simulated());
	stop();
}

static void test_one_node(void **state)
{
	(void)state;
	assert_int_equal(start("memory=48M,highmem=0", 1), 0);
	assert_int_equal(nr_calls, 0);
	stop();
}

/* What a sandbox says: the nodes are as good as made up. */
static void test_not_allowed(void **state)
{
	static const int says[] = {EPERM, ENOSYS};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(says); i++) {
		bind_errno = says[i];
		assert_int_equal(start("memory=48M,highmem=0", 3), 0);
		assert_int_equal(nr_calls, 2);
		assert_true(phys_is_simulated());
		assert_int_equal(phys_nr_nodes(), 3);
		stop();
	}
}

static void expect_refusal(int err, const char *text)
{
	assert_int_equal(start("memory=48M,highmem=0", 3), err);
	if (strstr(kmem_last_error(), text) == NULL)
		fail_msg("'%s' does not contain '%s'", kmem_last_error(), text);
	assert_int_equal(kmem_nr_frames, 0);
	stop();
}

static void test_refused(void **state)
{
	(void)state;
	bind_errno = EINVAL; /* a node without memory */
	expect_refusal(-EINVAL, "memory cannot be bound to node 5");
	no_shared = true;
	expect_refusal(-ENOMEM, "cannot be");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),	 cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_one_node), cmocka_unit_test(test_not_allowed),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("phys_bind", tests, NULL, NULL);
}
