/* SPDX-License-Identifier: MIT */
/* hardened=on: each kind of misuse is reported at the call, with these words. */
#include "slab_test.h"
#include "allocators/os/os_mem.h"
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

static const char *const variants[] = {
	"hardened=on",
	"hardened=on,percpu=off",
	"hardened=on,limit=4",
	"hardened=on,shuffle=on,classes=four",
	"hardened=on,debug=on",
	"hardened=on,debug=u",
	"hardened=on,topology=numa:2 core:1 pu:1",
};

static struct kmem_cache *cache;
static char user_text[48];

/* Each test once for each variant. */
static void for_each_variant(void (*test)(void))
{
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		slab_test_start(variants[v]);
		cache = kmem_cache_create("x", 104, 0, 0, NULL, NULL);
		assert_non_null(cache);
		test();
		assert_no_report();
		slab_test_stop();
	}
}

#define VARIANTS(name)                       \
	static void name(void **state)       \
	{                                    \
		(void)state;                 \
		for_each_variant(do_##name); \
	}

/* ", last user 0x..." where the cache keeps it. */
static const char *last_user(const void *object)
{
	struct kmem_cache *c = virt_to_page(object)->slab_cache;
	const void *user;

	if (!(c->flags & SLAB_STORE_USER))
		return "";
	memcpy(&user, (const char *)object + c->geometry.user, sizeof(user));
	snprintf(user_text, sizeof(user_text), ", last user %p", user);
	return user_text;
}

static void assert_double_free(const char *name, const void *object)
{
	assert_report("cache '%s': double free of object %p%s", name, object,
		      last_user(object));
}

/* --- double frees --- */

static void do_test_at_once(void)
{
	void *object = kmem_cache_alloc(cache, GFP_KERNEL);

	kmem_cache_free(cache, object);
	kmem_cache_free(cache, object);
	assert_double_free("x", object);
	kfree(object);
	assert_double_free("x", object);
}
VARIANTS(test_at_once)

/* Wherever the object has gone meanwhile: array, depot, slab. */
static void do_test_wherever_it_lies(void)
{
	enum { N = 4000 };
	static void *objects[N];

	for (int i = 0; i < N; i++)
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
	for (int i = 0; i < N; i++)
		kmem_cache_free(cache, objects[i]);
	assert_no_report();
	for (int i = 0; i < N; i++) {
		if (virt_to_page(objects[i])->slab_cache != cache)
			continue; /* its slab has gone back */
		kmem_cache_free(cache, objects[i]);
		assert_double_free("x", objects[i]);
	}
}
VARIANTS(test_wherever_it_lies)

/* a, b, a: the newest entry of an array is another one. */
static void do_test_with_another_between(void)
{
	void *a = kmalloc(48, GFP_KERNEL), *b = kmalloc(48, GFP_KERNEL);
	const char *name = ((struct kmem_cache *)virt_to_page(a)->slab_cache)->name;

	kfree(a);
	kfree(b);
	kfree(a);
	assert_double_free(name, a);
}
VARIANTS(test_with_another_between)

static void *free_it(void *object)
{
	kfree(object);
	return NULL;
}

static void do_test_by_another_thread(void)
{
	void *object = kmem_cache_alloc(cache, GFP_KERNEL);
	pthread_t thread;

	kfree(object);
	assert_int_equal(pthread_create(&thread, NULL, free_it, object), 0);
	pthread_join(thread, NULL);
	assert_double_free("x", object);
}
VARIANTS(test_by_another_thread)

static void do_test_bulk(void)
{
	void *objects[8], *twice[3];

	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, 8, objects), 8);
	twice[0] = objects[0];
	twice[1] = objects[1];
	twice[2] = objects[0];
	kmem_cache_free_bulk(cache, 3, twice);
	assert_double_free("x", objects[0]);
	kmem_cache_free_bulk(NULL, 7, objects + 1);
	assert_double_free("x", objects[1]);
}
VARIANTS(test_bulk)

/* --- wrong addresses --- */

static int in_data;

static void do_test_no_memory_of_ours(void)
{
	char on_stack[32], *unmapped = (char *)(uintptr_t)0x123456789000;
	void *others[] = {on_stack, &in_data, unmapped};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(others); i++) {
		kfree(others[i]);
		assert_report("kfree: free of %p, which is outside the managed memory",
			      others[i]);
		kmem_cache_free(cache, others[i]);
		assert_report(
			"cache 'x': free of %p, which is outside the managed memory",
			others[i]);
		assert_int_equal(ksize(others[i]), 0);
		assert_report("ksize of %p, which kmalloc did not return", others[i]);
	}
}
VARIANTS(test_no_memory_of_ours)

static void do_test_inner_pointers(void)
{
	char *object = kmem_cache_alloc(cache, GFP_KERNEL);

	for (size_t offset = 1; offset < 104; offset++) {
		kfree(object + offset);
		assert_report(
			"cache 'x': free of %p, which lies %zu bytes inside object %p%s",
			(void *)(object + offset), offset, (void *)object,
			last_user(object));
	}
	kmem_cache_free(cache, object);
}
VARIANTS(test_inner_pointers)

static void do_test_other_cache(void)
{
	struct kmem_cache *other = kmem_cache_create("y", 104, 0, 0, NULL, NULL);
	void *object = kmem_cache_alloc(cache, GFP_KERNEL);

	kmem_cache_free(other, object);
	assert_report("cache 'y': free of %p, which belongs to cache 'x'", object);
	kmem_cache_free(cache, object);
	assert_int_equal(kmem_cache_destroy(other), 0);
}
VARIANTS(test_other_cache)

static void do_test_freed_slab(void)
{
	void *object = kmem_cache_alloc(cache, GFP_KERNEL);

	kmem_cache_free(cache, object);
	kmem_cache_shrink(cache);
	assert_false(atomic_load(&virt_to_page(object)->flags) & PG_slab);
	kfree(object);
	assert_report("kfree: free of %p, which is in no slab", object);
	kmem_cache_free(cache, object);
	assert_report("cache 'x': free of %p, which is in no slab", object);
}
VARIANTS(test_freed_slab)

/* Pages are kfree()'s only where kmalloc() took them. */
static void do_test_pages(void)
{
	char *block = (char *)__get_free_pages(GFP_KERNEL, 1);
	char *large = kmalloc(KMALLOC_MAX_CACHE_SIZE + 1, GFP_KERNEL);

	kfree(block);
	assert_report("kfree: free of %p, which is in no slab", (void *)block);
	free_pages((unsigned long)block, 1);
	kfree(large + PAGE_SIZE);
	assert_report("kfree: free of %p, which is in no slab",
		      (void *)(large + PAGE_SIZE));
	assert_int_equal(ksize(large), 2 * KMALLOC_MAX_CACHE_SIZE);
	kfree(large);
	kfree(large);
	assert_report("kfree: free of %p, which is in no slab", (void *)large);
}
VARIANTS(test_pages)

static void do_test_size_of_what_is_free(void)
{
	char *object = kmalloc(100, GFP_KERNEL);
	const char *name = ((struct kmem_cache *)virt_to_page(object)->slab_cache)->name;

	assert_true(ksize(object) >= 100);
	assert_int_equal(ksize(object + 16), 0);
	assert_report("cache '%s': ksize of %p, which lies 16 bytes inside object %p%s",
		      name, (void *)(object + 16), (void *)object, last_user(object));
	kfree(object);
	assert_int_equal(ksize(object), 0);
	assert_report("cache '%s': ksize of the free object %p%s", name, (void *)object,
		      last_user(object));
	assert_null(krealloc(object, 200, GFP_KERNEL));
	assert_report("cache '%s': ksize of the free object %p%s", name, (void *)object,
		      last_user(object));
}
VARIANTS(test_size_of_what_is_free)

/* --- races --- */

#define RACERS 4
#define RACES  3000

static struct {
	void *_Atomic object;
	_Atomic int ready, done;
} race;

static void count_report(const char *report, void *arg)
{
	(void)report;
	atomic_fetch_add((_Atomic int *)arg, 1);
}

static void *race_to_free(void *arg)
{
	(void)arg;
	for (int round = 1; round <= RACES; round++) {
		while (atomic_load(&race.ready) < round)
			sched_yield();
		kfree(atomic_load(&race.object));
		atomic_fetch_add(&race.done, 1);
	}
	return NULL;
}

/* Several threads free one object at once: all but one are told. */
static void test_racing_frees(void **state)
{
	pthread_t threads[RACERS];
	_Atomic int reports = 0;

	(void)state;
	slab_test_start("hardened=on");
	kmem_set_bug_handler(count_report, &reports);
	race.ready = race.done = 0;
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race_to_free, NULL),
				 0);
	for (int round = 1; round <= RACES; round++) {
		atomic_store(&race.object, kmalloc(64, GFP_KERNEL));
		atomic_store(&race.ready, round);
		while (atomic_load(&race.done) < round * RACERS)
			sched_yield();
	}
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(reports, RACES * (RACERS - 1));
	slab_test_stop();
}

/* --- the rest --- */

/* The walk compares marks with what slabs and arrays say. */
static void test_check(void **state)
{
	void *object, *other;

	(void)state;
	slab_test_start("hardened=on");
	object = kmalloc(64, GFP_KERNEL);
	other = kmalloc(64, GFP_KERNEL);
	kfree(other);
	assert_int_equal(slab_check(), 0);
	slab_mark_take(NULL, object);
	assert_int_equal(slab_check(), -14);
	assert_non_null(strstr(kmem_last_error(), "is live, its mark says not"));
	slab_mark_object(kmalloc_cache_of(64, 0), object);
	slab_mark_object(kmalloc_cache_of(64, 0), other);
	assert_int_equal(slab_check(), -14);
	assert_non_null(strstr(kmem_last_error(), "is free, its mark says not"));
	slab_mark_take(NULL, other);
	assert_int_equal(slab_check(), 0);
	kfree(object);
	slab_test_stop();
}

/* Marks are asked of the system as one piece. */
static void *no_large_map(void *addr, size_t size, int prot, int flags, int fd,
			  off_t offset)
{
	if (size >= (size_t)256 << 16) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return mmap(addr, size, prot, flags, fd, offset);
}

static void test_no_memory_for_marks(void **state)
{
	static const struct os_hooks hooks = {.mmap = no_large_map};

	(void)state;
	slab_test_start("");
	kmem_cache_exit();
	slab_test.slab.hardened = true;
	os_set_hooks(&hooks);
	assert_int_equal(kmem_cache_init(&slab_test.slab), -ENOMEM);
	os_set_hooks(NULL);
	assert_string_equal(
		kmem_last_error(),
		"no memory for the marks of hardened=on, 16777216 bytes: lower "
		"option 'memory' or raise 'ulimit -v'");
	assert_false(slab_hardened());
	assert_int_equal(kmem_cache_init(&slab_test.slab), 0);
	kfree(kmalloc(10, GFP_KERNEL));
	slab_test_stop();
}

static void test_small_objects_keep_apart(void **state)
{
	struct kmem_cache *small;
	void *a, *b;

	(void)state;
	slab_test_start("hardened=on");
	small = kmem_cache_create("small", 1, 0, 0, NULL, NULL);
	a = kmem_cache_alloc(small, GFP_KERNEL);
	b = kmem_cache_alloc(small, GFP_KERNEL);
	kmem_cache_free(small, a);
	kmem_cache_free(small, a);
	assert_report("cache 'small': double free of object %p", a);
	kmem_cache_free(small, b);
	assert_no_report();
	slab_test_stop();
}

/* Every object of a slab once, in an order that differs between two slabs. */
static void test_shuffle(void **state)
{
	enum { N = 600 };
	static void *objects[N];
	int rising = 0, apart = 0;

	(void)state;
	slab_test_start("shuffle=on,percpu=off");
	cache = kmem_cache_create("x", 64, 0, 0, NULL, NULL);
	for (int i = 0; i < N; i++) {
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		rising += i > 0 && (char *)objects[i] == (char *)objects[i - 1] + 64;
	}
	assert_true(rising < N / 4);
	for (unsigned int i = 0; i + cache->num < N; i++)
		apart += slab_index(cache, slab_of(cache, objects[i]), objects[i]) !=
			 slab_index(cache, slab_of(cache, objects[i + cache->num]),
				    objects[i + cache->num]);
	assert_true(apart > N / 2);
	for (int i = 0; i < N; i++)
		kmem_cache_free(cache, objects[i]);
	assert_no_report();
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_wherever_it_lies),
		cmocka_unit_test(test_with_another_between),
		cmocka_unit_test(test_by_another_thread),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_no_memory_of_ours),
		cmocka_unit_test(test_inner_pointers),
		cmocka_unit_test(test_other_cache),
		cmocka_unit_test(test_freed_slab),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_size_of_what_is_free),
		cmocka_unit_test(test_racing_frees),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_no_memory_for_marks),
		cmocka_unit_test(test_small_objects_keep_apart),
		cmocka_unit_test(test_shuffle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
