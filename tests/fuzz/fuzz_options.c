/* SPDX-License-Identifier: MIT */
/*
 * Option lists, sizes and specifications from arbitrary bytes. Whatever parses must
 * format to a text that parses to the same value; whatever does not must leave a
 * message and no memory behind.
 */
#include <stdlib.h>
#include <string.h>

#include <kmem/allocator.h>
#include <kmem/error.h>
#include <kmem/options.h>

struct fuzz_config {
	bool flag;
	uint64_t count, bytes;
	double rate;
	int choice;
	const char *text;
};

static const char *const choices[] = {"first", "second", NULL};
static const struct kmem_option options[] = {
	{.name = "flag",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct fuzz_config, flag),
	 .initial = "on"},
	{.name = "count",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct fuzz_config, count),
	 .initial = "1",
	 .min = 1,
	 .max = 1000},
	{.name = "bytes",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct fuzz_config, bytes),
	 .initial = "4K"},
	{.name = "rate",
	 .type = KMEM_OPT_FLOAT,
	 .offset = offsetof(struct fuzz_config, rate),
	 .initial = "0.5"},
	{.name = "choice",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct fuzz_config, choice),
	 .initial = "first",
	 .choices = choices},
	{.name = "text",
	 .type = KMEM_OPT_STRING,
	 .offset = offsetof(struct fuzz_config, text),
	 .initial = ""},
	KMEM_OPTION_END,
};
static const struct kmem_option_group groups[] = {{options, 0}, {NULL, 0}};

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* Formats one option and reads it back. */
static int reads_back(const struct kmem_option *option, size_t base, void *arg)
{
	char text[8192], again[8192];
	struct fuzz_config copy;

	(void)base;
	require(kmem_options_defaults(groups, &copy) == 0);
	kmem_option_format(option, arg, text, sizeof(text));
	require(kmem_options_set(groups, option->name, text, &copy) == 0);
	kmem_option_format(option, &copy, again, sizeof(again));
	require(strcmp(text, again) == 0);
	kmem_options_release(groups, &copy);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"flag", "count", "bytes", "rate", "choice"};
	struct fuzz_config config;
	char *text = strndup((const char *)data, size);
	uint64_t bytes;

	require(text != NULL && kmem_options_defaults(groups, &config) == 0);
	if (kmem_options_parse(groups, text, &config) == 0)
		kmem_options_each(groups, reads_back, &config);
	else
		require(kmem_last_error()[0] != '\0');
	kmem_options_release(groups, &config);
	if (kmem_parse_size(text, &bytes) == 0)
		require(bytes != 0 || strpbrk(text, "123456789") == NULL);
	kmem_nearest_name(text, names, KMEM_ARRAY_SIZE(names));
	allocator_spec_check(text, NULL);
	free(text);
	return 0;
}
