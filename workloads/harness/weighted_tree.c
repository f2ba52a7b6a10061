/* SPDX-License-Identifier: MIT */
#include "workloads/harness/weighted_tree.h"

#include "workloads/harness/arena.h"

void weighted_tree_init(struct weighted_tree *tree, size_t n)
{
	tree->leaves = 1;
	while (tree->leaves < n)
		tree->leaves *= 2;
	tree->node = arena_alloc(2 * tree->leaves * sizeof(double));
}

void weighted_tree_release(struct weighted_tree *tree)
{
	arena_free(tree->node, 2 * tree->leaves * sizeof(double));
	tree->node = NULL;
}

void weighted_tree_set(struct weighted_tree *tree, size_t i, double weight)
{
	double *node = tree->node;

	i += tree->leaves;
	node[i] = weight;
	for (i /= 2; i > 0; i /= 2)
		node[i] = node[2 * i] + node[2 * i + 1];
}

size_t weighted_tree_pick(const struct weighted_tree *tree, double u)
{
	const double *node = tree->node;
	double left = u * node[1];
	size_t i = 1;

	while (i < tree->leaves) {
		i *= 2;
		/* Rounding may leave a remainder on a side that has no weight. */
		if (node[i + 1] > 0 && (left >= node[i] || node[i] <= 0)) {
			left -= node[i];
			i++;
		}
	}
	return i - tree->leaves;
}
