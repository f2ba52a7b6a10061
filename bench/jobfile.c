/* SPDX-License-Identifier: MIT */
/* Job files, read with inih: see jobfile.h. */
#include "bench/jobfile_internal.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/cli.h"

const char *const job_section_keys[] = {"allocators",	 "workloads", "sizes",
					"threads",	 "touch",     "check",
					"memory_time_s", "record"};
_Static_assert(KMEM_ARRAY_SIZE(job_section_keys) == JOB_SECTION_KEYS, "all are counted");

static const char *const global_keys[] = {
	"reps",	  "time_s", "latency_time_s", "slice_time_s", "precision_pct",
	"method", "layout", "baseline",	      "timeout_s",    "seed",
	"ops"};

/*
 * inih hands over pairs, but neither line numbers nor section headers. So lines are
 * counted, and looked at, as it fetches them: a pair belongs to the line fetched last.
 */
struct reader {
	struct job *job;
	struct plan *plan;
	FILE *file;
	const char *name;
	unsigned int line;
	bool failed;
	bool continued;	   /* the line is indented: it may continue the one before */
	bool header;	   /* a section header came by, and no pair of it yet */
	bool global_begun; /* [global] may stand there once */
	struct job_section *section; /* that pairs go to; invalid while header is set */
	json_t *seen;		     /* keys of this section */
	char key[64];		     /* of the last pair */
};

/* Says what is wrong with the current line. Returns 0, inih's word for a bad pair. */
static int complain(struct reader *r, const char *fmt, ...) KMEM_PRINTF(2, 3);
static int complain(struct reader *r, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!r->failed)
		cli_error("cannot read job file '%s': line %u: %s", r->name, r->line,
			  text);
	r->failed = true;
	return 0;
}

static bool is_utf8(const char *text)
{
	json_t *string = json_string(text);

	json_decref(string);
	return string != NULL;
}

/* inih's reader. NULL ends the file, and so does the first bad line. */
static char *next_line(char *line, int size, void *arg)
{
	struct reader *r = arg;
	const char *start;

	if (r->failed || fgets(line, size, r->file) == NULL)
		return NULL;
	r->line++;
	if (strchr(line, '\n') == NULL && !feof(r->file)) {
		complain(r, "it is longer than %d characters: go on in an indented line",
			 size - 2);
		return NULL;
	}
	if (!is_utf8(line)) {
		complain(r, "it is not valid UTF-8");
		return NULL;
	}
	start = line + strspn(line, " \t");
	r->continued = start > line && r->key[0] != '\0';
	if (*start == '[' && !r->continued) {
		if (r->header) {
			complain(r, "the section before it is empty");
			return NULL;
		}
		r->header = true;
		r->key[0] = '\0';
	}
	return line;
}

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

/* The first pair of a section: the section begins. */
static int begin_section(struct reader *r, const char *name)
{
	struct job *job = r->job;
	struct job_section *section = &job->global;

	r->header = false;
	json_object_clear(r->seen);
	if (strcmp(name, "global") == 0) {
		if (r->global_begun)
			return complain(r, "there is a second section [global]");
		r->global_begun = true;
	} else {
		for (size_t i = 0; i < job->count; i++) {
			if (strcmp(job->sections[i].name, name) == 0)
				return complain(r,
						"there is a second section [%s]: give "
						"it another name",
						name);
		}
		job->sections = realloc(job->sections,
					(job->count + 1) * sizeof(*job->sections));
		if (job->sections == NULL)
			abort();
		section = &job->sections[job->count++];
		memset(section, 0, sizeof(*section));
		section->name = strdup(name);
		section->params = json_object();
		section->param_lines = json_object();
		section->memory_time_s = -1;
		section->line = r->line;
	}
	r->section = section;
	return 1;
}

/* A key that only [global] has: a number. */
static int global_number(struct reader *r, const char *key, const char *value)
{
	struct {
		const char *key;
		double *target;
		double min, max;
	} const numbers[] = {
		{"time_s", &r->plan->time_s, 1e-4, 3600},
		{"latency_time_s", &r->plan->latency_time_s, 0, 3600},
		{"slice_time_s", &r->plan->slice_s, 1e-5, 60},
		{"precision_pct", &r->plan->precision_pct, 0.01, 1000},
		{"timeout_s", &r->plan->timeout_s, 0.1, 1e6},
	};
	double most = strcmp(key, "reps") == 0	? 10000
		      : strcmp(key, "ops") == 0 ? 1e15
						: 9007199254740992.0;
	double least = strcmp(key, "reps") == 0 ? 1 : 0;
	char *end;
	double number = strtod(value, &end);

	if (end == value || *end != '\0')
		return complain(r, "'%s = %s' is not a number", key, value);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(numbers); i++) {
		if (strcmp(key, numbers[i].key) != 0)
			continue;
		if (!(number >= numbers[i].min && number <= numbers[i].max))
			return complain(
				r, "'%s = %s' is out of range: it takes %.16g to %.16g",
				key, value, numbers[i].min, numbers[i].max);
		*numbers[i].target = number;
		return 1;
	}
	if (!(number >= least && number <= most) || number != (double)(uint64_t)number)
		return complain(r,
				"'%s = %s' is out of range: it takes whole numbers of "
				"%g to %g",
				key, value, least, most);
	if (strcmp(key, "reps") == 0) {
		r->plan->reps = (unsigned int)number;
	} else if (strcmp(key, "ops") == 0) {
		r->plan->ops = (uint64_t)number;
	} else {
		r->plan->seed = (uint64_t)number;
		r->job->seed_given = true;
	}
	return 1;
}

/* A key that only [global] has: a word. -1 when it is none of those. */
static int global_word(struct reader *r, const char *key, const char *value)
{
	struct plan *plan = r->plan;

	if (strcmp(key, "baseline") == 0) {
		replace(&r->job->baseline, value);
		plan->baseline = r->job->baseline;
		return 1;
	}
	if (strcmp(key, "method") == 0) {
		for (int i = 0; plan_method_names[i] != NULL; i++) {
			if (strcmp(plan_method_names[i], value) == 0) {
				plan->method = (enum plan_method)i;
				return 1;
			}
		}
		return complain(r, "'method = %s' is neither slices nor plain", value);
	}
	if (strcmp(key, "layout") != 0)
		return -1;
	plan->layout_fixed = strcmp(value, "fixed") == 0;
	if (!plan->layout_fixed && strcmp(value, "random") != 0)
		return complain(r, "'layout = %s' is neither random nor fixed", value);
	return 1;
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

static bool among(const char *const *keys, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(keys[i], key) == 0)
			return true;
	}
	return false;
}

/* [global] has a fixed set of keys. */
static int unknown_global(struct reader *r, const char *key)
{
	const char
		*names[KMEM_ARRAY_SIZE(job_section_keys) + KMEM_ARRAY_SIZE(global_keys)];
	const char *near;

	memcpy(names, job_section_keys, sizeof(job_section_keys));
	memcpy(names + KMEM_ARRAY_SIZE(job_section_keys), global_keys,
	       sizeof(global_keys));
	near = kmem_nearest_name(key, names, KMEM_ARRAY_SIZE(names));
	if (near != NULL)
		return complain(r, "[global] has no key '%s': did you mean '%s'?", key,
				near);
	return complain(r,
			"[global] has no key '%s': parameters belong into a section of "
			"their workload",
			key);
}

/* Any other key is a parameter; job_plan() sees to it that a workload has it. */
static void add_param(struct reader *r, const char *key, const char *value)
{
	const char *before = json_string_value(json_object_get(r->section->params, key));
	char *joined = NULL;

	if (before != NULL)
		joined = strdup(before);
	extend(&joined, value);
	json_object_set_new(r->section->params, key, json_string(joined));
	json_object_set_new(r->section->param_lines, key,
			    json_integer((json_int_t)r->line));
	free(joined);
}

/* The plan's own, or that of a section's cells. */
static int memory_time(struct reader *r, const char *value)
{
	char *end;
	double number = strtod(value, &end);

	if (end == value || *end != '\0' || !(number >= 0 && number <= 3600))
		return complain(
			r, "'memory_time_s = %s' is out of range: it takes 0 to 3600",
			value);
	if (r->section == &r->job->global)
		r->plan->memory_time_s = number;
	else
		r->section->memory_time_s = number;
	return 1;
}

/* The field of a list, or NULL. */
static char **list_of(struct job_section *section, const char *key)
{
	struct {
		const char *key;
		char **field;
	} const lists[] = {
		{"allocators", &section->allocators}, {"workloads", &section->workloads},
		{"sizes", &section->sizes},	      {"threads", &section->threads},
		{"touch", &section->touch},	      {"record", &section->record},
	};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(lists); i++) {
		if (strcmp(key, lists[i].key) == 0)
			return lists[i].field;
	}
	return NULL;
}

/* inih's handler: 1 when the line is good. */
static int on_pair(void *user, const char *section_name, const char *key,
		   const char *value)
{
	struct reader *r = user;
	bool continued = r->continued && strcmp(r->key, key) == 0;
	char **list;
	int word;

	if (*section_name == '\0')
		return complain(r, "'%s' stands before the first [section]", key);
	if (r->header && !begin_section(r, section_name))
		return 0;
	if (!continued && json_object_get(r->seen, key) != NULL)
		return complain(r, "section [%s] has '%s' a second time", section_name,
				key);
	json_object_set_new(r->seen, key, json_true());
	snprintf(r->key, sizeof(r->key), "%s", key);
	list = list_of(r->section, key);
	if (list != NULL) {
		if (continued)
			extend(list, value);
		else
			replace(list, value);
	} else if (strcmp(key, "memory_time_s") == 0) {
		return memory_time(r, value);
	} else if (strcmp(key, "check") == 0) {
		if (!parse_switch(value, &r->section->check))
			return complain(r, "'check = %s' is neither on nor off", value);
	} else if (among(global_keys, KMEM_ARRAY_SIZE(global_keys), key)) {
		if (r->section != &r->job->global)
			return complain(r,
					"'%s' holds for all cells: it belongs into "
					"[global]",
					key);
		word = global_word(r, key, value);
		return word >= 0 ? word : global_number(r, key, value);
	} else if (r->section == &r->job->global) {
		return unknown_global(r, key);
	} else {
		add_param(r, key, value);
	}
	return 1;
}

/* Reads and closes the file, which is open unless file is NULL. */
static int read_job(FILE *file, const char *name, struct job *job, struct plan *plan)
{
	struct reader r = {.job = job, .plan = plan, .file = file, .name = name};
	int line;

	memset(job, 0, sizeof(*job));
	if (file == NULL) {
		cli_error("cannot read job file '%s': %s", name, strerror(errno));
		return -EINVAL;
	}
	job->name = strdup(name);
	r.seen = json_object();
	line = ini_parse_stream(next_line, &r, on_pair, &r);
	if (!r.failed && ferror(file))
		complain(&r, "%s", strerror(errno));
	if (!r.failed && line != 0) {
		r.line = line > 0 ? (unsigned int)line : r.line;
		complain(&r, "it is no 'key = value' and no [section] "
			     "('kmembench sweep --help' shows the format)");
	}
	if (!r.failed && r.header)
		complain(&r, "the last section is empty");
	json_decref(r.seen);
	fclose(file);
	if (!r.failed)
		return 0;
	job_release(job);
	return -EINVAL;
}

int job_read_file(const char *path, struct job *job, struct plan *plan)
{
	return read_job(fopen(path, "re"), path, job, plan);
}

int job_read_text(const char *text, const char *name, struct job *job, struct plan *plan)
{
	/* Opened for reading: the text is not written to. */
	return read_job(fmemopen((void *)(uintptr_t)text, strlen(text), "r"), name, job,
			plan);
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
	json_decref(s->param_lines);
}

void job_release(struct job *job)
{
	release_section(&job->global);
	for (size_t i = 0; i < job->count; i++)
		release_section(&job->sections[i]);
	free(job->sections);
	free(job->baseline);
	free(job->name);
	memset(job, 0, sizeof(*job));
}
