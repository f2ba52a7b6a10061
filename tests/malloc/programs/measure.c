/* SPDX-License-Identifier: MIT */
/*
 * measure LOG LIBRARY PROGRAM [ARGUMENT...]: runs the program with LIBRARY as its
 * LD_PRELOAD (empty: none) and appends a line to LOG: seconds of wall and CPU time, peak
 * resident KiB, minor page faults; of the program and all that it starts, what outlives
 * it included. Ends as it does.
 *
 * The peak is the kernel's high-water mark of the largest process. While several live,
 * their memory is sampled, shared pages counted once, and the largest sum counts where
 * it is more. A single process is not sampled: its mark is exact.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Samples are so far apart that they take a thirtieth of a CPU at most. */
#define INTERVAL_S 0.01
#define REST_TIMES 30
/* What the program leaves behind is waited for so long. */
#define LINGER_S 5
#define TREE_MAX 4096

static double now_by(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now(void)
{
	return now_by(CLOCK_MONOTONIC);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static void append(const char *path, double wall, long peak_kib)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644), n;
	struct rusage u;
	char line[200];

	getrusage(RUSAGE_CHILDREN, &u);
	n = snprintf(line, sizeof(line), "%.6f %.6f %ld %ld\n", wall,
		     seconds(u.ru_utime) + seconds(u.ru_stime),
		     peak_kib > u.ru_maxrss ? peak_kib : u.ru_maxrss, u.ru_minflt);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		fprintf(stderr, "measure: cannot write '%s': %s\n", path,
			strerror(errno));
}

/* --- memory of all that live --- */

static struct {
	pid_t pid, parent;
	bool ours;
} process[TREE_MAX];

/* All processes of the system with their parents. */
static int list_processes(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int count = 0;

	while (proc != NULL && (e = readdir(proc)) != NULL && count < TREE_MAX) {
		char path[300], text[512], *name_end;
		ssize_t n = 0;
		int fd;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		text[n > 0 ? n : 0] = '\0';
		name_end = strrchr(text, ')');
		if (name_end == NULL ||
		    sscanf(name_end + 1, " %*c %d", &process[count].parent) != 1)
			continue;
		process[count].ours = false;
		process[count++].pid = (pid_t)atoi(e->d_name);
	}
	if (proc != NULL)
		closedir(proc);
	return count;
}

/* Marks what descends from us; we are the parent of orphans. Returns how many. */
static int mark_tree(int count)
{
	const pid_t self = getpid();
	int marked = 0, before;

	do {
		before = marked;
		for (int i = 0; i < count; i++) {
			bool ours = process[i].parent == self;

			for (int k = 0; k < count && !ours && !process[i].ours; k++)
				ours = process[k].ours &&
				       process[k].pid == process[i].parent;
			if (!ours || process[i].ours)
				continue;
			process[i].ours = true;
			marked++;
		}
	} while (marked > before);
	return marked;
}

/* Its share of what it has resident. */
static long proportional_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Pss: %ld", &kib) == 1)
			break;
	}
	if (f != NULL)
		fclose(f);
	return kib;
}

/* 0: a single process. */
static long tree_kib(void)
{
	int count = list_processes();
	long kib = 0;

	if (mark_tree(count) < 2)
		return 0;
	for (int i = 0; i < count; i++) {
		if (process[i].ours)
			kib += proportional_kib(process[i].pid);
	}
	return kib;
}

/* --- running --- */

static pid_t start(char **argv, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (*argv[2] != '\0')
		setenv("LD_PRELOAD", argv[2], 1);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[3], argv + 3);
	fprintf(stderr, "measure: cannot start '%s': %s\n", argv[3], strerror(errno));
	_exit(127);
}

/* Reaps what has ended. False when there is no child any more. */
static bool reap(pid_t program, int *status, bool *ended)
{
	int s;
	pid_t pid;

	while ((pid = waitpid(-1, &s, WNOHANG)) > 0) {
		if (pid != program)
			continue;
		*status = s;
		*ended = true;
	}
	return pid == 0;
}

int main(int argc, char **argv)
{
	double started, ended_at = 0, interval = INTERVAL_S;
	bool ended = false;
	sigset_t chld, mask;
	int status = 0;
	long peak_kib = 0;
	pid_t program;

	if (argc < 4) {
		fputs("usage: measure LOG LIBRARY PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &mask);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	started = now();
	program = start(argv, &mask);
	if (program < 0) {
		perror("measure: fork");
		return 2;
	}
	signal(SIGINT, SIG_IGN);
	while (reap(program, &status, &ended)) {
		struct timespec rest = {
			(time_t)interval,
			(long)(1e9 * (interval - (double)(time_t)interval))};
		double before;
		long kib;

		if (ended && ended_at == 0)
			ended_at = now();
		if (ended && now() - ended_at > LINGER_S)
			break;
		/* A child's end is told at once. */
		if (sigtimedwait(&chld, NULL, &rest) == SIGCHLD)
			continue;
		before = now_by(CLOCK_PROCESS_CPUTIME_ID);
		kib = tree_kib();
		if (kib > peak_kib)
			peak_kib = kib;
		interval = REST_TIMES * (now_by(CLOCK_PROCESS_CPUTIME_ID) - before);
		if (interval < INTERVAL_S)
			interval = INTERVAL_S;
	}
	append(argv[1], (ended_at != 0 ? ended_at : now()) - started, peak_kib);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
