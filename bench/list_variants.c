/* SPDX-License-Identifier: MIT */
/*
 * `list options ALLOCATOR`: below the options, every variant that they make, as -a takes
 * it, in a line: what the help of its option says of that value.
 */
#include "bench/list_tables.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LINE_WIDTH 100

static const char *text_of(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return text != NULL ? text : "";
}

/* Characters, not bytes, of UTF-8 text. */
static int width_of(const char *text, size_t length)
{
	int width = 0;

	for (size_t i = 0; i < length; i++)
		width += ((unsigned char)text[i] & 0xc0) != 0x80;
	return width;
}

/*
 * The clause that begins with "VALUE: " or "VALUE, ", without these words, or the help's
 * first clause: then *own is false. Clauses end with ';'.
 */
static const char *clause_of(const char *help, const char *value, size_t *length,
			     bool *own)
{
	size_t n = strlen(value);

	for (const char *at = help; n > 0 && (at = strstr(at, value)) != NULL; at += n) {
		bool whole = at == help || at[-1] == ' ';

		if (whole && (at[n] == ':' || at[n] == ',') && at[n + 1] == ' ') {
			*length = strcspn(at + n + 2, ";");
			*own = true;
			return at + n + 2;
		}
	}
	*length = strcspn(help, ";");
	*own = false;
	return help;
}

/* What a clause says that the value goes with, "(needs highmem=0)": written behind the
 * value, so that the variant runs as it is named. *length 0: nothing. */
static const char *needs_of(const char *clause, size_t clause_length, size_t *length)
{
	static const char words[] = "(needs ";
	const char *at = strstr(clause, words);

	*length = 0;
	if (at == NULL || (size_t)(at - clause) >= clause_length)
		return "";
	at += sizeof(words) - 1;
	*length = strcspn(at, ")");
	return at;
}

/* "lower=lists", or "backing=private,highmem=0"; as snprintf(). */
static int format_setting(const json_t *option, const char *value, char *buf, size_t size)
{
	size_t length, needs_length;
	const char *needs;
	bool own;
	const char *clause = clause_of(text_of(option, "help"), value, &length, &own);

	needs = needs_of(clause, own ? length : 0, &needs_length);
	return snprintf(buf, size, "%s=%s%s%.*s", text_of(option, "name"), value,
			needs_length > 0 ? "," : "", (int)needs_length, needs);
}

/* "buddy:lower=lists  the free areas of Linux", cut where the line ends. */
static void print_variant(const char *allocator, const json_t *option, const char *value,
			  int name_width)
{
	int room = LINE_WIDTH - name_width - 4, printed;
	size_t length, kept = 0;
	char setting[128];
	bool own;
	const char *clause = clause_of(text_of(option, "help"), value, &length, &own);
	const char *lead = !own && strcmp(value, "off") == 0 ? "not: " : "";

	format_setting(option, value, setting, sizeof(setting));
	printed = printf("  %s:%s", allocator, setting) - 2;
	printf("%*s  %s", name_width > printed ? name_width - printed : 0, "", lead);
	room -= (int)strlen(lead);
	while (kept < length && width_of(clause, kept + 1) <= room)
		kept++;
	/* At a word's end, with room for what says so. */
	while (kept < length && kept > 0 &&
	       (clause[kept] != ' ' || width_of(clause, kept) > room - 2))
		kept--;
	printf("%.*s%s\n", (int)kept, clause, kept < length ? " …" : "");
}

static int variant_width(const char *allocator, const json_t *option, const char *value)
{
	return (int)strlen(allocator) + 1 + format_setting(option, value, NULL, 0);
}

/* What stands for the values of an option that has no choices. */
static const char *metavariable(const json_t *option)
{
	const char *type = text_of(option, "type");

	return strcmp(type, "size") == 0     ? "BYTES"
	       : strcmp(type, "string") == 0 ? "TEXT"
					     : "N";
}

/* Calls print_variant(), or only measures where width is given. */
static void each_variant(const char *allocator, const json_t *options, int *width,
			 int name_width)
{
	size_t i, k;
	const json_t *option, *choice;

	json_array_foreach (options, i, option) {
		const json_t *choices = json_object_get(option, "choices");
		const char *names[32] = {NULL};
		size_t n = 0;

		json_array_foreach (choices, k, choice) {
			const char *name = json_string_value(choice);

			if (strcmp(name, text_of(option, "default")) != 0 &&
			    n < sizeof(names) / sizeof(names[0]))
				names[n++] = name;
		}
		if (json_array_size(choices) == 0)
			names[n++] = metavariable(option);
		for (k = 0; k < n; k++) {
			int w = variant_width(allocator, option, names[k]);

			if (width == NULL)
				print_variant(allocator, option, names[k], name_width);
			else if (w > *width)
				*width = w;
		}
	}
}

void list_variants_print(const char *allocator, const json_t *options)
{
	int width = 0;

	each_variant(allocator, options, &width, 0);
	printf("variants of '%s', each against '%s' itself; several options divide by ','\n",
	       allocator, allocator);
	each_variant(allocator, options, NULL, width);
}
