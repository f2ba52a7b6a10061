/* SPDX-License-Identifier: MIT */
/* LD_PRELOAD: setting it, and telling beforehand where it would not work. */
#include "bench/preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

static int check_separators(const char *library)
{
	if (strpbrk(library, ": \t\n") != NULL)
		return kmem_error(
			-EINVAL,
			"cannot preload '%s': the dynamic linker divides LD_PRELOAD at "
			"colons and spaces, put the file elsewhere",
			library);
	return 0;
}

int preload_prepend(const char *library)
{
	const char *before = getenv("LD_PRELOAD");
	char *value;
	int err = check_separators(library);

	if (err != 0)
		return err;
	if (before == NULL || *before == '\0')
		before = "";
	if (asprintf(&value, "%s%s%s", library, *before != '\0' ? ":" : "", before) < 0)
		return kmem_error(-ENOMEM, "cannot set LD_PRELOAD: out of memory");
	if (setenv("LD_PRELOAD", value, 1) != 0)
		err = kmem_error(-errno, "cannot set LD_PRELOAD: %s", strerror(errno));
	free(value);
	return err;
}

/* What preloading needs to know of an ELF file. */
struct elf_facts {
	bool is_elf;
	bool native;	 /* this program's own word size and machine */
	bool shared;	 /* a shared object (or position independent program) */
	bool has_interp; /* names a dynamic linker */
};

static bool has_interp(int fd, const Elf64_Ehdr *ehdr)
{
	Elf64_Phdr phdr;

	for (unsigned int i = 0; i < ehdr->e_phnum; i++) {
		off_t at = (off_t)(ehdr->e_phoff + (uint64_t)i * sizeof(phdr));

		if (pread(fd, &phdr, sizeof(phdr), at) != (ssize_t)sizeof(phdr))
			return false;
		if (phdr.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static int read_elf_header(const char *path, Elf64_Ehdr *ehdr)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, ehdr, sizeof(*ehdr), 0);
	if (n != (ssize_t)sizeof(*ehdr)) {
		close(fd);
		memset(ehdr, 0, sizeof(*ehdr));
		return n < 0 ? -errno : -ENOEXEC;
	}
	return fd;
}

/* 0 or -errno without a text. */
static int elf_read(const char *path, struct elf_facts *facts)
{
	Elf64_Ehdr self, ehdr;
	int fd;

	memset(facts, 0, sizeof(*facts));
	fd = read_elf_header("/proc/self/exe", &self);
	if (fd < 0)
		return fd;
	close(fd);
	fd = read_elf_header(path, &ehdr);
	if (fd == -ENOEXEC) /* too short to be one */
		return 0;
	if (fd < 0)
		return fd;
	facts->is_elf = memcmp(ehdr.e_ident, ELFMAG, SELFMAG) == 0;
	if (facts->is_elf) {
		facts->native = ehdr.e_ident[EI_CLASS] == self.e_ident[EI_CLASS] &&
				ehdr.e_machine == self.e_machine;
		facts->shared = ehdr.e_type == ET_DYN;
		facts->has_interp = facts->native && has_interp(fd, &ehdr);
	}
	close(fd);
	return 0;
}

int preload_check_library(const char *path)
{
	struct elf_facts facts;
	int err = check_separators(path);

	if (err != 0)
		return err;
	err = elf_read(path, &facts);
	if (err != 0)
		return kmem_error(err, "cannot preload '%s': %s", path, strerror(-err));
	if (!facts.is_elf || !facts.shared)
		return kmem_error(
			-EINVAL, "cannot preload '%s': it is not a shared library", path);
	if (!facts.native)
		return kmem_error(
			-EINVAL, "cannot preload '%s': it is for another kind of machine",
			path);
	return 0;
}

/* The file that execvp() would start; false when there is none. */
static bool find_program(const char *name, char *buf, size_t size)
{
	const char *path = getenv("PATH");
	const char *end;
	struct stat st;

	if (strchr(name, '/') != NULL)
		return (size_t)snprintf(buf, size, "%s", name) < size &&
		       access(buf, X_OK) == 0;
	for (path = path != NULL ? path : "/bin:/usr/bin";; path = end + 1) {
		int length;

		end = strchrnul(path, ':');
		length = (int)(end - path);
		if ((size_t)snprintf(buf, size, "%.*s%s%s", length, path,
				     length > 0 ? "/" : "", name) < size &&
		    access(buf, X_OK) == 0 && stat(buf, &st) == 0 && S_ISREG(st.st_mode))
			return true;
		if (*end == '\0')
			return false;
	}
}

int preload_check_program(const char *name)
{
	char path[PATH_MAX];
	struct elf_facts facts;
	struct stat st;

	if (!find_program(name, path, sizeof(path)) || stat(path, &st) != 0)
		return 0;
	/* The dynamic linker drops LD_PRELOAD when the effective user or group changes.
	 */
	if (((st.st_mode & S_ISUID) && st.st_uid != getuid()) ||
	    ((st.st_mode & S_ISGID) && st.st_gid != getgid()))
		return kmem_error(
			-ENOTSUP,
			"nothing can be preloaded into '%s': it changes its user or group "
			"when it starts (set-user-ID), run a copy without that bit",
			path);
	if (elf_read(path, &facts) != 0 || !facts.is_elf)
		return 0;
	if (!facts.native)
		return kmem_error(
			-ENOTSUP,
			"nothing can be preloaded into '%s': it is a program for another "
			"word size or machine",
			path);
	if (!facts.has_interp)
		return kmem_error(
			-ENOTSUP,
			"nothing can be preloaded into '%s': it is statically linked, "
			"link it dynamically",
			path);
	return 0;
}
