/* SPDX-License-Identifier: MIT */
/* Children of every kind, and libraries that come and go. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
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

static void churn_start(pthread_t *t, int n)
{
	stop = false;
	for (int i = 0; i < n; i++)
		CHECK(pthread_create(&t[i], NULL, churn, (void *)(uintptr_t)(i + 1)) ==
		      0);
}

static void churn_stop(pthread_t *t, int n)
{
	stop = true;
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static void reap_child(pid_t pid)
{
	int status = -1;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- children, while others allocate --- */

/* Every thread forks, and the children allocate, start threads and fork again. */
static void *forker(void *arg)
{
	for (int i = 0; i < 25; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			pthread_t t;

			alarm(60);
			if (pthread_create(&t, NULL, churn, arg) != 0)
				_exit(2);
			if (churn_some((unsigned int)i, 2000) != 0)
				_exit(1);
			if (i % 5 == 0) {
				pid = fork();
				if (pid == 0)
					_exit(churn_some((unsigned int)i, 500) != 0);
				reap_child(pid);
			}
			stop = true;
			pthread_join(t, NULL);
			_exit(failures != 0);
		}
		reap_child(pid);
	}
	return NULL;
}

static void fork_in_threads(void)
{
	pthread_t t[3], f[3];

	churn_start(t, 3);
	for (uintptr_t i = 0; i < 3; i++)
		CHECK(pthread_create(&f[i], NULL, forker, (void *)i) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(f[i], NULL);
	churn_stop(t, 3);
}

static void vfork_and_spawn(void)
{
	char *args[] = {"true", NULL};
	pthread_t t[3];

	churn_start(t, 3);
	for (int i = 0; i < 200; i++) {
		pid_t pid;

		if (i % 2 == 0) {
			pid = vfork();
			if (pid == 0) {
				execvp("true", args);
				_exit(127);
			}
		} else {
			CHECK(posix_spawnp(&pid, "true", NULL, NULL, args, environ) == 0);
		}
		reap_child(pid);
	}
	churn_stop(t, 3);
}

/* The standards forbid it and programs do it. One thread: nobody to collide with. */
static void malloc_after_vfork(void)
{
	static void *volatile kept;

	for (int i = 0; i < 200; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			kept = malloc(333);
			_exit(churn_some((unsigned int)i, 300) != 0);
		}
		reap_child(pid);
		free(kept);
		CHECK(churn_some((unsigned int)i, 300) == 0);
	}
}

static int cloned(void *arg)
{
	return churn_some((unsigned int)(uintptr_t)arg, 3000) != 0;
}

/* clone(2) without CLONE_VM runs no fork handler; with one thread it needs none. */
static void raw_clone(void)
{
	static char stack[1 << 18] __attribute__((aligned(16)));

	for (uintptr_t i = 0; i < 50; i++) {
		reap_child(clone(cloned, stack + sizeof(stack), SIGCHLD, (void *)i));
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (pid == 0)
			_exit(churn_some((unsigned int)i, 3000) != 0);
		reap_child(pid);
		CHECK(churn_some((unsigned int)i, 300) == 0);
	}
}

/* A child made by clone(2) with its own memory space flag: shares ours while it runs. */
static void deep_forks(void)
{
	/* Each generation forks the next and leaves; the last reports through exit codes.
	 */
	pid_t pid = 0;

	for (int depth = 0; depth < 60; depth++) {
		void *p[200];

		for (int i = 0; i < 200; i++)
			p[i] = malloc((size_t)i * 37);
		pid = fork();
		for (int i = 0; i < 200; i++)
			free(p[i]);
		if (pid != 0)
			break;
	}
	if (pid == 0)
		_exit(0);
	int status = -1;

	waitpid(pid, &status, 0);
	if (status != 0)
		CHECK(status == 0);
	if (getenv("UNUSUAL_TOP") == NULL || atoi(getenv("UNUSUAL_TOP")) != getpid())
		_exit(failures != 0);
}

static void forks_of_forks(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		deep_forks();
		_exit(failures != 0);
	}
	reap_child(pid);
}

/* --- libraries --- */

static void *load_and_unload(void *arg)
{
	const char *library = getenv("UNUSUAL_LIBRARY");

	for (int i = 0; i < 150; i++) {
		void *handle = dlopen(library,
				      RTLD_NOW | (i % 2 ? RTLD_LOCAL : RTLD_GLOBAL));
		char **kept;

		CHECK(handle != NULL);
		if (handle == NULL)
			break;
		kept = dlsym(handle, "kept");
		CHECK(kept != NULL && *kept != NULL);
		dlclose(handle);
	}
	return arg;
}

static void libraries_come_and_go(void)
{
	pthread_t t[2], l[3];

	if (getenv("UNUSUAL_LIBRARY") == NULL)
		return;
	churn_start(t, 2);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&l[i], NULL, load_and_unload, NULL) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(l[i], NULL);
	churn_stop(t, 2);
}

/* A namespace of its own has a C library, and so a malloc, of its own. */
static void other_namespace(void)
{
	const char *library = getenv("UNUSUAL_LIBRARY");
	void *handle;

	if (library == NULL)
		return;
	for (int i = 0; i < 5; i++) {
		handle = dlmopen(LM_ID_NEWLM, library, RTLD_NOW);
		CHECK(handle != NULL);
		CHECK(churn_some(1, 1000) == 0);
		if (handle != NULL)
			dlclose(handle);
	}
}

const struct unusual unusual_processes[] = {
	{"fork_in_threads", fork_in_threads},
	{"vfork_and_spawn", vfork_and_spawn},
	{"malloc_after_vfork", malloc_after_vfork},
	{"raw_clone", raw_clone},
	{"forks_of_forks", forks_of_forks},
	{"libraries_come_and_go", libraries_come_and_go},
	{"other_namespace", other_namespace},
	{NULL, NULL},
};
