/* SPDX-License-Identifier: MIT */
#include "bench/sampler.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/memory_usage.h"
#include "workloads/harness/arena.h"
#include "workloads/harness/probe_fast.h"

/* Mostly for libraries' thread-local storage, which lies there. Sanitizers want more. */
#if KMEM_SANITIZED
#define STACK_BYTES (4u << 20)
#else
#define STACK_BYTES (256u << 10)
#endif
/* The kernel hands out maps a page at a time. */
#define TEXT_BYTES 4096

struct sampler {
	struct sampler_config config;
	/* --- files, opened once --- */
	struct memory_reader reader;
	int maps_fd; /* -1: cannot be had */
	/* --- the thread --- */
	pthread_t thread;
	bool running;
	void *stack;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* told when `stopping` is set */
	bool stopping;
	/* --- under lock --- */
	uint64_t start_ns, faults_before;
	uint64_t sample_ns;	/* what the last sample took */
	uint64_t nr_samples;	/* that were taken */
	uint32_t phase;		/* in effect */
	double interval_s;	/* as it is by now */
	uint64_t skip, skipped; /* periodic samples that get no row: 0, 1, 3, 7, ... */
	size_t nr_rows;
	struct sampler_row last;
	uint64_t rss_bytes_max;
	int64_t mappings_max;
	struct sampler_sums sums;
	const char *phases[SAMPLER_PHASES + 1];
	struct sampler_row rows[SAMPLER_ROWS];
	char text[TEXT_BYTES];
};

/*
 * CPUs that the process may use, as it was started: by the time of the memory pass the
 * main thread is pinned to one.
 */
static cpu_set_t cpus_at_start;

static void KMEM_CONSTRUCTOR remember_cpus(void)
{
	if (sched_getaffinity(0, sizeof(cpus_at_start), &cpus_at_start) != 0)
		CPU_ZERO(&cpus_at_start);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- reading --- */

/* The process's R, without baseline and arenas taken off. */
static uint64_t read_rss(struct sampler *s)
{
	struct memory_usage usage = {0};

	if (memory_reader_read(&s->reader, &usage) != 0)
		return 0;
	return usage.rss_bytes;
}

static int64_t count_mappings(struct sampler *s)
{
	int64_t lines = 0;
	ssize_t n;

	if (s->maps_fd < 0 || lseek(s->maps_fd, 0, SEEK_SET) != 0)
		return -1;
	while ((n = read(s->maps_fd, s->text, sizeof(s->text))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += s->text[i] == '\n';
	}
	return n == 0 ? lines : -1;
}

static uint64_t page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

static uint64_t not_negative(int64_t sum)
{
	return sum > 0 ? (uint64_t)sum : 0;
}

/* Threads are read one after the other: a block on its way may count twice or not. */
static void sum_bytes(const struct sampler *s, struct sampler_row *row)
{
	int64_t live = 0, usable = 0, allocated = 0;

	for (unsigned int i = 0; i < s->config.threads; i++) {
		int64_t l, u, a;

		probe_bytes_read(&s->config.bytes[i], &l, &u, &a);
		live += l;
		usable += u;
		allocated += a;
	}
	row->live_bytes = not_negative(live);
	row->usable_bytes = not_negative(usable);
	row->allocated_bytes = not_negative(allocated);
}

/* --- rows --- */

/* Every second periodic row goes; if marks leave no room, every second row. */
static void thin_out(struct sampler *s)
{
	size_t kept = 0, odd = 0;

	for (size_t i = 0; i < s->nr_rows; i++) {
		if (s->rows[i].mark || odd++ % 2 == 0)
			s->rows[kept++] = s->rows[i];
	}
	if (kept > SAMPLER_ROWS / 4 * 3) {
		s->nr_rows = kept;
		kept = 0;
		for (size_t i = 0; i < s->nr_rows; i += 2)
			s->rows[kept++] = s->rows[i];
	}
	s->nr_rows = kept;
	s->interval_s *= 2;
	s->skip = s->skip * 2 + 1;
	s->skipped = 0;
}

bool sampler_phase_works(const char *phase)
{
	return strcmp(phase, "idle") != 0 && strcmp(phase, "freeing") != 0 &&
	       strcmp(phase, "freed") != 0;
}

/* The stretch from the last sample to this one. */
static void integrate(struct sampler *s, const struct sampler_row *row)
{
	const struct sampler_row *last = &s->last;
	double half_s = (row->t_s - last->t_s) / 2;

	if (s->nr_samples == 0 || !sampler_phase_works(s->phases[last->phase]))
		return;
	s->sums.seconds += 2 * half_s;
	s->sums.rss_byte_s += ((double)last->rss_bytes + (double)row->rss_bytes) * half_s;
	s->sums.live_byte_s += ((double)last->live_bytes + (double)row->live_bytes) *
			       half_s;
	s->sums.usable_byte_s +=
		((double)last->usable_bytes + (double)row->usable_bytes) * half_s;
}

static void keep_figures(struct sampler *s, const struct sampler_row *row)
{
	integrate(s, row);
	s->last = *row;
	s->nr_samples++;
	if (row->rss_bytes > s->rss_bytes_max)
		s->rss_bytes_max = row->rss_bytes;
	if (row->mappings > s->mappings_max)
		s->mappings_max = row->mappings;
}

/* Under lock. */
static void sample(struct sampler *s, bool mark)
{
	uint64_t began_ns = now_ns();
	uint64_t off = s->config.rss_before_bytes + arena_bytes();
	struct sampler_row row = {
		.t_s = (double)(began_ns - s->start_ns) * 1e-9,
		.mappings = -1,
		.page_faults = page_faults() - s->faults_before,
		.phase = s->phase,
		.mark = mark,
	};
	uint64_t rss = read_rss(s);

	sum_bytes(s, &row);
	if (s->config.course_columns > 0)
		s->config.run->workload->course_read(s->config.run, row.course);
	row.rss_bytes = rss > off ? rss - off : 0;
	if (mark || s->nr_samples % SAMPLER_MAPPINGS_EVERY == 0)
		row.mappings = count_mappings(s);
	keep_figures(s, &row);
	if (!mark && s->skipped < s->skip) {
		s->skipped++;
	} else {
		if (!mark)
			s->skipped = 0;
		if (s->nr_rows == SAMPLER_ROWS)
			thin_out(s);
		s->rows[s->nr_rows++] = row;
	}
	s->sample_ns = now_ns() - began_ns;
}

/* --- the thread --- */

void sampler_avoid_workers(const unsigned int *worker_cpus, unsigned int threads)
{
	cpu_set_t cpus = cpus_at_start;

	for (unsigned int i = 0; i < threads; i++) {
		if (worker_cpus[i] < CPU_SETSIZE)
			CPU_CLR(worker_cpus[i], &cpus);
	}
	if (CPU_COUNT(&cpus) == 0)
		cpus = cpus_at_start;
	/* A machine with more CPUs than the set has room for: it stays where it is. */
	if (CPU_COUNT(&cpus) > 0)
		sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void *sampler_main(void *arg)
{
	struct sampler *s = arg;
	uint64_t interval_ns = (uint64_t)(s->config.interval_s * 1e9);
	uint64_t due_ns = s->start_ns;

	sampler_avoid_workers(s->config.worker_cpus, s->config.threads);
	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		uint64_t earliest_ns = now_ns() + SAMPLER_DUTY * s->sample_ns;
		struct timespec until;

		due_ns += interval_ns;
		if (due_ns < earliest_ns)
			due_ns = earliest_ns;
		until.tv_sec = (time_t)(due_ns / 1000000000u);
		until.tv_nsec = (long)(due_ns % 1000000000u);
		while (!s->stopping && now_ns() < due_ns)
			pthread_cond_timedwait(&s->wake, &s->lock, &until);
		if (!s->stopping)
			sample(s, false);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

struct sampler *sampler_new(const struct sampler_config *config)
{
	struct sampler *s = arena_alloc(sizeof(*s));
	pthread_condattr_t attr;

	s->config = *config;
	s->interval_s = config->interval_s;
	s->mappings_max = -1;
	s->phases[0] = "work";
	memory_reader_open(&s->reader);
	s->maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	s->stack = arena_alloc(STACK_BYTES);
	return s;
}

void sampler_start(struct sampler *s)
{
	pthread_attr_t attr;
	int err;

	s->start_ns = now_ns();
	s->faults_before = page_faults();
	pthread_mutex_lock(&s->lock);
	sample(s, true);
	pthread_mutex_unlock(&s->lock);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, s->stack, STACK_BYTES);
	err = pthread_create(&s->thread, &attr, sampler_main, s);
	pthread_attr_destroy(&attr);
	if (err != 0)
		worker_fail(NULL, "cannot start the thread that samples memory: %s",
			    strerror(err));
	s->running = true;
}

/* The number of a phase; when there is no more room, the last one's. */
static uint32_t phase_number(struct sampler *s, const char *name)
{
	uint32_t i = 0;

	while (i < SAMPLER_PHASES && s->phases[i] != NULL) {
		if (strcmp(s->phases[i], name) == 0)
			return i;
		i++;
	}
	if (i == SAMPLER_PHASES)
		return i - 1;
	s->phases[i] = name;
	return i;
}

void sampler_mark(struct sampler *s, const char *phase)
{
	pthread_mutex_lock(&s->lock);
	s->phase = phase_number(s, phase);
	sample(s, true);
	pthread_mutex_unlock(&s->lock);
}

struct sampler_row sampler_last(struct sampler *s)
{
	struct sampler_row row;

	pthread_mutex_lock(&s->lock);
	row = s->last;
	pthread_mutex_unlock(&s->lock);
	return row;
}

void sampler_stop(struct sampler *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void sampler_delete(struct sampler *s)
{
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	memory_reader_close(&s->reader);
	if (s->maps_fd >= 0)
		close(s->maps_fd);
	arena_free(s->stack, STACK_BYTES);
	arena_free(s, sizeof(*s));
}

/* --- what was gathered --- */

const struct sampler_row *sampler_rows(const struct sampler *s, size_t *count)
{
	*count = s->nr_rows;
	return s->rows;
}

const char *sampler_phase(const struct sampler *s, uint32_t phase)
{
	return phase < SAMPLER_PHASES ? s->phases[phase] : NULL;
}

double sampler_interval_s(const struct sampler *s)
{
	return s->interval_s;
}

const char *sampler_source(const struct sampler *s)
{
	return memory_reader_source(&s->reader);
}

uint64_t sampler_rss_bytes_max(const struct sampler *s)
{
	return s->rss_bytes_max;
}

int64_t sampler_mappings_max(const struct sampler *s)
{
	return s->mappings_max;
}

struct sampler_sums sampler_sums(const struct sampler *s)
{
	return s->sums;
}
