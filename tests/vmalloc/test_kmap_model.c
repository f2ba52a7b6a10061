/* SPDX-License-Identifier: MIT */
/*
 * Random maps and unmaps against a trivial model: how many users each page has, what was
 * written there last, and the stack of atomic mappings. An address that is in use shows
 * its page's bytes, whatever else has happened.
 */
#include "tests/vmalloc/kmap_test.h"

#define PAGES	  80
#define USERS_MAX 3
#define STEPS	  6000

static struct model_page {
	uint64_t *addr; /* while it has users */
	unsigned int users;
	uint64_t stamp; /* in its first and last word */
} model[PAGES];

static struct {
	uint64_t *addr;
	size_t page;
} atomic[KMAP_ATOMIC_DEPTH];
static unsigned int depth;

static unsigned int used;

static void verify(const uint64_t *addr, size_t i)
{
	assert_int_equal(addr[0], model[i].stamp);
	assert_int_equal(addr[PAGE_SIZE / 8 - 1], model[i].stamp);
}

static void stamp(uint64_t *addr, size_t i, uint64_t value)
{
	model[i].stamp = value;
	addr[0] = addr[PAGE_SIZE / 8 - 1] = value;
}

static void step_kmap(size_t i, uint64_t dice, unsigned int slots)
{
	uint64_t *addr;

	/* A page without a slot would wait for ever: nobody else unmaps. */
	if (model[i].users == USERS_MAX || (model[i].users == 0 && used == slots))
		return;
	addr = kmap(high[i]);
	assert_non_null(addr);
	assert_ptr_equal(page_address(high[i]), addr);
	verify(addr, i);
	if (model[i].users++ == 0)
		used++;
	else
		assert_ptr_equal(addr, model[i].addr);
	model[i].addr = addr;
	stamp(addr, i, dice);
}

static void step_kunmap(size_t i)
{
	if (model[i].users == 0)
		return;
	verify(model[i].addr, i);
	kunmap(high[i]);
	if (--model[i].users > 0)
		return;
	used--;
	assert_null(page_address(high[i]));
}

static void step_kmap_atomic(size_t i, uint64_t dice)
{
	if (depth == KMAP_ATOMIC_DEPTH)
		return;
	atomic[depth].addr = kmap_atomic(high[i]);
	atomic[depth].page = i;
	assert_non_null(atomic[depth].addr);
	verify(atomic[depth].addr, i);
	stamp(atomic[depth++].addr, i, dice);
}

static void step_kunmap_atomic(void)
{
	if (depth == 0)
		return;
	depth--;
	verify(atomic[depth].addr, atomic[depth].page);
	kunmap_atomic(atomic[depth].addr);
}

/* Counted in the model, told by the layer. */
static void assert_alike(void)
{
	struct kmap_stats stats = kmap_stats_now();

	assert_kmap_sound();
	assert_vmalloc_sound();
	assert_int_equal(stats.pkmap_used, used);
	assert_true(stats.pkmap_used + stats.pkmap_unused <= stats.pkmap_slots);
	for (size_t i = 0; i < PAGES; i++) {
		int32_t maps = model[i].users > 0;

		for (unsigned int level = 0; level < depth; level++)
			maps += atomic[level].page == i;
		assert_int_equal(atomic_load(&high[i]->_mapcount), maps);
	}
}

static void run(const char *options, unsigned int slots, bool flush, uint64_t seed)
{
	kmap_up(options, slots, flush, PAGES);
	memset(model, 0, sizeof(model));
	depth = used = 0;
	for (size_t i = 0; i < PAGES; i++) {
		stamp(kmap_atomic(high[i]), i, i);
		kunmap_atomic(kmap_layer.atomic_base);
	}
	for (unsigned int step = 0; step < STEPS; step++) {
		uint64_t dice = next_random(&seed);
		size_t i = next_random(&seed) % PAGES;

		switch (dice >> 32 & 15) {
		case 0: step_kmap_atomic(i, dice); break;
		case 1: step_kunmap_atomic(); break;
		case 2:
			if (dice % 8 == 0)
				kmap_flush_unused();
			break;
		case 3:
		case 4:
		case 5:
		case 6:
		case 7:
		case 8: step_kmap(i, dice, slots); break;
		default: step_kunmap(i); break;
		}
		if (step % 50 == 0)
			assert_alike();
	}
	for (size_t i = 0; i < PAGES; i++)
		while (model[i].users > 0)
			step_kunmap(i);
	while (depth > 0)
		step_kunmap_atomic();
	kmap_down();
}

static void more_pages_than_slots(void **state)
{
	(void)state;
	run(NULL, 32, true, 0x9e3779b97f4a7c15u);
}

static void mapped_over(void **state)
{
	(void)state;
	run(NULL, 32, false, 0xbf58476d1ce4e5b9u);
}

static void more_slots_than_pages(void **state)
{
	(void)state;
	run(NULL, 256, true, 0x94d049bb133111ebu);
}

static void one_slot(void **state)
{
	(void)state;
	run(NULL, 1, true, 0x2545f4914f6cdd1du);
}

static void four_nodes(void **state)
{
	(void)state;
	run("topology=numa:4 core:1 pu:1", 24, true, 0xda942042e4dd58b5u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		kmap_test(more_pages_than_slots),
		kmap_test(mapped_over),
		kmap_test(more_slots_than_pages),
		kmap_test(one_slot),
		kmap_test(four_nodes),
	};

	return cmocka_run_group_tests(tests, pin_to_one_cpu, NULL);
}
