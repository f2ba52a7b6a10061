/* SPDX-License-Identifier: MIT */
/* Measurements of whole programs under several mallocs, as a results file. */
#ifndef KMEMBENCH_EXEC_RESULTS_H
#define KMEMBENCH_EXEC_RESULTS_H

#include <jansson.h>

/*
 * Reads rows as tests/malloc/real_programs.sh writes them: a line for each run of a
 * program, tab-separated
 *
 *   program allocator library rep status wall_s cpu_s peak_kib minor_faults
 *
 * behind a line of these names; before it lines "# date ISO-8601", "# load A B C" and
 * "# complete true|false". Each becomes an entry of workload "program"; a status other
 * than 0 is a failure. NULL with an error text that names file and line. The caller owns
 * the reference.
 */
json_t *exec_results(const char *path, int argc, char **argv);

#endif /* KMEMBENCH_EXEC_RESULTS_H */
