/* SPDX-License-Identifier: MIT */
/* sawtooth, phased, large, slack-half, server-life: what lives when, and who frees it. */
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

/* --- server-life --- */

/* chi^2 of n draws against probabilities. */
static double chi_squared(const uint64_t *count, const double *p, size_t bins, uint64_t n)
{
	double sum = 0;

	for (size_t i = 0; i < bins; i++) {
		double expected = p[i] * (double)n;
		double delta = (double)count[i] - expected;

		sum += delta * delta / expected;
	}
	return sum;
}

static void server_life_is_proportional_to_size(void **state)
{
	enum { LEVELS = 5, BLOCKS = 16, STEPS = 20, FILL = LEVELS * BLOCKS };
	uint64_t count[LEVELS] = {0}, lives[LEVELS] = {0}, ring = 16384;
	double life[LEVELS] = {0}, p[LEVELS];
	uint64_t *born, allocs = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "server-life",
		    "blocks_per_level=16,size_min_bytes=16,size_max_bytes=512", 0, 1);
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, STEPS), STEPS * 4096);
	born = calloc(d.model->allocs + 1, sizeof(*born));
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];
		unsigned int level = 59u - (unsigned int)__builtin_clzll(e->size);

		assert_in_range(e->size, 16, 511);
		if (e->what == 'a') {
			born[e->serial] = ++allocs;
			if (allocs > FILL && allocs <= FILL + ring)
				count[level]++;
		} else if (born[e->serial] > FILL && allocs < d.model->allocs) {
			life[level] += (double)(allocs - born[e->serial]);
			lives[level]++;
		}
	}
	/* Halving: 16/31, 8/31, … of the drawn ring; 4 degrees of freedom, p = 1e-5. */
	for (int l = 0; l < LEVELS; l++)
		p[l] = (double)(16 >> l) / 31;
	assert_true(chi_squared(count, p, LEVELS, ring) < 28.5);
	/* In steady state a block of level l waits 16 * 31 / 2^(4-l) requests for its
	 * turn, give or take its geometric spread. */
	for (int l = 0; l < LEVELS; l++) {
		double expected = BLOCKS / p[l];

		assert_true(lives[l] > 2000);
		assert_true(fabs(life[l] / (double)lives[l] / expected - 1) < 0.12);
	}
	assert_true(figure_of(&d, "replaced_blocks") == STEPS * 4096);
	assert_true(figure_of(&d, "handed_over_blocks") == 0);
	free(born);
	driver_finish(&d);
}

/* A rare level comes 16 times a lap, and each lap to other ones of its 64 blocks. */
static void server_life_replaces_rare_blocks(void **state)
{
	enum { LEVELS = 10, BLOCKS = 64, FILL = LEVELS * BLOCKS, LAPS = 6 };
	uint64_t replaced = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "server-life", "blocks_per_level=64", 0, 1);
	driver_setup(&d);
	driver_pass(&d, LAPS * 16384 / 4096);
	for (size_t i = 0; i < d.model->logged - FILL; i++) {
		const struct model_event *e = &d.model->log[i];

		replaced += e->what == 'f' && e->serial > FILL - BLOCKS &&
			    e->serial <= FILL;
	}
	/* Without that it would be 16 at most, or about; 96 draws of 64 are 50 blocks. */
	assert_in_range(replaced, 35, 64);
	driver_finish(&d);
}

/* A quarter is freed by the next thread in the ring, all else by its own. */
static void server_life_hands_over(void **state)
{
	enum { STEPS = 3, THREADS = 4 };
	struct driver d;
	uint64_t *owner, successor[THREADS + 1] = {0}, remote = 0;

	(void)state;
	driver_init(&d, "server-life", "blocks_per_level=16,size_max_bytes=512", 0,
		    THREADS);
	d.run.check = true;
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, STEPS), STEPS * THREADS * 4096);
	assert_int_equal(d.model->remote_frees, STEPS * THREADS * 1024);
	assert_true(figure_of(&d, "handed_over_blocks") == STEPS * THREADS * 1024);
	owner = calloc(d.model->allocs + 1, sizeof(*owner));
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];

		if (e->what == 'a') {
			owner[e->serial] = e->thread;
		} else if (owner[e->serial] != e->thread) {
			/* Always the same one: the next of the ring. */
			if (successor[owner[e->serial]] == 0)
				successor[owner[e->serial]] = e->thread;
			assert_int_equal(successor[owner[e->serial]], e->thread);
			remote++;
		}
	}
	assert_int_equal(remote, d.model->remote_frees);
	for (int i = 1; i <= THREADS; i++)
		assert_true(successor[i] != 0 && successor[i] != (uint64_t)i);
	free(owner);
	driver_finish(&d);
}

/* What has been gathered for a batch that never became full is freed as well. */
static void server_life_frees_half_a_batch(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "server-life",
		    "blocks_per_level=16,size_max_bytes=512,handover_one_in=3", 0, 2);
	driver_setup(&d);
	driver_pass(&d, 2);
	/* 8192 / 3 each, in batches of 32. */
	assert_true(figure_of(&d, "handed_over_blocks") == 2 * (2730 / 32 * 32));
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
		cmocka_unit_test(server_life_is_proportional_to_size),
		cmocka_unit_test(server_life_replaces_rare_blocks),
		cmocka_unit_test(server_life_hands_over),
		cmocka_unit_test(server_life_frees_half_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
