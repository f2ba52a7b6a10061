/* SPDX-License-Identifier: MIT */
/* A worker's life and its failures. What it does with block contents: content.c. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workloads/harness/worker_fast.h"

const char *const touch_rule_names[] = {"default", "none", "ends", "pages", "full", NULL};

static void print_and_abort(const char *reason)
{
	fprintf(stderr, "kmembench: cell failed: %s\n", reason);
	abort();
}

static _Atomic worker_fail_handler fail_handler = print_and_abort;
static atomic_flag failing = ATOMIC_FLAG_INIT;

void worker_set_fail_handler(worker_fail_handler handler)
{
	atomic_store(&fail_handler, handler != NULL ? handler : print_and_abort);
	atomic_flag_clear(&failing);
}

void worker_fail(const struct worker *w, const char *fmt, ...)
{
	char reason[512];
	size_t used;
	va_list args;

	while (atomic_flag_test_and_set(&failing))
		pause();
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	used = strlen(reason);
	if (w != NULL)
		snprintf(reason + used, sizeof(reason) - used, " (thread %u of %u)",
			 w->index, w->run->threads);
	atomic_load (&fail_handler)(reason);
	abort(); /* the handler has returned, which it must not */
}

void worker_fail_alloc(const struct worker *w, size_t size, size_t align)
{
	if (align != 0)
		worker_fail(w, "an allocation of %zu bytes aligned to %zu failed", size,
			    align);
	worker_fail(w, "an allocation of %zu bytes failed", size);
}

void worker_init(struct worker *w, struct workload_run *run, unsigned int index,
		 struct probe *probe)
{
	struct rng seeds = {run->seed};

	memset(w, 0, sizeof(*w));
	w->a = run->allocator;
	w->alloc = run->allocator->ops->alloc;
	w->free = run->allocator->ops->free;
	w->check = run->check;
	w->touch = run->touch;
	w->touch_ends = run->touch == TOUCH_ENDS && !run->check;
	w->after_alloc = run->check || run->touch == TOUCH_PAGES ||
			 run->touch == TOUCH_FULL;
	w->probe = probe;
	w->run = run;
	w->index = index;
	/* One for all threads: a block may be verified by another thread than stamped it.
	 */
	w->stamp_seed = rng_next(&seeds);
	/* A hashed start each: threads draw from far-apart places of the one long cycle.
	 */
	seeds.state ^= (index + 1) * 0xd1342543de82ef95u;
	w->rng.state = rng_next(&seeds);
}

void worker_phase(struct worker *w, const char *name)
{
	struct probe_shared *shared;

	if (w->pass != PASS_MEMORY || w->probe == NULL)
		return;
	shared = w->probe->shared;
	atomic_store_explicit(&shared->phase, name, memory_order_release);
	if (shared->on_phase != NULL)
		shared->on_phase(name, shared->on_phase_arg);
}

void *worker_alloc_untimed(struct worker *w, size_t size)
{
	void *ptr = w->alloc(w->a, size, 0, GFP_KERNEL, NUMA_NO_NODE);

	if (w->probe != NULL) {
		probe_allocated(w->probe, w->a, ptr, size);
		probe_live_flush(w->probe);
	}
	return worker_allocated(w, ptr, size, 0);
}

void worker_free_untimed(struct worker *w, void *ptr, size_t size)
{
	struct probe *p = w->probe;

	if (p != NULL)
		probe_freeing(p, w->a, ptr, size);
	worker_free(w, NULL, ptr, size);
	if (p != NULL) {
		probe_live(p, -(int64_t)size);
		probe_live_flush(p);
	}
}

static void *zalloc_bare(struct worker *w, size_t size)
{
	void *ptr;

	if (w->a->ops->zalloc != NULL)
		return w->a->ops->zalloc(w->a, size);
	ptr = w->alloc(w->a, size, 0, GFP_KERNEL, NUMA_NO_NODE);
	return ptr != NULL ? memset(ptr, 0, size) : NULL;
}

void *worker_zalloc(struct worker *w, struct probe *p, size_t size)
{
	uint64_t t0 = p != NULL ? probe_begin(p) : 0;
	void *ptr = zalloc_bare(w, size);

	if (p != NULL) {
		probe_end(p, PROBE_ALLOC, t0);
		probe_allocated(p, w->a, ptr, size);
	}
	if (w->check && ptr != NULL)
		worker_verify_zero(w, ptr, size);
	return worker_allocated(w, ptr, size, 0);
}

static void *realloc_bare(struct worker *w, void *ptr, size_t old_size, size_t new_size)
{
	void *moved;

	if (w->a->ops->realloc != NULL)
		return w->a->ops->realloc(w->a, ptr, old_size, new_size);
	moved = w->alloc(w->a, new_size, 0, GFP_KERNEL, NUMA_NO_NODE);
	if (moved != NULL) {
		memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
		w->free(w->a, ptr, old_size);
	}
	return moved;
}

void *worker_realloc(struct worker *w, struct probe *p, void *ptr, size_t old_size,
		     size_t new_size)
{
	uintptr_t old_address = (uintptr_t)ptr;
	uint64_t t0;
	void *moved;

	if (w->check)
		worker_verify(w, ptr, old_size);
	if (p != NULL)
		probe_freeing(p, w->a, ptr, old_size);
	t0 = p != NULL ? probe_begin(p) : 0;
	moved = realloc_bare(w, ptr, old_size, new_size);
	if (p != NULL) {
		probe_end(p, PROBE_ALLOC, t0);
		probe_live(p, (int64_t)new_size - (int64_t)old_size);
		if (p->bytes != NULL && moved != NULL)
			probe_bytes_allocated(p, w->a, moved, new_size);
	}
	if (w->check && moved != NULL)
		worker_verify_moved(w, moved, old_size < new_size ? old_size : new_size,
				    old_address, old_size);
	return worker_allocated(w, moved, new_size, 0);
}
