/* SPDX-License-Identifier: MIT */
/* Threads: small stacks, many, pinned about, ending in odd ways. */
#include <errno.h>
#include <limits.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unusual.h"

static void start(pthread_t *t, size_t stack, void *(*f)(void *), void *arg)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	if (stack != 0)
		CHECK(pthread_attr_setstacksize(&attr, stack) == 0);
	err = pthread_create(t, &attr, f, arg);
	pthread_attr_destroy(&attr);
	if (err != 0) {
		printf("pthread_create: %s\n", strerror(err));
		_exit(3);
	}
}

/* --- small stacks --- */

/* All slow paths: starting a slab, batches, pages, mappings, aligned, trim. */
static void *every_path(void *arg)
{
	static const size_t sizes[] = {1, 48, 640, 5000, 33000, 140000, 2000000, 6000000};
	void *p[40];

	for (size_t i = 0; i < 8; i++) {
		int n = sizes[i] > 1000000 ? 1 : sizes[i] > 10000 ? 4 : 40;

		for (int k = 0; k < n; k++)
			CHECK((p[k] = calloc(1, sizes[i])) != NULL);
		for (int k = 0; k < n; k++)
			p[k] = realloc(p[k], sizes[i] * 3);
		for (int k = 0; k < n; k++)
			free(p[k]);
		CHECK(posix_memalign(&p[0], 8192, sizes[i]) == 0);
		free(p[0]);
	}
	return arg;
}

static void small_stacks(void)
{
	pthread_t t[16];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 16; i++)
			start(&t[i], PTHREAD_STACK_MIN, every_path, NULL);
		for (int i = 0; i < 16; i++)
			pthread_join(t[i], NULL);
	}
}

static void *no_path(void *arg)
{
	return arg;
}

/* Bytes of stack that a thread has touched: painted before, looked at after. */
static size_t stack_of(void *(*f)(void *))
{
	enum { STACK = 256 << 10 };
	unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;
	size_t untouched = 0;
	pthread_t t;

	memset(stack, 0xa5, STACK);
	pthread_attr_init(&attr);
	CHECK(pthread_attr_setstack(&attr, stack, STACK) == 0);
	CHECK(pthread_create(&t, &attr, f, NULL) == 0);
	pthread_join(t, NULL);
	while (untouched < STACK && stack[untouched] == 0xa5)
		untouched++;
	munmap(stack, STACK);
	return STACK - untouched;
}

/* The deepest call may take half of the smallest stack there is. */
static void stack_depth(void)
{
	size_t nothing = stack_of(no_path), all = stack_of(every_path);

	fprintf(stderr, "stack: %zu bytes, of which %zu without any call\n", all,
		nothing);
	CHECK(all - nothing < 8192);
}

/* --- many --- */

static pthread_barrier_t all_there;

static void *one_of_many(void *arg)
{
	char *p = malloc(100);

	if (p != NULL)
		memset(p, 1, 100);
	pthread_barrier_wait(&all_there);
	free(p);
	free(arg);
	return p;
}

static void ten_thousand_threads(void)
{
	enum { MANY = 10000 };
	static pthread_t t[MANY];
	pthread_attr_t attr;
	int n;

	/* As many as the system allows of them; all alive at once. */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
	pthread_barrier_init(&all_there, NULL, MANY);
	for (n = 0; n < MANY; n++) {
		if (pthread_create(&t[n], &attr, one_of_many, malloc(50)) != 0) {
			printf("ok\n"); /* a limit: nothing to be shown here */
			fprintf(stderr, "only %d threads to be had\n", n);
			_exit(0);
		}
	}
	for (n = 0; n < MANY; n++) {
		void *p = NULL;

		pthread_join(t[n], &p);
		CHECK(p != NULL);
	}
}

/* --- CPUs --- */

static _Atomic bool stop;

static void *churn(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	while (!stop)
		CHECK(churn_some(seed++, 300) == 0);
	return NULL;
}

/* All threads are thrown from CPU to CPU, and from all to one, as by cpusets. */
static void moved_about(void)
{
	cpu_set_t all, one;
	pthread_t t[6];

	stop = false;
	CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
	for (uintptr_t i = 0; i < 6; i++)
		start(&t[i], 0, churn, (void *)(i + 1));
	for (int round = 0, cpu = 0; round < 250; round++) {
		do
			cpu = (cpu + 1) % CPU_SETSIZE;
		while (!CPU_ISSET(cpu, &all));
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		for (int i = 0; i < 6; i++)
			pthread_setaffinity_np(t[i], sizeof(all),
					       round % 3 == 0 ? &all : &one);
		usleep(1000);
	}
	stop = true;
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	sched_setaffinity(0, sizeof(all), &all);
	CHECK(churn_some(1, 300) == 0);
}

/* --- ends --- */

static pthread_key_t key;

static void at_thread_end(void *p)
{
	static _Thread_local int rounds;

	free(p);
	CHECK(churn_some(3, 50) == 0);
	/* Once more: the C library calls us up to four times. */
	if (rounds++ < 3)
		pthread_setspecific(key, malloc(1000));
}

static void *ends_by_key(void *arg)
{
	pthread_setspecific(key, malloc(100));
	if (arg != NULL)
		pthread_exit(NULL);
	return NULL;
}

static void *waits_to_be_cancelled(void *arg)
{
	free(malloc(100));
	for (;;)
		pause();
	return arg;
}

static void thread_ends(void)
{
	pthread_t t;

	CHECK(pthread_key_create(&key, at_thread_end) == 0);
	for (uintptr_t i = 0; i < 300; i++) {
		start(&t, 0, i % 3 == 0 ? waits_to_be_cancelled : ends_by_key,
		      (void *)(i % 2));
		if (i % 3 == 0)
			pthread_cancel(t);
		pthread_join(t, NULL);
	}
	stop = false;
	/* Others run on while main() ends and destructors free. */
	for (uintptr_t i = 0; i < 4; i++) {
		start(&t, 0, churn, (void *)i);
		pthread_detach(t);
	}
}

/* --- signals on a stack of their own --- */

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	(void)number;
	signals = signals + 1;
}

static void *signal_storm(void *arg)
{
	while (!stop)
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

/* Signals interrupt sequences at every instruction; handlers that only count. */
static void under_signals(void)
{
	static char alternate[1 << 16];
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction action = {.sa_handler = on_signal,
				   .sa_flags = SA_ONSTACK | SA_RESTART};
	pthread_t self = pthread_self(), t;

	stop = false;
	signals = 0;
	CHECK(sigaltstack(&ss, NULL) == 0);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	start(&t, 0, signal_storm, &self);
	for (int i = 0; i < 400; i++)
		CHECK(churn_some((unsigned int)i, 300) == 0);
	stop = true;
	pthread_join(t, NULL);
}

/* --- rseq of the program's own: where glibc registered none --- */

static void own_rseq(void)
{
	static struct rseq area __attribute__((aligned(32)));
	long err = syscall(SYS_rseq, &area, 32, 0, 0x53053053);

	/* With glibc's registered there is none to be had: also fine. */
	CHECK(err == 0 || errno == EBUSY || errno == EINVAL || errno == ENOSYS ||
	      errno == EPERM);
	CHECK(churn_some(1, 20000) == 0);
	moved_about();
	if (err == 0)
		syscall(SYS_rseq, &area, 32, 1 /* RSEQ_FLAG_UNREGISTER */, 0x53053053);
	CHECK(churn_some(1, 2000) == 0);
}

const struct unusual unusual_threads[] = {
	{"small_stacks", small_stacks},
	{"stack_depth", stack_depth},
	{"ten_thousand_threads", ten_thousand_threads},
	{"moved_about", moved_about},
	{"thread_ends", thread_ends},
	{"under_signals", under_signals},
	{"own_rseq", own_rseq},
	{NULL, NULL},
};
