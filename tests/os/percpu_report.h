/* SPDX-License-Identifier: MIT */
/* Include it once in a test program: tells at the end whether the sequences ran at all.
 */
#ifndef KMEM_TEST_PERCPU_REPORT_H
#define KMEM_TEST_PERCPU_REPORT_H

#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_fast.h"

#include <stdio.h>
#include <stdlib.h>

static const char *percpu_report_mode;

/* Before main: tests may choose another mode later. */
static void __attribute__((constructor)) percpu_report_start(void)
{
	percpu_report_mode = os_percpu_mode();
}

static void __attribute__((destructor)) percpu_report_end(void)
{
	printf("# percpu: %s, %llu sequences restarted\n", percpu_report_mode,
	       (unsigned long long)atomic_load(&os_percpu_aborts));
}

#endif /* KMEM_TEST_PERCPU_REPORT_H */
