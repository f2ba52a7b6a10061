/* SPDX-License-Identifier: MIT */
/* What is proposed for a name that does not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <kmem/options.h>

static const char *const names[] = {"null",	"bump",	    "freelist", "glibc",
				    "jemalloc", "mimalloc", "tcmalloc", "buddy",
				    "slab",	"vmalloc"};

static const char *nearest(const char *name)
{
	return kmem_nearest_name(name, names, KMEM_ARRAY_SIZE(names));
}

static void slips_of_the_fingers_are_understood(void **state)
{
	(void)state;
	assert_string_equal(nearest("jemaloc"), "jemalloc");
	assert_string_equal(nearest("jmealloc"), "jemalloc");
	assert_string_equal(nearest("gilbc"), "glibc");
	assert_string_equal(nearest("slba"), "slab");
	assert_string_equal(nearest("SLAB"), "slab");
	assert_string_equal(nearest("vmaloc"), "vmalloc");
	assert_string_equal(nearest("free"), "freelist");
	assert_string_equal(nearest("mimalloc"), "mimalloc");
}

static void what_is_far_is_not_proposed(void **state)
{
	char name[200];

	(void)state;
	assert_null(nearest("postgres"));
	assert_null(nearest(""));
	assert_null(nearest("x"));
	assert_null(nearest("ab"));
	memset(name, 'b', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_null(nearest(name));
	assert_null(kmem_nearest_name("slab", NULL, 0));
}

/* Of several that begin alike none is proposed. */
static void beginnings_must_be_of_one(void **state)
{
	static const char *const alike[] = {"latency_alloc", "latency_free", "memory"};

	(void)state;
	assert_null(kmem_nearest_name("latency", alike, 3));
	assert_string_equal(kmem_nearest_name("latency_f", alike, 3), "latency_free");
	assert_string_equal(kmem_nearest_name("mem", alike, 3), "memory");
	assert_null(kmem_nearest_name("me", alike, 3));
}

static void long_candidates_are_passed_over(void **state)
{
	char name[200];
	const char *const candidates[] = {name, "slab"};

	(void)state;
	memset(name, 's', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_string_equal(kmem_nearest_name("slob", candidates, 2), "slab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slips_of_the_fingers_are_understood),
		cmocka_unit_test(what_is_far_is_not_proposed),
		cmocka_unit_test(beginnings_must_be_of_one),
		cmocka_unit_test(long_candidates_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
