/* SPDX-License-Identifier: MIT */
/* Options, start and end of malloc. */
#include "allocators/buddy/buddy_internal.h"
#include "allocators/malloc/spans_fast.h"
#include "allocators/os/os_sys.h"
#include "allocators/slab/slab_harden.h"
#include "allocators/slab/slab_internal.h"

#include <errno.h>
#include <kmem/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* A block of the largest order: without it there is no page allocator. */
#define MEMORY_MIN ((uint64_t)4 << 20)
/* Python needs 4 MiB and more beside malloc. */
#define DATA_LITTLE ((uint64_t)128 << 20)
/* Descriptors for more would be a burden to fork(). */
#define MEMORY_MAX ((uint64_t)1 << 40)

/*
 * The defaults: 256 MiB of large blocks save a program that works in buffers of up to
 * 128 MiB a fault for each page; it is a bound for a quarter of a second, not what stays.
 * With a whole second a burst's memory goes back two to three seconds after its end
 * instead of within one; python's test_pickle has a fifth fewer page faults, some 10 ms
 * of 2.4 s. 4 slots: a program holds a buffer or two of a size at a time, and every
 * further one is memory times the number of CPUs.
 */
const struct kmem_option kmem_malloc_options[] = {
	{.name = "memory",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct malloc_config, memory_bytes),
	 .initial = "0",
	 .max = (uint64_t)16 << 40,
	 .help = "bound of all blocks up to 128 KiB together, in bytes; 0: memory and swap of "
		 "the machine, or half of a limit on address space"},
	{.name = "span_max",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct malloc_config, span_max_bytes),
	 .initial = "128M",
	 .max = (uint64_t)1 << 32,
	 .help = "largest block, in bytes, that is a span of pages that are kept; larger ones "
		 "are mappings; 0: blocks of pages up to 4 MiB, and mappings"},
	{.name = "large_slots",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct malloc_config, large_slots),
	 .initial = "4",
	 .max = 64,
	 .help = "freed blocks of a class that a CPU keeps for itself, up to 512 KiB each; "
		 "half above, a quarter above 1 MiB; 0: none, a lock each time"},
	{.name = "large_cache",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct malloc_config, large_cache_bytes),
	 .initial = "256M",
	 .max = (uint64_t)1 << 40,
	 .help = "freed blocks above 128 KiB that stay resident until their time comes, in "
		 "bytes, spans and mappings each: saves page faults, costs memory"},
	{.name = "trim",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct malloc_config, trim_ms),
	 .initial = "250",
	 .max = 3600000,
	 .help = "memory not used for so many milliseconds goes back to the system; 0: only "
		 "when asked to"},
	{.name = "background",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct malloc_config, background),
	 .initial = "on",
	 .help = "a thread that does so, while much is free, also when the program is idle; "
		 "off: only calls of malloc and free do"},
	KMEM_OPTION_END,
};

struct malloc_config malloc_config;

enum state { COLD, STARTING, READY };
static _Atomic int state;
static _Atomic pid_t starter; /* thread that is starting */

/* --- size --- */

/* At most this part of a limit. */
static uint64_t limited(uint64_t bytes, int resource, unsigned int part)
{
	struct rlimit limit;

	if (os_getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
	    bytes <= limit.rlim_cur / part)
		return bytes;
	return limit.rlim_cur / part;
}

static uint64_t default_memory(void)
{
	uint64_t bytes = (uint64_t)1 << 30;
	struct sysinfo info;

	if (os_sysinfo(&info) == 0)
		bytes = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
	if (bytes > MEMORY_MAX)
		bytes = MEMORY_MAX;
	/* The other half is for stacks, files and large blocks. */
	bytes = limited(bytes, RLIMIT_AS, 2);
	/* Counts private writable memory, touched or not (Linux 4.7). */
	return limited(bytes, RLIMIT_DATA, 2);
}

/* --- start --- */

const char *malloc_topology = PHYS_TOPOLOGY_FLAT;

/* Physical memory of so many bytes, pages and slabs; all or nothing. */
static int start_memory(uint64_t bytes, const struct buddy_config *pages,
			const struct slab_config *slab)
{
	struct phys_config config = {
		.backing = PHYS_PRIVATE,
		.memory_bytes = bytes,
		.topology = malloc_topology,
	};
	int err = phys_init(&config);

	if (err != 0)
		return err;
	err = buddy_init(pages);
	if (err == 0) {
		err = slab_start(slab);
		if (err == 0)
			return 0;
		buddy_exit();
	}
	phys_exit();
	return err;
}

/* Address space for spans: more than the memory there is, since blocks that grow have
 * room behind them; but a sixteenth of a limit. */
#define SPANS_SHARE 4
static void start_spans(uint64_t bytes)
{
	/* Blocks of pages are checked, and mappings have guards. */
	if (slab_hardened())
		malloc_config.span_max_bytes = 0;
	if (malloc_config.span_max_bytes == 0)
		return;
	bytes = limited(bytes, RLIMIT_AS, 16);
	/* The other half of a limit on data, unless that is little: programs have data
	 * that is not malloc's. */
	if (limited(DATA_LITTLE, RLIMIT_DATA, 1) < DATA_LITTLE)
		bytes = limited(bytes, RLIMIT_DATA, 16);
	spans_init(bytes);
}

static int start_layers(const struct kmem_malloc_config *config)
{
	uint64_t bytes = config->malloc.memory_bytes, most = default_memory();
	struct slab_config slab = config->slab;
	struct buddy_config pages = config->buddy;
	int err;

	if (slab.classes == SLAB_CLASSES_AUTO)
		slab.classes = SLAB_CLASSES_FOUR;
	/* No thread comes into being in the middle of somebody's malloc(). Without kswapd
	 * a request that finds nothing reclaims itself. */
	pages.kswapd &= pages.purge_ms != 0;

	err = start_memory(bytes != 0 ? bytes : most, &pages, &slab);
	/* An overcommit policy or a limit that we do not know of, or one that leaves no
	 * room for what the layers need beside it: take less. */
	for (uint64_t less = most / 2;
	     err == -ENOMEM && bytes == 0 && less >= MEMORY_MIN / 2; less /= 2)
		err = start_memory(less, &pages, &slab);
	if (err != 0)
		return err;
	malloc_config = config->malloc;
	start_spans(SPANS_SHARE * most);
	malloc_hit_max = magazine_rseq_offset != 0 ? SPAN_CLASS_MAX : 0;
	background_init();
	trim_reset();
	malloc_fork_init();
	return 0;
}

/* A program that was not asked cannot be told otherwise. what: "", or with a colon. */
static _Noreturn void refuse_environment(const char *what)
{
	char text[640];
	int n = snprintf(text, sizeof(text), "kmem: KMEM_MALLOC: %s%s\n", what,
			 kmem_last_error());

	if (n > 0 && write(STDERR_FILENO, text,
			   (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1) < 0)
		_exit(3);
	_exit(2);
}

/* KMEM_MALLOC="hardened=on,trim=0", not in programs that run with other rights than their
 * user's. NULL or empty: nothing. */
static const char *environment(void)
{
	return secure_getenv("KMEM_MALLOC");
}

/* The defaults, and what the environment says. */
static int default_config(struct kmem_malloc_config *config)
{
	static const struct kmem_option_group groups[] = {
		{kmem_malloc_options, offsetof(struct kmem_malloc_config, malloc)},
		{buddy_options, offsetof(struct kmem_malloc_config, buddy)},
		{slab_options, offsetof(struct kmem_malloc_config, slab)},
		{NULL, 0},
	};
	const char *text = environment();
	int err = kmem_options_defaults(groups, config);

	if (err == 0 && text != NULL && kmem_options_parse(groups, text, config) != 0)
		refuse_environment("");
	return err;
}

/* The caller has made the state STARTING. */
static int start(const struct kmem_malloc_config *config)
{
	struct kmem_malloc_config defaults;
	const char *text = config == NULL ? environment() : NULL;
	int err = 0;

	atomic_store_explicit(&starter, gettid(), memory_order_relaxed);
	if (config == NULL) {
		err = default_config(&defaults);
		config = &defaults;
	}
	if (err == 0)
		err = start_layers(config);
	/* Options that cannot be served, rather than a machine without memory. */
	if (err != 0 && text != NULL && *text != '\0')
		refuse_environment("cannot start: ");
	atomic_store_explicit(&starter, 0, memory_order_relaxed);
	atomic_store_explicit(&state, err == 0 ? READY : COLD, memory_order_release);
	return err;
}

bool malloc_is_up(void)
{
	return atomic_load_explicit(&state, memory_order_acquire) == READY;
}

enum malloc_start malloc_start(void)
{
	for (unsigned int turn = 0;;) {
		int now = atomic_load_explicit(&state, memory_order_acquire);

		if (KMEM_LIKELY(now == READY))
			return MALLOC_READY;
		if (now == COLD) {
			if (atomic_compare_exchange_strong(&state, &now, STARTING))
				return start(NULL) == 0 ? MALLOC_READY : MALLOC_FAILED;
			continue;
		}
		if (atomic_load_explicit(&starter, memory_order_relaxed) == gettid())
			return MALLOC_STARTING;
		os_yield(turn++);
	}
}

int kmem_malloc_init(const struct kmem_malloc_config *config)
{
	int cold = COLD;

	if (!atomic_compare_exchange_strong(&state, &cold, STARTING))
		return kmem_error(-EBUSY, "malloc has started already; call "
					  "kmem_malloc_init() before the first "
					  "allocation, or kmem_malloc_exit() first");
	return start(config);
}

void kmem_malloc_exit(void)
{
	if (!malloc_is_up())
		return;
	background_stop();
	malloc_fork_exit();
	malloc_hit_max = 0;
	large_release(0);
	spans_exit();
	kmem_cache_exit();
	buddy_exit();
	phys_exit();
	atomic_store_explicit(&state, COLD, memory_order_release);
}

int kmem_malloc_check(void)
{
	int err;

	if (!malloc_is_up())
		return 0;
	trim_lock(); /* keeps the background thread away */
	err = slab_check();
	if (err == 0)
		err = spans_check();
	if (err == 0)
		err = buddy_check();
	trim_unlock();
	return err;
}

void kmem_malloc_stats(struct kmem_malloc_stats *stats)
{
	*stats = (struct kmem_malloc_stats){.large_live = 0};
	large_stats(stats);
	spans_stats(stats);
	trim_stats(stats);
}
