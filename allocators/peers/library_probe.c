/* SPDX-License-Identifier: MIT */
/*
 * Is a library there and usable? And libraries that users name.
 *
 * A library is tried in a child process: loading is the only sure answer, since
 * search paths, the linker's cache and dependencies all have a say, and an
 * allocator that was loaded cannot be unloaded again.
 */
#include "allocators/peers/library.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kmem/error.h>

/* Libraries whose presence is remembered. */
#define PROBE_CACHE_ENTRIES 32

/* What the child found, written to the pipe at once. */
struct probe_answer {
	int err;
	char text[400];
};

static void probe_in_child(const struct allocator_ops *ops, int fd)
{
	struct probe_answer answer = {0};
	struct library *lib;

	answer.err = library_open(ops, &lib);
	if (answer.err != 0)
		snprintf(answer.text, sizeof(answer.text), "%s", kmem_last_error());
	/* A fresh process with the right environment would load it: the library is there.
	 */
	if (answer.err == -EAGAIN)
		answer.err = 0;
	_exit(write(fd, &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : 1);
}

static ssize_t read_whole(int fd, void *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)buf + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Runs the child and reads its answer; 0, or -errno with a text. */
static int probe(const struct allocator_ops *ops)
{
	struct probe_answer answer;
	ssize_t got;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return kmem_error(-errno, "cannot try to load '%s': %m", ops->library);
	pid = fork();
	if (pid < 0) {
		int err = errno;

		close(fds[0]);
		close(fds[1]);
		errno = err;
		return kmem_error(-err, "cannot try to load '%s': %m", ops->library);
	}
	if (pid == 0)
		probe_in_child(ops, fds[1]);
	close(fds[1]);
	got = read_whole(fds[0], &answer, sizeof(answer));
	close(fds[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != (ssize_t)sizeof(answer))
		return kmem_error(-EINVAL, "cannot load '%s': the process ends",
				  ops->library);
	return answer.err == 0 ? 0 : kmem_error(answer.err, "%s", answer.text);
}

int library_available(const struct allocator_ops *ops)
{
	/* What was found once stays; a sweep asks again for every cell. */
	static const struct allocator_ops *found[PROBE_CACHE_ENTRIES];
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	size_t n = 0;
	int err = 0;

	pthread_mutex_lock(&lock);
	while (n < PROBE_CACHE_ENTRIES && found[n] != NULL && found[n] != ops)
		n++;
	if (n == PROBE_CACHE_ENTRIES || found[n] == NULL) {
		err = probe(ops);
		if (err == 0 && n < PROBE_CACHE_ENTRIES)
			found[n] = ops;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

/* --- libraries that users name --- */

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#endif

/* The first look; what the functions are is for the dynamic linker to find out. */
static int check_elf_header(const char *path)
{
	FILE *file = fopen(path, "re");
	Elf64_Ehdr header;
	size_t got;

	if (file == NULL)
		return kmem_error(-errno, "cannot open the library '%s': %m", path);
	got = fread(&header, 1, sizeof(header), file);
	fclose(file);
	if (got < sizeof(header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return kmem_error(
			-EINVAL,
			"library '%s' is not an ELF file: name a shared object (.so)",
			path);
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != OWN_MACHINE)
		return kmem_error(-EINVAL, "library '%s' is built for another machine",
				  path);
	if (header.e_type != ET_DYN)
		return kmem_error(-EINVAL,
				  "library '%s' is an ELF file, but no shared object",
				  path);
	return 0;
}

int allocator_register_library(const char *name, const char *path)
{
	struct allocator_ops *ops;
	char *full_path = realpath(path, NULL);
	int err;

	if (full_path == NULL)
		return kmem_error(-errno, "cannot find the library '%s': %m", path);
	err = check_elf_header(full_path);
	if (err != 0) {
		free(full_path);
		return err;
	}
	ops = calloc(1, sizeof(*ops));
	if (ops != NULL)
		ops->name = strdup(name);
	if (ops == NULL || ops->name == NULL) {
		free(ops);
		free(full_path);
		return kmem_error(-ENOMEM, "no memory for allocator '%s'", name);
	}
	ops->abi_version = ALLOCATOR_OPS_VERSION;
	ops->description = "malloc-compatible library, named on the command line";
	ops->library = full_path;
	ops->caps = LIBRARY_CAPS;
	ops->available = library_available;
	ops->create = library_create;
	ops->destroy = library_close;
	ops->version = library_version;
	ops->alloc = library_alloc;
	ops->free = library_free;
	ops->realloc = library_realloc;
	ops->zalloc = library_zalloc;
	ops->usable_size = library_usable_size;
	err = allocator_register(ops);
	if (err != 0) {
		free((char *)(uintptr_t)ops->name);
		free(full_path);
		free(ops);
	}
	return err;
}
