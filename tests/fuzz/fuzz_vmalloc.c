/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target for the vmalloc layer: three bytes of input are one call.
 *
 * The range finder's three structures get the same requests and must agree; the
 * whole layer gets allocations of all kinds, frees in any order, second
 * mappings, purges and reclaim, and must keep every block's stamps. After each input
 * everything is freed and every invariant walked.
 */
#include "allocators/vmalloc/vm_range.h"
#include "tests/vmalloc/stack_config.h"
#include <kmem/error.h>
#include <kmem/reclaim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVE_MAX    64u
#define RANGE_PAGES 1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "%s: %s\n", what, kmem_last_error());
	abort();
}

static void bring_up(void)
{
	static struct stack_config config;

	must(kmem_options_defaults(stack_groups, &config) == 0, "defaults");
	must(kmem_options_parse(
		     stack_groups,
		     "memory=32M,dma=4M,highmem=8M,range_bytes=64M,lazy_bytes=4M",
		     &config) == 0,
	     "options");
	config.buddy.kswapd = false; /* the walkers want silence */
	must(phys_init(&config.phys) == 0 && buddy_init(&config.buddy) == 0 &&
		     kmem_cache_init(&config.slab) == 0 &&
		     vmalloc_init(&config.vmalloc) == 0,
	     "set-up");
}

struct block {
	char *addr;
	uint32_t nr_pages;
	uint8_t stamp;
};

static void stamp(const struct block *b)
{
	for (uint32_t i = 0; i < b->nr_pages; i++)
		memset(b->addr + (size_t)i * PAGE_SIZE, b->stamp + (int)i, 16);
}

static void verify(const struct block *b, const char *addr)
{
	for (uint32_t i = 0; i < b->nr_pages; i++)
		for (size_t k = 0; k < 16; k++)
			must((uint8_t)addr[(size_t)i * PAGE_SIZE + k] ==
				     (uint8_t)(b->stamp + i),
			     "contents");
}

static void *allocate(unsigned int kind, size_t size, uint8_t arg)
{
	switch (kind) {
	case 0: return vmalloc(size);
	case 1: return vzalloc(size);
	case 2: return __vmalloc(size, GFP_KERNEL);
	default:
		return __vmalloc_aligned(size, PAGE_SIZE << (arg & 7), GFP_HIGHUSER,
					 NUMA_NO_NODE);
	}
}

static void show_twice(const struct block *b)
{
	void *again = vmap(find_vm_area(b->addr)->pages, b->nr_pages, VM_MAP);

	if (again == NULL)
		return;
	verify(b, again);
	vunmap(again);
}

static void release(struct block *live, unsigned int *nr_live, unsigned int i)
{
	verify(&live[i], live[i].addr);
	vfree(live[i].addr);
	live[i] = live[--*nr_live];
}

static void fuzz_layer(const uint8_t *data, size_t size)
{
	struct block live[LIVE_MAX];
	unsigned int nr_live = 0;

	for (; size >= 3; data += 3, size -= 3) {
		unsigned int op = data[0] & 7;

		if (op < 4 && nr_live < LIVE_MAX) {
			size_t bytes = (size_t)data[1] * (data[0] & 8 ? 16384 : 512) +
				       data[2];
			char *p = allocate(op, bytes, data[2]);

			must((p != NULL) <= (bytes != 0), "an area of 0 bytes");
			if (p == NULL)
				continue;
			live[nr_live] = (struct block){p, find_vm_area(p)->nr_pages,
						       data[1]};
			stamp(&live[nr_live++]);
		} else if (op < 6 && nr_live > 0) {
			release(live, &nr_live, data[1] % nr_live);
		} else if (op == 6 && nr_live > 0) {
			show_twice(&live[data[1] % nr_live]);
		} else if (data[1] == 0) {
			vm_unmap_aliases();
		} else if (data[1] < 32) {
			try_to_free_pages(0, GFP_KERNEL, data[2] % MAX_ORDER);
		}
	}
	must(vmalloc_check() == 0, "check");
	while (nr_live > 0)
		release(live, &nr_live, nr_live - 1);
	must(vmalloc_check() == 0 && buddy_check() == 0, "check at the end");
}

static void fuzz_ranges(const uint8_t *data, size_t size)
{
	struct vm_ranges tree, list, radix;
	void *tree_nodes = calloc(1, vm_ranges_node_bytes(RANGE_PAGES, VM_SEARCH_TREE));
	void *list_nodes = calloc(1, vm_ranges_node_bytes(RANGE_PAGES, VM_SEARCH_LIST));
	void *radix_nodes = calloc(1, vm_ranges_node_bytes(RANGE_PAGES, VM_SEARCH_RADIX));
	uint32_t start[256], nr[256] = {0};

	vm_ranges_init(&tree, 5, RANGE_PAGES, VM_SEARCH_TREE, tree_nodes);
	vm_ranges_init(&list, 5, RANGE_PAGES, VM_SEARCH_LIST, list_nodes);
	vm_ranges_init(&radix, 5, RANGE_PAGES, VM_SEARCH_RADIX, radix_nodes);
	for (; size >= 3; data += 3, size -= 3) {
		uint8_t i = data[1];

		if (nr[i] != 0) {
			must(vm_range_free(&tree, start[i], nr[i]) &&
				     vm_range_free(&list, start[i], nr[i]) &&
				     vm_range_free(&radix, start[i], nr[i]),
			     "free of a range");
			nr[i] = 0;
		} else {
			uint32_t want = VM_RANGE_MIN_PAGES + data[2] / 2, other = 0;
			uint32_t align = 1u << (data[0] & 7);
			bool found = vm_range_alloc(&tree, want, align, &start[i]);

			must(vm_range_alloc(&list, want, align, &other) == found,
			     "found or not");
			must(!found || other == start[i], "first fit");
			must(vm_range_alloc(&radix, want, align, &other) == found,
			     "found or not");
			must(!found || other == start[i], "first fit");
			nr[i] = found ? want : 0;
		}
	}
	must(vm_range_check(&tree) == 0 && vm_range_check(&list) == 0 &&
		     vm_range_check(&radix) == 0,
	     "ranges");
	must(vm_range_largest(&tree) == vm_range_largest(&list) &&
		     vm_range_largest(&tree) == vm_range_largest(&radix),
	     "largest hole");
	free(tree_nodes);
	free(list_nodes);
	free(radix_nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool up;

	if (!up)
		bring_up();
	up = true;
	if (size == 0)
		return 0;
	if (data[0] & 1)
		fuzz_layer(data + 1, size - 1);
	else
		fuzz_ranges(data + 1, size - 1);
	return 0;
}
