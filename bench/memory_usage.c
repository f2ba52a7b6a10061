/* SPDX-License-Identifier: MIT */
/* Resident memory from /proc/self, with plain system calls and fixed buffers. */
#include "bench/memory_usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Memory files of one process; more are left out. */
#define FILES_MAX 16

bool memory_kb_field(const char *text, const char *name, uint64_t *bytes)
{
	size_t length = strlen(name);
	uint64_t kb = 0;

	/* Fields begin lines, and one name may be the end of another. */
	while (text != NULL && strncmp(text, name, length) != 0) {
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	if (text == NULL)
		return false;
	text += length;
	while (*text == ' ' || *text == '\t')
		text++;
	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		kb = kb * 10 + (uint64_t)(*text - '0');
	*bytes = kb << 10;
	return true;
}

static bool read_text(struct memory_reader *r, int fd)
{
	ssize_t n = fd >= 0 ? pread(fd, r->text, sizeof(r->text) - 1, 0) : -1;

	if (n <= 0)
		return false;
	r->text[n] = '\0';
	return true;
}

static int open_to_read(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

void memory_reader_open(struct memory_reader *r)
{
	r->rollup_fd = open_to_read("/proc/self/smaps_rollup");
	r->status_fd = open_to_read("/proc/self/status");
	r->files_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* It may be opened, and still not be read. */
	if (r->rollup_fd >= 0 && !read_text(r, r->rollup_fd)) {
		close(r->rollup_fd);
		r->rollup_fd = -1;
	}
}

void memory_reader_close(struct memory_reader *r)
{
	const int fds[] = {r->rollup_fd, r->status_fd, r->files_fd};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

const char *memory_reader_source(const struct memory_reader *r)
{
	return r->rollup_fd >= 0 ? "smaps_rollup" : "status";
}

/* Files that were counted: two descriptors may be of one. */
struct seen_files {
	ino_t inode[FILES_MAX];
	size_t count;
};

/* Bytes of memory in an unlinked file on a tmpfs; 0 for any other descriptor. */
static uint64_t memory_file_bytes(int fd, struct seen_files *seen)
{
	struct stat file;
	struct statfs system;

	if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || file.st_nlink != 0 ||
	    fstatfs(fd, &system) != 0 || system.f_type != TMPFS_MAGIC)
		return 0;
	for (size_t i = 0; i < seen->count; i++) {
		if (seen->inode[i] == file.st_ino)
			return 0;
	}
	if (seen->count == FILES_MAX)
		return 0;
	seen->inode[seen->count++] = file.st_ino;
	return (uint64_t)file.st_blocks * 512;
}

/* -1: the name is no number. */
static int number_of(const char *name)
{
	int number = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		number = number * 10 + (*name - '0');
	return *name == '\0' ? number : -1;
}

/* All memory files that the process has open. Uses r->text. */
static uint64_t memory_files_bytes(struct memory_reader *r)
{
	struct seen_files seen = {.count = 0};
	uint64_t bytes = 0;
	ssize_t n;

	if (r->files_fd < 0 || lseek(r->files_fd, 0, SEEK_SET) != 0)
		return 0;
	while ((n = getdents64(r->files_fd, r->text, sizeof(r->text))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry =
				(const struct dirent64 *)(const void *)(r->text + at);
			int fd = number_of(entry->d_name);

			if (fd >= 0)
				bytes += memory_file_bytes(fd, &seen);
			at += entry->d_reclen;
		}
	}
	return bytes;
}

int memory_reader_read(struct memory_reader *r, struct memory_usage *usage)
{
	uint64_t rss = 0, anonymous = 0, shared = 0, held;

	if (read_text(r, r->rollup_fd) && memory_kb_field(r->text, "Rss:", &rss) &&
	    memory_kb_field(r->text, "Anonymous:", &anonymous) &&
	    memory_kb_field(r->text, "Pss_Shmem:", &shared)) {
		usage->file_bytes = rss -
				    (anonymous + shared < rss ? anonymous + shared : rss);
	} else if (read_text(r, r->status_fd) &&
		   memory_kb_field(r->text, "RssAnon:", &anonymous) &&
		   memory_kb_field(r->text, "RssShmem:", &shared) &&
		   memory_kb_field(r->text, "RssFile:", &usage->file_bytes)) {
		/* Everything has been read. */
	} else {
		return -ENODATA;
	}
	held = memory_files_bytes(r);
	usage->rss_bytes = anonymous + (held > shared ? held : shared);
	usage->pss_bytes = anonymous + shared;
	return 0;
}

int memory_usage_now(struct memory_usage *usage)
{
	struct memory_reader reader;
	int err;

	memset(usage, 0, sizeof(*usage));
	memory_reader_open(&reader);
	err = memory_reader_read(&reader, usage);
	memory_reader_close(&reader);
	return err;
}

int memory_peak_reset(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "5", 1) != 1)
		err = -errno;
	close(fd);
	return err;
}

uint64_t memory_peak_bytes(void)
{
	struct memory_reader reader;
	uint64_t bytes = 0;

	memory_reader_open(&reader);
	if (!read_text(&reader, reader.status_fd) ||
	    !memory_kb_field(reader.text, "VmHWM:", &bytes))
		bytes = 0;
	memory_reader_close(&reader);
	return bytes;
}
