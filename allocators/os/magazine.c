/* SPDX-License-Identifier: MIT */
/* Magazines of the CPU at hand: making them, batches; the hit path is in
 * magazine_fast.h. */
#include "allocators/os/magazine_internal.h"
#include "allocators/os/percpu_area.h"

#include <errno.h>

ptrdiff_t magazine_rseq_offset;
struct magazine_cpu *magazine_table[OS_MAX_CPUS + 2] KMEM_SPARSE;
void *magazine_pairs[2 * NR_PAIRS];
struct magazine_info magazine_infos[MAGAZINE_NR] KMEM_SPARSE;
struct magazine_cpu *magazine_cpu0;
struct kmem_spinlock magazine_lock;

static struct magazine_cpu nowhere KMEM_SPARSE; /* for CPUs that have not run us */
static unsigned int nr_used;			/* numbers taken; under magazine_lock */

static size_t slots_bytes(uint32_t limit, bool two)
{
	return (two ? 2 : 1) * (limit + (size_t)2) * sizeof(void *);
}

/* --- making them --- */

static int start(void)
{
	if (!magazine_cpu0) {
		magazine_cpu0 = (struct magazine_cpu *)percpu_area_alloc(
			sizeof(*magazine_cpu0), sizeof(*magazine_cpu0));
		if (!magazine_cpu0)
			return -ENOMEM;
		for (unsigned int i = 0; i < NR_PAIRS; i++)
			*pair(i) = (void *)(uintptr_t)MAGAZINE_FULL;
		for (size_t id = 0; id < MAGAZINE_NR; id++)
			store_top(&nowhere, id, pair(NOTHING));
		for (unsigned int i = 0; i < os_nr_cpus() + 2; i++)
			magazine_table[i] = &nowhere;
	}
#if OS_PERCPU_RSEQ
	magazine_rseq_offset = os_percpu_use_rseq ? os_rseq_offset : 0;
#endif
	return 0;
}

/* A free number, even for two in a row: their tops are exchanged as 16 aligned bytes. */
static unsigned int find_number(bool two)
{
	for (unsigned int id = two ? 2 : 1; id < MAGAZINE_NR; id += two ? 2 : 1) {
		if (!magazine_infos[id].slots && (!two || !magazine_infos[id + 1].slots))
			return id;
	}
	return 0;
}

static int create_locked(struct magazines *m, uint32_t limit, uint32_t least)
{
	bool two;
	unsigned int id;
	void **slots;

	if (!MAGAZINE_TWO)
		least = 0;
	two = least > 0;
	if (nr_used == 0 && start() != 0)
		return -ENOMEM;
	id = find_number(two);
	if (id == 0)
		return -ENOSPC;
	slots = (void **)percpu_area_alloc(slots_bytes(limit, two),
					   slots_bytes(limit, two));
	if (!slots)
		return -ENOMEM;
	*m = (struct magazines){
		.out = (uint8_t)id, .in = (uint8_t)(two ? id + 1 : id), .limit = limit};
	for (; id <= m->in; id++) {
		magazine_infos[id].slots = slots;
		magazine_infos[id].limit = limit;
		magazine_infos[id].least = least;
		magazine_infos[id].max = 0;
		nr_used++;
	}
	return 0;
}

int magazine_create(struct magazines *m, uint32_t limit, uint32_t least)
{
	int err;

	*m = (struct magazines){.out = 0};
	if (limit == 0 || limit > PERCPU_LIMIT_MAX / 2)
		return -EINVAL;
	os_cpu_init();
	spin_lock(&magazine_lock);
	err = create_locked(m, limit, least);
	spin_unlock(&magazine_lock);
	return err;
}

void magazine_destroy(struct magazines *m)
{
	void **slots = magazine_infos[m->out].slots;

	if (m->out == 0)
		return;
	spin_lock(&magazine_lock);
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		for (unsigned int id = m->out; cpu_used(cpu) && id <= m->in; id++)
			store_top(cpu_of(cpu), id, pair(NOTHING));
	}
	magazine_release_large(m->out, m->in);
	for (unsigned int id = m->out; id <= m->in; id++) {
		magazine_infos[id].slots = NULL;
		nr_used--;
	}
	spin_unlock(&magazine_lock);
	percpu_area_free((char *)slots, slots_bytes(m->limit, m->in != m->out));
	*m = (struct magazines){.out = 0};
}

static void prepare_slots(void **bottom, uint32_t limit)
{
	bottom[-1] = NULL;
	bottom[limit] = (void *)(uintptr_t)MAGAZINE_FULL;
}

/* The CPU's first use of these magazines. False: they were there already. */
static bool first_use(const struct magazines *m, unsigned int cpu)
{
	struct magazine_cpu *c = cpu_of(cpu);
	bool first;

	if (m->out == 0 || (cpu_used(cpu) && load_top(c, m->out) != pair(NOTHING)))
		return false;
	spin_lock(&magazine_lock);
	if (!cpu_used(cpu)) {
		for (size_t id = MAGAZINE_NR; id-- > 0;)
			store_top(c, id, pair(NOTHING));
		__atomic_store_n(&magazine_table[cpu + 2], c, __ATOMIC_RELEASE);
	}
	/* `in` first: a top that is there says that all is there. */
	first = load_top(c, m->out) == pair(NOTHING);
	for (unsigned int id = m->in; first && id >= m->out; id--) {
		void **bottom = bottom_of(cpu, id, id != m->out);

		prepare_slots(bottom, m->limit);
		store_top(c, id, bottom);
	}
	spin_unlock(&magazine_lock);
	return first;
}

/* --- with locks --- */

/* NULL where this CPU has none. */
static struct magazine_cpu *lock_this_cpu(size_t id)
{
	struct magazine_cpu *c = cpu_of(os_cpu_id());

	if (atomic_load_explicit(&c->top[0], memory_order_acquire) == NULL)
		return NULL;
	spin_word_lock(&c->lock[id]);
	return c;
}

static size_t take_locked(size_t id, size_t n, void **objects)
{
	struct magazine_cpu *c = lock_this_cpu(id);
	size_t done = 0;
	void **top;

	if (!c)
		return 0;
	for (top = load_top(c, id); done < n && top[-1] != NULL; top--)
		objects[done++] = top[-1];
	if (done > 0)
		store_top(c, id, top);
	spin_word_unlock(&c->lock[id]);
	return done;
}

static KMEM_NOINLINE size_t put_locked(size_t id, size_t n, void *const *objects)
{
	struct magazine_cpu *c = lock_this_cpu(id);
	size_t done = 0;
	void **top;

	if (!c)
		return 0;
	for (top = load_top(c, id); done < n; top++) {
		if (*top == (void *)(uintptr_t)MAGAZINE_FULL)
			break;
		*top = objects[done++];
	}
	if (done > 0)
		store_top(c, id, top);
	spin_word_unlock(&c->lock[id]);
	return done;
}

static bool exchange_locked(size_t number)
{
	struct magazine_cpu *c = lock_this_cpu(number);
	bool done = false;
	void **out, **in;

	if (!c)
		return false;
	spin_word_lock(&c->lock[number + 1]);
	out = load_top(c, number);
	in = load_top(c, number + 1);
	if (out[-1] == NULL && in[-1] != NULL) {
		store_top(c, number, in);
		store_top(c, number + 1, out);
		done = true;
	}
	spin_word_unlock(&c->lock[number + 1]);
	spin_word_unlock(&c->lock[number]);
	return done;
}

/* --- in the mode at hand --- */

static size_t take(size_t id, size_t n, void **objects)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(lockless()))
		return rseq_magazine_take(magazine_rseq_offset, &magazine_table[2], id, n,
					  objects);
#endif
	return take_locked(id, n, objects);
}

static size_t put(size_t id, size_t n, void *const *objects)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(lockless()))
		return rseq_magazine_put(magazine_rseq_offset, &magazine_table[2], id, n,
					 objects);
#endif
	return put_locked(id, n, objects);
}

static bool exchange(size_t out)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(lockless()))
		return rseq_magazine_exchange(magazine_rseq_offset, &magazine_table[2],
					      out, magazine_pairs,
					      sizeof(magazine_pairs));
#endif
	return exchange_locked(out);
}

/* Lets the two change places if `out` is empty and `in` holds at least `least`; false:
 * they did not. Others may do the same at the same time. */
static bool magazine_exchange(size_t out, size_t least)
{
	unsigned int cpu = os_cpu_id();
	struct magazine_cpu *c = cpu_of(cpu);

	if (!cpu_used(cpu) || count_of(cpu, out + 1, load_top(c, out + 1)) < least)
		return false;
	return exchange(out);
}

size_t magazine_pop_batch(const struct magazines *m, size_t n, void **objects)
{
	size_t got;

	if (m->out == 0 || n == 0)
		return 0;
	got = take(m->out, n, objects);
	if (got < n && m->in != m->out && magazine_exchange(m->out, 1))
		got += take(m->out, n - got, objects + got);
	return got;
}

void *magazine_pop(const struct magazines *m)
{
	uint32_t least = magazine_infos[m->out].least;
	void *object;

	if (m->out == 0)
		return NULL;
	if (take(m->out, 1, &object) == 1)
		return object;
	return least > 0 && magazine_exchange(m->out, least) &&
			       take(m->out, 1, &object) == 1
		       ? object
		       : NULL;
}

void *magazine_pop_exchanged(size_t out)
{
	uint32_t least = magazine_infos[out].least;

	if (!lockless() || least == 0 || !magazine_exchange(out, least))
		return NULL;
	return magazine_pop_hit(out);
}

size_t magazine_take_batch(const struct magazines *m, size_t n, void **objects)
{
	return m->in == 0 ? 0 : take(m->in, n, objects);
}

static size_t put_batch(const struct magazines *m, size_t id, size_t n,
			void *const *objects)
{
	size_t done = n == 0 || id == 0 ? 0 : put(id, n, objects);

	/* Which CPU it was on is not known: another one finds its magazines there. */
	if (done == 0 && n > 0 && first_use(m, os_cpu_id()))
		done = put(id, n, objects);
	return done;
}

size_t magazine_fill_batch(const struct magazines *m, size_t n, void *const *objects)
{
	return put_batch(m, m->out, n, objects);
}

size_t magazine_push_batch(const struct magazines *m, size_t n, void *const *objects)
{
	return put_batch(m, m->in, n, objects);
}
