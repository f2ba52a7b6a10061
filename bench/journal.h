/* SPDX-License-Identifier: MIT */
/*
 * The journal beside a results file: one JSON line for each finished block of a group,
 * flushed at once, after a header line that names plan, seed and build. A line that was
 * cut off by a crash is dropped when the journal is read. One process at a time has it.
 */
#ifndef KMEMBENCH_JOURNAL_H
#define KMEMBENCH_JOURNAL_H

#include <jansson.h>
#include <stdio.h>

#include <kmem/compiler.h>

/* What a journal begins with. */
#define JOURNAL_START "{\"kmembench_journal\":"

struct journal {
	FILE *file; /* NULL: no journal is kept */
	char *path;
	size_t damaged_line; /* found by journal_resume(), dropped with all behind; 0:
				none */
	size_t lost;	     /* blocks that could not be written */
};

/* What a run must have in common with the one that it goes on with. */
struct journal_identity {
	uint64_t plan_hash;
	const char *build; /* revision and contents of the program: journal_build() */
};

/* The running program as a text: its revision, and a hash of its file. Free it. */
char *journal_build(const char *git_revision);

/*
 * Before anything is done for OUT that a journal's run rests on: is there one to resume,
 * or none, to start? 0 or -errno with a text. Keeps nothing open.
 */
int journal_expect(const char *out, bool resume);

/* Starts "OUT.journal"; refuses when one is there. 0 or -errno with a text. */
int journal_create(struct journal *j, const char *out, const struct journal_identity *id,
		   uint64_t seed);

/*
 * Opens an existing one, hands each entry to fn, sets *seed to the one it was
 * begun with, and goes on appending. Refuses one of another plan or build, and one that
 * another process writes to; when there is none, that is said. 0 or -errno with a text.
 */
int journal_resume(struct journal *j, const char *out, const struct journal_identity *id,
		   uint64_t *seed,
		   int (*fn)(size_t cell, unsigned int block, json_t *entry, void *arg),
		   void *arg);

/* cells: [[index, entry], ...] of one block. 0, or -errno with a text: then the journal
 * is as it was before. */
int journal_append(struct journal *j, unsigned int block, json_t *cells);

/* keep false: the results file holds everything, the journal is removed. */
void journal_close(struct journal *j, bool keep);

#endif /* KMEMBENCH_JOURNAL_H */
