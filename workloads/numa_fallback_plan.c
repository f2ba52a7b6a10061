/* SPDX-License-Identifier: MIT */
/* numa-fallback: its parameters, how much a fill takes, and what is refused. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/numa_fallback.h"

/* Blocks of one fill: their addresses take 512 MiB. */
#define BLOCKS_MAX (1u << 26)

static const char *const policy_names[] = {
	[POLICY_DEFAULT] = "default",
	[POLICY_PREFERRED] = "preferred",
	[POLICY_BIND] = "bind",
	[POLICY_INTERLEAVE] = "interleave",
	NULL,
};

static const struct kmem_option fallback_options[] = {
	{
		.name = "policy",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct fallback_params, policy),
		.initial = "default",
		.help = "what is asked for; default: memory of the node that the thread runs "
			"on; preferred: of 'node', wherever it runs; bind: of 'node' and no "
			"other; interleave: of all nodes in turn",
		.choices = policy_names,
	},
	{
		.name = "node",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct fallback_params, node),
		.initial = "0",
		.help = "the preferred node",
		.max = MAX_NUMNODES - 1,
	},
	{
		.name = "fill_percent",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct fallback_params, fill_percent),
		.initial = "0",
		.help = "how much is asked for, in per cent of the preferred node's memory; 0: "
			"until a request fails",
		.max = 100 * MAX_NUMNODES,
	},
	{
		.name = "steps",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct fallback_params, steps),
		.initial = "64",
		.help = "steps that a fill is divided into: points of its curves",
		.min = 4,
		.max = 512,
	},
	{
		.name = "node_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct fallback_params, node_bytes),
		.initial = "0",
		.help = "of the system's nodes, what counts as the preferred one's memory, and "
			"is filled; 0: not given. Nodes of libkmem's have a size",
		.max = (uint64_t)1 << 44,
	},
	KMEM_OPTION_END,
};

const struct kmem_option_group fallback_groups[] = {{fallback_options, 0}, {NULL, 0}};

int fallback_validate(const struct workload_run *run)
{
	const struct fallback_params *params = run->params;

	if (run->threads != 1)
		return kmem_error(
			-EINVAL,
			"workload 'numa-fallback' fills a node step by step, by "
			"one thread, and cannot run on %u: give -t 1",
			run->threads);
	if (params->node_bytes != 0 && params->node_bytes / 8 < run->size_bytes)
		return kmem_error(-EINVAL,
				  "workload 'numa-fallback' has node_bytes=%" PRIu64
				  ", fewer than 8 blocks of %" PRIu64 " bytes: give more",
				  params->node_bytes, run->size_bytes);
	return 0;
}

/* The allocator tells how much there is later. */
uint64_t fallback_footprint(const struct workload_run *run)
{
	const struct fallback_params *params = run->params;

	return params->node_bytes != 0 ? 4 * params->node_bytes : (uint64_t)256 << 20;
}

/* --- set-up --- */

static uint64_t bytes_of_others(const struct fallback *f)
{
	uint64_t bytes = 0;

	for (unsigned int nid = 0; nid < f->nodes.nr; nid++)
		bytes += nid != f->fill.preferred ? numa_nodes_bytes(&f->nodes, nid) : 0;
	return bytes;
}

/* Memory of the system is everybody's: how much is taken has to be said, and is there. */
static int check_system(const struct fallback *f, const struct workload_run *run)
{
	const struct fallback_params *params = run->params;
	const char *name = run->allocator->ops->name;
	uint64_t here = numa_nodes_bytes(&f->nodes, f->fill.preferred);
	uint64_t all = here + bytes_of_others(f);

	if (params->node_bytes == 0 || params->fill_percent == 0)
		return kmem_error(
			-EINVAL,
			"workload 'numa-fallback' would fill this machine's own memory, which "
			"allocator '%s' uses: say how much by node_bytes=%" PRIu64
			"M (free on node %u now) and fill_percent=150",
			name, here >> 20, f->fill.preferred);
	if (params->policy == POLICY_BIND)
		return kmem_error(
			-EINVAL,
			"workload 'numa-fallback' has policy=bind: when the node's memory is "
			"out the kernel would end processes instead of refusing allocator "
			"'%s'; give policy=preferred",
			name);
	if (params->node_bytes / 100 * params->fill_percent > all / 10 * 9)
		return kmem_error(-EINVAL,
				  "workload 'numa-fallback' has node_bytes=%" PRIu64
				  ", fill_percent=%" PRIu64 ", and %" PRIu64
				  " bytes of this machine are free: give less",
				  params->node_bytes, params->fill_percent, all);
	return 0;
}

/* How many blocks a fill has at most, and how many a step. */
static int plan_fill(struct fallback *f, const struct workload_run *run)
{
	const struct fallback_params *params = run->params;
	uint64_t bytes = f->fill.node_bytes, blocks;

	if (params->fill_percent != 0)
		bytes = bytes / 100 * params->fill_percent;
	else if (params->policy != POLICY_BIND)
		bytes += bytes_of_others(f);
	blocks = bytes / run->size_bytes;
	if (blocks < params->steps || blocks > BLOCKS_MAX)
		return kmem_error(
			-EINVAL,
			"workload 'numa-fallback' has %" PRIu64 " blocks of %" PRIu64
			" bytes for a fill in %" PRIu64
			" steps: give a size, or an amount of memory, that makes %" PRIu64
			" to %u of them",
			blocks, run->size_bytes, params->steps, params->steps,
			BLOCKS_MAX);
	f->unlimited = params->fill_percent == 0;
	f->blocks_max = (uint32_t)blocks;
	f->blocks_per_step = (uint32_t)((blocks + params->steps - 1) / params->steps);
	f->fill.nr_steps = (f->blocks_max + f->blocks_per_step - 1) / f->blocks_per_step;
	f->fill.step_bytes = (uint64_t)f->blocks_per_step * run->size_bytes;
	blocks = f->fill.node_bytes / 2 / run->size_bytes;
	f->blocks_returned = blocks < f->blocks_max ? (uint32_t)blocks : f->blocks_max;
	return 0;
}

static uint32_t most_at_once(const struct fallback *f)
{
	return f->blocks_returned > f->blocks_per_step ? f->blocks_returned
						       : f->blocks_per_step;
}

static void *array(size_t n, size_t size)
{
	return arena_alloc(n * size);
}

static int fallback_plan(struct fallback *f, const struct workload_run *run)
{
	const struct fallback_params *params = run->params;
	int err = numa_nodes_open(&f->nodes, run, params->node);

	if (err != 0)
		return err;
	f->fill.preferred = (unsigned int)params->node;
	f->fill.nr_nodes = f->nodes.nr;
	if (!f->nodes.ours)
		err = check_system(f, run);
	if (err != 0)
		return err;
	if (f->nodes.ours && (run->allocator->ops->caps & CAP_NODE) == 0 &&
	    params->policy != POLICY_DEFAULT)
		return kmem_error(
			-EINVAL,
			"workload 'numa-fallback' has policy=%s, and allocator '%s' takes no "
			"node: give policy=default",
			policy_names[params->policy], run->allocator->ops->name);
	if (params->policy == POLICY_DEFAULT &&
	    numa_nodes_cpus(&f->nodes, f->fill.preferred) == 0)
		return kmem_error(
			-EINVAL,
			"workload 'numa-fallback' has policy=default, and no CPU that it may "
			"use is on node %u: give another node, or policy=preferred",
			f->fill.preferred);
	f->fill.node_bytes = f->nodes.ours
				     ? numa_nodes_bytes(&f->nodes, f->fill.preferred)
				     : params->node_bytes;
	return plan_fill(f, run);
}

int fallback_setup(struct workload_run *run)
{
	const struct fallback_params *params = run->params;
	struct fallback *f = arena_alloc(sizeof(*f));
	int err = fallback_plan(f, run);
	uint32_t most;

	if (err != 0) {
		arena_free(f, sizeof(*f));
		return err;
	}
	most = most_at_once(f);
	f->interleave = params->policy == POLICY_INTERLEAVE;
	f->page_calls = f->interleave && strcmp(run->allocator->ops->name, "buddy") == 0;
	f->node = params->policy == POLICY_DEFAULT ? NUMA_NO_NODE : (int)params->node;
	f->gfp = GFP_KERNEL | __GFP_NOWARN;
	if (params->policy == POLICY_BIND)
		f->gfp |= __GFP_THISNODE;
	f->block = array(f->blocks_max, sizeof(*f->block));
	f->ticks = array(most, sizeof(*f->ticks));
	f->lies = array(most, sizeof(*f->lies));
	f->asked = array(most, sizeof(*f->asked));
	/* One more: what is returned. */
	f->fill.step = array(f->fill.nr_steps + 1, sizeof(*f->fill.step));
	f->fill.returned = &f->fill.step[f->fill.nr_steps];
	run->shared = f;
	return 0;
}

void fallback_teardown(struct workload_run *run)
{
	struct fallback *f = run->shared;
	uint32_t most = most_at_once(f);

	arena_free(f->block, f->blocks_max * sizeof(*f->block));
	arena_free(f->ticks, most * sizeof(*f->ticks));
	arena_free(f->lies, most * sizeof(*f->lies));
	arena_free(f->asked, most * sizeof(*f->asked));
	arena_free(f->fill.step, (f->fill.nr_steps + 1) * sizeof(*f->fill.step));
	arena_free(f, sizeof(*f));
	run->shared = NULL;
}
