/* SPDX-License-Identifier: MIT */
/*
 * Sizes around the borders between objects, spans and mappings: every call, large
 * alignments, absurd sizes; and a model of random calls among them with contents checked.
 */
#include "spans_test.h"

#include <unistd.h>

static const size_t borders[] = {
	64 * KIB, 128 * KIB,	      160 * KIB, MIB,	    2 * MIB,
	4 * MIB,  4 * MIB + 64 * KIB, 64 * MIB,	 128 * MIB,
};

/* One below, at, and above each; with a page and a unit, too. */
static const long around[] = {-16385, -16384, -4097, -4096, -1,	   0,
			      1,      15,     4096,  4097,  16384, 16385};

#define NR_SIZES (KMEM_ARRAY_SIZE(borders) * KMEM_ARRAY_SIZE(around))

static size_t size_at(size_t i)
{
	return borders[i / KMEM_ARRAY_SIZE(around)] +
	       (size_t)around[i % KMEM_ARRAY_SIZE(around)];
}

static void write_ends(char *p, size_t size, char value)
{
	p[0] = value;
	p[size / 2] = value;
	p[size - 1] = value;
}

static bool has_ends(const char *p, size_t size, char value)
{
	return p[0] == value && p[size / 2] == value && p[size - 1] == value;
}

static void test_every_size(void **state)
{
	(void)state;
	malloc_test_start("trim=0");
	for (size_t i = 0; i < NR_SIZES; i++) {
		size_t size = size_at(i), usable;
		char *p = kmem_malloc(size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		usable = kmem_usable_size(p);
		assert_in_range(usable, size, size + size / 3);
		/* All of it belongs to the program, and stays with the block. */
		write_ends(p, usable, 7);
		p = kmem_realloc(p, usable);
		assert_int_equal(kmem_usable_size(p), usable);
		assert_true(has_ends(p, usable, 7));
		kmem_free(p);
		p = kmem_calloc(1, size);
		assert_true(has_ends(p, size, 0));
		kmem_free(p);
	}
	malloc_test_stop();
}

/* From everywhere to everywhere. */
static void test_every_realloc(void **state)
{
	(void)state;
	malloc_test_start("trim=0");
	for (size_t i = 0; i < NR_SIZES; i += 3) {
		for (size_t j = 1; j < NR_SIZES; j += 5) {
			size_t from = size_at(i), to = size_at(j);
			size_t less = from < to ? from : to;
			char *p = kmem_malloc(from);

			p[0] = 1;
			p[less / 2] = 2;
			p[less - 1] = 3;
			p = kmem_realloc(p, to);
			assert_non_null(p);
			assert_true(kmem_usable_size(p) >= to);
			assert_true(p[0] == 1 && p[less / 2] == 2 && p[less - 1] == 3);
			kmem_free(p);
		}
	}
	malloc_test_stop();
}

/* calloc() of what was written and freed in every way before: zero to the last byte. */
static void test_zeroes_after_use(void **state)
{
	static const size_t some[] = {129 * KIB, 200 * KIB, MIB,
				      3 * MIB,	 5 * MIB,   9 * MIB};
	char *p, *q;

	(void)state;
	malloc_test_start("trim=0");
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(some); i++) {
			p = kmem_malloc(some[i]);
			memset(p, 0xff, kmem_usable_size(p));
			p = kmem_realloc(p, some[i] * 2);
			memset(p, 0xff, kmem_usable_size(p));
			q = kmem_realloc(p, some[i] / 2 + 70 * KIB);
			p = kmem_calloc(3, some[i] / 3); /* of the tail, perhaps */
			assert_true(all_zero(p, some[i] / 3 * 3));
			memset(p, 0xff, kmem_usable_size(p));
			kmem_free(q);
			kmem_free(p);
			p = kmem_calloc(1, some[i]);
			assert_true(all_zero(p, some[i]));
			/* Blocks that calloc() cleared may be longer. */
			memset(p, 0xff, kmem_usable_size(p));
			kmem_free(p);
		}
		if (round == 1)
			spans_decay(0);
	}
	malloc_test_stop();
}

static void test_alignments(void **state)
{
	static const size_t sizes[] = {1,	  100,	   5000,	129 * KIB,
				       200 * KIB, 2 * MIB, 5 * MIB + 1, 130 * MIB};

	(void)state;
	malloc_test_start("trim=0");
	for (size_t align = 16; align <= (size_t)1 << 30; align *= 4) {
		char *p[KMEM_ARRAY_SIZE(sizes)];

		for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
			p[i] = kmem_memalign(align, sizes[i]);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % align, 0);
			assert_true(kmem_usable_size(p[i]) >= sizes[i]);
			write_ends(p[i], sizes[i], (char)(i + 1));
		}
		assert_int_equal(kmem_malloc_check(), 0);
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
			assert_true(has_ends(p[i], sizes[i], (char)(i + 1)));
			p[i] = kmem_realloc(p[i], sizes[i] + sizes[i] / 2);
			assert_int_equal(p[i][0], (int)i + 1);
			kmem_free(p[i]);
		}
	}
	malloc_test_stop();
}

/* Absurd sizes and alignments fail with ENOMEM, and leave the block as it was. */
static void test_absurd(void **state)
{
	static const size_t sizes[] = {PTRDIFF_MAX,
				       (size_t)PTRDIFF_MAX + 1,
				       PTRDIFF_MAX - 4095,
				       PTRDIFF_MAX - 16384,
				       SIZE_MAX,
				       SIZE_MAX - 15,
				       SIZE_MAX - 4096,
				       SIZE_MAX - 16383,
				       (size_t)1 << 62,
				       (size_t)1 << 48,
				       ((size_t)UINT32_MAX + 2) << SPAN_UNIT_SHIFT};
	static const size_t before[] = {100, 128 * KIB, 200 * KIB, 5 * MIB, 130 * MIB};

	(void)state;
	malloc_test_start("trim=0");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		/* AddressSanitizer's mmap() may serve what it finds room for. */
		if (sizes[i] < (size_t)1 << 47)
			continue;
		errno = 0;
		assert_null(kmem_malloc(sizes[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(kmem_calloc(1, sizes[i]));
		assert_int_equal(errno, ENOMEM);
		for (size_t align = 16; align != 0; align <<= 9) {
			errno = 0;
			assert_null(kmem_memalign(align, sizes[i]));
			assert_int_equal(errno, ENOMEM);
		}
		for (size_t j = 0; j < KMEM_ARRAY_SIZE(before); j++) {
			char *p = kmem_malloc(before[j]);

			write_ends(p, before[j], 5);
			errno = 0;
			assert_null(kmem_realloc(p, sizes[i]));
			assert_int_equal(errno, ENOMEM);
			assert_true(has_ends(p, before[j], 5));
			kmem_free(p);
		}
	}
	errno = 0;
	assert_null(kmem_memalign((size_t)1 << 62, 200 * KIB));
	assert_int_equal(errno, ENOMEM);
	assert_null(kmem_memalign((size_t)1 << 63, 1));
	assert_null(kmem_memalign(3 * MIB, 200 * KIB));
	assert_int_equal(errno, EINVAL);
	malloc_test_stop();
}

/* --- the model --- */

#define SLOTS 24
#define STEPS 2000

struct block {
	char *p;
	size_t size;
	uint64_t stamp;
};

struct model {
	struct block b[SLOTS];
	uint64_t random;
};

static uint64_t draw(struct model *m)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return m->random >> 33;
}

static size_t draw_size(struct model *m)
{
	/* The largest seldom, as they take long. */
	size_t n = draw(m) % 64 != 0 ? 6 * KMEM_ARRAY_SIZE(around) : NR_SIZES;

	if (draw(m) % 4 == 0)
		return 1 + draw(m) % (300 * KIB);
	return size_at(draw(m) % n);
}

/* A stamp in each page, and at the end. */
static void stamp(struct block *b)
{
	for (size_t i = 0; i + 8 <= b->size; i += PAGE_SIZE)
		memcpy(b->p + i, &b->stamp, 8);
	b->p[b->size - 1] = (char)b->stamp;
}

static void assert_stamped(const struct block *b, size_t size)
{
	for (size_t i = 0; i + 8 <= size; i += PAGE_SIZE) {
		/* Where the last byte's stamp lies over it. */
		if (i + 8 < b->size)
			assert_memory_equal(b->p + i, &b->stamp, 8);
	}
	if (size == b->size)
		assert_int_equal(b->p[size - 1], (char)b->stamp);
}

static void make_block(struct model *m, struct block *b)
{
	size_t align;

	b->size = draw_size(m);
	switch (draw(m) % 4) {
	case 0:
		b->p = kmem_calloc(1, b->size);
		assert_true(all_zero(b->p, b->size));
		break;
	case 1:
		align = (size_t)16 << draw(m) % 18;
		b->p = kmem_memalign(align, b->size);
		assert_int_equal((uintptr_t)b->p % align, 0);
		break;
	default: b->p = kmem_malloc(b->size); break;
	}
	assert_non_null(b->p);
	assert_true(kmem_usable_size(b->p) >= b->size);
	b->stamp = draw(m) << 32 | draw(m);
	stamp(b);
}

static void change_block(struct model *m, struct block *b)
{
	size_t size = draw(m) % 2 ? draw_size(m) : b->size + b->size / 10 + 1;
	char *p = kmem_realloc(b->p, size);
	struct block now = {p, b->size, b->stamp};

	assert_non_null(p);
	assert_true(kmem_usable_size(p) >= size);
	if (size < b->size)
		now.size = size + 8; /* its last byte is gone */
	assert_stamped(&now, size < b->size ? size : b->size);
	b->p = p;
	b->size = size;
	stamp(b);
}

static void run_model(const char *options, uint64_t seed)
{
	static struct model m;

	m = (struct model){.random = seed};
	malloc_test_start(options);
	for (int step = 0; step < STEPS; step++) {
		struct block *b = &m.b[draw(&m) % SLOTS];

		if (b->p == NULL || b->size > 300 * MIB) {
			kmem_free(b->p);
			make_block(&m, b);
		} else if (draw(&m) % 3 != 0) {
			change_block(&m, b);
		} else {
			assert_stamped(b, b->size);
			kmem_free(b->p);
			b->p = NULL;
		}
		if (step % 500 == 0)
			assert_int_equal(kmem_malloc_check(), 0);
		if (step % 500 == 499)
			kmem_malloc_trim();
	}
	for (int i = 0; i < SLOTS; i++) {
		if (m.b[i].p != NULL)
			assert_stamped(&m.b[i], m.b[i].size);
		kmem_free(m.b[i].p);
	}
	assert_int_equal(stats_now().large_live, 0);
	malloc_test_stop();
}

static void test_model(void **state)
{
	(void)state;
	run_model("trim=0", 1);
	run_model("trim=0,large_slots=0,large_cache=30M", 2);
	run_model("trim=0,span_max=3M", 3);
	run_model("trim=0,span_max=0", 4);
}

static void test_model_with_locks(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	run_model("trim=0", 5);
	os_cpu_force_mode(true);
}

static void test_model_hardened(void **state)
{
	(void)state;
	run_model("trim=0,hardened=on", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_every_realloc),
		cmocka_unit_test(test_zeroes_after_use),
		cmocka_unit_test(test_alignments),
		cmocka_unit_test(test_absurd),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_model_with_locks),
		cmocka_unit_test(test_model_hardened),
	};

	return cmocka_run_group_tests_name("malloc_boundaries", tests, NULL, NULL);
}
