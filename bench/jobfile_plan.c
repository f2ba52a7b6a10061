/* SPDX-License-Identifier: MIT */
/* From the sections of a job file to the plan's cells. */
#include "bench/jobfile_internal.h"

#include <errno.h>
#include <stdio.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "workloads/harness/trace.h"

/* A key that is neither ours nor a parameter of the section's workloads is a mistake. */
static int check_params(const struct job *job, const struct job_section *s,
			const char *workloads)
{
	const char *key, *near;
	json_t *line;

	json_object_foreach (s->param_lines, key, line) {
		if (plan_has_param(workloads, key))
			continue;
		near = kmem_nearest_name(key, job_section_keys, JOB_SECTION_KEYS);
		cli_error(
			"cannot read job file '%s': line %d: '%s' is neither a key nor a "
			"parameter of the workloads of [%s]%s%s%s",
			job->name, (int)json_integer_value(line), key, s->name,
			near != NULL ? ": did you mean '" : "", near != NULL ? near : "",
			near != NULL ? "'?" : "");
		return -EINVAL;
	}
	return 0;
}

static const char *either(const char *own, const char *global)
{
	return own != NULL ? own : global;
}

/* A recording is replayed by its own number of threads unless the section says another.
 */
static int use_trace(struct job_section *s, struct grid *grid, char *threads, size_t size,
		     const char *path)
{
	struct trace trace;

	if (path == NULL)
		return -EINVAL;
	if (trace_open(path, &trace) != 0) {
		cli_error("cannot plan the job: %s", kmem_last_error());
		return -EINVAL;
	}
	snprintf(threads, size, "%u", trace.header->threads);
	trace_close(&trace);
	if (s->threads == NULL)
		grid->threads = threads;
	if (json_object_set_new(s->params, "trace", json_string(path)) != 0) {
		cli_error("cannot plan the job: '%s' is not valid UTF-8", path);
		return -EINVAL;
	}
	return 0;
}

int job_plan(struct job *job, struct plan *plan,
	     const char *(*trace)(const struct job_section *section, void *arg),
	     void *arg)
{
	if (job->count == 0) {
		cli_error("cannot plan the job: it has no section but [global]");
		return -EINVAL;
	}
	for (size_t i = 0; i < job->count; i++) {
		struct job_section *s = &job->sections[i];
		struct grid grid = {
			.allocators = either(s->allocators, job->global.allocators),
			.workloads = either(s->workloads, job->global.workloads),
			.sizes = either(s->sizes, job->global.sizes),
			.threads = either(s->threads, job->global.threads),
			.touch = either(s->touch, job->global.touch),
			.check = s->check || job->global.check,
			.params = s->params,
			.memory_time_s = s->memory_time_s >= 0 ? &s->memory_time_s : NULL,
		};
		const char *path = NULL;
		char threads[16];

		if (grid.allocators == NULL || grid.workloads == NULL) {
			cli_error("cannot plan the job: section [%s] needs '%s'", s->name,
				  grid.allocators == NULL ? "allocators" : "workloads");
			return -EINVAL;
		}
		if (check_params(job, s, grid.workloads) != 0)
			return -EINVAL;
		if (s->record != NULL) {
			path = trace(s, arg);
			if (path != NULL && *path == '\0')
				continue;
			if (use_trace(s, &grid, threads, sizeof(threads), path) != 0)
				return -EINVAL;
		}
		if (plan_add_grid(plan, &grid) != 0) {
			cli_error("this was section [%s], line %u of '%s'", s->name,
				  s->line, job->name);
			return -EINVAL;
		}
	}
	return 0;
}
