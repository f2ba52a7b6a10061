/* SPDX-License-Identifier: MIT */
/*
 * Bounds of magazines that move.
 *
 * THEORY. A magazine's upper bound is what stands in a slot, so moving it costs the hit
 * path nothing. Small slots are packed side by side and bounded for good. Whoever wants
 * more gets large ones, `max` entries for each CPU, of which memory is taken only as far
 * as they are used. In these the bound is the lowest MAGAZINE_FULL at limit << n:
 *
 *   small   NULL | limit entries | FULL
 *   large   NULL | ........ |FULL ........ |FULL ................ |FULL
 *                        limit << 1     limit << 2             limit << 3
 *
 * Nothing else says where it is, so that one store moves it:
 *
 *   up, of a full magazine    FULL into the next such slot, then anything else into the
 *                             slot under the top
 *   anywhere, of an empty one FULL into the slot of the new bound, then the new bottom
 *                             into the top: that of the other slots, or the same
 *
 * Both are sequences on the magazine's CPU, which find its top where it was seen. The
 * first store goes where nobody looks before the second has been made: above the bound,
 * or into slots that are not in use or empty (there it may lower the bound a little
 * early). A bound of former times that stands below a new one holds until a full magazine
 * moves it.
 *
 * A magazine that is drained is small again, and its memory goes back to the system.
 */
#include "allocators/os/magazine_internal.h"
#include "allocators/os/os_mem.h"
#include "allocators/os/percpu_area.h"

#include <errno.h>
#include <unistd.h>

static size_t large_bytes(uint32_t max)
{
	return (max + (size_t)2) * sizeof(void *);
}

int magazine_let_grow(const struct magazines *m, uint32_t max)
{
	uint32_t limit = m->limit;

	if (m->out == 0 || max > PERCPU_LIMIT_MAX)
		return -EINVAL;
	while (limit <= max / 2)
		limit *= 2;
	for (unsigned int id = m->out; id <= m->in; id++)
		magazine_infos[id].max = limit > m->limit ? limit : 0;
	return 0;
}

void magazine_release_large(unsigned int out, unsigned int in)
{
	for (int i = 0; i < 2; i++) {
		char *large = (char *)atomic_load(&magazine_infos[out].large[i]);

		percpu_area_free(large, large_bytes(magazine_infos[out].max));
		for (unsigned int id = out; id <= in; id++)
			atomic_store(&magazine_infos[id].large[i], NULL);
	}
}

/* NULL: there is no memory for them. */
static void **make_large(unsigned int cpu, const struct magazines *m, bool second)
{
	spin_lock(&magazine_lock);
	if (!atomic_load(&magazine_infos[m->out].large[second])) {
		/* All of it zero: a word that looked like a bound would be one. */
		size_t bytes = large_bytes(magazine_infos[m->out].max);
		void **large = (void **)percpu_area_alloc(bytes, bytes);

		for (unsigned int id = m->out; id <= m->in; id++)
			atomic_store_explicit(&magazine_infos[id].large[second], large,
					      memory_order_release);
	}
	spin_unlock(&magazine_lock);
	return large_bottom_of(cpu, m->out, second);
}

/* The rseq_magazine_bound() of both modes. */
static bool bound(unsigned int cpu, size_t id, void **expected, void **slot, void **word,
		  void *value)
{
	struct magazine_cpu *c = cpu_of(cpu);
	bool done;

#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(lockless()))
		return rseq_magazine_bound(magazine_rseq_offset, &magazine_table[2], id,
					   expected, slot, word, value);
#endif
	spin_word_lock(&c->lock[id]);
	done = load_top(c, id) == expected;
	/* A full one, which is to grow, has it here. */
	if (word == expected)
		done = done && *expected == (void *)(uintptr_t)MAGAZINE_FULL;
	if (done) {
		*slot = (void *)(uintptr_t)MAGAZINE_FULL;
		__atomic_store_n(word, value, __ATOMIC_RELEASE);
	}
	spin_word_unlock(&c->lock[id]);
	return done;
}

/* What others may be writing; with locks it is looked at under them. */
static bool is_full_mark(void **slot)
{
	return !lockless() || __atomic_load_n(slot, __ATOMIC_RELAXED) ==
				      (void *)(uintptr_t)MAGAZINE_FULL;
}

static void set_empty(const struct magazines *m, size_t id, unsigned int cpu,
		      uint32_t limit)
{
	const struct magazine_info *info = &magazine_infos[id];
	struct magazine_cpu *c = cpu_of(cpu);
	void **top = load_top(c, id), **bottom;
	struct magazine_place place;

	if (is_pair(top))
		return;
	place = place_of(cpu, id, top);
	if (top != place.bottom || (limit == info->limit && !place.large))
		return;
	bottom = limit == info->limit ? bottom_of(cpu, id, place.second)
				      : large_bottom_of(cpu, id, place.second);
	if (!bottom)
		bottom = make_large(cpu, m, place.second);
	if (!bottom || (bottom == top && lockless() && is_full_mark(&bottom[limit])))
		return;
	bound(cpu, id, top, &bottom[limit], (void **)&c->top[id], bottom);
}

/* The nearest bound that there can be, not above. */
static uint32_t legal_limit(const struct magazine_info *info, uint32_t limit)
{
	uint32_t legal = info->limit;

	while (legal * 2 <= limit && legal * 2 <= info->max)
		legal *= 2;
	return legal;
}

void magazine_set_empty(const struct magazines *m, unsigned int cpu, uint32_t limit)
{
	for (unsigned int id = m->out; id != 0 && cpu_used(cpu) && id <= m->in; id++)
		set_empty(m, id, cpu, legal_limit(&magazine_infos[id], limit));
}

bool magazine_raise_full(const struct magazines *m, unsigned int cpu, uint32_t limit)
{
	size_t id = m->in;
	struct magazine_place place;
	void **top, **next;

	if (id == 0 || !cpu_used(cpu))
		return false;
	top = load_top(cpu_of(cpu), id);
	if (is_pair(top))
		return false;
	place = place_of(cpu, id, top);
	next = top + (top - place.bottom);
	if (!place.large || !is_full_mark(top) ||
	    next > place.bottom + legal_limit(&magazine_infos[id], limit))
		return false;
	return bound(cpu, id, top, next, top, NULL);
}

/* 0: none is there. */
static uint32_t limit_of(const struct magazine_info *info, struct magazine_place place)
{
	uint32_t limit = info->limit, max = place.large ? info->max : limit;

	for (limit *= place.large ? 2 : 1; limit <= max; limit *= 2) {
		if (place.bottom[limit] == (void *)(uintptr_t)MAGAZINE_FULL)
			return limit;
	}
	return 0;
}

uint32_t magazine_limit(const struct magazines *m, unsigned int cpu)
{
	uint32_t highest = 0;

	for (unsigned int id = m->out; id != 0 && cpu_used(cpu) && id <= m->in; id++) {
		void **top = load_top(cpu_of(cpu), id);
		uint32_t limit = is_pair(top) ? 0
					      : limit_of(&magazine_infos[id],
							 place_of(cpu, id, top));

		highest = limit > highest ? limit : highest;
	}
	return highest;
}

static bool bounds_hold(unsigned int cpu, size_t id)
{
	const struct magazine_info *info = &magazine_infos[id];
	void **top = load_top(cpu_of(cpu), id);
	struct magazine_place place;

	if (is_pair(top))
		return true;
	place = place_of(cpu, id, top);
	return lies_above(top, place.bottom, place.large ? info->max : info->limit) &&
	       place.bottom[-1] == NULL &&
	       (size_t)(top - place.bottom) <= limit_of(info, place);
}

bool magazine_check(const struct magazines *m)
{
	for (unsigned int cpu = 0; m->out != 0 && cpu < os_nr_cpus(); cpu++) {
		for (unsigned int id = m->out; cpu_used(cpu) && id <= m->in; id++) {
			if (!bounds_hold(cpu, id))
				return false;
		}
	}
	return true;
}

void **magazine_emptied(unsigned int cpu, size_t id, void *const *top, bool discard)
{
	struct magazine_place place = place_of(cpu, id, top);
	char *from, *to;

	if (place.large && discard) {
		uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

		from = (char *)KMEM_ALIGN_UP((uintptr_t)place.bottom, page);
		to = (char *)((uintptr_t)(place.bottom + magazine_infos[id].max + 1) &
			      ~(page - 1));
		if (from < to)
			os_discard_anon(from, (size_t)(to - from));
	}
	return bottom_of(cpu, id, place.second);
}
