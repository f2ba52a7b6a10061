/* SPDX-License-Identifier: MIT */
#include "workloads/harness/tail_fast.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "workloads/harness/arena.h"

/* Pages that are faulted in to find the cheapest fault. Too few for a huge page. */
#define CALIBRATION_PAGES 128
#define PAGE_BYTES	  4096u
/* Where the clock or the machine is odd. A fault takes more than 200 ns anywhere. */
#define HIDE_TICKS_MIN 50u
/* A reading that took this many times the fastest one was interrupted: once more. */
#define READING_SLACK 3
#define READING_TRIES 4
/*
 * From a sample's end to the end of the reading, in terms of hide_ticks. 0.3 us as a
 * rule; after a sample that left its CPU the caches are cold, and 99.9 % stay below
 * 2.2 us. Four page faults' worth, 2.9 us there, is less than being off the CPU takes.
 */
#define READING_HIDES_MAX 8
/* Share of the samples that is looked into, and how many it takes to know it. */
#define EXAMINED_QUANTILE    0.99
#define EXAMINED_SAMPLES_MIN 1000

uint64_t tail_calibrate(void)
{
	size_t bytes = CALIBRATION_PAGES * PAGE_BYTES;
	/* Reading a page that was never written maps the kernel's page of zeroes. */
	volatile const char *p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
				      -1, 0);
	uint64_t least = UINT64_MAX;

	if (p == MAP_FAILED)
		return HIDE_TICKS_MIN;
	for (size_t at = 0; at < bytes; at += PAGE_BYTES) {
		uint64_t t0 = tsc_begin(), t;

		(void)p[at];
		t = tsc_end() - t0;
		/* Neighbours may have been mapped along: that was no fault. */
		if (t < least && t > 2u * HIDE_TICKS_MIN)
			least = t;
	}
	munmap((void *)(uintptr_t)p, bytes);
	return least == UINT64_MAX ? HIDE_TICKS_MIN : least / 2;
}

/*
 * A number that changes whenever the process's address space or break grows or
 * shrinks: size and data of /proc/self/statm, and the break.
 */
static uint64_t address_space_digest(int statm_fd)
{
	char text[256];
	uint64_t digest = (uint64_t)(uintptr_t)sbrk(0);
	ssize_t n = pread(statm_fd, text, sizeof(text), 0);
	int field = 0;

	/* "size resident shared text lib data dt": resident and shared are faults' work.
	 */
	for (ssize_t i = 0; i < n; i++) {
		if (text[i] == ' ')
			field++;
		else if (field == 0 || field == 5)
			digest = digest * 31 + (unsigned char)text[i];
	}
	return digest;
}

static void read_events(const struct tail *tail, struct tail_reading *r)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	r->faults = (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
	r->switches = (uint64_t)usage.ru_nvcsw + (uint64_t)usage.ru_nivcsw;
	r->cpu = (unsigned int)sched_getcpu();
	r->calls = memory_calls_of_thread();
	r->address_space = tail->statm_fd >= 0 ? address_space_digest(tail->statm_fd) : 0;
}

void tail_init(struct tail *tail, uint64_t hide_ticks, enum memory_calls_seen calls_seen)
{
	memset(tail, 0, sizeof(*tail));
	tail->hide_ticks = hide_ticks;
	tail->calls_seen = calls_seen;
	tail->reading_ticks_min = UINT64_MAX;
	tail->statm_fd = -1;
	if (calls_seen == MEMORY_CALLS_ADDRESS_SPACE) {
		tail->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
		if (tail->statm_fd < 0)
			tail->calls_seen = MEMORY_CALLS_UNSEEN;
	}
}

void tail_release(struct tail *tail)
{
	if (tail->statm_fd >= 0)
		close(tail->statm_fd);
	tail->statm_fd = -1;
	for (int op = 0; op < NR_PROBE_OPS; op++) {
		for (unsigned int mask = 0; mask < NR_TAIL_MASKS; mask++) {
			arena_free(tail->cause[op][mask], sizeof(struct histogram));
			tail->cause[op][mask] = NULL;
		}
	}
}

void tail_adapt(struct tail *tail, const struct histogram *alloc,
		const struct histogram *release)
{
	const struct histogram *h[NR_PROBE_OPS] = {alloc, release};

	for (int op = 0; op < NR_PROBE_OPS; op++) {
		if (h[op]->count >= EXAMINED_SAMPLES_MIN)
			tail->threshold_ticks[op] =
				(uint64_t)histogram_quantile(h[op], EXAMINED_QUANTILE);
	}
}

void tail_refresh(struct tail *tail)
{
	/* An event after the counters were read and before the clock was would be taken
	 * for the next sample's: such a reading takes long, and is repeated. */
	for (int i = 0; i < READING_TRIES; i++) {
		uint64_t start = tsc_begin(), took;

		read_events(tail, &tail->base);
		tail->clean_until = tsc_end();
		took = tail->clean_until - start;
		if (took < tail->reading_ticks_min)
			tail->reading_ticks_min = took;
		if (took <= READING_SLACK * tail->reading_ticks_min)
			break;
	}
	tail->calls = tail->base.calls;
}

static unsigned int causes_since(const struct tail_reading *base,
				 const struct tail_reading *now)
{
	unsigned int mask = 0;

	if (now->faults != base->faults)
		mask |= TAIL_FAULT;
	if (now->calls != base->calls || now->address_space != base->address_space)
		mask |= TAIL_CALL;
	if (now->switches != base->switches)
		mask |= TAIL_PREEMPTED;
	if (now->cpu != base->cpu)
		mask |= TAIL_MIGRATED;
	return mask;
}

void tail_examine(struct tail *tail, enum probe_op op, uint64_t t0, uint64_t t1,
		  uint64_t ticks)
{
	struct tail_reading now;
	unsigned int mask = 0;

	read_events(tail, &now);
	/* Something came between tail_before() and the sample, or between the sample and
	 * the reading: whose it was is not known. */
	if (t0 - tail->clean_until <= tail->hide_ticks &&
	    tsc_end() - t1 <= READING_HIDES_MAX * tail->hide_ticks)
		mask = causes_since(&tail->base, &now);
	if (tail->cause[op][mask] == NULL) {
		tail->cause[op][mask] = arena_alloc(sizeof(struct histogram));
		histogram_reset(tail->cause[op][mask]);
	}
	histogram_add(tail->cause[op][mask], ticks);
	tail->clean_until = 0;
}

const char *tail_mask_name(unsigned int mask)
{
	/* By the bits of enum tail_cause. */
	static const char *const names[NR_TAIL_MASKS] = {
		"unknown",
		"fault",
		"call",
		"fault+call",
		"preempted",
		"fault+preempted",
		"call+preempted",
		"fault+call+preempted",
		"migrated",
		"fault+migrated",
		"call+migrated",
		"fault+call+migrated",
		"preempted+migrated",
		"fault+preempted+migrated",
		"call+preempted+migrated",
		"fault+call+preempted+migrated",
	};

	return mask < NR_TAIL_MASKS ? names[mask] : "unknown";
}
