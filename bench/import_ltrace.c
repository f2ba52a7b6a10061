/* SPDX-License-Identifier: MIT */
/*
 * Logs of ltrace, and of whatever writes calls in its way (ltrace 0.7.3):
 *
 *   malloc(24)                            = 0x55d0c0de2a0
 *   [pid 123] free(0x55d0c0de2a0 <unfinished ...>
 *   [pid 123] <... free resumed> )        = <void>
 *
 * Before the call there may be a process number, time stamps (-t, -tt, -ttt, -r) and
 * an instruction pointer (-i); before the name a library ("ls->malloc") or after it
 * ("malloc@libc.so.6"). Lines of other functions, signals and exits are passed over.
 *
 * Each process number is a thread of the trace: ltrace does not tell threads from
 * forked processes, so a log should be of one process (its threads included). What
 * an allocation function calls on its way, operator new its malloc, is not counted
 * again: the outermost call is what the program asked for.
 */
#include "bench/import_internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/record_addresses.h"

#define ARGS_MAX 4
/* Page size of the machine that the log comes from; valloc() does not say it. */
#define PAGE_LOG2 12

enum kind { KIND_ALLOC, KIND_CALLOC, KIND_REALLOC, KIND_FREE, KIND_NO_ADDRESS };

/* Places of arguments; -1: has none. */
struct function {
	const char *name;
	bool prefix; /* the name's beginning is enough */
	enum kind kind;
	int args; /* at least so many */
	int ptr, size, count, align;
	unsigned int align_log2; /* where no argument says it */
};

static const struct function functions[] = {
	{"malloc", false, KIND_ALLOC, 1, -1, 0, -1, -1, 0},
	{"calloc", false, KIND_CALLOC, 2, -1, 1, 0, -1, 0},
	{"realloc", false, KIND_REALLOC, 2, 0, 1, -1, -1, 0},
	{"reallocarray", false, KIND_REALLOC, 3, 0, 2, 1, -1, 0},
	{"free", false, KIND_FREE, 1, 0, -1, -1, -1, 0},
	{"cfree", false, KIND_FREE, 1, 0, -1, -1, -1, 0},
	{"memalign", false, KIND_ALLOC, 2, -1, 1, -1, 0, 0},
	{"aligned_alloc", false, KIND_ALLOC, 2, -1, 1, -1, 0, 0},
	{"valloc", false, KIND_ALLOC, 1, -1, 0, -1, -1, PAGE_LOG2},
	{"pvalloc", false, KIND_ALLOC, 1, -1, 0, -1, -1, PAGE_LOG2},
	{"posix_memalign", false, KIND_NO_ADDRESS, 3, -1, 2, -1, 1, 0},
	/* Itanium C++ ABI: operator new, new[], delete, delete[]. */
	{"_ZnwmSt11align_val_t", true, KIND_ALLOC, 2, -1, 0, -1, 1, 0},
	{"_ZnamSt11align_val_t", true, KIND_ALLOC, 2, -1, 0, -1, 1, 0},
	{"_Znwm", true, KIND_ALLOC, 1, -1, 0, -1, -1, 0},
	{"_Znam", true, KIND_ALLOC, 1, -1, 0, -1, -1, 0},
	{"_ZdlPv", true, KIND_FREE, 1, 0, -1, -1, -1, 0},
	{"_ZdaPv", true, KIND_FREE, 1, 0, -1, -1, -1, 0},
	{"operator new", true, KIND_ALLOC, 1, -1, 0, -1, -1, 0},
	{"operator delete", true, KIND_FREE, 1, 0, -1, -1, -1, 0},
};

struct call {
	const struct function *function;
	uint64_t size;
	uint64_t ptr;
	unsigned int align_log2;
};

/* Of each process number: the outermost call that has not come back, and how many have
 * not, inner ones included. */
struct thread {
	struct call pending;
	unsigned int depth;
};

struct ltrace_parser {
	struct address_table numbers; /* process number plus one: index of thread */
	struct thread *threads;
	uint32_t count, room;
	uint64_t without_address;
};

int ltrace_parser_new(struct ltrace_parser **parser)
{
	struct ltrace_parser *p = calloc(1, sizeof(*p));

	*parser = p;
	if (p != NULL && address_table_init(&p->numbers) == 0)
		return 0;
	free(p);
	*parser = NULL;
	return kmem_error(-ENOMEM, "out of memory");
}

void ltrace_parser_delete(struct ltrace_parser *p)
{
	if (p == NULL)
		return;
	address_table_release(&p->numbers);
	free(p->threads);
	free(p);
}

void ltrace_parser_end(const struct ltrace_parser *p, struct import_summary *summary)
{
	summary->without_address += p->without_address;
	for (uint32_t i = 0; i < p->count; i++)
		summary->unfinished += p->threads[i].depth > 0;
}

/* --- the parts of a line --- */

/* Skips what stands before the call; *pid becomes the process number if there is one. */
static char *skip_prefixes(char *at, uint64_t *pid)
{
	char *end;

	for (;;) {
		while (isspace((unsigned char)*at))
			at++;
		if (strncmp(at, "[pid ", 5) == 0) {
			*pid = strtoull(at + 5, &end, 10);
			if (*end != ']')
				return at;
			at = end + 1;
		} else if (strncmp(at, "[0x", 3) == 0 && strchr(at, ']') != NULL) {
			at = strchr(at, ']') + 1;
		} else if (isdigit((unsigned char)*at)) {
			size_t plain = strspn(at, "0123456789");
			size_t stamp = strspn(at, "0123456789:.");

			if (at[stamp] != ' ')
				return at;
			if (plain == stamp)
				*pid = strtoull(at, NULL, 10);
			at += stamp;
		} else {
			return at;
		}
	}
}

static const struct function *find_function(const char *name)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(functions); i++) {
		const struct function *f = &functions[i];

		if (f->prefix ? strncmp(name, f->name, strlen(f->name)) == 0
			      : strcmp(name, f->name) == 0)
			return f;
	}
	return NULL;
}

/*
 * Takes "lib->name@version(" apart, in place: the function, and *args behind its
 * parenthesis. NULL when the line calls no function that matters here.
 */
static const struct function *parse_name(char *at, char **args)
{
	char *open = strchr(at, '('), *arrow, *version;
	const char *demangled = strstr(at, "operator ");

	if (open == NULL)
		return NULL;
	/* "operator new(unsigned long)(24)" */
	if (demangled != NULL && demangled < open && strstr(open, ")(") != NULL)
		open = strstr(open, ")(") + 1;
	*open = '\0';
	*args = open + 1;
	while ((arrow = strstr(at, "->")) != NULL)
		at = arrow + 2;
	version = strchr(at, '@');
	if (version != NULL)
		*version = '\0';
	return find_function(at);
}

/* "24", "0x18", "nil", "NULL" and what ends it; NULL when it is no number. */
static char *parse_value(char *at, uint64_t *value)
{
	char *end;

	while (*at == ' ')
		at++;
	*value = 0;
	if (strncmp(at, "nil", 3) == 0)
		return at + 3;
	if (strncmp(at, "NULL", 4) == 0)
		return at + 4;
	if (!isdigit((unsigned char)*at))
		return NULL;
	errno = 0;
	*value = strtoull(at, &end, 0);
	return errno == 0 ? end : NULL;
}

static int parse_args(const struct function *f, char *at, struct call *call)
{
	uint64_t arg[ARGS_MAX] = {0};
	uint64_t count = 1;

	for (int i = 0; i < f->args; i++) {
		at = parse_value(at, &arg[i]);
		if (at == NULL)
			return kmem_error(-EINVAL,
					  "argument %d of '%s' is missing or no number",
					  i + 1, f->name);
		if (*at == ',')
			at++;
	}
	*call = (struct call){.function = f, .align_log2 = f->align_log2};
	if (f->count >= 0)
		count = arg[f->count];
	if (f->size >= 0 && __builtin_mul_overflow(arg[f->size], count, &call->size))
		call->size = UINT64_MAX;
	if (f->ptr >= 0)
		call->ptr = arg[f->ptr];
	if (f->align >= 0 && arg[f->align] > 1)
		call->align_log2 = 64 - (unsigned int)__builtin_clzll(arg[f->align] - 1);
	return 0;
}

/* The address behind the last " = "; -EINVAL with a text when there is none. */
static int parse_result(const struct function *f, char *at, uint64_t *address)
{
	char *equals = NULL;

	for (char *next = at; (next = strstr(next, "= ")) != NULL; next += 2)
		equals = next;
	if (f->kind == KIND_FREE || f->kind == KIND_NO_ADDRESS) {
		*address = 0;
		return 0;
	}
	if (equals != NULL && strncmp(equals, "= <no return", 12) == 0) {
		*address = 0; /* the program ended in the call */
		return 0;
	}
	if (equals == NULL || parse_value(equals + 2, address) == NULL)
		return kmem_error(-EINVAL, "'%s' has no result, such as '= 0x55e1f2a0'",
				  f->name);
	return 0;
}

/* --- calls --- */

static int thread_of(struct ltrace_parser *p, uint64_t pid, uint32_t *index)
{
	uint32_t found = address_find(&p->numbers, pid + 1);

	if (found == ADDRESS_NONE) {
		if (p->count == p->room) {
			uint32_t room = p->room != 0 ? 2 * p->room : 16;
			struct thread *more = realloc(p->threads,
						      room * sizeof(*p->threads));

			if (more == NULL)
				return kmem_error(-ENOMEM, "out of memory");
			p->threads = more;
			p->room = room;
		}
		if (address_insert(&p->numbers, pid + 1, p->count) != 0)
			return kmem_error(-ENOMEM, "out of memory");
		memset(&p->threads[p->count], 0, sizeof(p->threads[0]));
		found = p->count++;
	}
	*index = found;
	return 0;
}

/* What is true as soon as the call begins. */
static void call_begins(const struct call *call, uint32_t thread,
			struct import_events *out)
{
	if (call->function->kind == KIND_FREE && call->ptr != 0)
		import_push(out, RAW_FREE, thread, 0, call->ptr, 0, 0);
	if (call->function->kind == KIND_REALLOC && call->ptr != 0)
		import_push(out, RAW_REALLOC_BEGIN, thread, 0, call->ptr, 0, 0);
}

static void call_ends(struct ltrace_parser *p, const struct call *call, uint32_t thread,
		      uint64_t address, struct import_events *out)
{
	enum raw_op op = call->align_log2 > 0 ? RAW_MEMALIGN : RAW_MALLOC;

	switch (call->function->kind) {
	case KIND_NO_ADDRESS: p->without_address++; return;
	case KIND_FREE: return;
	case KIND_CALLOC: op = RAW_CALLOC; break;
	case KIND_ALLOC: break;
	case KIND_REALLOC:
		if (call->ptr == 0)
			break;
		import_push(out, RAW_REALLOC_END, thread, 0, address, call->size,
			    call->ptr);
		return;
	}
	if (address != 0)
		import_push(out, op, thread, op == RAW_MEMALIGN ? call->align_log2 : 0,
			    address, call->size, 0);
}

/* "<... malloc resumed> ) = 0x55…" */
static int resumed(struct ltrace_parser *p, char *at, uint64_t pid,
		   struct import_events *out)
{
	char *name = at + strlen("<... "), *end = strstr(name, " resumed>"), *ignored;
	char copy[128];
	struct thread *t;
	uint32_t index;
	uint64_t address;
	int err;

	if (end == NULL || end - name > 100)
		return 0;
	/* In the form that parse_name() takes apart. */
	snprintf(copy, sizeof(copy), "%.*s(", (int)(end - name), name);
	if (parse_name(copy, &ignored) == NULL)
		return 0;
	err = thread_of(p, pid, &index);
	if (err != 0)
		return err;
	t = &p->threads[index];
	if (t->depth == 0)
		return kmem_error(-EINVAL, "a call of '%.*s' ends that no line began",
				  (int)(end - name), name);
	if (--t->depth > 0)
		return 0;
	err = parse_result(t->pending.function, end, &address);
	if (err == 0)
		call_ends(p, &t->pending, index, address, out);
	return err;
}

int ltrace_line(struct ltrace_parser *p, char *line, struct import_events *out)
{
	const struct function *f;
	uint64_t pid = 0, address = 0;
	bool unfinished;
	struct call call;
	uint32_t index;
	char *at, *args;
	int err;

	out->n = 0;
	at = skip_prefixes(line, &pid);
	if (strncmp(at, "<... ", 5) == 0)
		return resumed(p, at, pid, out);
	if (*at == '+' || *at == '-' || *at == '<')
		return 0;
	f = parse_name(at, &args);
	if (f == NULL)
		return 0;
	unfinished = strstr(args, "<unfinished") != NULL;
	err = parse_args(f, args, &call);
	if (err == 0 && !unfinished)
		err = parse_result(f, args, &address);
	if (err == 0)
		err = thread_of(p, pid, &index);
	if (err != 0)
		return err;
	if (p->threads[index].depth > 0) { /* within another one */
		p->threads[index].depth += unfinished;
		return 0;
	}
	call_begins(&call, index, out);
	if (unfinished) {
		p->threads[index].pending = call;
		p->threads[index].depth = 1;
	} else {
		call_ends(p, &call, index, address, out);
	}
	return 0;
}
