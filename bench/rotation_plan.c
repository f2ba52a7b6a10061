/* SPDX-License-Identifier: MIT */
/* How long a slice is, how many rounds there are, and who runs with whom. */
#include <math.h>

#include "bench/rotation.h"

/*
 * Longer ones see more of the machine's drift. Shorter ones weigh the switch more: 3 to
 * 6 % below 0.16 ms without a lead-in.
 */
#define SLICE_S 0.0005
/*
 * The lead-in. Measured on a shared AMD EPYC (48 KiB L1D, 1 MiB L2, 32 MiB L3) with
 * wset: a slice of 1 ms that began cold was slower than the one right after it by 2 to
 * 6 % at 0.3 MB, 20 to 31 % at 1 MB, 25 to 45 % at 4 MB, 80 to 176 % at 16 MB, and 18
 * to 36 % at 250 MB, where it is always cold; and not by the same factor in two
 * allocators, so that ratios were off as well. After 0.1 ms and 0.5 ms for each MB the
 * difference was within the noise everywhere. 8 ms are enough for any size.
 */
#define LEAD_IN_S	 0.0001
#define LEAD_IN_S_PER_MB 0.0005
#define LEAD_IN_S_MAX	 0.008
/* A longer lead-in is paid for by a longer slice. */
#define SLICE_OF_LEAD_IN 0.25
/* Of a slice at the reference's number of quanta; beyond, a member gets its own. */
#define SLICE_SHORTEST 0.4
#define SLICE_LONGEST  4.0
/* A member may take this many times the time that was asked for. */
#define SLOWEST_TIMES 10.0
/* Where slices are long: enough to trim, and to have seen the machine in its moods. */
#define ROUNDS_OF_LONG_SLICES 20.0
/* One reference serves many variants; beyond a dozen a round gets long for drift. */
#define ALIVE_MAX 10u

uint64_t rotation_working_set(uint64_t resident_bytes, uint64_t footprint_bytes)
{
	uint64_t most = 4 * footprint_bytes + 65536;

	return footprint_bytes == 0 || resident_bytes < most ? resident_bytes : most;
}

double rotation_lead_in_s(uint64_t working_set_bytes)
{
	return fmin(LEAD_IN_S + (double)working_set_bytes * 1e-6 * LEAD_IN_S_PER_MB,
		    LEAD_IN_S_MAX);
}

double rotation_slice_s(double lead_in_s)
{
	return fmax(SLICE_S, SLICE_OF_LEAD_IN * lead_in_s);
}

static uint64_t quanta_worth(double quantum_ns, double slice_ns)
{
	double quanta = quantum_ns > 0 ? round(slice_ns / quantum_ns) : 1;

	return quanta < 1 ? 1 : (uint64_t)quanta;
}

uint64_t rotation_quanta(double reference_quantum_ns, double quantum_ns, double slice_ns)
{
	uint64_t quanta = quanta_worth(reference_quantum_ns, slice_ns);
	double worth = (double)quanta * quantum_ns;

	if (worth >= SLICE_SHORTEST * slice_ns && worth <= SLICE_LONGEST * slice_ns)
		return quanta;
	return quanta_worth(quantum_ns, slice_ns);
}

unsigned int rotation_rounds(double time_s, double slice_ns, double turn_ns)
{
	double time_ns = time_s * 1e9;
	double fit = time_ns / fmax(slice_ns, 1);
	double few = fmin(ROUNDS_OF_LONG_SLICES, time_s / SLICE_S);
	double most = SLOWEST_TIMES * time_ns / fmax(turn_ns, 1);
	double rounds = round(fmin(fmin(fmax(fit, few), most), ROTATION_ROUNDS_MAX));

	return rounds < ROTATION_ROUNDS_MIN ? ROTATION_ROUNDS_MIN : (unsigned int)rounds;
}

unsigned int rotation_assign(size_t n, size_t reference, unsigned int capacity,
			     unsigned int *rotation)
{
	unsigned int count = 1, next = 0;

	if (capacity > 1 && n > 1)
		count = (unsigned int)((n - 1 + capacity - 2) / (capacity - 1));
	for (size_t i = 0; i < n; i++) {
		if (i == reference)
			rotation[i] = 0;
		else if (capacity == 1)
			rotation[i] = ++next;
		else
			rotation[i] = next++ % count;
	}
	return capacity == 1 ? next + 1 : count;
}

unsigned int rotation_capacity(uint64_t footprint_bytes, uint64_t available_bytes)
{
	uint64_t fit;

	if (footprint_bytes == 0)
		return ALIVE_MAX;
	fit = available_bytes / 2 / footprint_bytes;
	if (fit >= ALIVE_MAX)
		return ALIVE_MAX;
	return fit < 1 ? 1 : (unsigned int)fit;
}
