/* SPDX-License-Identifier: MIT */
/* Pictures of results: gnuplot draws what plots/NAME.gp says from a table written here.
 */
#ifndef KMEMBENCH_PLOT_H
#define KMEMBENCH_PLOT_H

#include <kmem/compiler.h>
#include <stdio.h>

#include "bench/plot_data.h"

enum plot_flags {
	PLOT_SVG = 1 << 0,
	PLOT_PNG = 1 << 1,
	PLOT_KEEP_DATA = 1 << 2, /* leave the tables in DIR/data */
};

/*
 * Draws every plot that the results support into dir, which is made where it is missing.
 * formats: enum plot_flags. Each file written, and each plot left out with its reason, is
 * a line on log (NULL: silence). Files appear whole or not at all.
 *
 * 0, or with an error text: -ENOTSUP gnuplot is missing or failed; -EINVAL, -ENODATA the
 * results cannot be read or hold nothing; another -errno where dir cannot be written.
 */
int plot_results(const char *const *paths, size_t count, const char *dir,
		 unsigned int formats, FILE *log);

/* One picture that was drawn: DIR/STEM.svg, DIR/STEM.png. */
struct plot_output {
	const char *kind; /* "summary", … */
	char *stem, *title;
};

struct plot_outputs {
	struct plot_output *list;
	size_t count;
};

/* The same for results that are loaded; the pictures' names go to outputs (may be NULL).
 */
int plot_dataset(const struct dataset *d, const char *dir, unsigned int formats,
		 FILE *log, struct plot_outputs *outputs);
void plot_outputs_free(struct plot_outputs *outputs);

/* A new folder below $TMPDIR or /tmp; NULL with an error text. The caller frees the name.
 */
char *plot_temporary_folder(void);
/* Removes a folder and what is in it. */
void plot_remove_folder(const char *path);

#endif /* KMEMBENCH_PLOT_H */
