#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Placement in results: counters, what they say of each node, and that nodes are simulated. TAP."""
import sys

from tap import FAST, check, load, main, run

TWO = "buddy:memory=64M,dma=0,highmem=0,kswapd=off,topology=numa:2 core:1 pu:1"


def test_placement(tmp):
    out = tmp / "n.json"
    # One thread asks for 48 MiB, and its node has 32.
    result = run("run", "-a", f"{TWO},buddy", "-w", "page-bulk", "-p", "bulk_bytes=48M", "-o", out,
                 *FAST)
    check(result.returncode == 0, "runs", result.stderr)
    entries = {e["kmembench"]["allocator"]: e for e in load(out)["benchmarks"]}
    numa = entries[TWO]["kmembench"]["numa"]
    check(numa["simulated"] and numa["nodes"] == 2, "the nodes are told, and that they are none",
          numa)
    check(numa["numa_miss"] == numa["numa_foreign"] > 0, "what one node misses another one has",
          numa)
    check(0.2 < numa["fallback_in"] < 0.5 and numa["fallback_in"] == numa["fallback_out"],
          "a third of the pages are another node's", numa)
    home = 0 if numa["node0_fallback_in"] == 0 else 1
    check(numa[f"node{home}_fallback_in"] == 0 and numa[f"node{1 - home}_fallback_in"] == 1,
          "all that the far node gave had been asked of the near one", numa)
    check(numa[f"node{home}_fallback_out"] == numa["fallback_out"] and
          f"node{1 - home}_fallback_out" not in numa, "and nobody asked the far one", numa)
    check(abs(numa["locality"] + numa["fallback_in"] - 1) < 0.01, "the rest is local", numa)
    check("frames_verified" not in numa, "simulated nodes are not verified", numa)
    check(entries[TWO]["fallback_in"] == numa["fallback_in"] and
          entries[TWO]["locality"] == numa["locality"], "they are metrics", entries[TWO])
    other = entries["buddy"]
    check("fallback_in" not in other and set(other["kmembench"]["numa"]) == {"simulated", "nodes"},
          "one node has no placement", other["kmembench"]["numa"])
    rows = [line.endswith("simulated nodes") for line in result.stdout.splitlines()[1:]]
    check(rows == ["numa:2" in line for line in result.stdout.splitlines()[1:]] and any(rows),
          "the table says which nodes are simulated", result.stdout)
    result = run("compare", out, "--baseline", TWO, "--metric", "fallback_in")
    check(result.returncode == 0, "compare knows them", result.stderr)
    check("<th>fallback in</th>" in report(out, tmp), "so does the report")


def report(out, tmp):
    run("report", out, "-o", tmp / "r.html")
    return (tmp / "r.html").read_text()


if __name__ == "__main__":
    sys.exit(main([test_placement]))
