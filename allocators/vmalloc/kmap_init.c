/* SPDX-License-Identifier: MIT */
/* kmap's options, start, end and fork. */
#include "allocators/os/os_fork.h"
#include "allocators/os/os_mem.h"
#include "allocators/vmalloc/kmap_internal.h"
#include "allocators/vmalloc/vmalloc_internal.h"
#include <kmem/error.h>

#include <errno.h>

struct kmap_layer kmap_layer;

const struct kmem_option kmap_options[] = {
	{.name = "pkmap_slots",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct kmap_config, pkmap_slots),
	 .initial = "1024",
	 .min = 1,
	 .max = 16384,
	 .help = "pages of HIGHMEM that kmap() shows at once (Linux: LAST_PKMAP); each is one of the "
		 "mappings that vm.max_map_count bounds"},
	{.name = "pkmap_flush",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct kmap_config, pkmap_flush),
	 .initial = "on",
	 .help = "unused slots are unmapped together when the search has come round, as in the "
		 "kernel; off: the first unused one is mapped over"},
	KMEM_OPTION_END,
};

/* --- fork --- */

static void fork_lock(void)
{
	pthread_mutex_lock(&kmap_layer.mutex);
}

static void fork_lock_inner(void)
{
	spin_lock(&kmap_layer.lock);
}

/* Whoever was waiting is not there. */
static void fork_child(void)
{
	atomic_store(&kmap_layer.waiters, 0);
}

static void fork_unlock(void)
{
	spin_unlock(&kmap_layer.lock);
	kmap_atomic_thaw();
	pthread_mutex_unlock(&kmap_layer.mutex);
}

static const struct os_fork_ops fork_ops = {
	.lock = fork_lock,
	.freeze = kmap_atomic_freeze,
	.lock_inner = fork_lock_inner,
	.child = fork_child,
	.unlock = fork_unlock,
};

/* --- start and end --- */

static int check_surroundings(const struct kmap_config *config)
{
	if (kmap_layer.nr_slots != 0)
		return kmem_error(-EBUSY, "kmap is already up: call kmap_exit() first");
	if (kmem_nr_frames == 0)
		return kmem_error(-EINVAL,
				  "kmap needs physical memory: call phys_init() first");
	if (phys_fd() < 0)
		return kmem_error(-EINVAL,
				  "kmap maps a frame at a second address, which "
				  "'backing=private' cannot: use 'backing=memfd'");
	if (config->pkmap_slots == 0 || config->pkmap_slots >= PKMAP_NONE)
		return kmem_error(-EINVAL,
				  "kmap with %llu slots: set option 'pkmap_slots' to 1 "
				  "at least",
				  (unsigned long long)config->pkmap_slots);
	if (kmem_nr_frames > UINT32_MAX)
		return kmem_error(-EINVAL,
				  "kmap numbers frames up to 2^32, and there are %lu: "
				  "lower option 'memory' to 16T",
				  kmem_nr_frames);
	return 0;
}

/* With a page behind that nothing is ever mapped to. */
static size_t window_bytes(void)
{
	return ((size_t)kmap_layer.nr_slots + 1) << PAGE_SHIFT;
}

static void release(void)
{
	kmap_atomic_exit();
	if (kmap_layer.base != NULL)
		os_unmap(kmap_layer.base, window_bytes());
	if (kmap_layer.word != NULL)
		os_unmap(kmap_layer.word, kmap_layer.word_bytes);
	if (kmap_layer.slot_of != NULL)
		os_unmap(kmap_layer.slot_of, kmap_layer.slot_of_bytes);
	pthread_mutex_destroy(&kmap_layer.mutex);
	/* Who is still inside a window finds that it is gone. */
	kmap_layer = (struct kmap_layer){.generation = kmap_layer.generation + 1};
}

/* What the window may come to, but a quarter at most: kmap() says so where the system has
 * no mapping left. The atomic stacks lie within what vmalloc leaves anyway.
 */
static void set_maps_aside(void)
{
	uint64_t aside = kmap_layer.nr_slots + 1, most = vmap_layer.maps_max / 4;

	if (aside > most)
		aside = most;
	kmap_layer.maps_aside = aside;
	vmap_layer.maps_max -= aside;
}

static int init_by_defaults(void)
{
	static const struct kmem_option_group groups[] = {{kmap_options, 0}, {NULL, 0}};
	struct kmap_config config;
	int err = kmem_options_defaults(groups, &config);

	return err != 0 ? err : kmap_init(&config);
}

int kmap_init(const struct kmap_config *config)
{
	int err;

	if (config == NULL)
		return init_by_defaults();
	err = check_surroundings(config);
	if (err != 0)
		return err;
	kmap_layer.generation++;
	pthread_mutex_init(&kmap_layer.mutex, NULL);
	kmap_layer.fd = phys_fd();
	kmap_layer.flush = config->pkmap_flush;
	kmap_layer.nr_slots = (uint32_t)config->pkmap_slots;
	kmap_layer.last = kmap_layer.nr_slots - 1;
	kmap_layer.word_bytes = KMEM_ALIGN_UP(
		kmap_layer.nr_slots * sizeof(kmap_layer.word[0]), PAGE_SIZE);
	kmap_layer.slot_of_bytes =
		KMEM_ALIGN_UP(kmem_nr_frames * sizeof(kmap_layer.slot_of[0]), PAGE_SIZE);
	kmap_layer.base = os_reserve(window_bytes());
	kmap_layer.word = os_map_anon(kmap_layer.word_bytes);
	kmap_layer.slot_of = os_map_anon(kmap_layer.slot_of_bytes);
	err = kmap_layer.base != NULL && kmap_layer.word != NULL &&
			      kmap_layer.slot_of != NULL
		      ? kmap_atomic_init()
		      : kmem_error(-ENOMEM,
				   "no addresses for a window of %u pages: lower option "
				   "'pkmap_slots'",
				   kmap_layer.nr_slots);
	if (err != 0) {
		release();
		return err;
	}
	set_maps_aside();
	os_fork_set(OS_FORK_KMAP, &fork_ops);
	atomic_store_explicit(&phys_highmem_address, kmap_highmem_address,
			      memory_order_release);
	return 0;
}

/* Their frames are not mapped any more. */
static void drop_users(void)
{
	for (uint32_t slot = 0; slot < kmap_layer.nr_slots; slot++) {
		uint64_t word = atomic_load(&kmap_layer.word[slot]);

		if (PKMAP_COUNT(word) > 1)
			atomic_fetch_sub(&pfn_to_page(PKMAP_PFN(word))->_mapcount, 1);
	}
}

void kmap_exit(void)
{
	if (kmap_layer.nr_slots == 0)
		return;
	atomic_store(&phys_highmem_address, NULL);
	os_fork_set(OS_FORK_KMAP, NULL);
	vmap_layer.maps_max += kmap_layer.maps_aside;
	drop_users();
	release();
}
