/* SPDX-License-Identifier: MIT */
/*
 * aligned: a working set of blocks with alignments of their own.
 *
 * As `wset`, one random block of a set is replaced at a time; sizes are uniform, and each
 * block has one of the listed alignments, drawn with equal probability and independent
 * of its size. That every block is aligned as asked is checked at every allocation, in
 * all passes: it costs a test of a register.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/lap_fast.h"
#include "workloads/harness/size_list.h"
#include "workloads/harness/worker_fast.h"

/* At 20 to 200 ns each. */
#define REPLACEMENTS_PER_QUANTUM 4096u
/* Pre-drawn replacements a thread holds, read in a circle: 192 KiB. */
#define ALIGNED_RING 16384u
/* What CAP_ALIGN promises. */
#define ALIGNMENT_MAX_BYTES 4096u

struct aligned_params {
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
	const char *alignments_bytes;
};

static const struct kmem_option aligned_options[] = {
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct aligned_params, slots),
		.initial = "256",
		.help = "blocks each thread keeps live",
		.min = 1,
		.max = 1u << 24,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct aligned_params, size_min_bytes),
		.initial = "16",
		.help = "smallest block; sizes are uniform between the two",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct aligned_params, size_max_bytes),
		.initial = "2048",
		.help = "largest block",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "alignments_bytes",
		.type = KMEM_OPT_STRING,
		.offset = offsetof(struct aligned_params, alignments_bytes),
		.initial = "16+32+64+4096",
		.help = "alignments, powers of two up to 4096, joined by '+'",
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group aligned_groups[] = {{aligned_options, 0},
							  {NULL, 0}};

struct aligned_slot {
	void *block;
	size_t size;
};

struct aligned_replacement {
	uint32_t slot;
	uint32_t size;
	uint32_t align;
};

struct aligned_state {
	size_t bytes; /* of the arena that holds this */
	uint32_t count;
	uint32_t next;	/* place in the ring */
	uint32_t shift; /* of this lap's slots */
	struct aligned_replacement ring[ALIGNED_RING];
	struct aligned_slot slot[]; /* count */
};

static int aligned_validate(const struct workload_run *run)
{
	const struct aligned_params *params = run->params;
	struct size_list list;

	if (draw_check_range("aligned", "size_", params->size_min_bytes,
			     params->size_max_bytes) != 0)
		return -EINVAL;
	if (size_list_parse(params->alignments_bytes, &list) != 0)
		return -EINVAL;
	for (unsigned int i = 0; i < list.count; i++) {
		uint64_t align = list.bytes[i];

		if (align == 0 || (align & (align - 1)) != 0 ||
		    align > ALIGNMENT_MAX_BYTES)
			return kmem_error(
				-EINVAL,
				"workload 'aligned' has alignments_bytes=%s, and "
				"%" PRIu64 " is no power of two from 1 to %u: "
				"leave it out",
				params->alignments_bytes, align, ALIGNMENT_MAX_BYTES);
	}
	return 0;
}

/* The larger of size and alignment: what an allocator must have room for. */
static uint64_t aligned_size_max(const struct workload_run *run)
{
	const struct aligned_params *params = run->params;
	struct size_list list;
	uint64_t align = size_list_parse(params->alignments_bytes, &list) == 0
				 ? size_list_max(&list)
				 : 0;

	return params->size_max_bytes > align ? params->size_max_bytes : align;
}

/* With the padding that alignment may need before a block. */
static uint64_t aligned_footprint(const struct workload_run *run)
{
	const struct aligned_params *params = run->params;

	return run->threads * params->slots *
	       (params->size_max_bytes + aligned_size_max(run));
}

/* worker_alloc_aligned(), and proof that it is. */
static KMEM_ALWAYS_INLINE void *alloc_proven(struct worker *w, struct probe *p,
					     size_t size, size_t align)
{
	void *block = worker_alloc_aligned(w, p, size, align);

	if (KMEM_UNLIKELY(((uintptr_t)block & (align - 1)) != 0))
		worker_fail(w,
			    "allocator '%s' returned %p for %zu bytes, which is not "
			    "aligned to %zu",
			    w->a->ops->name, block, size, align);
	return block;
}

static struct aligned_replacement draw(struct worker *w, const struct size_list *list)
{
	const struct aligned_params *params = w->run->params;
	struct aligned_replacement r;

	r.slot = (uint32_t)rng_below(&w->rng, params->slots);
	r.size = (uint32_t)rng_between(&w->rng, params->size_min_bytes,
				       params->size_max_bytes);
	r.align = (uint32_t)list->bytes[rng_below(&w->rng, list->count)];
	return r;
}

static int aligned_thread_setup(struct worker *w)
{
	const struct aligned_params *params = w->run->params;
	uint32_t count = (uint32_t)params->slots;
	size_t bytes = sizeof(struct aligned_state) + count * sizeof(struct aligned_slot);
	struct aligned_state *s = arena_alloc(bytes);
	struct size_list list;

	if (size_list_parse(params->alignments_bytes, &list) != 0)
		return -EINVAL;
	s->bytes = bytes;
	s->count = count;
	for (uint32_t i = 0; i < ALIGNED_RING; i++)
		s->ring[i] = draw(w, &list);
	for (uint32_t i = 0; i < count; i++) {
		struct aligned_replacement r = draw(w, &list);

		s->slot[i].size = r.size;
		s->slot[i].block = alloc_proven(w, NULL, r.size, r.align);
		if (w->probe != NULL)
			probe_allocated(w->probe, w->a, s->slot[i].block, r.size);
	}
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void aligned_step(struct worker *w, struct probe *p)
{
	struct aligned_state *s = w->state;
	uint32_t next = s->next;

	for (uint32_t i = 0; i < REPLACEMENTS_PER_QUANTUM; i++) {
		const struct aligned_replacement *r = &s->ring[next];
		struct aligned_slot *slot =
			&s->slot[lap_slot(r->slot, s->shift, s->count)];

		worker_free(w, p, slot->block, slot->size);
		slot->block = alloc_proven(w, p, r->size, r->align);
		slot->size = r->size;
		if (KMEM_UNLIKELY(++next == ALIGNED_RING)) {
			next = 0;
			s->shift = lap_next_shift(s->shift, s->count);
		}
	}
	s->next = next;
	w->ops += REPLACEMENTS_PER_QUANTUM;
}
WORKLOAD_STEP(aligned_step);

static void aligned_thread_teardown(struct worker *w)
{
	struct aligned_state *s = w->state;

	for (uint32_t i = 0; i < s->count; i++)
		worker_free_untimed(w, s->slot[i].block, s->slot[i].size);
	arena_free(s, s->bytes);
}

static const struct workload_ops aligned_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "aligned",
	.description =
		"keeps slots filled with blocks of mixed sizes and alignments, and "
		"replaces a random one at a time; verifies each block's alignment",
	.stresses = "aligned_alloc and posix_memalign: the padding, and the slower path "
		    "that many allocators take there",
	.not_for =
		"the mix of a real program, where few blocks are aligned to more than a "
		"cache line; take one alignment at a time to compare the paths",
	.source = "written for this suite",
	.op = "replacement: free+aligned alloc",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE | CAP_ALIGN,
	.params = aligned_groups,
	.params_size = sizeof(struct aligned_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = aligned_validate,
	.size_max = aligned_size_max,
	.footprint = aligned_footprint,
	.thread_setup = aligned_thread_setup,
	.step = aligned_step_plain,
	.step_probed = aligned_step_probed,
	.thread_teardown = aligned_thread_teardown,
};
WORKLOAD_REGISTER(aligned_workload);
