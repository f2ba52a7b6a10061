/* SPDX-License-Identifier: MIT */
/* Running a program under the recorder. The file between the two: bench/recorder/raw.h.
 */
#include "bench/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <kmem/error.h>
#include "bench/cli.h"
#include "bench/preload.h"
#include "bench/record_internal.h"

/* An unnamed file in the trace's folder, where there is room for a recording. */
static int open_unnamed(const char *trace_path)
{
	char name[PATH_MAX];
	const char *slash = strrchr(trace_path, '/');
	int length = slash != NULL ? (int)(slash - trace_path) + 1 : 0;
	int fd;

	snprintf(name, sizeof(name), "%.*s.", length, trace_path);
	fd = open(name, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	/* A file system without unnamed files. */
	if ((size_t)snprintf(name, sizeof(name), "%s.raw-XXXXXX", trace_path) >=
	    sizeof(name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

static void raw_file_close(struct raw_file *file)
{
	if (file->header != NULL)
		munmap(file->header, file->bytes);
	if (file->fd >= 0)
		close(file->fd);
}

static int raw_file_create(struct raw_file *file, const char *trace_path, uint64_t events)
{
	struct stat st;
	int err;

	file->header = NULL;
	file->bytes = RAW_HEADER_BYTES +
		      KMEM_ALIGN_UP(events * sizeof(struct raw_event), RAW_HEADER_BYTES);
	if (stat(trace_path, &st) == 0 && !S_ISREG(st.st_mode)) {
		file->fd = -1;
		return kmem_error(-EEXIST, "cannot write '%s': it is not a regular file",
				  trace_path);
	}
	file->fd = open_unnamed(trace_path);
	if (file->fd < 0)
		return kmem_error(-errno, "cannot write beside '%s': %s", trace_path,
				  strerror(errno));
	if (ftruncate(file->fd, (off_t)file->bytes) == 0) {
		file->header = mmap(NULL, file->bytes, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_NORESERVE, file->fd, 0);
		if (file->header != MAP_FAILED) {
			/* Not by a store into the mapping, which a full disk would answer
			 * with SIGBUS. */
			const struct raw_header header = {.magic = RAW_MAGIC,
							  .capacity = events};

			if (pwrite(file->fd, &header, sizeof(header), 0) ==
			    (ssize_t)sizeof(header))
				return 0;
		} else {
			file->header = NULL;
		}
	}
	err = kmem_error(
		-errno,
		"cannot prepare a temporary file of up to %zu MiB beside '%s': %s; "
		"--max-events makes it smaller",
		file->bytes >> 20, trace_path, strerror(errno));
	raw_file_close(file);
	return err;
}

/* From the first event's time on, to the program's own end or to the time when its end
 * was seen. */
static uint64_t duration_of(const struct raw_header *header, uint64_t seen_end_ns)
{
	uint64_t begun = atomic_load(&header->begun_ns);
	uint64_t ended = atomic_load(&header->ended_ns);

	if (ended == 0)
		ended = seen_end_ns;
	return begun != 0 && ended > begun ? ended - begun : 0;
}

int record_convert_file(const char *trace_path, const struct raw_file *file, bool ended,
			struct trace_origin *origin, struct record_summary *summary)
{
	struct raw_header *header = file->header;
	const struct raw_event *events =
		(const struct raw_event *)((const char *)header + RAW_HEADER_BYTES);
	uint64_t capacity = (file->bytes - RAW_HEADER_BYTES) / sizeof(*events);
	uint64_t taken = atomic_load(&header->next),
		 count = atomic_load(&header->populated);
	bool full = atomic_load(&header->disk_full) || count >= header->capacity;

	if (atomic_load(&header->pid) == 0)
		return kmem_error(
			-ENOTSUP,
			"the recorder was not loaded into '%s': the program is "
			"statically linked, gains privileges when it starts, ended in "
			"the dynamic linker, or may not map %zu MiB (--max-events)",
			origin->program, file->bytes >> 20);
	if (count > capacity)
		count = capacity;
	if (count > taken)
		count = taken;
	/* A slot without storage before that: its thread was killed while it waited. */
	summary->lost_events = full ? taken - count : 0;
	summary->disk_full = full && atomic_load(&header->disk_full);
	if (count == 0 && summary->disk_full)
		return kmem_error(
			-ENOSPC,
			"no room for the recording beside '%s': make room (1 MiB is "
			"the least), or name a trace on another disk",
			trace_path);
	summary->duration_ns = origin->duration_ns = duration_of(header,
								 origin->duration_ns);
	origin->source = TRACE_SOURCE_RECORDER;
	origin->pid = atomic_load(&header->pid);
	return record_convert(trace_path, events, count, atomic_load(&header->threads),
			      ended ? file->fd : -1, origin, summary);
}

/* A folder beside the trace, where children leave their recordings; "CAPACITY,FOLDER". */
static int make_children_folder(const char *trace_path, uint64_t events, char *value,
				size_t size)
{
	char absolute[PATH_MAX], *folder;
	const char *cwd = trace_path[0] == '/' ? "" : getcwd(absolute, sizeof(absolute));
	int head = snprintf(value, size, "%llu,", (unsigned long long)events);

	if (cwd == NULL)
		return kmem_error(-errno, "cannot tell the current folder: %s",
				  strerror(errno));
	folder = value + head;
	if ((size_t)snprintf(folder, size - (size_t)head, "%s%s%s.children-XXXXXX", cwd,
			     cwd[0] != '\0' ? "/" : "",
			     trace_path) >= size - (size_t)head ||
	    mkdtemp(folder) == NULL)
		return kmem_error(-errno,
				  "cannot make a folder for children beside '%s': %s",
				  trace_path, strerror(errno));
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Runs the program into an empty recording, and makes traces of what is there then. */
static int record_into(const char *trace_path, char *const argv[], const char *library,
		       uint64_t events, const struct record_options *options,
		       struct record_summary *summary)
{
	char children[PATH_MAX + 32] = "";
	const char *name = strrchr(argv[0], '/');
	struct trace_origin origin = {
		.program = name != NULL ? name + 1 : argv[0],
		.recorder_ps_per_event =
			(uint32_t)(summary->cost.ns_per_event * 1000 + 0.5),
	};
	struct record_start start = {.library = library};
	struct raw_file file;
	int err = raw_file_create(&file, trace_path, events), child_err = 0;

	if (err != 0)
		return err;
	start.raw_fd = file.fd;
	if (options->children) {
		err = make_children_folder(trace_path, events, children,
					   sizeof(children));
		start.children = children;
	}
	if (err == 0)
		err = record_run_process(argv, &start, summary);
	origin.duration_ns = now_ns();
	if (err == 0)
		err = record_convert_file(trace_path, &file, true, &origin, summary);
	if (options->children && children[0] != '\0')
		child_err = record_convert_children(trace_path, strchr(children, ',') + 1,
						    &origin, options);
	raw_file_close(&file);
	return err != 0 ? err : child_err;
}

int record_program(const char *trace_path, char *const argv[],
		   const struct record_options *options, struct record_summary *summary)
{
	uint64_t events = options->events_max != 0 ? options->events_max
						   : RECORD_EVENTS_DEFAULT;
	const char *library = options->library;
	char library_path[PATH_MAX];
	int err;

	memset(summary, 0, sizeof(*summary));
	if (events > RECORD_EVENTS_MAX)
		return kmem_error(-EINVAL, "a trace holds at most %llu events",
				  (unsigned long long)RECORD_EVENTS_MAX);
	if (library == NULL) {
		library = cli_library_path(RAW_LIBRARY, library_path,
					   sizeof(library_path));
		if (library == NULL)
			return -ENOENT; /* cli_library_path() left the text */
	}
	err = preload_check_library(library);
	if (err == 0)
		err = preload_check_program(argv[0]);
	if (err != 0)
		return err;
	if (options->measure_cost)
		(void)record_measure_cost(library, &summary->cost);
	return record_into(trace_path, argv, library, events, options, summary);
}
