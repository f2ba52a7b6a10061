/* SPDX-License-Identifier: MIT */
/*
 * "did you mean": the nearest known name by edit distance.
 *
 * The distance is the optimal string alignment form of Damerau and Levenshtein:
 * a missing, additional or wrong letter costs one, and so does a pair of
 * neighbours that changed places, which is the commonest slip of the fingers.
 */
#include <kmem/options.h>

#include <ctype.h>
#include <string.h>

/* Longer names are not compared; none of ours comes near. */
#define NAME_LENGTH_MAX 48u

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned int edit_distance(const char *a, unsigned int a_len, const char *b,
				  unsigned int b_len)
{
	/* Three rows of the table: i - 2, i - 1 and i, by i modulo 3. */
	unsigned int row[3][NAME_LENGTH_MAX + 1];

	for (unsigned int j = 0; j <= b_len; j++)
		row[0][j] = j;
	for (unsigned int i = 1; i <= a_len; i++) {
		unsigned int *now = row[i % 3];
		const unsigned int *before = row[(i + 2) % 3];

		now[0] = i;
		for (unsigned int j = 1; j <= b_len; j++) {
			unsigned int change = !same_letter(a[i - 1], b[j - 1]);

			now[j] = min3(before[j] + 1, now[j - 1] + 1,
				      before[j - 1] + change);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
			    same_letter(a[i - 2], b[j - 1])) {
				unsigned int swap = row[(i + 1) % 3][j - 2] + 1;

				if (swap < now[j])
					now[j] = swap;
			}
		}
	}
	return row[a_len % 3][b_len];
}

/* Up to this distance two names are taken for one: about one slip in three letters. */
static unsigned int distance_max(unsigned int length)
{
	return length <= 3 ? 1 : length <= 8 ? 2 : length / 3;
}

/* The only candidate that starts with name (three letters or more), or NULL. */
static const char *only_completion(const char *name, size_t length,
				   const char *const *candidates, size_t count)
{
	const char *found = NULL;

	if (length < 3)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strncasecmp(candidates[i], name, length) != 0)
			continue;
		if (found != NULL)
			return NULL;
		found = candidates[i];
	}
	return found;
}

const char *kmem_nearest_name(const char *name, const char *const *candidates,
			      size_t count)
{
	size_t length = strlen(name);
	const char *nearest = NULL;
	unsigned int least;

	if (length == 0 || length > NAME_LENGTH_MAX)
		return NULL;
	least = distance_max((unsigned int)length) + 1;
	for (size_t i = 0; i < count; i++) {
		size_t candidate_length = strlen(candidates[i]);
		unsigned int distance;

		if (candidate_length > NAME_LENGTH_MAX)
			continue;
		distance = edit_distance(name, (unsigned int)length, candidates[i],
					 (unsigned int)candidate_length);
		/* As many changes as letters would make any name out of any other. */
		if (distance < least && distance < candidate_length &&
		    distance < length) {
			least = distance;
			nearest = candidates[i];
		}
	}
	return nearest != NULL ? nearest
			       : only_completion(name, length, candidates, count);
}
