/* SPDX-License-Identifier: MIT */
/*
 * THEORY of vmalloc: memory that is contiguous in addresses only.
 *
 * Concepts. One range of addresses, VMALLOC_START to VMALLOC_END, lies 8 MiB
 * past the direct map, so that an overrun of the last frame faults. An *area*
 * is a piece of it with single pages mapped behind and one inaccessible guard
 * page at its end. The pages need not be neighbours, nor have an address of
 * their own: this is what HIGHMEM is good for.
 *
 * Structures.
 *   vm_range.c   which addresses are free: by radix tree, AVL tree, or list
 *   vmap_area    one area: addresses, pages, state; cached like any slab object
 *   table        by page of the range: the area there. 8 bytes a page, touched
 *                where areas lie. vfree(), vmalloc_to_page() and find_vm_area()
 *                are one load; the kernel walks its page tables or a tree
 *   vmap_lazy.c  freed areas, still mapped: per-CPU stacks, then the pool
 *   vmap_shrink.c  gives them back when the page allocator runs low
 *
 * Allocation. (1) A freed area of that number of pages on this CPU's stack: a
 * pop and a store. (2) The same from the pool. (3) A fresh one (vmap_alloc.c):
 * addresses, pages, mapping. (4) When that fails, everything cached is unmapped
 * and (3) tried once more. A reused area differs in nothing from a fresh one;
 * its contents are undefined, as a fresh one's are.
 *
 * Free. The area's state goes from live to cached by one compare-and-swap,
 * which is what catches a double free, also by two threads at once. Then it is
 * pushed on this CPU's stack, or put into the pool. With lazy_bytes=0 it is
 * unmapped at once. Until then its addresses stay accessible: a use after free
 * is only sure to fault with lazy_bytes=0.
 *
 * vmap() areas are always unmapped at once, since the caller may free the pages
 * next. Mapped pages have a raised _mapcount, so the page allocator reports the
 * free of a page that some area still shows.
 *
 * Locking. vmap_layer.lock guards the ranges, pool.lock the pool; both are spin
 * locks, leaves, and never held together. System calls, the page and the slab
 * allocator are called with neither: an area that is being made or unmade
 * belongs to one thread. A lookup takes no lock; the caller of vfree() has to
 * own the area, as everywhere.
 *
 * Start and fork. After kmem_cache_init(), with the memfd backing only: the
 * private one cannot show a frame twice. A forked child shares the frames with
 * its parent, so the layer is not for use on both sides of a fork (vmalloc_fork.c).
 *
 * Where this differs from the kernel. Page tables are edited by mmap(), at
 * microseconds a call, so neighbouring frames are mapped together (pages are
 * sorted for that) and freed areas keep their pages. A VM_IOREMAP area of
 * exactly a power of two is aligned to its size, where Linux's fls() gives twice
 * that.
 *
 * References. mm/vmalloc.c of Linux 2.4.31, of 2.6.28 (lazy purge) and of 6.9
 * (pools of freed addresses by size); J. Bonwick, J. Adams, "Magazines and
 * Vmem", USENIX 2001.
 */
#include "allocators/os/os_mem.h"
#include "allocators/phys/phys_internal.h"
#include "allocators/vmalloc/vmalloc_internal.h"
#include <kmem/error.h>
#include <kmem/phys.h>
#include <kmem/slab.h>

#include <errno.h>

struct vmap_layer vmap_layer;

static const char *const search_names[] = {"tree", "list", "radix", NULL};

const struct kmem_option vmalloc_options[] = {
	{.name = "range_bytes",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct vmalloc_config, range_bytes),
	 .initial = "64G",
	 .min = (uint64_t)1 << 20,
	 .max = (uint64_t)4 << 40,
	 .help = "addresses set aside for vmalloc, in bytes; halved until the system has them"},
	{.name = "search",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct vmalloc_config, search),
	 .initial = "radix",
	 .choices = search_names,
	 .help = "how a range is found; tree: first fit by a balanced tree of holes; list: by Linux "
		 "2.4's walk over all areas; radix: by a radix tree of maxima"},
	{.name = "lazy_bytes",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct vmalloc_config, lazy_bytes),
	 .initial = "64M",
	 .help = "freed areas that stay mapped for reuse, in bytes; 0: unmapped by vfree(), slow "
		 "but uses after free fault"},
	{.name = "percpu_areas",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct vmalloc_config, percpu_areas),
	 .initial = "on",
	 .help = "small freed areas on per-CPU stacks, half of lazy_bytes; off: all areas in one "
		 "pool under its lock"},
	{.name = "runs",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct vmalloc_config, runs),
	 .initial = "on",
	 .help = "neighbouring frames are mapped by one call, not each by its own"},
	{.name = "populate",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct vmalloc_config, populate),
	 .initial = "on",
	 .help = "page tables are filled at once, as in the kernel, not by a fault at each page"},
	KMEM_OPTION_END,
};

/* --- start and end --- */

/* Below this, halving the range further helps nobody. */
#define RANGE_BYTES_MIN ((uint64_t)64 << 20)

static int reserve_range(void)
{
	uint64_t bytes = KMEM_ALIGN_DOWN(vmap_layer.config.range_bytes, PAGE_SIZE);
	uint32_t nr_pages;
	void *table;

	vmap_layer.base = phys_vmalloc_base(bytes);
	while (vmap_layer.base == NULL && bytes / 2 >= RANGE_BYTES_MIN) {
		bytes = KMEM_ALIGN_DOWN(bytes / 2, PAGE_SIZE);
		vmap_layer.base = phys_vmalloc_base(bytes);
	}
	if (vmap_layer.base == NULL)
		return -ENOMEM;
	nr_pages = (uint32_t)(bytes >> PAGE_SHIFT);
	vmap_layer.table_bytes = KMEM_ALIGN_UP(nr_pages * sizeof(vmap_layer.table[0]),
					       PAGE_SIZE);
	vmap_layer.node_bytes = KMEM_ALIGN_UP(
		vm_ranges_node_bytes(nr_pages,
				     (enum vm_range_search)vmap_layer.config.search),
		PAGE_SIZE);
	table = os_map_anon(vmap_layer.table_bytes);
	vmap_layer.table = table;
	vmap_layer.node_memory = os_map_anon(vmap_layer.node_bytes);
	if (table == NULL || vmap_layer.node_memory == NULL)
		return kmem_error(
			-ENOMEM,
			"no %zu MiB of address space for the tables of vmalloc: lower "
			"option 'range_bytes'",
			(vmap_layer.table_bytes + vmap_layer.node_bytes) >> 20);
	vm_ranges_init(&vmap_layer.ranges, (uintptr_t)vmap_layer.base >> PAGE_SHIFT,
		       nr_pages, (enum vm_range_search)vmap_layer.config.search,
		       vmap_layer.node_memory);
	/* From here on is_vmalloc_addr() may say yes. */
	vmap_layer.range_bytes = bytes;
	return 0;
}

static int check_surroundings(void)
{
	if (vmap_layer.range_bytes != 0)
		return kmem_error(-EBUSY,
				  "vmalloc is already up: call vmalloc_exit() first");
	if (kmem_nr_frames == 0)
		return kmem_error(-EINVAL,
				  "vmalloc needs physical memory: call phys_init(), "
				  "buddy_init() and kmem_cache_init() first");
	if (phys_fd() < 0)
		return kmem_error(-EINVAL,
				  "vmalloc maps a frame at a second address, which "
				  "'backing=private' cannot: use 'backing=memfd'");
	return 0;
}

static void release_tables(void)
{
	vmap_lazy_exit();
	if (vmap_layer.node_memory != NULL)
		os_unmap(vmap_layer.node_memory, vmap_layer.node_bytes);
	if (vmap_layer.table != NULL)
		os_unmap(vmap_layer.table, vmap_layer.table_bytes);
	vmap_layer = (struct vmap_layer){.range_bytes = 0};
}

static int init_by_defaults(void)
{
	static const struct kmem_option_group groups[] = {{vmalloc_options, 0},
							  {NULL, 0}};
	struct vmalloc_config config;
	int err = kmem_options_defaults(groups, &config);

	return err != 0 ? err : vmalloc_init(&config);
}

int vmalloc_init(const struct vmalloc_config *config)
{
	int err;

	if (config == NULL)
		return init_by_defaults();
	err = check_surroundings();
	if (err != 0)
		return err;
	vmap_layer.config = *config;
	vmap_layer.fd = phys_fd();
	vmap_layer.nr_nodes = (unsigned int)phys_nr_nodes();
	vmap_layer.maps_max = vmap_maps_allowed();
	err = reserve_range();
	if (err != 0)
		goto out_tables;
	err = vmap_lazy_init();
	if (err != 0)
		goto out_tables;
	/* Not reaped: a vfree() that comes too late still finds a descriptor to refuse
	 * by. */
	vmap_layer.area_cache = kmem_cache_create("vmap_area", sizeof(struct vmap_area),
						  0, SLAB_HWCACHE_ALIGN | SLAB_NO_REAP,
						  NULL, NULL);
	if (vmap_layer.area_cache == NULL) {
		err = -ENOMEM;
		goto out_tables;
	}
	vmap_fork_init();
	vmap_shrink_init();
	return 0;

out_tables:
	release_tables();
	return err;
}

static int push_live(struct vmap_area *area, void *arg)
{
	struct vmap_area **chain = arg;

	/* A page array goes with the area that it belongs to. */
	if (area->state != VMAP_LIVE || area->is_page_array)
		return 0;
	area->state = VMAP_GOING;
	area->newer = *chain;
	*chain = area;
	return 0;
}

/* No other thread may be calling. Areas that still live are released with their pages. */
void vmalloc_exit(void)
{
	struct vmap_area *live = NULL;

	if (vmap_layer.range_bytes == 0)
		return;
	vmap_shrink_exit();
	vmap_fork_exit();
	vmap_layer.exiting = true;
	vmap_purge_all(true);
	vmap_each_area(push_live, &live);
	vmap_release_chain(live);
	vmap_purge_all(true);
	kmem_cache_destroy(vmap_layer.area_cache);
	release_tables();
}

/* --- vmalloc and vfree --- */

/*
 * The hit path. Size 0 wraps to the largest number; before vmalloc_init() and
 * with lazy_bytes=0 the bound is 0: both go the slow way.
 */
static KMEM_ALWAYS_INLINE void *alloc_cached(size_t size, int nid)
{
	struct vmap_area *area;

	if (KMEM_UNLIKELY(size - 1 >= vmap_layer.percpu_bytes_max))
		return NULL;
	if (nid == NUMA_NO_NODE)
		nid = vmap_layer.nr_nodes == 1 ? 0 : numa_node_id();
	else if (KMEM_UNLIKELY((unsigned int)nid >= vmap_layer.nr_nodes))
		return NULL;
	area = percpu_pop(vmap_percpu((unsigned int)nid,
				      (unsigned int)((size - 1) >> PAGE_SHIFT) + 1));
	if (KMEM_UNLIKELY(area == NULL))
		return NULL;
	atomic_store_explicit(&area->state, VMAP_LIVE, memory_order_relaxed);
	return area->vm.addr;
}

void *vmalloc(size_t size)
{
	void *addr = alloc_cached(size, NUMA_NO_NODE);

	if (KMEM_LIKELY(addr != NULL))
		return addr;
	return vmap_alloc_slow("vmalloc", size, PAGE_SIZE, GFP_HIGHUSER, NUMA_NO_NODE);
}

void *vmalloc_node(size_t size, int nid)
{
	void *addr = alloc_cached(size, nid);

	if (KMEM_LIKELY(addr != NULL))
		return addr;
	return vmap_alloc_slow("vmalloc_node", size, PAGE_SIZE, GFP_HIGHUSER, nid);
}

void *vzalloc(size_t size)
{
	return vmap_alloc_slow("vzalloc", size, PAGE_SIZE, GFP_HIGHUSER | __GFP_ZERO,
			       NUMA_NO_NODE);
}

void *__vmalloc(size_t size, gfp_t gfp)
{
	return __vmalloc_aligned(size, PAGE_SIZE, gfp, NUMA_NO_NODE);
}

void *__vmalloc_aligned(size_t size, size_t align, gfp_t gfp, int nid)
{
	/* Other flags are checked, and obeyed, by the slow path. */
	if (gfp == GFP_HIGHUSER && align <= PAGE_SIZE && (align & (align - 1)) == 0) {
		void *addr = alloc_cached(size, nid);

		if (KMEM_LIKELY(addr != NULL))
			return addr;
	}
	return vmap_alloc_slow("__vmalloc", size, align, gfp, nid);
}

/* What the caller of vfree() or vunmap() did wrong. */
static KMEM_COLD void report_bad_free(const char *caller, const void *addr,
				      const struct vmap_area *area, unsigned int owner)
{
	if (!is_vmalloc_addr(addr))
		kmem_bug("%s() of %p: not an address of the vmalloc range", caller, addr);
	else if (area == NULL)
		kmem_bug("%s() of %p: no area is there; freed twice, or never allocated",
			 caller, addr);
	else if (area->vm.addr != addr)
		kmem_bug(
			"%s() of %p: lies inside the area at %p (%u pages), which must be freed "
			"by its start",
			caller, addr, area->vm.addr, area->vm.nr_pages);
	else if (!(area->vm.flags & owner))
		kmem_bug("%s() of %p: the area was made by %s", caller, addr,
			 owner == VM_ALLOC ? "vmap(), use vunmap()"
					   : "vmalloc(), use vfree()");
	else
		kmem_bug("%s() of %p: double free of an area of %u pages", caller, addr,
			 area->vm.nr_pages);
}

/* The live area that starts at addr, changed to `state`; NULL: reported. */
static KMEM_ALWAYS_INLINE struct vmap_area *area_to_free(const char *caller,
							 const void *addr,
							 unsigned int owner,
							 uint32_t state)
{
	struct vmap_area *area = vmap_lookup(addr);
	uint32_t live = VMAP_LIVE;

	if (KMEM_LIKELY(
		    area != NULL && area->vm.addr == addr && (area->vm.flags & owner) &&
		    atomic_compare_exchange_strong_explicit(&area->state, &live, state,
							    memory_order_relaxed,
							    memory_order_relaxed)))
		return area;
	report_bad_free(caller, addr, area, owner);
	return NULL;
}

void vfree(const void *addr)
{
	struct vmap_area *area;

	if (addr == NULL)
		return;
	area = area_to_free("vfree", addr, VM_ALLOC, VMAP_CACHED);
	if (KMEM_UNLIKELY(area == NULL))
		return;
	if (KMEM_LIKELY(area->percpu != NULL) &&
	    KMEM_LIKELY(percpu_push(area->percpu, area)))
		return;
	vmap_pool_put(area);
}

/* --- vmap and vunmap --- */

void *vmap(struct page **pages, unsigned int count, unsigned int flags)
{
	struct vmap_area *area;
	uint64_t releases;

	if (vmap_layer.range_bytes == 0 || count == 0 || count > kmem_nr_frames) {
		kmem_error(-EINVAL,
			   "'vmap' of %u pages: pass 1 to %lu, after vmalloc_init()",
			   count, kmem_nr_frames);
		return NULL;
	}
	if ((flags & ~(VM_MAP | VM_IOREMAP)) != 0) {
		kmem_error(-EINVAL, "'vmap' with flags 0x%x: use VM_MAP or VM_IOREMAP",
			   flags);
		return NULL;
	}
	for (unsigned int i = 0; i < count; i++) {
		if (pages[i] == NULL || pages[i] < kmem_mem_map ||
		    !pfn_valid(page_to_pfn(pages[i]))) {
			kmem_error(-EINVAL,
				   "'vmap' of page %u of %u: %p is no page descriptor", i,
				   count, (void *)pages[i]);
			return NULL;
		}
	}
	flags |= VM_MAP;
	releases = atomic_load(&vmap_layer.releases);
	area = vmap_area_wrap(pages, count, flags);
	if (area == NULL && vmap_make_room(true, releases))
		area = vmap_area_wrap(pages, count, flags);
	return area != NULL ? area->vm.addr : NULL;
}

void vunmap(const void *addr)
{
	struct vmap_area *area;

	if (addr == NULL)
		return;
	area = area_to_free("vunmap", addr, VM_MAP, VMAP_GOING);
	if (area == NULL)
		return;
	area->newer = NULL;
	vmap_release_chain(area);
}

/* --- questions about addresses --- */

bool is_vmalloc_addr(const void *addr)
{
	return (size_t)((uintptr_t)addr - (uintptr_t)vmap_layer.base) <
	       vmap_layer.range_bytes;
}

static struct vmap_area *live_area_at(const void *addr)
{
	struct vmap_area *area = vmap_lookup(addr);

	if (area == NULL ||
	    atomic_load_explicit(&area->state, memory_order_relaxed) != VMAP_LIVE)
		return NULL;
	return area;
}

struct page *vmalloc_to_page(const void *addr)
{
	struct vmap_area *area = live_area_at(addr);

	if (area == NULL)
		return NULL;
	return area->vm.pages[vmap_page_index(addr) - vmap_page_index(area->vm.addr)];
}

struct vm_struct *find_vm_area(const void *addr)
{
	struct vmap_area *area = live_area_at(addr);

	return area != NULL && area->vm.addr == addr ? &area->vm : NULL;
}

void vm_unmap_aliases(void)
{
	if (vmap_layer.range_bytes != 0)
		vmap_purge_all(false);
}
