/* SPDX-License-Identifier: MIT */
/*
 * The gate before the rows: who may take steps, and of which kind.
 *
 * Shared: any number of requests at once, each step a locked instruction. Alone: one
 * CPU's requests, one at a time, the same steps made of plain loads and stores. The gate
 * lets a CPU be alone that has been so for a while, which is what a program with one
 * thread is, and opens to all as soon as another CPU comes (biased locking, as Kawachiya,
 * Koseki and Onodera, "Lock reservation", OOPSLA 2002, have it for Java).
 *
 * Neither kind costs a locked instruction at the gate: entering is a restartable
 * sequence that looks at `mode` and counts, in words of the CPU it runs on. Who changes
 * the mode closes the gate, has all sequences restarted by membarrier(2), so that from
 * then on each sees it closed, and waits until as many have left as have entered. Then
 * nobody is between two steps.
 *
 * Without sequences (lock mode, or a thread that is not registered for them) a request
 * counts by atomic addition first, looks at the mode then, and takes the count back
 * when the gate has been closed meanwhile.
 *
 * Only who is alone waits with the gate closed for it: a request that finds its own CPU
 * alone, but inside, has interrupted the other, and gives it the CPU. That is a
 * lock whose holder may lose its CPU; with two CPUs at work there is none.
 *
 * Fork closes the gate, for the child must not see half of a request.
 */
#include "allocators/buddy/rows_internal.h"
#include "allocators/os/os_cpu.h"
#include "allocators/os/os_sys.h"

#include <errno.h>
#include <limits.h>

/*
 * Every so many entries of a CPU it is looked whether others have come meanwhile: some 50
 * us of work, against two microseconds and more of a change of mode.
 */
#ifndef LOOK_EVERY /* a test makes it smaller, to see all there is */
#define LOOK_EVERY 256u
#endif

/*
 * When another thread has come before so many entries (some 20 ms of nothing but them),
 * the CPU was alone in vain: from then on twice as many looks have to find nobody, up to
 * the maximum, which is longer than one of two threads usually has to wait for its
 * CPU. A thread that has only moved to another CPU is none.
 */
#define ALONE_WORTH 131072u
unsigned int rows_gate_patience_max = 256;
static __thread char self; /* by its address */

#define SEQUENCE_NS 20000000L

/* So often a CPU is alone for having come first: main, its worker, and main once more. */
#define HEIRS_MAX 2

_Atomic uint32_t rows_mode KMEM_CACHELINE_ALIGNED;
static bool ready;

static struct kmem_spinlock lock; /* who changes the mode; never taken by one inside */
/* --- under lock --- */
static unsigned int patience; /* UINT_MAX: nobody is to be alone any more */
static unsigned int quiet_looks, heirs;
static unsigned int looked_from; /* cpu */
static uint64_t looked_others;	 /* entries of other CPUs by then */
static unsigned int alone_cpu;
static const char *alone_thread; /* the one that was there then */
static uint64_t alone_since;	 /* its word by then */

/* Of each CPU. Entries and exits of threads with sequences, of others; entries and exits
 * of one that is alone: odd while it is inside. */
static struct percpu_counter in, out, guests_in, guests_out, alone_word;

static _Atomic uint64_t *word_of(const struct percpu_counter *c, unsigned int cpu)
{
	return &percpu_stack_of(&c->words, cpu)->state;
}

/* --- entering --- */

_Static_assert(ROWS_MODE_SHARED == 0, "sequences know");

/* The same without sequences. Sequential consistency: either we see the mode changed, or
 * who changes it sees our count. */
static uint64_t enter_shared_guest(void)
{
	unsigned int cpu = os_cpu_id();
	uint64_t count = atomic_fetch_add(word_of(&guests_in, cpu), 1) + 1;

	if (atomic_load(&rows_mode) == ROWS_MODE_SHARED)
		return count;
	atomic_fetch_add(word_of(&guests_out, cpu), 1);
	return 0;
}

static bool enter_alone_guest(uint32_t m)
{
	_Atomic uint64_t *word = word_of(&alone_word, m - ROWS_MODE_ALONE);
	uint64_t state = atomic_load(word);

	/* Sequences and guests do not mix in this word. */
	if (os_percpu_lockless() || os_cpu_id() != m - ROWS_MODE_ALONE ||
	    state % 2 != 0 || !atomic_compare_exchange_strong(word, &state, state + 1))
		return false;
	if (atomic_load(&rows_mode) == m)
		return true;
	atomic_store(word, state + 2);
	return false;
}

static uint64_t try_shared(enum rows_visit *visit)
{
	uint64_t count;

#if OS_PERCPU_RSEQ
	if (os_percpu_lockless()) {
		count = rseq_enter_shared(&in.words, &rows_mode);
		*visit = ROWS_SHARED;
		if (KMEM_LIKELY(count != 0))
			return count;
	}
#endif
	count = enter_shared_guest();
	*visit = ROWS_GUEST;
	return count;
}

static bool try_alone(uint32_t m)
{
#if OS_PERCPU_RSEQ
	if (os_percpu_lockless())
		return rseq_enter_alone(&alone_word.words, &rows_mode, ROWS_MODE_ALONE);
#endif
	return enter_alone_guest(m);
}

void rows_leave(enum rows_visit visit)
{
	if (visit == ROWS_ALONE) {
		_Atomic uint64_t *word = word_of(&alone_word, alone_cpu);
		uint64_t state = atomic_load_explicit(word, memory_order_relaxed);

		atomic_store_explicit(word, state + 1, memory_order_release);
	} else if (visit == ROWS_SHARED) {
		/* The sequence's store is a plain one. */
		atomic_thread_fence(memory_order_release);
		percpu_counter_add(&out, 1);
	} else if (visit == ROWS_GUEST) {
		atomic_fetch_add(word_of(&guests_out, os_cpu_id()), 1);
	}
}

/* --- changing the mode; under lock --- */

/*
 * From now on every sequence sees the gate closed. A system that refuses every way to
 * know so (a sandbox, after the start) is given longer than ten instructions last that
 * are not preempted, as os_fork.c does; and nobody comes to be alone any more, so that
 * only forks wait for it again.
 */
static void restart_sequences(void)
{
	if (!os_percpu_lockless() || os_restart_sequences())
		return;
	patience = UINT_MAX;
	os_sleep(SEQUENCE_NS);
}

/* Nobody is inside, nor gets in, when this returns. */
static void close_gate(void)
{
	uint32_t before = atomic_exchange(&rows_mode, ROWS_MODE_CLOSED);
	uint64_t left, entered;
	unsigned int turn = 0;

	restart_sequences();
	if (before >= ROWS_MODE_ALONE) {
		while (atomic_load(word_of(&alone_word, alone_cpu)) % 2 != 0)
			os_yield(turn++);
	}
	/* Exits first: entries can only have become fewer than there are by now. */
	for (;;) {
		left = percpu_counter_sum(&out) + percpu_counter_sum(&guests_out);
		atomic_thread_fence(memory_order_seq_cst);
		entered = percpu_counter_sum(&in) + percpu_counter_sum(&guests_in);
		if (left == entered)
			return;
		os_yield(turn++);
	}
}

/* With the gate closed. */
static void let_be_alone(unsigned int cpu)
{
	alone_cpu = cpu;
	alone_thread = &self;
	alone_since = atomic_load(word_of(&alone_word, cpu));
	quiet_looks = 0;
	atomic_store(&rows_mode, ROWS_MODE_ALONE + cpu);
}

static void open_to_all(void)
{
	quiet_looks = 0;
	atomic_store(&rows_mode, ROWS_MODE_SHARED);
}

/*
 * Another CPU has come. heir: it may be alone in the other's place, if that one has done
 * nothing yet. The first to be alone is who sets the allocator up, often not the one
 * who works.
 */
static void end_of_alone(bool heir)
{
	uint64_t entries;

	spin_lock(&lock);
	if (atomic_load(&rows_mode) >= ROWS_MODE_ALONE) {
		close_gate();
		entries = (atomic_load(word_of(&alone_word, alone_cpu)) - alone_since) /
			  2;
		if (patience == UINT_MAX)
			heir = false;
		else if (entries >= ALONE_WORTH)
			patience = 1;
		else if (alone_thread != &self && patience < rows_gate_patience_max)
			patience *= 2;
		if (heir && entries < LOOK_EVERY && heirs < HEIRS_MAX) {
			heirs++;
			let_be_alone(os_cpu_id());
		} else {
			open_to_all();
		}
	}
	spin_unlock(&lock);
}

static uint64_t entries_of_others(unsigned int cpu)
{
	return percpu_counter_sum(&in) + percpu_counter_sum(&guests_in) -
	       atomic_load(word_of(&in, cpu)) - atomic_load(word_of(&guests_in, cpu));
}

/* Whether this CPU has been alone for long enough: then it is. */
static KMEM_NOINLINE void look_around(void)
{
	unsigned int cpu = os_cpu_id();
	uint64_t others;

	if (!spin_trylock(&lock))
		return;
	others = entries_of_others(cpu);
	if (atomic_load(&rows_mode) != ROWS_MODE_SHARED || cpu != looked_from ||
	    others != looked_others)
		quiet_looks = 0;
	else
		quiet_looks++;
	looked_from = cpu;
	looked_others = others;
	if (quiet_looks >= patience) {
		close_gate();
		if (patience != UINT_MAX)
			let_be_alone(cpu);
		else
			open_to_all();
	}
	spin_unlock(&lock);
}

/* --- the way in --- */

/* So often a request gives its CPU to one that is inside alone, or closes the gate. */
#ifndef WAITS
#define WAITS 16
#endif

/* A thread that is not registered for sequences never gets in alone. */
static KMEM_NOINLINE void wait_at_gate(uint32_t m, bool shared, unsigned int *waits,
				       unsigned int *turn)
{
	bool other = shared || os_cpu_id() != m - ROWS_MODE_ALONE;

	if (m >= ROWS_MODE_ALONE && (other || ++*waits > WAITS))
		end_of_alone(!shared);
	else
		os_yield((*turn)++);
}

static KMEM_ALWAYS_INLINE enum rows_visit enter(bool shared)
{
	unsigned int waits = 0, turn = 0;

	for (;;) {
		uint32_t m = atomic_load_explicit(&rows_mode, memory_order_relaxed);
		enum rows_visit visit;

		if (m == ROWS_MODE_SHARED) {
			uint64_t count = try_shared(&visit);

			if (KMEM_LIKELY(count % LOOK_EVERY != 0))
				return visit;
			if (count == 0)
				continue;
			rows_leave(visit);
			look_around();
		} else if (m >= ROWS_MODE_ALONE && !shared && KMEM_LIKELY(try_alone(m))) {
			return ROWS_ALONE;
		} else {
			wait_at_gate(m, shared, &waits, &turn);
		}
	}
}

enum rows_visit rows_enter(void)
{
	return enter(false);
}

enum rows_visit rows_enter_shared(void)
{
	return enter(true);
}

/* --- fork --- */

void rows_fork_lock(void)
{
	if (!ready)
		return;
	spin_lock(&lock);
	close_gate();
}

void rows_fork_unlock(void)
{
	if (!ready)
		return;
	open_to_all();
	spin_unlock(&lock);
}

/* --- set-up --- */

static struct percpu_counter *const counters[] = {&in, &out, &guests_in, &guests_out,
						  &alone_word};

int rows_gate_init(void)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(counters); i++) {
		if (percpu_counter_init(counters[i]) != 0) {
			rows_gate_exit();
			return -ENOMEM;
		}
	}
	patience = 1;
	heirs = 0;
	looked_from = os_nr_cpus();
	let_be_alone(os_cpu_id());
	ready = true;
	return 0;
}

void rows_gate_exit(void)
{
	ready = false;
	atomic_store(&rows_mode, ROWS_MODE_SHARED);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(counters); i++) {
		if (counters[i]->words.base != NULL)
			percpu_counter_destroy(counters[i]);
	}
}

bool rows_gate_alone(void)
{
	return atomic_load_explicit(&rows_mode, memory_order_relaxed) >= ROWS_MODE_ALONE;
}
