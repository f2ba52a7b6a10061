/* SPDX-License-Identifier: MIT */
/* Resident memory of this process, as the kernel counts it. Reads without allocating. */
#ifndef KMEMBENCH_MEMORY_USAGE_H
#define KMEMBENCH_MEMORY_USAGE_H

#include <kmem/compiler.h>

/* Neither of the first two counts clean pages of private file mappings: program text. */
struct memory_usage {
	uint64_t rss_bytes;  /* a page mapped at two addresses counts twice */
	uint64_t pss_bytes;  /* it counts once: the figure for shared mappings */
	uint64_t file_bytes; /* those clean pages; 0 where only a sum can be had */
};

/*
 * From /proc/self/smaps; where that may not be read, from /proc/self/statm, which
 * cannot tell program text apart. 0 or -errno.
 */
int memory_usage_now(struct memory_usage *usage);

/* Resets the kernel's high-water mark of this process; 0 or -errno. */
int memory_peak_reset(void);
/* Highest rss since then, bytes, with clean file pages; 0 when unknown. */
uint64_t memory_peak_bytes(void);

#endif /* KMEMBENCH_MEMORY_USAGE_H */
