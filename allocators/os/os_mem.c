/* SPDX-License-Identifier: MIT */
#include "allocators/os/os_mem.h"
#include "allocators/os/os_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

static void *map(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *p = os_hooks_now.mmap(addr, size, prot, flags, fd, offset);

	return p == MAP_FAILED ? NULL : p;
}

#define RESERVE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

void *os_reserve(size_t size)
{
	return map(NULL, size, PROT_NONE, RESERVE_FLAGS, -1, 0);
}

void *os_reserve_at(void *addr, size_t size)
{
	void *p = map(addr, size, PROT_NONE, RESERVE_FLAGS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != NULL && p != addr) {
		/* A kernel before 4.17 takes the address as a hint only. */
		os_hooks_now.munmap(p, size);
		errno = EEXIST;
		return NULL;
	}
	return p;
}

int os_unmap_to_reserve(void *addr, size_t size)
{
	void *p = map(addr, size, PROT_NONE, RESERVE_FLAGS | MAP_FIXED, -1, 0);

	return p == NULL ? -errno : 0;
}

int os_unmap(void *addr, size_t size)
{
	return os_hooks_now.munmap(addr, size) == 0 ? 0 : -errno;
}

#define RW (PROT_READ | PROT_WRITE)

void *os_map_anon(size_t size)
{
	return map(NULL, size, RW, RESERVE_FLAGS, -1, 0);
}

void *os_map_anon_at(void *addr, size_t size)
{
	return map(addr, size, RW, RESERVE_FLAGS | MAP_FIXED, -1, 0);
}

void *os_map_counted(size_t size)
{
	return map(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* The system copies the set before it looks at `how`, which is none. */
bool os_readable(const void *addr)
{
	int saved_errno = errno;
	bool readable;

	syscall(SYS_rt_sigprocmask, -1, addr, NULL, sizeof(uint64_t));
	readable = errno != EFAULT;
	errno = saved_errno;
	return readable;
}

void *os_remap(void *addr, size_t old_size, size_t new_size)
{
	void *p = os_hooks_now.mremap(addr, old_size, new_size, MREMAP_MAYMOVE);

	return p == MAP_FAILED ? NULL : p;
}

int os_memfd(const char *name, size_t size)
{
	int fd = os_hooks_now.memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = os_hooks_now.memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (os_hooks_now.ftruncate(fd, (off_t)size) != 0) {
		int err = errno;

		os_close(fd);
		return -err;
	}
	return fd;
}

void *os_map_shared(size_t size, int fd, off_t offset)
{
	return map(NULL, size, RW, MAP_SHARED | MAP_NORESERVE, fd, offset);
}

void *os_map_shared_at(void *addr, size_t size, int fd, off_t offset)
{
	return map(addr, size, RW, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, offset);
}

int os_protect(void *addr, size_t size, int prot)
{
	return os_hooks_now.mprotect(addr, size, prot) == 0 ? 0 : -errno;
}

int os_discard_anon(void *addr, size_t size)
{
	return os_hooks_now.madvise(addr, size, MADV_DONTNEED) == 0 ? 0 : -errno;
}

int os_discard_shared(int fd, off_t offset, size_t size)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return os_hooks_now.fallocate(fd, mode, offset, (off_t)size) == 0 ? 0 : -errno;
}

int os_hugepages(void *addr, size_t size, bool want)
{
	int advice = want ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;

	return os_hooks_now.madvise(addr, size, advice) == 0 ? 0 : -errno;
}

int os_collapse(void *addr, size_t size)
{
	return os_hooks_now.madvise(addr, size, MADV_COLLAPSE) == 0 ? 0 : -errno;
}

int os_populate(void *addr, size_t size)
{
	return os_hooks_now.madvise(addr, size, MADV_POPULATE_READ) == 0 ? 0 : -errno;
}

int os_bind_node(void *addr, size_t size, unsigned int os_node)
{
	enum { MASK_BITS = 1024 };
	unsigned long mask[MASK_BITS / (8 * sizeof(unsigned long))] = {0};
	const unsigned int bits = 8 * sizeof(unsigned long);

	if (os_node >= MASK_BITS)
		return -EINVAL;
	mask[os_node / bits] = 1UL << (os_node % bits);
	return os_hooks_now.mbind(addr, size, MPOL_BIND, mask, MASK_BITS, 0) == 0
		       ? 0
		       : -errno;
}

int os_pages_nodes(void **addrs, size_t nr, int *nodes)
{
	return os_hooks_now.move_pages(0, nr, addrs, NULL, nodes, 0) == 0 ? 0 : -errno;
}
