/* SPDX-License-Identifier: MIT */
/* Layout, zones, direct map, backings, refusals, and failures of the system. */
#include "allocators/os/percpu_fast.h"
#include "allocators/phys/phys_internal.h"
#include "tests/os/os_faults.h"
#include "tests/phys/phys_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <kmem/error.h>
#include <kmem/vmalloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static void refused(const char *text, int err, const char *message)
{
	configure(text);
	assert_int_equal(phys_init(&config), err);
	if (strstr(kmem_last_error(), message) == NULL)
		fail_msg("'%s' does not contain '%s'", kmem_last_error(), message);
	kmem_options_release(groups, &config);
	assert_int_equal(kmem_nr_frames, 0);
}

static void test_defaults(void **state)
{
	(void)state;
	up("");
	assert_int_equal(config.memory_bytes, 2048 * MIB);
	assert_int_equal(kmem_nr_frames, 2048 * MIB / PAGE_SIZE);
	assert_int_equal((uintptr_t)kmem_direct_base % (4 * MIB), 0);
	assert_int_equal(phys_memory.node[0].zone[ZONE_DMA].nr_pages,
			 16 * MIB / PAGE_SIZE);
	assert_true(phys_fd() >= 0);
	assert_false(phys_nr_nodes() == 1 && phys_is_simulated());
	assert_int_equal(phys_init(&config), -EBUSY);
	down();
	assert_null(kmem_mem_map);
	assert_int_equal(phys_fd(), -1);
}

/* Zone and node of each frame follow from the layout, without holes. */
static void test_zones_and_conversions(void **state)
{
	unsigned long pfn = 0;

	(void)state;
	up("memory=100M,dma=8M,highmem=20M,topology=numa:3 core:1 pu:1");
	assert_int_equal(phys_nr_nodes(), 3);
	for (int nid = 0; nid < 3; nid++) {
		for (int z = 0; z < MAX_NR_ZONES; z++) {
			const struct phys_zone *zone = &phys_memory.node[nid].zone[z];

			assert_int_equal(zone->start_pfn, pfn);
			assert_int_equal(zone->nr_pages % MAX_ORDER_NR_PAGES, 0);
			for (unsigned long i = 0; i < zone->nr_pages; i++, pfn++) {
				struct page *page = pfn_to_page(pfn);
				char *addr = pfn_to_virt(pfn);

				assert_int_equal(page_to_nid(page), nid);
				assert_int_equal(page_zonenum(page), z);
				assert_int_equal(page_to_pfn(page), pfn);
				assert_ptr_equal(page_address(page),
						 z == ZONE_HIGHMEM ? NULL : addr);
				assert_ptr_equal(virt_to_page(addr + 4095), page);
			}
		}
	}
	assert_int_equal(pfn, kmem_nr_frames);
	assert_false(pfn_valid(pfn));
	assert_true(virt_addr_valid(kmem_direct_base));
	assert_false(virt_addr_valid(phys_direct_end()));
	assert_false(virt_addr_valid(kmem_direct_base - 1));
	down();
}

static void test_direct_map_is_writable_memory(void **state)
{
	(void)state;
	for (int backing = 0; backing < 2; backing++) {
		up(backing == PHYS_MEMFD ? "memory=32M,highmem=0"
					 : "memory=32M,highmem=0,backing=private");
		memset(kmem_direct_base, 0x5a, 32 * MIB);
		assert_int_equal(kmem_direct_base[32 * MIB - 1], 0x5a);
		assert_int_equal(phys_zero_frames(5, 3), 0);
		assert_int_equal(((char *)pfn_to_virt(5))[0], 0);
		assert_int_equal(((char *)pfn_to_virt(8))[0], 0x5a);
		assert_int_equal(phys_discard_frames(16, 16), 0);
		assert_int_equal(((char *)pfn_to_virt(31))[4095], 0);
		assert_int_equal(((char *)pfn_to_virt(32))[0], 0x5a);
		down();
	}
}

static bool child_dies(char *addr)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)addr = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status);
}

static void test_highmem_is_inaccessible_but_there(void **state)
{
	unsigned long pfn;
	char *window;

	(void)state;
	up("memory=32M,highmem=8M,topology=numa:1 pu:1");
	pfn = phys_memory.node[0].zone[ZONE_HIGHMEM].start_pfn;
	assert_true(child_dies(pfn_to_virt(pfn)));
	assert_true(child_dies(phys_direct_end()));
	window = phys_map_frames(pfn + 1, 2);
	assert_non_null(window);
	strcpy(window + PAGE_SIZE, "high");
	phys_unmap_frames(window, pfn + 1, 2);
	window = phys_map_frames(pfn + 2, 1);
	assert_string_equal(window, "high");
	phys_unmap_frames(window, pfn + 2, 1);
	assert_int_equal(phys_zero_frames(pfn + 2, 1), 0);
	window = phys_map_frames(pfn + 2, 1);
	assert_int_equal(window[0], 0);
	phys_unmap_frames(window, pfn + 2, 1);
	/* A frame of the direct map needs no window. */
	assert_ptr_equal(phys_map_frames(7, 1), pfn_to_virt(7));
	phys_unmap_frames(pfn_to_virt(7), 7, 1);
	down();
}

/* The child has its own copy of private frames and shares those of a memory file. */
static void test_fork(void **state)
{
	(void)state;
	for (int backing = 0; backing < 2; backing++) {
		int status;
		pid_t pid;

		up(backing == PHYS_MEMFD ? "memory=16M,dma=0,highmem=0"
					 : "memory=16M,dma=0,highmem=0,backing=private");
		kmem_direct_base[0] = 1;
		pid = fork();
		if (pid == 0) {
			kmem_direct_base[0] = 2;
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(kmem_direct_base[0], backing == PHYS_MEMFD ? 2 : 1);
		down();
	}
}

static void test_vmalloc_range(void **state)
{
	char *base;

	(void)state;
	up("memory=64M,highmem=0");
	base = phys_vmalloc_base(64 * MIB);
	assert_ptr_equal(base, phys_direct_end() + VMALLOC_OFFSET);
	assert_true(child_dies(base));
	assert_ptr_equal(os_map_shared_at(base, PAGE_SIZE, phys_fd(), 0), base);
	strcpy(base, "alias");
	assert_string_equal(kmem_direct_base, "alias");
	assert_null(phys_vmalloc_base((size_t)1 << 60));
	assert_non_null(strstr(kmem_last_error(), "smaller range"));
	assert_null(phys_vmalloc_base((size_t)-1));
	down();
	assert_null(phys_vmalloc_base(64 * MIB));
}

static void test_synthetic_topology(void **state)
{
	(void)state;
	up("memory=64M,highmem=0,topology=numa:4 core:2 pu:1");
	assert_int_equal(phys_nr_nodes(), 4);
	assert_true(phys_is_simulated());
	assert_int_equal(node_distance(2, 2), 10);
	assert_int_equal(node_distance(0, 3), 20);
	assert_int_equal(node_distance(0, 4), 255);
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++)
		assert_int_equal(cpu_to_node(cpu), cpu % 8 / 2);
	assert_int_equal(numa_node_id(), cpu_to_node(os_cpu_id()));
	down();
	up("memory=64M,highmem=0,topology=numa:2 pu:1");
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++)
		assert_int_equal(cpu_to_node(cpu), cpu % 2);
	down();
}

static const char xml[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
	"<topology version=\"2.0\">\n"
	"<object type=\"Machine\" os_index=\"0\" cpuset=\"0x3\" complete_cpuset=\"0x3\" "
	"allowed_cpuset=\"0x3\" nodeset=\"0x3\" complete_nodeset=\"0x3\" "
	"allowed_nodeset=\"0x3\" gp_index=\"1\">\n"
	"<object type=\"Package\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\" "
	"nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"2\">\n"
	"<object type=\"NUMANode\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\" "
	"nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"3\" local_memory=\"1073741824\"/>\n"
	"<object type=\"PU\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\" "
	"nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"4\"/>\n"
	"</object>\n"
	"<object type=\"Package\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\" "
	"nodeset=\"0x2\" complete_nodeset=\"0x2\" gp_index=\"5\">\n"
	"<object type=\"NUMANode\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\" "
	"nodeset=\"0x2\" complete_nodeset=\"0x2\" gp_index=\"6\" local_memory=\"1073741824\"/>\n"
	"<object type=\"PU\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\" "
	"nodeset=\"0x2\" complete_nodeset=\"0x2\" gp_index=\"7\"/>\n"
	"</object>\n"
	"</object>\n"
	"<distances2 type=\"NUMANode\" nbobjs=\"2\" kind=\"5\" name=\"NUMALatency\" "
	"indexing=\"os\">\n"
	"<indexes length=\"4\">0 1 </indexes>\n"
	"<u64values length=\"12\">10 31 31 10 </u64values>\n"
	"</distances2>\n"
	"</topology>\n";

static char xml_path[] = "/tmp/kmem-topology-XXXXXX.xml";

/* Options with a file of that text as the topology. */
static const char *with_xml(const char *text)
{
	static char options[128];
	int fd;

	memcpy(strchr(xml_path, '-') + 10, "XXXXXX", 6);
	fd = mkstemps(xml_path, 4);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(options, sizeof(options), "memory=64M,highmem=0,topology=%s", xml_path);
	return options;
}

static void test_xml_topology(void **state)
{
	(void)state;
	up(with_xml(xml));
	assert_int_equal(phys_nr_nodes(), 2);
	assert_true(phys_is_simulated());
	assert_int_equal(node_distance(0, 1), 31);
	assert_int_equal(node_distance(1, 1), 10);
	assert_int_equal(cpu_to_node(0), 0);
	down();
	assert_int_equal(unlink(xml_path), 0);
}

/* A machine that says that another node is nearer than one's own is not believed. */
static void test_xml_distances(void **state)
{
	char text[sizeof(xml)];

	(void)state;
	memcpy(text, xml, sizeof(xml));
	memcpy(strstr(text, "10 31 31 10"), "10 31 31 40", 11);
	up(with_xml(text));
	assert_int_equal(phys_nr_nodes(), 2);
	assert_int_equal(node_distance(0, 0), 10);
	assert_int_equal(node_distance(0, 1), 20);
	assert_int_equal(node_distance(1, 0), 20);
	assert_int_equal(node_distance(1, 1), 10);
	down();
	assert_int_equal(unlink(xml_path), 0);
	/* What does not fit into a byte is as far as can be. */
	memcpy(strstr(text, "10 31 31 40"), "9 9999 31 9", 11);
	up(with_xml(text));
	assert_int_equal(node_distance(0, 1), 255);
	assert_int_equal(node_distance(1, 0), 31);
	down();
	assert_int_equal(unlink(xml_path), 0);
}

static void test_xml_damaged(void **state)
{
	char text[sizeof(xml)];

	(void)state;
	refused(with_xml("no xml at all"), -EINVAL, xml_path);
	assert_int_equal(unlink(xml_path), 0);
	memcpy(text, xml, sizeof(xml));
	strcpy(strstr(text, "<object type=\"Package\" os_index=\"1\""), "\n");
	refused(with_xml(text), -EINVAL, xml_path);
	assert_int_equal(unlink(xml_path), 0);
}

/* --- where frames really lie: a machine of two nodes that the hooks play --- */

static struct {
	char *start[2]; /* of what mbind() put on a node */
	size_t size[2];
	const char *astray; /* a page on the other node */
	int refuse;	    /* errno */
} machine;

static long played_mbind(void *addr, unsigned long size, int mode,
			 const unsigned long *nodemask, unsigned long maxnode,
			 unsigned int flags)
{
	int node = nodemask[0] == 2;

	(void)mode, (void)maxnode, (void)flags;
	/* Frames come before their descriptors, and are more. */
	if (size > machine.size[node]) {
		machine.start[node] = addr;
		machine.size[node] = size;
	}
	return 0;
}

/* Of each page that is touched: first of its 4 MiB. */
static long played_move_pages(int pid, unsigned long count, void **pages,
			      const int *nodes, int *status, int flags)
{
	assert_true(pid == 0 && nodes == NULL && flags == 0);
	errno = machine.refuse;
	for (unsigned long i = 0; machine.refuse == 0 && i < count; i++) {
		const char *page = pages[i];
		int node = (size_t)(page - machine.start[1]) < machine.size[1];

		assert_true(node || (size_t)(page - machine.start[0]) < machine.size[0]);
		status[i] = (page - kmem_direct_base) % (4 * MIB) != 0 ? -ENOENT
			    : page == machine.astray		       ? !node
								       : node;
	}
	return machine.refuse != 0 ? -1 : 0;
}

static void test_placement(void **state)
{
	static const struct os_hooks hooks = {.mbind = played_mbind,
					      .move_pages = played_move_pages};
	struct phys_placement p = {1, 1};
	char path[] = "/tmp/kmem-topology-XXXXXX.xml";
	char text[128];
	int fd = mkstemps(path, 4);

	(void)state;
	assert_int_equal(phys_placement(&p), -ENOTSUP);
	assert_int_equal(p.frames + p.misplaced, 0);
	up("memory=64M,highmem=0,topology=numa:2 pu:1");
	assert_int_equal(phys_placement(&p), -ENOTSUP);
	down();

	assert_int_equal(write(fd, xml, sizeof(xml) - 1), sizeof(xml) - 1);
	close(fd);
	/* hwloc takes the file's word that it is this machine. */
	setenv("HWLOC_THISSYSTEM", "1", 1);
	os_set_hooks(&hooks);
	snprintf(text, sizeof(text),
		 "memory=64M,dma=4M,highmem=0,backing=private,topology=%s", path);
	up(text);
	unsetenv("HWLOC_THISSYSTEM");
	assert_int_equal(unlink(path), 0);
	assert_false(phys_is_simulated());
	assert_int_equal(phys_placement(&p), 0);
	assert_int_equal(p.frames, 16);
	assert_int_equal(p.misplaced, 0);
	machine.astray = kmem_direct_base + 36 * MIB;
	assert_int_equal(phys_placement(&p), 0);
	assert_int_equal(p.frames, 16);
	assert_int_equal(p.misplaced, 1);
	machine.refuse = EPERM;
	assert_int_equal(phys_placement(&p), -EPERM);
	assert_non_null(strstr(kmem_last_error(), "move_pages"));
	os_set_hooks(NULL);
	down();
}

static void test_refusals(void **state)
{
	(void)state;
	refused("backing=private", -EINVAL, "give highmem=0");
	refused("memory=16M,dma=16M,highmem=16M", -EINVAL, "raise memory");
	refused("memory=16M,dma=0,highmem=16M", -EINVAL, "raise memory");
	refused("memory=8M,dma=0,highmem=0,topology=numa:4 pu:1", -EINVAL,
		"over 4 nodes");
	refused("topology=castle:3", -EINVAL, "'castle:3' is not understood");
	refused("topology=/nowhere/machine.xml", -EINVAL, "cannot be read");
	refused("topology=numa:65 pu:1", -EINVAL, "1 to 64 are supported");
}

static int count_open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Whichever call fails: a sentence, and nothing left behind. Hints may fail silently. */
static void test_every_system_call_fails_once(void **state)
{
	static const char *const setups[] = {
		"memory=64M,highmem=16M,topology=numa:2 pu:1",
		"memory=64M,highmem=0,backing=private,hugepages=never",
	};
	int files = count_open_files();

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(setups); i++) {
		bool all_done = false;

		for (long n = 1; !all_done; n++) {
			int err;

			configure(setups[i]);
			os_faults.mapped_bytes = 0;
			os_faults_arm(n, ENOMEM);
			err = phys_init(&config);
			all_done = os_faults.failed == 0;
			if (err == 0)
				phys_exit();
			else
				assert_true(strlen(kmem_last_error()) > 10);
			os_faults_disarm();
			assert_int_equal(os_faults.mapped_bytes, 0);
			assert_int_equal(count_open_files(), files);
			kmem_options_release(groups, &config);
			assert_true(n < 100);
		}
	}
}

/* A limit with room for the direct map alone. */
static size_t room;
static long mapped;

static void *mmap_within_room(void *addr, size_t size, int prot, int flags, int fd,
			      off_t offset)
{
	void *p = MAP_FAILED;

	errno = ENOMEM;
	if ((flags & MAP_FIXED) != 0 || size <= room)
		p = os_hooks_system.mmap(addr, size, prot, flags, fd, offset);
	if (p != MAP_FAILED && (flags & MAP_FIXED) == 0)
		mapped += (long)size;
	return p;
}

static int munmap_counted(void *addr, size_t size)
{
	mapped -= (long)size;
	return os_hooks_system.munmap(addr, size);
}

/* Then there is no gap behind it and no slack before it, until vmalloc wants the gap. */
static void test_room_for_the_direct_map_alone(void **state)
{
	struct os_hooks hooks = os_hooks_system;
	char *base;

	(void)state;
	hooks.mmap = mmap_within_room;
	hooks.munmap = munmap_counted;
	os_set_hooks(&hooks);
	room = 64 * MIB;
	up("memory=64M,highmem=0,backing=private");
	assert_int_equal((uintptr_t)kmem_direct_base % PHYS_BLOCK_BYTES, 0);
	memset(kmem_direct_base, 1, 64 * MIB);
	assert_null(phys_vmalloc_base(64 * MIB));
	assert_non_null(strstr(kmem_last_error(), "64 MiB"));
	room = (size_t)1 << 40;
	base = phys_vmalloc_base(64 * MIB);
	/* Unless something else of this process lies there. */
	if (base != NULL) {
		assert_ptr_equal(base, phys_direct_end() + VMALLOC_OFFSET);
		assert_true(child_dies(base));
		assert_true(child_dies(base + 64 * MIB - 1));
		assert_ptr_equal(phys_vmalloc_base(64 * MIB), base);
	}
	down();
	assert_int_equal(mapped, 0);
	room = 63 * MIB;
	refused("memory=64M,highmem=0,backing=private", -ENOMEM,
		"64 MiB of address space");
	assert_int_equal(mapped, 0);
	os_set_hooks(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_zones_and_conversions),
		cmocka_unit_test(test_direct_map_is_writable_memory),
		cmocka_unit_test(test_highmem_is_inaccessible_but_there),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_vmalloc_range),
		cmocka_unit_test(test_synthetic_topology),
		cmocka_unit_test(test_xml_topology),
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_xml_distances),
		cmocka_unit_test(test_xml_damaged),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_every_system_call_fails_once),
		cmocka_unit_test(test_room_for_the_direct_map_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
