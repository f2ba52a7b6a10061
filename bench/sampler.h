/* SPDX-License-Identifier: MIT */
/*
 * Watches the memory of this process over time, from a thread of its own.
 *
 * THEORY. Each sample is a reading of memory_usage.h, which says what resident memory R
 * is, by pread(2) into a fixed buffer; nothing is allocated, no stdio is used. The
 * thread's stack and the rows come from an arena, touched beforehand, and arenas are
 * subtracted from what is reported. So the sampler does not show in what it measures.
 *
 * smaps_rollup walks the page tables, 11 us for each MiB of small pages, and holds the
 * address space for reading meanwhile: an allocator's mmap waits. So a sample is
 * never followed by another before SAMPLER_DUTY times the time that it took. Mappings
 * are counted by the lines of /proc/self/maps, every SAMPLER_MAPPINGS_EVERY-th sample
 * and at marks.
 *
 * The thread runs on the CPUs that no worker is pinned to. Where workers take them
 * all, it runs on any, and takes a worker's CPU for some 40 us at each sample: the
 * memory pass yields no throughput, and the floors pay it as well.
 *
 * Samples are not equally far apart: they come later where there is much memory to walk,
 * and marks come between. Means are therefore taken over time: between two samples
 * R, L and U are taken to go straight from the one to the other. A stretch belongs to
 * the phase that it began in, so that the mark which ends the work closes the last one,
 * and a pass too short for a periodic sample still has a mean.
 *
 * Rows have a fixed place. When it is full, every second periodic row goes, and the
 * interval doubles: the end of a long run is never cut off. Maxima and means are kept
 * apart, and lose nothing by it.
 *
 * Locks: one, over everything but the probes' counters. Anyone may mark.
 */
#ifndef KMEMBENCH_SAMPLER_H
#define KMEMBENCH_SAMPLER_H

#include <kmem/compiler.h>

#include "workloads/workload.h"

#define SAMPLER_ROWS	       1024
#define SAMPLER_PHASES	       32
#define SAMPLER_INTERVAL_S     0.01
#define SAMPLER_DUTY	       10
#define SAMPLER_MAPPINGS_EVERY 10

struct probe_bytes;

struct sampler_config {
	double interval_s;
	uint64_t rss_before_bytes;	 /* baseline: cell_memory()'s */
	const struct probe_bytes *bytes; /* of each thread; they outlive the sampler */
	unsigned int threads;
	const unsigned int *worker_cpus; /* OS index of each thread's CPU */
	/* Columns of the workload's own; course_columns 0: none. */
	const struct workload_run *run;
	unsigned int course_columns;
};

struct sampler_row {
	double t_s;	    /* since sampler_start() */
	uint64_t rss_bytes; /* R: growth over the baseline, arenas subtracted */
	uint64_t live_bytes, usable_bytes, allocated_bytes;
	int64_t mappings;     /* of the process; -1: not counted in this sample */
	uint64_t page_faults; /* of the process, since sampler_start() */
	uint32_t phase;	      /* index into phases */
	double course[WORKLOAD_COURSE_MAX]; /* workload_ops.course; NaN: not known */
	bool mark; /* asked for: the last to go when there is no room */
};

/* Integrals over the time in which work was done; for means. */
struct sampler_sums {
	double seconds;
	double rss_byte_s, live_byte_s, usable_byte_s;
};

struct sampler;

/* From arenas: ends the cell when it cannot be had. Opens the files. */
struct sampler *sampler_new(const struct sampler_config *config);
/* Time 0: takes the first row, in the phase "work", and starts the thread. */
void sampler_start(struct sampler *s);
/*
 * A row now, in the calling thread, and a new phase from here on. phase: a string
 * constant. Any thread, at any time between start and stop.
 */
void sampler_mark(struct sampler *s, const char *phase);
/* False for the phases "idle", "freeing" and "freed", which are no time of work. */
bool sampler_phase_works(const char *phase);
/* The last row that was taken. */
struct sampler_row sampler_last(struct sampler *s);
/* Ends the thread. What was gathered stays until sampler_delete(). */
void sampler_stop(struct sampler *s);
void sampler_delete(struct sampler *s);

/*
 * Moves the calling thread off the workers' CPUs; on any when they take them all.
 * worker_cpus: OS indices. For threads that watch a pass.
 */
void sampler_avoid_workers(const unsigned int *worker_cpus, unsigned int threads);

/* --- after sampler_stop() --- */
const struct sampler_row *sampler_rows(const struct sampler *s, size_t *count);
/* Names by row.phase; NULL past the last. */
const char *sampler_phase(const struct sampler *s, uint32_t phase);
double sampler_interval_s(const struct sampler *s);  /* as it is by now */
const char *sampler_source(const struct sampler *s); /* "smaps_rollup", "status" */
uint64_t sampler_rss_bytes_max(const struct sampler *s);
int64_t sampler_mappings_max(const struct sampler *s); /* -1: never counted */
struct sampler_sums sampler_sums(const struct sampler *s);

#endif /* KMEMBENCH_SAMPLER_H */
