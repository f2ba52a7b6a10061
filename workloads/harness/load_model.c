/* SPDX-License-Identifier: MIT */
/* Models of loads: their files, and what follows from them. */
#include "workloads/harness/load_model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"

#define MODEL_BYTES_MAX (1u << 20)
#define LIFE_MAX	1e15
#define KEPT_MAX	((uint64_t)1 << 32)

/* --- what follows --- */

uint64_t load_sizes_draw(const struct load_sizes *s, struct rng *rng)
{
	double below = (double)s->high - s->mean, low = (double)s->low, high = s->mean;
	double size;

	if (s->low == s->high)
		return s->low;
	/* p (low + mean) / 2 + (1 - p) (mean + high) / 2 = mean for this p. */
	if (rng_double(rng) * (double)(s->high - s->low) >= below) {
		low = s->mean;
		high = (double)s->high;
	}
	size = round(low + rng_double(rng) * (high - low));
	return (uint64_t)size;
}

double load_model_live_blocks(const struct load_model *m)
{
	double blocks = 0;

	for (uint32_t i = 0; i < m->cells; i++)
		blocks += m->cell[i].weight * m->cell[i].life;
	for (uint32_t i = 0; i < m->kepts; i++)
		blocks += (double)m->kept[i].count;
	return blocks;
}

double load_model_live_bytes(const struct load_model *m)
{
	double bytes = 0;

	for (uint32_t i = 0; i < m->cells; i++)
		bytes += m->cell[i].weight * m->cell[i].life * m->cell[i].sizes.mean;
	for (uint32_t i = 0; i < m->kepts; i++)
		bytes += (double)m->kept[i].count * m->kept[i].sizes.mean;
	return bytes;
}

uint64_t load_model_size_max(const struct load_model *m)
{
	uint64_t max = 1;

	for (uint32_t i = 0; i < m->cells; i++)
		max = m->cell[i].sizes.high > max ? m->cell[i].sizes.high : max;
	for (uint32_t i = 0; i < m->kepts; i++)
		max = m->kept[i].sizes.high > max ? m->kept[i].sizes.high : max;
	return max;
}

void load_model_delete(struct load_model *model)
{
	arena_free(model, sizeof(*model));
}

/* --- reading --- */

struct reader {
	const char *name;
	unsigned int line;
	struct load_model *model;
	bool ended;
};

static int bad(const struct reader *r, const char *what)
{
	return kmem_error(-EINVAL, "model '%s', line %u: %s", r->name, r->line, what);
}

/* Reads up to n numbers; true when there are exactly n, and finite ones. */
static bool read_numbers(const char *at, double *value, int n)
{
	char *end;

	for (int i = 0; i < n; i++) {
		value[i] = strtod(at, &end);
		if (end == at || !isfinite(value[i]) || value[i] < 0)
			return false;
		at = end;
	}
	return at[strspn(at, " \t")] == '\0';
}

static bool read_sizes(const double *value, struct load_sizes *sizes)
{
	if (value[0] > (double)LOAD_SIZE_MAX || value[1] > (double)LOAD_SIZE_MAX)
		return false;
	sizes->low = (uint64_t)value[0];
	sizes->high = (uint64_t)value[1];
	sizes->mean = value[2];
	return sizes->low <= sizes->high && sizes->mean >= (double)sizes->low &&
	       sizes->mean <= (double)sizes->high;
}

static int read_cell(struct reader *r, const char *at)
{
	struct load_cell *cell = &r->model->cell[r->model->cells];
	double v[6];

	if (r->model->cells == LOAD_CELLS_MAX)
		return bad(r, "more cells than 4096, fit it with fewer");
	if (!read_numbers(at, v, 6))
		return bad(r,
			   "'cell' takes LOW HIGH MEAN WEIGHT LIFE HANDED, numbers of 0 "
			   "and more");
	if (!read_sizes(v, &cell->sizes))
		return bad(r, "sizes must be LOW <= MEAN <= HIGH <= 2147483648");
	if (v[4] <= 0 || v[4] > LIFE_MAX)
		return bad(r, "LIFE must be above 0 and at most 1e15");
	if (v[5] > 1)
		return bad(r, "HANDED is a share, 0 to 1");
	cell->weight = v[3];
	cell->life = v[4];
	cell->handed = v[5];
	r->model->cells++;
	return 0;
}

static int read_kept(struct reader *r, const char *at)
{
	struct load_kept *kept = &r->model->kept[r->model->kepts];
	double v[4];

	if (r->model->kepts == LOAD_KEPT_MAX)
		return bad(r, "more lines of 'kept' than 512");
	if (!read_numbers(at, v, 4))
		return bad(r, "'kept' takes LOW HIGH MEAN COUNT, numbers of 0 and more");
	if (!read_sizes(v, &kept->sizes))
		return bad(r, "sizes must be LOW <= MEAN <= HIGH <= 2147483648");
	if (v[3] > (double)KEPT_MAX)
		return bad(r, "COUNT is at most 2^32");
	kept->count = (uint64_t)v[3];
	r->model->kepts++;
	return 0;
}

static int read_number(const struct reader *r, const char *at, double min, double *value)
{
	if (!read_numbers(at, value, 1) || *value < min || *value > LIFE_MAX)
		return bad(r, "one number is expected, within reason");
	return 0;
}

static int read_line(struct reader *r, char *line)
{
	struct load_model *m = r->model;
	char *comment = strchr(line, '#'), *word = line + strspn(line, " \t"), *rest;
	double births = 0;
	int err;

	if (comment != NULL)
		*comment = '\0';
	rest = word + strcspn(word, " \t\r");
	if (*rest != '\0')
		*rest++ = '\0';
	rest[strcspn(rest, "\r")] = '\0';
	if (*word == '\0')
		return 0;
	if (r->ended)
		return bad(r, "nothing may follow 'end'");
	if (strcmp(word, "source") == 0) {
		snprintf(m->source, sizeof(m->source), "%s", rest + strspn(rest, " \t"));
		return 0;
	}
	if (strcmp(word, "threads") == 0)
		return read_number(r, rest, 1, &m->threads);
	if (strcmp(word, "rate") == 0)
		return read_number(r, rest, 0, &m->rate);
	if (strcmp(word, "births") == 0) {
		err = read_number(r, rest, 0, &births);
		m->births = (uint64_t)births;
		return err;
	}
	if (strcmp(word, "cell") == 0)
		return read_cell(r, rest);
	if (strcmp(word, "kept") == 0)
		return read_kept(r, rest);
	r->ended = strcmp(word, "end") == 0;
	return r->ended ? 0
			: bad(r, "an item is source, threads, rate, births, cell, kept "
				 "or end");
}

/* What holds of the whole; makes the weights' sum 1. */
static int complete(struct reader *r)
{
	struct load_model *m = r->model;
	double sum = 0;

	if (!r->ended)
		return bad(r, "the file is cut off: no 'end'");
	for (uint32_t i = 0; i < m->cells; i++)
		sum += m->cell[i].weight;
	if (!isfinite(sum) || sum <= 0)
		return bad(r, "no cell has a weight");
	for (uint32_t i = 0; i < m->cells; i++)
		m->cell[i].weight /= sum;
	return 0;
}

int load_model_parse(const char *name, const char *text, size_t bytes,
		     struct load_model **model)
{
	struct reader r = {.name = name};
	char *copy = arena_alloc(bytes + 1), *line = copy, *next;
	int err = 0;

	memcpy(copy, text, bytes);
	r.model = arena_alloc(sizeof(*r.model));
	r.model->threads = 1;
	for (; err == 0 && line != NULL && (size_t)(line - copy) < bytes; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (++r.line > 1)
			err = read_line(&r, line);
		else if (strcmp(line, "kmembench-model 1") != 0)
			err = bad(&r, "it does not begin with 'kmembench-model 1': "
				      "'kmembench fit' writes models");
	}
	if (err == 0)
		err = complete(&r);
	arena_free(copy, bytes + 1);
	if (err != 0) {
		load_model_delete(r.model);
		r.model = NULL;
	}
	*model = r.model;
	return err;
}

int load_model_read(const char *path, struct load_model **model)
{
	struct stat st;
	size_t done = 0;
	ssize_t n = 1;
	char *text;
	int fd, err;

	*model = NULL;
	if (path == NULL || path[0] == '\0')
		return load_model_parse("built-in", load_model_builtin,
					strlen(load_model_builtin), model);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return kmem_error(-errno, "cannot open model '%s': %s", path,
				  strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MODEL_BYTES_MAX) {
		close(fd);
		return kmem_error(-EINVAL,
				  "cannot read model '%s': it is no regular file of at "
				  "most 1 MiB",
				  path);
	}
	text = arena_alloc((size_t)st.st_size + 1);
	while (done < (size_t)st.st_size && n > 0) {
		n = read(fd, text + done, (size_t)st.st_size - done);
		done += n > 0 ? (size_t)n : 0;
	}
	err = n < 0 ? kmem_error(-errno, "cannot read model '%s': %s", path,
				 strerror(errno))
		    : load_model_parse(path, text, done, model);
	close(fd);
	arena_free(text, (size_t)st.st_size + 1);
	return err;
}

/* --- writing --- */

static void print_model(FILE *f, const struct load_model *m)
{
	fprintf(f,
		"kmembench-model 1\n"
		"source %s\n"
		"threads %.3f\nrate %.0f\nbirths %" PRIu64 "\n"
		"# cell LOW HIGH MEAN WEIGHT LIFE HANDED\n",
		m->source, m->threads, m->rate, m->births);
	for (uint32_t i = 0; i < m->cells; i++) {
		const struct load_cell *c = &m->cell[i];

		fprintf(f, "cell %" PRIu64 " %" PRIu64 " %.10g %.6g %.6g %.4g\n",
			c->sizes.low, c->sizes.high, c->sizes.mean, c->weight, c->life,
			c->handed);
	}
	if (m->kepts > 0)
		fputs("# kept LOW HIGH MEAN COUNT\n", f);
	for (uint32_t i = 0; i < m->kepts; i++) {
		const struct load_kept *k = &m->kept[i];

		fprintf(f, "kept %" PRIu64 " %" PRIu64 " %.10g %" PRIu64 "\n",
			k->sizes.low, k->sizes.high, k->sizes.mean, k->count);
	}
	fputs("end\n", f);
}

int load_model_write(const char *path, const struct load_model *model)
{
	char temporary[PATH_MAX];
	FILE *f;
	int err = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path, (long)getpid()) >=
	    (int)sizeof(temporary))
		return kmem_error(-ENAMETOOLONG,
				  "cannot write model '%s': the name is too long", path);
	f = fopen(temporary, "we");
	if (f == NULL)
		return kmem_error(-errno, "cannot write model '%s': %s", path,
				  strerror(errno));
	print_model(f, model);
	if (fflush(f) != 0 || fsync(fileno(f)) != 0)
		err = -errno;
	if (fclose(f) != 0 && err == 0)
		err = -errno;
	if (err == 0 && rename(temporary, path) != 0)
		err = -errno;
	if (err == 0)
		return 0;
	unlink(temporary);
	return kmem_error(err, "cannot write model '%s': %s", path, strerror(-err));
}
