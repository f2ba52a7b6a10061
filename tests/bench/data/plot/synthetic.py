#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes invented results files with which plots and reports are tested.

usage: synthetic.py KIND FILE
KIND: few, many, one-thread, failed, variants, simulated, empty-latency, single, rich,
alike (alike has one allocator under two names and one 3 % slower, over 40 cells; rich has everything that an entry may hold: time lines, ageing, causes of tails, service
and response times, slices)

The figures follow no machine: they are drawn from distributions that look like an
allocator's (log-normal body, heavy tail, drift between blocks), with a fixed seed.
"""
import json
import math
import random
import sys

SPEED = {  # factor on a workload's base time
    "null": 0.12, "bump": 0.3, "freelist": 0.42, "kmem": 0.6, "slab": 0.45, "buddy": 0.5,
    "vmalloc": 0.4, "glibc": 1.0, "jemalloc": 0.85, "mimalloc": 0.62, "tcmalloc": 0.66,
    "mmap": 30.0,
}
SPACE = {"glibc": 1.08, "jemalloc": 1.31, "mimalloc": 1.38, "tcmalloc": 1.21, "kmem": 1.04,
         "slab": 1.06, "mmap": 3.9, "buddy": 1.02, "vmalloc": 1.1}
BASE_NS = {"pair": 12, "batch": 18, "wset": 35, "larson": 60, "xmalloc": 160,
           "page-repeat": 40, "page-bulk": 55, "vm-fix": 900, "replay": 48}
BASE_NS |= {"sawtooth": 90, "age": 110, "ff-worst": 80, "open-loop": 60}
PAGE = {"page-repeat", "page-bulk", "vm-fix"}
TICK_NS = 0.4348
SUB_BITS = 6


def bucket(ticks):
    if ticks < 64:
        return ticks
    e = ticks.bit_length() - 1
    return (e - 5) * 64 + (ticks >> (e - 6)) - 64


def middle(index):
    if index < 64:
        return float(index)
    shift = index // 64 - 1
    return (64 + index % 64 + 0.5) * 2.0 ** shift - 0.5


def histogram(rng, median_ns, samples):
    counts, low, high, total = {}, None, 0, 0.0
    for _ in range(samples):
        ns = median_ns * math.exp(rng.gauss(0, 0.22))
        if rng.random() < 0.012:
            ns += rng.expovariate(1 / (20 * median_ns))
        if rng.random() < 0.0006:
            ns += rng.expovariate(1 / 4000)
        ticks = max(0, int(ns / TICK_NS))
        counts[bucket(ticks)] = counts.get(bucket(ticks), 0) + 1
        low = ticks if low is None else min(low, ticks)
        high = max(high, ticks)
        total += ticks
    pairs = sorted(counts.items())

    def quantile(q):
        seen = 0
        for index, count in pairs:
            seen += count
            if seen >= math.ceil(q * samples):
                return middle(index) * TICK_NS
        return high * TICK_NS
    return {"count": samples, "min": low * TICK_NS, "max": high * TICK_NS,
            "mean": total / samples * TICK_NS, "p50": quantile(.5), "p90": quantile(.9),
            "p99": quantile(.99), "p99_9": quantile(.999), "p99_99": quantile(.9999),
            "sub_bits": SUB_BITS, "ns_per_tick": TICK_NS,
            "buckets": [[i, c] for i, c in pairs]}


def speed_of(allocator):
    name, _, options = allocator.partition(":")
    factor = SPEED.get(name, 0.9)
    return factor * (1 + 0.15 * (sum(map(ord, options)) % 7)) if options else factor


def entry(rng, allocator, workload, params, threads, block, reps, drift, samples):
    name = allocator.split(":")[0]
    key_params = "".join(f"/{k}:{v}" for k, v in params.items())
    key = f"{workload}/{allocator}{key_params}/threads:{threads}"
    size = params.get("size", 200)
    ns = BASE_NS[workload] * speed_of(allocator) * (1 + size / 4096 * 0.4)
    if allocator in ("again", "slower"):  # the baseline's own time, and its taste
        name, key = "glibc", key.replace(allocator, "glibc")
        ns *= SPEED["glibc"] / .9 * (1.03 if allocator == "slower" else 1)
    if threads > 1:
        ns *= 1 + {"glibc": .12, "tcmalloc": .35, "jemalloc": .05}.get(name, .02) * threads
    # Taste: the same workload suits allocators differently, reproducibly.
    ns *= 1 + 0.3 * math.sin(sum(map(ord, key)))
    ns *= drift * math.exp(rng.gauss(0, 0.02))
    name, key = allocator.split(":")[0], key.replace("/glibc/", f"/{allocator}/")
    e = {"name": key, "run_name": key, "family_index": 0, "per_family_instance_index": 0,
         "run_type": "iteration", "repetitions": reps, "repetition_index": block,
         "threads": threads, "iterations": int(1e8 / ns), "real_time": ns,
         "cpu_time": ns * .995, "time_unit": "ns", "items_per_second": threads * 1e9 / ns}
    k = {"schema_version": 1, "cell_key": key, "status": "ok", "allocator": allocator,
         "allocator_name": name, "allocator_options": {}, "workload": workload,
         "params": dict(params, touch="ends"), "threads": threads, "block": block,
         "seed": 7 + block, "op": "alloc+free pair", "samples_ns_per_op": [ns]}
    latency = {"unit": "ns", "clock_pair_ns": 20.1, "below_resolution": 0.7}
    if samples:
        for op, share in (("alloc", .6), ("free", .4)):
            h = histogram(rng, ns * share + 2, samples)
            latency[op] = h
            for p in ("p50", "p90", "p99", "p99_9", "p99_99", "max"):
                e[f"latency_{op}_ns_{p}"] = h[p]
        k["latency"] = latency
    live = {"pair": size, "batch": size * 1600, "page-repeat": 4096}.get(workload, 24 << 20)
    live = live * threads
    peak = int(live * SPACE.get(name, 1.15) * math.exp(rng.gauss(0, .01)) + 180000)
    e.update(rss_bytes_peak=peak, rss_bytes_live=int(peak * .97), rss_bytes_final=peak // 3,
             live_bytes_max=live, page_faults=peak // 4096)
    k["memory"] = {"rss_bytes_before": 1 << 20, "rss_bytes_live": (1 << 20) + peak,
                   "rss_bytes_peak": (1 << 20) + peak, "rss_bytes_final": 1 << 20,
                   "live_bytes_max": live}
    k["counters"] = {"page_faults": peak // 4096}
    k["counters_absent"] = {"cycles": "not supported by this machine"}
    k["numa"] = {"simulated": False, "nodes": 1}
    e["kmembench"] = k
    return e


def growth_of(allocator):
    """How an invented allocator keeps memory: usable / live, kept / usable, decay in s."""
    name = allocator.split(":")[0]
    return {"glibc": (1.07, .22, 1e9), "jemalloc": (1.12, .15, 1.4), "mimalloc": (1.14, .2, .4),
            "tcmalloc": (1.10, .3, 1e9), "kmem": (1.05, .12, .2), "slab": (1.05, .1, 3.0),
            }.get(name, (1.09, .18, 2.0))


def time_line(rng, workload, allocator, live, ns):
    usable_by, kept_by, decay = growth_of(allocator)
    kept_by *= math.exp(rng.gauss(0, .12))
    rows, allocated, resident, idle, step = [], 0.0, 0.0, 5.0, .01
    work = {"sawtooth": 1.2, "age": 2.0}.get(workload, .6)
    t = 0.0
    while t < work + (idle if workload == "sawtooth" else 0):
        working = t < work
        if workload == "sawtooth":
            cycle = t / .3 % 1
            now = live * (.1 + .9 * min(1, cycle / .5)) if cycle < .8 else live * .12
            now = now if working else live * .12
        else:
            now = live * min(1, t / .1) * (1 + .03 * math.sin(7 * t))
        usable = now * usable_by
        ageing = 1 + .5 * math.log1p(allocated / 2e9) if workload == "age" else 1
        floor = usable * (1 + kept_by * ageing)
        if floor > resident:
            resident = floor
        else:
            resident = floor + (resident - floor) * math.exp(-step / decay)
        allocated += live * step * 12 if working else 0
        rows.append([round(t, 4), int(resident), int(now), int(usable), int(allocated),
                     int(30 + resident / 4e5), int(resident / 4096), 0 if working else 1])
        # The sampler slows down while nothing happens.
        t += step if working or t < work + .3 else .1
    segments = []
    if workload == "age":
        for i in range(1, 33):
            wear = 1 + .15 * math.log1p(i) * (2 if allocator == "glibc" else 1)
            side = {op: {"count": 10000, "p50": ns * share * wear, "p99": 6 * ns * share * wear ** 2,
                         "p99_9": 40 * ns * share * wear ** 2}
                    for op, share in (("alloc", .6), ("free", .4))}
            segments.append({"allocated_bytes": allocated * i / 32, **side})
    return {"interval_s": .01, "source": "smaps_rollup",
            "columns": ["t_s", "rss_bytes", "live_bytes", "usable_bytes", "allocated_bytes",
                        "mappings", "page_faults", "phase"],
            "phases": ["work", "idle"], "rows": rows}, segments


def tail(rng, allocator, op, samples):
    weights = {"fault": 30, "call": 4, "call+fault": 6, "preempted": 5, "migrated": .3,
               "fault+preempted": .4, "unknown": 25}
    if op == "free":
        weights |= {"fault": 1, "call": 12}
    if allocator in ("null", "freelist", "bump"):
        weights = {"preempted": 5, "unknown": 30}
    total, out = sum(weights.values()), []
    for cause, weight in weights.items():
        n = int(samples / 1000 * weight / total * math.exp(rng.gauss(0, .3)) + .5)
        if n:
            out.append({"cause": cause, "count": n * 3, "above_p99_9": n,
                        "max": rng.uniform(2e3, 9e4), "buckets": [[700, n]]})
    return out


def enrich(rng, e):
    """Adds what a rich file has beyond an entry of the first kinds."""
    k = e["kmembench"]
    workload, allocator, ns = k["workload"], k["allocator"], e["real_time"]
    live = {"sawtooth": 64 << 20, "age": 96 << 20, "ff-worst": 24 << 20}.get(workload, 8 << 20)
    segments = []
    if workload in ("sawtooth", "age", "ff-worst", "wset"):
        k["timeline"], segments = time_line(rng, workload, allocator, live, ns)
    if segments:
        k["age"] = segments
    if workload == "ff-worst":
        e["robson_bound_bytes"] = live * 2.2
        e["robson_first_fit_bytes"] = live * 4.2
    e["internal_fragmentation"] = 1 - 1 / growth_of(allocator)[0]
    e["external_fragmentation"] = growth_of(allocator)[1] * .8
    e["space_ratio"] = growth_of(allocator)[0] * (1 + growth_of(allocator)[1])
    e["mappings_max"] = 60
    if workload == "sawtooth":
        for name, s in (("0_1s", .1), ("1s", 1.), ("5s", 5.)):
            e[f"rss_bytes_idle_{name}"] = live * (.15 + .8 * math.exp(-s / growth_of(allocator)[2]))
    samples = 400000
    k["latency"]["tail"] = {"threshold": "p99.9", **{op: tail(rng, allocator, op, samples)
                                                     for op in ("alloc", "free")}}
    if workload == "open-loop":
        for name, share in (("service", 1.0), ("response", 1.6)):
            k["latency"][name] = histogram(rng, ns * share, 2000)
    rounds = [ns * math.exp(rng.gauss(0, .03)) for _ in range(40)]
    k["samples_ns_per_op"] = rounds
    k["slices"] = {"rotation": 0, "reference": "glibc", "ops_per_slice": int(5e5 / ns),
                   "warmup_ms": 5.0, "ns_per_op": rounds}
    k["layout"] = {"aslr": True, "env_bytes": 1832}


def fail(e, reason):
    """As the runner writes a cell that died: planned parameters only."""
    k = e["kmembench"]
    params = {n: v for n, v in k["params"].items() if n != "touch"}
    return {**{n: e[n] for n in ("name", "run_name", "family_index",
                                 "per_family_instance_index", "run_type", "repetitions",
                                 "repetition_index", "threads")},
            "iterations": 0, "real_time": 0.0, "cpu_time": 0.0, "time_unit": "ns",
            "error_occurred": True, "error_message": reason,
            "kmembench": {n: k[n] for n in ("schema_version", "cell_key", "allocator",
                                            "allocator_name", "workload", "threads", "block",
                                            "seed")} | {"status": "failed", "params": params}}


def grid(kind):
    peers = ["glibc", "jemalloc", "mimalloc", "tcmalloc"]
    floors = ["null", "bump", "freelist"]
    pages = [("page-repeat", {"order": o}) for o in (0, 3, 9)] + [
        ("page-bulk", {"order": 0}), ("vm-fix", {"size": 16384})]
    mixed = [("wset", {}), ("larson", {}), ("xmalloc", {"producers": 1})]
    batches = [("batch", {"size": 64, "order": o}) for o in ("fifo", "lifo", "random")]
    pairs = [("pair", {"size": s}) for s in (16, 64, 1024, 8192, 65536)]
    if kind == "few":
        return ["slab", "glibc"], pairs[:3], [1, 2], 10
    if kind == "single":
        return ["slab"], pairs[1:2], [1], 1
    if kind == "one-thread":
        return ["slab"] + peers + floors, pairs + mixed, [1], 3
    if kind == "variants":
        return ["slab", "slab:percpu=off,colour=on", "slab:percpu=off,colour=off,limit=120",
                "slab:limit=30", "glibc", "snmalloc_2_28"], pairs + batches, [1, 2], 10
    if kind == "alike":
        return (["glibc", "again", "slower"], [("pair", {"size": 16 << i}) for i in range(14)] +
                mixed[:2] + batches + [("sawtooth", {})], [1, 2], 10)
    if kind == "rich":
        return (["kmem", "slab", "slab:percpu=off", "slab:colour=off,limit=30"] + peers +
                floors, pairs[:2] + mixed[:1] + [(w, {}) for w in (
                    "sawtooth", "age", "ff-worst", "open-loop")], [1], 6)
    everything = pairs + batches + mixed + pages + [
        ("replay", {"trace": "/home/user/traces/sqlite_bench.trace"})]
    return ["kmem", "slab", "buddy", "vmalloc", "mmap"] + peers + floors, everything, [1, 2, 4], 10


def make(kind):
    rng = random.Random(20)
    allocators, workloads, threads, reps = grid(kind)
    samples = {"empty-latency": 0, "many": 3000, "simulated": 3000}.get(kind, 500)
    entries = []
    for block in range(reps):
        drift = math.exp(rng.gauss(0, 0.08))
        for workload, params in workloads:
            for t in threads:
                if t > 1 and workload in ("replay", "batch"):
                    continue
                for a in allocators:
                    name = a.split(":")[0]
                    ours_page = name in ("buddy", "vmalloc", "mmap")
                    if workload in PAGE and not (ours_page or name == "freelist"):
                        continue
                    if workload not in PAGE and ours_page and kind != "rich":
                        continue
                    if name == "freelist" and workload in ("wset", "larson", "xmalloc", "replay"):
                        continue
                    e = entry(rng, a, workload, params, t, block, reps, drift, samples)
                    if kind == "rich":
                        enrich(rng, e)
                    if kind == "failed" and name == "tcmalloc" and workload == "larson":
                        e = fail(e, "killed by signal 11 (segmentation fault)")
                    if kind == "failed" and name == "jemalloc" and workload in ("pair", "wset"):
                        e = fail(e, "no end after 60 s & <was> killed")
                    entries.append(e)
    context = {
        "date": "2026-11-22T10:00:00+00:00", "host_name": "example", "executable": "kmembench",
        "num_cpus": 2, "mhz_per_cpu": 2300, "cpu_scaling_enabled": False,
        "caches": [{"type": "Data", "level": 1, "size": 49152, "num_sharing": 1}],
        "load_avg": [0.1, 0.2, 0.1], "library_build_type": "release",
        "kmembench": {
            "schema_version": 1, "version": "0.1.0", "git_revision": "0123456789ab-dirty",
            "complete": kind != "failed", "cells_planned": len(entries),
            "command_line": ["kmembench", "run", "-a", ",".join(allocators)], "seed": 1,
            "reps": reps, "time_s": 0.1,
            "machine": {"cpu_model": "Intel(R) Xeon(R) Processor @ 2.30GHz",
                        "kernel": "Linux 6.18.0-example", "glibc": "2.36",
                        "governor": "absent", "thp": "madvise", "memory_bytes": 8 << 30,
                        "numa_nodes": 2 if kind == "simulated" else 1, "virtualised": "kvm",
                        "aslr": 2, "smt": "off", "topology": "example",
                        "simulated_numa": kind == "simulated"},
            "clock": {"ns_per_tick": TICK_NS, "pair_ns": 20.1},
            "allocators": [{"name": a, "version": "1.0", "path": "", "options": {}}
                           for a in allocators]}}
    return {"context": context, "benchmarks": entries}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        json.dump(make(sys.argv[1]), out)


main()
