/* SPDX-License-Identifier: MIT */
/*
 * Figures of a workload's own, summed over the threads of a pass for its report():
 * threads add theirs in thread_teardown(), pass_end() closes the sums. A cell has
 * several passes; what is reported is the last one's.
 */
#ifndef KMEMBENCH_TALLY_H
#define KMEMBENCH_TALLY_H

#include <kmem/compiler.h>

#define TALLY_FIGURES 4

struct tally;

/* From an arena: never fails. For setup() and teardown(). */
struct tally *tally_new(void);
void tally_delete(struct tally *t);

/* From any thread. figure: below TALLY_FIGURES. */
void tally_add(struct tally *t, unsigned int figure, uint64_t value);
/* When all threads of a pass have added theirs: from pass_end(). */
void tally_close(struct tally *t);
/* The sum that was closed last; 0 before the first. */
uint64_t tally_sum(const struct tally *t, unsigned int figure);

#endif /* KMEMBENCH_TALLY_H */
