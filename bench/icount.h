/* SPDX-License-Identifier: MIT */
/*
 * Instructions per operation, counted by callgrind (run --icount).
 *
 * A cell's process runs once more under valgrind's callgrind, which executes every
 * instruction in a model of the processor and counts it. Only a fixed number of quanta
 * after a warm-up is counted. The harness's own share is in the count; that of the
 * floor `null` shows how much it is.
 *
 * With one thread the count is the same to the instruction every time, as long as the
 * allocator decides nothing by time, address or chance: seed, environment, cache model
 * and (where the system allows it) layout are fixed. With more threads it depends on
 * who waits for whom.
 *
 * Counts are not time: they say nothing about misses, predictions or locks, and fit
 * a gate for one source, not a comparison of allocators. Cache misses are those of
 * the model below, not of this machine. valgrind has no rseq: libkmem's per-CPU
 * stacks work under a lock there.
 */
#ifndef KMEMBENCH_ICOUNT_H
#define KMEMBENCH_ICOUNT_H

#include <jansson.h>

#include "bench/plan.h"

/* The cell's quanta: not counted, then counted. */
#define ICOUNT_WARM_UP_QUANTA 2
#define ICOUNT_QUANTA	      4

/*
 * The model's caches as callgrind takes them: bytes, ways, bytes a line. The same on
 * every machine, so that counts from different ones compare.
 */
#define ICOUNT_I1 "32768,8,64"
#define ICOUNT_D1 "32768,8,64"
#define ICOUNT_LL "8388608,16,64"

struct icount {
	double ops; /* of all threads */
	double instructions, data_reads, data_writes;
	double l1d_misses, ll_misses; /* of data, reads and writes */
	char tool[64];		      /* "callgrind-3.19.0" */
	bool fixed_layout;	      /* addresses were not randomised */
};

/* 0, or -ENOENT or -ENOTSUP with a text that names the remedy. */
KMEM_MUST_CHECK int icount_available(void);

/*
 * Counts one cell, in some seconds. 0, -EINTR after Ctrl-C, or another negative errno
 * with a text: the cell failed, or did not end within twenty times plan->timeout_s.
 */
KMEM_MUST_CHECK int icount_cell(const struct plan *plan, const struct plan_cell *cell,
				struct icount *count);

/*
 * Counts a cell and adds the figures to its entry: instructions_per_op,
 * l1d_misses_modelled_per_op, ll_misses_modelled_per_op, and "icount" under
 * "kmembench". Where that fails, a warning and the reason among counters_absent.
 * An entry of a failed cell is left alone. -EINTR after Ctrl-C, else 0.
 */
KMEM_MUST_CHECK int icount_add(const struct plan *plan, const struct plan_cell *cell,
			       json_t *entry);

/* A table of counts per operation, one row a cell, to stdout; nothing without counts. */
void icount_print(const json_t *root);

/* Reads the totals of a callgrind output file. 0 or -errno with a text. For tests. */
KMEM_MUST_CHECK int icount_parse(const char *path, struct icount *count);

struct cell;
/* In the cell: the counted pass. Returns the operations that were counted. */
uint64_t cell_icount_pass(struct cell *cell);

#endif /* KMEMBENCH_ICOUNT_H */
