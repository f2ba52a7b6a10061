/* SPDX-License-Identifier: MIT */
#include "workloads/empirical_plan.h"

#include <errno.h>
#include <math.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/weighted_tree.h"

#define NONE	   UINT32_MAX
#define BLOCKS_MAX ((double)(1u << 28))

/* A block of the simulation. Those that live at the start come first. */
struct block {
	uint32_t size;
	uint32_t slot; /* NONE until it has one */
	uint16_t cell;
	bool handed;
	bool fixed;    /* its slot is not given to others */
	bool survives; /* born in the schedule, lives at its end */
	uint32_t next; /* in its cell's list of dead ones without an heir */
};
_Static_assert(LOAD_CELLS_MAX <= UINT16_MAX, "a cell's number fits");

struct simulation {
	const struct load_model *model;
	struct empirical_plan *plan;
	struct rng *rng;
	uint32_t births, blocks;
	struct weighted_tree deaths;
	struct block *block;
	/* Per cell, a stretch of `member`: the live blocks' numbers. */
	uint32_t *first, *live;
	uint32_t *member;
	uint32_t *dead;	     /* per cell: the last of those that died without an heir */
	uint32_t *free_slot; /* a stack */
	uint32_t n_free;
};

/* Knuth's product of uniforms for small means, the rounded normal for large ones. */
static uint32_t draw_poisson(struct rng *rng, double mean)
{
	double u, product = 1, limit = exp(-mean);
	uint32_t n = 0;

	if (mean > 60) {
		u = 1 - rng_double(rng);
		u = sqrt(-2 * log(u)) * cos(6.283185307179586 * rng_double(rng));
		u = round(mean + sqrt(mean) * u);
		return u > 0 ? (uint32_t)u : 0;
	}
	while ((product *= 1 - rng_double(rng)) > limit)
		n++;
	return n;
}

static double own_life(const struct simulation *s, uint32_t cell)
{
	return s->model->cell[cell].life / s->model->threads;
}

static void set_rate(struct simulation *s, uint32_t cell)
{
	weighted_tree_set(&s->deaths, cell, s->live[cell] / own_life(s, cell));
}

/* Which cell each birth belongs to, and how many live in each at the start. */
static void draw_cells(struct simulation *s, uint16_t *birth_cell, uint32_t *births_of)
{
	struct weighted_tree rates;

	weighted_tree_init(&rates, s->model->cells);
	for (uint32_t i = 0; i < s->model->cells; i++) {
		weighted_tree_set(&rates, i, s->model->cell[i].weight);
		s->live[i] = draw_poisson(s->rng,
					  s->model->cell[i].weight * own_life(s, i));
		s->plan->initial += s->live[i];
	}
	for (uint32_t b = 0; b < s->births; b++) {
		birth_cell[b] = (uint16_t)weighted_tree_pick(&rates, rng_double(s->rng));
		births_of[birth_cell[b]]++;
	}
	weighted_tree_release(&rates);
}

static void make_block(struct simulation *s, uint32_t number, uint32_t cell,
		       unsigned int threads)
{
	const struct load_cell *c = &s->model->cell[cell];
	uint64_t size = load_sizes_draw(&c->sizes, s->rng);

	s->block[number] = (struct block){
		.size = size > 0 ? (uint32_t)size : 1,
		.slot = NONE,
		.cell = (uint16_t)cell,
		.handed = rng_double(s->rng) < c->handed && threads > 1,
	};
}

/* All blocks there will be, and room for the cells' lists: a cell never has more live
 * ones than at the start and by all its births. */
static void make_blocks(struct simulation *s, const uint16_t *birth_cell,
			const uint32_t *births_of, unsigned int threads)
{
	uint32_t number = 0, at = 0;

	s->blocks = s->plan->initial + s->births;
	s->block = arena_alloc(s->blocks * sizeof(*s->block));
	s->member = arena_alloc(s->blocks * sizeof(*s->member));
	for (uint32_t i = 0; i < s->model->cells; i++) {
		s->first[i] = at;
		for (uint32_t k = 0; k < s->live[i]; k++) {
			s->member[at + k] = number;
			make_block(s, number++, i, threads);
		}
		at += s->live[i] + births_of[i];
		set_rate(s, i);
	}
	for (uint32_t b = 0; b < s->births; b++)
		make_block(s, number++, birth_cell[b], threads);
}

/* An event in terms of blocks; it gets its slot later. */
static void note(struct simulation *s, uint32_t number, uint32_t size)
{
	s->plan->events[s->plan->count++] = (struct empirical_event){number, size};
}

static void be_born(struct simulation *s, uint32_t number)
{
	uint32_t cell = s->block[number].cell;

	s->member[s->first[cell] + s->live[cell]++] = number;
	set_rate(s, cell);
	note(s, number, s->block[number].size);
}

static void die(struct simulation *s)
{
	uint32_t cell = (uint32_t)weighted_tree_pick(&s->deaths, rng_double(s->rng));
	uint32_t *members = s->member + s->first[cell];
	uint32_t k = (uint32_t)rng_below(s->rng, s->live[cell]);
	uint32_t number = members[k];

	members[k] = members[--s->live[cell]];
	set_rate(s, cell);
	note(s, number, s->block[number].handed ? EMPIRICAL_HAND : EMPIRICAL_FREE);
}

static void simulate(struct simulation *s)
{
	uint32_t born = 0;

	while (born < s->births) {
		double hazard = weighted_tree_total(&s->deaths);

		if (rng_double(s->rng) * (1 + hazard) < 1)
			be_born(s, s->plan->initial + born++);
		else
			die(s);
	}
}

/* Slots 0 .. initial - 1 belong to the blocks of the start, in random order, so that
 * those of a cell do not lie together. */
static void give_initial_slots(struct simulation *s)
{
	uint32_t n = s->plan->initial;

	for (uint32_t i = 0; i < n; i++)
		s->free_slot[i] = i;
	rng_shuffle_u32(s->rng, s->free_slot, n);
	for (uint32_t i = 0; i < n; i++) {
		s->block[i].slot = s->free_slot[i];
		s->block[i].fixed = true;
	}
	s->plan->slots = n;
}

static bool is_birth(const struct empirical_event *e)
{
	return e->size != EMPIRICAL_FREE && e->size != EMPIRICAL_HAND;
}

/* A survivor takes over from one of its cell that has died before it was born. */
static void inherit(struct simulation *s, uint32_t number)
{
	struct block *heir = &s->block[number];
	uint32_t dead = s->dead[heir->cell];

	if (dead == NONE)
		return;
	s->dead[heir->cell] = s->block[dead].next;
	heir->slot = s->block[dead].slot;
	heir->fixed = true;
	s->block[dead].size = heir->size;
}

static void close_circle(struct simulation *s)
{
	uint32_t initial = s->plan->initial, count = s->plan->count;

	for (uint32_t i = 0; i < s->model->cells; i++) {
		s->dead[i] = NONE;
		for (uint32_t k = 0; k < s->live[i]; k++) {
			uint32_t number = s->member[s->first[i] + k];

			s->block[number].survives = number >= initial;
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct empirical_event *e = &s->plan->events[i];
		struct block *b = &s->block[e->slot];

		if (!is_birth(e) && e->slot < initial) {
			b->next = s->dead[b->cell];
			s->dead[b->cell] = e->slot;
		} else if (b->survives) {
			inherit(s, e->slot);
		}
	}
	/* The seam. */
	for (uint32_t i = initial; i < s->blocks; i++)
		if (s->block[i].survives && !s->block[i].fixed)
			note(s, i, EMPIRICAL_FREE);
	for (uint32_t i = 0; i < s->model->cells; i++)
		for (uint32_t d = s->dead[i]; d != NONE; d = s->block[d].next)
			note(s, d, s->block[d].size);
}

/* Blocks to slots: what dies leaves its slot to the next one that is born. */
static void assign_slots(struct simulation *s)
{
	struct empirical_plan *plan = s->plan;

	s->n_free = 0;
	for (uint32_t i = 0; i < plan->count; i++) {
		struct empirical_event *e = &plan->events[i];
		struct block *b = &s->block[e->slot];
		bool birth = is_birth(e);

		if (birth && !b->fixed)
			b->slot = s->n_free > 0 ? s->free_slot[--s->n_free]
						: plan->slots++;
		if (!birth && !b->fixed)
			s->free_slot[s->n_free++] = b->slot;
		e->slot = b->slot;
	}
	plan->size = arena_alloc(plan->initial * sizeof(*plan->size));
	for (uint32_t i = 0; i < plan->initial; i++)
		plan->size[s->block[i].slot] = s->block[i].size;
}

int empirical_plan_check(const struct load_model *model)
{
	double blocks = load_model_live_blocks(model) / model->threads;

	if (blocks > BLOCKS_MAX)
		return kmem_error(-E2BIG,
				  "the model has %.0f blocks live for each thread: more "
				  "than %.0f cannot be kept",
				  blocks, BLOCKS_MAX);
	return 0;
}

int empirical_plan_new(const struct load_model *model, uint32_t births,
		       unsigned int threads, struct rng *rng, struct empirical_plan *plan)
{
	struct simulation s = {
		.model = model, .plan = plan, .rng = rng, .births = births};
	size_t cell_bytes = model->cells * sizeof(uint32_t);
	uint16_t *birth_cell;
	uint32_t *births_of;
	int err = empirical_plan_check(model);

	*plan = (struct empirical_plan){0};
	if (err != 0)
		return err;
	birth_cell = arena_alloc(births * sizeof(*birth_cell));
	births_of = arena_alloc(cell_bytes);
	s.first = arena_alloc(cell_bytes);
	s.live = arena_alloc(cell_bytes);
	s.dead = arena_alloc(cell_bytes);
	weighted_tree_init(&s.deaths, model->cells);
	draw_cells(&s, birth_cell, births_of);
	make_blocks(&s, birth_cell, births_of, threads);
	/* Each birth, a death of each block, and a birth for each that died. */
	plan->events_room = 2 * births + 2 * plan->initial;
	plan->events = arena_alloc(plan->events_room * sizeof(*plan->events));
	s.free_slot = arena_alloc(s.blocks * sizeof(*s.free_slot));
	simulate(&s);
	give_initial_slots(&s);
	close_circle(&s);
	assign_slots(&s);
	arena_free(birth_cell, births * sizeof(*birth_cell));
	arena_free(births_of, cell_bytes);
	arena_free(s.first, cell_bytes);
	arena_free(s.live, cell_bytes);
	weighted_tree_release(&s.deaths);
	arena_free(s.free_slot, s.blocks * sizeof(*s.free_slot));
	arena_free(s.member, s.blocks * sizeof(*s.member));
	arena_free(s.dead, cell_bytes);
	arena_free(s.block, s.blocks * sizeof(*s.block));
	return 0;
}

void empirical_plan_delete(struct empirical_plan *plan)
{
	arena_free(plan->events, plan->events_room * sizeof(*plan->events));
	arena_free(plan->size, plan->initial * sizeof(*plan->size));
}
