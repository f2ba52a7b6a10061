/* SPDX-License-Identifier: MIT */
/*
 * kswapd: one background thread per node.
 *
 * It sleeps until a request finds a zone of its node below the low watermark, then
 * has the shrinkers give pages back, with growing effort, until every zone of the
 * node is above its high watermark or a whole run has brought nothing (Linux 2.6.28,
 * balance_pgdat()). With option purge_ms it also wakes up that often and gives the
 * memory of huge pages back to the system that have been free all the while: nobody
 * waits for that, and what is used again and again is never given back.
 *
 * Waking is one exchange, and a system call only when the thread is asleep.
 *
 * The threads are started by the first request that would wake one, so that a process
 * without memory pressure has none. Where the system refuses them, it is asked again
 * later, and direct reclaim does without. A forked child has none of them either, and
 * starts them in the same way.
 */
#include "allocators/buddy/reclaim_internal.h"
#include "allocators/buddy/rows_internal.h"
#include "allocators/os/os_sys.h"

#include <errno.h>
#include <kmem/error.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum kswapd_state { KSWAPD_ASLEEP, KSWAPD_WOKEN, KSWAPD_STOP };

static struct kswapd {
	_Atomic uint32_t state; /* enum kswapd_state; a futex */
	pthread_t thread;
	bool running; /* under lock */
} KMEM_CACHELINE_ALIGNED kswapds[MAX_NUMNODES] KMEM_SPARSE;

static struct kmem_spinlock lock; /* held while threads are started */
static bool wanted;		  /* option kswapd */
static uint64_t purge_ms;	  /* option purge_ms; 0: never */
static pid_t started_in;	  /* the process of those marked as running; under lock */
static _Atomic pid_t running_in;  /* the process in which all of them run; 0: none */
static _Atomic uint64_t retry_ms; /* not before this time after a failure to start */

/* A system that is out of threads is not asked for one at every request. */
#define RETRY_MS 1000

/* Pages that the node's zones lack up to their high watermarks. */
static unsigned long node_deficit(int nid)
{
	unsigned long deficit = 0;

	for_each_zone (zone) {
		unsigned long free = zone_free_pages(zone);

		if (zone->nid == nid && zone_present(zone) && free < zone->pages_high)
			deficit += zone->pages_high - free;
	}
	return deficit;
}

/*
 * A shrinker does not know which zone its pages are of. Once twice the deficit has come
 * back, a zone that is still low cannot be helped from here, and the caches are left
 * what they have.
 */
static void balance_node(int nid)
{
	unsigned long freed = 0, enough = 2 * node_deficit(nid);

	stat_add(&buddy_node_stats[nid].pageoutruns, 1);
	buddy_in_reclaim = true;
	for (int priority = 12; priority >= 0 && freed < enough && node_deficit(nid) != 0;
	     priority--) {
		freed += shrink_node(nid, GFP_KERNEL, priority);
		/* What came back may lie on lists of any CPU. */
		if (freed != 0 && node_deficit(nid) != 0) {
			for_each_zone (zone) {
				if (zone->nid == nid && zone_present(zone))
					pcp_drain_zone(zone);
			}
		}
		if (atomic_load(&kswapds[nid].state) == KSWAPD_STOP)
			break;
	}
	buddy_in_reclaim = false;
	stat_add(&buddy_node_stats[nid].pgsteal_kswapd, freed);
}

static void purge_node(int nid)
{
	for_each_zone (zone) {
		if (buddy.rows && zone->nid == nid && zone_present(zone))
			stat_add(&buddy_node_stats[nid].purged_pages,
				 rows_purge(zone, true));
	}
}

/* Until woken, or for purge_ms. Returns the state. */
static uint32_t wait_for_work(struct kswapd *k)
{
	struct timespec t = {.tv_sec = (time_t)(purge_ms / 1000),
			     .tv_nsec = (long)(purge_ms % 1000) * 1000000};
	uint32_t state = atomic_load(&k->state);

	if (state == KSWAPD_ASLEEP)
		os_futex_wait(&k->state, KSWAPD_ASLEEP, purge_ms != 0 ? &t : NULL);
	return atomic_load(&k->state);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *kswapd(void *arg)
{
	struct kswapd *k = arg;
	int nid = (int)(k - kswapds);
	uint64_t purged_at = now_ms();

	for (;;) {
		uint32_t state = wait_for_work(k), woken = KSWAPD_WOKEN;

		if (state == KSWAPD_STOP)
			return NULL;
		/* Before the work: who wakes us meanwhile is not forgotten. */
		if (atomic_compare_exchange_strong(&k->state, &woken, KSWAPD_ASLEEP))
			balance_node(nid);
		if (purge_ms != 0 && now_ms() - purged_at >= purge_ms) {
			purge_node(nid);
			purged_at = now_ms();
		}
	}
}

static void set_state(struct kswapd *k, enum kswapd_state state)
{
	uint32_t before = atomic_exchange(&k->state, state);

	if (before == KSWAPD_ASLEEP)
		os_futex_wake(&k->state);
}

static int start_one(struct kswapd *k)
{
	int err;

	if (k->running)
		return 0;
	atomic_store(&k->state, KSWAPD_ASLEEP);
	err = os_thread_create(&k->thread, kswapd, k);
	k->running = err == 0;
	return err;
}

/* Under lock: those that run already stay. */
static int start_all(void)
{
	int err = 0;

	if (started_in != getpid()) {
		for (int nid = 0; nid < MAX_NUMNODES; nid++)
			kswapds[nid].running = false;
		started_in = getpid();
	}
	for (int nid = 0; err == 0 && nid < (int)buddy.nr_nodes; nid++)
		err = start_one(&kswapds[nid]);
	if (err == 0)
		atomic_store(&running_in, getpid());
	else
		atomic_store(&retry_ms, now_ms() + RETRY_MS);
	return err;
}

int kswapd_start(void)
{
	int err = 0;

	spin_lock(&lock);
	if (wanted)
		err = start_all();
	spin_unlock(&lock);
	return err == 0 ? 0
			: kmem_error(err,
				     "kswapd cannot be started: no thread is to be had; "
				     "raise 'ulimit -u', or give kswapd=off");
}

/* In the midst of a request: whoever is starting them, perhaps this very thread further
 * up its stack, is not waited for. */
static void start_on_demand(void)
{
	if (!have_shrinkers() || now_ms() < atomic_load(&retry_ms) ||
	    !spin_trylock(&lock))
		return;
	start_all();
	spin_unlock(&lock);
}

/* Called by the slow path for each zone below its low mark. */
static void wake_kswapd(int nid, unsigned int order)
{
	struct kswapd *k = &kswapds[nid];

	(void)order;
	if (KMEM_UNLIKELY(atomic_load(&running_in) != getpid()))
		start_on_demand();
	if (atomic_load_explicit(&k->state, memory_order_relaxed) == KSWAPD_ASLEEP)
		set_state(k, KSWAPD_WOKEN);
}

void kswapd_fork_child(void)
{
	spin_lock_init(&lock);
	atomic_store(&running_in, 0);
	atomic_store(&retry_ms, 0);
}

void kswapd_attach(void)
{
	static const struct buddy_reclaim_hooks hooks = {
		.wake_kswapd = wake_kswapd,
		.reclaim = try_to_free_pages,
	};
	static const struct buddy_reclaim_hooks direct_only = {
		.reclaim = try_to_free_pages,
	};

	buddy_set_reclaim_hooks(wanted ? &hooks : &direct_only);
}

int kswapd_init(const struct buddy_config *config)
{
	wanted = config->kswapd;
	purge_ms = config->purge_ms;
	atomic_store(&retry_ms, 0);
	return wanted && purge_ms != 0 ? kswapd_start() : 0;
}

void kswapd_exit(void)
{
	buddy_set_reclaim_hooks(NULL);
	for (int nid = 0; nid < MAX_NUMNODES; nid++) {
		struct kswapd *k = &kswapds[nid];

		/* Started in part, where the system refused the others. */
		if (!k->running || started_in != getpid())
			continue;
		k->running = false;
		set_state(k, KSWAPD_STOP);
		pthread_join(k->thread, NULL);
	}
	atomic_store(&running_in, 0);
}
