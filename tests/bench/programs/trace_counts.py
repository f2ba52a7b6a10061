#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the events of a trace, one kind a line: "malloc SIZE ALIGN_LOG2 COUNT".

Reads the format of workloads/harness/trace.h with nothing of the program's own code, and
checks on the way what a replay relies on: ids in order, no use of an id that is not live.
Sizes of free and remote-free (freed by another thread than allocated it) are those of the
block at that time.
"""
import collections
import struct
import sys

OPS = ["malloc", "calloc", "memalign", "realloc", "free"]
data = open(sys.argv[1], "rb").read()
magic, version, threads, events, ids, live_max, size_max, unknown, _ = struct.unpack_from(
    "<8sIIQQQQQQ", data)
assert magic == b"KMBTRACE" and version == 1, (magic, version)
assert len(data) == 64 + 16 * events, (len(data), events)

counts = collections.Counter()
size_of, owner = {}, {}
next_id = next_thread = live = peak = 0
for op, align, thread, block, size in struct.iter_unpack("<BBHIQ", data[64:]):
    name = OPS[op]
    assert thread <= next_thread, "threads are not numbered in order of their first event"
    next_thread = max(next_thread, thread + 1)
    if op <= 2:
        assert block == next_id, "ids are not counted up"
        next_id += 1
        owner[block] = thread
        live += size
    else:
        live += (size if name == "realloc" else 0) - size_of[block]
    if name == "free":
        size = size_of.pop(block)
        if owner[block] != thread:
            counts["remote-free", size, 0] += 1
    else:
        size_of[block] = size
    counts[name, size, align] += 1
    counts["total-" + name, 0, 0] += 1
    peak = max(peak, live)
assert (next_id, next_thread, peak) == (ids, threads, live_max), (next_id, next_thread, peak)

for (name, size, align), n in sorted(counts.items()):
    print(name, size, align, n)
print("threads", threads)
print("unknown", unknown)
