/* SPDX-License-Identifier: MIT */
/* Models: read, written, fitted; and `empirical`, whose load has the model's figures. */
#include "tests/workloads/model.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "workloads/empirical_plan.h"
#include "workloads/harness/arena.h"
#include "workloads/harness/weighted_tree.h"

static char folder[] = "/tmp/kmembench-empirical-XXXXXX";
static char path[64], trace_path[64], param[80];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/m", folder);
	snprintf(trace_path, sizeof(trace_path), "%s/t", folder);
	snprintf(param, sizeof(param), "model=%s", path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(trace_path);
	return rmdir(folder);
}

static bool near(double found, double expected, double tolerance)
{
	if (fabs(found - expected) <= tolerance * expected)
		return true;
	print_error("%g is not within %g %% of %g\n", found, tolerance * 100, expected);
	return false;
}

/* --- the tree --- */

static void tree_draws_by_weight(void **state)
{
	enum { N = 5, DRAWS = 200000 };
	static const double weight[N] = {1, 0, 5, 0, 2};
	unsigned int drawn[N] = {0};
	struct weighted_tree tree;
	struct rng rng = {7};

	(void)state;
	weighted_tree_init(&tree, N);
	for (size_t i = 0; i < N; i++) {
		weighted_tree_set(&tree, i, 100);
		weighted_tree_set(&tree, i, weight[i]);
	}
	assert_true(weighted_tree_total(&tree) == 8);
	for (int i = 0; i < DRAWS; i++)
		drawn[weighted_tree_pick(&tree, rng_double(&rng))]++;
	assert_int_equal(drawn[1] + drawn[3], 0);
	for (size_t i = 0; i < N; i += 2)
		assert_true(near(drawn[i], DRAWS * weight[i] / 8, 0.02));
	/* The last of the unit interval, where rounding would go astray. */
	weighted_tree_set(&tree, 4, 0);
	assert_int_equal(weighted_tree_pick(&tree, 1 - 0x1p-53), 2);
	weighted_tree_release(&tree);
}

static void sizes_keep_their_mean(void **state)
{
	static const struct load_sizes cases[] = {
		{10, 10, 10}, {10, 11, 10.25}, {100, 1000, 150}, {1, 65536, 60000}};
	struct rng rng = {9};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		double sum = 0;

		for (int k = 0; k < 100000; k++) {
			uint64_t size = load_sizes_draw(&cases[i], &rng);

			assert_true(size >= cases[i].low && size <= cases[i].high);
			sum += (double)size;
		}
		assert_true(near(sum / 100000, cases[i].mean, 0.01));
	}
}

/* --- files --- */

static void put_model(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Two kinds that come and go, one large one that is handed over, and some that stay. */
static const char sample[] = "kmembench-model 1\n"
			     "# a comment\n"
			     "source by hand\n"
			     "threads 2\n"
			     "rate 1e6\n"
			     "births 1000\n"
			     "cell 24 24 24 6 20 0\n"
			     "cell 40 200 100 3 400 0.1 # small ones\r\n"
			     "\n"
			     "cell 3000 5000 4000 1 1000 0.5\n"
			     "kept 64 64 64 100\n"
			     "end\n";

static void models_are_read_and_written(void **state)
{
	struct load_model *m, *again;

	(void)state;
	assert_int_equal(load_model_parse("x", sample, strlen(sample), &m), 0);
	assert_string_equal(m->source, "by hand");
	assert_int_equal(m->cells, 3);
	assert_int_equal(m->kepts, 1);
	assert_true(near(m->cell[0].weight, 0.6, 1e-12));
	assert_true(near(load_model_live_blocks(m), 12 + 120 + 100 + 100, 1e-12));
	assert_true(near(load_model_live_bytes(m),
			 12 * 24 + 120 * 100 + 100 * 4000 + 100 * 64, 1e-12));
	assert_int_equal(load_model_size_max(m), 5000);
	assert_int_equal(load_model_write(path, m), 0);
	assert_int_equal(load_model_read(path, &again), 0);
	assert_int_equal(again->cells, m->cells);
	for (uint32_t i = 0; i < m->cells; i++) {
		assert_memory_equal(&again->cell[i].sizes, &m->cell[i].sizes,
				    sizeof(m->cell[i].sizes));
		assert_true(near(again->cell[i].weight, m->cell[i].weight, 1e-5));
		assert_true(again->cell[i].life == m->cell[i].life);
		assert_true(again->cell[i].handed == m->cell[i].handed);
	}
	assert_memory_equal(again->kept, m->kept, sizeof(m->kept));
	load_model_delete(again);
	load_model_delete(m);
	assert_int_equal(load_model_read("/nothing/there", &m), -ENOENT);
	assert_contains(kmem_last_error(), "'/nothing/there'");
	assert_int_equal(load_model_read(folder, &m), -EINVAL);
}

static void bad_models(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "cut off"},
		{"hello\n", "line 1: it does not begin with 'kmembench-model 1'"},
		{"kmembench-model 1\n", "cut off: no 'end'"},
		{"kmembench-model 1\nend\n", "no cell has a weight"},
		{"kmembench-model 1\ncell 1 1 1 0 1 0\nend\n", "no cell has a weight"},
		{"kmembench-model 1\ncell 1 1 1 1 1\n", "line 2: 'cell' takes LOW"},
		{"kmembench-model 1\ncell 1 1 1 1 1 0 7\n", "line 2: 'cell' takes LOW"},
		{"kmembench-model 1\ncell 2 1 1 1 1 0\n", "LOW <= MEAN <= HIGH"},
		{"kmembench-model 1\ncell 1 3 4 1 1 0\n", "LOW <= MEAN <= HIGH"},
		{"kmembench-model 1\ncell 1 1 1 1 0 0\n", "LIFE must be above 0"},
		{"kmembench-model 1\ncell 1 1 1 1 1 1.5\n", "HANDED is a share"},
		{"kmembench-model 1\ncell 1 1 1 nan 1 0\n", "'cell' takes LOW"},
		{"kmembench-model 1\ncell 1 1 1 -1 1 0\n", "'cell' takes LOW"},
		{"kmembench-model 1\nkept 1 1 1\n", "'kept' takes LOW"},
		{"kmembench-model 1\nthreads 0.5\n", "one number is expected"},
		{"kmembench-model 1\n\nbell 1\n", "line 3: an item is source"},
		{"kmembench-model 1\ncell 1 1 1 1 1 0\nend\nrate 1\n", "line 4: nothing"},
	};
	struct load_model *m;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		assert_int_equal(
			load_model_parse("x", cases[i].text, strlen(cases[i].text), &m),
			-EINVAL);
		assert_contains(kmem_last_error(), cases[i].error);
		assert_contains(kmem_last_error(), "'x'");
		assert_null(m);
	}
}

static void the_built_in_one_is_sound(void **state)
{
	struct load_model *m;

	(void)state;
	assert_int_equal(load_model_read("", &m), 0);
	assert_true(m->cells > 20);
	assert_true(m->births > 100000);
	assert_true(m->threads > 1);
	assert_true(strlen(m->source) > 10);
	assert_true(load_model_live_bytes(m) > 10000);
	load_model_delete(m);
}

/* --- fitting --- */

static struct load_model *fit_events(const struct trace_event *events, uint64_t count,
				     uint32_t cells_max)
{
	const struct trace_origin origin = {.program = "hand", .duration_ns = 1000000};
	struct load_model *m = NULL;
	struct trace trace;

	if (trace_write(trace_path, events, count, &origin) != 0 ||
	    trace_open(trace_path, &trace) != 0 ||
	    load_model_fit(&trace, cells_max, &m) != 0)
		fail_msg("%s", kmem_last_error());
	trace_close(&trace);
	return m;
}

static void a_fit_that_can_be_told(void **state)
{
	static const struct trace_event events[] = {
		{.op = TRACE_MALLOC, .id = 0, .size_bytes = 100},
		{.op = TRACE_MALLOC, .id = 1, .size_bytes = 24},
		{.op = TRACE_FREE, .id = 1}, /* no birth in between */
		{.op = TRACE_MALLOC, .id = 2, .size_bytes = 24},
		{.op = TRACE_AFTER, .thread = 1, .id = 0, .size_bytes = 1},
		{.op = TRACE_CALLOC, .thread = 1, .id = 3, .size_bytes = 7},
		{.op = TRACE_REALLOC, .id = 0, .size_bytes = 200}, /* three since */
		{.op = TRACE_FREE, .thread = 1, .id = 0},
		{.op = TRACE_FREE, .thread = 1, .id = 2}, /* two since */
	};
	struct load_model *m = fit_events(events, KMEM_ARRAY_SIZE(events), 100);
	double live = 0;

	(void)state;
	/* Five births, one of which stays; by two threads as 4 to 1. */
	assert_int_equal(m->births, 5);
	assert_true(near(m->threads, 1 / (0.64 + 0.04), 1e-9));
	assert_true(near(m->rate, 5000, 1e-9));
	assert_int_equal(m->kepts, 1);
	assert_int_equal(m->kept[0].sizes.low, 7);
	assert_int_equal(m->cells, 4);
	for (uint32_t i = 0; i < m->cells; i++) {
		const struct load_cell *c = &m->cell[i];
		bool remote = c->sizes.low == 200 || (c->sizes.low == 24 && c->life > 1);

		assert_true(near(c->weight, 0.25, 1e-9));
		assert_true(c->handed == (remote ? 1.0 : 0.0));
		live += c->weight * c->life;
	}
	/* By births of what dies, four fifths of all: (3 + 2) * 0.8 / 4, and the least
	 * life of the other two. */
	assert_true(near(live, 1 + 2 * 0.05 / 4, 1e-9));
	assert_contains(m->source, "hand, 9 events of 2 threads, by recorder");
	load_model_delete(m);
}

static void fits_that_fail(void **state)
{
	static const struct trace_event events[] = {
		{.op = TRACE_MALLOC, .id = 0, .size_bytes = 100}};
	struct load_model *m;
	struct trace trace;

	(void)state;
	assert_int_equal(trace_write(trace_path, events, 1, NULL), 0);
	assert_int_equal(trace_open(trace_path, &trace), 0);
	assert_int_equal(load_model_fit(&trace, 100, &m), -EINVAL);
	assert_contains(kmem_last_error(), "frees nothing");
	trace_close(&trace);
}

/* --- the schedule --- */

/* Round it twice: every event finds its slot as it must. */
static void schedules_are_circles(void **state)
{
	struct load_model *m;

	(void)state;
	assert_int_equal(load_model_parse("x", sample, strlen(sample), &m), 0);
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct empirical_plan plan;
		struct rng rng = {seed};
		uint32_t *size;
		uint64_t births = 0;

		assert_int_equal(empirical_plan_new(m, 4096, 2, &rng, &plan), 0);
		size = calloc(plan.slots, sizeof(*size));
		memcpy(size, plan.size, plan.initial * sizeof(*size));
		for (uint32_t i = 0; i < 2 * plan.count; i++) {
			const struct empirical_event *e = &plan.events[i % plan.count];

			assert_true(e->slot < plan.slots);
			if (e->size == EMPIRICAL_FREE || e->size == EMPIRICAL_HAND) {
				assert_int_not_equal(size[e->slot], 0);
				size[e->slot] = 0;
			} else {
				assert_int_equal(size[e->slot], 0);
				size[e->slot] = e->size;
				births++;
			}
			if (i == plan.count - 1)
				assert_memory_equal(size, plan.size,
						    plan.initial * sizeof(*size));
		}
		assert_true(births >= 2 * 4096 && births < 2 * 4096 * 1.05);
		free(size);
		empirical_plan_delete(&plan);
	}
	load_model_delete(m);
}

/* --- the load --- */

static double figure_of(struct driver *d, const char *name);

static struct {
	const char *name;
	double value;
} wanted;

static void keep_figure(const char *name, double value, void *arg)
{
	(void)arg;
	if (strcmp(name, wanted.name) == 0)
		wanted.value = value;
}

static double figure_of(struct driver *d, const char *name)
{
	wanted.name = name;
	wanted.value = -1;
	d->run.workload->report(&d->run, keep_figure, NULL);
	return wanted.value;
}

static void runs_on_any_number_of_threads(void **state)
{
	(void)state;
	put_model(sample);
	for (unsigned int threads = 1; threads <= 5; threads++) {
		uint64_t arenas = arena_bytes();
		struct driver d;
		uint64_t ops;

		driver_init(&d, "empirical", param, 0, threads);
		d.run.check = true;
		driver_setup(&d);
		assert_int_equal(workload_size_max(&d.run), 5000);
		assert_true(d.run.workload->footprint(&d.run) > 200000 * threads);
		ops = driver_pass(&d, 3);
		assert_true(ops > 11000 * threads && ops < 14000 * threads);
		assert_int_equal(driver_probed_pass(&d, 3), ops);
		assert_true(near(figure_of(&d, "model_live_bytes_mean"),
				 418688.0 / 2 * threads, 1e-9));
		if (threads == 1)
			assert_int_equal(d.model->remote_frees, 0);
		else
			assert_true(d.model->remote_frees > 0);
		assert_int_equal(figure_of(&d, "handovers"), d.model->remote_frees);
		driver_finish(&d);
		assert_int_equal(arena_bytes(), arenas);
	}
}

/* The model allocator's log as a trace; blocks that lived before the steps are left out
 * of it when they die, and what lives at the end is kept. */
static uint64_t events_of_log(const struct model *m, size_t from, size_t to,
			      struct trace_event *events)
{
	uint32_t *id = calloc(m->allocs + 1, sizeof(*id)); /* plus one; of serials */
	uint16_t thread[DRIVER_THREADS + 1] = {0};	   /* plus one */
	uint16_t threads = 0;
	uint32_t ids = 0;
	uint64_t n = 0;

	for (size_t i = from; i < to; i++) {
		const struct model_event *e = &m->log[i];

		if (e->what == 'f' && id[e->serial] == 0)
			continue;
		if (thread[e->thread] == 0)
			thread[e->thread] = ++threads;
		if (e->what != 'f')
			id[e->serial] = ++ids;
		events[n++] = (struct trace_event){
			.op = e->what == 'f' ? TRACE_FREE : TRACE_MALLOC,
			.thread = (uint16_t)(thread[e->thread] - 1),
			.id = id[e->serial] - 1,
			.size_bytes = e->what == 'f' ? 0 : e->size,
		};
	}
	free(id);
	return n;
}

static size_t log_after;

static void mark_end(struct driver *d)
{
	log_after = d->model->logged;
}

/* Where the steps begin in the log: after that, nobody is in thread_setup(). */
static size_t find_begin(const struct model *m)
{
	size_t last = 0;

	/* The first free of all comes after the last block of every thread's start. */
	while (last < m->logged && m->log[last].what != 'f')
		last++;
	return last;
}

struct sums {
	double births, bytes, small, handed, frees, live_bytes;
};

static struct sums sums_of(const struct load_model *m)
{
	struct sums s = {0};

	for (uint32_t i = 0; i < m->cells; i++) {
		const struct load_cell *c = &m->cell[i];

		s.bytes += c->weight * c->sizes.mean;
		s.small += c->sizes.high <= 200 ? c->weight : 0;
		s.handed += c->weight * c->handed;
		s.live_bytes += c->weight * c->life * c->sizes.mean;
	}
	return s;
}

/* Lives that are short against the log. */
static const char short_lives[] = "cell 24 24 24 6 20 0\n"
				  "cell 40 200 100 3 400 0.1\n"
				  "cell 3000 5000 4000 1 1000 0.5\nend\n";

/* Runs the model in `path` and fits another to what it did. */
static struct load_model *refit(unsigned int threads, size_t *live, double *handed)
{
	struct trace_event *events = calloc(MODEL_LOG, sizeof(*events));
	struct load_model *again;
	struct driver d;
	uint64_t births;
	size_t begin;

	driver_init(&d, "empirical", param, 0, threads);
	driver_setup(&d);
	d.between = mark_end;
	births = driver_pass(&d, 28 / threads);
	assert_true(d.model->logged < MODEL_LOG);
	begin = find_begin(d.model);
	*live = begin;
	again = fit_events(events, events_of_log(d.model, begin, log_after, events),
			   LOAD_CELLS_MAX);
	*handed = figure_of(&d, "handovers") / (double)births;
	driver_finish(&d);
	free(events);
	return again;
}

/*
 * A model fitted to the load that `empirical` makes of a model is that model again: mean
 * size and share of the small ones within 2 %, mean live bytes within 5 %. (The log
 * begins with an empty trace, so lives that began before are missing from it.)
 */
static void a_refit_finds_the_model_again(void **state)
{
	char text[256] = "kmembench-model 1\nthreads 1\n";
	struct load_model *model, *again;
	struct sums want, got;
	double handed;
	size_t live;

	(void)state;
	put_model(strcat(text, short_lives));
	assert_int_equal(load_model_read(path, &model), 0);
	again = refit(1, &live, &handed);
	want = sums_of(model);
	got = sums_of(again);
	assert_true(again->threads == 1);
	assert_true(near(got.bytes, want.bytes, 0.02));
	assert_true(near(got.small, want.small, 0.02));
	assert_true(near(got.live_bytes, want.live_bytes, 0.05));
	assert_true(got.handed == 0);
	/* What lived when the steps began is what lives on average. */
	assert_true(near((double)live, load_model_live_blocks(model), 0.2));
	load_model_delete(model);
	load_model_delete(again);
}

/*
 * The share that is handed over: within 3 % of the schedules' own. The refit may be 20 %
 * off, and the mean size with it: what is on its way from one thread to the other when
 * the log ends, some steps' worth of a dozen, is missing from it.
 */
static void a_refit_finds_the_hand_overs_again(void **state)
{
	char text[256] = "kmembench-model 1\nthreads 2\n";
	struct load_model *model, *again;
	struct sums want, got;
	double handed;
	size_t live;

	(void)state;
	put_model(strcat(text, short_lives));
	assert_int_equal(load_model_read(path, &model), 0);
	again = refit(2, &live, &handed);
	want = sums_of(model);
	got = sums_of(again);
	assert_true(near(again->threads, 2, 0.01));
	assert_true(near(handed, want.handed, 0.03));
	assert_true(near(got.bytes, want.bytes, 0.1));
	assert_true(near(got.handed, want.handed, 0.2));
	load_model_delete(model);
	load_model_delete(again);
}

static void refusals(void **state)
{
	struct driver d;

	(void)state;
	put_model("kmembench-model 1\ncell 9 1 1 1 1 0\nend\n");
	driver_init(&d, "empirical", param, 0, 1);
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), "line 2: sizes must be");
	put_model("kmembench-model 1\ncell 1 1 1 1 1e14 0\nend\n");
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -E2BIG);
	assert_contains(kmem_last_error(), "blocks live for each thread");
	kmem_options_release(d.run.workload->params, d.params);
	model_delete(d.model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_draws_by_weight),
		cmocka_unit_test(sizes_keep_their_mean),
		cmocka_unit_test(models_are_read_and_written),
		cmocka_unit_test(bad_models),
		cmocka_unit_test(the_built_in_one_is_sound),
		cmocka_unit_test(a_fit_that_can_be_told),
		cmocka_unit_test(fits_that_fail),
		cmocka_unit_test(schedules_are_circles),
		cmocka_unit_test(runs_on_any_number_of_threads),
		cmocka_unit_test(a_refit_finds_the_model_again),
		cmocka_unit_test(a_refit_finds_the_hand_overs_again),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
