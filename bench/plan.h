/* SPDX-License-Identifier: MIT */
/*
 * The plan of a run: which cells, how often, with which settings.
 *
 * A grid names lists; the plan holds every cell of it. Cells that differ in the
 * allocator only form a group: what will be compared, and runs close in time.
 *
 * A block runs each cell once. By slices, the processes of a group are alive
 * together and take turns, in rotations of as many as memory and the caches bear;
 * the reference runs along in each rotation. By the plain method they run one after
 * another.
 */
#ifndef KMEMBENCH_PLAN_H
#define KMEMBENCH_PLAN_H

#include <jansson.h>

#include "workloads/workload.h"

/* Lists as a user types them; NULL: each workload's own default. */
struct grid {
	const char *allocators; /* "slab:percpu=off,colour=on,glibc" */
	const char *workloads;	/* "pair,batch:order=lifo" */
	const char *sizes;	/* "16,64,1K", "16..64K" (doubling) */
	const char *threads;	/* "1,2", "1..8" (doubling) */
	json_t *params;	   /* {"name": "value" or "value,value"}; borrowed; may be NULL */
	const char *touch; /* a touch rule, or a list of them; NULL: the workload's */
	bool check;
	const double *memory_time_s; /* NULL: as the plan has it */
};

struct plan_cell {
	char *allocator; /* variant, as it was named */
	const struct allocator_ops *ops;
	const struct workload_ops *workload;
	uint64_t size_bytes;
	unsigned int threads;
	json_t *params;	    /* explicitly given ones, as strings */
	json_t *all_params; /* with the defaults, as the results have them */
	bool check;
	double memory_time_s; /* negative: as the plan has it */
	char *key;	      /* "pair/slab/size:64/threads:2" */
	unsigned int group;
	uint64_t footprint_bytes; /* about what one process holds live at most */
	double idle_s;		  /* that its memory pass goes on after the work */
};

enum plan_method {
	METHOD_SLICES, /* processes alive together, taking turns */
	METHOD_PLAIN,  /* one process after another, timed by Google Benchmark */
};
/* "slices", "plain", NULL; indexed by enum plan_method. */
extern const char *const plan_method_names[];

/* Where a run stops when --precision decides: see campaign_stop.c. */
#define PLAN_BLOCKS_FIRST 10u
#define PLAN_BLOCKS_MORE  5u
#define PLAN_BLOCKS_MAX	  40u

struct plan {
	struct plan_cell *cells;
	size_t count, capacity;
	unsigned int groups;
	json_t *skipped;   /* [{"allocator", "package", "reason"}] */
	json_t *libraries; /* [["name", "path"]] of --library */

	/* settings of every cell */
	enum plan_method method;
	unsigned int reps;    /* blocks; 0: until every ratio is known to precision_pct */
	double precision_pct; /* half the width of a ratio's 95 % interval */
	const char *baseline; /* variant; NULL: glibc, else a group's first; borrowed */
	bool layout_fixed;    /* no address space randomisation, no padding */
	double time_s;	      /* negative: the method's own; see plan_time_s() */
	double latency_time_s; /* negative: half of time_s */
	double memory_time_s;  /* negative: latency_time_s; 0: no memory pass */
	double slice_s; /* a slice of the reference; 0: by the rules of rotation.c */
	double timeout_s;
	uint64_t ops; /* per thread; 0: by time */
	uint64_t seed;
	bool icount; /* count each cell's instructions once, in block 0: icount.h */
};

void plan_init(struct plan *plan);
void plan_release(struct plan *plan);

/*
 * Adds every cell of a grid. Before anything runs it refuses unknown names (the
 * nearest are named), options, sizes and counts that cannot be, and pairs of
 * allocator and workload of which one lacks a capability. An allocator whose
 * library is not installed is skipped, with its package's name. Messages go to
 * stderr. 0 or -EINVAL.
 */
int plan_add_grid(struct plan *plan, const struct grid *grid);

/* Adds one cell, unless it is there already; takes over what the cell points to. */
void plan_add_cell(struct plan *plan, struct plan_cell cell);

/* "name=path" of --library. 0 or -EINVAL, with a message on stderr. */
int plan_add_library(struct plan *plan, const char *text);

/* Whether one of the workloads in a list, as typed, has a parameter of that name. */
bool plan_has_param(const char *workloads, const char *name);

/* Results are JSON, which takes nothing else. */
bool plan_text_is_utf8(const char *text);

/* The times of a cell's passes, with what is not given filled in. */
double plan_time_s(const struct plan *plan);
double plan_latency_time_s(const struct plan *plan);
double plan_memory_time_s(const struct plan *plan);
double plan_cell_memory_time_s(const struct plan *plan, const struct plan_cell *cell);

/* The most blocks that a group may get. */
unsigned int plan_blocks_max(const struct plan *plan);

/* The variant that a group's others are compared with: a cell of it, by index. */
size_t plan_reference(const struct plan *plan, unsigned int group);

/*
 * Identifies cells, their parameters, libraries and settings (not the seed): a
 * journal belongs to one plan.
 */
uint64_t plan_hash(const struct plan *plan);

/* A number for a block and a purpose, the same in every run with this seed. */
uint64_t plan_draw(const struct plan *plan, uint64_t block, uint64_t purpose);

/* The description that a cell's process reads; a new reference. */
json_t *plan_cell_spec(const struct plan *plan, const struct plan_cell *cell,
		       unsigned int block);

/*
 * The order of one block: groups in random order, and within each group its
 * cells in random order. order has plan->count elements.
 */
void plan_block_order(const struct plan *plan, unsigned int block, size_t *order);

#endif /* KMEMBENCH_PLAN_H */
