/* SPDX-License-Identifier: MIT */
/* Set-up of tests that run with restartable sequences, with locks, or in both modes. */
#ifndef KMEM_TEST_CPU_MODES_H
#define KMEM_TEST_CPU_MODES_H

#include "allocators/os/os_cpu.h"

static inline int use_rseq(void **state)
{
	(void)state;
	os_cpu_force_mode(true);
	return 0;
}

static inline int use_locks(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	return 0;
}

#define BOTH_MODES(test_) \
	cmocka_unit_test_setup(test_, use_rseq), cmocka_unit_test_setup(test_, use_locks)

#endif /* KMEM_TEST_CPU_MODES_H */
