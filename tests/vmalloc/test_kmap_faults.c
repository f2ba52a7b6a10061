/* SPDX-License-Identifier: MIT */
/* The system refuses: NULL with a text, nothing lost, and what was mapped stays so. */
#include "tests/vmalloc/kmap_test.h"

#include <errno.h>
#include <sys/mman.h>

#define PAGES 24

static struct {
	_Atomic unsigned int calls;
	_Atomic unsigned int fail_at; /* counted from 1; 0: none */
	_Atomic bool and_all_after;
} faults;

static bool fails_now(void)
{
	unsigned int call = ++faults.calls;

	return faults.fail_at != 0 && (call == faults.fail_at ||
				       (faults.and_all_after && call > faults.fail_at));
}

static void *faulty_mmap(void *addr, size_t size, int prot, int flags, int fd,
			 off_t offset)
{
	if (!fails_now())
		return mmap(addr, size, prot, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

static int faulty_mprotect(void *addr, size_t size, int prot)
{
	if (!fails_now())
		return mprotect(addr, size, prot);
	errno = ENOMEM;
	return -1;
}

static void arm(unsigned int fail_at, bool and_all_after)
{
	static const struct os_hooks hooks = {.mmap = faulty_mmap,
					      .mprotect = faulty_mprotect};

	faults.calls = 0;
	faults.fail_at = fail_at;
	faults.and_all_after = and_all_after;
	os_set_hooks(&hooks);
}

static void assert_page(const uint64_t *addr, size_t i)
{
	assert_int_equal(addr[0], i);
	assert_int_equal(addr[PAGE_SIZE / 8 - 1], i);
}

static void stamp_pages(void)
{
	for (size_t i = 0; i < PAGES; i++) {
		uint64_t *addr = kmap(high[i]);

		addr[0] = addr[PAGE_SIZE / 8 - 1] = i;
		kunmap(high[i]);
	}
}

/* One page of the window stays in use; the others come and go in 7 slots, so that the
 * search comes round. Every mapping may fail. Returns how many did not. */
static unsigned int script(void)
{
	uint64_t *kept = kmap(high[0]);
	unsigned int good = kept != NULL;

	for (size_t i = 1; i < PAGES; i++) {
		uint64_t *addr = kmap(high[i]);

		if (addr != NULL) {
			good++;
			assert_page(addr, i);
			kunmap(high[i]);
		} else {
			assert_error("'kmap' of pfn");
			assert_error("vm.max_map_count");
		}
	}
	for (size_t i = 1; i + 1 < PAGES; i++) {
		uint64_t *a = kmap_atomic(high[i]);
		uint64_t *b = kmap_atomic(high[i + 1]);

		good += (a != NULL) + (b != NULL);
		if (a == NULL || b == NULL)
			assert_error("'kmap_atomic' of pfn");
		if (b != NULL) {
			assert_page(b, i + 1);
			kunmap_atomic(b);
		}
		if (a != NULL) {
			assert_page(a, i);
			kunmap_atomic(a);
		}
	}
	kmap_flush_unused();
	if (kept != NULL) {
		assert_page(kept, 0);
		kunmap(high[0]);
	}
	os_set_hooks(NULL);
	return good;
}

static void inject(bool flush, bool and_all_after)
{
	unsigned int all, calls;

	kmap_up(NULL, 8, flush, PAGES);
	stamp_pages();
	arm(0, false);
	all = script();
	assert_int_equal(all, PAGES + 2 * (PAGES - 2));
	calls = faults.calls;
	assert_true(calls > PAGES);
	for (unsigned int n = 1; n <= calls; n++) {
		unsigned int good;

		arm(n, and_all_after);
		good = script();
		assert_true(good <= all);
		assert_kmap_sound();
		assert_int_equal(kmap_stats_now().pkmap_used, 0);
		if (!and_all_after)
			assert_true(good + 1 >= all);
		/* Nothing is lost: all slots and pages can be had. */
		arm(0, false);
		assert_int_equal(script(), all);
	}
	kmap_down();
}

static void every_system_call_fails_once(void **state)
{
	(void)state;
	inject(true, false);
	inject(false, false);
}

static void every_system_call_fails_from_then_on(void **state)
{
	(void)state;
	inject(true, true);
	inject(false, true);
}

static void init_fails_cleanly(void **state)
{
	const struct kmap_config config = {.pkmap_slots = 8, .pkmap_flush = true};
	unsigned int n = 0;
	int err;

	(void)state;
	stack_up(NULL);
	do {
		arm(++n, true);
		err = kmap_init(&config);
		os_set_hooks(NULL);
		if (err != 0) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(kmap_layer.nr_slots, 0);
			kmap_exit();
		}
	} while (err != 0 && n < 100);
	assert_int_equal(err, 0);
	assert_in_range(n, 4, 99);
	kmap_exit();
	stack_down();
}

/* Who waits for a slot gets one whose owner could not map it. */
static void *map_another(void *arg)
{
	void *addr = kmap(arg);

	return addr;
}

static void a_failure_wakes_who_waits(void **state)
{
	pthread_t threads[2];
	void *addr[2];

	(void)state;
	kmap_up(NULL, 1, true, 3);
	kmap(high[0]);
	arm(0, false);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(
			pthread_create(&threads[i], NULL, map_another, high[1 + i]), 0);
		while (atomic_load(&kmap_layer.waiters) != i + 1)
			sched_yield();
	}
	/* The unmapping of the unused slot succeeds, the next mapping fails. */
	faults.fail_at = faults.calls + 2;
	kunmap(high[0]);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], &addr[i]);
	os_set_hooks(NULL);
	assert_true((addr[0] == NULL) != (addr[1] == NULL));
	kunmap(high[addr[0] == NULL ? 2 : 1]);
	kmap_down();
}

/* The system may fail when it has already taken down what was there. */
static void *unmapping_mmap(void *addr, size_t size, int prot, int flags, int fd,
			    off_t offset)
{
	if (!(flags & MAP_SHARED))
		return mmap(addr, size, prot, flags, fd, offset);
	munmap(addr, size);
	errno = ENOMEM;
	return MAP_FAILED;
}

static bool is_ours(void *addr)
{
	unsigned char resident;

	return mincore(addr, PAGE_SIZE, &resident) == 0;
}

static void a_failed_mapping_leaves_the_addresses_taken(void **state)
{
	static const struct os_hooks hooks = {.mmap = unmapping_mmap};
	uint64_t *atomic;

	(void)state;
	kmap_up(NULL, 1, true, PAGES);
	stamp_pages();
	atomic = kmap_atomic(high[0]);
	kunmap_atomic(atomic);
	os_set_hooks(&hooks);
	assert_null(kmap_atomic(high[1]));
	assert_null(kmap(high[1]));
	os_set_hooks(NULL);
	assert_true(is_ours(atomic));
	assert_true(is_ours(pkmap_addr(0)));
	/* What the slots showed before, they show no more. */
	atomic = kmap_atomic(high[0]);
	assert_page(atomic, 0);
	kunmap_atomic(atomic);
	assert_page(kmap(high[PAGES - 1]), PAGES - 1);
	kunmap(high[PAGES - 1]);
	kmap_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		kmap_test(every_system_call_fails_once),
		kmap_test(every_system_call_fails_from_then_on),
		kmap_test(init_fails_cleanly),
		kmap_test(a_failure_wakes_who_waits),
		kmap_test(a_failed_mapping_leaves_the_addresses_taken),
	};

	return cmocka_run_group_tests(tests, pin_to_one_cpu, NULL);
}
