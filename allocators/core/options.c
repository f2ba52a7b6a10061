/* SPDX-License-Identifier: MIT */
/*
 * Option tables: setting values. How text becomes a value and back stands in
 * option_values.c.
 */
#include <kmem/options.h>

#include "allocators/core/options_internal.h"
#include <kmem/error.h>

#include <errno.h>
#include <string.h>

/* Names offered in messages; tables are much shorter. */
#define NAMES_MAX 64
/* Of one item of a list. The longest values are paths and topologies. */
#define NAME_BYTES  64
#define VALUE_BYTES 4096

const char *const option_empty_string = "";

int kmem_options_each(const struct kmem_option_group *groups,
		      int (*fn)(const struct kmem_option *option, size_t base, void *arg),
		      void *arg)
{
	if (groups == NULL)
		return 0;
	for (; groups->options != NULL; groups++) {
		for (const struct kmem_option *o = groups->options; o->name != NULL;
		     o++) {
			int result = fn(o, groups->base, arg);

			if (result != 0)
				return result;
		}
	}
	return 0;
}

/* --- look-up --- */

struct lookup {
	const char *name;
	const struct kmem_option *option;
	size_t base;
	const char *names[NAMES_MAX];
	size_t count;
};

static int lookup_one(const struct kmem_option *option, size_t base, void *arg)
{
	struct lookup *l = arg;

	if (strcmp(option->name, l->name) == 0) {
		l->option = option;
		l->base = base;
		return 1;
	}
	if (l->count < NAMES_MAX)
		l->names[l->count++] = option->name;
	return 0;
}

static int unknown_option(const struct lookup *l)
{
	char known[OPTION_LIST_BYTES];
	const char *nearest = kmem_nearest_name(l->name, l->names, l->count);

	if (l->count == 0)
		return kmem_error(-EINVAL,
				  "unknown option '%s': there are no options here",
				  l->name);
	option_join_names(known, sizeof(known), l->names, l->count, "and");
	if (nearest != NULL)
		return kmem_error(-EINVAL,
				  "unknown option '%s': did you mean '%s'? known are %s",
				  l->name, nearest, known);
	return kmem_error(-EINVAL, "unknown option '%s': known are %s", l->name, known);
}

int kmem_options_set(const struct kmem_option_group *groups, const char *name,
		     const char *value, void *config)
{
	struct lookup l = {.name = name};
	void *field;

	if (kmem_options_each(groups, lookup_one, &l) == 0)
		return unknown_option(&l);
	field = (char *)config + l.base + l.option->offset;
	if (l.option->type == KMEM_OPT_STRING) {
		const char *former = *(const char **)field;
		int err = option_parse_value(l.option, value, field);

		if (err == 0)
			option_free_string(former);
		return err;
	}
	return option_parse_value(l.option, value, field);
}

/* --- "name=value,name=value" --- */

/*
 * Length up to the comma that ends the item, or the end of the text. A comma
 * inside parentheses belongs to the value: "numa:2(indexes=0,1) core:2".
 */
static size_t item_length(const char *text)
{
	int depth = 0;
	size_t n;

	for (n = 0; text[n] != '\0'; n++) {
		if (text[n] == '(')
			depth++;
		else if (text[n] == ')' && depth > 0)
			depth--;
		else if (text[n] == ',' && depth == 0)
			break;
	}
	return n;
}

static int set_item(const struct kmem_option_group *groups, const char *item,
		    size_t length, void *config)
{
	const char *equals = memchr(item, '=', length);
	size_t name_length = equals != NULL ? (size_t)(equals - item) : length;
	/* On the stack: a library that is itself the program's malloc parses options,
	 * too. */
	char name[NAME_BYTES], value[VALUE_BYTES];
	size_t value_length;

	if (name_length == 0)
		return kmem_error(
			-EINVAL,
			"an option has no name in '%.*s': write name=value,name=value",
			(int)length, item);
	if (name_length >= sizeof(name))
		return kmem_error(-EINVAL, "unknown option '%.*s': the name is too long",
				  (int)name_length, item);
	memcpy(name, item, name_length);
	name[name_length] = '\0';
	if (equals == NULL)
		return option_needs_value(groups, name);
	value_length = length - name_length - 1;
	if (value_length >= sizeof(value))
		return kmem_error(-EINVAL,
				  "the value of option '%s' is longer than %d bytes",
				  name, VALUE_BYTES - 1);
	memcpy(value, equals + 1, value_length);
	value[value_length] = '\0';
	return kmem_options_set(groups, name, value, config);
}

int kmem_options_parse(const struct kmem_option_group *groups, const char *text,
		       void *config)
{
	if (*text == '\0')
		return 0;
	for (;;) {
		size_t length = item_length(text);
		int err = set_item(groups, text, length, config);

		if (err != 0 || text[length] == '\0')
			return err;
		text += length + 1;
	}
}

int option_needs_value(const struct kmem_option_group *groups, const char *name)
{
	struct lookup l = {.name = name};
	char legal[OPTION_LIST_BYTES];

	if (kmem_options_each(groups, lookup_one, &l) == 0)
		return unknown_option(&l);
	option_legal_values(l.option, legal, sizeof(legal));
	return kmem_error(-EINVAL,
			  "option '%s' needs a value: write '%s=VALUE'; it takes %s",
			  name, name, legal);
}

/* --- defaults and release --- */

static int set_default(const struct kmem_option *option, size_t base, void *arg)
{
	void *field = (char *)arg + base + option->offset;

	if (option->initial == NULL && option->type != KMEM_OPT_STRING)
		return kmem_error(-EINVAL, "the table of option '%s' lacks its default",
				  option->name);
	return option_parse_value(option, option->initial != NULL ? option->initial : "",
				  field);
}

/* Strings first, so that a failure leaves nothing undefined to release. */
static int set_empty(const struct kmem_option *option, size_t base, void *arg)
{
	if (option->type == KMEM_OPT_STRING)
		*(const char **)((char *)arg + base + option->offset) =
			option_empty_string;
	return 0;
}

int kmem_options_defaults(const struct kmem_option_group *groups, void *config)
{
	int err;

	kmem_options_each(groups, set_empty, config);
	err = kmem_options_each(groups, set_default, config);
	if (err != 0)
		kmem_options_release(groups, config);
	return err;
}

static int release_one(const struct kmem_option *option, size_t base, void *arg)
{
	const char **field = (const char **)((char *)arg + base + option->offset);

	if (option->type == KMEM_OPT_STRING) {
		option_free_string(*field);
		*field = option_empty_string;
	}
	return 0;
}

void kmem_options_release(const struct kmem_option_group *groups, void *config)
{
	kmem_options_each(groups, release_one, config);
}
