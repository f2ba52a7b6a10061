/* SPDX-License-Identifier: MIT */
/* What the kernel says about the machine, judged: see fitness.h. */
#include "bench/fitness.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/context.h"

const char *fitness_status_name(enum fitness_status status)
{
	static const char *const names[] = {"ok", "warn", "fail", "not known"};

	return names[status];
}

/* --- reading --- */

/* The first line of a file below root; false when it cannot be read or is empty. */
static bool line_of(const char *root, const char *path, char *buf, size_t size)
{
	char whole[PATH_MAX];
	FILE *file;
	bool ok;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	file = fopen(whole, "re");
	if (file == NULL)
		return false;
	ok = fgets(buf, (int)size, file) != NULL;
	fclose(file);
	if (!ok)
		return false;
	buf[strcspn(buf, "\n")] = '\0';
	return buf[0] != '\0';
}

/* What follows "name" and a colon or blanks in a file of such lines, as a number. */
static bool number_of(const char *root, const char *path, const char *name, double *value)
{
	char whole[PATH_MAX], line[512];
	size_t length = strlen(name);
	bool found = false;
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	file = fopen(whole, "re");
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, name, length) != 0)
			continue;
		found = sscanf(line + length, " : %lf", value) == 1 ||
			sscanf(line + length, "%lf", value) == 1;
	}
	fclose(file);
	return found;
}

/* Whether /proc/cpuinfo's flags have a word. -1: there are no flags. */
static int cpu_flag(const char *root, const char *flag)
{
	char whole[PATH_MAX], line[8192];
	int found = -1;
	FILE *file;

	snprintf(whole, sizeof(whole), "%s/proc/cpuinfo", root);
	file = fopen(whole, "re");
	if (file == NULL)
		return -1;
	while (found < 0 && fgets(line, sizeof(line), file) != NULL) {
		char *save = NULL;

		if (strncmp(line, "flags", 5) != 0)
			continue;
		found = 0;
		for (char *word = strtok_r(line, " \t\n:", &save); word != NULL;
		     word = strtok_r(NULL, " \t\n:", &save))
			found = found || strcmp(word, flag) == 0;
	}
	fclose(file);
	return found;
}

static void put(struct fitness_item *item, const char *name, enum fitness_status status,
		const char *remedy, const char *fmt, ...) KMEM_PRINTF(5, 6);
static void put(struct fitness_item *item, const char *name, enum fitness_status status,
		const char *remedy, const char *fmt, ...)
{
	va_list args;

	item->name = name;
	item->status = status;
	item->remedy = status == FITNESS_OK ? "" : remedy;
	va_start(args, fmt);
	vsnprintf(item->value, sizeof(item->value), fmt, args);
	va_end(args);
}

/* --- processor --- */

static void governor(const char *root, struct fitness_item *item)
{
	char text[64];

	if (!line_of(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text,
		     sizeof(text)))
		put(item, "governor", FITNESS_UNKNOWN,
		    "the kernel does not steer the frequency here; the host may", "%s",
		    "");
	else
		put(item, "governor",
		    strcmp(text, "performance") == 0 ? FITNESS_OK : FITNESS_WARN,
		    "run 'cpupower frequency-set -g performance': a frequency that "
		    "follows the load changes during a measurement",
		    "%s", text);
}

static void turbo(const char *root, struct fitness_item *item)
{
	static const char remedy[] =
		"write 1 to /sys/devices/system/cpu/intel_pstate/no_turbo or 0 to "
		"/sys/devices/system/cpu/cpufreq/boost: boost depends on temperature and "
		"on what the other cores do";
	char text[64];

	if (line_of(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", text,
		    sizeof(text)))
		put(item, "turbo", text[0] == '1' ? FITNESS_OK : FITNESS_WARN, remedy,
		    "%s", text[0] == '1' ? "off" : "on");
	else if (line_of(root, "/sys/devices/system/cpu/cpufreq/boost", text,
			 sizeof(text)))
		put(item, "turbo", text[0] == '0' ? FITNESS_OK : FITNESS_WARN, remedy,
		    "%s", text[0] == '0' ? "off" : "on");
	else
		put(item, "turbo", FITNESS_UNKNOWN,
		    "the kernel does not tell; see the firmware's settings or the host's",
		    "%s", "");
}

static void smt(const char *root, struct fitness_item *item)
{
	char text[64];

	if (!line_of(root, "/sys/devices/system/cpu/smt/control", text, sizeof(text))) {
		put(item, "smt", FITNESS_UNKNOWN, "", "%s", "");
		return;
	}
	put(item, "smt", strcmp(text, "on") == 0 ? FITNESS_WARN : FITNESS_OK,
	    "write off to /sys/devices/system/cpu/smt/control, or keep the siblings of "
	    "the cores that are measured idle: two threads share one core's units",
	    "%s", text);
}

static void isolation(const char *root, struct fitness_item *item)
{
	char text[128];

	if (line_of(root, "/sys/devices/system/cpu/isolated", text, sizeof(text)))
		put(item, "isolated CPUs", FITNESS_OK, "", "%s", text);
	else
		put(item, "isolated CPUs", FITNESS_WARN,
		    "boot with isolcpus= for the cores that measure and pin to them: "
		    "anything else may run on them now",
		    "none");
}

static void virtual_machine(const char *root, struct fitness_item *item)
{
	char text[64];

	(void)root; /* cpuid tells */
	context_virtualisation(text, sizeof(text));
	put(item, "virtual machine",
	    strcmp(text, "none") == 0 ? FITNESS_OK : FITNESS_WARN,
	    "measure on bare metal for absolute figures: neighbours and the hypervisor "
	    "take time that no counter shows; ratios from alternating slices hold",
	    "%s", text);
}

static void quota(const char *root, struct fitness_item *item)
{
	char text[128];

	if (!line_of(root, "/sys/fs/cgroup/cpu.max", text, sizeof(text)))
		put(item, "CPU quota", FITNESS_UNKNOWN, "", "%s", "");
	else
		put(item, "CPU quota",
		    strncmp(text, "max", 3) == 0 ? FITNESS_OK : FITNESS_WARN,
		    "lift the control group's limit (cpu.max, or --cpus of the "
		    "container): threads are stopped when it is used up",
		    "%s", strncmp(text, "max", 3) == 0 ? "none" : text);
}

static void load(const char *root, struct fitness_item *item)
{
	double now = 0, cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
	char text[128];

	if (!line_of(root, "/proc/loadavg", text, sizeof(text)) ||
	    sscanf(text, "%lf", &now) != 1) {
		put(item, "load", FITNESS_UNKNOWN, "", "%s", "");
		return;
	}
	put(item, "load",
	    now > cpus	       ? FITNESS_FAIL
	    : now > 0.3 * cpus ? FITNESS_WARN
			       : FITNESS_OK,
	    "end other programs, and wait: the figure is an average over a minute",
	    "%.2f on %.0f CPUs", now, cpus);
}

/* --- clock --- */

static void clock_source(const char *root, struct fitness_item *item)
{
	static const char *const cheap[] = {"tsc", "kvm-clock", "arch_sys_counter",
					    "hyperv_clocksource_tsc_page"};
	enum fitness_status status = FITNESS_FAIL;
	char text[64];

	if (!line_of(root,
		     "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		     text, sizeof(text))) {
		put(item, "clock source", FITNESS_UNKNOWN, "", "%s", "");
		return;
	}
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cheap); i++) {
		if (strcmp(text, cheap[i]) == 0)
			status = FITNESS_OK;
	}
	put(item, "clock source", status,
	    "boot with clocksource=tsc: reading this one is a system call, so slices are "
	    "timed wrongly",
	    "%s", text);
}

static void invariant_tsc(const char *root, struct fitness_item *item)
{
#if defined(__x86_64__)
	int constant = cpu_flag(root, "constant_tsc");
	int nonstop = cpu_flag(root, "nonstop_tsc");

	if (constant < 0)
		put(item, "invariant TSC", FITNESS_UNKNOWN, "", "%s", "");
	else
		put(item, "invariant TSC",
		    constant && nonstop ? FITNESS_OK
		    : constant		? FITNESS_WARN
					: FITNESS_FAIL,
		    "do not trust latencies here: the counter's rate may change or stop "
		    "with the processor's power state",
		    "%s",
		    constant && nonstop ? "constant and nonstop"
		    : constant		? "constant, may stop in deep idle"
					: "no");
#else
	(void)root;
	put(item, "invariant TSC", FITNESS_OK, "", "the architecture's own counter");
#endif
}

/* --- memory --- */

static void thp(const char *root, struct fitness_item *item)
{
	char text[128], *open, *close;

	if (!line_of(root, "/sys/kernel/mm/transparent_hugepage/enabled", text,
		     sizeof(text))) {
		put(item, "huge pages", FITNESS_UNKNOWN, "", "%s", "");
		return;
	}
	open = strchr(text, '[');
	close = strchr(text, ']');
	if (open != NULL && close != NULL && close > open) {
		*close = '\0';
		memmove(text, open + 1, strlen(open + 1) + 1);
	}
	put(item, "huge pages", strcmp(text, "always") == 0 ? FITNESS_WARN : FITNESS_OK,
	    "write madvise to /sys/kernel/mm/transparent_hugepage/enabled, or measure "
	    "with both: with always, resident memory depends on the kernel's luck",
	    "%s", text);
}

static void aslr(const char *root, struct fitness_item *item)
{
	char text[16];

	if (!line_of(root, "/proc/sys/kernel/randomize_va_space", text, sizeof(text)))
		put(item, "address randomisation", FITNESS_UNKNOWN, "", "%s", "");
	else
		put(item, "address randomisation",
		    text[0] == '2' ? FITNESS_OK : FITNESS_WARN,
		    "write 2 to /proc/sys/kernel/randomize_va_space: without it one "
		    "layout's luck is in every process alike, and no interval shows it",
		    "%s",
		    text[0] == '2'   ? "full"
		    : text[0] == '1' ? "without the heap"
				     : "off");
}

static void swap_space(const char *root, struct fitness_item *item)
{
	double total = 0, left = 0;

	if (!number_of(root, "/proc/meminfo", "SwapTotal", &total) ||
	    !number_of(root, "/proc/meminfo", "SwapFree", &left))
		put(item, "swap", FITNESS_UNKNOWN, "", "%s", "");
	else if (total == 0)
		put(item, "swap", FITNESS_OK, "", "none");
	else
		put(item, "swap", left < total ? FITNESS_WARN : FITNESS_OK,
		    "run 'swapoff -a': pages that are swapped out are missing from "
		    "resident memory, and come back at a disk's speed",
		    "%.0f of %.0f MiB used", (total - left) / 1024, total / 1024);
}

static void memory(const char *root, struct fitness_item *item)
{
	double total = 0, left = 0;

	if (!number_of(root, "/proc/meminfo", "MemTotal", &total) ||
	    !number_of(root, "/proc/meminfo", "MemAvailable", &left) || total <= 0) {
		put(item, "free memory", FITNESS_UNKNOWN, "", "%s", "");
		return;
	}
	put(item, "free memory",
	    left < 256 * 1024			       ? FITNESS_FAIL
	    : left < 1024 * 1024 || left / total < 0.1 ? FITNESS_WARN
						       : FITNESS_OK,
	    "end what uses it: below a gigabyte, large working sets make the kernel "
	    "reclaim while it is timed",
	    "%.0f of %.0f MiB", left / 1024, total / 1024);
}

static void numa_balancing(const char *root, struct fitness_item *item)
{
	char text[16], other[16];

	if (!line_of(root, "/sys/devices/system/node/node1/distance", other,
		     sizeof(other)) ||
	    !line_of(root, "/proc/sys/kernel/numa_balancing", text, sizeof(text)))
		put(item, "NUMA balancing", FITNESS_OK, "", "one node");
	else
		put(item, "NUMA balancing", text[0] == '0' ? FITNESS_OK : FITNESS_WARN,
		    "write 0 to /proc/sys/kernel/numa_balancing: the kernel moves pages "
		    "and takes faults for it meanwhile",
		    "%s", text[0] == '0' ? "off" : "on");
}

/* --- all --- */

size_t fitness_examine(const char *root, struct fitness_item *items)
{
	static void (*const examine[])(const char *root, struct fitness_item *item) = {
		governor, turbo,	   smt,		 load,		 isolation,
		quota,	  virtual_machine, clock_source, invariant_tsc,	 aslr,
		thp,	  swap_space,	   memory,	 numa_balancing,
	};

	_Static_assert(KMEM_ARRAY_SIZE(examine) + 2 <= FITNESS_ITEMS_MAX,
		       "room for what is examined and for the noise floor");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(examine); i++)
		examine[i](root, &items[i]);
	return KMEM_ARRAY_SIZE(examine);
}

enum fitness_status fitness_worst(const struct fitness_item *items, size_t count)
{
	enum fitness_status worst = FITNESS_OK;

	for (size_t i = 0; i < count; i++) {
		if (items[i].status != FITNESS_UNKNOWN && items[i].status > worst)
			worst = items[i].status;
	}
	return worst;
}

json_t *fitness_json(const struct fitness_item *items, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *value = items[i].status == FITNESS_UNKNOWN
					? json_null()
					: json_string(items[i].value);

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:o, s:s}", "name", items[i].name,
					"status", fitness_status_name(items[i].status),
					"value", value != NULL ? value : json_null(),
					"remedy", items[i].remedy));
	}
	return list;
}
