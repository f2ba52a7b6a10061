/* SPDX-License-Identifier: MIT */
/*
 * The journal beside a results file: one JSON line a finished cell, flushed at
 * once, after a header line that names the plan. A line that was cut off by a
 * crash is dropped when the journal is read.
 */
#ifndef KMEMBENCH_JOURNAL_H
#define KMEMBENCH_JOURNAL_H

#include <jansson.h>
#include <stdio.h>

#include <kmem/compiler.h>

struct journal {
	FILE *file; /* NULL: no journal is kept */
	char *path;
};

/* Starts "OUT.journal"; refuses when one is there. 0 or -errno with a text. */
int journal_create(struct journal *j, const char *out, uint64_t plan_hash, uint64_t seed);

/*
 * Opens an existing one, hands each entry to fn, sets *seed to the one it was
 * begun with, and goes on appending. When there is none, but a complete results
 * file is, that is said. 0 or -errno with a text.
 */
int journal_resume(struct journal *j, const char *out, uint64_t plan_hash, uint64_t *seed,
		   int (*fn)(size_t cell, unsigned int block, json_t *entry, void *arg),
		   void *arg);

int journal_append(struct journal *j, size_t cell, unsigned int block, json_t *entry);

/* keep false: the results file holds everything, the journal is removed. */
void journal_close(struct journal *j, bool keep);

#endif /* KMEMBENCH_JOURNAL_H */
