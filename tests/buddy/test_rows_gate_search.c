/* SPDX-License-Identifier: MIT */
/*
 * The gate before the rows, in all states that two and three threads can bring it to.
 *
 * The source itself is compiled here (it looks around after 2 entries and waits once, not
 * 256 and 16), on top of a model of what it calls (gate_model.h), which has the search
 * choose a thread before each access to what is shared (state_search.h). Threads are
 * preempted, and moved to the other CPU, before any step; some have no sequences.
 *
 * Looked for after each step: two inside while one is alone; somebody inside while fork
 * keeps all outside; in the end, an addition lost that was made alone without a locked
 * instruction, or not as many exits as entries; and a state from which not everybody gets
 * out again.
 *
 * Then the gate is broken in all ways that came to mind, one at a time, and the search
 * has to find each. KMEM_SEARCH_MOVES sets how often threads change their CPU.
 */
#define rows_mode	       model_rows_mode
#define rows_enter	       model_rows_enter
#define rows_enter_shared      model_rows_enter_shared
#define rows_leave	       model_rows_leave
#define rows_fork_lock	       model_rows_fork_lock
#define rows_fork_unlock       model_rows_fork_unlock
#define rows_gate_init	       model_rows_gate_init
#define rows_gate_exit	       model_rows_gate_exit
#define rows_gate_alone	       model_rows_gate_alone
#define rows_gate_patience_max model_rows_gate_patience_max
#define LOOK_EVERY	       2u
#define WAITS		       1

#include "tests/buddy/gate_model.h"

#include "allocators/os/os_cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* --- the source --- */

#undef OS_PERCPU_RSEQ
#define OS_PERCPU_RSEQ 1
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_fetch_add
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_thread_fence
#define ACCESS(p)		       (void *)(uintptr_t)(p)
#define atomic_load(p)		       gate_load(ACCESS(p), sizeof(*(p)), false, __LINE__)
#define atomic_load_explicit(p, order) gate_load(ACCESS(p), sizeof(*(p)), true, __LINE__)
#define atomic_store(p, v)	       gate_store(ACCESS(p), v, sizeof(*(p)), __LINE__)
#define atomic_store_explicit(p, v, order) \
	gate_store_plain(ACCESS(p), v, sizeof(*(p)), __LINE__)
#define atomic_fetch_add(p, n) gate_add(ACCESS(p), n, sizeof(*(p)), __LINE__)
#define atomic_exchange(p, v)  gate_exchange(ACCESS(p), v, sizeof(*(p)), __LINE__)
#define atomic_compare_exchange_strong(p, expected, v) \
	gate_swap(ACCESS(p), expected, v, sizeof(*(p)), __LINE__)
/* Stores stay in order; and close_gate() loads in order as it is. */
#define atomic_thread_fence(order) (void)0
#define os_percpu_lockless()	   lockless
#define os_cpu_id()		   gate_cpu(__LINE__)
#define os_restart_sequences()	   gate_restart_sequences(__LINE__)
#define percpu_counter_sum(c)	   gate_sum(c, __LINE__)
#define percpu_counter_add(c, n)   gate_count_exit(__LINE__)
#define rseq_enter_shared(s, mode) run_sequence(ENTER_SHARED, WORD_IN, __LINE__)
#define rseq_enter_alone(s, mode, alone) \
	(run_sequence(ENTER_ALONE, WORD_ALONE, __LINE__) != 0)
#define spin_lock(l)	gate_lock(l, __LINE__)
#define spin_trylock(l) gate_trylock(l, __LINE__)
#define spin_unlock(l)	gate_unlock(l, __LINE__)
/* The count of turns is left as it is: it would make states without end. */
#define os_yield(turn_) ((void)sizeof(turn_), gate_yield())
#include "allocators/buddy/rows_gate.c"

/* --- programs --- */

static void visit_inside(enum rows_visit visit)
{
	uint64_t was;

	forget_round();
	*own(STATUS) = visit == ROWS_ALONE ? IN_ALONE : IN_SHARED;
	search_learn(visit);
	if (visit == ROWS_ALONE) {
		search_step(__LINE__);
		was = search_read(&data, sizeof(data));
		search_learn(was);
		search_step(__LINE__);
		search_store_later(&data, was + 1, sizeof(data));
	} else {
		search_step(__LINE__);
		search_flush(search_self());
		data++;
	}
	search_step_on_cpu(__LINE__);
	*own(STATUS) = OUTSIDE;
}

static void begin(unsigned int operation)
{
	memset(search_self()->own, 0, sizeof(search_self()->own));
	*own(OPERATION) = operation + 1;
	forget_round();
}

static void run(int me)
{
	for (unsigned int i = 0; i < scenario.thread[me].times; i++) {
		enum program program = scenario.thread[me].program;
		enum rows_visit visit;

		begin(i);
		if (program == FORKS) {
			rows_fork_lock();
			*own(STATUS) = IN_FORK;
			search_step(__LINE__);
			*own(STATUS) = OUTSIDE;
			rows_fork_unlock();
			continue;
		}
		visit = program == ENTERS ? rows_enter() : rows_enter_shared();
		visit_inside(visit);
		rows_leave(visit);
	}
}

/* --- what must hold --- */

static void check_end(void)
{
	uint64_t sums[WORDS] = {0}, visits = 0;

	for (int word = 0; word < WORDS; word++) {
		for (unsigned int cpu = 0; cpu < SEARCH_CPUS; cpu++)
			sums[word] += words[word][cpu].state;
	}
	for (int t = 0; t < scenario.nr_threads; t++) {
		if (scenario.thread[t].program != FORKS)
			visits += scenario.thread[t].times;
	}
	if (data != visits)
		search_violation("a visit is lost");
	if (sums[WORD_IN] != sums[WORD_OUT] ||
	    sums[WORD_GUESTS_IN] != sums[WORD_GUESTS_OUT] || sums[WORD_ALONE] % 2 != 0)
		search_violation("not as many left as entered");
	if (rows_mode == ROWS_MODE_CLOSED || lock.locked != 0)
		search_violation("the gate stays closed");
}

static void check(void)
{
	int now[4] = {0};

	for (int t = 0; t < scenario.nr_threads; t++)
		now[search.threads[t].own[STATUS]]++;
	if (now[IN_ALONE] > 1 || (now[IN_ALONE] == 1 && now[IN_SHARED] > 0))
		search_violation("two are inside, one of them alone");
	if (now[IN_FORK] > 0 && now[IN_ALONE] + now[IN_SHARED] > 0)
		search_violation("somebody is inside while fork keeps all outside");
	if (now[IN_FORK] > 1)
		search_violation("two fork at once");
	if (search_all_done())
		check_end();
}

/*
 * Two guests on one CPU can have each other look around at every entry, and one make the
 * CPU alone while the other is on its way in, for as long as the schedule is against
 * them: with looks after 2 entries it can be so for ever, with 256 it is not to be met.
 */
static bool too_far(void)
{
	uint64_t entries = 0;

	for (unsigned int cpu = 0; cpu < SEARCH_CPUS; cpu++)
		entries += words[WORD_GUESTS_IN][cpu].state;
	return entries > 10;
}

/* --- scenarios --- */

#define ALONE(cpu) (ROWS_MODE_ALONE + (cpu))

static void share(void *at, size_t bytes)
{
	search.shared[search.nr_shared].at = at;
	search.shared[search.nr_shared++].bytes = bytes;
}

#define SHARE(object) share(&(object), sizeof(object))

/* As after rows_gate_init(), or after a while. */
static void prepare(void)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(counters); i++)
		counters[i]->words.base = (char *)words[i];
	memset(words, 0, sizeof(words));
	rows_mode = scenario.mode;
	lock.locked = 0;
	ready = true;
	patience = 1;
	quiet_looks = heirs = 0;
	/* The first look of CPU 0 that finds nobody makes it alone. */
	looked_from = 0;
	looked_others = 0;
	alone_cpu = 0;
	alone_thread = &self;
	alone_since = 0;
	data = 0;
	search.nr_shared = 0;
	SHARE(words);
	SHARE(rows_mode);
	SHARE(lock.locked);
	SHARE(patience);
	SHARE(quiet_looks);
	SHARE(heirs);
	SHARE(looked_from);
	SHARE(looked_others);
	SHARE(alone_cpu);
	SHARE(alone_since);
	SHARE(data);
	lockless = scenario.lockless;
	memset(search.threads, 0, sizeof(search.threads));
	for (int t = 0; t < scenario.nr_threads; t++) {
		search.threads[t].cpu = scenario.thread[t].cpu;
		registered[t] = lockless && !scenario.thread[t].guest;
	}
	search.moves_left = scenario.moves;
	search.too_far = too_far;
	search.never_restarts = broken == NO_RESTARTS;
}

/* What is wrong, or NULL. */
static const char *search_scenario(const struct scenario *s, bool tell)
{
	const char *moves = getenv("KMEM_SEARCH_MOVES");
	struct graph_seen seen;

	scenario = *s;
	if (moves != NULL)
		scenario.moves = (unsigned int)strtoul(moves, NULL, 10);
	prepare();
	seen = search_all(s->nr_threads, run, check, tell);
	if (tell)
		print_message("%s: %u states, %u of them not left, %u transitions\n",
			      s->name, seen.states, search.left_out, seen.transitions);
	if (tell && seen.violation != NULL)
		print_message("%s\n", seen.violation);
	return seen.violation;
}

enum which {
	TWO,
	TWO_SHARED,
	WITH_GUEST,
	GUEST_MOVES,
	SAME_CPU,
	LOCK_MODE,
	LOCK_MODE_MOVES,
	LOCK_MODE_SHARED,
	SLEEPER,
	WITH_FORK,
	THREE,
	THREE_WITH_FORK,
	SCENARIOS
};

static const struct scenario scenarios[SCENARIOS] = {
	[TWO] = {"two threads, one alone",
		 ALONE(0),
		 true,
		 2,
		 {{ENTERS, 2, 0, false}, {ENTERS, 2, 1, false}},
		 1},
	[TWO_SHARED] = {"two threads, shared",
			ROWS_MODE_SHARED,
			true,
			2,
			{{ENTERS, 3, 0, false}, {ENTERS, 1, 1, false}},
			1},
	[WITH_GUEST] = {"one without sequences",
			ROWS_MODE_SHARED,
			true,
			2,
			{{ENTERS, 3, 0, false}, {ENTERS, 1, 1, true}},
			0},
	[GUEST_MOVES] = {"one without sequences, moving",
			 ALONE(0),
			 true,
			 2,
			 {{ENTERS, 1, 0, false}, {ENTERS, 1, 1, true}},
			 2},
	[SAME_CPU] = {"two threads on one CPU",
		      ALONE(0),
		      true,
		      2,
		      {{ENTERS, 2, 0, false}, {ENTERS, 2, 0, false}},
		      1},
	[LOCK_MODE] = {"no sequences, one alone",
		       ALONE(0),
		       false,
		       2,
		       {{ENTERS, 2, 0, true}, {ENTERS, 2, 1, true}},
		       0},
	[LOCK_MODE_MOVES] = {"no sequences, moving",
			     ALONE(0),
			     false,
			     2,
			     {{ENTERS, 1, 0, true}, {ENTERS, 1, 1, true}},
			     1},
	[LOCK_MODE_SHARED] = {"no sequences, shared",
			      ROWS_MODE_SHARED,
			      false,
			      2,
			      {{ENTERS, 3, 0, true}, {ENTERS, 1, 1, true}},
			      0},
	[SLEEPER] = {"one that sleeps",
		     ALONE(0),
		     true,
		     2,
		     {{ENTERS, 2, 0, false}, {ENTERS_SHARED, 1, 0, false}},
		     1},
	[WITH_FORK] = {"fork",
		       ALONE(0),
		       true,
		       2,
		       {{ENTERS, 3, 0, false}, {FORKS, 2, 1, false}},
		       1},
	[THREE] = {"three threads",
		   ALONE(0),
		   true,
		   3,
		   {{ENTERS, 1, 0, false}, {ENTERS, 1, 1, false}, {ENTERS, 1, 0, false}},
		   0},
	[THREE_WITH_FORK] = {"a guest, and fork",
			     ROWS_MODE_SHARED,
			     true,
			     3,
			     {{ENTERS, 1, 0, false},
			      {ENTERS, 1, 1, true},
			      {FORKS, 1, 1, false}},
			     0},
};

static void nobody_meets_who_is_alone(void **state)
{
	(void)state;
	broken = NOTHING_BROKEN;
	for (size_t i = 0; i < SCENARIOS; i++)
		assert_null(search_scenario(&scenarios[i], true));
}

/* Each where it shows soonest. */
static const struct {
	const char *name;
	enum which where;
} breaks[BREAKS] = {
	[NO_MEMBARRIER] = {"no membarrier", TWO},
	[NO_RESTARTS] = {"sequences are not restarted", TWO},
	[SHARED_LOOKS_NOT] = {"a sequence counts without a look", TWO},
	[ALONE_LOOKS_NOT] = {"a sequence is alone without a look", TWO},
	[ALONE_TAKES_ODD] = {"alone beside one inside", SAME_CPU},
	[LOOK_BEFORE_COUNT] = {"a guest looks before it counts", LOCK_MODE},
	[GUEST_LOOKS_NOT] = {"a guest does not look", TWO},
	[GUEST_KEEPS_COUNT] = {"a guest keeps its count", TWO},
	[GUEST_ALONE_LOOKS_NOT] = {"a guest alone does not look", LOCK_MODE},
	[GUEST_ALONE_KEEPS_ODD] = {"a guest leaves its word odd", LOCK_MODE},
	[EXIT_NOT_COUNTED] = {"an exit is not counted", TWO},
	[GUEST_EXIT_NOT_COUNTED] = {"a guest's exit is not counted", WITH_GUEST},
	[ALONE_EXIT_NOT_COUNTED] = {"the word stays odd", TWO},
	[EXIT_ELSEWHERE] = {"the exit is another CPU's", TWO},
	[EXIT_BEFORE_STORES] = {"an exit overtakes stores", TWO},
	[ENTRIES_FIRST] = {"entries are summed first", THREE_WITH_FORK},
	[NO_WAIT_FOR_SHARED] = {"no wait for those inside", TWO_SHARED},
	[NO_WAIT_FOR_ALONE] = {"no wait for who is alone", TWO},
	[NOT_CLOSED] = {"the gate is not closed", TWO},
	[NO_LOCK] = {"no lock", THREE},
	[FORK_DOES_NOT_OPEN] = {"fork does not open it again", WITH_FORK},
};

static void what_is_broken_is_found(void **state)
{
	(void)state;
	for (int b = NOTHING_BROKEN + 1; b < BREAKS; b++) {
		const char *found;

		broken = (enum broken)b;
		found = search_scenario(&scenarios[breaks[b].where], false);
		print_message("%s: %s\n", breaks[b].name,
			      found != NULL ? found : "NOT FOUND");
		assert_non_null(found);
	}
	broken = NOTHING_BROKEN;
}

static int end(void **state)
{
	(void)state;
	search_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_meets_who_is_alone),
		cmocka_unit_test(what_is_broken_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
