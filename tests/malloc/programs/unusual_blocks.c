/* SPDX-License-Identifier: MIT */
/* Odd sizes, odd alignments, odd calls. */
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unusual.h"

static unsigned int next(unsigned int *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Every byte that malloc_usable_size() promises is written. */
static void aligned_and_full(void)
{
	enum { SLOTS = 200 };
	struct {
		unsigned char *p;
		size_t full;
		unsigned char c;
	} slot[SLOTS] = {{NULL, 0, 0}};
	unsigned int seed = 7;

	for (int i = 0; i < 60000; i++) {
		size_t at = next(&seed) % SLOTS, align = (size_t)8 << next(&seed) % 14;
		size_t size = next(&seed) % (i % 50 == 0 ? 200000 : 3000);
		void *p = NULL;

		for (size_t k = 0; k < slot[at].full; k += 61)
			CHECK(slot[at].p[k] == slot[at].c);
		if (slot[at].full > 0)
			CHECK(slot[at].p[slot[at].full - 1] == slot[at].c);
		if (next(&seed) % 4 == 0 && slot[at].p != NULL) {
			p = realloc(slot[at].p, size + 1);
			CHECK(p != NULL);
			size++;
			for (size_t k = 0; k < size && k < slot[at].full; k += 61)
				CHECK(((unsigned char *)p)[k] == slot[at].c);
		} else {
			free(slot[at].p);
			if (next(&seed) % 8 == 0) {
				p = valloc(size);
				align = 4096;
			} else {
				CHECK(posix_memalign(&p, align, size) == 0);
			}
			CHECK((uintptr_t)p % align == 0);
		}
		slot[at].p = p;
		slot[at].full = malloc_usable_size(p);
		slot[at].c = (unsigned char)i;
		CHECK(slot[at].full >= size);
		memset(p, slot[at].c, slot[at].full);
	}
	for (int i = 0; i < SLOTS; i++)
		free(slot[i].p);
}

/* calloc over memory that was dirty before: small, pages, mappings, trimmed. */
static void calloc_after_dirt(void)
{
	static const size_t sizes[] = {24,     500,	5000,	 40000,
				       200000, 3000000, 9000000, 40000000};

	for (int round = 0; round < 6; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			char *p = malloc(sizes[i]), *q;
			size_t bad = 0;

			CHECK(p != NULL);
			memset(p, 0xee, malloc_usable_size(p));
			free(p);
			if (round % 3 == 2)
				malloc_trim(0);
			q = calloc(1, sizes[i] - (size_t)round);
			CHECK(q != NULL);
			for (size_t k = 0; k < sizes[i] - (size_t)round; k++)
				bad += q[k] != 0;
			CHECK(bad == 0);
			memset(q, 0xdd, malloc_usable_size(q));
			free(q);
		}
	}
}

/* A page of one's own, protected and given back readable: collectors do so. */
static void protected_pages(void)
{
	for (int i = 0; i < 300; i++) {
		size_t bytes = (size_t)4096 << i % 6;
		char *p = NULL;

		CHECK(posix_memalign((void **)&p, 4096, bytes) == 0);
		memset(p, 1, bytes);
		CHECK(mprotect(p, bytes, PROT_NONE) == 0);
		CHECK(churn_some((unsigned int)i, 200) == 0);
		CHECK(mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0);
		CHECK(p[0] == 1 && p[bytes - 1] == 1);
		free(p);
	}
}

/* glibc's own questions and settings: they tell of its empty heap, and harm nothing. */
static void glibc_calls(void)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	struct mallinfo2 info;

	CHECK(churn_some(1, 1000) == 0);
	info = mallinfo2();
	CHECK(info.uordblks < (size_t)1 << 30);
	CHECK(mallopt(M_ARENA_MAX, 1) == 1);
	CHECK(mallopt(M_MMAP_THRESHOLD, 100000) == 1);
	CHECK(mallopt(M_TRIM_THRESHOLD, 0) == 1);
	CHECK(mallopt(M_PERTURB, 0x55) == 1);
	CHECK(mallopt(M_CHECK_ACTION, 3) == 1);
	CHECK(churn_some(2, 1000) == 0);
	CHECK(malloc_info(0, out) == 0);
	fclose(out);
	CHECK(length > 0 && strstr(text, "<malloc") != NULL);
	free(text);
	malloc_trim(0);
	malloc_trim((size_t)1 << 20);
	CHECK(churn_some(3, 1000) == 0);
}

/* errno survives what succeeds, and free(). */
static void errno_kept(void)
{
	static const size_t sizes[] = {1, 100, 5000, 100000, 1000000, 10000000};

	for (size_t i = 0; i < 6; i++) {
		void *p;

		errno = 4711;
		p = malloc(sizes[i]);
		CHECK(errno == 4711);
		p = realloc(p, sizes[i] * 2);
		CHECK(errno == 4711);
		free(p);
		CHECK(errno == 4711);
	}
	malloc_trim(0);
	CHECK(errno == 4711);
}

/* A string that grows by a byte, an array that doubles, a buffer that shrinks. */
static void realloc_ways(void)
{
	char *s = NULL, *big;
	size_t n;

	for (n = 1; n < 100000; n++) {
		s = realloc(s, n);
		CHECK(s != NULL);
		s[n - 1] = (char)n;
	}
	for (n = 1; n < 100000; n += 997)
		CHECK(s[n - 1] == (char)n);
	for (n = 99999; n > 1; n -= 7) {
		s = realloc(s, n);
		if (s[0] != 1 || s[n - 1] != (char)n)
			CHECK(false);
		if (n < 8)
			break;
	}
	free(s);
	big = malloc(16);
	for (n = 16; n < (size_t)100 << 20; n *= 2) {
		big = realloc(big, n);
		CHECK(big != NULL);
		big[n / 2] = (char)(n >> 8);
		big[n - 1] = 1;
	}
	for (; n >= 16; n /= 2)
		big = realloc(big, n);
	free(big);
}

static char *kept_to_the_end[100];

static void __attribute__((destructor)) free_at_the_end(void)
{
	for (int i = 0; i < 100; i++)
		free(kept_to_the_end[i]);
	if (kept_to_the_end[0] != NULL && churn_some(5, 500) != 0)
		abort();
}

static void at_exit_handler(void)
{
	free(kept_to_the_end[99]);
	kept_to_the_end[99] = malloc(12345);
	if (churn_some(6, 500) != 0)
		abort();
}

static void freed_at_exit(void)
{
	for (int i = 0; i < 100; i++)
		kept_to_the_end[i] = malloc((size_t)i * i * i * 6 + 1);
	atexit(at_exit_handler);
}

/* mlockall() locks what is mapped: not the whole range that is reserved. */
static void locked_in_memory(void)
{
	long resident = 0;
	FILE *f;

	CHECK(churn_some(4, 1000) == 0);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
		CHECK(errno == ENOMEM || errno == EPERM);
		return;
	}
	CHECK(churn_some(5, 5000) == 0);
	free(malloc(20000000));
	f = fopen("/proc/self/statm", "r");
	CHECK(f != NULL && fscanf(f, "%*d %ld", &resident) == 1);
	fclose(f);
	CHECK(resident * 4096 < (long)200 << 20);
	munlockall();
}

const struct unusual unusual_blocks[] = {
	{"aligned_and_full", aligned_and_full},
	{"calloc_after_dirt", calloc_after_dirt},
	{"protected_pages", protected_pages},
	{"glibc_calls", glibc_calls},
	{"errno_kept", errno_kept},
	{"realloc_ways", realloc_ways},
	{"freed_at_exit", freed_at_exit},
	{"locked_in_memory", locked_in_memory},
	{NULL, NULL},
};
