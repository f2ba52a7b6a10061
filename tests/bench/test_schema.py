#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Results files against results/schema.json: a kept one, damaged ones, fresh ones. TAP."""
import copy
import json
import pathlib
import sys
import tempfile

from tap import FIXTURE, PROGRAM, ROOT, check, finish, run, skip, skip_all

try:
    import jsonschema
except ImportError:
    skip_all("schema", "python3-jsonschema is not installed")


def load(path):
    with open(path) as file:
        return json.load(file)


def errors(validator, root):
    return [f"{e.json_path}: {e.message[:300]}" for e in validator.iter_errors(root)]


def entry(root, status):
    return next(e for e in root["benchmarks"] if e["kmembench"]["status"] == status)


# Each damages a good file in one way; none may pass.
DAMAGES = {
    "no context": lambda r: r.pop("context"),
    "no machine": lambda r: r["context"]["kmembench"].pop("machine"),
    "no seed": lambda r: r["context"]["kmembench"].pop("seed"),
    "another schema version": lambda r: r["context"]["kmembench"].update(schema_version=2),
    "an unknown property of the run": lambda r: r["context"]["kmembench"].update(speed="fast"),
    "a date of another form": lambda r: r["context"].update(date="yesterday"),
    "no time": lambda r: entry(r, "ok").pop("real_time"),
    "a time of 0 in a good entry": lambda r: entry(r, "ok").update(real_time=0),
    "another time unit": lambda r: entry(r, "ok").update(time_unit="us"),
    "a counter that is text": lambda r: entry(r, "ok").update(cycles="many"),
    "a negative latency": lambda r: entry(r, "ok").update(latency_alloc_ns_p99=-1),
    "no samples": lambda r: entry(r, "ok")["kmembench"].update(samples_ns_per_op=[]),
    "an unknown status": lambda r: entry(r, "ok")["kmembench"].update(status="fine"),
    "an unknown property of a cell": lambda r: entry(r, "ok")["kmembench"].update(mood=1),
    "an empty bucket": lambda r: entry(r, "ok")["kmembench"]["latency"]["alloc"]["buckets"]
    .append([99, 0]),
    "a good entry that failed": lambda r: entry(r, "ok").update(error_occurred=True,
                                                               error_message="x"),
    "a failed entry without its reason": lambda r: entry(r, "failed").pop("error_message"),
}


def test_fixture(validator):
    good = load(FIXTURE)
    found = errors(validator, good)
    check(not found, "the kept file is valid", *found)
    for name, damage in DAMAGES.items():
        bad = copy.deepcopy(good)
        damage(bad)
        check(errors(validator, bad), f"refused: {name}")


def test_fresh(validator, tmp):
    if not PROGRAM.exists():
        skip("a fresh run is valid", f"{PROGRAM} is not built")
        return
    out = tmp / "run.json"
    ran = run("run", "-a", "glibc,null,bump", "-w", "pair", "-s", "64", "-t", "1,2", "--reps", "2",
              "--time", "0.002", "--latency-time", "0.001", "-q", "-o", out)
    if ran.returncode == 4:
        skip("a fresh run is valid", "the program says: not supported here")
        return
    check(ran.returncode == 0, "a fresh run ends well", ran.stderr)
    found = errors(validator, load(out))
    check(not found, "a fresh run is valid", *found)
    merged = tmp / "merged.json"
    joined = run("merge", out, "-o", merged)
    check(joined.returncode == 0, "merge writes a file", joined.stderr)
    found = errors(validator, load(merged))
    check(not found, "a merged file is valid", *found)


def main():
    schema = load(ROOT / "results" / "schema.json")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        check(True, "the schema is one")
    except jsonschema.SchemaError as error:
        check(False, "the schema is one", error)
    validator = jsonschema.Draft202012Validator(schema)
    test_fixture(validator)
    with tempfile.TemporaryDirectory() as tmp:
        test_fresh(validator, pathlib.Path(tmp))
    return finish()


sys.exit(main())
