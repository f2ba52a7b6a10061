/* SPDX-License-Identifier: MIT */
/*
 * A rotation: processes of one block that are alive together and take turns.
 *
 * All are started, made ready and warmed up; then, round after round, each gets one
 * slice, in an order that is shuffled every round; then each does its latency pass by
 * itself while the rest sleeps; at last each has its memory pass in a fresh process. What
 * is compared thus runs a millisecond apart on the same CPUs, and drift of the machine
 * falls on all alike.
 *
 * A slice has a lead-in that is not on the clock. The others have filled the caches in
 * between, and without it the figure would be that of a cold start: see
 * rotation_lead_in_s().
 */
#ifndef KMEMBENCH_ROTATION_H
#define KMEMBENCH_ROTATION_H

#include <jansson.h>

#include "bench/cell_process.h"

/* Fewer rounds have no quarter to trim, and more in one process tell nothing new. */
#define ROTATION_ROUNDS_MIN 5u
#define ROTATION_ROUNDS_MAX 1000u

struct rotation_settings {
	double time_s;	/* of slices, for the reference */
	double slice_s; /* of the reference; 0: rotation_slice_s() */
	uint64_t ops;	/* of a thread, in place of time_s; 0: by time */
	unsigned int threads;
	double timeout_s;	  /* of each process */
	uint64_t footprint_bytes; /* about what the workload keeps live; 0: not known */
	int cpu;       /* of the first worker, where the coordinator waits; -1: any */
	uint64_t seed; /* of the order in the rounds */
};

struct rotation_member {
	json_t *spec; /* borrowed */
	struct process_layout layout;
	/* It runs along for the others' sake, and has its entry in another rotation. */
	bool slices_only;
	/* The entry, or {"status": "failed", "error": ...}; the caller owns it. NULL for
	 * slices_only, and when interrupted. */
	json_t *entry;

	/* inside */
	struct cell_process *process;
	double quantum_ns;	 /* as it was warmed up */
	uint64_t resident_bytes; /* then */
	uint64_t quanta;	 /* of its slices */
	uint64_t lead_in;	 /* before each: quanta off the clock */
	uint64_t ops;		 /* of all its slices, or of a quantum before the first */
	double *ns_per_op;	 /* of each round */
};

struct rotation {
	const struct rotation_settings *settings;
	unsigned int number; /* in its group and block */
	const char *reference_name;
	size_t reference; /* a member */
	struct rotation_member *members;
	size_t count;

	/* inside */
	unsigned int rounds;
};

/* Runs it, and fills each member's entry. False when interrupted. */
bool rotation_run(struct rotation *r);

/*
 * What a slice goes through, bytes: what the process holds, but at most four times what
 * the workload keeps live, and 64 KiB. Some allocators touch megabytes of their own when
 * they start, and never again.
 */
uint64_t rotation_working_set(uint64_t resident_bytes, uint64_t footprint_bytes);

/* How long the lead-in of each slice must be for so large a working set. */
double rotation_lead_in_s(uint64_t working_set_bytes);

/* How long a slice should be after such a lead-in: half a millisecond, or a quarter of
 * the lead-in, which has to be paid anyway. */
double rotation_slice_s(double lead_in_s);

/*
 * Quanta of a member's slice. The reference gets as many as are worth slice_ns, at
 * least one; so does everybody else, unless that is worth less than 0.4 or more than 4
 * times slice_ns there: then as many as are worth slice_ns to the member itself.
 */
uint64_t rotation_quanta(double reference_quantum_ns, double quantum_ns, double slice_ns);

/*
 * How many rounds there are: as many slices as fit into time_s; not less than 20 where
 * slices are long, nor more than fit into ten times time_s with their lead-in (the
 * slowest member's turn is turn_ns), nor less than ROTATION_ROUNDS_MIN.
 */
unsigned int rotation_rounds(double time_s, double slice_ns, double turn_ns);

/*
 * Which rotation each of n cells runs in, the reference aside, when `capacity`
 * processes can be alive together: as few rotations as possible, as even as possible.
 * rotation[reference] is 0. Returns how many there are. With capacity 1 everybody is
 * alone.
 */
unsigned int rotation_assign(size_t n, size_t reference, unsigned int capacity,
			     unsigned int *rotation);

/* How many processes of this footprint may be alive together. */
unsigned int rotation_capacity(uint64_t footprint_bytes, uint64_t available_bytes);

#endif /* KMEMBENCH_ROTATION_H */
