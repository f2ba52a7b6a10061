/* SPDX-License-Identifier: MIT */
/*
 * Counting an allocator's memory calls.
 *
 * THEORY. A shared object calls mmap(2) and its like through slots that the dynamic
 * linker fills with the C library's addresses. memory_calls_install() walks the
 * relocations of the object that holds the allocator's code, a peer's library or
 * this program, and puts counting functions into the slots of those names. That
 * works on a library as it is, opened with RTLD_DEEPBIND (which an
 * interposed symbol of the program would not reach), needs no privilege, and costs
 * nothing where no such call is made.
 *
 * What it cannot see: calls inside one object, as those of the C library's own malloc,
 * which never pass a slot; and system calls made by an instruction of the library's
 * own. For an object without any such slot the address space must tell.
 *
 * The counter is the thread's own. The harness's calls from this program are counted
 * along with a built-in allocator's; they are never made inside a sample.
 */
#include "workloads/harness/memory_calls.h"

#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "allocators/peers/library.h"

#if defined(__x86_64__)
#define SLOT_OF_CALL	R_X86_64_JUMP_SLOT
#define SLOT_OF_ADDRESS R_X86_64_GLOB_DAT
#define SLOT_IN_DATA	R_X86_64_64
#elif defined(__aarch64__)
#define SLOT_OF_CALL	R_AARCH64_JUMP_SLOT
#define SLOT_OF_ADDRESS R_AARCH64_GLOB_DAT
#define SLOT_IN_DATA	R_AARCH64_ABS64
#endif

__thread uint64_t memory_calls_count;

/* --- the counting functions: count, then go where the slot went before --- */

static void *(*real_mmap)(void *addr, size_t size, int prot, int flags, int fd,
			  off_t offset);
static int (*real_munmap)(void *addr, size_t size);
static void *(*real_mremap)(void *addr, size_t old_size, size_t new_size, int flags, ...);
static int (*real_madvise)(void *addr, size_t size, int advice);
static int (*real_mprotect)(void *addr, size_t size, int prot);
static int (*real_brk)(void *addr);
static void *(*real_sbrk)(intptr_t increment);
static int (*real_ftruncate)(int fd, off_t size);
static int (*real_fallocate)(int fd, int mode, off_t offset, off_t size);
static long (*real_syscall)(long number, ...);

static void *counted_mmap(void *addr, size_t size, int prot, int flags, int fd,
			  off_t offset)
{
	memory_calls_count++;
	return real_mmap(addr, size, prot, flags, fd, offset);
}

static int counted_munmap(void *addr, size_t size)
{
	memory_calls_count++;
	return real_munmap(addr, size);
}

static void *counted_mremap(void *addr, size_t old_size, size_t new_size, int flags, ...)
{
	void *target;
	va_list args;

	/* Passed on even where the caller gave none: then nobody reads it. */
	va_start(args, flags);
	target = va_arg(args, void *);
	va_end(args);
	memory_calls_count++;
	return real_mremap(addr, old_size, new_size, flags, target);
}

static int counted_madvise(void *addr, size_t size, int advice)
{
	memory_calls_count++;
	return real_madvise(addr, size, advice);
}

static int counted_mprotect(void *addr, size_t size, int prot)
{
	memory_calls_count++;
	return real_mprotect(addr, size, prot);
}

static int counted_brk(void *addr)
{
	memory_calls_count++;
	return real_brk(addr);
}

/* With 0 it only tells where the break is, without a system call. */
static void *counted_sbrk(intptr_t increment)
{
	if (increment != 0)
		memory_calls_count++;
	return real_sbrk(increment);
}

static int counted_ftruncate(int fd, off_t size)
{
	memory_calls_count++;
	return real_ftruncate(fd, size);
}

static int counted_fallocate(int fd, int mode, off_t offset, off_t size)
{
	memory_calls_count++;
	return real_fallocate(fd, mode, offset, size);
}

static bool is_memory_call(long number)
{
	switch (number) {
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mremap:
	case SYS_madvise:
	case SYS_mprotect:
	case SYS_brk:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_mbind: return true;
	default: return false;
	}
}

/* As the C library's own: six words are passed on, however many were given. */
static long counted_syscall(long number, ...)
{
	long word[6];
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(word); i++)
		word[i] = va_arg(args, long);
	va_end(args);
	if (is_memory_call(number))
		memory_calls_count++;
	return real_syscall(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}

/* --- slots --- */

/* ISO C has no conversion between pointers to functions and to objects. */
#define COUNTED(name_, function_)                                                     \
	{                                                                             \
		name_, (void (*)(void))counted_##function_, (void *)&real_##function_ \
	}

static const struct counted {
	const char *name;
	void (*function)(void);
	void *real; /* where the address that the slot held goes */
} counted[] = {
	COUNTED("mmap", mmap),
	COUNTED("mmap64", mmap),
	COUNTED("munmap", munmap),
	COUNTED("mremap", mremap),
	COUNTED("madvise", madvise),
	COUNTED("mprotect", mprotect),
	COUNTED("brk", brk),
	COUNTED("sbrk", sbrk),
	COUNTED("__sbrk", sbrk),
	COUNTED("ftruncate", ftruncate),
	COUNTED("ftruncate64", ftruncate),
	COUNTED("fallocate", fallocate),
	COUNTED("fallocate64", fallocate),
	COUNTED("syscall", syscall),
};

/* One loaded object. */
struct object {
	uintptr_t base;
	const ElfW(Sym) * symbols;
	const char *names;
	const ElfW(Rela) * relocations[2]; /* of data and of calls */
	size_t counts[2];
	bool bound;  /* opened with RTLD_NOW: every slot holds its address */
	void *scope; /* for dlsym() */
};

/* The C library relocates the section's addresses in place, others do not. */
static const void *section_address(const struct link_map *map, ElfW(Addr) value)
{
	return (const void *)(value < map->l_addr ? map->l_addr + value : value);
}

static bool read_object(const struct link_map *map, struct object *o)
{
	size_t call_bytes = 0, data_bytes = 0;

	o->base = map->l_addr;
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_SYMTAB: o->symbols = section_address(map, d->d_un.d_ptr); break;
		case DT_STRTAB: o->names = section_address(map, d->d_un.d_ptr); break;
		case DT_RELA:
			o->relocations[0] = section_address(map, d->d_un.d_ptr);
			break;
		case DT_RELASZ: data_bytes = d->d_un.d_val; break;
		case DT_JMPREL:
			o->relocations[1] = section_address(map, d->d_un.d_ptr);
			break;
		case DT_PLTRELSZ: call_bytes = d->d_un.d_val; break;
		default: break;
		}
	}
	o->counts[0] = o->relocations[0] != NULL ? data_bytes / sizeof(ElfW(Rela)) : 0;
	o->counts[1] = o->relocations[1] != NULL ? call_bytes / sizeof(ElfW(Rela)) : 0;
	return o->symbols != NULL && o->names != NULL;
}

/* Slots may lie in pages that were made read-only after loading. */
static bool write_slot(void **slot, void *value)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = (uintptr_t)slot & ~(page - 1);

	if (mprotect((void *)start, page, PROT_READ | PROT_WRITE) != 0)
		return false;
	*slot = value;
	return true;
}

/*
 * False when the slot is not one of ours. A slot for calls may still lead to the
 * linker's own code, which looks the name up at the first call: it is looked up now.
 */
static bool count_slot(const struct object *o, const ElfW(Rela) * r)
{
	const char *name = o->names + o->symbols[ELF64_R_SYM(r->r_info)].st_name;
	unsigned long type = ELF64_R_TYPE(r->r_info);
	void **slot = (void **)(o->base + r->r_offset);
	void *real, *function;

	if ((type != SLOT_OF_CALL && type != SLOT_OF_ADDRESS && type != SLOT_IN_DATA) ||
	    ELF64_R_SYM(r->r_info) == 0)
		return false;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(counted); i++) {
		if (strcmp(counted[i].name, name) != 0)
			continue;
		memcpy(&function, &counted[i].function, sizeof(function));
		if (*slot == function)
			return true;
		real = o->bound ? *slot : dlsym(o->scope, name);
		/* Data may have been set to something else since. */
		if (real == NULL || (type == SLOT_IN_DATA && *slot != real))
			return false;
		memcpy(counted[i].real, &real, sizeof(real));
		return write_slot(slot, function);
	}
	return false;
}

static size_t count_object(const struct link_map *map, void *scope, bool bound)
{
	struct object o = {.scope = scope, .bound = bound};
	size_t slots = 0;

	if (!read_object(map, &o))
		return 0;
	for (size_t kind = 0; kind < 2; kind++) {
		for (size_t i = 0; i < o.counts[kind]; i++)
			slots += count_slot(&o, &o.relocations[kind][i]);
	}
	return slots;
}

enum memory_calls_seen memory_calls_install(const struct allocator *a,
					    unsigned int threads)
{
	/* NULL: the program itself. */
	const char *path = a->ops->library != NULL ? library_path(a) : NULL;
	void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
	struct link_map *map = NULL;
	size_t slots = 0;

	if (handle != NULL && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0)
		slots = count_object(map, handle, path != NULL);
	/* The handle stays open: the library must not go. */
	if (slots > 0)
		return MEMORY_CALLS_COUNTED;
	return threads == 1 ? MEMORY_CALLS_ADDRESS_SPACE : MEMORY_CALLS_UNSEEN;
}

const char *memory_calls_seen_name(enum memory_calls_seen seen)
{
	static const char *const names[] = {"counted", "address-space", "unseen"};

	return names[seen];
}
