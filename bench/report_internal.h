/* SPDX-License-Identifier: MIT */
/* The parts of the page, one file each. All write HTML to `out`. */
#ifndef KMEMBENCH_REPORT_INTERNAL_H
#define KMEMBENCH_REPORT_INTERNAL_H

#include <stdio.h>

#include "bench/plot.h"
#include "bench/plot_data.h"

/* Differences smaller than this are not called differences: docs/METHODOLOGY.md. */
#define REPORT_EQUIVALENCE 1.015

/* --- report_html.c --- */
extern const char report_css[];
/* Text with &, <, > and quotes replaced. */
void html_escape(FILE *out, const char *text);
void html_printf(FILE *out, const char *fmt, ...) KMEM_PRINTF(2, 3); /* escaped */
/*
 * Copies an SVG file without its XML head, each id prefixed, so that many can stand in
 * one page. False when it cannot be read or is no SVG.
 */
bool html_inline_svg(FILE *out, const char *path, const char *prefix);
/* "12.3", "0.123", "1,234": three significant digits. */
const char *html_number(double value, char *buf, size_t size);
/* A short horizontal mark in the series' colour, before its name, escaped. */
void html_series_name(FILE *out, const struct series *s);

/* --- report_summary.c, report_verdicts.c, report_tables.c, report_fragmentation.c,
 *     report_method.c; those that have nothing to show print nothing --- */
void report_summary(FILE *out, const struct dataset *d);
void report_verdicts(FILE *out, const struct dataset *d);
void report_memory(FILE *out, const struct dataset *d);
void report_tails(FILE *out, const struct dataset *d);
void report_cells(FILE *out, const struct dataset *d);
void report_failures(FILE *out, const struct dataset *d);
void report_warnings(FILE *out, const struct dataset *d);
void report_machine(FILE *out, const struct dataset *d);
void report_method(FILE *out, const struct dataset *d);

#endif /* KMEMBENCH_REPORT_INTERNAL_H */
