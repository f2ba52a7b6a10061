/* SPDX-License-Identifier: MIT */
/*
 * open-loop: requests that arrive whether or not the one before is done.
 *
 * THEORY. A closed loop asks for the next thing when it has got the last one. When
 * the allocator stalls, so does the loop, and the requests that users would have
 * made meanwhile are never made: one long sample, where many would have waited. That is
 * coordinated omission (G. Tene). Here arrivals are a schedule, drawn beforehand as
 * a Poisson process: gaps are exponential with the mean 1 / rate_per_s. For each
 * request two times are taken:
 *
 *   service    from when the thread began with it
 *   response   from when it was due, the wait for those before it included
 *
 * A thread that is early spins until the request is due. One that is late begins at
 * once, and the lateness is in the response time of this request and of all that
 * queue up behind it.
 *
 * A request replaces some blocks of the thread's working set, with sizes that are
 * uniform between two bounds. It is timed as a whole: a clock around each
 * operation would be part of the service time, so there are no histograms of alloc
 * and free. A rate that is too high for the slowest allocator makes its queue, and its
 * response time, grow for as long as the pass lasts: compare at a rate that all
 * can serve.
 */
#include <math.h>
#include <string.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/slots_fast.h"

/* A quantum of 0.64 ms at the default rate. Fewer at lower rates, and one at least. */
#define REQUESTS_PER_QUANTUM_MAX 64u
#define QUANTUM_S		 0.64e-3
/* Gaps that are drawn; then they come round again. 0.16 s at the default rate. */
#define GAPS 16384u

enum { SERVICE, RESPONSE };

struct open_loop_params {
	uint64_t rate_per_s;
	uint64_t replacements;
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
};

static const struct kmem_option open_loop_options[] = {
	{
		.name = "rate_per_s",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct open_loop_params, rate_per_s),
		.initial = "100000",
		.help = "requests that arrive at each thread in a second, on average",
		/* Gaps of ten times the mean must fit into 32 bits of ticks. */
		.min = 100,
		.max = 100000000,
	},
	{
		.name = "replacements",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct open_loop_params, replacements),
		.initial = "16",
		.help = "blocks that a request replaces, each by a free and an alloc",
		.min = 1,
		.max = 4096,
	},
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct open_loop_params, slots),
		.initial = "4096",
		.help = "blocks each thread keeps live",
		.min = 1,
		.max = 1u << 24,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct open_loop_params, size_min_bytes),
		.initial = "16",
		.help = "smallest block; sizes are uniform between the two",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct open_loop_params, size_max_bytes),
		.initial = "1024",
		.help = "largest block",
		.min = 1,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group open_loop_groups[] = {{open_loop_options, 0},
							    {NULL, 0}};

/* One thread's. */
struct open_loop_state {
	struct slots *slots;
	bool started;
	uint32_t requests; /* in a quantum */
	uint64_t due;	   /* tick at which the next request arrives */
	uint32_t next_gap;
	uint32_t gap_ticks[GAPS];
};

static int open_loop_validate(const struct workload_run *run)
{
	const struct open_loop_params *params = run->params;

	return draw_check_range("open-loop", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t open_loop_size_max(const struct workload_run *run)
{
	return ((const struct open_loop_params *)run->params)->size_max_bytes;
}

static uint64_t open_loop_footprint(const struct workload_run *run)
{
	const struct open_loop_params *params = run->params;

	return run->threads * params->slots *
	       ((params->size_min_bytes + params->size_max_bytes) / 2);
}

static uint32_t open_loop_draw(struct rng *rng, const void *arg)
{
	const struct open_loop_params *params = arg;

	return (uint32_t)rng_between(rng, params->size_min_bytes, params->size_max_bytes);
}

/* The schedule is in ticks, and the throughput pass has no probe to ask. */
static int open_loop_setup(struct workload_run *run)
{
	struct tsc_clock *clock = arena_alloc(sizeof(*clock));

	tsc_calibrate(clock);
	run->shared = clock;
	return 0;
}

static uint32_t requests_per_quantum(const struct open_loop_params *params)
{
	double requests = (double)params->rate_per_s * QUANTUM_S;

	if (requests > REQUESTS_PER_QUANTUM_MAX)
		return REQUESTS_PER_QUANTUM_MAX;
	return requests < 1 ? 1 : (uint32_t)(requests + 0.5);
}

static int open_loop_thread_setup(struct worker *w)
{
	const struct open_loop_params *params = w->run->params;
	const struct tsc_clock *clock = w->run->shared;
	struct open_loop_state *s = arena_alloc(sizeof(*s));
	double mean_ticks = 1e9 / (double)params->rate_per_s / clock->ns_per_tick;

	s->slots = slots_new(w, (uint32_t)params->slots, open_loop_draw, params);
	s->requests = requests_per_quantum(params);
	for (uint32_t i = 0; i < GAPS; i++) {
		/* By the inverse of its distribution; 1 - u is never 0. */
		double gap = -log(1 - rng_double(&w->rng)) * mean_ticks;

		s->gap_ticks[i] = gap < (double)UINT32_MAX ? (uint32_t)gap : UINT32_MAX;
	}
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void wait_for(uint64_t due)
{
	while ((int64_t)(tsc_now() - due) < 0) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
}

/* With a probe: its account of bytes is kept, but no clock is read. */
static KMEM_ALWAYS_INLINE void serve(struct worker *w, struct probe *p,
				     struct slots *slots, uint64_t replacements)
{
	uint32_t next = slots->next;

	for (uint64_t i = 0; i < replacements; i++) {
		const struct replacement *r = &slots->ring[next];
		struct slot *slot = slots_of(slots, r);

		if (p != NULL)
			probe_freeing(p, w->a, slot->block, slot->size);
		worker_free(w, NULL, slot->block, slot->size);
		if (p != NULL)
			probe_live(p, -(int64_t)slot->size);
		slot->block = worker_alloc(w, NULL, r->size);
		slot->size = r->size;
		if (p != NULL)
			probe_allocated(p, w->a, slot->block, slot->size);
		next = slots_advance(slots, next);
	}
	slots->next = next;
}

static KMEM_ALWAYS_INLINE void open_loop_step(struct worker *w, struct probe *p)
{
	const struct open_loop_params *params = w->run->params;
	struct open_loop_state *s = w->state;

	/*
	 * The schedule begins with the work, not with the set-up. Without a probe it
	 * begins anew with each quantum: throughput may be measured in turns with other
	 * processes, and nobody is late who was not allowed to run.
	 */
	if (p == NULL || !s->started) {
		s->started = true;
		s->due = tsc_now();
	}
	for (uint32_t i = 0; i < s->requests; i++) {
		uint64_t t0;

		s->due += s->gap_ticks[s->next_gap];
		s->next_gap = (s->next_gap + 1) & (GAPS - 1);
		wait_for(s->due);
		t0 = tsc_begin();
		serve(w, p, s->slots, params->replacements);
		if (p != NULL) {
			uint64_t t1 = tsc_end();

			worker_series(p, SERVICE, t0, t1);
			worker_series(p, RESPONSE, s->due, t1);
		}
	}
	w->ops += s->requests;
}
WORKLOAD_STEP(open_loop_step);

static void open_loop_thread_teardown(struct worker *w)
{
	struct open_loop_state *s = w->state;

	slots_delete(w, s->slots);
	arena_free(s, sizeof(*s));
}

static void open_loop_teardown(struct workload_run *run)
{
	arena_free(run->shared, sizeof(struct tsc_clock));
	run->shared = NULL;
}

static const struct workload_ops open_loop_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "open-loop",
	.description =
		"serves requests that arrive by a Poisson schedule, each of which replaces "
		"blocks of a working set, and times them from when they were due",
	.stresses = "latency under load: what a stall costs those who queue behind it",
	.not_for = "throughput: real_time is the schedule's, 1 / rate_per_s, for every "
		   "allocator that can keep up; nor with more threads than CPUs, since a "
		   "thread that waits spins",
	.source = "wrk2 and HdrHistogram, G. Tene, How NOT to measure latency, 2013",
	.op = "request",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = open_loop_groups,
	.params_size = sizeof(struct open_loop_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.series = {"service", "response"},
	.validate = open_loop_validate,
	.size_max = open_loop_size_max,
	.footprint = open_loop_footprint,
	.setup = open_loop_setup,
	.thread_setup = open_loop_thread_setup,
	.step = open_loop_step_plain,
	.step_probed = open_loop_step_probed,
	.thread_teardown = open_loop_thread_teardown,
	.teardown = open_loop_teardown,
};
WORKLOAD_REGISTER(open_loop_workload);
