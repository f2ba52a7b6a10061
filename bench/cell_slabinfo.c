/* SPDX-License-Identifier: MIT */
/*
 * The pass of `kmembench slabinfo`: what the slab caches hold when the workload holds
 * the most.
 *
 * THEORY. Live bytes are counted as in the memory pass. A thread beside the workers
 * reads them every LOOK_NS, and each time that they are higher than ever before it has
 * the caches tell their columns, which replace the last ones. Workers look,
 * too: where the workload names a new phase (a burst has just been allocated), and at the
 * end of all work, where everybody waits and the columns agree with each other to the
 * object. At other looks they are sums over counters that change meanwhile.
 *
 * Nothing is allocated: the columns have a fixed place in an arena.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <kmem/error.h>
#include <kmem/slab.h>

#include "bench/cell_probed.h"
#include "bench/json_set.h"
#include "workloads/harness/arena.h"

#define LOOK_NS	   1000000L
#define CACHES_MAX 1024u
/* Longer than any name that a cache may have. */
#define NAME_BYTES 64u

struct slabinfo_peak {
	pthread_mutex_t lock; /* of all but `stopping` */
	struct probe *probes;
	struct probe_bytes *bytes;
	uint64_t quanta;
	_Atomic bool stopping;
	int64_t live_bytes; /* at the look that was kept; -1: none yet */
	uint64_t looks;
	size_t nr;
	struct kmem_cache_info info[CACHES_MAX];
	char name[CACHES_MAX][NAME_BYTES]; /* the caches' own may be gone by the end */
};

static void keep(const struct kmem_cache_info *info, void *arg)
{
	struct slabinfo_peak *peak = arg;

	if (peak->nr == CACHES_MAX)
		cell_fail("slabinfo is longer than there is room for: too many caches");
	snprintf(peak->name[peak->nr], NAME_BYTES, "%s", info->name);
	peak->info[peak->nr] = *info;
	peak->info[peak->nr].name = peak->name[peak->nr];
	peak->nr++;
}

/* settled: no thread is at work, so equal columns are the better ones. */
static void look(struct cell *cell, bool settled)
{
	struct slabinfo_peak *peak = cell->slabinfo;
	int64_t live = 0;

	pthread_mutex_lock(&peak->lock);
	for (unsigned int i = 0; i < cell->run.threads; i++) {
		int64_t own, usable, allocated;

		probe_bytes_read(&peak->bytes[i], &own, &usable, &allocated);
		live += own;
	}
	peak->looks++;
	if (live > peak->live_bytes || (settled && live == peak->live_bytes)) {
		peak->live_bytes = live;
		peak->nr = 0;
		slabinfo(keep, peak);
	}
	pthread_mutex_unlock(&peak->lock);
}

static void on_phase(const char *name, void *arg)
{
	(void)name;
	look(arg, false);
}

static void *watch(void *arg)
{
	static const struct timespec nap = {0, LOOK_NS};
	struct cell *cell = arg;

	sampler_avoid_workers(cell->cpus, cell->run.threads);
	while (!atomic_load_explicit(&cell->slabinfo->stopping, memory_order_relaxed)) {
		look(cell, false);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

static void slabinfo_main(struct cell *cell, unsigned int index)
{
	struct worker *w = &cell->workers[index];

	cell_enter_thread(cell, index, PASS_MEMORY, &cell->slabinfo->probes[index]);
	pthread_barrier_wait(&cell->barrier); /* start together */
	for (uint64_t i = 0; i < cell->slabinfo->quanta; i++)
		cell->run.workload->step_probed(w);
	pthread_barrier_wait(&cell->barrier); /* all work is done */
	if (index == 0)
		look(cell, true);
	pthread_barrier_wait(&cell->barrier); /* nothing was freed meanwhile */
	cell_leave_thread(cell, index);
}

static void no_slabs(const struct cell *cell)
{
	struct slab_stats stats;

	slab_stats(&stats);
	if (stats.caches != 0)
		return;
	kmem_error(-ENOTSUP, "allocator '%s' has no slab caches",
		   cell->run.allocator->ops->name);
	cell_fail(kmem_last_error());
}

void cell_slabinfo_pass(struct cell *cell, uint64_t quanta)
{
	unsigned int threads = cell->run.threads;
	struct slabinfo_peak *peak = arena_alloc(sizeof(*peak));
	pthread_t watcher;
	int err;

	no_slabs(cell);
	peak->probes = arena_alloc(threads * sizeof(*peak->probes));
	peak->bytes = arena_alloc(threads * sizeof(*peak->bytes));
	peak->quanta = quanta;
	peak->live_bytes = -1;
	pthread_mutex_init(&peak->lock, NULL);
	cell->slabinfo = peak;
	cell->probe_shared->on_phase = on_phase;
	cell->probe_shared->on_phase_arg = cell;
	for (unsigned int i = 0; i < threads; i++) {
		probe_init(&peak->probes[i], cell->probe_shared, &cell->clock, threads);
		probe_count_bytes(&peak->probes[i], &peak->bytes[i], cell->run.allocator);
	}
	err = pthread_create(&watcher, NULL, watch, cell);
	if (err != 0) {
		kmem_error(-err, "cannot start the thread that looks at the caches: %s",
			   strerror(err));
		cell_fail(kmem_last_error());
	}
	cell_probed_threads(cell, slabinfo_main);
	atomic_store_explicit(&peak->stopping, true, memory_order_relaxed);
	pthread_join(watcher, NULL);
	cell->probe_shared->on_phase = NULL;
}

static json_t *cache_json(const struct kmem_cache_info *info)
{
	const struct {
		const char *name;
		uint64_t value;
	} columns[] = {
		{"active_objs", info->active_objs},
		{"num_objs", info->num_objs},
		{"objsize_bytes", info->objsize_bytes},
		{"objperslab", info->objperslab},
		{"pagesperslab", info->pagesperslab},
		{"limit", info->limit},
		{"batchcount", info->batchcount},
		{"sharedfactor", info->sharedfactor},
		{"active_slabs", info->active_slabs},
		{"num_slabs", info->num_slabs},
		{"sharedavail", info->sharedavail},
		/* What /proc/slabinfo has no columns for: how a slab is laid out. */
		{"colours", info->colours},
		{"colour_off_bytes", info->colour_off_bytes},
		{"slack_bytes", info->slack_bytes},
	};
	json_t *cache = json_object();

	json_set_string(cache, "name", info->name);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(columns); i++)
		json_set_integer(cache, columns[i].name, columns[i].value);
	json_set(cache, "off_slab", json_boolean(info->off_slab));
	return cache;
}

json_t *cell_slabinfo_entry(const struct cell *cell)
{
	const struct slabinfo_peak *peak = cell->slabinfo;
	json_t *caches = json_array(), *lines = json_array();
	char line[512];

	slabinfo_format(NULL, line, sizeof(line));
	json_array_append_new(lines, json_string(line));
	for (size_t i = 0; i < peak->nr; i++) {
		slabinfo_format(&peak->info[i], line, sizeof(line));
		json_array_append_new(lines, json_string(line));
		json_array_append_new(caches, cache_json(&peak->info[i]));
	}
	return json_pack("{s:s, s:o, s:o, s:I, s:I}", "status", "ok", "slabinfo", lines,
			 "caches", caches, "live_bytes", (json_int_t)peak->live_bytes,
			 "looks", (json_int_t)peak->looks);
}
