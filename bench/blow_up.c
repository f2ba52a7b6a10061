/* SPDX-License-Identifier: MIT */
#include "bench/blow_up.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/json_set.h"

/*
 * "wset/slab/threads:2/check" of block 3 as "3 wset/slab/threads:1/check"; NULL without
 * such a part. The caller frees it.
 */
static char *key_with_one_thread(const json_t *entry)
{
	static const char part[] = "/threads:";
	const char *name = json_string_value(json_object_get(entry, "name")), *at;
	size_t size;
	char *key;

	at = name != NULL ? strstr(name, part) : NULL;
	if (at == NULL)
		return NULL;
	at += sizeof(part) - 1;
	size = strlen(name) + 32;
	key = malloc(size);
	if (key == NULL)
		abort();
	snprintf(
		key, size, "%lld %.*s1%s",
		(long long)json_integer_value(json_object_get(entry, "repetition_index")),
		(int)(at - name), name, at + strspn(at, "0123456789"));
	return key;
}

/* max R of a memory pass; 0: there was none, or blocks overlap. */
static double max_r(const json_t *entry)
{
	if (json_object_get(entry, "space_ratio") == NULL)
		return 0;
	return json_number_value(json_object_get(entry, "rss_bytes_peak"));
}

static void note_single(json_t *singles, const json_t *entry)
{
	char *key;

	if (json_integer_value(json_object_get(entry, "threads")) != 1 ||
	    max_r(entry) <= 0)
		return;
	key = key_with_one_thread(entry);
	if (key != NULL)
		json_object_set_new(singles, key, json_real(max_r(entry)));
	free(key);
}

static void add_ratio(const json_t *singles, json_t *entry)
{
	double alone;
	char *key;

	json_object_del(entry, "blow_up");
	if (json_integer_value(json_object_get(entry, "threads")) <= 1 ||
	    max_r(entry) <= 0)
		return;
	key = key_with_one_thread(entry);
	alone = key != NULL ? json_number_value(json_object_get(singles, key)) : 0;
	if (alone > 0)
		json_set_real(entry, "blow_up", max_r(entry) / alone);
	free(key);
}

void blow_up_add(json_t *benchmarks)
{
	json_t *singles = json_object(), *entry;
	size_t i;

	json_array_foreach (benchmarks, i, entry)
		note_single(singles, entry);
	json_array_foreach (benchmarks, i, entry)
		add_ratio(singles, entry);
	json_decref(singles);
}
