/* SPDX-License-Identifier: MIT */
/* What the per-CPU code needs from the system besides the CPU number. */
#ifndef KMEM_OS_CPU_H
#define KMEM_OS_CPU_H

#include <kmem/compiler.h>

/*
 * Returns after every restartable sequence of this process that was under way
 * on any CPU has either finished or been aborted; a full memory barrier on all
 * of them. Microseconds: it interrupts every CPU that runs the process. False: the
 * system refuses it, and nothing is known of the sequences.
 */
bool os_restart_sequences(void);

/* Possible CPUs as the system tells now; os_nr_cpus() keeps the first answer. */
unsigned int os_count_possible_cpus(void);

/* How per-CPU caches are kept consistent in this process, for reports: "rseq" or "lock".
 */
const char *os_percpu_mode(void);

/*
 * For tests: chooses the mode of the per-CPU stacks; rseq only where the system
 * has it. No stacks may exist and no other thread may run.
 */
void os_cpu_force_mode(bool use_rseq);

#endif /* KMEM_OS_CPU_H */
