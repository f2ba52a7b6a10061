/* SPDX-License-Identifier: MIT */
/* Processes that take turns: see rotation.h. */
#include "bench/rotation.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/memory_process.h"
#include "bench/runner.h"
#include "bench/topology.h"
#include "workloads/harness/rng_fast.h"

/* A process's first milliseconds run 1.2 to 2.9 times slow. */
#define WARM_UP_S 0.005
/* Of a warm-up, in terms of the lead-in: it starts from nothing. */
#define WARM_UP_LEAD_INS 3.0

/* The coordinator's own affinity while it shares the workers' first CPU. */
struct binding {
	cpu_set_t before;
	bool bound;
};

/*
 * On the same CPU a token passes by one context switch; from another one the
 * coordinator would have to be woken across CPUs each time, and would use the caches
 * of a core that a second thread may be working on.
 */
static void bind_coordinator(struct binding *b, int cpu)
{
	b->bound = cpu >= 0 && sched_getaffinity(0, sizeof(b->before), &b->before) == 0 &&
		   topology_pin_self((unsigned int)cpu) == 0;
}

static void unbind_coordinator(const struct binding *b)
{
	if (b->bound)
		sched_setaffinity(0, sizeof(b->before), &b->before);
}

static bool alive(const struct rotation_member *m)
{
	return !cell_process_failed(m->process);
}

static void start_all(struct rotation *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct rotation_member *m = &r->members[i];

		m->process = cell_process_start(m->spec, &m->layout,
						r->settings->timeout_s);
		cell_process_send(m->process, "prepare");
	}
	for (size_t i = 0; i < r->count; i++)
		cell_process_answer(r->members[i].process);
}

static void warm_up_one(struct rotation_member *m, double s)
{
	unsigned long long ops, ns, resident;
	char command[64];
	const char *answer;

	snprintf(command, sizeof(command), "warm %.0f", s * 1e9);
	cell_process_send(m->process, command);
	answer = cell_process_answer(m->process);
	if (answer == NULL ||
	    sscanf(answer, "warm %llu %llu %llu", &ops, &ns, &resident) != 3)
		return;
	m->quantum_ns = ns > 0 ? (double)ns : 1;
	m->resident_bytes = resident;
	m->ops = ops;
}

/* The reference, or the first that still lives; NULL when none does. */
static const struct rotation_member *pace_maker(const struct rotation *r)
{
	if (alive(&r->members[r->reference]))
		return &r->members[r->reference];
	for (size_t i = 0; i < r->count; i++) {
		if (alive(&r->members[i]))
			return &r->members[i];
	}
	return NULL;
}

/*
 * A large working set needs more: the pace is to be that of filled caches. Returns the
 * length of the lead-in. The reference decides it for all: it holds what the workload
 * keeps live.
 */
static double warm_up(struct rotation *r)
{
	const struct rotation_member *pace;
	double lead_in_s;

	for (size_t i = 0; i < r->count && !runner_interrupted; i++)
		warm_up_one(&r->members[i], WARM_UP_S);
	pace = pace_maker(r);
	lead_in_s = rotation_lead_in_s(rotation_working_set(
		pace != NULL ? pace->resident_bytes : 0, r->settings->footprint_bytes));
	if (WARM_UP_LEAD_INS * lead_in_s > WARM_UP_S) {
		for (size_t i = 0; i < r->count && !runner_interrupted; i++)
			warm_up_one(&r->members[i], WARM_UP_LEAD_INS * lead_in_s);
	}
	return lead_in_s;
}

/* A fixed number of operations, in as many slices as time would have given. */
static void set_pace_by_ops(struct rotation *r, const struct rotation_member *pace)
{
	double per_quantum = (double)pace->ops / r->settings->threads;
	double quanta =
		ceil((double)r->settings->ops / (per_quantum > 0 ? per_quantum : 1));
	double rounds = fmin(quanta, 50);

	r->rounds = (unsigned int)rounds;
	for (size_t i = 0; i < r->count; i++)
		r->members[i].quanta = (uint64_t)ceil(quanta / rounds);
}

static void set_pace(struct rotation *r, double lead_in_s)
{
	const struct rotation_member *pace = pace_maker(r);
	double slice_ns, turn_ns = 0;

	if (pace == NULL)
		return;
	/* In whole quanta, of which a workload with long ones may need none. */
	for (size_t i = 0; i < r->count; i++)
		r->members[i].lead_in = (uint64_t)round(
			lead_in_s * 1e9 / fmax(r->members[i].quantum_ns, 1));
	slice_ns = 1e9 * (r->settings->slice_s > 0 ? r->settings->slice_s
						   : rotation_slice_s(lead_in_s));
	if (r->settings->ops != 0) {
		set_pace_by_ops(r, pace);
		return;
	}
	for (size_t i = 0; i < r->count; i++) {
		struct rotation_member *m = &r->members[i];

		m->quanta = rotation_quanta(pace->quantum_ns, m->quantum_ns, slice_ns);
		turn_ns = fmax(turn_ns, (double)(m->quanta + m->lead_in) * m->quantum_ns);
	}
	r->rounds = rotation_rounds(r->settings->time_s,
				    (double)pace->quanta * pace->quantum_ns, turn_ns);
}

static void run_slice(struct rotation *r, struct rotation_member *m, unsigned int round)
{
	unsigned long long real_ns, cpu_ns, ops;
	char command[64];
	const char *answer;

	snprintf(command, sizeof(command), "slice %llu %llu",
		 (unsigned long long)m->quanta, (unsigned long long)m->lead_in);
	cell_process_send(m->process, command);
	answer = cell_process_answer(m->process);
	if (answer == NULL ||
	    sscanf(answer, "slice %llu %llu %llu", &real_ns, &cpu_ns, &ops) != 3)
		return;
	m->ops += ops;
	if (ops > 0)
		m->ns_per_op[round] = (double)real_ns * r->settings->threads /
				      (double)ops;
}

static void run_rounds(struct rotation *r)
{
	struct rng rng = {r->settings->seed ^ r->number};
	uint32_t *order = malloc(r->count * sizeof(*order));

	if (order == NULL)
		abort();
	for (size_t i = 0; i < r->count; i++) {
		struct rotation_member *m = &r->members[i];

		order[i] = (uint32_t)i;
		m->ops = 0;
		m->ns_per_op = calloc(r->rounds + 1, sizeof(double));
		if (m->ns_per_op == NULL)
			abort();
	}
	for (unsigned int round = 0; round < r->rounds; round++) {
		rng_shuffle_u32(&rng, order, (uint32_t)r->count);
		for (size_t i = 0; i < r->count && !runner_interrupted; i++) {
			struct rotation_member *m = &r->members[order[i]];

			if (alive(m))
				run_slice(r, m, round);
		}
	}
	free(order);
}

/* Seven digits: a clock's nanosecond in a slice of a millisecond is six. */
static json_t *figures(const struct rotation *r, const struct rotation_member *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < r->rounds; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%.7g", m->ns_per_op[i]);
		json_array_append_new(list, json_real(strtod(text, NULL)));
	}
	return list;
}

static void add_slices(const struct rotation *r, const struct rotation_member *m,
		       json_t *entry)
{
	const struct rotation_member *reference = &r->members[r->reference];
	json_t *kmembench = json_object_get(entry, "kmembench");
	json_t *list = figures(r, m);
	json_t *slices = json_pack(
		"{s:i, s:s, s:I, s:I, s:I, s:f, s:O}", "rotation", (int)r->number,
		"reference", r->reference_name, "ops_per_slice",
		(json_int_t)(r->rounds > 0 ? m->ops / r->rounds : 0), "quanta_per_slice",
		(json_int_t)m->quanta, "lead_in_quanta", (json_int_t)m->lead_in,
		"warmup_ms", WARM_UP_S * 1e3, "ns_per_op", list);

	if (reference->slices_only && alive(reference))
		json_object_set_new(slices, "reference_ns_per_op", figures(r, reference));
	json_object_set_new(kmembench, "slices", slices);
	json_object_set_new(kmembench, "samples_ns_per_op", list);
}

/* The latency pass, each process by itself; then the entry. */
static void finish_one(const struct rotation *r, struct rotation_member *m)
{
	if (m->slices_only)
		return;
	cell_process_ask(m->process, "latency");
	m->entry = cell_process_finish(m->process);
	if (m->entry != NULL && json_object_get(m->entry, "kmembench") != NULL)
		add_slices(r, m, m->entry);
}

bool rotation_run(struct rotation *r)
{
	struct binding binding = {.bound = false};

	start_all(r);
	/* Only now: processes inherit where they may run. */
	bind_coordinator(&binding, r->settings->cpu);
	set_pace(r, warm_up(r));
	run_rounds(r);
	for (size_t i = 0; i < r->count && !runner_interrupted; i++)
		finish_one(r, &r->members[i]);
	unbind_coordinator(&binding);
	/* The others have ended; and these processes, too, inherit where they may run. */
	for (size_t i = 0; i < r->count && !runner_interrupted; i++)
		r->members[i].entry =
			memory_process_run(r->members[i].spec, &r->members[i].layout,
					   r->settings->timeout_s, r->members[i].entry);
	for (size_t i = 0; i < r->count; i++) {
		struct rotation_member *m = &r->members[i];

		cell_process_delete(m->process);
		free(m->ns_per_op);
		m->process = NULL;
		m->ns_per_op = NULL;
		if (runner_interrupted) {
			json_decref(m->entry);
			m->entry = NULL;
		}
	}
	return !runner_interrupted;
}
