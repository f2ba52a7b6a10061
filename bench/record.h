/* SPDX-License-Identifier: MIT */
/* Recording the allocations of a program into a trace (workloads/harness/trace.h). */
#ifndef KMEMBENCH_RECORD_H
#define KMEMBENCH_RECORD_H

#include <kmem/compiler.h>

/* A 2 GiB temporary file when full; only what is used takes space. */
#define RECORD_EVENTS_DEFAULT ((uint64_t)64 << 20)
/* Allocation ids of a trace have 32 bits. */
#define RECORD_EVENTS_MAX ((uint64_t)UINT32_MAX)
/* Thread numbers of a trace have 16 bits. */
#define RECORD_THREADS_MAX ((uint32_t)65536)

struct record_summary;

struct record_options {
	uint64_t events_max; /* 0: RECORD_EVENTS_DEFAULT; a realloc takes two */
	const char *library; /* the recorder; NULL: beside kmembench */
	bool children;	     /* record child processes too, a trace each */
	bool measure_cost;   /* of the recorder: takes some 0.2 s */
	/* May be NULL: called for each child's trace. */
	void (*on_child)(const char *trace_path, const struct record_summary *summary,
			 void *arg);
	void *arg;
};

/* What the recorder adds to one event, found by a loop of malloc and free with and
 * without it. 0: not measured. */
struct record_cost {
	double ns_per_event;	    /* one thread */
	double ns_per_event_shared; /* in each of two threads that allocate at once */
};

struct record_summary {
	int wait_status;  /* of the program, as waitpid() gives it */
	uint32_t threads; /* that allocated or freed */
	uint64_t events;  /* in the trace */
	uint64_t allocations;
	uint64_t live_bytes_max; /* as asked for */
	uint64_t unknown_frees;	 /* dropped: memory from before the recording */
	uint64_t implied_frees;	 /* added: an address came back whose free was not seen */
	uint64_t torn_events;	 /* dropped: begun when the program was killed */
	uint64_t lost_events;	 /* raw events after the recording was full */
	uint64_t trace_bytes;
	uint64_t duration_ns; /* of the program; 0: not known */
	uint32_t pid;
	char program[24];   /* a child's name, as it calls itself */
	bool still_running; /* a child that had not ended */
	struct record_cost cost;
	bool replaced;	/* the program called exec, and was recorded up to there */
	bool disk_full; /* and that for want of space, not by events_max */
};

/*
 * Runs the program under the recorder, waits for its end, writes the trace. The
 * trace is written however the program ends. Standard streams are the program's
 * own; SIGINT and SIGQUIT are left to it, SIGTERM and SIGHUP passed on to it.
 *
 * 0, or -errno with a text, and then no trace is written: the program could not be
 * started (its error), the recorder was not loaded into it or saw no event
 * (-ENOTSUP), more than RECORD_THREADS_MAX threads (-EOVERFLOW), the trace could
 * not be written. Not for use by several threads at once.
 */
int record_program(const char *trace_path, char *const argv[],
		   const struct record_options *options, struct record_summary *summary);

/* Measures the recorder's cost; false when it could not be. The same library. */
bool record_measure_cost(const char *library, struct record_cost *cost);

#endif /* KMEMBENCH_RECORD_H */
