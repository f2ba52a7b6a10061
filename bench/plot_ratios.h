/* SPDX-License-Identifier: MIT */
/*
 * Ratios with their intervals and verdicts, as `compare` finds them, laid out as the data
 * set is: so that pictures, the report and the command line say the same.
 */
#ifndef KMEMBENCH_PLOT_RATIOS_H
#define KMEMBENCH_PLOT_RATIOS_H

#include "bench/compare.h"
#include "bench/plot_data.h"
#include "bench/plot_internal.h"

struct ratios {
	struct comparison_table *tables; /* one a file; rows are borrowed from them */
	size_t nr_tables, nr_series;
	const struct comparison **row; /* [cell * nr_series + series]; NULL: none */
};

/* Time per operation of all to the allocator of series `baseline`, file by file. */
void ratios_load(const struct dataset *d, int baseline, struct ratios *out);
void ratios_free(struct ratios *r);
const struct comparison *ratios_at(const struct ratios *r, size_t cell, size_t series);

/* One picture of plots/ratios.gp: a row for each cell, a panel for each series used. */
struct ratio_page {
	const struct ratios *ratios;
	const size_t *cells;
	size_t nr_cells;
	const bool *used; /* nr_series */
};

#define RATIO_PAGE_ROWS	  40
#define RATIO_PAGE_PANELS 4

/*
 * Writes the blocks of plots/ratios.gp after the series. Returns how many ratios there
 * are.
 */
size_t ratio_page_write(struct plotter *p, const struct ratio_page *page);

#endif /* KMEMBENCH_PLOT_RATIOS_H */
