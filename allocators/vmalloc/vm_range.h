/* SPDX-License-Identifier: MIT */
/*
 * The range finder: which pages of the vmalloc range are free.
 *
 * THEORY. Page numbers 0 .. nr_pages - 1 are either taken or part of a hole.
 * A request is answered first fit in address order: the lowest hole that can
 * hold it, and the lowest aligned start inside. First fit keeps areas together
 * at the low end, so that neighbours can be unmapped by one call, and it is
 * what Linux has done from 2.4 on. Three structures give the same addresses:
 *
 * - VM_SEARCH_TREE: an AVL tree of the *holes*, ordered by address; each node
 *   also knows the largest hole of its subtree. The leftmost hole that is large
 *   enough is found in one descent. The tree holds holes and not areas because
 *   first fit leaves few holes behind: with 200,000 areas packed at the low end
 *   it has one node. Linux has done the same since 5.2 (free_vmap_area_root);
 *   before, from 2.6.28 on, it had a tree of the areas.
 *   An alignment above one page can reject a hole that is large enough; the
 *   search then goes on behind it, so the answer stays exactly first fit.
 *   (Linux searches for size + align - 1 and may pass over a fitting hole.)
 *
 * - VM_SEARCH_RADIX: a radix tree of maxima over the page numbers, and boundary
 *   tags to find neighbours (vm_range_radix.c). No search branches on data.
 *
 * - VM_SEARCH_LIST: the areas as one list in address order, walked from its
 *   head for every request and every release, as `vmlist` of Linux 2.4.
 *
 * All live in memory that the caller provides, sized for the worst case, so that
 * no operation can fail for lack of it. It is touched only as far as needed:
 * tree and list number their nodes from 1 up, the radix tree has a place for
 * each page.
 *
 * No lock inside: the caller serialises. All units are pages.
 */
#ifndef KMEM_VMALLOC_VM_RANGE_H
#define KMEM_VMALLOC_VM_RANGE_H

#include <kmem/compiler.h>

enum vm_range_search { VM_SEARCH_TREE, VM_SEARCH_LIST, VM_SEARCH_RADIX };

/* No request is smaller: one page and its guard. It bounds the number of nodes. */
#define VM_RANGE_MIN_PAGES 2u

/*
 * A hole (tree) or an area (list). Node 0 is "none": all zero, and written by
 * nobody, so that max and height of a missing child read as 0.
 */
struct vm_range_node {
	uint32_t start;
	uint32_t size;
	uint32_t max;	 /* tree: largest size in this subtree */
	uint32_t left;	 /* tree: lower addresses; unused node: next unused one */
	uint32_t right;	 /* tree: higher addresses; list: the next area */
	uint32_t height; /* tree: 1 for a leaf */
};
_Static_assert(sizeof(struct vm_range_node) == 24, "node memory is budgeted at 24 bytes");

/* 16^8 pages of 4 KiB are 16 TiB. */
#define VM_RADIX_LEVELS_MAX 8u

struct vm_ranges {
	enum vm_range_search search;
	struct vm_range_node *nodes;
	uint32_t root;	    /* tree: root; list: first area */
	uint32_t free_node; /* chain of nodes that were used and are not now */
	uint32_t next_node; /* first node that was never used */
	uint32_t nr_nodes;  /* nodes in use: areas (list), holes (others) */
	uint32_t nr_pages;
	uint32_t free_pages; /* in all holes together */
	uint64_t base_page;  /* address of page 0 in pages: alignment is of addresses */

	/* VM_SEARCH_RADIX only. */
	unsigned int nr_levels;
	/* Start of the hole up to the end of the range; nr_pages: there is none. */
	uint32_t wild;
	/* [0] has a word per page, the last is one line. Lengths are whole lines. */
	uint32_t *level[VM_RADIX_LEVELS_MAX];
	size_t level_words[VM_RADIX_LEVELS_MAX];
	/* A boundary tag per page. */
	uint32_t *tag;
};

/* Bytes of node memory that a range of nr_pages needs. */
size_t vm_ranges_node_bytes(uint32_t nr_pages, enum vm_range_search search);

/*
 * base_page: address of the range divided by the page size. node_memory: zeroed,
 * of at least vm_ranges_node_bytes(); owned by the caller.
 */
void vm_ranges_init(struct vm_ranges *r, uint64_t base_page, uint32_t nr_pages,
		    enum vm_range_search search, void *node_memory);

/*
 * Takes nr pages (at least VM_RANGE_MIN_PAGES) at the lowest start whose address
 * is a multiple of align pages, a power of two. False when no hole can hold
 * them; nothing is changed then.
 */
KMEM_MUST_CHECK bool vm_range_alloc(struct vm_ranges *r, uint32_t nr, uint32_t align,
				    uint32_t *start);

/* Gives back exactly what vm_range_alloc() delivered; false: it is not taken. */
KMEM_MUST_CHECK bool vm_range_free(struct vm_ranges *r, uint32_t start, uint32_t nr);

/* Size of the largest hole. O(1), but for the list. */
uint32_t vm_range_largest(const struct vm_ranges *r);

/* Calls fn for each hole in address order until it returns false. */
void vm_range_each_hole(const struct vm_ranges *r,
			bool (*fn)(uint32_t start, uint32_t size, void *arg), void *arg);

/* Walks every invariant of the structure; 0, or -EFAULT with an error text. */
int vm_range_check(const struct vm_ranges *r);

/* --- between vm_range.c and its structures --- */

/* Whether nr aligned pages fit into the hole; *at: where. */
static inline bool vm_range_fits(const struct vm_ranges *r, uint32_t start, uint32_t size,
				 uint32_t nr, uint32_t align, uint32_t *at)
{
	uint64_t mask = (uint64_t)align - 1;
	uint64_t first = ((r->base_page + start + mask) & ~mask) - r->base_page;

	*at = (uint32_t)first;
	return first + nr <= (uint64_t)start + size;
}

uint32_t vm_range_node_get(struct vm_ranges *r, uint32_t start, uint32_t size);
void vm_range_node_put(struct vm_ranges *r, uint32_t node);

bool vm_range_tree_alloc(struct vm_ranges *r, uint32_t nr, uint32_t align,
			 uint32_t *start);
bool vm_range_tree_free(struct vm_ranges *r, uint32_t start, uint32_t nr);
bool vm_range_tree_each(const struct vm_ranges *r, uint32_t node,
			bool (*fn)(uint32_t start, uint32_t size, void *arg), void *arg);
int vm_range_tree_check(const struct vm_ranges *r);

bool vm_range_list_alloc(struct vm_ranges *r, uint32_t nr, uint32_t align,
			 uint32_t *start);
bool vm_range_list_free(struct vm_ranges *r, uint32_t start, uint32_t nr);
void vm_range_list_each(const struct vm_ranges *r,
			bool (*fn)(uint32_t start, uint32_t size, void *arg), void *arg);
int vm_range_list_check(const struct vm_ranges *r);

size_t vm_range_radix_bytes(uint32_t nr_pages);
void vm_range_radix_init(struct vm_ranges *r, void *memory);
bool vm_range_radix_alloc(struct vm_ranges *r, uint32_t nr, uint32_t align,
			  uint32_t *start);
bool vm_range_radix_free(struct vm_ranges *r, uint32_t start, uint32_t nr);
void vm_range_radix_each(const struct vm_ranges *r,
			 bool (*fn)(uint32_t start, uint32_t size, void *arg), void *arg);
uint32_t vm_range_radix_largest(const struct vm_ranges *r);
int vm_range_radix_check(const struct vm_ranges *r);

#endif /* KMEM_VMALLOC_VM_RANGE_H */
