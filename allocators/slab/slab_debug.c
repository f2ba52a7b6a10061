/* SPDX-License-Identifier: MIT */
/*
 * Debugging caches: red zones, poison, the last user, and all reports.
 *
 * A free object is filled with POISON_FREE and an allocated one with
 * POISON_INUSE, each ending in POISON_END; the words before and behind an
 * object tell its state too. The values are those of Linux 2.6.28
 * (<linux/poison.h>), so that a dump looks familiar. slab_geometry.h draws
 * where the words lie.
 */
#include "allocators/slab/slab_internal.h"
#include <kmem/error.h>
#include <stdio.h>
#include <string.h>

#define RED_INACTIVE 0x09f911029d74e35bULL
#define RED_ACTIVE   0xd84156c5635688c0ULL
#define POISON_INUSE 0x5a
#define POISON_FREE  0x6b
#define POISON_END   0xa5

#define REPORT_MAX 256

static void fill_poison(const struct kmem_cache *cache, char *object, int value)
{
	if (!(cache->flags & SLAB_POISON))
		return;
	memset(object, value, cache->object_size - 1);
	object[cache->object_size - 1] = (char)POISON_END;
}

static void set_red_zones(const struct kmem_cache *cache, char *object, uint64_t value)
{
	if (!(cache->flags & SLAB_RED_ZONE))
		return;
	memcpy(object - sizeof(value), &value, sizeof(value));
	memcpy(object + cache->geometry.redzone, &value, sizeof(value));
}

static void set_user(const struct kmem_cache *cache, char *object, const void *caller)
{
	if (cache->flags & SLAB_STORE_USER)
		memcpy(object + cache->geometry.user, &caller, sizeof(caller));
}

/* ", last user 0x…" where the cache stores it, else nothing. */
static const char *last_user(const struct kmem_cache *cache, const char *object,
			     char *buf, size_t size)
{
	const void *user;

	if (!(cache->flags & SLAB_STORE_USER))
		return "";
	memcpy(&user, object + cache->geometry.user, sizeof(user));
	snprintf(buf, size, ", last user %p", user);
	return buf;
}

/* In the order of the names in slab_info.c, which are the letters of the kernel's
 * slub_debug. */
unsigned int slab_debug_flags(int debug)
{
	static const unsigned int flags[] = {
		0,
		SLAB_DEBUG_FLAGS,
		SLAB_RED_ZONE,
		SLAB_POISON,
		SLAB_STORE_USER,
		SLAB_RED_ZONE | SLAB_POISON,
		SLAB_RED_ZONE | SLAB_STORE_USER,
		SLAB_POISON | SLAB_STORE_USER,
	};

	return flags[debug];
}

void slab_debug_init_object(const struct kmem_cache *cache, char *object)
{
	set_red_zones(cache, object, RED_INACTIVE);
	fill_poison(cache, object, POISON_FREE);
	set_user(cache, object, NULL);
}

/* --- checks --- */

/* One red zone word; `offset` is where it lies, counted from the object. */
static bool check_red_zone(const struct kmem_cache *cache, const char *object,
			   ptrdiff_t offset, uint64_t expected, char *text, size_t size)
{
	const unsigned char *want = (const unsigned char *)&expected;
	const unsigned char *have = (const unsigned char *)object + offset;
	char user[40];
	size_t i = 0;

	while (i < sizeof(expected) && have[i] == want[i])
		i++;
	if (i == sizeof(expected))
		return true;
	snprintf(text, size,
		 "cache '%s': object %p: red zone overwritten at offset %td "
		 "(found 0x%02x, expected 0x%02x)%s",
		 cache->name, (const void *)object, offset + (ptrdiff_t)i, have[i],
		 want[i], last_user(cache, object, user, sizeof(user)));
	return false;
}

static bool check_red_zones(const struct kmem_cache *cache, const char *object,
			    uint64_t expected, char *text, size_t size)
{
	if (!(cache->flags & SLAB_RED_ZONE))
		return true;
	return check_red_zone(cache, object, -(ptrdiff_t)sizeof(uint64_t), expected, text,
			      size) &&
	       check_red_zone(cache, object, (ptrdiff_t)cache->geometry.redzone, expected,
			      text, size);
}

static bool check_poison(const struct kmem_cache *cache, const char *object, char *text,
			 size_t size)
{
	char user[40];

	if (!(cache->flags & SLAB_POISON))
		return true;
	for (size_t i = 0; i < cache->object_size; i++) {
		unsigned int want = i + 1 < cache->object_size ? POISON_FREE : POISON_END;
		unsigned int have = (unsigned char)object[i];

		if (have == want)
			continue;
		snprintf(text, size,
			 "cache '%s': object %p: written after free at offset %zu "
			 "(found 0x%02x, expected 0x%02x)%s",
			 cache->name, (const void *)object, i, have, want,
			 last_user(cache, object, user, sizeof(user)));
		return false;
	}
	return true;
}

bool slab_debug_check_free(const struct kmem_cache *cache, const char *object, char *text,
			   size_t size)
{
	return check_red_zones(cache, object, RED_INACTIVE, text, size) &&
	       check_poison(cache, object, text, size);
}

bool slab_debug_check_active(const struct kmem_cache *cache, const char *object,
			     char *text, size_t size)
{
	return check_red_zones(cache, object, RED_ACTIVE, text, size);
}

/* --- allocation and free --- */

static void set_state(struct kmem_cache *cache, struct slab *slab, const void *object,
		      kmem_bufctl_t state)
{
	struct kmem_list3 *l3 = &cache->node[slab->nid];

	spin_lock(&l3->list_lock);
	slab->bufctl[slab_index(cache, slab, object)] = state;
	spin_unlock(&l3->list_lock);
}

/*
 * Checks an object that has just come from its slab and makes it ready. NULL
 * after a report: the object then counts as live for ever.
 */
void *slab_debug_alloc(struct kmem_cache *cache, void *object, const void *caller)
{
	char text[REPORT_MAX];

	if (!slab_debug_check_free(cache, object, text, sizeof(text))) {
		set_state(cache, slab_of(cache, object), object, BUFCTL_QUARANTINE);
		kmem_bug("%s", text);
		return NULL;
	}
	set_red_zones(cache, object, RED_ACTIVE);
	fill_poison(cache, object, POISON_INUSE);
	set_user(cache, object, caller);
	return object;
}

/* The object is claimed (BUFCTL_BUSY) before it is looked at, so that of two
 * racing frees exactly one goes on and the other is reported. */
void slab_debug_free(struct kmem_cache *cache, struct slab *slab, void *object,
		     const void *caller)
{
	struct kmem_list3 *l3 = &cache->node[slab->nid];
	kmem_bufctl_t *state = &slab->bufctl[slab_index(cache, slab, object)];
	char text[REPORT_MAX];
	bool claimed;

	spin_lock(&l3->list_lock);
	claimed = *state == BUFCTL_ACTIVE;
	if (claimed)
		*state = BUFCTL_BUSY;
	spin_unlock(&l3->list_lock);
	if (!claimed) {
		slab_report_double_free(cache, object);
		return;
	}
	if (!slab_debug_check_active(cache, object, text, sizeof(text))) {
		set_state(cache, slab, object, BUFCTL_QUARANTINE);
		kmem_bug("%s", text);
		return;
	}
	set_red_zones(cache, object, RED_INACTIVE);
	fill_poison(cache, object, POISON_FREE);
	set_user(cache, object, caller);
	slab_node_put(cache, 1, &object);
}

/* --- reports --- */

void slab_report_double_free(const struct kmem_cache *cache, const void *object)
{
	char user[40];

	kmem_bug("cache '%s': double free of object %p%s", cache->name, object,
		 last_user(cache, object, user, sizeof(user)));
}

/* call: "free" or "ksize". addr is in no object's first byte. */
static void report_not_object(const struct kmem_cache *cache, const struct slab *slab,
			      const void *addr, const char *call)
{
	ptrdiff_t offset = (const char *)addr - slab->s_mem;
	const char *object;
	char user[40];

	if (offset < 0 || (size_t)offset >= (size_t)cache->num * cache->stride) {
		kmem_bug(
			"cache '%s': %s of %p, which is in the slab at %p but in no object",
			cache->name, call, addr, (void *)slab->s_mem);
		return;
	}
	object = slab->s_mem + offset - (size_t)offset % cache->stride;
	kmem_bug("cache '%s': %s of %p, which lies %zu bytes inside object %p%s",
		 cache->name, call, addr, (size_t)offset % cache->stride,
		 (const void *)object, last_user(cache, object, user, sizeof(user)));
}

void slab_report_not_object(const struct kmem_cache *cache, const struct slab *slab,
			    const void *addr)
{
	if (slab)
		report_not_object(cache, slab, addr, "free");
	else
		kmem_bug("cache '%s': free of %p, which is in no slab of it", cache->name,
			 addr);
}

void slab_report_bad_size(const void *addr)
{
	struct page *page = virt_to_page(addr);
	const struct kmem_cache *cache;
	char user[40];

	if (!virt_addr_valid(addr) ||
	    !(atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_slab)) {
		kmem_bug("ksize of %p, which kmalloc did not return", addr);
		return;
	}
	cache = page->slab_cache;
	if (slab_index(cache, page->slab, addr) < 0)
		report_not_object(cache, page->slab, addr, "ksize");
	else
		kmem_bug("cache '%s': ksize of the free object %p%s", cache->name, addr,
			 last_user(cache, addr, user, sizeof(user)));
}
