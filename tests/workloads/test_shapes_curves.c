/* SPDX-License-Identifier: MIT */
/* sawtooth, phased, large, slack-half: what lives when. */
#include "tests/workloads/shapes.h"

#include <math.h>
#include <stdatomic.h>

/* --- sawtooth --- */

/* Of one cycle: blocks and bytes of the burst, and which of its blocks are kept. */
struct tooth {
	uint64_t blocks, bytes, kept, kept_bytes;
	bool is_kept[1 << 14]; /* by serial - 1 */
};

/* The model's log of a first cycle: all allocations, then frees until it is drained. */
static void read_tooth(const struct driver *d, uint64_t kept_bytes, struct tooth *t)
{
	const struct model_event *log = d->model->log;
	size_t i = 0;

	memset(t, 0, sizeof(*t));
	for (; log[i].what == 'a'; i++) {
		t->is_kept[i] = true;
		t->bytes += log[i].size;
	}
	t->blocks = i;
	t->kept = i;
	t->kept_bytes = t->bytes;
	for (; i < d->model->logged && t->kept_bytes > kept_bytes; i++) {
		assert_int_equal(log[i].what, 'f');
		t->is_kept[log[i].serial - 1] = false;
		t->kept--;
		t->kept_bytes -= log[i].size;
	}
}

static void check_tooth(const char *keep, unsigned int percent, struct tooth *t)
{
	char params[128];
	struct driver d;

	snprintf(params, sizeof(params),
		 "burst_bytes=1M,size_min_bytes=64,size_max_bytes=512,keep=%s,keep_"
		 "percent=%u",
		 keep, percent);
	shape_pass(&d, "sawtooth", params, 3);
	read_tooth(&d, (uint64_t)figure_of(&d, "sawtooth_kept_bytes"), t);
	assert_true(t->bytes >= 1 << 20 && t->bytes < (1 << 20) + 512);
	assert_true((uint64_t)figure_of(&d, "sawtooth_burst_bytes") == t->bytes);
	assert_true((uint64_t)figure_of(&d, "sawtooth_kept_bytes") == t->kept_bytes);
	assert_int_equal(d.model->live_bytes_max, t->bytes);
	driver_finish(&d);
}

static void sawtooth_keeps_its_share(void **state)
{
	static struct tooth t;

	(void)state;
	check_tooth("oldest", 10, &t);
	assert_int_equal(t.kept, t.blocks / 10);
	for (uint64_t i = 0; i < t.blocks; i++)
		assert_int_equal(t.is_kept[i], i < t.kept);
	check_tooth("newest", 10, &t);
	assert_int_equal(t.kept, t.blocks / 10);
	for (uint64_t i = 0; i < t.blocks; i++)
		assert_int_equal(t.is_kept[i], i >= t.blocks - t.kept);
	/* One in every ten, to within rounding. */
	check_tooth("nth", 10, &t);
	assert_int_equal(t.kept, t.blocks / 10);
	for (uint64_t i = 0, since = 0; i < t.blocks; i++) {
		since = t.is_kept[i] ? 0 : since + 1;
		assert_true(since < 11);
	}
	/* 5000 blocks: a tenth is 500, sigma 21. */
	check_tooth("random", 10, &t);
	assert_true(fabs((double)t.kept - (double)t.blocks / 10) <
		    5 * sqrt((double)t.blocks * 0.09));
	check_tooth("random", 0, &t);
	assert_int_equal(t.kept, 0);
}

/* Marks as they come, each with the live bytes at that time. */
struct marks {
	const struct model *model;
	const char *name[16];
	uint64_t live_bytes[16];
	unsigned int count;
};

static void note_mark(const char *name, void *arg)
{
	struct marks *m = arg;

	assert_true(m->count < KMEM_ARRAY_SIZE(m->name));
	m->name[m->count] = name;
	m->live_bytes[m->count++] = m->model->live_bytes;
}

/* The memory pass: each step ends drained, the marks come in order, no cycle is lost. */
static void sawtooth_rests_when_drained(void **state)
{
	static const char *const names[] = {"burst", "keep", "drained"};
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 0};
	const unsigned int steps = 9;
	struct probe *probe = calloc(1, sizeof(*probe));
	struct probe_shared shared = {0};
	struct marks marks = {0};
	uint64_t plain_ops, live[3];
	struct driver d;
	struct worker *w;

	(void)state;
	plain_ops = shape_pass(&d, "sawtooth",
			       "burst_bytes=1M,size_min_bytes=64,size_max_bytes=256",
			       steps);
	assert_true(d.run.workload->idle_s(&d.run) == 5);
	live[0] = 0; /* all that was kept has been freed */
	live[1] = (uint64_t)figure_of(&d, "sawtooth_burst_bytes");
	live[2] = (uint64_t)figure_of(&d, "sawtooth_kept_bytes");
	marks.model = d.model;
	shared.on_phase = note_mark;
	shared.on_phase_arg = &marks;
	w = &d.workers[0];
	model_enter(d.run.allocator);
	probe_init(probe, &shared, &clock, 1);
	worker_init(w, &d.run, 0, probe);
	w->pass = PASS_MEMORY;
	assert_int_equal(d.run.workload->thread_setup(w), 0);
	for (unsigned int i = 0; i < steps; i++) {
		d.run.workload->step_probed(w);
		assert_int_equal(d.model->live_bytes, live[2]);
		assert_string_equal(atomic_load(&shared.phase), "drained");
	}
	assert_true(marks.count >= 6 && marks.count % 3 == 0);
	for (unsigned int i = 0; i < marks.count; i++) {
		assert_string_equal(marks.name[i], names[i % 3]);
		assert_int_equal(marks.live_bytes[i], live[i % 3]);
	}
	/* As many operations as the other passes, to within a cycle. */
	assert_true(fabs((double)w->ops - (double)plain_ops) < (double)plain_ops / 2);
	d.run.workload->thread_teardown(w);
	model_exit(d.run.allocator);
	free(probe);
	driver_finish(&d);
}

/* --- phased --- */

struct life {
	uint64_t born, size;
	int64_t died; /* phase; -1: in the drain */
};

static void phased_survivors_live_their_phases(void **state)
{
	enum { PHASES = 12, BLOCKS = 2000, SURVIVE = 3 };
	struct life *life = calloc(PHASES * BLOCKS + 1, sizeof(*life));
	uint64_t small_min[PHASES], small_max[PHASES] = {0}, large = 0, survivors = 0;
	uint64_t at_end = 0, phase = 0, allocs = 0;
	struct driver d;

	(void)state;
	shape_pass(
		&d, "phased",
		"phases=12,blocks_per_phase=2000,survivor_percent=20,survivor_phases=3,"
		"large_one_in=100,large_min_bytes=8K,large_max_bytes=16K",
		12);
	assert_int_equal(d.run.workload->footprint(&d.run) > 0, 1);
	memset(small_min, 0xff, sizeof(small_min));
	for (size_t i = 0; i < d.model->logged && allocs <= PHASES * BLOCKS; i++) {
		const struct model_event *e = &d.model->log[i];

		if (e->what == 'a') {
			if (++allocs > PHASES * BLOCKS)
				break;
			phase = (allocs - 1) / BLOCKS;
			life[e->serial] = (struct life){phase, e->size, -1};
			if (e->size >= 8192) {
				large++;
				continue;
			}
			if (e->size < small_min[phase])
				small_min[phase] = e->size;
			if (e->size > small_max[phase])
				small_max[phase] = e->size;
		} else {
			life[e->serial].died = (int64_t)phase;
		}
	}
	for (uint64_t i = 1; i <= PHASES * BLOCKS; i++) {
		if (life[i].died == (int64_t)life[i].born)
			continue;
		survivors++;
		/* The last frees of the last phase and the drain look alike. */
		assert_true(
			life[i].died == (int64_t)life[i].born + SURVIVE ||
			(life[i].born + SURVIVE >= PHASES && life[i].died == PHASES - 1));
		at_end += life[i].born + SURVIVE >= PHASES;
	}
	/* A fifth of the thousand left of each phase but the last: 2200, sigma 42. */
	assert_in_range(survivors, 2200 - 5 * 42, 2200 + 5 * 42);
	assert_true(at_end > 0);
	/* 240 of 24000, sigma 15. */
	assert_in_range(large, 240 - 5 * 15, 240 + 5 * 15);
	for (int i = 0; i < PHASES; i++) {
		assert_true(small_min[i] >= 16 && small_max[i] <= 4096);
		assert_true(small_max[i] <= 4 * small_min[i] + 4);
	}
	assert_true(figure_of(&d, "cycles_done") == 1);
	assert_true(figure_of(&d, "survivors_max_bytes") <= d.model->live_bytes_max);
	free(life);
	driver_finish(&d);
}

/* --- large --- */

static void large_keeps_its_slots(void **state)
{
	struct driver d;

	(void)state;
	shape_pass(&d, "large", "slots=20,size_min_bytes=50K,size_max_bytes=250K", 8);
	/* Fill, then free and alloc in turn, then the rest. */
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];

		assert_in_range(e->size, 50 << 10, 250 << 10);
		if (i < 20)
			assert_int_equal(e->what, 'a');
		else if (i < d.model->logged - 20)
			assert_int_equal(e->what, i % 2 == 0 ? 'f' : 'a');
	}
	assert_true(d.model->logged > 40 + 2 * 8 * 20);
	driver_finish(&d);

	/* By default a block is a quantum, so that none takes long. */
	driver_init(&d, "large", NULL, 0, 1);
	assert_int_equal(d.run.workload->footprint(&d.run), 20u * (15u << 20));
	assert_int_equal(workload_size_max(&d.run), 25 << 20);
	model_delete(d.model);

	assert_int_equal(shape_pass(&d, "large", "mode=pair", 2), 2 * (4096 / 800));
	assert_int_equal(d.model->live_bytes_max, 800 << 10);
	assert_int_equal(d.model->allocs, 10);
	driver_finish(&d);

	/* A pair has one size, replacements have not. */
	driver_init(&d, "large", "mode=pair", 0, 1);
	d.model->ops.caps &= ~(uint64_t)CAP_MIXED_SIZE;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), 0);
	model_delete(d.model);
	driver_init(&d, "large", NULL, 0, 1);
	d.model->ops.caps &= ~(uint64_t)CAP_MIXED_SIZE;
	assert_int_not_equal(workload_validate(&d.run, &d.model->ops), 0);
	model_delete(d.model);

	/* Untouched blocks cost next to nothing: more of them make a quantum. */
	driver_init(&d, "large", "mode=pair", 0, 1);
	d.run.touch = TOUCH_NONE;
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, 1), 256);
	driver_finish(&d);
}

/* --- slack-half --- */

/* Whether a class may end here: a power of two, or an even part of the way to the next.
 */
static bool is_boundary(uint64_t bytes, uint64_t steps)
{
	uint64_t power = (uint64_t)1 << (63 - __builtin_clzll(bytes));

	return (bytes - power) * steps % power == 0;
}

static double slack_of(const char *params, uint64_t steps, const char *figure,
		       size_t *sizes)
{
	bool seen[4096] = {false};
	struct driver d;
	double share;

	shape_pass(&d, "slack-half", params, 1);
	*sizes = 0;
	for (size_t i = 0; i < d.model->logged; i++) {
		size_t size = d.model->log[i].size;

		assert_in_range(size, 17, 2049);
		assert_true(is_boundary(size - 1, steps));
		*sizes += !seen[size];
		seen[size] = true;
	}
	share = figure_of(&d, figure);
	driver_finish(&d);
	return share;
}

static void slack_half_exceeds_boundaries_by_a_byte(void **state)
{
	size_t sizes;
	double share;

	(void)state;
	/* 16, 32, … 2048, and a byte: of each, 2^k + 1 of 2^(k+1) is used. */
	share = slack_of("slots=1000,size_max_bytes=2K", 1, "slack_power_of_two_share",
			 &sizes);
	assert_int_equal(sizes, 8);
	assert_true(share > 0.49 && share < 0.5);
	share = slack_of("slots=1000,size_max_bytes=2K,steps_per_doubling=4", 4,
			 "slack_four_classes_share", &sizes);
	/* 16 * {1, 5/4, 3/2, 7/4}, …, 1024 * 7/4, and 2048: 29 boundaries. */
	assert_int_equal(sizes, 29);
	assert_true(share > 0.12 && share < 0.2);
	/* Finer classes waste a ninth of what is a byte above a power of two. */
	share = slack_of("slots=1000,size_max_bytes=2K", 1, "slack_eight_classes_share",
			 &sizes);
	assert_true(share > 0.09 && share < 0.12);
}

/* More slots than the ring has draws: later laps reach the others. */
static void slots_of_any_number_are_replaced(void **state)
{
	enum { SLOTS = 40000, LAPS = 6 };
	uint64_t replaced = 0;
	struct driver d;

	(void)state;
	shape_pass(&d, "slack-half", "slots=40000,size_max_bytes=64",
		   LAPS * 16384 / 4096);
	for (size_t i = 0; i < d.model->logged - SLOTS; i++)
		replaced += d.model->log[i].what == 'f' &&
			    d.model->log[i].serial <= SLOTS;
	/* 1 - e^-2.46 of them, 0.914; a ring that stays where it is reaches 0.336. */
	assert_in_range(replaced, SLOTS * 0.88, SLOTS * 0.99);
	driver_finish(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sawtooth_keeps_its_share),
		cmocka_unit_test(sawtooth_rests_when_drained),
		cmocka_unit_test(phased_survivors_live_their_phases),
		cmocka_unit_test(large_keeps_its_slots),
		cmocka_unit_test(slack_half_exceeds_boundaries_by_a_byte),
		cmocka_unit_test(slots_of_any_number_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
