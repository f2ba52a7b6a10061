/* SPDX-License-Identifier: MIT */
#include "workloads/harness/size_list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kmem/error.h>
#include <kmem/options.h>

/* Longer than any number with its suffix. */
#define PART_MAX 32

int size_list_parse(const char *text, struct size_list *list)
{
	const char *part = text;

	list->count = 0;
	for (;;) {
		size_t length = strcspn(part, "+");
		char number[PART_MAX];
		uint64_t bytes;

		if (length == 0 || length >= sizeof(number))
			return kmem_error(
				-EINVAL,
				"'%s' is no list of sizes: join numbers by '+', "
				"such as 16+64+4K",
				text);
		if (list->count == SIZE_LIST_MAX)
			return kmem_error(-EINVAL,
					  "'%s' has more than %u sizes: give fewer", text,
					  SIZE_LIST_MAX);
		snprintf(number, sizeof(number), "%.*s", (int)length, part);
		if (kmem_parse_size(number, &bytes) != 0)
			return -EINVAL;
		list->bytes[list->count++] = bytes;
		if (part[length] == '\0')
			return 0;
		part += length + 1;
	}
}

uint64_t size_list_max(const struct size_list *list)
{
	uint64_t max = 0;

	for (unsigned int i = 0; i < list->count; i++)
		if (list->bytes[i] > max)
			max = list->bytes[i];
	return max;
}
