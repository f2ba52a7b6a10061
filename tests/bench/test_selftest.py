#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kmembench selftest with tiny settings: its structure, not its rates. TAP."""
import json
import sys

from tap import check, finish, need_program, run

need_program("selftest")

result = run("selftest", "--quick", "--cells", "1", "--reps", "6", "--no-icount", "--seed", "7",
             "--json", "--quiet")
check(result.returncode in (0, 3, 5), "it ends with a verdict", result.returncode, result.stderr)
try:
    report = json.loads(result.stdout)
except ValueError as error:
    report = {}
    check(False, "the report is JSON", error, result.stdout, result.stderr)
check(report.get("exit_code") == result.returncode, "the report holds the exit code", report)
check(report.get("complete") is True and report.get("quick") is True and report.get("seed") == 7,
      "the report holds the settings", result.stdout)
fitness = {item["name"]: item for item in report.get("fitness", [])}
check({"governor", "turbo", "smt", "load", "isolated CPUs", "virtual machine", "clock source",
       "invariant TSC", "address randomisation", "huge pages", "swap", "free memory",
       "noise floor"} <= fitness.keys(), "the machine is looked at", fitness.keys())
check(all(item["status"] in ("ok", "warn", "fail", "not known") for item in fitness.values()),
      "every item has a status", fitness)
check(all(item["remedy"] for item in fitness.values() if item["status"] in ("warn", "fail")),
      "what is wrong has a remedy", fitness)
check(all((item["value"] is None) == (item["status"] == "not known")
          for item in fitness.values()), "what is not known has no value", fitness)
check(report.get("timer", {}).get("pair_ns", 0) > 0, "the clock is timed", report.get("timer"))
checks = {(c["name"], c["class"]): c for c in report.get("checks", [])}
for name in ("a-against-a", "planted-slow"):
    for kind in ("cached", "threads"):
        found = checks.get((name, kind), {})
        check(found.get("pairs") == 1 and found.get("failed") == 0, f"{name}, {kind}: a pair",
              found)
        check(0 <= found.get("rate_low", -1) <= found.get("rate", -1) <=
              found.get("rate_high", -1) <= 1, f"{name}, {kind}: a rate with bounds", found)
        check(sum(found.get(v, 0) for v in ("faster", "slower", "same", "cannot-tell")) == 1,
              f"{name}, {kind}: a verdict", found)
planted = checks.get(("planted-slow", "cached"), {})
check(abs(planted.get("planted_pct", 0) - 3) < 0.1, "3 % were planted", planted)
check(checks.get(("planted-leak", ""), {}).get("status") == "ok", "the leak is found",
      checks.get(("planted-leak", "")))
tail = checks.get(("planted-tail", ""), {})
check(0.0009 < tail.get("share", 0) - tail.get("share_without", 0) < 0.0011,
      "the tail has the share that was planted", tail)

for args, word in (((("selftest", "--cells", "0"), "--cells")),
                   ((("selftest", "--quik"), "--quik")),
                   ((("selftest", "extra"), "extra"))):
    result = run(*args)
    check(result.returncode == 2 and word in result.stderr, f"{' '.join(args)} is refused",
          result.returncode, result.stderr)
help_text = run("selftest", "--help").stdout
check("--quick" in help_text and "exit codes" in help_text, "it explains itself", help_text)
listed = json.loads(run("list", "allocators", "--json").stdout)["allocators"]
everything = json.loads(run("list", "allocators", "--all", "--json").stdout)["allocators"]
check("planted" not in [a["name"] for a in listed], "planted faults are not listed")
check("planted" in [a["name"] for a in everything], "unless all is asked for")

sys.exit(finish())
