/* SPDX-License-Identifier: MIT */
/*
 * A thread that lives for one piece of a worker's step.
 *
 * The worker creates it and waits for its end, so at any time one thread of the two
 * runs, on the CPU to which the worker is pinned (an affinity is inherited). It works
 * with its parent's worker structure, which the parent leaves alone until it has
 * joined.
 *
 * Creating, starting and joining a thread costs some 20 to 80 us before the allocator
 * adds its own share: the floors pay it as well, and stand beside every figure.
 */
#ifndef KMEMBENCH_FRESH_THREAD_H
#define KMEMBENCH_FRESH_THREAD_H

#include "workloads/workload.h"

/*
 * Runs body(w) in a new thread, between the allocator's thread_enter() and
 * thread_exit(), and returns when the thread has ended: its thread-local destructors
 * have run by then. Fails the cell when no thread can be had.
 */
void fresh_thread_run(struct worker *w, void (*body)(struct worker *w));

#endif /* KMEMBENCH_FRESH_THREAD_H */
