/* SPDX-License-Identifier: MIT */
/* The range finder's node store and the choice between its three structures. */
#include "allocators/vmalloc/vm_range.h"
#include <kmem/error.h>

#include <assert.h>
#include <errno.h>

/*
 * Areas are VM_RANGE_MIN_PAGES long or longer, and no two holes touch, so the
 * number of areas bounds both: one node per area, one hole more, and node 0.
 */
size_t vm_ranges_node_bytes(uint32_t nr_pages, enum vm_range_search search)
{
	if (search == VM_SEARCH_RADIX)
		return vm_range_radix_bytes(nr_pages);
	return ((size_t)nr_pages / VM_RANGE_MIN_PAGES + 2) * sizeof(struct vm_range_node);
}

uint32_t vm_range_node_get(struct vm_ranges *r, uint32_t start, uint32_t size)
{
	uint32_t n = r->free_node;

	if (n != 0)
		r->free_node = r->nodes[n].left;
	else
		n = r->next_node++;
	r->nodes[n] = (struct vm_range_node){
		.start = start, .size = size, .max = size, .height = 1};
	r->nr_nodes++;
	return n;
}

void vm_range_node_put(struct vm_ranges *r, uint32_t node)
{
	r->nodes[node] = (struct vm_range_node){.left = r->free_node};
	r->free_node = node;
	r->nr_nodes--;
}

void vm_ranges_init(struct vm_ranges *r, uint64_t base_page, uint32_t nr_pages,
		    enum vm_range_search search, void *node_memory)
{
	*r = (struct vm_ranges){
		.search = search,
		.nodes = node_memory,
		.next_node = 1,
		.nr_pages = nr_pages,
		.free_pages = nr_pages,
		.base_page = base_page,
	};
	if (search == VM_SEARCH_TREE)
		r->root = vm_range_node_get(r, 0, nr_pages);
	else if (search == VM_SEARCH_RADIX)
		vm_range_radix_init(r, node_memory);
}

bool vm_range_alloc(struct vm_ranges *r, uint32_t nr, uint32_t align, uint32_t *start)
{
	bool found;

	assert(nr >= VM_RANGE_MIN_PAGES && align != 0 && (align & (align - 1)) == 0);
	if (r->search == VM_SEARCH_RADIX)
		found = vm_range_radix_alloc(r, nr, align, start);
	else if (r->search == VM_SEARCH_TREE)
		found = vm_range_tree_alloc(r, nr, align, start);
	else
		found = vm_range_list_alloc(r, nr, align, start);
	if (found)
		r->free_pages -= nr;
	return found;
}

bool vm_range_free(struct vm_ranges *r, uint32_t start, uint32_t nr)
{
	bool was_taken;

	if (nr < VM_RANGE_MIN_PAGES || (uint64_t)start + nr > r->nr_pages)
		return false;
	if (r->search == VM_SEARCH_RADIX)
		was_taken = vm_range_radix_free(r, start, nr);
	else if (r->search == VM_SEARCH_TREE)
		was_taken = vm_range_tree_free(r, start, nr);
	else
		was_taken = vm_range_list_free(r, start, nr);
	if (was_taken)
		r->free_pages += nr;
	return was_taken;
}

void vm_range_each_hole(const struct vm_ranges *r,
			bool (*fn)(uint32_t start, uint32_t size, void *arg), void *arg)
{
	if (r->search == VM_SEARCH_RADIX)
		vm_range_radix_each(r, fn, arg);
	else if (r->search == VM_SEARCH_TREE)
		vm_range_tree_each(r, r->root, fn, arg);
	else
		vm_range_list_each(r, fn, arg);
}

static bool keep_largest(uint32_t start, uint32_t size, void *arg)
{
	uint32_t *largest = arg;

	(void)start;
	if (size > *largest)
		*largest = size;
	return true;
}

uint32_t vm_range_largest(const struct vm_ranges *r)
{
	uint32_t largest = 0;

	if (r->search == VM_SEARCH_RADIX)
		return vm_range_radix_largest(r);
	if (r->search == VM_SEARCH_TREE)
		return r->nodes[r->root].max;
	vm_range_list_each(r, keep_largest, &largest);
	return largest;
}

struct hole_walk {
	uint64_t end; /* of the hole before; UINT64_MAX: none yet */
	uint64_t pages;
	bool touching;
};

static bool check_hole(uint32_t start, uint32_t size, void *arg)
{
	struct hole_walk *walk = arg;

	if (walk->end != UINT64_MAX && start <= walk->end)
		walk->touching = true;
	walk->end = (uint64_t)start + size;
	walk->pages += size;
	return true;
}

int vm_range_check(const struct vm_ranges *r)
{
	struct hole_walk walk = {.end = UINT64_MAX};
	int err;

	switch (r->search) {
	case VM_SEARCH_RADIX: err = vm_range_radix_check(r); break;
	case VM_SEARCH_TREE: err = vm_range_tree_check(r); break;
	default: err = vm_range_list_check(r); break;
	}
	if (err != 0)
		return err;
	vm_range_each_hole(r, check_hole, &walk);
	if (walk.touching)
		return kmem_error(-EFAULT, "vmalloc holes touch or overlap");
	if (walk.pages != r->free_pages)
		return kmem_error(
			-EFAULT,
			"vmalloc holes sum up to %llu pages, the counter says %u",
			(unsigned long long)walk.pages, r->free_pages);
	if (walk.end != UINT64_MAX && walk.end > r->nr_pages)
		return kmem_error(-EFAULT,
				  "a vmalloc hole ends past the range, at page %llu",
				  (unsigned long long)walk.end);
	return 0;
}
