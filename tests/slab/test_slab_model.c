/* SPDX-License-Identifier: MIT */
/*
 * Random operations against a reference that is a plain array of what is live:
 * every object keeps the stamp it was given, so two objects never overlap and
 * none is handed out twice; the counts agree; every invariant holds.
 */
#include "slab_test.h"

#define SLOTS  3000
#define STEPS  30000
#define CACHES 6

struct slot {
	unsigned char *p;
	size_t size;
	struct kmem_cache *cache; /* NULL: from kmalloc */
	uint64_t stamp;
};

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static void stamp(const struct slot *slot)
{
	for (size_t i = 0; i < slot->size; i += 97)
		slot->p[i] = (unsigned char)(slot->stamp + i);
	slot->p[slot->size - 1] = (unsigned char)slot->stamp;
}

static void verify(const struct slot *slot)
{
	assert_int_equal(slot->p[slot->size - 1], (unsigned char)slot->stamp);
	for (size_t i = 0; i + 1 < slot->size; i += 97)
		assert_int_equal(slot->p[i], (unsigned char)(slot->stamp + i));
}

static size_t random_size(void)
{
	/* Small ones mostly, some up to a block of pages. */
	return 1 + rng() % ((size_t)1 << (3 + rng() % (rng() % 50 == 0 ? 16 : 9)));
}

struct model {
	struct slot slot[SLOTS];
	struct kmem_cache *cache[CACHES];
	size_t live_in_cache[CACHES];
	uint64_t next_stamp;
};

static void fill(struct model *m, struct slot *slot)
{
	int nid = rng() % 8 ? NUMA_NO_NODE : (int)(rng() % (unsigned int)phys_nr_nodes());
	size_t c = rng() % (CACHES + 2);

	if (c < CACHES) {
		slot->cache = m->cache[c];
		slot->size = kmem_cache_size(slot->cache);
		slot->p = nid == NUMA_NO_NODE
				  ? kmem_cache_alloc(slot->cache, GFP_KERNEL)
				  : kmem_cache_alloc_node(slot->cache, GFP_KERNEL, nid);
		m->live_in_cache[c]++;
	} else {
		slot->cache = NULL;
		slot->size = random_size();
		slot->p = kmalloc_node(slot->size, GFP_KERNEL, nid);
		assert_true(ksize(slot->p) >= slot->size);
	}
	assert_non_null(slot->p);
	if (nid != NUMA_NO_NODE)
		assert_int_equal(page_to_nid(virt_to_page(slot->p)), nid);
	slot->stamp = m->next_stamp++;
	stamp(slot);
}

static void empty(struct model *m, struct slot *slot)
{
	verify(slot);
	for (size_t c = 0; c < CACHES; c++)
		m->live_in_cache[c] -= slot->cache == m->cache[c];
	if (slot->cache)
		kmem_cache_free(slot->cache, slot->p);
	else
		kfree(slot->p);
	slot->p = NULL;
}

/* A batch of one cache, taken and given back at once, half of it in reverse. */
static void bulk(struct model *m)
{
	struct kmem_cache *cache = m->cache[rng() % CACHES];
	size_t n = 1 + rng() % 300, size = kmem_cache_size(cache);
	void *objects[300];

	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, n, objects), n);
	for (size_t i = 0; i < n; i++)
		memset(objects[i], (int)i, size);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(((unsigned char *)objects[i])[0], (unsigned char)i);
		assert_int_equal(((unsigned char *)objects[i])[size - 1],
				 (unsigned char)i);
	}
	kmem_cache_free_bulk(cache, n, objects);
}

static void resize(struct slot *slot)
{
	size_t size = random_size();
	unsigned char *p;

	verify(slot);
	p = krealloc(slot->p, size, GFP_KERNEL);
	assert_non_null(p);
	for (size_t i = 0; i + 1 < size && i + 1 < slot->size; i += 97)
		assert_int_equal(p[i], (unsigned char)(slot->stamp + i));
	slot->p = p;
	slot->size = size;
	stamp(slot);
}

static void check(const struct model *m)
{
	char name[8];

	if (slab_check() != 0)
		fail_msg("%s", kmem_last_error());
	for (size_t c = 0; c < CACHES; c++) {
		snprintf(name, sizeof(name), "m%zu", c);
		assert_int_equal(slab_test_info(name).active_objs, m->live_in_cache[c]);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		if (m->slot[i].p)
			verify(&m->slot[i]);
	}
}

static void run_model(const char *options)
{
	static const size_t sizes[CACHES] = {8, 40, 200, 700, 3000, 20000};
	struct model *m = calloc(1, sizeof(*m));
	char name[8];

	slab_test_start(options);
	rng_state = 88172645463325252ULL;
	for (size_t c = 0; c < CACHES; c++) {
		snprintf(name, sizeof(name), "m%zu", c);
		m->cache[c] = kmem_cache_create(
			name, sizes[c], 0, c % 2 ? SLAB_HWCACHE_ALIGN : 0, NULL, NULL);
		assert_non_null(m->cache[c]);
	}
	for (size_t step = 0; step < STEPS; step++) {
		struct slot *slot = &m->slot[rng() % SLOTS];
		uint64_t what = rng() % 1000;

		if (what < 2)
			bulk(m);
		else if (what < 4)
			kmem_cache_reap_idle();
		else if (what < 5)
			kmem_cache_shrink(m->cache[rng() % CACHES]);
		else if (!slot->p)
			fill(m, slot);
		else if (what < 100 && !slot->cache)
			resize(slot);
		else
			empty(m, slot);
		if (step % (STEPS / 8) == 0)
			check(m);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		if (m->slot[i].p)
			empty(m, &m->slot[i]);
	}
	check(m);
	for (size_t c = 0; c < CACHES; c++)
		assert_int_equal(kmem_cache_destroy(m->cache[c]), 0);
	kmem_cache_reap();
	assert_no_report();
	slab_test_stop();
	free(m);
}

#define MODEL(name, options)           \
	static void name(void **state) \
	{                              \
		(void)state;           \
		run_model(options);    \
	}

MODEL(test_default, "")
MODEL(test_percpu_off, "percpu=off")
MODEL(test_depot_off, "depot=off")
MODEL(test_depot_shared, "depot=shared,limit=16,batchcount=8")
MODEL(test_limits_fixed, "limits=fixed,limit=16,batchcount=8")
MODEL(test_small_arrays, "limit=16,batchcount=8")
MODEL(test_colour_off, "colour=off")
MODEL(test_limit_1, "limit=1")
MODEL(test_limit_1000, "limit=1000,batchcount=256")
MODEL(test_debug, "debug=on")
MODEL(test_hardened, "hardened=on")
MODEL(test_hardened_off_cpu, "hardened=on,percpu=off,shuffle=on")
MODEL(test_hardened_debug, "hardened=on,debug=on")
MODEL(test_hardened_classes, "hardened=on,shuffle=on,classes=four,limit=4")
MODEL(test_hardened_nodes, "hardened=on,topology=numa:4 core:1 pu:1")
MODEL(test_four, "classes=four")
MODEL(test_poison_and_user, "debug=pu")
MODEL(test_four_nodes, "topology=numa:4 core:1 pu:1")
MODEL(test_four_nodes_small, "topology=numa:4 core:1 pu:1,limit=8")
MODEL(test_four_nodes_alien_off, "topology=numa:4 core:1 pu:1,limit=8,alien=off")
MODEL(test_four_nodes_shared, "topology=numa:4 core:1 pu:1,limit=8,depot=shared")
MODEL(test_four_nodes_debug, "topology=numa:4 core:1 pu:1,debug=on")

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_percpu_off),
		cmocka_unit_test(test_depot_off),
		cmocka_unit_test(test_depot_shared),
		cmocka_unit_test(test_limits_fixed),
		cmocka_unit_test(test_small_arrays),
		cmocka_unit_test(test_colour_off),
		cmocka_unit_test(test_limit_1),
		cmocka_unit_test(test_limit_1000),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_hardened),
		cmocka_unit_test(test_hardened_off_cpu),
		cmocka_unit_test(test_hardened_debug),
		cmocka_unit_test(test_hardened_classes),
		cmocka_unit_test(test_hardened_nodes),
		cmocka_unit_test(test_four),
		cmocka_unit_test(test_poison_and_user),
		cmocka_unit_test(test_four_nodes),
		cmocka_unit_test(test_four_nodes_small),
		cmocka_unit_test(test_four_nodes_alien_off),
		cmocka_unit_test(test_four_nodes_shared),
		cmocka_unit_test(test_four_nodes_debug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
