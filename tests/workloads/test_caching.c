/* SPDX-License-Identifier: MIT */
/* pool, ctor, colour: workloads that bring a pool or a cache of their own. */
#include "tests/workloads/model.h"

#include <errno.h>
#include <stdio.h>

#include "workloads/harness/arena.h"

/* --- pool on the model --- */

static void note_figure(const char *name, double value, void *arg)
{
	double *reserve = arg;

	if (strcmp(name, "pool_from_reserve_count") == 0)
		*reserve = value;
}

/* Share of the elements that came out of the reserve. */
static double pool_reserve_share(const char *params, unsigned int threads)
{
	uint64_t arena_before = arena_bytes(), ops;
	double reserve = -1;
	struct driver d;

	driver_init(&d, "pool", params, 100, threads);
	d.run.check = true;
	driver_setup(&d);
	assert_int_equal(d.model->live_blocks, 16 * threads);
	ops = driver_pass(&d, 2);
	assert_int_equal(d.model->live_blocks, 16 * threads);
	d.run.workload->report(&d.run, note_figure, &reserve);
	assert_int_equal(driver_probed_pass(&d, 2), ops);
	d.run.workload->teardown(&d.run);
	d.model->outside = 0; /* the main thread fills and empties the reserve */
	d.run.workload = &(struct workload_ops){.name = "pool"};
	driver_finish(&d);
	assert_int_equal(arena_bytes(), arena_before);
	return reserve / (double)ops;
}

static void pool_fails_at_the_given_rate(void **state)
{
	(void)state;
	assert_true(pool_reserve_share("fail_percent=0", 1) == 0);
	assert_float_equal(pool_reserve_share("fail_percent=5", 1), 0.05, 0.01);
	assert_float_equal(pool_reserve_share("fail_percent=50", 4), 0.5, 0.03);
	assert_float_equal(pool_reserve_share("fail_percent=100", 2), 1.0, 0.01);
}

/* --- ctor and colour on a real allocator --- */

struct figures {
	double misses, sets, colours, slack_bytes;
};

static void note_colour(const char *name, double value, void *arg)
{
	struct figures *f = arg;

	if (strcmp(name, "modelled_l1_misses_per_touch") == 0)
		f->misses = value;
	else if (strcmp(name, "modelled_l1_sets_used_count") == 0)
		f->sets = value;
	else if (strcmp(name, "cache_colours") == 0)
		f->colours = value;
	else if (strcmp(name, "slab_slack_bytes") == 0)
		f->slack_bytes = value;
}

/* One thread, one pass, two steps. Returns setup()'s result. */
static int run_on(const char *spec, const char *workload, const char *params,
		  uint64_t size, bool check, struct figures *figures)
{
	struct allocator_env env = {.size_max_bytes = size, .threads = 1, .check = check};
	uint64_t arena_before = arena_bytes();
	struct driver d;
	struct worker *w = &d.workers[0];
	int err;

	driver_init(&d, workload, params, size, 1);
	d.run.check = check;
	if (workload_validate(&d.run, &d.model->ops) != 0)
		fail_msg("%s", kmem_last_error());
	d.run.allocator = allocator_new(spec, &env);
	assert_non_null(d.run.allocator);
	err = d.run.workload->setup(&d.run);
	if (err == 0) {
		worker_init(w, &d.run, 0, NULL);
		assert_int_equal(d.run.workload->thread_setup(w), 0);
		d.run.workload->step(w);
		d.run.workload->step(w);
		assert_true(w->ops > 0);
		d.run.workload->thread_teardown(w);
		if (figures != NULL)
			d.run.workload->report(&d.run, note_colour, figures);
		d.run.workload->teardown(&d.run);
		if (d.run.allocator->ops->check != NULL)
			assert_int_equal(d.run.allocator->ops->check(d.run.allocator), 0);
	}
	allocator_delete(d.run.allocator);
	driver_finish(&(struct driver){.run.workload = &(struct workload_ops){.name = ""},
				       .model = d.model});
	assert_int_equal(arena_bytes(), arena_before);
	return err;
}

static void ctor_with_and_without_a_cache(void **state)
{
	(void)state;
	assert_int_equal(run_on("slab", "ctor", "caching=on", 256, true, NULL), 0);
	assert_int_equal(run_on("kmem", "ctor", "caching=on", 256, true, NULL), 0);
	assert_int_equal(run_on("slab", "ctor", "caching=off", 256, true, NULL), 0);
	assert_int_equal(
		run_on("glibc", "ctor", "caching=off,ctor_words=1", 8, true, NULL), 0);
	assert_int_equal(run_on("glibc", "ctor", "caching=on", 256, false, NULL),
			 -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "workload 'ctor' has caching=on, and 'glibc' has no object "
			    "caches: use slab or kmem, or caching=off");
}

/* Bonwick's claim, in the model: with room for colours there are fewer conflicts. */
static void colours_spread_over_sets(void **state)
{
	struct figures off = {0}, on = {0}, tight = {0};

	(void)state;
	run_on("slab:descriptors=on,colour=off", "colour", NULL, 1024, false, &off);
	run_on("slab:descriptors=on,colour=on", "colour", NULL, 1024, false, &on);
	assert_true(off.misses > 0.9);
	assert_true(on.misses < 0.6);
	assert_true(on.sets > off.sets);
	/* Without slack there is nothing to colour with. */
	run_on("slab:descriptors=off,colour=on", "colour", NULL, 512, false, &tight);
	assert_true(tight.misses > 0.9);
	assert_true(tight.colours == 1);
	run_on("glibc", "colour", "n_objects=64", 512, false, &tight);
}

/* A size that leaves slack by itself: nothing but colour=off is needed to compare. */
static void slack_has_colours_by_default(void **state)
{
	static const uint64_t sizes[] = {1100, 2100};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		struct figures off = {0}, on = {0};

		run_on("slab:colour=off", "colour", NULL, sizes[i], false, &off);
		run_on("slab", "colour", NULL, sizes[i], false, &on);
		assert_true(off.colours == 1);
		assert_true(on.colours > 6);
		assert_true(on.slack_bytes == off.slack_bytes && on.slack_bytes > 400);
		assert_true(off.misses > 0.9);
		assert_true(on.misses < 0.1);
		/* So few lines that they fit into the sets they share, or more than the
		 * cache has: it does not pay. */
		run_on("slab:colour=off", "colour", "n_objects=32", sizes[i], false,
		       &off);
		assert_true(off.misses == 0);
		run_on("slab", "colour", "n_objects=4096", sizes[i], false, &on);
		assert_true(on.misses > 0.9);
	}
}

/* Every object once in a round, whatever the order. */
static void check_round(const char *params, uint64_t *ascents)
{
	struct object {
		struct object *next;
	};
	struct driver d;
	struct object *first, *at;
	uint64_t n = 0;

	*ascents = 0;
	driver_init(&d, "colour", params, 64, 1);
	d.run.allocator = allocator_new("glibc", &(struct allocator_env){0});
	assert_non_null(d.run.allocator);
	assert_int_equal(d.run.workload->setup(&d.run), 0);
	worker_init(&d.workers[0], &d.run, 0, NULL);
	assert_int_equal(d.run.workload->thread_setup(&d.workers[0]), 0);
	/* The state's third word is the object touched last: the chain is walked from
	 * there. */
	d.run.workload->step(&d.workers[0]);
	first = *(struct object **)((char *)d.workers[0].state + 2 * sizeof(void *));
	at = first;
	do {
		*ascents += at->next > at;
		at = at->next;
		n++;
	} while (at != first && n <= 1000);
	assert_int_equal(n, 256);
	d.run.workload->thread_teardown(&d.workers[0]);
	d.run.workload->teardown(&d.run);
	allocator_delete(d.run.allocator);
	driver_finish(&(struct driver){.run.workload = &(struct workload_ops){.name = ""},
				       .model = d.model});
}

static void touches_go_round_in_the_named_order(void **state)
{
	uint64_t ascents;

	(void)state;
	check_round("order=allocated", &ascents);
	assert_true(ascents > 200);
	check_round("order=random", &ascents);
	assert_in_range(ascents, 90, 166);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_fails_at_the_given_rate),
		cmocka_unit_test(ctor_with_and_without_a_cache),
		cmocka_unit_test(colours_spread_over_sets),
		cmocka_unit_test(slack_has_colours_by_default),
		cmocka_unit_test(touches_go_round_in_the_named_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
