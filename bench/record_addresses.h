/* SPDX-License-Identifier: MIT */
/* A table of live addresses: open addressing, linear probing, at most 3/4 full. */
#ifndef KMEMBENCH_RECORD_ADDRESSES_H
#define KMEMBENCH_RECORD_ADDRESSES_H

#include <kmem/compiler.h>

#define ADDRESS_NONE UINT32_MAX

struct address_slot {
	uint64_t address; /* 0: free slot */
	uint32_t id;
};

struct address_table {
	struct address_slot *slots;
	uint64_t mask; /* slots - 1 */
	uint64_t used;
};

/* 0 or -ENOMEM. */
int address_table_init(struct address_table *t);
void address_table_release(struct address_table *t);
/* address is not 0 and not in the table. 0 or -ENOMEM. */
int address_insert(struct address_table *t, uint64_t address, uint32_t id);
/* The address's id, or ADDRESS_NONE when it is not there. */
uint32_t address_find(const struct address_table *t, uint64_t address);
/* Takes the address out; its id, or ADDRESS_NONE when it is not there. */
uint32_t address_remove(struct address_table *t, uint64_t address);

#endif /* KMEMBENCH_RECORD_ADDRESSES_H */
