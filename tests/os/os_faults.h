/* SPDX-License-Identifier: MIT */
/* System calls that fail on purpose: the n-th one, or all of one kind. */
#ifndef TESTS_OS_FAULTS_H
#define TESTS_OS_FAULTS_H

#include "allocators/os/os_mem.h"

#include <errno.h>
#include <sys/mman.h>

struct os_faults {
	long calls;	   /* since os_faults_arm() */
	long fail_at;	   /* the call with this number fails; 0: none */
	long failed;	   /* how many failed */
	int err;	   /* with this errno */
	long mapped_bytes; /* mapped less unmapped, over all calls */
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

/* From now on call number fail_at (from 1) fails; 0: only count. */
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

	os_faults.calls = 0;
	os_faults.failed = 0;
	os_faults.fail_at = fail_at;
	os_faults.err = err;
	os_set_hooks(&faulty);
}

static inline void os_faults_disarm(void)
{
	os_set_hooks(NULL);
}

#endif /* TESTS_OS_FAULTS_H */
