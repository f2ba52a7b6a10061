/* SPDX-License-Identifier: MIT */
/* What the two halves of the option tables share. */
#ifndef KMEM_CORE_OPTIONS_INTERNAL_H
#define KMEM_CORE_OPTIONS_INTERNAL_H

#include <kmem/options.h>

/* Room for the names or legal values in one message. */
#define OPTION_LIST_BYTES 384

/* The value of every empty string option: costs no allocation and is never freed. */
extern const char *const option_empty_string;
void option_free_string(const char *s);

/* Stores the parsed value. 0, or -EINVAL or -ENOMEM with a text; the field is then as
 * before. */
int option_parse_value(const struct kmem_option *option, const char *value, void *field);

/* "on or off", "a number from 1 to 64", "tree or list". */
void option_legal_values(const struct kmem_option *option, char *buf, size_t size);

/* "a, b and c"; the last two are joined by `conjunction`. Cut at the end of buf. */
void option_join_names(char *buf, size_t size, const char *const *names, size_t count,
		       const char *conjunction);

/* The error of "name" without "=value". */
int option_needs_value(const struct kmem_option_group *groups, const char *name);

#endif /* KMEM_CORE_OPTIONS_INTERNAL_H */
