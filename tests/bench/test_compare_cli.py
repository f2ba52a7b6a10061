#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kmembench compare and merge as a user types them: output, messages, exit codes. TAP."""
import json
import pathlib
import sys
import tempfile

from tap import FIXTURE, check, finish, need_program, run

need_program("compare")


def expect(code, words, name, *args):
    """The exit code, and every word somewhere in the output or the messages."""
    result = run(*args)
    text = result.stdout + result.stderr
    missing = [word for word in words if word not in text]
    check(result.returncode == code and not missing, name,
          f"exit code {result.returncode}, wanted {code}; missing {missing}", text)
    return result


def variant(tmp, name, change):
    """A changed copy of the kept file."""
    with open(FIXTURE) as file:
        root = json.load(file)
    change(root)
    path = tmp / name
    path.write_text(json.dumps(root))
    return path


def entries(root, allocator, status="ok"):
    return [e for e in root["benchmarks"] if e["kmembench"]["allocator"] == allocator
            and e["kmembench"]["status"] == status]


def scale(allocator, factor):
    def change(root):
        for e in entries(root, allocator):
            e["real_time"] *= factor
    return change


def only(predicate):
    def change(root):
        root["benchmarks"] = [e for e in root["benchmarks"] if predicate(e)]
    return change


def without_failures(root):
    only(lambda e: e["kmembench"]["status"] == "ok")(root)


def test_one_file(tmp):
    expect(0, ["'glibc'", "faster", "slower", "not compared", "ended by signal 11", "tcmalloc"],
           "a table of one file", "compare", FIXTURE)
    result = run("compare", "--json", FIXTURE)
    root = json.loads(result.stdout)
    check(root["baseline"] == "glibc" and root["metric"] == "real_time", "JSON names what it is")
    wanted = {"allocator", "workload", "params", "threads", "ratio", "low", "high", "verdict"}
    check(all(wanted <= set(c) for c in root["cells"]), "JSON cells have the agreed fields")
    slab = [c for c in root["cells"] if c["allocator"] == "slab"]
    check(len(slab) == 2 and all(c["verdict"] == "faster" and c["low"] <= c["ratio"] <= c["high"]
                                 and 0.49 < c["ratio"] < 0.51 for c in slab),
          "the planted ratio is found", slab)
    expect(0, ["million/s", "faster"], "more is better", "compare", "-m", "items_per_second", "-b",
           "glibc", FIXTURE)
    expect(0, ["MiB", "smaller", "larger"], "memory", "compare", "-m", "rss_bytes_peak", FIXTURE)
    expect(0, ["difference"], "zero has no ratio", "compare", "-m", "rss_bytes_final", FIXTURE)
    few = variant(tmp, "few.json", only(lambda e: e["repetition_index"] < 3))
    expect(0, ["cannot tell", "--reps"], "three blocks cannot tell", "compare", few)


def test_gate(tmp):
    expect(1, ["'mmap' is worse by more than 5%"], "a regression", "compare", "--fail-above", "5",
           FIXTURE)
    expect(3, ["1 cell failed"], "a failed cell does not pass", "compare", "--fail-above", "10000",
           FIXTURE)
    clean = variant(tmp, "clean.json", without_failures)
    expect(0, [], "no regression", "compare", "--fail-above", "10000%", clean)
    few = variant(tmp, "few.json", only(lambda e: e["kmembench"]["status"] == "ok"
                                        and e["repetition_index"] < 3))
    expect(5, ["too few blocks"], "too few blocks do not pass", "compare", "--fail-above", "5", few)


def test_two_files(tmp):
    clean = variant(tmp, "clean.json", without_failures)

    def slower(root):
        without_failures(root)
        scale("slab", 1.3)(root)
    slow = variant(tmp, "slow.json", slower)
    expect(0, ["relative to 'glibc'", "slower", "same"], "relative to a baseline", "compare", "-b",
           "glibc", clean, slow)
    expect(1, ["'slab' is worse"], "a regression between files", "compare", "-b", "glibc",
           "--fail-above", "10", clean, slow)
    expect(0, [], "an improvement between files", "compare", "-b", "glibc", "--fail-above", "10",
           slow, clean)
    expect(0, ["not measured in turn"], "drift is pointed out", "compare", clean, slow)

    def move(root):
        root["context"]["kmembench"]["machine"]["kernel"] = "Linux 2.6.28"
    moved = variant(tmp, "moved.json", move)
    expect(2, ["kernel", "Linux 2.6.28", "--force"], "another kernel is refused", "compare",
           FIXTURE, moved)
    expect(0, ["warning", "Linux 2.6.28"], "--force compares all the same", "compare", "--force",
           FIXTURE, moved)

    def code(number):
        def change(root):
            root["context"]["kmembench"]["workloads_code"] = number
        return change
    one, two = (variant(tmp, f"{n}.json", code(n * 12)) for n in "ab")
    expect(0, ["workloads differ in code", "a" * 12, "b" * 12], "other code of workloads is told",
           "compare", one, two)
    result = expect(0, [], "the same code", "compare", one, one)
    check("differ in code" not in result.stderr, "the same code is not told", result.stderr)

    def own_process(root):
        for e in root["benchmarks"]:
            e["kmembench"]["memory_process"] = "own"
    own = variant(tmp, "own.json", own_process)
    memory = ["compare", "-m", "rss_bytes_peak"]
    expect(2, ["memory figures of", "the same --memory-time"], "memory of unlike processes",
           *memory, FIXTURE, own)
    expect(0, ["warning"], "unless it is forced", *memory, "--force", FIXTURE, own)
    expect(0, [], "times of the same files", "compare", FIXTURE, own)

    def rename(root):
        for e in root["benchmarks"]:
            e["kmembench"]["params"]["size"] = 65
    other = variant(tmp, "other.json", rename)
    expect(2, ["no cell in common"], "nothing in common is refused", "compare", FIXTURE, other)


def test_mistakes(tmp):
    expect(2, ["no results file"], "no file", "compare")
    expect(2, ["'nix.json'"], "a file that is not there", "compare", "nix.json")
    expect(2, ["--fail-above", "'much'"], "no percentage", "compare", "--fail-above", "much",
           FIXTURE)
    expect(2, ["did you mean 'real_time'"], "no metric", "compare", "-m", "realtime", FIXTURE)
    expect(2, ["'slabs'", "'slab'"], "no baseline", "compare", "-b", "slabs", FIXTURE)
    expect(2, ["--nonsense"], "no option", "compare", "--nonsense", FIXTURE)
    expect(2, ["needs an argument"], "no argument", "compare", FIXTURE, "--metric")
    cut = tmp / "cut.json"
    cut.write_bytes(FIXTURE.read_bytes()[:5000])
    expect(2, ["cut.json", "ends early", "line", "byte 5000"], "a cut file", "compare", cut)
    expect(0, ["examples:"], "help", "compare", "--help")
    expect(0, ["examples:"], "help of merge", "merge", "--help")


def test_merge(tmp):
    out = tmp / "all.json"

    def shard(index):
        def change(root):
            root["context"]["kmembench"]["shard"] = {"index": index, "count": 2}
            root["context"]["kmembench"]["command_line"] = ["kmembench", "sweep", "--shard",
                                                            f"{index}/2", "-o", f"dir{index}"]
            root["benchmarks"] = [e for e in root["benchmarks"] if e["threads"] == index]
        return change
    one, two = variant(tmp, "1.json", shard(1)), variant(tmp, "2.json", shard(2))
    expect(0, [], "shards are joined", "merge", one, two, "-o", out)
    merged, kept = json.loads(out.read_text()), json.loads(FIXTURE.read_text())
    check(sorted(map(str, merged["benchmarks"])) == sorted(map(str, kept["benchmarks"])),
          "nothing is lost or changed")
    check(merged["context"]["kmembench"]["complete"] is True, "all shards make it complete")
    expect(0, ["warning", "shard 2/2 is missing"], "a missing shard", "merge", one, "-o", out)
    expect(0, ["incomplete"], "compare says so", "compare", out)
    expect(2, ["both hold"], "duplicates", "merge", one, one, "-o", tmp / "no.json")
    expect(2, ["-o FILE"], "no output", "merge", one)
    expect(2, ["does not exist"], "no folder", "merge", one, "-o", tmp / "no" / "no.json")
    check(sorted(p.name for p in tmp.glob("no*")) == [], "nothing is left after a failure")


def main():
    for test in (test_one_file, test_gate, test_two_files, test_mistakes, test_merge):
        with tempfile.TemporaryDirectory() as tmp:
            test(pathlib.Path(tmp))
    return finish()


sys.exit(main())
