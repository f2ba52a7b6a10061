/* SPDX-License-Identifier: MIT */
#include "allocators/os/os_sys.h"
#include "allocators/os/spinlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

static long system_mbind(void *addr, unsigned long size, int mode,
			 const unsigned long *nodemask, unsigned long maxnode,
			 unsigned int flags)
{
	return syscall(SYS_mbind, addr, size, mode, nodemask, maxnode, flags);
}

static long system_move_pages(int pid, unsigned long count, void **pages,
			      const int *nodes, int *status, int flags)
{
	return syscall(SYS_move_pages, pid, count, pages, nodes, status, flags);
}

static void *system_mremap(void *addr, size_t old_size, size_t new_size, int flags)
{
	return mremap(addr, old_size, new_size, flags);
}

static int system_fallocate(int fd, int mode, off_t offset, off_t size)
{
	return fallocate(fd, mode, offset, size);
}

static int system_open(const char *path, int flags)
{
	return open(path, flags);
}

static int system_membarrier(int cmd)
{
	return (int)syscall(SYS_membarrier, cmd, 0, 0);
}

static int system_thread_create(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	return pthread_create(thread, NULL, fn, arg);
}

static long system_futex(_Atomic uint32_t *word, int op, uint32_t value,
			 const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static int system_getrlimit(int resource, struct rlimit *limit)
{
	return getrlimit((__rlimit_resource_t)resource, limit);
}

#define SYSTEM_HOOKS                                                                    \
	{                                                                               \
		.mmap = mmap, .munmap = munmap, .mremap = system_mremap,                \
		.mprotect = mprotect, .madvise = madvise, .memfd_create = memfd_create, \
		.ftruncate = ftruncate, .fallocate = system_fallocate,                  \
		.mbind = system_mbind, .move_pages = system_move_pages,                 \
		.open = system_open, .read = read, .close = close,                      \
		.membarrier = system_membarrier, .sched_getcpu = sched_getcpu,          \
		.sched_getaffinity = sched_getaffinity,                                 \
		.sched_setaffinity = sched_setaffinity,                                 \
		.thread_create = system_thread_create, .futex = system_futex,           \
		.getrlimit = system_getrlimit, .sysinfo = sysinfo,                      \
	}

const struct os_hooks os_hooks_system = SYSTEM_HOOKS;
struct os_hooks os_hooks_now = SYSTEM_HOOKS;

#define TAKE_OVER(name)                                        \
	do {                                                   \
		if (replacement->name != NULL)                 \
			os_hooks_now.name = replacement->name; \
	} while (0)

void os_set_hooks(const struct os_hooks *replacement)
{
	os_hooks_now = os_hooks_system;
	if (replacement == NULL)
		return;
	TAKE_OVER(mmap);
	TAKE_OVER(munmap);
	TAKE_OVER(mremap);
	TAKE_OVER(mprotect);
	TAKE_OVER(madvise);
	TAKE_OVER(memfd_create);
	TAKE_OVER(ftruncate);
	TAKE_OVER(fallocate);
	TAKE_OVER(mbind);
	TAKE_OVER(move_pages);
	TAKE_OVER(open);
	TAKE_OVER(read);
	TAKE_OVER(close);
	TAKE_OVER(membarrier);
	TAKE_OVER(sched_getcpu);
	TAKE_OVER(sched_getaffinity);
	TAKE_OVER(sched_setaffinity);
	TAKE_OVER(thread_create);
	TAKE_OVER(futex);
	TAKE_OVER(getrlimit);
	TAKE_OVER(sysinfo);
}

/* --- files --- */

int os_open(const char *path)
{
	return os_hooks_now.open(path, O_RDONLY | O_CLOEXEC);
}

ssize_t os_read(int fd, void *buf, size_t size)
{
	return os_hooks_now.read(fd, buf, size);
}

/* Whatever it answers, the descriptor is gone. */
void os_close(int fd)
{
	os_hooks_now.close(fd);
}

bool os_read_file(const char *path, char *text, size_t size)
{
	int fd = os_open(path);
	ssize_t n;

	if (fd < 0)
		return false;
	n = os_read(fd, text, size - 1);
	os_close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

/* --- threads --- */

int os_thread_create(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = os_hooks_now.thread_create(thread, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

/* Who cannot sleep must not burn its CPU: it waits this long instead, and looks again. */
#define FUTEX_RETRY_NS 1000000L

void os_futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *timeout)
{
	struct timespec t = {.tv_nsec = FUTEX_RETRY_NS};

	if (os_hooks_now.futex(word, FUTEX_WAIT_PRIVATE, value, timeout) != 0 &&
	    errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT)
		nanosleep(&t, NULL);
}

/* Some ten microseconds of looking again: whoever has a lock ends within that, unless it
 * cannot run, and then a hundred more do not matter. */
#define TURNS_AWAKE 8u
#define TURN_PAUSES 64
#define NAP_NS	    20000L

void os_yield(unsigned int turn)
{
	static const struct timespec nap = {.tv_nsec = NAP_NS};
	static _Atomic uint32_t never;
	int saved_errno = errno;

	/* Not sched_yield(2), which a real-time thread ignores, and for which a sandbox
	 * may kill: those that let malloc() wait for locks know futex(2). */
	if (turn >= TURNS_AWAKE)
		/* Not a hook: nothing is lost where this fails, and tests exchange hooks
		 * while threads wait for locks. */
		system_futex(&never, FUTEX_WAIT_PRIVATE, 0, &nap);
	else
		for (int i = 0; i < TURN_PAUSES; i++)
			spin_pause();
	errno = saved_errno;
}

static int64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void os_sleep(long ns)
{
	static _Atomic uint32_t never;
	int64_t end = monotonic_ns() + ns, left = ns;
	int saved_errno = errno;

	do {
		struct timespec t = {.tv_sec = left / 1000000000,
				     .tv_nsec = left % 1000000000};

		if (system_futex(&never, FUTEX_WAIT_PRIVATE, 0, &t) != 0 &&
		    errno != EINTR && errno != ETIMEDOUT)
			nanosleep(&t, NULL);
		left = end - monotonic_ns();
	} while (left > 0);
	errno = saved_errno;
}

/* A second time where the first fails: a wake-up that is lost is lost for good. */
static void futex_wake(_Atomic uint32_t *word, uint32_t waiters)
{
	if (os_hooks_now.futex(word, FUTEX_WAKE_PRIVATE, waiters, NULL) < 0)
		os_hooks_now.futex(word, FUTEX_WAKE_PRIVATE, waiters, NULL);
}

void os_futex_wake(_Atomic uint32_t *word)
{
	futex_wake(word, 1);
}

void os_futex_wake_all(_Atomic uint32_t *word)
{
	futex_wake(word, INT32_MAX);
}

/* --- limits --- */

int os_getrlimit(int resource, struct rlimit *limit)
{
	return os_hooks_now.getrlimit(resource, limit);
}

int os_sysinfo(struct sysinfo *info)
{
	return os_hooks_now.sysinfo(info);
}
