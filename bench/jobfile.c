/* SPDX-License-Identifier: MIT */
/* Job files, read with inih: see jobfile.h. */
#include "bench/jobfile.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "workloads/harness/trace.h"

struct reader {
	struct job *job;
	struct plan *plan;
	bool failed;
};

static void replace(char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
}

/* A value that goes on in indented lines arrives line by line. */
static void extend(char **field, const char *value)
{
	char *joined;

	if (*field == NULL) {
		*field = strdup(value);
		return;
	}
	if (asprintf(&joined, "%s %s", *field, value) < 0)
		abort();
	free(*field);
	*field = joined;
}

static struct job_section *section_of(struct job *job, const char *name)
{
	struct job_section *section;

	if (strcmp(name, "global") == 0)
		return &job->global;
	if (job->count > 0 && strcmp(job->sections[job->count - 1].name, name) == 0)
		return &job->sections[job->count - 1];
	job->sections = realloc(job->sections, (job->count + 1) * sizeof(*job->sections));
	if (job->sections == NULL)
		abort();
	section = &job->sections[job->count++];
	memset(section, 0, sizeof(*section));
	section->name = strdup(name);
	section->params = json_object();
	return section;
}

/* A key that only [global] has: a number. False when it is not one of them. */
static bool global_number(struct reader *r, const char *key, const char *value, bool *ok)
{
	struct {
		const char *key;
		double *target;
		double min;
	} const numbers[] = {
		{"time_s", &r->plan->time_s, 1e-4},
		{"latency_time_s", &r->plan->latency_time_s, 0},
		{"timeout_s", &r->plan->timeout_s, 0.1},
	};
	char *end;
	double number = strtod(value, &end);
	bool numeric = end != value && *end == '\0';

	*ok = true;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(numbers); i++) {
		if (strcmp(key, numbers[i].key) == 0) {
			*ok = numeric && number >= numbers[i].min;
			*numbers[i].target = number;
			return true;
		}
	}
	if (strcmp(key, "reps") == 0) {
		*ok = numeric && number >= 1 && number <= 10000;
		r->plan->reps = *ok ? (unsigned int)number : 0;
	} else if (strcmp(key, "seed") == 0) {
		*ok = numeric && number >= 0;
		r->plan->seed = strtoull(value, NULL, 10);
		r->job->seed_given = true;
	} else if (strcmp(key, "ops") == 0) {
		*ok = numeric && number >= 0;
		r->plan->ops = strtoull(value, NULL, 10);
	} else {
		return false;
	}
	return true;
}

static bool parse_switch(const char *value, bool *out)
{
	if (strcmp(value, "on") == 0 || strcmp(value, "yes") == 0 ||
	    strcmp(value, "1") == 0)
		*out = true;
	else if (strcmp(value, "off") == 0 || strcmp(value, "no") == 0 ||
		 strcmp(value, "0") == 0)
		*out = false;
	else
		return false;
	return true;
}

/* inih's handler: 1 when the line is good. */
static int on_pair(void *user, const char *section_name, const char *key,
		   const char *value)
{
	struct reader *r = user;
	struct job_section *section;
	bool ok;

	if (*section_name == '\0') {
		cli_error("cannot read the job: '%s' stands before the first [section]",
			  key);
		r->failed = true;
		return 0;
	}
	section = section_of(r->job, section_name);
	if (section == &r->job->global && global_number(r, key, value, &ok)) {
		if (!ok) {
			cli_error("cannot read the job: '%s = %s' is out of range", key,
				  value);
			r->failed = true;
		}
		return ok;
	}
	if (strcmp(key, "allocators") == 0)
		replace(&section->allocators, value);
	else if (strcmp(key, "workloads") == 0)
		replace(&section->workloads, value);
	else if (strcmp(key, "sizes") == 0)
		replace(&section->sizes, value);
	else if (strcmp(key, "threads") == 0)
		replace(&section->threads, value);
	else if (strcmp(key, "touch") == 0)
		replace(&section->touch, value);
	else if (strcmp(key, "record") == 0)
		extend(&section->record, value);
	else if (strcmp(key, "check") == 0)
		return parse_switch(value, &section->check);
	else if (section != &r->job->global)
		json_object_set_new(section->params, key, json_string(value));
	else
		return 0;
	return 1;
}

static int finish(struct reader *r, const char *name, int line)
{
	if (line == 0)
		return 0;
	if (line < 0)
		cli_error("cannot read job file '%s': %s", name, strerror(errno));
	else
		cli_error(
			"cannot read job file '%s': line %d is not understood ('%s --help' "
			"shows the format)",
			name, line, "kmembench sweep");
	job_release(r->job);
	return -EINVAL;
}

int job_read_file(const char *path, struct job *job, struct plan *plan)
{
	struct reader r = {job, plan, false};

	memset(job, 0, sizeof(*job));
	return finish(&r, path, ini_parse(path, on_pair, &r));
}

int job_read_text(const char *text, const char *name, struct job *job, struct plan *plan)
{
	struct reader r = {job, plan, false};

	memset(job, 0, sizeof(*job));
	return finish(&r, name, ini_parse_string(text, on_pair, &r));
}

static void release_section(struct job_section *s)
{
	free(s->name);
	free(s->allocators);
	free(s->workloads);
	free(s->sizes);
	free(s->threads);
	free(s->touch);
	free(s->record);
	json_decref(s->params);
}

void job_release(struct job *job)
{
	release_section(&job->global);
	for (size_t i = 0; i < job->count; i++)
		release_section(&job->sections[i]);
	free(job->sections);
	memset(job, 0, sizeof(*job));
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
	json_object_set_new(s->params, "trace", json_string(path));
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
		};
		char threads[16];

		if (grid.allocators == NULL || grid.workloads == NULL) {
			cli_error("cannot plan the job: section [%s] needs '%s'", s->name,
				  grid.allocators == NULL ? "allocators" : "workloads");
			return -EINVAL;
		}
		if (s->record != NULL &&
		    use_trace(s, &grid, threads, sizeof(threads), trace(s, arg)) != 0)
			return -EINVAL;
		if (plan_add_grid(plan, &grid) != 0)
			return -EINVAL;
	}
	return 0;
}
