/* SPDX-License-Identifier: MIT */
/*
 * Blow-up: max R with T threads / max R with one (Berger, McKinley, Blumofe and Wilson,
 * Hoard, ASPLOS 2000).
 */
#ifndef KMEMBENCH_BLOW_UP_H
#define KMEMBENCH_BLOW_UP_H

#include <jansson.h>

/*
 * Adds "blow_up" to each entry of benchmarks[] with several threads and a memory pass
 * whose block has the same cell with one thread. What was there is replaced.
 */
void blow_up_add(json_t *benchmarks);

#endif /* KMEMBENCH_BLOW_UP_H */
