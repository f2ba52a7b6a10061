/* SPDX-License-Identifier: MIT */
/* The registry of workloads, and what must hold before one of them runs. */
#include "workloads/workload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

/* There are 40 in the plan; registration says so when this is too small. */
#define WORKLOADS_MAX 64

/* By name. Written by constructors only, before main. */
static const struct workload_ops *workloads[WORKLOADS_MAX];
static size_t workload_count;

/* The name of the first required field that is missing, or NULL. */
static const char *missing_field(const struct workload_ops *ops)
{
	const struct {
		const char *name;
		bool present;
	} required[] = {
		{"description", ops->description != NULL},
		{"stresses", ops->stresses != NULL},
		{"not_for", ops->not_for != NULL},
		{"source", ops->source != NULL},
		{"op", ops->op != NULL},
		{"caps", ops->caps != 0},
		{"default_threads", ops->default_threads != NULL},
		{"default_touch", ops->default_touch != TOUCH_DEFAULT},
		{"params_size", (ops->params == NULL) == (ops->params_size == 0)},
		{"size_max", ops->default_sizes != NULL || ops->size_max != NULL},
		{"step", ops->step != NULL},
		{"step_probed", ops->step_probed != NULL},
		{"course_read", (ops->course[0] == NULL) == (ops->course_read == NULL)},
	};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(required); i++)
		if (!required[i].present)
			return required[i].name;
	return NULL;
}

int workload_register(const struct workload_ops *ops)
{
	const char *missing;
	size_t at;

	if (ops->name == NULL || ops->name[0] == '\0')
		return kmem_error(-EINVAL, "a workload without a name: set 'name'");
	if (ops->abi_version != WORKLOAD_OPS_VERSION)
		return kmem_error(
			-EINVAL,
			"workload '%s' has version %u of the hooks, this program "
			"has %u: rebuild it",
			ops->name, ops->abi_version, WORKLOAD_OPS_VERSION);
	missing = missing_field(ops);
	if (missing != NULL)
		return kmem_error(-EINVAL, "workload '%s' lacks '%s': set it", ops->name,
				  missing);
	for (at = 0; at < workload_count && strcmp(workloads[at]->name, ops->name) < 0;
	     at++)
		;
	if (at < workload_count && strcmp(workloads[at]->name, ops->name) == 0)
		return kmem_error(-EINVAL,
				  "workload '%s' is registered twice: rename one",
				  ops->name);
	if (workload_count == WORKLOADS_MAX)
		return kmem_error(-EINVAL,
				  "no room for workload '%s': raise WORKLOADS_MAX",
				  ops->name);
	memmove(&workloads[at + 1], &workloads[at],
		(workload_count - at) * sizeof(workloads[0]));
	workloads[at] = ops;
	workload_count++;
	return 0;
}

void workload_register_or_exit(const struct workload_ops *ops)
{
	if (workload_register(ops) == 0)
		return;
	fprintf(stderr, "kmembench: cannot register a workload: %s\n", kmem_last_error());
	exit(EXIT_FAILURE);
}

unsigned int workload_course_columns(const struct workload_ops *ops)
{
	unsigned int n = 0;

	while (n < WORKLOAD_COURSE_MAX && ops->course[n] != NULL)
		n++;
	return n;
}

const struct workload_ops *workload_at(size_t index)
{
	return index < workload_count ? workloads[index] : NULL;
}

const struct workload_ops *workload_find(const char *name)
{
	const char *names[WORKLOADS_MAX];
	const char *near;

	for (size_t i = 0; i < workload_count; i++) {
		if (strcmp(workloads[i]->name, name) == 0)
			return workloads[i];
		names[i] = workloads[i]->name;
	}
	near = kmem_nearest_name(name, names, workload_count);
	if (near != NULL)
		kmem_error(-EINVAL, "unknown workload '%s': did you mean '%s'?", name,
			   near);
	else
		kmem_error(
			-EINVAL,
			"unknown workload '%s': 'kmembench list workloads' names them all",
			name);
	return NULL;
}

uint64_t workload_size_max(const struct workload_run *run)
{
	return run->workload->size_max != NULL ? run->workload->size_max(run)
					       : run->size_bytes;
}

/* Names the first capability in need that caps does not have. */
static int check_caps(const char *what, const char *subject, uint64_t need,
		      const struct allocator_ops *allocator)
{
	uint64_t lacking = need & ~allocator->caps;
	const char *name;

	if (lacking == 0)
		return 0;
	name = allocator_capability_name((unsigned int)__builtin_ctzll(lacking));
	return kmem_error(-EINVAL,
			  "%s%s%s%s needs capability '%s', which allocator '%s' lacks",
			  what, subject ? " '" : "", subject ? subject : "",
			  subject ? "'" : "", name ? name : "?", allocator->name);
}

static int check_size(const struct workload_run *run)
{
	const struct workload_ops *ops = run->workload;

	if (ops->default_sizes == NULL) {
		if (run->size_bytes == 0)
			return 0;
		return kmem_error(-EINVAL,
				  "workload '%s' draws its own sizes: leave the size out",
				  ops->name);
	}
	if (run->size_bytes == 0)
		return kmem_error(-EINVAL, "workload '%s' needs a size, such as %s",
				  ops->name, ops->default_sizes);
	if (ops->size_min_bytes != 0 && run->size_bytes < ops->size_min_bytes)
		return kmem_error(-EINVAL,
				  "workload '%s' takes no size below %" PRIu64
				  " bytes, and %" PRIu64 " was given",
				  ops->name, ops->size_min_bytes, run->size_bytes);
	if (ops->size_max_bytes != 0 && run->size_bytes > ops->size_max_bytes)
		return kmem_error(-EINVAL,
				  "workload '%s' takes no size above %" PRIu64
				  " bytes, and %" PRIu64 " was given",
				  ops->name, ops->size_max_bytes, run->size_bytes);
	return 0;
}

int workload_validate(const struct workload_run *run,
		      const struct allocator_ops *allocator)
{
	const struct workload_ops *ops = run->workload;
	uint64_t largest;
	int err;

	if (run->threads == 0)
		return kmem_error(-EINVAL,
				  "workload '%s' cannot run on 0 threads: give 1 or more",
				  ops->name);
	err = check_caps("workload", ops->name, ops->caps, allocator);
	if (err == 0 && run->check)
		err = check_caps("checking of contents", NULL, CAP_DISTINCT, allocator);
	if (err == 0)
		err = check_size(run);
	if (err == 0 && ops->validate != NULL)
		err = ops->validate(run);
	if (err == 0 && ops->extra_caps != NULL)
		err = check_caps("workload", ops->name, ops->extra_caps(run), allocator);
	if (err != 0)
		return err;
	largest = workload_size_max(run);
	if (allocator->size_max_bytes != 0 && largest > allocator->size_max_bytes)
		return kmem_error(
			-EINVAL,
			"workload '%s' asks for %" PRIu64
			" bytes at once, and allocator '%s' serves %" PRIu64 " at most",
			ops->name, largest, allocator->name, allocator->size_max_bytes);
	return 0;
}
