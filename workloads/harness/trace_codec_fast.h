/* SPDX-License-Identifier: MIT */
/* Events to bytes and back; the format stands in trace.h. */
#ifndef KMEMBENCH_TRACE_CODEC_FAST_H
#define KMEMBENCH_TRACE_CODEC_FAST_H

#include "workloads/harness/trace.h"

/* Operation 6 in a file: the thread changes. 7 is no operation. */
#define TRACE_CODE_THREAD 6
/* A thread, an operation with a number of 64 bits, a second number. */
#define TRACE_CODE_BYTES_MAX 32

/* What both sides know of the events before. */
struct trace_codec {
	uint32_t ids;	 /* allocations so far */
	uint16_t thread; /* of the event before; 0 at the start */
};

static inline unsigned char *trace_put_number(unsigned char *p, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*p++ = (unsigned char)(value | 0x80);
	*p++ = (unsigned char)value;
	return p;
}

/* An operation and its first number. */
static inline unsigned char *trace_put_op(unsigned char *p, unsigned int op,
					  uint64_t value)
{
	*p = (unsigned char)(op | (value & 15) << 3);
	value >>= 4;
	if (value == 0)
		return p + 1;
	*p++ |= 0x80;
	return trace_put_number(p, value);
}

/* Codes one event into at most TRACE_CODE_BYTES_MAX bytes; returns their end. */
static inline unsigned char *trace_encode(struct trace_codec *codec, unsigned char *p,
					  const struct trace_event *e)
{
	if (e->thread != codec->thread) {
		p = trace_put_op(p, TRACE_CODE_THREAD, e->thread);
		codec->thread = e->thread;
	}
	switch (e->op) {
	case TRACE_FREE: return trace_put_op(p, e->op, codec->ids - 1 - e->id);
	case TRACE_REALLOC:
		p = trace_put_op(p, e->op, codec->ids - 1 - e->id);
		return trace_put_number(p, e->size_bytes);
	case TRACE_AFTER:
		p = trace_put_op(p, e->op, e->id);
		return trace_put_number(p, e->size_bytes);
	case TRACE_MEMALIGN:
		codec->ids++;
		p = trace_put_op(p, e->op, e->size_bytes);
		*p++ = e->align_log2;
		return p;
	default: codec->ids++; return trace_put_op(p, e->op, e->size_bytes);
	}
}

/* Reads a number that has `shift` bits already; NULL when it does not end in time. */
static inline const unsigned char *trace_get_number(const unsigned char *p,
						    const unsigned char *end,
						    unsigned int shift, uint64_t *value)
{
	for (; p < end && shift < 64; shift += 7) {
		uint64_t bits = *p & 0x7f;

		if (shift > 57 && bits >> (64 - shift) != 0)
			return NULL;
		*value |= bits << shift;
		if ((*p++ & 0x80) == 0)
			return p;
	}
	return NULL;
}

static inline const unsigned char *trace_get_op(const unsigned char *p,
						const unsigned char *end,
						unsigned int *op, uint64_t *value)
{
	if (p >= end)
		return NULL;
	*op = *p & 7;
	*value = *p >> 3 & 15;
	return (*p & 0x80) != 0 ? trace_get_number(p + 1, end, 4, value) : p + 1;
}

/*
 * Decodes one event; returns the place after it, or NULL when the bytes are no
 * event. Guards the ranges of the fields; whether the event makes sense is the
 * checker's matter.
 */
static inline const unsigned char *trace_decode(struct trace_codec *codec,
						const unsigned char *p,
						const unsigned char *end,
						struct trace_event *e)
{
	uint64_t value, second = 0;
	unsigned int op;

	p = trace_get_op(p, end, &op, &value);
	if (p != NULL && op == TRACE_CODE_THREAD) {
		if (value >= TRACE_THREADS_MAX)
			return NULL;
		codec->thread = (uint16_t)value;
		p = trace_get_op(p, end, &op, &value);
	}
	if (p == NULL || op >= NR_TRACE_OPS)
		return NULL;
	*e = (struct trace_event){.op = (uint8_t)op, .thread = codec->thread};
	switch (op) {
	case TRACE_REALLOC:
	case TRACE_AFTER: p = trace_get_number(p, end, 0, &second); break;
	case TRACE_MEMALIGN:
		if (p == end)
			return NULL;
		e->align_log2 = *p++;
		break;
	default: break;
	}
	if (op == TRACE_AFTER && value < TRACE_THREADS_MAX) {
		e->id = (uint32_t)value;
		e->size_bytes = second;
	} else if (op == TRACE_AFTER) {
		return NULL;
	} else if (op >= TRACE_REALLOC) {
		if (value >= codec->ids)
			return NULL;
		e->id = codec->ids - 1 - (uint32_t)value;
		e->size_bytes = second;
	} else {
		e->id = codec->ids++;
		e->size_bytes = value;
	}
	return p;
}

#endif /* KMEMBENCH_TRACE_CODEC_FAST_H */
