/* SPDX-License-Identifier: MIT */
/* What vm-busy refuses; what the others do stands in test_ranges.c. */
#include "tests/workloads/model.h"

#include <stdio.h>

static uint64_t system_max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	uint64_t max = 0;

	if (f == NULL || fscanf(f, "%lu", &max) != 1)
		max = 0;
	if (f != NULL)
		fclose(f);
	return max;
}

/* As many as the system allows, less what others need, and not one more. */
static void vm_busy_respects_max_map_count(void **state)
{
	uint64_t max = system_max_map_count(), fit;
	char params[64], text[64];
	struct driver d;

	(void)state;
	if (max == 0 || max > 1u << 24)
		skip();
	fit = (max - max / 8 - 2 * (5 + 3)) / 2;
	snprintf(params, sizeof(params), "busy_areas=%lu,large_pages=5", fit);
	driver_init(&d, "vm-busy", params, 0, 2);
	assert_int_equal(workload_validate(&d.run, &d.model->ops), 0);
	model_delete(d.model);
	snprintf(params, sizeof(params), "busy_areas=%lu,large_pages=5", fit + 1);
	snprintf(text, sizeof(text), "a process has %lu to spare", max - max / 8);
	driver_refused("vm-busy", params, 0, 2, text);
	driver_refused("vm-busy", params, 0, 2, "lower busy_areas");
	driver_refused("vm-busy", params, 0, 2, "sysctl vm.max_map_count=");
}

static void vm_busy_has_areas_for_each_thread(void **state)
{
	(void)state;
	driver_refused("vm-busy", "busy_areas=2", 0, 3, "give one for each at least");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vm_busy_respects_max_map_count),
		cmocka_unit_test(vm_busy_has_areas_for_each_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
