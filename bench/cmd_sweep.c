/* SPDX-License-Identifier: MIT */
/* kmembench sweep: a job file's grids, then plots and report, in one folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wordexp.h>

#include <kmem/error.h>

#include "bench/campaign.h"
#include "bench/cli.h"
#include "bench/folder.h"
#include "bench/jobfile.h"
#include "bench/journal.h"
#include "bench/plot.h"
#include "bench/record.h"
#include "bench/report.h"
#include "bench/run_options.h"

static const char help[] =
	"usage: kmembench sweep [JOBFILE] [OPTIONS]\n\n"
	"Runs the grids of a job file and leaves results.json, plots and report.html in one\n"
	"folder. Without a file it runs the built-in quick sweep (about a minute).\n\n"
	"  -o, --output DIR       folder for everything (results/NAME-DATE-TIME)\n"
	"      --resume           go on with the interrupted sweep in the -o DIR\n"
	"      --shard I/N        only part I of N (then join with 'kmembench merge')\n"
	"  -n, --dry-run          show the cells, run nothing\n"
	"      --print-job        print the built-in quick job, a start for one's own\n"
	"      --no-plots         results only\n"
	"  -q, --quiet            no progress\n"
	"      --reps N, --precision PCT, --baseline NAME, --method METHOD, --time S,\n"
	"      --slice-time S, --latency-time S, --memory-time S, --ops N, --layout LAYOUT,\n"
	"      --timeout S, --seed N, --library NAME=PATH\n"
	"                         as for 'kmembench run'; they override the job file\n"
	"  -h, --help             this text\n"
	"      --version          the version\n\n"
	"A job file is INI: [global] settings and one section per grid; lists make a grid.\n\n"
	"  [global]\n"
	"  precision_pct = 1          ; or reps = 10, a fixed number of blocks\n"
	"  baseline = glibc\n"
	"  allocators = slab,glibc,jemalloc\n\n"
	"  [pair over sizes]\n"
	"  workloads = pair\n"
	"  sizes = 16..64K            ; each twice the one before\n"
	"  threads = 1,2\n\n"
	"  [a real program]\n"
	"  workloads = replay\n"
	"  record = sqlite3 :memory: 'SELECT 1'   ; recorded first, then replayed\n\n"
	"Other keys: touch, check and any parameter of the section's workloads; in [global]\n"
	"also method, layout, seed, time_s, slice_time_s, latency_time_s, memory_time_s,\n"
	"timeout_s and ops. Lists may go on in indented lines.\n\n"
	"exit codes: 0 done, 2 usage, 3 a cell failed or the sweep was interrupted\n\n"
	"examples:\n"
	"  kmembench sweep\n"
	"  kmembench sweep nightly.ini -o results/nightly\n";

enum { OPT_RESUME = OPT_FIRST_OWN, OPT_SHARD, OPT_NO_PLOTS, OPT_PRINT_JOB };

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{"resume", no_argument, NULL, OPT_RESUME},
	{"shard", required_argument, NULL, OPT_SHARD},
	{"dry-run", no_argument, NULL, 'n'},
	{"print-job", no_argument, NULL, OPT_PRINT_JOB},
	{"no-plots", no_argument, NULL, OPT_NO_PLOTS},
	{"quiet", no_argument, NULL, 'q'},
	RUN_LONG_OPTIONS,
	{NULL, 0, NULL, 0},
};

struct sweep {
	struct plan plan;
	struct job job;
	struct campaign_options options;
	const char *jobfile; /* NULL: the quick sweep */
	const char *dir;
	char dir_default[PATH_MAX];
	char results[PATH_MAX], trace[PATH_MAX];
	unsigned int traces;
	bool dry_run, no_plots, seed_given;
};

static int parse_shard(struct sweep *s, const char *text)
{
	char end;

	if (sscanf(text, "%u/%u%c", &s->options.shard, &s->options.shards, &end) != 2 ||
	    s->options.shard < 1 || s->options.shard > s->options.shards)
		return cli_usage_error(
			"sweep", "'%s' is not a shard: write I/N, such as 1/4", text);
	return EXIT_DONE;
}

/* Options of the command line are kept and applied after the job file's. */
struct override {
	int option;
	const char *argument;
};

static int parse(struct sweep *s, int argc, char **argv, struct override *overrides,
		 size_t *count)
{
	int option, code = EXIT_DONE;

	optind = 0;
	opterr = 0;
	while (code == EXIT_DONE &&
	       (option = getopt_long(argc, argv, ":o:nq", long_options, NULL)) != -1) {
		switch (option) {
		case 'o': s->dir = optarg; break;
		case 'n': s->dry_run = true; break;
		case 'q': s->options.quiet = true; break;
		case OPT_RESUME: s->options.resume = true; break;
		case OPT_NO_PLOTS: s->no_plots = true; break;
		case OPT_SHARD: code = parse_shard(s, optarg); break;
		case '?':
		case ':': return cli_getopt_error("sweep", option, argv);
		default:
			overrides[*count].option = option;
			overrides[(*count)++].argument = optarg;
		}
	}
	if (code != EXIT_DONE)
		return code;
	if (argc - optind > 1)
		return cli_usage_error("sweep",
				       "unexpected argument '%s': one job file at most",
				       argv[optind + 1]);
	s->jobfile = argc > optind ? argv[optind] : NULL;
	if (s->options.resume && s->dir == NULL)
		return cli_usage_error("sweep", "--resume needs the -o DIR of the sweep");
	return EXIT_DONE;
}

/* "results/quick-20261122-101500" where the user named no folder. */
static void choose_folder(struct sweep *s)
{
	const char *slash, *base = "quick";
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	int length;

	if (s->dir != NULL)
		return;
	if (s->jobfile != NULL) {
		slash = strrchr(s->jobfile, '/');
		base = slash != NULL ? slash + 1 : s->jobfile;
	}
	length = (int)strcspn(base, ".");
	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	snprintf(s->dir_default, sizeof(s->dir_default), "results/%.*s-%s", length, base,
		 stamp);
	s->dir = s->dir_default;
}

/* The program's own output is of no interest here. */
static int record_quietly(const char *path, char **argv, struct record_summary *summary)
{
	struct record_options options = {0};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int saved, err;

	fflush(stdout);
	saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	dup2(null, STDOUT_FILENO);
	err = record_program(path, argv, &options, summary);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(null);
	return err;
}

static int record_words(struct sweep *s, const struct job_section *section, char **words)
{
	struct record_summary summary;
	const char *slash = strrchr(words[0], '/');
	int err;

	/* The trace is named after the program: "sqlite3-1.kmt". */
	if ((size_t)snprintf(s->trace, sizeof(s->trace), "%s/%s-%u.kmt", s->dir,
			     slash != NULL ? slash + 1 : words[0],
			     ++s->traces) >= sizeof(s->trace)) {
		cli_error("cannot record for section [%s]: the path is too long",
			  section->name);
		return -ENAMETOOLONG;
	}
	if (s->options.resume && access(s->trace, R_OK) == 0)
		return 0;
	err = record_quietly(s->trace, words, &summary);
	if (err != 0 && s->jobfile == NULL) {
		/* Nobody has asked for this program. */
		cli_warn("leaving out section [%s], which records '%s': %s",
			 section->name, words[0], kmem_last_error());
		s->trace[0] = '\0';
		return 0;
	}
	if (err != 0) {
		cli_error("cannot record '%s' for section [%s]: %s", words[0],
			  section->name, kmem_last_error());
	} else if (WIFSIGNALED(summary.wait_status)) {
		/* Ctrl-C, most likely; half a program is no workload. */
		unlink(s->trace);
		cli_error("cannot record '%s' for section [%s]: it was ended by signal "
			  "%d (%s)",
			  words[0], section->name, WTERMSIG(summary.wait_status),
			  strsignal(WTERMSIG(summary.wait_status)));
		return -EINTR;
	} else if (summary.wait_status != 0) {
		cli_warn("'%s' of section [%s] exited with status %d: is the recording "
			 "what was meant?",
			 words[0], section->name, WEXITSTATUS(summary.wait_status));
	}
	if (err == 0 && !s->options.quiet)
		fprintf(stderr,
			"recorded %s: %llu events of %u thread%s, at most %.1f MiB live\n",
			words[0], (unsigned long long)summary.events, summary.threads,
			summary.threads == 1 ? "" : "s",
			(double)summary.live_bytes_max / (1 << 20));
	return err;
}

/* Records a section's program, unless a resumed sweep has its trace already. */
static const char *record_section(const struct job_section *section, void *arg)
{
	struct sweep *s = arg;
	wordexp_t words;
	int err;

	if (wordexp(section->record, &words, WRDE_NOCMD | WRDE_UNDEF) != 0 ||
	    words.we_wordc == 0) {
		cli_error(
			"cannot plan the job: section [%s]: 'record = %s' is not quoted as a "
			"shell would want it",
			section->name, section->record);
		return NULL;
	}
	err = record_words(s, section, words.we_wordv);
	wordfree(&words);
	return err == 0 ? s->trace : NULL;
}

/*
 * A sweep that is under way, or was interrupted, rests on the traces in its folder: they
 * must not be recorded anew. The lock ends with the process.
 */
static int claim_folder(const struct sweep *s)
{
	int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
		cli_error(
			"cannot start: another process is sweeping into '%s': wait for it, "
			"or give another output",
			s->dir);
		return -EBUSY;
	}
	if (journal_expect(s->results, s->options.resume) == 0)
		return 0;
	cli_error("cannot %s: %s", s->options.resume ? "resume" : "start",
		  kmem_last_error());
	return -EEXIST;
}

static int plan_sweep(struct sweep *s, const struct override *overrides, size_t count)
{
	int err = s->jobfile != NULL ? job_read_file(s->jobfile, &s->job, &s->plan)
				     : job_read_text(job_quick, "the quick sweep",
						     &s->job, &s->plan);

	if (err != 0)
		return EXIT_USAGE;
	s->seed_given = s->job.seed_given;
	for (size_t i = 0; i < count; i++) {
		int code = run_option("sweep", overrides[i].option, overrides[i].argument,
				      &s->plan, &s->seed_given);

		if (code != EXIT_DONE)
			return code;
	}
	run_default_seed(&s->plan, s->seed_given);
	if (s->dry_run) {
		/* A recording is still made, since its threads shape the plan. */
		strcpy(s->dir_default, "/tmp/kmembench-dry-run-XXXXXX");
		s->dir = mkdtemp(s->dir_default);
	} else {
		choose_folder(s);
	}
	if (s->dir == NULL || folder_make(s->dir) != 0) {
		cli_error("cannot write results: %s",
			  s->dir != NULL ? kmem_last_error() : "no temporary folder");
		return EXIT_USAGE;
	}
	if ((size_t)snprintf(s->results, sizeof(s->results), "%s/results.json", s->dir) >=
	    sizeof(s->results)) {
		cli_error("cannot write results: the path is too long");
		return EXIT_USAGE;
	}
	if (!s->dry_run && claim_folder(s) != 0)
		return EXIT_USAGE;
	if (job_plan(&s->job, &s->plan, record_section, s) != 0)
		return EXIT_USAGE;
	if (s->plan.count == 0) {
		cli_error("nothing to run: none of the job's allocators is installed");
		return EXIT_NOT_SUPPORTED;
	}
	return run_check_plan("sweep", &s->plan);
}

/* "DIR/plots: 31 pictures, each as .svg and .png", and the overviews by name. */
static void name_plots(const char *plots)
{
	char pattern[PATH_MAX + 16];
	glob_t all;

	snprintf(pattern, sizeof(pattern), "%s/*.png", plots);
	if (glob(pattern, 0, NULL, &all) == 0) {
		printf("%s: %zu pictures, each as .svg and .png\n", plots, all.gl_pathc);
		globfree(&all);
	}
	snprintf(pattern, sizeof(pattern), "%s/summary*.png", plots);
	if (glob(pattern, 0, NULL, &all) == 0) {
		for (size_t i = 0; i < all.gl_pathc; i++)
			printf("%s\n", all.gl_pathv[i]);
		globfree(&all);
	}
}

/* Plots and report are a bonus: their failure does not take the results away. */
static int draw(const struct sweep *s)
{
	const char *results = s->results;
	char plots[PATH_MAX], report[PATH_MAX];
	int code = EXIT_DONE;

	if ((size_t)snprintf(plots, sizeof(plots), "%s/plots", s->dir) >= sizeof(plots) ||
	    (size_t)snprintf(report, sizeof(report), "%s/report.html", s->dir) >=
		    sizeof(report))
		return EXIT_USAGE;
	if (plot_results(&results, 1, plots, PLOT_SVG | PLOT_PNG, NULL) != 0) {
		cli_error("cannot draw plots: %s", kmem_last_error());
		code = EXIT_NOT_SUPPORTED;
	} else {
		name_plots(plots);
	}
	if (report_write(&results, 1, report) != 0) {
		cli_error("cannot write the report: %s", kmem_last_error());
		code = EXIT_NOT_SUPPORTED;
	} else {
		printf("%s\n", report);
	}
	return code;
}

static int run_sweep(struct sweep *s)
{
	struct campaign_result result;
	int code, drawn = EXIT_DONE;

	s->options.out = s->results;
	code = campaign_run(&s->plan, &s->options, &result);
	if (result.root == NULL)
		return code;
	campaign_print(result.root);
	json_decref(result.root);
	if (code == EXIT_DONE && result.cells_done > 0) {
		printf("\n%s\n", s->results);
		if (!s->no_plots && !result.interrupted && s->options.shards == 0)
			drawn = draw(s);
	}
	if (code == EXIT_DONE && (result.failed > 0 || result.interrupted))
		code = EXIT_CELL_FAILED;
	return code == EXIT_DONE ? drawn : code;
}

/* The traces and the folder that a dry run made for them. */
static void remove_dry_run(const struct sweep *s)
{
	DIR *dir = opendir(s->dir);
	const struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	rmdir(s->dir);
}

int cmd_sweep(int argc, char **argv)
{
	struct sweep s = {0};
	struct override *overrides = calloc((size_t)argc + 1, sizeof(*overrides));
	size_t count = 0;
	int code;

	if (overrides == NULL)
		abort();
	if (cli_help_or_version(argc, argv, help)) {
		free(overrides);
		return EXIT_DONE;
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--print-job") == 0) {
			fputs(job_quick, stdout);
			free(overrides);
			return EXIT_DONE;
		}
	}
	plan_init(&s.plan);
	s.options.argc = argc;
	s.options.argv = argv;
	code = parse(&s, argc, argv, overrides, &count);
	if (code == EXIT_DONE)
		code = plan_sweep(&s, overrides, count);
	if (code == EXIT_DONE && s.dry_run)
		campaign_dry_run(&s.plan, &s.options);
	else if (code == EXIT_DONE)
		code = run_sweep(&s);
	if (s.dry_run && s.dir == s.dir_default)
		remove_dry_run(&s);
	job_release(&s.job);
	plan_release(&s.plan);
	free(overrides);
	return code;
}
