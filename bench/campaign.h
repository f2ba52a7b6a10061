/* SPDX-License-Identifier: MIT */
/*
 * Carries out a plan: blocks, journal, results file.
 *
 * Every finished block of a group goes to OUT.journal at once (one JSON line,
 * flushed), so that neither Ctrl-C nor a crash loses it. The results file is written
 * whole: at the end, when the journal is removed, or at Ctrl-C, when it stays for
 * --resume and the file says "complete": false.
 */
#ifndef KMEMBENCH_CAMPAIGN_H
#define KMEMBENCH_CAMPAIGN_H

#include <jansson.h>

#include "bench/plan.h"

struct campaign_options {
	const char *out; /* results file; NULL: none, and no journal */
	bool resume;	 /* go on where the journal ends */
	bool quiet;	 /* no progress */
	bool silent;	 /* nor warnings about the machine */
	unsigned int shard,
		shards; /* this is shard `shard` (from 1) of `shards`; 0: all */
	int argc;	/* the command line, for the context */
	char **argv;
};

struct campaign_result {
	json_t *root;	   /* the results, complete or not; owned by the caller */
	size_t cells_done; /* cell runs with figures */
	size_t failed;	   /* cells that failed */
	bool interrupted;
};

/* 0, or an exit code after a message on stderr (nothing has run then). */
int campaign_run(struct plan *plan, const struct campaign_options *options,
		 struct campaign_result *result);

/* What would run: one line a cell, and the time it will take at least. */
void campaign_dry_run(const struct plan *plan, const struct campaign_options *options);

/* Whether a cell is in the part of the plan that options->shard names. */
bool campaign_in_shard(const struct plan *plan, const struct campaign_options *options,
		       size_t cell);

/* A table of medians, one row a cell, to stdout. */
void campaign_print(const json_t *root);

#endif /* KMEMBENCH_CAMPAIGN_H */
