/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU stacks of pointers: the hit path of every per-CPU cache.
 *
 * THEORY. One bounded stack per CPU. A thread pushes to and pops from the stack
 * of the CPU on which it happens to run. With restartable sequences (rseq(2),
 * Linux 4.18, registered by glibc 2.35 and later) both are a handful of plain
 * instructions: the kernel restarts the sequence when the thread is preempted,
 * migrated or signalled in the middle, so no other thread can have seen half of
 * it. Each sequence ends in the one store that makes it happen (to `avail`).
 * Where rseq is missing (other architectures, valgrind) or invisible to the
 * tool at hand (ThreadSanitizer and AddressSanitizer do not see stores made in
 * assembly), a spin lock per CPU protects the same structure.
 *
 * One stack, `1 << shift` bytes apart from the next CPU's:
 *
 *   0       4       8      12      16
 *   | avail | limit | lock | -     | slot[0] | slot[1] | ... | slot[limit-1] |
 *
 * The mode is chosen once, at start, for the whole process (os_percpu_mode()).
 */
#ifndef KMEM_OS_PERCPU_FAST_H
#define KMEM_OS_PERCPU_FAST_H

#include <kmem/compiler.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OS_PERCPU_RSEQ 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OS_PERCPU_RSEQ 0
#endif
#endif
#if !defined(OS_PERCPU_RSEQ)
#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<sys/rseq.h>)
#define OS_PERCPU_RSEQ 1
#include <sys/rseq.h>
#endif
#endif
#endif
#if !defined(OS_PERCPU_RSEQ)
#define OS_PERCPU_RSEQ 0
#endif

struct percpu_stack {
	uint32_t avail; /* entries; written by the owning CPU, in rseq or under lock */
	uint32_t limit; /* capacity; constant */
	_Atomic uint32_t lock; /* lock mode only */
	uint32_t unused;
	void *slot[];
};
_Static_assert(offsetof(struct percpu_stack, slot) == 16, "assembly knows this offset");

/* One stack for each possible CPU. */
struct percpu_stacks {
	char *base;         /* of CPU 0's stack */
	uint32_t shift;     /* log2 of the distance between two CPUs' stacks */
	uint32_t nr_cpus;
};

enum os_percpu_mode { OS_PERCPU_LOCK, OS_PERCPU_RSEQ_MODE };

/* Decided by os_cpu_init(); constant afterwards. */
extern bool os_percpu_use_rseq;

/* Number of possible CPUs: ids run from 0 to this - 1. */
unsigned int os_nr_cpus(void);

/* The CPU the calling thread ran on a moment ago; below os_nr_cpus(). */
unsigned int os_cpu_id_slow(void);

static KMEM_ALWAYS_INLINE unsigned int os_cpu_id(void)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq)) {
		const struct rseq *rs =
			(const struct rseq *)((char *)__builtin_thread_pointer() +
					      __rseq_offset);
		uint32_t cpu = *(const volatile uint32_t *)&rs->cpu_id_start;
		return cpu;
	}
#endif
	return os_cpu_id_slow();
}

/*
 * Allocates the stacks, each with room for `limit` pointers. Memory comes from
 * mmap and is touched only where CPUs use it. 0 or -ENOMEM.
 */
int percpu_stacks_init(struct percpu_stacks *s, uint32_t limit);
void percpu_stacks_destroy(struct percpu_stacks *s);

static inline struct percpu_stack *percpu_stack_of(const struct percpu_stacks *s,
						   unsigned int cpu)
{
	return (struct percpu_stack *)(s->base + ((size_t)cpu << s->shift));
}

/* Lock-mode versions, out of line. */
void *percpu_pop_locked(const struct percpu_stacks *s);
bool percpu_push_locked(const struct percpu_stacks *s, void *p);

#if OS_PERCPU_RSEQ
/*
 * The two sequences. Registers: %rax holds the descriptor's address, then the
 * stack's; %rcx the index. The abort label is preceded by the signature that
 * glibc registered; an abort starts again from label 6, where nothing that the
 * sequence needs has been changed: inputs are never written.
 */
static KMEM_ALWAYS_INLINE void *percpu_pop_rseq(const struct percpu_stacks *s)
{
	struct rseq *rs =
		(struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	void *p;

	__asm__ __volatile__(".pushsection __rseq_cs, \"aw\"\n\t"
			     ".balign 32\n"
			     "3:\n\t"
			     ".long 0, 0\n\t"
			     ".quad 1f, 2f - 1f, 4f\n\t"
			     ".popsection\n"
			     "6:\n\t"
			     "leaq 3b(%%rip), %%rax\n\t"
			     "movq %%rax, %c[cs](%[rs])\n"
			     "1:\n\t"
			     "movl %c[cpu](%[rs]), %%eax\n\t"
			     "xorl %k[p], %k[p]\n\t"
			     "cmpl %[nr], %%eax\n\t"
			     "jae 5f\n\t"
			     "shlq %%cl, %%rax\n\t"
			     "addq %[base], %%rax\n\t"
			     "movl (%%rax), %%edx\n\t"
			     "subl $1, %%edx\n\t"
			     "jb 5f\n\t"
			     "movq 16(%%rax,%%rdx,8), %[p]\n\t"
			     "movl %%edx, (%%rax)\n"
			     "2:\n"
			     "5:\n\t"
			     ".pushsection __rseq_failure, \"ax\"\n\t"
			     ".byte 0x0f, 0xb9, 0x3d\n\t"
			     ".long %c[sig]\n"
			     "4:\n\t"
			     "jmp 6b\n\t"
			     ".popsection\n\t"
			     : [p] "=&r"(p)
			     : [rs] "r"(rs), [cs] "i"(offsetof(struct rseq, rseq_cs)),
			       [cpu] "i"(offsetof(struct rseq, cpu_id)), [sig] "i"(RSEQ_SIG),
			       [base] "r"(s->base), [nr] "r"(s->nr_cpus), "c"(s->shift)
			     : "rax", "rdx", "memory", "cc");
	return p;
}

static KMEM_ALWAYS_INLINE bool percpu_push_rseq(const struct percpu_stacks *s, void *p)
{
	struct rseq *rs =
		(struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	uint32_t done;

	__asm__ __volatile__(".pushsection __rseq_cs, \"aw\"\n\t"
			     ".balign 32\n"
			     "3:\n\t"
			     ".long 0, 0\n\t"
			     ".quad 1f, 2f - 1f, 4f\n\t"
			     ".popsection\n"
			     "6:\n\t"
			     "leaq 3b(%%rip), %%rax\n\t"
			     "movq %%rax, %c[cs](%[rs])\n"
			     "1:\n\t"
			     "movl %c[cpu](%[rs]), %%eax\n\t"
			     "xorl %k[done], %k[done]\n\t"
			     "cmpl %[nr], %%eax\n\t"
			     "jae 5f\n\t"
			     "shlq %%cl, %%rax\n\t"
			     "addq %[base], %%rax\n\t"
			     "movl (%%rax), %%edx\n\t"
			     "cmpl 4(%%rax), %%edx\n\t"
			     "jae 5f\n\t"
			     "movq %[p], 16(%%rax,%%rdx,8)\n\t"
			     "addl $1, %%edx\n\t"
			     "movl $1, %k[done]\n\t"
			     "movl %%edx, (%%rax)\n"
			     "2:\n"
			     "5:\n\t"
			     ".pushsection __rseq_failure, \"ax\"\n\t"
			     ".byte 0x0f, 0xb9, 0x3d\n\t"
			     ".long %c[sig]\n"
			     "4:\n\t"
			     "jmp 6b\n\t"
			     ".popsection\n\t"
			     : [done] "=&r"(done)
			     : [rs] "r"(rs), [cs] "i"(offsetof(struct rseq, rseq_cs)),
			       [cpu] "i"(offsetof(struct rseq, cpu_id)), [sig] "i"(RSEQ_SIG),
			       [base] "r"(s->base), [nr] "r"(s->nr_cpus), "c"(s->shift), [p] "r"(p)
			     : "rax", "rdx", "memory", "cc");
	return done;
}
#endif

/* Takes the newest entry of this CPU's stack; NULL when it is empty. */
static KMEM_ALWAYS_INLINE void *percpu_pop(const struct percpu_stacks *s)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return percpu_pop_rseq(s);
#endif
	return percpu_pop_locked(s);
}

/* Puts p on this CPU's stack; false when it is full. */
static KMEM_ALWAYS_INLINE bool percpu_push(const struct percpu_stacks *s, void *p)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return percpu_push_rseq(s, p);
#endif
	return percpu_push_locked(s, p);
}

/* Pops up to n entries, newest first; returns how many. */
size_t percpu_pop_batch(const struct percpu_stacks *s, size_t n, void **out);
/* Pushes up to n entries; returns how many fitted. */
size_t percpu_push_batch(const struct percpu_stacks *s, size_t n, void *const *in);

/*
 * Hands every entry of every CPU's stack to fn. While others run, the calling
 * thread visits each CPU in turn (sched_setaffinity) and pops there; with
 * `quiescent` no other thread is using the stacks and they are read directly.
 */
void percpu_drain_all(const struct percpu_stacks *s, bool quiescent,
		      void (*fn)(void *entry, void *arg), void *arg);

/* Entries on all stacks together; exact only when quiescent. */
size_t percpu_count(const struct percpu_stacks *s);

/* Times a sequence was found aborted and restarted cannot be seen from user
 * space; tests count lost or duplicated entries instead. */

#endif /* KMEM_OS_PERCPU_FAST_H */
