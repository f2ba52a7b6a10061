/* SPDX-License-Identifier: MIT */
/*
 * The range finder against a byte per page: all structures must answer every
 * request with the same address as a walk over the pages does.
 */
#include "allocators/vmalloc/vm_range.h"
#include <kmem/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct finder {
	struct vm_ranges tree, list, radix;
	void *tree_nodes, *list_nodes, *radix_nodes;
	unsigned char *taken; /* the reference: one byte per page */
	uint32_t nr_pages;
	uint32_t base_page;
};

static void finder_init_at(struct finder *f, uint32_t base_page, uint32_t nr_pages)
{
	f->base_page = base_page;
	f->nr_pages = nr_pages;
	f->tree_nodes = calloc(1, vm_ranges_node_bytes(nr_pages, VM_SEARCH_TREE));
	f->list_nodes = calloc(1, vm_ranges_node_bytes(nr_pages, VM_SEARCH_LIST));
	f->radix_nodes = calloc(1, vm_ranges_node_bytes(nr_pages, VM_SEARCH_RADIX));
	f->taken = calloc(1, nr_pages);
	assert_non_null(f->tree_nodes);
	assert_non_null(f->list_nodes);
	assert_non_null(f->radix_nodes);
	assert_non_null(f->taken);
	vm_ranges_init(&f->tree, base_page, nr_pages, VM_SEARCH_TREE, f->tree_nodes);
	vm_ranges_init(&f->list, base_page, nr_pages, VM_SEARCH_LIST, f->list_nodes);
	vm_ranges_init(&f->radix, base_page, nr_pages, VM_SEARCH_RADIX, f->radix_nodes);
}

static void finder_init(struct finder *f, uint32_t nr_pages)
{
	finder_init_at(f, 0, nr_pages);
}

static void finder_exit(struct finder *f)
{
	free(f->tree_nodes);
	free(f->list_nodes);
	free(f->radix_nodes);
	free(f->taken);
}

static bool model_alloc(struct finder *f, uint32_t nr, uint32_t align, uint32_t *start)
{
	uint32_t first = (align - f->base_page % align) % align;

	for (uint64_t at = first; at + nr <= f->nr_pages; at += align) {
		if (memchr(f->taken + at, 1, nr) == NULL) {
			memset(f->taken + at, 1, nr);
			*start = (uint32_t)at;
			return true;
		}
	}
	return false;
}

static uint32_t model_largest(const struct finder *f)
{
	uint32_t largest = 0, run = 0;

	for (uint32_t i = 0; i < f->nr_pages; i++) {
		run = f->taken[i] ? 0 : run + 1;
		if (run > largest)
			largest = run;
	}
	return largest;
}

static bool finder_alloc(struct finder *f, uint32_t nr, uint32_t align, uint32_t *start)
{
	uint32_t from_tree = 0, from_list = 0, from_radix = 0;
	bool expected = model_alloc(f, nr, align, start);

	assert_int_equal(vm_range_alloc(&f->tree, nr, align, &from_tree), expected);
	assert_int_equal(vm_range_alloc(&f->list, nr, align, &from_list), expected);
	assert_int_equal(vm_range_alloc(&f->radix, nr, align, &from_radix), expected);
	if (expected) {
		assert_int_equal(from_radix, *start);
		assert_int_equal(from_tree, *start);
		assert_int_equal(from_list, *start);
	}
	return expected;
}

static void finder_free(struct finder *f, uint32_t start, uint32_t nr)
{
	memset(f->taken + start, 0, nr);
	assert_true(vm_range_free(&f->tree, start, nr));
	assert_true(vm_range_free(&f->list, start, nr));
	assert_true(vm_range_free(&f->radix, start, nr));
}

static void finder_check(const struct finder *f)
{
	if (vm_range_check(&f->tree) != 0 || vm_range_check(&f->list) != 0 ||
	    vm_range_check(&f->radix) != 0)
		fail_msg("%s", kmem_last_error());
	assert_int_equal(vm_range_largest(&f->tree), model_largest(f));
	assert_int_equal(vm_range_largest(&f->list), model_largest(f));
	assert_int_equal(vm_range_largest(&f->radix), model_largest(f));
	assert_int_equal(f->radix.nr_nodes, f->tree.nr_nodes);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fills_and_empties(void **state)
{
	struct finder f;
	uint32_t start;

	(void)state;
	finder_init(&f, 64);
	assert_false(finder_alloc(&f, 65, 1, &start));
	for (uint32_t i = 0; i < 16; i++) {
		assert_true(finder_alloc(&f, 4, 1, &start));
		assert_int_equal(start, 4 * i);
	}
	finder_check(&f);
	assert_false(finder_alloc(&f, 2, 1, &start));
	assert_int_equal(f.tree.nr_nodes, 0);
	assert_int_equal(f.list.nr_nodes, 16);
	for (uint32_t i = 0; i < 16; i += 2)
		finder_free(&f, 4 * i, 4);
	finder_check(&f);
	assert_int_equal(f.tree.nr_nodes, 8);
	assert_false(finder_alloc(&f, 5, 1, &start));
	for (uint32_t i = 1; i < 16; i += 2)
		finder_free(&f, 4 * i, 4);
	finder_check(&f);
	assert_int_equal(f.tree.nr_nodes, 1);
	assert_true(finder_alloc(&f, 64, 1, &start));
	assert_int_equal(vm_range_largest(&f.tree), 0);
	finder_exit(&f);
}

/* An aligned request takes from the middle of a hole and leaves two. */
static void alignment_is_exact_first_fit(void **state)
{
	struct finder f;
	uint32_t start;

	(void)state;
	finder_init(&f, 256);
	assert_true(finder_alloc(&f, 3, 1, &start)); /* 0 .. 3 */
	assert_true(finder_alloc(&f, 8, 16, &start));
	assert_int_equal(start, 16);
	finder_check(&f);
	assert_int_equal(f.tree.nr_nodes, 2);
	/* The hole 3 .. 16 has 13 pages, but only 8 of them from page 8 on. */
	assert_true(finder_alloc(&f, 9, 8, &start));
	assert_int_equal(start, 24);
	assert_true(finder_alloc(&f, 8, 8, &start));
	assert_int_equal(start, 8);
	finder_check(&f);
	assert_false(finder_alloc(&f, 2, 256, &start));
	finder_free(&f, 0, 3);
	assert_true(finder_alloc(&f, 2, 256, &start));
	assert_int_equal(start, 0);
	finder_exit(&f);
}

static void refuses_what_is_not_taken(void **state)
{
	struct finder f;
	uint32_t start;

	(void)state;
	finder_init(&f, 64);
	assert_true(finder_alloc(&f, 8, 1, &start));
	assert_true(finder_alloc(&f, 8, 1, &start));
	finder_free(&f, 0, 8);
	assert_false(vm_range_free(&f.tree, 0, 8));
	assert_false(vm_range_free(&f.list, 0, 8));
	assert_false(vm_range_free(&f.radix, 0, 8));
	assert_false(vm_range_free(&f.tree, 4, 8));
	assert_false(vm_range_free(&f.list, 4, 8));
	assert_false(vm_range_free(&f.radix, 4, 8));
	assert_false(vm_range_free(&f.tree, 12, 8));
	assert_false(vm_range_free(&f.list, 12, 8));
	assert_false(vm_range_free(&f.radix, 12, 8));
	assert_false(vm_range_free(&f.tree, 60, 8));
	assert_false(vm_range_free(&f.list, 60, 8));
	assert_false(vm_range_free(&f.radix, 60, 8));
	assert_false(vm_range_free(&f.list, 8, 7));
	assert_false(vm_range_free(&f.radix, 8, 7));
	finder_check(&f);
	finder_exit(&f);
}

#define MAX_LIVE 1024

struct live {
	uint32_t start, nr;
};

/* Random requests and releases; align_max 1 exercises the descent of plain first fit. */
static void run_model(uint64_t seed, uint32_t nr_pages, uint32_t size_max,
		      uint32_t align_max, unsigned int steps)
{
	static struct live live[MAX_LIVE];
	unsigned int nr_live = 0;
	struct finder f;

	finder_init_at(&f, (uint32_t)(seed % 4096), nr_pages);
	for (unsigned int step = 0; step < steps; step++) {
		uint64_t dice = next_random(&seed);
		/* Phases of mostly growing and of mostly shrinking. */
		bool grow = (dice & 7) < ((step / 500) % 2 ? 3u : 5u);

		if (grow && nr_live < MAX_LIVE) {
			uint32_t nr = 2 + (uint32_t)(next_random(&seed) % size_max),
				 start;
			uint32_t align = 1;

			while (align < align_max && (next_random(&seed) & 1))
				align *= 2;
			if (finder_alloc(&f, nr, align, &start))
				live[nr_live++] = (struct live){start, nr};
		} else if (nr_live > 0) {
			unsigned int i = (unsigned int)(next_random(&seed) % nr_live);

			finder_free(&f, live[i].start, live[i].nr);
			live[i] = live[--nr_live];
		}
		if (step % 64 == 0)
			finder_check(&f);
	}
	while (nr_live > 0) {
		nr_live--;
		finder_free(&f, live[nr_live].start, live[nr_live].nr);
	}
	finder_check(&f);
	assert_int_equal(f.tree.nr_nodes, 1);
	assert_int_equal(f.list.nr_nodes, 0);
	assert_int_equal(f.tree.free_pages, nr_pages);
	finder_exit(&f);
}

static void all_agree_with_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		run_model(seed * 0x9e3779b97f4a7c15u, 4096, 9, 1, 4000);
		run_model(seed * 0xbf58476d1ce4e5b9u, 4096, 33, 64, 4000);
		run_model(seed * 0x94d049bb133111ebu, 1000, 100, 4, 2000);
		run_model(seed * 0x2545f4914f6cdd1du, 70000, 1000, 512, 1000);
	}
}

/* 100,000 areas, every second one freed: the tree holds 50,000 holes and stays shallow.
 */
static void many_holes(void **state)
{
	const uint32_t nr_areas = 100000;
	struct vm_ranges r;
	uint32_t start;
	void *nodes = calloc(1, vm_ranges_node_bytes(nr_areas * 4, VM_SEARCH_TREE));

	(void)state;
	assert_non_null(nodes);
	vm_ranges_init(&r, 0, nr_areas * 4, VM_SEARCH_TREE, nodes);
	for (uint32_t i = 0; i < nr_areas; i++)
		assert_true(vm_range_alloc(&r, 4, 1, &start));
	for (uint32_t i = 0; i < nr_areas; i += 2)
		assert_true(vm_range_free(&r, i * 4, 4));
	assert_int_equal(r.nr_nodes, nr_areas / 2);
	assert_int_equal(vm_range_check(&r), 0);
	assert_in_range(r.nodes[r.root].height, 16, 22);
	assert_true(vm_range_alloc(&r, 2, 1, &start));
	assert_int_equal(start, 0);
	assert_true(vm_range_alloc(&r, 4, 1, &start));
	assert_int_equal(start, 8);
	assert_false(vm_range_alloc(&r, 5, 1, &start));
	assert_int_equal(vm_range_check(&r), 0);
	free(nodes);
}

/* The walker finds what it is there to find. */
static void check_finds_damage(void **state)
{
	struct finder f;
	uint32_t start;

	(void)state;
	finder_init(&f, 64);
	for (int i = 0; i < 8; i++)
		assert_true(finder_alloc(&f, 8, 1, &start));
	for (uint32_t i = 0; i < 8; i += 2)
		finder_free(&f, i * 8, 8);
	finder_check(&f);

	f.tree.nodes[f.tree.root].max++;
	assert_int_not_equal(vm_range_check(&f.tree), 0);
	assert_non_null(strstr(kmem_last_error(), "largest hole below page"));
	f.tree.nodes[f.tree.root].max--;

	f.tree.nodes[f.tree.root].start += 64;
	assert_int_not_equal(vm_range_check(&f.tree), 0);
	assert_non_null(strstr(kmem_last_error(), "out of order"));
	f.tree.nodes[f.tree.root].start -= 64;

	f.tree.free_pages--;
	assert_int_not_equal(vm_range_check(&f.tree), 0);
	assert_non_null(strstr(kmem_last_error(), "the counter says"));
	f.tree.free_pages++;

	f.radix.level[1][0]++;
	assert_int_not_equal(vm_range_check(&f.radix), 0);
	assert_non_null(strstr(kmem_last_error(), "is not the largest below it"));
	f.radix.level[1][0]--;
	f.radix.tag[7] = 0;
	assert_int_not_equal(vm_range_check(&f.radix), 0);
	assert_non_null(strstr(kmem_last_error(), "has no tag at its end"));
	f.radix.tag[7] = 8;

	f.list.nodes[f.list.root].start += 60;
	assert_int_not_equal(vm_range_check(&f.list), 0);
	f.list.nodes[f.list.root].start -= 60;
	finder_check(&f);
	finder_exit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_and_empties),
		cmocka_unit_test(alignment_is_exact_first_fit),
		cmocka_unit_test(refuses_what_is_not_taken),
		cmocka_unit_test(all_agree_with_the_model),
		cmocka_unit_test(many_holes),
		cmocka_unit_test(check_finds_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
