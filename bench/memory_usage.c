/* SPDX-License-Identifier: MIT */
/*
 * Resident memory from /proc/self, with plain read(2) into stack buffers.
 *
 * Clean pages of private file mappings, that is the text and constants of the
 * program and its libraries, are left out: they come in as code is first run, they
 * are shared with every process that runs the same code, and the C library's were
 * there before any allocator was created. With them jemalloc would be charged some
 * 640 KiB for its text and glibc nothing. Pages of such a mapping that were written
 * to are anonymous, and counted; so are shared mappings, which back libkmem.
 */
#include "bench/memory_usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Lines of a file one by one, without malloc. A longer line is cut. */
struct line_reader {
	int fd;
	size_t at, end;
	char buf[16384];
};

static bool next_byte(struct line_reader *r, char *c)
{
	if (r->at == r->end) {
		ssize_t n = read(r->fd, r->buf, sizeof(r->buf));

		if (n <= 0)
			return false;
		r->at = 0;
		r->end = (size_t)n;
	}
	*c = r->buf[r->at++];
	return true;
}

static bool next_line(struct line_reader *r, char *line, size_t size)
{
	size_t used = 0;
	char c;

	while (next_byte(r, &c)) {
		if (c == '\n') {
			line[used] = '\0';
			return true;
		}
		if (used < size - 1)
			line[used++] = c;
	}
	return false;
}

/* Value in bytes of a line "Name:   123 kB"; false when it is another line. */
static bool kb_field(const char *line, const char *name, uint64_t *bytes)
{
	size_t length = strlen(name);

	if (strncmp(line, name, length) != 0 || line[length] != ':')
		return false;
	*bytes = strtoull(line + length + 1, NULL, 10) << 10;
	return true;
}

/* What the lines of one mapping say so far. */
struct mapping {
	bool private_file;
	uint64_t rss_bytes, pss_bytes;
};

/* The first line of a mapping: "55…-55… r-xp 00001000 fe:00 1234   /path". */
static bool mapping_header(const char *line, struct mapping *m)
{
	unsigned long start, end, inode;
	char mode[5];

	if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &start, &end, mode, &inode) != 4)
		return false;
	*m = (struct mapping){.private_file = inode != 0 && mode[3] == 'p'};
	return true;
}

static void add_mapping(struct memory_usage *usage, const struct mapping *m,
			uint64_t anonymous_bytes)
{
	uint64_t clean = m->rss_bytes - anonymous_bytes;

	if (m->private_file && m->rss_bytes >= anonymous_bytes) {
		usage->rss_bytes += anonymous_bytes;
		usage->pss_bytes += m->pss_bytes < anonymous_bytes ? m->pss_bytes
								   : anonymous_bytes;
		usage->file_bytes += clean;
	} else {
		usage->rss_bytes += m->rss_bytes;
		usage->pss_bytes += m->pss_bytes;
	}
}

/* "size resident shared …", in pages. */
static int usage_from_statm(struct memory_usage *usage)
{
	struct line_reader r = {.fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)};
	unsigned long resident;
	char line[256];
	bool ok;

	if (r.fd < 0)
		return -errno;
	ok = next_line(&r, line, sizeof(line)) && sscanf(line, "%*u %lu", &resident) == 1;
	close(r.fd);
	if (!ok)
		return -ENODATA;
	usage->rss_bytes = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
	usage->pss_bytes = usage->rss_bytes;
	return 0;
}

int memory_usage_now(struct memory_usage *usage)
{
	struct line_reader r = {.fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC)};
	struct mapping m = {0};
	char line[256];
	uint64_t anonymous_bytes;
	bool seen = false;

	memset(usage, 0, sizeof(*usage));
	if (r.fd < 0)
		return usage_from_statm(usage);
	while (next_line(&r, line, sizeof(line))) {
		if (mapping_header(line, &m) || kb_field(line, "Rss", &m.rss_bytes) ||
		    kb_field(line, "Pss", &m.pss_bytes))
			continue;
		/* "Anonymous" follows the other two and closes the mapping. */
		if (kb_field(line, "Anonymous", &anonymous_bytes)) {
			add_mapping(usage, &m, anonymous_bytes);
			seen = true;
		}
	}
	close(r.fd);
	return seen ? 0 : usage_from_statm(usage);
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
	struct line_reader r = {.fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC)};
	uint64_t bytes = 0;
	char line[256];

	if (r.fd < 0)
		return 0;
	while (next_line(&r, line, sizeof(line))) {
		if (kb_field(line, "VmHWM", &bytes))
			break;
	}
	close(r.fd);
	return bytes;
}
