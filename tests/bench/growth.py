#!/usr/bin/env python3
"""How what sallyport costs grows with what there is: connections, callers, rules, revoked certificates, header bytes, endpoints,
workers. A table for each, with the reason why it is so, and all curves as one SVG.

The daemons of all points of a curve run at the same time and are loaded in turns, a slice each, so that what disturbs the machine
disturbs all alike. CPU is that of all the daemon's threads, by its own accounting, on a CPU of its own; memory is what is the
process's own, for what it shares with its neighbours depends on how many there are. A point that cannot be measured is named with
what hinders it.
"""
import argparse
import contextlib
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import contenders
import growth_page
import machine
import measuring
import pki
import rig as rigs
from rig import Load
from tools import Failed

MIB = 1 << 20
TRIES = 3
KEEPALIVE, HANDSHAKE = ("keepalive", "-c", "32"), ("handshake", "-c", "8")
NEW_CLIENTS = (*HANDSHAKE, "--clients", "4000")  # each comes back when 3,999 others have been: nobody recognises it
PER_ADDRESS = 20_000
HELD_SECONDS = 600


def shaped(edit):
    """A sallyport whose configuration is what `edit` makes of the benchmark's."""
    class Shaped(contenders.Sallyport):
        def configure(self, bench, log, defaults):
            text = super().configure(bench, log, defaults)
            limits = "limits: {connections: 200000, handshakes_per_address: 200000}"
            return edit(re.sub(r"limits: \{[^}]*\}", limits, text))

    return Shaped


def own_bytes(proxy):
    """Memory that is no file's."""
    text = Path(f"/proc/{proxy.process.pid}/smaps_rollup").read_text()
    return int(re.search(r"(?m)^Anonymous: +(\d+) kB", text)[1]) * 1024


def started(proxy):
    """What the start cost, threads that have ended included: seconds of CPU, MiB."""
    rigs.settle(proxy)
    return {"start, CPU s": proxy.whole_cpu_ns() / 1e9, "memory, MiB": own_bytes(proxy) / MIB}


# ---- the points: each starts a daemon that runs until `stack` is left, and gives it with what is known of it ----

def connections(rig, stack, count):
    proxy = stack.enter_context(shaped(str)(rig))
    with Load(rig, proxy.port, ("keepalive", "-c", "8"), 0.2) as warm:
        warm.line()
        warm.measure()
    rigs.settle(proxy)
    before = own_bytes(proxy)
    held = stack.enter_context(Load(rig, proxy.port, ("idle", "-c", count, "--per-address", PER_ADDRESS,
                                                      "--hold-seconds", HELD_SECONDS), HELD_SECONDS))
    there = int(held.line().split()[1])
    if there < count:
        raise Failed(f"only {there:,} could be opened")
    rigs.settle(proxy)
    return proxy, {"KiB a connection": (own_bytes(proxy) - before) / 1024 / there}


def callers(rig, stack, count):
    many = "".join(f'  c{n}: [{{uri: "spiffe://corp.example/ns/n{n % 100}/sa/s{n}"}}]\n' for n in range(count))
    names = ", ".join(f"c{n}" for n in range(count))

    def edit(text):
        text = re.sub(r"(?m)^callers: .*$", lambda _: "callers:\n  anyone: [{any: authenticated}]\n" + many, text)
        return text.replace("rules: [", f"rules: [{{name: many, from: [{names}], host: many.example, upstream: app}}, ", 1)

    proxy = stack.enter_context(shaped(edit)(rig))
    return proxy, started(proxy)


def rules(rig, stack, count):
    many = "".join(f'{{name: r{n}, from: [anyone], host: h{n % 100}.example, path: "/v1/n{n}/**", upstream: app}}, '
                   for n in range(count))
    proxy = stack.enter_context(shaped(lambda text: text.replace("rules: [", f"rules: [{many}", 1))(rig))
    return proxy, started(proxy)


def crl_entries(rig, stack, count):
    crls = rig.pki / "crls.pem"
    if count != pki.CRL_ENTRIES:
        crls = rig.pki / f"{count}.pem"
        pki.large_crls(rig.pki, count)
        (rig.pki / "large-1.pem").rename(crls)
    proxy = stack.enter_context(shaped(str)(rig, crls=crls))
    return proxy, started(proxy)


def header_bytes(rig, stack, count):
    return stack.enter_context(shaped(str)(rig)), {}


def backends(rig, stack, *counts):
    """The ports of as many processes as there are counts, of so many backends each."""
    ports = []
    for count in counts:
        process = stack.enter_context(subprocess.Popen(
            [*rigs.before_others(rig.load_cpu, True), str(rig.tools / "sp_bench_backend"), "0", str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        ports += [int(process.stdout.readline().split()[1]) for _ in range(count)]
    return ports


def to_endpoints(rig, stack, ports):
    many = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    proxy = stack.enter_context(shaped(lambda text: re.sub(r"endpoints: \[[^]]*\]", f"endpoints: [{many}]", text))(rig))
    return proxy, started(proxy)


def endpoints(rig, stack, count):
    return to_endpoints(rig, stack, backends(rig, stack, count))


def processes(rig, stack, count):
    return to_endpoints(rig, stack, backends(rig, stack, *[1] * count))


def workers(rig, stack, count):
    proxy = stack.enter_context(shaped(lambda text: text.replace("workers: 1", f"workers: {count}", 1))(rig))
    return proxy, started(proxy)


# ---- the curves ----

def gets(_count):
    return {"GET, µs": KEEPALIVE}


def gets_and_clients(_count):
    return {"GET, µs": KEEPALIVE, "handshake, µs": HANDSHAKE}


def all_clients(_count):
    return {"handshake, µs": HANDSHAKE, "of a new client, µs": NEW_CLIENTS}


def long_gets(count):
    return {"GET, µs": (*KEEPALIVE, "--head-bytes", count)}


@dataclasses.dataclass(frozen=True)
class Curve:
    """`start`: a point's daemon. `loads`: {column: mode and options of sp_load} of a point. `quick`: the points of --quick. `why`
    the curve is as it is."""
    name: str
    start: object
    loads: object
    points: tuple
    quick: tuple
    why: str


CURVES = (
    Curve("connections held", connections, gets, (100, 1000, 10_000, 50_000), (100, 1000),
          "Flat. An idle connection is memory of its own and one entry in the kernel's epoll set, which names only those on "
          "which something has happened. A deadline that is put off is only noted, and nothing moves in the heap of timers "
          "(`src/io/timer.c`); those of certificates stand in a wheel that looks at what is due alone. Only a change of "
          "configuration, trust or revocation, and the end, walk over all of them."),
    Curve("callers", callers, gets_and_clients, (10, 1000, 10_000, 100_000), (10, 10_000),
          "A request and a handshake are flat: which callers a client is, is looked up once a connection in one hash table, "
          "by what the certificate has (`src/policy/callers/caller_index.c`). Start and memory are linear in the file, "
          "which is parsed, checked and kept."),
    Curve("rules", rules, gets_and_clients, (10, 100, 1000, 10_000), (10, 1000),
          "A request is logarithmic at most: rules are found by host (a hash table) and by path (a tree of segments), and "
          "only those that are found are judged (`src/policy/rules/rule_index.c`). A handshake has a linear part of a few "
          "ns a rule, for it notes once which rules can concern this client; here every rule can. Start and memory are "
          "linear in the file."),
    Curve("CRL entries", crl_entries, all_clients, (pki.CRL_ENTRIES, 10_000, 100_000, 1_000_000), (pki.CRL_ENTRIES, 100_000),
          "A handshake is flat to within what can be seen: a client that is recognised is not looked up at all (a changed "
          "list makes everybody new), and of a new one serials are searched in sorted arrays, from a guess, under a "
          "microsecond among a million (`src/pki/crl/serials.c`). Start and memory are linear: each entry is read once, "
          "sorted, and kept in 25 bytes."),
    Curve("header bytes", header_bytes, long_gets, (200, 1000, 4000, 12_000), (200, 4000),
          "Linear, as it must be: every byte is decrypted, looked at, copied once into the head for the backend, and sent. "
          "What a request costs without any is most of it up to a few KiB."),
    Curve("endpoints", endpoints, gets, (1, 10, 100, 1000), (1, 100),
          "Nearly flat: round robin takes the next place of a table, and each endpoint's idle connections hang on it. The "
          "same instructions are executed and the same system calls made for one and for a hundred. What is left at a "
          "thousand is memory that is in no cache, ours and the kernel's, for each connection to a backend is used less "
          "often."),
    Curve("backend processes", processes, gets, (1, 10, 100), (1, 10),
          "The same, but each endpoint a process of its own, all on one CPU. The growth is the kernel's: a process that "
          "sleeps is woken within the `send` of whoever has something for it, and with one backend under load that is "
          "hardly ever needed; with many, at nearly every request, and the load comes in smaller portions besides. "
          "sallyport itself executes the same instructions and makes the same system calls."),
    Curve("workers", workers, gets, (1, 2), (1, 2),
          "Flat: workers share nothing that a request writes to. On one CPU, as here, two of them only take turns."),
)


# ---- measuring ----

@dataclasses.dataclass
class Point:
    at: int
    proxy: object
    figures: dict                                    # {column: [values]}
    loads: dict = dataclasses.field(default_factory=dict)


def start_points(rig, stack, curve, points):
    """(those that could be started, [what could not and why])."""
    running, missing = [], []
    for count in points:
        try:
            proxy, known = curve.start(rig, stack, count)
        except Failed as failed:
            missing.append({"at": count, "why": str(failed)})
            continue
        running.append(Point(count, proxy, {column: [figure] for column, figure in known.items()}))
    return running, missing


def slice_of(rig, point, column, args):
    """µs of CPU an operation, and what others took meanwhile."""
    result = measuring.quietest_slice(rig, point.proxy, point.loads[column], args.tries)
    if result["errors"]:
        raise Failed(f"{result['errors']} errors of {column} at {point.at:,}")
    return result["cpu_seconds"] * 1e6 / result["operations"], result["others"]


def measure(rig, curve, points, args):
    """One curve as it stands in the JSON."""
    others = []
    with contextlib.ExitStack() as stack:
        running, missing = start_points(rig, stack, curve, points)
        for point in running:
            for column, load in curve.loads(point.at).items():
                point.loads[column] = stack.enter_context(Load(rig, point.proxy.port, load, args.seconds))
                point.loads[column].line()     # "ready"
                point.loads[column].measure()  # warm
                point.figures[column] = []
        for _ in range(args.rounds):
            for point in running:
                for column in point.loads:
                    spent, share = slice_of(rig, point, column, args)
                    point.figures[column].append(spent)
                    others.append(share)
    return {"name": curve.name, "why": curve.why, "others": others, "missing": missing,
            "points": [{"at": point.at, "figures": point.figures} for point in running]}


def possible(curve, points):
    """(the points that descriptors allow, [what they do not allow and why]): in place of these, as many as there can be."""
    if curve.start is not connections:
        return points, []
    room = rigs.client_room() - 100  # who measures comes in, too
    missing = [{"at": point, "why": rigs.why_no_more()} for point in points if point > room]
    return sorted({min(point, room // 100 * 100) for point in points}), missing


# ---- the whole ----

def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rigs.options(parser)
    parser.add_argument("--only", action="append", choices=[curve.name for curve in CURVES])
    parser.add_argument("--report", metavar="FILE", help="bring this page's part, and growth.svg beside it, up to date")
    parser.add_argument("--svg", metavar="FILE", help="draw the curves there")
    parser.add_argument("--seconds", type=float, help="of each slice (0.6; quick: 0.3)")
    parser.add_argument("--rounds", type=int, help="slices of each load at each point (9; quick: 2)")
    args = parser.parse_args()
    if args.report and args.only:
        parser.error("a page takes all curves")
    args.seconds = args.seconds or (0.3 if args.quick else 0.6)
    args.rounds = args.rounds or (2 if args.quick else 9)
    args.tries = 1 if args.quick else TRIES
    return args


def main():
    args, curves, failed = options(), [], False
    with rigs.rig(args) as rig:
        for curve in CURVES:
            if args.only and curve.name not in args.only:
                continue
            points, missing = possible(curve, curve.quick if args.quick else curve.points)
            try:
                made = measure(rig, curve, points, args)
            except Failed as failure:
                print(f"{curve.name}: {failure}", file=sys.stderr)
                failed = True
                continue
            made["missing"] += missing
            print(growth_page.block(made), end="\n\n", flush=True)
            curves.append(made)
        done = {"kind": "growth", "machine": machine.describe(), "versions": {"sallyport": contenders.Sallyport.version(rig)},
                "options": {"rounds": args.rounds, "seconds": args.seconds, "quick": args.quick}, "curves": curves}
    if args.json:
        Path(args.json).write_text(json.dumps(done, indent=1) + "\n")
    if args.svg:
        Path(args.svg).write_text(growth_page.draw(done))
    if args.report and not failed:
        growth_page.update(Path(args.report), done)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
