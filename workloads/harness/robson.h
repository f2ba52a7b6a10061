/* SPDX-License-Identifier: MIT */
/*
 * Robson's adversary, played against a model of first fit.
 *
 * THEORY. No allocator that does not move blocks is safe from fragmentation. Robson
 * gives a program that holds at most M live and, from any such allocator, forces about
 * half of M log2 n, n being the ratio of the largest block to the smallest:
 *
 *   round 0: allocate M as blocks of the smallest size u.
 *   round i = 1 .. log2 n: blocks have 2^i u. Keep one block at most for each 2^i u of
 *   address space, namely those that cover an address = f_i mod 2^i u; free all others;
 *   allocate 2^i u blocks until M is live again. Of f_i = f_(i-1) and
 *   f_(i-1) + 2^(i-1) u that one is taken that leaves the most room for new blocks
 *   between the kept ones: the largest sum of 2^i u - size over the blocks kept.
 *
 *       |K...|K...|K...|K...|      K: kept, covers f mod 2^i u
 *        ^ no hole between two kept blocks holds a block of 2^i u
 *
 * So the holes of a round are of no use to it, and new blocks need new memory.
 *
 * The program must know addresses. Here it knows those of a model, first fit in an
 * unbounded space: it is played against the model beforehand and its decisions are
 * written into a script, the same for every allocator, so that all do equal work. An
 * allocator that places blocks as first fit does meets its own worst case; others meet
 * a program that frees scattered small blocks and then wants twice the size.
 *
 * Bounds, in units of u, M and n powers of two:
 *   any allocator can be forced to M (log2 n / 2 + 1) - n + 1, and the best one needs no
 *   more when sizes are powers of two (Robson, An estimate of the store size necessary
 *   for dynamic storage allocation, JACM 18(3), 1971; Bounds for some functions
 *   concerning dynamic storage allocation, JACM 21(3), 1974)
 *   first fit needs about M log2 n at worst (Robson, Worst case fragmentation of first
 *   fit and best fit storage allocation strategies, Computer Journal 20(3), 1977)
 */
#ifndef KMEMBENCH_ROBSON_H
#define KMEMBENCH_ROBSON_H

#include "workloads/harness/script_fast.h"

/* Sizes in bytes; all three powers of two, min <= max <= live. */
struct robson_program {
	uint64_t live_bytes; /* M */
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t header_bytes; /* taken off each request; below size_min_bytes */
};

/* What any allocator can be forced to take, and what first fit can. */
double robson_bound_bytes(uint64_t live_bytes, uint64_t size_min_bytes,
			  uint64_t size_max_bytes);
double robson_first_fit_bytes(uint64_t live_bytes, uint64_t size_min_bytes,
			      uint64_t size_max_bytes);

/* Blocks that a cycle allocates at most, for script_new(). */
uint64_t robson_blocks_max(const struct robson_program *program);
/*
 * Writes one cycle into an empty script, all freed at its end. Returns the bytes of
 * address space that the model of first fit needed, headers included.
 */
uint64_t robson_compose(const struct robson_program *program, struct script *s);

#endif /* KMEMBENCH_ROBSON_H */
