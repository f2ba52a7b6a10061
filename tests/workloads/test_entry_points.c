/* SPDX-License-Identifier: MIT */
/* realloc, calloc, aligned, and lists of sizes as a parameter's value. */
#include "tests/workloads/model.h"

#include <math.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/size_list.h"

static double moved_share, moved_bytes;

static void take_figure(const char *name, double value, void *arg)
{
	(void)arg;
	if (strcmp(name, "moved_share") == 0)
		moved_share = value;
	else if (strcmp(name, "moved_bytes_per_op") == 0)
		moved_bytes = value;
	else
		fail_msg("an unknown figure '%s'", name);
}

static void report(struct driver *d)
{
	moved_share = moved_bytes = -1;
	d->run.workload->report(&d->run, take_figure, NULL);
}

/* Both passes at 1 to 4 threads, with contents checked; then all is drained. */
static void check_counts(const char *workload, const char *params, uint64_t size,
			 bool realloc_hook)
{
	for (unsigned int threads = 1; threads <= 4; threads++) {
		uint64_t arena_before = arena_bytes(), ops, allocs, reallocs, samples = 0;
		struct driver d;

		driver_init(&d, workload, params, size, threads);
		d.run.check = true;
		d.model->ops.realloc = realloc_hook ? model_realloc : NULL;
		driver_setup(&d);
		ops = driver_pass(&d, 2);
		assert_true(ops > 0);
		allocs = d.model->allocs;
		reallocs = d.model->reallocs;
		assert_int_equal(allocs, d.model->frees);
		assert_int_equal(driver_probed_pass(&d, 2), ops);
		assert_int_equal(d.model->allocs, 2 * allocs);
		assert_int_equal(d.model->reallocs, 2 * reallocs);
		for (unsigned int i = 0; i < threads; i++)
			samples += d.probes[i].alloc.count + d.probes[i].free.count;
		assert_true(samples >= ops && samples <= 2 * (allocs + reallocs));
		assert_true(d.model->live_bytes_max <= d.run.workload->footprint(&d.run));
		assert_int_equal(d.model->remote_frees, 0);
		driver_finish(&d);
		assert_int_equal(arena_bytes(), arena_before);
	}
}

static void counts_match_operations(void **state)
{
	(void)state;
	check_counts("realloc", "end_bytes=4K", 0, true);
	check_counts("realloc", "growth=linear,n_blocks=3,end_bytes=1K", 0, true);
	check_counts("calloc", NULL, 64, false);
	check_counts("calloc", "n_blocks=1", 3000, false);
	check_counts("aligned", "slots=20", 0, false);
}

/* Without a hook a call is an allocation, a copy and a free, and one sample. */
static void realloc_works_without_a_hook(void **state)
{
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "realloc", "end_bytes=2K,n_blocks=4", 0, 1);
	d.run.check = true;
	driver_setup(&d);
	ops = driver_probed_pass(&d, 1);
	assert_int_equal(d.model->reallocs, 0);
	assert_true(d.model->allocs > ops);
	assert_true(d.probes[0].alloc.count > ops && d.probes[0].free.count < ops);
	/* Samples of allocations that no block began with: those of realloc. */
	assert_int_equal(d.probes[0].alloc.count - d.probes[0].free.count, ops);
	driver_finish(&d);
}

/* Follows each block through the log; sizes are those that the growth calls for. */
static void check_growth(const char *params, uint64_t factor, uint64_t step,
			 uint64_t start, uint64_t end, uint64_t blocks)
{
	static size_t size_of[MODEL_LOG];
	uint64_t calls = 0, lives = 0, unlike = 0;
	struct driver d;
	uint64_t ops;

	driver_init(&d, "realloc", params, 0, 1);
	d.model->ops.realloc = model_realloc;
	driver_setup(&d);
	assert_int_equal(workload_size_max(&d.run), end);
	ops = driver_pass(&d, 20);
	for (size_t i = 0; i < d.model->logged - blocks; i++) {
		const struct model_event *e = &d.model->log[i];
		size_t old = size_of[e->serial];

		assert_true(e->size <= end);
		if (e->what == 'r') {
			assert_int_equal(e->size, old * factor + step);
			calls++;
		} else if (e->what == 'f') {
			/* It had grown as far as it could. */
			assert_true(old * factor + step > end);
			lives++;
		} else if (i < blocks) {
			unlike += i > 0 && e->size != d.model->log[0].size;
		} else {
			assert_in_range(e->size, start, 2 * start);
		}
		size_of[e->serial] = e->size;
	}
	assert_int_equal(calls, ops);
	assert_true(lives > 0);
	/* Blocks do not grow in step. */
	assert_true(unlike > (blocks - 1) / 2);
	report(&d);
	assert_true(moved_share == 1); /* the model always moves */
	assert_true(moved_bytes > (double)start && moved_bytes < (double)end);
	driver_finish(&d);
}

static void blocks_grow_as_told(void **state)
{
	(void)state;
	check_growth(NULL, 2, 0, 16, 65536, 16);
	check_growth("growth=doubling,n_blocks=5,start_bytes=100,end_bytes=1000", 2, 0,
		     100, 1000, 5);
	check_growth("growth=linear,end_bytes=2000", 1, 64, 16, 2000, 16);
	check_growth("growth=linear,step_bytes=1,n_blocks=3,end_bytes=64", 1, 1, 16, 64,
		     3);
}

/* Stages of linear growth are drawn evenly, however many there are. */
static void linear_growth_starts_anywhere(void **state)
{
	enum { BLOCKS = 2000, END = 65536 };
	double sum = 0;
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "realloc", "growth=linear,step_bytes=1,n_blocks=2000", 0, 1);
	driver_setup(&d);
	ops = driver_pass(&d, 1);
	for (size_t i = 0; i < BLOCKS; i++)
		sum += (double)d.model->log[i].size;
	/* Uniform: sigma of the mean is 65536 / sqrt(12 * 2000) = 423. */
	assert_true(fabs(sum / BLOCKS - END / 2.0) < 5 * 423);
	/* 2 MiB of new sizes in a quantum, at that mean. */
	assert_in_range(ops, 62, 65);
	driver_finish(&d);
}

/* In place below the limit, moved from there on; no memory is touched. */
enum { IN_PLACE_BYTES = 1024 };

/* Blocks that grow in place must have room: whoever moves them reads all of it. */
static void *roomy_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			 int node)
{
	struct model *m = (struct model *)a;
	size_t room = size < IN_PLACE_BYTES ? IN_PLACE_BYTES : size;
	void *ptr = model_alloc(a, room, align, gfp, node);

	model_find(m, ptr)->size = size;
	m->live_bytes -= room - size;
	return ptr;
}

static void *sometimes_realloc(struct allocator *a, void *ptr, size_t old_size,
			       size_t new_size)
{
	if (new_size > IN_PLACE_BYTES)
		return model_realloc(a, ptr, old_size, new_size);
	model_find((struct model *)a, ptr)->size = new_size;
	((struct model *)a)->live_bytes += new_size - old_size;
	return ptr;
}

static void moves_are_told_from_growth_in_place(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "realloc", "end_bytes=4K", 0, 1);
	d.run.touch = TOUCH_NONE;
	d.model->ops.alloc = roomy_alloc;
	d.model->ops.realloc = sometimes_realloc;
	driver_setup(&d);
	assert_true(driver_pass(&d, 20) > 0);
	report(&d);
	/*
	 * From 16..32 bytes to 4 KiB there are 7 calls (8 from 16 itself), of which the
	 * last two move, to above 1 and above 2 KiB.
	 */
	assert_true(fabs(moved_share - 2.0 / 7) < 0.03);
	driver_finish(&d);
}

/* calloc's own entry point, oldest freed first, nothing else. */
static void calloc_zeroes_by_the_hook(void **state)
{
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "calloc", "n_blocks=5", 64, 1);
	d.run.check = true; /* blocks are stamped, so used memory is not zero */
	driver_setup(&d);
	ops = driver_pass(&d, 1);
	assert_int_equal(ops, 8192 / 5 * 5);
	assert_int_equal(d.model->live_bytes_max, 5 * 64);
	for (size_t i = 0; i < 2 * ops; i++) {
		const struct model_event *e = &d.model->log[i];

		assert_int_equal(e->size, 64);
		assert_int_equal(e->what, i % 10 < 5 ? 'z' : 'f');
		assert_int_equal(e->serial, i / 10 * 5 + i % 5 + 1);
	}
	driver_finish(&d);
	/* Large blocks: fewer of them in a quantum. */
	driver_init(&d, "calloc", NULL, 64 * 1024, 1);
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, 1), 64);
	driver_finish(&d);
}

static char *dirty_block;

static void *lazy_zalloc(struct allocator *a, size_t size)
{
	dirty_block = model_zalloc(a, size);
	dirty_block[size / 2] = 7;
	return dirty_block;
}

static void dirty_memory_is_found(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "calloc", NULL, 64, 1);
	d.run.check = true;
	driver_setup(&d);
	d.model->ops.zalloc = lazy_zalloc;
	CATCH_FAIL(driver_pass(&d, 1));
	assert_contains(fail_reason, "returned 64 bytes for calloc that are not zero: "
				     "the byte at offset 32 is 0x07");
	free(dirty_block);
	model_delete(d.model);
}

/* Each of the listed alignments as often as the others, the first blocks too. */
static void alignments_come_from_the_list(void **state)
{
	static const size_t aligns[] = {8, 32, 1024};
	uint64_t drawn[3] = {0}, n = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "aligned", "alignments_bytes=8+32+1K,size_max_bytes=100,slots=50",
		    0, 1);
	driver_setup(&d);
	assert_int_equal(workload_size_max(&d.run), 1024);
	assert_int_equal(driver_pass(&d, 4), 4 * 4096);
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];
		size_t which = 0;

		assert_in_range(e->size, 16, 100);
		if (i >= 50 && i < 50 + 2 * 4 * 4096)
			assert_int_equal(e->what, (i - 50) % 2 == 0 ? 'f' : 'a');
		if (e->what != 'a')
			continue;
		while (which < 3 && aligns[which] != e->align)
			which++;
		assert_true(which < 3);
		drawn[which]++;
		n++;
	}
	assert_int_equal(n, 50 + 4 * 4096);
	/* sigma of a share is 0.0037 */
	for (int i = 0; i < 3; i++)
		assert_true(fabs((double)drawn[i] / (double)n - 1.0 / 3) < 0.02);
	driver_finish(&d);
}

/* More slots than there are draws: laps after the first reach the others. */
static void any_number_of_slots_is_replaced(void **state)
{
	enum { SLOTS = 40000, LAPS = 6 };
	uint64_t replaced = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "aligned", "slots=40000,size_max_bytes=32,alignments_bytes=16", 0,
		    1);
	driver_setup(&d);
	driver_pass(&d, LAPS * 16384 / 4096);
	for (size_t i = 0; i < d.model->logged - SLOTS; i++)
		replaced += d.model->log[i].what == 'f' &&
			    d.model->log[i].serial <= SLOTS;
	/* 1 - e^-2.46 of them, 0.914; without that 0.336. */
	assert_in_range(replaced, SLOTS * 0.88, SLOTS * 0.99);
	driver_finish(&d);
}

static void *careless_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			    int node)
{
	static char memory[8192] __attribute__((aligned(4096)));

	(void)a;
	(void)size;
	(void)gfp;
	(void)node;
	return align == 64 ? memory + 32 : memory;
}

static void misalignment_is_found(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "aligned", NULL, 0, 1);
	driver_setup(&d);
	d.model->ops.alloc = careless_alloc;
	CATCH_FAIL(driver_pass(&d, 1));
	assert_contains(fail_reason, "which is not aligned to 64");
	model_delete(d.model);
	kmem_options_release(d.run.workload->params, d.params);
}

static void impossible_cells_are_refused(void **state)
{
	static const struct {
		const char *workload, *params, *text;
	} cases[] = {
		{"realloc", "end_bytes=63",
		 "end_bytes=63, which a block of 2 * start_byt"},
		{"realloc", "growth=linear,end_bytes=95", "give 96 or more"},
		{"aligned", "alignments_bytes=16+24",
		 "24 is no power of two from 1 to 4096"},
		{"aligned", "alignments_bytes=8K",
		 "8192 is no power of two from 1 to 4096"},
		{"aligned", "alignments_bytes=+8", "'+8' is no list of sizes"},
		{"aligned", "size_min_bytes=4K", "swap them"},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++)
		driver_refused(cases[i].workload, cases[i].params, 0, 1, cases[i].text);
}

static void same_seed_same_decisions(void **state)
{
	(void)state;
	driver_same_seed("realloc", NULL, 1, true);
	driver_same_seed("aligned", NULL, 1, true);
}

static void lists_of_sizes_are_read(void **state)
{
	struct size_list list;

	(void)state;
	assert_int_equal(size_list_parse("48", &list), 0);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.bytes[0], 48);
	assert_int_equal(size_list_parse("4K+16+1.5KiB", &list), 0);
	assert_int_equal(list.count, 3);
	assert_int_equal(list.bytes[0], 4096);
	assert_int_equal(list.bytes[1], 16);
	assert_int_equal(list.bytes[2], 1536);
	assert_int_equal(size_list_max(&list), 4096);
	assert_int_equal(size_list_parse("", &list), -EINVAL);
	assert_contains(kmem_last_error(), "join numbers by '+'");
	assert_int_equal(size_list_parse("1++2", &list), -EINVAL);
	assert_int_equal(size_list_parse("1+2+", &list), -EINVAL);
	assert_int_equal(size_list_parse("1+x", &list), -EINVAL);
	assert_contains(kmem_last_error(), "'x'");
	assert_int_equal(size_list_parse("1111111111111111111111111111111111", &list),
			 -EINVAL);
	assert_int_equal(size_list_parse("1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+"
					 "1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1",
					 &list),
			 -EINVAL);
	assert_contains(kmem_last_error(), "more than 32 sizes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_match_operations),
		cmocka_unit_test(realloc_works_without_a_hook),
		cmocka_unit_test(blocks_grow_as_told),
		cmocka_unit_test(linear_growth_starts_anywhere),
		cmocka_unit_test(moves_are_told_from_growth_in_place),
		cmocka_unit_test(calloc_zeroes_by_the_hook),
		cmocka_unit_test(dirty_memory_is_found),
		cmocka_unit_test(alignments_come_from_the_list),
		cmocka_unit_test(any_number_of_slots_is_replaced),
		cmocka_unit_test(misalignment_is_found),
		cmocka_unit_test(impossible_cells_are_refused),
		cmocka_unit_test(same_seed_same_decisions),
		cmocka_unit_test(lists_of_sizes_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
