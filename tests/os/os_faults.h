/* SPDX-License-Identifier: MIT */
/* System calls that fail on purpose: the n-th one, or all of one kind. */
#ifndef TESTS_OS_FAULTS_H
#define TESTS_OS_FAULTS_H

#include "allocators/os/os_mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

struct os_faults {
	_Atomic long calls;   /* since os_faults_arm(); background threads call too */
	_Atomic long fail_at; /* the call with this number fails; 0: none */
	_Atomic long failed;  /* how many failed */
	_Atomic int err;      /* with this errno */
	_Atomic long munmaps_failed;
	_Atomic long mapped_bytes; /* mapped less unmapped, over all calls */
};

static struct os_faults os_faults;

static inline bool os_faults_hit(void)
{
	if (++os_faults.calls != os_faults.fail_at)
		return false;
	os_faults.failed++;
	errno = os_faults.err;
	return true;
}

static inline void *faulty_mmap(void *addr, size_t size, int prot, int flags, int fd,
				off_t offset)
{
	void *p;

	if (os_faults_hit())
		return MAP_FAILED;
	p = os_hooks_system.mmap(addr, size, prot, flags, fd, offset);
	if (p != MAP_FAILED && (flags & MAP_FIXED) == 0)
		os_faults.mapped_bytes += (long)size;
	return p;
}

/* Unmapping is what cleans up: it is counted, and never made to fail. */
static inline int faulty_munmap(void *addr, size_t size)
{
	os_faults.mapped_bytes -= (long)size;
	return os_hooks_system.munmap(addr, size);
}

static inline void *faulty_mremap(void *addr, size_t old_size, size_t new_size, int flags)
{
	void *p;

	if (os_faults_hit())
		return MAP_FAILED;
	p = os_hooks_system.mremap(addr, old_size, new_size, flags);
	if (p != MAP_FAILED)
		os_faults.mapped_bytes += (long)new_size - (long)old_size;
	return p;
}

static inline int faulty_madvise(void *addr, size_t size, int advice)
{
	return os_faults_hit() ? -1 : os_hooks_system.madvise(addr, size, advice);
}

static inline int faulty_memfd_create(const char *name, unsigned int flags)
{
	return os_faults_hit() ? -1 : os_hooks_system.memfd_create(name, flags);
}

static inline int faulty_ftruncate(int fd, off_t size)
{
	return os_faults_hit() ? -1 : os_hooks_system.ftruncate(fd, size);
}

static inline int faulty_fallocate(int fd, int mode, off_t offset, off_t size)
{
	return os_faults_hit() ? -1 : os_hooks_system.fallocate(fd, mode, offset, size);
}

static inline int faulty_mprotect(void *addr, size_t size, int prot)
{
	return os_faults_hit() ? -1 : os_hooks_system.mprotect(addr, size, prot);
}

/* --- the calls of os_sys.h, and what cleans up: os_faults_arm_all() alone --- */

static inline int failing_munmap(void *addr, size_t size)
{
	/* A failed call leaves the mapping: the count says so. */
	if (os_faults_hit()) {
		os_faults.munmaps_failed++;
		return -1;
	}
	return faulty_munmap(addr, size);
}

static inline long faulty_mbind(void *addr, unsigned long size, int mode,
				const unsigned long *nodemask, unsigned long maxnode,
				unsigned int flags)
{
	return os_faults_hit() ? -1
			       : os_hooks_system.mbind(addr, size, mode, nodemask,
						       maxnode, flags);
}

static inline long faulty_move_pages(int pid, unsigned long count, void **pages,
				     const int *nodes, int *status, int flags)
{
	return os_faults_hit() ? -1
			       : os_hooks_system.move_pages(pid, count, pages, nodes,
							    status, flags);
}

static inline int faulty_open(const char *path, int flags)
{
	return os_faults_hit() ? -1 : os_hooks_system.open(path, flags);
}

static inline ssize_t faulty_read(int fd, void *buf, size_t size)
{
	return os_faults_hit() ? -1 : os_hooks_system.read(fd, buf, size);
}

/* Linux releases the descriptor whatever it answers. */
static inline int faulty_close(int fd)
{
	int err = os_hooks_system.close(fd);

	return os_faults_hit() ? -1 : err;
}

static inline int faulty_membarrier(int cmd)
{
	return os_faults_hit() ? -1 : os_hooks_system.membarrier(cmd);
}

static inline int faulty_sched_getcpu(void)
{
	return os_faults_hit() ? -1 : os_hooks_system.sched_getcpu();
}

static inline int faulty_sched_getaffinity(pid_t tid, size_t size, cpu_set_t *cpus)
{
	return os_faults_hit() ? -1 : os_hooks_system.sched_getaffinity(tid, size, cpus);
}

static inline int faulty_sched_setaffinity(pid_t tid, size_t size, const cpu_set_t *cpus)
{
	return os_faults_hit() ? -1 : os_hooks_system.sched_setaffinity(tid, size, cpus);
}

static inline int faulty_thread_create(pthread_t *thread, void *(*fn)(void *arg),
				       void *arg)
{
	return os_faults_hit() ? os_faults.err
			       : os_hooks_system.thread_create(thread, fn, arg);
}

static inline long faulty_futex(_Atomic uint32_t *word, int op, uint32_t value,
				const struct timespec *timeout)
{
	return os_faults_hit() ? -1 : os_hooks_system.futex(word, op, value, timeout);
}

static inline int faulty_getrlimit(int resource, struct rlimit *limit)
{
	return os_faults_hit() ? -1 : os_hooks_system.getrlimit(resource, limit);
}

static inline int faulty_sysinfo(struct sysinfo *info)
{
	return os_faults_hit() ? -1 : os_hooks_system.sysinfo(info);
}

static inline void os_faults_start(long fail_at, int err, const struct os_hooks *hooks)
{
	os_faults.calls = 0;
	os_faults.failed = 0;
	os_faults.fail_at = fail_at;
	os_faults.err = err;
	os_set_hooks(hooks);
}

/* Every call that the library makes, of any kind: number fail_at fails. */
static inline void os_faults_arm_all(long fail_at, int err)
{
	static const struct os_hooks faulty = {
		.mmap = faulty_mmap,
		.munmap = failing_munmap,
		.mremap = faulty_mremap,
		.mprotect = faulty_mprotect,
		.madvise = faulty_madvise,
		.memfd_create = faulty_memfd_create,
		.ftruncate = faulty_ftruncate,
		.fallocate = faulty_fallocate,
		.mbind = faulty_mbind,
		.move_pages = faulty_move_pages,
		.open = faulty_open,
		.read = faulty_read,
		.close = faulty_close,
		.membarrier = faulty_membarrier,
		.sched_getcpu = faulty_sched_getcpu,
		.sched_getaffinity = faulty_sched_getaffinity,
		.sched_setaffinity = faulty_sched_setaffinity,
		.thread_create = faulty_thread_create,
		.futex = faulty_futex,
		.getrlimit = faulty_getrlimit,
		.sysinfo = faulty_sysinfo,
	};

	os_faults_start(fail_at, err, &faulty);
}

/* The calls on memory, but munmap(). From now on call number fail_at (from 1) fails; 0:
 * only count. */
static inline void os_faults_arm(long fail_at, int err)
{
	static const struct os_hooks faulty = {
		.mmap = faulty_mmap,
		.munmap = faulty_munmap,
		.mremap = faulty_mremap,
		.mprotect = faulty_mprotect,
		.madvise = faulty_madvise,
		.memfd_create = faulty_memfd_create,
		.ftruncate = faulty_ftruncate,
		.fallocate = faulty_fallocate,
	};

	os_faults_start(fail_at, err, &faulty);
}

static inline void os_faults_disarm(void)
{
	os_set_hooks(NULL);
}

#endif /* TESTS_OS_FAULTS_H */
