/* SPDX-License-Identifier: MIT */
/* Messages, help and file lookup shared by all commands. */
#include "bench/cli.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/error.h>

static void print_message(const char *prefix, const char *fmt, va_list args)
{
	fflush(stdout);
	fprintf(stderr, "kmembench: %s", prefix);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void cli_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_message("", fmt, args);
	va_end(args);
}

void cli_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_message("warning: ", fmt, args);
	va_end(args);
}

int cli_usage_error(const char *command, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "kmembench %s: ", command);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\ntry 'kmembench %s --help'\n", command);
	return EXIT_USAGE;
}

int cli_getopt_error(const char *command, int result, char **argv)
{
	const char *word = argv[optind - 1];

	if (result == ':')
		return cli_usage_error(command, "option '%s' needs an argument", word);
	/* A short option may stand inside a cluster; a long one is a word of its own. */
	if (optopt != 0 && strncmp(word, "--", 2) != 0)
		return cli_usage_error(command, "unknown option '-%c'", optopt);
	return cli_usage_error(command, "unknown or ambiguous option '%s'", word);
}

bool cli_help_or_version(int argc, char **argv, const char *help_text)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(help_text, stdout);
			return true;
		}
		if (strcmp(argv[i], "--version") == 0) {
			puts("kmembench " KMEMBENCH_VERSION);
			return true;
		}
	}
	return false;
}

bool cli_stderr_is_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

const char *cli_program_path(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);

	if (n < 0) {
		kmem_error(-1, "cannot read /proc/self/exe: %m");
		return NULL;
	}
	buf[n] = '\0';
	return buf;
}

/* The first of `folders` (relative to the program's folder) that holds `name`. */
static const char *find_beside_program(const char *const *folders, size_t count,
				       const char *name, char *buf, size_t size)
{
	char program[PATH_MAX];
	char *slash;

	if (cli_program_path(program, sizeof(program)) == NULL)
		return NULL;
	slash = strrchr(program, '/');
	*slash = '\0';
	for (size_t i = 0; i < count; i++) {
		if ((size_t)snprintf(buf, size, "%s/%s/%s", program, folders[i], name) <
			    size &&
		    access(buf, R_OK) == 0)
			return buf;
	}
	kmem_error(-1, "'%s' is neither beside '%s' nor installed with it", name,
		   program);
	return NULL;
}

const char *cli_data_path(const char *name, char *buf, size_t size)
{
	/* build/, build/SANITIZER/, and $(PREFIX)/bin with $(PREFIX)/share. */
	static const char *const folders[] = {"..", "../..", "../share/kmembench"};
	const char *found;
	const char *dir = getenv("KMEMBENCH_DATADIR");

	if (dir != NULL && *dir != '\0') {
		if ((size_t)snprintf(buf, size, "%s/%s", dir, name) < size &&
		    access(buf, R_OK) == 0)
			return buf;
		kmem_error(-1, "'%s' is not in '%s' (from KMEMBENCH_DATADIR)", name, dir);
		return NULL;
	}
	found = find_beside_program(folders, KMEM_ARRAY_SIZE(folders), name, buf, size);
#ifdef KMEMBENCH_SOURCE_DIR
	if (found == NULL &&
	    (size_t)snprintf(buf, size, "%s/%s", KMEMBENCH_SOURCE_DIR, name) < size &&
	    access(buf, R_OK) == 0)
		found = buf;
#endif
	return found;
}

const char *cli_library_path(const char *name, char *buf, size_t size)
{
	static const char *const folders[] = {".", "../lib", "../lib/kmembench"};

	return find_beside_program(folders, KMEM_ARRAY_SIZE(folders), name, buf, size);
}
