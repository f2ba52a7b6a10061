/* SPDX-License-Identifier: MIT */
/* Counted instructions in the results and as a table: see icount.h. */
#include "bench/icount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/cli.h"

static const char *const counters[] = {
	"instructions_per_op", "l1d_misses_modelled_per_op", "ll_misses_modelled_per_op"};

/* Those of ours that keep per-CPU stacks, with rseq where there is one. */
static bool uses_rseq(const char *allocator)
{
	static const char *const names[] = {"buddy", "kmem", "slab", "vmalloc"};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], allocator) == 0)
			return true;
	}
	return false;
}

static json_t *details(const struct plan_cell *cell, const struct icount *count)
{
	json_t *object = json_pack(
		"{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:{s:s, s:s, s:s}, s:b, s:b, "
		"s:b}",
		"tool", count->tool, "quanta", ICOUNT_QUANTA, "warm_up_quanta",
		ICOUNT_WARM_UP_QUANTA, "ops", count->ops, "instructions",
		count->instructions, "data_reads", count->data_reads, "data_writes",
		count->data_writes, "l1d_misses", count->l1d_misses, "ll_misses",
		count->ll_misses, "cache_model", "i1", ICOUNT_I1, "d1", ICOUNT_D1, "ll",
		ICOUNT_LL, "fixed_layout", (int)count->fixed_layout, "deterministic",
		(int)(cell->threads == 1), "rseq", 0);

	if (uses_rseq(cell->ops->name))
		json_object_set_new(object, "fallback",
				    json_string("per-CPU stacks under a lock: valgrind "
						"has no rseq"));
	return object;
}

static void set_absent(json_t *kmembench, const char *reason)
{
	json_t *absent = json_object_get(kmembench, "counters_absent");

	if (absent == NULL) {
		absent = json_object();
		json_object_set_new(kmembench, "counters_absent", absent);
	}
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(counters); i++)
		json_object_set_new(absent, counters[i], json_string(reason));
}

int icount_add(const struct plan *plan, const struct plan_cell *cell, json_t *entry)
{
	json_t *kmembench = json_object_get(entry, "kmembench");
	const char *status = json_string_value(json_object_get(kmembench, "status"));
	struct icount count;
	int err;

	if (status == NULL || strcmp(status, "ok") != 0)
		return 0;
	err = icount_cell(plan, cell, &count);
	if (err == -EINTR)
		return err;
	if (err != 0) {
		cli_warn("cannot count the instructions of '%s': %s", cell->key,
			 kmem_last_error());
		set_absent(kmembench, kmem_last_error());
		return 0;
	}
	json_object_set_new(entry, counters[0],
			    json_real(count.instructions / count.ops));
	json_object_set_new(entry, counters[1], json_real(count.l1d_misses / count.ops));
	json_object_set_new(entry, counters[2], json_real(count.ll_misses / count.ops));
	json_object_set_new(kmembench, "icount", details(cell, &count));
	return 0;
}

static int name_width(const json_t *list)
{
	int width = 4;
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry) {
		const char *name = json_string_value(json_object_get(entry, "run_name"));

		if (name != NULL && (int)strlen(name) > width &&
		    json_object_get(entry, counters[0]) != NULL)
			width = (int)strlen(name);
	}
	return width;
}

void icount_print(const json_t *root)
{
	const json_t *list = json_object_get(root, "benchmarks");
	bool any = false, lock = false, threads = false;
	int width = name_width(list);
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry) {
		const json_t *icount =
			json_object_get(json_object_get(entry, "kmembench"), "icount");

		if (icount == NULL)
			continue;
		if (!any)
			printf("\n%-*s  %15s  %15s  %15s\n", width, "", "instructions/op",
			       "L1D misses/op *", "LL misses/op *");
		any = true;
		lock = lock || json_object_get(icount, "fallback") != NULL;
		threads = threads ||
			  json_is_false(json_object_get(icount, "deterministic"));
		printf("%-*s  %15.2f  %15.4f  %15.4f\n", width,
		       json_string_value(json_object_get(entry, "run_name")),
		       json_number_value(json_object_get(entry, counters[0])),
		       json_number_value(json_object_get(entry, counters[1])),
		       json_number_value(json_object_get(entry, counters[2])));
	}
	if (!any)
		return;
	puts("* modelled: D1 " ICOUNT_D1 ", LL " ICOUNT_LL
	     " (bytes, ways, bytes a line)");
	if (lock)
		puts("buddy, slab, vmalloc and kmem were counted in lock mode: valgrind has "
		     "no rseq");
	if (threads)
		puts("counts of several threads depend on who waits for whom");
}
