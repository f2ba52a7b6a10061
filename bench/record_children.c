/* SPDX-License-Identifier: MIT */
/* Recordings of child processes: found in their folder, converted, removed. */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/record_internal.h"

/* "PID-N" */
static int parse_name(const char *name, long *pid, long *n)
{
	char *end;

	*pid = strtol(name, &end, 10);
	if (end == name || *end != '-')
		return -EINVAL;
	name = end + 1;
	*n = strtol(name, &end, 10);
	return end == name || *end != '\0' ? -EINVAL : 0;
}

static int map_file(const char *path, struct raw_file *file)
{
	struct stat st;

	file->fd = open(path, O_RDWR | O_CLOEXEC);
	if (file->fd < 0 || fstat(file->fd, &st) != 0 || st.st_size <= RAW_HEADER_BYTES)
		goto fail;
	file->bytes = (size_t)st.st_size;
	file->header = mmap(NULL, file->bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE, file->fd, 0);
	if (file->header == MAP_FAILED)
		goto fail;
	if (memcmp(file->header->magic, RAW_MAGIC, sizeof(file->header->magic)) == 0)
		return 0;
	munmap(file->header, file->bytes);
fail:
	if (file->fd >= 0)
		close(file->fd);
	return -EINVAL;
}

/* One recording. A process without allocations of its own leaves no trace. */
static int convert_child(const char *trace_path, const char *path, long pid, long n,
			 const struct trace_origin *parent,
			 const struct record_options *options)
{
	struct trace_origin origin = {
		.recorder_ps_per_event = parent->recorder_ps_per_event};
	struct record_summary summary = {.pid = (uint32_t)pid};
	char name[PATH_MAX];
	struct raw_file file;
	int err;

	if (map_file(path, &file) != 0)
		return 0; /* killed before it had begun */
	if (n == 1)
		err = snprintf(name, sizeof(name), "%s.%ld", trace_path, pid);
	else
		err = snprintf(name, sizeof(name), "%s.%ld.%ld", trace_path, pid, n);
	memcpy(summary.program, file.header->program, sizeof(summary.program) - 1);
	origin.program = summary.program;
	summary.still_running = atomic_load(&file.header->ended_ns) == 0 &&
				kill((pid_t)pid, 0) == 0;
	/* Who still writes to it must not lose the storage under his feet. */
	err = err >= (int)sizeof(name)
		      ? -ENAMETOOLONG
		      : record_convert_file(name, &file, false, &origin, &summary);
	munmap(file.header, file.bytes);
	close(file.fd);
	if (err == 0 && options->on_child != NULL)
		options->on_child(name, &summary, options->arg);
	return err == -ENOTSUP ? 0 : err;
}

int record_convert_children(const char *trace_path, const char *folder,
			    const struct trace_origin *origin,
			    const struct record_options *options)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, versionsort), first_err = 0;

	if (count < 0)
		return kmem_error(-errno, "cannot read '%s': %s", folder,
				  strerror(errno));
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];
		long pid, n;
		int err;

		if (parse_name(entries[i]->d_name, &pid, &n) == 0 &&
		    (size_t)snprintf(path, sizeof(path), "%s/%s", folder,
				     entries[i]->d_name) < sizeof(path)) {
			err = convert_child(trace_path, path, pid, n, origin, options);
			unlink(path);
			if (first_err == 0)
				first_err = err;
		}
		free(entries[i]);
	}
	free(entries);
	rmdir(folder);
	return first_err;
}
