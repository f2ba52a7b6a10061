/* SPDX-License-Identifier: MIT */
/*
 * A model from a trace.
 *
 * First walk: how often each size is asked for, so that the frequent ones become
 * classes of their own. Second walk: of each block its birth, its size and its
 * thread until it dies, and then it is counted in the cell of its size class and
 * lifetime. Where more cells come out than wanted, the second walk is made again with
 * coarser classes.
 */
#include "workloads/harness/load_model.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"

#define EXACT_MAX	65536u /* sizes below may have a class of their own */
#define EXACT_SHARE	0.002  /* of the births, at level 0 */
#define BIN_OCTAVES	32u    /* LOAD_SIZE_MAX and below */
#define BINS_PER_OCTAVE 4u
#define BINS		(BIN_OCTAVES * BINS_PER_OCTAVE)
#define EXACT_CLASSES	((uint32_t)(1 / EXACT_SHARE))
#define CLASSES		(EXACT_CLASSES + BINS)
#define LIVES		48u /* octaves of lifetime */
#define LEVELS		10u /* of coarseness */
/* Blocks that die before the next birth must have a finite rate of dying. */
#define LIFE_MIN 0.05

/* A block until it dies. */
struct birth {
	uint64_t at : 40; /* births before it */
	uint64_t thread : 16;
	uint64_t live : 1;
	uint64_t size_bytes; /* LOAD_SIZE_MAX at most */
};
_Static_assert(sizeof(struct birth) == 16, "as load_model.h says");

/* Sums over the blocks of a cell. */
struct sum {
	uint64_t count, handed, low, high;
	double bytes, life;
};

struct fitter {
	const struct trace *trace;
	unsigned int level;
	uint64_t births, clamped;
	uint64_t *exact_count; /* EXACT_MAX */
	uint16_t *exact_class; /* EXACT_MAX: class plus one, 0: none */
	uint64_t *thread_births;
	struct birth *birth; /* of each id */
	struct sum *sum;     /* [CLASSES][LIVES] */
	struct sum *kept;    /* [CLASSES] */
};

static uint64_t clamp_size(uint64_t size)
{
	return size < LOAD_SIZE_MAX ? size : LOAD_SIZE_MAX;
}

static bool is_birth(const struct trace_event *e)
{
	return e->op <= TRACE_REALLOC;
}

static void count_sizes(struct fitter *f)
{
	struct trace_cursor cursor;
	struct trace_event e;

	trace_cursor_start(&cursor, f->trace);
	while (trace_next(&cursor, &e)) {
		if (!is_birth(&e))
			continue;
		f->births++;
		f->thread_births[e.thread]++;
		f->clamped += e.size_bytes > LOAD_SIZE_MAX;
		if (e.size_bytes < EXACT_MAX)
			f->exact_count[e.size_bytes]++;
	}
}

/* Which sizes are a class: those with a share that doubles with each level. */
static void choose_classes(struct fitter *f)
{
	double share = EXACT_SHARE * (double)(1u << f->level);
	uint16_t classes = 0;

	for (uint32_t size = 0; size < EXACT_MAX; size++) {
		bool frequent = (double)f->exact_count[size] > share * (double)f->births;

		f->exact_class[size] = frequent && classes < EXACT_CLASSES ? ++classes
									   : 0;
	}
}

static uint32_t class_of(const struct fitter *f, uint64_t size)
{
	unsigned int octave, quarter, per_octave;

	if (size < EXACT_MAX && f->exact_class[size] != 0)
		return f->exact_class[size] - 1u;
	if (size < 2)
		return EXACT_CLASSES;
	octave = 63 - (unsigned int)__builtin_clzll(size);
	quarter = octave >= 2 ? (unsigned int)(size >> (octave - 2) & 3) : 0;
	per_octave = f->level < 2 ? 4 : f->level < 4 ? 2 : 1;
	return EXACT_CLASSES + octave * BINS_PER_OCTAVE + quarter * per_octave / 4;
}

static uint32_t life_class(const struct fitter *f, uint64_t life)
{
	unsigned int octave = 64 - (unsigned int)__builtin_clzll(life | 1);
	unsigned int octaves = f->level < 3 ? 1 : f->level < 6 ? 2 : 4;

	octave = life == 0 ? 0 : octave < LIVES ? octave : LIVES - 1;
	return octave / octaves;
}

static void add_to(struct sum *sum, const struct birth *b, double life, bool handed)
{
	if (sum->count == 0 || b->size_bytes < sum->low)
		sum->low = b->size_bytes;
	if (b->size_bytes > sum->high)
		sum->high = b->size_bytes;
	sum->count++;
	sum->handed += handed;
	sum->bytes += (double)b->size_bytes;
	sum->life += life;
}

static void die(struct fitter *f, struct birth *b, uint64_t now, uint16_t thread)
{
	uint64_t life = now - 1 - b->at;
	struct sum *row = f->sum + (size_t)class_of(f, b->size_bytes) * LIVES;

	b->live = 0;
	add_to(&row[life_class(f, life)], b, (double)life, b->thread != thread);
}

/* The second walk; the number of cells it makes. */
static uint32_t fill_table(struct fitter *f)
{
	const struct trace_header *h = f->trace->header;
	struct trace_cursor cursor;
	struct trace_event e;
	uint64_t births = 0;
	uint32_t cells = 0;

	choose_classes(f);
	memset(f->sum, 0, CLASSES * LIVES * sizeof(*f->sum));
	memset(f->kept, 0, CLASSES * sizeof(*f->kept));
	memset(f->birth, 0, h->ids * sizeof(*f->birth));
	trace_cursor_start(&cursor, f->trace);
	while (trace_next(&cursor, &e)) {
		struct birth *b = &f->birth[e.id];

		if (e.op == TRACE_AFTER)
			continue;
		if (b->live && e.op >= TRACE_REALLOC)
			die(f, b, births, e.thread);
		if (!is_birth(&e))
			continue;
		b->at = births++;
		b->thread = e.thread;
		b->live = 1;
		b->size_bytes = clamp_size(e.size_bytes);
	}
	for (uint64_t i = 0; i < h->ids; i++)
		if (f->birth[i].live)
			add_to(&f->kept[class_of(f, f->birth[i].size_bytes)],
			       &f->birth[i], 0, false);
	for (uint32_t i = 0; i < CLASSES * LIVES; i++)
		cells += f->sum[i].count > 0;
	return cells;
}

static struct load_sizes sizes_of(const struct sum *s)
{
	struct load_sizes sizes = {s->low, s->high, s->bytes / (double)s->count};

	/* Rounding must not carry the mean out of its bounds. */
	if (sizes.mean < (double)s->low)
		sizes.mean = (double)s->low;
	if (sizes.mean > (double)s->high)
		sizes.mean = (double)s->high;
	return sizes;
}

static void fill_model(const struct fitter *f, struct load_model *m)
{
	const struct trace_header *h = f->trace->header;
	double squares = 0, dead = 0, clock;

	for (uint32_t i = 0; i < CLASSES * LIVES; i++)
		dead += (double)f->sum[i].count;
	/* The model bears only what dies: its clock is the slower one. */
	clock = dead / (double)f->births;
	for (uint32_t i = 0; i < CLASSES * LIVES; i++) {
		const struct sum *s = &f->sum[i];

		if (s->count > 0)
			m->cell[m->cells++] = (struct load_cell){
				.sizes = sizes_of(s),
				.weight = (double)s->count / dead,
				.life = fmax(s->life / (double)s->count * clock,
					     LIFE_MIN),
				.handed = (double)s->handed / (double)s->count,
			};
	}
	for (uint32_t i = 0; i < CLASSES && m->kepts < LOAD_KEPT_MAX; i++)
		if (f->kept[i].count > 0)
			m->kept[m->kepts++] = (struct load_kept){
				.sizes = sizes_of(&f->kept[i]),
				.count = f->kept[i].count,
			};
	for (uint32_t t = 0; t < h->threads; t++) {
		double share = (double)f->thread_births[t] / (double)f->births;

		squares += share * share;
	}
	m->threads = 1 / squares;
	if (m->threads < 1)
		m->threads = 1;
	m->births = f->births;
	m->rate = h->duration_ns > 0 ? (double)f->births * 1e9 / (double)h->duration_ns
				     : 0;
	snprintf(m->source, sizeof(m->source),
		 "%s, %" PRIu64 " events of %" PRIu32 " %s, by %s",
		 h->program[0] != '\0' ? h->program : "a program without a name",
		 h->events, h->threads, h->threads == 1 ? "thread" : "threads",
		 trace_source_names[h->source < NR_TRACE_SOURCES ? h->source : 0]);
}

int load_model_fit(const struct trace *trace, uint32_t cells_max,
		   struct load_model **model)
{
	const struct trace_header *h = trace->header;
	struct fitter f = {.trace = trace};
	uint32_t cells = UINT32_MAX;
	int err = 0;

	*model = NULL;
	f.exact_count = arena_alloc(EXACT_MAX * sizeof(*f.exact_count));
	f.exact_class = arena_alloc(EXACT_MAX * sizeof(*f.exact_class));
	f.thread_births = arena_alloc(h->threads * sizeof(*f.thread_births));
	f.birth = arena_alloc(h->ids * sizeof(*f.birth));
	f.sum = arena_alloc(CLASSES * LIVES * sizeof(*f.sum));
	f.kept = arena_alloc(CLASSES * sizeof(*f.kept));
	count_sizes(&f);
	for (f.level = 0; f.level < LEVELS; f.level++) {
		cells = fill_table(&f);
		if (cells <= cells_max)
			break;
	}
	if (cells == 0)
		err = kmem_error(-EINVAL, "the trace frees nothing: there are no "
					  "lifetimes to fit");
	else if (cells > cells_max)
		err = kmem_error(-EINVAL,
				 "even the coarsest classes make %" PRIu32
				 " cells: allow more than %" PRIu32,
				 cells, cells_max);
	if (err == 0) {
		*model = arena_alloc(sizeof(**model));
		fill_model(&f, *model);
	}
	arena_free(f.exact_count, EXACT_MAX * sizeof(*f.exact_count));
	arena_free(f.exact_class, EXACT_MAX * sizeof(*f.exact_class));
	arena_free(f.thread_births, h->threads * sizeof(*f.thread_births));
	arena_free(f.birth, h->ids * sizeof(*f.birth));
	arena_free(f.sum, CLASSES * LIVES * sizeof(*f.sum));
	arena_free(f.kept, CLASSES * sizeof(*f.kept));
	return err;
}
