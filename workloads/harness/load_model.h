/* SPDX-License-Identifier: MIT */
/*
 * A model of a program's allocations: how often which sizes are asked for, how long
 * they live, and who frees them. Fitted from a trace, read by the workload
 * `empirical`.
 *
 * THE MODEL. Blocks are of several kinds, the cells of a table of size class by
 * lifetime class. Time is counted in births, the allocations of the whole program that
 * are freed again (a realloc is a death and a birth). Blocks of cell i are born at rate
 * weight_i, the share of all births, and each dies at rate 1 / life_i: within a cell
 * lifetimes are exponential, over the cells a mixture of exponentials that follows the
 * program's. On average weight_i * life_i of them live (Little's law), of mean_i bytes,
 * so that the mean of the live bytes is the program's, as weighted by births. A share
 * handed_i is freed by another thread than allocated it. Blocks that the program never
 * freed are `kept`: there from the beginning, and to the end. Phases, and any dependence
 * between one block and the next, are lost.
 *
 * After the empirical driver of TCMalloc and fleetbench (Google), which draws births and
 * deaths from tables of this kind.
 *
 * THE FILE. Text, one item a line, '#' begins a comment:
 *
 *   kmembench-model 1
 *   source TEXT                what the model was fitted from
 *   threads N                  that allocated, by their shares: 1 / sum of squares
 *   rate N                     births a second; 0: not known
 *   births N                   of the trace, on which the table rests
 *   cell LOW HIGH MEAN WEIGHT LIFE HANDED
 *   kept LOW HIGH MEAN COUNT
 *   end
 *
 * Sizes in bytes. The weights need not add up to 1: their sum is made 1.
 */
#ifndef KMEMBENCH_LOAD_MODEL_H
#define KMEMBENCH_LOAD_MODEL_H

#include "workloads/harness/rng_fast.h"
#include "workloads/harness/trace.h"

#define LOAD_CELLS_MAX	  4096
#define LOAD_KEPT_MAX	  512
#define LOAD_SIZE_MAX	  ((uint64_t)1 << 31)
#define LOAD_CELLS_NORMAL 1024 /* what a fit makes at most, unless told otherwise */

struct load_sizes {
	uint64_t low, high; /* inclusive */
	double mean;
};

struct load_cell {
	struct load_sizes sizes;
	double weight; /* share of births; the sum over the cells is 1 */
	double life;   /* mean, in births of the program; > 0 */
	double handed; /* share that another thread frees */
};

struct load_kept {
	struct load_sizes sizes;
	uint64_t count;
};

struct load_model {
	char source[160];
	double threads;
	double rate;
	uint64_t births;
	uint32_t cells, kepts;
	struct load_cell cell[LOAD_CELLS_MAX];
	struct load_kept kept[LOAD_KEPT_MAX];
};

/* The model that is used when no other is named: text in the format above. */
extern const char load_model_builtin[];

/* From an arena. path NULL or "": the built-in one. 0, or -errno with a text that names
 * file and line. */
int load_model_read(const char *path, struct load_model **model);
/* The same from a text; name is for error texts. */
int load_model_parse(const char *name, const char *text, size_t bytes,
		     struct load_model **model);
void load_model_delete(struct load_model *model);

/* Writes the file whole. 0 or -errno with a text. */
int load_model_write(const char *path, const struct load_model *model);

/*
 * Fits a model of at most cells_max cells (8 .. LOAD_CELLS_MAX): sizes that make up 0.2 %
 * of the births by themselves, the others in quarters of octaves; lifetimes in octaves;
 * all coarser where that makes too many. Takes 16 bytes an id while it works. From an
 * arena; 0, or -errno with a text.
 */
int load_model_fit(const struct trace *trace, uint32_t cells_max,
		   struct load_model **model);

/* A size: uniform below the mean and above it, with such shares that the mean holds. */
uint64_t load_sizes_draw(const struct load_sizes *sizes, struct rng *rng);

/* Means over time of what lives when the program's number of threads allocates. */
double load_model_live_blocks(const struct load_model *model);
double load_model_live_bytes(const struct load_model *model);
/* Largest size that can be drawn. */
uint64_t load_model_size_max(const struct load_model *model);

#endif /* KMEMBENCH_LOAD_MODEL_H */
