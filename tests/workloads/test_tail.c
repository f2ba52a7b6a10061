/* SPDX-License-Identifier: MIT */
/* Causes of long samples: planted ones are found, and nothing else is. */
#include "tests/workloads/model.h"

#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include "workloads/harness/arena.h"

#define PAGES	4096u
#define SAMPLES 60
/* What a busy machine may add: a preemption in the middle of a sample. */
#define STRAYS (SAMPLES / 4)

/* Its bookkeeping touches fresh memory of its own at any time. */
#if KMEM_UNDER_TSAN
#define NEVER_SEEN(mask_) ((mask_) & ~(unsigned int)TAIL_FAULT)
#else
#define NEVER_SEEN(mask_) (mask_)
#endif

enum planted { SPIN, FAULT, CALL, SLEEP, MIGRATE, FAULT_AND_CALL };

/* An allocator whose allocations take long for a reason, or for none. */
struct planted_allocator {
	struct allocator base;
	struct allocator_ops ops;
	enum planted what;
	char *fresh; /* pages that nobody has touched */
	size_t next;
	unsigned int cpu[2], at;
};

static struct planted_allocator planted;
static struct workload_run run;
static struct worker w;
static struct probe probe;
static struct probe_shared shared;
static struct tail tail;
static struct tsc_clock tsc;
static enum memory_calls_seen seen;

static void spin(uint64_t ns)
{
	uint64_t end = tsc_now() + (uint64_t)((double)ns / tsc.ns_per_tick);

	while (tsc_now() < end)
		;
}

static void touch_fresh_page(void)
{
	assert_true(planted.next < PAGES);
	((volatile char *)planted.fresh)[planted.next++ * 4096] = 1;
}

/* Stays mapped: an address is handed out, and never used. */
static void map_and_unmap(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p, 4096);
}

static void move_to_other_cpu(void)
{
	cpu_set_t set;

	planted.at ^= 1;
	CPU_ZERO(&set);
	CPU_SET(planted.cpu[planted.at], &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *planted_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			   int node)
{
	static char block[64];
	const struct timespec short_while = {.tv_nsec = 50000};

	(void)a;
	(void)size;
	(void)align;
	(void)gfp;
	(void)node;
	switch (planted.what) {
	case SPIN: spin(20000); break;
	case FAULT: touch_fresh_page(); break;
	case CALL: map_and_unmap(); break;
	case SLEEP: nanosleep(&short_while, NULL); break;
	case MIGRATE: move_to_other_cpu(); break;
	case FAULT_AND_CALL:
		map_and_unmap();
		touch_fresh_page();
		break;
	}
	return block;
}

static void planted_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a;
	(void)ptr;
	(void)size;
}

static void begin(enum planted what)
{
	planted.base.ops = &planted.ops;
	planted.ops.name = "planted";
	planted.ops.alloc = planted_alloc;
	planted.ops.free = planted_free;
	planted.what = what;
	planted.next = 0;
	planted.fresh = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(planted.fresh != MAP_FAILED);
	/* A huge page would make one fault of 512. */
	madvise(planted.fresh, PAGES * 4096, MADV_NOHUGEPAGE);
	run = (struct workload_run){.allocator = &planted.base, .threads = 1, .seed = 1};
	run.touch = TOUCH_NONE;
	worker_init(&w, &run, 0, &probe);
	probe_init(&probe, &shared, &tsc, 1);
	tail_init(&tail, tail_calibrate(), seen);
	probe.tail = &tail;
}

static void end(void)
{
	tail_release(&tail);
	munmap(planted.fresh, PAGES * 4096);
}

static uint64_t count(enum probe_op op, unsigned int mask)
{
	return tail.cause[op][mask] != NULL ? tail.cause[op][mask]->count : 0;
}

/* Samples whose causes have a bit, or, with 0, that were looked into at all. */
static uint64_t count_with(enum probe_op op, unsigned int bit)
{
	uint64_t n = 0;

	for (unsigned int mask = 0; mask < NR_TAIL_MASKS; mask++)
		n += (mask & bit) == bit ? count(op, mask) : 0;
	return n;
}

static void alloc_and_free(void)
{
	void *block = worker_alloc(&w, &probe, 16);

	worker_free(&w, &probe, block, 16);
}

/* Where too much else runs, the readings after a migration come too late to be trusted:
 * such a round is done again. */
#define ATTEMPTS 10

/* Almost all samples have this cause; none has one that could not have come up. */
static void check_planted(enum planted what, unsigned int cause, unsigned int never)
{
	for (int attempt = 1;; attempt++) {
		begin(what);
		for (int i = 0; i < SAMPLES; i++)
			alloc_and_free();
		if (count_with(PROBE_ALLOC, cause) >= SAMPLES - STRAYS ||
		    attempt == ATTEMPTS)
			break;
		end();
	}
	assert_int_equal(probe.alloc.count, SAMPLES);
	assert_true(count_with(PROBE_ALLOC, 0) >= SAMPLES - STRAYS);
	assert_true(count_with(PROBE_ALLOC, cause) >= SAMPLES - STRAYS);
	for (unsigned int bit = 1; bit < NR_TAIL_MASKS; bit <<= 1) {
		if (NEVER_SEEN(never) & bit)
			assert_int_equal(count_with(PROBE_ALLOC, bit), 0);
	}
	/* The frees did nothing: theirs is no cause but the machine's. */
	if (NEVER_SEEN(TAIL_FAULT) != 0)
		assert_int_equal(count_with(PROBE_FREE, TAIL_FAULT), 0);
	assert_int_equal(count_with(PROBE_FREE, TAIL_CALL), 0);
	end();
}

static void long_for_no_reason_is_unknown(void **state)
{
	(void)state;
	check_planted(SPIN, 0, TAIL_FAULT | TAIL_CALL);
	begin(SPIN);
	for (int i = 0; i < SAMPLES; i++)
		alloc_and_free();
	assert_true(count(PROBE_ALLOC, 0) >= SAMPLES - STRAYS);
	end();
}

static void faults_are_found(void **state)
{
	(void)state;
	check_planted(FAULT, TAIL_FAULT, TAIL_CALL);
}

static void memory_calls_are_found(void **state)
{
	(void)state;
	if (seen != MEMORY_CALLS_COUNTED)
		skip(); /* a build whose calls pass no slot */
	check_planted(CALL, TAIL_CALL, TAIL_FAULT);
	check_planted(FAULT_AND_CALL, TAIL_FAULT | TAIL_CALL, 0);
}

static void waiting_is_preemption(void **state)
{
	(void)state;
	check_planted(SLEEP, TAIL_PREEMPTED, TAIL_FAULT | TAIL_CALL);
}

static void migrations_are_found(void **state)
{
	cpu_set_t all;
	unsigned int n = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++) {
		if (CPU_ISSET(cpu, &all))
			planted.cpu[n++] = cpu;
	}
	if (n < 2)
		skip();
	planted.at = 1;
	move_to_other_cpu();
	check_planted(MIGRATE, TAIL_MIGRATED, TAIL_FAULT | TAIL_CALL);
	sched_setaffinity(0, sizeof(all), &all);
}

/* What happens between two samples belongs to neither. */
static void events_between_samples_are_not_theirs(void **state)
{
	(void)state;
	begin(SPIN);
	for (int i = 0; i < SAMPLES; i++) {
		touch_fresh_page();
		map_and_unmap();
		alloc_and_free();
	}
	if (NEVER_SEEN(TAIL_FAULT) != 0)
		assert_int_equal(count_with(PROBE_ALLOC, TAIL_FAULT), 0);
	assert_int_equal(count_with(PROBE_ALLOC, TAIL_CALL), 0);
	assert_true(count(PROBE_ALLOC, 0) >= SAMPLES - STRAYS);
	end();
}

/* Nor does what happens after one, before it was looked into. */
static void events_before_the_reading_are_not_theirs(void **state)
{
	const struct timespec short_while = {.tv_nsec = 200000};

	(void)state;
	begin(SPIN);
	for (int i = 0; i < SAMPLES; i++) {
		uint64_t t0, t1;

		tail_refresh(&tail);
		t0 = tsc_begin();
		t1 = tsc_end();
		nanosleep(&short_while, NULL);
		tail_examine(&tail, PROBE_ALLOC, t0, t1, t1 - t0);
	}
	assert_int_equal(count(PROBE_ALLOC, 0), SAMPLES);
	end();
}

/* A sample below the threshold may hide an event: the next one must not inherit it. */
static void events_below_the_threshold_are_forgotten(void **state)
{
	(void)state;
	begin(SPIN);
	tail.threshold_ticks[PROBE_ALLOC] = (uint64_t)(10000 / tsc.ns_per_tick);
	for (int i = 0; i < SAMPLES; i++) {
		planted.what = i % 2 == 0 ? FAULT_AND_CALL : SPIN;
		alloc_and_free();
	}
	/* A fault and a call together may take long enough to be looked into. */
	for (unsigned int mask = 0; mask < NR_TAIL_MASKS; mask++) {
		if ((mask & TAIL_FAULT) != 0 && seen == MEMORY_CALLS_COUNTED)
			assert_true(count(PROBE_ALLOC, mask) == 0 || mask & TAIL_CALL);
	}
	assert_true(count(PROBE_ALLOC, 0) >= SAMPLES / 2 - STRAYS);
	end();
}

static void thresholds_follow_the_99th_percentile(void **state)
{
	static struct histogram alloc, release;

	(void)state;
	tail_init(&tail, 100, MEMORY_CALLS_COUNTED);
	histogram_reset(&alloc);
	histogram_reset(&release);
	for (uint64_t i = 0; i < 999; i++)
		histogram_add(&alloc, i);
	tail_adapt(&tail, &alloc, &release);
	assert_int_equal(tail.threshold_ticks[PROBE_ALLOC], 0);
	histogram_add(&alloc, 999);
	tail_adapt(&tail, &alloc, &release);
	assert_in_range(tail.threshold_ticks[PROBE_ALLOC], 980, 999);
	assert_int_equal(tail.threshold_ticks[PROBE_FREE], 0);
	tail_release(&tail);
}

static void a_pass_without_a_tail_looks_at_nothing(void **state)
{
	(void)state;
	begin(SPIN);
	probe.tail = NULL;
	alloc_and_free();
	assert_int_equal(probe.alloc.count, 1);
	assert_int_equal(count_with(PROBE_ALLOC, 0), 0);
	end();
}

/* Large blocks of a real allocator, which it maps and unmaps one by one. */
static void check_library(const char *name, enum memory_calls_seen expected)
{
	const struct allocator_env env = {.threads = 1};
	struct allocator *a;
	enum { LARGE = 64u << 20 };
	uint64_t calls;

	a = allocator_new(name, &env);
	if (a == NULL)
		skip();
	begin(SPIN);
	tail_release(&tail);
	tail_init(&tail, tail_calibrate(), memory_calls_install(a, 1));
	assert_int_equal(tail.calls_seen, expected);
	w.a = a;
	w.alloc = a->ops->alloc;
	w.free = a->ops->free;
	for (int i = 0; i < SAMPLES; i++) {
		void *block = worker_alloc(&w, &probe, LARGE);

		worker_free(&w, &probe, block, LARGE);
	}
	calls = count_with(PROBE_ALLOC, TAIL_CALL) + count_with(PROBE_FREE, TAIL_CALL);
	assert_true(calls > 0);
	end();
	allocator_delete(a);
}

static void libraries_calls_are_counted(void **state)
{
	(void)state;
	check_library("mimalloc", MEMORY_CALLS_COUNTED);
}

static void glibcs_calls_show_in_the_address_space(void **state)
{
	const struct allocator_env env = {.threads = 2};
	struct allocator *a = allocator_new("glibc", &env);

	(void)state;
	assert_non_null(a);
	assert_int_equal(memory_calls_install(a, 2), MEMORY_CALLS_UNSEEN);
	allocator_delete(a);
	check_library("glibc", MEMORY_CALLS_ADDRESS_SPACE);
}

static void every_mask_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(tail_mask_name(0), "unknown");
	assert_string_equal(tail_mask_name(TAIL_FAULT | TAIL_MIGRATED), "fault+migrated");
	for (unsigned int mask = 1; mask < NR_TAIL_MASKS; mask++) {
		const char *name = tail_mask_name(mask);

		assert_int_equal(strstr(name, "fault") != NULL, (mask & TAIL_FAULT) != 0);
		assert_int_equal(strstr(name, "call") != NULL, (mask & TAIL_CALL) != 0);
		assert_int_equal(strstr(name, "preempted") != NULL,
				 (mask & TAIL_PREEMPTED) != 0);
		assert_int_equal(strstr(name, "migrated") != NULL,
				 (mask & TAIL_MIGRATED) != 0);
	}
}

static int set_up(void **state)
{
	static const struct allocator_ops own = {.name = "own"};
	const struct allocator a = {.ops = &own};

	(void)state;
	tsc_calibrate(&tsc);
	seen = memory_calls_install(&a, 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_for_no_reason_is_unknown),
		cmocka_unit_test(faults_are_found),
		cmocka_unit_test(memory_calls_are_found),
		cmocka_unit_test(waiting_is_preemption),
		cmocka_unit_test(migrations_are_found),
		cmocka_unit_test(events_between_samples_are_not_theirs),
		cmocka_unit_test(events_before_the_reading_are_not_theirs),
		cmocka_unit_test(events_below_the_threshold_are_forgotten),
		cmocka_unit_test(thresholds_follow_the_99th_percentile),
		cmocka_unit_test(a_pass_without_a_tail_looks_at_nothing),
		cmocka_unit_test(libraries_calls_are_counted),
		cmocka_unit_test(glibcs_calls_show_in_the_address_space),
		cmocka_unit_test(every_mask_has_its_name),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
