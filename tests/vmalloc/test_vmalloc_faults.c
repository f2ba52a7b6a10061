/* SPDX-License-Identifier: MIT */
/* Failures of the system and of the layers below: nothing is lost, and the text says why.
 */
#include "tests/vmalloc/vmalloc_test.h"

#include <errno.h>
#include <sys/mman.h>

/* --- hooks that fail on demand --- */

static struct {
	unsigned int calls;   /* since the hooks were armed */
	unsigned int fail_at; /* this call fails, counted from 1; 0: none */
	bool and_all_after;
	unsigned int shared_maps_left; /* mappings of the file that still succeed */
} faults;

static bool fails_now(void)
{
	faults.calls++;
	return faults.fail_at != 0 &&
	       (faults.calls == faults.fail_at ||
		(faults.and_all_after && faults.calls > faults.fail_at));
}

static void *faulty_mmap(void *addr, size_t size, int prot, int flags, int fd,
			 off_t offset)
{
	bool shared = (flags & MAP_SHARED) != 0;

	if (fails_now() || (shared && faults.shared_maps_left == 0)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (shared)
		faults.shared_maps_left--;
	return mmap(addr, size, prot, flags, fd, offset);
}

static int faulty_mprotect(void *addr, size_t size, int prot)
{
	if (fails_now()) {
		errno = ENOMEM;
		return -1;
	}
	return mprotect(addr, size, prot);
}

static int faulty_madvise(void *addr, size_t size, int advice)
{
	if (fails_now()) {
		errno = EINVAL;
		return -1;
	}
	return madvise(addr, size, advice);
}

static void arm(unsigned int fail_at, bool and_all_after)
{
	static const struct os_hooks hooks = {.mmap = faulty_mmap,
					      .mprotect = faulty_mprotect,
					      .madvise = faulty_madvise};

	faults.calls = 0;
	faults.fail_at = fail_at;
	faults.and_all_after = and_all_after;
	faults.shared_maps_left = UINT32_MAX;
	os_set_hooks(&hooks);
}

/* A bit of everything; every allocation may fail. Returns how many did not. */
static unsigned int script(void)
{
	struct page *pages[6];
	size_t nr = alloc_pages_bulk(GFP_HIGHUSER, 6, pages);
	unsigned int good = 0;
	void *p[5];

	p[0] = vmalloc(3 * PAGE_SIZE);
	p[1] = vmalloc(70 * PAGE_SIZE);
	p[2] = vzalloc(600 * PAGE_SIZE); /* with a page array of its own */
	p[3] = vmap(pages, (unsigned int)nr, VM_MAP);
	vfree(p[1]);
	p[1] = vmalloc(71 * PAGE_SIZE);
	p[4] = __vmalloc_aligned(2 * PAGE_SIZE, 1 << 20, GFP_KERNEL, 0);
	for (int i = 0; i < 5; i++) {
		if (p[i] == NULL)
			continue;
		good++;
		if (i != 3)
			memset(p[i], i, PAGE_SIZE);
	}
	vm_unmap_aliases();
	vfree(p[0]);
	vfree(p[1]);
	vfree(p[2]);
	vunmap(p[3]);
	vfree(p[4]);
	vm_unmap_aliases();
	os_set_hooks(NULL);
	/* What could not be unmapped is unmapped now, so that the pages can be freed. */
	vm_unmap_aliases();
	free_pages_bulk(nr, pages);
	return good;
}

static void inject(const char *options, bool and_all_after)
{
	unsigned int with_failures = 0, calls;

	stack_up(options);
	arm(0, false);
	assert_int_equal(script(), 5);
	calls = faults.calls;
	assert_true(calls > 8);
	/* Where each page is a call, some hundred are alike: a sample of them does. */
	for (unsigned int n = 1; n <= calls; n += 1 + calls / 100) {
		struct vmalloc_stats stats;

		arm(n, and_all_after);
		if (script() < 5)
			with_failures++;
		assert_vmalloc_sound();
		vmalloc_stats(&stats);
		assert_int_equal(stats.areas, 0);
		assert_int_equal(stats.lazy_areas, 0);
		assert_int_equal(atomic_load(&vmap_layer.maps), 0);
	}
	/* One failure may be made good by a purge and a second try; many cannot. */
	if (and_all_after)
		assert_true(with_failures > 0);
	assert_int_equal(script(), 5);
	stack_down();
}

static void every_system_call_fails_once(void **state)
{
	(void)state;
	inject(NULL, false);
	inject("lazy_bytes=0,search=tree", false);
	inject("search=list,runs=off,populate=off", false);
}

static void every_system_call_fails_from_then_on(void **state)
{
	(void)state;
	inject(NULL, true);
	inject("lazy_bytes=0,search=tree", true);
	inject("search=list,runs=off,populate=off", true);
}

/* The same for the set-up itself. */
static void init_fails_cleanly(void **state)
{
	unsigned int n = 0;
	int err;

	(void)state;
	stack_up_below(NULL);
	do {
		arm(++n, true);
		err = vmalloc_init(&stack_config.vmalloc);
		os_set_hooks(NULL);
		if (err != 0) {
			assert_int_equal(vmap_layer.range_bytes, 0);
			assert_null(vmalloc(1));
		}
	} while (err != 0 && n < 100);
	assert_int_equal(err, 0);
	assert_in_range(n, 3, 99);
	vfree(vmalloc(1));
	vmalloc_exit();
	stack_down_below();
}

/* --- vm.max_map_count --- */

static void enomem_from_mmap_names_the_limit(void **state)
{
	enum { AREAS = 20 };
	void *p[AREAS];
	int n = 0;

	(void)state;
	stack_up("lazy_bytes=0,runs=off");
	arm(0, false);
	faults.shared_maps_left = 50;
	while (n < AREAS && (p[n] = vmalloc(8 * PAGE_SIZE)) != NULL) {
		memset(p[n], n + 1, 8 * PAGE_SIZE);
		n++;
	}
	assert_int_equal(n, 6); /* 48 mappings; the seventh area's third one fails */
	assert_error("raise the limit with 'sysctl vm.max_map_count=N'");
	assert_vmalloc_sound();
	for (int i = 0; i < n; i++)
		assert_int_equal(((char *)p[i])[8 * PAGE_SIZE - 1], i + 1);
	vfree(p[2]);
	faults.shared_maps_left += 8;
	p[2] = vmalloc(8 * PAGE_SIZE);
	assert_non_null(p[2]);
	for (int i = 0; i < n; i++)
		vfree(p[i]);
	os_set_hooks(NULL);
	stack_down();
}

static void freed_areas_make_room_for_mappings(void **state)
{
	void *p[10], *q;

	(void)state;
	stack_up("runs=off");
	vmap_layer.maps_max = 100; /* ten areas of nine mappings and a guard */
	for (int i = 0; i < 10; i++) {
		p[i] = vmalloc(9 * PAGE_SIZE);
		assert_non_null(p[i]);
	}
	assert_null(vmalloc(9 * PAGE_SIZE));
	assert_error("no mapping left for 9 runs of pages, 100 are in use");
	for (int i = 0; i < 10; i++)
		vfree(p[i]);
	q = vmalloc(50 * PAGE_SIZE); /* of another size: they have to go */
	assert_non_null(q);
	vfree(q);
	stack_down();
}

/*
 * The system's real limit: two frames that are no neighbours, in turn, make a
 * mapping of each page. The layer stops before the process is in trouble.
 */
static void the_real_limit_is_met_in_time(void **state)
{
	enum { PAGES = 512, AREAS_MAX = 400 };
	static struct page *pages[PAGES];
	static void *p[AREAS_MAX];
	struct page *two[3];
	unsigned int n = 0;
	void *other;

	(void)state;
	if (vmap_maps_allowed() > (uint64_t)(AREAS_MAX - 1) * PAGES)
		skip(); /* this system allows so many that the test would take minutes */
	stack_up("populate=off");
	assert_int_equal(alloc_pages_bulk(GFP_HIGHUSER, 3, two), 3);
	for (int i = 0; i < PAGES; i++)
		pages[i] = two[i % 2 == 0 ? 0 : 2];
	while ((p[n] = vmap(pages, PAGES, VM_MAP)) != NULL) {
		n++;
		assert_true(n < AREAS_MAX);
	}
	assert_error("vm.max_map_count");
	assert_true(n * PAGES >= vmap_layer.maps_max - 2 * PAGES);
	/* Everybody else can still map. */
	other = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(other, MAP_FAILED);
	munmap(other, PAGE_SIZE);
	while (n > 0)
		vunmap(p[--n]);
	free_pages_bulk(3, two);
	stack_down();
}

/* --- pages --- */

static void pages_run_out(void **state)
{
	enum { AREAS = 4096 };
	static void *p[AREAS];
	size_t n;

	(void)state;
	stack_up(NULL);
	for (int round = 0; round < 3; round++) {
		for (n = 0; n < AREAS; n++) {
			p[n] = vmalloc(((n * 7) % 60 + 1) * PAGE_SIZE);
			if (p[n] == NULL)
				break;
			memset(p[n], 1, PAGE_SIZE);
		}
		assert_in_range(n, 200, AREAS - 1);
		assert_error("'memory'");
		assert_vmalloc_sound();
		while (n > 0)
			vfree(p[--n]);
	}
	stack_down();
}

/* No low memory left for descriptors, whatever HIGHMEM has. */
static void descriptors_run_out(void **state)
{
	enum { PAGES = 64 << 8 };
	static struct page *low[PAGES];
	static void *p[PAGES];
	size_t nr_low, n = 0;

	(void)state;
	stack_up(NULL);
	nr_low = alloc_pages_bulk(GFP_NOWAIT | __GFP_HIGH, PAGES, low);
	while (n < PAGES && (p[n] = vmalloc(PAGE_SIZE)) != NULL)
		n++;
	assert_true(n < PAGES);
	assert_vmalloc_sound();
	while (n > 0)
		vfree(p[--n]);
	free_pages_bulk(nr_low, low);
	stack_down();
}

/* Much is asked for as one block without a word and without a second try; a page, that
 * vmalloc could not find either, in earnest. */
static void kvmalloc_tries_quietly(void **state)
{
	enum { PAGES = 1 << 14 };
	static struct page *page[PAGES];
	size_t n = 0;
	char *p;

	(void)state;
	stack_up("memory=32M,dma=0,highmem=0,topology=numa:1 pu:1");
	while (n < PAGES &&
	       (page[n] = alloc_page(GFP_KERNEL | __GFP_MEMALLOC | __GFP_NOWARN)) != NULL)
		n++;
	/* Nothing in one piece is left, of the reserve neither. */
	assert_true(n < PAGES);
	kmem_error(0, "%s", "");
	while (kvmalloc(100, GFP_KERNEL) != NULL)
		;
	assert_string_not_equal(kmem_last_error(), "no error");
	/* Every second page is free. */
	for (size_t i = 0; i < n; i++) {
		if (page_to_pfn(page[i]) % 2 == 0) {
			__free_page(page[i]);
			page[i] = NULL;
		}
	}
	kmem_error(0, "%s", "");
	p = kvmalloc(64 << 10, GFP_KERNEL);
	assert_true(is_vmalloc_addr(p));
	assert_string_equal(kmem_last_error(), "no error");
	memset(p, 1, 64 << 10);
	kvfree(p);
	for (size_t i = 0; i < n; i++) {
		if (page[i] != NULL)
			__free_page(page[i]);
	}
	stack_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		vmalloc_test(every_system_call_fails_once),
		vmalloc_test(every_system_call_fails_from_then_on),
		vmalloc_test(init_fails_cleanly),
		vmalloc_test(enomem_from_mmap_names_the_limit),
		vmalloc_test(freed_areas_make_room_for_mappings),
		vmalloc_test(the_real_limit_is_met_in_time),
		vmalloc_test(pages_run_out),
		vmalloc_test(descriptors_run_out),
		vmalloc_test(kvmalloc_tries_quietly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
