#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kmembench slabinfo: the kernel's columns, at the workload's peak. TAP."""
import json
import re
import sys

from tap import check, finish, need_program, run

NAMES = ["name", "active_objs", "num_objs", "objsize", "objperslab", "pagesperslab"]
TUNABLES = ["limit", "batchcount", "sharedfactor"]
SLABDATA = ["active_slabs", "num_slabs", "sharedavail"]
NUMBERS = NAMES[1:] + TUNABLES + SLABDATA
LINE = re.compile(r"(\S+)((?: +\d+){5}) : tunables((?: +\d+){3}) : slabdata((?: +\d+){3})")


def caches(text):
    """{name: {column: number}} of one cell's text, whose head and lines are checked."""
    lines = text.splitlines() or ["", ""]
    check(lines[0] == "slabinfo - version: 2.1", "the first line is the kernel's", lines[0])
    words = lines[1].replace("#", "").split()
    wanted = (NAMES[:1] + [f"<{n}>" for n in NAMES[1:]] + [":", "tunables"]
              + [f"<{n}>" for n in TUNABLES] + [":", "slabdata"] + [f"<{n}>" for n in SLABDATA])
    check(words == wanted, "the second line names the kernel's columns", lines[1])
    matches = [LINE.fullmatch(line) for line in lines[2:]]
    check(len(matches) >= 2 and all(matches), "every other line is a cache", text)
    table = {m[1]: dict(zip(NUMBERS, map(int, (m[2] + m[3] + m[4]).split())))
             for m in matches if m}
    check(len(table) == len(lines) - 2, "no cache is listed twice")
    check(all(c["num_objs"] == c["objperslab"] * c["num_slabs"]
              and c["active_objs"] <= c["num_objs"] and c["active_slabs"] <= c["num_slabs"]
              for c in table.values()), "columns agree with each other", text)
    return table


def show(name, *args):
    result = run("slabinfo", "--time", "0.05", "--seed", "1", *args)
    check(result.returncode == 0, name, result.stderr)
    return result


def live_objects(allocator, cache, slots):
    """The workload's blocks are the objects of one cache, but for libkmem's own few."""
    result = show(f"{allocator}: runs", "-a", allocator, "-w",
                  f"wset:slots={slots},size_min_bytes=120,size_max_bytes=120")
    table = caches(result.stdout)
    check(cache in table and slots <= table[cache]["active_objs"] < slots + 200,
          f"{allocator}: blocks are active objects of {cache}", result.stdout)
    check(f"/{allocator}/" in result.stderr and "KiB live" in result.stderr,
          f"{allocator}: says which cell", result.stderr)


def as_json():
    """The same columns by name, and how a slab is laid out."""
    variant = "slab:colour=off,descriptors=off"
    result = show("--json", "-a", f"slab,{variant}", "-w", "wset", "--json", "-q")
    cells = json.loads(result.stdout)["cells"]
    check([c["cell"].split("/")[1] for c in cells] == ["slab", variant] and
          all(c["live_bytes"] > 0 and c["looks"] > 0 for c in cells), "every cell", result.stdout)
    wanted = {"name", *NUMBERS, "objsize_bytes", "colours", "colour_off_bytes", "slack_bytes",
              "off_slab"} - {"objsize"}
    check(all(set(cache) == wanted for c in cells for cache in c["caches"]), "every column",
          result.stdout)
    table = [{cache["name"]: cache for cache in c["caches"]} for c in cells]
    check(table[0]["kmem_cache"]["colours"] > 1 and table[0]["kmem_cache"]["colour_off_bytes"] == 64
          and table[1]["kmem_cache"]["colours"] <= 1, "colouring is seen", result.stdout)
    check(table[1]["size-1024"]["off_slab"] and not table[1]["size-32"]["off_slab"],
          "so is where descriptors lie", result.stdout)
    check(all(t["size-64"]["num_objs"] == t["size-64"]["objperslab"] * t["size-64"]["num_slabs"]
              for t in table), "columns agree with each other")


def refused(name, code, words, *args):
    result = run("slabinfo", *args)
    missing = [w for w in words if w not in result.stderr]
    check(result.returncode == code and not missing and result.stdout == "", name,
          f"exit {result.returncode}, missing {missing}", result.stderr, result.stdout)


def main():
    need_program("slabinfo")
    for allocator in ("slab", "kmem"):
        live_objects(allocator, "size-128", 5000)
    # All is freed again within a step: only a look at the peak sees it.
    result = show("a burst", "-w", "sawtooth:burst_bytes=4M", "-q")
    held = sum(c["active_objs"] * c["objsize"] for c in caches(result.stdout).values())
    check(4 << 20 <= held < 8 << 20, "the caches are those of the peak", held, result.stdout)
    check(result.stderr == "", "-q is quiet", result.stderr)
    result = show("two cells, two threads", "-a", "slab,slab:percpu=off", "-w", "larson", "-t", "2")
    parts = re.split(r"^# cell (\S+)\n", result.stdout, flags=re.M)
    check(parts[:2] == ["", "larson/slab/threads:2"] and len(parts) == 5,
          "several cells are told apart", parts[1::2])
    check(all(c["limit"] == 0 for c in caches(parts[-1]).values()),
          "a variant's caches are its own: percpu=off has no arrays", parts[-1])
    result = show("vmalloc", "-a", "vmalloc", "-w", "vm-fix", "-s", "64K")
    check("vmap_area" in caches(result.stdout), "vmalloc's descriptors", result.stdout)
    as_json()
    refused("no slabs", 4, ["'glibc' has no slab caches", "slab", "kmem", "vmalloc"], "-a", "glibc")
    refused("one of several has none", 4, ["'bump'"], "-a", "slab,bump", "-w", "pair")
    refused("unknown workload", 2, ["'wsat'", "wset"], "-w", "wsat")
    refused("a workload of pages", 2, ["page-bulk", "'slab'"], "-w", "page-bulk")
    refused("bad parameter", 2, ["'slots'"], "-p", "slots")
    refused("bad time", 2, ["'x'", "--time"], "--time", "x")
    refused("no such option", 2, ["--reps"], "--reps", "3")
    refused("an argument", 2, ["'pair'"], "pair")
    refused("a cell that fails", 3, ["highmem=0"], "-a", "slab:backing=private")
    help_text = run("slabinfo", "--help").stdout
    check("usage: kmembench slabinfo" in help_text and "exit codes" in help_text, "help")
    return finish()


sys.exit(main())
