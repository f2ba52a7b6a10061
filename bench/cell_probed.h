/* SPDX-License-Identifier: MIT */
/* What the two probed passes of a cell share, and what the memory pass leaves. */
#ifndef KMEMBENCH_CELL_PROBED_H
#define KMEMBENCH_CELL_PROBED_H

#include "bench/cell.h"
#include "bench/sampler.h"

/*
 * Quanta that each thread does in time_s, judged by the throughput pass: at
 * least 1. extra_pairs: what a probe adds to each operation, in clock pairs. All threads
 * do the same number, as in the throughput pass, so that producers and consumers
 * stay paired.
 */
uint64_t cell_probed_quanta(const struct cell *cell, double time_s, double extra_pairs);

/*
 * Runs main_of(cell, index) for each thread of the pass and waits for the end of all,
 * with cell->barrier for cell->run.threads threads. The main thread is index 0, as in
 * the throughput pass: with one thread, the process has no other that works, and an
 * allocator that treats the first thread or a single-threaded process in its own way
 * (glibc does both) does so in all passes.
 */
void cell_probed_threads(struct cell *cell, void (*main_of)(struct cell *, unsigned int));

/* L's maximum over all probes of a pass, bytes. */
uint64_t cell_live_bytes_max(const struct probe *probes, unsigned int threads);

/* Latency in one stretch of the memory pass: how speed changes with age. */
struct age_segment {
	uint64_t allocated_bytes; /* since the pass began, at the segment's end */
	struct histogram alloc, free;
};
#define AGE_SEGMENTS_MAX 64

/* Seconds into the idle time at which resident memory is read. */
#define IDLE_READINGS 3
extern const double cell_idle_reading_s[IDLE_READINGS];

/* Everything that the memory pass leaves; from an arena, kept until the process ends. */
struct memory_course {
	struct sampler *sampler; /* stopped */
	uint64_t quanta;	 /* per thread */
	uint64_t live_bytes_max;
	/* highest R by the kernel's mark, baseline included: of the passes before, of
	 * this */
	uint64_t peak_before_bytes, peak_bytes;
	bool usable_known;
	uint64_t rss_idle_bytes[IDLE_READINGS]; /* growth over the baseline */
	unsigned int idle_readings;		/* how many there was time for */
	struct sampler_row last; /* before the blocks still live were freed */
	unsigned int nr_segments;
	struct age_segment *segment;
};

/* latency.tail of the entry: bench/cell_json_tail.c. alloc, release: merged over threads;
 * either may be empty. A new reference. */
json_t *cell_tail_json(const struct cell *cell, const struct histogram *alloc,
		       const struct histogram *release);
/* [[index, samples], ...] of the buckets that are not empty. A new reference. */
json_t *cell_buckets_json(const struct histogram *h);

#endif /* KMEMBENCH_CELL_PROBED_H */
