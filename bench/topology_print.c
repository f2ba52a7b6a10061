/* SPDX-License-Identifier: MIT */
/* `topology` as text. */
#include "bench/topology_view.h"

#include <stdio.h>
#include <string.h>

static json_int_t integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "";
}

/* "12.5 GiB": at most one digit after the point, none where it would be 0. */
static const char *format_bytes(json_int_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < KMEM_ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, size, "%.1f", value);
	if (strlen(buf) > 2 && strcmp(buf + strlen(buf) - 2, ".0") == 0)
		buf[strlen(buf) - 2] = '\0';
	snprintf(buf + strlen(buf), size - strlen(buf), " %s", units[unit]);
	return buf;
}

static void print_nodes(const json_t *nodes)
{
	char memory[32];
	size_t i;
	json_t *node;

	printf("\n%-6s %-9s %10s  %s\n", "node", "os index", "memory", "cpus");
	json_array_foreach (nodes, i, node) {
		printf("%-6d %-9d %10s  %s\n", (int)integer(node, "node"),
		       (int)integer(node, "os_index"),
		       format_bytes(integer(node, "memory_bytes"), memory,
				    sizeof(memory)),
		       text(node, "cpus"));
	}
}

static void print_distances(const json_t *view)
{
	const json_t *matrix = json_object_get(view, "distances");
	size_t i, j;
	json_t *row, *value;

	printf("\ndistances%s\n", json_is_true(json_object_get(view, "distances_given"))
					  ? ""
					  : " (assumed: the source has none)");
	printf("%-6s", "");
	for (i = 0; i < json_array_size(matrix); i++)
		printf(" %4zu", i);
	putchar('\n');
	json_array_foreach (matrix, i, row) {
		printf("%-6zu", i);
		json_array_foreach (row, j, value)
			printf(" %4d", (int)json_integer_value(value));
		putchar('\n');
	}
}

static void print_caches(const json_t *caches)
{
	char bytes[32], line[32];
	size_t i;
	json_t *cache;

	if (json_array_size(caches) == 0) {
		puts("\ncaches: the source has none");
		return;
	}
	printf("\n%-6s %-12s %10s %7s %6s  %s\n", "cache", "type", "size", "line",
	       "count", "cpus each");
	json_array_foreach (caches, i, cache) {
		const json_t *line_bytes = json_object_get(cache, "line_bytes");

		if (line_bytes != NULL)
			format_bytes(json_integer_value(line_bytes), line, sizeof(line));
		printf("L%-5d %-12s %10s %7s %6d  %d\n", (int)integer(cache, "level"),
		       text(cache, "type"),
		       format_bytes(integer(cache, "size_bytes"), bytes, sizeof(bytes)),
		       line_bytes != NULL ? line : "-", (int)integer(cache, "count"),
		       (int)integer(cache, "shared_by_cpus"));
	}
}

void topology_print(const json_t *view)
{
	const json_t *nodes = json_object_get(view, "nodes");
	const json_t *order = json_object_get(view, "worker_order");
	size_t i;
	json_t *cpu;

	printf("%s%s\n", text(view, "source"),
	       json_is_true(json_object_get(view, "simulated")) ? " (simulated)" : "");
	printf("packages %d, cores %d, cpus %d, nodes %zu\n",
	       (int)integer(view, "packages"), (int)integer(view, "cores"),
	       (int)integer(view, "cpus"), json_array_size(nodes));
	print_nodes(nodes);
	if (json_array_size(nodes) > 1)
		print_distances(view);
	print_caches(json_object_get(view, "caches"));
	if (json_object_get(view, "percpu") != NULL)
		printf("\npercpu: %s (how libkmem's per-CPU caches are kept: restartable "
		       "sequences or locks)\n",
		       text(view, "percpu"));
	if (json_array_size(order) == 0)
		return;
	printf("\nworker threads are put on CPUs");
	json_array_foreach (order, i, cpu)
		printf("%s %d", i == 0 ? "" : ",", (int)json_integer_value(cpu));
	putchar('\n');
}
