/* SPDX-License-Identifier: MIT */
/* unusual [NAME...]: runs those, or lists all; see unusual.h. */
#include "unusual.h"

_Atomic int failures;

static const struct unusual *const tables[] = {unusual_blocks, unusual_threads,
					       unusual_processes, unusual_limits,
					       unusual_rights};
enum { NR_TABLES = sizeof(tables) / sizeof(tables[0]) };

static bool run(const char *name)
{
	for (int t = 0; t < NR_TABLES; t++) {
		for (const struct unusual *u = tables[t]; u->name != NULL; u++) {
			if (name == NULL) {
				puts(u->name);
			} else if (strcmp(u->name, name) == 0) {
				u->run();
				return true;
			}
		}
	}
	return name == NULL;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		run(NULL);
	for (int i = 1; i < argc; i++) {
		if (!run(argv[i])) {
			fprintf(stderr, "unusual: unknown test '%s'\n", argv[i]);
			return 2;
		}
	}
	if (argc > 1 && failures == 0)
		puts("ok");
	return failures != 0;
}
