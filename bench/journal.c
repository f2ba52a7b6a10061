/* SPDX-License-Identifier: MIT */
/* Journal of finished cells: see journal.h. */
#include "bench/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/error.h>

static char *journal_path(const char *out)
{
	char *path;

	if (asprintf(&path, "%s.journal", out) < 0)
		abort();
	return path;
}

/* Written as text: JSON integers would lose the top bit. */
static int write_header(struct journal *j, uint64_t plan_hash, uint64_t seed)
{
	fprintf(j->file,
		"{\"kmembench_journal\": 1, \"plan\": \"%016" PRIx64
		"\", \"seed\": %" PRIu64 "}\n",
		plan_hash, seed);
	if (fflush(j->file) != 0)
		return kmem_error(-EIO, "cannot write '%s': %s", j->path,
				  strerror(errno));
	return 0;
}

int journal_create(struct journal *j, const char *out, uint64_t plan_hash, uint64_t seed)
{
	j->path = journal_path(out);
	j->file = fopen(j->path, "wxe");
	if (j->file == NULL) {
		int err = -errno;

		if (err == -EEXIST)
			kmem_error(
				err,
				"'%s' holds the cells of an interrupted run: add --resume to go "
				"on with it, or remove it",
				j->path);
		else
			kmem_error(err, "cannot create '%s': %s", j->path,
				   strerror(-err));
		free(j->path);
		j->path = NULL;
		return err;
	}
	return write_header(j, plan_hash, seed);
}

static int read_header(const struct journal *j, FILE *file, uint64_t plan_hash,
		       uint64_t *seed)
{
	char *line = NULL, hash[17];
	size_t size = 0;
	json_t *header = NULL;
	const char *plan;
	int err = 0;

	if (getline(&line, &size, file) > 0)
		header = json_loads(line, 0, NULL);
	free(line);
	plan = json_string_value(json_object_get(header, "plan"));
	snprintf(hash, sizeof(hash), "%016" PRIx64, plan_hash);
	if (plan == NULL || json_object_get(header, "kmembench_journal") == NULL)
		err = kmem_error(-EINVAL, "'%s' is not a journal of kmembench", j->path);
	else if (strcmp(plan, hash) != 0)
		err = kmem_error(
			-EINVAL,
			"'%s' belongs to another plan: resume with the command and the "
			"job file that began it",
			j->path);
	else
		*seed = (uint64_t)json_integer_value(json_object_get(header, "seed"));
	json_decref(header);
	return err;
}

/* Hands over each whole line; *end is where the last whole one ended. */
static int read_entries(FILE *file, long *end,
			int (*fn)(size_t, unsigned int, json_t *, void *), void *arg)
{
	char *line = NULL;
	size_t size = 0;
	int err = 0;

	*end = ftell(file);
	while (err == 0 && getline(&line, &size, file) > 0) {
		json_t *record = json_loads(line, 0, NULL);
		json_t *entry = json_object_get(record, "entry");

		if (entry == NULL || line[strlen(line) - 1] != '\n') {
			json_decref(record);
			break;
		}
		err = fn((size_t)json_integer_value(json_object_get(record, "cell")),
			 (unsigned int)json_integer_value(
				 json_object_get(record, "block")),
			 entry, arg);
		json_decref(record);
		*end = ftell(file);
	}
	free(line);
	return err;
}

int journal_resume(struct journal *j, const char *out, uint64_t plan_hash, uint64_t *seed,
		   int (*fn)(size_t cell, unsigned int block, json_t *entry, void *arg),
		   void *arg)
{
	FILE *file;
	long end = 0;
	int err;

	j->path = journal_path(out);
	file = fopen(j->path, "r+e");
	if (file == NULL) {
		err = -errno;
		kmem_error(err,
			   "there is no journal '%s' (%s): nothing was interrupted here",
			   j->path, strerror(errno));
		goto no_file;
	}
	err = read_header(j, file, plan_hash, seed);
	if (err == 0)
		err = read_entries(file, &end, fn, arg);
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

int journal_append(struct journal *j, size_t cell, unsigned int block, json_t *entry)
{
	json_t *record;
	int err = 0;

	if (j->file == NULL)
		return 0;
	record = json_pack("{s:I, s:I, s:O}", "cell", (json_int_t)cell, "block",
			   (json_int_t)block, "entry", entry);
	if (json_dumpf(record, j->file, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0 ||
	    fputc('\n', j->file) == EOF || fflush(j->file) != 0)
		err = kmem_error(-EIO, "'%s': %s", j->path, strerror(errno));
	json_decref(record);
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
