/* SPDX-License-Identifier: MIT */
/* Between import.c and the parsers: lines in, raw events out. */
#ifndef KMEMBENCH_IMPORT_INTERNAL_H
#define KMEMBENCH_IMPORT_INTERNAL_H

#include "bench/import.h"
#include "bench/recorder/raw.h"

/* What one line came to. */
struct import_events {
	struct raw_event event[2];
	unsigned int n;
};

static inline void import_push(struct import_events *out, enum raw_op op, uint32_t thread,
			       unsigned int align_log2, uint64_t address,
			       uint64_t size_bytes, uint64_t old_address)
{
	struct raw_event *e = &out->event[out->n++];

	atomic_init(&e->what, raw_what(op, align_log2, thread));
	e->ptr = address;
	e->size_bytes = size_bytes;
	e->old_ptr = old_address;
}

/*
 * Parsers. A line has no newline; it may be changed. 0 with the events it came to,
 * often none, or -errno with a text that does not yet name the line.
 */
struct ltrace_parser;
int ltrace_parser_new(struct ltrace_parser **parser);
void ltrace_parser_delete(struct ltrace_parser *parser);
int ltrace_line(struct ltrace_parser *parser, char *line, struct import_events *out);
/* Adds calls that never came back and addresses that were not shown. */
void ltrace_parser_end(const struct ltrace_parser *parser,
		       struct import_summary *summary);

struct mtrace_parser {
	uint64_t realloc_old; /* of the '<' before; 0: none */
};
int mtrace_line(struct mtrace_parser *parser, char *line, struct import_events *out);

#endif /* KMEMBENCH_IMPORT_INTERNAL_H */
