/* SPDX-License-Identifier: MIT */
/* Tells two definitions of a workload apart. */
#ifndef KMEMBENCH_WORKLOAD_VERSION_H
#define KMEMBENCH_WORKLOAD_VERSION_H

#include "workloads/workload.h"

/* Room for the text and its end. */
#define WORKLOAD_VERSION_SIZE 17

/*
 * A hash, as 16 hexadecimal digits, of what a workload says of itself: what it does,
 * what an operation is, its parameters with their defaults and bounds, its touch rule.
 * Figures of a workload that has been given another definition do not compare with
 * those of the old one, although they have the same name. A change of its code that
 * changes none of these texts is not seen.
 */
const char *workload_version(const struct workload_ops *workload, char *buf, size_t size);

#endif /* KMEMBENCH_WORKLOAD_VERSION_H */
