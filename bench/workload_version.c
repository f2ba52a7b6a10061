/* SPDX-License-Identifier: MIT */
/* A hash of a workload's definition: see workload_version.h. */
#include "bench/workload_version.h"

#include <inttypes.h>
#include <stdio.h>

/* FNV-1a; the end of a text counts, so that "ab","c" is not "a","bc". */
static void add_text(uint64_t *hash, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		*hash = (*hash ^ (unsigned char)*text) * 0x100000001b3u;
	*hash = (*hash ^ 0xff) * 0x100000001b3u;
}

static void add_number(uint64_t *hash, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	add_text(hash, text);
}

static int add_option(const struct kmem_option *option, size_t base, void *arg)
{
	uint64_t *hash = arg;

	(void)base;
	add_text(hash, option->name);
	add_text(hash, option->initial);
	add_text(hash, option->help);
	add_number(hash, (uint64_t)option->type);
	add_number(hash, option->min);
	add_number(hash, option->max);
	return 0;
}

const char *workload_version(const struct workload_ops *workload, char *buf, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325u;

	add_text(&hash, workload->name);
	add_text(&hash, workload->description);
	add_text(&hash, workload->op);
	add_text(&hash, workload->default_sizes);
	add_number(&hash, workload->size_min_bytes);
	add_number(&hash, workload->size_max_bytes);
	add_number(&hash, (uint64_t)workload->default_touch);
	kmem_options_each(workload->params, add_option, &hash);
	snprintf(buf, size, "%016" PRIx64, hash);
	return buf;
}
