/* SPDX-License-Identifier: MIT */
/* The cells that the self-test tries: see selftest.h. */
#include "bench/selftest.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

/* Sizes of the large working sets: p(size) ~ size^-2 between these. */
#define LARGE_MIN_BYTES	 256.0
#define LARGE_MAX_BYTES	 4096.0
#define LARGE_MEAN_BYTES 757.0 /* min * ln(max / min) / (1 - min / max) */
/* What a large working set may take of memory, in each of two processes. */
#define LARGE_BYTES_MAX 1073741824.0

/* Every base allocator is tried on every row, in turn. */
static const char *const bases[] = {"glibc", "mimalloc", "jemalloc", "tcmalloc", "kmem"};

struct row {
	const char *workload, *size, *threads;
};

static const struct row cached_rows[] = {
	{"pair", "64", "1"},
	{"wset", NULL, "1"},
	{"batch:order=random", "64", "1"},
	{"pair", "1024", "1"},
	{"batch:n_blocks=1600,order=lifo", "64", "1"},
	{"pair", "16", "1"},
	{"batch:order=fifo", "256", "1"},
	{"pair", "8192", "1"},
	{NULL, NULL, NULL},
};

static const struct row thread_rows[] = {
	{"wset", NULL, "2"},   {"pair", "64", "2"},
	{"larson", NULL, "2"}, {"batch:order=random", "64", "2"},
	{NULL, NULL, NULL},
};

enum { CLASS_CACHED, CLASS_THREADS, CLASS_BEYOND_L2, CLASS_BEYOND_LLC };

const struct selftest_class selftest_classes[] = {
	[CLASS_CACHED] = {"cached", 40, 8, false},
	[CLASS_THREADS] = {"threads", 8, 1, false},
	[CLASS_BEYOND_L2] = {"beyond-l2", 5, 1, false},
	[CLASS_BEYOND_LLC] = {"beyond-llc", 2, 0, true},
};
const size_t selftest_classes_count = KMEM_ARRAY_SIZE(selftest_classes);

/* Asking for a library starts a process, so it is done once. */
const char *selftest_base(size_t n)
{
	static const char *found[KMEM_ARRAY_SIZE(bases)];
	static size_t count;
	static bool asked;

	for (size_t i = 0; !asked && i < KMEM_ARRAY_SIZE(bases); i++) {
		const struct allocator_ops *ops = allocator_find(bases[i]);

		if (ops != NULL && (ops->available == NULL || ops->available(ops) == 0))
			found[count++] = bases[i];
	}
	asked = true;
	return n < count ? found[n] : NULL;
}

static size_t count_bases(void)
{
	size_t n = 0;

	while (selftest_base(n) != NULL)
		n++;
	return n;
}

/* Bytes of a processor's second cache and of its last one; 0: not known. */
static void cache_sizes(double *l2, double *last)
{
	hwloc_topology_t topology;

	*l2 = *last = 0;
	if (hwloc_topology_init(&topology) != 0)
		return;
	if (hwloc_topology_load(topology) == 0) {
		for (hwloc_obj_type_t t = HWLOC_OBJ_L2CACHE; t <= HWLOC_OBJ_L5CACHE;
		     t++) {
			hwloc_obj_t o = hwloc_get_obj_by_type(topology, t, 0);

			if (o == NULL)
				continue;
			*last = (double)o->attr->cache.size;
			if (t == HWLOC_OBJ_L2CACHE)
				*l2 = *last;
		}
	}
	hwloc_topology_destroy(topology);
}

/*
 * A working set three times the second cache, or one and a half times the last.
 * Returns false with a text when there is no such thing here.
 */
static bool large_row(const struct selftest_class *class, char *workload, size_t size)
{
	double l2, last, bytes;

	cache_sizes(&l2, &last);
	bytes = class->beyond_llc ? 1.5 * last : 3 * l2;
	if (bytes <= 0) {
		kmem_error(-ENOTSUP, "the size of this machine's caches is not known");
		return false;
	}
	if (bytes > LARGE_BYTES_MAX) {
		kmem_error(-ENOTSUP,
			   "the last cache has %.0f MiB: a working set beyond it takes "
			   "longer to fill than the self-test may last",
			   last / 1048576);
		return false;
	}
	snprintf(workload, size,
		 "wset:slots=%.0f,size_min_bytes=%.0f,size_max_bytes=%.0f",
		 bytes / LARGE_MEAN_BYTES, LARGE_MIN_BYTES, LARGE_MAX_BYTES);
	return true;
}

static bool add_cell(struct plan *plan, const struct row *row,
		     const struct selftest_pair *pair, const char *base)
{
	char *allocators, *control, *other;
	struct grid grid = {
		.workloads = row->workload,
		.sizes = row->size,
		.threads = row->threads,
	};
	unsigned int groups = plan->groups;

/* The formats are those of selftest_pair: one %s each. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	if (asprintf(&control, pair->control, base) < 0 ||
	    asprintf(&other, pair->other, base) < 0 ||
	    asprintf(&allocators, "%s,%s", control, other) < 0)
		abort();
#pragma GCC diagnostic pop
	grid.allocators = allocators;
	if (plan_add_grid(plan, &grid) != 0)
		groups = plan->groups;
	free(control);
	free(other);
	free(allocators);
	return plan->groups > groups;
}

unsigned int selftest_add_cells(struct plan *plan, const struct selftest_class *class,
				const struct selftest_pair *pair, unsigned int limit)
{
	char workload[128];
	struct row large[] = {{workload, NULL, "1"}, {NULL, NULL, NULL}};
	const struct row *rows = class == &selftest_classes[CLASS_CACHED]    ? cached_rows
				 : class == &selftest_classes[CLASS_THREADS] ? thread_rows
									     : large;
	size_t nr_bases = count_bases(), nr_rows = 0;
	unsigned int added = 0;

	if (rows == large && !large_row(class, workload, sizeof(workload)))
		return 0;
	while (rows[nr_rows].workload != NULL)
		nr_rows++;
	/* A diagonal: the first cells differ in both the workload and the allocator. */
	for (size_t k = 0; k < nr_rows * nr_bases && added < limit; k++) {
		size_t row = k % nr_rows, base = (row + k / nr_rows) % nr_bases;

		added += add_cell(plan, &rows[row], pair, selftest_base(base));
	}
	if (added == 0)
		kmem_error(-ENOTSUP, "no cell of this kind can run here");
	return added;
}
