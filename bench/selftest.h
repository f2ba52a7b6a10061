/* SPDX-License-Identifier: MIT */
/*
 * selftest: is this machine fit to measure, and does the harness tell the truth here?
 *
 * What the comparison promises was found on other machines; so every promise is tried
 * afresh on this one, on differences of known size: none at all (one allocator under
 * two names), and planted ones (allocators/peers/planted.c).
 *
 *   a-against-a     how often is one allocator called faster or slower than itself
 *   planted-slow    how often is 3 % more time called slower
 *                   both for cells that fit the caches, for several threads, and for
 *                   working sets beyond the second and the last cache, apart
 *   planted-instructions  is 1 % more instructions called slower by --icount
 *   planted-leak    is a leak of known size found by resident memory
 *   planted-tail    does a delay of 20 us in each 1000th allocation show at the right
 *                   percentile with the right size
 *
 * A rate comes with the 95 % interval of Clopper and Pearson (1934). A check is `ok`
 * when the rate found reaches the goal, `fail` when the interval excludes the goal, and
 * `warn` in between (more cells would tell) or when a pair took longer than it should.
 */
#ifndef KMEMBENCH_SELFTEST_H
#define KMEMBENCH_SELFTEST_H

#include <jansson.h>

#include "bench/fitness.h"
#include "bench/plan.h"
#include "workloads/harness/tsc_fast.h"

#define SELFTEST_AA_GOAL       0.01 /* at most this share of pairs is called different */
#define SELFTEST_SLOW_GOAL     0.95 /* at least this share of planted pairs is found */
#define SELFTEST_PAIR_S_GOAL   2.0
#define SELFTEST_PRECISION_PCT 1.0

struct selftest_options {
	bool quick, json, quiet;
	bool with_icount;
	unsigned int cells; /* at most so many of a class; 0: the defaults */
	unsigned int reps;  /* blocks; 0: as many as the precision takes */
	uint64_t seed;
};

/* One promise, tried. */
struct selftest_check {
	const char *name, *class;   /* class: "cached" and so on, or "" */
	enum fitness_status status; /* FITNESS_UNKNOWN: could not be tried, see text */
	char text[256];		    /* what was found, for people */
	bool noise;		    /* a failure that noise explains */
	double seconds;
	json_t *details; /* owned */
};

#define SELFTEST_CHECKS_MAX 32

struct selftest_timer {
	struct tsc_clock clock;
	double clock_gettime_ns;
	double calibration_difference_pct; /* between two calibrations */
	enum fitness_status status;
};

struct selftest {
	struct selftest_options options;
	struct fitness_item fitness[FITNESS_ITEMS_MAX];
	size_t fitness_count;
	struct fitness_noise noise;
	struct selftest_timer timer;
	struct selftest_check checks[SELFTEST_CHECKS_MAX];
	size_t count;
	double seconds;
	bool interrupted;
};

/* --- selftest_cells.c: which cells are tried --- */

/* How an allocator and its counterpart are written, over a base allocator's name. */
struct selftest_pair {
	const char *control, *other; /* with one %s each */
};

struct selftest_class {
	const char *name;
	unsigned int cells, cells_quick; /* defaults */
	bool beyond_llc;
};
extern const struct selftest_class selftest_classes[];
extern const size_t selftest_classes_count;

/*
 * Adds at most `limit` cells of a class, each with both allocators of the pair, over
 * the allocators that are installed in turn. Returns how many; 0 with a text when this
 * machine cannot have such cells.
 */
unsigned int selftest_add_cells(struct plan *plan, const struct selftest_class *class,
				const struct selftest_pair *pair, unsigned int limit);

/* The n-th installed base allocator; NULL past the last. */
const char *selftest_base(size_t n);

/* --- the checks; each adds what it found --- */

/* A new check with its name, class, and empty details. */
struct selftest_check *selftest_new_check(struct selftest *t, const char *name,
					  const char *class);
/* A plan as the checks use it: quiet, short passes. */
void selftest_plan_init(struct plan *plan, const struct selftest *t);
/* Runs it; the results' root, or NULL with the check failed, or interrupted. */
json_t *selftest_run(struct selftest *t, struct plan *plan, struct selftest_check *check);

/*
 * Mean of a figure that the planted allocator reports of itself, over the cells where it
 * is above 0; NAN: none.
 */
double selftest_planted_mean(const json_t *root, const char *stat);

void selftest_clock(struct selftest *t);
void selftest_rates(struct selftest *t);
void selftest_icount(struct selftest *t);
void selftest_leak(struct selftest *t);
void selftest_tail(struct selftest *t);

/* Two-sided 95 % interval of a rate of x in n: exact, Clopper & Pearson 1934. */
void selftest_rate_interval(unsigned int x, unsigned int n, double *low, double *high);

/* --- selftest_report.c --- */

/* EXIT_DONE, EXIT_TOO_NOISY or EXIT_CELL_FAILED. */
int selftest_exit_code(const struct selftest *t);
/* A new reference; the format is described in selftest_report.c. */
json_t *selftest_json(const struct selftest *t);
void selftest_print(const struct selftest *t);

#endif /* KMEMBENCH_SELFTEST_H */
