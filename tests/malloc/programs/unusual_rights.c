/* SPDX-License-Identifier: MIT */
/* Programs that lose what a process usually has: descriptors, files, rights, its turn. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unusual.h"

extern char **environ;
static _Atomic bool stop;

static void *churn(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	while (!stop)
		CHECK(churn_some(seed++, 300) == 0);
	return NULL;
}

/* In a child, so that what it does to itself ends with it. Its standard output may be
 * gone: how it ended is its exit status. */
static void in_child(void (*f)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(60);
		f();
		fflush(stdout);
		_exit(failures != 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		printf("the child ended with wait status 0x%x\n", (unsigned int)status);
	CHECK(status == 0);
}

/* Every layer, and enough freed memory for the thread that gives it back. */
static void all_layers(void)
{
	char *p[8];

	for (unsigned int i = 0; i < 10; i++)
		CHECK(churn_some(i, 3000) == 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 8; i++) {
			CHECK((p[i] = malloc((size_t)1 << (14 + i))) != NULL);
			memset(p[i], i, (size_t)1 << (14 + i));
		}
		for (int i = 0; i < 8; i++)
			free(p[i]);
	}
}

/* --- descriptors --- */

static void close_all(void)
{
	if (syscall(SYS_close_range, 0, ~0U, 0) != 0) {
		for (int fd = 0; fd < 1024; fd++)
			close(fd);
	}
}

/* As daemons do. None of them may have been ours, and none may be needed later. */
static void closed_work(void)
{
	pthread_t t;
	int fds[20];

	close_all();
	all_layers();
	/* The numbers are the program's, from the first one on. */
	for (int i = 0; i < 20; i++)
		CHECK((fds[i] = open("/dev/null", O_RDWR)) == i);
	CHECK(pthread_create(&t, NULL, churn, NULL) == 0);
	for (int i = 0; i < 5; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			close_all();
			_exit(churn_some(3, 2000) != 0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	}
	stop = true;
	pthread_join(t, NULL);
	for (int i = 0; i < 20; i++)
		CHECK(close(fds[i]) == 0);
	all_layers();
}

static void closes_descriptors(void)
{
	in_child(closed_work);
}

/* --- exec --- */

static void *execs(void *arg)
{
	char *args[] = {"true", NULL};

	CHECK(churn_some((unsigned int)(uintptr_t)arg, 500) == 0);
	execvp("true", args);
	_exit(127);
}

/* A thread that is not the first one replaces the program while others allocate. */
static void exec_work(void)
{
	pthread_t t;

	for (uintptr_t i = 0; i < 4; i++)
		CHECK(pthread_create(&t, NULL, churn, (void *)i) == 0);
	CHECK(pthread_create(&t, NULL, execs, NULL) == 0);
	churn(NULL);
}

static void exec_from_threads(void)
{
	for (int i = 0; i < 30; i++)
		in_child(exec_work);
}

/* --- rights --- */

/* Everything a server gives up when it has started: user, files, processes. */
static void powerless_work(void)
{
	struct rlimit none = {1, 1};
	pthread_t t;

	all_layers();
	CHECK(chroot("/proc/self/fdinfo") == 0 && chdir("/") == 0);
	CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
	none.rlim_cur = none.rlim_max = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
	CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
	all_layers();
	/* So the thread that gives memory back cannot be had either. */
	CHECK(pthread_create(&t, NULL, churn, NULL) == EAGAIN);
	for (int i = 0; i < 5; i++) {
		all_layers();
		usleep(100000);
	}
}

static void gives_up_rights(void)
{
	if (geteuid() == 0)
		in_child(powerless_work);
}

/* --- turns --- */

/* Blocks that are not served from arrays: locks are taken. */
static void take_locks(unsigned int seed)
{
	void *p[20];

	for (int i = 0; i < 20; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = malloc((seed >> 8) % 3000000 + 5000);
		CHECK(p[i] != NULL);
	}
	for (int i = 0; i < 20; i++)
		free(p[i]);
}

static void *background_work(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	while (!stop)
		take_locks(seed++);
	return NULL;
}

static void start_with(pthread_t *t, int policy, int priority, void *(*f)(void *))
{
	struct sched_param param = {.sched_priority = priority};
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	CHECK(pthread_attr_setschedpolicy(&attr, policy) == 0);
	CHECK(pthread_attr_setschedparam(&attr, &param) == 0);
	CHECK(pthread_create(t, &attr, f, NULL) == 0);
	pthread_attr_destroy(&attr);
}

static void *urgent_work(void *arg)
{
	for (unsigned int i = 0; i < 2000; i++) {
		/* Wakes in the middle of what the other does. */
		usleep(50 + i % 37);
		take_locks(i);
	}
	stop = true;
	return arg;
}

/*
 * A real-time thread that wants a lock whose holder, less urgent and on the same CPU, it
 * has interrupted: giving its turn away does not help, it must wait. Should it not, the
 * limit ends the program.
 */
static void urgent_child(void)
{
	struct rlimit limit = {300000, 300000}; /* us on end */
	struct sched_param param = {.sched_priority = 1};
	pthread_t less, more;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	CHECK(sched_setaffinity(0, sizeof(cpus), &cpus) == 0);
	if (sched_setscheduler(0, SCHED_FIFO, &param) != 0)
		return; /* not allowed here */
	CHECK(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}) == 0);
	CHECK(setrlimit(RLIMIT_RTTIME, &limit) == 0);
	start_with(&less, SCHED_OTHER, 0, background_work);
	start_with(&more, SCHED_FIFO, 1, urgent_work);
	pthread_join(more, NULL);
	pthread_join(less, NULL);
}

static void urgent_threads(void)
{
	in_child(urgent_child);
}

const struct unusual unusual_rights[] = {
	{"closes_descriptors", closes_descriptors},
	{"exec_from_threads", exec_from_threads},
	{"gives_up_rights", gives_up_rights},
	{"urgent_threads", urgent_threads},
	{NULL, NULL},
};
