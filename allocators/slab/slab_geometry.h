/* SPDX-License-Identifier: MIT */
/*
 * The layout of a slab: how many pages, how many objects, where the descriptor
 * lies, how much is left for colouring. A pure computation on sizes.
 *
 *   descriptor on the slab (small objects)
 *   | colour | struct slab | bufctl[num] | pad | object 0 | object 1 | .. | slack |
 *   '- colour_next * colour_off -'             '- s_mem
 *
 *   the same without colours: the first object on the slab's start, see slab_grid.h
 *   | object 0 | object 1 | .................. | slack | struct slab | bufctl[num] |
 *   '- s_mem
 *
 *   descriptor off the slab (it lies in a general cache)
 *   | colour | object 0 | object 1 | .................................. | slack |
 *            '- s_mem
 *
 *   one object of a debugging cache; `stride` bytes from the next one
 *   | pad | red zone | object         | pad to word | red zone | last user | pad |
 *   '---- left_pad --'- what the caller gets
 */
#ifndef KMEM_SLAB_GEOMETRY_H
#define KMEM_SLAB_GEOMETRY_H

#include <kmem/compiler.h>

/* Index of an object inside its slab; the values from BUFCTL_QUARANTINE up are states. */
typedef uint16_t kmem_bufctl_t;
#define BUFCTL_END	  ((kmem_bufctl_t)0xffff) /* end of the free chain */
#define BUFCTL_ACTIVE	  ((kmem_bufctl_t)0xfffe) /* handed out, or on an array */
#define BUFCTL_BUSY	  ((kmem_bufctl_t)0xfffd) /* debugging: being freed right now */
#define BUFCTL_QUARANTINE ((kmem_bufctl_t)0xfffc) /* found damaged; never used again */
#define SLAB_MAX_OBJECTS  0xfff0u

/* Internal create flag: the descriptor must lie on the slab. */
#define SLAB_DESC_ON_SLAB 0x80000000u
/* The same for a variant: off the slab, where SLAB_DESC_MAX_BYTES allows it. */
#define SLAB_DESC_OFF_SLAB 0x40000000u
/* No colours, so that a free can tell every object's start: slab_grid.h. */
#define SLAB_EXACT 0x20000000u

/*
 * Off-slab descriptors come from the general caches, whose slabs of at most
 * this object size keep their own descriptors on the slab. So a descriptor's
 * allocation needs no second descriptor, and recursion ends after one step.
 */
#define SLAB_DESC_MAX_BYTES ((size_t)128)

/* Fewest objects worth a slab, up to SLAB_MIN_OBJECTS_ORDER: a refill should not
 * have to visit many slabs. SLUB (Linux 2.6.22) has 4 * (log2(cpus) + 1) and 3. Of small
 * slabs more become free, and their pages serve all sizes: with 8 objects `sawtooth` has
 * 8 % more resident. */
#define SLAB_MIN_OBJECTS       4u
#define SLAB_MIN_OBJECTS_ORDER 3u
/* From this order on any waste is accepted: large blocks are hard to come by. */
#define SLAB_BREAK_ORDER 5u

struct slab_geometry {
	size_t object_size; /* what the caller may use */
	size_t stride;	    /* from one object to the next */
	size_t align;
	size_t left_pad;   /* stride's bytes before the object; multiple of align */
	size_t redzone;	   /* offset of the word behind the object; 0: none */
	size_t user;	   /* offset of the last-user word; 0: none */
	size_t mgmt;	   /* descriptor's bytes before the objects, padded to align */
	size_t first;	   /* from the colour to the first stride */
	size_t desc;	   /* from the colour to the descriptor that lies on the slab */
	size_t desc_bytes; /* of struct slab with its bufctl array */
	size_t colour_off;
	size_t slack; /* unused bytes of one slab, which colours share */
	unsigned int gfporder;
	unsigned int num;     /* objects per slab */
	unsigned int colours; /* distinct starts; 1: no colouring */
	bool off_slab;
};

/*
 * size >= 1 and align (0 or a power of two) as given to kmem_cache_create().
 * flags: SLAB_HWCACHE_ALIGN, SLAB_RED_ZONE, SLAB_STORE_USER, SLAB_DESC_*.
 * colour_off: wanted step in bytes, a power of two; 0: no colouring.
 * 0, or -EINVAL when no slab of the largest order holds one object.
 */
int slab_geometry_compute(struct slab_geometry *g, size_t size, size_t align,
			  unsigned int flags, size_t colour_off);

#endif /* KMEM_SLAB_GEOMETRY_H */
