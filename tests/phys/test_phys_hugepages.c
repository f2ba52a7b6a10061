/* SPDX-License-Identifier: MIT */
/* Which frames and descriptors the system is advised to put into huge pages, and what it
 * says of them. */
#include "tests/phys/phys_test.h"

#include "allocators/os/os_mem.h"
#include "allocators/os/percpu_fast.h"
#include "allocators/phys/phys_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static ssize_t frames_huge;

/* Where the system allows it, advised memory comes in huge pages, and is reported. */
static void test_hugepages(void **state)
{
	char mode[64] = "", *frames;
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, mode, sizeof(mode) - 1);

	(void)state;
	if (fd >= 0)
		close(fd);
	assert_int_equal(phys_hugepage_bytes(), 0);
	up("memory=64M,highmem=0,backing=private,hugepages=never");
	frames = pfn_to_virt(0);
	memset(frames, 1, 8 << 20);
	assert_int_equal(phys_hugepage_bytes(), 0);
	down();
	up("memory=64M,highmem=0,backing=private,hugepages=always");
	frames = pfn_to_virt(0);
	memset(frames, 1, 8 << 20);
	n = n > 0 && strstr(mode, "[never]") == NULL ? (ssize_t)phys_hugepage_bytes() : 0;
	/* Memory may be too fragmented for any. */
	assert_in_range(n, 0, 8 << 20);
	frames_huge = n;
	print_message("%zd KiB of 8192 in huge pages\n", n >> 10);
	down();
}

/* So do the descriptors, of which 4 MiB stand for 512 MiB of frames. */
static void test_hugepages_of_descriptors(void **state)
{
	static const struct {
		const char *options;
		size_t max;
	} cases[] = {
		{"memory=1G,highmem=0,hugepages=never", 0},
		{"memory=1G,highmem=0,hugepages=always", 8 << 20},
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t bytes;

		up(cases[i].options);
		memset(kmem_mem_map, 0, kmem_nr_frames * sizeof(struct page));
		bytes = phys_hugepage_map_bytes();
		assert_in_range(bytes, 0, cases[i].max);
		assert_int_equal(bytes % (2 << 20), 0);
		/* What it did for the frames, the system does here. */
		if (cases[i].max != 0 && frames_huge == 8 << 20)
			assert_true(bytes > 0);
		print_message("%zu KiB of 8192 in huge pages\n", bytes >> 10);
		down();
	}
	assert_int_equal(phys_hugepage_map_bytes(), 0);
}

/* --- what is advised --- */

static size_t advised_map, advised_frames;
static unsigned long lowest_pfn;

static int note_advice(void *addr, size_t size, int advice)
{
	/* The map's address is known to the layer alone before this. */
	const char *map = (const char *)kmem_mem_map;
	const char *map_end = (const char *)(kmem_mem_map + kmem_nr_frames);

	if (advice != MADV_HUGEPAGE)
		return 0;
	if ((char *)addr >= map && (char *)addr < map_end) {
		unsigned long pfn = (unsigned long)((char *)addr - map) /
				    sizeof(struct page);

		assert_true((char *)addr + size <= map_end);
		assert_int_equal((uintptr_t)addr % (2 * MIB), 0);
		lowest_pfn = advised_map == 0 || pfn < lowest_pfn ? pfn : lowest_pfn;
		advised_map += size;
	} else {
		advised_frames += size;
	}
	return 0;
}

/* By default the descriptors of a zone's far frames alone: with one CPU or two, of what
 * lies more than 256 MiB from its start. */
static void test_far_descriptors(void **state)
{
	static const struct os_hooks hooks = {.madvise = note_advice};
	static const struct {
		const char *options;
		size_t gib;
		unsigned int nodes;
	} cases[] = {
		{"memory=256M,highmem=0,topology=flat", 0, 1},
		{"memory=64G,highmem=0,topology=flat", 64, 1},
		{"memory=128G,highmem=0,topology=numa:2 core:1 pu:1", 128, 2},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		size_t near_mib = os_nr_cpus() * (size_t)128;
		size_t near_bytes, all_bytes;

		near_mib = near_mib < 256 ? 256 : near_mib;
		near_bytes = near_mib * MIB / PAGE_SIZE * sizeof(struct page);
		all_bytes = cases[i].gib * 1024 * MIB / PAGE_SIZE * sizeof(struct page);
		advised_map = advised_frames = 0;
		os_set_hooks(&hooks);
		up(cases[i].options);
		os_set_hooks(NULL);
		assert_int_equal(advised_frames, 0);
		if (cases[i].gib == 0 ||
		    cases[i].gib * 1024 / cases[i].nodes <= near_mib) {
			assert_int_equal(advised_map, 0);
		} else {
			size_t most = all_bytes - cases[i].nodes * near_bytes;

			/* Rounded inwards at either end, behind 16 MiB of ZONE_DMA. */
			assert_in_range(advised_map, most - cases[i].nodes * 5 * MIB,
					most);
			assert_true(lowest_pfn >= near_mib * MIB / PAGE_SIZE);
		}
		down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hugepages),
		cmocka_unit_test(test_hugepages_of_descriptors),
		cmocka_unit_test(test_far_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
