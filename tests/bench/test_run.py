#!/usr/bin/env python3
"""End to end: run, sweep, compare, plot as a user types them. Prints TAP."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from tap import FAST, HERE, PROGRAM, check, load, main, refused, run


def test_results(tmp):
    out = tmp / "r.json"
    result = run("run", "-a", "slab,glibc,null", "-w", "pair", "-s", "64", "-t", "1,2", "-o", out,
                 *FAST)
    check(result.returncode == 0, "run exits with 0", result.stderr)
    root = load(out)
    entries = root["benchmarks"]
    check(len(entries) == 3 * 2 * 2, "one entry a cell and block", len(entries))
    wanted = {"name", "run_name", "run_type", "repetitions", "repetition_index", "threads",
              "iterations", "real_time", "cpu_time", "time_unit", "items_per_second", "kmembench"}
    check(all(wanted <= set(e) for e in entries), "entries have Google Benchmark's fields")
    check(all(e["time_unit"] == "ns" and 0 < e["real_time"] < 1e5 for e in entries),
          "times are ns per operation", [e["real_time"] for e in entries])
    check(all(e["kmembench"]["params"]["size"] == 64 for e in entries), "params name the size")
    consistent = [abs(e["items_per_second"] * e["real_time"] / 1e9 / e["threads"] - 1) < 1e-3
                  for e in entries]
    check(all(consistent), "rate times time is the number of threads")
    alloc = entries[0]["kmembench"]["latency"]["alloc"]
    check(sum(n for _, n in alloc["buckets"]) == alloc["count"], "the histogram is whole")
    absent = entries[0]["kmembench"]["counters_absent"]
    present = entries[0]["kmembench"]["counters"]
    check("page_faults" in present or "page_faults" in absent, "counters are there or explained")
    check(not set(present) & set(absent), "no counter is both")
    check(not list(tmp.glob("*.journal")) and not list(tmp.glob("*.tmp*")), "nothing is left over",
          list(tmp.iterdir()))
    check(root["context"]["kmembench"]["complete"], "the file says it is complete")

    slices = [e["kmembench"]["slices"] for e in entries]
    check(all(s["reference"] == "glibc" and s["rotation"] == 0 and len(s["ns_per_op"]) >= 5
              for s in slices), "slices are kept", slices[0])
    check(len({(e["threads"], e["repetition_index"], len(s["ns_per_op"]))
               for e, s in zip(entries, slices)}) == 4, "a block's cells have the same rounds")
    context = root["context"]["kmembench"]
    check(context["compiler"].lower().startswith(("gcc ", "clang ", "debian clang"))
          and "-" in context["compiler_flags"], "the context says what built it", context)
    nodes = run("run", "-a", "buddy:topology=numa:2 core:1 pu:1", "-w", "page-repeat", *FAST)
    check("simulated: memory nodes" in nodes.stdout, "a table says that nodes are simulated",
          nodes.stdout, nodes.stderr)
    check("simulated" not in result.stdout, "a table of real nodes says nothing of simulated ones")
    check(context["method"] == "slices" and context["layout"] == "random" and
          "precision_pct" not in context, "the context says how it was measured", context)

    result = run("compare", out, "--baseline", "glibc", "--json")
    check(result.returncode == 0, "compare exits with 0", result.stderr)
    cells = json.loads(result.stdout)["cells"]
    check({c["allocator"] for c in cells} == {"slab", "null"}, "compare has the others", cells)
    result = run("plot", out, "-o", tmp / "p")
    check(result.returncode == 0 and list((tmp / "p").glob("*.png")) and
          list((tmp / "p").glob("*.svg")), "plot draws PNG and SVG", result.stderr)
    result = run("plot", "r.json", "-o", "p1", cwd=tmp)
    check(result.returncode == 0 and list((tmp / "p1").glob("*.png")),
          "plot into a relative folder", result.stderr)
    result = run("plot", "r.json", "-o", "q", "--format", "svg", cwd=tmp)
    check(result.returncode == 0 and list((tmp / "q").glob("*.svg")),
          "plot into a folder with a name of one letter", result.stderr)
    result = run("report", out, "-o", tmp / "report.html")
    check(result.returncode == 0 and (tmp / "report.html").stat().st_size > 10000,
          "report writes a page", result.stderr)


def test_every_workload(tmp):
    out = tmp / "all.json"
    for allocators, workloads, extra in (
            ("glibc,slab", "pair,batch", ["-s", "64"]),
            ("glibc,slab,jemalloc,mimalloc,tcmalloc", "wset,larson", []),
            ("glibc,slab", "xmalloc", []),
            ("buddy,mmap", "page-repeat,page-bulk", ["-s", "4K,32K"]),
            ("vmalloc,mmap", "vm-fix,vm-random,vm-align,vm-busy", [])):
        if "page-bulk" in workloads:
            extra = [*extra, "-p", "bulk_bytes=4M"]
        result = run("run", "-a", allocators, "-w", workloads, *extra, "-o", out, "--check", *FAST)
        check(result.returncode == 0, f"contents survive in {workloads} on {allocators}",
              result.stderr)


def test_interrupted_recording(tmp):
    """Half a program is no workload: Ctrl-C while recording ends the sweep."""
    job, out = tmp / "r.ini", tmp / "r"
    job.write_text("[global]\nallocators = glibc\nreps = 1\n[a]\nworkloads = replay\n"
                   "record = sleep 20\n")
    process = subprocess.Popen([PROGRAM, "sweep", str(job), "-o", str(out)], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    check(process.returncode == 2 and "ended by signal 2" in errors and not list(out.glob("*.kmt")),
          "Ctrl-C while recording", f"{process.returncode} {errors}")


def test_memory(tmp):
    """Program text is not an allocator's memory; what is live at once is in the peak."""
    out = tmp / "m.json"
    run("run", "-a", "glibc,jemalloc", "-w", "pair", "-s", "64", "-o", out, *FAST)
    live = {e["kmembench"]["allocator"]: e["rss_bytes_live"] for e in load(out)["benchmarks"]}
    check(live["jemalloc"] - live["glibc"] < 512 << 10, "jemalloc's text is not its memory", live)
    run("run", "-a", "glibc", "-w", "batch", "-s", "64K", "-p", "n_blocks=256", "--touch", "full",
        "-o", out, *FAST)
    for entry in load(out)["benchmarks"]:
        check(15 << 20 < entry["rss_bytes_peak"] < 18 << 20, "the peak holds the whole batch",
              entry["rss_bytes_peak"])
        check(entry["live_bytes_max"] == 16 << 20, "live bytes of a batch",
              entry["live_bytes_max"])


def test_more_threads_than_cpus(tmp):
    """Eight threads on one CPU cannot do more than one does."""
    out = tmp / "t.json"
    cpu = min(os.sched_getaffinity(0))
    result = run("run", "-a", "glibc", "-w", "pair", "-t", "1,8", "-o", out, *FAST,
                 preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    check("8 threads on 1 CPU take turns" in result.stderr, "which is told", result.stderr)
    check(load(out)["context"]["kmembench"]["machine"]["cpus_allowed"] == 1,
          "and the CPUs that the run had are kept")
    rate = {threads: max(e["items_per_second"] for e in load(out)["benchmarks"]
                         if e["threads"] == threads) for threads in (1, 8)}
    check(rate[8] < 2 * rate[1], "threads that share a CPU share its rate", rate)


def test_methods(tmp):
    """Plain repetitions, fixed layouts, blocks until precise, several rotations."""
    out = tmp / "p.json"
    result = run("run", "-a", "glibc,null", "-w", "pair", "--method", "plain", "-o", out, *FAST)
    entries = load(out)["benchmarks"]
    check(result.returncode == 0 and not any("slices" in e["kmembench"] for e in entries) and
          load(out)["context"]["kmembench"]["method"] == "plain", "--method plain", result.stderr)
    result = run("run", "-a", "glibc,null", "-w", "pair", "--layout", "fixed", "-o", out, *FAST)
    layouts = [e["kmembench"]["layout"] for e in load(out)["benchmarks"]]
    check(result.returncode == 0 and not any(x["aslr"] for x in layouts) and
          len({x["env_bytes"] for x in layouts}) == 1, "--layout fixed", layouts)
    result = run("run", "-a", "glibc,null", "-w", "pair", "-o", out, *FAST)
    layouts = [e["kmembench"]["layout"] for e in load(out)["benchmarks"]]
    check(len({x["env_bytes"] for x in layouts}) > 1, "--layout random pads", layouts)
    result = run("run", "-a", "glibc,null", "-w", "pair", "--precision", "1000", "-o", out,
                 *FAST[2:])
    root = load(out)
    check(result.returncode == 0 and len(root["benchmarks"]) == 20 and
          root["context"]["kmembench"]["precision_pct"] == 1000 and
          root["context"]["kmembench"]["reps"] == 10, "ten blocks when that is precise enough",
          result.stderr)
    many = ",".join(["glibc", "null", "freelist", "slab:percpu=off"] +
                    [f"slab:percpu=on,limit={n}" for n in range(20, 29)])
    result = run("run", "-a", many, "-w", "pair", "-o", out, *FAST)
    entries = load(out)["benchmarks"]
    rotations = {e["kmembench"]["slices"]["rotation"] for e in entries}
    along = [e for e in entries if e["kmembench"]["slices"]["rotation"] > 0]
    check(result.returncode == 0 and rotations == {0, 1} and len(entries) == 26 and
          all("reference_ns_per_op" in e["kmembench"]["slices"] for e in along) and
          not any("reference_ns_per_op" in e["kmembench"]["slices"] for e in entries
                  if e not in along), "the reference runs along in a second rotation",
          result.stderr)
    refused("a baseline that does not run", ["run", "-a", "slab,null", "-w", "pair", "--baseline",
                                             "glib"], "'glib'")
    refused("an unknown method", ["run", "-a", "null", "-w", "pair", "--method", "fast"], "slices")
    refused("an unknown layout", ["run", "-a", "null", "-w", "pair", "--layout", "x"], "random")


def test_same_library_twice(tmp):
    """A smoke test of the whole way: an allocator against itself is not far from itself."""
    a, b = tmp / "a.so", tmp / "b.so"
    found = [p for p in pathlib.Path("/usr/lib").glob("*/libmimalloc.so.2*") if p.is_file()]
    if not found:
        return
    a.write_bytes(found[0].read_bytes())
    b.write_bytes(found[0].read_bytes())
    out = tmp / "aa.json"
    # Chance shrinks with the number of blocks, also on a busy machine; a fault would stay.
    for blocks in (6, 12, 24, 40):
        result = run("run", "--library", f"A={a}", "--library", f"B={b}", "-a", "A,B", "-w",
                     "wset", "--reps", blocks, "--time", "0.01", "--latency-time", "0.001",
                     "--memory-time", "0", "-q", "-o", out)
        row = json.loads(run("compare", out, "--baseline", "A", "--json").stdout)["cells"][0]
        if result.returncode != 0 or 0.85 < row["ratio"] < 1.15:
            break
    check(result.returncode == 0 and 0.85 < row["ratio"] < 1.15, "A against A", row)


def test_environment(tmp):
    out = tmp / "e.json"
    result = run("run", "-a", "jemalloc", "-w", "pair", "-o", out, *FAST,
                 env={**os.environ, "MALLOC_CONF": "narenas:1"})
    context = load(out)["context"]["kmembench"]
    check(context["environment"].get("MALLOC_CONF") == "narenas:1" and
          "MALLOC_CONF" in result.stderr, "variables that steer an allocator are recorded",
          result.stderr)
    run("run", "-a", "kmem", "-w", "pair", "-o", out, *FAST,
        env={**os.environ, "KMEM_PERCPU": "lock"})
    context = load(out)["context"]["kmembench"]
    check(context["machine"].get("percpu") == "lock" and
          context["environment"].get("KMEM_PERCPU") == "lock",
          "how per-CPU caches are kept is recorded", context)


def library(tmp, kind, after=1000):
    path = tmp / f"{kind.lower()}{after}.so"
    subprocess.run(["cc", "-O1", "-fno-builtin", "-shared", "-fPIC", f"-D{kind}",
                    f"-DAFTER={after}", "-o", path,
                    HERE / "programs" / "bad_malloc.c"], check=True)
    return path


def test_bad_cells(tmp):
    for kind, words in (("CRASH", ["signal 11"]), ("HANG", ["no end after 2 s"]),
                        ("FAIL", ["allocation of 64 bytes failed"])):
        out = tmp / f"{kind}.json"
        result = run("run", "--library", f"bad={library(tmp, kind)}", "-a", "bad,glibc", "-w",
                     "pair", "-s", "64", "-o", out, "--timeout", "2", *FAST)
        entries = load(out)["benchmarks"]
        bad = [e for e in entries if e["kmembench"]["allocator"] == "bad"]
        good = [e for e in entries if e["kmembench"]["allocator"] == "glibc"]
        # Under AddressSanitizer a crash is its report and an exit status.
        check(result.returncode == 3 and (all(w in result.stderr for w in words) or
                                          "AddressSanitizer" in result.stderr),
              f"{kind}: reported, exit 3", f"{result.returncode} {result.stderr}")
        check(len(bad) == 1 and bad[0]["error_occurred"] and
              bad[0]["kmembench"]["status"] == "failed", f"{kind}: marked failed", bad)
        check(len(good) == 2 and all(e["real_time"] > 0 for e in good), f"{kind}: the others ran")
    # In the midst of the rounds: the others have slices before and after.
    out = tmp / "late.json"
    result = run("run", "--library", f"bad={library(tmp, 'CRASH', 1000000)}", "-a",
                 "glibc,bad,null", "-w", "pair", "-o", out, "--reps", "2", "--time", "0.05",
                 "--latency-time", "0.001", "--memory-time", "0", "-q")
    entries = load(out)["benchmarks"]
    good = [e for e in entries if not e.get("error_occurred")]
    check(result.returncode == 3 and len(entries) == 5 and len(good) == 4 and
          all(min(e["kmembench"]["slices"]["ns_per_op"]) > 0 for e in good),
          "a crash in the midst of a rotation is one allocator's", result.stderr)
    # The reference itself: the others are measured, and have nothing to compare with.
    result = run("run", "--library", f"bad={library(tmp, 'CRASH', 1000000)}", "-a",
                 "bad,glibc,null", "--baseline", "bad", "-w", "pair", "-o", out, "--time", "0.05",
                 "--latency-time", "0.001", "--memory-time", "0", "-q")
    good = [e for e in load(out)["benchmarks"] if not e.get("error_occurred")]
    check(result.returncode == 3 and len(good) == 20, "nor does a reference take others along",
          f"{len(good)} {result.stderr}")
    result = run("run", "--library", f"bad={library(tmp, 'OVERLAP')}", "-a", "bad", "-w", "wset",
                 "--check", *FAST)
    check(result.returncode == 3 and "offset" in result.stderr,
          "the content check sees overlapping blocks", result.stderr)
    text = tmp / "text.so"
    text.write_text("not a library")
    refused("a library that is none", ["run", "--library", f"bad={text}", "-a", "bad", "-w",
                                       "pair", *FAST], "text.so")


def test_interrupt(tmp):
    out = tmp / "i.json"
    args = ["run", "-a", "glibc,null", "-w", "pair", "-s", "16,64", "--reps", "5", "--time",
            "0.1", "-o", str(out), "--seed", "7"]
    process = subprocess.Popen([PROGRAM, *args], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    journal = tmp / "i.json.journal"
    wait_for_lines(journal, 4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    check(process.returncode == 3 and "--resume" in errors, "Ctrl-C says how to go on", errors)
    partial = load(out)
    check(not partial["context"]["kmembench"]["complete"] and len(partial["benchmarks"]) >= 6,
          "finished blocks are kept and marked incomplete")
    pairs = {}
    for entry in partial["benchmarks"]:
        pairs.setdefault((entry["family_index"], entry["repetition_index"]), []).append(entry)
    check(all(len(block) == 2 for block in pairs.values()), "only whole blocks are kept", pairs)
    journal_lines = journal.read_text().splitlines()
    result = run(*args)
    check(result.returncode == 2 and "--resume" in result.stderr,
          "a second start does not overwrite them", result.stderr)
    with open(journal, "a") as file:
        file.write('{"block":')
    result = run(*args[:-2], "--resume")
    check(f"is damaged in line {len(journal_lines) + 1}" in result.stderr,
          "what is dropped of a journal is told", result.stderr)
    whole = load(out)
    check(result.returncode == 0 and whole["context"]["kmembench"]["complete"] and
          len(whole["benchmarks"]) == 20, "--resume finishes the run", result.stderr)
    check(whole["context"]["kmembench"]["seed"] == 7, "the seed is the first one's")
    check(not journal.exists(), "the journal is gone")
    kept = {(e["name"], e["repetition_index"]): e["real_time"] for e in partial["benchmarks"]}
    check(all(e["real_time"] == kept[key] for e in whole["benchmarks"]
              if (key := (e["name"], e["repetition_index"])) in kept), "kept cells did not run again")


def test_sweep(tmp):
    job = tmp / "job.ini"
    job.write_text("[global]\nreps = 2\ntime_s = 0.002\nallocators = glibc,slab\n"
                   "[a]\nworkloads = pair\nsizes = 16,64\n"
                   "[b]\nworkloads = replay\nrecord = sqlite3 :memory:\n"
                   "  'create table t(a); insert into t values(1); select * from t'\n")
    result = run("sweep", job, "--dry-run")
    check(result.returncode == 0 and "6 cells" in result.stdout, "dry run", result.stdout)
    result = run("sweep", job, "-o", tmp / "s")
    check(result.returncode == 0, "sweep exits with 0", result.stderr)
    check((tmp / "s/results.json").exists() and (tmp / "s/report.html").exists() and
          list((tmp / "s/plots").glob("*.png")), "sweep leaves results, plots and report")
    check(str(tmp / "s/report.html") in result.stdout, "and names them", result.stdout)
    shards = []
    for i in (1, 2):
        result = run("sweep", job, "-o", tmp / f"s{i}", "--shard", f"{i}/2", "--seed", "3", "-q")
        check(result.returncode == 0, f"shard {i}", result.stderr)
        shards.append(tmp / f"s{i}/results.json")
    result = run("merge", *shards, "-o", tmp / "merged.json")
    check(result.returncode == 0, "merge joins them", result.stderr)
    if result.returncode == 0:
        check(len(load(tmp / "merged.json")["benchmarks"]) == 12, "with every cell")


def wait_for_lines(path, count):
    """Until a journal has so many, or half a minute is over."""
    deadline = time.time() + 30
    while time.time() < deadline:
        if path.exists() and len(path.read_text().splitlines()) >= count:
            return
        time.sleep(0.02)


def test_interrupted_sweep(tmp):
    """What a sweep has recorded is kept for it: another one does not record it anew."""
    job, out = tmp / "job.ini", tmp / "out"
    job.write_text("[global]\nreps = 6\ntime_s = 0.05\nmemory_time_s = 0\nallocators = null,glibc\n"
                   "[a]\nworkloads = pair\nsizes = 16,64\n"
                   "[b]\nallocators = glibc\nworkloads = replay\nrecord = ls -l /\n")
    refused("a sweep that was not interrupted", ["sweep", job, "-o", out, "--resume"],
            "nothing was interrupted")
    process = subprocess.Popen([PROGRAM, "sweep", str(job), "-o", str(out)], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    journal, trace = out / "results.json.journal", out / "ls-1.kmt"
    wait_for_lines(journal, 2)
    recorded = trace.stat()
    refused("a second sweep into the folder", ["sweep", job, "-o", out],
            "another process is sweeping into")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    refused("a sweep over an interrupted one", ["sweep", job, "-o", out], "--resume")
    check((trace.stat().st_ino, trace.stat().st_mtime_ns) ==
          (recorded.st_ino, recorded.st_mtime_ns), "its trace is left alone")
    result = run("sweep", job, "-o", out, "--resume", "--no-plots")
    check(result.returncode == 0 and load(out / "results.json")["context"]["kmembench"]["complete"]
          and not journal.exists(), "and it can be resumed", result.stderr)


if __name__ == "__main__":
    sys.exit(main([test_results, test_every_workload, test_bad_cells, test_interrupt,
                   test_interrupted_sweep, test_interrupted_recording, test_sweep, test_memory,
                   test_more_threads_than_cpus, test_environment, test_methods,
                   test_same_library_twice]))
