/* SPDX-License-Identifier: MIT */
/*
 * The atomic steps on a group of rows, in all orders that threads can take them.
 *
 * The source itself is compiled here, with smaller groups (4 rows) and with a switch
 * of threads before every access to a shared word. Threads are coroutines; a
 * schedule is the list of choices made at the switches, and the search goes through
 * all lists, depth first: without bound for two threads, up to a number of
 * preemptions for three (most races need one or two: Musuvathi and Qadeer,
 * "Iterative context bounding", PLDI 2007). Memory is sequentially consistent here;
 * every step that changes a word is a locked instruction, which orders all others on
 * x86, and the steps on other machines release and acquire.
 *
 * After each step: nobody owns a page that somebody else owns; a group that is free has
 * no bit set and nobody in it; used is never less than the bits. After each schedule:
 * they are equal.
 */
#define GROUP_ORDER 8

static void switch_threads(void);
#define ROWS_STEP() switch_threads()

/* The library's own, with groups of the real size, are linked too. */
#define group_take   small_group_take
#define group_put    small_group_put
#define group_split  small_group_split
#define row_take     small_row_take
#define row_take_bit small_row_take_bit
#define row_clear    small_row_clear
#include "allocators/buddy/rows_group.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

enum { THREADS_MAX = 3, STACK_BYTES = 65536, DEPTH_MAX = 256, PAGES = 2 * GROUP_PAGES };

/* --- what is shared --- */
static row_word region; /* two groups */
static row_word used_word[2];
static row_word rows[2 * GROUP_ROWS];
static struct page frames[PAGES];
static int owner[PAGES]; /* thread + 1 */

static struct group group_of(unsigned int half)
{
	return (struct group){&used_word[half], rows + half * GROUP_ROWS,
			      frames + half * GROUP_PAGES, false};
}

/* --- threads --- */
typedef void (*program_fn)(int self);

static struct thread {
	ucontext_t context;
	char *stack;
	program_fn program;
	bool done;
} threads[THREADS_MAX];
static ucontext_t scheduler;
static int nr_threads, running;

static void switch_threads(void)
{
	if (running >= 0)
		swapcontext(&threads[running].context, &scheduler);
}

static void run_program(void)
{
	threads[running].program(running);
	threads[running].done = true;
}

/* --- the search --- */
static struct {
	int choice[DEPTH_MAX], choices[DEPTH_MAX];
	int depth;
	int preemptions, preemptions_max;
	unsigned long schedules, steps;
} search;

/* The threads that may go on: the running one first, then, bound permitting, the rest. */
static int list_choices(int last, int *list)
{
	int n = 0;
	bool can_stay = last >= 0 && !threads[last].done;

	if (can_stay)
		list[n++] = last;
	for (int t = 0; t < nr_threads; t++) {
		if (t != last && !threads[t].done &&
		    (!can_stay || search.preemptions < search.preemptions_max))
			list[n++] = t;
	}
	return n;
}

static int choose(int last)
{
	int list[THREADS_MAX], n = list_choices(last, list), at = search.depth;

	if (n == 0)
		return -1;
	assert_true(at < DEPTH_MAX);
	if (search.choices[at] == 0) {
		search.choices[at] = n;
		search.choice[at] = 0;
	}
	assert_int_equal(search.choices[at], n);
	search.depth++;
	if (last >= 0 && !threads[last].done && list[search.choice[at]] != last)
		search.preemptions++;
	return list[search.choice[at]];
}

/* The next schedule: false when there is none. */
static bool advance(void)
{
	int at = search.depth;

	while (at > 0) {
		at--;
		search.choice[at]++;
		if (search.choice[at] < search.choices[at])
			return true;
		search.choices[at] = 0;
	}
	return false;
}

static uint32_t taken_of(unsigned int half)
{
	uint32_t taken = 0;

	for (unsigned int r = 0; r < GROUP_ROWS; r++)
		taken += row_count(atomic_load(&rows[half * GROUP_ROWS + r]));
	return taken;
}

static void check_step(void)
{
	for (unsigned int half = 0; half < 2; half++) {
		uint64_t word = atomic_load(&used_word[half]);
		uint32_t used = (uint32_t)word, taken = taken_of(half);

		if ((atomic_load(&region) >> half & 1) == 0)
			assert_int_equal(word, 0);
		if (word == 0)
			/* Whole, or being split by its owner. */
			assert_true(taken == 0 || owner[half * GROUP_PAGES] != 0);
		else
			assert_true(word >> 32 == 1 && used != 0 && taken <= used &&
				    used <= GROUP_PAGES);
	}
}

static void one_schedule(const program_fn *programs, void (*prepare)(void))
{
	int last = -1;

	atomic_store(&region, 0);
	memset(used_word, 0, sizeof(used_word));
	memset(rows, 0, sizeof(rows));
	memset(owner, 0, sizeof(owner));
	search.depth = search.preemptions = 0;
	running = -1;
	if (prepare != NULL)
		prepare();
	for (int t = 0; t < nr_threads; t++) {
		struct thread *thread = &threads[t];

		thread->program = programs[t];
		thread->done = false;
		getcontext(&thread->context);
		thread->context.uc_stack.ss_sp = thread->stack;
		thread->context.uc_stack.ss_size = STACK_BYTES;
		thread->context.uc_link = &scheduler;
		makecontext(&thread->context, run_program, 0);
	}
	for (int t = choose(last); t >= 0; t = choose(last)) {
		running = t;
		swapcontext(&scheduler, &threads[t].context);
		running = -1;
		last = t;
		check_step();
		search.steps++;
	}
	search.schedules++;
}

/* Every page is owned or free, and the words say so. */
static void check_end(void)
{
	for (unsigned int half = 0; half < 2; half++) {
		bool in_use = atomic_load(&region) >> half & 1;
		uint32_t used = (uint32_t)atomic_load(&used_word[half]), owned = 0;
		uint32_t bits = taken_of(half);

		for (unsigned int i = 0; i < GROUP_PAGES; i++)
			owned += owner[half * GROUP_PAGES + i] != 0;
		assert_int_equal(bits, used);
		assert_int_equal(owned, in_use && used == 0 ? GROUP_PAGES : used);
	}
}

static void explore(const char *name, const program_fn *programs, int n, int preemptions,
		    void (*prepare)(void))
{
	memset(&search, 0, sizeof(search));
	search.preemptions_max = preemptions;
	nr_threads = n;
	do {
		one_schedule(programs, prepare);
		check_end();
	} while (advance());
	print_message("%s: %lu schedules, %lu steps\n", name, search.schedules,
		      search.steps);
}

/* --- programs --- */

static void own(int self, const struct page *page, unsigned int pages)
{
	for (unsigned int i = 0; i < pages; i++) {
		assert_int_equal(owner[page - frames + i], 0);
		owner[page - frames + i] = self + 1;
	}
}

static void disown(int self, const struct page *page, unsigned int pages)
{
	for (unsigned int i = 0; i < pages; i++) {
		assert_int_equal(owner[page - frames + i], self + 1);
		owner[page - frames + i] = 0;
	}
}

/* As rows_count_back(). */
static void count_back(const struct group *g, unsigned int pages)
{
	unsigned int half = (unsigned int)(g->base - frames) / GROUP_PAGES;

	if (pages == 0)
		return;
	if (group_put(g, pages) == pages)
		assert_int_equal(row_clear(&region, 1u << half, false), 0);
}

static void give_back(int self, const struct page *page, unsigned int order)
{
	struct group group = group_of((unsigned int)(page - frames) / GROUP_PAGES);
	unsigned int at = (unsigned int)(page - frames) % GROUP_PAGES;
	unsigned int count = 1u << order;

	disown(self, page, count);
	for (unsigned int done = 0; done < count; done += ROW_PAGES) {
		uint64_t mask = order >= ROW_ORDER ? ~(uint64_t)0
						   : ((uint64_t)1 << count) - 1;

		assert_int_equal(row_clear(&group.rows[(at + done) / ROW_PAGES],
					   mask << at % ROW_PAGES, false),
				 0);
	}
	count_back(&group, count);
}

/* Of the first group: what it has, open or free. */
static size_t take(int self, unsigned int order, size_t n, struct page **out)
{
	struct group group = group_of(0);
	bool fresh = row_take_bit(&region, 1, false);
	unsigned int surplus;
	size_t got = group_take(&group, order, n, fresh, out, &surplus);

	for (size_t i = 0; i < got; i++)
		own(self, out[i], 1u << order);
	count_back(&group, surplus);
	return got;
}

static void take_pages(int self)
{
	struct page *out[2];
	size_t got = take(self, 0, 2, out);

	while (got > 0)
		give_back(self, out[--got], 0);
}

static void keep_pages(int self)
{
	struct page *out[40];

	take(self, 0, 40, out);
}

static void take_block(int self)
{
	struct page *out;

	if (take(self, 5, 1, &out) == 1)
		give_back(self, out, 5);
}

static void take_two_rows(int self)
{
	struct page *out;

	if (take(self, ROW_ORDER + 1, 1, &out) == 1)
		give_back(self, out, ROW_ORDER + 1);
}

/* A batch of what whole groups there are. */
static void take_groups(int self)
{
	uint64_t got = row_take(&region, 0, 2, false);

	for (unsigned int half = 0; half < 2; half++) {
		if ((got >> half & 1) == 0)
			continue;
		own(self, frames + half * GROUP_PAGES, GROUP_PAGES);
		disown(self, frames + half * GROUP_PAGES, GROUP_PAGES);
	}
	assert_int_equal(row_clear(&region, got, false), 0);
}

static void take_group(int self)
{
	if (!row_take_bit(&region, 1, false))
		return;
	own(self, frames, GROUP_PAGES);
	disown(self, frames, GROUP_PAGES);
	assert_int_equal(row_clear(&region, 1, false), 0);
}

static void take_pair(int self)
{
	if (row_take(&region, 1, 1, false) != 1)
		return;
	own(self, frames, PAGES);
	disown(self, frames, PAGES);
	assert_int_equal(row_clear(&region, 3, false), 0);
}

/* As alloc_pages_exact() does: a whole group, then its last row back. */
static void split_group(int self)
{
	struct group group = group_of(0);

	if (!row_take_bit(&region, 1, false))
		return;
	own(self, frames, GROUP_PAGES);
	group_split(&group);
	give_back(self, frames + GROUP_PAGES - ROW_PAGES, ROW_ORDER);
}

static void free_mine(int self)
{
	give_back(self, frames, 0);
}

/* Page 0 belongs to thread 0, and all but a few pages of the group to nobody here. */
static void nearly_full(void)
{
	for (unsigned int i = 1; i < GROUP_PAGES; i++)
		owner[i] = THREADS_MAX + 1;
	owner[0] = 1;
	for (unsigned int r = 0; r < GROUP_ROWS; r++)
		atomic_store(&rows[r], ~(uint64_t)0);
	atomic_store(&used_word[0], GROUP_OPEN | GROUP_PAGES);
	atomic_store(&region, 1);
}

static void one_page_of_mine(void)
{
	owner[0] = 1;
	atomic_store(&rows[0], 1);
	atomic_store(&used_word[0], GROUP_OPEN | 1);
	atomic_store(&region, 1);
}

#define EXPLORE(preemptions, prepare, ...)                                        \
	do {                                                                      \
		static const program_fn programs_[] = {__VA_ARGS__};              \
                                                                                  \
		explore(#__VA_ARGS__, programs_, (int)KMEM_ARRAY_SIZE(programs_), \
			preemptions, prepare);                                    \
	} while (0)

static void two_threads(void **state)
{
	(void)state;
	EXPLORE(DEPTH_MAX, NULL, take_pages, take_group);
	EXPLORE(DEPTH_MAX, NULL, take_pages, take_pair);
	EXPLORE(DEPTH_MAX, NULL, take_block, split_group);
	EXPLORE(DEPTH_MAX, NULL, take_two_rows, take_group);
	EXPLORE(DEPTH_MAX, NULL, take_group, take_pair);
	EXPLORE(DEPTH_MAX, NULL, take_groups, take_pair);
	EXPLORE(DEPTH_MAX, NULL, take_groups, take_groups);
	EXPLORE(DEPTH_MAX, NULL, take_groups, take_pages);
	EXPLORE(DEPTH_MAX, NULL, split_group, take_group);
	EXPLORE(DEPTH_MAX, one_page_of_mine, free_mine, take_group);
	EXPLORE(DEPTH_MAX, one_page_of_mine, free_mine, take_pages);
	EXPLORE(DEPTH_MAX, nearly_full, free_mine, take_pages);
	/* All would be a million. */
	EXPLORE(6, NULL, take_pages, take_block);
}

static void three_threads(void **state)
{
	(void)state;
	EXPLORE(3, NULL, take_pages, take_group, take_two_rows);
	EXPLORE(3, NULL, take_pages, take_block, take_pair);
	EXPLORE(3, one_page_of_mine, free_mine, take_groups, take_block);
	EXPLORE(3, one_page_of_mine, free_mine, take_group, take_pages);
	EXPLORE(3, NULL, split_group, take_pages, take_group);
	EXPLORE(3, NULL, keep_pages, keep_pages, keep_pages);
	EXPLORE(3, NULL, take_two_rows, take_two_rows, keep_pages);
}

static int make_stacks(void **state)
{
	(void)state;
	for (int t = 0; t < THREADS_MAX; t++)
		threads[t].stack = malloc(STACK_BYTES);
	return 0;
}

static int free_stacks(void **state)
{
	(void)state;
	for (int t = 0; t < THREADS_MAX; t++)
		free(threads[t].stack);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_threads),
		cmocka_unit_test(three_threads),
	};

	return cmocka_run_group_tests(tests, make_stacks, free_stacks);
}
