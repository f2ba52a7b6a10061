/* SPDX-License-Identifier: MIT */
/*
 * The recorded program as a process: started, waited for.
 *
 * Two pipes say what wait(2) does not. The end of the first is closed by a
 * successful exec, or brings the reason why there was none. The end of the
 * second is kept open by the recorder inside the program and closed by a later
 * exec: a wrapper that starts the real program in its own place, and so leaves
 * a recording of itself only, is noticed and can be warned of.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kmem/error.h>
#include "bench/preload.h"
#include "bench/record_internal.h"

/* --- signals --- */

static volatile pid_t child_pid;

static void pass_on(int sig)
{
	int saved_errno = errno;

	kill(child_pid, sig);
	errno = saved_errno;
}

/* What this process does with signals while it waits; the program gets the originals. */
struct signal_plan {
	int sig;
	bool ignored; /* a terminal sends it to the program as well; else passed on */
	struct sigaction before;
};

static void signals_take(struct signal_plan *plan, size_t n)
{
	struct sigaction action = {.sa_flags = SA_RESTART};

	for (size_t i = 0; i < n; i++) {
		action.sa_handler = plan[i].ignored ? SIG_IGN : pass_on;
		sigaction(plan[i].sig, &action, &plan[i].before);
	}
}

static void signals_restore(const struct signal_plan *plan, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sigaction(plan[i].sig, &plan[i].before, NULL);
}

/* --- the program --- */

struct pipes {
	int start[2]; /* closed by exec, or brings errno */
	int alive[2]; /* closed when the recorder is gone */
};

static void close_pipe(int fds[2])
{
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static bool prepare_recorder(const struct record_start *start, const struct pipes *pipes)
{
	char numbers[32];

	snprintf(numbers, sizeof(numbers), "%d,%d", start->raw_fd, pipes->alive[1]);
	return fcntl(start->raw_fd, F_SETFD, 0) == 0 &&
	       fcntl(pipes->alive[1], F_SETFD, 0) == 0 &&
	       setenv(RAW_FDS_VARIABLE, numbers, 1) == 0 &&
	       (start->children == NULL ||
		setenv(RAW_CHILDREN_VARIABLE, start->children, 1) == 0) &&
	       preload_prepend(start->library) == 0;
}

/* In the child: becomes the program, or sends errno and ends. */
static void start_program(char *const argv[], const struct record_start *start,
			  const struct pipes *pipes)
{
	int err;

	if (start->raw_fd < 0 || prepare_recorder(start, pipes))
		execvp(argv[0], argv);
	err = errno;
	if (write(pipes->start[1], &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* True when the process runs a program without the recorder. A process that is ending has
 * no mappings left, and is not meant. */
static bool runs_unrecorded(pid_t pid)
{
	char path[64], *line = NULL;
	size_t size = 0;
	bool mapped = false, recorded = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (maps == NULL)
		return false;
	while (getline(&line, &size, maps) > 0) {
		mapped = true;
		recorded = recorded || strstr(line, RAW_LIBRARY) != NULL;
	}
	free(line);
	fclose(maps);
	return mapped && !recorded;
}

/* Waits for the program's end, and meanwhile for the recorder's. */
static void wait_for_end(int alive_fd, bool with_children, struct record_summary *summary)
{
	struct pollfd fds[] = {{.fd = pidfd_open(child_pid, 0), .events = POLLIN},
			       {.fd = alive_fd, .events = POLLIN}};

	/* Before Linux 5.3: no pidfd, and no such notice. */
	while (fds[0].fd >= 0 && fds[0].revents == 0) {
		if (poll(fds, KMEM_ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].fd >= 0 && fds[1].revents != 0) {
			summary->replaced = !with_children && runs_unrecorded(child_pid);
			fds[1].fd = -1;
		}
	}
	while (waitpid(child_pid, &summary->wait_status, 0) < 0 && errno == EINTR)
		;
	if (fds[0].fd >= 0)
		close(fds[0].fd);
}

/* Forks with all signals blocked: none may arrive before there is somebody to pass it on
 * to. 0 or errno. */
static int run(char *const argv[], const struct record_start *start, struct pipes *pipes,
	       struct record_summary *summary)
{
	struct signal_plan plan[] = {{.sig = SIGINT, .ignored = true},
				     {.sig = SIGQUIT, .ignored = true},
				     {.sig = SIGTERM},
				     {.sig = SIGHUP}};
	sigset_t all, before;
	int child_errno = 0;

	fflush(NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	child_pid = fork();
	if (child_pid == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		start_program(argv, start, pipes);
	}
	if (child_pid < 0) {
		child_errno = errno;
		sigprocmask(SIG_SETMASK, &before, NULL);
		return child_errno;
	}
	summary->pid = (uint32_t)child_pid;
	signals_take(plan, KMEM_ARRAY_SIZE(plan));
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(pipes->start[1]);
	close(pipes->alive[1]);
	pipes->start[1] = pipes->alive[1] = -1;
	while (read(pipes->start[0], &child_errno, sizeof(child_errno)) < 0 &&
	       errno == EINTR)
		;
	/* What comes by exec is recorded then, as a child. */
	wait_for_end(pipes->alive[0], start->children != NULL, summary);
	signals_restore(plan, KMEM_ARRAY_SIZE(plan));
	return child_errno;
}

int record_run_process(char *const argv[], const struct record_start *start,
		       struct record_summary *summary)
{
	struct pipes pipes = {{-1, -1}, {-1, -1}};
	int err;

	if (pipe2(pipes.start, O_CLOEXEC) == 0 && pipe2(pipes.alive, O_CLOEXEC) == 0)
		err = run(argv, start, &pipes, summary);
	else
		err = errno;
	close_pipe(pipes.start);
	close_pipe(pipes.alive);
	return err == 0 ? 0
			: kmem_error(-err, "cannot start '%s': %s", argv[0],
				     strerror(err));
}
