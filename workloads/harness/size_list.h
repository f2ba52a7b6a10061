/* SPDX-License-Identifier: MIT */
/*
 * Lists of byte counts as the value of one parameter: "48+64+4K". A comma would end
 * the parameter itself, so a plus joins them.
 */
#ifndef KMEMBENCH_SIZE_LIST_H
#define KMEMBENCH_SIZE_LIST_H

#include <kmem/compiler.h>

#define SIZE_LIST_MAX 32

struct size_list {
	unsigned int count; /* 1 to SIZE_LIST_MAX after a successful parse */
	uint64_t bytes[SIZE_LIST_MAX];
};

/* 0, or -EINVAL with a text that quotes the part it cannot read. */
int size_list_parse(const char *text, struct size_list *list);
/* The largest; 0 of an empty list. */
uint64_t size_list_max(const struct size_list *list);

#endif /* KMEMBENCH_SIZE_LIST_H */
