/* SPDX-License-Identifier: MIT */
/* Resident memory of this process, as the kernel counts it. Reads without allocating. */
#ifndef KMEMBENCH_MEMORY_USAGE_H
#define KMEMBENCH_MEMORY_USAGE_H

#include <kmem/compiler.h>

struct memory_usage {
	uint64_t rss_bytes; /* a page mapped at two addresses counts twice */
	uint64_t pss_bytes; /* it counts once: the figure for shared mappings */
};

/* From /proc/self/smaps_rollup. 0 or -errno. */
int memory_usage_now(struct memory_usage *usage);

/* Resets the kernel's high-water mark of this process; 0 or -errno. */
int memory_peak_reset(void);
/* Highest rss since then, bytes; 0 when unknown. */
uint64_t memory_peak_bytes(void);

#endif /* KMEMBENCH_MEMORY_USAGE_H */
