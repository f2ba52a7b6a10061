/* SPDX-License-Identifier: MIT */
/* kmap's statistics, and the walker that checks every invariant of its window. */
#include "allocators/vmalloc/kmap_internal.h"
#include <kmem/error.h>

#include <errno.h>

void kmap_stats(struct kmap_stats *stats)
{
	*stats = (struct kmap_stats){.pkmap_slots = kmap_layer.nr_slots};
	for (uint32_t slot = 0; slot < kmap_layer.nr_slots; slot++) {
		uint32_t count = PKMAP_COUNT(atomic_load(&kmap_layer.word[slot]));

		stats->pkmap_used += count > 1;
		stats->pkmap_unused += count == 1;
	}
	stats->pkmap_maps = atomic_load(&kmap_layer.maps);
	stats->pkmap_flushes = atomic_load(&kmap_layer.flushes);
	stats->pkmap_waits = atomic_load(&kmap_layer.waits);
	stats->atomic_stacks = atomic_load(&kmap_layer.nr_stacks);
	stats->atomic_maps = atomic_load(&kmap_layer.atomic_maps);
}

/* --- checking --- */

static int check_slot(uint32_t slot)
{
	uint64_t word = atomic_load(&kmap_layer.word[slot]);
	unsigned long pfn = PKMAP_PFN(word);
	int32_t mapcount;

	if (PKMAP_COUNT(word) == 0)
		return word == 0 ? 0
				 : kmem_error(-EFAULT,
					      "slot %u of kmap has no count, but pfn %lu",
					      slot, pfn);
	if (!pfn_valid(pfn) || !kmap_is_highmem(pfn))
		return kmem_error(-EFAULT,
				  "slot %u of kmap shows pfn %lu, no HIGHMEM page", slot,
				  pfn);
	if (atomic_load(&kmap_layer.slot_of[pfn]) != slot + 1)
		return kmem_error(
			-EFAULT,
			"slot %u of kmap shows pfn %lu, whose slot is said to be "
			"%d",
			slot, pfn, (int)atomic_load(&kmap_layer.slot_of[pfn]) - 1);
	mapcount = atomic_load(&pfn_to_page(pfn)->_mapcount);
	if (PKMAP_COUNT(word) > 1 && mapcount < 1)
		return kmem_error(-EFAULT,
				  "slot %u of kmap has %u users of pfn %lu, but its "
				  "mapcount is %d",
				  slot, PKMAP_COUNT(word) - 1, pfn, mapcount);
	return 0;
}

/* Every frame that has a slot is there: with the slots' way back, as many as slots. */
static int check_frames(void)
{
	for (unsigned long pfn = 0; pfn < kmem_nr_frames; pfn++) {
		uint32_t slot = atomic_load_explicit(&kmap_layer.slot_of[pfn],
						     memory_order_relaxed);
		uint64_t word;

		if (slot == 0)
			continue;
		if (slot > kmap_layer.nr_slots)
			return kmem_error(-EFAULT, "pfn %lu is in slot %u of %u of kmap",
					  pfn, slot - 1, kmap_layer.nr_slots);
		word = atomic_load(&kmap_layer.word[slot - 1]);
		if (PKMAP_COUNT(word) == 0 || PKMAP_PFN(word) != pfn)
			return kmem_error(
				-EFAULT,
				"pfn %lu is said to be in slot %u of kmap, which "
				"does not show it",
				pfn, slot - 1);
	}
	return 0;
}

int kmap_check(void)
{
	int err = 0;

	if (kmap_layer.nr_slots == 0)
		return kmem_error(-EINVAL, "'kmap_check' before kmap_init()");
	for (uint32_t slot = 0; slot < kmap_layer.nr_slots && err == 0; slot++)
		err = check_slot(slot);
	if (err == 0)
		err = check_frames();
	if (err == 0 && atomic_load(&kmap_layer.waiters) != 0)
		err = kmem_error(-EFAULT,
				 "%u threads are said to wait for a slot of kmap",
				 atomic_load(&kmap_layer.waiters));
	return err == 0 ? kmap_atomic_check() : err;
}
