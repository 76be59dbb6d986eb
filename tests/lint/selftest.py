#!/usr/bin/env python3
"""Each lint passes a small good tree and finds what is put wrong into it."""

import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent

GOOD = {
    ".clang-format": (HERE / "../../.clang-format").read_text(),
    "include/sallyport/base/base.h": "#include <stdint.h>\n",
    "include/sallyport/tls/server.h": '#include "sallyport/base/base.h"\n',
    "src/base/base.c": '#include "sallyport/base/base.h"\n\nconst int sp_answer = 42;\n',
    "src/base/CMakeLists.txt": "sp_room(base SOURCES base.c)\n",
    "src/tls/own.h": "int sp_own(void);\n",
    "src/policy/callers/own.h": "int sp_own(void);\n",
    "src/policy/rules/own.h": "int sp_own(void);\n",
    "src/tls/server.c": '#include "sallyport/tls/server.h"\n\n#include <openssl/ssl.h>\n\n#include "own.h"\n',
    "tests/unit/base.c": "int main(void)\n{\n    return 0;\n}\n",
}
LONG_FUNCTION = "int f(int x);\nint f(int x)\n{\n" + "    x++;\n" * 90 + "    return x;\n}\n"

# (lint, file, its text, what the lint must say)
BAD = [
    ("layers", "src/base/base.c", '#include "sallyport/tls/server.h"\n', "base.c:1: .*may not look into tls"),
    ("layers", "src/base/base.c", "\n#include <yaml.h>\n", "base.c:2: .*for config only, not for base"),
    ("layers", "src/base/base.c", "#include <openssl/evp.h>\n", "for .*pki and tls only, not for base"),
    ("layers", "src/tls/server.c", "#include <curl/curl.h>\n", "for fetch only, not for tls"),
    ("layers", "src/fetch/fetch.c", '#include "sallyport/tls/server.h"\n', "may not look into tls"),
    ("layers", "src/base/base.c", "#include <zlib.h>\n", "on no list"),
    ("layers", "src/base/base.c", '#include "../tls/own.h"\n', "no header of this room"),
    ("layers", "src/base/base.c", '#include "tls/own.h"\n', "no header of this room"),
    ("layers", "src/base/base.c", '#include "sallyport/cellar/x.h"\n', '"cellar" is no room'),
    ("layers", "src/cellar/x.c", "int sp_x;\n", '"cellar" is no room'),
    ("layers", "src/x.c", "int sp_x;\n", "stands in no room"),
    ("layers", "include/sallyport/tls/server.h", "#include <openssl/ssl.h>\n", "a door shows no library"),
    ("layers", "include/sallyport/tls/server.h", '#include "own.h"\n', "doors only"),
    ("layers", "src/base/CMakeLists.txt", "sp_room(base LINK sp_tls SOURCES base.c)\n", "may not link tls"),
    ("layers", "src/policy/callers/x.c", '#include "policy/rules/own.h"\n', "callers may not look into rules"),
    ("layers", "src/policy/cellar/x.c", '#include "policy/rules/own.h"\n', '"cellar" is no folder of policy'),
    ("format", "src/base/base.c", "int  sp_x ;\n", "base.c:1"),
    ("sizes", "src/base/base.c", "\n" * 601, "a file of 601 lines"),
    ("sizes", "src/base/base.c", LONG_FUNCTION, "f has 94 lines"),
    ("words", "notes.md", "-----BEGIN EC PRIVATE" + " KEY-----\n", "notes.md:1: a private key"),
    ("words", "tests/x.key", "x\n", "named like a private key"),
    ("words", "src/base/base.c", "/* TO" + "DO */\n", "unfinished"),
    ("words", "src/base/base.c", "/* for" + " now */\n", "unfinished"),
    ("words", "notes.md", "see /ho" + "me/someone/x\n", "somebody's machine"),
    ("words", "notes.md", "<" * 7 + " HEAD\n", "a merge conflict"),
    ("words", "tests/x.py", "@pytest.mark.sk" + "ip\n", "switched off"),
    ("words", "notes.md", "blank \n", "blanks at the end"),
    ("words", "src/base/base.c", "\tint x;\n", "a tab"),
    ("globals", "src/base/base.c", "int sp_counter;\n", '"sp_counter" is a writable global'),
    ("globals", "src/base/base.c", "int *f(void);\nint *f(void)\n{\n    static int n = 1;\n    return &n;\n}\n",
     '"n" is a writable global'),
    ("globals", "src/base/base.c", "_Thread_local int sp_each = 1;\n", '"sp_each" is a writable global'),
]
# What must not be mistaken for wrong.
FINE = [
    ("globals", "src/base/base.c", 'const char *const sp_table[] = {"a", "b"};\n'),
    ("layers", "src/tls/server.c", "#include <openssl/x509.h>\n#include <sys/socket.h>\n"),
    ("layers", "src/tls/server.c", '#include "tls/own.h"\n'),
    ("layers", "src/policy/rules/x.c", '#include "policy/callers/own.h"\n'),
]


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(lint, root):
    """(exit status, output) of one lint on the tree under `root`."""
    if lint == "format":
        command = [HERE / "format", root]
    elif lint == "globals":
        library = root / "build/src/base/libsp_base.a"
        library.parent.mkdir(parents=True, exist_ok=True)
        library.unlink(missing_ok=True)
        subprocess.run(["gcc", "-fPIE", "-I", root / "include", "-c", root / "src/base/base.c", "-o", root / "build/base.o"],
                       check=True)
        subprocess.run(["ar", "rc", library, root / "build/base.o"], check=True)
        command = [sys.executable, HERE / "globals.py", "--root", root, root / "build"]
    else:
        command = [sys.executable, HERE / f"{lint}.py", "--root", root]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return result.returncode, result.stdout


def attempt(lint, name=None, text=None):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for good_name, good_text in GOOD.items():
            write(root, good_name, good_text)
        if name is not None:
            write(root, name, text)
        return run(lint, root)


def main():
    wrong = []
    for lint in sorted({case[0] for case in BAD}):
        status, output = attempt(lint)
        if status != 0:
            wrong.append(f"{lint}: refuses the good tree:\n{output}")
    for lint, name, text, expected in BAD:
        status, output = attempt(lint, name, text)
        if status == 0 or not re.search(expected, output):
            wrong.append(f"{lint}: {name} holding {text[:60]!r}: wanted /{expected}/, got status {status}:\n{output}")
    for lint, name, text in FINE:
        status, output = attempt(lint, name, text)
        if status != 0:
            wrong.append(f"{lint}: {name} holding {text[:60]!r} is fine, but:\n{output}")
    print("\n".join(wrong) if wrong else f"   {len(BAD)} wrong trees were found, {len(FINE)} odd ones let pass")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
