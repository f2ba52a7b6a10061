/* SPDX-License-Identifier: MIT */
/* vmalloc, vmap and their relatives, function by function. */
#include "tests/vmalloc/vmalloc_test.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void sizes_round_up_to_pages(void **state)
{
	static const size_t sizes[] = {1, 8, 4095, 4096, 4097, 65536, 300000, 5 << 20};

	(void)state;
	stack_up(NULL);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		size_t pages = (sizes[i] + PAGE_SIZE - 1) / PAGE_SIZE;
		unsigned char *p = vmalloc(sizes[i]);
		struct vm_struct *area;

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % PAGE_SIZE, 0);
		assert_true(is_vmalloc_addr(p));
		area = find_vm_area(p);
		assert_non_null(area);
		assert_ptr_equal(area->addr, p);
		assert_int_equal(area->nr_pages, pages);
		assert_int_equal(area->size_bytes, (pages + 1) * PAGE_SIZE);
		assert_int_equal(!!(area->flags & VM_VPAGES), pages > 512);
		assert_null(find_vm_area(p + PAGE_SIZE));
		assert_int_equal(kvsize(p), pages * PAGE_SIZE);
		memset(p, 0xab, pages * PAGE_SIZE);
		for (size_t n = 0; n < pages; n++) {
			struct page *page =
				vmalloc_to_page(p + n * PAGE_SIZE + n % PAGE_SIZE);

			assert_ptr_equal(page, area->pages[n]);
			assert_int_equal(atomic_load(&page->_mapcount), 1);
		}
		assert_null(vmalloc_to_page(p + pages * PAGE_SIZE));
		assert_vmalloc_sound();
		vfree(p);
		assert_null(find_vm_area(p));
		assert_null(vmalloc_to_page(p));
		assert_vmalloc_sound();
	}
	vfree(NULL);
	stack_down();
}

static void first_fit_by_address(void **state)
{
	char *a, *b, *c, *d;

	(void)state;
	stack_up("lazy_bytes=0");
	a = vmalloc(2 * PAGE_SIZE);
	b = vmalloc(3 * PAGE_SIZE);
	c = vmalloc(PAGE_SIZE);
	assert_ptr_equal(a, phys_direct_end() + VMALLOC_OFFSET);
	assert_ptr_equal(b, a + 3 * PAGE_SIZE); /* a page of guard between them */
	assert_ptr_equal(c, b + 4 * PAGE_SIZE);
	vfree(b);
	d = vmalloc(4 * PAGE_SIZE); /* does not fit where b was */
	assert_ptr_equal(d, c + 2 * PAGE_SIZE);
	b = vmalloc(PAGE_SIZE);
	assert_ptr_equal(b, a + 3 * PAGE_SIZE);
	vfree(a);
	vfree(b);
	vfree(c);
	vfree(d);
	stack_down();
}

static void zeroed_also_when_reused(void **state)
{
	unsigned char *p;

	(void)state;
	stack_up(NULL);
	for (int round = 0; round < 3; round++) {
		p = vzalloc(3 * PAGE_SIZE - 5);
		assert_non_null(p);
		for (size_t i = 0; i < 3 * PAGE_SIZE; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, 3 * PAGE_SIZE);
		vfree(p);
	}
	stack_down();
}

static void refusals_have_texts(void **state)
{
	(void)state;
	assert_null(vmalloc(PAGE_SIZE));
	assert_error("'vmalloc' before vmalloc_init()");
	assert_int_not_equal(vmalloc_init(&stack_config.vmalloc), 0);
	assert_error("call phys_init()");
	stack_up(NULL);
	assert_int_equal(vmalloc_init(&stack_config.vmalloc), -16);
	assert_error("already up");
	assert_null(vmalloc(0));
	assert_error("'vmalloc' of 0 bytes: ask for 1 at least");
	assert_null(vzalloc(0));
	assert_error("'vzalloc' of 0 bytes");
	assert_null(vmalloc(SIZE_MAX));
	assert_error("pages in all; raise option 'memory'");
	assert_null(vmalloc(SIZE_MAX - PAGE_SIZE + 2));
	assert_error("pages in all");
	assert_null(vmalloc((size_t)65 << 20));
	assert_error("pages in all");
	assert_null(
		vmalloc((size_t)64 << 20)); /* as many as there are, but not all free */
	assert_error("pages for vmalloc of 67108864 bytes");
	assert_null(vmalloc_node(PAGE_SIZE, 99));
	assert_error("'vmalloc_node' on node 99");
	assert_null(vmalloc_node(PAGE_SIZE, -7));
	assert_error("'vmalloc_node' on node -7");
	assert_null(__vmalloc_aligned(PAGE_SIZE, 12288, GFP_HIGHUSER, NUMA_NO_NODE));
	assert_error("with alignment 12288: use a power of two");
	assert_null(__vmalloc_aligned(PAGE_SIZE, (size_t)1 << 40, GFP_HIGHUSER,
				      NUMA_NO_NODE));
	assert_error("raise option 'range_bytes'");
	assert_null(__vmalloc(PAGE_SIZE, (gfp_t)1 << 31));
	assert_null(__vmalloc(PAGE_SIZE, __GFP_DMA | __GFP_HIGHMEM));
	assert_null(kvmalloc(0, GFP_KERNEL));
	assert_error("'kvmalloc' of 0 bytes");
	assert_vmalloc_sound();
	stack_down();
}

static void private_backing_is_refused(void **state)
{
	(void)state;
	stack_up_below("backing=private,highmem=0");
	assert_int_equal(vmalloc_init(&stack_config.vmalloc), -22);
	assert_error("use 'backing=memfd'");
	assert_false(is_vmalloc_addr(phys_direct_end() + VMALLOC_OFFSET));
	stack_down_below();
}

static void range_runs_out(void **state)
{
	void *p[64];
	size_t n = 0;

	(void)state;
	stack_up("range_bytes=1M"); /* 256 pages: 15 areas of 16 pages and their guards */
	while (n < 64 && (p[n] = vmalloc(16 * PAGE_SIZE)) != NULL)
		n++;
	assert_int_equal(n, 15);
	assert_error("no hole of 17 pages in the vmalloc range, the largest has 1");
	assert_vmalloc_sound();
	/* Freed areas of another size make room: they are unmapped on demand. */
	for (size_t i = 0; i < n; i++)
		vfree(p[i]);
	p[0] = vmalloc(200 * PAGE_SIZE);
	assert_non_null(p[0]);
	vfree(p[0]);
	stack_down();
}

/* --- misuse --- */

static void misuse_is_reported(void **state)
{
	char *a, *b, *m;
	struct page *page;

	(void)state;
	stack_up(NULL);
	expect_reports();
	a = vmalloc(3 * PAGE_SIZE);
	b = vmalloc(100 * PAGE_SIZE);
	page = alloc_page(GFP_KERNEL);
	m = vmap(&page, 1, VM_MAP);
	assert_non_null(m);

	vfree(a + PAGE_SIZE);
	assert_report(
		"vfree() of %p: lies inside the area at %p (3 pages), which must be freed by "
		"its start",
		(void *)(a + PAGE_SIZE), (void *)a);
	vfree(a + 8);
	assert_int_equal(nr_reports, 1);
	nr_reports = 0;
	vfree(a + 3 * PAGE_SIZE);
	assert_report("vfree() of %p: no area is there; freed twice, or never allocated",
		      (void *)(a + 3 * PAGE_SIZE));
	vfree(&page);
	assert_report("vfree() of %p: not an address of the vmalloc range",
		      (void *)&page);
	vfree(m);
	assert_report("vfree() of %p: the area was made by vmap(), use vunmap()",
		      (void *)m);
	vunmap(a);
	assert_report("vunmap() of %p: the area was made by vmalloc(), use vfree()",
		      (void *)a);

	/* A page that an area shows cannot be freed. */
	__free_page(page);
	assert_int_equal(nr_reports, 1);
	nr_reports = 0;

	vfree(a);
	vfree(a);
	assert_report("vfree() of %p: double free of an area of 3 pages", (void *)a);
	vfree(b);
	vfree(b);
	assert_report("vfree() of %p: double free of an area of 100 pages", (void *)b);
	vm_unmap_aliases();
	vfree(a);
	assert_report("vfree() of %p: no area is there; freed twice, or never allocated",
		      (void *)a);
	vunmap(m);
	vunmap(m);
	assert_report("vunmap() of %p: no area is there; freed twice, or never allocated",
		      (void *)m);
	__free_page(page);
	assert_int_equal(nr_reports, 0);
	kmem_set_bug_handler(NULL, NULL);
	stack_down();
}

/* --- what is behind the addresses --- */

static bool faults(volatile char *addr)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		*addr = 1;
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void guard_pages_fault(void **state)
{
	char *a, *b;

	(void)state;
	stack_up("lazy_bytes=0");
	a = vmalloc(4 * PAGE_SIZE);
	b = vmalloc(PAGE_SIZE);
	assert_false(faults(a));
	assert_false(faults(a + 4 * PAGE_SIZE - 1));
	assert_true(faults(a + 4 * PAGE_SIZE));
	assert_true(faults(b - 1)); /* the same guard page, from above */
	assert_true(faults(b + PAGE_SIZE));
	assert_true(faults(a - 1)); /* the gap after the direct map */
	vfree(a);
	assert_true(faults(a)); /* eager: unmapped at once */
	assert_false(faults(b));
	vfree(b);
	stack_down();
}

/* One frame, three addresses: the direct map, vmalloc's, and vmap's. */
static void aliases_show_the_same_bytes(void **state)
{
	char *p, *direct, *again;
	struct page *pages[3];

	(void)state;
	stack_up(NULL);
	p = __vmalloc(3 * PAGE_SIZE, GFP_KERNEL);
	assert_non_null(p);
	for (int i = 0; i < 3; i++) {
		pages[2 - i] = vmalloc_to_page(p + i * PAGE_SIZE);
		direct = page_address(pages[2 - i]);
		assert_non_null(direct);
		snprintf(direct, 64, "page %d", i);
		assert_string_equal(p + i * PAGE_SIZE, direct);
	}
	again = vmap(pages, 3, VM_MAP);
	assert_non_null(again);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(again + (2 - i) * PAGE_SIZE, p + i * PAGE_SIZE);
		again[(2 - i) * PAGE_SIZE + 5] = 'x';
		assert_int_equal(p[i * PAGE_SIZE + 5], 'x');
		assert_int_equal(atomic_load(&pages[i]->_mapcount), 2);
		assert_ptr_equal(vmalloc_to_page(again + i * PAGE_SIZE), pages[i]);
	}
	assert_vmalloc_sound();
	vunmap(again);
	for (int i = 0; i < 3; i++)
		assert_int_equal(atomic_load(&pages[i]->_mapcount), 1);
	vfree(p);
	stack_down();
}

/* A page may be mapped twice in one area, and its frames in any order. */
static void vmap_keeps_the_order(void **state)
{
	struct page *pages[4], *order[8];
	char *m;

	(void)state;
	stack_up(NULL);
	for (int i = 0; i < 4; i++) {
		pages[i] = alloc_page(GFP_HIGHUSER);
		assert_non_null(pages[i]);
	}
	for (int i = 0; i < 8; i++)
		order[i] = pages[(i * 3) % 4];
	m = vmap(order, 8, VM_MAP);
	assert_non_null(m);
	for (int i = 0; i < 8; i++)
		snprintf(m + (size_t)i * PAGE_SIZE, 32, "pfn %lu", page_to_pfn(order[i]));
	for (int i = 0; i < 8; i++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "pfn %lu", page_to_pfn(order[i]));
		assert_string_equal(m + (size_t)i * PAGE_SIZE, expected);
		assert_int_equal(atomic_load(&order[i]->_mapcount), 2);
	}
	assert_vmalloc_sound();
	vunmap(m);
	assert_null(vmap(pages, 0, VM_MAP));
	assert_error("'vmap' of 0 pages");
	assert_null(vmap(pages, 1, VM_ALLOC));
	assert_error("use VM_MAP or VM_IOREMAP");
	order[0] = NULL;
	assert_null(vmap(order, 1, VM_MAP));
	assert_error("is no page descriptor");
	for (int i = 0; i < 4; i++)
		__free_page(pages[i]);
	stack_down();
}

static void alignment(void **state)
{
	struct page *pages[64];
	void *first, *p;

	(void)state;
	stack_up(NULL);
	first = vmalloc(1);
	for (size_t align = 1; align <= (size_t)64 << 20; align *= 2) {
		p = __vmalloc_aligned(5 * PAGE_SIZE, align, GFP_HIGHUSER, NUMA_NO_NODE);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % align, 0);
		vfree(p);
		/* An aligned area is reused by the same alignment. */
		assert_ptr_equal(__vmalloc_aligned(5 * PAGE_SIZE, align, GFP_HIGHUSER,
						   NUMA_NO_NODE),
				 p);
		vfree(p);
	}
	assert_int_equal(alloc_pages_bulk(GFP_HIGHUSER, 64, pages), 64);
	p = vmap(pages, 33, VM_IOREMAP);
	assert_int_equal((uintptr_t)p % (64 * PAGE_SIZE), 0);
	vunmap(p);
	p = vmap(pages, 64, VM_IOREMAP);
	assert_int_equal((uintptr_t)p % (64 * PAGE_SIZE), 0);
	vunmap(p);
	free_pages_bulk(64, pages);
	vfree(first);
	stack_down();
}

static void zones_are_obeyed(void **state)
{
	char *high, *normal, *dma;

	(void)state;
	stack_up(NULL);
	high = vmalloc(8 * PAGE_SIZE);
	normal = __vmalloc(8 * PAGE_SIZE, GFP_KERNEL);
	dma = __vmalloc(8 * PAGE_SIZE, GFP_DMA | __GFP_WAIT);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(page_zonenum(vmalloc_to_page(high + i * PAGE_SIZE)),
				 ZONE_HIGHMEM);
		assert_int_not_equal(
			page_zonenum(vmalloc_to_page(normal + i * PAGE_SIZE)),
			ZONE_HIGHMEM);
		assert_int_equal(page_zonenum(vmalloc_to_page(dma + i * PAGE_SIZE)),
				 ZONE_DMA);
	}
	/* A freed area is not handed to who wants other zones. */
	vfree(high);
	vfree(normal);
	vfree(dma);
	assert_ptr_equal(__vmalloc(8 * PAGE_SIZE, GFP_DMA | __GFP_WAIT), dma);
	assert_ptr_equal(__vmalloc(8 * PAGE_SIZE, GFP_KERNEL), normal);
	assert_ptr_equal(vmalloc(8 * PAGE_SIZE), high);
	vfree(high);
	vfree(normal);
	vfree(dma);
	/* More than HIGHMEM has: the zonelist goes on. */
	high = vmalloc((size_t)20 << 20);
	assert_non_null(high);
	vfree(high);
	stack_down();
}

static void nodes_are_obeyed(void **state)
{
	(void)state;
	stack_up("topology=numa:4 core:1 pu:1,memory=128M,highmem=64M");
	assert_int_equal(phys_nr_nodes(), 4);
	for (int round = 0; round < 2; round++) {
		for (int nid = 0; nid < 4; nid++) {
			static const size_t sizes[] = {4, 100}; /* stacks; pool */

			for (size_t s = 0; s < 2; s++) {
				char *p = vmalloc_node(sizes[s] * PAGE_SIZE, nid);

				assert_non_null(p);
				for (size_t i = 0; i < sizes[s]; i++)
					assert_int_equal(page_to_nid(vmalloc_to_page(
								 p + i * PAGE_SIZE)),
							 nid);
				vfree(p);
			}
		}
		assert_vmalloc_sound();
	}
	stack_down();
}

static void kvmalloc_takes_either_way(void **state)
{
	static const size_t sizes[] = {1, 4096, 10000, (size_t)1 << 20, (size_t)10 << 20};

	(void)state;
	stack_up(NULL);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		unsigned char *p = kvzalloc(sizes[i], GFP_KERNEL);

		assert_non_null(p);
		assert_int_equal(is_vmalloc_addr(p), sizes[i] > KMALLOC_MAX_SIZE);
		assert_true(kvsize(p) >= sizes[i]);
		assert_int_equal(p[0], 0);
		assert_int_equal(p[sizes[i] - 1], 0);
		memset(p, 1, sizes[i]);
		kvfree(p);
	}
	kvfree(NULL);
	/* kmalloc() is asked with a part of the mask: what is wrong with the rest is
	 * told. */
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		kmem_error(0, "nothing");
		assert_null(kvmalloc(sizes[i], __GFP_NOFAIL));
		assert_error("need __GFP_WAIT");
		assert_null(
			kvmalloc(sizes[i], GFP_KERNEL | __GFP_NOFAIL | __GFP_NORETRY));
		assert_error("exclude each other");
	}
	stack_down();
}

static void exit_releases_live_areas(void **state)
{
	struct page *page;

	(void)state;
	for (int round = 0; round < 2; round++) {
		stack_up(round == 0 ? NULL
				    : "lazy_bytes=0,search=list,runs=off,populate=off");
		page = alloc_page(GFP_HIGHUSER);
		assert_non_null(vmalloc(10 * PAGE_SIZE));
		assert_non_null(
			vmalloc(2000 * PAGE_SIZE)); /* its page array is an area too */
		vfree(vmalloc(600 * PAGE_SIZE));
		assert_non_null(vmap(&page, 1, VM_MAP));
		assert_vmalloc_sound();
		vmalloc_exit();
		vmalloc_exit();
		__free_page(page);
		assert_int_equal(free_pages_now(), stack_free_pages_at_start);
		/* And it comes up again on the same physical memory. */
		assert_int_equal(vmalloc_init(&stack_config.vmalloc), 0);
		vfree(vmalloc(1));
		stack_down();
	}
}

/* A system that has no more than 1 GiB in one piece. */
static void *mmap_up_to_1g(void *addr, size_t size, int prot, int flags, int fd,
			   off_t offset)
{
	if (size > (size_t)1 << 30) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return mmap(addr, size, prot, flags, fd, offset);
}

static void range_is_halved_until_it_fits(void **state)
{
	static const struct os_hooks hooks = {.mmap = mmap_up_to_1g};
	struct vmalloc_stats stats;

	(void)state;
	stack_up_below("range_bytes=256G");
	stack_free_pages_at_start = free_pages_now();
	os_set_hooks(&hooks);
	assert_int_equal(vmalloc_init(&stack_config.vmalloc), 0);
	os_set_hooks(NULL);
	vmalloc_stats(&stats);
	assert_in_range(stats.range_bytes, (uint64_t)64 << 20, (uint64_t)128 << 30);
	assert_int_equal(stats.range_bytes & (stats.range_bytes - 1), 0);
	assert_true(stats.largest_hole_bytes == stats.range_bytes);
	vfree(vmalloc(PAGE_SIZE));
	stack_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		vmalloc_test(refusals_have_texts),
		vmalloc_test(sizes_round_up_to_pages),
		vmalloc_test(first_fit_by_address),
		vmalloc_test(zeroed_also_when_reused),
		vmalloc_test(private_backing_is_refused),
		vmalloc_test(range_runs_out),
		vmalloc_test(misuse_is_reported),
		vmalloc_test(guard_pages_fault),
		vmalloc_test(aliases_show_the_same_bytes),
		vmalloc_test(vmap_keeps_the_order),
		vmalloc_test(alignment),
		vmalloc_test(zones_are_obeyed),
		vmalloc_test(nodes_are_obeyed),
		vmalloc_test(kvmalloc_takes_either_way),
		vmalloc_test(exit_releases_live_areas),
		vmalloc_test(range_is_halved_until_it_fits),
	};

	return cmocka_run_group_tests(tests, pin_to_one_cpu, NULL);
}
