/* SPDX-License-Identifier: MIT */
/* Between jobfile.c, which reads, and jobfile_plan.c, which plans. */
#ifndef KMEMBENCH_JOBFILE_INTERNAL_H
#define KMEMBENCH_JOBFILE_INTERNAL_H

#include "bench/jobfile.h"

/* Keys that any section may have. */
#define JOB_SECTION_KEYS 8
extern const char *const job_section_keys[JOB_SECTION_KEYS];

#endif /* KMEMBENCH_JOBFILE_INTERNAL_H */
