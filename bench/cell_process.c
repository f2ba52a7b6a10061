/* SPDX-License-Identifier: MIT */
/* Starts, asks and ends a cell's process: see cell_process.h. */
#include "bench/cell_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cell.h"
#include "bench/cli.h"
#include "bench/runner.h"

/*
 * jemalloc keeps its thread caches in the static TLS block, so that dlopen()
 * needs room there: targets of this size exist since glibc 2.32.
 */
#define STATIC_TLS_TUNABLE "glibc.rtld.optional_static_tls=16384"
/* Its value is what moves the stack. */
#define PADDING_VARIABLE "KMEMBENCH_PADDING="

/* Kept of what a cell prints to stderr: enough for a sanitizer's first lines. */
#define STDERR_KEPT 4096
/* Of answers and the entry. */
#define RESULT_KEPT ((size_t)256 << 20)

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

/* What has arrived is used up to `length`. */
static void consume(struct stream *s, size_t length)
{
	memmove(s->text, s->text + length, s->length - length + 1);
	s->length -= length;
}

enum process_end { RUNNING, ENDED, TIMED_OUT, INTERRUPTED };

struct cell_process {
	pid_t pid; /* 0: never started, or waited for */
	int input; /* commands; -1: closed */
	struct stream result, errors;
	double timeout_s, left_s; /* of the time for answers */
	enum process_end end;
	int status;	 /* of waitpid(), once it has ended */
	json_t *failure; /* why it could not even start; else NULL */
	char *answer;	 /* the last one */
};

/* The environment of cells: ours, room for static TLS, nothing preloaded. */
static char **cell_environment(unsigned int padding_bytes)
{
	size_t count = 0, kept = 0;
	char **env;
	char *tunables, *padding;
	const char *old = getenv("GLIBC_TUNABLES");

	while (environ[count] != NULL)
		count++;
	env = calloc(count + 3, sizeof(*env));
	if (env == NULL ||
	    asprintf(&tunables, "GLIBC_TUNABLES=%s%s" STATIC_TLS_TUNABLE,
		     old != NULL ? old : "",
		     old != NULL && *old != '\0' ? ":" : "") < 0 ||
	    asprintf(&padding, PADDING_VARIABLE "%0*d", (int)padding_bytes, 0) < 0)
		abort();
	env[kept++] = tunables;
	env[kept++] = padding;
	for (size_t i = 0; i < count; i++) {
		if (strncmp(environ[i], "GLIBC_TUNABLES=", 15) != 0 &&
		    strncmp(environ[i], PADDING_VARIABLE, strlen(PADDING_VARIABLE)) !=
			    0 &&
		    strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
			env[kept++] = environ[i];
	}
	return env;
}

static void free_environment(char **env)
{
	free(env[0]);
	free(env[1]);
	free(env);
}

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

/* A child inherits the personality that its parent has at that moment. */
static int spawn_with_layout(pid_t *pid, const char *program,
			     const posix_spawn_file_actions_t *actions,
			     const posix_spawnattr_t *attributes, char **argv,
			     const struct process_layout *layout)
{
	char **env = cell_environment(layout->fixed ? 0 : layout->padding_bytes);
	int before = layout->fixed ? personality(0xffffffff) : -1;
	int err;

	if (layout->fixed &&
	    (before < 0 || personality((unsigned long)before | ADDR_NO_RANDOMIZE) < 0)) {
		free_environment(env);
		return -EPERM;
	}
	err = -posix_spawn(pid, program, actions, attributes, argv, env);
	if (layout->fixed)
		personality((unsigned long)before);
	free_environment(env);
	return err;
}

/*
 * The result's pipe becomes descriptor 3. dup2 of a descriptor onto itself
 * would keep its close-on-exec flag, so it is first moved out of the way.
 */
static int spawn(struct cell_process *p, const struct process_layout *layout)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char program[PATH_MAX], command[] = "cell";
	char *argv[] = {program, command, NULL};
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
	err = spawn_with_layout(&p->pid, program, &actions, &attributes, argv, layout);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(high);
	close(input[0]);
	close(result[1]);
	close(errors[1]);
	p->input = input[1];
	p->result = (struct stream){.fd = result[0], .limit = RESULT_KEPT};
	p->errors = (struct stream){.fd = errors[0], .limit = STDERR_KEPT};
	return err;
}

static json_t *failure_of(const char *reason, const char *errors)
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

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct cell_process *cell_process_start(json_t *spec, const struct process_layout *layout,
					double timeout_s)
{
	struct cell_process *p = calloc(1, sizeof(*p));
	int err;

	if (p == NULL)
		abort();
	p->timeout_s = p->left_s = timeout_s;
	p->input = p->result.fd = p->errors.fd = -1;
	err = spawn(p, layout);
	if (err == 0) {
		json_dumpfd(spec, p->input, JSON_COMPACT | JSON_REAL_PRECISION(17));
		cell_process_send(p, "");
		return p;
	}
	p->pid = 0;
	p->end = ENDED;
	p->failure = failure_of(err == -EPERM && layout->fixed
					? "cannot fix the layout: personality(2) is not "
					  "permitted here; use --layout random"
					: "cannot start the cell's process",
				err == -EPERM && layout->fixed ? NULL : strerror(-err));
	return p;
}

void cell_process_send(struct cell_process *p, const char *command)
{
	char line[96];
	int length = snprintf(line, sizeof(line), "%s\n", command);

	/* One that has died is told by its answer. */
	if (p->input >= 0 && write(p->input, line, (size_t)length) != length) {
		close(p->input);
		p->input = -1;
	}
}

/* Waits for more of either stream, and takes it. */
static void wait_for_more(struct cell_process *p)
{
	struct pollfd fds[] = {{p->result.fd, POLLIN, 0}, {p->errors.fd, POLLIN, 0}};
	double before = now_s();

	/* A signal between the check and poll() is seen a second later. */
	int n = poll(fds, 2, p->left_s < 1 ? (int)(p->left_s * 1000) + 1 : 1000);

	p->left_s -= now_s() - before;
	if (n <= 0)
		return;
	if (fds[0].revents != 0)
		drain(&p->result);
	if (fds[1].revents != 0)
		drain(&p->errors);
}

/* False when nothing more is to be waited for. */
static bool may_wait(struct cell_process *p)
{
	if (p->end != RUNNING)
		return false;
	if (runner_interrupted)
		p->end = INTERRUPTED;
	else if (p->left_s <= 0)
		p->end = TIMED_OUT;
	return p->end == RUNNING;
}

/* Reads both streams to their ends, and waits for the process. */
static void collect(struct cell_process *p)
{
	if (p->input >= 0)
		close(p->input);
	p->input = -1;
	while ((p->result.fd >= 0 || p->errors.fd >= 0) && may_wait(p))
		wait_for_more(p);
	if (p->pid == 0)
		return;
	if (p->end == RUNNING)
		p->end = ENDED;
	else
		kill(-p->pid, SIGKILL);
	while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
}

const char *cell_process_answer(struct cell_process *p)
{
	const char *newline = NULL;

	while (p->result.fd >= 0 && may_wait(p)) {
		if (p->result.length > 0)
			newline = memchr(p->result.text, '\n', p->result.length);
		if (newline != NULL)
			break;
		wait_for_more(p);
	}
	/* What begins with a brace is the report of a failure: the last word. */
	if (newline == NULL || p->result.text[0] == '{') {
		collect(p);
		return NULL;
	}
	free(p->answer);
	p->answer = strndup(p->result.text, (size_t)(newline - p->result.text));
	consume(&p->result, (size_t)(newline - p->result.text) + 1);
	return p->answer;
}

bool cell_process_ask(struct cell_process *p, const char *command)
{
	size_t length = strcspn(command, " ");
	const char *answer;

	cell_process_send(p, command);
	answer = cell_process_answer(p);
	return answer != NULL && strncmp(answer, command, length) == 0;
}

bool cell_process_failed(const struct cell_process *p)
{
	return p->end != RUNNING;
}

static json_t *judge(const struct cell_process *p)
{
	json_t *entry = NULL;
	char reason[128];

	if (p->result.length > 0)
		entry = json_loads(p->result.text, 0, NULL);
	if (entry != NULL && WIFEXITED(p->status) &&
	    (WEXITSTATUS(p->status) == EXIT_DONE ||
	     WEXITSTATUS(p->status) == EXIT_CELL_FAILED)) {
		if (p->errors.length > 0 && WEXITSTATUS(p->status) == EXIT_DONE)
			fprintf(stderr, "%s", p->errors.text);
		return entry;
	}
	json_decref(entry);
	if (WIFSIGNALED(p->status))
		snprintf(reason, sizeof(reason), "killed by signal %d (%s)",
			 WTERMSIG(p->status), strsignal(WTERMSIG(p->status)));
	else
		snprintf(reason, sizeof(reason),
			 "ended with exit status %d and no result",
			 WEXITSTATUS(p->status));
	return failure_of(reason, p->errors.text);
}

json_t *cell_process_finish(struct cell_process *p)
{
	char text[128];

	if (p->failure != NULL)
		return json_incref(p->failure);
	if (p->end == RUNNING) {
		cell_process_send(p, "finish");
		collect(p);
	}
	if (p->end == INTERRUPTED)
		return NULL;
	if (p->end == ENDED)
		return judge(p);
	snprintf(text, sizeof(text), "no end after %g s (see --timeout): it was killed",
		 p->timeout_s);
	return failure_of(text, p->errors.text);
}

void cell_process_delete(struct cell_process *p)
{
	if (p == NULL)
		return;
	if (p->pid != 0) {
		kill(-p->pid, SIGKILL);
		p->end = INTERRUPTED;
		collect(p);
	}
	if (p->result.fd >= 0)
		close(p->result.fd);
	if (p->errors.fd >= 0)
		close(p->errors.fd);
	json_decref(p->failure);
	free(p->result.text);
	free(p->errors.text);
	free(p->answer);
	free(p);
}
