/* SPDX-License-Identifier: MIT */
/* The restartable sequences of per-CPU stacks and magazines for x86-64; every
 * architecture's header has the same functions. */
#ifndef KMEM_OS_RSEQ_X86_64_H
#define KMEM_OS_RSEQ_X86_64_H

#include "allocators/os/percpu_types.h"

#if OS_PERCPU_RSEQ && defined(__x86_64__)

/* Two words are exchanged by one store of 16 bytes, which no interrupt divides. */
#define RSEQ_HAS_EXCHANGE 1

/*
 * What every sequence has in common. Label 3 is its descriptor (version, flags,
 * start, length, abort address), 1 its first and 2 the end of its last
 * instruction. The abort handler at 4 follows the signature that glibc
 * registered, hidden in an undefined instruction (0f b9 3d), and starts again
 * from 6: whatever the sequence has written by then it computes anew, inputs
 * are never written. `rs` is the distance of the thread's area from the thread pointer,
 * which %fs adds.
 */
#define RSEQ_HEAD_BY(reg)                    \
	".pushsection __rseq_cs, \"aw\"\n\t" \
	".balign 32\n"                       \
	"3:\n\t"                             \
	".long 0, 0\n\t"                     \
	".quad 1f, 2f - 1f, 4f\n\t"          \
	".popsection\n"                      \
	"6:\n\t"                             \
	"leaq 3b(%%rip), " reg "\n\t"        \
	"movq " reg ", %%fs:%c[cs](%[rs])\n" \
	"1:\n\t"
#define RSEQ_HEAD RSEQ_HEAD_BY("%%rax")

/* gcc 12 at -O1 loses what is assigned on an edge of an asm goto with outputs. */
#define RSEQ_EDGE __asm__ __volatile__("")

#define RSEQ_ABORT_UNLESS(test)                     \
	".pushsection __rseq_failure, \"ax\"\n\t"   \
	".byte 0x0f, 0xb9, 0x3d\n\t"                \
	".long %c[sig]\n"                           \
	"4:\n\t"                                    \
	"lock incq %[aborts]\n\t" test "jmp 6b\n\t" \
	".popsection\n\t"
#define RSEQ_ABORT RSEQ_ABORT_UNLESS("")

#define RSEQ_INPUTS                                                            \
	[cs] "i"(offsetof(struct rseq, rseq_cs)),                              \
		[cpu] "i"(offsetof(struct rseq, cpu_id)), [sig] "i"(RSEQ_SIG), \
		[aborts] "m"(os_percpu_aborts)

/* The CPU the thread ran on a moment ago; 0 where it is not registered. */
static KMEM_ALWAYS_INLINE uint32_t rseq_cpu_id_start(void)
{
	return *(const volatile __seg_fs uint32_t *)(os_rseq_offset +
						     offsetof(struct rseq, cpu_id_start));
}

/* --- stacks --- */

/*
 * After the head, %rax holds the address of this CPU's stack, %rdx its state and %ecx
 * the entries there; a thread without registration has an impossible CPU number and
 * leaves by label 5, as from an empty or full stack. The tail stores %rdx.
 */
#define STACK_HEAD                            \
	RSEQ_HEAD                             \
	"xorl %k[res], %k[res]\n\t"           \
	"movl %%fs:%c[cpu](%[rs]), %%eax\n\t" \
	"cmpl %[nr], %%eax\n\t"               \
	"jae 5f\n\t"                          \
	"shlq %[area], %%rax\n\t"             \
	"addq %[base], %%rax\n\t"             \
	"movq (%%rax), %%rdx\n\t"             \
	"movzwl %%dx, %%ecx\n\t"

#define STACK_TAIL              \
	"movq %%rdx, (%%rax)\n" \
	"2:\n"                  \
	"5:\n\t" RSEQ_ABORT

#define STACK_INPUTS(s)                                                          \
	[rs] "r"(os_rseq_offset), [base] "m"((s)->base), [nr] "m"((s)->nr_cpus), \
		[limit] "m"((s)->limit), [area] "i"(PERCPU_AREA_SHIFT), RSEQ_INPUTS

/* The newest entry; NULL: none. */
static KMEM_ALWAYS_INLINE void *rseq_pop(const struct percpu_stacks *s)
{
	void *p;

	__asm__ __volatile__(
		STACK_HEAD
		/* Empty (-1) and stopped (0xfffe) are both above limit - 1. */
		"subl $1, %%ecx\n\t"
		"cmpl %[limit], %%ecx\n\t"
		"jae 5f\n\t"
		"movq 16(%%rax,%%rcx,8), %[res]\n\t"
		"addq $0xffff, %%rdx\n\t" /* pops + 1, avail - 1 */
		STACK_TAIL
		: [res] "=&r"(p)
		: STACK_INPUTS(s)
		: "rax", "rcx", "rdx", "memory", "cc");
	return p;
}

/* False: full. */
static KMEM_ALWAYS_INLINE bool rseq_push(const struct percpu_stacks *s, void *p)
{
	unsigned long done;

	__asm__ __volatile__(STACK_HEAD "cmpl %[limit], %%ecx\n\t"
					"jae 5f\n\t"
					"movq %[p], 16(%%rax,%%rcx,8)\n\t"
					"addq $1, %%rdx\n\t"
					"movl $1, %k[res]\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [p] "r"(p)
			     : "rax", "rcx", "rdx", "memory", "cc");
	return done != 0;
}

/* min(entries, n) from the top down; per_entry is what each adds to the state. *slot:
 * where the newest of them stood. */
static inline size_t rseq_pop_batch(const struct percpu_stacks *s, size_t n, void **out,
				    uint64_t per_entry, void *const **slot)
{
	size_t done;

	__asm__ __volatile__(
		STACK_HEAD "cmpl %[limit], %%ecx\n\t"
			   "ja 5f\n\t"
			   "leaq 8(%%rax,%%rcx,8), %[slot]\n\t"
			   "movq %[slot], %%r8\n\t"
			   "cmpq %[n], %%rcx\n\t"
			   "cmovaq %[n], %%rcx\n\t"
			   "testq %%rcx, %%rcx\n\t"
			   "jz 5f\n"
			   "7:\n\t"
			   "movq (%%r8), %%r9\n\t"
			   "movq %%r9, (%[out],%[res],8)\n\t"
			   "subq $8, %%r8\n\t"
			   "addq $1, %[res]\n\t"
			   "cmpq %%rcx, %[res]\n\t"
			   "jb 7b\n\t"
			   "imulq %[per_entry], %%rcx\n\t"
			   "addq %%rcx, %%rdx\n\t" STACK_TAIL
		: [res] "=&r"(done), [slot] "=&r"(*slot)
		: STACK_INPUTS(s), [n] "r"(n), [out] "r"(out), [per_entry] "r"(per_entry)
		: "rax", "rcx", "rdx", "r8", "r9", "memory", "cc");
	return done;
}

/* min(room, n), in[0] first; step: from one to the next, 8 or -8 bytes. */
static inline size_t rseq_push_batch(const struct percpu_stacks *s, size_t n,
				     void *const *in, ptrdiff_t step)
{
	size_t done;

	__asm__ __volatile__(STACK_HEAD
			     "cmpl %[limit], %%ecx\n\t"
			     "jae 5f\n\t"			/* full or stopped */
			     "leaq 16(%%rax,%%rcx,8), %%r8\n\t" /* the first free slot */
			     "negl %%ecx\n\t"			/* the room left */
			     "addl %[limit], %%ecx\n\t"
			     "cmpq %[n], %%rcx\n\t"
			     "cmovaq %[n], %%rcx\n\t"
			     "testq %%rcx, %%rcx\n\t"
			     "jz 5f\n\t"
			     "movq %[in], %%r10\n"
			     "7:\n\t"
			     "movq (%%r10), %%r9\n\t"
			     "addq %[step], %%r10\n\t"
			     "movq %%r9, (%%r8,%[res],8)\n\t"
			     "addq $1, %[res]\n\t"
			     "cmpq %%rcx, %[res]\n\t"
			     "jb 7b\n\t"
			     "addq %%rcx, %%rdx\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [n] "r"(n), [in] "r"(in), [step] "r"(step)
			     : "rax", "rcx", "rdx", "r8", "r9", "r10", "memory", "cc");
	return done;
}

/* --- stamped entries: see percpu_stamped.h --- */

/* The newest entry and where it stood, which shares a register; NULL: none. */
static KMEM_ALWAYS_INLINE void *rseq_pop_slot(const struct percpu_stacks *s,
					      void *const **slot)
{
	void *p;

	__asm__ __volatile__ goto(RSEQ_HEAD "movl %%fs:%c[cpu](%[rs]), %%eax\n\t"
					    "cmpl %[nr], %%eax\n\t"
					    "jae %l[miss]\n\t"
					    "shlq %[area], %%rax\n\t"
					    "addq %[base], %%rax\n\t"
					    "movq (%%rax), %%rdx\n\t"
					    "movzwl %%dx, %%ecx\n\t"
					    "subl $1, %%ecx\n\t"
					    "cmpl %[limit], %%ecx\n\t"
					    "jae %l[miss]\n\t"
					    "leaq 16(%%rax,%%rcx,8), %%rcx\n\t"
					    "movq (%%rcx), %[p]\n\t"
					    "addq $0xffff, %%rdx\n\t"
					    "movq %%rdx, (%%rax)\n"
					    "2:\n\t" RSEQ_ABORT
				  : [p] "=&r"(p), "=&c"(*slot)
				  : STACK_INPUTS(s)
				  : "rax", "rdx", "memory", "cc"
				  : miss);
	if (p == NULL)
		__builtin_unreachable(); /* callers need no second test */
	return p;
miss:
	RSEQ_EDGE;
	return NULL;
}

#define STAMP_HEAD RSEQ_HEAD_BY("%[left]")
#define STAMP_ABORT                                  \
	RSEQ_ABORT_UNLESS("cmpq %[left], (%[p])\n\t" \
			  "je 7b\n\t")

/*
 * Pushes an entry whose first word is from->state, and stamps it; false: it is another,
 * or the stack is full, and *left is what an attempt that was interrupted has left in the
 * word, or 0. Its register is never without a value that is known: a descriptor's or a
 * slot's address, on the way to the stamp, or the stamp. Of these only the stamp can be
 * what stands in the word, and where it does, the abort handler gives up.
 * The carry flag says so: the last addition before the end clears it.
 */
static KMEM_ALWAYS_INLINE bool rseq_push_stamped(const struct percpu_stacks *s, void *p,
						 const struct percpu_from *from,
						 uint64_t *left)
{
	bool failed;

	__asm__ __volatile__(STAMP_HEAD "movl %%fs:%c[cpu](%[rs]), %%eax\n\t"
					"cmpl %[nr], %%eax\n\t"
					"jae 5f\n\t"
					"shlq %[area], %%rax\n\t"
					"addq %[base], %%rax\n\t"
					"movq %[state], %%rdx\n\t"
					"cmpq %%rdx, (%[p])\n\t"
					"jne 5f\n\t"
					"movq (%%rax), %%rdx\n\t"
					"movzwl %%dx, %%ecx\n\t"
					"cmpl %[limit], %%ecx\n\t"
					"jae 5f\n\t"
					"leaq 16(%%rax,%%rcx,8), %[left]\n\t"
					"movq %[p], (%[left])\n\t"
					"shlq %[shift], %[left]\n\t"
					"addq %[stamp], %[left]\n\t"
					"movq %[left], (%[p])\n\t"
					"addq $1, %%rdx\n\t"
					"movq %%rdx, (%%rax)\n"
					"2:\n\t"
					".pushsection __rseq_failure, \"ax\"\n"
					"5:\n\t"
					"xorl %k[left], %k[left]\n"
					"7:\n\t"
					"stc\n\t"
					"jmp 2b\n\t"
					".popsection\n\t" STAMP_ABORT
			     : "=@ccc"(failed), [left] "=&r"(*left)
			     : STACK_INPUTS(s), [p] "r"(p), [state] "m"(from->state),
			       [stamp] "m"(from->stamp), [shift] "i"(PERCPU_STAMP_SHIFT)
			     : "rax", "rcx", "rdx", "memory");
	return !failed;
}

/* Adds to the state; false in a thread without registration. */
static inline bool rseq_add(const struct percpu_stacks *s, uint64_t n)
{
	unsigned long done;

	__asm__ __volatile__(STACK_HEAD "addq %[n], %%rdx\n\t"
					"movl $1, %k[res]\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [n] "r"(n)
			     : "rax", "rcx", "rdx", "memory", "cc");
	return done != 0;
}

/* --- gates: see allocators/buddy/rows_gate.c --- */

/* Adds 1 to the state while *mode is 0: the new state; 0: it is another. */
static KMEM_ALWAYS_INLINE uint64_t rseq_enter_shared(const struct percpu_stacks *s,
						     const _Atomic uint32_t *mode)
{
	uint64_t count;

	__asm__ __volatile__(STACK_HEAD "cmpl $0, %[mode]\n\t"
					"jne 5f\n\t"
					"addq $1, %%rdx\n\t"
					"movq %%rdx, %[res]\n\t" STACK_TAIL
			     : [res] "=&r"(count)
			     : STACK_INPUTS(s), [mode] "m"(*mode)
			     : "rax", "rcx", "rdx", "memory", "cc");
	return count;
}

/* Adds 1 to an even state while *mode is this CPU's number plus `alone`; false: not. */
static KMEM_ALWAYS_INLINE bool rseq_enter_alone(const struct percpu_stacks *s,
						const _Atomic uint32_t *mode,
						uint32_t alone)
{
	unsigned long done;

	__asm__ __volatile__(STACK_HEAD "movl %%fs:%c[cpu](%[rs]), %%ecx\n\t"
					"addl %[alone], %%ecx\n\t"
					"cmpl %[mode], %%ecx\n\t"
					"jne 5f\n\t"
					"testb $1, %%dl\n\t"
					"jnz 5f\n\t"
					"addq $1, %%rdx\n\t"
					"movl $1, %k[res]\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [mode] "m"(*mode), [alone] "er"(alone)
			     : "rax", "rcx", "rdx", "memory", "cc");
	return done != 0;
}

/* --- magazines --- */

/* Afterwards %rax is this CPU's table of tops. */
#define MAGAZINE_HEAD                           \
	RSEQ_HEAD                               \
	"movslq %%fs:%c[cpu](%[rs]), %%rax\n\t" \
	"movq (%[table],%%rax,8), %%rax\n\t"

#define MAGAZINE_TAIL "2:\n\t" RSEQ_ABORT

#define MAGAZINE_INPUTS(rs_, table_) [rs] "r"(rs_), [table] "r"(table_), RSEQ_INPUTS

/* The newest object; NULL: none. */
static KMEM_ALWAYS_INLINE void *rseq_magazine_pop(ptrdiff_t rs, const void *table,
						  size_t id)
{
	void *object;

	__asm__ __volatile__ goto(MAGAZINE_HEAD
				  "movq (%%rax,%[id],8), %%rdx\n\t"
				  "movq -8(%%rdx), %[object]\n\t"
				  "testq %[object], %[object]\n\t"
				  "jz %l[miss]\n\t"
				  "addq $-8, %%rdx\n\t"
				  "movq %%rdx, (%%rax,%[id],8)\n" MAGAZINE_TAIL
				  : [object] "=&r"(object)
				  : MAGAZINE_INPUTS(rs, table), [id] "r"(id)
				  : "rax", "rdx", "memory", "cc"
				  : miss);
	if (object == NULL)
		__builtin_unreachable(); /* callers need no second test */
	return object;
miss:
	RSEQ_EDGE;
	return NULL;
}

/* False: full. */
static KMEM_ALWAYS_INLINE bool rseq_magazine_push(ptrdiff_t rs, const void *table,
						  size_t id, void *object)
{
	__asm__ __volatile__ goto(MAGAZINE_HEAD
				  "movq (%%rax,%[id],8), %%rdx\n\t"
				  "cmpq %[full], (%%rdx)\n\t"
				  "je %l[miss]\n\t"
				  "movq %[object], (%%rdx)\n\t"
				  "addq $8, %%rdx\n\t"
				  "movq %%rdx, (%%rax,%[id],8)\n" MAGAZINE_TAIL
				  :
				  : MAGAZINE_INPUTS(rs, table), [id] "r"(id),
				    [object] "r"(object), [full] "i"(MAGAZINE_FULL)
				  : "rax", "rdx", "memory", "cc"
				  : miss);
	return true;
miss:
	return false;
}

/* As the pop; *slot is where the object was. */
static KMEM_ALWAYS_INLINE void *rseq_magazine_pop_slot(ptrdiff_t rs, const void *table,
						       size_t id, void ***slot)
{
	void *object, **at;

	__asm__ __volatile__ goto(MAGAZINE_HEAD
				  "movq (%%rax,%[id],8), %[at]\n\t"
				  "movq -8(%[at]), %[object]\n\t"
				  "testq %[object], %[object]\n\t"
				  "jz %l[miss]\n\t"
				  "addq $-8, %[at]\n\t"
				  "movq %[at], (%%rax,%[id],8)\n" MAGAZINE_TAIL
				  : [object] "=&r"(object), [at] "=&r"(at)
				  : MAGAZINE_INPUTS(rs, table), [id] "r"(id)
				  : "rax", "memory", "cc"
				  : miss);
	if (object == NULL)
		__builtin_unreachable(); /* callers need no second test */
	*slot = at;
	return object;
miss:
	RSEQ_EDGE;
	return NULL;
}

/* As the push; *mark becomes where the object is, before it is there. False: full, and
 * *mark may be any slot. */
static KMEM_ALWAYS_INLINE bool rseq_magazine_push_marked(ptrdiff_t rs, const void *table,
							 size_t id, void *object,
							 void *mark)
{
	__asm__ __volatile__ goto(
		MAGAZINE_HEAD "movq (%%rax,%[id],8), %%rdx\n\t"
			      "cmpq %[full], (%%rdx)\n\t"
			      "je %l[miss]\n\t"
			      "movq %[object], (%%rdx)\n\t"
			      "movq %%rdx, (%[mark])\n\t"
			      "addq $8, %%rdx\n\t"
			      "movq %%rdx, (%%rax,%[id],8)\n" MAGAZINE_TAIL
		:
		: MAGAZINE_INPUTS(rs, table), [id] "r"(id), [object] "r"(object),
		  [mark] "r"(mark), [full] "i"(MAGAZINE_FULL)
		: "rax", "rdx", "memory", "cc"
		: miss);
	return true;
miss:
	return false;
}

/* min(entries, n), newest first. */
static inline size_t rseq_magazine_take(ptrdiff_t rs, const void *table, size_t id,
					size_t n, void **objects)
{
	size_t done;

	__asm__ __volatile__(MAGAZINE_HEAD "xorl %k[done], %k[done]\n\t"
					   "movq (%%rax,%[id],8), %%rdx\n"
					   "7:\n\t"
					   "cmpq %[n], %[done]\n\t"
					   "jae 8f\n\t"
					   "movq -8(%%rdx), %%rcx\n\t"
					   "testq %%rcx, %%rcx\n\t"
					   "jz 8f\n\t"
					   "movq %%rcx, (%[objects],%[done],8)\n\t"
					   "addq $-8, %%rdx\n\t"
					   "addq $1, %[done]\n\t"
					   "jmp 7b\n"
					   "8:\n\t"
					   "testq %[done], %[done]\n\t"
					   "jz 2f\n\t"
					   "movq %%rdx, (%%rax,%[id],8)\n" MAGAZINE_TAIL
			     : [done] "=&r"(done)
			     : MAGAZINE_INPUTS(rs, table), [id] "r"(id), [n] "r"(n),
			       [objects] "r"(objects)
			     : "rax", "rcx", "rdx", "memory", "cc");
	return done;
}

/* min(room, n), objects[0] first. */
static inline size_t rseq_magazine_put(ptrdiff_t rs, const void *table, size_t id,
				       size_t n, void *const *objects)
{
	size_t done;

	__asm__ __volatile__(MAGAZINE_HEAD "xorl %k[done], %k[done]\n\t"
					   "movq (%%rax,%[id],8), %%rdx\n"
					   "7:\n\t"
					   "cmpq %[n], %[done]\n\t"
					   "jae 8f\n\t"
					   "cmpq %[full], (%%rdx)\n\t"
					   "je 8f\n\t"
					   "movq (%[objects],%[done],8), %%rcx\n\t"
					   "movq %%rcx, (%%rdx)\n\t"
					   "addq $8, %%rdx\n\t"
					   "addq $1, %[done]\n\t"
					   "jmp 7b\n"
					   "8:\n\t"
					   "testq %[done], %[done]\n\t"
					   "jz 2f\n\t"
					   "movq %%rdx, (%%rax,%[id],8)\n" MAGAZINE_TAIL
			     : [done] "=&r"(done)
			     : MAGAZINE_INPUTS(rs, table), [id] "r"(id), [n] "r"(n),
			       [objects] "r"(objects), [full] "i"(MAGAZINE_FULL)
			     : "rax", "rcx", "rdx", "memory", "cc");
	return done;
}

/*
 * Magazines `out` and `out` + 1 change places if `out` is empty but not one of the pairs,
 * or a stop's mark would change places, and the other is not empty; a pair is. What has
 * been looked at is stored, not what stands there by then: a stop's mark may be put there
 * in between, and must be overwritten, which who put it notices.
 */
static inline bool rseq_magazine_exchange(ptrdiff_t rs, const void *table, size_t out,
					  const void *pairs, size_t pairs_bytes)
{
	unsigned long done;

	__asm__ __volatile__(MAGAZINE_HEAD "xorl %k[done], %k[done]\n\t"
					   "leaq (%%rax,%[out],8), %%rax\n\t"
					   "movq (%%rax), %%rdx\n\t"
					   "movq 8(%%rax), %%rcx\n\t"
					   "cmpq $0, -8(%%rdx)\n\t"
					   "jne 2f\n\t"
					   "cmpq $0, -8(%%rcx)\n\t"
					   "je 2f\n\t"
					   "movq %%rcx, %%xmm0\n\t"
					   "movq %%rdx, %%xmm1\n\t"
					   "punpcklqdq %%xmm1, %%xmm0\n\t"
					   "subq %[pairs], %%rdx\n\t"
					   "cmpq %[bytes], %%rdx\n\t"
					   "jb 2f\n\t"
					   "movl $1, %k[done]\n\t"
					   "movdqa %%xmm0, (%%rax)\n" MAGAZINE_TAIL
			     : [done] "=&r"(done)
			     : MAGAZINE_INPUTS(rs, table), [out] "r"(out),
			       [pairs] "r"(pairs), [bytes] "er"(pairs_bytes)
			     : "rax", "rcx", "rdx", "xmm0", "xmm1", "memory", "cc");
	return done != 0;
}

/*
 * While the magazine's top is `expected`: MAGAZINE_FULL into *slot, then value into
 * *word, which makes it happen. Nobody may mind a *slot that is written alone. False: it
 * is not.
 */
static inline bool rseq_magazine_bound(ptrdiff_t rs, const void *table, size_t id,
				       void *const *expected, void **slot, void **word,
				       void *value)
{
	unsigned long done;

	__asm__ __volatile__(
		MAGAZINE_HEAD "xorl %k[done], %k[done]\n\t"
			      "cmpq %[expected], (%%rax,%[id],8)\n\t"
			      "jne 2f\n\t"
			      "movq %[full], (%[slot])\n\t"
			      "movl $1, %k[done]\n\t"
			      "movq %[value], (%[word])\n" MAGAZINE_TAIL
		: [done] "=&r"(done)
		: MAGAZINE_INPUTS(rs, table), [id] "r"(id), [expected] "r"(expected),
		  [slot] "r"(slot), [word] "r"(word), [value] "r"(value),
		  [full] "i"(MAGAZINE_FULL)
		: "rax", "memory", "cc");
	return done != 0;
}

#endif

#endif /* KMEM_OS_RSEQ_X86_64_H */
