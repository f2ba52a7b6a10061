/* SPDX-License-Identifier: MIT */
/*
 * Counts a thread's memory calls: mmap, munmap, mremap, madvise, mprotect, brk, sbrk,
 * ftruncate and fallocate (which give pages of shared memory back), and the same
 * through syscall(2).
 *
 * How they are seen depends on where the allocator's code is: memory_calls.c.
 */
#ifndef KMEMBENCH_MEMORY_CALLS_H
#define KMEMBENCH_MEMORY_CALLS_H

#include <kmem/allocator.h>

enum memory_calls_seen {
	/* Each call of each thread is counted. */
	MEMORY_CALLS_COUNTED,
	/*
	 * Calls stay inside the C library (its own malloc) or are made without it. They
	 * show in the size of the process's address space and its break, which one thread
	 * can take for its own; madvise alone leaves no trace there.
	 */
	MEMORY_CALLS_ADDRESS_SPACE,
	/* The same with several threads: whose call it was cannot be told. */
	MEMORY_CALLS_UNSEEN,
};

/*
 * Begins to count the calls that the allocator's code makes, for the rest of the
 * process's life. Adds some 2 ns to each. No other thread may be allocating.
 * threads: that will call the allocator.
 */
enum memory_calls_seen memory_calls_install(const struct allocator *a,
					    unsigned int threads);

/* "counted", "address-space", "unseen". */
const char *memory_calls_seen_name(enum memory_calls_seen seen);

extern __thread uint64_t memory_calls_count
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Calls of the calling thread so far. */
static KMEM_ALWAYS_INLINE uint64_t memory_calls_of_thread(void)
{
	return memory_calls_count;
}

#endif /* KMEMBENCH_MEMORY_CALLS_H */
