/* SPDX-License-Identifier: MIT */
/* A results file as cells: for each workload, parameters, threads and allocator one list
 * of figures, block by block. */
#ifndef KMEMBENCH_COMPARE_CELLS_H
#define KMEMBENCH_COMPARE_CELLS_H

#include <jansson.h>

#include <kmem/compiler.h>

struct figure {
	int block;
	double value;
	const json_t *entry; /* of benchmarks[]; borrowed */
};

struct measured_cell {
	char *key;	       /* without the allocator: result_comparison_key() */
	char *label;	       /* the same for people: only what was asked for by name */
	const char *allocator; /* this and the following are borrowed from the file */
	const char *workload, *op;
	const json_t *params;
	int threads;
	struct figure *figures; /* by ascending block */
	size_t count;
	unsigned int failed, skipped; /* blocks without figures */
	const char *reason;	      /* of the first of those; NULL when there is none */
};

struct cell_set {
	struct measured_cell *cells; /* in the file's order */
	size_t count, capacity;
	json_t *index; /* key and allocator, and an entry's name, to position */
};

/*
 * Gathers a metric's figures. 0, -ENOMEM, or -EINVAL with a text that names a cell that
 * the file holds twice for a block. Release in either case.
 */
KMEM_MUST_CHECK int cell_set_gather(const json_t *file, const char *metric,
				    struct cell_set *set);
void cell_set_release(struct cell_set *set);

/* NULL when the file has no such cell. */
const struct measured_cell *cell_set_find(const struct cell_set *set, const char *key,
					  const char *allocator);
/* The figure of a block; false when there is none. */
bool measured_cell_block(const struct measured_cell *cell, int block, double *value);
/* The same with its entry; NULL when there is none. */
const struct figure *measured_cell_figure(const struct measured_cell *cell, int block);

/*
 * The block's estimate of log(cell / baseline) from slices, of a metric that follows
 * from the slices' times. False where the two have none in common: then their figures
 * are what there is.
 */
bool cell_set_slices(const struct cell_set *set, const char *metric,
		     const struct measured_cell *cell, const struct figure *figure,
		     const struct figure *baseline, double *log_ratio);

#endif /* KMEMBENCH_COMPARE_CELLS_H */
