/* SPDX-License-Identifier: MIT */
/*
 * numa-pass: memory of one node is touched and freed on the others.
 *
 * Even threads are producers and run on `node`; odd ones are consumers and run on the
 * other nodes in turn. A producer allocates a batch of blocks, of its own node if the
 * allocator does its work, and passes it on through a bounded queue. A consumer touches
 * each block, which is remote memory to it, and frees it there; then it allocates
 * own_percent as many for itself, and frees them when the next batch has come.
 *
 *   node 0   producer   alloc ---> queue --.         .--> is that memory ever handed
 *   node 1   consumer            touch, free, own alloc   out here again?
 *
 * Where does the memory go that was freed on the wrong node? Three answers, looked up in
 * the latency pass off the clock:
 *
 *   producer_local_ratio  of the producers' blocks, those that lie on their node
 *   consumer_local_ratio  of the consumers' own blocks, those that lie on theirs: what
 *                         was freed there and is another node's must not be among them
 *   home_ratio            of the producers' blocks, but for the first, those that a
 *                         consumer had freed: the memory has gone home. What does not is
 *                         fresh memory each time.
 *
 * One operation is one block passed; the consumers' own blocks are in its time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/batch_queue.h"
#include "workloads/harness/worker_fast.h"
#include "workloads/numa_nodes.h"
#include "workloads/numa_seen.h"

/* At 20 to 200 ns each. A batch is never cut. */
#define BLOCKS_PER_QUANTUM 8192u
enum pass_series { SERIES_TOUCH, SERIES_OWN };

struct pass_params {
	uint64_t node;
	uint64_t batch_blocks;
	uint64_t queue_batches;
	uint64_t own_percent;
};

static const struct kmem_option pass_options[] = {
	{
		.name = "node",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct pass_params, node),
		.initial = "0",
		.help = "node of the producers",
		.max = MAX_NUMNODES - 1,
	},
	{
		.name = "batch_blocks",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct pass_params, batch_blocks),
		.initial = "64",
		.help = "blocks handed over at a time",
		.min = 1,
		.max = 8192,
	},
	{
		.name = "queue_batches",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct pass_params, queue_batches),
		.initial = "16",
		.help = "batches the queue holds, a power of two: bounds the blocks in flight",
		.min = 2,
		.max = 65536,
	},
	{
		.name = "own_percent",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct pass_params, own_percent),
		.initial = "25",
		.help = "blocks that a consumer allocates for itself, of those it has freed",
		.max = 100,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group pass_groups[] = {{pass_options, 0}, {NULL, 0}};

/* Of the threads' last latency pass; summed up as they leave it. */
struct pass_figures {
	_Atomic uint64_t passed, passed_known, passed_local, home, own_known, own_local;
};

struct pass {
	struct numa_nodes nodes;
	unsigned int producers_node;
	struct batch_queue *queue;
	bool recorded;
	struct pass_figures figures;
};

struct pass_state {
	size_t bytes; /* of the arena that holds this and the arrays */
	struct pass *pass;
	unsigned int nid;      /* where the thread runs */
	uint32_t batches;      /* in a quantum */
	uint32_t n;	       /* blocks in a batch */
	uint32_t own, nr_held; /* a consumer's own: of each batch, now */
	uint64_t fresh_first;  /* blocks that cannot have been seen before */
	uint64_t blocks, known, local, home; /* known: where they lie */
	void **block;			     /* n: the batch in hand */
	void **held;			     /* n: the consumer's own */
	int *lies;			     /* n */
	struct seen *seen;		     /* a producer's, in the latency pass */
};

static int pass_validate(const struct workload_run *run)
{
	const struct pass_params *params = run->params;

	if (run->threads % 2 != 0)
		return kmem_error(
			-EINVAL,
			"workload 'numa-pass' pairs producers with consumers and cannot "
			"run on %u thread%s: give an even number",
			run->threads, run->threads == 1 ? "" : "s");
	if ((params->queue_batches & (params->queue_batches - 1)) != 0)
		return kmem_error(-EINVAL,
				  "workload 'numa-pass' has queue_batches=%" PRIu64
				  ": give a power of two",
				  params->queue_batches);
	return 0;
}

/* The queue full, and a batch and what it keeps in each thread's hand. */
static uint64_t pass_footprint(const struct workload_run *run)
{
	const struct pass_params *params = run->params;

	return (params->queue_batches + 2 * run->threads) * params->batch_blocks *
	       run->size_bytes;
}

/* The node of a consumer, the others that have CPUs in turn, and which of its CPUs.
 * nr_nodes: there is none. */
static unsigned int consumers_node(const struct pass *pass, unsigned int turn,
				   unsigned int *cpu)
{
	unsigned int nr = pass->nodes.nr, found = 0, at[MAX_NUMNODES];

	for (unsigned int i = 1; i < nr; i++) {
		unsigned int nid = (pass->producers_node + i) % nr;

		if (numa_nodes_cpus(&pass->nodes, nid) > 0)
			at[found++] = nid;
	}
	*cpu = found > 0 ? turn / found : 0;
	return found > 0 ? at[turn % found] : nr;
}

static int pass_setup(struct workload_run *run)
{
	const struct pass_params *params = run->params;
	struct pass *pass = arena_alloc(sizeof(*pass));
	int err = numa_nodes_open(&pass->nodes, run, params->node);
	unsigned int cpu;

	pass->producers_node = (unsigned int)params->node;
	if (err == 0 && (numa_nodes_cpus(&pass->nodes, pass->producers_node) == 0 ||
			 consumers_node(pass, 0, &cpu) == pass->nodes.nr))
		err = kmem_error(
			-EINVAL,
			"workload 'numa-pass' has node=%u for its producers, and the CPUs "
			"that it may use are not both on that node and on another one: give "
			"another node, or more CPUs",
			pass->producers_node);
	if (err != 0) {
		arena_free(pass, sizeof(*pass));
		return err;
	}
	pass->queue = batch_queue_new(params->queue_batches, params->batch_blocks);
	run->shared = pass;
	return 0;
}

static bool produces(const struct worker *w)
{
	return w->index % 2 == 0;
}

static bool recording(const struct worker *w)
{
	return w->probe != NULL && w->pass != PASS_MEMORY;
}

/* Blocks of a producer that count as fresh: twice those under way, and at least half a
 * quantum, in which per-CPU lists are filled; whole batches. */
static uint64_t fresh_first(const struct workload_run *run)
{
	const struct pass_params *params = run->params;
	uint64_t n = 2 * (params->queue_batches + 2) * params->batch_blocks;

	if (n < BLOCKS_PER_QUANTUM / 2)
		n = BLOCKS_PER_QUANTUM / 2;
	return (n + params->batch_blocks - 1) / params->batch_blocks *
	       params->batch_blocks;
}

static int pass_thread_setup(struct worker *w)
{
	const struct pass_params *params = w->run->params;
	struct pass *pass = w->run->shared;
	uint32_t n = (uint32_t)params->batch_blocks;
	size_t bytes = sizeof(struct pass_state) + n * (2 * sizeof(void *) + sizeof(int));
	struct pass_state *s = arena_alloc(bytes);
	unsigned int cpu = w->index / 2;

	s->bytes = bytes;
	s->pass = pass;
	s->n = n;
	s->batches = n < BLOCKS_PER_QUANTUM ? BLOCKS_PER_QUANTUM / n : 1;
	s->own = produces(w) ? 0 : (uint32_t)(n * params->own_percent / 100);
	s->block = (void **)(void *)(s + 1);
	s->held = s->block + n;
	s->lies = (int *)(void *)(s->held + n);
	s->fresh_first = fresh_first(w->run);
	s->nid = produces(w) ? pass->producers_node : consumers_node(pass, cpu, &cpu);
	w->state = s;
	if (!numa_nodes_bind(&pass->nodes, s->nid, cpu))
		return kmem_error(-EINVAL,
				  "a thread of workload 'numa-pass' cannot be bound to a "
				  "CPU of node %u",
				  s->nid);
	if (recording(w)) {
		if (w->index == 0) {
			memset(&pass->figures, 0, sizeof(pass->figures));
			pass->recorded = true;
		}
		if (produces(w))
			s->seen = arena_alloc(sizeof(*s->seen));
	}
	return 0;
}

/* --- what the latency pass looks up, off the clock --- */

static KMEM_NOINLINE void look_up(struct worker *w, void *const *block, uint32_t n)
{
	struct pass_state *s = w->state;

	if (!recording(w))
		return;
	numa_nodes_of(&s->pass->nodes, block, n, s->lies);
	for (uint32_t i = 0; i < n; i++) {
		bool seen = s->seen != NULL && seen_before(s->seen, block[i]);

		s->known += s->lies[i] >= 0;
		s->local += s->lies[i] == (int)s->nid;
		s->home += seen && s->blocks >= s->fresh_first;
	}
	s->blocks += n;
}

/* --- the work --- */

static KMEM_ALWAYS_INLINE void produce(struct worker *w, struct probe *p)
{
	struct pass_state *s = w->state;
	size_t size = w->run->size_bytes;

	for (uint32_t batch = 0; batch < s->batches; batch++) {
		for (uint32_t i = 0; i < s->n; i++)
			s->block[i] = worker_alloc(w, p, size);
		if (p != NULL)
			look_up(w, s->block, s->n);
		batch_queue_push(s->pass->queue, s->block);
	}
}

/* With contents checked it is their verification that touches. */
static KMEM_ALWAYS_INLINE void touch_remote(struct worker *w, struct probe *p,
					    void *block, size_t size)
{
	uint64_t t0 = p != NULL ? tsc_begin() : 0;

	if (w->check)
		worker_verify(w, block, size);
	else
		worker_touch(w, block, size);
	if (p != NULL)
		worker_series(p, SERIES_TOUCH, t0, tsc_end());
}

static KMEM_ALWAYS_INLINE void free_held(struct worker *w, struct probe *p)
{
	struct pass_state *s = w->state;

	for (uint32_t i = 0; i < s->nr_held; i++)
		worker_free(w, p, s->held[i], w->run->size_bytes);
	s->nr_held = 0;
}

static KMEM_ALWAYS_INLINE void alloc_own(struct worker *w, struct probe *p)
{
	struct pass_state *s = w->state;
	size_t size = w->run->size_bytes;

	for (; s->nr_held < s->own; s->nr_held++) {
		uint64_t t0 = p != NULL ? probe_begin(p) : 0, t1;
		void *block = w->alloc(w->a, size, 0, GFP_KERNEL, NUMA_NO_NODE);

		if (p != NULL) {
			t1 = tsc_end();
			probe_add(p, PROBE_ALLOC, t0, t1);
			probe_allocated(p, w->a, block, size);
			worker_series(p, SERIES_OWN, t0, t1);
		}
		s->held[s->nr_held] = worker_allocated(w, block, size, 0);
	}
	if (p != NULL)
		look_up(w, s->held, s->nr_held);
}

static KMEM_ALWAYS_INLINE void consume(struct worker *w, struct probe *p)
{
	struct pass_state *s = w->state;
	size_t size = w->run->size_bytes;

	for (uint32_t batch = 0; batch < s->batches; batch++) {
		batch_queue_pop(s->pass->queue, s->block);
		free_held(w, p);
		for (uint32_t i = 0; i < s->n; i++) {
			touch_remote(w, p, s->block[i], size);
			worker_free(w, p, s->block[i], size);
		}
		alloc_own(w, p);
	}
	w->ops += (uint64_t)s->batches * s->n;
}

static KMEM_ALWAYS_INLINE void numa_pass_step(struct worker *w, struct probe *p)
{
	if (produces(w))
		produce(w, p);
	else
		consume(w, p);
}
WORKLOAD_STEP(numa_pass_step);

static void pass_thread_teardown(struct worker *w)
{
	struct pass_state *s = w->state;
	struct pass_figures *g = &s->pass->figures;

	for (uint32_t i = 0; i < s->nr_held; i++)
		worker_free_untimed(w, s->held[i], w->run->size_bytes);
	if (recording(w)) {
		if (produces(w) && s->blocks > s->fresh_first)
			atomic_fetch_add(&g->passed, s->blocks - s->fresh_first);
		atomic_fetch_add(produces(w) ? &g->passed_known : &g->own_known,
				 s->known);
		atomic_fetch_add(produces(w) ? &g->passed_local : &g->own_local,
				 s->local);
		atomic_fetch_add(&g->home, s->home);
	}
	if (s->seen != NULL)
		arena_free(s->seen, sizeof(*s->seen));
	arena_free(s, s->bytes);
}

static void pass_pass_end(struct workload_run *run)
{
	struct pass *pass = run->shared;

	if (batch_queue_length(pass->queue) != 0)
		worker_fail(NULL, "workload 'numa-pass' ended with batches in its queue: "
				  "its threads did not do equally many quanta");
}

/* --- what is told --- */

static void tell_ratio(workload_report_fn fn, void *arg, const char *name, uint64_t part,
		       uint64_t whole)
{
	if (whole != 0)
		fn(name, (double)part / (double)whole, arg);
}

static void pass_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct pass *pass = run->shared;
	const struct pass_figures *g = &pass->figures;

	if (!pass->recorded)
		return;
	tell_ratio(fn, arg, "producer_local_ratio", g->passed_local, g->passed_known);
	tell_ratio(fn, arg, "consumer_local_ratio", g->own_local, g->own_known);
	tell_ratio(fn, arg, "home_ratio", g->home, g->passed);
}

static void pass_course_read(const struct workload_run *run, double *values)
{
	const struct pass *pass = run->shared;

	numa_course_read(&pass->nodes, pass->producers_node, values);
}

static void pass_teardown(struct workload_run *run)
{
	struct pass *pass = run->shared;

	batch_queue_delete(pass->queue);
	arena_free(pass, sizeof(*pass));
	run->shared = NULL;
}

static const struct workload_ops numa_pass_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "numa-pass",
	.description =
		"threads on one node allocate blocks and pass them to threads on the others, "
		"which touch and free them and allocate some for themselves",
	.stresses =
		"freeing on another node: whether memory goes home, and whether what is "
		"handed out afterwards is local",
	.not_for =
		"the cost of remote memory on simulated nodes, where there is none; or of alloc "
		"or free alone, for the slower side sets the pace",
	.source =
		"a request in the tracker of Hoard (number 90); alien caches of Linux's "
		"mm/slab.c; the shape is that of xmalloc",
	.op = "block passed: alloc, remote touch and free",
	.caps = CAP_DISTINCT | CAP_REMOTE_FREE,
	.params = pass_groups,
	.params_size = sizeof(struct pass_params),
	.default_sizes = "4K",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 22,
	.default_threads = "2",
	.default_touch = TOUCH_ENDS,
	.validate = pass_validate,
	.footprint = pass_footprint,
	.series = {"touch", "own"},
	.course = NUMA_COURSE,
	.course_read = pass_course_read,
	.setup = pass_setup,
	.thread_setup = pass_thread_setup,
	.step = numa_pass_step_plain,
	.step_probed = numa_pass_step_probed,
	.thread_teardown = pass_thread_teardown,
	.pass_end = pass_pass_end,
	.report = pass_report,
	.teardown = pass_teardown,
};
WORKLOAD_REGISTER(numa_pass_workload);
