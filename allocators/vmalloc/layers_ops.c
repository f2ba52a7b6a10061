/* SPDX-License-Identifier: MIT */
#include "allocators/vmalloc/layers_ops.h"

#include <stddef.h>

const struct kmem_option_group layers_options[] = {
	{phys_options, offsetof(struct layers_config, phys)},
	{buddy_options, offsetof(struct layers_config, buddy)},
	{slab_options, offsetof(struct layers_config, slab)},
	{vmalloc_options, offsetof(struct layers_config, vmalloc)},
	{kmap_options, offsetof(struct layers_config, kmap)},
	{NULL, 0},
};

int layers_init(const struct layers_config *config, bool with_vmalloc)
{
	int err = phys_init(&config->phys);

	if (err != 0)
		return err;
	err = buddy_init(&config->buddy);
	if (err != 0)
		goto out_phys;
	err = kmem_cache_init(&config->slab);
	if (err != 0)
		goto out_buddy;
	if (!with_vmalloc)
		return 0;
	err = vmalloc_init(&config->vmalloc);
	if (err != 0)
		goto out_slab;
	err = kmap_init(&config->kmap);
	if (err == 0)
		return 0;
	vmalloc_exit();
out_slab:
	kmem_cache_exit();
out_buddy:
	buddy_exit();
out_phys:
	phys_exit();
	return err;
}

void layers_exit(bool with_vmalloc)
{
	if (with_vmalloc) {
		kmap_exit();
		vmalloc_exit();
	}
	kmem_cache_exit();
	buddy_exit();
	phys_exit();
}

void layers_slab_stats(allocator_stat_fn fn, void *arg)
{
	struct slab_stats slab;

	slab_stats(&slab);
	fn("slabs", (double)slab.slabs, arg);
	fn("slab_pages", (double)slab.slab_pages, arg);
	fn("active_objects", (double)slab.active_objects, arg);
	fn("percpu_objects", (double)slab.percpu_objects, arg);
	fn("refills", (double)slab.refills, arg);
	fn("flushes", (double)slab.flushes, arg);
}

void layers_page_stats(allocator_stat_fn fn, void *arg)
{
	struct buddy_stats pages;

	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &pages);
	fn("total_pages", (double)pages.total_pages, arg);
	fn("free_pages", (double)(pages.free_pages + pages.pcp_pages), arg);
}

int layers_check(bool with_vmalloc)
{
	int err = with_vmalloc ? kmap_check() : 0;

	if (err == 0 && with_vmalloc)
		err = vmalloc_check();
	if (err == 0)
		err = slab_check();
	return err == 0 ? buddy_check() : err;
}
