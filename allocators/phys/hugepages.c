/* SPDX-License-Identifier: MIT */
/*
 * Huge pages behind the frames, as the system tells.
 *
 * Whether a first touch brings a huge page is the system's decision, made anew for
 * each 2 MiB: option hugepages only advises it, the mode in /sys may overrule it, and
 * fragmented memory may prevent it. So it is read back from /proc/self/smaps:
 * AnonHugePages for the private backing, ShmemPmdMapped for the memory file. Without
 * stdio, for the caller may stand below malloc().
 */
#include "allocators/phys/phys_internal.h"
#include "allocators/os/os_sys.h"

#include <stdlib.h>
#include <string.h>

struct smaps {
	bool inside;		/* the mapping at hand is of the direct map */
	unsigned long huge_kib; /* so far */
};

static bool starts_with(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0;
}

/* A mapping's first line begins "55d0a0000000-55d0a0200000 "; others with a name. */
static void take_line(struct smaps *s, const char *line)
{
	char *end;
	unsigned long from = strtoul(line, &end, 16);

	if (end != line && *end == '-') {
		s->inside = from >= (unsigned long)kmem_direct_base &&
			    from < (unsigned long)phys_direct_end();
	} else if (s->inside && (starts_with(line, "AnonHugePages:") ||
				 starts_with(line, "ShmemPmdMapped:"))) {
		s->huge_kib += strtoul(strchr(line, ':') + 1, NULL, 10);
	}
}

/* Hands over whole lines, and keeps the rest for the next time. */
static size_t take_lines(struct smaps *s, char *text, size_t length)
{
	char *line = text, *newline;

	while ((newline = memchr(line, '\n', length - (size_t)(line - text))) != NULL) {
		*newline = '\0';
		take_line(s, line);
		line = newline + 1;
	}
	length -= (size_t)(line - text);
	memmove(text, line, length);
	return length;
}

size_t phys_hugepage_bytes(void)
{
	struct smaps s = {.inside = false};
	char text[4096];
	size_t kept = 0;
	ssize_t n;
	int fd;

	if (!phys_memory.up)
		return 0;
	fd = os_open("/proc/self/smaps");
	if (fd < 0)
		return 0;
	while ((n = os_read(fd, text + kept, sizeof(text) - kept)) > 0) {
		kept = take_lines(&s, text, kept + (size_t)n);
		if (kept == sizeof(text))
			kept = 0; /* no line is that long */
	}
	os_close(fd);
	return (size_t)s.huge_kib << 10;
}
