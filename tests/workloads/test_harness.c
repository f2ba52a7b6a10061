/* SPDX-License-Identifier: MIT */
/* Workers, contents of blocks, arenas and the queue of batches. */
#include "tests/workloads/model.h"

#include "workloads/harness/arena.h"
#include "workloads/harness/batch_queue.h"

static struct workload_run run;
static struct worker w;

static void worker_make(struct model *m, enum touch_rule touch, bool check)
{
	memset(&run, 0, sizeof(run));
	run.allocator = &m->base;
	run.threads = 1;
	run.seed = 5;
	run.touch = touch;
	run.check = check;
	model_thread = 1;
	worker_init(&w, &run, 0, NULL);
}

/* Stamps survive at every size and alignment, and the first damaged byte is named. */
static void damage_is_found_at_its_offset(void **state)
{
	static char memory[300];
	struct model *m = model_new();

	(void)state;
	worker_make(m, TOUCH_NONE, true);
	for (size_t size = 1; size <= 40; size++) {
		for (size_t at = 0; at < size; at++) {
			char *block = memory + 8 + size % 8;
			char expected[64];

			memset(memory, 0x55, sizeof(memory));
			worker_touch(&w, block, size);
			assert_int_equal((unsigned char)block[-1], 0x55);
			assert_int_equal((unsigned char)block[size], 0x55);
			CATCH_FAIL(worker_verify(&w, block, size));
			assert_string_equal(fail_reason, "");
			block[at] ^= 1;
			block[size - 1] ^= 2;
			CATCH_FAIL(worker_verify(&w, block, size));
			snprintf(expected, sizeof(expected),
				 "the byte at offset %zu is 0x%02x", at,
				 (unsigned char)block[at]);
			assert_contains(fail_reason, expected);
			assert_contains(fail_reason,
					"allocator 'model' damaged a live block");
			assert_contains(fail_reason, "(thread 0 of 1)");
		}
	}
	model_delete(m);
}

/* Neighbouring addresses, sizes and seeds disagree: blocks that overlap are found. Their
 * first bytes are alike once in 256 times. */
static void stamps_differ(void **state)
{
	static char memory[256];
	struct model *m = model_new();

	(void)state;
	worker_make(m, TOUCH_NONE, true);
	worker_stamp(&w, memory, 64);
	CATCH_FAIL(worker_verify(&w, memory, 63));
	assert_contains(fail_reason, "damaged a live block");
	CATCH_FAIL(worker_verify(&w, memory + 16, 48));
	assert_contains(fail_reason, "damaged a live block");
	run.seed = 6;
	worker_init(&w, &run, 0, NULL);
	CATCH_FAIL(worker_verify(&w, memory, 64));
	assert_contains(fail_reason, "damaged");
	/* The other threads of the run read the same stamps. */
	worker_stamp(&w, memory, 64);
	worker_init(&w, &run, 3, NULL);
	CATCH_FAIL(worker_verify(&w, memory, 64));
	assert_string_equal(fail_reason, "");
	model_delete(m);
}

static void free_nothing(struct allocator *a, void *ptr, size_t size)
{
	(void)a;
	(void)ptr;
	(void)size;
}

/* Two owners of one block, of one size: the second one to free it finds out. */
static void double_hand_outs_are_found(void **state)
{
	static char memory[64];
	struct model *m = model_new();

	(void)state;
	m->ops.free = free_nothing;
	worker_make(m, TOUCH_NONE, true);
	for (size_t size = 1; size <= sizeof(memory); size++) {
		worker_stamp(&w, memory, size);
		worker_stamp(&w, memory, size);
		CATCH_FAIL(worker_free(&w, NULL, memory, size));
		assert_string_equal(fail_reason, "");
		CATCH_FAIL(worker_free(&w, NULL, memory, size));
		assert_contains(fail_reason, "damaged a live block");
		assert_contains(fail_reason, "offset 0 ");
	}
	model_delete(m);
}

static void planted_corruption(struct driver *d)
{
	struct model_block *b = d->model->table;

	while (b->ptr == NULL)
		b++;
	((char *)b->ptr)[b->size / 2] ^= 0x40;
}

/* The same in a whole pass: damage while the block lives is found when it is freed. */
static void planted_corruption_ends_the_pass(void **state)
{
	static struct driver d;

	(void)state;
	driver_init(&d, "wset", "slots=20", 0, 1);
	d.run.check = true;
	d.between = planted_corruption;
	driver_setup(&d);
	CATCH_FAIL(driver_pass(&d, 1));
	assert_contains(fail_reason, "damaged a live block");
	for (size_t i = 0; i < MODEL_TABLE; i++)
		free(d.model->table[i].ptr);
	model_delete(d.model);
}

static void realloc_keeps_contents(void **state)
{
	struct model *m = model_new();
	char *block;

	(void)state;
	worker_make(m, TOUCH_NONE, true);
	for (int with_hook = 0; with_hook < 2; with_hook++) {
		m->ops.realloc = with_hook ? model_realloc : NULL;
		block = worker_alloc(&w, NULL, 100);
		block = worker_realloc(&w, NULL, block, 100, 301);
		block = worker_realloc(&w, NULL, block, 301, 7);
		worker_free(&w, NULL, block, 7);
	}
	block = worker_alloc(&w, NULL, 100);
	block[99] ^= 1;
	CATCH_FAIL(worker_realloc(&w, NULL, block, 100, 200));
	assert_contains(fail_reason, "offset 99 ");
	m->ops.free(&m->base, block, 100);
	assert_int_equal(m->live_blocks, 0);
	assert_int_equal(m->bad_frees + m->bad_sizes, 0);
	model_delete(m);
}

static void *dirty_zalloc(struct allocator *a, size_t size)
{
	char *ptr = model_zalloc(a, size);

	ptr[size - 1] = 3;
	return ptr;
}

static void zalloc_must_be_zero(void **state)
{
	struct model *m = model_new();
	void *block;

	(void)state;
	worker_make(m, TOUCH_ENDS, true);
	block = worker_zalloc(&w, NULL, 100);
	worker_free(&w, NULL, block, 100);
	m->ops.zalloc = dirty_zalloc;
	CATCH_FAIL(worker_zalloc(&w, NULL, 100));
	assert_contains(fail_reason, "not zero: the byte at offset 99 is 0x03");
	for (size_t i = 0; i < MODEL_TABLE; i++)
		free(m->table[i].ptr);
	model_delete(m);
}

static void out_of_memory_ends_the_pass(void **state)
{
	struct model *m = model_new();
	void *block;

	(void)state;
	worker_make(m, TOUCH_NONE, false);
	m->fail_after = 1;
	block = worker_alloc(&w, NULL, 10);
	CATCH_FAIL(worker_alloc(&w, NULL, 20));
	assert_contains(fail_reason, "an allocation of 20 bytes failed");
	CATCH_FAIL(worker_alloc_aligned(&w, NULL, 20, 64));
	assert_contains(fail_reason, "an allocation of 20 bytes aligned to 64 failed");
	worker_free(&w, NULL, block, 10);
	model_delete(m);
}

/* Which bytes of a block that starts at an address are written. */
static void touch_rules_write_what_they_say(void **state)
{
	static char memory[5 * 4096] __attribute__((aligned(4096)));
	struct model *m = model_new();
	enum { START = 4000, SIZE = 10000 };

	(void)state;
	for (enum touch_rule rule = TOUCH_NONE; rule <= TOUCH_FULL; rule++) {
		size_t written = 0;

		memset(memory, 0, sizeof(memory));
		worker_make(m, rule, false);
		assert_ptr_equal(worker_allocated(&w, memory + START, SIZE, 0),
				 memory + START);
		for (size_t i = 0; i < sizeof(memory); i++) {
			if (memory[i] == 0)
				continue;
			written++;
			assert_in_range(i, START, START + SIZE - 1);
			if (rule == TOUCH_PAGES)
				assert_true(i == START || i % 4096 == 0);
			if (rule == TOUCH_ENDS)
				assert_true(i == START || i == START + SIZE - 1);
		}
		/* 4000..13999 reaches the pages that start at 4096, 8192 and 12288. */
		assert_int_equal(written, rule == TOUCH_NONE	? 0
					  : rule == TOUCH_ENDS	? 2
					  : rule == TOUCH_PAGES ? 4
								: SIZE);
	}
	assert_string_equal(touch_rule_names[TOUCH_DEFAULT], "default");
	assert_string_equal(touch_rule_names[TOUCH_FULL], "full");
	assert_null(touch_rule_names[TOUCH_FULL + 1]);
	model_delete(m);
}

/* What a probe gathers, alone and with others. */
static void probes_count_live_bytes(void **state)
{
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 1u << 30};
	struct model *m = model_new();
	static struct probe p[2];
	static struct probe_shared shared;
	void *block;

	(void)state;
	worker_make(m, TOUCH_NONE, false);
	probe_init(&p[0], &shared, &clock, 1);
	w.probe = &p[0];
	block = worker_alloc(&w, &p[0], 100);
	block = worker_realloc(&w, &p[0], block, 100, 250);
	/* A single thread passes nothing on before the end. */
	assert_int_equal(shared.live_bytes, 0);
	assert_int_equal(p[0].live_pending_bytes_max, 250);
	worker_free(&w, &p[0], block, 250);
	probe_live_flush(&p[0]);
	assert_int_equal(shared.live_bytes, 0);
	assert_int_equal(p[0].live_bytes_max, 250);
	assert_int_equal(p[0].alloc.count, 2);
	assert_int_equal(p[0].free.count, 1);
	/* A clock pair that costs a second leaves nothing: all samples are below it. */
	assert_int_equal(p[0].alloc.max, 0);
	assert_int_equal(histogram_count_below(&p[0].alloc, 1u << 31), 2);
	block = worker_alloc_untimed(&w, 70);
	assert_int_equal(shared.live_bytes, 70);
	worker_free_untimed(&w, block, 70);
	assert_int_equal(shared.live_bytes, 0);
	assert_int_equal(p[0].alloc.count, 2);

	/* One thread allocates, the other frees: small changes wait, the sum is right. */
	probe_init(&p[0], &shared, &clock, 2);
	probe_init(&p[1], &shared, &clock, 2);
	for (int i = 0; i < 100; i++)
		probe_live(&p[0], 1000);
	probe_live_flush(&p[0]);
	assert_int_equal(shared.live_bytes, 100000);
	assert_int_equal(p[0].live_bytes_max, 100000);
	for (int i = 0; i < 100; i++)
		probe_live(&p[1], -1000);
	probe_live_flush(&p[1]);
	assert_int_equal(shared.live_bytes, 0);
	model_delete(m);
}

static void arenas_are_zeroed_and_counted(void **state)
{
	uint64_t before = arena_bytes();
	unsigned char *p = arena_alloc(10000);
	void *none = arena_alloc(0);

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(p[i], 0);
	memset(p, 1, 10000);
	assert_int_equal(arena_bytes() - before, 12288 + 4096);
	assert_true(arena_bytes_max() >= arena_bytes());
	arena_free(none, 0);
	arena_free(p, 10000);
	arena_free(NULL, 5);
	assert_int_equal(arena_bytes(), before);
	CATCH_FAIL(arena_alloc(SIZE_MAX));
	assert_contains(fail_reason, "the harness cannot map");
	CATCH_FAIL(arena_alloc((size_t)1 << 60));
	assert_contains(fail_reason, "Cannot allocate memory");
}

#define QUEUE_BATCHES 3000u
#define QUEUE_BATCH   5u

struct queue_thread {
	struct batch_queue *q;
	uintptr_t first; /* producers: of the numbers to push */
	uint64_t sum;	 /* consumers: of what was popped */
	bool torn;	 /* a batch was not what one producer pushed */
};

static void *queue_produce(void *arg)
{
	struct queue_thread *t = arg;
	uintptr_t next = t->first;

	for (uint32_t i = 0; i < QUEUE_BATCHES; i++) {
		void *batch[QUEUE_BATCH];

		for (uint32_t j = 0; j < QUEUE_BATCH; j++)
			batch[j] = (void *)next++;
		batch_queue_push(t->q, batch);
	}
	return NULL;
}

static void *queue_consume(void *arg)
{
	struct queue_thread *t = arg;

	for (uint32_t i = 0; i < QUEUE_BATCHES; i++) {
		void *batch[QUEUE_BATCH];

		batch_queue_pop(t->q, batch);
		for (uint32_t j = 0; j < QUEUE_BATCH; j++) {
			t->sum += (uintptr_t)batch[j];
			t->torn |= (uintptr_t)batch[j] != (uintptr_t)batch[0] + j;
		}
	}
	return NULL;
}

/* Three producers, three consumers, two cells: nothing is lost, doubled or torn. */
static void queue_passes_everything_once(void **state)
{
	enum { SIDES = 3, NUMBERS = QUEUE_BATCHES * QUEUE_BATCH * SIDES };
	struct batch_queue *q = batch_queue_new(2, QUEUE_BATCH);
	struct queue_thread t[2 * SIDES] = {0};
	pthread_t id[2 * SIDES];
	uint64_t sum = 0;

	(void)state;
	for (uint32_t i = 0; i < 2 * SIDES; i++) {
		t[i].q = q;
		t[i].first = i / 2 * QUEUE_BATCHES * QUEUE_BATCH;
		pthread_create(&id[i], NULL, i % 2 == 0 ? queue_produce : queue_consume,
			       &t[i]);
	}
	for (uint32_t i = 0; i < 2 * SIDES; i++) {
		pthread_join(id[i], NULL);
		sum += t[i].sum;
		assert_false(t[i].torn);
	}
	assert_int_equal(sum, (uint64_t)NUMBERS * (NUMBERS - 1) / 2);
	assert_int_equal(batch_queue_length(q), 0);
	batch_queue_delete(q);
	batch_queue_delete(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damage_is_found_at_its_offset),
		cmocka_unit_test(stamps_differ),
		cmocka_unit_test(double_hand_outs_are_found),
		cmocka_unit_test(planted_corruption_ends_the_pass),
		cmocka_unit_test(realloc_keeps_contents),
		cmocka_unit_test(zalloc_must_be_zero),
		cmocka_unit_test(out_of_memory_ends_the_pass),
		cmocka_unit_test(touch_rules_write_what_they_say),
		cmocka_unit_test(probes_count_live_bytes),
		cmocka_unit_test(arenas_are_zeroed_and_counted),
		cmocka_unit_test(queue_passes_everything_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
