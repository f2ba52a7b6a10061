/* SPDX-License-Identifier: MIT */
/* The contents of frames, whatever their zone. */
#include "allocators/phys/phys_internal.h"
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>

static bool in_highmem(unsigned long pfn)
{
	return phys_zone_id(pfn) % MAX_NR_ZONES == ZONE_HIGHMEM;
}

void *phys_map_frames(unsigned long pfn, unsigned long nr)
{
	void *addr;

	if (!in_highmem(pfn))
		return pfn_to_virt(pfn);
	addr = os_map_shared(nr << PAGE_SHIFT, phys_memory.fd,
			     (off_t)(pfn << PAGE_SHIFT));
	if (addr == NULL)
		kmem_error(-ENOMEM,
			   "%lu HIGHMEM frames from %lu on cannot be mapped: %s; raise "
			   "vm.max_map_count if many areas are mapped",
			   nr, pfn, strerror(errno));
	return addr;
}

void phys_unmap_frames(void *addr, unsigned long pfn, unsigned long nr)
{
	if (in_highmem(pfn))
		os_unmap(addr, nr << PAGE_SHIFT);
}

int phys_zero_frames(unsigned long pfn, unsigned long nr)
{
	size_t bytes = nr << PAGE_SHIFT;
	void *addr = in_highmem(pfn) ? os_map_shared(bytes, phys_memory.fd,
						     (off_t)(pfn << PAGE_SHIFT))
				     : pfn_to_virt(pfn);

	if (addr != NULL) {
		memset(addr, 0, bytes);
		phys_unmap_frames(addr, pfn, nr);
		return 0;
	}
	/* No mapping is left. What has no memory is zero, too; the next touch is dearer.
	 */
	if (phys_discard_frames(pfn, nr) == 0)
		return 0;
	return kmem_error(-ENOMEM,
			  "%lu HIGHMEM frames from %lu on cannot be zeroed: %s; raise "
			  "vm.max_map_count if many areas are mapped",
			  nr, pfn, strerror(errno));
}

int phys_discard_frames(unsigned long pfn, unsigned long nr)
{
	size_t bytes = nr << PAGE_SHIFT;

	int err = phys_memory.backing == PHYS_MEMFD
			  ? os_discard_shared(phys_memory.fd, (off_t)(pfn << PAGE_SHIFT),
					      bytes)
			  : os_discard_anon(pfn_to_virt(pfn), bytes);

	if (err == 0)
		phys_hugepages_discarded(pfn, nr);
	return err;
}

void phys_discard_descriptors(unsigned long pfn, unsigned long nr)
{
	uintptr_t from = KMEM_ALIGN_UP((uintptr_t)pfn_to_page(pfn), PAGE_SIZE);
	uintptr_t to = KMEM_ALIGN_DOWN((uintptr_t)pfn_to_page(pfn + nr), PAGE_SIZE);

	if (from < to)
		os_discard_anon((void *)from, to - from);
}
