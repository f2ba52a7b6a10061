#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kmembench list and topology from outside: JSON, texts, errors, exit codes."""
import json
import os
import re
import subprocess
import tempfile

from tap import PROGRAM, run

FLOORS = ["null", "bump", "freelist"]
PEERS = {
    "glibc": "libc6",
    "jemalloc": "libjemalloc2",
    "mimalloc": "libmimalloc2.0",
    "tcmalloc": "libtcmalloc-minimal4",
}


def output(*args):
    result = run(*args)
    assert result.returncode == 0, (args, result.returncode, result.stderr)
    assert result.stderr == "", (args, result.stderr)
    return result.stdout


def refused(expected, *args):
    result = run(*args)
    assert result.returncode == 2, (args, result.returncode)
    assert result.stdout == "", (args, result.stdout)
    assert expected in result.stderr, (args, result.stderr)


def check_options(options):
    for option in options:
        assert set(option) >= {"name", "type", "default", "help", "choices"}, option
        assert option["help"], option
        if option["type"] == "choice":
            assert option["default"] in option["choices"], option
        if option["type"] == "bool":
            assert option["choices"] == ["on", "off"], option


def test_allocators_as_json():
    allocators = json.loads(output("list", "allocators", "--json"))["allocators"]
    names = [a["name"] for a in allocators]
    assert names[:3] == FLOORS, names
    assert names[3:] == sorted(names[3:]), names
    assert len(set(names)) == len(names)
    by_name = {a["name"]: a for a in allocators}
    for a in allocators:
        assert a["capabilities"] and a["description"], a
        assert a["available"] or a["reason"], a
        check_options(a["options"])
    for name, package in PEERS.items():
        assert by_name[name]["package"] == package
        assert "object" in by_name[name]["capabilities"]
    assert by_name["glibc"]["available"]
    assert by_name["freelist"]["package"] is None
    assert "mixed-size" not in by_name["freelist"]["capabilities"]


def test_jemalloc_is_available_without_the_tunable():
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    text = subprocess.run(
        [PROGRAM, "list", "allocators", "--json"],
        capture_output=True, text=True, env=environment, timeout=60, check=True,
    ).stdout
    jemalloc = [a for a in json.loads(text)["allocators"] if a["name"] == "jemalloc"][0]
    assert jemalloc["available"] or "not installed" in jemalloc["reason"], jemalloc


def test_workloads_as_json():
    workloads = json.loads(output("list", "workloads", "--json"))["workloads"]
    names = [w["name"] for w in workloads]
    assert names == sorted(names) and "pair" in names, names
    for w in workloads:
        for key in ("description", "stresses", "not_for", "source", "op", "default_threads"):
            assert w[key], (w["name"], key)
        assert "default_sizes" in w and w["capabilities"], w
        check_options(w["params"])


def test_metrics_as_json():
    metrics = json.loads(output("list", "metrics", "--json"))["metrics"]
    names = [m["name"] for m in metrics]
    for name in ("real_time", "items_per_second", "latency_alloc_ns_p99_9", "rss_bytes_peak"):
        assert name in names, name
    for m in metrics:
        assert m["better"] in ("lower", "higher", "neither") and m["unit"], m


def test_everything_at_once():
    both = json.loads(output("list", "--json"))
    assert set(both) == {"allocators", "workloads"}
    text = output("list")
    for table in both.values():
        for entry in table:
            assert "\n  " + entry["name"] + " " in text, entry["name"]
    assert max(len(line) for line in text.splitlines()) <= 100


def test_options_of_one():
    bump = json.loads(output("list", "options", "bump", "--json"))
    assert bump["kind"] == "allocator" and bump["options"][0]["name"] == "region_bytes"
    wset = json.loads(output("list", "options", "wset", "--json"))
    assert wset["kind"] == "workload" and wset["options"]
    assert "default 4M" in output("list", "options", "bump")
    assert output("list", "options", "null") == "allocator 'null' has no options\n"


def test_variants_are_named_in_a_line_each():
    for name in ("buddy", "slab", "kmem", "vmalloc"):
        options = json.loads(output("list", "options", name, "--json"))["options"]
        text = output("list", "options", name).split(f"\nvariants of '{name}'")[1]
        lines = text.splitlines()[1:]
        assert max(len(line) for line in lines) <= 100
        for option in options:
            spec = f"  {name}:{option['name']}="
            values = [line[len(spec):] for line in lines if line.startswith(spec)]
            named = {v.split()[0].split(",")[0] for v in values}
            wanted = set(option["choices"] or []) - {option["default"]}
            assert named == wanted or (not wanted and len(named) == 1), (option, named)
            assert all(len(v.split()) > 1 for v in values), values
    text = output("list", "options", "buddy")
    wanted = "  buddy:lower=lists +the free areas of Linux under the zone's lock\n"
    assert re.search(wanted, text), text
    assert "variants" not in output("list", "options", "wset")


def test_variants_run_as_they_are_named():
    text = output("list", "options", "buddy").split("\nvariants of")[1]
    names = re.findall(r"^  (buddy:\S+=[a-z]\S*)", text, re.M)
    assert "buddy:backing=private,highmem=0" in names and len(names) > 5, names
    result = run("run", "-a", ",".join(names), "-w", "page-repeat", "--reps", "1", "--ops", "4096",
                 "--memory-time", "0", "-q")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("page-repeat/") == len(names), result.stdout


def test_errors():
    refused("'bmp' is neither an allocator nor a workload: did you mean 'bump'?",
            "list", "options", "bmp")
    refused("unknown table 'alocators': did you mean 'allocators'?", "list", "alocators")
    refused("'options' takes one name", "list", "options")
    refused("unexpected argument 'x'", "list", "metrics", "x")
    refused("unknown or ambiguous option '--jso-n'", "list", "--jso-n")
    refused("NAME=/path/to/library.so", "list", "--library", "x")
    refused("is not an ELF file", "list", "--library", "x=/etc/passwd")
    refused("No such file", "list", "--library", "x=/nonexistent.so")


def test_a_named_library_is_listed():
    with tempfile.TemporaryDirectory() as folder:
        source, library = folder + "/f.c", folder + "/libf.so"
        with open(source, "w") as file:
            file.write("int puts(const char *); int f(void) { return puts(\"\"); }\n")
        if subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source]).returncode != 0:
            return "no compiler"
        text = output("list", "allocators", "--json", "--library", "mine=" + library)
        mine = [a for a in json.loads(text)["allocators"] if a["name"] == "mine"][0]
        assert not mine["available"]
        assert "has no 'malloc' of its own" in mine["reason"], mine["reason"]


def test_full_disk():
    for command in (["list"], ["list", "--json"], ["topology"], ["topology", "--json"]):
        with open("/dev/full", "w") as full:
            result = subprocess.run([PROGRAM, *command], stdout=full, stderr=subprocess.PIPE)
        assert result.returncode == 2 and b"writing to the output failed" in result.stderr


def test_topology_of_this_machine():
    view = json.loads(output("topology", "--json"))
    assert view["simulated"] is False and view["cpus"] >= 1 and view["nodes"]
    assert sorted(view["worker_order"]) == sorted(set(view["worker_order"]))
    assert output("topology").startswith("this machine\n")


def test_topology_of_a_description():
    view = json.loads(output("topology", "--json", "--topology", "numa:2 core:2 pu:2"))
    assert view["simulated"] is True and len(view["nodes"]) == 2 and view["cpus"] == 8
    assert view["distances"] == [[10, 20], [20, 10]]
    assert "(simulated)" in output("topology", "--topology", "numa:2 core:2 pu:2")
    refused("'nonsense' is neither an hwloc description", "topology", "--topology", "nonsense")
    refused("cannot read the topology '/no.xml'", "topology", "--topology", "/no.xml")
    refused("a description follows --topology", "topology", "numa:2")
    with tempfile.NamedTemporaryFile(suffix=".xml", mode="w") as file:
        file.write("no topology\n")
        file.flush()
        refused("is not an hwloc XML file", "topology", "--topology", file.name)


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    failed = 0
    print(f"1..{len(tests)}")
    for number, (name, function) in enumerate(tests, 1):
        try:
            skipped = function()
            print(f"ok {number} {name}" + (f" # SKIP {skipped}" if skipped else ""))
        except Exception as error:  # every failure is a line of the report
            failed += 1
            print(f"not ok {number} {name}\n# {type(error).__name__}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
