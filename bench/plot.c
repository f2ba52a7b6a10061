/* SPDX-License-Identifier: MIT */
/* Walks the kinds of plots and keeps the tables and outputs that belong to them. */
#include "bench/plot.h"

#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "bench/plot_alloc.h"
#include "bench/folder.h"
#include "bench/plot_internal.h"

/* More kinds than there will be; a registration before main has nobody to tell. */
#define PLOT_KINDS_MAX 32
/* Longest file name that is made, without folder and ending. */
#define PLOT_STEM_MAX 120

static const struct plot_kind *kinds[PLOT_KINDS_MAX];
static size_t nr_kinds;

void plot_register(const struct plot_kind *kind)
{
	size_t i = nr_kinds++;

	plot_checked(nr_kinds <= PLOT_KINDS_MAX ? kinds : NULL);
	for (; i > 0 && kinds[i - 1]->rank > kind->rank; i--)
		kinds[i] = kinds[i - 1];
	kinds[i] = kind;
}

char *plot_slug(const char *text)
{
	char *slug = plot_calloc(strlen(text) + 1, 1), *out = slug;

	for (; *text != '\0'; text++) {
		char c = (char)tolower((unsigned char)*text);
		bool plain = (c >= 'a' && c <= 'z') || isdigit((unsigned char)c) ||
			     c == '.' || c == '_';

		if (plain)
			*out++ = c;
		else if (out > slug && out[-1] != '-')
			*out++ = '-';
	}
	while (out > slug && out[-1] == '-')
		out--;
	*out = '\0';
	if (out - slug > PLOT_STEM_MAX)
		slug[PLOT_STEM_MAX] = '\0';
	return slug;
}

size_t plot_series_number(const bool *series_used, size_t series)
{
	size_t number = 1;

	for (size_t i = 0; i < series; i++)
		number += series_used[i];
	return number;
}

static bool stem_taken(const struct plotter *p, const char *stem)
{
	for (size_t i = 0; i < p->outputs->count; i++) {
		if (strcmp(p->outputs->list[i].stem, stem) == 0)
			return true;
	}
	return false;
}

/* "KIND-detail", with a number behind it where two details look alike as file names. */
static char *make_stem(const struct plotter *p, const char *detail)
{
	char *slug = plot_slug(detail != NULL ? detail : ""), *base, *stem;

	base = plot_printf("%s%s%s", p->kind->name, *slug != '\0' ? "-" : "", slug);
	stem = plot_strdup(base);
	for (unsigned int n = 2; stem_taken(p, stem); n++) {
		free(stem);
		stem = plot_printf("%s-%u", base, n);
	}
	free(slug);
	free(base);
	return stem;
}

FILE *plot_begin(struct plotter *p, const char *detail, const bool *series_used)
{
	p->intervals = 0;
	p->spans = 0;
	p->hollow = false;
	p->stem = make_stem(p, detail);
	p->table_path = plot_printf("%s/%s.tsv", p->data_dir, p->stem);
	p->table = fopen(p->table_path, "w");
	if (p->table == NULL) {
		kmem_error(-errno, "cannot write '%s': %m", p->table_path);
		free(p->stem);
		free(p->table_path);
		return NULL;
	}
	for (size_t i = 0; i < p->d->nr_series; i++) {
		const struct series *s = &p->d->series[i];

		if (series_used[i])
			fprintf(p->table, "%s\t%u\t%d\t%d\t%g\t%g\n", s->name,
				s->style.colour, s->style.point_type, s->style.dash_type,
				s->style.line_width, s->style.point_size);
	}
	plot_next_block(p);
	return p->table;
}

void plot_next_block(struct plotter *p)
{
	fputs("\n\n", p->table);
}

void plot_count_bar(struct plotter *p, const struct summary *s)
{
	if (s->interval)
		p->intervals++;
	else
		p->spans++;
}

const char *plot_bars_text(const struct plotter *p, const char *interval, char *buf,
			   size_t size)
{
	if (p->spans == 0)
		snprintf(buf, size, "%s", interval);
	else if (p->intervals == 0)
		snprintf(buf, size, "minimum and maximum (fewer than %d blocks)",
			 SUMMARY_MIN_BLOCKS);
	else
		snprintf(buf, size,
			 "%s; minimum and maximum where there are fewer than %d blocks",
			 interval, SUMMARY_MIN_BLOCKS);
	return buf;
}

static int start_formats(struct plotter *p, const char *script,
			 const char *const *arguments, size_t count)
{
	static const struct {
		unsigned int flag;
		const char *name;
	} formats[] = {{PLOT_SVG, "svg"}, {PLOT_PNG, "png"}};
	int err = 0;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(formats) && err == 0; i++) {
		char *output;

		if (!(p->formats & formats[i].flag))
			continue;
		output = plot_printf("%s/%s.%s", p->dir, p->stem, formats[i].name);
		err = gnuplot_start(&p->pool, script, p->table_path, output,
				    formats[i].name, arguments, count);
		free(output);
	}
	return err;
}

int plot_submit(struct plotter *p, const char *title, const char *subtitle,
		const char *note)
{
	char *script_name = plot_printf("plots/%s.gp", p->kind->name);
	char *caption = plot_printf("%s%s%s", note, *note != '\0' ? "\n" : "",
				    p->caption);
	const char *arguments[] = {title, subtitle, caption};
	char script[4096];
	struct plot_output *output;
	int err = 0;

	if (fclose(p->table) != 0)
		err = kmem_error(-errno, "cannot write '%s': %m", p->table_path);
	else if (cli_data_path(script_name, script, sizeof(script)) == NULL)
		err = -ENOTSUP;
	if (err == 0)
		err = start_formats(p, script, arguments, KMEM_ARRAY_SIZE(arguments));
	p->outputs->list = plot_grow(p->outputs->list, p->outputs->count,
				     sizeof(*output));
	output = &p->outputs->list[p->outputs->count++];
	*output = (struct plot_output){p->kind->name, p->stem, plot_strdup(title)};
	free(p->table_path);
	free(script_name);
	free(caption);
	p->drawn++;
	return err;
}

void plot_abandon(struct plotter *p)
{
	fclose(p->table);
	unlink(p->table_path);
	free(p->table_path);
	free(p->stem);
}

void plot_left_out(struct plotter *p, const char *fmt, ...)
{
	va_list args;

	if (p->log == NULL)
		return;
	fprintf(p->log, "left out: %s: ", p->kind->name);
	va_start(args, fmt);
	vfprintf(p->log, fmt, args);
	va_end(args);
	fputc('\n', p->log);
}

void plot_count_left(struct plot_left_cells *left, const struct plot_cell *cell)
{
	if (left->count++ == 0)
		left->first = cell->label;
}

void plot_left_out_cells(struct plotter *p, const struct plot_left_cells *left,
			 const char *reason)
{
	if (left->count == 1)
		plot_left_out(p, "'%s': %s", left->first, reason);
	else if (left->count > 1)
		plot_left_out(p, "'%s' and %zu more: %s", left->first, left->count - 1,
			      reason);
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void plot_remove_folder(const char *path)
{
	nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

char *plot_temporary_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = plot_printf("%s/kmembench-plot-XXXXXX",
				 tmp != NULL && *tmp != '\0' ? tmp : "/tmp");

	if (mkdtemp(path) != NULL)
		return path;
	kmem_error(-errno, "cannot make a temporary folder '%s': %m", path);
	free(path);
	return NULL;
}

static int make_data_dir(struct plotter *p)
{
	if (p->formats & PLOT_KEEP_DATA) {
		p->data_dir = plot_printf("%s/data", p->dir);
		return folder_make(p->data_dir);
	}
	p->data_dir = plot_temporary_folder();
	return p->data_dir != NULL ? 0 : -EIO;
}

static int draw_kinds(struct plotter *p)
{
	int err = 0, last;

	gnuplot_pool_init(&p->pool, p->log);
	for (size_t i = 0; i < nr_kinds && err == 0; i++) {
		p->kind = kinds[i];
		p->drawn = 0;
		err = kinds[i]->draw(p);
	}
	last = gnuplot_finish(&p->pool);
	return err != 0 ? err : last;
}

int plot_dataset(const struct dataset *d, const char *dir, unsigned int formats,
		 FILE *log, struct plot_outputs *outputs)
{
	struct plot_outputs own = {0};
	struct plotter p = {
		.d = d,
		.dir = dir,
		.formats = formats,
		.log = log,
		.outputs = outputs != NULL ? outputs : &own,
	};
	int err = gnuplot_find();

	if (err == 0)
		err = folder_make(dir);
	if (err != 0)
		return err;
	dataset_caption(d, p.caption, sizeof(p.caption));
	err = make_data_dir(&p);
	if (err == 0)
		err = draw_kinds(&p);
	if (!(formats & PLOT_KEEP_DATA) && p.data_dir != NULL)
		plot_remove_folder(p.data_dir);
	free(p.data_dir);
	plot_outputs_free(&own);
	return err;
}

int plot_results(const char *const *paths, size_t count, const char *dir,
		 unsigned int formats, FILE *log)
{
	struct dataset *d = dataset_load(paths, count);
	int err;

	if (d == NULL)
		return -EINVAL;
	err = plot_dataset(d, dir, formats, log, NULL);
	dataset_free(d);
	return err;
}

void plot_outputs_free(struct plot_outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++) {
		free(outputs->list[i].stem);
		free(outputs->list[i].title);
	}
	free(outputs->list);
	*outputs = (struct plot_outputs){0};
}
