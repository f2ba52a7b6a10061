/* SPDX-License-Identifier: MIT */
/* Programs that take rights and room away from themselves while they run. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unusual.h"

#define ALLOW(nr)                                      \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What glibc's malloc needs and a program that only computes; and `also`. */
static bool sandbox(uint32_t otherwise, uint32_t also)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_brk),
		ALLOW(SYS_mmap),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mremap),
		ALLOW(SYS_mprotect),
		ALLOW(SYS_madvise),
		ALLOW(SYS_futex),
		ALLOW(SYS_clock_gettime),
		ALLOW(SYS_rt_sigprocmask),
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_newfstatat),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		ALLOW(also),
		BPF_STMT(BPF_RET | BPF_K, otherwise),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]),
				     .filter = filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void work(void)
{
	for (unsigned int i = 0; i < 20; i++)
		CHECK(churn_some(i, 5000) == 0);
	for (size_t n = 100; n < (size_t)200 << 20; n *= 2) {
		char *p = calloc(1, n);

		CHECK(p != NULL);
		p = realloc(p, n + n / 2);
		CHECK(p != NULL && p[n / 2] == 0);
		free(p);
	}
}

static void in_child(void (*f)(void))
{
	pid_t pid;
	int status = -1;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		f();
		fflush(stdout);
		_exit(failures != 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status == 0);
}

static void sandboxed_work(void)
{
	work();
	if (sandbox(SECCOMP_RET_KILL_PROCESS, SYS_exit))
		work();
}

/* On every CPU in turn: a program with one thread stops nobody. */
static void moved_in_sandbox(void)
{
	cpu_set_t all, one;

	churn_some(1, 2000);
	sched_getaffinity(0, sizeof(all), &all);
	if (!sandbox(SECCOMP_RET_KILL_PROCESS, SYS_sched_setaffinity))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		CHECK(churn_some((unsigned int)cpu, 2000) == 0);
		free(malloc(300000));
	}
}

/* A filter that kills for any call that glibc's malloc does not make. */
static void killed_for_other_calls(void)
{
	in_child(moved_in_sandbox);
	in_child(sandboxed_work);
	in_child(sandboxed_work); /* a second child has a used heap from the start */
}

static void refused_work(void)
{
	work();
	if (sandbox(SECCOMP_RET_ERRNO | EPERM, SYS_exit))
		work();
	malloc_usable_size(NULL);
}

static void refused_other_calls(void)
{
	in_child(refused_work);
}

static void limit(int which, rlim_t bytes)
{
	struct rlimit l = {bytes, bytes};

	CHECK(setrlimit(which, &l) == 0);
}

static int deep(int n)
{
	volatile char frame[1000];

	frame[0] = (char)n;
	return n == 0 ? frame[0] : deep(n - 1) + frame[0] * 0;
}

static void *thread_work(void *arg)
{
	CHECK(churn_some(9, 3000) == 0);
	return arg;
}

/* A limit on address space that the program sets when it is running: blocks, stack
 * and threads must still be had, as far as the limit goes. */
static void limited_work(void)
{
	char *p[64];
	pthread_t t;

	CHECK(churn_some(1, 1000) == 0);
	limit(RLIMIT_AS, (rlim_t)1 << 30);
	for (unsigned int i = 0; i < 20; i++)
		CHECK(churn_some(i, 5000) == 0);
	for (int i = 0; i < 64; i++)
		CHECK((p[i] = malloc(1 << 20)) != NULL);
	for (int i = 0; i < 64; i++)
		free(p[i]);
	CHECK((p[0] = malloc(50 << 20)) != NULL);
	free(p[0]);
	CHECK(malloc((size_t)2 << 30) == NULL);
	CHECK(deep(4000) == 0); /* 4 MB of stack */
	if (pthread_create(&t, NULL, thread_work, NULL) == 0)
		pthread_join(t, NULL);
	else
		CHECK(!"pthread_create");
}

static void limits_itself(void)
{
	in_child(limited_work);
}

/* Others allocate and fork meanwhile. */
static void *fork_meanwhile(void *arg)
{
	for (int i = 0; i < 30; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			struct rlimit l = {(rlim_t)2 << 30, RLIM_INFINITY};

			alarm(60);
			_exit(churn_some(7, 500) != 0 || setrlimit(RLIMIT_AS, &l) != 0 ||
			      churn_some(8, 500) != 0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(churn_some((unsigned int)i, 500) == 0);
	}
	return arg;
}

static void limits_meanwhile_work(void)
{
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, fork_meanwhile, NULL) == 0);
	for (int i = 1; i <= 40; i++) {
		struct rlimit l = {((rlim_t)100 - (rlim_t)i) << 28, RLIM_INFINITY};

		CHECK(setrlimit(i % 2 ? RLIMIT_AS : RLIMIT_DATA, &l) == 0);
		CHECK(churn_some((unsigned int)i, 300) == 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void limits_meanwhile(void)
{
	in_child(limits_meanwhile_work);
}

static long mapped_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	CHECK(f != NULL && fscanf(f, "%ld", &pages) == 1);
	if (f != NULL)
		fclose(f);
	return pages;
}

/* A child of vfork() that limits itself takes nothing from its parent. */
static void vfork_limits(void)
{
	long before = mapped_pages();
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0) {
		struct rlimit l = {(rlim_t)64 << 20, (rlim_t)64 << 20};

		setrlimit(RLIMIT_AS, &l);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(mapped_pages() >= before);
}

/* Nothing more is to be had: NULL and ENOMEM, and all is well when it is freed. */
static void exhausted_work(void)
{
	static char *p[100000];
	size_t n = 0;

	limit(RLIMIT_DATA, (rlim_t)300 << 20);
	while (n < 100000) {
		p[n] = malloc(100000);
		if (p[n] == NULL)
			break;
		p[n][0] = p[n][99999] = (char)n;
		n++;
		if (n * 100000 > (size_t)2 << 30)
			break; /* the range was there before the limit */
	}
	CHECK(n > 1000);
	for (size_t i = 0; i < n; i++) {
		CHECK(p[i][0] == (char)i && p[i][99999] == (char)i);
		free(p[i]);
	}
	CHECK(churn_some(1, 1000) == 0);
}

static void exhausted(void)
{
	in_child(exhausted_work);
}

const struct unusual unusual_limits[] = {
	{"killed_for_other_calls", killed_for_other_calls},
	{"refused_other_calls", refused_other_calls},
	{"limits_itself", limits_itself},
	{"limits_meanwhile", limits_meanwhile},
	{"vfork_limits", vfork_limits},
	{"exhausted", exhausted},
	{NULL, NULL},
};
