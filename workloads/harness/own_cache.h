/* SPDX-License-Identifier: MIT */
/* For workloads that compare a slab cache of their own with a general allocator. */
#ifndef KMEMBENCH_OWN_CACHE_H
#define KMEMBENCH_OWN_CACHE_H

#include <string.h>

#include <kmem/slab.h>

#include "workloads/workload.h"

/* Whether the cell's allocator is one in which kmem_cache_create() works. */
static inline bool own_cache_possible(const struct workload_run *run)
{
	const char *name = run->allocator->ops->name;

	return strcmp(name, "slab") == 0 || strcmp(name, "kmem") == 0;
}

#endif /* KMEMBENCH_OWN_CACHE_H */
