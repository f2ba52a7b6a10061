/* SPDX-License-Identifier: MIT */
/* The slab allocator's options: one table for the parser, the help and the variants. */
#include "allocators/slab/slab_internal.h"

static const char *const class_names[] = {"auto", "pow2", "linux", "four", NULL};
static const char *const magazine_names[] = {"auto", "one", "two", NULL};
static const char *const descriptor_names[] = {"auto", "on", "off", NULL};
static const char *const depot_names[] = {"off", "shared", "percpu", NULL};
static const char *const limits_names[] = {"fixed", "depots", "auto", NULL};
static const char *const debug_names[] = {"off", "on", "z",  "p", "u",
					  "zp",	 "zu", "pu", NULL};

const struct kmem_option slab_options[] = {
	{.name = "percpu",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct slab_config, percpu),
	 .initial = "on",
	 .help = "per-CPU object arrays; off: every call takes the node's lock"},
	{.name = "classes",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct slab_config, classes),
	 .initial = "auto",
	 .choices = class_names,
	 .help = "sizes of kmalloc's caches; pow2: powers of two from 32; linux: powers of two, 96 "
		 "and 192; four: four per doubling from 16, less memory in more caches; auto: four "
		 "for malloc, else pow2"},
	{.name = "colour",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct slab_config, colour),
	 .initial = "on",
	 .help = "start the objects of successive slabs at different cache lines"},
	{.name = "colour_off",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct slab_config, colour_off_bytes),
	 .initial = "0",
	 .max = 4096,
	 .help = "step between colours in bytes, a power of two; 0: the cache line"},
	{.name = "limit",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct slab_config, limit),
	 .initial = "0",
	 .max = 16384,
	 .help = "objects in a magazine: more is faster and holds more memory; 0: by size, and "
		 "as `limits` says"},
	{.name = "magazines",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct slab_config, magazines),
	 .initial = "auto",
	 .choices = magazine_names,
	 .help = "one: the object freed last is handed out next; two: objects are freed into "
		 "one magazine and taken from another until that is empty, which keeps frees "
		 "and allocations from waiting for each other; auto: two up to 64 bytes"},
	{.name = "batchcount",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct slab_config, batchcount),
	 .initial = "0",
	 .max = SLAB_BATCH_MAX,
	 .help = "objects moved to or from an array at a time; 0: half of limit, at most 128"},
	{.name = "depot",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct slab_config, depot),
	 .initial = "percpu",
	 .choices = depot_names,
	 .help = "stacks of free objects between the arrays and the slabs: none, one per node "
		 "as in Linux, or one per CPU, others stealing from it when theirs is empty"},
	{.name = "limits",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct slab_config, limits),
	 .initial = "auto",
	 .choices = limits_names,
	 .help = "fixed: 2048 to 1 objects in a magazine (Linux 2.6: 120 to 1), eight batches in "
		 "a depot; depots: those hold as many as misses show to be needed, up to 2 MiB of "
		 "objects each and a 32nd of the memory in all; auto: magazines, too, from 16 KiB"},
	{.name = "alien",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct slab_config, alien),
	 .initial = "on",
	 .help = "objects of another node go home in batches; off: each by itself"},
	{.name = "descriptors",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct slab_config, descriptors),
	 .initial = "auto",
	 .choices = descriptor_names,
	 .help = "where slabs are described; on: on the slab, which leaves power-of-two objects "
		 "colours; off: beside it where they are small enough; auto: whichever wastes less"},
	{.name = "debug",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct slab_config, debug),
	 .initial = "off",
	 .choices = debug_names,
	 .help = "on: red zones (z), poison (p) and last user (u) on every cache, or some of "
		 "these; finds what writes where it must not, many times slower"},
	{.name = "hardened",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct slab_config, hardened),
	 .initial = "off",
	 .help = "every double free and every invalid free is caught at the call; costs an "
		 "atomic step a free, and a byte for 16"},
	{.name = "shuffle",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct slab_config, shuffle),
	 .initial = "off",
	 .help = "the objects of a new slab are handed out in random order, not by address"},
	KMEM_OPTION_END,
};
