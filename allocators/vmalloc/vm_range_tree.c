/* SPDX-License-Identifier: MIT */
/*
 * Holes in an AVL tree by address, with the largest hole of each subtree.
 *
 * No parent links: a descent writes down the nodes it passes (struct path), and
 * changes are carried up along that. AVL rather than red-black because lookups
 * outnumber changes of shape: most requests only shrink the hole they take
 * from, and most releases only extend a neighbour, neither of which moves a
 * node.
 */
#include "allocators/vmalloc/vm_range.h"
#include <kmem/error.h>

#include <assert.h>
#include <errno.h>

/* An AVL tree of 2^32 nodes is at most 1.44 * 32 levels deep. */
#define PATH_MAX_DEPTH 48

struct path {
	unsigned int depth;
	uint32_t node[PATH_MAX_DEPTH]; /* from the root down */
};

static void path_push(struct path *path, uint32_t node)
{
	assert(path->depth < PATH_MAX_DEPTH);
	path->node[path->depth++] = node;
}

static uint32_t max3(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t m = a > b ? a : b;

	return m > c ? m : c;
}

/* Recomputes what a node knows about its subtree. */
static void update(struct vm_range_node *nodes, uint32_t n)
{
	struct vm_range_node *node = &nodes[n];
	const struct vm_range_node *left = &nodes[node->left],
				   *right = &nodes[node->right];

	node->max = max3(node->size, left->max, right->max);
	node->height = 1 + (left->height > right->height ? left->height : right->height);
}

static uint32_t rotate_right(struct vm_range_node *nodes, uint32_t n)
{
	uint32_t top = nodes[n].left;

	nodes[n].left = nodes[top].right;
	nodes[top].right = n;
	update(nodes, n);
	update(nodes, top);
	return top;
}

static uint32_t rotate_left(struct vm_range_node *nodes, uint32_t n)
{
	uint32_t top = nodes[n].right;

	nodes[n].right = nodes[top].left;
	nodes[top].left = n;
	update(nodes, n);
	update(nodes, top);
	return top;
}

/* Restores the balance at n, whose subtrees differ by at most two; returns its new top.
 */
static uint32_t rebalance(struct vm_range_node *nodes, uint32_t n)
{
	uint32_t l = nodes[n].left, r = nodes[n].right;

	if (nodes[l].height > nodes[r].height + 1) {
		if (nodes[nodes[l].left].height < nodes[nodes[l].right].height)
			nodes[n].left = rotate_left(nodes, l);
		return rotate_right(nodes, n);
	}
	if (nodes[r].height > nodes[l].height + 1) {
		if (nodes[nodes[r].right].height < nodes[nodes[r].left].height)
			nodes[n].right = rotate_right(nodes, r);
		return rotate_left(nodes, n);
	}
	update(nodes, n);
	return n;
}

/* Makes `to` the child (or root) that `from` was, below the path's node number depth. */
static void relink(struct vm_ranges *r, const struct path *path, unsigned int depth,
		   uint32_t from, uint32_t to)
{
	struct vm_range_node *parent;

	if (depth == 0) {
		r->root = to;
		return;
	}
	parent = &r->nodes[path->node[depth - 1]];
	if (parent->left == from)
		parent->left = to;
	else
		parent->right = to;
}

/*
 * After a node was added or removed below the path: rebalances upwards. Nodes at
 * depth `changed` and above may have changed in themselves; below them, a node
 * that comes out as it was ends the work, since nothing can differ further up.
 */
static void carry_up(struct vm_ranges *r, const struct path *path, unsigned int changed)
{
	for (unsigned int i = path->depth; i-- > 0;) {
		uint32_t n = path->node[i], top;
		const struct vm_range_node before = r->nodes[n];

		top = rebalance(r->nodes, n);
		if (top != n)
			relink(r, path, i, n, top);
		else if (i < changed && r->nodes[n].height == before.height &&
			 r->nodes[n].max == before.max)
			return;
	}
}

/* After only the size of the path's last node changed: stops where nothing changes. */
static void carry_size_up(struct vm_ranges *r, const struct path *path)
{
	struct vm_range_node *nodes = r->nodes;

	for (unsigned int i = path->depth; i-- > 0;) {
		struct vm_range_node *node = &nodes[path->node[i]];
		uint32_t max = max3(node->size, nodes[node->left].max,
				    nodes[node->right].max);

		if (max == node->max)
			return;
		node->max = max;
	}
}

static void path_to(const struct vm_ranges *r, uint32_t start, struct path *path)
{
	uint32_t n = r->root;

	path->depth = 0;
	while (n != 0) {
		const struct vm_range_node *node = &r->nodes[n];

		path_push(path, n);
		if (start == node->start)
			return;
		n = start < node->start ? node->left : node->right;
	}
}

/* Adds a hole below the path's last node, where a descent for its start ended. */
static void insert_at(struct vm_ranges *r, const struct path *path, uint32_t start,
		      uint32_t size)
{
	uint32_t n = vm_range_node_get(r, start, size);
	struct vm_range_node *parent;

	if (path->depth == 0) {
		r->root = n;
		return;
	}
	parent = &r->nodes[path->node[path->depth - 1]];
	if (start < parent->start)
		parent->left = n;
	else
		parent->right = n;
	carry_up(r, path, path->depth);
}

/* Removes the path's last node. `changed` as for carry_up(). */
static void erase(struct vm_ranges *r, struct path *path, unsigned int changed)
{
	struct vm_range_node *nodes = r->nodes;
	unsigned int at = path->depth - 1;
	uint32_t n = path->node[at];

	if (nodes[n].left != 0 && nodes[n].right != 0) {
		/* The next hole in address order takes the node's place in the tree. */
		uint32_t next = nodes[n].right;

		while (next != 0) {
			path_push(path, next);
			next = nodes[next].left;
		}
		next = path->node[path->depth - 1];
		path->depth--;
		relink(r, path, path->depth, next, nodes[next].right);
		nodes[next].left = nodes[n].left;
		nodes[next].right = nodes[n].right;
		relink(r, path, at, n, next);
		path->node[at] = next;
		changed = changed < at ? changed : at;
	} else {
		uint32_t child = nodes[n].left != 0 ? nodes[n].left : nodes[n].right;

		relink(r, path, at, n, child);
		path->depth = at;
	}
	vm_range_node_put(r, n);
	carry_up(r, path, changed);
}

/* The leftmost hole of at least nr pages; the path ends at it. The root has one. */
static void first_fit(const struct vm_ranges *r, uint32_t nr, struct path *path)
{
	const struct vm_range_node *nodes = r->nodes;
	uint32_t n = r->root;

	path->depth = 0;
	for (;;) {
		path_push(path, n);
		if (nodes[nodes[n].left].max >= nr)
			n = nodes[n].left;
		else if (nodes[n].size >= nr)
			return;
		else
			n = nodes[n].right;
	}
}

/*
 * The leftmost hole in the subtree that starts at `from` or later and has nr
 * pages; 0 when there is none. Only subtrees on the border of `from` can be
 * entered in vain, so this visits O(height) nodes.
 */
static uint32_t first_fit_from(const struct vm_ranges *r, uint32_t n, uint32_t nr,
			       uint64_t from)
{
	const struct vm_range_node *node = &r->nodes[n];
	uint32_t found = 0;

	if (n == 0 || node->max < nr)
		return 0;
	if (node->start >= from) {
		found = first_fit_from(r, node->left, nr, from);
		if (found == 0 && node->size >= nr)
			found = n;
	}
	return found != 0 ? found : first_fit_from(r, node->right, nr, from);
}

/* As first_fit(), passing over holes that alignment spoils; false when none is left. */
static bool first_fit_aligned(const struct vm_ranges *r, uint32_t nr, uint32_t align,
			      struct path *path)
{
	uint64_t from = 0;
	uint32_t n, at;

	while ((n = first_fit_from(r, r->root, nr, from)) != 0) {
		const struct vm_range_node *hole = &r->nodes[n];

		if (vm_range_fits(r, hole->start, hole->size, nr, align, &at)) {
			path_to(r, hole->start, path);
			return true;
		}
		from = (uint64_t)hole->start + 1;
	}
	return false;
}

bool vm_range_tree_alloc(struct vm_ranges *r, uint32_t nr, uint32_t align,
			 uint32_t *start)
{
	struct vm_range_node *hole;
	uint32_t at, front, back;
	struct path path;

	if (r->nodes[r->root].max < nr)
		return false;
	if (align == 1)
		first_fit(r, nr, &path);
	else if (!first_fit_aligned(r, nr, align, &path))
		return false;

	hole = &r->nodes[path.node[path.depth - 1]];
	vm_range_fits(r, hole->start, hole->size, nr, align, &at);
	front = at - hole->start;
	back = hole->size - front - nr;
	*start = at;
	if (front == 0 && back == 0) {
		erase(r, &path, path.depth);
		return true;
	}
	if (front == 0) {
		hole->start += nr;
		hole->size = back;
	} else {
		hole->size = front;
	}
	carry_size_up(r, &path);
	if (front != 0 && back != 0) {
		path_to(r, at + nr, &path);
		insert_at(r, &path, at + nr, back);
	}
	return true;
}

/* Where a released range lies between the holes. */
struct place {
	struct path path;			/* of a descent for its start */
	uint32_t before, after;			/* the holes around it; 0: none */
	unsigned int before_depth, after_depth; /* both are on the path */
};

static void find_place(const struct vm_ranges *r, uint32_t start, struct place *place)
{
	uint32_t n = r->root;

	place->path.depth = 0;
	place->before = place->after = 0;
	while (n != 0) {
		path_push(&place->path, n);
		if (r->nodes[n].start <= start) {
			place->before = n;
			place->before_depth = place->path.depth;
			n = r->nodes[n].right;
		} else {
			place->after = n;
			place->after_depth = place->path.depth;
			n = r->nodes[n].left;
		}
	}
}

/*
 * The range closes the gap between two holes. One is an ancestor of the other,
 * being neighbours in order: it grows over all three, the lower one, in which the path
 * ends, goes.
 */
static void join_both(struct vm_ranges *r, struct place *place, uint32_t nr)
{
	struct vm_range_node *before = &r->nodes[place->before];
	struct vm_range_node *after = &r->nodes[place->after];
	uint32_t size = before->size + nr + after->size;

	if (place->before_depth < place->after_depth) {
		before->size = size;
		erase(r, &place->path, place->before_depth - 1);
	} else {
		after->start = before->start;
		after->size = size;
		erase(r, &place->path, place->after_depth - 1);
	}
}

bool vm_range_tree_free(struct vm_ranges *r, uint32_t start, uint32_t nr)
{
	struct vm_range_node *before, *after;
	uint32_t end = start + nr;
	bool joins_before, joins_after;
	struct place place;

	find_place(r, start, &place);
	before = &r->nodes[place.before];
	after = &r->nodes[place.after];
	if (place.before != 0 && before->start + before->size > start)
		return false;
	if (place.after != 0 && after->start < end)
		return false;
	joins_before = place.before != 0 && before->start + before->size == start;
	joins_after = place.after != 0 && after->start == end;

	if (joins_before && joins_after) {
		join_both(r, &place, nr);
	} else if (joins_before) {
		before->size += nr;
		place.path.depth = place.before_depth;
		carry_size_up(r, &place.path);
	} else if (joins_after) {
		after->start = start;
		after->size += nr;
		place.path.depth = place.after_depth;
		carry_size_up(r, &place.path);
	} else {
		insert_at(r, &place.path, start, nr);
	}
	return true;
}

bool vm_range_tree_each(const struct vm_ranges *r, uint32_t node,
			bool (*fn)(uint32_t start, uint32_t size, void *arg), void *arg)
{
	const struct vm_range_node *hole = &r->nodes[node];

	if (node == 0)
		return true;
	return vm_range_tree_each(r, hole->left, fn, arg) &&
	       fn(hole->start, hole->size, arg) &&
	       vm_range_tree_each(r, hole->right, fn, arg);
}

static int check_subtree(const struct vm_ranges *r, uint32_t n, uint64_t low,
			 uint64_t high, uint32_t *count)
{
	const struct vm_range_node *node = &r->nodes[n];
	const struct vm_range_node *left = &r->nodes[node->left];
	const struct vm_range_node *right = &r->nodes[node->right];
	int err;

	if (n == 0)
		return 0;
	if (n >= r->next_node)
		return kmem_error(-EFAULT,
				  "vmalloc tree links to node %u, which was never used",
				  n);
	if (++*count > r->nr_nodes)
		return kmem_error(-EFAULT,
				  "vmalloc tree has more nodes than the %u in use",
				  r->nr_nodes);
	if (node->start < low || (uint64_t)node->start + node->size > high ||
	    node->size == 0)
		return kmem_error(-EFAULT, "vmalloc hole at page %u is out of order",
				  node->start);
	err = check_subtree(r, node->left, low, node->start, count);
	if (err == 0)
		err = check_subtree(r, node->right, (uint64_t)node->start + node->size,
				    high, count);
	if (err != 0)
		return err;
	if (node->height !=
		    1 + (left->height > right->height ? left->height : right->height) ||
	    left->height > right->height + 1 || right->height > left->height + 1)
		return kmem_error(-EFAULT, "vmalloc tree is out of balance at page %u",
				  node->start);
	if (node->max != max3(node->size, left->max, right->max))
		return kmem_error(
			-EFAULT,
			"vmalloc tree: largest hole below page %u is %u, it says %u",
			node->start, max3(node->size, left->max, right->max), node->max);
	return 0;
}

int vm_range_tree_check(const struct vm_ranges *r)
{
	static const struct vm_range_node none;
	uint32_t count = 0;
	int err = check_subtree(r, r->root, 0, r->nr_pages, &count);

	if (err != 0)
		return err;
	if (count != r->nr_nodes)
		return kmem_error(-EFAULT, "vmalloc tree reaches %u of its %u nodes",
				  count, r->nr_nodes);
	if (__builtin_memcmp(&r->nodes[0], &none, sizeof(none)) != 0)
		return kmem_error(-EFAULT, "vmalloc tree: the empty node was written");
	return 0;
}
