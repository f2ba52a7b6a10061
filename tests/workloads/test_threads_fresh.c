/* SPDX-License-Identifier: MIT */
/* churn-exit and startup: threads that live for a few blocks. */
#include "tests/workloads/model.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workloads/harness/arena.h"

/* The figures of report(): "name=value " each. */
struct figures {
	char text[4096];
	size_t used;
	unsigned int count;
};

static void add_figure(const char *name, double value, void *arg)
{
	struct figures *f = arg;

	f->used += (size_t)snprintf(f->text + f->used, sizeof(f->text) - f->used,
				    "%s=%.6f ", name, value);
	f->count++;
	assert_true(f->used < sizeof(f->text));
}

static struct figures report(struct driver *d)
{
	struct figures f = {.count = 0};

	d->run.workload->report(&d->run, add_figure, &f);
	return f;
}

static double figure(const struct figures *f, const char *name)
{
	const char *at = strstr(f->text, name);

	if (at == NULL)
		fail_msg("no figure '%s' in '%s'", name, f->text);
	return strtod(at + strlen(name) + 1, NULL);
}

static uint64_t live_at_end;

static void note_end(struct driver *d)
{
	live_at_end = d->model->live_blocks;
}

static void check_counts(const char *workload, const char *params, unsigned int threads,
			 uint64_t blocks_per_op, uint64_t blocks_before)
{
	uint64_t arena_before = arena_bytes(), ops, samples = 0;
	struct driver d;

	driver_init(&d, workload, params, 0, threads);
	d.run.check = true;
	d.between = note_end;
	driver_setup(&d);
	ops = driver_pass(&d, 2);
	assert_int_equal(ops, threads * 2 * 8);
	assert_int_equal(d.model->allocs, blocks_before + ops * blocks_per_op);
	assert_int_equal(live_at_end, blocks_before);
	/* The workers, and a thread for each operation. */
	assert_int_equal(d.model->enters, threads + ops);
	assert_int_equal(driver_probed_pass(&d, 2), ops);
	for (unsigned int i = 0; i < threads; i++)
		samples += d.probes[i].alloc.count + d.probes[i].free.count;
	assert_int_equal(samples, 2 * ops * blocks_per_op);
	assert_int_equal(d.model->enters, 2 * (threads + ops));
	assert_true((double)d.model->live_bytes_max <=
		    1.5 * (double)d.run.workload->footprint(&d.run));
	driver_finish(&d);
	assert_int_equal(arena_bytes(), arena_before);
}

static void counts_match_operations(void **state)
{
	(void)state;
	for (unsigned int threads = 1; threads <= 4; threads++) {
		check_counts("churn-exit", NULL, threads, 16, 1000);
		check_counts("churn-exit", "blocks_per_thread=150,slots=64", threads, 150,
			     64);
		check_counts("startup", NULL, threads, 12, 0);
		check_counts("startup", "size_min_bytes=5,size_max_bytes=5", threads, 1,
			     0);
	}
}

/* Each thread allocates all its blocks, then frees what others left behind. */
static void churned_threads_leave_blocks_behind(void **state)
{
	enum { STEPS = 20, LIVES = STEPS * 8, SLOTS = 200, BLOCKS = 10 };
	static uint64_t owner[SLOTS + LIVES * BLOCKS + 1];
	uint64_t own = 0, per_owner[2 + LIVES] = {0};
	struct driver d;
	size_t at = SLOTS;

	(void)state;
	driver_init(&d, "churn-exit",
		    "blocks_per_thread=10,slots=200,size_min_bytes=8,size_max_bytes=9", 0,
		    1);
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, STEPS), LIVES);
	for (size_t i = 0; i < SLOTS; i++)
		owner[d.model->log[i].serial] = 1;
	for (uint64_t thread = 2; thread < 2 + LIVES; thread++) {
		for (int i = 0; i < 2 * BLOCKS; i++) {
			const struct model_event *e = &d.model->log[at++];

			assert_int_equal(e->thread, thread);
			assert_in_range(e->size, 8, 9);
			assert_int_equal(e->what, i < BLOCKS ? 'a' : 'f');
			if (e->what == 'a')
				owner[e->serial] = thread;
			else
				own += owner[e->serial] == thread;
		}
	}
	/* What is left at the end is freed by the worker. */
	for (; at < d.model->logged; at++) {
		assert_int_equal(d.model->log[at].what, 'f');
		assert_int_equal(d.model->log[at].thread, 1);
		per_owner[owner[d.model->log[at].serial]]++;
	}
	/* A thread meets its own block in a slot in 45 pairs of 200 slots, 0.22 a life.
	 */
	assert_true(own < LIVES * BLOCKS / 10);
	/* Of blocks that lived 20 threads on average, few are of the first generation. */
	assert_true(per_owner[1] < SLOTS / 20);
	driver_finish(&d);
}

/* What a thread leaves behind for ever shows as growth; what is freed does not. */
static void *lost[4096];
static _Atomic unsigned int losses;

static void leaking_exit(struct allocator *a)
{
	enum { BYTES = 64 * 1024 };
	unsigned int which = atomic_fetch_add(&losses, 1);

	assert_true(which < KMEM_ARRAY_SIZE(lost));
	lost[which] = malloc(BYTES);
	assert_non_null(lost[which]);
	memset(lost[which], 1, BYTES);
	model_exit(a);
}

static double growth_per_thread(bool leaking)
{
	struct driver d;
	struct figures f;

	driver_init(&d, "churn-exit", NULL, 0, 2);
	if (leaking)
		d.model->ops.thread_exit = leaking_exit;
	driver_setup(&d);
	driver_pass(&d, 20); /* the first pass warms up */
	driver_pass(&d, 20);
	f = report(&d);
	assert_true(figure(&f, "threads_started") == 2 * 2 * 20 * 8);
	driver_finish(&d);
	for (; losses > 0; losses--)
		free(lost[losses - 1]);
	return figure(&f, "rss_bytes_growth_per_thread");
}

static void lost_memory_shows_as_growth(void **state)
{
	double growth;

	(void)state;
	/* Sanitizers keep freed memory back: nothing can be said of less than that. */
	assert_true(growth_per_thread(false) < 32 * 1024);
	growth = growth_per_thread(true);
	/* ThreadSanitizer's shadow of the lost memory is resident as well. */
	assert_true(growth > 48 * 1024 && growth < 1024 * 1024);
}

/* In place of the C library's: counts. */
static _Atomic unsigned int opened;

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	atomic_fetch_add(&opened, 1);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* Memory is read before the first step of what is timed, and after the last. */
static void steps_read_no_files(void **state)
{
	struct driver d;
	struct worker *w = &d.workers[0];

	(void)state;
	driver_init(&d, "churn-exit", NULL, 0, 1);
	driver_setup(&d);
	for (int pass = 0; pass < 2; pass++) {
		model_enter(d.run.allocator);
		worker_init(w, &d.run, 0, NULL);
		atomic_store(&opened, 0);
		assert_int_equal(d.run.workload->thread_setup(w), 0);
		assert_int_equal(opened, 1);
		d.run.workload->step(w);
		d.run.workload->step(w);
		assert_int_equal(opened, 1);
		d.run.workload->thread_teardown(w);
		assert_int_equal(opened, 2);
		model_exit(d.run.allocator);
		d.run.workload->pass_end(&d.run);
	}
	driver_finish(&d);
}

/* More slots than there are draws: laps after the first reach the others. */
static void all_slots_are_churned(void **state)
{
	enum { SLOTS = 20000 };
	uint64_t replaced = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "churn-exit",
		    "slots=20000,blocks_per_thread=8192,size_max_bytes=32", 0, 1);
	driver_setup(&d);
	driver_pass(&d, 1); /* 4 laps of 16384 */
	for (size_t i = 0; i < d.model->logged - SLOTS; i++)
		replaced += d.model->log[i].what == 'f' &&
			    d.model->log[i].serial <= SLOTS;
	/* 1 - e^-3.28 of them, 0.962; without that 0.559. */
	assert_in_range(replaced, SLOTS * 0.93, SLOTS);
	driver_finish(&d);
}

/* Too short a pass says nothing about growth. */
static void short_passes_report_no_growth(void **state)
{
	struct driver d;
	struct figures f;

	(void)state;
	driver_init(&d, "churn-exit", NULL, 0, 1);
	driver_setup(&d);
	driver_pass(&d, 1);
	f = report(&d);
	assert_int_equal(f.count, 1);
	assert_true(figure(&f, "threads_started") == 8);
	driver_finish(&d);
}

/* Every size once, the smallest first, in a thread that did nothing before. */
static void startup_allocates_each_size_once(void **state)
{
	enum { LIVES = 8 };
	struct driver d;
	size_t at = 0;

	(void)state;
	driver_init(&d, "startup", NULL, 0, 1);
	driver_setup(&d);
	driver_pass(&d, 1);
	for (uint64_t thread = 2; thread < 2 + LIVES; thread++) {
		for (int i = 0; i < 24; i++) {
			const struct model_event *e = &d.model->log[at++];

			assert_int_equal(e->thread, thread);
			assert_int_equal(e->what, i < 12 ? 'a' : 'f');
			assert_int_equal(e->size, 16u << (i % 12));
		}
	}
	assert_int_equal(at, d.model->logged);
	driver_finish(&d);
}

static void *slow_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			int node)
{
	/* Far more than a median can take otherwise, on a busy machine as well; one size.
	 */
	if (size == 64)
		for (volatile int i = 0; i < 400000; i++)
			;
	return model_alloc(a, size, align, gfp, node);
}

/* The figure of a size is that of its allocations and of no others. */
static void startup_reports_each_size(void **state)
{
	struct driver d;
	struct figures f;
	double slow;

	(void)state;
	driver_init(&d, "startup", "size_max_bytes=128", 0, 2);
	d.model->ops.alloc = slow_alloc;
	driver_setup(&d);
	driver_pass(&d, 1);
	f = report(&d);
	/* Bare steps read no clock. */
	assert_int_equal(f.count, 1);
	driver_probed_pass(&d, 8);
	f = report(&d);
	assert_int_equal(f.count, 1 + 2 * 4);
	assert_true(figure(&f, "threads_started") == 2 * 9 * 8);
	slow = figure(&f, "first_alloc_64_ns_p50");
	assert_true(slow > 2 * figure(&f, "first_alloc_32_ns_p50"));
	assert_true(slow > 2 * figure(&f, "first_alloc_128_ns_p50"));
	assert_true(figure(&f, "first_alloc_64_ns_p99") >= slow);
	driver_finish(&d);
}

/* usable_size() of the memory pass comes between a thread's first allocations. */
static void memory_passes_are_no_first_allocations(void **state)
{
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 0};
	static struct probe probe;
	struct driver d;
	struct worker *w = &d.workers[0];

	(void)state;
	driver_init(&d, "startup", NULL, 0, 1);
	driver_setup(&d);
	model_enter(d.run.allocator);
	probe_init(&probe, &d.shared, &clock, 1);
	worker_init(w, &d.run, 0, &probe);
	w->pass = PASS_MEMORY;
	assert_int_equal(d.run.workload->thread_setup(w), 0);
	d.run.workload->step_probed(w);
	assert_int_equal(probe.alloc.count, 8 * 12);
	d.run.workload->thread_teardown(w);
	model_exit(d.run.allocator);
	assert_int_equal(report(&d).count, 1); /* threads_started */
	driver_finish(&d);
}

static void impossible_cells_are_refused(void **state)
{
	static const struct {
		const char *workload, *params, *text;
	} cases[] = {
		{"churn-exit", "slots=1", "slots=1 for 2 threads: give at least one"},
		{"churn-exit", "size_min_bytes=2000", "swap them"},
		{"startup", "size_min_bytes=64K", "swap them"},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++)
		driver_refused(cases[i].workload, cases[i].params, 0, 2, cases[i].text);
}

static void same_seed_same_decisions(void **state)
{
	(void)state;
	driver_same_seed("churn-exit", NULL, 2, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_match_operations),
		cmocka_unit_test(churned_threads_leave_blocks_behind),
		cmocka_unit_test(lost_memory_shows_as_growth),
		cmocka_unit_test(steps_read_no_files),
		cmocka_unit_test(all_slots_are_churned),
		cmocka_unit_test(short_passes_report_no_growth),
		cmocka_unit_test(startup_allocates_each_size_once),
		cmocka_unit_test(startup_reports_each_size),
		cmocka_unit_test(memory_passes_are_no_first_allocations),
		cmocka_unit_test(impossible_cells_are_refused),
		cmocka_unit_test(same_seed_same_decisions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
