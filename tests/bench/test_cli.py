#!/usr/bin/env python3
"""What the command line refuses, in which words, and what its help says. Prints TAP."""
import json
import os
import resource
import subprocess
import sys

from tap import FAST, HERE, PROGRAM, check, load, main, refused, run


def test_refusals(tmp):
    refused("unknown command", ["rnu"], "did you mean 'run'")
    refused("unknown allocator", ["run", "-a", "jemaloc", "-w", "pair"], "jemalloc")
    refused("unknown workload", ["run", "-a", "glibc", "-w", "pear"], "pair")
    refused("unknown option of a variant", ["run", "-a", "slab:percp=on", "-w", "pair"], "percpu")
    refused("object workload on pages", ["run", "-a", "buddy", "-w", "pair"], "'object'", "buddy")
    refused("page workload on objects", ["run", "-a", "jemalloc", "-w", "page-bulk"], "'page'")
    refused("unknown parameter", ["run", "-a", "glibc", "-w", "pair", "-p", "foo=1"], "foo")
    refused("bad size", ["run", "-a", "glibc", "-w", "pair", "-s", "12q"], "12q")
    refused("bad number", ["run", "-a", "glibc", "-w", "pair", "--reps", "0"], "--reps")
    result = run("run", "-n", "-a", "glibc", "-w", "swap,xmalloc", "-t", "1,2,4", "-p", "slots=2")
    check("leaving out swap on glibc with 4 threads: " in result.stderr
          and "xmalloc on glibc with size 64 and 1 thread: " in result.stderr
          and "size 0" not in result.stderr, "what is left out is called by what it has",
          result.stderr)
    result = run("run", "-n", "-a", "glibc", "-w", "wset", "-s", "64")
    check(result.returncode == 0 and "sizes '64' are ignored" in result.stderr,
          "sizes that no workload takes are told", result.stderr)
    result = run("run", "-n", "-a", "glibc", "-w", "wset,pair", "-s", "64")
    check("ignored" not in result.stderr, "unless another one takes them", result.stderr)
    refused("an output where no file can be", ["run", "-a", "glibc", "-w", "pair", "-o",
                                               "/proc/r.json"], "no files may be made in '/proc'")
    refused("missing -w", ["run", "-a", "glibc"], "-w")
    refused("unwritable output", ["run", "-a", "glibc", "-w", "pair", "-o", "/nonexistent/r.json"],
            "/nonexistent/r.json")
    refused("missing job file", ["sweep", "/nonexistent.ini"], "/nonexistent.ini")
    for command in ("compare", "plot", "report"):
        extra = ["-o", tmp / "x"] if command != "compare" else []
        truncated = tmp / "truncated.json"
        truncated.write_text('{"context": {"kmembench": {')
        refused(f"{command} of a truncated file", [command, truncated, *extra], "truncated.json")
        foreign = tmp / "foreign.json"
        foreign.write_text('{"hello": 1}')
        refused(f"{command} of a foreign file", [command, foreign, *extra], "foreign.json")
        refused(f"{command} of a missing file", [command, tmp / "none.json", *extra], "none.json")
    refused("an empty name in a list", ["run", "-a", "glibc,", "-w", "pair"], "'glibc,'", "comma")
    refused("a seed beyond the largest", ["run", "-a", "glibc", "-w", "pair", "--seed", "-1"],
            "9007199254740992")
    refused("a file in place of a folder", ["plot", HERE / "data" / "results.json", "-o", foreign],
            "is a file: name a folder")
    damaged = load(HERE / "data" / "results.json")
    latency = next(e["kmembench"]["latency"] for e in damaged["benchmarks"]
                   if e["kmembench"].get("latency"))
    latency["alloc"]["buckets"] = [[-5, 3]]
    (tmp / "damaged.json").write_text(json.dumps(damaged))
    refused("a damaged histogram", ["hgrm", tmp / "damaged.json"], "damaged.json", "damaged bucket")
    edited = load(HERE / "data" / "results.json")
    edited["benchmarks"][0]["real_time"] = -5
    (tmp / "edited.json").write_text(json.dumps(edited))
    for command in ("compare", "plot", "report"):
        extra = ["-o", tmp / "x"] if command != "compare" else []
        refused(f"{command} of a time below 0", [command, tmp / "edited.json", *extra],
                "edited.json", "entry 0", "is -5")
    (tmp / "r.json.journal").write_text('{"kmembench_journal": 2, "plan": "0"}\n{}\n')
    refused("compare of a journal", ["compare", tmp / "r.json.journal"], "r.json.journal",
            "--resume")
    trace = tmp / "bad.kmt"
    trace.write_bytes(b"KMBTRACE" + b"\1\0\0\0" * 3)
    refused("replay of a truncated trace", ["replay", trace, "-a", "glibc"], "bad.kmt")
    trace.write_bytes(b"x" * 4096)
    refused("replay of a foreign trace", ["replay", trace, "-a", "glibc"], "bad.kmt")


def test_job_files(tmp):
    job = tmp / "bad.ini"
    head = b"[global]\nallocators = glibc\n"
    for name, text, words in (
            ("a typing error in a section", head + b"[a]\nworkloads = pair\nthread = 2\n",
             ["line 5", "'threads'"]),
            ("a typing error in [global]", b"[global]\nallocator = glibc\n",
             ["line 2", "'allocators'"]),
            ("a global key in a section", head + b"[a]\nreps = 3\n", ["line 4", "[global]"]),
            ("a section twice", head + b"[a]\nworkloads = pair\n[a]\nworkloads = batch\n",
             ["line 6", "second section [a]"]),
            ("a key twice", head + b"[a]\nworkloads = pair\nsizes = 1\nsizes = 2\n",
             ["line 6", "second time"]),
            ("an empty section", head + b"[a]\n[b]\nworkloads = pair\n", ["line 4", "empty"]),
            ("a line too long", head + b"[a]\nsizes = " + b"1," * 200, ["line 4", "longer"]),
            ("no UTF-8", head + b"[a]\nworkloads = batch\nn_blocks = \xff\n",
             ["line 5", "UTF-8"]),
            ("a broken number", b"[global]\nreps = 1.5\n", ["line 2", "whole"]),
            ("an endless time-out", b"[global]\ntimeout_s = inf\n", ["line 2", "range"]),
            ("a bad value", head + b"[a]\nworkloads = pair\nsizes = abc\n",
             ["'abc'", "section [a], line 4"]),
            ("nothing in it", b"", ["no section"])):
        job.write_bytes(text)
        refused(f"job file: {name}", ["sweep", job, "-n"], *words)
    job.write_bytes(b"[global]\r\nallocators = glibc\r\nseed = 1e3\r\n[a]\r\n"
                    b"workloads = pair\r\nsizes = 16,\r\n  32\r\n")
    result = run("sweep", job, "-n")
    check(result.returncode == 0 and result.stdout.startswith(
        "pair/glibc/size:16/threads:1\npair/glibc/size:32/threads:1\n2 cells"),
        "job file: CRLF, a list in two lines", result.stdout + result.stderr)


def test_output(tmp):
    args = ["run", "-a", "null", "-w", "pair", "--json", *FAST]
    with open("/dev/full", "w") as full:
        result = subprocess.run([PROGRAM, *args], stdout=full, stderr=subprocess.PIPE, text=True,
                                timeout=60)
    check(result.returncode == 3 and "standard output" in result.stderr,
          "a full disk under the output is an error", result.stderr)
    for option in ("--version", "--help"):
        with open("/dev/full", "w") as full:
            result = subprocess.run([PROGRAM, option], stdout=full, stderr=subprocess.PIPE,
                                    text=True, timeout=60)
        check(result.returncode == 3 and "standard output" in result.stderr,
              f"the same of {option}", result.stderr)
    limited = tmp / "limited.json"
    result = run("run", "-a", "null", "-w", "pair", "-o", limited, *FAST,
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)))
    check(result.returncode == 3 and "limited.json': File too large" in result.stderr,
          "a file beyond 'ulimit -f' is an error, not the end", result.returncode, result.stderr)
    out = tmp / "closed.json"
    result = subprocess.run(f"'{PROGRAM}' run -a null -w pair {' '.join(FAST)} -o '{out}' "
                            "<&- >&- 2>&-", shell=True, timeout=60)
    check(result.returncode == 0 and len(load(out)["benchmarks"]) == 2,
          "closed standard descriptors do no harm")
    result = run("run", "-a", "glibc", "-w", b"pair:\xff=3".decode(errors="surrogateescape"), *FAST,
                 errors="replace")
    check(result.returncode == 2 and "UTF-8" in result.stderr, "no UTF-8 in a list", result.stderr)


def commands():
    """Names, as 'kmembench --help' lists them."""
    text = run("--help").stdout
    return [line.split()[0] for line in text.splitlines() if line.startswith("  ")]


def test_help(_):
    names = commands()
    check(len(names) >= 16 and "import" in names, "--help names the commands", names)
    for command in names:
        text = run(command, "--help").stdout
        parts = ["usage: kmembench " + command, "\n  -h, --help ", "\n      --version ",
                 "\n\nexit codes: ", "\n\nexamples:\n  "]
        places = [text.find(part) for part in parts]
        check(places[0] == 0 and -1 not in places and places == sorted(places),
              f"{command} --help: usage, options, exit codes, examples", places, text[:200])
        long = [line for line in text.splitlines() if len(line) > 88]
        check(not long, f"{command} --help fits a window", long)
        check(run("help", command).stdout == text, f"help {command}")
        check(run(command, "--version").stdout == run("--version").stdout, f"{command} --version")
        # What follows a trace goes to 'run'.
        told = "the trace" if command == "replay" else "--no-such-thing"
        refused(f"{command}: an unknown option", [command, "--no-such-thing"], told,
                f"'kmembench {command} --help'")
    check(run("--version").stdout.startswith("kmembench "), "--version")
    check(run().returncode == 2, "no command is a usage error")
    refused("help of no command", ["help", "rnu"], "did you mean 'run'")
    for table in ([], ["metrics"], ["options", "kmem"], ["options", "age"]):
        wide = [line for line in run("list", *table).stdout.splitlines() if len(line) > 100]
        check(not wide, f"list {' '.join(table)} fits 100 columns", wide)


def test_sweep_without_the_recorded_program(tmp):
    """The built-in sweep does without a program that is not installed; a job file does not."""
    (tmp / "bin").mkdir()
    bare = {**os.environ, "PATH": str(tmp / "bin")}
    result = run("sweep", "-n", env=bare)
    check(result.returncode == 0 and "leaving out section [a real program: sqlite3]" in
          result.stderr and "pair/" in result.stdout and "replay/" not in result.stdout,
          "a sweep without the program that it records", result.stderr)
    job = tmp / "job.ini"
    job.write_text("[a]\nallocators = null\nworkloads = replay\nrecord = sqlite3 :memory:\n")
    result = run("sweep", job, "-o", tmp / "out", env=bare)
    check(result.returncode == 2 and "cannot record 'sqlite3'" in result.stderr,
          "a job that names a program which is not there", result.stderr)


if __name__ == "__main__":
    sys.exit(main([test_help, test_refusals, test_job_files, test_output,
                   test_sweep_without_the_recorded_program]))
