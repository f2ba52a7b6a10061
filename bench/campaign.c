/* SPDX-License-Identifier: MIT */
/* Blocks, journal, results file: see campaign.h. */
#include "bench/campaign_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "bench/context.h"
#include "bench/icount.h"
#include "bench/results.h"
#include "bench/runner.h"
#include "bench/topology.h"

static bool in_shard(const struct campaign *c, size_t cell)
{
	return campaign_in_shard(c->plan, c->options, cell);
}

/* --- blocks --- */

/* Writes a finished block of a group to the journal. */
static void keep_block(struct campaign *c, const size_t *order, size_t count,
		       unsigned int block)
{
	json_t *cells = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *entry = *campaign_slot(c, order[i], block);

		if (entry != NULL)
			json_array_append_new(
				cells, json_pack("[I, O]", (json_int_t)order[i], entry));
	}
	if (json_array_size(cells) > 0 &&
	    journal_append(&c->journal, block, cells) != 0 && c->journal.lost == 1)
		cli_warn("cannot write to the journal, so that --resume will not go on "
			 "from here: %s",
			 kmem_last_error());
	json_decref(cells);
}

/* Cells of a group that no failure has taken out yet. */
static size_t count_living(const struct campaign *c, const size_t *order, size_t count)
{
	size_t living = 0;

	for (size_t i = 0; i < count; i++)
		living += !c->failed[order[i]];
	return living;
}

/* After a group's last block: are more needed? */
static void extend_group(struct campaign *c, unsigned int group, size_t cells,
			 unsigned int blocks)
{
	unsigned int *target = &c->target[group];

	if (blocks < *target || c->plan->reps != 0 || *target >= c->blocks_max ||
	    campaign_precise(c, group, blocks))
		return;
	*target += PLAN_BLOCKS_MORE;
	c->progress.total += cells * PLAN_BLOCKS_MORE;
}

/* With --icount: once for each cell of a group. False when interrupted. */
static bool count_instructions(const struct campaign *c, const size_t *order,
			       size_t count)
{
	for (size_t i = 0; c->plan->icount && i < count; i++) {
		json_t *entry = *campaign_slot(c, order[i], 0);

		if (entry != NULL &&
		    icount_add(c->plan, &c->plan->cells[order[i]], entry) != 0)
			return false;
	}
	return true;
}

/* A group's cells stand together in a block's order. False when interrupted. */
static bool run_group(struct campaign *c, const size_t *order, size_t count,
		      unsigned int block)
{
	unsigned int group = c->plan->cells[order[0]].group;
	size_t living = count_living(c, order, count);

	if (!in_shard(c, order[0]) || block >= c->target[group])
		return true;
	if (!c->journalled[(size_t)block * c->plan->groups + group] && living > 0) {
		if (runner_interrupted || !campaign_run_block(c, order, count, block))
			return false;
		if (block == 0 && !count_instructions(c, order, count))
			return false;
		keep_block(c, order, count, block);
		c->progress.done += count - living;
	} else if (living == 0) {
		c->progress.done += count;
	}
	if (living > 0)
		extend_group(c, group, count, block + 1);
	return true;
}

static bool run_blocks(struct campaign *c)
{
	size_t *order = calloc(c->plan->count + 1, sizeof(*order));
	bool whole = true;

	if (order == NULL)
		abort();
	for (unsigned int block = 0; whole && block < c->blocks_max; block++) {
		size_t start = 0;

		plan_block_order(c->plan, block, order);
		while (whole && start < c->plan->count) {
			size_t end = start + 1;

			while (end < c->plan->count &&
			       c->plan->cells[order[end]].group ==
				       c->plan->cells[order[start]].group)
				end++;
			whole = run_group(c, order + start, end - start, block);
			start = end;
		}
	}
	free(order);
	return whole;
}

/* Takes over what a journal holds; counts the entries. */
static int take_entry(size_t index, unsigned int block, json_t *entry, void *arg)
{
	struct campaign *c = arg;

	if (index >= c->plan->count || block >= c->blocks_max)
		return -EINVAL;
	json_decref(*campaign_slot(c, index, block));
	*campaign_slot(c, index, block) = json_incref(entry);
	c->journalled[(size_t)block * c->plan->groups + c->plan->cells[index].group] =
		true;
	if (json_is_true(json_object_get(entry, "error_occurred")))
		c->failed[index] = true;
	return 0;
}

static size_t count_done(const struct campaign *c)
{
	size_t done = 0;

	for (size_t i = 0; i < c->plan->count * c->blocks_max; i++)
		done += c->entries[i] != NULL;
	return done;
}

static size_t count_planned(const struct campaign *c)
{
	size_t cells = 0;

	for (size_t i = 0; i < c->plan->count; i++)
		cells += in_shard(c, i);
	return cells * (c->plan->reps != 0 ? c->plan->reps : PLAN_BLOCKS_FIRST);
}

/* Opens the outputs, so that what cannot be written is known before the first cell. */
static int open_outputs(struct campaign *c)
{
	const struct campaign_options *o = c->options;
	struct journal_identity id = {.plan_hash = plan_hash(c->plan)};
	char *build;
	int err;

	if (o->out == NULL)
		return EXIT_DONE;
	if (results_check_writable(o->out) != 0) {
		cli_error("%s", kmem_last_error());
		return EXIT_USAGE;
	}
	build = journal_build(json_string_value(json_object_get(
		json_object_get(c->context, "kmembench"), "git_revision")));
	id.build = build;
	if (o->resume)
		err = journal_resume(&c->journal, o->out, &id, &c->plan->seed, take_entry,
				     c);
	else
		err = journal_create(&c->journal, o->out, &id, c->plan->seed);
	free(build);
	if (err != 0)
		cli_error("cannot %s: %s", o->resume ? "resume" : "start",
			  kmem_last_error());
	else if (c->journal.damaged_line > 0)
		cli_warn("'%s' is damaged in line %zu: what stood there and behind it is "
			 "measured again",
			 c->journal.path, c->journal.damaged_line);
	return err == 0 ? EXIT_DONE : EXIT_USAGE;
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
			"%s (%s of the finished cells are kept in '%s': make room, and go "
			"on with --resume)",
			kmem_last_error(), c->journal.lost == 0 ? "all" : "some",
			c->journal.path);
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

static void *zeroed(size_t count, size_t size)
{
	void *p = calloc(count + 1, size);

	if (p == NULL)
		abort();
	return p;
}

static void campaign_init(struct campaign *c)
{
	const struct plan *plan = c->plan;
	unsigned int cpu;

	c->blocks_max = plan_blocks_max(plan);
	c->entries = zeroed(plan->count * c->blocks_max, sizeof(json_t *));
	c->failed = zeroed(plan->count, sizeof(bool));
	c->journalled = zeroed((size_t)plan->groups * c->blocks_max, sizeof(bool));
	c->target = zeroed(plan->groups, sizeof(unsigned int));
	for (unsigned int g = 0; g < plan->groups; g++)
		c->target[g] = plan->reps != 0 ? plan->reps : PLAN_BLOCKS_FIRST;
	c->cpu = topology_worker_cpus(1, &cpu) == 0 ? (int)cpu : -1;
	c->context = context_json(plan, c->options->argc, c->options->argv);
}

static void campaign_release(struct campaign *c)
{
	for (size_t i = 0; i < c->plan->count * c->blocks_max; i++)
		json_decref(c->entries[i]);
	json_decref(c->context);
	free(c->entries);
	free(c->failed);
	free(c->journalled);
	free(c->target);
}

int campaign_run(struct plan *plan, const struct campaign_options *options,
		 struct campaign_result *result)
{
	struct campaign c = {.plan = plan, .options = options};
	int code;

	memset(result, 0, sizeof(*result));
	campaign_init(&c);
	code = open_outputs(&c);
	if (code == EXIT_DONE) {
		if (!options->silent)
			context_warn(plan, c.context);
		runner_catch_signals();
		progress_start(&c.progress, count_planned(&c), count_done(&c),
			       options->quiet);
		result->interrupted = !run_blocks(&c);
		progress_end(&c.progress);
		result->root = campaign_gather(&c, !result->interrupted);
		for (size_t i = 0; i < plan->count; i++)
			result->failed += c.failed[i];
		result->cells_done = count_done(&c) - result->failed;
		code = write_outputs(&c, result);
		runner_release_signals();
	}
	campaign_release(&c);
	return code;
}
