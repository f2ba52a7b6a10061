/* SPDX-License-Identifier: MIT */
/* A cell under callgrind, started, awaited and read: see icount.h. */
#include "bench/icount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cell.h"
#include "bench/cli.h"
#include "bench/runner.h"

/* callgrind takes some 50 times as long as the processor itself. */
#define TIMEOUT_FACTOR 20
/* Counts of different runs compare only if they drew the same. */
#define ICOUNT_SEED 1

#define STATIC_TLS_TUNABLE "glibc.rtld.optional_static_tls=16384"

/* --- is it here? --- */

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char *copy = strdup(path != NULL ? path : "/usr/local/bin:/usr/bin:/bin");
	char *save = NULL, file[PATH_MAX];
	bool found = false;

	if (copy == NULL)
		abort();
	for (char *folder = strtok_r(copy, ":", &save); folder != NULL && !found;
	     folder = strtok_r(NULL, ":", &save)) {
		snprintf(file, sizeof(file), "%s/%s", folder, program);
		found = access(file, X_OK) == 0;
	}
	free(copy);
	return found;
}

int icount_available(void)
{
#if __has_include(<valgrind/callgrind.h>)
	if (in_path("valgrind"))
		return 0;
	return kmem_error(-ENOENT, "cannot count instructions: 'valgrind' is not "
				   "installed: install the Debian package 'valgrind'");
#else
	(void)in_path;
	return kmem_error(
		-ENOTSUP,
		"cannot count instructions: this program was built without valgrind's "
		"headers: install the Debian package 'valgrind', then run 'make clean all'");
#endif
}

/* --- the child --- */

/* Files in memory as the child's input, result and messages: nobody has to read along. */
struct icount_child {
	pid_t pid;
	int input, result, errors;
	char out_file[64]; /* callgrind's */
	bool fixed_layout;
};

/*
 * The size of the environment moves the stack, so the child gets only what an
 * allocator or the dynamic linker may want.
 */
static char **fixed_environment(void)
{
	static const char *const kept[] = {
		"PATH=",	 "LD_LIBRARY_PATH=", "MALLOC_",	  "MALLOPT_",
		"_RJEM_MALLOC_", "JE_MALLOC_",	     "MIMALLOC_", "TCMALLOC_",
		"KMEM_",	 "VALGRIND_LIB=",
	};
	const char *tunables = getenv("GLIBC_TUNABLES");
	size_t count = 0, used = 0;
	char **env;

	while (environ[count] != NULL)
		count++;
	env = calloc(count + 2, sizeof(*env));
	if (env == NULL ||
	    asprintf(&env[used++], "GLIBC_TUNABLES=%s%s" STATIC_TLS_TUNABLE,
		     tunables != NULL ? tunables : "",
		     tunables != NULL && *tunables != '\0' ? ":" : "") < 0)
		abort();
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < KMEM_ARRAY_SIZE(kept); k++) {
			if (strncmp(environ[i], kept[k], strlen(kept[k])) == 0) {
				env[used++] = environ[i];
				break;
			}
		}
	}
	return env;
}

/* After fork(): never returns. */
static void exec_valgrind(const struct icount_child *child, const char *program,
			  char **env)
{
	char out[PATH_MAX];
	const char *argv[] = {"valgrind",
			      "--tool=callgrind",
			      "--quiet",
			      "--cache-sim=yes",
			      "--instr-atstart=no",
			      "--I1=" ICOUNT_I1,
			      "--D1=" ICOUNT_D1,
			      "--LL=" ICOUNT_LL,
			      out,
			      program,
			      "cell",
			      NULL};

	snprintf(out, sizeof(out), "--callgrind-out-file=%s", child->out_file);
	setpgid(0, 0);
	/* The three files' descriptors are above 3: see open_child(). */
	if (dup2(child->input, STDIN_FILENO) < 0 || dup2(child->errors, 1) < 0 ||
	    dup2(child->errors, 2) < 0 || dup2(child->result, CELL_RESULT_FD) < 0)
		_exit(127);
	execvpe("valgrind", (char *const *)(uintptr_t)argv, env);
	dprintf(2, "cannot start valgrind: %s", strerror(errno));
	_exit(127);
}

static int memory_file(const char *name)
{
	int low = memfd_create(name, MFD_CLOEXEC), fd;

	if (low < 0)
		return -1;
	fd = fcntl(low, F_DUPFD_CLOEXEC, 16);
	close(low);
	return fd;
}

static void close_child(struct icount_child *child)
{
	int fds[] = {child->input, child->result, child->errors};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (child->out_file[0] != '\0')
		unlink(child->out_file);
}

static int open_child(struct icount_child *child, json_t *spec)
{
	int fd;

	child->input = memory_file("kmembench-cell");
	child->result = memory_file("kmembench-result");
	child->errors = memory_file("kmembench-errors");
	if (child->input < 0 || child->result < 0 || child->errors < 0)
		return kmem_error(-errno, "cannot count instructions: %m");
	snprintf(child->out_file, sizeof(child->out_file),
		 "/tmp/kmembench-callgrind-XXXXXX");
	fd = mkstemp(child->out_file);
	if (fd < 0) {
		child->out_file[0] = '\0';
		return kmem_error(-errno,
				  "cannot count instructions: no file in '/tmp': %m");
	}
	close(fd);
	if (json_dumpfd(spec, child->input, JSON_COMPACT | JSON_REAL_PRECISION(17)) !=
		    0 ||
	    dprintf(child->input, "\nprepare\nicount\n") < 0 ||
	    lseek(child->input, 0, SEEK_SET) < 0)
		return kmem_error(-EIO, "cannot write the cell's description: %m");
	return 0;
}

static int start_child(struct icount_child *child)
{
	char program[PATH_MAX];
	char **env;
	int before;

	if (cli_program_path(program, sizeof(program)) == NULL)
		return -ENOENT;
	env = fixed_environment();
	before = personality(0xffffffff);
	fflush(NULL);
	child->pid = fork();
	if (child->pid == 0) {
		/* Refused in some containers; valgrind lays out most of it itself. */
		if (before != -1)
			personality((unsigned long)before | ADDR_NO_RANDOMIZE);
		exec_valgrind(child, program, env);
	}
	free(env[0]);
	free(env);
	if (child->pid < 0)
		return kmem_error(-errno, "cannot start valgrind: %m");
	return 0;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Whether the child runs without randomisation: it says so itself. */
static bool layout_is_fixed(pid_t pid)
{
	char path[64];
	unsigned long persona = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/personality", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fscanf(file, "%lx", &persona) != 1)
		persona = 0;
	fclose(file);
	return (persona & ADDR_NO_RANDOMIZE) != 0;
}

static int await_child(struct icount_child *child, double timeout_s, int *status)
{
	static const struct timespec nap = {0, 5000000};
	double deadline = now_s() + timeout_s;
	pid_t ended;

	while ((ended = waitpid(child->pid, status, WNOHANG)) == 0) {
		int err = runner_interrupted ? -EINTR : now_s() > deadline ? -ETIME : 0;

		if (err != 0) {
			kill(-child->pid, SIGKILL);
			waitpid(child->pid, status, 0);
			return kmem_error(err,
					  err == -EINTR
						  ? "interrupted"
						  : "no end after %g s under callgrind: "
						    "raise --timeout",
					  timeout_s);
		}
		child->fixed_layout = child->fixed_layout || layout_is_fixed(child->pid);
		nanosleep(&nap, NULL);
	}
	return ended == child->pid ? 0 : kmem_error(-errno, "lost the child: %m");
}

/* --- its results --- */

static void read_text(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
}

/* "icount OPS", or the failure that the cell reported. */
static int read_reply(const struct icount_child *child, int status, struct icount *count)
{
	char text[4096], errors[512];
	const char *answer;
	json_t *failure;
	unsigned long long ops = 0;
	int err = 0;

	read_text(child->result, text, sizeof(text));
	read_text(child->errors, errors, sizeof(errors));
	answer = strstr(text, "icount ");
	if (answer != NULL && sscanf(answer, "icount %llu", &ops) == 1 && ops > 0) {
		count->ops = (double)ops;
		return 0;
	}
	answer = strchr(text, '{');
	failure = answer != NULL ? json_loads(answer, JSON_DISABLE_EOF_CHECK, NULL)
				 : NULL;
	if (json_is_string(json_object_get(failure, "error")))
		err = kmem_error(-EIO, "%s",
				 json_string_value(json_object_get(failure, "error")));
	else if (WIFSIGNALED(status))
		err = kmem_error(-EIO, "killed by signal %d (%s) under callgrind: %s",
				 WTERMSIG(status), strsignal(WTERMSIG(status)), errors);
	else
		err = kmem_error(-EIO, "no result under callgrind: %s", errors);
	json_decref(failure);
	return err;
}

/* The position of an event in the "events:" line; -1 when it is not there. */
static int event_at(const char *events, const char *name)
{
	char copy[512], *save = NULL;
	int at = 0;

	snprintf(copy, sizeof(copy), "%s", events);
	for (char *word = strtok_r(copy, " \n", &save); word != NULL;
	     word = strtok_r(NULL, " \n", &save), at++) {
		if (strcmp(word, name) == 0)
			return at;
	}
	return -1;
}

/* Adds up the totals of the named events. False when one is missing. */
static bool sum_events(const char *events, const char *totals, const char *const *names,
		       double *sum)
{
	*sum = 0;
	for (; *names != NULL; names++) {
		int at = event_at(events, *names);
		const char *number = totals;
		char *end;

		if (at < 0)
			return false;
		/* Trailing zeros are left out. */
		for (double value = 0; at >= 0; at--) {
			value = strtod(number, &end);
			if (end == number)
				break;
			number = end;
			if (at == 0)
				*sum += value;
		}
	}
	return true;
}

int icount_parse(const char *path, struct icount *count)
{
	static const char *const instructions[] = {"Ir", NULL},
				 *const reads[] = {"Dr", NULL},
				 *const writes[] = {"Dw", NULL},
				 *const l1d[] = {"D1mr", "D1mw", NULL},
				 *const ll[] = {"DLmr", "DLmw", NULL};
	char line[1024], events[512] = "", totals[512] = "";
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return kmem_error(-errno, "cannot read callgrind's '%s': %m", path);
	count->tool[0] = '\0';
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "creator: ", 9) == 0)
			snprintf(count->tool, sizeof(count->tool), "%.63s", line + 9);
		else if (strncmp(line, "events: ", 8) == 0)
			snprintf(events, sizeof(events), "%.500s", line + 8);
		else if (strncmp(line, "totals: ", 8) == 0)
			snprintf(totals, sizeof(totals), "%.500s", line + 8);
	}
	fclose(file);
	if (!sum_events(events, totals, instructions, &count->instructions) ||
	    !sum_events(events, totals, reads, &count->data_reads) ||
	    !sum_events(events, totals, writes, &count->data_writes) ||
	    !sum_events(events, totals, l1d, &count->l1d_misses) ||
	    !sum_events(events, totals, ll, &count->ll_misses))
		return kmem_error(-EINVAL, "'%s' holds no totals of callgrind", path);
	if (count->instructions <= 0)
		return kmem_error(-EINVAL, "callgrind counted nothing: '%s'", path);
	return 0;
}

int icount_cell(const struct plan *plan, const struct plan_cell *cell,
		struct icount *count)
{
	struct icount_child child = {.input = -1, .result = -1, .errors = -1};
	json_t *spec = plan_cell_spec(plan, cell, 0);
	int status = 0, err;

	memset(count, 0, sizeof(*count));
	json_object_set_new(spec, "seed", json_integer(ICOUNT_SEED));
	err = open_child(&child, spec);
	if (err == 0)
		err = start_child(&child);
	if (err == 0)
		err = await_child(&child, TIMEOUT_FACTOR * plan->timeout_s, &status);
	if (err == 0)
		err = read_reply(&child, status, count);
	if (err == 0)
		err = icount_parse(child.out_file, count);
	count->fixed_layout = child.fixed_layout;
	close_child(&child);
	json_decref(spec);
	return err;
}
