/* SPDX-License-Identifier: MIT */
/*
 * The one table of looks: an allocator has the same colour, point and dash in every
 * picture and in the report.
 *
 * Colours are those of Okabe and Ito (2008), told apart with every common form of colour
 * blindness; shapes and dashes differ as well, so that a picture survives grey printing.
 * Our own allocators share the warm end (vermilion) and the heavier line, the floors are
 * grey. Names outside the table, and variants with options, take the free looks (after
 * Paul Tol's muted scheme) in order of their name.
 */
#include "bench/plot_data.h"

#include <string.h>

struct known_look {
	const char *allocator_name;
	enum series_kind kind;
	struct plot_style style;
};

/* gnuplot's points: 4/5 square, 6/7 circle, 8/9 triangle, 10/11 triangle down, 12/13
 * diamond (open/filled), 1 plus, 2 cross, 3 star. In the order in which keys list them.
 */
static const struct known_look known_looks[] = {
	{"kmem", SERIES_OURS, {0x9a2a0a, 13, 1, 3.0, 1.5}},
	{"slab", SERIES_OURS, {0xd55e00, 7, 1, 3.0, 1.3}},
	{"buddy", SERIES_OURS, {0xd55e00, 5, 1, 3.0, 1.2}},
	{"vmalloc", SERIES_OURS, {0xd55e00, 9, 1, 3.0, 1.4}},
	{"glibc", SERIES_PEER, {0x0072b2, 4, 1, 1.8, 1.2}},
	{"jemalloc", SERIES_PEER, {0xe69f00, 8, 1, 1.8, 1.3}},
	{"mimalloc", SERIES_PEER, {0x009e73, 10, 1, 1.8, 1.3}},
	{"tcmalloc", SERIES_PEER, {0xcc79a7, 12, 1, 1.8, 1.4}},
	{"mmap", SERIES_PEER, {0x56b4e9, 6, 1, 1.8, 1.2}},
	{"freelist", SERIES_FLOOR, {0x333333, 2, 2, 1.4, 0.9}},
	{"bump", SERIES_FLOOR, {0x777777, 1, 4, 1.4, 0.9}},
	{"null", SERIES_FLOOR, {0xaaaaaa, 3, 3, 1.4, 0.9}},
};

static const struct plot_style free_looks[] = {
	{0x332288, 6, 2, 1.8, 1.2},  {0x117733, 4, 2, 1.8, 1.2},
	{0xaa4499, 8, 2, 1.8, 1.3},  {0x6699cc, 12, 2, 1.8, 1.4},
	{0x999933, 10, 4, 1.8, 1.3}, {0x882255, 7, 4, 1.8, 1.1},
	{0x44aa99, 5, 4, 1.8, 1.0},  {0x661100, 9, 5, 1.8, 1.1},
	{0xddaa33, 13, 5, 1.8, 1.2}, {0x4477aa, 11, 5, 1.8, 1.1},
};

static const struct known_look *find_look(const char *allocator_name)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(known_looks); i++) {
		if (strcmp(known_looks[i].allocator_name, allocator_name) == 0)
			return &known_looks[i];
	}
	return NULL;
}

enum series_kind plot_series_kind(const char *allocator_name)
{
	const struct known_look *look = find_look(allocator_name);

	return look != NULL ? look->kind : SERIES_PEER;
}

/* Ours, known peers, unknown peers, floors. */
int plot_series_rank(const char *allocator_name)
{
	const struct known_look *look = find_look(allocator_name);
	int unknown = (int)KMEM_ARRAY_SIZE(known_looks);

	if (look == NULL)
		return unknown;
	return (int)(look - known_looks) + (look->kind == SERIES_FLOOR ? unknown + 1 : 0);
}

void plot_assign_styles(struct dataset *d)
{
	size_t next = 0;

	for (size_t i = 0; i < d->nr_series; i++) {
		struct series *s = &d->series[i];
		const struct known_look *look = find_look(s->allocator_name);
		bool plain = strcmp(s->allocator, s->allocator_name) == 0 && s->file == 0;

		if (look != NULL && plain) {
			s->style = look->style;
			continue;
		}
		s->style = free_looks[next % KMEM_ARRAY_SIZE(free_looks)];
		/* A variant of ours stays heavier than a peer. */
		if (look != NULL && look->kind == SERIES_OURS)
			s->style.line_width = 2.3;
		next++;
	}
}
