/* SPDX-License-Identifier: MIT */
/*
 * All four layers brought up from options, for the adapters that need them all: one
 * configuration, one order of starting and ending, one set of figures.
 */
#ifndef KMEM_LAYERS_OPS_H
#define KMEM_LAYERS_OPS_H

#include <kmem/allocator.h>
#include <kmem/highmem.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>
#include <kmem/vmalloc.h>

struct layers_config {
	struct phys_config phys;
	struct buddy_config buddy;
	struct slab_config slab;
	struct vmalloc_config vmalloc;
	struct kmap_config kmap;
};

/* For struct allocator_ops.options, with config_size of a struct layers_config. */
extern const struct kmem_option_group layers_options[];

/*
 * Starts the layers from the bottom up; vmalloc, and kmap beside it, only where asked
 * for. 0, or negative errno with a text and nothing left up. A process has one of each
 * layer.
 */
int layers_init(const struct layers_config *config, bool with_vmalloc);
/* Ends what layers_init() started. */
void layers_exit(bool with_vmalloc);

/* Figures of the slab layer and of pages that every adapter above them reports. */
void layers_slab_stats(allocator_stat_fn fn, void *arg);
void layers_page_stats(allocator_stat_fn fn, void *arg);

/* Walks the layers from the top down. 0, or negative errno with a text. */
int layers_check(bool with_vmalloc);

#endif /* KMEM_LAYERS_OPS_H */
