/* SPDX-License-Identifier: MIT */
/*
 * The log of the recorded program.
 *
 * THEORY. One shared mapping of the whole (sparse) file; one atomic addition
 * per event gives the slot. Storage is brought in ahead of the slots, a chunk
 * at a time, by MADV_POPULATE_WRITE (Linux 5.14): that saves a page fault every
 * 128 events, and a full disk then shows as an error here rather than as SIGBUS
 * in the program. The thread that comes near the end of the populated part
 * brings in the next chunk. The others run on in what is left; one that runs
 * beyond it waits, for to touch a page without storage may be fatal.
 *
 * Whether this process is recorded stands in a page of its own under
 * MADV_WIPEONFORK (Linux 4.14): the kernel hands it zeroed to every child,
 * however it was forked (fork, _Fork, a bare clone), so children are silent
 * without a hook, and there is no lock that a fork could leave taken. Children of
 * vfork() and posix_spawn() share our memory until they exec, and what they allocate
 * is indeed ours.
 *
 * With RAW_CHILDREN_VARIABLE set, a child that finds its page zeroed makes a recording
 * of its own at its first event, by system calls alone (after a fork among threads
 * nothing else is safe). The variable and LD_PRELOAD then stay in the environment, so
 * that programs started by exec do the same.
 */
#include "bench/recorder/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* 1 MiB: populating takes some 50 us, 2 ns an event, and is a multiple of every page
 * size. */
#define CHUNK_EVENTS ((uint64_t)32768)
/* The rest at which the next chunk is fetched: time for the other threads to run on. */
#define AHEAD_EVENTS (CHUNK_EVENTS / 2)

/* Zeroed in children. Read by every event; written when attaching and by grow(). */
struct log_state {
	_Atomic bool recording;
	_Atomic bool tried;	    /* a child's own recording was made, or cannot be */
	_Atomic bool growing;	    /* one thread at a time is in grow() */
	_Atomic bool full;	    /* nothing more will be populated */
	_Atomic uint64_t grow_at;   /* slot from which on storage must be seen to */
	_Atomic uint64_t populated; /* slots; at least grow_at */
};

static struct log_state not_attached;
static struct log_state *state = &not_attached;
static struct raw_header *header;
static struct raw_event *events;
static size_t mapped_bytes;

/* From RAW_CHILDREN_VARIABLE; capacity 0: children are not recorded. */
static struct {
	uint64_t capacity;
	char folder[PATH_MAX];
} children;

/* 0: this thread had no event yet. */
static __thread uint32_t thread_number;

static void stop_in_child(void)
{
	atomic_store_explicit(&state->recording, false, memory_order_relaxed);
}

/* The page that fork() wipes; where the kernel cannot, a hook does it. */
static struct log_state *state_page(void)
{
	size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, bytes, MADV_WIPEONFORK) != 0 &&
	    pthread_atfork(NULL, NULL, stop_in_child) != 0) {
		munmap(page, bytes);
		return NULL;
	}
	return page;
}

/*
 * kmembench puts us first: "LD_PRELOAD=/…/libkmembench-record.so:rest". Takes our
 * name out in place, because setenv() would allocate.
 */
static void restore_preload(void)
{
	char *value = getenv("LD_PRELOAD");
	char *rest;

	if (value == NULL || strstr(value, RAW_LIBRARY) == NULL)
		return;
	rest = strchr(value, ':');
	if (rest == NULL || rest[1] == '\0')
		unsetenv("LD_PRELOAD");
	else
		memmove(value, rest + 1, strlen(rest + 1) + 1);
}

/* Maps the file behind fd if it is a raw recording that nobody has attached to. */
static bool map_recording(int fd)
{
	struct raw_header *h;
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size <= RAW_HEADER_BYTES)
		return false;
	h = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (h == MAP_FAILED)
		return false;
	if (memcmp(h->magic, RAW_MAGIC, sizeof(h->magic)) != 0 ||
	    (uint64_t)st.st_size <
		    RAW_HEADER_BYTES + h->capacity * sizeof(struct raw_event) ||
	    atomic_load(&h->pid) != 0) {
		munmap(h, (size_t)st.st_size);
		return false;
	}
	/* In a child: the parent's recording, which is not ours to write to. */
	if (header != NULL)
		munmap(header, mapped_bytes);
	header = h;
	mapped_bytes = (size_t)st.st_size;
	events = (struct raw_event *)((char *)h + RAW_HEADER_BYTES);
	return true;
}

/* Out of the way of programs that count on the lowest free descriptor. */
#define ALIVE_FD_MIN 200

static void keep_alive_fd(int fd)
{
	/* Without it, exec goes unseen: no reason to fail. */
	(void)fcntl(fd, F_DUPFD_CLOEXEC, ALIVE_FD_MIN);
	close(fd);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Everything is prepared before the first event can see it. */
static void begin(struct log_state *s)
{
	const char *name = program_invocation_short_name;

	if (name != NULL)
		strncpy(header->program, name, sizeof(header->program) - 1);
	atomic_store(&header->begun_ns, now_ns());
	atomic_store(&header->pid, (uint32_t)getpid());
	atomic_store_explicit(&s->recording, true, memory_order_release);
}

/* Programs that end by exit() or by returning from main say when. */
static void __attribute__((destructor)) end(void)
{
	if (atomic_load_explicit(&state->recording, memory_order_relaxed))
		atomic_store(&header->ended_ns, now_ns());
}

/* A sparse file for a recording of this process's own; its descriptor or -1. */
static int create_recording(void)
{
	struct raw_header h = {.magic = RAW_MAGIC, .capacity = children.capacity};
	uint64_t bytes = RAW_HEADER_BYTES +
			 KMEM_ALIGN_UP(children.capacity * sizeof(struct raw_event),
				       RAW_HEADER_BYTES);
	char path[PATH_MAX + 32];
	int fd = -1;

	for (unsigned int n = 1; fd < 0; n++) {
		snprintf(path, sizeof(path), "%s/%d-%u", children.folder, (int)getpid(),
			 n);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			return -1;
	}
	if (ftruncate(fd, (off_t)bytes) == 0 &&
	    pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h))
		return fd;
	close(fd);
	unlink(path);
	return -1;
}

/* In a child, or a program started by one: true when it is recorded from here on. */
static KMEM_COLD bool record_child(struct log_state *s)
{
	int saved_errno = errno, fd;
	bool mapped = false;

	if (atomic_exchange(&s->tried, true))
		return false;
	fd = create_recording();
	if (fd >= 0) {
		mapped = map_recording(fd);
		close(fd);
	}
	if (mapped) {
		thread_number = 0; /* this thread is the only one */
		begin(s);
	}
	errno = saved_errno;
	return mapped;
}

static bool read_children_variable(void)
{
	const char *value = getenv(RAW_CHILDREN_VARIABLE);
	char *comma;

	if (value == NULL)
		return false;
	children.capacity = strtoull(value, &comma, 10);
	if (*comma != ',' || strlen(comma + 1) >= sizeof(children.folder)) {
		children.capacity = 0;
		return false;
	}
	memcpy(children.folder, comma + 1, strlen(comma + 1) + 1);
	return children.capacity != 0;
}

void log_attach(void)
{
	static _Atomic bool tried;
	int saved_errno = errno;
	struct log_state *s;
	const char *value;
	char *comma;
	long fd, alive_fd;
	bool with_children;

	if (environ == NULL || atomic_exchange(&tried, true))
		return;
	with_children = read_children_variable();
	value = getenv(RAW_FDS_VARIABLE);
	if (value == NULL && !with_children)
		return;
	s = state_page();
	if (s == NULL) {
		children.capacity = 0;
		goto out;
	}
	state = s;
	if (value == NULL)
		goto out;
	fd = strtol(value, &comma, 10);
	alive_fd = *comma == ',' ? strtol(comma + 1, NULL, 10) : -1;
	unsetenv(RAW_FDS_VARIABLE);
	if (!with_children)
		restore_preload();
	if (map_recording((int)fd)) {
		close((int)fd);
		keep_alive_fd((int)alive_fd);
		begin(s);
	}
out:
	errno = saved_errno;
}

/*
 * Populates up to a chunk beyond `slot`. When the storage cannot be had, the
 * recording ends at what there is. Under `growing`.
 */
static void grow(struct log_state *s, uint64_t slot)
{
	uint64_t from = atomic_load(&s->populated), capacity = header->capacity;
	uint64_t to = KMEM_ALIGN_UP((from > slot ? from : slot) + 1, CHUNK_EVENTS);

	if (slot < atomic_load(&s->grow_at) || atomic_load(&s->full))
		return; /* another thread has been here */
	if (to > capacity)
		to = capacity;
	if (madvise(events + from, (to - from) * sizeof(*events), MADV_POPULATE_WRITE) !=
	    0) {
		if (errno == EINVAL) {
			to = capacity; /* older kernel: each page by its own fault */
		} else {
			to = from;
			atomic_store(&header->disk_full, 1);
		}
	}
	atomic_store(&header->populated, to);
	atomic_store(&s->populated, to);
	atomic_store(&s->full, to == capacity || to == from);
	atomic_store(&s->grow_at, to == capacity || to == from ? to : to - AHEAD_EVENTS);
}

/* True when the slot may be written; sees to it that the next ones may, too. */
static KMEM_COLD bool have_storage(struct log_state *s, uint64_t slot)
{
	/* Set while this thread may be in grow(): a signal handler must not wait for it.
	 */
	static __thread volatile bool in_grow;
	static const struct timespec pause = {.tv_nsec = 20000};
	int saved_errno = errno;
	bool have = false, mine;

	while (slot >= atomic_load(&s->grow_at)) {
		have = slot < atomic_load(&s->populated);
		if (atomic_load(&s->full) || in_grow)
			goto out;
		in_grow = true;
		mine = !atomic_exchange(&s->growing, true);
		if (mine) {
			grow(s, slot);
			atomic_store(&s->growing, false);
		}
		in_grow = false;
		if (!mine && have)
			goto out;
		if (!mine)
			nanosleep(&pause, NULL);
	}
	have = true;
out:
	errno = saved_errno;
	return have;
}

static KMEM_ALWAYS_INLINE bool is_recorded(struct log_state *s)
{
	return atomic_load_explicit(&s->recording, memory_order_relaxed) ||
	       (KMEM_UNLIKELY(children.capacity != 0) && record_child(s));
}

static uint32_t take_thread_number(void)
{
	return 1 + atomic_fetch_add_explicit(&header->threads, 1, memory_order_relaxed);
}

void log_event(enum raw_op op, unsigned int align_log2, const void *ptr,
	       size_t size_bytes, const void *old_ptr)
{
	struct log_state *s = state;
	struct raw_event *e;
	uint64_t slot;

	if (!is_recorded(s))
		return;
	if (KMEM_UNLIKELY(thread_number == 0))
		thread_number = take_thread_number();
	/* Relaxed is enough, and orders what must be ordered: see raw.h. */
	slot = atomic_fetch_add_explicit(&header->next, 1, memory_order_relaxed);
	if (KMEM_UNLIKELY(slot >=
			  atomic_load_explicit(&s->grow_at, memory_order_acquire)) &&
	    !have_storage(s, slot))
		return;
	e = &events[slot];
	e->ptr = (uintptr_t)ptr;
	e->size_bytes = size_bytes;
	e->old_ptr = (uintptr_t)old_ptr;
	atomic_store_explicit(&e->what, raw_what(op, align_log2, thread_number - 1),
			      memory_order_release);
}

uint32_t log_thread_create(void)
{
	uint32_t number;

	if (!is_recorded(state))
		return 0;
	number = take_thread_number();
	log_event(RAW_THREAD_CREATE, 0, (const void *)(uintptr_t)number, 0, NULL);
	return number;
}

void log_thread_begin(uint32_t number)
{
	thread_number = number;
	log_event(RAW_THREAD_BEGIN, 0, (const void *)(uintptr_t)pthread_self(), 0, NULL);
}
