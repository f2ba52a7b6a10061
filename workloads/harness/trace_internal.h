/* SPDX-License-Identifier: MIT */
/* Between trace.c (files) and trace_check.c (what a trace must be). */
#ifndef KMEMBENCH_TRACE_INTERNAL_H
#define KMEMBENCH_TRACE_INTERNAL_H

#include "workloads/harness/trace.h"

/* The user's half of the address space: beyond it nobody can have been served. */
#define TRACE_SIZE_MAX ((uint64_t)1 << 47)
/* 1 GiB; larger alignments are not asked for by programs. */
#define TRACE_ALIGN_LOG2_MAX 30

/*
 * Checks every event and fills a whole header from them (unknown_frees is 0). The
 * path is for the error text only. 0, or -EINVAL with a text that names the byte
 * offset which the event has, or would have, in the file; -ENOMEM.
 */
int trace_check_events(const char *path, const struct trace_event *events, uint64_t count,
		       struct trace_header *header);

#endif /* KMEMBENCH_TRACE_INTERNAL_H */
