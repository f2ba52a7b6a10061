/* SPDX-License-Identifier: MIT */
/* Puts the page together and writes it whole. */
#include "bench/report.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "bench/plot_alloc.h"
#include "bench/report_internal.h"

/* A kind with more pictures than this is folded away. */
#define OPEN_PICTURES_MAX 8

/* In the page's order; a part that has nothing to show is not there. */
static const struct {
	const char *id, *title;
} parts[] = {
	{"summary", "Summary"},
	{"verdicts", "Verdicts"},
	{"plots", "Plots"},
	{"memory", "Memory over time"},
	{"tails", "Slowest operations"},
	{"cells", "All cells"},
	{"failures", "Failed and skipped"},
	{"machine", "Machine and run"},
	{"method", "Method"},
};

static void print_head(FILE *out, const struct dataset *d, const char *body)
{
	const json_t *context = json_object_get(d->files[0], "context");
	char caption[512], buf[32];

	dataset_caption(d, caption, sizeof(caption));
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<title>kmembench report</title>\n<style>\n",
	      out);
	fputs(report_css, out);
	fputs("</style>\n</head>\n<body>\n<main>\n<header>\n<h1>kmembench report</h1>\n"
	      "<p class=\"muted\">",
	      out);
	html_escape(out, json_text(context, "date", "", buf, sizeof(buf)));
	fputs("<br>", out);
	html_escape(out, caption);
	fputs("</p>\n<nav>", out);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(parts); i++) {
		char *heading = plot_printf("<h2 id=\"%s\">", parts[i].id);

		if (strstr(body, heading) != NULL)
			fprintf(out, "<a href=\"#%s\">%s</a> ", parts[i].id,
				parts[i].title);
		free(heading);
	}
	fputs("</nav>\n</header>\n", out);
}

static size_t pictures_of_kind(const struct plot_outputs *outputs, const char *kind)
{
	size_t n = 0;

	for (size_t i = 0; i < outputs->count; i++)
		n += strcmp(outputs->list[i].kind, kind) == 0;
	return n;
}

static void print_picture(FILE *out, const char *dir, const struct plot_output *picture,
			  size_t number)
{
	char *path = plot_printf("%s/%s.svg", dir, picture->stem);
	char *prefix = plot_printf("plot%zu-", number);

	fputs("<figure role=\"img\" aria-label=\"", out);
	html_escape(out, picture->title);
	fputs("\">\n", out);
	if (!html_inline_svg(out, path, prefix))
		html_printf(out, "%s: the picture could not be read", picture->title);
	fputs("\n</figure>\n", out);
	free(prefix);
	free(path);
}

static void print_pictures(FILE *out, const char *dir, const struct plot_outputs *outputs)
{
	const char *kind = "";

	for (size_t i = 0; i < outputs->count; i++) {
		if (strcmp(outputs->list[i].kind, kind) != 0) {
			size_t n = pictures_of_kind(outputs, outputs->list[i].kind);

			fputs(i > 0 ? "</details>\n" : "", out);
			kind = outputs->list[i].kind;
			fprintf(out, "<details%s><summary>%s (%zu)</summary>\n",
				n <= OPEN_PICTURES_MAX ? " open" : "", kind, n);
		}
		print_picture(out, dir, &outputs->list[i], i);
	}
	fputs(outputs->count > 0 ? "</details>\n"
				 : "<p>These results support no plot.</p>\n",
	      out);
}

/* The page stands without its pictures: what kept them away is said in their place. */
static void print_plots(FILE *out, const struct dataset *d)
{
	struct plot_outputs outputs = {0};
	char *dir = plot_temporary_folder();

	fputs("<h2 id=\"plots\">Plots</h2>\n", out);
	if (dir == NULL || plot_dataset(d, dir, PLOT_SVG, NULL, &outputs) != 0) {
		cli_warn("the report has no plots: %s", kmem_last_error());
		html_printf(out, "No plots: %s.", kmem_last_error());
	} else {
		print_pictures(out, dir, &outputs);
	}
	if (dir != NULL)
		plot_remove_folder(dir);
	plot_outputs_free(&outputs);
	free(dir);
}

static void print_page(FILE *out, const struct dataset *d)
{
	char *body = NULL;
	size_t size = 0;
	FILE *parts_out = plot_checked(open_memstream(&body, &size));

	report_warnings(parts_out, d);
	report_summary(parts_out, d);
	report_verdicts(parts_out, d);
	print_plots(parts_out, d);
	report_memory(parts_out, d);
	report_tails(parts_out, d);
	report_cells(parts_out, d);
	report_failures(parts_out, d);
	report_machine(parts_out, d);
	report_method(parts_out, d);
	plot_checked(fclose(parts_out) == 0 ? body : NULL);
	print_head(out, d, body);
	fputs(body, out);
	fputs("</main>\n</body>\n</html>\n", out);
	free(body);
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* A temporary name and a rename; what is no regular file (/dev/stdout) is written to. */
static int write_whole(const char *file, const char *text, size_t size)
{
	struct stat st;
	bool direct = stat(file, &st) == 0 && !S_ISREG(st.st_mode);
	char *temporary = direct ? plot_strdup(file)
				 : plot_printf("%s.%d.tmp", file, (int)getpid());
	int fd = open(temporary, O_WRONLY | O_CLOEXEC | (direct ? 0 : O_CREAT | O_TRUNC),
		      0666);
	int err = fd < 0 ? -errno : write_all(fd, text, size);

	if (err == 0 && !direct && fsync(fd) != 0)
		err = -errno;
	if (fd >= 0 && close(fd) != 0 && err == 0)
		err = -errno;
	if (err == 0 && !direct && rename(temporary, file) != 0)
		err = -errno;
	if (err != 0 && !direct)
		unlink(temporary);
	free(temporary);
	return err == 0 ? 0
			: kmem_error(err, "cannot write '%s': %s", file, strerror(-err));
}

int report_write(const char *const *paths, size_t count, const char *file)
{
	struct dataset *d;
	char *text = NULL;
	size_t size = 0;
	FILE *out;
	int err = results_check_writable(file);

	if (err != 0)
		return err;
	d = dataset_load(paths, count);
	if (d == NULL)
		return -EINVAL;
	out = plot_checked(open_memstream(&text, &size));
	print_page(out, d);
	err = fclose(out) == 0 ? 0 : kmem_error(-ENOMEM, "no memory for the page");
	if (err == 0)
		err = write_whole(file, text, size);
	free(text);
	dataset_free(d);
	return err;
}
