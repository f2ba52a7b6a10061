/* SPDX-License-Identifier: MIT */
/* Starts gnuplot processes and gathers their outputs. */
#include "bench/plot_gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/plot_alloc.h"

extern char **environ;

static int not_installed(void)
{
	return kmem_error(-ENOTSUP, "there is no 'gnuplot' in PATH: install the package "
				    "'gnuplot-nox' (apt-get install gnuplot-nox)");
}

int gnuplot_find(void)
{
	const char *path = getenv("PATH");
	char *copy = plot_strdup(path != NULL ? path : "/usr/bin:/bin"), *rest = copy,
	     *dir;
	bool found = false;

	while (!found && (dir = strsep(&rest, ":")) != NULL) {
		char *file = plot_printf("%s/gnuplot", *dir != '\0' ? dir : ".");
		struct stat st;

		found = access(file, X_OK) == 0 && stat(file, &st) == 0 &&
			S_ISREG(st.st_mode);
		free(file);
	}
	free(copy);
	return found ? 0 : not_installed();
}

void gnuplot_pool_init(struct gnuplot_pool *pool, FILE *log)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*pool = (struct gnuplot_pool){.limit = cpus > 1 ? (size_t)cpus : 1, .log = log};
	pool->running = plot_calloc(pool->limit, sizeof(*pool->running));
}

static void job_free(struct gnuplot_job *job)
{
	if (job->errors != NULL)
		fclose(job->errors);
	free(job->script);
	free(job->output);
	free(job->temporary);
}

/*
 * What gnuplot printed, on one line: the lines that end in a message are what helps, the
 * echoed command and the caret below it are not.
 */
static void read_errors(FILE *errors, char *text, size_t size)
{
	char line[512];
	size_t used = 0;

	text[0] = '\0';
	rewind(errors);
	while (fgets(line, sizeof(line), errors) != NULL) {
		char *start = line + strspn(line, " \t\"");

		start[strcspn(start, "\n")] = '\0';
		if (start[0] == '\0' || start[0] == '^' ||
		    strstr(start, "arning") != NULL)
			continue;
		used += (size_t)snprintf(text + used, size - used, "%s%s",
					 used > 0 ? "; " : "", start);
		if (used >= size - 1)
			break;
	}
	if (text[0] == '\0')
		snprintf(text, size, "it left no whole picture and no message");
}

/* The last bytes of a picture that is whole. */
static bool is_whole(const char *path)
{
	static const char png[] = "\0\0\0\0IEND\xae\x42\x60\x82";
	char tail[32] = "";
	FILE *in = fopen(path, "re");
	size_t n = 0;

	if (in != NULL && fseek(in, -(long)(sizeof(png) - 1), SEEK_END) == 0)
		n = fread(tail, 1, sizeof(png) - 1, in);
	if (in != NULL)
		fclose(in);
	return n == sizeof(png) - 1 &&
	       (memcmp(tail, png, n) == 0 || strstr(tail, "</svg>") != NULL);
}

static int job_failed(const struct gnuplot_job *job, int status)
{
	char text[1024];
	struct statvfs disk;

	read_errors(job->errors, text, sizeof(text));
	if (WIFSIGNALED(status))
		return kmem_error(-ENOTSUP, "gnuplot was killed by signal %d on '%s'",
				  WTERMSIG(status), job->script);
	if (WEXITSTATUS(status) == 127)
		return not_installed();
	/* It does not look at what becomes of its output. */
	if (statvfs(job->temporary, &disk) == 0 && disk.f_bavail == 0)
		return kmem_error(-ENOSPC, "cannot write '%s': %s", job->output,
				  strerror(ENOSPC));
	return kmem_error(-ENOTSUP, "gnuplot failed on '%s' for '%s': %s", job->script,
			  job->output, text);
}

/* A job is good when gnuplot ended well and left a whole file. */
static int job_result(const struct gnuplot_job *job, int status, FILE *log)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !is_whole(job->temporary))
		return job_failed(job, status);
	if (rename(job->temporary, job->output) != 0)
		return kmem_error(-errno, "cannot write '%s': %m", job->output);
	if (log != NULL)
		fprintf(log, "%s\n", job->output);
	return 0;
}

static int wait_oldest(struct gnuplot_pool *pool)
{
	struct gnuplot_job job = pool->running[0];
	int status = 0, err;

	while (waitpid(job.pid, &status, 0) < 0 && errno == EINTR)
		continue;
	err = job_result(&job, status, pool->log);
	if (err != 0)
		unlink(job.temporary);
	job_free(&job);
	pool->nr_running--;
	memmove(pool->running, pool->running + 1, pool->nr_running * sizeof(job));
	return err;
}

/* stdin from /dev/null, both outputs to the job's own file, default signals. */
static int spawn(struct gnuplot_job *job, char *const *argv)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
					 0);
	posix_spawn_file_actions_adddup2(&actions, fileno(job->errors), STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, fileno(job->errors), STDERR_FILENO);
	err = posix_spawnp(&job->pid, "gnuplot", &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (err == ENOENT)
		return not_installed();
	return err == 0 ? 0
			: kmem_error(-ENOTSUP, "cannot start gnuplot: %s", strerror(err));
}

int gnuplot_start(struct gnuplot_pool *pool, const char *script, const char *data,
		  const char *output, const char *terminal, const char *const *arguments,
		  size_t nr_arguments)
{
	const char *argv[7 + GNUPLOT_ARGUMENTS_MAX] = {"gnuplot", "-c", script, data};
	struct gnuplot_job job = {0};
	int err = 0;

	if (pool->nr_running == pool->limit)
		err = wait_oldest(pool);
	if (err != 0)
		return err;
	job.script = plot_strdup(script);
	job.output = plot_strdup(output);
	job.temporary = plot_printf("%s.%d.tmp", output, (int)getpid());
	job.errors = tmpfile();
	if (job.errors == NULL) {
		err = kmem_error(-errno, "cannot make a temporary file: %m");
	} else {
		argv[4] = job.temporary;
		argv[5] = terminal;
		for (size_t i = 0; i < nr_arguments && i < GNUPLOT_ARGUMENTS_MAX; i++)
			argv[6 + i] = arguments[i];
		err = spawn(&job, (char *const *)argv);
	}
	if (err != 0) {
		job_free(&job);
		return err;
	}
	pool->running[pool->nr_running++] = job;
	return 0;
}

int gnuplot_finish(struct gnuplot_pool *pool)
{
	int first = 0;

	while (pool->nr_running > 0) {
		int err = wait_oldest(pool);

		if (first == 0)
			first = err;
	}
	free(pool->running);
	pool->running = NULL;
	return first;
}
