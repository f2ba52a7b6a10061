#!/usr/bin/env python3
"""tools/check-docs.py: what is not there is told, what is there is not. Prints TAP."""
import pathlib
import subprocess
import sys
import tempfile

from tap import PROGRAM, ROOT, check, finish, need_program

GOOD = """# A title, of words

See [the design](docs/DESIGN.md#two-words), [elsewhere](https://example.com/none.md) and
`bench/plot_NAME.c`, `plot_{age,drain}.c`, `plot_*.c`, `<kmem/slab.h>`, `bench/`, `x_fast.h`,
`draw_age()`, `make all`, `kmembench plot r.json -o p`, `--keep-data`, `/etc/none.c`.

```sh
make all V=1            # make nothing
bench/plot_age.c
kmembench run -a null -w pair -- --not-ours
```

```c
#include "none.h"
```
"""
GONE = "bench/" + "none"  # two words here, for this file is looked at, too
BAD = {
    "[a](docs/NONE.md)": "link to 'docs/NONE.md'",
    "[a](docs/DESIGN.md#three-words)": "heading 'docs/DESIGN.md#three-words'",
    "`plot_none.c`": "file 'plot_none.c'",
    "`plot_{age,none}.c`": "file 'plot_{age,none}.c'",
    "`bench/none/`": "file 'bench/none/'",
    "`draw_none()`": "function 'draw_none()'",
    "`make none`": "'make none'",
    "```sh\nmake none\n```": "'make none'",
    f"```sh\n{GONE}.sh --all\n```": f"file '{GONE}.sh'",
    "`kmembench rnu`": "'kmembench rnu'",
    "`kmembench run --no-such-thing 3`": "option '--no-such-thing'",
    "`--no-such-thing`": "option '--no-such-thing'",
}


def verdict(root):
    result = subprocess.run([sys.executable, ROOT / "tools/check-docs.py", root, PROGRAM],
                            capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout + result.stderr


def main():
    need_program("check-docs")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in (("docs/DESIGN.md", "# Design\n## Two words\n"),
                           ("bench/plot_age.c", "void draw_age(void); /* docs/DESIGN.md */\n"),
                           ("bench/plot_drain.c", "\n"), ("include/kmem/slab.h", "\n"),
                           ("bench/a_fast.h", "\n"), ("Makefile", "all:\n"),
                           ("CHANGELOG.md", "`plot_none.c` is gone.\n"), ("README.md", GOOD)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        check(verdict(root) == (0, ""), "what is there is not told", *verdict(root))
        for text, told in BAD.items():
            (root / "README.md").write_text(GOOD + text + "\n")
            status, output = verdict(root)
            check(status == 1 and output.count("\n") == 1 and told in output,
                  f"README.md: {told}", output)
        (root / "README.md").write_text(GOOD)
        (root / "bench/plot_drain.c").write_text(f"/* as {GONE}.h says */\n")
        status, output = verdict(root)
        check(status == 1 and f"bench/plot_drain.c: file '{GONE}.h'" in output,
              "a comment that names no file", output)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
