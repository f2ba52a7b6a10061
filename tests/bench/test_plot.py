#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kmembench plot and report on invented results of many shapes, as a user runs them.

Prints TAP. Looks at what came out with readers of its own: pictures are what they claim
to be, pages are well formed and refer to nothing outside.
"""
import html.parser
import os
import re
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

BUILD = os.environ.get("BUILD", "build")
PROGRAM = os.path.join(BUILD, "kmembench")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
os.environ.setdefault("KMEMBENCH_DATADIR", ROOT)
VOID = {"meta", "br", "link", "img", "hr", "input"}

TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


def run(*args, **kw):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, check=False, **kw)


def results(folder, kind):
    path = os.path.join(folder, kind + ".json")
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(HERE, "data", "plot", "synthetic.py"), kind,
                        path], check=True)
    return path


def png_size(path):
    with open(path, "rb") as f:
        head = f.read(24)
    assert head[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG"
    return struct.unpack(">II", head[16:24])


class Page(html.parser.HTMLParser):
    """Checks that tags nest and ids are unique."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.svgs, self.text = [], set(), 0, []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                assert value not in self.ids, f"id '{value}' occurs twice"
                self.ids.add(value)
            if name in ("src", "href", "xlink:href"):
                assert value.startswith("#"), f"<{tag}> refers to '{value}'"
        self.svgs += tag == "svg"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)


def read_page(path):
    page = Page()
    with open(path, encoding="utf-8") as f:
        page.feed(f.read())
    page.close()
    assert not page.open, f"left open: {page.open}"
    return page, "".join(page.text)


@test
def draws_each_kind_it_can(folder):
    out = os.path.join(folder, "variants")
    done = run("plot", results(folder, "variants"), "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    written = [line for line in done.stdout.splitlines() if not line.startswith("left out: ")]
    assert sorted(written) == sorted(os.path.join(out, f) for f in os.listdir(out)), done.stdout
    for kind in ("summary-glibc", "throughput-threads-pair", "time-size-pair",
                 "latency-percentiles-pair-64-b-1-thread"):
        width, height = png_size(os.path.join(out, kind + ".png"))
        assert width == 1200 and height >= 600, (kind, width, height)
        picture = xml.parse(os.path.join(out, kind + ".svg"))
        text = "".join(picture.getroot().itertext())
        for name in ("slab:percpu=off,colour=on", "snmalloc_2_28", "glibc"):
            assert name in text, f"{kind} does not name {name}"
        assert "is better" in text and "10 blocks" in text, kind
    assert "left out: memory: " in done.stdout, done.stdout


@test
def one_thread_count_has_no_thread_plot(folder):
    out = os.path.join(folder, "one-thread")
    done = run("plot", results(folder, "one-thread"), "-o", out, "--format", "svg")
    assert done.returncode == 0, done.stderr
    assert not [f for f in os.listdir(out) if f.startswith("throughput") or f.endswith("png")]
    assert "left out: throughput-threads: 'larson', 'pair', 'wset', 'xmalloc' were measured with one " \
        "value of threads only\n" in done.stdout, done.stdout
    text = "".join(xml.parse(os.path.join(out, "summary-glibc.svg")).getroot().itertext())
    assert "fewer than 6 blocks" in text
    assert os.path.exists(os.path.join(out, "memory-wset.svg"))


@test
def a_single_cell_is_enough(folder):
    out = os.path.join(folder, "single")
    done = run("plot", results(folder, "single"), "-o", out, "--format", "png", "--keep-data")
    assert done.returncode == 0, done.stderr
    assert "left out: summary: no cell was measured on two allocators" in done.stdout
    assert "left out: forest: no cell was measured on two allocators" in done.stdout
    assert "left out: blocks: no cell has two blocks" in done.stdout
    assert sorted(os.listdir(out)) == ["data", "latency-percentiles-pair-64-b-1-thread.png"]
    assert os.listdir(os.path.join(out, "data")) == ["latency-percentiles-pair-64-b-1-thread.tsv"]


@test
def two_files_stand_side_by_side(folder):
    out = os.path.join(folder, "two")
    done = run("plot", results(folder, "few"), results(folder, "variants"), "-o", out, "--format",
               "svg")
    assert done.returncode == 0, done.stderr
    text = "".join(xml.parse(os.path.join(out, "summary-glibc.svg")).getroot().itertext())
    assert "slab (few)" in text and "slab (variants)" in text


@test
def page_is_well_formed(folder):
    for kind in ("few", "one-thread", "single", "variants"):
        path = os.path.join(folder, kind + ".html")
        done = run("report", results(folder, kind), "-o", path)
        assert done.returncode == 0, done.stderr
        page, text = read_page(path)
        assert page.svgs > 0
        assert "Intel(R) Xeon(R) Processor @ 2.30GHz" in text
        assert "virtual machine (kvm)" in text


RICH = {
    "forest-glibc": ["equivalence band", "faster", "cannot tell", "kmem"],
    "forest-glibc-2": ["jemalloc", "tcmalloc"],
    "ablation-slab": ["against slab", "percpu=off", "variant is slower"],
    "blocks-pair": ["Every block", "outlier", "ns per operation"],
    "memory-time-sawtooth-1-thread": ["resident, R", "usable, U", "live, L", "idle", "seconds"],
    "memory-time-ff-worst-1-thread": ["Robson: any allocator", "Robson: first fit"],
    "drain-sawtooth": ["kept live", "0.1 s", "5 s"],
    "age-age-1-thread": ["internal fragmentation", "space ratio", "mappings",
                         "free, 99th percentile", "bytes allocated so far"],
    "tail-causes-wset": ["page fault", "its own system call", "preempted", "not known"],
    "latency-percentiles-open-loop-1-thread": ["service", "response, from the scheduled arrival"],
}


@test
def draws_everything_a_rich_file_has(folder):
    out = os.path.join(folder, "rich")
    done = run("plot", results(folder, "rich"), "-o", out, "--format", "svg")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    for stem, words in RICH.items():
        text = "".join(xml.parse(os.path.join(out, stem + ".svg")).getroot().itertext())
        for word in words + ["Intel(R) Xeon(R)", "blocks"]:
            assert word in text, f"{stem} does not say '{word}'"


@test
def page_of_a_rich_file(folder):
    path = os.path.join(folder, "rich.html")
    done = run("report", results(folder, "rich"), "-o", path)
    assert done.returncode == 0, done.stderr
    page, text = read_page(path)
    assert {"verdicts", "memory", "tails"} <= page.ids and page.svgs >= len(RICH)
    for words in ("Every verdict", "Robson's bound", "its own system call", "modified z-score",
                  "space ratio"):
        assert words in text, words


@test
def verdicts_of_equal_and_slower(folder):
    done = run("compare", results(folder, "alike"), "--view", "all")
    assert done.returncode == 0, done.stderr
    assert "74 comparisons: " in done.stdout
    assert done.stdout.count("Mann-Whitney  p = ") == 74
    assert max(map(len, done.stdout.splitlines())) <= 100
    done = run("compare", results(folder, "alike"), "--view", "welch")
    assert done.returncode == 2 and "'welch'" in done.stderr, done.stderr


@test
def a_page_of_failures(folder):
    path = os.path.join(folder, "failed.html")
    done = run("report", results(folder, "failed"), "-o", path,
               env=dict(os.environ, PATH="/nonexistent"))
    assert done.returncode == 0, done.stderr
    assert "gnuplot-nox" in done.stderr, done.stderr
    page, text = read_page(path)
    assert page.svgs == 0 and "No plots: " in text
    assert "no end after 60 s & <was> killed" in text
    assert "killed by signal 11" in text and "incomplete" in text
    assert re.search(r"\d+ cells failed", text)


@test
def exit_codes_and_messages(folder):
    few = results(folder, "few")
    damaged = os.path.join(folder, "damaged.json")
    with open(damaged, "w", encoding="utf-8") as f:
        f.write('{"context": {')
    cases = [
        (4, ["plot", few, "-o", folder + "/x"], "gnuplot-nox", {"PATH": "/nonexistent"}),
        (2, ["plot"], "no results file", {}),
        (2, ["plot", few, "--format", "gif"], "'gif'", {}),
        (2, ["plot", few, "--colour"], "--colour", {}),
        (2, ["plot", damaged, "-o", folder + "/x"], "damaged.json", {}),
        (2, ["plot", few, "-o", few + "/x"], "few.json", {}),
        (2, ["report"], "no results file", {}),
        (2, ["report", damaged, "-o", folder + "/x.html"], "damaged.json", {}),
        (2, ["report", few, "-o", folder + "/absent/x.html"], "absent/x.html", {}),
    ]
    for code, args, message, environment in cases:
        done = run(*args, env=dict(os.environ, **environment))
        assert done.returncode == code, (args, done.returncode, done.stderr)
        assert message in done.stderr, (args, done.stderr)
        assert not os.path.exists(folder + "/x.html")
    for command in ("plot", "report"):
        done = run(command, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"usage: kmembench {command}")


def gnuplot_is_here():
    return any(os.access(os.path.join(p, "gnuplot"), os.X_OK)
               for p in os.environ.get("PATH", "").split(":"))


def main():
    print(f"1..{len(TESTS)}")
    missing = None
    if not os.access(PROGRAM, os.X_OK):
        missing = f"there is no '{PROGRAM}': run make"
    elif not gnuplot_is_here():
        missing = "gnuplot is not installed (package gnuplot-nox)"
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, fn in enumerate(TESTS, 1):
            name = fn.__name__.replace("_", " ")
            if missing:
                print(f"ok {number} - {name} # SKIP {missing}")
                continue
            try:
                fn(folder)
                print(f"ok {number} - {name}", flush=True)
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                print(f"not ok {number} - {name}")
                print("# " + f"{type(error).__name__}: {error}".replace("\n", "\n# "), flush=True)
    return failed > 0


sys.exit(main())
