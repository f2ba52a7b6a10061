/* SPDX-License-Identifier: MIT */
/* How cells are called in pictures, and the line below each picture. */
#include "bench/plot_data.h"

#include <math.h>

#include <kmem/error.h>

#include "bench/plot_alloc.h"

const char *format_bytes(double bytes, char *buf, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;

	while (fabs(bytes) >= 1024 && unit + 1 < KMEM_ARRAY_SIZE(units)) {
		bytes /= 1024;
		unit++;
	}
	/* Three digits, and no ".00" behind whole numbers. */
	if (bytes == floor(bytes) || fabs(bytes) >= 100)
		snprintf(buf, size, "%.0f %s", bytes, units[unit]);
	else
		snprintf(buf, size, fabs(bytes) >= 10 ? "%.1f %s" : "%.2f %s", bytes,
			 units[unit]);
	return buf;
}

const char *format_size(double bytes, char *buf, size_t size)
{
	if (bytes >= 16384 || fmod(bytes, 1024) == 0)
		return format_bytes(bytes, buf, size);
	snprintf(buf, size, "%.0f B", bytes);
	return buf;
}

bool plot_cell_touched(const struct plot_cell *cell)
{
	const char *touch = json_string_value(json_object_get(cell->params, "touch"));

	return touch == NULL || strcmp(touch, "none") != 0;
}

/* A parameter's value as a label: a path is told by its last part. The caller frees it.
 */
static char *param_text(const json_t *value)
{
	const char *text = json_string_value(value);
	const char *slash = text != NULL ? strrchr(text, '/') : NULL;
	char *dump, *copy;

	if (text != NULL)
		return plot_strdup(slash != NULL && slash[1] != '\0' ? slash + 1 : text);
	dump = plot_checked(
		json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS));
	copy = plot_strdup(dump);
	free(dump);
	return copy;
}

/* True when the cells of this workload do not all have the same value of the parameter.
 */
static bool param_varies(const struct dataset *d, const struct plot_cell *cell,
			 const char *key)
{
	const json_t *value = json_object_get(cell->params, key);

	for (size_t i = 0; i < d->nr_cells; i++) {
		const struct plot_cell *other = &d->cells[i];

		if (strcmp(other->workload, cell->workload) == 0 &&
		    !json_equal(json_object_get(other->params, key), value))
			return true;
	}
	return false;
}

static char *threads_text(int threads)
{
	return plot_printf("%d thread%s", threads, threads == 1 ? "" : "s");
}

static void append(char **text, const char *separator, char *part)
{
	char *joined = plot_printf("%s%s%s", *text, **text != '\0' ? separator : "",
				   part);

	free(*text);
	free(part);
	*text = joined;
}

/* What varies, without the workload's name; "" when nothing does. */
static char *cell_label(const struct dataset *d, const struct plot_cell *c, bool size,
			bool threads)
{
	char *label = plot_strdup(""), buf[32];
	const char *key;
	json_t *value;

	/* jansson's iterator takes no const object, but does not change it. */
	json_object_foreach ((json_t *)c->params, key, value) {
		char *text;

		if (strcmp(key, "size") == 0 || !param_varies(d, c, key))
			continue;
		text = param_text(value);
		append(&label, ", ", plot_printf("%s %s", key, text));
		free(text);
	}
	if (size && c->size_bytes > 0)
		append(&label, ", ",
		       plot_strdup(format_size((double)c->size_bytes, buf, sizeof(buf))));
	if (threads)
		append(&label, ", ", threads_text(c->threads));
	return label;
}

static char *with_workload(const struct plot_cell *c, char *label)
{
	char *full = plot_strdup(c->workload);

	append(&full, "  ", plot_strdup(label));
	free(label);
	if (full[strlen(full) - 1] == ' ')
		full[strlen(full) - 2] = '\0';
	return full;
}

static char *identity_without(const struct plot_cell *c, bool size, bool threads)
{
	json_t *params = json_is_object(c->params) ? json_copy((json_t *)c->params)
						   : json_object();
	char *text, *identity;

	if (!size)
		json_object_del(plot_checked(params), "size");
	text = plot_checked(json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS));
	identity = plot_printf("%s %s threads:%d", c->workload, text,
			       threads ? c->threads : 0);
	json_decref(params);
	free(text);
	return identity;
}

int dataset_label_cells(struct dataset *d)
{
	for (size_t i = 0; i < d->nr_cells; i++) {
		struct plot_cell *c = &d->cells[i];

		c->panel = cell_label(d, c, true, true);
		c->label = with_workload(c, cell_label(d, c, true, true));
		c->but_size = identity_without(c, false, true);
		c->but_size_label = cell_label(d, c, false, true);
		c->but_threads = identity_without(c, true, false);
		c->but_threads_label = cell_label(d, c, true, false);
	}
	return 0;
}

void dataset_block_range(const struct dataset *d, size_t *fewest, size_t *most)
{
	*fewest = 0;
	*most = 0;
	for (size_t i = 0; i < d->nr_cells * d->nr_series; i++) {
		size_t n = d->matrix[i].nr_blocks;

		if (n > 0 && (*fewest == 0 || n < *fewest))
			*fewest = n;
		if (n > *most)
			*most = n;
	}
}

/* Some series are marked, and others are not. */
static bool some_are_simulated(const struct dataset *d)
{
	size_t marked = 0;

	for (size_t s = 0; s < d->nr_series; s++)
		marked += strstr(d->series[s].name, "(simulated)") != NULL;
	return marked > 0 && marked < d->nr_series;
}

void dataset_caption(const struct dataset *d, char *buf, size_t size)
{
	const json_t *machine = dataset_context(d, 0, "machine");
	const char *cpu, *kernel;
	char a[32], b[32], c[32], blocks[64], cpus[64] = "";
	size_t fewest, most;
	bool simulated = false, several = false;
	const json_t *n = json_object_get(json_object_get(d->files[0], "context"),
					  "num_cpus");

	cpu = json_text(machine, "cpu_model", "unknown processor", a, sizeof(a));
	kernel = json_text(machine, "kernel", "unknown kernel", b, sizeof(b));
	for (size_t f = 0; f < d->nr_files; f++) {
		const json_t *other = dataset_context(d, f, "machine");

		simulated |= json_is_true(json_object_get(other, "simulated_numa"));
		if (!json_equal(json_object_get(other, "cpu_model"),
				json_object_get(machine, "cpu_model")))
			several = true;
	}
	if (json_is_integer(n))
		snprintf(cpus, sizeof(cpus), " (%d CPU%s)", (int)json_integer_value(n),
			 json_integer_value(n) == 1 ? "" : "s");
	dataset_block_range(d, &fewest, &most);
	if (fewest == most)
		snprintf(blocks, sizeof(blocks), "%zu block%s", most,
			 most == 1 ? "" : "s");
	else
		snprintf(blocks, sizeof(blocks), "%zu to %zu blocks", fewest, most);
	snprintf(buf, size, "%s%s, %s%s; %s; revision %.18s%s%s", cpu, cpus, kernel,
		 several ? ", and other machines" : "", blocks,
		 json_text(json_object_get(json_object_get(d->files[0], "context"),
					   "kmembench"),
			   "git_revision", "unknown", c, sizeof(c)),
		 !simulated		 ? ""
		 : some_are_simulated(d) ? "; memory nodes simulated where marked"
					 : "; memory nodes simulated",
		 d->separate_runs ? "; allocators from separate runs" : "");
}
