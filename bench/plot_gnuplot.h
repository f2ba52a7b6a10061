/* SPDX-License-Identifier: MIT */
/* Running gnuplot: several at once, each output whole or not at all. */
#ifndef KMEMBENCH_PLOT_GNUPLOT_H
#define KMEMBENCH_PLOT_GNUPLOT_H

#include <kmem/compiler.h>
#include <stdio.h>
#include <sys/types.h>

#define GNUPLOT_ARGUMENTS_MAX 4

struct gnuplot_job {
	pid_t pid;
	char *script;	 /* for messages */
	char *output;	 /* final name */
	char *temporary; /* in the same folder */
	FILE *errors;	 /* what gnuplot printed */
};

struct gnuplot_pool {
	struct gnuplot_job *running; /* oldest first */
	size_t nr_running, limit;
	FILE *log; /* each finished file is a line; may be NULL */
};

/* 0; -ENOTSUP with a text that names the package when there is no gnuplot in PATH. */
int gnuplot_find(void);

void gnuplot_pool_init(struct gnuplot_pool *pool, FILE *log);
/*
 * Starts `gnuplot -c script data OUTPUT terminal arguments…`; waits for the oldest first
 * when as many run as there are CPUs. 0 or -errno with an error text (that of an earlier
 * job, too).
 */
int gnuplot_start(struct gnuplot_pool *pool, const char *script, const char *data,
		  const char *output, const char *terminal, const char *const *arguments,
		  size_t nr_arguments);
/* Waits for all; the first error. Frees the pool. */
int gnuplot_finish(struct gnuplot_pool *pool);

#endif /* KMEMBENCH_PLOT_GNUPLOT_H */
