/* SPDX-License-Identifier: MIT */
/*
 * The log of glibc's mtrace(3), as malloc/mtrace-impl.c of glibc 2.36 writes it:
 *
 *   = Start                        and "= End"
 *   @ CALLER + ADDRESS SIZE        malloc, calloc, memalign and their kin
 *   @ CALLER - ADDRESS             free; before the call
 *   @ CALLER < OLD                 realloc; the next line is
 *   @ CALLER > ADDRESS SIZE
 *   @ CALLER ! OLD SIZE            realloc that failed
 *
 * CALLER may hold spaces, so a line is read from its end. The log knows no threads
 * and no alignments: all is one thread's.
 */
#include "bench/import_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

/* "0x18", "0", "(nil)" to a number; false when it is none. */
static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	*value = 0;
	if (strcmp(text, "(nil)") == 0)
		return true;
	if (text[0] != '0')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 16);
	return errno == 0 && *end == '\0';
}

/* Cuts the last word off; NULL when there is none. */
static char *last_word(char *line)
{
	char *space;
	size_t length = strlen(line);

	while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\r'))
		line[--length] = '\0';
	space = strrchr(line, ' ');
	if (space == NULL)
		return length > 0 ? line : NULL;
	*space = '\0';
	return space + 1;
}

/* "… OP ADDRESS" or "… OP ADDRESS SIZE": the operation, or 0. */
static char parse_line(char *line, uint64_t *address, uint64_t *size)
{
	char *word[3];

	for (int i = 0; i < 3; i++) {
		word[i] = last_word(line);
		if (word[i] == NULL)
			return 0;
		if (i > 0 && strlen(word[i]) == 1 &&
		    strchr("+-<>!", word[i][0]) != NULL) {
			bool sized = strchr("+>!", word[i][0]) != NULL;

			*size = 0;
			if (sized != (i == 2) || !parse_number(word[i - 1], address) ||
			    (sized && !parse_number(word[0], size)))
				return 0;
			return word[i][0];
		}
		if (word[i] == line)
			return 0;
	}
	return 0;
}

int mtrace_line(struct mtrace_parser *parser, char *line, struct import_events *out)
{
	uint64_t address, size, old = parser->realloc_old;
	char op;

	out->n = 0;
	if (line[0] == '\0' || line[0] == '=')
		return 0;
	op = parse_line(line, &address, &size);
	if (op == 0)
		return kmem_error(
			-EINVAL, "not a line of mtrace: '@ CALLER + ADDRESS SIZE' or one "
				 "of its kin is expected");
	parser->realloc_old = 0;
	if ((old != 0) != (op == '>'))
		return kmem_error(
			-EINVAL, old != 0 ? "a realloc ('<') has no result ('>') after it"
					  : "'>' has no '<' in the line before");
	switch (op) {
	case '+':
		if (address != 0)
			import_push(out, RAW_MALLOC, 0, 0, address, size, 0);
		break;
	case '-':
		if (address != 0)
			import_push(out, RAW_FREE, 0, 0, address, 0, 0);
		break;
	case '<':
		if (address == 0)
			return kmem_error(-EINVAL, "a realloc of no address");
		parser->realloc_old = address;
		break;
	case '>':
		import_push(out, RAW_REALLOC_BEGIN, 0, 0, old, 0, 0);
		import_push(out, RAW_REALLOC_END, 0, 0, address,
			    address != 0 || size != 0 ? size : 1, old);
		break;
	default: break; /* '!': nothing changed */
	}
	return 0;
}
