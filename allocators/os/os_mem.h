/* SPDX-License-Identifier: MIT */
/*
 * Memory from the system: the only system calls on memory in the library; os_sys.h has
 * the others.
 *
 * Every call goes through `struct os_hooks`, one entry per system call, so that
 * a test can make any of them fail, count them, or take their place. Sizes and
 * addresses are multiples of the page size. Functions that can fail return
 * NULL or a negative errno; they leave the error text to their callers, who
 * know what the memory was for.
 */
#ifndef KMEM_OS_MEM_H
#define KMEM_OS_MEM_H

#include <kmem/compiler.h>
#include <pthread.h>
#include <sched.h>
#include <sys/types.h>

struct rlimit;
struct sysinfo;
struct timespec;

/* The system calls, with their own signatures and their use of errno. */
struct os_hooks {
	void *(*mmap)(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
	int (*munmap)(void *addr, size_t size);
	void *(*mremap)(void *addr, size_t old_size, size_t new_size, int flags);
	int (*mprotect)(void *addr, size_t size, int prot);
	int (*madvise)(void *addr, size_t size, int advice);
	int (*memfd_create)(const char *name, unsigned int flags);
	int (*ftruncate)(int fd, off_t size);
	int (*fallocate)(int fd, int mode, off_t offset, off_t size);
	long (*mbind)(void *addr, unsigned long size, int mode,
		      const unsigned long *nodemask, unsigned long maxnode,
		      unsigned int flags);
	long (*move_pages)(int pid, unsigned long count, void **pages, const int *nodes,
			   int *status, int flags);
	/* --- os_sys.h --- */
	int (*open)(const char *path, int flags);
	ssize_t (*read)(int fd, void *buf, size_t size);
	int (*close)(int fd);
	int (*membarrier)(int cmd);
	int (*sched_getcpu)(void);
	int (*sched_getaffinity)(pid_t tid, size_t size, cpu_set_t *cpus);
	int (*sched_setaffinity)(pid_t tid, size_t size, const cpu_set_t *cpus);
	/* The C library's: an error number, and errno is left alone. */
	int (*thread_create)(pthread_t *thread, void *(*fn)(void *arg), void *arg);
	long (*futex)(_Atomic uint32_t *word, int op, uint32_t value,
		      const struct timespec *timeout);
	int (*getrlimit)(int resource, struct rlimit *limit);
	int (*sysinfo)(struct sysinfo *info);
};

/* The real ones. */
extern const struct os_hooks os_hooks_system;

/*
 * Replaces the hooks; NULL puts the real ones back. A hook left NULL is the
 * real one. Not to be called while another thread allocates.
 */
void os_set_hooks(const struct os_hooks *hooks);

/* Address space only: inaccessible, no memory behind it. NULL with errno. */
void *os_reserve(size_t size);
/* The same at addr if nothing lies there; NULL with errno (EEXIST) otherwise. */
void *os_reserve_at(void *addr, size_t size);
/* Turns a mapped part of a reservation back into inaccessible address space,
 * dropping the mapping. 0 or -errno (ENOMEM: vm.max_map_count). */
int os_unmap_to_reserve(void *addr, size_t size);
/* Gives the address space back. 0 or -errno. */
int os_unmap(void *addr, size_t size);

/* Private zeroed memory, not counted against the overcommit limit before it is
 * touched; anywhere, or over a reservation. NULL with errno. */
void *os_map_anon(size_t size);
void *os_map_anon_at(void *addr, size_t size);

/* Private zeroed memory that the system's overcommit policy counts, as it counts what
 * the C library's malloc maps: an absurd size fails. NULL with errno. */
void *os_map_counted(size_t size);
/* Makes a mapping larger or smaller; it may move. Its new address, or NULL with errno
 * and nothing changed. */
void *os_remap(void *addr, size_t old_size, size_t new_size);

/* A shared memory file of the given size; its descriptor, or -errno. */
int os_memfd(const char *name, size_t size);
/* The file's bytes from offset on; anywhere, or over a reservation. NULL with errno. */
void *os_map_shared(size_t size, int fd, off_t offset);
void *os_map_shared_at(void *addr, size_t size, int fd, off_t offset);

/* 0 or -errno. prot: PROT_NONE, PROT_READ, ... */
int os_protect(void *addr, size_t size, int prot);
/* Whether the eight bytes there can be read; a system call. */
bool os_readable(const void *addr);
/* Gives the memory back but keeps the mapping, which reads as zeroes from then on. */
int os_discard_anon(void *addr, size_t size);
int os_discard_shared(int fd, off_t offset, size_t size);
/* Asks for huge pages (true) or for none (false). 0 or -errno; a hint only. */
int os_hugepages(void *addr, size_t size, bool want);
/*
 * Makes the 2 MiB pieces of a mapping huge pages now (Linux 6.1), whatever the mode of
 * transparent huge pages: what is there is copied, the rest is zeroed. A piece without a
 * single page is refused (-EINVAL), as by a kernel that cannot; so are mappings that
 * refuse huge pages. Some 200 us for 2 MiB. 0 or -errno.
 */
int os_collapse(void *addr, size_t size);
/* Fills the page tables of a mapping at once (Linux 5.14), for reading; a shared memory
 * file's pages are writable by that too. 0 or -errno; without it, each page is mapped
 * when it is touched. */
int os_populate(void *addr, size_t size);
/* Binds a range to a node of the machine (its number as the system has it). */
int os_bind_node(void *addr, size_t size, unsigned int os_node);
/* The node (as the system has it) that each of nr pages lies on; below 0, -ENOENT mostly:
 * it has no memory. 0 or -errno. */
int os_pages_nodes(void **addrs, size_t nr, int *nodes);

#endif /* KMEM_OS_MEM_H */
