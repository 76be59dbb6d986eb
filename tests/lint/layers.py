#!/usr/bin/env python3
"""Which room may include what.

A room (src/X, its doors in include/sallyport/X) includes its own headers and the doors of rooms on lower floors; of libraries only
those that are given to it below; of the system what SYSTEM lists. A door includes no library at all, so that nobody gets one
through the back. What a room links (src/X/CMakeLists.txt) follows the same floors. See docs/architecture.md.
"""

import fnmatch
import re

import tree

FLOORS = {
    "base": 0,
    "config": 1, "obs": 1, "io": 1,
    "http": 2, "fetch": 2,
    "match": 3,
    "pki": 4,
    "tls": 5, "headers": 5,
    "policy": 6, "upstream": 6,
    "snapshot": 7,
    "gate": 8, "proxy": 8,
    "admin": 9,
    "daemon": 10, "demo": 10,
    "cli": 11,
}

# Folders inside a room, in the order in which they may look into each other: each into those before it, as "room/folder/header.h". Those
# that stand together do not know each other.
FOLDERS = {
    "pki": [{"x509"}, {"crl", "ocsp"}, {"chain"}],
    "policy": [{"common"}, {"callers", "limits"}, {"rules"}],
    "upstream": [{"roster"}, {"pool"}],
}

# Libraries: pattern of the header -> the rooms that may include it. The first pattern that fits decides.
LIBRARIES = [
    ("yaml.h", {"config"}),
    ("event2/*", {"io"}),
    ("ares.h", {"io"}),
    ("arpa/nameser.h", {"io"}),
    ("resolv.h", {"io"}),
    ("openssl/ssl.h", {"tls", "demo"}),
    ("openssl/*", {"pki", "tls", "demo"}),
    ("nghttp2/*", {"http"}),
    ("curl/*", {"fetch"}),
    ("systemd/*", {"daemon"}),
    ("sanitizer/*", {"base"}),
]

# C17, POSIX and Linux: everybody's.
SYSTEM = """
assert.h ctype.h errno.h float.h inttypes.h limits.h locale.h math.h setjmp.h signal.h stdalign.h stdarg.h stdatomic.h
stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h time.h
dirent.h dlfcn.h endian.h fcntl.h ftw.h getopt.h glob.h grp.h libgen.h malloc.h netdb.h poll.h pthread.h pwd.h sched.h semaphore.h spawn.h
sysexits.h syslog.h termios.h unistd.h
arpa/inet.h net/if.h netinet/in.h netinet/tcp.h
sys/*.h linux/*.h
""".split()

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")')
LINK = re.compile(r"\bsp_(\w+)\b")


def rooms_of(lint):
    """(room, file, is a door) for each C file of the house; unknown rooms are findings."""
    for path in lint.files("src/*/**/*.[ch]", "include/sallyport/*/**/*.h"):
        parts = path.relative_to(lint.root).parts
        is_door = parts[0] == "include"
        room = parts[2] if is_door else parts[1]
        if room not in FLOORS:
            lint.found(path, 1, f'"{room}" is no room: give it a floor in tests/lint/layers.py')
            continue
        yield room, path, is_door
    for path in lint.files("src/*.[ch]", "include/*.h", "include/sallyport/*.h"):
        lint.found(path, 1, "stands in no room")


def check_library(lint, room, path, line, header, is_door):
    for pattern, rooms in LIBRARIES:
        if fnmatch.fnmatchcase(header, pattern):
            if is_door:
                lint.found(path, line, f"<{header}> in a door: a door shows no library")
            elif room not in rooms:
                lint.found(path, line, f"<{header}> is for {' and '.join(sorted(rooms))} only, not for {room}")
            return
    if not any(fnmatch.fnmatchcase(header, pattern) for pattern in SYSTEM):
        lint.found(path, line, f"<{header}> is on no list: see LIBRARIES and SYSTEM in tests/lint/layers.py")


def is_private_header(lint, room, path, header):
    """Beside the file that includes it, or written as "room/header.h" of its own room."""
    return (path.parent / header).is_file() or (header.startswith(f"{room}/") and (lint.root / "src" / header).is_file())


def level_of(room, folder):
    return next((level for level, folders in enumerate(FOLDERS.get(room, [])) if folder in folders), None)


def check_folder(lint, room, path, line, header):
    own, other = path.parent.name, header.split("/")[-2] if "/" in header else path.parent.name
    if room not in FOLDERS or own == other:
        return
    if level_of(room, own) is None:
        lint.found(path, line, f'"{own}" is no folder of {room}: give it a place in tests/lint/layers.py')
    elif level_of(room, other) is None or level_of(room, other) >= level_of(room, own):
        lint.found(path, line, f'"{header}": in {room}, {own} may not look into {other}')


def check_own(lint, room, path, line, header, is_door):
    parts = header.split("/")
    if parts[0] != "sallyport":
        if is_door:
            lint.found(path, line, f'"{header}" in a door: a door includes doors only')
        elif ".." in parts or not is_private_header(lint, room, path, header):
            lint.found(path, line, f'"{header}" is no header of this room\'s folder')
        else:
            check_folder(lint, room, path, line, header)
        return
    other = parts[1] if len(parts) > 2 else ""
    if other not in FLOORS:
        lint.found(path, line, f'"{header}": "{other}" is no room')
    elif other != room and FLOORS[other] >= FLOORS[room]:
        lint.found(path, line, f'"{header}": {room} (floor {FLOORS[room]}) may not look into {other} '
                               f"(floor {FLOORS[other]})")


def check_links(lint):
    for path in lint.files("src/*/CMakeLists.txt"):
        room = path.parent.name
        for number, text in enumerate(path.read_text().splitlines(), 1):
            for other in LINK.findall(text.split("#")[0]):
                if room in FLOORS and other in FLOORS and other != room and FLOORS[other] >= FLOORS[room]:
                    lint.found(path, number, f"{room} (floor {FLOORS[room]}) may not link {other} "
                                             f"(floor {FLOORS[other]})")


def check(lint):
    count = 0
    for room, path, is_door in rooms_of(lint):
        count += 1
        for number, text in enumerate(path.read_text().splitlines(), 1):
            if match := INCLUDE.match(text):
                external, own = match.groups()
                if external:
                    check_library(lint, room, path, number, external, is_door)
                else:
                    check_own(lint, room, path, number, own, is_door)
    check_links(lint)
    if count == 0:
        lint.found("src", 0, "no C file found: wrong folder?")
    return f"{count} files keep to their floors"


if __name__ == "__main__":
    tree.main(check)
