/* SPDX-License-Identifier: MIT */
/* Who runs with whom, how long, and when it is enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/campaign_internal.h"
#include "bench/rotation.h"

#define assert_close(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static void quanta_follow_the_reference(void **state)
{
	(void)state;
	/* 0.16 ms a quantum: three are worth half a millisecond. */
	assert_int_equal(rotation_quanta(160e3, 160e3, 500e3), 3);
	/* A bit faster or slower gets the same, so that both do the same operations. */
	assert_int_equal(rotation_quanta(160e3, 100e3, 500e3), 3);
	assert_int_equal(rotation_quanta(160e3, 600e3, 500e3), 3);
	/* Much faster: its slice would be too short to time. */
	assert_int_equal(rotation_quanta(160e3, 20e3, 500e3), 25);
	/* Much slower: it would hold up the rest. */
	assert_int_equal(rotation_quanta(160e3, 5e6, 500e3), 1);
	/* Never nothing. */
	assert_int_equal(rotation_quanta(50e6, 50e6, 500e3), 1);
}

static void rounds_fit_the_time(void **state)
{
	(void)state;
	assert_int_equal(rotation_rounds(0.025, 500e3, 600e3), 50);
	/* Long slices get at least 20 rounds, as long as that is bearable. */
	assert_int_equal(rotation_rounds(0.025, 2e6, 10e6), 20);
	assert_int_equal(rotation_rounds(0.025, 20e6, 25e6), 10);
	/* A short time bounds them as well; 5 are the fewest. */
	assert_int_equal(rotation_rounds(0.005, 2e6, 2e6), 10);
	assert_int_equal(rotation_rounds(0.001, 500e3, 500e3), ROTATION_ROUNDS_MIN);
	assert_int_equal(rotation_rounds(3600, 500e3, 500e3), ROTATION_ROUNDS_MAX);
}

static void lead_in_follows_memory(void **state)
{
	(void)state;
	/* What an allocator holds for itself is no working set. */
	assert_int_equal(rotation_working_set(4000000, 30000), 4 * 30000 + 65536);
	assert_int_equal(rotation_working_set(100000, 30000), 100000);
	assert_int_equal(rotation_working_set(4000000, 0), 4000000);
	assert_close(rotation_lead_in_s(0), 0.0001, 1e-9);
	assert_close(rotation_lead_in_s(1000000), 0.0006, 1e-9);
	assert_close(rotation_lead_in_s(1u << 30), 0.008, 1e-9);
	assert_close(rotation_slice_s(0.0001), 0.0005, 1e-9);
	assert_close(rotation_slice_s(0.008), 0.002, 1e-9);
}

static void everybody_is_in_one_rotation(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 40; n++) {
		for (unsigned int capacity = 1; capacity <= 12; capacity++) {
			unsigned int rotation[40], alive[64] = {0};
			size_t reference = n / 3;
			unsigned int count = rotation_assign(n, reference, capacity,
							     rotation);

			assert_int_equal(rotation[reference], 0);
			for (size_t i = 0; i < n; i++) {
				assert_true(rotation[i] < count);
				alive[rotation[i]]++;
			}
			for (unsigned int r = 0; r < count; r++) {
				unsigned int along = r > 0 && capacity > 1;

				assert_true(alive[r] > 0);
				assert_true(alive[r] + along <= capacity);
			}
		}
	}
}

static void as_few_and_as_even_as_possible(void **state)
{
	unsigned int rotation[16];

	(void)state;
	assert_int_equal(rotation_assign(8, 2, 10, rotation), 1);
	/* Twelve others, nine at a time: two rotations of six. */
	assert_int_equal(rotation_assign(13, 0, 10, rotation), 2);
	for (unsigned int r = 0; r < 2; r++) {
		unsigned int others = 0;

		for (size_t i = 1; i < 13; i++)
			others += rotation[i] == r;
		assert_int_equal(others, 6);
	}
}

static void memory_bounds_a_rotation(void **state)
{
	(void)state;
	assert_int_equal(rotation_capacity(0, 1u << 30), 10);
	assert_int_equal(rotation_capacity(1u << 20, 1u << 30), 10);
	assert_int_equal(rotation_capacity(100u << 20, 1u << 30), 5);
	assert_int_equal(rotation_capacity(1u << 30, 1u << 30), 1);
}

/* --- when it is enough --- */

static json_t *block_entry(double ns)
{
	return json_pack("{s:f}", "real_time", ns);
}

/* A campaign of three cells and 40 blocks: reference, steady, and one that scatters. */
static void fill(struct campaign *c, struct plan *plan, double scatter)
{
	static struct plan_cell cells[3] = {
		{.allocator = (char *)(uintptr_t) "steady"},
		{.allocator = (char *)(uintptr_t) "glibc"},
		{.allocator = (char *)(uintptr_t) "noisy"},
	};
	unsigned short seed[3] = {1, 2, 3};

	plan->cells = cells;
	plan->count = 3;
	plan->groups = 1;
	c->plan = plan;
	c->blocks_max = PLAN_BLOCKS_MAX;
	c->entries = calloc(3 * PLAN_BLOCKS_MAX, sizeof(json_t *));
	c->failed = calloc(3, sizeof(bool));
	assert_non_null(c->entries);
	assert_non_null(c->failed);
	for (unsigned int b = 0; b < PLAN_BLOCKS_MAX; b++) {
		double drift = 10 * (1 + 0.2 * (b % 4));

		*campaign_slot(c, 0, b) = block_entry(drift * 1.5);
		*campaign_slot(c, 1, b) = block_entry(drift);
		*campaign_slot(c, 2, b) =
			block_entry(drift * exp(scatter * (2 * erand48(seed) - 1)));
	}
}

static void release(struct campaign *c)
{
	for (size_t i = 0; i < 3 * PLAN_BLOCKS_MAX; i++)
		json_decref(c->entries[i]);
	free(c->entries);
	free(c->failed);
}

static void width_alone_stops(void **state)
{
	struct plan plan = {.precision_pct = 1.0};
	struct campaign c = {0};

	(void)state;
	fill(&c, &plan, 0.04);
	/* 50 % slower is significant at once, and of no account here. */
	assert_close(campaign_half_width_pct(&c, 0, 10), 0, 1e-6);
	assert_close(campaign_half_width_pct(&c, 1, 10), 0, 1e-6);
	/* Uniform in +-4 %: the half-width is some 1.9 % after 10 blocks, 0.75 %
	 * after 40. */
	assert_true(campaign_half_width_pct(&c, 2, 10) > 1.0);
	assert_true(campaign_half_width_pct(&c, 2, 40) < 1.0);
	assert_true(isinf(campaign_half_width_pct(&c, 2, 5)));
	assert_false(campaign_precise(&c, 0, 10));
	assert_true(campaign_precise(&c, 0, 40));
	/* Wider is enough when wider was asked for. */
	plan.precision_pct = 5;
	assert_true(campaign_precise(&c, 0, 10));
	release(&c);
}

static void failed_cells_do_not_hold_up(void **state)
{
	struct plan plan = {.precision_pct = 1.0};
	struct campaign c = {0};

	(void)state;
	fill(&c, &plan, 0.5);
	assert_false(campaign_precise(&c, 0, 40));
	c.failed[2] = true;
	assert_true(campaign_precise(&c, 0, 10));
	c.failed[2] = false;
	c.failed[1] = true; /* without the reference there is no ratio to know */
	assert_true(campaign_precise(&c, 0, 10));
	release(&c);
}

static void references(void **state)
{
	struct plan_cell cells[4] = {
		{.allocator = (char *)(uintptr_t) "slab", .group = 0},
		{.allocator = (char *)(uintptr_t) "glibc", .group = 0},
		{.allocator = (char *)(uintptr_t) "buddy", .group = 1},
		{.allocator = (char *)(uintptr_t) "mmap", .group = 1},
	};
	struct plan plan = {.cells = cells, .count = 4, .groups = 2};

	(void)state;
	assert_int_equal(plan_reference(&plan, 0), 1);
	assert_int_equal(plan_reference(&plan, 1), 2);
	plan.baseline = "mmap";
	assert_int_equal(plan_reference(&plan, 0), 0);
	assert_int_equal(plan_reference(&plan, 1), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quanta_follow_the_reference),
		cmocka_unit_test(rounds_fit_the_time),
		cmocka_unit_test(lead_in_follows_memory),
		cmocka_unit_test(everybody_is_in_one_rotation),
		cmocka_unit_test(as_few_and_as_even_as_possible),
		cmocka_unit_test(memory_bounds_a_rotation),
		cmocka_unit_test(width_alone_stops),
		cmocka_unit_test(failed_cells_do_not_hold_up),
		cmocka_unit_test(references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
