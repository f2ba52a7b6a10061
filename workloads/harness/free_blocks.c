/* SPDX-License-Identifier: MIT */
#include "workloads/harness/free_blocks.h"

#include <stdlib.h>
#include <string.h>

static void take_stat(const char *name, double value, void *arg)
{
	static const char prefix[] = "free_blocks_order_";
	struct free_blocks *b = arg;

	if (strcmp(name, "free_pages_highmem") == 0)
		b->highmem_pages = value;
	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0) {
		unsigned long order = strtoul(name + sizeof(prefix) - 1, NULL, 10);

		if (order < MAX_ORDER) {
			b->of_order[order] = value;
			b->known = true;
		}
	}
}

void free_blocks_read(struct allocator *a, struct free_blocks *b)
{
	memset(b, 0, sizeof(*b));
	if (a->ops->stats != NULL)
		a->ops->stats(a, take_stat, b);
}

double free_blocks_pages(const struct free_blocks *b, unsigned int order)
{
	double pages = -b->highmem_pages;

	for (unsigned int k = order; k < MAX_ORDER; k++)
		pages += b->of_order[k] * (double)(1u << k);
	return pages > 0 ? pages : 0;
}

double free_blocks_unusable(const struct free_blocks *b, unsigned int order)
{
	double all = free_blocks_pages(b, 0);

	return all > 0 ? (all - free_blocks_pages(b, order)) / all : 0;
}

bool free_blocks_fragmentation(const struct free_blocks *b, unsigned int order,
			       double *index)
{
	double blocks = -b->highmem_pages / (double)MAX_ORDER_NR_PAGES;

	if (free_blocks_pages(b, order) > 0)
		return false;
	for (unsigned int k = 0; k < MAX_ORDER; k++)
		blocks += b->of_order[k];
	if (blocks <= 0)
		return false;
	*index = 1 - (1 + free_blocks_pages(b, 0) / (double)(1u << order)) / blocks;
	return true;
}
