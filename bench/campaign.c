/* SPDX-License-Identifier: MIT */
/* Blocks, journal, results file: see campaign.h. */
#include "bench/campaign.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "bench/context.h"
#include "bench/journal.h"
#include "bench/progress.h"
#include "bench/results.h"
#include "bench/runner.h"

struct campaign {
	struct plan *plan;
	const struct campaign_options *options;
	json_t **entries; /* [block * plan->count + cell]; NULL: not done */
	bool *failed;	  /* [cell]: not tried again in later blocks */
	struct journal journal;
	struct progress progress;
	json_t *context;
};

static bool in_shard(const struct campaign *c, size_t cell)
{
	unsigned int shards = c->options->shards;

	/* Whole groups: what will be compared stays in one shard. */
	return shards == 0 ||
	       c->plan->cells[cell].group % shards == c->options->shard - 1;
}

static json_t **slot(struct campaign *c, size_t cell, unsigned int block)
{
	return &c->entries[(size_t)block * c->plan->count + cell];
}

/* A failed cell as Google Benchmark writes one, so that its readers pass over it. */
static json_t *failed_entry(const struct plan_cell *cell, const char *reason)
{
	return json_pack("{s:s, s:i, s:b, s:s, s:i, s:f, s:f, s:s, "
			 "s:{s:s, s:s, s:s, s:s, s:s, s:O, s:i}}",
			 "run_type", "iteration", "threads", (int)cell->threads,
			 "error_occurred", 1, "error_message", reason, "iterations", 0,
			 "real_time", 0.0, "cpu_time", 0.0, "time_unit", "ns",
			 "kmembench", "status", "failed", "error", reason, "allocator",
			 cell->allocator, "allocator_name", cell->ops->name, "workload",
			 cell->workload->name, "params", cell->all_params, "threads",
			 (int)cell->threads);
}

/* Names and numbers that the cell's own process does not know. */
static void complete_entry(const struct campaign *c, json_t *entry, size_t index,
			   unsigned int block)
{
	const struct plan_cell *cell = &c->plan->cells[index];
	json_t *kmembench = json_object_get(entry, "kmembench");

	json_object_set_new(entry, "name", json_string(cell->key));
	json_object_set_new(entry, "run_name", json_string(cell->key));
	json_object_set_new(entry, "family_index", json_integer(cell->group));
	json_object_set_new(entry, "per_family_instance_index",
			    json_integer((json_int_t)index));
	json_object_set_new(entry, "repetitions", json_integer(c->plan->reps));
	json_object_set_new(entry, "repetition_index", json_integer(block));
	json_object_set_new(kmembench, "schema_version",
			    json_integer(RESULTS_SCHEMA_VERSION));
	json_object_set_new(kmembench, "cell_key", json_string(cell->key));
	json_object_set_new(kmembench, "block", json_integer(block));
	json_object_set_new(kmembench, "allocator_options_given",
			    json_string(strchr(cell->allocator, ':') != NULL
						? strchr(cell->allocator, ':') + 1
						: ""));
}

/* False when interrupted. */
static bool run_one(struct campaign *c, size_t index, unsigned int block)
{
	const struct plan_cell *cell = &c->plan->cells[index];
	json_t *spec = plan_cell_spec(c->plan, cell, block);
	const char *failure = NULL;
	json_t *entry;

	progress_cell(&c->progress, cell->key, block);
	entry = runner_run_cell(spec, c->plan->timeout_s);
	json_decref(spec);
	if (entry == NULL)
		return false;
	if (json_object_get(entry, "status") != NULL) {
		json_t *failed;

		failure = json_string_value(json_object_get(entry, "error"));
		failed = failed_entry(cell,
				      failure != NULL ? failure : "no reason given");
		json_decref(entry);
		entry = failed;
		failure = json_string_value(json_object_get(entry, "error_message"));
		c->failed[index] = true;
	}
	complete_entry(c, entry, index, block);
	*slot(c, index, block) = entry;
	if (journal_append(&c->journal, index, block, entry) != 0)
		cli_warn("cannot write to the journal: %s", kmem_last_error());
	progress_done(&c->progress, cell->key, block,
		      json_number_value(json_object_get(entry, "real_time")), failure);
	return true;
}

static bool run_blocks(struct campaign *c)
{
	size_t *order = calloc(c->plan->count + 1, sizeof(*order));
	bool whole = true;

	if (order == NULL)
		abort();
	for (unsigned int block = 0; whole && block < c->plan->reps; block++) {
		plan_block_order(c->plan, block, order);
		for (size_t i = 0; whole && i < c->plan->count; i++) {
			size_t index = order[i];

			if (!in_shard(c, index) || *slot(c, index, block) != NULL)
				continue;
			if (c->failed[index])
				c->progress.done++;
			else
				whole = !runner_interrupted && run_one(c, index, block);
		}
	}
	free(order);
	return whole;
}

/* Takes over what a journal holds; counts the entries. */
static int take_entry(size_t index, unsigned int block, json_t *entry, void *arg)
{
	struct campaign *c = arg;

	if (index >= c->plan->count || block >= c->plan->reps)
		return -EINVAL;
	json_decref(*slot(c, index, block));
	*slot(c, index, block) = json_incref(entry);
	if (json_is_true(json_object_get(entry, "error_occurred")))
		c->failed[index] = true;
	return 0;
}

/* True when some cell's nodes were not the machine's own. */
static bool any_simulated(json_t *list)
{
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry) {
		const json_t *numa = json_object_get(json_object_get(entry, "kmembench"),
						     "numa");

		if (json_is_true(json_object_get(numa, "simulated")))
			return true;
	}
	return false;
}

static json_t *gather(struct campaign *c, bool complete)
{
	json_t *list = json_array();
	json_t *kmembench = json_object_get(c->context, "kmembench");

	for (size_t i = 0; i < c->plan->count; i++) {
		for (unsigned int b = 0; b < c->plan->reps; b++) {
			if (*slot(c, i, b) != NULL)
				json_array_append(list, *slot(c, i, b));
		}
	}
	json_object_set_new(kmembench, "complete", json_boolean(complete));
	json_object_set_new(json_object_get(kmembench, "machine"), "simulated_numa",
			    json_boolean(any_simulated(list)));
	if (c->options->shards != 0)
		json_object_set_new(kmembench, "shard",
				    json_pack("{s:i, s:i}", "index",
					      (int)c->options->shard, "count",
					      (int)c->options->shards));
	return json_pack("{s:O, s:o}", "context", c->context, "benchmarks", list);
}

/* Versions and paths are known to the cells only. */
static void list_allocators(const struct campaign *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->plan->count; i++) {
		json_t *entry = *slot((struct campaign *)(uintptr_t)c, i, 0);
		json_t *kmembench = json_object_get(entry, "kmembench");
		bool seen = false;
		size_t k;
		json_t *known;

		json_array_foreach (list, k, known)
			seen = seen || strcmp(json_string_value(
						      json_object_get(known, "variant")),
					      c->plan->cells[i].allocator) == 0;
		if (seen || entry == NULL)
			continue;
		known = json_pack("{s:s, s:s}", "name", c->plan->cells[i].ops->name,
				  "variant", c->plan->cells[i].allocator);
		if (json_object_get(kmembench, "allocator_version") != NULL)
			json_object_set(known, "version",
					json_object_get(kmembench, "allocator_version"));
		if (json_object_get(kmembench, "allocator_path") != NULL)
			json_object_set(known, "path",
					json_object_get(kmembench, "allocator_path"));
		json_array_append_new(list, known);
	}
	json_object_set_new(json_object_get(c->context, "kmembench"), "allocators", list);
}

static size_t count_done(const struct campaign *c)
{
	size_t done = 0;

	for (size_t i = 0; i < c->plan->count * c->plan->reps; i++)
		done += c->entries[i] != NULL;
	return done;
}

static size_t count_planned(const struct campaign *c)
{
	size_t cells = 0;

	for (size_t i = 0; i < c->plan->count; i++)
		cells += in_shard(c, i);
	return cells * c->plan->reps;
}

/* Opens the outputs, so that what cannot be written is known before the first cell. */
static int open_outputs(struct campaign *c)
{
	const struct campaign_options *o = c->options;
	uint64_t hash = plan_hash(c->plan);

	if (o->out == NULL)
		return EXIT_DONE;
	if (results_check_writable(o->out) != 0) {
		cli_error("cannot write results to '%s': %s", o->out, kmem_last_error());
		return EXIT_USAGE;
	}
	if (o->resume) {
		if (journal_resume(&c->journal, o->out, hash, &c->plan->seed, take_entry,
				   c) != 0) {
			cli_error("cannot resume: %s", kmem_last_error());
			return EXIT_USAGE;
		}
	} else if (journal_create(&c->journal, o->out, hash, c->plan->seed) != 0) {
		cli_error("cannot start: %s", kmem_last_error());
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int write_outputs(struct campaign *c, const struct campaign_result *result)
{
	const struct campaign_options *o = c->options;

	if (o->out == NULL) {
		if (result->interrupted)
			cli_error(
				"interrupted after %zu of %zu cell runs; with -o FILE they would "
				"have been kept",
				count_done(c), count_planned(c));
		return EXIT_DONE;
	}
	if (result->interrupted && count_done(c) == 0) {
		cli_error(
			"interrupted before the first cell had finished; '%s' is as it was",
			o->out);
		journal_close(&c->journal, false);
		return EXIT_DONE;
	}
	if (results_save(o->out, result->root) != 0) {
		cli_error(
			"cannot write results: %s (the finished cells are kept in '%s')",
			kmem_last_error(), c->journal.path);
		journal_close(&c->journal, true);
		return EXIT_CELL_FAILED;
	}
	if (result->interrupted)
		cli_error(
			"interrupted after %zu of %zu cell runs; they are kept in '%s', and the "
			"same command with --resume goes on from there",
			count_done(c), count_planned(c), o->out);
	journal_close(&c->journal, result->interrupted);
	return EXIT_DONE;
}

int campaign_run(struct plan *plan, const struct campaign_options *options,
		 struct campaign_result *result)
{
	struct campaign c = {.plan = plan, .options = options};
	size_t slots = plan->count * plan->reps;
	int code;

	memset(result, 0, sizeof(*result));
	c.entries = calloc(slots + 1, sizeof(json_t *));
	c.failed = calloc(plan->count + 1, sizeof(bool));
	if (c.entries == NULL || c.failed == NULL)
		abort();
	code = open_outputs(&c);
	if (code == EXIT_DONE) {
		c.context = context_json(plan, options->argc, options->argv);
		context_warn(c.context);
		runner_catch_signals();
		progress_start(&c.progress, count_planned(&c), count_done(&c),
			       options->quiet);
		result->interrupted = !run_blocks(&c);
		progress_end(&c.progress);
		list_allocators(&c);
		result->root = gather(&c, !result->interrupted);
		for (size_t i = 0; i < plan->count; i++)
			result->failed += c.failed[i];
		result->cells_done = count_done(&c) - result->failed;
		code = write_outputs(&c, result);
		runner_release_signals();
	}
	for (size_t i = 0; i < slots; i++)
		json_decref(c.entries[i]);
	json_decref(c.context);
	free(c.entries);
	free(c.failed);
	return code;
}

void campaign_dry_run(const struct plan *plan, const struct campaign_options *options)
{
	struct campaign c = {.plan = (struct plan *)(uintptr_t)plan, .options = options};
	double latency = plan->latency_time_s < 0 ? plan->time_s / 2
						  : plan->latency_time_s;
	size_t cells = 0;

	for (size_t i = 0; i < plan->count; i++) {
		if (!in_shard(&c, i))
			continue;
		puts(plan->cells[i].key);
		cells++;
	}
	printf("%zu cells, %u block%s of them, at least %.0f s\n", cells, plan->reps,
	       plan->reps == 1 ? "" : "s",
	       (double)cells * plan->reps * (plan->time_s + latency));
}
