/* SPDX-License-Identifier: MIT */
/*
 * Random operations against a trivial model: a list of what is live and what
 * was written there. After each step no area may overlap another, every byte
 * must be as written, and the walker must find nothing.
 */
#include "tests/vmalloc/vmalloc_test.h"

#define LIVE_MAX 96
#define STEPS	 2500

struct live {
	char *addr;
	uint32_t nr_pages;
	uint64_t stamp;
	bool mapped; /* by vmap() of another's pages: shares its bytes, owns none */
};

static struct live live[LIVE_MAX];
static unsigned int nr_live;

/* First and last word of each page. */
static void stamp(const struct live *l)
{
	for (uint32_t i = 0; i < l->nr_pages; i++) {
		uint64_t value = l->stamp + i;

		memcpy(l->addr + (size_t)i * PAGE_SIZE, &value, sizeof(value));
		memcpy(l->addr + (size_t)(i + 1) * PAGE_SIZE - 8, &value, sizeof(value));
	}
}

static void verify(const struct live *l)
{
	for (uint32_t i = 0; i < l->nr_pages; i++) {
		uint64_t first, last;

		memcpy(&first, l->addr + (size_t)i * PAGE_SIZE, sizeof(first));
		memcpy(&last, l->addr + (size_t)(i + 1) * PAGE_SIZE - 8, sizeof(last));
		assert_int_equal(first, l->stamp + i);
		assert_int_equal(last, l->stamp + i);
	}
}

static void assert_apart(const char *addr, uint32_t nr_pages)
{
	for (unsigned int i = 0; i < nr_live; i++) {
		const char *end = live[i].addr +
				  (((size_t)live[i].nr_pages + 1) << PAGE_SHIFT);

		assert_true(addr >= end ||
			    addr + (((size_t)nr_pages + 1) << PAGE_SHIFT) <=
				    live[i].addr);
	}
}

static void add(char *addr, uint32_t nr_pages, uint64_t value, bool mapped)
{
	assert_apart(addr, nr_pages);
	live[nr_live++] = (struct live){addr, nr_pages, value, mapped};
	if (!mapped)
		stamp(&live[nr_live - 1]);
}

static void step_alloc(uint64_t *seed)
{
	uint64_t dice = next_random(seed);
	uint32_t nr = 1 + (uint32_t)(dice % 16 == 0 ? next_random(seed) % 700
						    : next_random(seed) % 80);
	size_t size = (size_t)nr * PAGE_SIZE - next_random(seed) % PAGE_SIZE;
	bool zeroed = false;
	char *p;

	switch (dice >> 8 & 7) {
	case 0:
		p = vzalloc(size);
		zeroed = true;
		break;
	case 1: p = __vmalloc(size, GFP_KERNEL); break;
	case 2:
		p = __vmalloc_aligned(size, (size_t)PAGE_SIZE << (dice >> 16 & 7),
				      GFP_HIGHUSER, NUMA_NO_NODE);
		assert_int_equal((uintptr_t)p & ((PAGE_SIZE << (dice >> 16 & 7)) - 1), 0);
		break;
	case 3: p = vmalloc_node(size, 0); break;
	default: p = vmalloc(size); break;
	}
	if (p == NULL)
		return; /* the pages of 64 MiB are all in use */
	for (uint32_t i = 0; zeroed && i < nr; i++)
		assert_int_equal(p[(size_t)i * PAGE_SIZE + dice % PAGE_SIZE], 0);
	add(p, nr, dice, false);
}

/* Maps a live area's pages a second time; the stamps must show through. */
static void step_map(const struct live *l)
{
	struct vm_struct *area = find_vm_area(l->addr);
	char *p;

	assert_non_null(area);
	p = vmap(area->pages, l->nr_pages, VM_MAP);
	if (p == NULL)
		return;
	assert_apart(p, l->nr_pages);
	verify(&(struct live){p, l->nr_pages, l->stamp, true});
	vunmap(p);
	assert_null(find_vm_area(p));
}

static void step_free(unsigned int i)
{
	verify(&live[i]);
	vfree(live[i].addr);
	live[i] = live[--nr_live];
}

static void run(const char *options, uint64_t seed)
{
	stack_up(options);
	nr_live = 0;
	for (unsigned int step = 0; step < STEPS; step++) {
		uint64_t dice = next_random(&seed) % 100;
		unsigned int i = nr_live != 0
					 ? (unsigned int)(next_random(&seed) % nr_live)
					 : 0;

		if (nr_live == 0 || (dice < 48 && nr_live < LIVE_MAX))
			step_alloc(&seed);
		else if (dice < 52)
			step_map(&live[i]);
		else if (dice < 53)
			vm_unmap_aliases();
		else
			step_free(i);
		if (step % 50 == 0)
			assert_vmalloc_sound();
	}
	while (nr_live != 0)
		step_free(nr_live - 1);
	stack_down();
}

static void radix_and_lazy(void **state)
{
	(void)state;
	run(NULL, 0x9e3779b97f4a7c15u);
}

static void list_and_eager(void **state)
{
	(void)state;
	run("search=list,lazy_bytes=0", 0xbf58476d1ce4e5b9u);
}

static void small_cache_and_single_maps(void **state)
{
	(void)state;
	run("lazy_bytes=1M,runs=off,populate=off", 0x94d049bb133111ebu);
}

static void four_nodes(void **state)
{
	(void)state;
	run("topology=numa:4 core:1 pu:1,lazy_bytes=16M,search=tree",
	    0x2545f4914f6cdd1du);
}

static void narrow_range(void **state)
{
	(void)state;
	run("range_bytes=8M,lazy_bytes=4M", 0xda942042e4dd58b5u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		vmalloc_test(radix_and_lazy),
		vmalloc_test(list_and_eager),
		vmalloc_test(small_cache_and_single_maps),
		vmalloc_test(four_nodes),
		vmalloc_test(narrow_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
