# SPDX-License-Identifier: MIT
"""What every script here begins with: the program under test, and TAP on standard output."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", "build")).resolve()
PROGRAM = BUILD / "kmembench"
FIXTURE = HERE / "data" / "results.json"
_count = 0
_failures = 0


def skip_all(name, reason):
    """Ends the script: nothing here can be tested."""
    print(f"1..1\nok 1 - {name} # SKIP {reason}")
    sys.exit(0)


def need_program(name):
    if not PROGRAM.exists():
        skip_all(name, f"{PROGRAM} is not built")


def check(condition, name, *details):
    """A line of the report; details are printed when the condition is false."""
    global _count, _failures
    _count += 1
    _failures += not condition
    print(f"{'ok' if condition else 'not ok'} {_count} - {name}", flush=True)
    if not condition:
        for detail in details:
            for line in str(detail).splitlines()[:30]:
                print(f"# {line}")


def skip(name, reason):
    global _count
    _count += 1
    print(f"ok {_count} - {name} # SKIP {reason}", flush=True)


def run(*args, timeout=240, **kwargs):
    """The program, its output captured; arguments of any type."""
    return subprocess.run([str(PROGRAM), *map(str, args)], capture_output=True, text=True,
                          timeout=timeout, **kwargs)


# Options of a quick cell.
FAST = ["--reps", "2", "--time", "0.002", "--latency-time", "0.001", "-q"]


def refused(name, args, *words, code=2):
    """The command line is refused, in words that hold these."""
    result = run(*args)
    missing = [word for word in words if word not in result.stderr]
    check(result.returncode == code and not missing and "Traceback" not in result.stderr, name,
          f"exit {result.returncode}, missing {missing}\n{result.stderr}")


def load(path):
    with open(path) as file:
        return json.load(file)


def main(tests):
    """Runs the tests, each with an empty folder."""
    for test in tests:
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(pathlib.Path(folder))
            except Exception as error:  # a broken test is a failed test
                check(False, f"{test.__name__} ran to its end", repr(error))
    return finish()


def finish():
    """The plan, and the exit status for sys.exit()."""
    print(f"1..{_count}")
    return int(_failures > 0)
