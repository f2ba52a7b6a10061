/* SPDX-License-Identifier: MIT */
/*
 * A program with known allocations, to be recorded by test_record_programs.sh:
 *
 *   allocates known          every entry point, a known number of times
 *   allocates churn THREADS  threads that free each other's blocks, addresses reused
 *   allocates children       fork, _Fork, vfork, posix_spawn, with allocations in each
 *   allocates forks          forks, vforks and spawns while threads allocate
 *   allocates mtrace         under glibc's mtrace(), if libc_malloc_debug is preloaded
 *   allocates abort          allocates in threads, then aborts
 *   allocates exec           replaces itself by "allocates environment"
 *   allocates environment    exits with 0 when nothing of the recorder is left there
 *   allocates crash | kill   allocates, then dies by SIGSEGV or SIGKILL
 *   allocates sleep          allocates, then waits to be killed
 *   allocates fail           allocates, exits with 3
 *
 * Blocks that the test counts have sizes that nothing else asks for.
 */
#include <errno.h>
#include <malloc.h>
#include <mcheck.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
extern pid_t _Fork(void);

/* The compiler may not remove what it cannot see through. */
static void *hide(void *p)
{
	__asm__ __volatile__("" : "+r"(p) : : "memory");
	return p;
}

static void repeat(int n, size_t size)
{
	for (int i = 0; i < n; i++)
		free(hide(malloc(size)));
}

/* --- known --- */

#define HANDED_OVER 2000
static void *handed_over[HANDED_OVER];

static void *produce(void *arg)
{
	for (int i = 0; i < HANDED_OVER; i++)
		handed_over[i] = malloc(70003);
	return arg;
}

static void *consume(void *arg)
{
	for (int i = 0; i < HANDED_OVER; i++)
		free(handed_over[i]);
	return arg;
}

static void run_thread(void *(*fn)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, NULL) != 0)
		exit(90);
	pthread_join(thread, NULL);
}

static void reallocations(void)
{
	volatile size_t huge = SIZE_MAX / 4;
	char *p = malloc(50001);

	memset(p, 7, 50001);
	for (size_t size = 50002; size <= 50010; size++)
		p = hide(realloc(p, size * 3));
	for (int i = 0; i < 50001; i++) {
		if (p[i] != 7)
			exit(91);
	}
	free(p);
	p = hide(realloc(NULL, 51001));	    /* is a malloc */
	if (hide(realloc(p, huge)) != NULL) /* fails: p stays */
		exit(92);
	p = hide(reallocarray(p, 3, 17007));
	if (hide(reallocarray(p, huge, 5)) != NULL || errno != ENOMEM)
		exit(93);
	if (hide(realloc(p, 0)) != NULL) /* glibc: is a free */
		exit(94);
}

static void alignments(void)
{
	void *p;

	if (posix_memalign(&p, 256, 60001) != 0)
		exit(95);
	free(p);
	free(hide(aligned_alloc(4096, 61440)));
	free(hide(memalign(64, 60003)));
	free(hide(valloc(60007)));
	free(hide(pvalloc(60011)));
}

static int known(void)
{
	volatile size_t huge = SIZE_MAX / 2;

	repeat(1000, 70001);
	for (int i = 0; i < 500; i++) {
		char *p = calloc(7, 10007);

		if (p[70048] != 0)
			return 96;
		free(hide(p));
	}
	for (int i = 0; i < 30; i++)
		hide(malloc(70009)); /* never freed */
	if (hide(malloc(huge)) != NULL)
		return 97;
	free(NULL);
	run_thread(produce);
	run_thread(consume);
	reallocations();
	alignments();
	return 0;
}

/* --- churn --- */

#define CHURN_SLOTS 256
static _Atomic(void *) churn_slots[CHURN_SLOTS];

static void *churn(void *arg)
{
	uint64_t r = (uintptr_t)arg * 0x9e3779b97f4a7c15u + 1;

	for (int i = 0; i < 20000; i++) {
		_Atomic(void *) *slot;
		void *p;

		r = r * 6364136223846793005u + 1442695040888963407u;
		slot = &churn_slots[(r >> 33) % CHURN_SLOTS];
		p = atomic_exchange(slot, NULL);
		if (p != NULL && (r >> 20 & 3) == 0)
			p = hide(realloc(p, 1 + (r >> 43) % 3000));
		else if (p != NULL)
			free(p), p = NULL;
		else
			p = hide(malloc(1 + (r >> 43) % 600));
		free(atomic_exchange(slot, p));
	}
	return NULL;
}

static int churn_all(int n)
{
	pthread_t threads[64];

	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < CHURN_SLOTS; i++)
		free(churn_slots[i]);
	return 0;
}

/* --- children --- */

static int wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return status;
}

static int children(const char *self)
{
	char *argv[] = {(char *)self, (char *)"environment", NULL};
	void *inherited = hide(malloc(80001));
	int failed;
	pid_t pid;

	repeat(10, 80003);
	pid = fork();
	if (pid == 0) {
		free(inherited);
		repeat(1000, 80009);
		exit(0);
	}
	failed = wait_for(pid);
	pid = _Fork();
	if (pid == 0) {
		repeat(1000, 80009);
		_exit(0);
	}
	failed |= wait_for(pid);
	pid = vfork();
	if (pid == 0) {
		execv(self, argv);
		_exit(98);
	}
	failed |= wait_for(pid);
	if (posix_spawn(&pid, self, NULL, NULL, argv, environ) != 0)
		return 99;
	failed |= wait_for(pid);
	repeat(10, 80003);
	free(inherited);
	return failed != 0;
}

/* --- forks --- */

#define FORKS 12
static _Atomic int forks_done;

static void *until_forked(void *arg)
{
	void *ring[64] = {NULL};

	for (unsigned int i = 0; !forks_done; i++) {
		free(ring[i % 64]);
		ring[i % 64] = hide(malloc(1 + i % 500));
		if (i % 64 == 0)
			usleep(100); /* busy enough, and a trace of some size only */
	}
	for (int i = 0; i < 64; i++)
		free(ring[i]);
	return arg;
}

/* Blocks of the parent are freed by the child too, and the child has threads. */
static void be_a_child(void *inherited)
{
	free(inherited);
	repeat(20, 60101);
	run_thread(produce);
	run_thread(consume);
	exit(0);
}

static int forks(const char *self)
{
	char *argv[] = {(char *)self, (char *)"known", NULL};
	pthread_t threads[3];
	int failed = 0;
	pid_t pid;

	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, until_forked, NULL);
	for (int i = 0; i < FORKS; i++) {
		void *inherited = hide(malloc(60201));

		pid = fork();
		if (pid == 0)
			be_a_child(inherited);
		failed |= wait_for(pid);
		free(inherited);
	}
	if (posix_spawn(&pid, self, NULL, NULL, argv, environ) != 0)
		return 99;
	failed |= wait_for(pid);
	pid = vfork();
	if (pid == 0) {
		execv(self, argv);
		_exit(98);
	}
	failed |= wait_for(pid);
	forks_done = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	repeat(10, 60301);
	return failed != 0;
}

/* --- mtrace --- */

static int mtraced(void)
{
	char *p;

	mtrace();
	repeat(100, 70001);
	p = hide(malloc(50001));
	p = hide(realloc(p, 90001));
	free(hide(calloc(3, 1000)));
	free(hide(memalign(64, 60003)));
	hide(malloc(70009)); /* never freed */
	free(p);
	muntrace();
	return 0;
}

static int environment(void)
{
	repeat(1000, 80009);
	usleep(100000); /* long enough to be seen */
	for (char **e = environ; *e != NULL; e++) {
		if (strstr(*e, "KMEMBENCH_RECORD") != NULL ||
		    strstr(*e, "libkmembench-record") != NULL)
			return 1;
	}
	/* What the caller had set himself must have come through. */
	if (getenv("EXPECT_PRELOAD") != NULL &&
	    strcmp(getenv("EXPECT_PRELOAD"),
		   getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "") != 0)
		return 2;
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (strcmp(mode, "known") == 0)
		return known();
	if (strcmp(mode, "churn") == 0)
		return churn_all(argc > 2 ? atoi(argv[2]) : 4);
	if (strcmp(mode, "children") == 0)
		return children(argv[0]);
	if (strcmp(mode, "forks") == 0)
		return forks(argv[0]);
	if (strcmp(mode, "mtrace") == 0)
		return mtraced();
	if (strcmp(mode, "environment") == 0)
		return environment();
	repeat(100, 90001);
	if (strcmp(mode, "exec") == 0)
		execl(argv[0], argv[0], "environment", (char *)NULL);
	if (strcmp(mode, "abort") == 0) {
		run_thread(produce);
		abort();
	}
	if (strcmp(mode, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(mode, "kill") == 0)
		raise(SIGKILL);
	if (strcmp(mode, "sleep") == 0) {
		puts("ready");
		fflush(stdout);
		pause();
	}
	return 3;
}
