/* SPDX-License-Identifier: MIT */
/* Joining the results of one plan's shards. */
#ifndef KMEMBENCH_MERGE_H
#define KMEMBENCH_MERGE_H

#include <jansson.h>
#include <stddef.h>

/*
 * Joins files that results_load() accepted; paths are for messages and for the record in
 * "context"."kmembench"."merged_from". Returns a new reference, or NULL with a text that
 * names the two files and what differs, or the cell that both hold. `missing` gets what
 * keeps the joined file from being complete, or "".
 */
json_t *results_merge(json_t *const *files, const char *const *paths, size_t count,
		      char *missing, size_t missing_size);

#endif /* KMEMBENCH_MERGE_H */
