/* SPDX-License-Identifier: MIT */
/* open-loop omits nothing: a stall is in the response time of all that queue behind it.
 */
#include "tests/workloads/model.h"

enum { SERVICE, RESPONSE };

/* The model with one planted stall, and without its log's cost. */
static uint64_t stall_at, stall_ns;
static struct tsc_clock tsc;

static void *stalling_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			    int node)
{
	struct model *m = (struct model *)a;

	(void)gfp;
	(void)node;
	if (stall_at != 0 && m->allocs >= stall_at) {
		uint64_t end = tsc_now() + (uint64_t)((double)stall_ns / tsc.ns_per_tick);

		stall_at = 0;
		while ((int64_t)(tsc_now() - end) < 0)
			;
	}
	return model_alloc_as(m, size, align, 'a');
}

static uint64_t at_least(const struct histogram *h, double ns)
{
	return h->count - histogram_count_below(h, (uint64_t)(ns / tsc.ns_per_tick));
}

/* At 20000 a second 13 requests make a quantum of 0.64 ms. */
enum { SLOTS = 50, QUANTA = 50, REQUESTS = 13 * QUANTA };

/* A request of one replacement every 50 us: 5 ms of waiting for 100 of them. */
static void run_pass(struct driver *d, uint64_t stall_request, uint64_t ns)
{
	driver_init(d, "open-loop", "rate_per_s=20000,replacements=1,slots=50", 0, 1);
	d->model->ops.alloc = stalling_alloc;
	driver_setup(d);
	stall_at = stall_request != 0 ? SLOTS + stall_request : 0;
	stall_ns = ns;
	assert_int_equal(driver_probed_pass(d, QUANTA), REQUESTS);
}

static void a_stall_is_in_every_response_behind_it(void **state)
{
	static struct driver d;
	const struct histogram *service, *response;

	(void)state;
	run_pass(&d, 100, 20000000);
	service = &d.probes[0].series[SERVICE];
	response = &d.probes[0].series[RESPONSE];
	assert_int_equal(service->count, REQUESTS);
	assert_int_equal(response->count, REQUESTS);
	assert_int_equal(stall_at, 0);
	/* One request was served slowly, and the machine may be slow to a few more ... */
	assert_true(at_least(service, 19e6) >= 1);
	assert_true(at_least(service, 5e6) < 20);
	/* ... but 400 arrived while it was: three quarters of them waited over 5 ms. */
	assert_true(at_least(response, 5e6) >= 200);
	assert_true(at_least(response, 1e6) >= at_least(response, 5e6));
	assert_true(response->max >= service->max);
	/* Alloc and free are not timed one by one, and bytes are still counted. */
	assert_int_equal(d.probes[0].alloc.count + d.probes[0].free.count, 0);
	assert_int_equal(d.shared.live_bytes, 0);
	assert_int_equal(d.probes[0].live_bytes_max, d.model->live_bytes_max);
	driver_finish(&d);
}

/* Without a probe nobody is late who was not allowed to run: a pause is forgotten. */
static void throughput_keeps_to_the_schedule(void **state)
{
	static struct driver d;
	uint64_t start, ticks;
	double expected_ns;

	(void)state;
	driver_init(&d, "open-loop", "rate_per_s=50000,replacements=1,slots=50", 0, 1);
	driver_setup(&d);
	start = tsc_now();
	assert_int_equal(driver_pass(&d, 40), 40 * 32);
	ticks = tsc_now() - start;
	/* 1280 gaps of 20 us; their sum has a deviation of 3 %. */
	expected_ns = 1280 * 20e3;
	assert_true((double)ticks * tsc.ns_per_tick > 0.8 * expected_ns);
	driver_finish(&d);
}

static void requests_replace_their_blocks(void **state)
{
	static struct driver d;
	uint64_t allocs;

	(void)state;
	run_pass(&d, 0, 0);
	allocs = d.model->allocs;
	assert_int_equal(allocs, SLOTS + REQUESTS);
	assert_int_equal(d.model->frees, allocs);
	driver_finish(&d);
}

/* At a low rate a quantum is fewer requests, not a longer time. */
static void quanta_are_short_at_any_rate(void **state)
{
	static const struct {
		const char *params;
		uint64_t requests;
	} cases[] = {
		{"slots=50,rate_per_s=100000", 64},
		{"slots=50,rate_per_s=100000000", 64},
		{"slots=50,rate_per_s=10000", 6},
		{"slots=50,rate_per_s=500", 1},
	};
	static struct driver d;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		driver_init(&d, "open-loop", cases[i].params, 0, 1);
		driver_setup(&d);
		assert_int_equal(driver_pass(&d, 1), cases[i].requests);
		driver_finish(&d);
	}
}

static void swapped_sizes_are_refused(void **state)
{
	static struct driver d;

	(void)state;
	driver_init(&d, "open-loop", "size_min_bytes=100,size_max_bytes=10", 0, 1);
	assert_int_not_equal(workload_validate(&d.run, &d.model->ops), 0);
	assert_contains(kmem_last_error(), "swap them");
	model_delete(d.model);
}

static int set_up(void **state)
{
	(void)state;
	tsc_calibrate(&tsc);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stall_is_in_every_response_behind_it),
		cmocka_unit_test(throughput_keeps_to_the_schedule),
		cmocka_unit_test(requests_replace_their_blocks),
		cmocka_unit_test(quanta_are_short_at_any_rate),
		cmocka_unit_test(swapped_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
