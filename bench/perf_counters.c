/* SPDX-License-Identifier: MIT */
/* Event counters by perf_event_open(2): see perf_counters.h. */
#include "bench/perf_counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_MISS(cache)                             \
	((cache) | PERF_COUNT_HW_CACHE_OP_READ << 8 | \
	 PERF_COUNT_HW_CACHE_RESULT_MISS << 16)

static const struct {
	const char *name;
	uint32_t type;
	uint64_t config;
	int leader; /* the counter that leads its group; itself for a leader; -1: alone */
} events[NR_PERF_COUNTERS] = {
	[PERF_PAGE_FAULTS] = {"page_faults", PERF_TYPE_SOFTWARE,
			      PERF_COUNT_SW_PAGE_FAULTS, -1},
	[PERF_CONTEXT_SWITCHES] = {"context_switches", PERF_TYPE_SOFTWARE,
				   PERF_COUNT_SW_CONTEXT_SWITCHES, -1},
	[PERF_CPU_MIGRATIONS] = {"cpu_migrations", PERF_TYPE_SOFTWARE,
				 PERF_COUNT_SW_CPU_MIGRATIONS, -1},
	[PERF_CYCLES] = {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES,
			 PERF_CYCLES},
	[PERF_INSTRUCTIONS] = {"instructions", PERF_TYPE_HARDWARE,
			       PERF_COUNT_HW_INSTRUCTIONS, PERF_CYCLES},
	[PERF_BRANCH_MISSES] = {"branch_misses", PERF_TYPE_HARDWARE,
				PERF_COUNT_HW_BRANCH_MISSES, PERF_CYCLES},
	[PERF_L1D_MISSES] = {"l1d_misses", PERF_TYPE_HW_CACHE,
			     CACHE_MISS(PERF_COUNT_HW_CACHE_L1D), PERF_L1D_MISSES},
	[PERF_LLC_MISSES] = {"llc_misses", PERF_TYPE_HW_CACHE,
			     CACHE_MISS(PERF_COUNT_HW_CACHE_LL), PERF_L1D_MISSES},
	[PERF_DTLB_MISSES] = {"dtlb_misses", PERF_TYPE_HW_CACHE,
			      CACHE_MISS(PERF_COUNT_HW_CACHE_DTLB), PERF_L1D_MISSES},
};

const char *perf_counter_name(enum perf_counter counter)
{
	return events[counter].name;
}

static int open_event(enum perf_counter counter, struct perf_counters *c)
{
	struct perf_event_attr attr;
	int leader = events[counter].leader;
	bool leads = leader < 0 || leader == (int)counter;
	int group_fd = leads ? -1 : c->fd[leader];
	int fd;

	if (!leads && group_fd < 0) {
		errno = c->error[leader];
		return -1;
	}
	memset(&attr, 0, sizeof(attr));
	attr.size = sizeof(attr);
	attr.type = events[counter].type;
	attr.config = events[counter].config;
	attr.disabled = leads;
	attr.inherit = 1; /* threads that the workload starts count with their starter */
	attr.exclude_hv = 1;
	attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED |
			   PERF_FORMAT_TOTAL_TIME_RUNNING;
	fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, group_fd,
			  PERF_FLAG_FD_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EPERM) &&
	    counter != PERF_CONTEXT_SWITCHES && counter != PERF_CPU_MIGRATIONS) {
		/* Without privilege the user-space half may still be counted. */
		attr.exclude_kernel = 1;
		fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, group_fd,
				  PERF_FLAG_FD_CLOEXEC);
		c->user_only[counter] = fd >= 0;
	}
	return fd;
}

void perf_counters_open(struct perf_counters *c)
{
	memset(c, 0, sizeof(*c));
	for (int i = 0; i < NR_PERF_COUNTERS; i++) {
		c->fd[i] = open_event((enum perf_counter)i, c);
		c->error[i] = c->fd[i] < 0 ? errno : 0;
	}
}

static void control(const struct perf_counters *c, unsigned long request)
{
	for (int i = 0; i < NR_PERF_COUNTERS; i++) {
		if (c->fd[i] >= 0 && (events[i].leader < 0 || events[i].leader == i))
			ioctl(c->fd[i], request, PERF_IOC_FLAG_GROUP);
	}
}

void perf_counters_start(const struct perf_counters *c)
{
	control(c, PERF_EVENT_IOC_ENABLE);
}

void perf_counters_stop(const struct perf_counters *c)
{
	control(c, PERF_EVENT_IOC_DISABLE);
}

void perf_counters_close(struct perf_counters *c, struct perf_totals *totals)
{
	for (int i = 0; i < NR_PERF_COUNTERS; i++) {
		struct {
			uint64_t value, enabled, running;
		} r = {0, 0, 0};
		bool ok = c->fd[i] >= 0 && read(c->fd[i], &r, sizeof(r)) == sizeof(r) &&
			  r.running > 0;

		if (totals->threads == 0)
			totals->present[i] = ok;
		else
			totals->present[i] = totals->present[i] && ok;
		totals->user_only[i] = totals->user_only[i] || c->user_only[i];
		if (ok)
			totals->value[i] += (double)r.value *
					    ((double)r.enabled / (double)r.running);
		else if (totals->error[i] == 0)
			totals->error[i] = c->error[i] != 0 ? c->error[i] : EBUSY;
		if (c->fd[i] >= 0)
			close(c->fd[i]);
		c->fd[i] = -1;
	}
	totals->threads++;
}

const char *perf_counter_reason(enum perf_counter counter, int error)
{
	(void)counter;
	switch (error) {
	case ENOENT:
	case ENODEV:
	case EOPNOTSUPP:
		return "not supported by this machine (no hardware counters, as in most virtual "
		       "machines)";
	case EACCES:
	case EPERM:
		return "not permitted: lower kernel.perf_event_paranoid or run with CAP_PERFMON";
	case ENOSYS: return "this kernel has no perf_event_open";
	case EBUSY: return "the counters were in use by others";
	default: return strerror(error);
	}
}
