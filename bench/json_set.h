/* SPDX-License-Identifier: MIT */
/* Members of JSON objects, set in one word. The value's reference is taken over. */
#ifndef KMEMBENCH_JSON_SET_H
#define KMEMBENCH_JSON_SET_H

#include <jansson.h>
#include <stdint.h>

static inline void json_set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

static inline void json_set_integer(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static inline void json_set_real(json_t *object, const char *name, double value)
{
	json_object_set_new(object, name, json_real(value));
}

static inline void json_set_string(json_t *object, const char *name, const char *value)
{
	json_object_set_new(object, name, json_string(value));
}

#endif /* KMEMBENCH_JSON_SET_H */
