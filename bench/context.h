/* SPDX-License-Identifier: MIT */
/* The machine and the run, as the results file's "context" has them. */
#ifndef KMEMBENCH_CONTEXT_H
#define KMEMBENCH_CONTEXT_H

#include <jansson.h>

#include "bench/plan.h"

/* Per CPU; from half of it on another's work is in the figures. */
#define CONTEXT_BUSY_LOAD 0.5

/* A new reference. Takes some 20 ms: the clock is calibrated. */
json_t *context_json(const struct plan *plan, int argc, char **argv);

/* What makes figures of the plan on this machine uncertain, one a line, to stderr. */
void context_warn(const struct plan *plan, const json_t *context);

/* The hypervisor's name for itself; "none" on bare metal. */
void context_virtualisation(char *buf, size_t size);

#endif /* KMEMBENCH_CONTEXT_H */
