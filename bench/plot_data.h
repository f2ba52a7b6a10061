/* SPDX-License-Identifier: MIT */
/*
 * Results as pictures and tables want them: a matrix of cells (one workload with its
 * parameters, size and threads: a row) by series (one allocator variant: a column), each
 * field with all its blocks.
 */
#ifndef KMEMBENCH_PLOT_DATA_H
#define KMEMBENCH_PLOT_DATA_H

#include "bench/results.h"

/* How a series looks, the same in every picture: bench/plot_style.c. */
struct plot_style {
	uint32_t colour; /* 0xRRGGBB */
	int point_type;	 /* gnuplot's numbers */
	int dash_type;	 /* 1 solid, 2 dashed, 3 dotted, 4 dash-dot, 5 dash-dot-dot */
	double line_width, point_size;
};

enum series_kind { SERIES_OURS, SERIES_PEER, SERIES_FLOOR };

struct series {
	char *name; /* as drawn: the variant, whether its nodes are simulated, and the
		     * file's name where needed */
	char *allocator;      /* the variant as the user named it */
	char *allocator_name; /* the registered name */
	size_t file;	      /* index of its file when the files overlap, else 0 */
	enum series_kind kind;
	int rank; /* place among the others */
	struct plot_style style;
};

struct plot_cell {
	char *identity; /* workload, all parameters, threads */
	char *planned;	/* "wset/order:random/size:64/threads:2"; may be NULL */
	char *label;	/* "wset, order random, 64 B, 2 threads": only what varies */
	char *panel;	/* the label without the workload's name */
	char *but_size; /* identity without the size, and the label of that */
	char *but_size_label;
	char *but_threads;
	char *but_threads_label;
	char *workload;
	char *op;	     /* what one operation is; NULL when not told */
	uint64_t size_bytes; /* 0: the workload draws its own */
	int threads;
	const json_t *params; /* borrowed */
};

/* One allocator in one cell. */
struct measurement {
	struct result_entry *blocks; /* the good ones */
	size_t nr_blocks;
	size_t nr_failed, nr_skipped;
	size_t file; /* that the first good block is from */
	const char
		*reason; /* of the last failure, or of the skip; borrowed, may be NULL */
};

struct dataset {
	json_t **files;
	size_t nr_files;
	char **file_labels;
	struct series *series;
	size_t nr_series;
	struct plot_cell *cells;
	size_t nr_cells;
	struct measurement *matrix; /* [cell * nr_series + series] */
	/* Allocators of one cell come from different runs: their blocks were not close in
	 * time. */
	bool separate_runs;
	bool overlap; /* the same cell of the same allocator is in several files */
};

/* Median of the blocks with its interval; see dataset_summary(). */
struct summary {
	double middle, low, high;
	size_t blocks;
	bool interval; /* low and high bound a 95 % interval; else they are minimum and
			  maximum */
};

/* Fewest blocks that can bear a 95 % interval: 1 - 2 / 2^6 = 97 %. */
#define SUMMARY_MIN_BLOCKS 6

/*
 * Reads the files and lays them out. NULL with an error text when one cannot be read, or
 * when there is no entry at all. The caller owns it.
 */
struct dataset *dataset_load(const char *const *paths, size_t count);
void dataset_free(struct dataset *d);

const struct measurement *dataset_at(const struct dataset *d, size_t cell, size_t series);

/*
 * Median over blocks and, from SUMMARY_MIN_BLOCKS on, the distribution-free 95 % interval
 * of the median (order statistics, by the sign test). Sorts values in place.
 */
void summarise(double *values, size_t count, struct summary *s);

/* The same of one metric ("real_time", …) of a measurement. False: no block has it. */
bool dataset_summary(const struct measurement *m, const char *metric, struct summary *s);

/*
 * Ratio of a metric to another measurement's, paired by block: Hodges–Lehmann estimate of
 * the log ratios with the signed-rank 95 % interval (median, minimum and maximum below
 * SUMMARY_MIN_BLOCKS pairs). False: no pair, or a value that is not positive.
 */
bool dataset_ratio(const struct measurement *m, const struct measurement *baseline,
		   const char *metric, struct summary *s);

/* The same of logs that the caller has paired; sorts in place, exponentiates the result.
 */
bool summarise_log_ratios(double *logs, size_t count, struct summary *s);

/* Index of the baseline series for a row: glibc, else mmap, else the first that has a
 * value there and is no floor, else any. -1: the row is empty. Of several files' the
 * first's. */
int dataset_baseline(const struct dataset *d, size_t cell);
/* The measurement that a series is divided by there: the baseline's in the same file, as
 * only those blocks ran together. NULL: that file has none. */
const struct measurement *dataset_baseline_at(const struct dataset *d, size_t cell,
					      int baseline, size_t series);

/* Geometric means over the rows with the given baseline. */
struct geomean {
	struct summary ratio;
	size_t rows, rows_possible;
};
bool dataset_geomean(const struct dataset *d, size_t series, int baseline,
		     struct geomean *out);

/* Fewest and most good blocks of any measurement that has one. */
void dataset_block_range(const struct dataset *d, size_t *fewest, size_t *most);

/* One line on machine, blocks, revision; "simulated" where memory nodes were. */
void dataset_caption(const struct dataset *d, char *buf, size_t size);

/* False when the blocks were never written: what is resident says nothing about them. */
bool plot_cell_touched(const struct plot_cell *cell);

/* "64 B", "1 KiB", "1.5 MiB". Returns buf. */
const char *format_bytes(double bytes, char *buf, size_t size);
/* The same of a block's size: an odd one is what the user asked for, to the byte. */
const char *format_size(double bytes, char *buf, size_t size);

/* Members of context.kmembench of a file; never NULL (an empty object instead). */
const json_t *dataset_context(const struct dataset *d, size_t file, const char *member);

/* A member of a JSON object as text; fallback where it is absent. buf for numbers. */
const char *json_text(const json_t *object, const char *key, const char *fallback,
		      char *buf, size_t size);

/* bench/plot_labels.c: fills the labels of the cells, once all are known. */
int dataset_label_cells(struct dataset *d);
/* bench/plot_style.c */
enum series_kind plot_series_kind(const char *allocator_name);
int plot_series_rank(const char *allocator_name);
void plot_assign_styles(struct dataset *d);

#endif /* KMEMBENCH_PLOT_DATA_H */
