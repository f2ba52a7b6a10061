/* SPDX-License-Identifier: MIT */
/*
 * Random choice by weights that change: a complete binary tree over the weights,
 * each node the sum of its two children. Setting a weight and drawing one take a
 * step per level. Sums are made anew on the way up, never adjusted by differences,
 * so that rounding does not add up however often weights change.
 *
 * C. K. Wong, M. C. Easton, An efficient method for weighted sampling without
 * replacement, SIAM Journal on Computing 9 (1980).
 */
#ifndef KMEMBENCH_WEIGHTED_TREE_H
#define KMEMBENCH_WEIGHTED_TREE_H

#include <kmem/compiler.h>

struct weighted_tree {
	double *node; /* 1: the root; node i has the children 2i and 2i + 1 */
	size_t leaves;
};

/* n weights of 0, from an arena; n >= 1. */
void weighted_tree_init(struct weighted_tree *tree, size_t n);
void weighted_tree_release(struct weighted_tree *tree);
/* weight >= 0 and finite. */
void weighted_tree_set(struct weighted_tree *tree, size_t i, double weight);

static inline double weighted_tree_total(const struct weighted_tree *tree)
{
	return tree->node[1];
}

/* i with probability weight(i) / total, for u uniform in [0, 1). Never one of weight 0
 * while the total is not 0. */
size_t weighted_tree_pick(const struct weighted_tree *tree, double u);

#endif /* KMEMBENCH_WEIGHTED_TREE_H */
