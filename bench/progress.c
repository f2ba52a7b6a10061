/* SPDX-License-Identifier: MIT */
/* Progress bar and progress lines: see progress.h. */
#include "bench/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/cli.h"

#define BAR_WIDTH 24

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int columns(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

void progress_start(struct progress *p, size_t total, size_t done_before, bool quiet)
{
	memset(p, 0, sizeof(*p));
	p->total = total;
	p->done = p->first = done_before;
	p->start_s = now_s();
	p->quiet = quiet;
	p->terminal = !quiet && cli_stderr_is_terminal();
}

static void wipe(void)
{
	fputs("\r\033[K", stderr);
}

void progress_cell(struct progress *p, const char *key, unsigned int block)
{
	char line[512], bar[BAR_WIDTH + 1], left[32] = "";
	size_t here = p->done - p->first;
	int filled = p->total == 0 ? 0 : (int)(p->done * BAR_WIDTH / p->total);

	if (!p->terminal)
		return;
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', (size_t)filled);
	bar[BAR_WIDTH] = '\0';
	if (here > 0) {
		double s = (now_s() - p->start_s) / (double)here *
			   (double)(p->total - p->done);

		snprintf(left, sizeof(left), " %d:%02d left", (int)s / 60, (int)s % 60);
	}
	snprintf(line, sizeof(line), "[%s] %zu/%zu%s  block %u  %s", bar, p->done,
		 p->total, left, block + 1, key);
	wipe();
	fprintf(stderr, "%.*s", columns() - 1, line);
	fflush(stderr);
}

void progress_done(struct progress *p, const char *key, unsigned int block,
		   double ns_per_op, const char *failure)
{
	p->done++;
	if (failure != NULL)
		p->failed++;
	if (p->terminal && failure != NULL)
		wipe();
	if (failure != NULL)
		cli_error("cannot measure %s: %s", key, failure);
	else if (!p->terminal && !p->quiet)
		fprintf(stderr, "[%*zu/%zu] block %u  %-58s %10.2f ns/op\n",
			p->total < 1000 ? 3 : 5, p->done, p->total, block + 1, key,
			ns_per_op);
}

void progress_end(struct progress *p)
{
	if (p->terminal)
		wipe();
}
