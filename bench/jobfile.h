/* SPDX-License-Identifier: MIT */
/*
 * Job files: INI, [global] settings and one section per grid of cells.
 *
 *   [global]
 *   precision_pct = 1          ; blocks until every ratio is known this well,
 *   reps = 10                  ; or so many
 *   baseline = glibc
 *   method = slices            ; or plain
 *   layout = random            ; or fixed
 *   time_s = 0.02              ; a cell's throughput pass
 *   slice_time_s = 0.0005
 *   latency_time_s = 0.01
 *   memory_time_s = 0.01
 *   timeout_s = 60
 *   seed = 1
 *   allocators = slab,glibc    ; default of sections without their own
 *
 *   [pair over sizes]
 *   workloads = pair
 *   sizes = 16..64K            ; each twice the one before
 *   threads = 1,2
 *   touch = none
 *   check = off
 *   memory_time_s = 0.2        ; of these cells alone
 *   n_blocks = 100,400         ; any other key: a parameter of the workloads
 *
 * Any list may go on in indented lines. A key or a section that stands there twice, or
 * that nobody knows, is refused with its line.
 *
 *   [a real program]
 *   workloads = replay
 *   record = sqlite3 :memory:  ; recorded first; sets the parameter trace
 *     'select 1'               ; quoted as in a shell; goes on in indented lines
 */
#ifndef KMEMBENCH_JOBFILE_H
#define KMEMBENCH_JOBFILE_H

#include "bench/plan.h"

struct job_section {
	char *name;
	char *allocators, *workloads, *sizes, *threads, *touch, *record;
	bool check;
	double memory_time_s; /* negative: as [global] has it */
	json_t *params;
	json_t *param_lines; /* where each of them stands */
	unsigned int line;   /* of the section's first pair */
};

struct job {
	struct job_section global; /* defaults of the sections */
	struct job_section *sections;
	size_t count;
	bool seed_given;
	char *baseline; /* that the plan points to */
	char *name;	/* of the file, for messages */
};

/* Reads a job file; settings go to the plan. 0 or -EINVAL, with a message (file and line)
 * on stderr. */
int job_read_file(const char *path, struct job *job, struct plan *plan);
/* The same from a text; `name` stands for the file in messages. */
int job_read_text(const char *text, const char *name, struct job *job, struct plan *plan);
void job_release(struct job *job);

/*
 * Adds every section's grid. `trace` is called for a section with a record line
 * and gives the trace's path (owned by the job); NULL is a failure, which it has told,
 * and "" leaves the section out. 0 or -EINVAL, with a message.
 */
int job_plan(struct job *job, struct plan *plan,
	     const char *(*trace)(const struct job_section *section, void *arg),
	     void *arg);

/* The built-in quick sweep. */
extern const char job_quick[];

#endif /* KMEMBENCH_JOBFILE_H */
