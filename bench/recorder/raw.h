/* SPDX-License-Identifier: MIT */
/*
 * The raw recording: what libkmembench-record.so writes inside the recorded
 * program and `kmembench record` reads when the program has ended.
 *
 * The file is created, sized (sparse) and mapped by kmembench, already removed
 * from its folder, and inherited by the program as an open descriptor whose
 * number stands in the environment. So it survives any end of the program and
 * leaves nothing behind when kmembench itself is killed.
 *
 *   offset 0                 struct raw_header
 *   offset RAW_HEADER_BYTES  struct raw_event[header.capacity]
 *
 * ORDER. The slot number of an event is its place in the one order over all
 * threads; slots are taken by one atomic addition on header.next.
 *   - An allocation takes its slot after the allocator has returned, a free
 *     before the allocator is called. When a block is freed in one thread and
 *     its address handed out in another, the allocator itself orders the two
 *     calls (a lock, an atomic), so the free's addition happens before the
 *     allocation's, and additions on one variable follow happens-before even
 *     when relaxed. An address is therefore never live twice.
 *   - A realloc() can free the old address and another thread can have it
 *     before realloc() returns. It takes two slots: RAW_REALLOC_BEGIN before
 *     the call, from which on the old address belongs to nobody, and
 *     RAW_REALLOC_END after it, which says what became of the block: moved or
 *     kept (address), freed (no address, size 0) or untouched because the call
 *     failed (no address, a size).
 *   - A thread's creator takes a slot before pthread_create() (RAW_THREAD_CREATE,
 *     with the number that the new thread will have), the new thread one when it
 *     begins, whoever joins it one after pthread_join() has returned.
 */
#ifndef KMEMBENCH_RECORDER_RAW_H
#define KMEMBENCH_RECORDER_RAW_H

#include <stdatomic.h>

#include <kmem/compiler.h>

/* "FILE,ALIVE": two open descriptors. ALIVE is the end of a pipe that the recorder keeps
 * open and that exec closes: so kmembench sees a program replace itself. */
#define RAW_FDS_VARIABLE "KMEMBENCH_RECORD_FDS"
/* "CAPACITY,FOLDER", with 'record --children': a process that comes from the recorded one
 * by fork or exec makes a recording of its own there, "PID-N", at its first event. N
 * counts the programs that the process became. */
#define RAW_CHILDREN_VARIABLE "KMEMBENCH_RECORD_CHILDREN"
#define RAW_MAGIC	      "KMBRAW02"
#define RAW_LIBRARY	      "libkmembench-record.so"
#define RAW_HEADER_BYTES      65536 /* a multiple of every page size in use */

enum raw_op {
	RAW_NONE, /* slot taken, event never written: the program was killed in between */
	RAW_MALLOC,
	RAW_CALLOC,
	RAW_MEMALIGN,
	RAW_REALLOC_BEGIN,
	RAW_REALLOC_END,
	RAW_FREE,
	RAW_THREAD_CREATE, /* ptr: number of the new thread, plus one */
	RAW_THREAD_BEGIN,  /* ptr: pthread_self() */
	RAW_THREAD_JOIN,   /* ptr: the pthread_t that was joined */
	NR_RAW_OPS,
};

struct raw_event {
	/* op | align_log2 << 8 | thread << 32; written last */
	_Atomic uint64_t what;
	uint64_t ptr; /* new address; of RAW_FREE and RAW_REALLOC_BEGIN the old one */
	uint64_t size_bytes;
	uint64_t old_ptr; /* RAW_REALLOC_END only */
};
_Static_assert(sizeof(struct raw_event) == 32, "file format");

struct raw_header {
	char magic[8];		    /* written by kmembench */
	uint64_t capacity;	    /* events; written by kmembench */
	_Atomic uint32_t pid;	    /* of the recorded process; 0: nobody has attached */
	_Atomic uint32_t threads;   /* that had an event */
	_Atomic uint32_t disk_full; /* 1: no storage beyond `populated` could be had */
	_Atomic uint64_t populated; /* slots with storage: only these may be touched */
	/* CLOCK_MONOTONIC; 0: not yet, or the program did not get to its end. */
	_Atomic uint64_t begun_ns, ended_ns;
	char program[24]; /* short name; 0-terminated */
	/* On a line of its own: every event of every thread adds to it. Counts on past
	 * the last slot, so that the number of lost events is known. */
	KMEM_CACHELINE_ALIGNED _Atomic uint64_t next;
};
_Static_assert(sizeof(struct raw_header) <= RAW_HEADER_BYTES, "file format");

static inline uint64_t raw_what(enum raw_op op, unsigned int align_log2, uint32_t thread)
{
	return (uint64_t)op | (uint64_t)align_log2 << 8 | (uint64_t)thread << 32;
}

static inline unsigned int raw_op_of(uint64_t what)
{
	return what & 0xff;
}

static inline unsigned int raw_align_log2_of(uint64_t what)
{
	return what >> 8 & 0xff;
}

static inline uint32_t raw_thread_of(uint64_t what)
{
	return (uint32_t)(what >> 32);
}

#endif /* KMEMBENCH_RECORDER_RAW_H */
