/* SPDX-License-Identifier: MIT */
/* The restartable sequences of per-CPU stacks and magazines for aarch64 (Armv8.0 and
 * later, either byte order); every architecture's header has the same functions. */
#ifndef KMEM_OS_RSEQ_AARCH64_H
#define KMEM_OS_RSEQ_AARCH64_H

#include "allocators/os/percpu_types.h"

#if OS_PERCPU_RSEQ && defined(__aarch64__)

/*
 * A store of two registers (STP) may be interrupted between its halves, and a single
 * store of 16 bytes is promised to be whole only from Armv8.4 (LSE2). So two magazines
 * cannot change places in a sequence.
 */
#define RSEQ_HAS_EXCHANGE 0

/*
 * ORDER. The processor may reorder what a sequence loads and stores, as others see it.
 * That does no harm. Threads of one CPU see its accesses in program order, and the
 * kernel's switch from one to the next is a full barrier for those that move on. A CPU
 * from outside looks only after membarrier(2), a full barrier on all. What it prepares,
 * it publishes with a release (the table, a top, a state), and all that the sequences
 * read and write from there on has its address from what was published.
 *
 * What every sequence has in common. Label 3 is its descriptor (version, flags,
 * start, length, abort address), 1 its first and 2 the end of its last
 * instruction. The abort handler at 4 follows the signature that glibc
 * registered, a BRK, and starts again from 6: whatever the sequence has written by then
 * it computes anew, inputs are never written.
 */
#define RSEQ_HEAD                            \
	".pushsection __rseq_cs, \"aw\"\n\t" \
	".balign 32\n"                       \
	"3:\n\t"                             \
	".long 0, 0\n\t"                     \
	".quad 1f, 2f - 1f, 4f\n\t"          \
	".popsection\n"                      \
	"6:\n\t"                             \
	"adrp x9, 3b\n\t"                    \
	"add x9, x9, :lo12:3b\n\t"           \
	"str x9, [%[rs], %c[cs]]\n"          \
	"1:\n\t"

/* gcc 12 at -O1 loses what is assigned on an edge of an asm goto with outputs. */
#define RSEQ_EDGE __asm__ __volatile__("")

/* Not an atomic addition, which Armv8.0 lacks. */
#define RSEQ_ABORT                                \
	".pushsection __rseq_failure, \"ax\"\n\t" \
	".balign 4\n\t"                           \
	".long %c[sig]\n"                         \
	"4:\n\t"                                  \
	"adrp x9, os_percpu_aborts\n\t"           \
	"add x9, x9, :lo12:os_percpu_aborts\n"    \
	"9:\n\t"                                  \
	"ldxr x10, [x9]\n\t"                      \
	"add x10, x10, #1\n\t"                    \
	"stxr w11, x10, [x9]\n\t"                 \
	"cbnz w11, 9b\n\t"                        \
	"b 6b\n\t"                                \
	".popsection\n\t"

#define RSEQ_INPUTS                               \
	[cs] "i"(offsetof(struct rseq, rseq_cs)), \
		[cpu] "i"(offsetof(struct rseq, cpu_id)), [sig] "i"(RSEQ_SIG)

/* The CPU the thread ran on a moment ago; 0 where it is not registered. */
static KMEM_ALWAYS_INLINE uint32_t rseq_cpu_id_start(void)
{
	return *(const volatile uint32_t *)&percpu_rseq_area()->cpu_id_start;
}

/* --- stacks --- */

/*
 * After the head, x9 holds the address of this CPU's stack, x10 its state and x11 the
 * entries there; a thread without registration has an impossible CPU number and
 * leaves by label 5, as from an empty or full stack. The tail stores x10.
 */
#define STACK_HEAD                                     \
	RSEQ_HEAD                                      \
	"mov %[res], xzr\n\t"                          \
	"ldr w9, [%[rs], %c[cpu]]\n\t"                 \
	"cmp w9, %w[nr]\n\t"                           \
	"b.hs 5f\n\t"                                  \
	"add x9, %[base], x9, lsl #" PERCPU_STR(       \
		PERCPU_AREA_SHIFT) "\n\t"              \
				   "ldr x10, [x9]\n\t" \
				   "and x11, x10, #0xffff\n\t"

#define STACK_TAIL        \
	"str x10, [x9]\n" \
	"2:\n"            \
	"5:\n\t" RSEQ_ABORT

#define STACK_INPUTS(s)                                                              \
	[rs] "r"(percpu_rseq_area()), [base] "r"((s)->base), [nr] "r"((s)->nr_cpus), \
		[limit] "r"((s)->limit), RSEQ_INPUTS

/* The newest entry; NULL: none. */
static KMEM_ALWAYS_INLINE void *rseq_pop(const struct percpu_stacks *s)
{
	void *p;

	__asm__ __volatile__(
		STACK_HEAD
		/* Empty (-1) and stopped (0xfffe) are both above limit - 1. */
		"sub w11, w11, #1\n\t"
		"cmp w11, %w[limit]\n\t"
		"b.hs 5f\n\t"
		"add x12, x9, x11, lsl #3\n\t"
		"ldr %[res], [x12, #16]\n\t"
		"add x10, x10, #0x10, lsl #12\n\t" /* pops + 1 */
		"sub x10, x10, #1\n\t"		   /* avail - 1 */
		STACK_TAIL
		: [res] "=&r"(p)
		: STACK_INPUTS(s)
		: "x9", "x10", "x11", "x12", "memory", "cc");
	return p;
}

/* False: full. */
static KMEM_ALWAYS_INLINE bool rseq_push(const struct percpu_stacks *s, void *p)
{
	unsigned long done;

	__asm__ __volatile__(STACK_HEAD "cmp w11, %w[limit]\n\t"
					"b.hs 5f\n\t"
					"add x12, x9, x11, lsl #3\n\t"
					"str %[p], [x12, #16]\n\t"
					"add x10, x10, #1\n\t"
					"mov %[res], #1\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [p] "r"(p)
			     : "x9", "x10", "x11", "x12", "memory", "cc");
	return done != 0;
}

/* min(entries, n) from the top down; per_entry is what each adds to the state. *slot:
 * where the newest of them stood. */
static inline size_t rseq_pop_batch(const struct percpu_stacks *s, size_t n, void **out,
				    uint64_t per_entry, void *const **slot)
{
	size_t done;

	__asm__ __volatile__(
		STACK_HEAD "cmp w11, %w[limit]\n\t"
			   "b.hi 5f\n\t"
			   "add x12, x9, x11, lsl #3\n\t"
			   "add %[slot], x12, #8\n\t"
			   "add x12, x12, #16\n\t"
			   "cmp x11, %[n]\n\t"
			   "csel x11, x11, %[n], lo\n\t"
			   "cbz x11, 5f\n"
			   "7:\n\t"
			   "ldr x13, [x12, #-8]!\n\t"
			   "str x13, [%[out], %[res], lsl #3]\n\t"
			   "add %[res], %[res], #1\n\t"
			   "cmp %[res], x11\n\t"
			   "b.lo 7b\n\t"
			   "madd x10, x11, %[per_entry], x10\n\t" STACK_TAIL
		: [res] "=&r"(done), [slot] "=&r"(*slot)
		: STACK_INPUTS(s), [n] "r"(n), [out] "r"(out), [per_entry] "r"(per_entry)
		: "x9", "x10", "x11", "x12", "x13", "memory", "cc");
	return done;
}

/* min(room, n), in[0] first; step: from one to the next, 8 or -8 bytes. */
static inline size_t rseq_push_batch(const struct percpu_stacks *s, size_t n,
				     void *const *in, ptrdiff_t step)
{
	size_t done;

	__asm__ __volatile__(STACK_HEAD "cmp w11, %w[limit]\n\t"
					"b.hs 5f\n\t" /* full or stopped */
					"add x12, x9, x11, lsl #3\n\t"
					"add x12, x12, #16\n\t" /* the first free slot */
					"sub w11, %w[limit], w11\n\t" /* the room left */
					"cmp x11, %[n]\n\t"
					"csel x11, x11, %[n], lo\n\t"
					"cbz x11, 5f\n\t"
					"mov x13, %[in]\n"
					"7:\n\t"
					"ldr x14, [x13]\n\t"
					"add x13, x13, %[step]\n\t"
					"str x14, [x12, %[res], lsl #3]\n\t"
					"add %[res], %[res], #1\n\t"
					"cmp %[res], x11\n\t"
					"b.lo 7b\n\t"
					"add x10, x10, x11\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [n] "r"(n), [in] "r"(in), [step] "r"(step)
			     : "x9", "x10", "x11", "x12", "x13", "x14", "memory", "cc");
	return done;
}

/* --- stamped entries: see percpu_stamped.h --- */

/* The newest entry and where it stood; NULL: none. */
static KMEM_ALWAYS_INLINE void *rseq_pop_slot(const struct percpu_stacks *s,
					      void *const **slot)
{
	void *p;

	__asm__ __volatile__(STACK_HEAD "sub w11, w11, #1\n\t"
					"cmp w11, %w[limit]\n\t"
					"b.hs 5f\n\t"
					"add %[slot], x9, x11, lsl #3\n\t"
					"add %[slot], %[slot], #16\n\t"
					"ldr %[res], [%[slot]]\n\t"
					"add x10, x10, #0x10, lsl #12\n\t"
					"sub x10, x10, #1\n\t" STACK_TAIL
			     : [res] "=&r"(p), [slot] "=&r"(*slot)
			     : STACK_INPUTS(s)
			     : "x9", "x10", "x11", "memory", "cc");
	return p;
}

/*
 * Pushes an entry whose first word is from->state, and stamps it. *left: what an attempt
 * that was interrupted may have left in the word, or 0; a restart takes its own stamp for
 * no such state. LDAR: what other holders did with the entry before they let go comes
 * first.
 */
static KMEM_ALWAYS_INLINE bool rseq_push_stamped(const struct percpu_stacks *s, void *p,
						 const struct percpu_from *from,
						 uint64_t *left)
{
	unsigned long done;

	*left = 0;
	__asm__ __volatile__(STACK_HEAD
			     "ldar x12, [%[p]]\n\t"
			     "cmp x12, %[from]\n\t"
			     "b.ne 5f\n\t"
			     "cmp w11, %w[limit]\n\t"
			     "b.hs 5f\n\t"
			     "add %[left], x9, x11, lsl #3\n\t"
			     "add %[left], %[left], #16\n\t"
			     "str %[p], [%[left]]\n\t"
			     "add %[left], %[stamp], %[left], lsl #" PERCPU_STR(
				     PERCPU_STAMP_SHIFT) "\n\t"
							 "str %[left], [%[p]]\n\t"
							 "add x10, x10, #1\n\t"
							 "mov %[res], #1\n\t" STACK_TAIL
			     : [res] "=&r"(done), [left] "+&r"(*left)
			     : STACK_INPUTS(s), [p] "r"(p), [from] "r"(from->state),
			       [stamp] "r"(from->stamp)
			     : "x9", "x10", "x11", "x12", "memory", "cc");
	return done != 0;
}

/* Adds to the state; false in a thread without registration. */
static inline bool rseq_add(const struct percpu_stacks *s, uint64_t n)
{
	unsigned long done;

	__asm__ __volatile__(STACK_HEAD "add x10, x10, %[n]\n\t"
					"mov %[res], #1\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [n] "r"(n)
			     : "x9", "x10", "x11", "memory", "cc");
	return done != 0;
}

/* --- gates: see allocators/buddy/rows_gate.c. What the last mode's users have written is
 * read after the mode, hence LDAR. --- */

/* Adds 1 to the state while *mode is 0: the new state; 0: it is another. */
static KMEM_ALWAYS_INLINE uint64_t rseq_enter_shared(const struct percpu_stacks *s,
						     const _Atomic uint32_t *mode)
{
	uint64_t count;

	__asm__ __volatile__(STACK_HEAD "ldar w12, [%[mode]]\n\t"
					"cbnz w12, 5f\n\t"
					"add x10, x10, #1\n\t"
					"mov %[res], x10\n\t" STACK_TAIL
			     : [res] "=&r"(count)
			     : STACK_INPUTS(s), [mode] "r"(mode)
			     : "x9", "x10", "x11", "x12", "memory", "cc");
	return count;
}

/* Adds 1 to an even state while *mode is this CPU's number plus `alone`; false: not. */
static KMEM_ALWAYS_INLINE bool rseq_enter_alone(const struct percpu_stacks *s,
						const _Atomic uint32_t *mode,
						uint32_t alone)
{
	unsigned long done;

	__asm__ __volatile__(STACK_HEAD "ldr w11, [%[rs], %c[cpu]]\n\t"
					"add w11, w11, %w[alone]\n\t"
					"ldar w12, [%[mode]]\n\t"
					"cmp w11, w12\n\t"
					"b.ne 5f\n\t"
					"tbnz x10, #0, 5f\n\t"
					"add x10, x10, #1\n\t"
					"mov %[res], #1\n\t" STACK_TAIL
			     : [res] "=&r"(done)
			     : STACK_INPUTS(s), [mode] "r"(mode), [alone] "r"(alone)
			     : "x9", "x10", "x11", "x12", "memory", "cc");
	return done != 0;
}

/* --- magazines: `rs_` is the area's distance from the thread pointer --- */

/* Afterwards x9 is this CPU's table of tops. */
#define MAGAZINE_HEAD                    \
	RSEQ_HEAD                        \
	"ldrsw x9, [%[rs], %c[cpu]]\n\t" \
	"ldr x9, [%[table], x9, lsl #3]\n\t"

#define MAGAZINE_TAIL "2:\n\t" RSEQ_ABORT

#define MAGAZINE_INPUTS(rs_, table_)                                               \
	[rs] "r"((char *)__builtin_thread_pointer() + (rs_)), [table] "r"(table_), \
		RSEQ_INPUTS

/* The newest object; NULL: none. */
static KMEM_ALWAYS_INLINE void *rseq_magazine_pop(ptrdiff_t rs, const void *table,
						  size_t id)
{
	void *object;

	__asm__ __volatile__ goto(MAGAZINE_HEAD
				  "ldr x10, [x9, %[id], lsl #3]\n\t"
				  "ldr %[object], [x10, #-8]!\n\t"
				  "cbz %[object], %l[miss]\n\t"
				  "str x10, [x9, %[id], lsl #3]\n" MAGAZINE_TAIL
				  : [object] "=&r"(object)
				  : MAGAZINE_INPUTS(rs, table), [id] "r"(id)
				  : "x9", "x10", "x11", "memory", "cc"
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
				  "ldr x10, [x9, %[id], lsl #3]\n\t"
				  "ldr x11, [x10]\n\t"
				  "cmp x11, %c[full]\n\t"
				  "b.eq %l[miss]\n\t"
				  "str %[object], [x10], #8\n\t"
				  "str x10, [x9, %[id], lsl #3]\n" MAGAZINE_TAIL
				  :
				  : MAGAZINE_INPUTS(rs, table), [id] "r"(id),
				    [object] "r"(object), [full] "i"(MAGAZINE_FULL)
				  : "x9", "x10", "x11", "memory", "cc"
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
				  "ldr %[at], [x9, %[id], lsl #3]\n\t"
				  "ldr %[object], [%[at], #-8]!\n\t"
				  "cbz %[object], %l[miss]\n\t"
				  "str %[at], [x9, %[id], lsl #3]\n" MAGAZINE_TAIL
				  : [object] "=&r"(object), [at] "=&r"(at)
				  : MAGAZINE_INPUTS(rs, table), [id] "r"(id)
				  : "x9", "x10", "x11", "memory", "cc"
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
		MAGAZINE_HEAD "ldr x10, [x9, %[id], lsl #3]\n\t"
			      "ldr x11, [x10]\n\t"
			      "cmp x11, %c[full]\n\t"
			      "b.eq %l[miss]\n\t"
			      "str %[object], [x10]\n\t"
			      "str x10, [%[mark]]\n\t"
			      "add x10, x10, #8\n\t"
			      "str x10, [x9, %[id], lsl #3]\n" MAGAZINE_TAIL
		:
		: MAGAZINE_INPUTS(rs, table), [id] "r"(id), [object] "r"(object),
		  [mark] "r"(mark), [full] "i"(MAGAZINE_FULL)
		: "x9", "x10", "x11", "memory", "cc"
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

	__asm__ __volatile__(MAGAZINE_HEAD "mov %[done], xzr\n\t"
					   "ldr x10, [x9, %[id], lsl #3]\n"
					   "7:\n\t"
					   "cmp %[done], %[n]\n\t"
					   "b.hs 8f\n\t"
					   "ldur x11, [x10, #-8]\n\t"
					   "cbz x11, 8f\n\t"
					   "str x11, [%[objects], %[done], lsl #3]\n\t"
					   "sub x10, x10, #8\n\t"
					   "add %[done], %[done], #1\n\t"
					   "b 7b\n"
					   "8:\n\t"
					   "cbz %[done], 2f\n\t"
					   "str x10, [x9, %[id], lsl #3]\n" MAGAZINE_TAIL
			     : [done] "=&r"(done)
			     : MAGAZINE_INPUTS(rs, table), [id] "r"(id), [n] "r"(n),
			       [objects] "r"(objects)
			     : "x9", "x10", "x11", "memory", "cc");
	return done;
}

/* min(room, n), objects[0] first. */
static inline size_t rseq_magazine_put(ptrdiff_t rs, const void *table, size_t id,
				       size_t n, void *const *objects)
{
	size_t done;

	__asm__ __volatile__(MAGAZINE_HEAD "mov %[done], xzr\n\t"
					   "ldr x10, [x9, %[id], lsl #3]\n"
					   "7:\n\t"
					   "cmp %[done], %[n]\n\t"
					   "b.hs 8f\n\t"
					   "ldr x11, [x10]\n\t"
					   "cmp x11, %c[full]\n\t"
					   "b.eq 8f\n\t"
					   "ldr x11, [%[objects], %[done], lsl #3]\n\t"
					   "str x11, [x10], #8\n\t"
					   "add %[done], %[done], #1\n\t"
					   "b 7b\n"
					   "8:\n\t"
					   "cbz %[done], 2f\n\t"
					   "str x10, [x9, %[id], lsl #3]\n" MAGAZINE_TAIL
			     : [done] "=&r"(done)
			     : MAGAZINE_INPUTS(rs, table), [id] "r"(id), [n] "r"(n),
			       [objects] "r"(objects), [full] "i"(MAGAZINE_FULL)
			     : "x9", "x10", "x11", "memory", "cc");
	return done;
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
		MAGAZINE_HEAD "mov %[done], xzr\n\t"
			      "ldr x10, [x9, %[id], lsl #3]\n\t"
			      "cmp x10, %[expected]\n\t"
			      "b.ne 2f\n\t"
			      "mov x10, %c[full]\n\t"
			      "str x10, [%[slot]]\n\t"
			      "mov %[done], #1\n\t"
			      "str %[value], [%[word]]\n" MAGAZINE_TAIL
		: [done] "=&r"(done)
		: MAGAZINE_INPUTS(rs, table), [id] "r"(id), [expected] "r"(expected),
		  [slot] "r"(slot), [word] "r"(word), [value] "r"(value),
		  [full] "i"(MAGAZINE_FULL)
		: "x9", "x10", "x11", "memory", "cc");
	return done != 0;
}

/* There are none that could: see RSEQ_HAS_EXCHANGE. */
static inline bool rseq_magazine_exchange(ptrdiff_t rs, const void *table, size_t out,
					  const void *pairs, size_t pairs_bytes)
{
	(void)rs, (void)table, (void)out, (void)pairs, (void)pairs_bytes;
	return false;
}

#endif

#endif /* KMEM_OS_RSEQ_AARCH64_H */
