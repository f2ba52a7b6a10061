#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""exec --results: rows of measured programs as a results file. TAP."""
import json
import pathlib
import sys
import tempfile

from tap import ROOT, check, finish, need_program, run, skip

HEAD = "program\tallocator\tlibrary\trep\tstatus\twall_s\tcpu_s\tpeak_kib\tminor_faults\n"


def row(program, allocator, rep, cpu_s=0.5, peak_kib=1000, status=0):
    return (f"{program}\t{allocator}\t/lib/{allocator}.so\t{rep}\t{status}\t{2 * cpu_s}\t{cpu_s}"
            f"\t{peak_kib}\t77\n")


def rows():
    text = "# complete false\n# date 2026-11-22T10:00:00+00:00\n# load 0.5 0.25 1\n" + HEAD
    for rep in range(6):
        drift = 1 + rep / 10
        text += row("sort", "glibc", rep, 0.8 * drift, 40000) + row("sort", "kmem", rep, 0.4 * drift, 50000)
    text += row("git", "glibc", 0) + row("git", "kmem", 0, status=139)
    return text


def test_file(tmp):
    source, out = tmp / "rows.tsv", tmp / "out.json"
    source.write_text(rows())
    ran = run("exec", "--results", source, "-o", out)
    check(ran.returncode == 0, "rows become a results file", ran.stderr)
    if ran.returncode != 0:
        return
    root = json.loads(out.read_text())
    ours = root["context"]["kmembench"]
    check(root["context"]["date"].startswith("2026-11-22T10") and root["context"]["load_avg"] == [0.5, 0.25, 1],
          "date and load are those of the measurement", root["context"])
    check(ours["complete"] is False and ours["reps"] == 6 and ours["cells_planned"] == 4,
          "it says that the run was interrupted", ours)
    check([a["path"] for a in ours["allocators"]] == ["/lib/glibc.so", "/lib/kmem.so"], "libraries", ours)
    first = root["benchmarks"][0]
    check((first["real_time"], first["cpu_time"], first["rss_bytes_peak"], first["page_faults"])
          == (1.6e9, 0.8e9, 40000 << 10, 77), "figures in ns and bytes", first)
    failed = root["benchmarks"][-1]
    check(failed["kmembench"]["status"] == "failed" and "139" in failed["error_message"],
          "a program that crashed is a failure", failed)
    try:
        import jsonschema
        schema = json.loads((ROOT / "results" / "schema.json").read_text())
        found = [e.message[:300] for e in jsonschema.Draft202012Validator(schema).iter_errors(root)]
        check(not found, "valid by the schema", *found)
    except ImportError:
        skip("valid by the schema", "python3-jsonschema is not installed")
    for metric, ratio in (("cpu_time", 0.5), ("rss_bytes_peak", 1.25)):
        ran = run("compare", "--json", "--metric", metric, out)
        cells = {c["params"]["program"]: c for c in json.loads(ran.stdout)["cells"]}
        check(abs(cells["sort"]["ratio"] - ratio) < 1e-9 and cells["sort"]["verdict"] in ("faster", "slower"),
              f"compare tells the ratio of {metric}", ran.stdout, ran.stderr)


def refused(tmp, name, text, wanted):
    source, out = tmp / "bad.tsv", tmp / "bad.json"
    source.write_text(text)
    ran = run("exec", "--results", source, "-o", out)
    check(ran.returncode == 2 and wanted in ran.stderr and "bad.tsv" in ran.stderr and not out.exists(),
          f"refused: {name}", ran.returncode, ran.stderr)


def test_refusals(tmp):
    good = row("sort", "glibc", 0)
    refused(tmp, "a line that is no row", HEAD + good + "sort glibc\n", "line 3")
    refused(tmp, "a number that is none", HEAD + good.replace("1000", "much"), "line 2")
    refused(tmp, "more than a row", HEAD + good.rstrip("\n") + "\t1\n", "line 2")
    refused(tmp, "a negative time", HEAD + good.replace("0.5", "-0.5"), "line 2")
    refused(tmp, "no row", HEAD, "no program was measured")
    source = tmp / "rows.tsv"
    for name, args, wanted in (
            ("no file of rows", ("--results", tmp / "none", "-o", tmp / "x"), "none"),
            ("no output", ("--results", source), "-o FILE"),
            ("an output that cannot be", ("--results", source, "-o", tmp / "no" / "x"), "does not exist"),
            ("a program too", ("--results", source, "-o", tmp / "x", "true"), "no program is run"),
            ("-o without rows", ("-a", "glibc", "-o", tmp / "x", "true"), "--results")):
        ran = run("exec", *args)
        check(ran.returncode == 2 and wanted in ran.stderr, f"refused: {name}", ran.returncode, ran.stderr)


need_program("exec --results")
with tempfile.TemporaryDirectory() as folder:
    test_file(pathlib.Path(folder))
    test_refusals(pathlib.Path(folder))
sys.exit(finish())
