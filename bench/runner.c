/* SPDX-License-Identifier: MIT */
/* Signals while cells run, and one cell alone. See runner.h. */
#include "bench/runner.h"

#include <string.h>

#include <kmem/compiler.h>

#include "bench/memory_process.h"

volatile sig_atomic_t runner_interrupted;

/* What the signals did before. */
static struct sigaction before_int, before_term;

static void on_signal(int signal_number)
{
	(void)signal_number;
	runner_interrupted = 1;
}

void runner_catch_signals(void)
{
	/* No SA_RESTART: poll() must return. */
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, &before_int);
	sigaction(SIGTERM, &action, &before_term);
	signal(SIGPIPE, SIG_IGN);
}

void runner_release_signals(void)
{
	sigaction(SIGINT, &before_int, NULL);
	sigaction(SIGTERM, &before_term, NULL);
}

json_t *runner_run_cell(json_t *spec, const struct process_layout *layout,
			double timeout_s)
{
	static const char *const commands[] = {"prepare", "plain", "latency"};
	struct cell_process *p = cell_process_start(spec, layout, timeout_s);
	json_t *entry;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(commands); i++) {
		if (!cell_process_ask(p, commands[i]))
			break;
	}
	entry = cell_process_finish(p);
	cell_process_delete(p);
	return memory_process_run(spec, layout, timeout_s, entry);
}
