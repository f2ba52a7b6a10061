#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check-docs.py [ROOT [PROGRAM]]: what the documents name is there.

Links, file names, functions written `name()`, commands and options of the program, goals of
the Makefile; and files that comments name. Prints what is missing, and exits with 1.
"""
import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
PROGRAM = sys.argv[2] if len(sys.argv) > 2 else None
SOURCE_ENDINGS = "c|h|cc|cpp|py|sh|gp|md|ini|map"
# What a reader replaces by a name of his own: NAME, <folder>, x_fast.h.
PLACEHOLDER = re.compile(r"[A-Z]{3,}|<[a-z]+>|(?<![\w-])x(?=[._])")
# Programs of others, and of readers.
FOREIGN = {"script.py", "compare.py"}
# Its references are to what was there at the time.
HISTORY = {"CHANGELOG.md"}


def tracked():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "--cached", "--others",
                             "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return sorted({name for name in names if (ROOT / name).is_file()})


FILES = tracked()
FOLDERS = {str(parent) for name in FILES for parent in pathlib.PurePath(name).parents} - {"."}
TOP = {name.split("/")[0] for name in FOLDERS} - {"results"}


def braces(pattern):
    """"a{b,c}" is "ab" and "ac"."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    return [whole for part in found[1].split(",")
            for whole in braces(pattern[:found.start()] + part + pattern[found.end():])]


def matches(name, pool):
    """Is it there, as a whole path or as the end of one?"""
    return any(fnmatch.fnmatch(path, name) or fnmatch.fnmatch(path, "*/" + name)
               for path in pool)


def there(name):
    name = name.removeprefix("./")
    pool = FOLDERS if name.endswith("/") else FILES
    for single in braces(name.rstrip("/")):
        if not matches(single, pool) and not matches(PLACEHOLDER.sub("*", single), pool):
            return False
    return True


def helps():
    """Commands of the program, and all that their help says."""
    def said(*args):
        return subprocess.run([PROGRAM, *args], capture_output=True, text=True).stdout

    top = said("--help")
    commands = re.findall(r"^  (\w+) ", top, re.M)
    return set(commands), top + "".join(said(command, "--help") for command in commands)


def anchors(path):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
            for line in path.read_text().splitlines() if line.startswith("#")}


def links(name, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists():
            yield f"link to '{target}'"
        elif anchor and anchor not in anchors(file):
            yield f"heading '{target}'"


def spans_and_lines(text):
    """What stands between backquotes, and the lines of blocks of shell."""
    shell = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]
    lines = [line.split(" #")[0] for block in shell
             for line in block.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    return spans, lines


def file_names(text, whole_paths):
    """Words that look like files of ours; of shell only those with a folder of ours."""
    for word in re.findall(r"(?:[^\s\"'=:,;(){}]|\{[^}\s]*\})+", text):
        word = word.strip("<>") if word.startswith("<") and word.endswith(">") else word
        source = re.fullmatch(rf"[\w./*<>{{}},-]*[\w*}}>]\.({SOURCE_ENDINGS})", word)
        inside = word.split("/")[0] in TOP and re.fullmatch(
            rf"[\w-]+(/[\w*<>{{}},-]*)+(\.({SOURCE_ENDINGS}))?", word)
        if (inside or source and not whole_paths) and word not in FOREIGN and not word.startswith(
                ("/", "build/", "-")):
            yield word


def claims(name, text, source, program, goals):
    spans, lines = spans_and_lines(text)
    yield from links(name, text)
    for word in [*file_names("\n".join(spans), False), *file_names("\n".join(lines), True)]:
        if not there(word):
            yield f"file '{word}'"
    for function in re.findall(r"(?<![\w.])([a-z_]\w*)\(\)", "\n".join(spans)):
        if not re.search(rf"\b{function}\b", source):
            yield f"function '{function}()'"
    for line in spans + lines:
        for goal in re.findall(r"(?:^|\s)make ((?:[\w-]+(?:=\S+)? ?)+)", line):
            for word in goal.split():
                if "=" not in word and word not in goals and not word.startswith(("test-", "-")):
                    yield f"'make {word}'"
        if program:
            commands, said = program
            for command in re.findall(r"(?:^|\s|/)kmembench (\w+)", line):
                if command not in commands | {"COMMAND", "help"}:
                    yield f"'kmembench {command}'"
            if "kmembench " in line or line.startswith("--"):
                ours = line.split(" -- ")[0]
                for option in re.findall(r"(?<!\S)(--[a-z][a-z-]+)", ours):
                    if option not in said and option not in source:
                        yield f"option '{option}'"


def comments(name):
    """Files that a source file names by their whole path."""
    text = (ROOT / name).read_text(errors="replace")
    tops = "|".join(sorted(TOP))
    for word in re.findall(rf"(?<![\w/.\"<$}}-])((?:{tops})/[\w./-]+\.(?:{SOURCE_ENDINGS}))\b",
                           text):
        if not there(word):
            yield f"file '{word}'"


def main():
    source = "\n".join((ROOT / name).read_text(errors="replace") for name in FILES
                       if name.endswith((".c", ".h", ".cc", ".py", ".sh")))
    goals = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    program = helps() if PROGRAM else None
    missing = []
    for name in FILES:
        if name.endswith(".md"):
            text = (ROOT / name).read_text()
            found = links(name, text) if name in HISTORY else claims(name, text, source,
                                                                     program, goals)
        elif re.search(rf"\.({SOURCE_ENDINGS})$|(^|/)Makefile$", name):
            found = comments(name)
        else:
            continue
        missing += [f"{name}: {what} is not there" for what in dict.fromkeys(found)]
    print(*missing, sep="\n", end="\n" if missing else "")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
