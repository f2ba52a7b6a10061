/* SPDX-License-Identifier: MIT */
/* The order of CPUs for workers, binding, and what is read of descriptions. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "allocators/os/os_cpu.h"
#include "bench/metrics.h"
#include "bench/topology.h"
#include "bench/topology_view.h"
#include <kmem/error.h>

static cpu_set_t own_cpus(void)
{
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	return set;
}

static void workers_get_every_cpu_once_then_again(void **state)
{
	cpu_set_t allowed = own_cpus(), seen;
	unsigned int n = (unsigned int)CPU_COUNT(&allowed);
	unsigned int *order = calloc(2 * n + 1, sizeof(*order));

	(void)state;
	CPU_ZERO(&seen);
	assert_int_equal(topology_worker_cpus(2 * n + 1, order), 0);
	for (unsigned int i = 0; i < n; i++) {
		assert_true(CPU_ISSET(order[i], &allowed));
		assert_false(CPU_ISSET(order[i], &seen));
		CPU_SET(order[i], &seen);
	}
	for (unsigned int i = n; i < 2 * n + 1; i++)
		assert_int_equal(order[i], order[i - n]);
	free(order);
}

static void workers_stay_where_they_may_run(void **state)
{
	cpu_set_t allowed = own_cpus(), one;
	unsigned int order[3] = {0}, last = 0;

	(void)state;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed))
			last = cpu;
	}
	assert_int_equal(topology_pin_self(last), 0);
	one = own_cpus();
	assert_int_equal(CPU_COUNT(&one), 1);
	assert_true(CPU_ISSET(last, &one));
	assert_int_equal(sched_getcpu(), last);
	assert_int_equal(topology_worker_cpus(3, order), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(order[i], last);
	assert_int_equal(sched_setaffinity(0, sizeof(allowed), &allowed), 0);
}

static void binding_to_a_missing_cpu_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(topology_pin_self(100000), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "cannot bind a thread to CPU 100000: Invalid argument");
}

static void asking_is_cheap(void **state)
{
	struct timespec a, b;
	unsigned int order[2];
	double ms;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(topology_worker_cpus(2, order), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
	print_message("topology_worker_cpus: %.2f ms\n", ms);
	/* Each cell pays this once; generous, for sanitizers and loaded machines. */
	assert_true(ms < 1000);
}

/* --- descriptions --- */

static json_t *view_of(const char *spec)
{
	hwloc_topology_t topology;
	json_t *view;

	assert_int_equal(topology_load(spec, &topology), 0);
	view = topology_json(topology, spec);
	hwloc_topology_destroy(topology);
	return view;
}

static int integer(const json_t *object, const char *key)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	return (int)json_integer_value(json_object_get(object, key));
}

static void a_description_is_read(void **state)
{
	json_t *view = view_of("numa:2 l3:1(size=8388608) core:2 pu:2");
	const json_t *nodes = json_object_get(view, "nodes");
	const json_t *row = json_array_get(json_object_get(view, "distances"), 1);
	const json_t *cache = json_array_get(json_object_get(view, "caches"), 0);

	(void)state;
	assert_true(json_is_true(json_object_get(view, "simulated")));
	assert_int_equal(integer(view, "cores"), 4);
	assert_int_equal(integer(view, "cpus"), 8);
	assert_int_equal(json_array_size(nodes), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(nodes, 1), "cpus")),
		"4-7");
	assert_true(json_is_false(json_object_get(view, "distances_given")));
	assert_int_equal(json_integer_value(json_array_get(row, 0)), 20);
	assert_int_equal(json_integer_value(json_array_get(row, 1)), 10);
	assert_int_equal(integer(cache, "level"), 3);
	assert_int_equal(integer(cache, "size_bytes"), 8388608);
	assert_int_equal(integer(cache, "shared_by_cpus"), 4);
	assert_null(json_object_get(view, "worker_order"));
	assert_null(json_object_get(view, "percpu"));
	json_decref(view);
}

static void an_xml_file_is_read_with_its_distances(void **state)
{
	char path[] = "/tmp/kmembench-topology-XXXXXX.xml";
	hwloc_uint64_t values[4] = {10, 31, 31, 10};
	hwloc_obj_t nodes[2];
	hwloc_distances_add_handle_t handle;
	hwloc_topology_t topology;
	json_t *view;

	(void)state;
	assert_int_equal(topology_load("numa:2 core:1 pu:1", &topology), 0);
	nodes[0] = hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, 0);
	nodes[1] = hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, 1);
	handle = hwloc_distances_add_create(
		topology, NULL,
		HWLOC_DISTANCES_KIND_FROM_USER | HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0);
	assert_non_null(handle);
	assert_int_equal(
		hwloc_distances_add_values(topology, handle, 2, nodes, values, 0), 0);
	assert_int_equal(hwloc_distances_add_commit(topology, handle, 0), 0);
	assert_true(mkstemps(path, 4) >= 0);
	assert_int_equal(hwloc_topology_export_xml(topology, path, 0), 0);
	hwloc_topology_destroy(topology);

	view = view_of(path);
	assert_true(json_is_true(json_object_get(view, "distances_given")));
	assert_int_equal(
		json_integer_value(json_array_get(
			json_array_get(json_object_get(view, "distances"), 0), 1)),
		31);
	json_decref(view);
	remove(path);
}

static void this_machine_is_not_simulated(void **state)
{
	json_t *view = view_of(NULL);

	(void)state;
	assert_true(json_is_false(json_object_get(view, "simulated")));
	assert_true(json_array_size(json_object_get(view, "nodes")) >= 1);
	assert_string_equal(json_string_value(json_object_get(view, "percpu")),
			    os_percpu_mode());
	assert_int_equal(json_array_size(json_object_get(view, "worker_order")),
			 integer(view, "cpus"));
	json_decref(view);
}

static void bad_descriptions_are_refused(void **state)
{
	hwloc_topology_t topology;

	(void)state;
	assert_int_equal(topology_load("bogus", &topology), -EINVAL);
	assert_non_null(
		strstr(kmem_last_error(), "'bogus' is neither an hwloc description nor"));
	assert_int_equal(topology_load("/nonexistent/x.xml", &topology), -ENOENT);
}

/* --- metrics --- */

static void metrics_have_everything(void **state)
{
	const struct metric *m;
	size_t n;

	(void)state;
	for (n = 0; (m = metric_at(n)) != NULL; n++) {
		assert_ptr_equal(metric_find(m->name), m);
		assert_true(m->unit[0] != '\0' && m->definition[0] != '\0');
		assert_non_null(metric_better_name(m->better));
	}
	assert_true(n > 20);
	assert_int_equal(metric_find("items_per_second")->better, METRIC_HIGHER);
	assert_null(metric_find("reel_time"));
	assert_string_equal(kmem_last_error(),
			    "unknown metric 'reel_time': did you mean 'real_time'?");
	assert_null(metric_find("beauty"));
	assert_string_equal(
		kmem_last_error(),
		"unknown metric 'beauty': 'kmembench list metrics' has them all");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_get_every_cpu_once_then_again),
		cmocka_unit_test(workers_stay_where_they_may_run),
		cmocka_unit_test(binding_to_a_missing_cpu_is_an_error),
		cmocka_unit_test(asking_is_cheap),
		cmocka_unit_test(a_description_is_read),
		cmocka_unit_test(an_xml_file_is_read_with_its_distances),
		cmocka_unit_test(this_machine_is_not_simulated),
		cmocka_unit_test(bad_descriptions_are_refused),
		cmocka_unit_test(metrics_have_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
