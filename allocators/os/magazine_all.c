/* SPDX-License-Identifier: MIT */
/* Magazines of all CPUs: draining, counting, fork. */
#include "allocators/os/magazine_internal.h"
#include "allocators/os/os_cpu.h"

/* At most one magazine is between its stop and the proof of it. */
static struct kmem_spinlock stop_lock;

/* Newest first. */
static void hand_over(void *const *top, void (*fn)(void *object, void *arg), void *arg)
{
	while (*--top != NULL)
		fn(*top, arg);
}

static void drain_locked(unsigned int cpu, size_t id, void (*fn)(void *object, void *arg),
			 void *arg)
{
	struct magazine_cpu *c = cpu_of(cpu);
	void *objects[64];
	size_t n;

	/* fn may end up here again: it runs on copies, outside the lock. */
	do {
		void **top;

		spin_word_lock(&c->lock[id]);
		top = load_top(c, id);
		for (n = 0; n < KMEM_ARRAY_SIZE(objects) && top[-1] != NULL; top--)
			objects[n++] = top[-1];
		if (top[-1] == NULL)
			top = magazine_emptied(cpu, id, top, false);
		store_top(c, id, top);
		spin_word_unlock(&c->lock[id]);
		for (size_t i = 0; i < n; i++)
			fn(objects[i], arg);
	} while (n == KMEM_ARRAY_SIZE(objects));
}

/* Takes a magazine away from its users; NULL: empty and small, or somebody else has it.
 */
static void **stop(unsigned int cpu, size_t id)
{
	struct magazine_cpu *c = cpu_of(cpu);
	void **top = NULL;

	spin_lock(&stop_lock);
	for (;;) {
		void **old = load_top(c, id);

		if (is_pair(old) || (old[-1] == NULL && !place_of(cpu, id, old).large))
			break;
		if (!atomic_compare_exchange_strong(&c->top[id], &old, pair(STOPPED)))
			continue;
		if (!os_restart_sequences()) {
			/* The objects stay where they are, as in percpu.c. */
			void **mark = pair(STOPPED);

			atomic_compare_exchange_strong(&c->top[id], &mark, old);
			break;
		}
		if (load_top(c, id) == pair(STOPPED)) {
			top = old;
			break;
		}
		/* A sequence that had begun before committed over the mark. */
	}
	spin_unlock(&stop_lock);
	return top;
}

static void drain_one(unsigned int cpu, size_t id, bool quiescent,
		      void (*fn)(void *object, void *arg), void *arg)
{
	struct magazine_cpu *c = cpu_of(cpu);
	void **top = load_top(c, id);

	if (is_pair(top))
		return;
	if (quiescent) {
		store_top(c, id, magazine_emptied(cpu, id, top, false));
		hand_over(top, fn, arg);
	} else if (!lockless()) {
		drain_locked(cpu, id, fn, arg);
	} else {
		top = stop(cpu, id);
		if (!top)
			return;
		hand_over(top, fn, arg);
		store_top(c, id, magazine_emptied(cpu, id, top, true));
	}
}

void magazine_drain_all(const struct magazines *m, bool quiescent,
			void (*fn)(void *object, void *arg), void *arg)
{
	for (unsigned int cpu = 0; m->out != 0 && cpu < os_nr_cpus(); cpu++) {
		for (unsigned int id = m->out; cpu_used(cpu) && id <= m->in; id++)
			drain_one(cpu, id, quiescent, fn, arg);
	}
}

void magazine_drain_cpu(const struct magazines *m, unsigned int cpu,
			void (*fn)(void *object, void *arg), void *arg)
{
	for (unsigned int id = m->out; id != 0 && cpu_used(cpu) && id <= m->in; id++)
		drain_one(cpu, id, false, fn, arg);
}

uint64_t magazine_state(const struct magazines *m, unsigned int cpu)
{
	uint64_t state = 0;

	for (unsigned int id = m->out; id != 0 && cpu_used(cpu) && id <= m->in; id++) {
		void **top = load_top(cpu_of(cpu), id);

		state = state * 31 + (top == pair(NOTHING) ? 0 : (uintptr_t)top);
	}
	return state;
}

size_t magazine_count(const struct magazines *m)
{
	size_t count = 0;

	for (unsigned int cpu = 0; m->out != 0 && cpu < os_nr_cpus(); cpu++) {
		for (unsigned int id = m->out; cpu_used(cpu) && id <= m->in; id++)
			count += count_of(cpu, id, load_top(cpu_of(cpu), id));
	}
	return count;
}

void magazine_walk(const struct magazines *m, void (*fn)(void *object, void *arg),
		   void *arg)
{
	for (unsigned int cpu = 0; m->out != 0 && cpu < os_nr_cpus(); cpu++) {
		for (unsigned int id = m->out; cpu_used(cpu) && id <= m->in; id++)
			hand_over(load_top(cpu_of(cpu), id), fn, arg);
	}
}

/* --- fork --- */

void magazine_fork_lock(void)
{
	spin_lock(&magazine_lock);
	spin_lock(&stop_lock);
}

void magazine_fork_unlock(void)
{
	spin_unlock(&stop_lock);
	spin_unlock(&magazine_lock);
}

/* Puts our mark on a magazine; false when it stood there already, or none is there. */
static bool freeze_one(struct magazine_cpu *c, size_t id)
{
	for (unsigned int turn = 0;;) {
		void **old = load_top(c, id);

		if (old == pair(FROZEN) || old == pair(NOTHING))
			return false;
		if (old == pair(STOPPED)) {
			os_yield(turn++); /* a drainer has it, and gives it back */
			continue;
		}
		if (atomic_compare_exchange_strong(&c->top[id], &old, pair(FROZEN))) {
			atomic_store_explicit(&c->saved[id], old, memory_order_relaxed);
			return true;
		}
	}
}

bool magazine_freeze(const struct magazines *m)
{
	bool all = true;

	for (unsigned int cpu = 0; m->out != 0 && cpu < os_nr_cpus(); cpu++) {
		for (unsigned int id = m->out; cpu_used(cpu) && id <= m->in; id++) {
			if (!lockless())
				spin_word_lock(&cpu_of(cpu)->lock[id]);
			else if (freeze_one(cpu_of(cpu), id))
				all = false;
		}
	}
	return all;
}

void magazine_thaw(const struct magazines *m)
{
	for (unsigned int cpu = 0; m->out != 0 && cpu < os_nr_cpus(); cpu++) {
		struct magazine_cpu *c = cpu_of(cpu);

		for (unsigned int id = m->out; cpu_used(cpu) && id <= m->in; id++) {
			if (!lockless())
				spin_word_unlock(&c->lock[id]);
			else if (load_top(c, id) == pair(FROZEN))
				store_top(c, id,
					  atomic_load_explicit(&c->saved[id],
							       memory_order_relaxed));
		}
	}
}
