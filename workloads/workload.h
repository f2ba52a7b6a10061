/* SPDX-License-Identifier: MIT */
/*
 * Workloads: what is asked of an allocator, and when.
 *
 * One file per workload: it fills a `struct workload_ops` and registers it.
 * workloads/skeleton.c documents each hook in a template that compiles.
 *
 * THEORY. A cell runs one workload on one allocator with T threads. Work is cut
 * into quanta: step() does one quantum of about 100 us to 1 ms and adds what it
 * really did to worker->ops. All random decisions are drawn in thread_setup().
 * The same step is compiled twice from one inline body (WORKLOAD_STEP): once
 * bare, for throughput, and once with a probe that reads the clock around
 * every operation and keeps account of live bytes, for the latency pass. So
 * both passes do exactly the same operations.
 *
 * Every thread of a pass calls step() the same number of times: a workload in
 * which threads hand blocks to each other relies on it to drain.
 *
 * A floor such as `null` hands out one address for all blocks, so a workload keeps
 * nothing of its own in them.
 *
 * Life of a cell:  setup(run) -> [ per pass: thread_setup(w) in each thread,
 * barrier, step(w)..., thread_teardown(w) in each thread ] -> teardown(run)
 * Blocks still live after a pass are freed in thread_teardown(), where they
 * belong to the thread, or in pass_end(), which the main thread calls.
 */
#ifndef KMEMBENCH_WORKLOAD_H
#define KMEMBENCH_WORKLOAD_H

#include <kmem/allocator.h>
#include "workloads/harness/rng_fast.h"

#define WORKLOAD_OPS_VERSION 1

enum touch_rule { TOUCH_DEFAULT, TOUCH_NONE, TOUCH_ENDS, TOUCH_PAGES, TOUCH_FULL };
/* NULL-terminated names, indexed by enum touch_rule: "default", "none", ... */
extern const char *const touch_rule_names[];

struct workload_ops;
struct workload_fill;
struct probe;

/* One cell's run. Written by the runner before setup(). */
struct workload_run {
	const struct workload_ops *workload;
	struct allocator *allocator;
	const void *params;  /* structure filled through workload->params */
	uint64_t size_bytes; /* of -s; 0 where the workload draws its own sizes */
	unsigned int threads;
	uint64_t seed;
	enum touch_rule touch; /* never TOUCH_DEFAULT here */
	bool check;	       /* stamp each block, verify it before it is freed */
	bool fixed_ops;	       /* quanta per thread are fixed: see quanta */
	uint64_t quanta;       /* with fixed_ops */
	void *shared;	       /* the workload's own, from setup() */
};

/*
 * The passes of a cell. Each runs the same steps from the same random decisions:
 * bare for throughput; probed, with a clock around every operation, for latency;
 * probed, while the sampler watches the process's memory, for memory over time.
 */
enum worker_pass { PASS_THROUGHPUT, PASS_LATENCY, PASS_MEMORY };

/* One thread of a pass. Cache-line aligned, one each. */
struct worker {
	/* hot: read by every operation */
	struct allocator *a;
	void *(*alloc)(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node);
	void (*free)(struct allocator *a, void *ptr, size_t size);
	bool touch_ends;  /* touch is TOUCH_ENDS and nothing is checked: done inline */
	bool after_alloc; /* some other touch, or a stamp, is wanted */
	bool check;
	enum touch_rule touch;
	uint64_t ops; /* operations done (one alloc+free pair counts as workload->op says)
		       */
	void *state;  /* the workload's own, per thread, from thread_setup() */
	struct probe *probe; /* latency pass only, else NULL */
	/* cold */
	struct workload_run *run;
	unsigned int index;
	enum worker_pass pass;
	struct rng rng; /* seeded from run->seed and index */
	uint64_t stamp_seed;
} KMEM_CACHELINE_ALIGNED;

/* One figure of a workload's own, for workload_ops.report. value: a plain number. */
typedef void (*workload_report_fn)(const char *name, double value, void *arg);

/* Histograms that a workload may have beside those of alloc and free. */
#define WORKLOAD_SERIES_MAX 2
/* Columns that it may add to the memory pass's time line. */
#define WORKLOAD_COURSE_MAX 8

struct workload_ops {
	unsigned int abi_version; /* WORKLOAD_OPS_VERSION */
	const char *name;
	const char *description; /* one sentence: what it does */
	const char *stresses;	 /* what it measures */
	const char *not_for;	 /* what it must not be used to claim */
	const char *source;	 /* after which benchmark or paper */
	const char *op; /* what one operation is: "alloc+free pair", "block passed" */
	uint64_t caps;	/* capabilities an allocator must have */
	const struct kmem_option_group *params; /* NULL: none */
	size_t params_size;
	/* -s: NULL when the workload draws its own sizes; else the default list, "64" or
	 * "16,64,1K". */
	const char *default_sizes;
	uint64_t size_min_bytes, size_max_bytes; /* bounds of -s; 0: none */
	const char *default_threads; /* "1", "2"; what -t is when it is not given */
	enum touch_rule default_touch;

	/* May be NULL. 0, or -EINVAL with a text: refuses an impossible combination of
	 * size, threads and parameters before anything runs. run->allocator is NULL. */
	int (*validate)(const struct workload_run *run);
	/* May be NULL. Capabilities that depend on the parameters, on top of caps. Called
	 * after validate(). */
	uint64_t (*extra_caps)(const struct workload_run *run);
	/* May be NULL. Largest request to come, for allocator_env. Default: size_bytes.
	 */
	uint64_t (*size_max)(const struct workload_run *run);
	/* May be NULL. About how many bytes one process holds live at most; decides how
	 * many variants may be alive together. Default: size_max() for each thread. */
	uint64_t (*footprint)(const struct workload_run *run);
	/* May be NULL. Seconds that the memory pass goes on sampling after the last step,
	 * before thread_teardown(): what is given back while nothing happens. */
	double (*idle_s)(const struct workload_run *run);
	/* Names of further histograms, filled by worker_series(); NULL past the last. */
	const char *series[WORKLOAD_SERIES_MAX + 1];
	/* Names of further columns of the memory pass's time line, in lower case and
	 * ending in their unit; NULL past the last. */
	const char *course[WORKLOAD_COURSE_MAX + 1];
	/* Required where there are such columns: their values now; NaN: not known. Called
	 * in the memory pass from a thread that is no worker, while workers work, from
	 * before the first step until all threads have been torn down: it may ask the
	 * allocator's stats(), and touches nothing that a pass frees. */
	void (*course_read)(const struct workload_run *run, double *values);
	int (*setup)(struct workload_run *run); /* may be NULL */
	int (*thread_setup)(struct worker *w);	/* may be NULL; 0 or -errno with a text */
	void (*step)(struct worker *w);		/* required: one quantum */
	void (*step_probed)(struct worker *w);	/* required: the same, probed */
	void (*thread_teardown)(struct worker *w); /* may be NULL */
	void (*pass_end)(
		struct workload_run *run); /* may be NULL: all threads have ended */
	/* May be NULL. Figures of the workload's own, after the last pass and before
	 * teardown(): they become counters of the entry ("threads_started",
	 * "robson_bound_bytes"). Names are lower case and end in their unit. */
	void (*report)(struct workload_run *run, workload_report_fn fn, void *arg);
	/* May be NULL. How the latency pass filled a node (workloads/numa_fill.h), called
	 * with report(); the workload's until teardown(). NULL: there was no such pass.
	 */
	const struct workload_fill *(*fill)(const struct workload_run *run);
	void (*teardown)(struct workload_run *run); /* may be NULL */
};

/* 0, or -EINVAL with a text that names the workload and what it lacks. */
int workload_register(const struct workload_ops *ops);
void workload_register_or_exit(const struct workload_ops *ops);
#define WORKLOAD_REGISTER(ops_)                                     \
	static void KMEM_CONSTRUCTOR workload_register_##ops_(void) \
	{                                                           \
		workload_register_or_exit(&(ops_));                 \
	}                                                           \
	_Static_assert(1, "a semicolon follows")

/* NULL when unknown, with the nearest names in the error text. */
const struct workload_ops *workload_find(const char *name);
const struct workload_ops *workload_at(size_t index); /* by name; NULL past the last */

/*
 * Refuses an allocator that lacks a capability the workload (or run->check) needs,
 * naming it; and a size beyond the allocator's or the workload's bounds; then
 * calls validate(). 0 or -EINVAL with a text.
 */
int workload_validate(const struct workload_run *run,
		      const struct allocator_ops *allocator);

/* How many columns workload_ops.course has. */
unsigned int workload_course_columns(const struct workload_ops *ops);

/* Largest request to come, for allocator_env: size_max(), or run->size_bytes. */
uint64_t workload_size_max(const struct workload_run *run);

/*
 * Fills a worker for one thread of a pass. probe NULL: throughput pass. Every pass
 * with the same seed draws the same decisions.
 */
void worker_init(struct worker *w, struct workload_run *run, unsigned int index,
		 struct probe *probe);

/*
 * Names what the workload does from here on: a mark on the memory time line, where
 * a sample is taken at once. name: a string constant. Does nothing in other passes.
 */
void worker_phase(struct worker *w, const char *name);

/*
 * Ends the cell's process: the reason becomes the cell's failure in the
 * results. The runner installs the handler, which must not return; the default
 * prints to stderr and aborts. Of several threads that fail at once the first one
 * reports, the others wait for the end. w may be NULL.
 */
void worker_fail(const struct worker *w, const char *fmt, ...) KMEM_PRINTF(2, 3)
	__attribute__((noreturn, cold));
typedef void (*worker_fail_handler)(const char *reason);
void worker_set_fail_handler(worker_fail_handler handler);

#endif /* KMEMBENCH_WORKLOAD_H */
