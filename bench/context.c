/* SPDX-License-Identifier: MIT */
/* What a reader must know about the machine to judge the figures. */
#include "bench/context.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <gnu/libc-version.h>
#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "allocators/os/os_cpu.h"
#include "bench/cli.h"
#include "bench/gbench_shim.h"
#include "bench/results.h"
#include "git_revision.h"
#include "workloads/harness/tsc_fast.h"

/* First line of a file without its newline; false when it cannot be read. */
static bool first_line(const char *path, char *buf, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ok;

	if (file == NULL)
		return false;
	ok = fgets(buf, (int)size, file) != NULL;
	fclose(file);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

/* Value of "name : value" in /proc/cpuinfo. */
static bool cpuinfo_field(const char *name, char *buf, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096];
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		char *colon = strchr(line, ':');

		if (strncmp(line, name, strlen(name)) != 0 || colon == NULL)
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(buf, size, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
		found = true;
	}
	fclose(file);
	return found;
}

/* "always [madvise] never" to "madvise". */
static void chosen_word(char *text)
{
	char *open = strchr(text, '['), *close = strchr(text, ']');

	if (open != NULL && close != NULL && close > open) {
		*close = '\0';
		memmove(text, open + 1, strlen(open + 1) + 1);
	}
}

void context_virtualisation(char *buf, size_t size)
{
	snprintf(buf, size, "none");
#if defined(__x86_64__)
	unsigned int a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 31) != 0) {
		char vendor[13] = "";

		__cpuid(0x40000000, a, b, c, d);
		memcpy(vendor, &b, 4);
		memcpy(vendor + 4, &c, 4);
		memcpy(vendor + 8, &d, 4);
		if (strcmp(vendor, "KVMKVMKVM") == 0)
			snprintf(buf, size, "kvm");
		else if (strcmp(vendor, "Microsoft Hv") == 0)
			snprintf(buf, size, "hyper-v");
		else if (strcmp(vendor, "VMwareVMware") == 0)
			snprintf(buf, size, "vmware");
		else if (strcmp(vendor, "XenVMMXenVMM") == 0)
			snprintf(buf, size, "xen");
		else
			snprintf(buf, size, "%s", vendor[0] != '\0' ? vendor : "unknown");
	}
#endif
}

static void set_line(json_t *object, const char *name, const char *path)
{
	char line[256];

	if (first_line(path, line, sizeof(line))) {
		chosen_word(line);
		json_object_set_new(object, name, json_string(line));
	}
}

static void add_hwloc(json_t *machine, json_t *context)
{
	hwloc_topology_t topology;
	char synthetic[512];
	json_t *caches = json_array();

	json_object_set_new(context, "caches", caches);
	if (hwloc_topology_init(&topology) != 0)
		return;
	if (hwloc_topology_load(topology) == 0) {
		if (hwloc_topology_export_synthetic(
			    topology, synthetic, sizeof(synthetic),
			    HWLOC_TOPOLOGY_EXPORT_SYNTHETIC_FLAG_NO_ATTRS) > 0)
			json_object_set_new(machine, "topology", json_string(synthetic));
		json_object_set_new(machine, "numa_nodes",
				    json_integer(hwloc_get_nbobjs_by_type(
					    topology, HWLOC_OBJ_NUMANODE)));
		for (hwloc_obj_type_t t = HWLOC_OBJ_L1CACHE; t <= HWLOC_OBJ_L3ICACHE;
		     t++) {
			hwloc_obj_t o = hwloc_get_obj_by_type(topology, t, 0);

			if (o == NULL)
				continue;
			json_array_append_new(
				caches,
				json_pack("{s:s, s:i, s:I, s:i}", "type",
					  o->attr->cache.type == HWLOC_OBJ_CACHE_DATA
						  ? "Data"
					  : o->attr->cache.type ==
							  HWLOC_OBJ_CACHE_INSTRUCTION
						  ? "Instruction"
						  : "Unified",
					  "level", (int)o->attr->cache.depth, "size",
					  (json_int_t)o->attr->cache.size, "num_sharing",
					  hwloc_bitmap_weight(o->cpuset)));
		}
	}
	hwloc_topology_destroy(topology);
}

static json_t *machine_json(json_t *context)
{
	json_t *machine = json_object();
	struct utsname uts;
	cpu_set_t allowed;
	char text[512];

	if (cpuinfo_field("model name", text, sizeof(text)) ||
	    cpuinfo_field("CPU part", text, sizeof(text)))
		json_object_set_new(machine, "cpu_model", json_string(text));
	else
		json_object_set_new(machine, "cpu_model", json_string("unknown"));
	if (uname(&uts) == 0) {
		snprintf(text, sizeof(text), "%s %s", uts.sysname, uts.release);
		json_object_set_new(machine, "kernel", json_string(text));
		json_object_set_new(machine, "architecture", json_string(uts.machine));
	}
	json_object_set_new(machine, "glibc", json_string(gnu_get_libc_version()));
	set_line(machine, "governor",
		 "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
	set_line(machine, "thp", "/sys/kernel/mm/transparent_hugepage/enabled");
	set_line(machine, "smt", "/sys/devices/system/cpu/smt/control");
	set_line(machine, "clocksource",
		 "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	if (first_line("/proc/sys/kernel/randomize_va_space", text, sizeof(text)))
		json_object_set_new(machine, "aslr", json_integer(atoi(text)));
	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		json_object_set_new(machine, "cpus_allowed",
				    json_integer(CPU_COUNT(&allowed)));
	json_object_set_new(machine, "memory_bytes",
			    json_integer((json_int_t)sysconf(_SC_PHYS_PAGES) *
					 sysconf(_SC_PAGESIZE)));
	context_virtualisation(text, sizeof(text));
	json_object_set_new(machine, "virtualised", json_string(text));
	json_object_set_new(machine, "percpu", json_string(os_percpu_mode()));
	json_object_set_new(machine, "simulated_numa", json_false());
	add_hwloc(machine, context);
	return machine;
}

/*
 * Variables that steer an allocator or the dynamic linker reach the cells, since a
 * user may want just that; so they are part of what was measured.
 */
static json_t *environment_json(void)
{
	static const char *const prefixes[] = {
		"MALLOC_",   "MALLOPT_",  "_RJEM_MALLOC_",   "JE_MALLOC_",
		"MIMALLOC_", "TCMALLOC_", "GLIBC_TUNABLES=", "LD_LIBRARY_PATH=",
		"LD_BIND_",  "LD_AUDIT=", "KMEM_PERCPU=",    "KMEM_MALLOC="};
	json_t *found = json_object();

	for (char **at = environ; *at != NULL; at++) {
		const char *equals = strchr(*at, '=');

		for (size_t i = 0; equals != NULL && i < KMEM_ARRAY_SIZE(prefixes); i++) {
			json_t *value;

			if (strncmp(*at, prefixes[i], strlen(prefixes[i])) != 0)
				continue;
			value = json_string(equals + 1);
			json_object_setn_new(found, *at, (size_t)(equals - *at),
					     value != NULL ? value
							   : json_string("(not UTF-8)"));
			break;
		}
	}
	return found;
}

static json_t *command_line_json(int argc, char **argv)
{
	json_t *words = json_array();

	json_array_append_new(words, json_string("kmembench"));
	for (int i = 0; i < argc; i++) {
		json_t *word = json_string(argv[i]);

		json_array_append_new(words,
				      word != NULL ? word : json_string("(not UTF-8)"));
	}
	return words;
}

#ifdef __clang__
#define COMPILER __VERSION__ /* "Clang 14.0.6" and the like */
#else
#define COMPILER "gcc " __VERSION__
#endif

static json_t *kmembench_json(const struct plan *plan, int argc, char **argv,
			      json_t *context)
{
	struct tsc_clock clock;

	tsc_calibrate(&clock);
	return json_pack(
		"{s:i, s:s, s:s, s:b, s:I, s:o, s:I, s:i, s:f, s:f, s:I, s:o, s:{s:f, s:f, s:f}, "
		"s:s, s:O, s:o, s:s, s:s, s:s}",
		"schema_version", RESULTS_SCHEMA_VERSION, "version", KMEMBENCH_VERSION,
		"git_revision", KMEMBENCH_GIT_REVISION, "complete", 1, "cells_planned",
		(json_int_t)plan->count, "command_line", command_line_json(argc, argv),
		"seed", (json_int_t)plan->seed, "reps", (int)plan->reps, "time_s",
		plan_time_s(plan), "latency_time_s", plan_latency_time_s(plan), "ops",
		(json_int_t)plan->ops, "machine", machine_json(context), "clock",
		"ns_per_tick", clock.ns_per_tick, "pair_ns",
		(double)clock.pair_ticks * clock.ns_per_tick, "granularity_ns",
		(double)clock.granularity_ticks * clock.ns_per_tick, "google_benchmark",
		gbench_version(), "skipped", plan->skipped, "environment",
		environment_json(), "workloads_code", KMEMBENCH_WORKLOADS_CODE,
		"compiler", COMPILER, "compiler_flags", KMEMBENCH_COMPILER_FLAGS);
}

json_t *context_json(const struct plan *plan, int argc, char **argv)
{
	json_t *context = json_object();
	char text[256];
	time_t now = time(NULL);
	struct tm tm;
	double load[3] = {0, 0, 0};
	double mhz = 0;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S+00:00", &tm);
	json_object_set_new(context, "date", json_string(text));
	if (gethostname(text, sizeof(text)) == 0)
		json_object_set_new(context, "host_name", json_string(text));
	json_object_set_new(context, "executable", json_string("kmembench"));
	json_object_set_new(context, "num_cpus",
			    json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	if (cpuinfo_field("cpu MHz", text, sizeof(text)))
		mhz = atof(text);
	json_object_set_new(context, "mhz_per_cpu",
			    json_integer((json_int_t)(mhz + 0.5)));
	json_object_set_new(
		context, "cpu_scaling_enabled",
		json_boolean(
			first_line(
				"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
				text, sizeof(text)) &&
			strcmp(text, "performance") != 0));
	if (getloadavg(load, 3) == 3)
		json_object_set_new(context, "load_avg",
				    json_pack("[f, f, f]", load[0], load[1], load[2]));
#ifdef __OPTIMIZE__
	json_object_set_new(context, "library_build_type", json_string("release"));
#else
	json_object_set_new(context, "library_build_type", json_string("debug"));
#endif
	json_object_set_new(context, "kmembench",
			    kmembench_json(plan, argc, argv, context));
	return context;
}

/* Threads beyond the CPUs take turns: what is measured is the scheduler, too. */
static void warn_of_threads(const struct plan *plan, const json_t *context)
{
	const json_t *machine = json_object_get(json_object_get(context, "kmembench"),
						"machine");
	long long cpus = json_integer_value(json_object_get(machine, "cpus_allowed"));
	unsigned int most = 0;

	for (size_t i = 0; i < plan->count; i++) {
		if (plan->cells[i].threads > most)
			most = plan->cells[i].threads;
	}
	if (cpus > 0 && most > cpus)
		cli_warn("%u threads on %lld CPU%s take turns: their figures tell of the "
			 "scheduler as much as of the allocator",
			 most, cpus, cpus == 1 ? "" : "s");
}

void context_warn(const struct plan *plan, const json_t *context)
{
	const json_t *load = json_array_get(json_object_get(context, "load_avg"), 0);
	const char *build =
		json_string_value(json_object_get(context, "library_build_type"));
	double cpus = json_number_value(json_object_get(context, "num_cpus"));
	json_t *environment = json_object_get(json_object_get(context, "kmembench"),
					      "environment");
	const char *name;
	json_t *value;

	json_object_foreach (environment, name, value) {
		cli_warn("%s=%s is set: it reaches every cell, and is recorded", name,
			 json_string_value(value));
	}
	if (json_is_true(json_object_get(context, "cpu_scaling_enabled")))
		cli_warn(
			"the clock frequency varies: 'cpupower frequency-set -g performance' "
			"fixes it");
	if (load != NULL && cpus > 0 &&
	    json_number_value(load) > CONTEXT_BUSY_LOAD * cpus)
		cli_warn(
			"the machine is busy (load %.1f on %.0f CPUs): figures will scatter",
			json_number_value(load), cpus);
	warn_of_threads(plan, context);
	if (build != NULL && strcmp(build, "debug") == 0)
		cli_warn("this program was built without optimisation: build with "
			 "CFLAGS='-O2 -g' before believing a figure");
}
