/* SPDX-License-Identifier: MIT */
/*
 * The library's other system calls: files to read, threads, waiting, CPUs. Those that
 * cannot fail (clock_gettime, getpid, gettid, sched_yield, nanosleep but for a signal)
 * are called as they are. All go through struct os_hooks of os_mem.h.
 */
#ifndef KMEM_OS_SYS_H
#define KMEM_OS_SYS_H

#include "allocators/os/os_mem.h"

/* The hooks in use. */
extern __attribute__((visibility("hidden"))) struct os_hooks os_hooks_now;

/* For reading, closed by exec; -1 with errno. */
int os_open(const char *path);
ssize_t os_read(int fd, void *buf, size_t size);
void os_close(int fd);
/* The first size - 1 bytes of a small file, as a string; false when unreadable. No
 * stdio, which allocates: this runs inside the first malloc() of a process. */
bool os_read_file(const char *path, char *text, size_t size);

/* A thread that takes no signals: those are the program's business. 0 or -errno. */
int os_thread_create(pthread_t *thread, void *(*fn)(void *arg), void *arg);

/* Sleeps while *word is `value`, until woken or for the timeout (NULL: for ever). May
 * return early for any reason, a failure of the system among them. */
void os_futex_wait(_Atomic uint32_t *word, uint32_t value,
		   const struct timespec *timeout);
/* One thread that waits; all of them. */
void os_futex_wake(_Atomic uint32_t *word);
void os_futex_wake_all(_Atomic uint32_t *word);

/* Sleeps for so long at least. By futex(2), which sandboxes know that let malloc() wait
 * for locks, unlike nanosleep(2). */
void os_sleep(long ns);

/* 0 or -1 with errno, as the system calls. */
int os_getrlimit(int resource, struct rlimit *limit);
int os_sysinfo(struct sysinfo *info);

#endif /* KMEM_OS_SYS_H */
