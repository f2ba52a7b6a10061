/* SPDX-License-Identifier: MIT */
/* Compiler helpers shared by every layer; GNU C11, gcc 12 and clang 14 or later. */
#ifndef KMEM_COMPILER_H
#define KMEM_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KMEM_LIKELY(x)	       __builtin_expect(!!(x), 1)
#define KMEM_UNLIKELY(x)       __builtin_expect(!!(x), 0)
#define KMEM_ALWAYS_INLINE     inline __attribute__((always_inline))
#define KMEM_NOINLINE	       __attribute__((noinline))
#define KMEM_COLD	       __attribute__((cold, noinline))
#define KMEM_MUST_CHECK	       __attribute__((warn_unused_result))
#define KMEM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define KMEM_CONSTRUCTOR       __attribute__((constructor))

/* What sanitizers the code is built with: gcc defines macros, clang answers questions. */
#if defined(__has_feature)
#define KMEM_HAS_FEATURE(feature_) __has_feature(feature_)
#else
#define KMEM_HAS_FEATURE(feature_) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || KMEM_HAS_FEATURE(address_sanitizer)
#define KMEM_UNDER_ASAN 1
#else
#define KMEM_UNDER_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || KMEM_HAS_FEATURE(thread_sanitizer)
#define KMEM_UNDER_TSAN 1
#else
#define KMEM_UNDER_TSAN 0
#endif
#define KMEM_SANITIZED (KMEM_UNDER_ASAN || KMEM_UNDER_TSAN)

/* Objects written by different CPUs are kept this far apart. */
#define KMEM_CACHELINE	       64
#define KMEM_CACHELINE_ALIGNED __attribute__((aligned(KMEM_CACHELINE)))
/* For a table of zeroes of which most programs use the beginning, if that: it comes after
 * all other data (the Makefile sorts sections by name), which then fill a few pages. */
#define KMEM_SPARSE __attribute__((section(".bss.sparse")))

#define KMEM_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define KMEM_CONTAINER_OF(ptr, type, member) \
	((type *)((char *)(ptr)-offsetof(type, member)))

/* Rounds x up or down to a multiple of a, a power of two. */
#define KMEM_ALIGN_UP(x, a)   (((x) + ((__typeof__(x))(a)-1)) & ~((__typeof__(x))(a)-1))
#define KMEM_ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))

/*
 * Public functions keep default visibility; everything else is hidden by the
 * build, so that a call inside the library never goes through the PLT.
 */
#define KMEM_API __attribute__((visibility("default")))

#endif /* KMEM_COMPILER_H */
