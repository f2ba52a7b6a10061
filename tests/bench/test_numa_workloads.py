#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""numa-fallback and numa-pass from outside: results, table, refusals, job, schema. TAP."""
import json
import os
import pathlib
import sys

from tap import FAST, ROOT, check, load, main, refused, run

NODES = "memory=64M,dma=0,highmem=0,pcp=off,kswapd=off,min_free=256K"
BUDDY = f"buddy:{NODES},topology={ROOT}/jobs/numa-nodes.xml"
RING = f"{BUDDY},zonelist=ring"
SYNTHETIC = "topology=numa:4 core:1 pu:1"
# Of 4096 pages a node serves down to the low mark of 20, then to min, 16, and one more each.
TO_LOW, TO_MIN, PAGES = 4075, 4079, 4096


def cpus_of(nodes):
    """Is there a CPU for each? They are dealt out in turn to four nodes."""
    have = {cpu % 4 for cpu in os.sched_getaffinity(0)}
    return have >= nodes


def valid(root):
    try:
        import jsonschema
    except ImportError:
        return []
    schema = load(ROOT / "results" / "schema.json")
    return [f"{e.json_path}: {e.message[:200]}"
            for e in jsonschema.Draft202012Validator(schema).iter_errors(root)]


def test_fallback(tmp):
    out = tmp / "f.json"
    result = run("run", "-a", f"{BUDDY},{RING}", "-w", "numa-fallback", "-p", "policy=preferred",
                 "-o", out, *FAST)
    check(result.returncode == 0, "runs", result.stderr)
    root = load(out)
    check(not valid(root), "keeps to the schema", *valid(root))
    entries = {e["kmembench"]["allocator"]: e for e in root["benchmarks"]}
    for spec, order in ((BUDDY, [0, 3, 1, 2]), (RING, [0, 1, 2, 3])):
        entry, fill = entries[spec], entries[spec]["kmembench"]["fill"]
        name = "by distance" if spec == BUDDY else "on the ring"
        check(fill["order"] == order, f"nodes serve {name}", fill["order"])
        served = [sum(step["served"][node] for step in fill["steps"]) for node in range(4)]
        check(len(set(served)) == 1 and served[0] % TO_MIN == 0, f"{name}: each to its mark", served)
        check(entry["fallback_blocks_ratio"] == 0.75 and entry["returned_ratio"] == 1 and
              abs(entry["fallback_from_ratio"] - TO_LOW / PAGES) < 1e-6 and
              abs(entry["failed_from_ratio"] - 4 * TO_MIN / PAGES) < 1e-6, f"{name}: figures",
              entry)
        numa = entry["kmembench"]["numa"]
        check(numa["simulated"] and numa["numa_miss"] == numa["numa_foreign"] > 0 and
              numa["node0_fallback_in"] == 0 and numa["node3_fallback_in"] == 1,
              f"{name}: counters", numa)
        for item in ("numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node",
                     "other_node"):
            check(numa[item] == sum(numa[f"node{n}_{item}"] for n in range(4)),
                  f"{name}: {item} node by node", numa)
        columns = entry["kmembench"]["timeline"]["columns"]
        check(columns[-4:] == ["preferred_free_pages", "other_free_pages", "fallback_in_ratio",
                               "locality_ratio"], f"{name}: over time", columns)
    lines = [line for line in result.stdout.splitlines() if line.startswith("numa-")]
    check(lines and all(line.endswith("simulated nodes") for line in lines), "and the table says so",
          result.stdout)
    check("(simulated)" in report(out, tmp) and "falls back at" in report(out, tmp), "the report, too")
    for metric in ("failed_from_ratio", "latency_fallback_ns_p50"):
        result = run("compare", out, "--baseline", BUDDY, "--metric", metric)
        check(result.returncode == 0, f"compare knows {metric}", result.stderr)


def report(out, tmp):
    run("report", out, "-o", tmp / "r.html")
    return (tmp / "r.html").read_text()


def test_pass(tmp):
    if not cpus_of({0, 1}):
        return
    out = tmp / "p.json"
    specs = ",".join(f"{name}:memory=128M{more},{SYNTHETIC}" for name, more in
                     (("buddy", ",dma=0,highmem=0"), ("slab", ",dma=0,highmem=0"), ("kmem", "")))
    result = run("run", "-a", specs, "-w", "numa-pass", "-o", out, "--check", *FAST)
    check(result.returncode == 0, "numa-pass runs on pages, objects and malloc", result.stderr)
    root = load(out)
    check(not valid(root), "keeps to the schema", *valid(root))
    for entry in root["benchmarks"]:
        name = entry["kmembench"]["allocator_name"]
        check(entry["producer_local_ratio"] == entry["consumer_local_ratio"] == 1,
              f"{name}: what is handed out is local", entry)
        check(0 <= entry["home_ratio"] <= 1 and entry["latency_own_ns_p50"] >= 0 and
              entry["latency_touch_ns_p99"] >= 0, f"{name}: figures", entry)


def failed(name, tmp, args, *words):
    out = tmp / "bad.json"
    result = run("run", *args, "-o", out, *FAST)
    texts = [e.get("error_message", "") for e in load(out)["benchmarks"]] if out.exists() else []
    check(result.returncode == 3 and texts and all(w in t for w in words for t in texts), name,
          result.returncode, result.stderr, *texts)


def test_refusals(tmp):
    one = "buddy:topology=numa:1 pu:1"
    failed("one node is told", tmp, ["-a", one, "-w", "numa-fallback"],
           "needs two memory nodes", "'buddy' has one node", "buddy:topology=numa:4 core:1 pu:1")
    failed("and by numa-pass", tmp, ["-a", one, "-w", "numa-pass"], "needs two memory nodes")
    failed("no such node", tmp, ["-a", BUDDY, "-w", "numa-fallback", "-p", "node=7"], "node=7",
           "give 0 to 3")
    if len(list(pathlib.Path("/sys/devices/system/node").glob("node[0-9]*"))) == 1:
        failed("a machine of one node says so", tmp, ["-a", "glibc", "-w", "numa-fallback"],
               "this machine", "has one node")
    refused("an unknown policy", ["run", "-a", BUDDY, "-w", "numa-fallback", "-p", "policy=near"],
            "policy", "near")
    refused("too few steps", ["run", "-a", BUDDY, "-w", "numa-fallback", "-p", "steps=2"], "steps")
    result = run("run", "-a", BUDDY, "-w", "numa-fallback", "-t", "2")
    check(result.returncode != 0 and "give -t 1" in result.stderr, "two threads", result.stderr)
    result = run("run", "-a", BUDDY, "-w", "numa-pass", "-t", "3")
    check(result.returncode != 0 and "even number" in result.stderr, "three threads", result.stderr)


def test_listed(tmp):
    text = run("list", "workloads").stdout
    check("numa-fallback" in text and "numa-pass" in text, "both are listed", text)
    listed = json.loads(run("list", "workloads", "--json").stdout)
    check("returned_ratio" in run("list", "metrics").stdout, "so are their metrics")
    check("numa-pass" in json.dumps(listed), "also as JSON")
    result = run("sweep", ROOT / "jobs" / "numa.ini", "--dry-run", "-o", tmp / "s", cwd=ROOT)
    check(result.returncode == 0 and "zonelist=ring" in result.stdout, "the job is in order",
          result.stdout, result.stderr)


if __name__ == "__main__":
    sys.exit(main([test_fallback, test_pass, test_refusals, test_listed]))
