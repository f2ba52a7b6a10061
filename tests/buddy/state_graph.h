/* SPDX-License-Identifier: MIT */
/*
 * States that a search has been in, by a hash of each, and the transitions between them:
 * from each state one must be reachable that is final. With n states two have the same
 * hash by chance once in 2^65 / n^2 searches.
 */
#ifndef TESTS_BUDDY_STATE_GRAPH_H
#define TESTS_BUDDY_STATE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct graph_seen {
	uint32_t states, transitions;
	const char *violation; /* NULL: none */
};

static struct {
	struct graph_seen seen;
	uint64_t *key; /* open addressing; 0: free */
	uint32_t *id, *from, *to;
	uint8_t *final;
	size_t slots, room_transitions;
} graph;

/* What realloc() has returned. */
static inline void *graph_memory(void *p)
{
	if (p == NULL) {
		fprintf(stderr, "# state search: no memory for more states\n");
		abort();
	}
	return p;
}

static inline uint64_t graph_mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static inline uint64_t graph_hash(uint64_t hash, const void *at, size_t bytes)
{
	const char *p = at;
	uint64_t word;

	for (; bytes >= sizeof(word); p += sizeof(word), bytes -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		hash = graph_mix(hash, word);
	}
	word = 0;
	memcpy(&word, p, bytes);
	return graph_mix(hash, word);
}

static inline void graph_grow(void)
{
	uint64_t *key = graph.key;
	uint32_t *id = graph.id;
	size_t slots = graph.slots;

	graph.slots = slots == 0 ? 1 << 16 : slots * 4;
	graph.key = graph_memory(calloc(graph.slots, sizeof(*key)));
	graph.id = graph_memory(calloc(graph.slots, sizeof(*id)));
	graph.final = graph_memory(realloc(graph.final, graph.slots));
	for (size_t i = 0; i < slots; i++) {
		size_t at = key[i] & (graph.slots - 1);

		if (key[i] == 0)
			continue;
		while (graph.key[at] != 0)
			at = (at + 1) & (graph.slots - 1);
		graph.key[at] = key[i];
		graph.id[at] = id[i];
	}
	free(key);
	free(id);
}

/* The state of that key, not 0; true: it has been there before. */
static inline bool graph_find(uint64_t key, bool final, uint32_t *id)
{
	size_t at;

	if (graph.seen.states >= graph.slots / 2)
		graph_grow();
	at = key & (graph.slots - 1);
	while (graph.key[at] != 0 && graph.key[at] != key)
		at = (at + 1) & (graph.slots - 1);
	if (graph.key[at] == key) {
		*id = graph.id[at];
		return true;
	}
	*id = graph.seen.states++;
	graph.key[at] = key;
	graph.id[at] = *id;
	graph.final[*id] = final;
	return false;
}

static inline void graph_add(uint32_t from, uint32_t to)
{
	if (graph.seen.transitions == graph.room_transitions) {
		graph.room_transitions = graph.room_transitions == 0
						 ? 1 << 16
						 : graph.room_transitions * 2;
		graph.from = graph_memory(
			realloc(graph.from, graph.room_transitions * sizeof(uint32_t)));
		graph.to = graph_memory(
			realloc(graph.to, graph.room_transitions * sizeof(uint32_t)));
	}
	graph.from[graph.seen.transitions] = from;
	graph.to[graph.seen.transitions++] = to;
}

/* Whether from every state one can be reached in which all are done. */
static inline bool graph_nobody_lost(void)
{
	uint32_t *first = graph_memory(calloc(graph.seen.states + 1, sizeof(*first)));
	uint32_t *before = graph_memory(
		malloc(((size_t)graph.seen.transitions + 1) * sizeof(*before)));
	uint32_t *todo =
		graph_memory(malloc(((size_t)graph.seen.states + 1) * sizeof(*todo)));
	uint32_t n = 0, reached = 0;

	/* Transitions by where they lead to. */
	for (uint32_t i = 0; i < graph.seen.transitions; i++)
		first[graph.to[i]]++;
	for (uint32_t s = 1; s <= graph.seen.states; s++)
		first[s] += first[s - 1];
	for (uint32_t i = 0; i < graph.seen.transitions; i++)
		before[--first[graph.to[i]]] = graph.from[i];
	for (uint32_t s = 0; s < graph.seen.states; s++) {
		if (graph.final[s])
			todo[n++] = s;
	}
	while (reached < n) {
		uint32_t s = todo[reached++];

		for (uint32_t i = first[s]; i < first[s + 1]; i++) {
			if (!graph.final[before[i]]) {
				graph.final[before[i]] = true;
				todo[n++] = before[i];
			}
		}
	}
	free(first);
	free(before);
	free(todo);
	return n == graph.seen.states;
}

static inline void graph_empty(void)
{
	memset(&graph.seen, 0, sizeof(graph.seen));
	if (graph.slots > 0)
		memset(graph.key, 0, graph.slots * sizeof(*graph.key));
}

static inline void graph_free(void)
{
	free(graph.key);
	free(graph.id);
	free(graph.final);
	free(graph.from);
	free(graph.to);
	memset(&graph, 0, sizeof(graph));
}

#endif /* TESTS_BUDDY_STATE_GRAPH_H */
