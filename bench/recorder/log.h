/* SPDX-License-Identifier: MIT */
/* Writing events into the raw recording, inside the recorded program. */
#ifndef KMEMBENCH_RECORDER_LOG_H
#define KMEMBENCH_RECORDER_LOG_H

#include "bench/recorder/raw.h"

/*
 * Maps the recording that kmembench has prepared and cleans the environment, so
 * that programs started by this one are not recorded. Does it once; does nothing
 * before libc knows the environment, or when there is no recording. Allocates
 * nothing; leaves errno alone.
 */
void log_attach(void);

/* Takes a slot and writes one event, if this process is being recorded. Any thread, any
 * context; allocates nothing; leaves errno alone. */
void log_event(enum raw_op op, unsigned int align_log2, const void *ptr,
	       size_t size_bytes, const void *old_ptr);

/*
 * A thread is about to be created: takes a number for it and logs that. 0 when
 * this process is not being recorded; else what log_thread_begin() wants.
 */
uint32_t log_thread_create(void);
/* In the new thread, before anything else. */
void log_thread_begin(uint32_t number);

#endif /* KMEMBENCH_RECORDER_LOG_H */
