/* SPDX-License-Identifier: MIT */
/* slab_check() fails for each thing it walks over, and passes once that is mended. */
#include "tests/slab/slab_test.h"

static struct kmem_cache *cache;

static void setup(const char *options, size_t size)
{
	slab_test_start(options);
	cache = kmem_cache_create("x", size, 0, 0, NULL, NULL);
	assert_non_null(cache);
}

static void assert_broken(const char *part)
{
	assert_int_equal(slab_check(), -14);
	if (strstr(kmem_last_error(), part) == NULL)
		fail_msg("'%s' is not about '%s'", kmem_last_error(), part);
}

static void assert_sound(void)
{
	if (slab_check() != 0)
		fail_msg("%s", kmem_last_error());
}

/* One that has objects; there must be one. */
static struct slab_depot *stocked_depot(void)
{
	for (unsigned int i = 0; i < slab_nr_depots(cache); i++) {
		if (slab_depot_number(cache, i)->avail > 0)
			return slab_depot_number(cache, i);
	}
	fail_msg("no depot has anything");
	return NULL;
}

/* A free that no array can notice: the walk does, on arrays and depot alike. */
static void test_double_free_on_an_array(void **state)
{
	static void *objects[4096];
	struct slab_depot *d;
	void *object;

	(void)state;
	setup("magazines=one", 64);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	/* Live objects, so that the sums alone would be in order. */
	for (int i = 0; i < 100; i++)
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_free(cache, object);
	assert_sound();
	kmem_cache_free(cache, object);
	assert_broken("is on arrays twice");
	/* Taken off once, it is an object like any other; the walk has left no marks. */
	assert_ptr_equal(kmem_cache_alloc(cache, GFP_KERNEL), object);
	assert_sound();
	for (int i = 0; i < 100; i++)
		kmem_cache_free(cache, objects[i]);
	for (int i = 0; i < 4096; i++)
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
	for (int i = 0; i < 4096; i++)
		kmem_cache_free(cache, objects[i]);
	assert_sound();
	d = stocked_depot();
	assert_int_not_equal(d->fill, 0);
	object = d->top->slot[0];
	d->top->slot[0] = d->top->slot[1];
	assert_broken("is on arrays twice");
	d->top->slot[0] = object;
	assert_sound();
	slab_test_stop();
}

static void test_strangers_on_an_array(void **state)
{
	struct kmem_list3 *l3;
	struct slab *slab;
	void *object, *first, *taken;

	(void)state;
	setup("limit=16,batchcount=8", 64);
	l3 = &cache->node[0];
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	slab = slab_of(cache, object);
	assert_true(magazine_push(&cache->mag, &l3));
	assert_broken("is none of its objects");
	assert_int_equal(magazine_take_batch(&cache->mag, 1, &taken), 1);
	assert_true(magazine_push(&cache->mag, (char *)object + 8));
	assert_broken("is none of its objects");
	assert_int_equal(magazine_take_batch(&cache->mag, 1, &taken), 1);
	assert_int_not_equal(slab->free, BUFCTL_END);
	first = slab_object(cache, slab, slab->free);
	assert_true(magazine_push(&cache->mag, first));
	assert_broken("is on an array and free");
	assert_int_equal(magazine_take_batch(&cache->mag, 1, &taken), 1);
	kmem_cache_free(cache, object);
	assert_sound();
	slab_test_stop();
}

static void test_lists(void **state)
{
	struct kmem_list3 *l3;
	struct slab *slab;
	void *object;

	(void)state;
	setup("percpu=off", 64);
	l3 = &cache->node[0];
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	slab = slab_of(cache, object);
	list_move(&slab->list, &l3->slabs_full);
	assert_broken("wrong list");
	list_move(&slab->list, &l3->slabs_free);
	assert_broken("wrong list");
	list_move(&slab->list, &l3->slabs_partial);
	l3->nr_slabs++;
	assert_broken("slabs of a node");
	l3->nr_slabs--;
	l3->nr_free_slabs++;
	assert_broken("free slabs of a node");
	l3->nr_free_slabs--;
	l3->depot.avail = 1;
	assert_broken("depot 0 counts 1 objects (0 are there, 0 may be) and 0 pages (0)");
	l3->depot.avail = 0;
	assert_sound();
	kmem_cache_free(cache, object);
	slab_test_stop();
}

/* One object a slab: no slab can be partial. */
static void test_one_object_a_slab(void **state)
{
	struct kmem_list3 *l3;
	struct slab *slab;
	void *object;

	(void)state;
	setup("percpu=off", KMALLOC_MAX_SIZE);
	assert_int_equal(cache->num, 1);
	l3 = &cache->node[0];
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	slab = slab_of(cache, object);
	list_move(&slab->list, &l3->slabs_partial);
	assert_broken("wrong list");
	list_move(&slab->list, &l3->slabs_full);
	assert_sound();
	kmem_cache_free(cache, object);
	slab_test_stop();
}

static void test_slab_and_pages(void **state)
{
	struct slab *slab;
	kmem_bufctl_t old;
	struct page *page;
	void *object;

	(void)state;
	setup("percpu=off", 64);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	slab = slab_of(cache, object);
	page = virt_to_page(object);
	page->slab = (char *)slab + 64;
	assert_broken("page does not belong to its slab");
	page->slab = slab;
	atomic_fetch_and(&page->flags, ~(uint32_t)PG_slab);
	assert_broken("page does not belong to its slab");
	atomic_fetch_or(&page->flags, PG_slab);
	/* A chain that goes round, leaves the slab, or ends early. */
	old = slab->bufctl[slab->free];
	slab->bufctl[slab->free] = slab->free;
	assert_broken("free chain is broken");
	slab->bufctl[slab->free] = (kmem_bufctl_t)cache->num;
	assert_broken("free chain is broken");
	slab->bufctl[slab->free] = BUFCTL_END;
	assert_broken("objects free and in use");
	slab->bufctl[slab->free] = old;
	slab->inuse = 2;
	assert_broken("objects in use on a slab");
	slab->inuse = 1;
	assert_sound();
	kmem_cache_free(cache, object);
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_double_free_on_an_array),
		cmocka_unit_test(test_strangers_on_an_array),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_one_object_a_slab),
		cmocka_unit_test(test_slab_and_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
