/* SPDX-License-Identifier: MIT */
/*
 * Option tables: one description feeds the parser, the help and the results.
 *
 * Every policy is an entry of such a table, so a variant is a string such as
 * "percpu=off,colour=on,limit=120". An entry stores its value at an offset of
 * a plain configuration structure.
 */
#ifndef KMEM_OPTIONS_H
#define KMEM_OPTIONS_H

#include <kmem/compiler.h>

enum kmem_option_type {
	KMEM_OPT_BOOL,	 /* bool:        on|off|yes|no|true|false|1|0 */
	KMEM_OPT_UINT,	 /* uint64_t:    decimal number */
	KMEM_OPT_SIZE,	 /* uint64_t:    bytes, with suffix K, M, G, T (KiB, MiB, ... too)
			  */
	KMEM_OPT_FLOAT,	 /* double */
	KMEM_OPT_ENUM,	 /* int:         index into choices */
	KMEM_OPT_STRING, /* const char*: copied, released by kmem_options_release() */
};

struct kmem_option {
	const char *name;
	enum kmem_option_type type;
	size_t offset;		    /* of the field, in the group's configuration */
	const char *initial;	    /* default, in the syntax that a user types */
	const char *help;	    /* one sentence; says the trade-off and the unit */
	const char *const *choices; /* KMEM_OPT_ENUM: NULL-terminated names */
	uint64_t min, max;	    /* UINT and SIZE: inclusive; max 0 means no bound */
};

#define KMEM_OPTION_END      \
	{                    \
		.name = NULL \
	}

/* A table and where its structure lies inside the whole configuration. */
struct kmem_option_group {
	const struct kmem_option
		*options; /* ends with KMEM_OPTION_END; NULL ends the groups */
	size_t base;
};

/* Fills config with the defaults of all groups (groups may be NULL: no options). */
KMEM_API int kmem_options_defaults(const struct kmem_option_group *groups, void *config);

/*
 * Applies "name=value,name=value" on top. Returns 0, or -EINVAL with an error
 * text that names the option, the nearest known name and the legal values.
 */
KMEM_API int kmem_options_parse(const struct kmem_option_group *groups, const char *text,
				void *config);

/* Applies one name and value; the same errors. */
KMEM_API int kmem_options_set(const struct kmem_option_group *groups, const char *name,
			      const char *value, void *config);

/* Writes the value of one option as a user would type it. Returns its length as snprintf.
 */
KMEM_API int kmem_option_format(const struct kmem_option *option,
				const void *group_config, char *buf, size_t size);

/* Calls fn for each option in order; stops and returns its value when it is not 0. */
KMEM_API int kmem_options_each(const struct kmem_option_group *groups,
			       int (*fn)(const struct kmem_option *option, size_t base,
					 void *arg),
			       void *arg);

/* Frees the strings that parsing stored. */
KMEM_API void kmem_options_release(const struct kmem_option_group *groups, void *config);

/* "64K", "1.5MiB", "4096" to bytes. Returns 0 or -EINVAL (with an error text). */
KMEM_API int kmem_parse_size(const char *text, uint64_t *bytes);

/* The candidate nearest to name by edit distance, or NULL when none is near. */
KMEM_API const char *kmem_nearest_name(const char *name, const char *const *candidates,
				       size_t count);

#endif /* KMEM_OPTIONS_H */
