#!/usr/bin/env python3
"""What no kept file may hold: a private key, a mark of something unfinished, a path of somebody's machine, a merge conflict, a test
that is switched off, blanks at the end of a line.

The patterns are written so that this file does not match itself.
"""

import fnmatch
import re

import tree

# (what it is, where, pattern). A line that matches is a finding.
PATTERNS = [
    ("a private key", "*", r"-----BEGIN ([A-Z]+ )*PRIVATE K[E]Y-----"),
    ("a mark of something unfinished", "*", r"\b(T[O]DO|FIX[M]E|X[X]X|HA[C]K)\b"),
    ("words of something unfinished", "*.[ch]", r"\b([Nn]ot (yet )?implement[e]d|[Ff]or n[o]w|[Ss]implifi[e]d|[Pp]lacehold[e]r|[Ss]tu[b])\b"),
    ("a path of somebody's machine", "*", r"(^|[\s\"'=(:])/(ho[m]e|ro[o]t|wo[r]k|Us[e]rs)/[a-z]"),
    ("a path out of the project", "*", r"\.\./shar[e]d\b"),
    ("a merge conflict", "*", r"^(<{7}|>{7}|={7})( |$)"),
    ("a test that is switched off", "tests/*.py", r"pytest\.(mark\.)?(sk[i]p|xf[a]il)|unittest\.sk[i]p"),
    ("blanks at the end of a line", "*", r"[ \t]+$"),
    ("a carriage return at the end of a line", "*", r"\r$"),
    ("a tab", "*.[ch]", r"\t"),
]
# Data that is kept byte for byte.
DATA = ["tests/fuzz/corpus/*", "LICENSE"]
# Files whose name says that they hold a secret.
SECRET_NAMES = ["*.key", "*.p12", "*.pfx", "*.jks", "id_rsa*", "id_ed25519*", "*key.pem"]


def check(lint):
    compiled = [(what, where, re.compile(pattern)) for what, where, pattern in PATTERNS]
    paths = lint.kept_files()
    for path in paths:
        name = str(path.relative_to(lint.root))
        if any(fnmatch.fnmatchcase(path.name, pattern) for pattern in SECRET_NAMES):
            lint.found(path, 0, "is named like a private key: keys are made when they are needed, never kept")
        text = tree.read_text(path)
        if text is None:
            continue
        is_data = any(fnmatch.fnmatchcase(name, pattern) for pattern in DATA)
        for number, line in enumerate(text.split("\n"), 1):
            for what, where, pattern in compiled[:1] if is_data else compiled:
                if fnmatch.fnmatchcase(name, where) and pattern.search(line):
                    lint.found(path, number, what)
    return f"{len(paths)} kept files hold nothing that they should not"


if __name__ == "__main__":
    tree.main(check)
