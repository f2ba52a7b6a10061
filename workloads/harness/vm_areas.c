/* SPDX-License-Identifier: MIT */
#include "workloads/harness/vm_areas.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"

/* What Linux has when nobody changed it: DEFAULT_MAX_MAP_COUNT. */
#define MAX_MAP_COUNT_DEFAULT 65530u

static void warm(struct worker *w, struct vm_requests *r)
{
	uint64_t ops = w->ops, pages = 0;

	while (pages < VM_WARM_PAGES && r->next < VM_WARM_REQUESTS) {
		pages += r->ring[r->next].size_bytes >> PAGE_SHIFT;
		vm_play(w, NULL, r, 1);
	}
	w->ops = ops;
}

struct vm_requests *vm_requests_new(struct worker *w,
				    struct vm_request (*draw)(struct rng *rng,
							      const void *arg),
				    const void *arg)
{
	struct vm_requests *r = arena_alloc(sizeof(*r));

	r->next = 0;
	for (uint32_t i = 0; i < VM_REQUESTS; i++)
		r->ring[i] = draw(&w->rng, arg);
	warm(w, r);
	return r;
}

void vm_requests_delete(struct vm_requests *r)
{
	arena_free(r, sizeof(*r));
}

int vm_check_whole_pages(const struct workload_run *run)
{
	if (run->size_bytes % PAGE_SIZE == 0)
		return 0;
	return kmem_error(-EINVAL,
			  "workload '%s' takes whole pages, and %" PRIu64
			  " bytes is none: give a multiple of 4K",
			  run->workload->name, run->size_bytes);
}

int vm_check_pages(const char *workload, uint64_t pages_min, uint64_t pages_max)
{
	if (pages_min <= pages_max)
		return 0;
	return kmem_error(-EINVAL,
			  "workload '%s' has pages_min=%" PRIu64
			  " above pages_max=%" PRIu64 ": swap them",
			  workload, pages_min, pages_max);
}

static uint64_t max_map_count(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	uint64_t max = MAX_MAP_COUNT_DEFAULT;

	if (f == NULL)
		return max;
	if (fscanf(f, "%" SCNu64, &max) != 1)
		max = MAX_MAP_COUNT_DEFAULT;
	fclose(f);
	return max;
}

int vm_check_mappings(const char *workload, const char *name, uint64_t areas,
		      uint64_t mappings)
{
	/* What vmalloc leaves to others, and kmap's window. */
	uint64_t max = max_map_count(), allowed = max - max / 8;

	if (mappings <= allowed)
		return 0;
	return kmem_error(-EINVAL,
			  "workload '%s' has %s=%" PRIu64
			  ", for which the system may need "
			  "%" PRIu64 " mappings, and a process has %" PRIu64
			  " to spare: lower %s, or raise the limit with 'sysctl "
			  "vm.max_map_count=%" PRIu64 "'",
			  workload, name, areas, mappings, allowed, name,
			  mappings + mappings / 7 + 1);
}

void vm_fail_align(const struct worker *w, const void *ptr, size_t align)
{
	worker_fail(w, "allocator '%s' returned %p, which is not aligned to %zu bytes",
		    w->run->allocator->ops->name, ptr, align);
}
