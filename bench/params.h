/* SPDX-License-Identifier: MIT */
/* A cell's parameters as the results name them. */
#ifndef KMEMBENCH_PARAMS_H
#define KMEMBENCH_PARAMS_H

#include <jansson.h>

#include "workloads/workload.h"

/*
 * Every parameter with the value it has, the defaults too; a new reference. A
 * file is named by its last part and a hash of its contents ("sqlite3-1.kmt@…"),
 * so that the same input is the same parameter wherever it lies.
 */
json_t *params_json(const struct workload_run *run);

#endif /* KMEMBENCH_PARAMS_H */
