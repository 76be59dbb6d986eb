#!/usr/bin/env python3
"""Files of at most 600 lines, functions of at most 80: what is longer hides something.

Exceptions stand in ALLOWED, each with its reason, and go when they are no longer needed.
"""

import json
import shutil
import subprocess

import tree

FILE_LINES = 600
FUNCTION_LINES = 80

# "path" or "path:function": the reason.
ALLOWED = {
}


def functions(paths):
    """(path, name, first line, lines) of every C function, by universal-ctags."""
    output = subprocess.run(
        ["ctags", "--output-format=json", "--fields=+ne", "--kinds-c=f", "--languages=C", "--langmap=C:+.h", "-o", "-",
         "-L", "-"],
        input="\n".join(str(p) for p in paths), check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and "end" in tag:
            yield tag["path"], tag["name"], tag["line"], tag["end"] - tag["line"] + 1


def check(lint):
    paths = lint.files("src/**/*.[ch]", "include/**/*.h", "tests/**/*.[ch]")
    used = set()
    longest_file = longest_function = 0

    def too_long(key):
        used.add(key)
        return key not in ALLOWED

    for path in paths:
        lines = len(path.read_text().splitlines())
        longest_file = max(longest_file, lines)
        if lines > FILE_LINES and too_long(str(path.relative_to(lint.root))):
            lint.found(path, lines, f"a file of {lines} lines; at most {FILE_LINES}")
    if shutil.which("ctags") is None:
        lint.found("ctags", 0, "is missing: install universal-ctags")
        return ""
    for path, name, line, lines in functions(paths):
        longest_function = max(longest_function, lines)
        relative = str(tree.pathlib.Path(path).relative_to(lint.root))
        if lines > FUNCTION_LINES and too_long(f"{relative}:{name}"):
            lint.found(relative, line, f"{name} has {lines} lines; at most {FUNCTION_LINES}")
    for key in sorted(set(ALLOWED) - used):
        lint.found(key, 0, "is short enough now: take it off the list in tests/lint/sizes.py")
    return f"{len(paths)} files; the longest has {longest_file} lines, the longest function {longest_function}"


if __name__ == "__main__":
    tree.main(check)
