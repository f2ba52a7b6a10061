/* SPDX-License-Identifier: MIT */
/*
 * Resident memory of this process, R: the pages that it has for itself. Reads without
 * allocating.
 *
 * THEORY. R is what the machine would get back if the process ended:
 *
 *   - private pages that were written: "Anonymous" of /proc/self/smaps_rollup;
 *   - pages of shared memory, each of them once. A page that is mapped at two addresses
 *     is one page, so that "Pss_Shmem" is taken and not the kernel's rss. A page of a
 *     memory file (memfd_create(2), or an unlinked file on a tmpfs) that is mapped
 *     nowhere is in neither, and is held all the same until a hole is punched: blocks of
 *     the files that the process has open are counted, and the larger of the two
 *     holds. libkmem's frames are such a file where vmalloc needs a second address; with
 *     what is mapped alone its free frames would look as if they had been given back.
 *
 * Clean pages of file mappings, that is text and constants of the program and its
 * libraries, are left out: they come in as code is first run, they are shared with
 * every process that runs the same code, and the C library's were there before any
 * allocator was created. With them jemalloc would be charged some 640 KiB for its text
 * and glibc nothing.
 *
 * Where smaps_rollup may not be read, /proc/self/status has running counters (RssAnon,
 * RssShmem), which may lag by some dozen pages a CPU on kernels that do not sum them
 * (6.2 to 6.15), and count a page as often as it is mapped.
 *
 * Not counted: huge pages of hugetlbfs, and what was swapped out of private memory.
 */
#ifndef KMEMBENCH_MEMORY_USAGE_H
#define KMEMBENCH_MEMORY_USAGE_H

#include <kmem/compiler.h>

struct memory_usage {
	uint64_t rss_bytes; /* R, as above */
	uint64_t pss_bytes; /* of these, what is mapped */
	/* What the kernel's rss counts besides, and so does its high-water mark: clean
	 * pages of files, and second mappings of a page. */
	uint64_t file_bytes;
};

/* For many readings: the files stay open. */
struct memory_reader {
	int rollup_fd, status_fd, files_fd; /* -1: cannot be had */
	_Alignas(8) char text[8192];	    /* any of the files is shorter by half */
};

/* Always succeeds: what cannot be opened is not read. */
void memory_reader_open(struct memory_reader *reader);
/* 0, or -ENODATA where neither file can be read. */
int memory_reader_read(struct memory_reader *reader, struct memory_usage *usage);
/* Name of the file that resident bytes come from: "smaps_rollup" or "status". */
const char *memory_reader_source(const struct memory_reader *reader);
void memory_reader_close(struct memory_reader *reader);

/* A single reading: 0 or -errno. */
int memory_usage_now(struct memory_usage *usage);

/*
 * Value in bytes of the line "Name:   123 kB" of a text; false when there is none.
 * name: with its colon.
 */
bool memory_kb_field(const char *text, const char *name, uint64_t *bytes);

/* Resets the kernel's high-water mark of this process; 0 or -errno. */
int memory_peak_reset(void);
/* Highest rss since then as the kernel counts it, bytes, file_bytes included; 0 when
 * unknown. */
uint64_t memory_peak_bytes(void);

#endif /* KMEMBENCH_MEMORY_USAGE_H */
