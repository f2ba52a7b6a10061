/* SPDX-License-Identifier: MIT */
/*
 * server-life: the larger a block, the rarer it is and the longer it lives.
 *
 * Sizes fall into levels: level l holds size_min_bytes * 2^l up to twice that, uniformly.
 * A request is of level l with a probability that halves from level to level. Each level
 * has the same number of live blocks, blocks_per_level, and a request replaces a random
 * one of its level. So a block of level l is replaced after blocks_per_level * 2^(l+1)
 * requests on average: its expected life is proportional to its size, and lives of one
 * level are geometrically distributed. Most calls are about small blocks that die young,
 * most memory is in large ones that stay.
 *
 *   level   share of requests   blocks    life in requests   bytes live
 *     0           1/2              B            2 B              1
 *     1           1/4              B            4 B              2
 *     2           1/8              B            8 B              4
 *
 * With several threads one in handover_one_in replaced blocks is handed to the next
 * thread, in batches, and freed there. A thread that waited for a batch with each one
 * that it sends would go in step with its neighbour, so it begins to receive when it is
 * LEAD_BATCHES ahead: by as many it can run ahead of either neighbour before it waits.
 * When all have done the same number of quanta as many are left in each queue, and are
 * freed in the teardown.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/batch_queue.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/slots_fast.h"
#include "workloads/harness/tally.h"

/* At about 50 ns each. */
#define REPLACEMENTS_PER_QUANTUM 4096u
/*
 * Drawn requests, read in a circle. Each lap picks other blocks (see step), so that a
 * rare level does not replace the same few blocks for ever.
 */
#define SERVER_RING 16384u
/* Blocks handed over at a time, and batches under way between two threads. */
#define BATCH_BLOCKS  32u
#define QUEUE_BATCHES 64u
#define LEAD_BATCHES  (QUEUE_BATCHES / 2)

enum server_figure { REPLACED_BLOCKS, HANDED_BLOCKS };

struct server_params {
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t blocks_per_level;
	uint64_t handover_one_in;
};

static const struct kmem_option server_options[] = {
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct server_params, size_min_bytes),
		.initial = "16",
		.help = "smallest size, where the lowest level begins",
		.min = 1,
		.max = 1u << 28,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct server_params, size_max_bytes),
		.initial = "16K",
		.help = "no level reaches above it; each doubling above the smallest size is "
			"a level",
		.min = 2,
		.max = 1u << 29,
	},
	{
		.name = "blocks_per_level",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct server_params, blocks_per_level),
		.initial = "512",
		.help = "live blocks of each level and thread",
		.min = 1,
		.max = 1u << 20,
	},
	{
		.name = "handover_one_in",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct server_params, handover_one_in),
		.initial = "4",
		.help = "one replaced block in so many is freed by the next thread; 0: none; "
			"one thread alone hands nothing over",
		.min = 0,
		.max = REPLACEMENTS_PER_QUANTUM,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group server_groups[] = {{server_options, 0}, {NULL, 0}};

struct server_request {
	uint32_t level;
	uint32_t place; /* among the level's blocks, as a share of 2^32 */
	uint32_t size;
};

/* Blocks of a batch, with their sizes, as the queue copies them. */
struct server_batch {
	void *block[BATCH_BLOCKS];
	void *size[BATCH_BLOCKS]; /* uintptr_t: the queue carries pointers */
};

struct server_state {
	size_t bytes; /* of the arena that holds this and the slots */
	uint32_t levels;
	uint32_t per_level;
	uint32_t next;		       /* in the ring */
	uint32_t lap;		       /* a random-looking number for each lap */
	uint32_t hand_every, passed;   /* hand_every 0: never */
	uint32_t n_out;		       /* blocks in `out` */
	uint64_t sent;		       /* batches */
	struct batch_queue *from, *to; /* NULL: nobody hands over */
	struct server_batch out, in;
	struct slot *slot; /* by level, then place */
	struct server_request ring[SERVER_RING];
};

struct server_shared {
	size_t bytes;
	struct tally *tally;
	unsigned int queues; /* one in front of each thread, or 0 */
	struct batch_queue *queue[];
};

static uint32_t server_levels(const struct server_params *params)
{
	return 63u -
	       (uint32_t)__builtin_clzll(params->size_max_bytes / params->size_min_bytes);
}

static int server_validate(const struct workload_run *run)
{
	const struct server_params *params = run->params;

	if (params->size_max_bytes < 2 * params->size_min_bytes)
		return kmem_error(-EINVAL,
				  "workload 'server-life' has size_max_bytes=%" PRIu64
				  ": give at least twice size_min_bytes=%" PRIu64,
				  params->size_max_bytes, params->size_min_bytes);
	return 0;
}

static bool hands_over(const struct workload_run *run)
{
	const struct server_params *params = run->params;

	return run->threads > 1 && params->handover_one_in != 0;
}

static uint64_t server_extra_caps(const struct workload_run *run)
{
	return hands_over(run) ? CAP_REMOTE_FREE : 0;
}

static uint64_t server_size_max(const struct workload_run *run)
{
	return ((const struct server_params *)run->params)->size_max_bytes;
}

/* Three halves of 2^l in level l, and twice the top level is all of them. */
static uint64_t server_footprint(const struct workload_run *run)
{
	const struct server_params *params = run->params;

	return params->blocks_per_level * params->size_max_bytes * 3 / 2 * run->threads;
}

static int server_setup(struct workload_run *run)
{
	unsigned int queues = hands_over(run) ? run->threads : 0;
	size_t bytes = sizeof(struct server_shared) +
		       queues * sizeof(struct batch_queue *);
	struct server_shared *shared = arena_alloc(bytes);

	shared->bytes = bytes;
	shared->tally = tally_new();
	shared->queues = queues;
	for (unsigned int i = 0; i < queues; i++)
		shared->queue[i] = batch_queue_new(QUEUE_BATCHES, 2 * BATCH_BLOCKS);
	run->shared = shared;
	return 0;
}

/* Level l with probability 2^-(l+1), drawn anew when there is no such level. */
static uint32_t draw_level(struct rng *rng, uint32_t levels)
{
	uint32_t level;

	do {
		level = (uint32_t)__builtin_ctzll(rng_next(rng) | (uint64_t)1 << 63);
	} while (level >= levels);
	return level;
}

static uint32_t draw_size(const struct server_params *params, struct rng *rng,
			  uint32_t level)
{
	uint64_t low = params->size_min_bytes << level;

	return (uint32_t)rng_between(rng, low, 2 * low - 1);
}

static void server_fill(struct worker *w, struct server_state *s)
{
	const struct server_params *params = w->run->params;

	for (uint32_t i = 0; i < s->levels * s->per_level; i++) {
		s->slot[i].size = draw_size(params, &w->rng, i / s->per_level);
		s->slot[i].block = worker_alloc_untimed(w, s->slot[i].size);
	}
	for (uint32_t i = 0; i < SERVER_RING; i++) {
		struct server_request *r = &s->ring[i];

		r->level = draw_level(&w->rng, s->levels);
		r->place = (uint32_t)rng_next(&w->rng);
		r->size = draw_size(params, &w->rng, r->level);
	}
}

static int server_thread_setup(struct worker *w)
{
	const struct server_params *params = w->run->params;
	struct server_shared *shared = w->run->shared;
	uint32_t levels = server_levels(params);
	size_t bytes = sizeof(struct server_state) +
		       levels * params->blocks_per_level * sizeof(struct slot);
	struct server_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->levels = levels;
	s->per_level = (uint32_t)params->blocks_per_level;
	s->slot = (struct slot *)(s + 1);
	if (shared->queues != 0) {
		s->hand_every = (uint32_t)params->handover_one_in;
		s->from = shared->queue[w->index];
		s->to = shared->queue[(w->index + 1) % shared->queues];
	}
	server_fill(w, s);
	w->state = s;
	return 0;
}

/* Sends the full batch and frees an earlier one of the thread before. */
static KMEM_ALWAYS_INLINE void server_exchange(struct worker *w, struct probe *p,
					       struct server_state *s)
{
	batch_queue_push(s->to, s->out.block);
	s->n_out = 0;
	if (++s->sent <= LEAD_BATCHES)
		return;
	batch_queue_pop(s->from, s->in.block);
	for (uint32_t i = 0; i < BATCH_BLOCKS; i++)
		worker_free(w, p, s->in.block[i], (uintptr_t)s->in.size[i]);
}

static KMEM_ALWAYS_INLINE void server_hand(struct worker *w, struct probe *p,
					   struct server_state *s,
					   const struct slot *slot)
{
	s->out.block[s->n_out] = slot->block;
	s->out.size[s->n_out] = (void *)(uintptr_t)slot->size;
	if (++s->n_out == BATCH_BLOCKS)
		server_exchange(w, p, s);
}

static KMEM_ALWAYS_INLINE void server_step(struct worker *w, struct probe *p)
{
	struct server_state *s = w->state;

	for (uint32_t i = 0; i < REPLACEMENTS_PER_QUANTUM; i++) {
		const struct server_request *r = &s->ring[s->next];
		uint32_t place = r->place + s->lap;
		struct slot *slot =
			&s->slot[r->level * s->per_level +
				 (uint32_t)((uint64_t)place * s->per_level >> 32)];

		if (s->hand_every != 0 && ++s->passed == s->hand_every) {
			s->passed = 0;
			server_hand(w, p, s, slot);
		} else {
			worker_free(w, p, slot->block, slot->size);
		}
		slot->block = worker_alloc(w, p, r->size);
		slot->size = r->size;
		if (++s->next == SERVER_RING) {
			s->next = 0;
			s->lap += 0x9e3779b9u;
		}
	}
	w->ops += REPLACEMENTS_PER_QUANTUM;
}
WORKLOAD_STEP(server_step);

/* What the thread before has sent and this one had not got to. Nobody steps any more. */
static void receive_the_rest(struct worker *w, struct server_state *s)
{
	uint64_t rest = s->sent < LEAD_BATCHES ? s->sent : LEAD_BATCHES;

	for (; rest > 0 && batch_queue_length(s->from) > 0; rest--) {
		batch_queue_pop(s->from, s->in.block);
		for (uint32_t i = 0; i < BATCH_BLOCKS; i++)
			worker_free_untimed(w, s->in.block[i], (uintptr_t)s->in.size[i]);
	}
	if (rest > 0)
		worker_fail(w, "workload 'server-life' misses a batch of the thread "
			       "before: its threads did not do equally many quanta");
}

static void server_thread_teardown(struct worker *w)
{
	struct server_shared *shared = w->run->shared;
	struct server_state *s = w->state;

	if (s->hand_every != 0)
		receive_the_rest(w, s);
	for (uint32_t i = 0; i < s->n_out; i++)
		worker_free_untimed(w, s->out.block[i], (uintptr_t)s->out.size[i]);
	for (uint32_t i = 0; i < s->levels * s->per_level; i++)
		worker_free_untimed(w, s->slot[i].block, s->slot[i].size);
	tally_add(shared->tally, REPLACED_BLOCKS, w->ops);
	tally_add(shared->tally, HANDED_BLOCKS, s->sent * BATCH_BLOCKS);
	arena_free(s, s->bytes);
}

static void server_pass_end(struct workload_run *run)
{
	struct server_shared *shared = run->shared;

	for (unsigned int i = 0; i < shared->queues; i++)
		if (batch_queue_length(shared->queue[i]) != 0)
			worker_fail(NULL,
				    "workload 'server-life' ended with batches in its "
				    "queues: its threads did not do equally many quanta");
	tally_close(shared->tally);
}

static void server_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct server_shared *shared = run->shared;

	fn("replaced_blocks", (double)tally_sum(shared->tally, REPLACED_BLOCKS), arg);
	fn("handed_over_blocks", (double)tally_sum(shared->tally, HANDED_BLOCKS), arg);
}

static void server_teardown(struct workload_run *run)
{
	struct server_shared *shared = run->shared;

	for (unsigned int i = 0; i < shared->queues; i++)
		batch_queue_delete(shared->queue[i]);
	tally_delete(shared->tally);
	arena_free(shared, shared->bytes);
	run->shared = NULL;
}

static const struct workload_ops server_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "server-life",
	.description =
		"sizes whose probability halves with each doubling and whose life is "
		"proportional to their size; some blocks are freed by another thread",
	.stresses =
		"short-lived small blocks among long-lived large ones, and remote frees "
		"of mixed sizes",
	.not_for = "contention: a thread waits for its neighbour when it is 32 batches "
		   "ahead, and that is in the figure",
	.source = "Kuszmaul, SuperMalloc, ISMM 2015",
	.op = "replacement: free, here or by another thread, and alloc",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = server_groups,
	.params_size = sizeof(struct server_params),
	.default_threads = "2",
	.default_touch = TOUCH_PAGES,
	.validate = server_validate,
	.extra_caps = server_extra_caps,
	.size_max = server_size_max,
	.footprint = server_footprint,
	.setup = server_setup,
	.thread_setup = server_thread_setup,
	.step = server_step_plain,
	.step_probed = server_step_probed,
	.thread_teardown = server_thread_teardown,
	.pass_end = server_pass_end,
	.report = server_report,
	.teardown = server_teardown,
};
WORKLOAD_REGISTER(server_workload);
