/* SPDX-License-Identifier: MIT */
/* One process per cell: spawn, feed, watch, collect. See runner.h. */
#include "bench/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cell.h"
#include "bench/cli.h"

/*
 * jemalloc keeps its thread caches in the static TLS block, so that dlopen()
 * needs room there: targets of this size exist since glibc 2.32.
 */
#define STATIC_TLS_TUNABLE "glibc.rtld.optional_static_tls=16384"

/* Kept of what a cell prints to stderr: enough for a sanitizer's first lines. */
#define STDERR_KEPT 4096

volatile sig_atomic_t runner_interrupted;

/* What the signals did before. */
static struct sigaction before_int, before_term;

static void on_signal(int signal_number)
{
	(void)signal_number;
	runner_interrupted = 1;
}

void runner_catch_signals(void)
{
	/* No SA_RESTART: poll() must return. */
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, &before_int);
	sigaction(SIGTERM, &action, &before_term);
	signal(SIGPIPE, SIG_IGN);
}

void runner_release_signals(void)
{
	sigaction(SIGINT, &before_int, NULL);
	sigaction(SIGTERM, &before_term, NULL);
}

struct stream {
	int fd;
	char *text;
	size_t length, capacity, limit;
};

/* Reads what is there; closes at the end of the stream. Past `limit` bytes are dropped.
 */
static void drain(struct stream *s)
{
	char chunk[65536];
	ssize_t n = read(s->fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(s->fd);
		s->fd = -1;
		return;
	}
	if (s->length + (size_t)n > s->limit)
		n = (ssize_t)(s->limit - s->length);
	if (s->length + (size_t)n + 1 > s->capacity) {
		s->capacity = (s->length + (size_t)n + 1) * 2;
		s->text = realloc(s->text, s->capacity);
		if (s->text == NULL)
			abort();
	}
	memcpy(s->text + s->length, chunk, (size_t)n);
	s->length += (size_t)n;
	s->text[s->length] = '\0';
}

/* The environment of cells: ours, room for static TLS, nothing preloaded. */
static char **cell_environment(void)
{
	size_t count = 0, kept = 0;
	char **env;
	char *tunables;
	const char *old = getenv("GLIBC_TUNABLES");

	while (environ[count] != NULL)
		count++;
	env = calloc(count + 2, sizeof(*env));
	if (env == NULL ||
	    asprintf(&tunables, "GLIBC_TUNABLES=%s%s" STATIC_TLS_TUNABLE,
		     old != NULL ? old : "", old != NULL && *old != '\0' ? ":" : "") < 0)
		abort();
	for (size_t i = 0; i < count; i++) {
		if (strncmp(environ[i], "GLIBC_TUNABLES=", 15) != 0 &&
		    strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
			env[kept++] = environ[i];
	}
	env[kept++] = tunables;
	return env;
}

static void free_environment(char **env)
{
	size_t last = 0;

	while (env[last] != NULL)
		last++;
	free(env[last - 1]);
	free(env);
}

struct child {
	pid_t pid;
	int input;
	struct stream result, errors;
};

static int open_pipes(int input[2], int result[2], int errors[2])
{
	int *pipes[] = {input, result, errors};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(pipes); i++) {
		if (pipe2(pipes[i], O_CLOEXEC) != 0) {
			int err = -errno;

			while (i-- > 0) {
				close(pipes[i][0]);
				close(pipes[i][1]);
			}
			return err;
		}
	}
	return 0;
}

/*
 * The result's pipe becomes descriptor 3. dup2 of a descriptor onto itself
 * would keep its close-on-exec flag, so it is first moved out of the way.
 */
static int spawn(struct child *child)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char program[PATH_MAX], command[] = "cell";
	char *argv[] = {program, command, NULL};
	char **env;
	int input[2], result[2], errors[2], high, err;

	if (cli_program_path(program, sizeof(program)) == NULL)
		return -ENOENT;
	err = open_pipes(input, result, errors);
	if (err != 0)
		return err;
	high = fcntl(result[1], F_DUPFD_CLOEXEC, 16);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&actions, errors[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, high, CELL_RESULT_FD);
	/* A process group of its own: Ctrl-C reaches us, and we end the cell. */
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setpgroup(&attributes, 0);
	env = cell_environment();
	err = -posix_spawn(&child->pid, program, &actions, &attributes, argv, env);
	free_environment(env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(high);
	close(input[0]);
	close(result[1]);
	close(errors[1]);
	child->input = input[1];
	child->result = (struct stream){.fd = result[0], .limit = (size_t)256 << 20};
	child->errors = (struct stream){.fd = errors[0], .limit = STDERR_KEPT};
	return err;
}

static void send_spec(struct child *child, json_t *spec)
{
	json_dumpfd(spec, child->input, JSON_COMPACT | JSON_REAL_PRECISION(17));
	close(child->input);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum watch_end { ENDED, TIMED_OUT, INTERRUPTED };

/* Collects both streams until the result's has ended; then kills what is left. */
static enum watch_end watch(struct child *child, double timeout_s)
{
	double deadline = now_s() + timeout_s;
	enum watch_end end = ENDED;

	while (child->result.fd >= 0 || child->errors.fd >= 0) {
		struct pollfd fds[] = {{child->result.fd, POLLIN, 0},
				       {child->errors.fd, POLLIN, 0}};
		double left = deadline - now_s();

		if (runner_interrupted) {
			end = INTERRUPTED;
			break;
		}
		if (left <= 0) {
			end = TIMED_OUT;
			break;
		}
		/* A signal between the check and poll() is seen a second later. */
		if (poll(fds, 2, left < 1 ? (int)(left * 1000) + 1 : 1000) < 0)
			continue;
		if (fds[0].revents != 0)
			drain(&child->result);
		if (fds[1].revents != 0)
			drain(&child->errors);
	}
	if (end != ENDED)
		kill(-child->pid, SIGKILL);
	if (child->result.fd >= 0)
		close(child->result.fd);
	if (child->errors.fd >= 0)
		close(child->errors.fd);
	return end;
}

static json_t *failure(const char *reason, const char *errors)
{
	char text[STDERR_KEPT + 512];
	size_t n = errors == NULL ? 0 : strlen(errors);

	while (n > 0 && errors[n - 1] == '\n')
		n--;
	snprintf(text, sizeof(text), "%s%s%.*s", reason, n > 0 ? ": " : "", (int)n,
		 n > 0 ? errors : "");
	/* JSON takes valid UTF-8 only, and a broken program prints anything. */
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x80 || ((unsigned char)*p < 0x20 && *p != '\n'))
			*p = '?';
	}
	return json_pack("{s:s, s:s}", "status", "failed", "error", text);
}

static json_t *judge(const struct child *child, int status)
{
	json_t *entry = NULL;
	char reason[128];
	json_error_t error;

	if (child->result.length > 0)
		entry = json_loads(child->result.text, 0, &error);
	if (entry != NULL && WIFEXITED(status) &&
	    (WEXITSTATUS(status) == EXIT_DONE ||
	     WEXITSTATUS(status) == EXIT_CELL_FAILED)) {
		if (child->errors.length > 0 && WEXITSTATUS(status) == EXIT_DONE)
			fprintf(stderr, "%s", child->errors.text);
		return entry;
	}
	json_decref(entry);
	if (WIFSIGNALED(status))
		snprintf(reason, sizeof(reason), "killed by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(reason, sizeof(reason),
			 "ended with exit status %d and no result", WEXITSTATUS(status));
	return failure(reason, child->errors.text);
}

json_t *runner_run_cell(json_t *spec, double timeout_s)
{
	struct child child = {0};
	json_t *entry;
	enum watch_end end;
	int status = 0, err;

	err = spawn(&child);
	if (err != 0) {
		char text[256];

		snprintf(text, sizeof(text), "cannot start the cell's process: %s",
			 strerror(-err));
		return failure(text, NULL);
	}
	send_spec(&child, spec);
	end = watch(&child, timeout_s);
	while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (end == INTERRUPTED) {
		entry = NULL;
	} else if (end == TIMED_OUT) {
		char text[128];

		snprintf(text, sizeof(text),
			 "no end after %g s (see --timeout): it was killed", timeout_s);
		entry = failure(text, child.errors.text);
	} else {
		entry = judge(&child, status);
	}
	free(child.result.text);
	free(child.errors.text);
	return entry;
}
