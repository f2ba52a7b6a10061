/* SPDX-License-Identifier: MIT */
/*
 * Progress on stderr: on a terminal one line that is redrawn, with a bar and the
 * time left; elsewhere a line per cell.
 */
#ifndef KMEMBENCH_PROGRESS_H
#define KMEMBENCH_PROGRESS_H

#include <kmem/compiler.h>

struct progress {
	size_t total, done, failed;
	size_t first; /* done before this process began: --resume */
	double start_s;
	bool terminal, quiet;
};

void progress_start(struct progress *p, size_t total, size_t done_before, bool quiet);
/* What runs now. */
void progress_cell(struct progress *p, const char *key, unsigned int block);
/* What came of it: a figure, or the reason of a failure. */
void progress_done(struct progress *p, const char *key, unsigned int block,
		   double ns_per_op, const char *failure);
/* Wipes the line. */
void progress_end(struct progress *p);

#endif /* KMEMBENCH_PROGRESS_H */
