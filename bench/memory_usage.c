/* SPDX-License-Identifier: MIT */
/* Resident memory from /proc/self, with plain read(2) into a stack buffer. */
#include "bench/memory_usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (used < size - 1 && (n = read(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	buf[used] = '\0';
	return 0;
}

/* Value in bytes of a line "Name:   123 kB"; 0 when there is none. */
static uint64_t kb_field(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10) << 10;
}

int memory_usage_now(struct memory_usage *usage)
{
	char buf[4096];
	int err = read_file("/proc/self/smaps_rollup", buf, sizeof(buf));

	if (err != 0)
		return err;
	usage->rss_bytes = kb_field(buf, "\nRss:");
	usage->pss_bytes = kb_field(buf, "\nPss:");
	return 0;
}

int memory_peak_reset(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "5", 1) != 1)
		err = -errno;
	close(fd);
	return err;
}

uint64_t memory_peak_bytes(void)
{
	char buf[8192];

	if (read_file("/proc/self/status", buf, sizeof(buf)) != 0)
		return 0;
	return kb_field(buf, "\nVmHWM:");
}
