/* SPDX-License-Identifier: MIT */
/*
 * Huge pages behind the frames.
 *
 * With hugepages=always the direct map is advised to have them. Where the mode in /sys
 * lets advice count, the first touch of 2 MiB then brings a huge page. Where it does not
 * (for shared memory files it is `never` on most systems), they are made here: before
 * the page allocator hands out the first block of 2 MiB, one page of them is touched and
 * the rest collapsed onto it by MADV_COLLAPSE, which no mode forbids. That takes the
 * time of some hundred faults and saves 511; and every further mapping of the frames, a
 * vmalloc area for instance, finds them there. One bit for 2 MiB says that it has been
 * done; it is cleared when the whole goes back to the system. What the system cannot do
 * now (no free huge page) is left to its single pages.
 *
 * Descriptors are advised only: frees from all over the memory miss the translation of
 * each. In a small program 2 MiB of them would be more than all frames in use, so by
 * default those of a zone's first frames are not: CPUs use frames from there on, in
 * regions of their own, so that what comes behind is touched when most of that is in use.
 *
 * What came of it is read back from /proc/self/smaps: AnonHugePages for the private
 * backing and for the descriptors, ShmemPmdMapped for the memory file. Without stdio, for
 * the caller may stand below malloc().
 */
#include "allocators/phys/phys_internal.h"
#include "allocators/os/os_sys.h"
#include "allocators/os/percpu_fast.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HUGE_PAGES ((unsigned long)1 << PHYS_HUGE_ORDER)
#define HUGE_BYTES (PAGE_SIZE << PHYS_HUGE_ORDER)

/* A huge page of descriptors stands for 256 MiB. A CPU's region has 128 MiB. */
#define NEAR_PAGES	   (((unsigned long)256 << 20) >> PAGE_SHIFT)
#define NEAR_PAGES_PER_CPU (((unsigned long)128 << 20) >> PAGE_SHIFT)

_Atomic bool
	phys_collapses; /* whether blocks are to be made huge before their first use */

static _Atomic bool cannot;
static _Atomic uint64_t collapsed, refused;

/* --- making them --- */

static _Atomic uint8_t *huge_byte(unsigned long pfn)
{
	return &phys_memory.huge_done[pfn >> PHYS_HUGE_ORDER];
}

/* The frames at an address of which 2 MiB is a multiple, as they must lie for it. */
static void *map_aligned(unsigned long pfn, char **reserved)
{
	char *aligned;

	*reserved = os_reserve(2 * HUGE_BYTES);
	if (*reserved == NULL)
		return NULL;
	aligned = (char *)KMEM_ALIGN_UP((uintptr_t)*reserved, HUGE_BYTES);
	return os_map_shared_at(aligned, HUGE_BYTES, phys_memory.fd,
				(off_t)(pfn << PAGE_SHIFT));
}

static int collapse(char *addr)
{
	*(volatile char *)addr; /* one page at least, or there is nothing to collapse */
	return os_collapse(addr, HUGE_BYTES);
}

static int collapse_frames(unsigned long pfn)
{
	char *reserved;
	void *addr;
	int err = -ENOMEM;

	if (phys_zone_id(pfn) % MAX_NR_ZONES != ZONE_HIGHMEM)
		return collapse(pfn_to_virt(pfn));
	addr = map_aligned(pfn, &reserved);
	if (addr != NULL)
		err = collapse(addr);
	if (reserved != NULL)
		os_unmap(reserved, 2 * HUGE_BYTES);
	return err;
}

void phys_collapse_frames(unsigned long pfn, unsigned long nr)
{
	for (unsigned long at = KMEM_ALIGN_DOWN(pfn, HUGE_PAGES); at < pfn + nr;
	     at += HUGE_PAGES) {
		int err;

		/* Of two CPUs that come at once, the other goes on with single pages. */
		if (atomic_load_explicit(huge_byte(at), memory_order_relaxed) != 0 ||
		    atomic_exchange(huge_byte(at), 1) != 0)
			continue;
		err = collapse_frames(at);
		if (err == 0) {
			atomic_fetch_add_explicit(&collapsed, 1, memory_order_relaxed);
			continue;
		}
		atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
		if (err == -EINVAL) {
			/* A kernel that cannot (before 6.1), or must not. */
			atomic_store(&cannot, true);
			atomic_store(&phys_collapses, false);
			return;
		}
	}
}

void phys_hugepages_discarded(unsigned long pfn, unsigned long nr)
{
	for (unsigned long at = KMEM_ALIGN_UP(pfn, HUGE_PAGES);
	     phys_memory.huge_done != NULL && at + HUGE_PAGES <= pfn + nr;
	     at += HUGE_PAGES)
		atomic_store(huge_byte(at), 0);
}

/* Whether advice alone brings huge pages; the mode in use stands in brackets. */
static bool advice_counts(void)
{
	const char *path = phys_memory.backing == PHYS_MEMFD
				   ? "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
				   : "/sys/kernel/mm/transparent_hugepage/enabled";
	char mode[128];

	return os_read_file(path, mode, sizeof(mode)) &&
	       strstr(mode, "[never]") == NULL && strstr(mode, "[deny]") == NULL;
}

void phys_hugepages_init(bool always)
{
	atomic_store(&cannot, false);
	atomic_store(&collapsed, 0);
	atomic_store(&refused, 0);
	atomic_store(&phys_collapses, always && !advice_counts());
}

void phys_advise_descriptors(void)
{
	unsigned long near = os_nr_cpus() * NEAR_PAGES_PER_CPU;

	if (near < NEAR_PAGES)
		near = NEAR_PAGES;
	for (int nid = 0; nid < phys_memory.nr_nodes; nid++) {
		const struct phys_zone *zone = &phys_memory.node[nid].zone[ZONE_NORMAL];
		uintptr_t from, to;

		if (zone->nr_pages <= near)
			continue;
		from = (uintptr_t)(kmem_mem_map + zone->start_pfn + near);
		to = (uintptr_t)(kmem_mem_map + zone->start_pfn + zone->nr_pages);
		from = KMEM_ALIGN_UP(from, HUGE_BYTES);
		to = KMEM_ALIGN_DOWN(to, HUGE_BYTES);
		if (from < to)
			os_hugepages((void *)from, to - from, true);
	}
}

void phys_hugepage_stats(struct phys_hugepage_stats *stats)
{
	stats->support = advice_counts() ? PHYS_HUGEPAGES_ADVISED
					 : PHYS_HUGEPAGES_COLLAPSED;
	if (atomic_load(&cannot))
		stats->support = PHYS_HUGEPAGES_NONE;
	stats->collapsed = atomic_load_explicit(&collapsed, memory_order_relaxed);
	stats->refused = atomic_load_explicit(&refused, memory_order_relaxed);
}

/* --- what came of it --- */

struct smaps {
	unsigned long from, to; /* addresses of interest */
	bool inside;		/* the mapping at hand is of those */
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
		s->inside = from >= s->from && from < s->to;
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

static size_t hugepage_bytes(const void *from, const void *to)
{
	struct smaps s = {.from = (unsigned long)from, .to = (unsigned long)to};
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

size_t phys_hugepage_bytes(void)
{
	return hugepage_bytes(kmem_direct_base, phys_direct_end());
}

size_t phys_hugepage_map_bytes(void)
{
	return hugepage_bytes(kmem_mem_map, kmem_mem_map + kmem_nr_frames);
}
