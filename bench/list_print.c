/* SPDX-License-Identifier: MIT */
/* `list`: tables for people, aligned by their widest entry, wrapped at the line's end. */
#include "bench/list_tables.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_WIDTH_DEFAULT 100
#define LINE_WIDTH_LEAST   60

/* Of the terminal; a fixed width where there is none, so that output can be compared. */
static int line_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
	    size.ws_col == 0)
		return LINE_WIDTH_DEFAULT;
	return size.ws_col > LINE_WIDTH_LEAST ? size.ws_col - 1 : LINE_WIDTH_LEAST;
}

/* Words of text from column `indent` on; the cursor is there already. Ends the line. */
static void print_wrapped(const char *text, int indent)
{
	int width = line_width(), column = indent;

	while (*text != '\0') {
		int length = (int)strcspn(text, " ");

		if (column > indent && column + 1 + length > width) {
			printf("\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", length, text);
		column += length;
		text += length;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static const char *text_of(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return text != NULL ? text : "";
}

/* Width of the widest text of a column. */
static int column_width(const json_t *rows, const char *key)
{
	size_t i;
	json_t *row;
	int width = 0;

	json_array_foreach (rows, i, row) {
		int length = (int)strlen(text_of(row, key));

		if (length > width)
			width = length;
	}
	return width;
}

/* "a, b, c" of an array of strings or of objects with a name. */
static const char *joined(const json_t *array, char *buf, size_t size)
{
	size_t i, used = 0;
	json_t *item;

	buf[0] = '\0';
	json_array_foreach (array, i, item) {
		const char *name = json_is_object(item) ? text_of(item, "name")
							: json_string_value(item);

		if (used < size)
			used += (size_t)snprintf(buf + used, size - used, "%s%s",
						 i == 0 ? "" : ", ", name);
	}
	return buf;
}

/* A second line of an entry: "label: text", when there is text. */
static void print_detail(int indent, const char *label, const char *text)
{
	if (*text == '\0')
		return;
	printf("%*s%s: ", indent, "", label);
	print_wrapped(text, indent + (int)strlen(label) + 2);
}

void list_allocators_print(const json_t *allocators)
{
	int name_width = column_width(allocators, "name");
	int indent = 2 + name_width + 2;
	char buf[1024];
	size_t i;
	json_t *a;

	puts("allocators");
	json_array_foreach (allocators, i, a) {
		printf("  %-*s  ", name_width, text_of(a, "name"));
		print_wrapped(text_of(a, "description"), indent);
		if (!json_is_true(json_object_get(a, "available")))
			print_detail(indent, "not available", text_of(a, "reason"));
		print_detail(
			indent, "can",
			joined(json_object_get(a, "capabilities"), buf, sizeof(buf)));
		print_detail(indent, "options",
			     joined(json_object_get(a, "options"), buf, sizeof(buf)));
	}
}

void list_workloads_print(const json_t *workloads)
{
	int name_width = column_width(workloads, "name");
	int indent = 2 + name_width + 2;
	char buf[1024];
	size_t i;
	json_t *w;

	puts("workloads");
	json_array_foreach (workloads, i, w) {
		printf("  %-*s  ", name_width, text_of(w, "name"));
		print_wrapped(text_of(w, "description"), indent);
		print_detail(indent, "stresses", text_of(w, "stresses"));
		print_detail(indent, "not for", text_of(w, "not_for"));
		print_detail(indent, "after", text_of(w, "source"));
		print_detail(
			indent, "needs",
			joined(json_object_get(w, "capabilities"), buf, sizeof(buf)));
		snprintf(buf, sizeof(buf), "%s%s; threads %s; one operation: %s",
			 *text_of(w, "default_sizes") != '\0' ? "sizes "
							      : "its own sizes",
			 text_of(w, "default_sizes"), text_of(w, "default_threads"),
			 text_of(w, "op"));
		print_detail(indent, "default", buf);
		print_detail(indent, "parameters",
			     joined(json_object_get(w, "params"), buf, sizeof(buf)));
	}
}

void list_metrics_print(const json_t *metrics)
{
	int name_width = column_width(metrics, "name");
	int unit_width = column_width(metrics, "unit");
	size_t i;
	json_t *m;

	printf("%-*s  %-*s  %-7s  %s\n", name_width, "metric", unit_width, "unit",
	       "better", "definition");
	json_array_foreach (metrics, i, m) {
		printf("%-*s  %-*s  %-7s  ", name_width, text_of(m, "name"), unit_width,
		       text_of(m, "unit"), text_of(m, "better"));
		print_wrapped(text_of(m, "definition"), name_width + unit_width + 7 + 6);
	}
}

void list_options_print(const json_t *options)
{
	int name_width = column_width(options, "name");
	char choices[512];
	size_t i;
	json_t *o;

	json_array_foreach (options, i, o) {
		const json_t *names = json_object_get(o, "choices");
		const char *initial = text_of(o, "default");

		printf("  %-*s  %s, default %s\n", name_width, text_of(o, "name"),
		       json_array_size(names) > 0
			       ? joined(names, choices, sizeof(choices))
			       : text_of(o, "type"),
		       *initial != '\0' ? initial : "empty");
		printf("  %-*s  ", name_width, "");
		print_wrapped(text_of(o, "help"), 2 + name_width + 2);
	}
}
