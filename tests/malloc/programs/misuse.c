/* SPDX-License-Identifier: MIT */
/*
 * misuse KIND commits one kind of misuse of malloc and says on standard output what the
 * report of it must contain; misuse --list names the kinds. Afterwards malloc must still
 * serve, and not hand out the block in question twice.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The compiler must not see what it is that is freed. */
static void *hide(void *p)
{
	__asm__ volatile("" : "+r"(p));
	return p;
}

static void expect(const char *format, const void *p)
{
	char text[200];
	int n = snprintf(text, sizeof(text), format, p);

	text[n] = '\n';
	if (write(STDOUT_FILENO, text, (size_t)n + 1) < 0)
		exit(4);
}

static void twice(void *p, const char *class)
{
	char format[100];

	snprintf(format, sizeof(format), "cache '%s': double free of object %%p", class);
	expect(format, p);
	free(hide(p));
}

static void *free_it(void *p)
{
	free(hide(p));
	return NULL;
}

static void in_thread(void *p)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, free_it, p) != 0)
		exit(4);
	pthread_join(thread, NULL);
}

/* --- double frees --- */

static void at_once(void)
{
	void *p = malloc(40);

	free(hide(p));
	twice(p, "size-48");
}

static void another_between(void)
{
	void *p = malloc(40), *q = malloc(40);

	free(hide(p));
	free(hide(q));
	twice(p, "size-48");
}

static void many_between(void)
{
	enum { N = 9000 };
	static void *all[N];
	void *p;

	for (int i = 0; i < N; i++)
		all[i] = malloc(200);
	p = all[17];
	for (int i = 0; i < N; i += 2)
		free(hide(all[i + 1]));
	twice(p, "size-224");
}

static void second_by_a_thread(void)
{
	void *p = malloc(100);

	free(hide(p));
	expect("cache 'size-112': double free of object %p", p);
	in_thread(p);
}

static void first_by_a_thread(void)
{
	void *p = malloc(100);

	in_thread(p);
	twice(p, "size-112");
}

static void of_some_pages(void)
{
	void *p = malloc(10000);

	free(hide(p));
	twice(p, "size-10240");
}

static void of_the_largest_class(void)
{
	void *p = malloc(131072);

	free(hide(p));
	twice(p, "size-131072");
}

static void by_realloc_to_nothing(void)
{
	void *p = malloc(24);

	if (realloc(hide(p), 0) != NULL)
		exit(4);
	twice(p, "size-32");
}

static void after_realloc_has_moved_it(void)
{
	void *p = malloc(24), *q = realloc(hide(p), 3000);

	twice(p, "size-32");
	free(q);
}

static void of_an_aligned_one(void)
{
	void *p = NULL;

	if (posix_memalign(&p, 256, 200) != 0)
		exit(4);
	free(hide(p));
	twice(p, "size-256");
}

static void of_a_calloced_one(void)
{
	void *p = calloc(10, 6);

	free(hide(p));
	twice(p, "size-64");
}

static void in_a_child(void)
{
	void *p = malloc(60);
	pid_t pid;

	free(hide(p));
	pid = fork();
	if (pid == 0) {
		twice(p, "size-64");
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* --- no block at all --- */

static void sixteen_bytes_on(void)
{
	char *p = malloc(40);

	expect("which lies 16 bytes inside object %p", p);
	free(hide(p + 16));
}

static void one_byte_on(void)
{
	char *p = malloc(500);

	expect("which lies 1 bytes inside object %p", p);
	free(hide(p + 1));
}

static void middle_of_a_large_class(void)
{
	char *p = malloc(80000);

	expect("which lies 4096 bytes inside object %p", p);
	free(hide(p + 4096));
}

static void on_the_stack(void)
{
	_Alignas(16) char bytes[64];

	expect("%p, which malloc did not return", bytes);
	free(hide(bytes));
}

static void global(void)
{
	static _Alignas(16) char bytes[64];

	expect("%p, which malloc did not return", bytes);
	free(hide(bytes));
}

static void function(void)
{
	uintptr_t p = (uintptr_t)function;

	expect("%p, which malloc did not return", (void *)p);
	free(hide((void *)p));
}

static void of_another_mapping(void)
{
	char *p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	expect("%p, which malloc did not return", p + 4096);
	free(hide(p + 4096));
}

static void unmapped(void)
{
	char *p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	munmap(p, 12288);
	expect("%p, which malloc did not return", p + 4096);
	free(hide(p + 4096));
}

static void small_number(void)
{
	expect("%p, which malloc did not return", (void *)0x42);
	free(hide((void *)0x42));
}

static void slab_given_back(void)
{
	enum { N = 5000 };
	static void *all[N];

	for (int i = 0; i < N; i++)
		all[i] = malloc(700);
	for (int i = 0; i < N; i++)
		free(hide(all[i]));
	malloc_trim(0);
	expect("free of %p, which is in no slab", all[1234]);
	free(hide(all[1234]));
}

/* --- size and realloc --- */

static void realloc_of_a_free_one(void)
{
	void *p = malloc(40);

	free(hide(p));
	expect("cache 'size-48': ksize of the free object %p", p);
	if (realloc(hide(p), 100) != NULL || errno != ENOMEM)
		exit(4);
}

static void realloc_inside(void)
{
	char *p = malloc(40);

	expect("which lies 16 bytes inside object %p", p);
	if (realloc(hide(p + 16), 100) != NULL)
		exit(4);
	free(p);
}

static void size_of_a_free_one(void)
{
	void *p = malloc(40);

	free(hide(p));
	expect("cache 'size-48': ksize of the free object %p", p);
	if (malloc_usable_size(hide(p)) != 0)
		exit(4);
}

/* --- large blocks --- */

static void large_twice(void)
{
	void *p = malloc(300000);

	free(hide(p));
	expect("free of %p, which", p);
	free(hide(p));
}

static void inside_a_large_one(void)
{
	char *p = malloc(1000000);

	expect("free of %p, which", p + 8192);
	free(hide(p + 8192));
	free(hide(p));
}

static void huge_twice(void)
{
	void *p = malloc((size_t)200 << 20);

	free(hide(p));
	expect("%p, which", p);
	free(hide(p));
}

static void inside_a_huge_one(void)
{
	char *p = malloc((size_t)200 << 20);

	expect("%p, which malloc did not return", p + 4096);
	free(hide(p + 4096));
	free(hide(p));
}

#define KIND(name)          \
	{                   \
#name, name \
	}
static const struct {
	const char *name;
	void (*commit)(void);
} kinds[] = {
	KIND(at_once),
	KIND(another_between),
	KIND(many_between),
	KIND(second_by_a_thread),
	KIND(first_by_a_thread),
	KIND(of_some_pages),
	KIND(of_the_largest_class),
	KIND(by_realloc_to_nothing),
	KIND(after_realloc_has_moved_it),
	KIND(of_an_aligned_one),
	KIND(of_a_calloced_one),
	KIND(in_a_child),
	KIND(sixteen_bytes_on),
	KIND(one_byte_on),
	KIND(middle_of_a_large_class),
	KIND(on_the_stack),
	KIND(global),
	KIND(function),
	KIND(of_another_mapping),
	KIND(unmapped),
	KIND(small_number),
	KIND(slab_given_back),
	KIND(realloc_of_a_free_one),
	KIND(realloc_inside),
	KIND(size_of_a_free_one),
	KIND(large_twice),
	KIND(inside_a_large_one),
	KIND(huge_twice),
	KIND(inside_a_huge_one),
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* No block may be handed out twice after it. */
static int still_sound(void)
{
	enum { N = 6000 };
	static unsigned char *all[N];

	for (int i = 0; i < N; i++) {
		size_t size = 16u + (unsigned int)(i * 37) % 400;

		all[i] = malloc(size);
		if (all[i] == NULL)
			return 0;
		memset(all[i], 0, size);
	}
	for (int i = 0; i < N; i++)
		memcpy(all[i], &i, sizeof(i));
	for (int i = 0; i < N; i++) {
		if (memcmp(all[i], &i, sizeof(i)) != 0)
			return 0;
		free(all[i]);
	}
	return 1;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < NR_KINDS; i++) {
		if (strcmp(argv[1], "--list") == 0) {
			puts(kinds[i].name);
		} else if (strcmp(argv[1], kinds[i].name) == 0) {
			kinds[i].commit();
			return still_sound() ? 0 : 5;
		}
	}
	return argc == 2 && strcmp(argv[1], "--list") == 0 ? 0 : 2;
}
