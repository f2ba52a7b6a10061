/* SPDX-License-Identifier: MIT */
/*
 * measure LOG LIBRARY PROGRAM [ARGUMENT...]: runs the program with LIBRARY as its
 * LD_PRELOAD (empty: none) and appends a line to LOG: seconds of wall and CPU time,
 * peak resident KiB of it or of a child of its, minor page faults. Ends as it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static void append(const char *path, double wall, const struct rusage *u)
{
	char line[200];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	int n = snprintf(line, sizeof(line), "%.6f %.6f %ld %ld\n", wall,
			 seconds(u->ru_utime) + seconds(u->ru_stime), u->ru_maxrss,
			 u->ru_minflt);

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		fprintf(stderr, "measure: cannot write '%s': %s\n", path,
			strerror(errno));
}

int main(int argc, char **argv)
{
	struct rusage usage;
	double start = now();
	int status = 0;
	pid_t pid;

	if (argc < 4) {
		fputs("usage: measure LOG LIBRARY PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	pid = fork();
	if (pid == 0) {
		if (*argv[2] != '\0')
			setenv("LD_PRELOAD", argv[2], 1);
		execvp(argv[3], argv + 3);
		fprintf(stderr, "measure: cannot start '%s': %s\n", argv[3],
			strerror(errno));
		_exit(127);
	}
	signal(SIGINT, SIG_IGN);
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	append(argv[1], now() - start, &usage);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
