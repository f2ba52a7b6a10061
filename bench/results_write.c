/* SPDX-License-Identifier: MIT */
/*
 * Writing results files whole: a reader, or a run that is interrupted at any point, finds
 * either the old file or the new one, never a part.
 */
#include "bench/results.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

/*
 * 15 significant digits are what a double holds for certain: 0.1 stays "0.1", and a value
 * that has been written once is written the same ever after.
 */
#define NUMBER_FORMAT JSON_REAL_PRECISION(15)

/* Where a path leads: links are followed, so that rename() replaces the file, not the
 * link. */
struct target {
	char file[PATH_MAX];
	char folder[PATH_MAX];
	char temporary[PATH_MAX];
	bool direct; /* no regular file: written in place */
};

static int find_target(const char *path, struct target *t)
{
	struct stat st;
	char *slash;

	if (*path == '\0')
		return kmem_error(-ENOENT,
				  "cannot write results: the output's name is empty");
	t->direct = false;
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return kmem_error(
				-EISDIR,
				"cannot write '%s': it is a folder, name a file in it",
				path);
		t->direct = !S_ISREG(st.st_mode);
	}
	if (t->direct || realpath(path, t->file) == NULL) {
		if ((size_t)snprintf(t->file, sizeof(t->file), "%s", path) >=
		    sizeof(t->file))
			return kmem_error(-ENAMETOOLONG, "'%s': name too long", path);
	}
	strcpy(t->folder, t->file);
	slash = strrchr(t->folder, '/');
	if (slash == NULL)
		strcpy(t->folder, ".");
	else
		slash[slash == t->folder] = '\0'; /* "/file" lies in "/" */
	if ((size_t)snprintf(t->temporary, sizeof(t->temporary), "%s.%ld.tmp", t->file,
			     (long)getpid()) >= sizeof(t->temporary))
		return kmem_error(-ENAMETOOLONG, "'%s': name too long", path);
	return 0;
}

/* Says why the folder refused a new file. */
static int create_error(const char *path, const struct target *t, int err)
{
	if (err == ENOENT && access(t->folder, F_OK) != 0)
		return kmem_error(
			-err, "cannot write '%s': folder '%s' does not exist; create it",
			path, t->folder);
	/* ENOENT of a folder that is there: /proc and its like. */
	if (err == ENOENT || err == EACCES || err == EPERM || err == EROFS)
		return kmem_error(-err,
				  "cannot write '%s': no files may be made in '%s' (%s)",
				  path, t->folder, strerror(err));
	return kmem_error(-err, "cannot write '%s': %s", path, strerror(err));
}

/* The temporary file, with the permissions of the file it will replace. -errno with a
 * text. */
static int open_temporary(const char *path, const struct target *t)
{
	struct stat st;
	int fd;

	if (access(t->file, F_OK) == 0 && access(t->file, W_OK) != 0)
		return kmem_error(-errno, "cannot replace '%s': %s", path,
				  strerror(errno));
	unlink(t->temporary); /* left by a process that had our number and crashed */
	fd = open(t->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return create_error(path, t, errno);
	if (stat(t->file, &st) == 0 && fchmod(fd, st.st_mode & 07777) != 0) {
		int err = errno;

		close(fd);
		unlink(t->temporary);
		return kmem_error(-err, "cannot replace '%s': %s", path, strerror(err));
	}
	return fd;
}

int results_check_writable(const char *path)
{
	struct target t;
	int fd, err = find_target(path, &t);

	if (err != 0)
		return err;
	if (t.direct) {
		if (access(path, W_OK) == 0)
			return 0;
		return kmem_error(-errno, "cannot write '%s': %s", path, strerror(errno));
	}
	fd = open_temporary(path, &t);
	if (fd < 0)
		return fd;
	close(fd);
	unlink(t.temporary);
	return 0;
}

/* --- layout: everything indented, but each entry of "benchmarks" on one line --- */

static int dump(FILE *out, const json_t *value, size_t flags)
{
	return json_dumpf(value, out, flags | NUMBER_FORMAT | JSON_ENCODE_ANY);
}

static int dump_entries(FILE *out, const json_t *entries)
{
	const json_t *entry;
	size_t i;

	fputc('[', out);
	json_array_foreach (entries, i, entry) {
		fputs(i == 0 ? "\n" : ",\n", out);
		if (dump(out, entry, 0) != 0)
			return -1;
	}
	fputs("\n]", out);
	return 0;
}

static int dump_root(FILE *out, const json_t *root)
{
	json_t *walked = (json_t *)root; /* jansson's iterators do not take const */
	const char *separator = "{\n", *name;
	json_t *value;

	if (!json_is_object(root))
		return dump(out, root, JSON_INDENT(2));
	json_object_foreach (walked, name, value) {
		json_t *quoted = json_string(name);
		int failed;

		fputs(separator, out);
		failed = quoted == NULL || dump(out, quoted, 0) != 0;
		json_decref(quoted);
		fputs(": ", out);
		if (!failed && strcmp(name, "benchmarks") == 0 && json_is_array(value))
			failed = dump_entries(out, value);
		else if (!failed)
			failed = dump(out, value, JSON_INDENT(2));
		if (failed)
			return -1;
		separator = ",\n";
	}
	fputs(*separator == '{' ? "{}\n" : "\n}\n", out);
	return 0;
}

/* Writes and closes; the file's bytes are on the disk when it returns 0. -errno with a
 * text. */
static int write_and_sync(int fd, bool sync, const char *path, const json_t *root)
{
	FILE *out = fdopen(fd, "w");
	int err = 0;

	if (out == NULL) {
		err = errno;
		close(fd);
		return kmem_error(-err, "cannot write '%s': %s", path, strerror(err));
	}
	errno = 0;
	if (dump_root(out, root) != 0 || ferror(out) || fflush(out) != 0)
		err = errno != 0 ? errno : EINVAL;
	if (err == 0 && sync && fsync(fd) != 0)
		err = errno;
	if (fclose(out) != 0 && err == 0)
		err = errno;
	if (err == EINVAL)
		return kmem_error(
			-err, "cannot write '%s': a value cannot be put into JSON", path);
	if (err != 0)
		return kmem_error(-err, "cannot write '%s': %s", path, strerror(err));
	return 0;
}

/* Makes the new name itself durable. File systems that cannot are left alone. */
static void sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

int results_save(const char *path, const json_t *root)
{
	struct target t;
	int fd, err = find_target(path, &t);

	if (err != 0)
		return err;
	if (t.direct) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return create_error(path, &t, errno);
		return write_and_sync(fd, false, path, root);
	}
	fd = open_temporary(path, &t);
	if (fd < 0)
		return fd;
	err = write_and_sync(fd, true, path, root);
	if (err == 0 && rename(t.temporary, t.file) != 0)
		err = kmem_error(-errno, "cannot write '%s': %s", path, strerror(errno));
	if (err != 0) {
		unlink(t.temporary);
		return err;
	}
	sync_folder(t.folder);
	return 0;
}
