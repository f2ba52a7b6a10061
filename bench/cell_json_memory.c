/* SPDX-License-Identifier: MIT */
/* Resident memory of a measured cell as JSON. */
#include "bench/cell.h"

static void set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

static void set_integer(json_t *object, const char *name, uint64_t value)
{
	set(object, name, json_integer((json_int_t)value));
}

/* Growth over the baseline; what was there before is not the allocator's. */
static uint64_t growth(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

void cell_add_memory(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	json_t *memory = json_object();

	set_integer(memory, "rss_bytes_before", cell->before.rss_bytes);
	set_integer(memory, "rss_bytes_live", cell->live.rss_bytes);
	set_integer(memory, "rss_bytes_peak", cell->peak_bytes);
	set_integer(memory, "rss_bytes_final", cell->final.rss_bytes);
	set_integer(memory, "pss_bytes_before", cell->before.pss_bytes);
	set_integer(memory, "pss_bytes_live", cell->live.pss_bytes);
	set_integer(memory, "pss_bytes_final", cell->final.pss_bytes);
	set_integer(memory, "live_bytes_max", cell->live_bytes_max);
	set(kmembench, "memory", memory);
	set_integer(entry, "rss_bytes_live",
		    growth(cell->live.rss_bytes, cell->before.rss_bytes));
	set_integer(entry, "rss_bytes_peak",
		    growth(cell->peak_bytes, cell->before.rss_bytes));
	set_integer(entry, "rss_bytes_final",
		    growth(cell->final.rss_bytes, cell->before.rss_bytes));
	set_integer(entry, "live_bytes_max", cell->live_bytes_max);
}
