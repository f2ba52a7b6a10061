/* SPDX-License-Identifier: MIT */
/* What the figures hold for: warnings, machine, allocators, command lines, method. */
#include <string.h>

#include "bench/context.h"
#include "bench/plot_alloc.h"
#include "bench/report_internal.h"

struct warnings {
	FILE *out;
	size_t count;
	const char *file; /* whose warnings these are; NULL where there is one file, or of
			     all */
};

static void warn(struct warnings *w, const char *fmt, ...) KMEM_PRINTF(2, 3);
static void warn(struct warnings *w, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	fputs(w->count++ == 0
		      ? "<div class=\"warn\"><strong>Read with care</strong><ul>\n"
		      : "",
	      w->out);
	fputs("<li>", w->out);
	if (w->file != NULL)
		html_printf(w->out, "%s: ", w->file);
	html_escape(w->out, plot_checked(text));
	fputs("</li>\n", w->out);
	free(text);
}

static void warn_of_machine(struct warnings *w, const struct dataset *d, size_t file)
{
	const json_t *context = json_object_get(d->files[file], "context");
	const json_t *machine = dataset_context(d, file, "machine");
	const char *virtualised =
		json_string_value(json_object_get(machine, "virtualised"));
	const char *governor = json_string_value(json_object_get(machine, "governor"));
	const char *build =
		json_string_value(json_object_get(context, "library_build_type"));

	if (virtualised != NULL && strcmp(virtualised, "no") != 0 &&
	    strcmp(virtualised, "none") != 0)
		warn(w,
		     "measured in a virtual machine (%s): neighbours and the host's scheduler are "
		     "in the figures, above all in the tails",
		     virtualised);
	if (governor != NULL && strcmp(governor, "performance") != 0 &&
	    strcmp(governor, "absent") != 0)
		warn(w,
		     "the frequency governor was '%s', not 'performance': clock rates may have "
		     "changed during the run",
		     governor);
	if (build != NULL && strcmp(build, "debug") == 0)
		warn(w, "kmembench was built without optimisation");
	if (json_is_true(json_object_get(machine, "simulated_numa")))
		warn(w,
		     "memory nodes are simulated: node counters are real, distances are not");
}

/* What the run found when it began: context_warn() said the same to whoever ran it. */
static void warn_of_load(struct warnings *w, const struct dataset *d, size_t file)
{
	const json_t *context = json_object_get(d->files[file], "context");
	const json_t *machine = dataset_context(d, file, "machine");
	const json_t *cpus = json_object_get(machine, "cpus_allowed");
	double load = json_number_value(
		json_array_get(json_object_get(context, "load_avg"), 0));
	double all = json_number_value(json_object_get(context, "num_cpus"));
	int most = 0;

	if (all > 0 && load > CONTEXT_BUSY_LOAD * all)
		warn(w,
		     "the machine was busy when the run began (load %.1f on %.0f CPUs)",
		     load, all);
	for (size_t c = 0; c < d->nr_cells; c++) {
		if (d->cells[c].threads > most)
			most = d->cells[c].threads;
	}
	if (json_is_integer(cpus) && most > json_integer_value(cpus))
		warn(w,
		     "up to %d threads took turns on %lld CPU%s: rows with so many tell of the "
		     "scheduler as much as of the allocators",
		     most, (long long)json_integer_value(cpus),
		     json_integer_value(cpus) == 1 ? "" : "s");
}

static void warn_of_run(struct warnings *w, const struct dataset *d, size_t file)
{
	const json_t *skipped = dataset_context(d, file, "skipped"), *entry;
	size_t i;

	if (json_is_false(dataset_context(d, file, "complete")))
		warn(w,
		     "incomplete: the run was ended before all its cells were measured; --resume "
		     "goes on with it");
	json_array_foreach (skipped, i, entry) {
		char a[16], b[16];

		warn(w, "allocator '%s' was not measured: %s",
		     json_text(entry, "allocator", "?", a, sizeof(a)),
		     json_text(entry, "reason", "no reason recorded", b, sizeof(b)));
	}
}

void report_warnings(FILE *out, const struct dataset *d)
{
	struct warnings w = {.out = out};
	size_t fewest, most, failed = 0;

	for (size_t f = 0; f < d->nr_files; f++) {
		w.file = d->nr_files > 1 ? d->file_labels[f] : NULL;
		warn_of_run(&w, d, f);
		warn_of_machine(&w, d, f);
		warn_of_load(&w, d, f);
	}
	w.file = NULL;
	for (size_t i = 0; i < d->nr_cells * d->nr_series; i++)
		failed += d->matrix[i].nr_failed > 0;
	if (failed > 0)
		warn(&w, "%zu cell%s failed; means leave those rows out", failed,
		     failed == 1 ? "" : "s");
	if (d->separate_runs)
		warn(&w,
		     "allocators of the same cell come from separate runs: drift between the "
		     "runs is in their ratios, and not in the intervals");
	dataset_block_range(d, &fewest, &most);
	if (fewest < SUMMARY_MIN_BLOCKS)
		warn(&w,
		     "%s %zu block%s: intervals are minimum and maximum, and no difference "
		     "is told apart; --reps 10 gives 95 %% intervals",
		     fewest == most ? "only" : "some cells have only", fewest,
		     fewest == 1 ? "" : "s");
	fputs(w.count > 0 ? "</ul></div>\n" : "", out);
}

static void print_member(FILE *out, const json_t *object, const char *key,
			 const char *title)
{
	char buf[64];
	const char *text = json_text(object, key, NULL, buf, sizeof(buf));

	if (text == NULL || *text == '\0')
		return;
	fputs("<dt>", out);
	html_escape(out, title);
	fputs("</dt><dd>", out);
	html_escape(out, text);
	fputs("</dd>\n", out);
}

static void print_command_line(FILE *out, const json_t *words)
{
	const json_t *word;
	size_t i;

	fputs("<dt>command line</dt><dd><code>", out);
	json_array_foreach (words, i, word) {
		const char *text = json_string_value(word);

		if (text == NULL)
			continue;
		html_printf(out,
			    strpbrk(text, " \t'\"$;&|<>()*?") != NULL ? "%s'%s'" : "%s%s",
			    i > 0 ? " " : "", text);
	}
	fputs("</code></dd>\n", out);
}

static void print_load(FILE *out, const json_t *load)
{
	if (json_array_size(load) == 3)
		fprintf(out,
			"<dt>load when it began</dt><dd>%.2f, %.2f, %.2f (1, 5 and 15 min)</dd>\n",
			json_number_value(json_array_get(load, 0)),
			json_number_value(json_array_get(load, 1)),
			json_number_value(json_array_get(load, 2)));
}

static void print_machine(FILE *out, const struct dataset *d, size_t file)
{
	static const struct {
		const char *key, *title;
	} members[] = {
		{"cpu_model", "processor"},
		{"topology", "topology"},
		{"kernel", "kernel"},
		{"architecture", "architecture"},
		{"glibc", "C library"},
		{"governor", "frequency governor"},
		{"smt", "SMT"},
		{"thp", "transparent huge pages"},
		{"numa_nodes", "memory nodes"},
		{"simulated_numa", "nodes simulated"},
		{"virtualised", "virtualised"},
		{"aslr", "address randomisation"},
		{"clocksource", "clock source"},
		{"percpu", "libkmem's per-CPU caches by"},
	};
	const json_t *context = json_object_get(d->files[file], "context");
	const json_t *machine = dataset_context(d, file, "machine");
	const json_t *ours = json_object_get(context, "kmembench");
	double memory = json_number_value(json_object_get(machine, "memory_bytes"));
	char buf[32];

	if (d->nr_files > 1)
		html_printf(out, "%s: ", d->file_labels[file]);
	fputs("<dl>\n", out);
	print_member(out, context, "date", "date");
	print_member(out, context, "num_cpus", "CPUs");
	print_member(out, machine, "cpus_allowed", "CPUs allowed");
	print_load(out, json_object_get(context, "load_avg"));
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(members); i++)
		print_member(out, machine, members[i].key, members[i].title);
	if (memory > 0)
		fprintf(out, "<dt>memory</dt><dd>%s</dd>\n",
			format_bytes(memory, buf, sizeof(buf)));
	print_member(out, ours, "version", "kmembench");
	print_member(out, ours, "git_revision", "revision");
	print_member(out, ours, "compiler", "compiler");
	print_member(out, ours, "compiler_flags", "its flags");
	print_member(out, ours, "seed", "seed");
	print_member(out, ours, "reps", "blocks planned");
	print_member(out, ours, "time_s", "seconds per cell");
	print_member(out, json_object_get(ours, "clock"), "pair_ns", "clock pair, ns");
	print_command_line(out, json_object_get(ours, "command_line"));
	fputs("</dl>\n", out);
}

static void print_allocators(FILE *out, const struct dataset *d, size_t file)
{
	const json_t *list = dataset_context(d, file, "allocators"), *entry;
	const char *version = json_string_value(dataset_context(d, file, "version"));
	size_t i;

	if (json_array_size(list) == 0)
		return;
	fputs("<div class=\"scroll\"><table><thead><tr><th>allocator</th><th class=\"text\">"
	      "version</th><th class=\"text\">file</th></tr></thead><tbody>\n",
	      out);
	json_array_foreach (list, i, entry) {
		char a[32], b[32], c[32];
		const char *name = json_text(entry, "name", "?", a, sizeof(a));
		const char *path = json_string_value(json_object_get(entry, "path"));
		char own[64] = ""; /* what lies in the program has the program's */

		if (path == NULL && version != NULL)
			snprintf(own, sizeof(own), "kmembench %s", version);
		fputs("<tr><th>", out);
		html_escape(out, json_text(entry, "variant", name, a, sizeof(a)));
		fputs("</th><td class=\"text\">", out);
		html_escape(out, json_text(entry, "version", own, b, sizeof(b)));
		fputs("</td><td class=\"text\">", out);
		html_escape(out, json_text(entry, "path", "", c, sizeof(c)));
		fputs("</td></tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
}

void report_machine(FILE *out, const struct dataset *d)
{
	fputs("<h2 id=\"machine\">Machine and run</h2>\n", out);
	for (size_t f = 0; f < d->nr_files; f++) {
		print_machine(out, d, f);
		print_allocators(out, d, f);
	}
}

/* How the first file's times came about, which the context says since there are two ways.
 */
static void print_throughput_method(FILE *out, const struct dataset *d)
{
	const char *method = json_string_value(dataset_context(d, 0, "method"));
	bool slices = method != NULL && strcmp(method, "slices") == 0;

	if (slices)
		fputs("<li>Time comes from slices without clock reads inside the loop: the "
		      "processes of all allocators of a cell are alive together and take turns "
		      "of about half a millisecond, in an order that is shuffled each round. A "
		      "block's ratio is the 25&nbsp;%-trimmed mean over the rounds of the "
		      "logarithm of slice by the baseline's slice of the same round: drift of "
		      "the machine falls on both alike.</li>\n",
		      out);
	else
		fputs("<li>Time comes from a pass without clock reads inside the loop, one "
		      "process after the other: drift of the machine between them is in the "
		      "ratios of a block.</li>\n",
		      out);
	if (json_is_number(dataset_context(d, 0, "precision_pct")))
		fprintf(out,
			"<li>Blocks were added until half the width of every interval was at "
			"most %.3g&nbsp;%%, never until something was significant.</li>\n",
			json_number_value(dataset_context(d, 0, "precision_pct")));
}

void report_method(FILE *out, const struct dataset *d)
{
	const json_t *clock = dataset_context(d, 0, "clock");

	fputs("<h2 id=\"method\">Method</h2>\n<ul>\n"
	      "<li>A cell is one workload with its parameters on one allocator, in a process "
	      "of its own, its threads pinned. All cells together are a block; within a block "
	      "allocators of one workload run close in time, in random order. The unit of "
	      "replication is the block, never the operation.</li>\n",
	      out);
	print_throughput_method(out, d);
	fputs("<li>Latency comes from a second pass that does the same operations with the "
	      "processor's counter read around each; the cost of the reading",
	      out);
	if (json_is_number(json_object_get(clock, "pair_ns")))
		fprintf(out, " (%.1f ns)",
			json_number_value(json_object_get(clock, "pair_ns")));
	fputs(" is subtracted. Histograms (relative error below 1&nbsp;%) are merged over "
	      "blocks; percentiles are never averaged.</li>\n"
	      "<li>Memory over time comes from a third pass with the same operations, which a "
	      "sampler that allocates nothing watches.</li>\n"
	      "<li>Ratios to the baseline are taken within blocks; their logarithms are "
	      "summarised by the Hodges–Lehmann estimate with the signed-rank 95&nbsp;% "
	      "interval. Geometric means are taken per block over all rows, then summarised "
	      "alike.</li>\n"
	      "<li>Outliers are blocks whose time's logarithm has a modified z-score above "
	      "3.5 (Iglewicz and Hoaglin). They are marked and stay in every figure.</li>\n"
	      "<li>null, bump and freelist are floors: they show what the harness itself costs "
	      "and serve nobody. A row in which an allocator comes near a floor measures the "
	      "harness as much as the allocator.</li>\n"
	      "<li>Resident memory is the process's, less what was resident before the first "
	      "allocation; cells with little live memory show what an allocator maps to start "
	      "with.</li>\n"
	      "<li>Code alignment and the luck of a process's address layout move "
	      "figures by some percent: differences below 1.5&nbsp;% are not called "
	      "differences.</li>\n</ul>\n",
	      out);
}
