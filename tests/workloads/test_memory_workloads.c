/* SPDX-License-Identifier: MIT */
/*
 * ff-worst, class-worst, age: what they claim to do to an allocator's memory, shown on
 * models of allocators that are simple enough to be believed.
 */
#include "tests/workloads/shapes.h"

#include <math.h>

#include "workloads/harness/robson.h"

/* --- ff-worst --- */

/* Plays one cycle of the log on first fit; sizes get their header back. */
static void play_first_fit(const struct driver *d, uint64_t header, struct ff_model *m)
{
	uint64_t size_before = 0;

	for (size_t i = 0; i < d->model->logged; i++) {
		const struct model_event *e = &d->model->log[i];
		uint64_t size = e->size + header;

		if (e->what == 'f') {
			ff_free(m, e->serial);
			continue;
		}
		/* A cycle ends with nothing live. */
		if (m->count == 0 && i > 0)
			return;
		/* The frees between two rounds leave no hole for a block of the next. */
		if (size != size_before && i > 0)
			assert_true(ff_largest_hole(m) < size);
		size_before = size;
		ff_alloc(m, size, e->serial);
	}
}

static void check_first_fit(uint64_t live, uint64_t low, uint64_t high, uint64_t header)
{
	char params[128];
	struct ff_model m;
	struct driver d;

	snprintf(params, sizeof(params),
		 "live_bytes=%u,size_min_bytes=%u,size_max_bytes=%u,header_bytes=%u",
		 (unsigned int)live, (unsigned int)low, (unsigned int)high,
		 (unsigned int)header);
	shape_pass(&d, "ff-worst", params, 3);
	assert_true(figure_of(&d, "cycles_done") >= 1);
	ff_init(&m, live / low + 1);
	play_first_fit(&d, header, &m);
	/* Its own model and this one agree, and both say what Robson has proved. */
	assert_true((double)m.extent == figure_of(&d, "first_fit_model_bytes"));
	assert_true((double)m.extent >= figure_of(&d, "robson_bound_bytes"));
	assert_true((double)(m.extent + high) >= 1.5 * (double)live);
	assert_true(d.model->live_bytes_max <= live);
	if (header == 0)
		assert_int_equal(d.model->live_bytes_max, live);
	free(m.block);
	driver_finish(&d);
}

static void ff_worst_defeats_first_fit(void **state)
{
	(void)state;
	check_first_fit(64 << 10, 32, 4 << 10, 0);
	check_first_fit(64 << 10, 32, 4 << 10, 8);
	check_first_fit(32 << 10, 16, 64, 0);
	check_first_fit(4 << 10, 1, 4 << 10, 0);
	check_first_fit(64 << 10, 64, 128, 16);
}

/* Published values: Knuth, TAOCP 1, section 2.5: n = M/2 log2 m + M - m + 1. */
static void bounds_are_robsons(void **state)
{
	(void)state;
	/* M = 4, sizes 1 and 2: 4 * (1/2 + 1) - 1 = 5. */
	assert_true(robson_bound_bytes(4, 1, 2) == 5);
	assert_true(robson_bound_bytes(1024, 1, 256) == 1024 * 5 - 255);
	/* The unit does not matter. */
	assert_true(robson_bound_bytes(1024 * 16, 16, 4096) == 16 * (1024 * 5 - 255));
	/* One size only: nothing is ever lost. */
	assert_true(robson_bound_bytes(1000, 8, 8) == 1000);
	assert_true(robson_first_fit_bytes(1024, 1, 256) == 8192);
	assert_true(robson_first_fit_bytes(1024, 8, 8) == 1024);
}

static void ff_worst_bounds_count_all_threads(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "ff-worst", "live_bytes=64K", 0, 2);
	driver_setup(&d);
	driver_pass(&d, 1);
	assert_true(figure_of(&d, "robson_bound_bytes") ==
		    robson_bound_bytes(128 << 10, 32, 4096));
	assert_true(figure_of(&d, "first_fit_model_bytes") >
		    2 * (double)(64 << 10) * 4.4);
	driver_finish(&d);
}

/* --- class-worst --- */

#define SPAN	  4096u
#define SPANS_MAX 4096u

/* Spans that belong to one size until their last block is freed; lowest place first. */
struct span_model {
	struct span {
		size_t size;	/* of its blocks; 0: free for any size */
		uint32_t live;	/* blocks */
		uint32_t taken; /* places ever given out since it got its size */
	} span[SPANS_MAX];
	uint32_t *place; /* span by serial */
	uint32_t used, used_max;
};

static void span_alloc(struct span_model *m, size_t size, uint64_t serial)
{
	uint32_t i, empty = SPANS_MAX;

	for (i = 0; i < SPANS_MAX; i++) {
		if (m->span[i].size == size && m->span[i].live < SPAN / size)
			break;
		if (m->span[i].size == 0 && empty == SPANS_MAX)
			empty = i;
	}
	if (i == SPANS_MAX) {
		i = empty;
		assert_true(i < SPANS_MAX);
		m->span[i] = (struct span){.size = size};
		if (++m->used > m->used_max)
			m->used_max = m->used;
	}
	m->span[i].live++;
	m->place[serial] = i;
}

static void span_free(struct span_model *m, uint64_t serial)
{
	struct span *s = &m->span[m->place[serial]];

	if (--s->live == 0) {
		s->size = 0;
		m->used--;
	}
}

/* Segregated spans keep nearly all they ever had; first fit serves it from a third. */
static void class_worst_pins_spans(void **state)
{
	struct span_model *spans = calloc(1, sizeof(*spans));
	uint64_t live_max, pinned, serials = 0;
	struct ff_model ff;
	struct driver d;

	(void)state;
	shape_pass(&d, "class-worst", "sizes=8,size_min_bytes=64,bytes_per_class=64K", 3);
	ff_init(&ff, d.model->allocs + 1);
	spans->place = calloc(d.model->allocs + 1, sizeof(*spans->place));
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];

		if (e->what == 'a') {
			if (ff.count == 0 && i > 0)
				break;
			serials = e->serial;
			span_alloc(spans, e->size, e->serial);
			ff_alloc(&ff, e->size, e->serial);
		} else {
			span_free(spans, e->serial);
			ff_free(&ff, e->serial);
		}
	}
	assert_int_equal(spans->used, 0); /* one whole cycle */
	assert_true(serials < d.model->allocs);
	live_max = (uint64_t)figure_of(&d, "cycle_live_max_bytes");
	pinned = (uint64_t)figure_of(&d, "class_pinned_bytes");
	assert_int_equal(d.model->live_bytes_max, live_max);
	assert_in_range(pinned, 8 * 65536, 8 * 65536 + 8 * 1024);
	/* All spans but those that rounding left half-filled. */
	assert_true((double)spans->used_max * SPAN > 0.95 * (double)pinned);
	assert_true((double)spans->used_max * SPAN > 3.5 * (double)live_max);
	assert_true((double)ff.extent < 1.5 * (double)live_max);
	free(spans->place);
	free(spans);
	free(ff.block);
	driver_finish(&d);
}

/* Of each span's blocks in a row exactly one outlives its size's turn. */
static void class_worst_keeps_one_in_a_span(void **state)
{
	enum { SIZE = 64, BLOCKS = 1024, PER_SPAN = SPAN / SIZE };
	bool kept[BLOCKS];
	struct driver d;
	size_t i, first = 0;
	uint64_t distinct = 0;
	bool seen[PER_SPAN] = {false};

	(void)state;
	shape_pass(&d, "class-worst",
		   "sizes=2,size_min_bytes=64,size_max_bytes=128,bytes_per_class=64K", 1);
	for (i = 0; i < BLOCKS; i++) {
		assert_int_equal(d.model->log[i].what, 'a');
		assert_int_equal(d.model->log[i].size, SIZE);
		kept[i] = true;
	}
	for (; d.model->log[i].what == 'f'; i++)
		kept[d.model->log[i].serial - 1] = false;
	assert_int_equal(d.model->log[i].size, 128);
	for (size_t span = 0; span < BLOCKS; span += PER_SPAN) {
		unsigned int n = 0;

		for (size_t k = 0; k < PER_SPAN; k++) {
			n += kept[span + k];
			first = kept[span + k] ? k : first;
		}
		assert_int_equal(n, 1);
		distinct += !seen[first];
		seen[first] = true;
	}
	assert_true(distinct > 8); /* of 16 spans: drawn, not always the same */
	driver_finish(&d);
}

/* --- age --- */

/* The log of a pass, by bytes allocated after the fill. */
static void age_holds_live_bytes(void **state)
{
	enum { LIVE = 64 << 10, PERIOD = 512 << 10, LOW = 32, HIGH = 1024, PARTS = 8 };
	static const double up[PARTS] = {1, 3, 5, 7, 7, 5, 3, 1};
	double sum[PARTS] = {0}, n[PARTS] = {0};
	uint64_t live = 0, allocated = 0, periods;
	struct driver d;
	bool filled = false;

	(void)state;
	shape_pass(&d, "age",
		   "live_bytes=64K,size_min_bytes=32,size_max_bytes=1K,window_octaves=2,"
		   "period_bytes=512K",
		   12);
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];
		int part = (int)(allocated % PERIOD * PARTS / PERIOD);

		filled |= e->what == 'f';
		if (e->what == 'f') {
			live -= e->size;
			continue;
		}
		live += e->size;
		assert_in_range(e->size, LOW, HIGH);
		assert_true(live <= LIVE);
		/* Freed no more than the new block needed: but for one, it is full. */
		if (filled)
			assert_true(live > LIVE - 2 * HIGH);
		if (!filled)
			continue;
		allocated += e->size;
		sum[part] += log2((double)e->size);
		n[part]++;
	}
	periods = allocated / PERIOD;
	assert_true(periods >= 2);
	assert_true(fabs(figure_of(&d, "drift_periods_done") -
			 (double)allocated / PERIOD) < 1e-9);
	assert_true(fabs(figure_of(&d, "age_turnovers") - (double)allocated / LIVE) <
		    1e-9);
	assert_true((uint64_t)figure_of(&d, "age_calls") <= d.model->logged);
	/*
	 * Sizes are spread over 2 octaves, so their mean logarithm is one above the low
	 * end, which goes up 3 octaves and down again. Parts go by the bytes
	 * before a block, the window by those before 64 blocks: hence the width.
	 */
	for (int part = 0; part < PARTS; part++) {
		assert_true(n[part] > 100);
		assert_true(fabs(sum[part] / n[part] - (5 + 1 + 3 * up[part] / 8)) < 0.4);
	}
	driver_finish(&d);
}

/* Ten turnovers before anything else, in the memory pass alone. */
static void age_is_old_in_the_memory_pass(void **state)
{
	static struct probe probe;
	struct driver d;
	struct worker *w;
	uint64_t first;

	(void)state;
	driver_init(&d, "age", "live_bytes=256K,size_max_bytes=1K,period_bytes=1M", 0, 1);
	driver_setup(&d);
	w = shape_memory_worker(&d, &probe);
	d.run.workload->step_probed(w);
	first = w->ops;
	d.run.workload->step_probed(w);
	assert_true(w->ops - first < first / 2); /* a quantum */
	shape_memory_end(&d);
	assert_true(figure_of(&d, "age_turnovers") >= 10);
	assert_true(figure_of(&d, "age_turnovers") < 30);
	driver_pass(&d, 1);
	assert_true(figure_of(&d, "age_turnovers") < 5);
	driver_finish(&d);
}

/*
 * However short the memory pass, it plays a cycle as far as all that it leaves is live;
 * the steps of a cycle after the first do nothing, and it is one cycle in as many steps.
 */
static void check_whole_cycles(const char *workload, const char *params)
{
	static struct probe probe;
	uint64_t live_max, at_rest, ops;
	unsigned int steps = 0;
	struct driver d;
	struct worker *w;

	shape_pass(&d, workload, params, 200);
	assert_true(figure_of(&d, "cycles_done") >= 2);
	live_max = d.model->live_bytes_max;
	d.model->live_bytes_max = 0;
	w = shape_memory_worker(&d, &probe);
	d.run.workload->step_probed(w);
	assert_int_equal(d.model->live_bytes_max, live_max);
	at_rest = d.model->live_bytes;
	assert_true(at_rest > 0);
	ops = w->ops;
	do {
		d.run.workload->step_probed(w);
		assert_int_equal(d.model->live_bytes, at_rest);
		steps++;
	} while (w->ops == ops);
	assert_true(w->ops - ops <= steps * SCRIPT_QUANTUM);
	assert_true(w->ops - ops > (steps - 1) * SCRIPT_QUANTUM);
	shape_memory_end(&d);
	assert_true(figure_of(&d, "cycles_done") == 2);
	driver_finish(&d);
}

static void memory_passes_play_whole_cycles(void **state)
{
	(void)state;
	check_whole_cycles("ff-worst", "live_bytes=256K");
	check_whole_cycles("class-worst", "bytes_per_class=64K");
	check_whole_cycles("phased", "blocks_per_phase=1000");
}

/* A cycle shorter than a quantum is repeated in it. */
static void short_cycles_fill_a_step(void **state)
{
	static struct probe probe;
	struct driver d;
	struct worker *w;

	(void)state;
	driver_init(&d, "phased", "phases=1,blocks_per_phase=2", 0, 1);
	driver_setup(&d);
	w = shape_memory_worker(&d, &probe);
	d.run.workload->step_probed(w);
	assert_true(w->ops > SCRIPT_QUANTUM - 8 && w->ops <= SCRIPT_QUANTUM);
	shape_memory_end(&d);
	driver_finish(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ff_worst_defeats_first_fit),
		cmocka_unit_test(bounds_are_robsons),
		cmocka_unit_test(ff_worst_bounds_count_all_threads),
		cmocka_unit_test(class_worst_pins_spans),
		cmocka_unit_test(class_worst_keeps_one_in_a_span),
		cmocka_unit_test(age_holds_live_bytes),
		cmocka_unit_test(age_is_old_in_the_memory_pass),
		cmocka_unit_test(memory_passes_play_whole_cycles),
		cmocka_unit_test(short_cycles_fill_a_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
