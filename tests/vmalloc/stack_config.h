/* SPDX-License-Identifier: MIT */
/* The four layers' options as one configuration, for tests that bring up the whole. */
#ifndef TESTS_VMALLOC_STACK_CONFIG_H
#define TESTS_VMALLOC_STACK_CONFIG_H

#include <kmem/options.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>
#include <kmem/vmalloc.h>

struct stack_config {
	struct phys_config phys;
	struct buddy_config buddy;
	struct slab_config slab;
	struct vmalloc_config vmalloc;
};

static const struct kmem_option_group stack_groups[] = {
	{phys_options, offsetof(struct stack_config, phys)},
	{buddy_options, offsetof(struct stack_config, buddy)},
	{slab_options, offsetof(struct stack_config, slab)},
	{vmalloc_options, offsetof(struct stack_config, vmalloc)},
	{NULL, 0},
};

#endif /* TESTS_VMALLOC_STACK_CONFIG_H */
