/* SPDX-License-Identifier: MIT */
/* What the tests of workloads about shape and memory share: figures, curves, passes. */
#ifndef KMEMBENCH_TESTS_SHAPES_H
#define KMEMBENCH_TESTS_SHAPES_H

#include "tests/workloads/model.h"

#define SHAPES_UNUSED __attribute__((unused))

struct figures {
	struct {
		char name[48];
		double value;
	} figure[16];
	size_t count;
};

static SHAPES_UNUSED void figures_add(const char *name, double value, void *arg)
{
	struct figures *f = arg;

	assert_true(f->count < KMEM_ARRAY_SIZE(f->figure));
	for (size_t i = 0; i < f->count; i++)
		assert_string_not_equal(f->figure[i].name, name);
	snprintf(f->figure[f->count].name, sizeof(f->figure[0].name), "%s", name);
	f->figure[f->count++].value = value;
}

/* The figure that the workload reports under this name. */
static SHAPES_UNUSED double figure_of(struct driver *d, const char *name)
{
	struct figures f = {.count = 0};

	d->run.workload->report(&d->run, figures_add, &f);
	for (size_t i = 0; i < f.count; i++)
		if (strcmp(f.figure[i].name, name) == 0)
			return f.figure[i].value;
	fail_msg("'%s' reports no figure '%s'", d->run.workload->name, name);
	return 0;
}

/* One thread, one pass, all blocks checked; the log is what the test looks at. */
static SHAPES_UNUSED uint64_t shape_pass(struct driver *d, const char *workload,
					 const char *params, unsigned int steps)
{
	driver_init(d, workload, params, 0, 1);
	d->run.check = true;
	driver_setup(d);
	return driver_pass(d, steps);
}

/* One thread's worker of a memory pass, set up; nobody watches. */
static SHAPES_UNUSED struct worker *shape_memory_worker(struct driver *d,
							struct probe *probe)
{
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 0};
	struct worker *w = &d->workers[0];

	model_enter(d->run.allocator);
	probe_init(probe, &d->shared, &clock, 1);
	worker_init(w, &d->run, 0, probe);
	w->pass = PASS_MEMORY;
	assert_int_equal(d->run.workload->thread_setup(w), 0);
	return w;
}

static SHAPES_UNUSED void shape_memory_end(struct driver *d)
{
	d->run.workload->thread_teardown(&d->workers[0]);
	model_exit(d->run.allocator);
	if (d->run.workload->pass_end != NULL)
		d->run.workload->pass_end(&d->run);
}

static SHAPES_UNUSED size_t last_of(const struct model *m, char what)
{
	size_t last = 0;

	for (size_t i = 0; i < m->logged; i++)
		if (m->log[i].what == (uint64_t)what)
			last = i;
	return last;
}

/* --- first fit, written down as simply as can be --- */

struct ff_block {
	uint64_t at, size, serial;
};

/* Live blocks by address in a space without end. */
struct ff_model {
	struct ff_block *block;
	size_t count, room;
	uint64_t extent; /* the highest address ever used */
};

static SHAPES_UNUSED void ff_init(struct ff_model *m, size_t room)
{
	memset(m, 0, sizeof(*m));
	m->room = room;
	m->block = calloc(room, sizeof(*m->block));
	assert_non_null(m->block);
}

static SHAPES_UNUSED void ff_alloc(struct ff_model *m, uint64_t size, uint64_t serial)
{
	uint64_t at = 0;
	size_t i;

	for (i = 0; i < m->count && m->block[i].at < at + size; i++)
		at = m->block[i].at + m->block[i].size;
	assert_true(m->count < m->room);
	memmove(&m->block[i + 1], &m->block[i], (m->count - i) * sizeof(*m->block));
	m->block[i] = (struct ff_block){at, size, serial};
	m->count++;
	if (at + size > m->extent)
		m->extent = at + size;
}

static SHAPES_UNUSED void ff_free(struct ff_model *m, uint64_t serial)
{
	size_t i;

	for (i = 0; i < m->count && m->block[i].serial != serial; i++)
		;
	assert_true(i < m->count);
	m->count--;
	memmove(&m->block[i], &m->block[i + 1], (m->count - i) * sizeof(*m->block));
}

/* The largest hole below the highest address ever used. */
static SHAPES_UNUSED uint64_t ff_largest_hole(const struct ff_model *m)
{
	uint64_t at = 0, largest = 0;

	for (size_t i = 0; i <= m->count; i++) {
		uint64_t end = i < m->count ? m->block[i].at : m->extent;

		if (end - at > largest)
			largest = end - at;
		if (i < m->count)
			at = m->block[i].at + m->block[i].size;
	}
	return largest;
}

#endif /* KMEMBENCH_TESTS_SHAPES_H */
