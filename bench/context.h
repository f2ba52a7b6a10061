/* SPDX-License-Identifier: MIT */
/* The machine and the run, as the results file's "context" has them. */
#ifndef KMEMBENCH_CONTEXT_H
#define KMEMBENCH_CONTEXT_H

#include <jansson.h>

#include "bench/plan.h"

/* A new reference. Takes some 20 ms: the clock is calibrated. */
json_t *context_json(const struct plan *plan, int argc, char **argv);

/* Things about this machine that make figures uncertain, one a line, to stderr. */
void context_warn(const json_t *context);

/* The hypervisor's name for itself; "none" on bare metal. */
void context_virtualisation(char *buf, size_t size);

#endif /* KMEMBENCH_CONTEXT_H */
