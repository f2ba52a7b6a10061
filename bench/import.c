/* SPDX-License-Identifier: MIT */
/* From the lines of a log to a trace. */
#include "bench/import_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/record_internal.h"

const char *const import_format_names[] = {"auto", "ltrace", "mtrace", NULL};

struct importer {
	const char *path;
	FILE *file;
	char *line;
	size_t room;
	struct ltrace_parser *ltrace;
	struct mtrace_parser mtrace;
	struct conversion *conversion;
	const struct import_options *options;
	struct import_summary *summary;
	char first_bad[512];
};

/* The first line tells: mtrace begins with "= Start", and its calls with "@ ". */
static enum import_format format_of(const char *line)
{
	return strncmp(line, "= ", 2) == 0 || strncmp(line, "@ ", 2) == 0 ||
			       strncmp(line, "+ 0x", 4) == 0
		       ? IMPORT_MTRACE
		       : IMPORT_LTRACE;
}

/* Names the line; remembers the first one, if bad lines are to be left out. */
static int bad_line(struct importer *im, int err)
{
	char text[400];

	snprintf(text, sizeof(text), "%s", kmem_last_error());
	kmem_error(err, "'%s', line %" PRIu64 ": %s", im->path, im->summary->lines, text);
	if (!im->options->keep_going || err == -ENOMEM)
		return err;
	if (im->summary->bad_lines++ == 0)
		snprintf(im->first_bad, sizeof(im->first_bad), "%s", kmem_last_error());
	return 0;
}

static int import_line(struct importer *im)
{
	struct import_events out;
	int err;

	if (im->summary->format == IMPORT_AUTO) {
		im->summary->format = format_of(im->line);
		if (im->summary->format == IMPORT_LTRACE)
			err = ltrace_parser_new(&im->ltrace);
		else
			err = 0;
		if (err != 0)
			return err;
	}
	err = im->summary->format == IMPORT_LTRACE
		      ? ltrace_line(im->ltrace, im->line, &out)
		      : mtrace_line(&im->mtrace, im->line, &out);
	if (err != 0)
		return bad_line(im, err);
	for (unsigned int i = 0; err == 0 && i < out.n; i++)
		err = conversion_add(im->conversion, &out.event[i]);
	return err;
}

static int import_lines(struct importer *im)
{
	ssize_t length;
	int err = 0;

	while (err == 0 && (length = getline(&im->line, &im->room, im->file)) >= 0) {
		im->summary->lines++;
		while (length > 0 &&
		       (im->line[length - 1] == '\n' || im->line[length - 1] == '\r'))
			im->line[--length] = '\0';
		err = import_line(im);
	}
	if (err == 0 && ferror(im->file))
		err = kmem_error(-EIO, "cannot read '%s': %s", im->path, strerror(errno));
	return err;
}

static int finish(struct importer *im)
{
	struct trace_origin origin = {.source = im->summary->format == IMPORT_MTRACE
							? TRACE_SOURCE_MTRACE
							: TRACE_SOURCE_LTRACE};
	int err;

	if (im->ltrace != NULL)
		ltrace_parser_end(im->ltrace, im->summary);
	im->summary->unfinished += im->mtrace.realloc_old != 0;
	err = conversion_finish(im->conversion, &origin);
	if (err == -ENOTSUP)
		return kmem_error(-EINVAL,
				  "'%s' has no line that allocates, read as a log of %s",
				  im->path, import_format_names[im->summary->format]);
	if (err == 0 && im->summary->bad_lines > 0)
		kmem_error(-EINVAL, "%s", im->first_bad);
	return err;
}

int import_trace(const char *log_path, const char *trace_path,
		 const struct import_options *options, struct import_summary *summary)
{
	struct importer im = {.path = log_path, .options = options, .summary = summary};
	int err;

	memset(summary, 0, sizeof(*summary));
	summary->format = options->format;
	im.file = fopen(log_path, "re");
	if (im.file == NULL)
		return kmem_error(-errno, "cannot open '%s': %s", log_path,
				  strerror(errno));
	err = options->format == IMPORT_LTRACE ? ltrace_parser_new(&im.ltrace) : 0;
	if (err == 0)
		err = conversion_new(trace_path, UINT32_MAX, &summary->trace,
				     &im.conversion);
	if (err == 0)
		err = import_lines(&im);
	if (err == 0)
		err = finish(&im);
	conversion_delete(im.conversion);
	ltrace_parser_delete(im.ltrace);
	free(im.line);
	fclose(im.file);
	return err;
}
