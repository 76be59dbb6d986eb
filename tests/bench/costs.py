#!/usr/bin/env python3
"""What one operation costs sallyport in instructions, by part, in system calls and in allocations: by callgrind.

Each scenario is run twice, with a few operations and with many, and the difference is divided: so what is done once (starting,
connecting, warming up) is in neither. Counts do not depend on who else uses the machine. Needs valgrind.

Parts are the rooms of src/ (what they inline from elsewhere included where it is written) and the libraries. The copies of a
request in user space cannot be counted so; docs/performance.md tells them.
"""
import argparse
import collections
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import contenders
import machine
import pki
from tools import Bench, start_backend

STARTING_SECONDS = 120  # under valgrind
LOAD_SECONDS = 300

# name, what sp_load does, operations (few, many), settings of the proxy
SCENARIOS = (
    ("keepalive", ("keepalive", "-c", "1"), (200, 1200), {}),
    ("keepalive, log", ("keepalive", "-c", "1"), (200, 1200), {"log": True}),
    ("full handshake", ("handshake", "-c", "1"), (20, 60), {}),
    ("resumed", ("handshake", "-c", "1", "--resume"), (20, 60), {"defaults": True}),
)
IO = ("recv", "recvfrom", "recvmsg", "read", "readv", "send", "sendto", "sendmsg", "write", "writev")
OTHER_CALLS = ("epoll_wait", "epoll_ctl", "accept4", "socket", "connect", "close", "shutdown", "setsockopt", "getsockopt",
               "getsockname", "getpeername", "ioctl", "fcntl", "poll", "getrandom")
ALLOCATIONS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc")


class Profiled(contenders.Sallyport):
    """The daemon under callgrind. Its counts are in self.out once it has been stopped."""

    def command(self, bench):
        self.out = bench.dir / "callgrind.out"
        return ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={self.out}", *super().command(bench)]

    def finish(self):
        self.process.terminate()
        self.process.wait(60)
        return Counts(self.out)


def part_of(binary, source):
    library = re.match(r"lib(\w+?)(_core)?[-.]", Path(binary).name)
    if library:
        return {"event": "libevent", "c": "libc", "ssl": "libssl", "crypto": "libcrypto"}.get(library[1], "other")
    room = re.search(r"/(?:src|include/sallyport)/(\w+)/", source)
    return room[1] if room else "copies" if "string" in source else "other"


class Counts:
    """What callgrind has counted: instructions by part, calls by name (of functions that are told apart)."""

    def __init__(self, path):
        self.instructions, self.calls = collections.Counter(), collections.Counter()
        self.names = {}
        with open(path) as lines:
            self.read(line.rstrip("\n") for line in lines)

    def name(self, kind, text):
        """"(7) name" defines a name, "(7)" stands for it; each kind has numbers of its own."""
        number, _, name = text.partition(" ")
        if name:
            self.names[kind, number] = name
        return self.names.get((kind, number), text)

    def read(self, lines):
        binary = source = function = callee = ""
        is_cost_of_call = False
        for line in lines:
            key, is_pair, value = line.partition("=")
            if is_pair and key in ("ob", "cob"):
                name = self.name("ob", value)
                binary = name if key == "ob" else binary
            elif is_pair and key in ("fl", "fi", "fe", "cfi", "cfl"):
                name = self.name("fl", value)
                source = name if key[0] == "f" else source
            elif is_pair and key == "fn":
                function = self.name("fn", value)
            elif is_pair and key == "cfn":
                callee = self.name("fn", value)
            elif is_pair and key == "calls":
                if function not in ALLOCATIONS:  # some are made of others
                    self.calls[callee] += int(value.split()[0])
                is_cost_of_call = True
            elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
                if not is_cost_of_call:
                    self.instructions[part_of(binary, source)] += int(line.split()[-1])
                is_cost_of_call = False


def count(bench, load, operations, settings):
    with Profiled(bench, **settings) as proxy:
        keys = bench.pki
        done = subprocess.run(
            [str(bench.tools / "sp_load"), *load, "-n", str(operations), "-t", str(LOAD_SECONDS),
             "--connect", f"127.0.0.1:{proxy.port}", "--cert", str(keys / "client-chain.pem"),
             "--key", str(keys / "client.key"), "--ca", str(keys / "root.pem")], capture_output=True, text=True)
        if done.returncode != 0 or '"errors":0' not in done.stdout:
            raise SystemExit(f"sp_load failed: {done.stdout}{done.stderr}")
        return proxy.finish()


def differ(few, many, operations):
    """Of one operation: instructions by part, and calls."""
    per = operations[1] - operations[0]
    return ({part: (many.instructions[part] - few.instructions[part]) / per for part in many.instructions},
            {name: (many.calls[name] - few.calls[name]) / per for name in many.calls})


def table(results):
    """Markdown: a column for each scenario."""
    def row(name, numbers):
        return f"| {name} | " + " | ".join(numbers) + " |"

    parts = sorted({part for instructions, _ in results.values() for part in instructions},
                   key=lambda part: -max(instructions.get(part, 0) for instructions, _ in results.values()))
    yield row("of one operation", results)
    yield "|---|" + "---:|" * len(results)
    yield row("**instructions**", [f"**{sum(i.values()):,.0f}**" for i, _ in results.values()])
    for part in parts:
        numbers = [i.get(part, 0) for i, _ in results.values()]
        if max(numbers) >= 50:
            yield row(part, [f"{number:,.0f}" for number in numbers])
    for name, functions in (("reads and writes", IO), ("other system calls", OTHER_CALLS), ("allocations", ALLOCATIONS)):
        yield row(name, [f"{sum(calls.get(f, 0) for f in functions):,.1f}" for _, calls in results.values()])


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=[name for name, *_ in SCENARIOS], help="this one (may be repeated)")
    parser.add_argument("--build-dir", default=str(machine.ROOT / "build" / "profile"), help="where to build (build/profile)")
    parser.add_argument("--no-build", action="store_true", help="take what is in --build-dir as it is")
    parser.add_argument("--sallyport", type=Path, help="profile this binary instead of the one that is built")
    return parser.parse_args()


def build(folder):
    """The release with the places of its code, and the tools."""
    for command in (["cmake", "--preset", "release", "-B", str(folder), "-DSP_BENCH=ON", "-DCMAKE_C_FLAGS=-g"],
                    ["cmake", "--build", str(folder), "--target", "sallyport", "sp_load", "sp_bench_backend"]):
        if subprocess.run(command, cwd=machine.ROOT, stdout=sys.stderr).returncode != 0:
            raise SystemExit("the build failed")


def main():
    args = options()
    contenders.STARTING_SECONDS = STARTING_SECONDS
    folder = Path(args.build_dir).resolve()
    if not args.no_build:
        build(folder)
    results = {}
    with tempfile.TemporaryDirectory(prefix="sallyport-profile-") as work:
        proxy_cpu, load_cpu = machine.choose_cpus(None, None)
        bench = Bench(dir=Path(work), pki=Path(work) / "pki", tools=folder / "tests" / "bench",
                      sallyport=args.sallyport or folder / "src" / "cli" / "sallyport", proxy_cpu=proxy_cpu, load_cpu=load_cpu)
        pki.make_all(bench.pki)
        backend = start_backend(bench)
        try:
            for name, load, operations, settings in SCENARIOS:
                if not args.only or name in args.only:
                    few, many = (count(bench, load, n, settings) for n in operations)
                    results[name] = differ(few, many, operations)
        finally:
            backend.stdin.close()
            backend.wait()
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
