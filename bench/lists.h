/* SPDX-License-Identifier: MIT */
/* Lists as users type them on a command line or in a job file. */
#ifndef KMEMBENCH_LISTS_H
#define KMEMBENCH_LISTS_H

#include <kmem/compiler.h>

struct string_list {
	char **item;
	size_t count;
};

void string_list_release(struct string_list *list);

/* "a, b,c": empty items are refused. 0 or -EINVAL with an error text. */
int list_split(const char *text, struct string_list *list);

/*
 * "slab:percpu=off,colour=on,glibc": a piece that has a '=' but no ':' before it
 * belongs to the name before it. 0 or -EINVAL with an error text.
 */
int list_split_specs(const char *text, struct string_list *list);

/*
 * "16,64,1K" or "16..1K" (each twice the one before, the end included) as
 * numbers; `what` is for the message ("size", "thread count"). The caller frees
 * *values. 0 or -EINVAL with an error text.
 */
int list_numbers(const char *text, const char *what, uint64_t **values, size_t *count);

#endif /* KMEMBENCH_LISTS_H */
