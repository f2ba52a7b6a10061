/* SPDX-License-Identifier: MIT */
/* Allocation flags that contradict each other. */
#include <errno.h>
#include <kmem/error.h>
#include <kmem/gfp.h>

static KMEM_COLD int refuse(gfp_t gfp, const char *why)
{
	return kmem_error(-EINVAL, "gfp flags 0x%x are refused: %s", gfp, why);
}

int gfp_check(gfp_t gfp)
{
	gfp_t retry = gfp & (__GFP_NOFAIL | __GFP_REPEAT | __GFP_NORETRY);

	if (KMEM_UNLIKELY((gfp & ~__GFP_BITS_MASK) != 0))
		return refuse(gfp, "unknown bits are set; use the __GFP_ names only");
	if (KMEM_UNLIKELY((gfp & (__GFP_DMA | __GFP_HIGHMEM)) ==
			  (__GFP_DMA | __GFP_HIGHMEM)))
		return refuse(gfp,
			      "__GFP_DMA and __GFP_HIGHMEM exclude each other; give one");
	if (KMEM_UNLIKELY((gfp & (__GFP_RECLAIMABLE | __GFP_MOVABLE)) ==
			  (__GFP_RECLAIMABLE | __GFP_MOVABLE)))
		return refuse(gfp,
			      "__GFP_RECLAIMABLE and __GFP_MOVABLE exclude each other; "
			      "give one");
	if (KMEM_LIKELY(retry == 0))
		return 0;
	if ((retry & (retry - 1)) != 0)
		return refuse(gfp,
			      "__GFP_NOFAIL, __GFP_REPEAT and __GFP_NORETRY exclude each "
			      "other; give one");
	if ((gfp & __GFP_WAIT) == 0)
		return refuse(
			gfp,
			"__GFP_NOFAIL, __GFP_REPEAT and __GFP_NORETRY need __GFP_WAIT, "
			"for only a request that may wait can retry");
	return 0;
}
