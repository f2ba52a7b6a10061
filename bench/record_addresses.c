/* SPDX-License-Identifier: MIT */
#include "bench/record_addresses.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SLOTS 1024

static uint64_t home_of(const struct address_table *t, uint64_t address)
{
	/* Fibonacci hashing; the low four bits of an address say nothing. */
	return ((address >> 4) * 0x9e3779b97f4a7c15u) >> 20 & t->mask;
}

/* The slot that holds the address, or the free one where it belongs. */
static struct address_slot *probe(const struct address_table *t, uint64_t address)
{
	uint64_t i = home_of(t, address);

	while (t->slots[i].address != 0 && t->slots[i].address != address)
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

static int init(struct address_table *t, uint64_t slots)
{
	t->slots = calloc(slots, sizeof(*t->slots));
	t->mask = slots - 1;
	t->used = 0;
	return t->slots != NULL ? 0 : -ENOMEM;
}

int address_table_init(struct address_table *t)
{
	return init(t, FIRST_SLOTS);
}

void address_table_release(struct address_table *t)
{
	free(t->slots);
	t->slots = NULL;
}

static int grow(struct address_table *t)
{
	struct address_table bigger;

	if (init(&bigger, (t->mask + 1) * 2) != 0)
		return -ENOMEM;
	for (uint64_t i = 0; i <= t->mask; i++) {
		if (t->slots[i].address != 0)
			*probe(&bigger, t->slots[i].address) = t->slots[i];
	}
	bigger.used = t->used;
	free(t->slots);
	*t = bigger;
	return 0;
}

int address_insert(struct address_table *t, uint64_t address, uint32_t id)
{
	struct address_slot *slot;

	if (t->used >= (t->mask + 1) / 4 * 3 && grow(t) != 0)
		return -ENOMEM;
	slot = probe(t, address);
	slot->address = address;
	slot->id = id;
	t->used++;
	return 0;
}

uint32_t address_find(const struct address_table *t, uint64_t address)
{
	const struct address_slot *slot = probe(t, address);

	return slot->address != 0 ? slot->id : ADDRESS_NONE;
}

uint32_t address_remove(struct address_table *t, uint64_t address)
{
	struct address_slot *slot = probe(t, address);
	uint64_t hole = (uint64_t)(slot - t->slots), i = hole;
	uint32_t id = slot->id;

	if (slot->address == 0)
		return ADDRESS_NONE;
	/* Closes the hole: an entry moves back unless its home lies beyond the hole. */
	for (;;) {
		i = (i + 1) & t->mask;
		if (t->slots[i].address == 0)
			break;
		if (((i - home_of(t, t->slots[i].address)) & t->mask) >=
		    ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole].address = 0;
	t->used--;
	return id;
}
