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
 * Fork. A child has none of these threads; the first request there that would wake
 * one starts them again.
 */
#include "allocators/buddy/reclaim_internal.h"
#include "allocators/buddy/rows_internal.h"

#include <errno.h>
#include <kmem/error.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum kswapd_state { KSWAPD_ASLEEP, KSWAPD_WOKEN, KSWAPD_STOP };

static struct kswapd {
	_Atomic uint32_t state; /* enum kswapd_state; a futex */
	pthread_t thread;
	bool running; /* under lock */
} KMEM_CACHELINE_ALIGNED kswapds[MAX_NUMNODES];

static struct kmem_spinlock lock;
static bool wanted;		 /* option kswapd */
static uint64_t purge_ms;	 /* option purge_ms; 0: never */
static _Atomic pid_t running_in; /* the process whose threads they are; 0: none */

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
		syscall(SYS_futex, &k->state, FUTEX_WAIT_PRIVATE, KSWAPD_ASLEEP,
			purge_ms != 0 ? &t : NULL, NULL, 0);
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
		syscall(SYS_futex, &k->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Called by the slow path for each zone below its low mark. */
static void wake_kswapd(int nid, unsigned int order)
{
	struct kswapd *k = &kswapds[nid];

	(void)order;
	if (KMEM_UNLIKELY(atomic_load(&running_in) != getpid()))
		kswapd_start();
	if (atomic_load_explicit(&k->state, memory_order_relaxed) == KSWAPD_ASLEEP)
		set_state(k, KSWAPD_WOKEN);
}

static int start_one(struct kswapd *k)
{
	sigset_t all, before;
	int err;

	if (k->running)
		return 0;
	atomic_store(&k->state, KSWAPD_ASLEEP);
	/* Signals are the program's business, and so are its threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&k->thread, NULL, kswapd, k);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	k->running = err == 0;
	return -err;
}

int kswapd_start(void)
{
	static const struct buddy_reclaim_hooks hooks = {
		.wake_kswapd = wake_kswapd,
		.reclaim = try_to_free_pages,
	};
	static const struct buddy_reclaim_hooks direct_only = {
		.reclaim = try_to_free_pages,
	};
	int err = 0;

	spin_lock(&lock);
	buddy_set_reclaim_hooks(wanted ? &hooks : &direct_only);
	for (int nid = 0; wanted && err == 0 && nid < (int)buddy.nr_nodes; nid++) {
		if (atomic_load(&running_in) != getpid())
			kswapds[nid].running = false;
		err = start_one(&kswapds[nid]);
	}
	if (wanted)
		atomic_store(&running_in, getpid());
	spin_unlock(&lock);
	return err == 0 ? 0
			: kmem_error(err,
				     "kswapd cannot be started: no thread is to be had; "
				     "raise 'ulimit -u', or give kswapd=off");
}

int kswapd_init(const struct buddy_config *config)
{
	wanted = config->kswapd;
	purge_ms = config->purge_ms;
	return wanted && purge_ms != 0 ? kswapd_start() : 0;
}

void kswapd_exit(void)
{
	buddy_set_reclaim_hooks(NULL);
	for (int nid = 0; nid < MAX_NUMNODES; nid++) {
		struct kswapd *k = &kswapds[nid];

		if (!k->running)
			continue;
		k->running = false;
		if (atomic_load(&running_in) != getpid())
			continue;
		set_state(k, KSWAPD_STOP);
		pthread_join(k->thread, NULL);
	}
	atomic_store(&running_in, 0);
}
