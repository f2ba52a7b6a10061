/* SPDX-License-Identifier: MIT */
/* See slab_geometry.h. The policy follows cache_estimate() and
 * calculate_slab_order() of Linux 2.6.28, with the descriptor's place chosen by
 * the waste it causes instead of by a fixed object size. */
#include "allocators/slab/slab_geometry.h"
#include "allocators/slab/slab_internal.h"
#include <errno.h>

/* One candidate: an order and a place for the descriptor. */
struct placement {
	unsigned int num;
	size_t mgmt, desc_bytes;
	size_t waste; /* bytes that hold no object, the descriptor's included */
	bool off_slab;
};

static size_t desc_bytes_of(size_t num)
{
	return sizeof(struct slab) + num * sizeof(kmem_bufctl_t);
}

static struct placement place_on_slab(size_t bytes, size_t stride, size_t align)
{
	struct placement p = {.off_slab = false};
	size_t num;

	if (bytes < sizeof(struct slab) + stride)
		return p;
	num = (bytes - sizeof(struct slab)) / (stride + sizeof(kmem_bufctl_t));
	if (num > SLAB_MAX_OBJECTS)
		num = SLAB_MAX_OBJECTS;
	while (num > 0 && KMEM_ALIGN_UP(desc_bytes_of(num), align) + num * stride > bytes)
		num--;
	p.num = (unsigned int)num;
	p.desc_bytes = desc_bytes_of(num);
	p.mgmt = KMEM_ALIGN_UP(p.desc_bytes, align);
	p.waste = bytes - num * stride;
	return p;
}

static struct placement place_off_slab(size_t bytes, size_t stride)
{
	struct placement p = {.off_slab = true};
	size_t num = bytes / stride;

	if (num == 0 || desc_bytes_of(num) > SLAB_DESC_MAX_BYTES)
		return p;
	p.num = (unsigned int)num;
	p.desc_bytes = desc_bytes_of(num);
	p.waste = bytes - num * stride + kmalloc_class_size(p.desc_bytes);
	return p;
}

/* The better of both by waste per object; the slab itself wins a draw. */
static struct placement place_best(size_t bytes, const struct slab_geometry *g,
				   unsigned int flags)
{
	struct placement on = place_on_slab(bytes, g->stride, g->align);
	struct placement off = place_off_slab(bytes, g->stride);

	if ((flags & SLAB_DESC_ON_SLAB) || off.num == 0)
		return on;
	if (on.num == 0 || (flags & SLAB_DESC_OFF_SLAB) ||
	    off.waste * on.num < on.waste * off.num)
		return off;
	return on;
}

/* At most 1/share of the slab is wasted. A larger slab would have as much of descriptor
 * for each object, so that is left out. */
static bool placement_good_enough(const struct placement *p, unsigned int order,
				  unsigned int share)
{
	size_t descriptor = p->off_slab ? 0 : p->desc_bytes;

	if (p->num == 0)
		return false;
	if (order >= SLAB_BREAK_ORDER)
		return true;
	if (p->num < SLAB_MIN_OBJECTS && order < SLAB_MIN_OBJECTS_ORDER)
		return false;
	return (p->waste - descriptor) * share <= PAGE_SIZE << order;
}

/* The smallest order below max_order that is good enough; max_order: none is. */
static unsigned int find_order(const struct slab_geometry *g, unsigned int flags,
			       unsigned int share, unsigned int max_order,
			       struct placement *p)
{
	unsigned int order;

	for (order = 0; order < max_order; order++) {
		*p = place_best(PAGE_SIZE << order, g, flags);
		if (placement_good_enough(p, order, share))
			break;
	}
	return order;
}

/* Cache-line alignment, halved while that packs two objects into the line. */
static size_t natural_align(size_t size, size_t align, unsigned int flags)
{
	size_t result = sizeof(void *);

	if (flags & SLAB_HWCACHE_ALIGN) {
		result = KMEM_CACHELINE;
		while (size <= result / 2 && result > sizeof(void *))
			result /= 2;
	}
	return align > result ? align : result;
}

/* Objects before or behind the descriptor. */
static void place_parts(struct slab_geometry *g)
{
	size_t bytes = PAGE_SIZE << g->gfporder, objects = g->num * g->stride;

	g->first = g->mgmt;
	g->desc = 0;
	if (g->colours > 1)
		return;
	g->first = 0;
	if (g->off_slab)
		return;
	/* In one cache line where there is room. */
	g->desc = (bytes - g->desc_bytes) & ~(sizeof(struct slab) - 1);
	if (g->desc < objects)
		g->desc = (bytes - g->desc_bytes) & ~(_Alignof(struct slab) - 1);
}

int slab_geometry_compute(struct slab_geometry *g, size_t size, size_t align,
			  unsigned int flags, size_t colour_off)
{
	struct placement p = {.num = 0};
	unsigned int order;
	size_t end;

	*g = (struct slab_geometry){.object_size = size};
	/* No block of pages is aligned to more; the sums below cannot overflow. */
	if (align > PAGE_SIZE << (MAX_ORDER - 1))
		return -EINVAL;
	g->align = natural_align(size, align, flags);
	end = KMEM_ALIGN_UP(size, sizeof(uint64_t));
	if (flags & SLAB_RED_ZONE) {
		g->left_pad = g->align;
		g->redzone = end;
		end += sizeof(uint64_t);
	}
	if (flags & SLAB_STORE_USER) {
		g->user = end;
		end += sizeof(void *);
	}
	g->stride = KMEM_ALIGN_UP(g->left_pad + end, g->align);

	/* Linux accepts an eighth. With a sixteenth, where that is to be had, blocks of 1
	 * to 32 KiB need 2 % less memory. */
	order = find_order(g, flags, 16, SLAB_MIN_OBJECTS_ORDER + 1, &p);
	if (order > SLAB_MIN_OBJECTS_ORDER)
		order = find_order(g, flags, 8, MAX_ORDER, &p);
	if (p.num == 0)
		return -EINVAL;
	g->gfporder = order < MAX_ORDER ? order : MAX_ORDER - 1;
	g->num = p.num;
	g->mgmt = p.mgmt;
	g->desc_bytes = p.desc_bytes;
	g->off_slab = p.off_slab;
	g->slack = (PAGE_SIZE << g->gfporder) - p.mgmt - p.num * g->stride;
	g->colour_off = colour_off > g->align ? colour_off : g->align;
	g->colours = colour_off ? (unsigned int)(g->slack / g->colour_off) + 1 : 1;
	place_parts(g);
	return 0;
}
