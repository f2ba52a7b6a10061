#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Google Benchmark's own tools read results files as they are. TAP."""
import pathlib
import subprocess
import sys
import tempfile
import types

from tap import FIXTURE, PROGRAM, check, finish, run, skip_all

TOOLS = pathlib.Path("/usr/share/benchmark")

if not (TOOLS / "gbench" / "util.py").exists():
    skip_all("gbench", "libbenchmark-tools is not installed")


class Means(list):
    """As much of a numpy array as the report asks for."""

    def any(self):
        return any(self)


def geometric_means(rows):
    """scipy.stats.gmean over the rows of a list of lists."""
    means = Means()
    for column in zip(*rows):
        product = 1.0
        for x in column:
            product *= x ** (1 / len(column))
        means.append(product)
    return means


# report.py imports scipy for its geometric mean and U test; the former is enough here.
for name in ("scipy", "scipy.stats", "numpy"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["scipy.stats"].mannwhitneyu = None
sys.modules["scipy.stats"].gmean = geometric_means
sys.modules["numpy"].array = Means
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
from gbench import report, util  # noqa: E402


def test_file(path, what):
    check(util.check_input_file(str(path)) == util.IT_JSON, f"{what}: taken for JSON results")
    results = util.load_benchmark_results(str(path))
    entries = results["benchmarks"]
    check(all(e["run_type"] == "iteration" for e in entries), f"{what}: entries are iterations")
    check(all(report.is_potentially_comparable_benchmark(e) for e in entries),
          f"{what}: every entry can be compared")
    before = [(e["family_index"], e["per_family_instance_index"], e["repetition_index"])
              for e in entries]
    after = [(e["family_index"], e["per_family_instance_index"], e["repetition_index"])
             for e in util.sort_benchmark_results(results)["benchmarks"]]
    check(sorted(before) == after, f"{what}: sorted by family, instance, repetition")
    names = report.get_unique_benchmark_names(results)
    partitions = report.partition_benchmarks(results, results)
    check([p[0][0]["name"] for p in partitions] == names, f"{what}: one partition a cell")
    check(sum(len(p[0]) for p in partitions) == len(entries),
          f"{what}: partitions hold every repetition")
    good = {"benchmarks": [e for e in entries if not e.get("error_occurred")]}
    lines = report.get_difference_report(good, good)
    cells = [line for line in lines if line["run_type"] == "iteration"]
    check(len(cells) > 0 and lines[-1]["name"] == "OVERALL_GEOMEAN",
          f"{what}: a difference report is made", lines)
    check(all(m["time"] == 0 for line in cells for m in line["measurements"]),
          f"{what}: a file does not differ from itself")
    check(len(report.print_difference_report(lines, use_color=False)) > len(cells),
          f"{what}: the report prints")
    first = good["benchmarks"][0]["name"].split("/")[0]
    kept = report.filter_benchmark(results, f"^{first}/", "x/")
    check(len(kept["benchmarks"]) > 0, f"{what}: filtered by family")


def main():
    test_file(FIXTURE, "kept file")
    if PROGRAM.exists():
        with tempfile.TemporaryDirectory() as tmp:
            out = pathlib.Path(tmp) / "r.json"
            ran = subprocess.run([PROGRAM, "run", "-a", "glibc,null", "-w", "pair", "-s", "64",
                                  "-t", "1", "--reps", "2", "--time", "0.002", "--latency-time",
                                  "0.001", "-q", "-o", out], capture_output=True, text=True,
                                 timeout=120)
            check(ran.returncode == 0, "fresh file: the run ends well", ran.stderr)
            if ran.returncode == 0:
                test_file(out, "fresh file")
    return finish()


sys.exit(main())
