/* SPDX-License-Identifier: MIT */
/* Damage done on purpose, and the exact report of it. */
#include "slab_test.h"

#define DEBUG_FLAGS (SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER)

/* The code under test must not see that memory was freed: the compiler would
 * be allowed to drop the store. */
static void damage(void *object, ptrdiff_t offset, unsigned char value)
{
	*((volatile unsigned char *)object + offset) = value;
}

static const void *stored_user(struct kmem_cache *cache, const char *object)
{
	const void *user;

	memcpy(&user, object + cache->geometry.user, sizeof(user));
	return user;
}

static void test_red_zone_behind(void **state)
{
	struct kmem_cache *cache;
	char *object, *next;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 24, 0, SLAB_RED_ZONE, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	damage(object, 24, 0x42);
	kmem_cache_free(cache, object);
	assert_report("cache 'x': object %p: red zone overwritten at offset 24 "
		      "(found 0x42, expected 0xc0)",
		      (void *)object);
	/* It is never handed out again, and counts as live. */
	for (int i = 0; i < 1000; i++) {
		next = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_ptr_not_equal(next, object);
		if (i % 2)
			kmem_cache_free(cache, next);
	}
	assert_int_equal(slab_test_info("x").active_objs, 501);
	assert_no_report();
	slab_test_stop();
}

static void test_red_zone_before(void **state)
{
	struct kmem_cache *cache;
	char *object;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 24, 64, DEBUG_FLAGS, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_int_equal((uintptr_t)object % 64, 0);
	damage(object, -3, 0x42);
	kmem_cache_free(cache, object);
	assert_report("cache 'x': object %p: red zone overwritten at offset -3 "
		      "(found 0x42, expected 0x56), last user %p",
		      (void *)object, stored_user(cache, object));
	slab_test_stop();
}

static void test_use_after_free(void **state)
{
	struct kmem_cache *cache;
	char *object, *next;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 100, 0, SLAB_POISON | SLAB_STORE_USER, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	for (int i = 0; i < 99; i++)
		assert_int_equal(object[i], 0x5a);
	kmem_cache_free(cache, object);
	for (int i = 0; i < 99; i++)
		assert_int_equal(object[i], 0x6b);
	assert_int_equal((unsigned char)object[99], 0xa5);
	damage(object, 17, 0x01);
	assert_int_equal(slab_check(), -14);
	next = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_report("cache 'x': object %p: written after free at offset 17 "
		      "(found 0x01, expected 0x6b), last user %p",
		      (void *)object, stored_user(cache, object));
	assert_non_null(next);
	assert_ptr_not_equal(next, object);
	slab_test_stop();
}

static void test_last_byte_of_poison(void **state)
{
	struct kmem_cache *cache;
	char *object;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 1, 0, SLAB_POISON, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_free(cache, object);
	damage(object, 0, 0x00);
	kmem_cache_alloc(cache, GFP_KERNEL);
	assert_report("cache 'x': object %p: written after free at offset 0 "
		      "(found 0x00, expected 0xa5)",
		      (void *)object);
	slab_test_stop();
}

/* The user is the function that called, so two calls from two places differ. */
static void test_store_user(void **state)
{
	struct kmem_cache *cache;
	char *object;
	const void *allocated_by, *freed_by;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 40, 0, SLAB_STORE_USER, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	allocated_by = stored_user(cache, object);
	kmem_cache_free(cache, object);
	freed_by = stored_user(cache, object);
	assert_ptr_not_equal(allocated_by, freed_by);
	assert_true((uintptr_t)allocated_by - (uintptr_t)test_store_user < 4096);
	assert_true((uintptr_t)freed_by - (uintptr_t)test_store_user < 4096);
	kmem_cache_free(cache, object);
	assert_report("cache 'x': double free of object %p, last user %p", (void *)object,
		      freed_by);
	slab_test_stop();
}

static void test_double_free(void **state)
{
	static const char *const variants[] = {"percpu=off", "debug=on"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		struct kmem_cache *cache;
		void *object, *other;

		slab_test_start(variants[v]);
		cache = kmem_cache_create("x", 64, 0, 0, NULL, NULL);
		object = kmem_cache_alloc(cache, GFP_KERNEL);
		other = kmem_cache_alloc(cache, GFP_KERNEL);
		kmem_cache_free(cache, object);
		kmem_cache_free(cache, object);
		if (slab_test.slab.debug)
			assert_report("cache 'x': double free of object %p, last user %p",
				      object, stored_user(cache, object));
		else
			assert_report("cache 'x': double free of object %p", object);
		kmem_cache_free(cache, other);
		slab_test_stop();
	}
}

/* With arrays the second free is found when both have reached the slab. */
static void test_double_free_through_arrays(void **state)
{
	struct kmem_cache *cache;
	void *object, *keep;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 64, 0, 0, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	keep = kmem_cache_alloc(cache, GFP_KERNEL); /* keeps the slab */
	kmem_cache_free(cache, object);
	kmem_cache_free(cache, object);
	assert_no_report();
	kmem_cache_shrink(cache);
	assert_report("cache 'x': double free of object %p", object);
	kmem_cache_free(cache, keep);
	slab_test_stop();
}

/* --- wrong pointers; caught by ordinary caches at the call --- */

static void test_wrong_pointers(void **state)
{
	static const char *const variants[] = {"", "percpu=off", "debug=on"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		struct kmem_cache *a, *b;
		char *object, *block;
		int on_stack;

		slab_test_start(variants[v]);
		a = kmem_cache_create("a", 64, 0, 0, NULL, NULL);
		b = kmem_cache_create("b", 64, 0, 0, NULL, NULL);
		object = kmem_cache_alloc(a, GFP_KERNEL);
		kmem_cache_free(b, object);
		assert_report("cache 'b': free of %p, which belongs to cache 'a'",
			      (void *)object);
		kfree(&on_stack);
		assert_report("kfree: free of %p, which is outside the managed memory",
			      (void *)&on_stack);
		kmem_cache_free(a, &on_stack);
		assert_report(
			"cache 'a': free of %p, which is outside the managed memory",
			(void *)&on_stack);
		block = (char *)__get_free_pages(GFP_KERNEL, 1);
		kmem_cache_free(a, block);
		assert_report("cache 'a': free of %p, which is in no slab",
			      (void *)block);
		kfree(block + 8);
		assert_report("kfree: free of %p, which is in no slab",
			      (void *)(block + 8));
		kfree(block + PAGE_SIZE);
		assert_report("kfree: free of %p, which is in no slab",
			      (void *)(block + PAGE_SIZE));
		kfree(block); /* a block of pages is what kmalloc makes too */
		assert_no_report();
		kfree(object + 4);
		if (slab_test.slab.debug)
			assert_report("cache 'a': free of %p, which lies 4 bytes inside "
				      "object %p, last user %p",
				      (void *)(object + 4), (void *)object,
				      stored_user(a, object));
		else
			assert_report("cache 'a': free of %p, which lies 4 bytes inside "
				      "object %p",
				      (void *)(object + 4), (void *)object);
		assert_int_equal(ksize(object), 64);
		assert_int_equal(ksize(object + 4), 0);
		if (slab_test.slab.debug)
			assert_report("cache 'a': ksize of %p, which lies 4 bytes inside "
				      "object %p, last user %p",
				      (void *)(object + 4), (void *)object,
				      stored_user(a, object));
		else
			assert_report("cache 'a': ksize of %p, which lies 4 bytes inside "
				      "object %p",
				      (void *)(object + 4), (void *)object);
		assert_int_equal(ksize(&on_stack), 0);
		assert_report("ksize of %p, which kmalloc did not return",
			      (void *)&on_stack);
		kmem_cache_free(a, object);
		assert_no_report();
		slab_test_stop();
	}
}

static void test_kfree_into_the_middle(void **state)
{
	(void)state;
	slab_test_start("");
	for (size_t size = 32; size <= KMALLOC_MAX_CACHE_SIZE; size *= 2) {
		char *object = kmalloc(size, GFP_KERNEL);

		for (size_t offset = 1; offset < size; offset *= 3) {
			kfree(object + offset);
			assert_report(
				"cache 'size-%zu': free of %p, which lies %zu bytes inside "
				"object %p",
				size, (void *)(object + offset), offset, (void *)object);
		}
		kfree(object);
		kfree(object + size / 2);
		assert_report(
			"cache 'size-%zu': free of %p, which lies %zu bytes inside object %p",
			size, (void *)(object + size / 2), size / 2, (void *)object);
	}
	slab_test_stop();
}

/* Aligned but no object, in a cache with colours: found when it reaches the slab. */
static void test_aligned_middle(void **state)
{
	struct kmem_cache *cache;
	char *object;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 700, 0, 0, NULL, NULL);
	assert_true(cache->geometry.colours > 1);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_free(cache, object + 16);
	if (os_percpu_use_rseq) /* else every free takes the slow path, which looks */
		assert_no_report();
	kmem_cache_shrink(cache);
	assert_report("cache 'x': free of %p, which lies 16 bytes inside object %p",
		      (void *)(object + 16), (void *)object);
	kmem_cache_free(cache, object);
	slab_test_stop();
}

static void test_descriptor_is_no_object(void **state)
{
	struct kmem_cache *cache;
	char *object;

	(void)state;
	slab_test_start("percpu=off");
	cache = kmem_cache_create("x", 64, 64, 0, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_free(cache, slab_of(cache, object));
	assert_report(
		"cache 'x': free of %p, which is in the slab at %p but in no object",
		(void *)slab_of(cache, object), (void *)slab_of(cache, object)->s_mem);
	kmem_cache_free(cache, object);
	slab_test_stop();
}

/* An overrun of a slab's last object can reach the descriptor behind: a chain that leads
 * out of the slab is not followed. */
static void test_overwritten_descriptor(void **state)
{
	struct kmem_cache *cache;
	struct slab *slab;
	void *object, *next;

	(void)state;
	slab_test_start("percpu=off,colour=off");
	cache = kmem_cache_create("x", 64, 0, 0, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	slab = slab_of(cache, object);
	slab->free = (kmem_bufctl_t)(cache->num + 7);
	next = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_report("cache 'x': the descriptor of the slab at %p is overwritten, at %p",
		      (void *)slab->s_mem, (void *)slab);
	assert_non_null(next);
	assert_ptr_not_equal(slab_of(cache, next), slab);
	assert_int_equal(slab_test_info("x").active_objs, cache->num + 1);
	/* The walk still says so: this slab cannot be trusted. */
	assert_int_equal(slab_check(), -14);
	/* Mended for the sake of the end of the test. */
	for (unsigned int i = 0; i < cache->num; i++)
		slab->bufctl[i] = BUFCTL_ACTIVE;
	kmem_cache_free(cache, next);
	slab_test_stop();
}

/* Only what the letters say; the names are in the order of the flags. */
static void test_debug_letters(void **state)
{
	static const struct {
		const char *options;
		unsigned int flags;
	} cases[] = {
		{"debug=off", 0},
		{"debug=on", SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER},
		{"debug=z", SLAB_RED_ZONE},
		{"debug=p", SLAB_POISON},
		{"debug=u", SLAB_STORE_USER},
		{"debug=zp", SLAB_RED_ZONE | SLAB_POISON},
		{"debug=zu", SLAB_RED_ZONE | SLAB_STORE_USER},
		{"debug=pu", SLAB_POISON | SLAB_STORE_USER},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		struct kmem_cache *cache;
		char *object;

		slab_test_start(cases[i].options);
		object = kmalloc(64, GFP_KERNEL);
		cache = virt_to_page(object)->slab_cache;
		assert_int_equal(cache->flags & SLAB_DEBUG_FLAGS, cases[i].flags);
		kfree(object);
		cache = kmem_cache_create("x", 64, 0, 0, NULL, NULL);
		assert_int_equal(cache->flags & SLAB_DEBUG_FLAGS, cases[i].flags);
		slab_test_stop();
	}
}

/* A general cache under debug: one byte too far, one too early, one too late. */
static void test_general_cache(void **state)
{
	char *object;
	struct kmem_cache *cache;

	(void)state;
	slab_test_start("debug=on,classes=four");
	object = kmalloc(48, GFP_KERNEL);
	cache = virt_to_page(object)->slab_cache;
	damage(object, 48, 0x42);
	kfree(object);
	assert_report("cache 'size-48': object %p: red zone overwritten at offset 48 "
		      "(found 0x42, expected 0xc0), last user %p",
		      (void *)object, stored_user(cache, object));
	object = kmalloc(48, GFP_KERNEL);
	damage(object, -1, 0x42);
	kfree(object);
	assert_report("cache 'size-48': object %p: red zone overwritten at offset -1 "
		      "(found 0x42, expected 0xd8), last user %p",
		      (void *)object, stored_user(cache, object));
	object = kmalloc(48, GFP_KERNEL);
	kfree(object);
	damage(object, 47, 0x42);
	assert_non_null(kmalloc(48, GFP_KERNEL));
	assert_report("cache 'size-48': object %p: written after free at offset 47 "
		      "(found 0x42, expected 0xa5), last user %p",
		      (void *)object, stored_user(cache, object));
	slab_test_stop();
}

/* --- the check itself --- */

static void test_check_finds_damage(void **state)
{
	struct kmem_cache *cache;
	struct slab *slab;
	kmem_bufctl_t second;
	void *object;

	(void)state;
	slab_test_start("percpu=off");
	cache = kmem_cache_create("x", 64, 0, 0, NULL, NULL);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	slab = slab_of(cache, object);
	slab->inuse++;
	assert_int_equal(slab_check(), -14);
	assert_string_equal(kmem_last_error(),
			    "cache 'x': objects in use on a slab (2, expected 1)");
	slab->inuse--;
	second = slab->bufctl[slab->free];
	slab->bufctl[slab->free] = slab->free;
	assert_int_equal(slab_check(), -14);
	slab->bufctl[slab->free] = second;
	cache->node[0].free_objects++;
	assert_int_equal(slab_check(), -14);
	cache->node[0].free_objects--;
	virt_to_page(object)->slab_cache = NULL;
	assert_int_equal(slab_check(), -14);
	virt_to_page(object)->slab_cache = cache;
	assert_int_equal(slab_check(), 0);
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_red_zone_behind),
		cmocka_unit_test(test_red_zone_before),
		cmocka_unit_test(test_use_after_free),
		cmocka_unit_test(test_last_byte_of_poison),
		cmocka_unit_test(test_store_user),
		cmocka_unit_test(test_double_free),
		cmocka_unit_test(test_double_free_through_arrays),
		cmocka_unit_test(test_wrong_pointers),
		cmocka_unit_test(test_kfree_into_the_middle),
		cmocka_unit_test(test_aligned_middle),
		cmocka_unit_test(test_descriptor_is_no_object),
		cmocka_unit_test(test_overwritten_descriptor),
		cmocka_unit_test(test_debug_letters),
		cmocka_unit_test(test_general_cache),
		cmocka_unit_test(test_check_finds_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
