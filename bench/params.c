/* SPDX-License-Identifier: MIT */
/* A cell's parameters as the results name them: see params.h. */
#include "bench/params.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct target {
	json_t *object;
	const char *config;
};

/* FNV-1a of a file's contents; false when it cannot be read. */
static bool hash_file(const char *path, uint64_t *hash)
{
	unsigned char chunk[65536];
	FILE *file = fopen(path, "re");
	size_t n;

	if (file == NULL)
		return false;
	*hash = 0xcbf29ce484222325u;
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
		for (size_t i = 0; i < n; i++)
			*hash = (*hash ^ chunk[i]) * 0x100000001b3u;
	}
	fclose(file);
	return true;
}

static int add_param(const struct kmem_option *option, size_t base, void *arg)
{
	const struct target *target = arg;
	const char *slash;
	char value[4096], named[512];
	uint64_t hash;

	kmem_option_format(option, target->config + base, value, sizeof(value));
	if (option->type == KMEM_OPT_STRING && value[0] != '\0' &&
	    hash_file(value, &hash)) {
		slash = strrchr(value, '/');
		snprintf(named, sizeof(named), "%.400s@%016" PRIx64,
			 slash != NULL ? slash + 1 : value, hash);
		json_object_set_new(target->object, option->name, json_string(named));
	} else {
		json_object_set_new(target->object, option->name, json_string(value));
	}
	return 0;
}

json_t *params_json(const struct workload_run *run)
{
	struct target target = {json_object(), run->params};

	if (run->size_bytes != 0)
		json_object_set_new(target.object, "size",
				    json_integer((json_int_t)run->size_bytes));
	json_object_set_new(target.object, "touch",
			    json_string(touch_rule_names[run->touch]));
	json_object_set_new(target.object, "check", json_boolean(run->check));
	kmem_options_each(run->workload->params, add_param, &target);
	return target.object;
}
