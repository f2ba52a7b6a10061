#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The probed passes of real cells: timeline, age, causes, series; and hgrm. TAP."""
import json
import pathlib
import re
import sys
import tempfile

from tap import FIXTURE, PROGRAM, check, finish, need_program, run

SLOW = "," in str(PROGRAM) or "thread" in str(PROGRAM) or "address" in str(PROGRAM)


def measure(tmp, *args):
    out = tmp / "out.json"
    ran = run("run", "--reps", "1", "--time", "0.02", "--latency-time", "0.15", "-q", "-o", out,
              *args)
    if ran.returncode != 0:
        check(False, "a run with " + " ".join(map(str, args)), ran.stderr)
        return []
    with open(out) as file:
        return json.load(file)["benchmarks"]


def column(timeline, name):
    i = timeline["columns"].index(name)
    return [row[i] for row in timeline["rows"]]


def check_timeline(e):
    cell = e["kmembench"]
    name = e["name"]
    t = cell["timeline"]
    times = column(t, "t_s")
    check(times == sorted(times) and times[0] >= 0, f"{name}: rows in order of time", times)
    allocated = column(t, "allocated_bytes")
    check(allocated == sorted(allocated), f"{name}: allocated bytes only grow", allocated)
    phases = [t["phases"][i] for i in column(t, "phase")]
    check(phases[0] == "work" and phases[-1] == "freed" and "idle" in phases,
          f"{name}: work, idle, freed", phases)
    live = column(t, "live_bytes")
    check(live[-1] == 0, f"{name}: nothing lives in the end", live)
    # With several threads each one's last 16 KiB are not in the maximum.
    slack = 0 if e["threads"] == 1 else e["threads"] * 16384
    check(max(live) <= e["live_bytes_max"] + slack, f"{name}: no sample above the maximum",
          max(live), e["live_bytes_max"])
    mappings = [m for m in column(t, "mappings") if m is not None]
    check(mappings and e["mappings_max"] == max(mappings), f"{name}: mappings", mappings)


def check_age(e):
    age = e["kmembench"]["age"]
    name = e["name"]
    grown = [s["allocated_bytes"] for s in age]
    check(0 < len(age) <= 64 and grown == sorted(grown), f"{name}: segments by age", grown)
    check(grown[-1] <= column(e["kmembench"]["timeline"], "allocated_bytes")[-1],
          f"{name}: segments end with the work", grown[-1])
    for s in age:
        for operation in ("alloc", "free"):
            if operation in s and not 0 <= s[operation]["p50"] <= s[operation]["p99"]:
                check(False, f"{name}: percentiles of a segment in order", s)


def check_tail(e):
    latency = e["kmembench"]["latency"]
    for operation in ("alloc", "free"):
        histogram = latency[operation]
        causes = latency["tail"][operation]
        rank, seen = -(-histogram["count"] * 999 // 1000), 0
        for index, samples in histogram["buckets"]:
            seen += samples
            if seen >= rank:
                break
        above = histogram["count"] - seen
        check(sum(c["above_p99_9"] for c in causes) == above,
              f"{e['name']}: {operation}: causes account for all {above} above p99.9", causes)
        check(all(sum(n for _, n in c["buckets"]) == c["count"] for c in causes),
              f"{e['name']}: {operation}: buckets hold what was counted")
        check(all(c["max"] <= histogram["max"] * 1.02 for c in causes),
              f"{e['name']}: {operation}: no cause is longer than the longest")


def test_passes(tmp):
    for e in measure(tmp, "-a", "glibc,kmem,bump", "-w", "wset", "-t", "1,2"):
        check_timeline(e)
        check_age(e)
        check_tail(e)
    for e in measure(tmp, "-a", "glibc", "-w", "larson,xmalloc,batch", "-t", "2"):
        check_timeline(e)
        check_tail(e)
    for e in measure(tmp, "-a", "mmap", "-w", "wset"):
        causes = {c["cause"]: c["count"] for c in e["kmembench"]["latency"]["tail"]["free"]}
        calls = sum(n for cause, n in causes.items() if "call" in cause)
        if e["kmembench"]["latency"]["tail"]["calls"] == "counted":
            check(calls > 0.9 * sum(causes.values()), "mmap: a free is a memory call", causes)


def test_course(tmp):
    """Columns of the workload's own, and the figures that they end in."""
    for e in measure(tmp, "-a", "buddy,buddy:lower=rows,mmap", "-w", "page-frag", "--param",
                     "fill_bytes=64M", "--param", "rounds=2"):
        t, name = e["kmembench"]["timeline"], e["name"]
        shares = column(t, "free_in_huge_blocks_ratio")
        free = column(t, "free_pages")
        if "mmap" in name:
            check(set(shares) | set(free) == {None}, f"{name}: what is not told is null", shares)
            check("free_in_huge_blocks_ratio" not in e, f"{name}: nor reported")
            continue
        check(all(0 <= s <= 1 for s in shares), f"{name}: shares of free memory", shares)
        # 2 GiB less HIGHMEM's 256 MiB, of which 32 MiB stay live.
        total = ((2 << 30) - (256 << 20)) // 4096
        check(max(free) <= total and free[0] <= total - 8192, f"{name}: free pages", free)
        check(free[-1] >= total - 2048, f"{name}: all is free in the end", free[-1])
        check(e["free_in_huge_blocks_ratio"] > 0.8, f"{name}: most was never touched",
              e["free_in_huge_blocks_ratio"])
        index = [e[f"unusable_index_order{n}_ratio"] for n in range(1, 11)]
        check(index == sorted(index), f"{name}: larger blocks are not easier to find", index)
        check(abs(1 - index[8] - e["free_in_huge_blocks_ratio"]) < 1e-9,
              f"{name}: order 9 is 2 MiB", index)
    for e in measure(tmp, "-a", "buddy:memory=96M,dma=0,highmem=32M", "-w", "reclaim", "-t", "1",
                     "--param", "file_bytes=256M"):
        t, name = e["kmembench"]["timeline"], e["name"]
        marks = [column(t, f"pages_{m}")[0] for m in ("min", "low", "high")]
        check(0 < marks[0] < marks[1] < marks[2], f"{name}: watermarks in order", marks)
        check([e[f"watermark_{m}_pages"] for m in ("min", "low", "high")] == marks,
              f"{name}: and as reported", marks)
        phases = [t["phases"][i] for i in column(t, "phase")]
        free = [f for f, p in zip(column(t, "free_pages"), phases) if p == "work"]
        # HIGHMEM's 8192 pages are free all the time: with them it would look like plenty.
        check(free and max(free) < 8192, f"{name}: free pages are few, HIGHMEM left out", free)
        taken = [a + b for a, b in zip(column(t, "kswapd_pages"), column(t, "direct_pages"))]
        check(taken == sorted(taken) and taken[0] > 0, f"{name}: pages taken back", taken)
        check(e["pages_read"] > e["kswapd_pages"] + e["direct_pages"] > 0,
              f"{name}: not more than were read", e["pages_read"])


def known_ratio(tmp):
    """One mapping a block of a page, touched: what R, U and L are is no secret."""
    for e in measure(tmp, "-a", "mmap", "-w", "wset", "--param", "slots=3000", "--param",
                     "size_min_bytes=4096", "--param", "size_max_bytes=4096", "--param",
                     "touch=full"):
        t = e["kmembench"]["timeline"]
        rss, live = column(t, "rss_bytes")[0], column(t, "live_bytes")[0]
        check(live == 3000 * 4096, "mmap: 3000 pages live", live)
        if not SLOW:
            check(abs(rss - live) < 0.05 * live + (1 << 18), "mmap: and are resident", rss, live)
            check(0.95 < e["space_ratio"] < 1.1, "mmap: a space ratio of 1", e["space_ratio"])
            check(abs(e["external_fragmentation"]) < 0.06, "mmap: no external fragmentation",
                  e["external_fragmentation"])
        check(e["internal_fragmentation"] == 0, "mmap: no internal fragmentation",
              e["internal_fragmentation"])


def test_blow_up(tmp):
    """Each thread has slots of its own: twice the threads, twice the memory."""
    entries = measure(tmp, "-a", "mmap", "-w", "wset", "-t", "1,2", "--touch", "full", "--param",
                      "slots=3000", "--param", "size_min_bytes=4096", "--param",
                      "size_max_bytes=4096")
    alone, two = sorted(entries, key=lambda e: e["threads"])
    check("blow_up" not in alone, "one thread has no blow-up", alone.get("blow_up"))
    ratio = two["rss_bytes_peak"] / alone["rss_bytes_peak"]
    check(abs(two["blow_up"] - ratio) < 1e-6 and (SLOW or 1.8 < two["blow_up"] < 2.2),
          "two threads need twice as much",
          two.get("blow_up"), ratio)


def test_fresh_process(tmp):
    """The memory pass begins with nothing that other passes left behind."""
    for method in ("slices", "plain"):
        for e in measure(tmp, "-a", "glibc,kmem", "-w", "sawtooth", "-t", "2", "--method", method,
                         "--param", "idle_seconds=0.1"):
            t = e["kmembench"]["timeline"]
            rss = column(t, "rss_bytes")
            check(e["kmembench"]["memory_process"] == "own", f"{e['name']}: a process of its own")
            check(rss[0] < 0.2 * max(rss), f"{e['name']}: {method}: it begins with little memory",
                  rss[0], max(rss))
            check(e["rss_bytes_peak"] >= max(rss), f"{e['name']}: the peak is of that process",
                  e["rss_bytes_peak"], max(rss))
            memory = e["kmembench"]["memory"]
            check(abs(memory["rss_bytes_final"] - memory["rss_bytes_before"] - rss[-1]) < 1 << 18
                  or SLOW, f"{e['name']}: and so is what is left", memory, rss[-1])
    for e in measure(tmp, "-a", "glibc", "-w", "pair", "-s", "64", "--memory-time", "0"):
        cell = e["kmembench"]
        check("timeline" not in cell and "memory_process" not in cell and
              "rss_bytes_live" in e, f"{e['name']}: without a memory pass", list(cell))


def parse_hgrm(text):
    """As plotFiles.html of HdrHistogram reads it: columns between spaces, '#' skipped."""
    rows = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#") or "Percentile" in line:
            continue
        words = line.split()
        if not re.fullmatch(r"[0-9.]+", words[0]) or len(words) not in (3, 4):
            raise ValueError(f"no row: {line}")
        rows.append((float(words[0]), float(words[1]), int(words[2]),
                     float(words[3]) if len(words) == 4 else None))
    return rows


def same(a, b):
    """To the digits that either file has."""
    return abs(a - b) <= 0.001 + 1e-7 * abs(b)


def check_hgrm(rows, histogram, name):
    values = [r[0] for r in rows]
    levels = [r[1] for r in rows]
    counts = [r[2] for r in rows]
    check(values == sorted(values) and levels == sorted(levels) and counts == sorted(counts),
          f"{name}: rows ascend")
    check(levels[0] == 0 and levels[-1] == 1 and counts[-1] == histogram["count"],
          f"{name}: from 0 to all samples", rows[-1])
    check(same(values[-1], histogram["max"]), f"{name}: ends with the maximum")
    check(all(abs(r[3] - 1 / (1 - r[1])) < 0.006 * r[3] for r in rows[:-1]),
          f"{name}: the fourth column is 1 / (1 - percentile)")
    at = dict(zip(levels, values))
    check(same(at[0.5], histogram["p50"]) and same(at[0.9], histogram["p90"]),
          f"{name}: percentiles are the entry's", at[0.5], histogram["p50"])
    check(all(c >= level * histogram["count"] * (1 - 1e-9) for level, c in zip(levels, counts)),
          f"{name}: as many samples as the percentile says")


def test_open_loop_and_hgrm(tmp):
    entries = measure(tmp, "-a", "glibc", "-w", "open-loop,pair", "-s", "64")
    for e in entries:
        latency = e["kmembench"]["latency"]
        names = {"service", "response"} if "open-loop" in e["name"] else {"alloc", "free"}
        check({n for n in latency if isinstance(latency[n], dict) and n != "tail"} == names,
              f"{e['name']}: histograms", list(latency))
        if "response" in names:
            check(e["latency_response_ns_p99"] >= e["latency_service_ns_p99"] and
                  e["latency_response_ns_max"] >= e["latency_service_ns_max"],
                  "open-loop: a response takes no less than its service")
    folder = tmp / "percentiles"
    ran = run("hgrm", tmp / "out.json", "-o", folder)
    files = ran.stdout.split()
    check(ran.returncode == 0 and len(files) == 4, "hgrm: a file for each histogram",
          ran.stdout, ran.stderr)
    for e in entries:
        latency = e["kmembench"]["latency"]
        for operation in ("alloc", "free", "service", "response"):
            if operation not in latency:
                continue
            name = re.sub(r"[^A-Za-z0-9._+=:-]", "-", e["name"])
            path = folder / f"{name}.{operation}.hgrm"
            check_hgrm(parse_hgrm(path.read_text()), latency[operation], path.name)


def test_hgrm_command(tmp):
    ran = run("hgrm", FIXTURE, "-a", "glibc", "-w", "pair")
    check(ran.returncode == 0, "hgrm: a kept file", ran.stderr)
    rows = parse_hgrm("#[pair" + ran.stdout.split("#[pair")[1])
    with open(FIXTURE) as file:
        blocks = [e["kmembench"]["latency"]["alloc"]["count"]
                  for e in json.load(file)["benchmarks"]
                  if e["name"] == "pair/glibc/size:64/threads:1" and e["kmembench"].get("latency")]
    check(rows[-1][2] == sum(blocks), "hgrm: the blocks of a cell are merged", rows[-1], blocks)
    same_name = tmp / "new" / FIXTURE.name
    same_name.parent.mkdir()
    same_name.write_bytes(FIXTURE.read_bytes())
    ran = run("hgrm", FIXTURE, same_name, "-a", "glibc", "-w", "pair", "-o", tmp / "two")
    files = ran.stdout.split()
    check(ran.returncode == 0 and len(files) > 1 and len(set(files)) == len(files),
          "hgrm: files of one name do not overwrite each other", ran.stdout, ran.stderr)
    ran = run("hgrm", FIXTURE, "-a", "nobody")
    check(ran.returncode == 2 and "no latency histogram" in ran.stderr, "hgrm: nothing found")
    check(run("hgrm").returncode == 2, "hgrm: no file named")
    check(run("hgrm", "/nowhere.json").returncode == 2, "hgrm: no such file")
    check("usage: kmembench hgrm" in run("hgrm", "--help").stdout, "hgrm: help")


def main():
    need_program("probed passes")
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        test_passes(tmp)
        test_course(tmp)
        known_ratio(tmp)
        test_blow_up(tmp)
        test_fresh_process(tmp)
        test_open_loop_and_hgrm(tmp)
        test_hgrm_command(tmp)
    return finish()


sys.exit(main())
