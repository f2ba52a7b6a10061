/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a byte string as a sequence of calls of the slab allocator. Two
 * bytes make a call: what, and on which of 256 slots. Blocks carry a stamp that
 * is verified when they are freed; every invariant is checked at the end, and
 * no page may be missing. Wrong frees are among the calls: they must be
 * reported, never crash.
 */
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                      \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, \
				#condition, kmem_last_error());                 \
			abort();                                                \
		}                                                               \
	} while (0)

#define SLOTS  256
#define CACHES 4

struct config {
	struct phys_config phys;
	struct buddy_config buddy;
	struct slab_config slab;
};

static const struct kmem_option_group groups[] = {
	{phys_options, offsetof(struct config, phys)},
	{buddy_options, offsetof(struct config, buddy)},
	{slab_options, offsetof(struct config, slab)},
	{NULL, 0},
};

static struct {
	uint8_t *p;
	size_t size;
} slots[SLOTS];

/* What was freed last, while nothing has been allocated since. */
static void *freed;
static bool hardened;

static unsigned long reports;

static void count_report(const char *report, void *arg)
{
	(void)report, (void)arg;
	reports++;
}

static uint64_t count_free_pages(void)
{
	struct buddy_stats stats;

	drain_all_pages();
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	return stats.free_pages + stats.pcp_pages;
}

static void put(unsigned int i, uint8_t *p, size_t size)
{
	slots[i].p = p;
	slots[i].size = size;
	freed = NULL;
	if (p) {
		p[0] = (uint8_t)i;
		p[size - 1] = (uint8_t)i;
	}
}

static void drop(unsigned int i)
{
	if (slots[i].p) {
		require(slots[i].p[0] == (uint8_t)i);
		require(slots[i].p[slots[i].size - 1] == (uint8_t)i);
	}
	kfree(slots[i].p);
	freed = slots[i].p ? slots[i].p : freed;
	slots[i].p = NULL;
}

static void wrong_free(unsigned int i)
{
	unsigned long before = reports;

	if (!slots[i].p)
		return;
	kfree(slots[i].p + 1 + i % 7); /* misaligned for every cache */
	require(reports == before + 1);
	if (!hardened)
		return;
	if (freed) {
		kfree(freed);
		require(reports == before + 2);
		require(ksize(freed) == 0);
		require(reports == before + 3);
		before += 2;
	}
	/* Any other address in the block. */
	if (slots[i].size > 1) {
		kfree(slots[i].p + 1 + (size_t)i * 16 % (slots[i].size - 1));
		require(reports == before + 2);
	}
}

static void resize(unsigned int i, unsigned int order)
{
	size_t size = ((size_t)1 << order) + i;
	uint8_t *p;

	if (!slots[i].p)
		return;
	slots[i].p[slots[i].size - 1] = (uint8_t)i;
	p = krealloc(slots[i].p, size, GFP_KERNEL);
	if (p) {
		require(p[0] == (uint8_t)i);
		put(i, p, size);
	}
}

static void step(struct kmem_cache **caches, uint8_t what, uint8_t i)
{
	struct kmem_cache *cache = caches[what % CACHES];

	switch (what >> 5) {
	case 0:
	case 1:
		drop(i);
		put(i, kmem_cache_alloc(cache, GFP_KERNEL), kmem_cache_size(cache));
		break;
	case 2:
	case 3:
		drop(i);
		put(i, kmalloc(((size_t)1 << what % 20) + i, GFP_KERNEL),
		    ((size_t)1 << what % 20) + i);
		break;
	case 4: wrong_free(i); break;
	case 5: resize(i, what % 16); break;
	case 6: drop(i); break;
	default:
		if (i % 16 == 0)
			kmem_cache_reap();
		else
			kmem_cache_shrink(cache);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const variants[] = {"",
					       ",percpu=off",
					       ",debug=on",
					       ",limit=3",
					       ",topology=numa:2 core:1 pu:1",
					       ",depot=off",
					       ",classes=four",
					       ",hardened=on",
					       ",hardened=on,classes=four,shuffle=on",
					       ",hardened=on,debug=on",
					       ",hardened=on,percpu=off,debug=u"};
	struct kmem_cache *caches[CACHES];
	struct config config;
	char options[128], name[8];
	uint64_t before;

	if (size < 1)
		return 0;
	snprintf(options, sizeof(options), "memory=64M,highmem=0,dma=0%s",
		 variants[data[0] % KMEM_ARRAY_SIZE(variants)]);
	require(kmem_options_defaults(groups, &config) == 0);
	require(kmem_options_parse(groups, options, &config) == 0);
	hardened = config.slab.hardened;
	freed = NULL;
	require(phys_init(&config.phys) == 0);
	config.buddy.kswapd = false; /* the walkers want silence */
	require(buddy_init(&config.buddy) == 0);
	before = count_free_pages();
	require(kmem_cache_init(&config.slab) == 0);
	kmem_set_bug_handler(count_report, NULL);
	for (unsigned int c = 0; c < CACHES; c++) {
		snprintf(name, sizeof(name), "f%u", c);
		caches[c] = kmem_cache_create(name, 24u << 2 * c, 0,
					      c ? 0 : SLAB_HWCACHE_ALIGN, NULL, NULL);
		require(caches[c] != NULL);
	}
	for (size_t at = 1; at + 1 < size; at += 2)
		step(caches, data[at], data[at + 1]);
	require(slab_check() == 0);
	for (unsigned int i = 0; i < SLOTS; i++)
		drop(i);
	for (unsigned int c = 0; c < CACHES; c++)
		require(kmem_cache_destroy(caches[c]) == 0);
	kmem_cache_exit();
	require(count_free_pages() == before);
	buddy_exit();
	phys_exit();
	kmem_options_release(groups, &config);
	kmem_set_bug_handler(NULL, NULL);
	return 0;
}
