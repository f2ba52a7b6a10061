/* SPDX-License-Identifier: MIT */
#include "workloads/harness/robson.h"

#include <math.h>

#include "workloads/harness/arena.h"

/* A live block of the model. Places and sizes in units of the smallest block. */
struct place {
	uint32_t at, size;
	uint32_t slot;
};

/* The model's live blocks by address; two arrays, since a round writes a new one. */
struct first_fit {
	struct place *live, *next;
	uint32_t n_live;
	uint64_t units;	    /* live */
	uint64_t units_max; /* M */
	uint64_t extent;    /* highest address used so far */
	size_t bytes;	    /* of each array */
};

static uint64_t log2_of(uint64_t power)
{
	return 63 - (uint64_t)__builtin_clzll(power);
}

double robson_bound_bytes(uint64_t live_bytes, uint64_t size_min_bytes,
			  uint64_t size_max_bytes)
{
	double log2_n = log2((double)size_max_bytes / (double)size_min_bytes);

	return (double)live_bytes * (log2_n / 2 + 1) - (double)size_max_bytes +
	       (double)size_min_bytes;
}

double robson_first_fit_bytes(uint64_t live_bytes, uint64_t size_min_bytes,
			      uint64_t size_max_bytes)
{
	double log2_n = log2((double)size_max_bytes / (double)size_min_bytes);

	return (double)live_bytes * (log2_n > 1 ? log2_n : 1);
}

/* Round 0 allocates M units; round i no more than M / 2^i blocks. */
uint64_t robson_blocks_max(const struct robson_program *program)
{
	return 2 * (program->live_bytes / program->size_min_bytes);
}

/* Whether the block covers an address that is f modulo `size` (a power of two). */
static bool covers(const struct place *b, uint64_t f, uint64_t size)
{
	/* From the block's start to the next such address. */
	uint64_t distance = (f - b->at) & (size - 1);

	return distance < b->size;
}

/* The room that is left for blocks of `size` among those that f would keep. */
static uint64_t room_of(const struct first_fit *m, uint64_t f, uint64_t size)
{
	uint64_t room = 0;

	for (uint32_t i = 0; i < m->n_live; i++)
		if (covers(&m->live[i], f, size))
			room += size - m->live[i].size;
	return room;
}

static void free_uncovered(struct first_fit *m, struct script *s, uint64_t f,
			   uint64_t size)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->n_live; i++) {
		struct place b = m->live[i];

		if (covers(&b, f, size)) {
			m->live[kept++] = b;
		} else {
			script_free(s, b.slot);
			m->units -= b.size;
		}
	}
	m->n_live = kept;
}

/* Puts blocks of `size` into the hole [at, end) while they fit and M allows. */
static void fill_hole(struct first_fit *m, struct script *s, uint32_t *n, uint64_t at,
		      uint64_t end, uint64_t size, size_t request)
{
	for (; at + size <= end && m->units + size <= m->units_max; at += size) {
		m->next[(*n)++] = (struct place){(uint32_t)at, (uint32_t)size,
						 script_alloc(s, request)};
		m->units += size;
		if (at + size > m->extent)
			m->extent = at + size;
	}
}

/*
 * First fit of equal blocks with no frees in between is one sweep from the lowest
 * address up: a hole that was too small for one is too small for the next.
 */
static void allocate_round(struct first_fit *m, struct script *s, uint64_t size,
			   size_t request)
{
	struct place *swap = m->live;
	uint64_t at = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n_live; i++) {
		fill_hole(m, s, &n, at, m->live[i].at, size, request);
		m->next[n++] = m->live[i];
		at = m->live[i].at + m->live[i].size;
	}
	fill_hole(m, s, &n, at, UINT32_MAX, size, request);
	m->live = m->next;
	m->next = swap;
	m->n_live = n;
}

uint64_t robson_compose(const struct robson_program *program, struct script *s)
{
	uint64_t unit = program->size_min_bytes;
	uint64_t rounds = log2_of(program->size_max_bytes / unit);
	struct first_fit m = {.units_max = program->live_bytes / unit};
	uint64_t f = 0;

	m.bytes = m.units_max * sizeof(struct place);
	m.live = arena_alloc(m.bytes);
	m.next = arena_alloc(m.bytes);
	allocate_round(&m, s, 1, unit - program->header_bytes);
	for (uint64_t i = 1; i <= rounds; i++) {
		uint64_t size = (uint64_t)1 << i, other = f + size / 2;

		if (room_of(&m, other, size) > room_of(&m, f, size))
			f = other;
		free_uncovered(&m, s, f, size);
		allocate_round(&m, s, size, size * unit - program->header_bytes);
	}
	script_drain(s);
	arena_free(m.live, m.bytes);
	arena_free(m.next, m.bytes);
	return m.extent * unit;
}
