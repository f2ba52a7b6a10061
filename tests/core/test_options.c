/* SPDX-License-Identifier: MIT */
/* Option tables: every type, every error text, formatting that reads back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kmem/error.h>
#include <kmem/options.h>

struct lower {
	bool percpu;
	uint64_t limit;
	uint64_t range_bytes;
};

struct upper {
	double rate;
	int search;
	const char *topology;
	struct lower lower;
};

static const char *const searches[] = {"tree", "list", NULL};

static const struct kmem_option lower_options[] = {
	{.name = "percpu",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct lower, percpu),
	 .initial = "on"},
	{.name = "limit",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct lower, limit),
	 .initial = "120",
	 .min = 1,
	 .max = 4096},
	{.name = "range_bytes",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct lower, range_bytes),
	 .initial = "64K",
	 .min = 4096},
	KMEM_OPTION_END,
};
static const struct kmem_option upper_options[] = {
	{.name = "rate",
	 .type = KMEM_OPT_FLOAT,
	 .offset = offsetof(struct upper, rate),
	 .initial = "0.5"},
	{.name = "search",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct upper, search),
	 .initial = "tree",
	 .choices = searches},
	{.name = "topology",
	 .type = KMEM_OPT_STRING,
	 .offset = offsetof(struct upper, topology),
	 .initial = ""},
	KMEM_OPTION_END,
};
/* As an allocator does that lists the options of the layer below. */
static const struct kmem_option_group groups[] = {
	{upper_options, 0},
	{lower_options, offsetof(struct upper, lower)},
	{NULL, 0},
};

static struct upper config;

static int with_defaults(void **state)
{
	(void)state;
	/* Defaults must not read what was there. */
	memset(&config, 0xa5, sizeof(config));
	return kmem_options_defaults(groups, &config);
}

static int release(void **state)
{
	(void)state;
	kmem_options_release(groups, &config);
	return 0;
}

static void expect_error(const char *text, const char *message)
{
	assert_int_equal(kmem_options_parse(groups, text, &config), -EINVAL);
	assert_string_equal(kmem_last_error(), message);
}

static void defaults_fill_all_groups(void **state)
{
	(void)state;
	assert_true(config.lower.percpu);
	assert_int_equal(config.lower.limit, 120);
	assert_int_equal(config.lower.range_bytes, 65536);
	assert_true(config.rate == 0.5);
	assert_int_equal(config.search, 0);
	assert_string_equal(config.topology, "");
}

static void a_list_sets_every_type(void **state)
{
	(void)state;
	assert_int_equal(
		kmem_options_parse(groups,
				   "percpu=off,limit=7,range_bytes=1.5M,rate=-2.5e-1,"
				   "search=list,topology=numa:2 core:4",
				   &config),
		0);
	assert_false(config.lower.percpu);
	assert_int_equal(config.lower.limit, 7);
	assert_int_equal(config.lower.range_bytes, 3 << 19);
	assert_true(config.rate == -0.25);
	assert_int_equal(config.search, 1);
	assert_string_equal(config.topology, "numa:2 core:4");
}

static void an_empty_list_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(kmem_options_parse(groups, "", &config), 0);
	assert_int_equal(config.lower.limit, 120);
}

static void the_last_of_two_wins(void **state)
{
	(void)state;
	assert_int_equal(kmem_options_parse(groups,
					    "topology=a,topology=b,limit=1,limit=2",
					    &config),
			 0);
	assert_string_equal(config.topology, "b");
	assert_int_equal(config.lower.limit, 2);
}

static void commas_in_parentheses_belong_to_the_value(void **state)
{
	(void)state;
	assert_int_equal(kmem_options_parse(groups,
					    "topology=numa:2(indexes=1,0) pu:2,limit=3",
					    &config),
			 0);
	assert_string_equal(config.topology, "numa:2(indexes=1,0) pu:2");
	assert_int_equal(config.lower.limit, 3);
}

static void a_value_may_hold_an_equals_sign_or_nothing(void **state)
{
	(void)state;
	assert_int_equal(kmem_options_parse(groups, "topology=a=b", &config), 0);
	assert_string_equal(config.topology, "a=b");
	assert_int_equal(kmem_options_parse(groups, "topology=", &config), 0);
	assert_string_equal(config.topology, "");
}

static void booleans_have_eight_names(void **state)
{
	static const char *const names[] = {"off",   "on",   "no", "yes",
					    "false", "true", "0",  "1"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		assert_int_equal(kmem_options_set(groups, "percpu", names[i], &config),
				 0);
		assert_int_equal(config.lower.percpu, i % 2);
	}
}

static void errors_name_option_and_remedy(void **state)
{
	(void)state;
	expect_error("prcpu=off",
		     "unknown option 'prcpu': did you mean 'percpu'? known are rate, "
		     "search, topology, percpu, limit and range_bytes");
	expect_error("zzzzzz=1",
		     "unknown option 'zzzzzz': known are rate, search, topology, "
		     "percpu, limit and range_bytes");
	expect_error("percpu=maybe",
		     "option 'percpu' cannot be 'maybe': it takes on or off");
	expect_error(
		"limit=0",
		"option 'limit' cannot be '0': it takes a whole number from 1 to 4096");
	expect_error(
		"limit=4097",
		"option 'limit' cannot be '4097': it takes a whole number from 1 to 4096");
	expect_error("range_bytes=1K",
		     "option 'range_bytes' cannot be '1K': it takes a size in "
		     "bytes (64K, 1.5M), 4K or more");
	expect_error("rate=fast",
		     "option 'rate' cannot be 'fast': it takes a number such as 0.5");
	expect_error(
		"search=lst",
		"option 'search' cannot be 'lst': did you mean 'list'? it takes tree or list");
	expect_error("search=hash",
		     "option 'search' cannot be 'hash': it takes tree or list");
	expect_error(
		"percpu",
		"option 'percpu' needs a value: write 'percpu=VALUE'; it takes on or off");
	expect_error("=3", "an option has no name in '=3': write name=value,name=value");
	expect_error("limit=3,",
		     "an option has no name in '': write name=value,name=value");
}

static void numbers_are_decimal_and_unsigned(void **state)
{
	static const char *const bad[] = {
		"",	"-1",  "+1",  " 1", "1 ",
		"0x10", "1e3", "1.0", "a",  "18446744073709551616"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bad); i++)
		assert_int_equal(kmem_options_set(groups, "limit", bad[i], &config),
				 -EINVAL);
	assert_int_equal(config.lower.limit, 120);
}

static void sizes_of_options_are_sizes(void **state)
{
	(void)state;
	expect_error("range_bytes=64Q",
		     "option 'range_bytes' cannot be '64Q': it takes a size in bytes "
		     "(64K, 1.5M), 4K or more");
}

static void floats_are_finite(void **state)
{
	static const char *const bad[] = {"",	   "nan", "inf", "1e999",
					  "0x1p3", "1,5", " 1",	 "1 "};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bad); i++)
		assert_int_equal(kmem_options_set(groups, "rate", bad[i], &config),
				 -EINVAL);
	assert_true(config.rate == 0.5);
}

static void a_failed_value_leaves_the_field(void **state)
{
	(void)state;
	assert_int_equal(kmem_options_parse(groups, "topology=kept,limit=9999", &config),
			 -EINVAL);
	assert_string_equal(config.topology, "kept");
	assert_int_equal(config.lower.limit, 120);
}

static void a_table_without_options_says_so(void **state)
{
	(void)state;
	assert_int_equal(kmem_options_defaults(NULL, NULL), 0);
	assert_int_equal(kmem_options_parse(NULL, "", NULL), 0);
	assert_int_equal(kmem_options_parse(NULL, "a=1", NULL), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "unknown option 'a': there are no options here");
	kmem_options_release(NULL, NULL);
}

static void a_wrong_default_is_reported(void **state)
{
	static const struct kmem_option table[] = {
		{.name = "name", .type = KMEM_OPT_STRING, .offset = 0, .initial = "text"},
		{.name = "broken", .type = KMEM_OPT_UINT, .offset = 8},
		KMEM_OPTION_END,
	};
	static const struct kmem_option_group group[] = {{table, 0}, {NULL, 0}};
	uint64_t fields[2];

	(void)state;
	assert_int_equal(kmem_options_defaults(group, fields), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "the table of option 'broken' lacks its default");
}

static void very_long_texts_are_refused(void **state)
{
	char text[6000];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(kmem_options_parse(groups, text, &config), -EINVAL);
	memcpy(text, "topology=", 9);
	assert_int_equal(kmem_options_parse(groups, text, &config), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "the value of option 'topology' is longer than 4095 bytes");
}

/* --- formatting --- */

static int reads_back(const struct kmem_option *option, size_t base, void *arg)
{
	struct upper copy;
	char buf[128], again[128];

	(void)arg;
	assert_int_equal(kmem_options_defaults(groups, &copy), 0);
	kmem_option_format(option, (const char *)&config + base, buf, sizeof(buf));
	assert_int_equal(kmem_options_set(groups, option->name, buf, &copy), 0);
	kmem_option_format(option, (const char *)&copy + base, again, sizeof(again));
	assert_string_equal(buf, again);
	kmem_options_release(groups, &copy);
	return 0;
}

static void formatted_values_read_back(void **state)
{
	(void)state;
	kmem_options_each(groups, reads_back, NULL);
	assert_int_equal(kmem_options_parse(groups,
					    "percpu=no,limit=4096,range_bytes=4097,"
					    "rate=0.1,search=list,topology=x y",
					    &config),
			 0);
	kmem_options_each(groups, reads_back, NULL);
}

static void values_look_as_typed(void **state)
{
	char buf[64];

	(void)state;
	kmem_option_format(&lower_options[0], &config.lower, buf, sizeof(buf));
	assert_string_equal(buf, "on");
	kmem_option_format(&lower_options[2], &config.lower, buf, sizeof(buf));
	assert_string_equal(buf, "64K");
	kmem_option_format(&upper_options[0], &config, buf, sizeof(buf));
	assert_string_equal(buf, "0.5");
	config.lower.range_bytes = (uint64_t)3 << 40;
	kmem_option_format(&lower_options[2], &config.lower, buf, sizeof(buf));
	assert_string_equal(buf, "3T");
	config.lower.range_bytes = 0;
	assert_int_equal(
		kmem_option_format(&lower_options[2], &config.lower, buf, sizeof(buf)),
		1);
	assert_string_equal(buf, "0");
}

/* --- sizes --- */

static void sizes_have_binary_suffixes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"4096B", 4096},
		{"64K", 65536},
		{"64k", 65536},
		{"64KiB", 65536},
		{"1.5MiB", 1572864},
		{"0.5K", 512},
		{"2G", (uint64_t)2 << 30},
		{"3T", (uint64_t)3 << 40},
		{"1.000", 1},
		{"18446744073709551615", UINT64_MAX},
		{"16777215.9990234375T", UINT64_MAX - ((uint64_t)1 << 30) + 1},
	};
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(good); i++) {
		assert_int_equal(kmem_parse_size(good[i].text, &bytes), 0);
		assert_true(bytes == good[i].bytes);
	}
}

static void bad_sizes_are_explained(void **state)
{
	static const char *const not_sizes[] = {"",	 "K",	"64KB", "64 K",
						"-1",	 ".5K", "5.K",	"1..2",
						"1.5.2", "64P", "0x40", "1e3"};
	uint64_t bytes = 77;
	char message[200];

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(not_sizes); i++) {
		assert_int_equal(kmem_parse_size(not_sizes[i], &bytes), -EINVAL);
		snprintf(
			message, sizeof(message),
			"'%s' is not a size: write bytes, or a number with K, M, G or T (powers "
			"of 1024) such as 64K",
			not_sizes[i]);
		assert_string_equal(kmem_last_error(), message);
	}
	assert_int_equal(kmem_parse_size("0.3K", &bytes), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "size '0.3K' is not a whole number of bytes");
	/* More digits than any whole number of bytes has. */
	assert_int_equal(kmem_parse_size("0.5000000000000000000K", &bytes), -EINVAL);
	assert_string_equal(
		kmem_last_error(),
		"size '0.5000000000000000000K' is not a whole number of bytes");
	assert_int_equal(kmem_parse_size("16777216T", &bytes), -EINVAL);
	assert_string_equal(kmem_last_error(), "size '16777216T' does not fit 64 bits");
	assert_int_equal(kmem_parse_size("99999999999999999999", &bytes), -EINVAL);
	assert_int_equal(bytes, 77);
}

#define with_config(test_) cmocka_unit_test_setup_teardown(test_, with_defaults, release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_config(defaults_fill_all_groups),
		with_config(a_list_sets_every_type),
		with_config(an_empty_list_changes_nothing),
		with_config(the_last_of_two_wins),
		with_config(commas_in_parentheses_belong_to_the_value),
		with_config(a_value_may_hold_an_equals_sign_or_nothing),
		with_config(booleans_have_eight_names),
		with_config(errors_name_option_and_remedy),
		with_config(numbers_are_decimal_and_unsigned),
		with_config(sizes_of_options_are_sizes),
		with_config(floats_are_finite),
		with_config(a_failed_value_leaves_the_field),
		cmocka_unit_test(a_table_without_options_says_so),
		cmocka_unit_test(a_wrong_default_is_reported),
		with_config(very_long_texts_are_refused),
		with_config(formatted_values_read_back),
		with_config(values_look_as_typed),
		cmocka_unit_test(sizes_have_binary_suffixes),
		cmocka_unit_test(bad_sizes_are_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
