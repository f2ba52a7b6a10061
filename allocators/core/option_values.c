/* SPDX-License-Identifier: MIT */
/* Values of options: text to value, value to text, and what a value may be. */
#include "allocators/core/options_internal.h"
#include <kmem/error.h>

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char size_suffixes[] = "KMGT"; /* 2^10, 2^20, 2^30, 2^40 */

static const char *const true_names[] = {"on", "yes", "true", "1"};
static const char *const false_names[] = {"off", "no", "false", "0"};

void option_free_string(const char *s)
{
	if (s != option_empty_string)
		free((void *)(uintptr_t)s);
}

void option_join_names(char *buf, size_t size, const char *const *names, size_t count,
		       const char *conjunction)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < count && used < size; i++) {
		const char *last = i + 1 == count && i > 0 ? " " : "";
		int n = snprintf(buf + used, size - used, "%s%s%s%s%s",
				 i == 0 || *last != '\0' ? "" : ", ", last,
				 *last != '\0' ? conjunction : "", last, names[i]);

		used += (size_t)n;
	}
}

/* --- numbers --- */

/*
 * Reads decimal digits. The number of digits read, 0 when there are none, or
 * -ERANGE when the value does not fit. Signs and blanks are no digits.
 */
static int read_digits(const char *text, uint64_t *value)
{
	int n;

	*value = 0;
	for (n = 0; isdigit((unsigned char)text[n]); n++) {
		if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(text[n] - '0'), value))
			return -ERANGE;
	}
	return n;
}

/* Reads "", "B", "K", "KiB", ... as a shift; -1 for anything else. */
static int read_size_suffix(const char *text)
{
	const char *p;

	if (*text == '\0' || strcasecmp(text, "b") == 0)
		return 0;
	p = strchr(size_suffixes, toupper((unsigned char)*text));
	if (p == NULL || (text[1] != '\0' && strcasecmp(text + 1, "ib") != 0))
		return -1;
	return 10 * (int)(p - size_suffixes + 1);
}

/* digits of a fraction, scaled by 2^shift, when that is a whole number; else false. */
static bool scale_fraction(const char *digits, int count, int shift, uint64_t *bytes)
{
	uint64_t fraction = 0;
	uint64_t divisor = 1;
	unsigned __int128 scaled;

	if (count > 18) /* 10^18 is the largest power of ten that fits beside the shift */
		return false;
	for (int i = 0; i < count; i++) {
		fraction = fraction * 10 + (uint64_t)(digits[i] - '0');
		divisor *= 10;
	}
	scaled = (unsigned __int128)fraction << shift;
	*bytes = (uint64_t)(scaled / divisor);
	return scaled % divisor == 0;
}

int kmem_parse_size(const char *text, uint64_t *bytes)
{
	uint64_t whole, sum, part = 0;
	const char *fraction = NULL;
	int fraction_digits = 0;
	int n = read_digits(text, &whole);
	const char *rest = text;
	int shift;

	if (n == -ERANGE)
		return kmem_error(-EINVAL, "size '%s' does not fit 64 bits", text);
	rest += n;
	if (n > 0 && *rest == '.') {
		fraction = ++rest;
		while (isdigit((unsigned char)*rest))
			rest++;
		fraction_digits = (int)(rest - fraction);
	}
	shift = read_size_suffix(rest);
	if (n == 0 || shift < 0 || (fraction != NULL && fraction_digits == 0))
		return kmem_error(
			-EINVAL,
			"'%s' is not a size: write bytes, or a number with K, M, G "
			"or T (powers of 1024) such as 64K",
			text);
	if (fraction != NULL && !scale_fraction(fraction, fraction_digits, shift, &part))
		return kmem_error(-EINVAL, "size '%s' is not a whole number of bytes",
				  text);
	if (whole > UINT64_MAX >> shift ||
	    __builtin_add_overflow(whole << shift, part, &sum))
		return kmem_error(-EINVAL, "size '%s' does not fit 64 bits", text);
	*bytes = sum;
	return 0;
}

/* --- legal values --- */

static void format_bound(const struct kmem_option *option, uint64_t bound, char *buf,
			 size_t size)
{
	int shift = 0;

	if (option->type == KMEM_OPT_SIZE && bound != 0) {
		while (shift < 40 && bound % 1024 == 0) {
			bound /= 1024;
			shift += 10;
		}
	}
	if (shift == 0)
		snprintf(buf, size, "%llu", (unsigned long long)bound);
	else
		snprintf(buf, size, "%llu%c", (unsigned long long)bound,
			 size_suffixes[shift / 10 - 1]);
}

static void legal_numbers(const struct kmem_option *option, char *buf, size_t size)
{
	const char *what = option->type == KMEM_OPT_SIZE ? "a size in bytes (64K, 1.5M)"
							 : "a whole number";
	char min[32], max[32];

	format_bound(option, option->min, min, sizeof(min));
	format_bound(option, option->max, max, sizeof(max));
	if (option->max != 0)
		snprintf(buf, size, "%s from %s to %s", what, min, max);
	else if (option->min != 0)
		snprintf(buf, size, "%s, %s or more", what, min);
	else
		snprintf(buf, size, "%s", what);
}

static size_t choices_count(const struct kmem_option *option)
{
	size_t n = 0;

	while (option->choices[n] != NULL)
		n++;
	return n;
}

void option_legal_values(const struct kmem_option *option, char *buf, size_t size)
{
	switch (option->type) {
	case KMEM_OPT_BOOL: snprintf(buf, size, "on or off"); break;
	case KMEM_OPT_UINT:
	case KMEM_OPT_SIZE: legal_numbers(option, buf, size); break;
	case KMEM_OPT_FLOAT: snprintf(buf, size, "a number such as 0.5"); break;
	case KMEM_OPT_ENUM:
		option_join_names(buf, size, option->choices, choices_count(option),
				  "or");
		break;
	case KMEM_OPT_STRING: snprintf(buf, size, "any text"); break;
	}
}

static int illegal_value(const struct kmem_option *option, const char *value)
{
	char legal[OPTION_LIST_BYTES];
	const char *nearest = NULL;

	option_legal_values(option, legal, sizeof(legal));
	if (option->type == KMEM_OPT_ENUM)
		nearest = kmem_nearest_name(value, option->choices,
					    choices_count(option));
	if (nearest != NULL)
		return kmem_error(
			-EINVAL,
			"option '%s' cannot be '%s': did you mean '%s'? it takes %s",
			option->name, value, nearest, legal);
	return kmem_error(-EINVAL, "option '%s' cannot be '%s': it takes %s",
			  option->name, value, legal);
}

/* --- text to value --- */

static int parse_bool(const char *value, bool *out)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(true_names); i++) {
		if (strcasecmp(value, true_names[i]) == 0) {
			*out = true;
			return 0;
		}
		if (strcasecmp(value, false_names[i]) == 0) {
			*out = false;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_bounded(const struct kmem_option *option, const char *value,
			 uint64_t *out)
{
	uint64_t number;

	if (option->type == KMEM_OPT_SIZE) {
		if (kmem_parse_size(value, &number) != 0)
			return -EINVAL;
	} else {
		int digits = read_digits(value, &number);

		if (digits <= 0 || value[digits] != '\0')
			return -EINVAL;
	}
	if (number < option->min || (option->max != 0 && number > option->max))
		return -EINVAL;
	*out = number;
	return 0;
}

static int parse_float(const char *value, double *out)
{
	char *end;
	double number;

	/* strtod() also takes blanks, hexadecimal, "inf" and "nan": none is meant here.
	 */
	if (value[strspn(value, "+-.0123456789eE")] != '\0')
		return -EINVAL;
	number = strtod(value, &end);
	if (end == value || *end != '\0' || !isfinite(number))
		return -EINVAL;
	*out = number;
	return 0;
}

static int parse_choice(const struct kmem_option *option, const char *value, int *out)
{
	for (int i = 0; option->choices[i] != NULL; i++) {
		if (strcmp(value, option->choices[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int copy_string(const struct kmem_option *option, const char *value,
		       const char **out)
{
	const char *copy = option_empty_string;

	if (*value != '\0') {
		copy = strdup(value);
		if (copy == NULL)
			return kmem_error(-ENOMEM,
					  "no memory for the value of option '%s'",
					  option->name);
	}
	*out = copy;
	return 0;
}

int option_parse_value(const struct kmem_option *option, const char *value, void *field)
{
	int err = -EINVAL;

	switch (option->type) {
	case KMEM_OPT_BOOL: err = parse_bool(value, field); break;
	case KMEM_OPT_UINT:
	case KMEM_OPT_SIZE: err = parse_bounded(option, value, field); break;
	case KMEM_OPT_FLOAT: err = parse_float(value, field); break;
	case KMEM_OPT_ENUM: err = parse_choice(option, value, field); break;
	case KMEM_OPT_STRING: return copy_string(option, value, field);
	}
	return err == 0 ? 0 : illegal_value(option, value);
}

/* --- value to text --- */

static int format_float(double value, char *buf, size_t size)
{
	char shortest[32];

	/* The fewest digits that read back as the same value. */
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(shortest, sizeof(shortest), "%.*g", digits, value);
		if (strtod(shortest, NULL) == value)
			break;
	}
	return snprintf(buf, size, "%s", shortest);
}

int kmem_option_format(const struct kmem_option *option, const void *group_config,
		       char *buf, size_t size)
{
	const void *field = (const char *)group_config + option->offset;
	char number[32];

	switch (option->type) {
	case KMEM_OPT_BOOL:
		return snprintf(buf, size, "%s", *(const bool *)field ? "on" : "off");
	case KMEM_OPT_UINT:
	case KMEM_OPT_SIZE:
		format_bound(option, *(const uint64_t *)field, number, sizeof(number));
		return snprintf(buf, size, "%s", number);
	case KMEM_OPT_FLOAT: return format_float(*(const double *)field, buf, size);
	case KMEM_OPT_ENUM:
		return snprintf(buf, size, "%s", option->choices[*(const int *)field]);
	case KMEM_OPT_STRING:
		return snprintf(buf, size, "%s", *(const char *const *)field);
	}
	return snprintf(buf, size, "%s", "");
}
