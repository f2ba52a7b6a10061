/* SPDX-License-Identifier: MIT */
/* Page faults of a program that uses blocks of ten sizes, and ends. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

int main(void)
{
	struct rusage usage;
	volatile char *p;

	for (size_t size = 16; size <= 16384; size *= 2) {
		p = malloc(size);
		p[0] = 1;
		free((void *)p);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("%ld\n", usage.ru_minflt);
	return 0;
}
