/* SPDX-License-Identifier: MIT */
/*
 * Page tables of the vmalloc range, by mmap of the memory file.
 *
 * A frame is mapped by mapping its place in the file (offset pfn * PAGE_SIZE)
 * over the reservation. The price is one system call per run of neighbouring
 * frames plus the filling of the page tables, which one MADV_POPULATE_READ does
 * for the whole area: 64 neighbouring pages cost some 20 us, where 64 single
 * mappings, each touched in turn, cost 190 us (2.3 GHz Xeon, Linux 6.18).
 *
 * Each run is a mapping of its own to the system, and so is the guard page
 * behind an area; vm.max_map_count bounds their number (65,530 by default). At
 * that bound every mmap() of the whole process fails, even the one that would
 * replace a mapping by a reservation. So the layer counts its mappings and
 * stops early (vmap_maps_allowed).
 */
#include "allocators/os/os_sys.h"
#include "allocators/vmalloc/vmalloc_internal.h"
#include <kmem/error.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* What Linux has when nobody changed it: DEFAULT_MAX_MAP_COUNT. */
#define MAX_MAP_COUNT_DEFAULT 65530u

/* Below this many pages insertion beats another pass over the bits. */
#define SORT_SMALL 16u

static void sort_small(struct page **pages, uint32_t nr)
{
	for (uint32_t i = 1; i < nr; i++) {
		struct page *page = pages[i];
		uint32_t at = i;

		for (; at > 0 && pages[at - 1] > page; at--)
			pages[at] = pages[at - 1];
		pages[at] = page;
	}
}

/*
 * Radix exchange: partitions by one bit of the frame number after the other,
 * from the highest. In place, no recursion deeper than there are bits, and no
 * input that makes it slow; libc's qsort() would call malloc().
 */
static void sort_by_bit(struct page **pages, uint32_t nr, unsigned int bit)
{
	while (nr > SORT_SMALL) {
		uint32_t low = 0, high = nr;

		while (low < high) {
			struct page *page = pages[low];

			if ((page_to_pfn(page) >> bit & 1) == 0) {
				low++;
				continue;
			}
			high--;
			pages[low] = pages[high];
			pages[high] = page;
		}
		if (bit == 0)
			return;
		bit--;
		sort_by_bit(pages, low, bit);
		pages += low;
		nr -= low;
	}
	sort_small(pages, nr);
}

void vmap_sort_pages(struct page **pages, uint32_t nr)
{
	uint32_t i = 1;

	/* A buddy system that was not stirred up yet hands pages out in order. */
	while (i < nr && pages[i] > pages[i - 1])
		i++;
	if (i >= nr)
		return;
	sort_by_bit(pages, nr, 63 - (unsigned int)__builtin_clzl(kmem_nr_frames | 1));
}

/* Length of the run of neighbouring frames at pages[0]. */
static uint32_t run_length(struct page **pages, uint32_t nr)
{
	uint32_t n = 1;

	if (!vmap_layer.config.runs)
		return 1;
	while (n < nr && pages[n] == pages[0] + n)
		n++;
	return n;
}

static uint32_t count_runs(struct page **pages, uint32_t nr)
{
	uint32_t runs = 0;

	for (uint32_t i = 0; i < nr; i += run_length(pages + i, nr - i))
		runs++;
	return runs;
}

uint64_t vmap_maps_allowed(void)
{
	char text[32];
	uint64_t max = MAX_MAP_COUNT_DEFAULT;

	if (os_read_file("/proc/sys/vm/max_map_count", text, sizeof(text)))
		max = strtoull(text, NULL, 10);
	/* A sixteenth stays for the rest of the process: libraries, stacks, malloc. */
	return max - max / 16;
}

static int too_many_maps(uint32_t runs)
{
	return kmem_error(
		-ENOMEM,
		"no mapping left for %u runs of pages, %llu are in use: raise the "
		"limit with 'sysctl vm.max_map_count=N', or use fewer areas",
		runs, (unsigned long long)atomic_load(&vmap_layer.maps));
}

int vmap_map_pages(struct vmap_area *area)
{
	struct page **pages = area->vm.pages;
	uint32_t nr = area->vm.nr_pages, runs = count_runs(pages, nr);
	char *addr = area->vm.addr;

	/* The guard page splits the reservation: one mapping more. */
	area->nr_maps = runs + 1;
	if (atomic_fetch_add(&vmap_layer.maps, area->nr_maps) + area->nr_maps >
	    vmap_layer.maps_max)
		goto out_count;
	for (uint32_t i = 0, n; i < nr; i += n) {
		off_t offset = (off_t)page_to_pfn(pages[i]) << PAGE_SHIFT;

		n = run_length(pages + i, nr - i);
		atomic_fetch_add_explicit(&vmap_layer.map_calls, 1, memory_order_relaxed);
		if (os_map_shared_at(addr + ((size_t)i << PAGE_SHIFT),
				     (size_t)n << PAGE_SHIFT, vmap_layer.fd,
				     offset) == NULL) {
			if (i > 0)
				vmap_unmap_range(addr, (size_t)i << PAGE_SHIFT);
			goto out_count;
		}
	}
	/* A system that cannot (before Linux 5.14) maps each page when it is touched. */
	if (vmap_layer.config.populate)
		os_populate(addr, (size_t)nr << PAGE_SHIFT);
	return 0;

out_count:
	atomic_fetch_sub(&vmap_layer.maps, area->nr_maps);
	return too_many_maps(runs);
}

/*
 * At the limit on mappings even the call that would remove some is refused. The
 * range is then made inaccessible instead, which needs no new mapping; the old
 * one goes when the range is used again.
 */
int vmap_unmap_range(char *addr, size_t size)
{
	atomic_fetch_add_explicit(&vmap_layer.unmap_calls, 1, memory_order_relaxed);
	if (os_unmap_to_reserve(addr, size) == 0)
		return 0;
	return os_protect(addr, size, PROT_NONE);
}
