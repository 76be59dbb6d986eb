#!/usr/bin/env python3
"""No writable globals: what a thread may write, it was given.

Reads the static libraries of a build without sanitizers and finds every object that stands in a writable section. Constant tables
with pointers (.data.rel.ro) are read-only once the program runs and pass.
"""

import re
import subprocess

import tree

# (library, symbol): why it may be writable.
ALLOWED = {
    ("libsp_tls.a", "view"): "OpenSSL asks a built-in provider without anything of its creator's; written once",
}

SYMBOL = re.compile(
    r"^[0-9a-f]+ ......(?P<kind>.)\s+(?P<section>\S+)\s+(?P<size>[0-9a-f]+)\s+(?:\.hidden\s+)?(?P<name>\S+)$")
WRITABLE = re.compile(r"^(\.(t?data|t?bss|[ls]data|[ls]bss)(\..*)?|\*COM\*)$")


def is_writable(section):
    return bool(WRITABLE.match(section)) and not section.startswith(".data.rel.ro")


def check(lint, build):
    libraries = sorted(build.glob("src/*/libsp_*.a"))
    if not libraries:
        lint.found(str(build), 0, "no library of ours there: build first")
    for library in libraries:
        listing = subprocess.run(["objdump", "-t", str(library)], check=True, capture_output=True, text=True).stdout
        member = ""
        for line in listing.splitlines():
            if line.endswith(tuple(f"file format {f}" for f in ("elf64-x86-64", "elf64-littleaarch64"))):
                member = line.split(":")[0]
            match = SYMBOL.match(line)
            if not match or match["kind"] not in "O " or not is_writable(match["section"]) or int(match["size"], 16) == 0:
                continue
            name = re.sub(r"\.\d+$", "", match["name"])
            if (library.name, name) not in ALLOWED:
                lint.found(f"{library.name}({member})", 0, f'"{name}" is a writable global ({match["section"]}): '
                           "pass it as an argument, or make it const")
    return f"{len(libraries)} libraries without a writable global"


if __name__ == "__main__":
    tree.main(check, takes_build=True)
