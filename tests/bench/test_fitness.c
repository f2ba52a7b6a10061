/* SPDX-License-Identifier: MIT */
/* The machine's fitness, judged from made-up files and from this machine's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/fitness.h"

static char root[] = "/tmp/kmembench-fitness-XXXXXX";

static void write_file(const char *path, const char *text)
{
	char whole[512];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(whole, 0755);
		*slash = '/';
	}
	file = fopen(whole, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/kmembench-fitness-XXXXXX");
	return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static const struct fitness_item *item_of(const struct fitness_item *items, size_t n,
					  const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(items[i].name, name) == 0)
			return &items[i];
	}
	fail_msg("no item '%s'", name);
	return NULL;
}

static void expect(const char *name, enum fitness_status status, const char *value)
{
	struct fitness_item items[FITNESS_ITEMS_MAX];
	size_t n = fitness_examine(root, items);
	const struct fitness_item *item = item_of(items, n, name);

	if (item->status != status || strstr(item->value, value) == NULL)
		fail_msg("'%s' is %s ('%s'), not %s with '%s'", name,
			 fitness_status_name(item->status), item->value,
			 fitness_status_name(status), value);
	/* What is wrong comes with a remedy, what is right without. */
	if (status == FITNESS_OK)
		assert_string_equal(item->remedy, "");
	if (status == FITNESS_WARN || status == FITNESS_FAIL)
		assert_string_not_equal(item->remedy, "");
}

/* What a file says (NULL: as before), and what is to be found once it does. */
struct finding {
	const char *path, *text;
	const char *name;
	enum fitness_status status;
	const char *value;
};

static void expect_all(const struct finding *findings, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (findings[i].path != NULL)
			write_file(findings[i].path, findings[i].text);
		expect(findings[i].name, findings[i].status, findings[i].value);
	}
}

static void knows_nothing_of_an_empty_machine(void **state)
{
	static const char *const silent[] = {"governor",
					     "turbo",
					     "smt",
					     "load",
					     "CPU quota",
					     "clock source",
					     "address randomisation",
					     "huge pages",
					     "swap",
					     "free memory"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(silent); i++)
		expect(silent[i], FITNESS_UNKNOWN, "");
}

static void judges_the_processor(void **state)
{
	static const struct finding findings[] = {
		{"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n",
		 "governor", FITNESS_WARN, "powersave"},
		{"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n",
		 "governor", FITNESS_OK, "performance"},
		{"/sys/devices/system/cpu/cpufreq/boost", "1\n", "turbo", FITNESS_WARN,
		 "on"},
		{"/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n", "turbo",
		 FITNESS_OK, "off"},
		{"/sys/devices/system/cpu/smt/control", "on\n", "smt", FITNESS_WARN,
		 "on"},
		{"/sys/devices/system/cpu/smt/control", "notsupported\n", "smt",
		 FITNESS_OK, "notsupported"},
		{"/sys/devices/system/cpu/isolated", "\n", "isolated CPUs", FITNESS_WARN,
		 "none"},
		{"/sys/devices/system/cpu/isolated", "2-3\n", "isolated CPUs", FITNESS_OK,
		 "2-3"},
		{"/sys/fs/cgroup/cpu.max", "50000 100000\n", "CPU quota", FITNESS_WARN,
		 "50000 100000"},
		{"/sys/fs/cgroup/cpu.max", "max 100000\n", "CPU quota", FITNESS_OK,
		 "none"},
		{"/proc/loadavg", "0.01 0.5 0.9 1/99 12345\n", "load", FITNESS_OK,
		 "0.01"},
		{"/proc/loadavg", "99999.5 0.5 0.9 1/99 12345\n", "load", FITNESS_FAIL,
		 "99999.50"},
	};

	(void)state;
	expect_all(findings, KMEM_ARRAY_SIZE(findings));
}

static void judges_the_clock(void **state)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	static const struct finding findings[] = {
		{path, "tsc\n", "clock source", FITNESS_OK, "tsc"},
		{path, "hpet\n", "clock source", FITNESS_FAIL, "hpet"},
#if defined(__x86_64__)
		{"/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu constant_tsc vme\n",
		 "invariant TSC", FITNESS_WARN, "idle"},
		{"/proc/cpuinfo", "flags\t\t: fpu constant_tsc nonstop_tsc\n",
		 "invariant TSC", FITNESS_OK, "nonstop"},
		{"/proc/cpuinfo", "flags\t\t: fpu nonstop_tsc_not\n", "invariant TSC",
		 FITNESS_FAIL, "no"},
#endif
	};

	(void)state;
	expect_all(findings, KMEM_ARRAY_SIZE(findings));
}

static void judges_the_memory(void **state)
{
	static const char thp[] = "/sys/kernel/mm/transparent_hugepage/enabled";
	static const char aslr[] = "/proc/sys/kernel/randomize_va_space";
	static const struct finding findings[] = {
		{thp, "always [madvise] never\n", "huge pages", FITNESS_OK, "madvise"},
		{thp, "[always] madvise never\n", "huge pages", FITNESS_WARN, "always"},
		{aslr, "0\n", "address randomisation", FITNESS_WARN, "off"},
		{aslr, "2\n", "address randomisation", FITNESS_OK, "full"},
		{"/proc/meminfo",
		 "MemTotal:       16000000 kB\n"
		 "MemFree:          100000 kB\n"
		 "MemAvailable:    8000000 kB\n"
		 "SwapTotal:             0 kB\n"
		 "SwapFree:              0 kB\n",
		 "free memory", FITNESS_OK, "7812 of 15625"},
		{NULL, NULL, "swap", FITNESS_OK, "none"},
		{"/proc/meminfo",
		 "MemTotal:       16000000 kB\n"
		 "MemAvailable:     100000 kB\n"
		 "SwapTotal:       1048576 kB\n"
		 "SwapFree:         524288 kB\n",
		 "free memory", FITNESS_FAIL, "98 of 15625"},
		{NULL, NULL, "swap", FITNESS_WARN, "512 of 1024"},
		{NULL, NULL, "NUMA balancing", FITNESS_OK, "one node"},
	};

	(void)state;
	expect_all(findings, KMEM_ARRAY_SIZE(findings));
	write_file("/sys/devices/system/node/node1/distance", "21 10\n");
	write_file("/proc/sys/kernel/numa_balancing", "1\n");
	expect("NUMA balancing", FITNESS_WARN, "on");
}

static void measures_its_own_noise(void **state)
{
	struct fitness_item items[2];
	struct fitness_noise noise;

	(void)state;
	fitness_measure_noise(0.05, &noise);
	assert_int_equal(noise.slices, 100);
	assert_true(noise.slice_ns > 1e5 && noise.slice_ns < 1e8);
	assert_true(noise.step_pct >= 0 && noise.worst_pct >= 0);
	noise.step_pct = 30;
	noise.steal_pct = 5;
	assert_int_equal(fitness_judge_noise(&noise, items), 2);
	assert_int_equal(items[0].status, FITNESS_FAIL);
	assert_int_equal(items[1].status, FITNESS_WARN);
	noise.step_pct = 0.1;
	noise.steal_pct = -1;
	fitness_judge_noise(&noise, items);
	assert_int_equal(items[0].status, FITNESS_OK);
	assert_string_equal(items[0].remedy, "");
	assert_int_equal(items[1].status, FITNESS_UNKNOWN);
}

static void worst_passes_over_what_is_not_known(void **state)
{
	struct fitness_item items[3] = {{.name = "a", .status = FITNESS_OK},
					{.name = "b", .status = FITNESS_UNKNOWN},
					{.name = "c", .status = FITNESS_WARN}};

	(void)state;
	assert_int_equal(fitness_worst(items, 2), FITNESS_OK);
	assert_int_equal(fitness_worst(items, 3), FITNESS_WARN);
}

static void this_machine_becomes_json(void **state)
{
	struct fitness_item items[FITNESS_ITEMS_MAX];
	size_t n = fitness_examine("", items);
	json_t *list = fitness_json(items, n);
	size_t i;
	json_t *entry;

	(void)state;
	assert_int_equal(json_array_size(list), n);
	json_array_foreach (list, i, entry) {
		bool known = items[i].status != FITNESS_UNKNOWN;

		assert_true(json_is_string(json_object_get(entry, "name")));
		assert_int_equal(json_is_null(json_object_get(entry, "value")), !known);
		assert_true(json_is_string(json_object_get(entry, "remedy")));
	}
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(knows_nothing_of_an_empty_machine,
						make_root, remove_root),
		cmocka_unit_test_setup_teardown(judges_the_processor, make_root,
						remove_root),
		cmocka_unit_test_setup_teardown(judges_the_clock, make_root, remove_root),
		cmocka_unit_test_setup_teardown(judges_the_memory, make_root,
						remove_root),
		cmocka_unit_test(measures_its_own_noise),
		cmocka_unit_test(worst_passes_over_what_is_not_known),
		cmocka_unit_test(this_machine_becomes_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
