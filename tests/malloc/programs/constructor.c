/* SPDX-License-Identifier: MIT */
/* A library whose constructor allocates and forks nothing; its destructor frees. */
#include <stdlib.h>
#include <string.h>

char *kept;

static void __attribute__((constructor)) load(void)
{
	char *large = malloc(5000000);

	kept = strdup("from the constructor");
	large[0] = 1;
	free(large);
}

static void __attribute__((destructor)) unload(void)
{
	free(kept);
}
