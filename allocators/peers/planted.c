/* SPDX-License-Identifier: MIT */
/*
 * planted: another allocator with a fault of known size put into it.
 *
 * THEORY. Whether a benchmark finds a difference of 3 % can only be known where a
 * difference of 3 % is known to be. This allocator hands every call on to a base
 * allocator and adds what its options say; 'kmembench selftest' compares it with
 * itself without the fault, so that the wrapper's own cost is on both sides and the
 * fault alone is the difference.
 *
 * slow_pct. The time to add is a share of the time that this very thread spends,
 * harness included, since that is what real_time measures. It differs by a factor of
 * hundred between workloads and drifts, so it is measured where it is spent: every few
 * microseconds' worth of calls (the number of calls adapts) the thread reads the clock,
 * takes the time since the last reading, enters slow_pct of it as a debt, and spins
 * until the debt is paid. What the clock's granularity overshoots stays in the account
 * as a credit, so the mean is exact although a single payment is not. An interval much
 * longer than its predecessors was spent waiting (for the processor, or for the turn
 * of this process where processes alternate) and counts as a usual one. stats() says
 * what was really paid. The control is "clock=on": the same readings, nothing to pay.
 *
 * extra_instructions. A mean number of instructions a call, executed as a counted loop
 * at every INSTRUCTIONS_EVERY-th call; no clock is involved, so that instruction counts
 * stay deterministic. The control is "extra_instructions=0": the same counter runs.
 *
 * leak_every, tail_every. The thread's n-th free does nothing; its n-th allocation
 * takes tail_ns longer.
 *
 * Threads keep their accounts in thread-local variables, so one instance may live at
 * a time; thread_exit() adds a thread's totals to the instance's, under its lock.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <kmem/error.h>

#include "allocators/peers/floors.h"

/* A reading costs some 30 ns: 0.4 % of this, on both sides of a comparison. */
#define LOOK_NS_MIN    4000
#define LOOK_NS_MAX    16000
#define LOOK_CALLS_MAX 4096u
/* Below this a debt is carried on: the clock could not tell that it was paid. */
#define PAY_NS_MIN 100
/* Some readings of the clock. */
#define OVERSHOOT_NS_MAX 500
/* So many times the usual is a wait, unless as many in a row say that it is usual now. */
#define WAIT_FACTOR    8
#define WAITS_IN_A_ROW 4
/* Calls between two rounds of extra instructions; a round is a loop of two each. */
#define INSTRUCTIONS_EVERY 64u

struct planted_config {
	const char *over;
	bool clock;
	double slow_pct;
	double extra_instructions;
	uint64_t leak_every;
	uint64_t tail_every, tail_ns;
};

struct planted {
	struct allocator base;
	/* read by every call */
	struct allocator *over;
	void *(*alloc)(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node);
	void (*free)(struct allocator *a, void *ptr, size_t size);
	bool clocked;
	double share; /* slow_pct / 100 */
	double instructions_per_round;
	uint64_t leak_every, tail_every, tail_ns;
	/* totals of threads that have left; under lock */
	pthread_mutex_t lock;
	double own_ns, paid_ns, leaked_bytes;
	uint64_t leaked_blocks, tails;
};

/* One thread's account; all zero before its first call. */
static __thread struct planted_thread {
	uint32_t calls_left; /* until the clock is looked at */
	uint32_t calls;	     /* between two looks; 0: never looked */
	uint32_t instruction_calls_left;
	unsigned int waits; /* intervals in a row that were taken for waits */
	uint64_t looked_ns;
	double usual_ns; /* a call */
	double debt_ns;
	double instruction_debt;
	uint64_t frees_left, allocs_left;
	double own_ns, paid_ns, leaked_bytes;
	uint64_t leaked_blocks, tails;
} account;

static _Atomic bool planted_claimed;
/* The registered hooks less what the base allocator cannot do; see planted_create(). */
static struct allocator_ops planted_live_ops;

static const struct kmem_option planted_options[] = {
	{
		.name = "over",
		.type = KMEM_OPT_STRING,
		.offset = offsetof(struct planted_config, over),
		.initial = "glibc",
		.help = "allocator that does the work, by name, without options",
	},
	{
		.name = "clock",
		.type = KMEM_OPT_BOOL,
		.offset = offsetof(struct planted_config, clock),
		.initial = "off",
		.help = "reads the clock as often as slow_pct does, without adding time: "
			"the control",
	},
	{
		.name = "slow_pct",
		.type = KMEM_OPT_FLOAT,
		.offset = offsetof(struct planted_config, slow_pct),
		.initial = "0",
		.help = "time added, in per cent of what the calling thread spends",
	},
	{
		.name = "extra_instructions",
		.type = KMEM_OPT_FLOAT,
		.offset = offsetof(struct planted_config, extra_instructions),
		.initial = "0",
		.help = "instructions added to a call, on average",
	},
	{
		.name = "leak_every",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct planted_config, leak_every),
		.initial = "0",
		.help = "of so many frees a thread does, one does nothing; 0: none",
	},
	{
		.name = "tail_every",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct planted_config, tail_every),
		.initial = "0",
		.help = "of so many allocations of a thread, one takes tail_ns longer; "
			"0: none",
	},
	{
		.name = "tail_ns",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct planted_config, tail_ns),
		.initial = "20000",
		.help = "nanoseconds that such an allocation takes longer",
		.max = 1000000000,
	},
	KMEM_OPTION_END,
};
static const struct kmem_option_group planted_groups[] = {{planted_options, 0},
							  {NULL, 0}};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- time --- */

/* Spins from `now` for at least debt_ns; returns the time at the end. */
static uint64_t spin(uint64_t now, double debt_ns)
{
	uint64_t start = now;

	while ((double)(now - start) < debt_ns)
		now = now_ns();
	return now;
}

/*
 * Pays the debt. What the clock overshoots is a credit; but who was interrupted while
 * spinning has lost that time to somebody else, and paid the debt alone.
 */
static uint64_t pay(uint64_t now)
{
	uint64_t end = spin(now, account.debt_ns);
	double paid_ns = (double)(end - now);

	if (paid_ns > account.debt_ns + OVERSHOOT_NS_MAX)
		paid_ns = account.debt_ns;
	account.paid_ns += paid_ns;
	account.debt_ns -= paid_ns;
	return end;
}

/* The interval since the last look, or what is usual where it was spent waiting. */
static double worked_ns(double elapsed_ns)
{
	double usual_ns = account.usual_ns * account.calls;

	if (usual_ns > 0 && elapsed_ns > WAIT_FACTOR * usual_ns &&
	    ++account.waits < WAITS_IN_A_ROW)
		return usual_ns;
	/* The first interval, or the calls have become slower for good. */
	if (usual_ns <= 0 || account.waits >= WAITS_IN_A_ROW)
		account.usual_ns = elapsed_ns / account.calls;
	else
		account.usual_ns += (elapsed_ns / account.calls - account.usual_ns) / 8;
	account.waits = 0;
	return elapsed_ns;
}

static void adapt(double elapsed_ns)
{
	if (elapsed_ns < LOOK_NS_MIN && account.calls < LOOK_CALLS_MAX)
		account.calls *= 2;
	else if (elapsed_ns > LOOK_NS_MAX && account.calls > 1)
		account.calls /= 2;
}

static KMEM_NOINLINE void look(const struct planted *p)
{
	uint64_t now = now_ns();

	if (account.calls == 0) {
		account.calls = 1;
	} else {
		double elapsed_ns = worked_ns((double)(now - account.looked_ns));

		account.own_ns += elapsed_ns;
		account.debt_ns += elapsed_ns * p->share;
		if (account.debt_ns >= PAY_NS_MIN)
			now = pay(now);
		adapt(elapsed_ns);
	}
	account.looked_ns = now;
	account.calls_left = account.calls;
}

/* --- instructions --- */

/* Two instructions a round on either architecture. */
static void burn(uint64_t rounds)
{
#if defined(__x86_64__)
	__asm__ __volatile__("1:\n\tdec %0\n\tjnz 1b" : "+r"(rounds)::"cc");
#elif defined(__aarch64__)
	__asm__ __volatile__("1:\n\tsubs %0, %0, #1\n\tb.ne 1b" : "+r"(rounds)::"cc");
#else
	while (rounds-- > 0)
		__asm__ __volatile__("" ::: "memory");
#endif
}

static KMEM_NOINLINE void add_instructions(const struct planted *p)
{
	uint64_t rounds;

	account.instruction_calls_left = INSTRUCTIONS_EVERY;
	account.instruction_debt += p->instructions_per_round;
	rounds = (uint64_t)(account.instruction_debt / 2);
	account.instruction_debt -= 2 * (double)rounds;
	if (rounds > 0)
		burn(rounds);
}

/* What every call does on top of the base allocator's. */
static KMEM_ALWAYS_INLINE void tick(const struct planted *p)
{
	if (p->clocked && account.calls_left-- == 0)
		look(p);
	if (account.instruction_calls_left-- == 0)
		add_instructions(p);
}

/* --- hooks --- */

static KMEM_NOINLINE void slow_tail(const struct planted *p)
{
	account.allocs_left = p->tail_every;
	account.tails++;
	spin(now_ns(), (double)p->tail_ns);
}

static KMEM_ALWAYS_INLINE void before_alloc(const struct planted *p)
{
	tick(p);
	if (KMEM_UNLIKELY(p->tail_every != 0) && --account.allocs_left == 0)
		slow_tail(p);
}

static void *planted_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			   int node)
{
	const struct planted *p = (const struct planted *)a;

	before_alloc(p);
	return p->alloc(p->over, size, align, gfp, node);
}

/* True when this free is one of those that do nothing. */
static KMEM_NOINLINE bool leaks(const struct planted *p, size_t size)
{
	if (--account.frees_left != 0)
		return false;
	account.frees_left = p->leak_every;
	account.leaked_blocks++;
	account.leaked_bytes += (double)size;
	return true;
}

static void planted_free(struct allocator *a, void *ptr, size_t size)
{
	const struct planted *p = (const struct planted *)a;

	tick(p);
	if (KMEM_UNLIKELY(p->leak_every != 0) && leaks(p, size))
		return;
	p->free(p->over, ptr, size);
}

static void *planted_realloc(struct allocator *a, void *ptr, size_t old_size,
			     size_t new_size)
{
	const struct planted *p = (const struct planted *)a;

	before_alloc(p);
	return p->over->ops->realloc(p->over, ptr, old_size, new_size);
}

static void *planted_zalloc(struct allocator *a, size_t size)
{
	const struct planted *p = (const struct planted *)a;

	before_alloc(p);
	return p->over->ops->zalloc(p->over, size);
}

static size_t planted_usable_size(struct allocator *a, void *ptr)
{
	const struct planted *p = (const struct planted *)a;

	return p->over->ops->usable_size(p->over, ptr);
}

static void planted_trim(struct allocator *a)
{
	const struct planted *p = (const struct planted *)a;

	p->over->ops->trim(p->over);
}

static const char *planted_version(struct allocator *a)
{
	const struct planted *p = (const struct planted *)a;

	return p->over->ops->version != NULL ? p->over->ops->version(p->over) : NULL;
}

static int planted_check(struct allocator *a)
{
	const struct planted *p = (const struct planted *)a;

	return p->over->ops->check != NULL ? p->over->ops->check(p->over) : 0;
}

static void planted_thread_enter(struct allocator *a)
{
	const struct planted *p = (const struct planted *)a;

	memset(&account, 0, sizeof(account));
	account.allocs_left = p->tail_every;
	account.frees_left = p->leak_every;
	if (p->over->ops->thread_enter != NULL)
		p->over->ops->thread_enter(p->over);
}

static void planted_thread_exit(struct allocator *a)
{
	struct planted *p = (struct planted *)a;

	if (p->over->ops->thread_exit != NULL)
		p->over->ops->thread_exit(p->over);
	pthread_mutex_lock(&p->lock);
	p->own_ns += account.own_ns;
	p->paid_ns += account.paid_ns;
	p->leaked_bytes += account.leaked_bytes;
	p->leaked_blocks += account.leaked_blocks;
	p->tails += account.tails;
	pthread_mutex_unlock(&p->lock);
	memset(&account, 0, sizeof(account));
}

/* Of threads that have left. */
static void planted_stats(struct allocator *a, allocator_stat_fn fn, void *arg)
{
	struct planted *p = (struct planted *)a;

	pthread_mutex_lock(&p->lock);
	if (p->own_ns > 0) {
		fn("planted_own_ns", p->own_ns, arg);
		fn("planted_slow_pct", 100 * p->paid_ns / p->own_ns, arg);
	}
	fn("planted_leaked_blocks", (double)p->leaked_blocks, arg);
	fn("planted_leaked_bytes", p->leaked_bytes, arg);
	fn("planted_tails", (double)p->tails, arg);
	pthread_mutex_unlock(&p->lock);
}

/* --- life --- */

static int check_config(const struct planted_config *c)
{
	if (strcmp(c->over, "planted") == 0)
		return kmem_error(
			-EINVAL,
			"allocator 'planted' cannot stand over itself: over=glibc, "
			"say");
	if (!(c->slow_pct >= 0 && c->slow_pct <= 1000))
		return kmem_error(-EINVAL,
				  "slow_pct=%g is not from 0 to 1000: name per cent",
				  c->slow_pct);
	if (!(c->extra_instructions >= 0 && c->extra_instructions <= 1e6))
		return kmem_error(-EINVAL,
				  "extra_instructions=%g is not from 0 to 1000000",
				  c->extra_instructions);
	return 0;
}

/* Hooks that the base allocator lacks are lacking here. */
static const struct allocator_ops *live_ops(const struct allocator_ops *ops,
					    const struct allocator_ops *over)
{
	planted_live_ops = *ops;
	planted_live_ops.caps = (ops->caps & over->caps) | CAP_STATS;
	planted_live_ops.size_max_bytes = over->size_max_bytes;
	if (over->realloc == NULL)
		planted_live_ops.realloc = NULL;
	if (over->zalloc == NULL)
		planted_live_ops.zalloc = NULL;
	return &planted_live_ops;
}

static struct allocator *planted_create(const struct allocator_ops *ops,
					const void *config,
					const struct allocator_env *env)
{
	const struct planted_config *c = config;
	struct planted *p;

	if (check_config(c) != 0 || !floor_claim("planted", &planted_claimed))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		kmem_error(-ENOMEM, "no memory for allocator 'planted'");
	else
		p->over = allocator_new(c->over, env);
	if (p == NULL || p->over == NULL) {
		free(p);
		floor_unclaim(&planted_claimed);
		return NULL;
	}
	p->base.ops = live_ops(ops, p->over->ops);
	p->alloc = p->over->ops->alloc;
	p->free = p->over->ops->free;
	p->clocked = c->clock || c->slow_pct > 0;
	p->share = c->slow_pct / 100;
	p->instructions_per_round = c->extra_instructions * INSTRUCTIONS_EVERY;
	p->leak_every = c->leak_every;
	p->tail_every = c->tail_every;
	p->tail_ns = c->tail_ns;
	pthread_mutex_init(&p->lock, NULL);
	return &p->base;
}

static void planted_destroy(struct allocator *a)
{
	struct planted *p = (struct planted *)a;

	allocator_delete(p->over);
	pthread_mutex_destroy(&p->lock);
	free(p);
	floor_unclaim(&planted_claimed);
}

static const struct allocator_ops planted_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "planted",
	.description =
		"another allocator with a fault of known size put into it, for the "
		"self-test: slower, leaking, or with a longer tail",
	.hidden = true,
	.caps = CAP_OBJECT | CAP_ALIGN | CAP_USABLE_SIZE | CAP_MIXED_SIZE | CAP_DISTINCT |
		CAP_REMOTE_FREE | CAP_STATS | CAP_TRIM,
	.options = planted_groups,
	.config_size = sizeof(struct planted_config),
	.create = planted_create,
	.destroy = planted_destroy,
	.version = planted_version,
	.thread_enter = planted_thread_enter,
	.thread_exit = planted_thread_exit,
	.alloc = planted_alloc,
	.free = planted_free,
	.realloc = planted_realloc,
	.zalloc = planted_zalloc,
	.usable_size = planted_usable_size,
	.stats = planted_stats,
	.trim = planted_trim,
	.check = planted_check,
};
ALLOCATOR_REGISTER(planted_ops);
