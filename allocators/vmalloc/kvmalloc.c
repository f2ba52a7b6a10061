/* SPDX-License-Identifier: MIT */
/*
 * kvmalloc: contiguous frames where they are to be had, contiguous addresses
 * where not. After Linux 4.12 mm/util.c.
 */
#include <kmem/error.h>
#include <kmem/slab.h>
#include <kmem/vmalloc.h>

#include <errno.h>

void *kvmalloc(size_t size, gfp_t gfp)
{
	gfp_t attempt = gfp;
	void *p;

	if (size == 0) {
		kmem_error(-EINVAL, "'kvmalloc' of 0 bytes: ask for 1 at least");
		return NULL;
	}
	/*
	 * A large block is worth a try, but no reclaim: vmalloc does as well. Where
	 * one page is enough, vmalloc could do no better than kmalloc.
	 */
	if (size > PAGE_SIZE) {
		/* What the attempt leaves out may be what is wrong with the mask. */
		if (gfp_check(gfp) != 0)
			return NULL;
		attempt &= ~(__GFP_NOFAIL | __GFP_REPEAT);
		attempt |= __GFP_NOWARN | (gfp & __GFP_WAIT ? __GFP_NORETRY : 0);
	}
	if (size <= KMALLOC_MAX_SIZE) {
		p = kmalloc(size, attempt);
		if (p != NULL || size <= PAGE_SIZE)
			return p;
	}
	return __vmalloc(size, gfp & __GFP_DMA ? gfp : gfp | __GFP_HIGHMEM);
}

void *kvzalloc(size_t size, gfp_t gfp)
{
	return kvmalloc(size, gfp | __GFP_ZERO);
}

void kvfree(void *addr)
{
	if (is_vmalloc_addr(addr))
		vfree(addr);
	else
		kfree(addr);
}

size_t kvsize(const void *addr)
{
	const struct vm_struct *area;

	if (!is_vmalloc_addr(addr))
		return ksize(addr);
	area = find_vm_area(addr);
	return area != NULL ? area->size_bytes - PAGE_SIZE : 0;
}
