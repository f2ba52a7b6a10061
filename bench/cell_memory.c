/* SPDX-License-Identifier: MIT */
/*
 * The memory pass of a cell: the same steps once more, watched by the sampler.
 *
 * It has a process of its own (memory_process.h), so that R begins with what the
 * allocator needs to start, and the workload to be set up. After the last step the blocks
 * that still live stay, and the workload's idle time begins; then they are freed
 * ("freeing"), and one more row is taken.
 *
 * Latency by age comes from the probe's histograms, which are emptied at the end of
 * each of up to AGE_SEGMENTS_MAX stretches of equally many quanta. usable_size() has
 * then just looked at the block that is to be freed, so that a free finds
 * its header in the cache: these times are for comparison with each other over the
 * life of one allocator, those of the latency pass for comparing allocators.
 */
#include <math.h>
#include <time.h>

#include "bench/cell_probed.h"
#include "workloads/harness/arena.h"

/* As in the latency pass, and two calls of usable_size(). */
#define MEMORY_EXTRA_PAIRS 5.0
/* Fewer quanta in a segment, and it would show single quanta, not age. */
#define SEGMENT_QUANTA_MIN 4

const double cell_idle_reading_s[IDLE_READINGS] = {0.1, 1, 5};

/* While the pass is on. One cell to a process. */
static struct {
	struct probe *probes;
	struct probe_bytes *bytes;
} pass;

static void on_phase(const char *name, void *arg)
{
	sampler_mark(arg, name);
}

static void sleep_until(const struct timespec *start, double s)
{
	double whole;
	double part = modf(s, &whole);
	struct timespec until = {
		.tv_sec = start->tv_sec + (time_t)whole,
		.tv_nsec = start->tv_nsec + (long)(part * 1e9),
	};

	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
		;
}

/* All threads wait meanwhile: nothing calls the allocator. */
static void idle(struct cell *cell)
{
	struct memory_course *course = cell->course;
	double idle_s = cell->run.workload->idle_s != NULL
				? cell->run.workload->idle_s(&cell->run)
				: 0;
	struct timespec start;

	cell_memory(&cell->live);
	clock_gettime(CLOCK_MONOTONIC, &start);
	sampler_mark(course->sampler, "idle");
	for (unsigned int i = 0; i < IDLE_READINGS && cell_idle_reading_s[i] <= idle_s;
	     i++) {
		sleep_until(&start, cell_idle_reading_s[i]);
		sampler_mark(course->sampler, "idle");
		course->rss_idle_bytes[i] = sampler_last(course->sampler).rss_bytes;
		course->idle_readings = i + 1;
	}
	if (idle_s > 0) {
		sleep_until(&start, idle_s);
		sampler_mark(course->sampler, "idle");
	}
	course->last = sampler_last(course->sampler);
	/* What falls from here on was not given back by itself. */
	sampler_mark(course->sampler, "freeing");
}

/* Histograms of all threads are merged; under lock. */
static void end_segment(struct cell *cell, struct probe *probe, unsigned int number)
{
	struct age_segment *segment = &cell->course->segment[number];

	pthread_mutex_lock(&cell->lock);
	segment->allocated_bytes += (uint64_t)atomic_load_explicit(
		&probe->bytes->allocated, memory_order_relaxed);
	histogram_merge(&segment->alloc, &probe->alloc);
	histogram_merge(&segment->free, &probe->free);
	pthread_mutex_unlock(&cell->lock);
	histogram_reset(&probe->alloc);
	histogram_reset(&probe->free);
}

static void memory_main(struct cell *cell, unsigned int index)
{
	struct worker *w = &cell->workers[index];
	struct probe *probe = &pass.probes[index];
	struct memory_course *course = cell->course;
	uint64_t done = 0;

	cell_enter_thread(cell, index, PASS_MEMORY, probe);
	pthread_barrier_wait(&cell->barrier); /* all are set up */
	if (index == 0)
		sampler_start(course->sampler);
	pthread_barrier_wait(&cell->barrier); /* start together */
	for (unsigned int i = 0; i < course->nr_segments; i++) {
		uint64_t end = course->quanta * (i + 1) / course->nr_segments;

		for (; done < end; done++)
			cell->run.workload->step_probed(w);
		end_segment(cell, probe, i);
	}
	probe_live_flush(probe);
	pthread_barrier_wait(&cell->barrier); /* all work is done */
	if (index == 0)
		idle(cell);
	pthread_barrier_wait(&cell->barrier); /* the idle time is over */
	cell_leave_thread(cell, index);
}

uint64_t cell_memory_quanta(const struct cell *cell)
{
	return cell->memory_quanta != 0 ? cell->memory_quanta
					: cell_probed_quanta(cell, cell->memory_time_s,
							     MEMORY_EXTRA_PAIRS);
}

static struct memory_course *new_course(struct cell *cell)
{
	struct memory_course *course = arena_alloc(sizeof(*course));
	uint64_t segments;

	course->quanta = cell_memory_quanta(cell);
	segments = course->quanta / SEGMENT_QUANTA_MIN;
	if (segments < 1)
		segments = 1;
	course->nr_segments = segments < AGE_SEGMENTS_MAX ? (unsigned int)segments
							  : AGE_SEGMENTS_MAX;
	course->segment = arena_alloc(course->nr_segments * sizeof(*course->segment));
	for (unsigned int i = 0; i < course->nr_segments; i++) {
		histogram_reset(&course->segment[i].alloc);
		histogram_reset(&course->segment[i].free);
	}
	return course;
}

/* The highest R since the kernel's mark was last reset, by that mark. */
static uint64_t peak_until_now(void)
{
	uint64_t peak = memory_peak_bytes(), not_counted = arena_bytes_max();
	struct memory_usage now;

	cell_memory(&now);
	not_counted += now.file_bytes;
	return peak > not_counted ? peak - not_counted : 0;
}

static void prepare_pass(struct cell *cell)
{
	unsigned int threads = cell->run.threads;
	struct sampler_config config = {
		.interval_s = SAMPLER_INTERVAL_S,
		.rss_before_bytes = cell->before.rss_bytes,
		.threads = threads,
		.worker_cpus = cell->cpus,
		.run = &cell->run,
		.course_columns = workload_course_columns(cell->run.workload),
	};

	pass.probes = arena_alloc(threads * sizeof(*pass.probes));
	pass.bytes = arena_alloc(threads * sizeof(*pass.bytes));
	config.bytes = pass.bytes;
	cell->course = new_course(cell);
	cell->course->sampler = sampler_new(&config);
	atomic_store_explicit(&cell->probe_shared->live_bytes, 0, memory_order_relaxed);
	cell->probe_shared->on_phase = on_phase;
	cell->probe_shared->on_phase_arg = cell->course->sampler;
	for (unsigned int i = 0; i < threads; i++) {
		probe_init(&pass.probes[i], cell->probe_shared, &cell->clock, threads);
		probe_count_bytes(&pass.probes[i], &pass.bytes[i], cell->run.allocator);
	}
	cell->course->usable_known = pass.probes[0].usable_known;
}

void cell_memory_pass(struct cell *cell)
{
	unsigned int threads = cell->run.threads;
	uint64_t peak = peak_until_now();
	struct sampler *sampler;

	/* This pass has arenas of its own, which must not be subtracted from the others'
	 * peak. */
	arena_bytes_max_reset();
	memory_peak_reset();
	prepare_pass(cell);
	cell->course->peak_before_bytes = peak;
	sampler = cell->course->sampler;
	cell_probed_threads(cell, memory_main);
	sampler_mark(sampler, "freed");
	sampler_stop(sampler);
	cell->probe_shared->on_phase = NULL;
	cell->course->peak_bytes = peak_until_now();
	cell->course->live_bytes_max = cell_live_bytes_max(pass.probes, threads);
	arena_free(pass.probes, threads * sizeof(*pass.probes));
}
