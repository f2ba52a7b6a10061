/* SPDX-License-Identifier: MIT */
/*
 * What the recorder costs: a loop of malloc and free in a process of its own, with
 * the recorder and without it, in turn.
 *
 * The loop is the hidden command `recorder-cost` of this very program, which writes
 * its nanoseconds per event to a pipe. The median of the differences is reported. It is
 * the least that a program can see: caches are warm, and the recording is in memory
 * rather than on a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/cli.h"
#include "bench/record_internal.h"

#define PAIRS  100000u
#define ROUNDS 3

/* --- the loop --- */

static void *allocate(void *arg)
{
	for (unsigned int i = 0; i < PAIRS; i++) {
		void *p = malloc(64);

		/* The compiler may not remove what it cannot see through. */
		__asm__ __volatile__("" : "+r"(p) : : "memory");
		free(p);
	}
	return arg;
}

int cmd_recorder_cost(int argc, char **argv)
{
	unsigned int threads = argc > 1 ? (unsigned int)atoi(argv[1]) : 1;
	struct timespec begin, end;
	pthread_t other;
	double ns;

	allocate(NULL);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (threads > 1 && pthread_create(&other, NULL, allocate, NULL) != 0)
		return EXIT_NOT_SUPPORTED;
	allocate(NULL);
	if (threads > 1)
		pthread_join(other, NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 +
	     (double)(end.tv_nsec - begin.tv_nsec);
	if (argc > 2)
		dprintf(atoi(argv[2]), "%.4f\n", ns / (2.0 * PAIRS));
	return EXIT_DONE;
}

/* --- the measurement --- */

/* A recording in memory that the loop fills. */
static int memory_recording(uint64_t events)
{
	const struct raw_header header = {.magic = RAW_MAGIC, .capacity = events};
	int fd = memfd_create("kmembench-cost", MFD_CLOEXEC);

	if (fd >= 0 &&
	    (ftruncate(fd, (off_t)(RAW_HEADER_BYTES +
				   KMEM_ALIGN_UP(events * sizeof(struct raw_event),
						 RAW_HEADER_BYTES))) != 0 ||
	     pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Nanoseconds per event of one run; below 0 when there was none. */
static double run_loop(const char *library, unsigned int threads)
{
	char program[] = "/proc/self/exe", command[] = "recorder-cost";
	char count[16], number[16], line[64] = "";
	char *argv[] = {program, command, count, number, NULL};
	struct record_start start = {.raw_fd = -1, .library = library};
	struct record_summary summary = {0};
	double ns = -1;
	int fds[2];

	if (pipe(fds) != 0)
		return -1;
	fcntl(fds[0], F_SETFD, FD_CLOEXEC);
	snprintf(count, sizeof(count), "%u", threads);
	snprintf(number, sizeof(number), "%d", fds[1]);
	if (library != NULL)
		start.raw_fd = memory_recording(8 * (uint64_t)PAIRS);
	if ((library == NULL || start.raw_fd >= 0) &&
	    record_run_process(argv, &start, &summary) == 0 && summary.wait_status == 0 &&
	    read(fds[0], line, sizeof(line) - 1) > 0)
		ns = atof(line);
	if (start.raw_fd >= 0)
		close(start.raw_fd);
	close(fds[0]);
	close(fds[1]);
	return ns;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Median over the rounds of with less without; 0 when one of them failed. */
static double measure(const char *library, unsigned int threads)
{
	double difference[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		double without = run_loop(NULL, threads);
		double with = run_loop(library, threads);

		if (without < 0 || with < 0)
			return 0;
		difference[i] = with > without ? with - without : 0;
	}
	qsort(difference, ROUNDS, sizeof(difference[0]), compare_doubles);
	return difference[ROUNDS / 2];
}

bool record_measure_cost(const char *library, struct record_cost *cost)
{
	cost->ns_per_event = measure(library, 1);
	cost->ns_per_event_shared = cost->ns_per_event > 0 ? measure(library, 2) : 0;
	return cost->ns_per_event > 0;
}
