/* SPDX-License-Identifier: MIT */
/* What the variant hardened=on knows about every address; slab_harden.c has the theory.
 */
#ifndef KMEM_SLAB_HARDEN_H
#define KMEM_SLAB_HARDEN_H

#include <kmem/slab.h>

struct slab;

/* Bytes of memory that one mark stands for: no two objects are closer. */
#define SLAB_MARK_BYTES ((size_t)16)

/* A mark that is not 0: a caller holds what starts here. */
#define SLAB_MARK_LARGE ((uint8_t)254) /* a block of pages, from kmalloc() */
#define SLAB_MARK_OTHER ((uint8_t)255) /* an object of a cache that has no number */
#define SLAB_NR_NUMBERS 254	       /* all else: the number of the object's cache */

#pragma GCC visibility push(hidden)
extern _Atomic uint8_t *slab_marks; /* by offset in the direct map; NULL: off */
#pragma GCC visibility pop

static KMEM_ALWAYS_INLINE bool slab_hardened(void)
{
	return KMEM_UNLIKELY(slab_marks != NULL);
}

/* After slab_pages has been set. 0, or -ENOMEM with a text. */
int slab_marks_init(void);
void slab_marks_exit(void);

/* --- all that follows: only where slab_hardened() --- */

/* The object, or the block of pages, is the caller's from now on. */
void slab_mark_object(const struct kmem_cache *cache, const void *object);
void slab_mark_large(const void *block);

/* An object from this CPU's array for size bytes, or NULL: the short way of kmalloc(). */
void *slab_hardened_alloc(size_t size);
/* True when that was all: the short way of kfree(). */
bool slab_hardened_free(void *object);

/* What a caller holds and gives back now: its mark is gone. 0: nothing that a caller
 * holds starts there, or not of that cache (NULL: of any). Of two racing calls one wins.
 */
uint8_t slab_mark_take(const struct kmem_cache *cache, const void *addr);
/* Whether a caller holds what starts there. */
bool slab_mark_live(const void *addr);

/* Marks of a slab against what the slab says; while nobody is calling. 0, or -EFAULT. */
int slab_marks_check(const struct kmem_cache *cache, const struct slab *slab);

/* Chains the objects of a new slab in random order (option shuffle). */
void slab_shuffle(const struct kmem_cache *cache, struct slab *slab);

#endif /* KMEM_SLAB_HARDEN_H */
