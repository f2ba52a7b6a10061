/* SPDX-License-Identifier: MIT */
/*
 * Areas in one list by address, walked from the head: get_vm_area() and
 * vfree() of Linux 2.4. Both take time in proportion to the areas below the
 * address in question. It is kept to be compared with.
 */
#include "allocators/vmalloc/vm_range.h"
#include <kmem/error.h>

#include <errno.h>

/* The link to follow at `prev`; 0 stands for the head. */
static uint32_t *link_of(struct vm_ranges *r, uint32_t prev)
{
	return prev == 0 ? &r->root : &r->nodes[prev].right;
}

bool vm_range_list_alloc(struct vm_ranges *r, uint32_t nr, uint32_t align,
			 uint32_t *start)
{
	uint32_t prev = 0, end = 0;

	for (;;) {
		uint32_t next = *link_of(r, prev), node;
		uint32_t limit = next != 0 ? r->nodes[next].start : r->nr_pages;

		if (vm_range_fits(r, end, limit - end, nr, align, start)) {
			node = vm_range_node_get(r, *start, nr);
			r->nodes[node].right = next;
			*link_of(r, prev) = node;
			return true;
		}
		if (next == 0)
			return false;
		end = r->nodes[next].start + r->nodes[next].size;
		prev = next;
	}
}

bool vm_range_list_free(struct vm_ranges *r, uint32_t start, uint32_t nr)
{
	for (uint32_t prev = 0, n = r->root; n != 0; prev = n, n = r->nodes[n].right) {
		if (r->nodes[n].start != start)
			continue;
		if (r->nodes[n].size != nr)
			return false;
		*link_of(r, prev) = r->nodes[n].right;
		vm_range_node_put(r, n);
		return true;
	}
	return false;
}

void vm_range_list_each(const struct vm_ranges *r,
			bool (*fn)(uint32_t start, uint32_t size, void *arg), void *arg)
{
	uint32_t end = 0;

	for (uint32_t n = r->root; n != 0; n = r->nodes[n].right) {
		if (r->nodes[n].start != end && !fn(end, r->nodes[n].start - end, arg))
			return;
		end = r->nodes[n].start + r->nodes[n].size;
	}
	if (end != r->nr_pages)
		fn(end, r->nr_pages - end, arg);
}

int vm_range_list_check(const struct vm_ranges *r)
{
	uint64_t end = 0;
	uint32_t count = 0;

	for (uint32_t n = r->root; n != 0; n = r->nodes[n].right) {
		const struct vm_range_node *area = &r->nodes[n];

		if (n >= r->next_node || ++count > r->nr_nodes)
			return kmem_error(-EFAULT,
					  "vmalloc list links to node %u, not in use", n);
		if (area->start < end || (uint64_t)area->start + area->size > r->nr_pages)
			return kmem_error(-EFAULT,
					  "vmalloc area at page %u is out of order",
					  area->start);
		end = (uint64_t)area->start + area->size;
	}
	if (count != r->nr_nodes)
		return kmem_error(-EFAULT, "vmalloc list reaches %u of its %u nodes",
				  count, r->nr_nodes);
	return 0;
}
