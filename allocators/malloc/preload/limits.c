/* SPDX-License-Identifier: MIT */
/*
 * The calls of a program that take the reserved range for memory in use.
 *
 * The direct map is as large as the machine's memory, and used as far as it is
 * touched. Two system calls do not see the difference:
 *
 *   setrlimit(RLIMIT_AS or RLIMIT_DATA) below what is mapped: from then on the
 *   program gets no more mapping, no thread, and dies when its stack grows. So the
 *   unused top of the direct map is given up before, for good, and that of the spans'
 *   range: half of the limit stays, and a sixteenth, as at a start under a limit. A limit
 * that is raised again brings nothing back; larger blocks become mappings then.
 *
 *   mlockall(MCL_CURRENT) touches all there is. So direct map, spans and their
 * descriptors are locked as they are touched, everything else at once, as asked for.
 */
#include "allocators/malloc/malloc_internal.h"
#include "allocators/malloc/spans_fast.h"
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <kmem/page_alloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4 /* Linux 4.4 */
#endif

/* --- setrlimit --- */

#define TOP_ORDER   (MAX_ORDER - 1)
#define BLOCK_PAGES MAX_ORDER_NR_PAGES

static struct kmem_spinlock lock; /* one gives up at a time */
static pid_t own_pid;		  /* a child of vfork() is another, in our memory */

static void note_pid(void)
{
	own_pid = getpid();
}

static void fork_lock(void)
{
	spin_lock(&lock);
}

static void fork_unlock(void)
{
	spin_unlock(&lock);
}

/* Not before malloc's own handlers are registered, so that it runs before them: the
 * lock is taken before those of the page allocator. */
static void fork_init(void)
{
	pthread_atfork(fork_lock, fork_unlock, fork_unlock);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Before any thread can fork while another one registers handlers. */
static void __attribute__((constructor)) limits_start(void)
{
	note_pid();
	pthread_atfork(NULL, NULL, note_pid);
	kmem_free(kmem_malloc(1));
	if (malloc_is_up())
		pthread_once(&once, fork_init);
}

/*
 * Takes every free block of the largest size from the page allocator. Those at the
 * very top of memory are kept for ever and unmapped, with their descriptors, down to
 * `keep` frames; the others are freed again. `taken` has a byte for each block.
 */
static void give_up_above(unsigned long keep, uint8_t *taken)
{
	const gfp_t gfp = __GFP_MEMALLOC | __GFP_NOWARN;
	unsigned long frames = kmem_nr_frames, blocks = frames / BLOCK_PAGES;
	uintptr_t from, to;
	struct page *page;

	while ((page = alloc_pages(gfp, TOP_ORDER)) != NULL)
		taken[page_to_pfn(page) / BLOCK_PAGES] = 1;
	while (blocks * BLOCK_PAGES > keep && taken[blocks - 1] != 0)
		blocks--;
	/* Nobody holds an address up there; what is none of ours is not looked up. */
	kmem_nr_frames = blocks * BLOCK_PAGES;
	for (unsigned long i = 0; i < blocks; i++) {
		if (taken[i] != 0)
			__free_pages(pfn_to_page(i * BLOCK_PAGES), TOP_ORDER);
	}
	os_unmap(pfn_to_virt(kmem_nr_frames), (frames - kmem_nr_frames) << PAGE_SHIFT);
	from = KMEM_ALIGN_UP((uintptr_t)pfn_to_page(kmem_nr_frames), PAGE_SIZE);
	to = KMEM_ALIGN_DOWN((uintptr_t)pfn_to_page(frames), PAGE_SIZE);
	if (from < to)
		os_unmap((void *)from, to - from);
}

static void before_limit(int resource, const struct rlimit *limit)
{
	int saved_errno = errno;
	unsigned long keep, blocks;
	uint8_t *taken;

	if ((resource != RLIMIT_AS && resource != RLIMIT_DATA) || limit == NULL ||
	    limit->rlim_cur == RLIM_INFINITY || !malloc_is_up() || getpid() != own_pid)
		return;
	pthread_once(&once, fork_init);
	keep = (unsigned long)(limit->rlim_cur / 2) >> PAGE_SHIFT;
	spin_lock(&lock);
	if (spans.bytes != 0)
		spans_give_up((size_t)limit->rlim_cur / 16);
	blocks = kmem_nr_frames / BLOCK_PAGES;
	if (kmem_nr_frames > keep) {
		taken = os_map_anon(blocks);
		if (taken != NULL) {
			give_up_above(keep, taken);
			os_unmap(taken, blocks);
		}
	}
	spin_unlock(&lock);
	errno = saved_errno;
}

KMEM_API int prlimit(pid_t pid, enum __rlimit_resource resource,
		     const struct rlimit *limit, struct rlimit *old)
{
	if (pid == 0 || pid == getpid())
		before_limit((int)resource, limit);
	return (int)syscall(SYS_prlimit64, pid, resource, limit, old);
}

KMEM_API int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return prlimit(0, resource, limit, NULL);
}

#if defined(__LP64__)
/* The same functions under the names of 32-bit days. */
KMEM_API int prlimit64(pid_t pid, enum __rlimit_resource resource,
		       const struct rlimit64 *limit, struct rlimit64 *old)
{
	return prlimit(pid, resource, (const struct rlimit *)limit, (struct rlimit *)old);
}

KMEM_API int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	return prlimit(0, resource, (const struct rlimit *)limit, NULL);
}
#endif

/* --- mlockall --- */

static bool overlaps(uintptr_t start, uintptr_t end, const void *p, size_t bytes)
{
	return start < (uintptr_t)p + bytes && (uintptr_t)p < end;
}

static void lock_mapping(uintptr_t start, uintptr_t end)
{
	if (overlaps(start, end, kmem_direct_base, kmem_nr_frames << PAGE_SHIFT) ||
	    overlaps(start, end, kmem_mem_map, kmem_nr_frames * sizeof(struct page)) ||
	    overlaps(start, end, spans.base, spans.bytes) ||
	    overlaps(start, end, spans.map,
		     (spans.bytes >> SPAN_UNIT_SHIFT) * sizeof(struct span)))
		return;
	/* What cannot be locked (guard pages, devices) is no failure of mlockall(). */
	syscall(SYS_mlock, start, end - start);
}

/* Lines "start-end ..." in hexadecimal; without stdio, which allocates. */
static void lock_each_mapping(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	uintptr_t number = 0, start = 0;
	bool in_numbers = true;
	char buf[1024];
	ssize_t n;

	if (fd < 0)
		return;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			char c = buf[i];

			if (c == '\n') {
				in_numbers = true;
				number = 0;
			} else if (!in_numbers) {
				continue;
			} else if (c == '-') {
				start = number;
				number = 0;
			} else if (c == ' ') {
				lock_mapping(start, number);
				in_numbers = false;
			} else {
				number = number * 16 +
					 (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
			}
		}
	}
	close(fd);
}

KMEM_API int mlockall(int flags)
{
	int saved_errno = errno;

	if ((flags & MCL_CURRENT) == 0 || (flags & MCL_ONFAULT) != 0 || !malloc_is_up())
		return (int)syscall(SYS_mlockall, flags);
	if (syscall(SYS_mlockall, flags | MCL_ONFAULT) != 0)
		return -1;
	if ((flags & MCL_FUTURE) != 0)
		syscall(SYS_mlockall, MCL_FUTURE); /* those not on fault */
	lock_each_mapping();
	errno = saved_errno;
	return 0;
}
