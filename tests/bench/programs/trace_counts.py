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

OPS = ["malloc", "calloc", "memalign", "realloc", "free", "after", "thread"]
data = open(sys.argv[1], "rb").read()
(magic, version, threads, events, ids, live_max, size_max, unknown, file_bytes, table,
 duration, cost, pid, align_max, source, program, table_crc, header_crc) = struct.unpack_from(
    "<8sIIQQQQQQQQIIII24sII", data)
assert magic == b"KMBTRACE" and version == 2, (magic, version)
assert len(data) == file_bytes == table + 64 * threads, (len(data), file_bytes, table)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


assert crc32c(data[:124]) == header_crc
assert crc32c(data[table:]) == table_crc


def number(at, value, shift):
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return at, value


def coded_events():
    at, thread, next_id = 128, 0, 0
    while at < table:
        magic, size, count, crc = struct.unpack_from("<IIII", data, at)
        assert magic == 0x63424d4b
        if size < 2000:  # slow in Python
            assert crc32c(data[at + 4:at + 12] + data[at + 16:at + 16 + size]) == crc
        at += 16
        end = at + size
        while count > 0:
            op, value, more = data[at] & 7, data[at] >> 3 & 15, data[at] >> 7
            at += 1
            if more:
                at, value = number(at, value, 4)
            if op == 6:
                thread = value
                continue
            count -= 1
            align = other = 0
            if op in (3, 5):
                at, other = number(at, 0, 0)
            if op == 2:
                align = data[at]
                at += 1
            if op <= 2:
                yield op, align, thread, next_id, value
                next_id += 1
            elif op == 5:
                yield op, 0, thread, value, other
            else:
                yield op, 0, thread, next_id - 1 - value, other
        assert at == end


counts = collections.Counter()
size_of, owner = {}, {}
passed = collections.Counter()
next_id = next_thread = live = peak = total = 0
for op, align, thread, block, size in coded_events():
    name = OPS[op]
    total += 1
    assert thread <= next_thread, "threads are not numbered in order of their first event"
    next_thread = max(next_thread, thread + 1)
    if name == "after":
        assert 0 < size <= passed[block] and block != thread
    passed[thread] += 1
    if name == "after":
        counts["after", 0, 0] += 1
        continue
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
assert (next_id, next_thread, peak, total) == (ids, threads, live_max, events), (
    next_id, next_thread, peak, total)

for (name, size, align), n in sorted(counts.items()):
    print(name, size, align, n)
print("threads", threads)
print("unknown", unknown)
print("program", program.rstrip(b"\0").decode())
print("measured", int(cost > 0), int(duration > 0), int(pid > 0))
