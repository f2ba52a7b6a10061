/* SPDX-License-Identifier: MIT */
/*
 * Is this machine fit to measure? What is known to disturb measurements, one item
 * each: what was found, how bad it is, and what to do about it.
 */
#ifndef KMEMBENCH_FITNESS_H
#define KMEMBENCH_FITNESS_H

#include <jansson.h>

#include <kmem/compiler.h>

enum fitness_status {
	FITNESS_OK,
	FITNESS_WARN,	 /* figures scatter or are biased, comparisons still hold */
	FITNESS_FAIL,	 /* do not measure here before this is put right */
	FITNESS_UNKNOWN, /* this system does not tell; neither good nor bad */
};

/* "ok", "warn", "fail", "not known" */
const char *fitness_status_name(enum fitness_status status);

#define FITNESS_ITEMS_MAX 32

struct fitness_item {
	const char *name; /* "governor" */
	enum fitness_status status;
	char value[160];    /* what was found, for people; "" when not known */
	const char *remedy; /* a sentence; "" where there is nothing to do */
};

/*
 * Reads what the kernel says about the machine. root is put before every path: ""
 * for this machine, a folder of made-up files in tests. Returns how many items were
 * filled, FITNESS_ITEMS_MAX at most.
 */
size_t fitness_examine(const char *root, struct fitness_item *items);

/* How steady the processor is, and what the clock costs: fitness_noise.c. */
struct fitness_noise {
	unsigned int slices;
	double slice_ns;  /* median */
	double step_pct;  /* median difference between a slice and the next */
	double drift_pct; /* the same between a slice and that a tenth of all later */
	double worst_pct; /* longest slice, above the median */
	double steal_pct; /* of CPU time meanwhile, taken by the hypervisor; < 0: not
			   * known
			   */
};

/* Times a loop without memory accesses in slices of about 0.5 ms. Takes seconds. */
void fitness_measure_noise(double seconds, struct fitness_noise *noise);
/* Judges it: two items, the noise floor and stolen time. Returns how many. */
size_t fitness_judge_noise(const struct fitness_noise *noise, struct fitness_item *items);

/* Worst status of all; FITNESS_UNKNOWN counts as ok. */
enum fitness_status fitness_worst(const struct fitness_item *items, size_t count);

/* [{"name", "status", "value", "remedy"}]; a new reference. */
json_t *fitness_json(const struct fitness_item *items, size_t count);

#endif /* KMEMBENCH_FITNESS_H */
