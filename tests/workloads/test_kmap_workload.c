/* SPDX-License-Identifier: MIT */
/* kmap: on vmalloc itself, which alone has HIGHMEM. */
#include "tests/workloads/model.h"

#include <kmem/highmem.h>
#include <kmem/mm_types.h>

#include "workloads/harness/arena.h"

#define SPEC  "vmalloc:memory=64M,dma=8M,highmem=16M,range_bytes=1G,pkmap_slots=64"
#define STEPS 20
#define OPS   128 /* of a step */

struct figures {
	double maps_per_op, flushes, waits; /* -1: not reported */
};

static void note(const char *name, double value, void *arg)
{
	struct figures *f = arg;

	if (strcmp(name, "kmap_maps_per_op") == 0)
		f->maps_per_op = value;
	else if (strcmp(name, "kmap_flushes_count") == 0)
		f->flushes = value;
	else if (strcmp(name, "kmap_waits_count") == 0)
		f->waits = value;
	else
		fail_msg("figure '%s'", name);
}

static void begin(struct driver *d, const char *spec, const char *params,
		  enum touch_rule touch, unsigned int threads)
{
	const struct allocator_env env = {.size_max_bytes = PAGE_SIZE, .check = true};

	driver_init(d, "kmap", params, 0, threads);
	d->run.check = true;
	if (touch != TOUCH_DEFAULT)
		d->run.touch = touch;
	if (workload_validate(&d->run, &d->model->ops) != 0)
		fail_msg("%s", kmem_last_error());
	d->run.allocator = allocator_new(spec, &env);
	if (d->run.allocator == NULL)
		fail_msg("%s", kmem_last_error());
}

static void end(struct driver *d)
{
	allocator_delete(d->run.allocator);
	model_delete(d->model);
}

/* Workers take turns on this thread. */
static struct figures run_on(const char *spec, const char *params, enum touch_rule touch,
			     unsigned int threads)
{
	struct figures f = {-1, -1, -1};
	uint64_t arenas = arena_bytes();
	const struct workload_ops *ops;
	struct driver d;

	begin(&d, spec, params, touch, threads);
	ops = d.run.workload;
	assert_int_equal(ops->setup(&d.run), 0);
	for (unsigned int t = 0; t < threads; t++) {
		worker_init(&d.workers[t], &d.run, t, NULL);
		assert_int_equal(ops->thread_setup(&d.workers[t]), 0);
	}
	for (unsigned int i = 0; i < STEPS * threads; i++)
		ops->step(&d.workers[i % threads]);
	for (unsigned int t = 0; t < threads; t++) {
		assert_int_equal(d.workers[t].ops, STEPS * OPS);
		ops->thread_teardown(&d.workers[t]);
	}
	ops->report(&d.run, note, &f);
	ops->teardown(&d.run);
	assert_int_equal(arena_bytes(), arenas);
	if (d.run.allocator->ops->check(d.run.allocator) != 0)
		fail_msg("%s", kmem_last_error());
	end(&d);
	return f;
}

/* With more pages than slots every page that is not used again is mapped anew. */
static void kmap_maps_what_is_not_reused(void **state)
{
	struct figures f;

	(void)state;
	for (unsigned int threads = 1; threads <= 2; threads++) {
		f = run_on(SPEC, "pages=500,reuse_percent=0", TOUCH_DEFAULT, threads);
		assert_float_equal(f.maps_per_op, 1, 0);
		assert_true(f.flushes >= STEPS * OPS * threads / 64 - 1);
		assert_float_equal(f.waits, 0, 0);
		f = run_on(SPEC, "pages=500,reuse_percent=75", TOUCH_PAGES, threads);
		assert_float_equal(f.maps_per_op, 0.25, 0.04);
		f = run_on(SPEC, "pages=500,reuse_percent=100", TOUCH_NONE, threads);
		assert_true(f.maps_per_op <= 1.0 / (STEPS * OPS));
	}
	/* Fewer pages than slots: each is mapped once. */
	f = run_on(SPEC, "pages=50,reuse_percent=0", TOUCH_FULL, 1);
	assert_float_equal(f.maps_per_op, 50.0 / (STEPS * OPS), 1e-9);
	f = run_on(SPEC ",pkmap_flush=off", "pages=500,reuse_percent=0", TOUCH_FULL, 1);
	assert_float_equal(f.maps_per_op, 1, 0);
	assert_float_equal(f.flushes, 0, 0);
}

static void other_ways_show_the_same_pages(void **state)
{
	struct figures f;

	(void)state;
	f = run_on(SPEC, "way=atomic,pages=500,reuse_percent=0", TOUCH_DEFAULT, 2);
	assert_true(f.maps_per_op > 0.99);
	assert_float_equal(f.flushes, -1, 0);
	f = run_on(SPEC, "way=atomic,pages=500,reuse_percent=75", TOUCH_FULL, 1);
	assert_float_equal(f.maps_per_op, 0.25, 0.04);
	f = run_on(SPEC, "way=vmap,pages=500", TOUCH_FULL, 1);
	assert_float_equal(f.maps_per_op, 1, 0);
	f = run_on(SPEC, "way=direct,pages=500", TOUCH_FULL, 2);
	assert_float_equal(f.maps_per_op, 0, 0);
}

/* Each frame that is in use by the workload is given another one's number. */
static void damage_marks(void)
{
	for (unsigned long pfn = 0; pfn < kmem_nr_frames; pfn++) {
		struct page *page = pfn_to_page(pfn);
		uint64_t *addr;

		if (page_zonenum(page) != ZONE_HIGHMEM ||
		    atomic_load(&page->_refcount) == 0)
			continue;
		addr = kmap_atomic(page);
		addr[8] = pfn + 1;
		kunmap_atomic(addr);
	}
}

static void the_wrong_bytes_are_found_out(void **state)
{
	static struct driver d;

	(void)state;
	begin(&d, SPEC, "pages=20", TOUCH_DEFAULT, 1);
	assert_int_equal(d.run.workload->setup(&d.run), 0);
	worker_init(&d.workers[0], &d.run, 0, NULL);
	assert_int_equal(d.run.workload->thread_setup(&d.workers[0]), 0);
	d.run.workload->step(&d.workers[0]);
	damage_marks();
	CATCH_FAIL(d.run.workload->step(&d.workers[0]));
	assert_contains(fail_reason, "workload 'kmap': pfn");
	assert_contains(fail_reason, "where the bytes of pfn");
	end(&d);
}

static void what_cannot_be_is_refused(void **state)
{
	static struct driver d;

	(void)state;
	driver_refused("kmap", "pages=2", 0, 3, "give one for each at least");
	begin(&d, "mmap", NULL, TOUCH_DEFAULT, 1);
	assert_int_equal(d.run.workload->setup(&d.run), -EINVAL);
	assert_contains(kmem_last_error(), "maps pages of HIGHMEM, and 'mmap' has none: "
					   "use vmalloc");
	end(&d);
	begin(&d, "vmalloc:memory=64M,highmem=0", NULL, TOUCH_DEFAULT, 1);
	assert_int_equal(d.run.workload->setup(&d.run), 0);
	worker_init(&d.workers[0], &d.run, 0, NULL);
	CATCH_FAIL(d.run.workload->thread_setup(&d.workers[0]));
	assert_contains(fail_reason, "finds no 4096 pages of HIGHMEM: raise option "
				     "'highmem' of vmalloc");
	end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kmap_maps_what_is_not_reused),
		cmocka_unit_test(other_ways_show_the_same_pages),
		cmocka_unit_test(the_wrong_bytes_are_found_out),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
