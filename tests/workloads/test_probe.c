/* SPDX-License-Identifier: MIT */
/* What the memory pass counts, against a model; phases; series. */
#include "tests/workloads/model.h"

#include <stdatomic.h>

static struct probe_bytes bytes[DRIVER_THREADS];

/* Each block has a third more than was asked for. */
static size_t model_usable_size(struct allocator *a, void *ptr)
{
	struct model *m = (struct model *)a;
	size_t size;

	pthread_mutex_lock(&m->lock);
	size = model_find(m, ptr)->size;
	pthread_mutex_unlock(&m->lock);
	return size + size / 3;
}

struct totals {
	int64_t live, usable, allocated;
};

static struct totals sum_bytes(unsigned int threads)
{
	struct totals t = {0};

	for (unsigned int i = 0; i < threads; i++) {
		t.live += atomic_load(&bytes[i].live);
		t.usable += atomic_load(&bytes[i].usable);
		t.allocated += atomic_load(&bytes[i].allocated);
	}
	return t;
}

static void bytes_are_the_models(struct driver *d)
{
	struct totals t = sum_bytes(d->run.threads);
	int64_t usable = 0;

	for (size_t i = 0; i < MODEL_TABLE; i++) {
		if (d->model->table[i].ptr != NULL)
			usable += (int64_t)(d->model->table[i].size +
					    d->model->table[i].size / 3);
	}
	assert_int_equal(t.live, d->model->live_bytes);
	assert_int_equal(t.usable, usable);
	assert_true(t.allocated >= t.live);
}

static int64_t allocated_in_log(const struct model *m)
{
	int64_t allocated = 0;

	assert_true(m->logged < MODEL_LOG);
	for (size_t i = 0; i < m->logged; i++) {
		if (m->log[i].what != 'f')
			allocated += (int64_t)m->log[i].size;
	}
	return allocated;
}

/* driver_probed_pass() with the bytes counted. */
static void memory_pass(struct driver *d, unsigned int steps)
{
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 0};

	d->model->ops.usable_size = model_usable_size;
	d->between = bytes_are_the_models;
	d->probes = calloc(d->run.threads, sizeof(*d->probes));
	for (unsigned int i = 0; i < d->run.threads; i++) {
		probe_init(&d->probes[i], &d->shared, &clock, d->run.threads);
		probe_count_bytes(&d->probes[i], &bytes[i], &d->model->base);
		assert_true(d->probes[i].usable_known);
	}
	driver_pass(d, steps);
}

static void check_workload(const char *name, const char *params, uint64_t size,
			   unsigned int threads, unsigned int steps)
{
	static struct driver d;
	struct totals t;

	driver_init(&d, name, params, size, threads);
	driver_setup(&d);
	memory_pass(&d, steps);
	t = sum_bytes(threads);
	assert_int_equal(t.live, 0);
	assert_int_equal(t.usable, 0);
	assert_int_equal(t.allocated, allocated_in_log(d.model));
	driver_finish(&d);
}

static void totals_are_the_models(void **state)
{
	(void)state;
	check_workload("wset", "slots=200,size_max_bytes=2000", 0, 1, 2);
	check_workload("wset", "slots=100,size_max_bytes=2000", 0, 3, 1);
	check_workload("larson", "slots=100,replacements_per_thread=2000", 0, 2, 3);
	check_workload("xmalloc", NULL, 64, 2, 2);
	check_workload("batch", NULL, 48, 1, 1);
}

/* calloc and realloc count as well. */
static void other_entry_points_count(void **state)
{
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 0};
	struct model *m = model_new();
	static struct workload_run run;
	static struct worker w;
	static struct probe p;
	static struct probe_shared shared;
	void *a, *b;

	(void)state;
	run = (struct workload_run){
		.allocator = &m->base, .threads = 1, .seed = 1, .touch = TOUCH_NONE};
	m->ops.usable_size = model_usable_size;
	m->ops.realloc = model_realloc;
	model_thread = 1;
	worker_init(&w, &run, 0, &p);
	probe_init(&p, &shared, &clock, 1);
	probe_count_bytes(&p, &bytes[0], &m->base);
	a = worker_zalloc(&w, &p, 300);
	b = worker_alloc_aligned(&w, &p, 90, 64);
	a = worker_realloc(&w, &p, a, 300, 600);
	assert_int_equal(bytes[0].live, 690);
	assert_int_equal(bytes[0].usable, 800 + 120);
	assert_int_equal(bytes[0].allocated, 300 + 90 + 600);
	probe_live_flush(&p);
	assert_int_equal(p.live_bytes_max, 690);
	worker_free(&w, &p, a, 600);
	worker_free_untimed(&w, b, 90);
	assert_int_equal(bytes[0].live, 0);
	assert_int_equal(bytes[0].usable, 0);
	/* Usable sizes of an allocator that has none are not made up. */
	m->ops.caps &= ~(uint64_t)CAP_USABLE_SIZE;
	probe_count_bytes(&p, &bytes[0], &m->base);
	assert_false(p.usable_known);
	a = worker_alloc(&w, &p, 10);
	assert_int_equal(bytes[0].usable, 0);
	assert_int_equal(bytes[0].live, 10);
	worker_free(&w, &p, a, 10);
	model_delete(m);
}

static _Atomic bool writing;

static size_t usable_1300(struct allocator *a, void *ptr)
{
	(void)a;
	(void)ptr;
	return 1300;
}

static void *write_bytes(void *arg)
{
	struct allocator_ops ops = {.usable_size = usable_1300};
	struct allocator a = {.ops = &ops};
	struct probe p = {.bytes = arg, .usable_known = true};

	while (atomic_load(&writing)) {
		probe_bytes_allocated(&p, &a, NULL, 1000);
		probe_bytes_freed(&p, &a, NULL, 1000);
	}
	return NULL;
}

/* One block lives, or none does, and all three counters say the same. */
static void readings_are_of_one_moment(void **state)
{
	static struct probe_bytes b;
	int64_t live, usable, allocated, last = 0;
	unsigned int exact = 0;
	pthread_t writer;

	(void)state;
	atomic_store(&writing, true);
	assert_int_equal(pthread_create(&writer, NULL, write_bytes, &b), 0);
	for (int i = 0; i < 200000; i++) {
		if (!probe_bytes_read(&b, &live, &usable, &allocated))
			continue;
		exact++;
		assert_true(live == 0 || live == 1000);
		assert_int_equal(usable, live * 13 / 10);
		assert_true(allocated >= last && allocated % 1000 == 0);
		assert_true(live <= allocated);
		last = allocated;
	}
	atomic_store(&writing, false);
	pthread_join(writer, NULL);
	assert_true(exact > 0);
}

static unsigned int phases_heard;

static void hear_phase(const char *name, void *arg)
{
	assert_string_equal(name, arg);
	phases_heard++;
}

static void phases_are_heard_in_the_memory_pass(void **state)
{
	static char name[] = "drain";
	static struct worker w;
	static struct probe p;
	static struct probe_shared shared;

	(void)state;
	shared.on_phase = hear_phase;
	shared.on_phase_arg = name;
	p.shared = &shared;
	worker_phase(&w, name); /* no probe */
	w.probe = &p;
	w.pass = PASS_LATENCY;
	worker_phase(&w, name);
	assert_int_equal(phases_heard, 0);
	assert_null(atomic_load(&shared.phase));
	w.pass = PASS_MEMORY;
	worker_phase(&w, name);
	assert_int_equal(phases_heard, 1);
	assert_ptr_equal(atomic_load(&shared.phase), name);
	/* Nobody needs to listen. */
	shared.on_phase = NULL;
	worker_phase(&w, name);
	assert_int_equal(phases_heard, 1);
}

static void series_are_samples_of_their_own(void **state)
{
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 30};
	static struct probe p;
	static struct probe_shared shared;

	(void)state;
	probe_init(&p, &shared, &clock, 1);
	worker_series(&p, 1, 1000, 1130);
	worker_series(&p, 1, 1000, 1010);
	assert_int_equal(p.series[0].count, 0);
	assert_int_equal(p.series[1].count, 2);
	assert_int_equal(p.series[1].max, 100);
	assert_int_equal(p.series[1].min, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(totals_are_the_models),
		cmocka_unit_test(other_entry_points_count),
		cmocka_unit_test(readings_are_of_one_moment),
		cmocka_unit_test(phases_are_heard_in_the_memory_pass),
		cmocka_unit_test(series_are_samples_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
