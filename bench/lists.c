/* SPDX-License-Identifier: MIT */
/* Splitting lists: see lists.h. */
#include "bench/lists.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>
#include <kmem/options.h>

void string_list_release(struct string_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->item[i]);
	free(list->item);
	list->item = NULL;
	list->count = 0;
}

static int append(struct string_list *list, const char *start, size_t length)
{
	char **grown = realloc(list->item, (list->count + 1) * sizeof(*grown));
	char *copy = strndup(start, length);

	if (grown != NULL)
		list->item = grown;
	if (grown == NULL || copy == NULL) {
		free(copy);
		return kmem_error(-ENOMEM, "out of memory");
	}
	list->item[list->count++] = copy;
	return 0;
}

int list_split(const char *text, struct string_list *list)
{
	const char *p = text;

	memset(list, 0, sizeof(*list));
	for (;;) {
		const char *end = p + strcspn(p, ",");
		const char *next = *end == ',' ? end + 1 : NULL;

		while (p < end && isspace((unsigned char)*p))
			p++;
		while (end > p && isspace((unsigned char)end[-1]))
			end--;
		if (end == p) {
			string_list_release(list);
			return kmem_error(-EINVAL,
					  "the list '%s' has an empty item: put one "
					  "comma between two names, and none at its ends",
					  text);
		}
		if (append(list, p, (size_t)(end - p)) != 0) {
			string_list_release(list);
			return -ENOMEM;
		}
		if (next == NULL)
			return 0;
		p = next;
	}
}

static bool continues_options(const char *piece)
{
	const char *equals = strchr(piece, '=');
	const char *colon = strchr(piece, ':');

	return equals != NULL && (colon == NULL || colon > equals);
}

int list_split_specs(const char *text, struct string_list *list)
{
	int err = list_split(text, list);
	size_t kept = 0;

	if (err != 0)
		return err;
	for (size_t i = 0; i < list->count; i++) {
		char *piece = list->item[i];

		if (kept > 0 && continues_options(piece)) {
			char *name = list->item[kept - 1];
			size_t length = strlen(name) + strlen(piece) + 2;
			char *joined = malloc(length);

			if (joined == NULL)
				abort();
			strcpy(joined, name);
			/* "slab,percpu=off" reads like "slab:percpu=off". */
			strcat(joined, strchr(name, ':') != NULL ? "," : ":");
			strcat(joined, piece);
			free(name);
			free(piece);
			list->item[kept - 1] = joined;
		} else {
			list->item[kept++] = piece;
		}
	}
	list->count = kept;
	return 0;
}

static int add_number(uint64_t **values, size_t *count, uint64_t value)
{
	uint64_t *grown = realloc(*values, (*count + 1) * sizeof(*grown));

	if (grown == NULL)
		return kmem_error(-ENOMEM, "out of memory");
	grown[(*count)++] = value;
	*values = grown;
	return 0;
}

/* One item: a number, or "low..high" by doubling. */
static int add_item(char *item, const char *what, uint64_t **values, size_t *count)
{
	char *dots = strstr(item, "..");
	bool sizes = strcmp(what, "size") == 0;
	uint64_t low, high;
	int err = 0;

	if (dots != NULL)
		*dots = '\0';
	if (kmem_parse_size(item, &low) != 0 ||
	    (dots != NULL && kmem_parse_size(dots + 2, &high) != 0) || low == 0) {
		if (dots != NULL)
			*dots = '.';
		return kmem_error(-EINVAL,
				  "'%s' is not a %s: give a number such as %s, or a "
				  "range such as %s",
				  item, what, sizes ? "64 or 4K" : "2",
				  sizes ? "16..1K" : "1..8");
	}
	if (dots == NULL)
		return add_number(values, count, low);
	if (high < low)
		return kmem_error(-EINVAL, "the %s range '%s..%s' ends before it starts",
				  what, item, dots + 2);
	for (uint64_t v = low; err == 0; v *= 2) {
		err = add_number(values, count, v);
		if (v > high / 2) /* the next one, which might not fit 64 bits */
			break;
	}
	if (err == 0 && (*values)[*count - 1] != high)
		err = add_number(values, count, high);
	return err;
}

int list_numbers(const char *text, const char *what, uint64_t **values, size_t *count)
{
	struct string_list items;
	int err = list_split(text, &items);

	*values = NULL;
	*count = 0;
	for (size_t i = 0; err == 0 && i < items.count; i++)
		err = add_item(items.item[i], what, values, count);
	string_list_release(&items);
	if (err != 0) {
		free(*values);
		*values = NULL;
		*count = 0;
	}
	return err;
}
