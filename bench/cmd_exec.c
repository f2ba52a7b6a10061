/* SPDX-License-Identifier: MIT */
/* kmembench exec: a program under another allocator. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/cli.h"
#include "bench/exec_results.h"
#include "bench/preload.h"
#include "bench/results.h"
#include <kmem/allocator.h>
#include <kmem/error.h>

static const char help_text[] =
	"usage: kmembench exec -a NAME[:OPTION=VALUE,...] [--] PROGRAM [ARGUMENT...]\n"
	"       kmembench exec --results ROWS -o FILE\n"
	"\n"
	"Runs PROGRAM with the allocator NAME as its malloc, by LD_PRELOAD. An LD_PRELOAD\n"
	"that is set already stays, behind the allocator. Programs that PROGRAM starts run\n"
	"under the allocator too.\n"
	"\n"
	"  -a, --allocator NAME   one that 'kmembench list allocators' shows and that is a\n"
	"                         malloc; or the path of a malloc-compatible library.\n"
	"                         kmem takes its options here ('kmembench list options\n"
	"                         kmem'), after those that KMEM_MALLOC holds already\n"
	"      --results ROWS     make a results file of programs that were measured under\n"
	"                         several allocators ('tests/malloc/real_programs.sh --measure'\n"
	"                         writes the rows), for compare, plot and report\n"
	"  -o, --output FILE      that file\n"
	"  -h, --help             this text\n"
	"      --version          the version\n"
	"\n"
	"exit codes: the program's. Where it was not started: 2 when it cannot be\n"
	"(not found, not executable) or the command line is wrong; 4 when the allocator is\n"
	"not a malloc or not installed, or the program cannot be given one (statically\n"
	"linked, set-user-ID).\n"
	"\n"
	"examples:\n"
	"  kmembench exec -a kmem:hardened=on,debug=u -- ./program\n"
	"  kmembench exec -a jemalloc -- sqlite3 big.db 'select count(*) from t'\n"
	"  kmembench exec -a ./libmine.so -- python3 script.py\n";

static int refuse(const char *name, const char *reason)
{
	cli_error("cannot run a program under '%s': %s", name, reason);
	return EXIT_NOT_SUPPORTED;
}

/* A registered allocator's library; NULL for libc's own. EXIT_DONE or the exit code. */
static int library_of_allocator(const char *name, const char **library)
{
	const struct allocator_ops *ops;

	if (allocator_spec_check(name, &ops) != 0) {
		cli_error("cannot run a program under '%s': %s", name, kmem_last_error());
		return EXIT_USAGE;
	}
	if (strchr(name, ':') != NULL)
		return refuse(
			name,
			"of those that run under programs, only kmem takes options; name "
			"the allocator alone");
	*library = ops->library;
	/* Every program has it already. */
	if (strcmp(ops->name, "glibc") == 0)
		*library = NULL;
	if (ops->library == NULL)
		return refuse(
			name,
			ops->caps & CAP_OBJECT
				? "it exists inside kmembench only, as no library that "
				  "replaces malloc"
				: "it hands out pages, and is no malloc");
	if (ops->available != NULL && ops->available(ops) != 0)
		return refuse(name, kmem_last_error());
	return EXIT_DONE;
}

/* KMEM_MALLOC is how options reach libkmem-malloc.so, in the program and in those that it
 * starts. What stands there already comes first, so that the command line wins. */
static int pass_options(const char *options)
{
	const char *before = getenv("KMEM_MALLOC");
	char *value;
	int err = 0;

	if (*options == '\0')
		return 0;
	if (before == NULL)
		before = "";
	if (asprintf(&value, "%s%s%s", before, *before != '\0' ? "," : "", options) < 0)
		return kmem_error(-ENOMEM, "cannot set KMEM_MALLOC: out of memory");
	if (setenv("KMEM_MALLOC", value, 1) != 0)
		err = kmem_error(-errno, "cannot set KMEM_MALLOC: %s", strerror(errno));
	free(value);
	return err;
}

/* "kmem" or "kmem:OPTIONS"; EXIT_DONE or the exit code. */
static int library_of_kmem(const char *spec, char *buf, size_t size, const char **library)
{
	size_t name_length = strcspn(spec, ":");

	/* The library has the adapter's option tables: what is wrong is told here, and
	 * not by every program that is started. */
	if (allocator_spec_check(spec, NULL) != 0 ||
	    pass_options(spec + name_length + (spec[name_length] == ':')) != 0) {
		cli_error("cannot run a program under '%s': %s", spec, kmem_last_error());
		return EXIT_USAGE;
	}
	*library = cli_library_path("libkmem-malloc.so", buf, size);
	return *library != NULL ? EXIT_DONE : refuse(spec, kmem_last_error());
}

static bool is_kmem(const char *spec)
{
	return strncmp(spec, "kmem", 4) == 0 && (spec[4] == '\0' || spec[4] == ':');
}

/* The library to preload for -a NAME; NULL for none. EXIT_DONE or the exit code. */
static int find_library(const char *name, char *buf, size_t size, const char **library)
{
	int result = EXIT_DONE;

	if (is_kmem(name)) {
		result = library_of_kmem(name, buf, size, library);
	} else if (strchr(name, '/') != NULL) {
		/* The program may change its folder before it starts another. */
		if (realpath(name, buf) == NULL) {
			cli_error("cannot run a program under '%s': %m", name);
			return EXIT_USAGE;
		}
		*library = buf;
	} else {
		result = library_of_allocator(name, library);
	}
	/* A bare name is looked up by the dynamic linker. */
	if (result == EXIT_DONE && *library != NULL && strchr(*library, '/') != NULL &&
	    preload_check_library(*library) != 0)
		return refuse(name, kmem_last_error());
	return result;
}

static int exec_under(const char *allocator, const char *library, char **program)
{
	const char *before = getenv("LD_PRELOAD");

	if (library == NULL) {
		if (before != NULL && *before != '\0')
			cli_warn(
				"LD_PRELOAD is '%s': if that brings a malloc, it replaces %s's",
				before, allocator);
	} else if (preload_check_program(program[0]) != 0) {
		return refuse(allocator, kmem_last_error());
	} else if (preload_prepend(library) != 0) {
		cli_error("cannot run '%s' under '%s': %s", program[0], allocator,
			  kmem_last_error());
		return EXIT_USAGE;
	}
	execvp(program[0], program);
	cli_error("cannot start '%s': %s", program[0], strerror(errno));
	return EXIT_USAGE;
}

static int write_results(const char *rows, const char *output, int argc, char **argv)
{
	json_t *results;
	int err;

	if (output == NULL)
		return cli_usage_error("exec", "no output is named: add -o FILE");
	if (optind != argc)
		return cli_usage_error("exec", "'%s': with --results no program is run",
				       argv[optind]);
	err = results_check_writable(output);
	results = err == 0 ? exec_results(rows, argc, argv) : NULL;
	if (results != NULL)
		err = results_save(output, results);
	if (results == NULL || err != 0)
		cli_error("cannot write results: %s", kmem_last_error());
	json_decref(results);
	return results != NULL && err == 0 ? EXIT_DONE : EXIT_USAGE;
}

int cmd_exec(int argc, char **argv)
{
	enum { OPT_VERSION = 256, OPT_RESULTS };
	static const struct option longopts[] = {
		{"allocator", required_argument, NULL, 'a'},
		{"results", required_argument, NULL, OPT_RESULTS},
		{"output", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPT_VERSION},
		{NULL, 0, NULL, 0},
	};
	const char *name = NULL, *library = NULL, *rows = NULL, *output = NULL;
	char buf[PATH_MAX];
	int opt, result;

	opterr = 0;
	optind = 0; /* glibc: start anew */
	/* '+': the program's own options are not ours. */
	while ((opt = getopt_long(argc, argv, "+:a:o:h", longopts, NULL)) != -1) {
		switch (opt) {
		case 'a': name = optarg; break;
		case 'o': output = optarg; break;
		case OPT_RESULTS: rows = optarg; break;
		case 'h': fputs(help_text, stdout); return EXIT_DONE;
		case OPT_VERSION: puts("kmembench " KMEMBENCH_VERSION); return EXIT_DONE;
		default: return cli_getopt_error("exec", opt, argv);
		}
	}
	if (rows != NULL)
		return write_results(rows, output, argc, argv);
	if (output != NULL)
		return cli_usage_error("exec", "-o goes with --results only");
	if (name == NULL)
		return cli_usage_error("exec", "no allocator: give -a NAME");
	if (optind == argc)
		return cli_usage_error("exec", "no program to run");
	result = find_library(name, buf, sizeof(buf), &library);
	if (result != EXIT_DONE)
		return result;
	return exec_under(name, library, argv + optind);
}
