/* SPDX-License-Identifier: MIT */
/*
 * The thread that gives memory back while the program does nothing.
 *
 * It is started when a call finds that much has been freed, looks some times in each
 * `trim` ms (trim.c has what it does), and ends when nothing is left to be given back,
 * so that a program which frees little never has it, and none keeps it: a process
 * whose main thread has left by pthread_exit() ends with its last thread, and one
 * that is to be alone for unshare(2) is, soon.
 *
 * Starting. pthread_create() allocates and takes locks of the C library, among them
 * the one over cached stacks, under which glibc frees, by way of the dynamic linker,
 * what exited threads have left. So it is not started in a call that the dynamic
 * linker makes; another call does it then. All signals are blocked in it.
 *
 * Fork. A child has no such thread, and starts one when it needs it. A child of
 * vfork(2) has its parent's memory and starts none.
 */
#include "allocators/malloc/malloc_internal.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Looks in each trim_ms: memory goes back at most a quarter late. */
#define LOOKS_PER_TRIM 4u
/* trim.c is shallow; thread-local storage of the program's libraries lies on it too. */
#define STACK_BYTES ((size_t)256 << 10)
/* After a refusal (RLIMIT_NPROC, a sandbox), so long until the next attempt. */
#define RETRY_MS 10000u

enum { NONE, RUNNING, STOPPING };
static _Atomic uint32_t state; /* a futex */
static _Atomic uint64_t starts, retry_at_ms;
static _Atomic pid_t owner; /* the process that may start it */

static bool wait_until_stopped(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000),
			     .tv_nsec = (long)(ms % 1000) * 1000000};

	syscall(SYS_futex, &state, FUTEX_WAIT_PRIVATE, RUNNING, &t, NULL, 0);
	return atomic_load(&state) == STOPPING;
}

/* Who waits in background_stop() goes on. */
static void tell_end(void)
{
	atomic_store(&state, NONE);
	syscall(SYS_futex, &state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void *background(void *arg)
{
	uint64_t pause_ms = malloc_config.trim_ms / LOOKS_PER_TRIM;
	unsigned int looks = 0;

	(void)arg;
	while (!wait_until_stopped(pause_ms != 0 ? pause_ms : 1)) {
		if (!trim_look(++looks % LOOKS_PER_TRIM == 0))
			break;
	}
	tell_end();
	return NULL;
}

static int create_thread(void)
{
	struct sched_param param = {.sched_priority = 0};
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (pthread_attr_init(&attr) != 0)
		return EAGAIN;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* A program's real-time class is not meant for this. */
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_OTHER);
	pthread_attr_setschedparam(&attr, &param);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, background, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

bool background_runs(void)
{
	return atomic_load_explicit(&state, memory_order_relaxed) != NONE;
}

/* Where the dynamic linker lies; both 0: there is none, or it is not known. */
static uintptr_t linker_start, linker_bytes;

static void find_linker(void)
{
	uintptr_t base = getauxval(AT_BASE);
	const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)base;
	const ElfW(Phdr) * segment;

	if (base == 0)
		return;
	segment = (const ElfW(Phdr) *)(base + header->e_phoff);
	for (unsigned int i = 0; i < header->e_phnum; i++) {
		uintptr_t end = segment[i].p_vaddr + segment[i].p_memsz;

		if (segment[i].p_type == PT_LOAD && end > linker_bytes)
			linker_bytes = end;
	}
	linker_start = base;
}

static bool from_linker(const void *caller)
{
	return (uintptr_t)caller - linker_start < linker_bytes;
}

bool background_start(const void *caller)
{
	uint32_t none = NONE;

	if (!malloc_config.background)
		return false;
	if (background_runs() || from_linker(caller))
		return true;
	if (malloc_now_ms() < atomic_load(&retry_at_ms) ||
	    atomic_load(&owner) != getpid())
		return false;
	/* The calls that creating a thread makes find it running. */
	if (!atomic_compare_exchange_strong(&state, &none, RUNNING))
		return true;
	if (create_thread() != 0) {
		atomic_store(&retry_at_ms, malloc_now_ms() + RETRY_MS);
		tell_end();
		return false;
	}
	atomic_fetch_add(&starts, 1);
	return true;
}

/* In any child, also of a process with one thread: it may start its own. */
static void in_child(void)
{
	atomic_store(&owner, getpid());
	atomic_store(&state, NONE);
}

static void register_handler(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

void background_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_handler);
	if (linker_start == 0)
		find_linker();
	atomic_store(&owner, getpid());
	atomic_store(&retry_at_ms, 0);
}

void background_stop(void)
{
	uint32_t running = RUNNING;

	if (atomic_compare_exchange_strong(&state, &running, STOPPING))
		syscall(SYS_futex, &state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	while (atomic_load(&state) != NONE)
		syscall(SYS_futex, &state, FUTEX_WAIT_PRIVATE, STOPPING, NULL, NULL, 0);
}

uint64_t background_starts(void)
{
	return atomic_load(&starts);
}
