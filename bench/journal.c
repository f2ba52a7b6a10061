/* SPDX-License-Identifier: MIT */
/* Journal of finished blocks: see journal.h. */
#include "bench/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <kmem/error.h>

static char *journal_path(const char *out)
{
	char *path;

	if (asprintf(&path, "%s.journal", out) < 0)
		abort();
	return path;
}

char *journal_build(const char *git_revision)
{
	unsigned char chunk[65536];
	uint64_t hash = 0xcbf29ce484222325u;
	FILE *file = fopen("/proc/self/exe", "re");
	char *text;
	size_t n;

	while (file != NULL && (n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
		for (size_t i = 0; i < n; i++)
			hash = (hash ^ chunk[i]) * 0x100000001b3u;
	}
	if (file != NULL)
		fclose(file);
	if (asprintf(&text, "%s %016" PRIx64, git_revision, hash) < 0)
		abort();
	return text;
}

/* Two runs that write one journal would spoil both. The lock ends with the process. */
static int lock(const struct journal *j, FILE *file)
{
	if (flock(fileno(file), LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return 0; /* a file system without locks */
	return kmem_error(-EBUSY,
			  "another process is writing '%s': wait for it, or give another "
			  "output",
			  j->path);
}

/* Written as text: JSON integers would lose the top bit. */
static int write_header(struct journal *j, const struct journal_identity *id,
			uint64_t seed)
{
	fprintf(j->file,
		JOURNAL_START " 2, \"plan\": \"%016" PRIx64
			      "\", \"build\": \"%s\", \"seed\": %" PRIu64 "}\n",
		id->plan_hash, id->build, seed);
	if (fflush(j->file) != 0)
		return kmem_error(-EIO, "cannot write '%s': %s", j->path,
				  strerror(errno));
	return 0;
}

/* Why there is a journal already: its run goes on, or was interrupted. */
static int explain_journal(const struct journal *j)
{
	FILE *file = fopen(j->path, "re");
	int err = file != NULL ? lock(j, file) : 0;

	if (file != NULL)
		fclose(file);
	if (err != 0)
		return err;
	return kmem_error(
		-EEXIST,
		"'%s' holds the cells of an interrupted run: add --resume to go "
		"on with it, or remove it",
		j->path);
}

static int explain_absence(const struct journal *j, int err)
{
	return kmem_error(err,
			  "there is no journal '%s' (%s): nothing was interrupted here",
			  j->path, strerror(-err));
}

int journal_expect(const char *out, bool resume)
{
	struct journal j = {.path = journal_path(out)};
	bool there = access(j.path, F_OK) == 0;
	int err = 0;

	if (resume && !there)
		err = explain_absence(&j, -errno);
	else if (!resume && there)
		err = explain_journal(&j);
	free(j.path);
	return err;
}

int journal_create(struct journal *j, const char *out, const struct journal_identity *id,
		   uint64_t seed)
{
	int err;

	j->path = journal_path(out);
	j->file = fopen(j->path, "wxe");
	if (j->file == NULL) {
		err = -errno;
		if (err == -EEXIST)
			err = explain_journal(j);
		else
			kmem_error(err, "cannot create '%s': %s", j->path,
				   strerror(-err));
	} else {
		err = lock(j, j->file);
		if (err == 0)
			err = write_header(j, id, seed);
	}
	if (err == 0)
		return 0;
	if (j->file != NULL)
		fclose(j->file);
	free(j->path);
	*j = (struct journal){0};
	return err;
}

static int check_header(const struct journal *j, const json_t *header,
			const struct journal_identity *id)
{
	const char *plan = json_string_value(json_object_get(header, "plan"));
	const char *build = json_string_value(json_object_get(header, "build"));
	char hash[17];

	snprintf(hash, sizeof(hash), "%016" PRIx64, id->plan_hash);
	if (plan == NULL || json_object_get(header, "kmembench_journal") == NULL)
		return kmem_error(-EINVAL,
				  "'%s' is not a journal of kmembench, or is damaged at "
				  "its beginning: remove it to begin anew",
				  j->path);
	if (strcmp(plan, hash) != 0)
		return kmem_error(
			-EINVAL,
			"'%s' belongs to another plan: resume with the command and the "
			"job file that began it",
			j->path);
	if (build == NULL || strcmp(build, id->build) != 0)
		return kmem_error(
			-EINVAL,
			"'%s' was begun by another build of this program ('%s', and this "
			"is '%s'): resume with that one, or remove the journal",
			j->path, build != NULL ? build : "not recorded", id->build);
	return 0;
}

static int read_header(const struct journal *j, FILE *file,
		       const struct journal_identity *id, uint64_t *seed)
{
	char *line = NULL;
	size_t size = 0;
	json_t *header = NULL;
	int err;

	if (getline(&line, &size, file) > 0)
		header = json_loads(line, 0, NULL);
	free(line);
	err = check_header(j, header, id);
	if (err == 0)
		*seed = (uint64_t)json_integer_value(json_object_get(header, "seed"));
	json_decref(header);
	return err;
}

static int hand_over(json_t *cells, unsigned int block,
		     int (*fn)(size_t, unsigned int, json_t *, void *), void *arg)
{
	json_t *cell;
	size_t i;
	int err = 0;

	json_array_foreach (cells, i, cell) {
		json_t *entry = json_array_get(cell, 1);

		if (!json_is_object(entry))
			return -EINVAL;
		err = fn((size_t)json_integer_value(json_array_get(cell, 0)), block,
			 entry, arg);
		if (err != 0)
			break;
	}
	return err;
}

/* Hands over each whole line; *end is where the last whole one ended, *damaged the number
 * of the line that is none. */
static int read_entries(FILE *file, long *end, size_t *damaged,
			int (*fn)(size_t, unsigned int, json_t *, void *), void *arg)
{
	char *line = NULL;
	size_t size = 0, number = 1; /* the header */
	int err = 0;

	*end = ftell(file);
	*damaged = 0;
	while (err == 0 && getline(&line, &size, file) > 0) {
		json_t *record = json_loads(line, 0, NULL);
		json_t *cells = json_object_get(record, "cells");

		number++;
		if (cells == NULL || line[strlen(line) - 1] != '\n') {
			json_decref(record);
			*damaged = number;
			break;
		}
		err = hand_over(cells,
				(unsigned int)json_integer_value(
					json_object_get(record, "block")),
				fn, arg);
		json_decref(record);
		*end = ftell(file);
	}
	free(line);
	return err;
}

int journal_resume(struct journal *j, const char *out, const struct journal_identity *id,
		   uint64_t *seed,
		   int (*fn)(size_t cell, unsigned int block, json_t *entry, void *arg),
		   void *arg)
{
	FILE *file;
	long end = 0;
	int err;

	j->path = journal_path(out);
	file = fopen(j->path, "r+e");
	if (file == NULL) {
		err = explain_absence(j, -errno);
		goto no_file;
	}
	err = lock(j, file);
	if (err == 0)
		err = read_header(j, file, id, seed);
	if (err == 0)
		err = read_entries(file, &end, &j->damaged_line, fn, arg);
	if (err == 0 &&
	    (ftruncate(fileno(file), end) != 0 || fseek(file, end, SEEK_SET) != 0))
		err = kmem_error(-errno, "cannot go on writing '%s': %s", j->path,
				 strerror(errno));
	if (err == 0) {
		j->file = file;
		return 0;
	}
	fclose(file);
no_file:
	free(j->path);
	j->path = NULL;
	return err;
}

/* Half a line would make what follows it unreadable. */
static void take_back(struct journal *j, off_t end)
{
	__fpurge(j->file);
	clearerr(j->file);
	if (ftruncate(fileno(j->file), end) == 0)
		fseeko(j->file, end, SEEK_SET);
}

int journal_append(struct journal *j, unsigned int block, json_t *cells)
{
	json_t *record;
	off_t end;
	int err = 0;

	if (j->file == NULL)
		return 0;
	end = ftello(j->file);
	record = json_pack("{s:I, s:O}", "block", (json_int_t)block, "cells", cells);
	if (json_dumpf(record, j->file, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0 ||
	    fputc('\n', j->file) == EOF || fflush(j->file) != 0)
		err = kmem_error(-EIO, "'%s': %s", j->path, strerror(errno));
	json_decref(record);
	if (err != 0) {
		take_back(j, end);
		j->lost++;
	}
	return err;
}

void journal_close(struct journal *j, bool keep)
{
	if (j->file == NULL)
		return;
	fclose(j->file);
	if (!keep)
		unlink(j->path);
	free(j->path);
	j->file = NULL;
	j->path = NULL;
}
