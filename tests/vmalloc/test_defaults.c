/* SPDX-License-Identifier: MIT */
/* Every layer takes NULL for its options' defaults, as README's program does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <kmem/highmem.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>
#include <kmem/vmalloc.h>

static void test_null_is_defaults(void **state)
{
	char *p;

	(void)state;
	/* Twice: nothing is left of them. */
	for (int round = 0; round < 2; round++) {
		assert_int_equal(phys_init(NULL), 0);
		assert_int_equal(kmem_nr_frames, (2ul << 30) / PAGE_SIZE);
		assert_int_equal(buddy_init(NULL), 0);
		assert_int_equal(kmem_cache_init(NULL), 0);
		assert_int_equal(vmalloc_init(NULL), 0);
		assert_int_equal(kmap_init(NULL), 0);
		p = vmalloc(3 * PAGE_SIZE);
		assert_non_null(p);
		memset(p, 1, 3 * PAGE_SIZE);
		vfree(p);
		kmap_exit();
		vmalloc_exit();
		kmem_cache_exit();
		buddy_exit();
		phys_exit();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_null_is_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
