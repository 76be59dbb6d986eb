#!/usr/bin/env python3
"""Measures what those who are in feel of those who misbehave, and the other way round.

16 connections ask 500 times a second; their latency, from when each request should have been sent, is taken in slices of a second
while nothing else goes on and then while others do their worst, for each proxy in turn (A B C A B C ...), all of it on one CPU; the
median of the slices counts. A reload is short, and a median of slices would not show it: there a slice is the whole of it. Then the
other way round: a closed loop of requests takes all the CPU there is, and new clients want in. README.md beside this file
says how to read what it prints.
"""
import argparse
import contextlib
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import contenders
import isolation_page
import machine
import page as pages
import pki
import rig as rigs
from rig import Load
from tools import Failed, busy_seconds

RATE = ("rate", "-c", "16", "--rate", "500")
STORM, CROWD = ("handshake", "-c", "16"), ("handshake", "-c", "48")
LIMIT = 200_000
HELD_AT_MOST = 100_000
RELOAD_SECONDS = 2.5   # at least: the peers' takes two
LONGEST_SECONDS = 300  # what disturbs is ended before
APART = {  # how /big goes to a backend of its own: what is replaced, and by what
    "nginx": ("location / {", "location /big {{ proxy_pass http://127.0.0.1:{bulk}; proxy_http_version 1.1; "
                              "proxy_max_temp_file_size 0; }}\n        location / {{"),
    "haproxy": ("default_backend app\n", "use_backend bulk if {{ path_beg /big }}\n    default_backend app\n"
                                         "backend bulk\n    server one 127.0.0.1:{bulk}\n"),
    "sallyport": ("rules: [", 'rules: [{{name: big, from: [anyone], path: "/big", upstream: bulk}}, '),
}
LISTS = {"sallyport": 16_384, "nginx": 102_400, "haproxy": 102_400}  # bytes: what each allows


def apart(name, text, bulk):
    before, after = APART[name]
    assert before in text
    text = text.replace(before, after.format(bulk=bulk), 1)
    return text.replace("upstreams: {", f'upstreams: {{bulk: {{endpoints: ["127.0.0.1:{bulk}"]}}, ', 1)


def roomy(contender, share=None):
    """The contender with limits that nobody reaches, and, if it has to be reloaded, in the form that can be."""
    class Roomy(contender):
        def configure(self, bench, log, defaults):
            text = super().configure(bench, log, defaults)
            text = re.sub(r"(worker_connections|maxconn) \d+", rf"\1 {LIMIT}", text)
            text = text.replace("listen 127", "client_header_timeout 1h; listen 127", 1)
            text = re.sub(r"limits: \{[^}]*\}", f"limits: {{connections: {LIMIT}, handshakes: {LIMIT}, "
                                                f"handshakes_per_address: {LIMIT}}}", text)
            text = text.replace("timeouts: {", "timeouts: {handshake: 1h, ")
            text = apart(self.name, text, bench.bulk_port)
            return text + (f"handshake_share: {share}\n" if share and self.name == "sallyport" else "")

    return Roomy


# ---- what others do meanwhile: each begins when it is entered, and yields something to say of it at the end ----

@contextlib.contextmanager
def load(rig, proxy, args, cert=None):
    """sp_load, behind all others of its CPU, until its result is asked for."""
    with Load(rig, proxy.port, args, LONGEST_SECONDS, measures=False, cert=cert) as running:
        running.line()
        running.begin()
        time.sleep(0.3)
        yield running.cut_short


@contextlib.contextmanager
def storm(rig, proxy):
    with load(rig, proxy, STORM) as result:
        yield lambda: (lambda r: f"{r['operations'] / r['seconds']:.0f} handshakes/s" + told_errors(r))(result())


@contextlib.contextmanager
def long_lists(rig, proxy):
    with load(rig, proxy, STORM, rig.pki / f"list-{proxy.name}.pem") as result:
        yield lambda: (lambda r: f"{r['operations'] / r['seconds']:.0f} lists/s" + told_errors(r))(result())


@contextlib.contextmanager
def download(rig, proxy):
    with load(rig, proxy, ("download", "-c", "4", "--mb", "8")) as result:
        yield lambda: (lambda r: f"{r['mb'] / r['seconds']:.0f} MB/s" + told_errors(r))(result())


def held_at_most():
    """The same for all."""
    return min(HELD_AT_MOST, rigs.client_room() // 1000 * 1000)


@contextlib.contextmanager
def idle(rig, proxy):
    before = rigs.descriptors(proxy)
    holder = subprocess.Popen([*rigs.before_others(rig.load_cpu, True), sys.executable, str(rigs.HERE / "hold.py"),
                               str(proxy.port), str(held_at_most())], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        rigs.settle_descriptors(proxy)
        yield lambda: f"{rigs.descriptors(proxy) - before:,} held"
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


@contextlib.contextmanager
def reloading(rig, proxy):
    """From the signal on, with a list of a million that was not there before."""
    before = proxy.whole_cpu_ns()
    proxy.crls, proxy.generation = rig.pki / "large-1.pem", proxy.generation + 1
    proxy.write_config()
    proxy.process.send_signal(proxy.reload_signal)
    yield lambda: f"{(proxy.whole_cpu_ns() - before) / 1e9:.2f} s CPU"


def told_errors(result):
    return f", {result['errors']} errors" if result["errors"] else ""


@dataclass(frozen=True)
class Disturbance:
    name: str
    what: str
    begin: object


DISTURBANCES = (
    Disturbance("storm", "a storm of full handshakes", storm),
    Disturbance("idle", "idle and one-byte connections", idle),
    Disturbance("download", "a bulk download on 4 connections", download),
    Disturbance("reload", "a reload with a CRL of a million", reloading),
    Disturbance("lists", "the longest certificate lists allowed", long_lists),
)


# ---- measuring ----

def one(rig, contender, disturbance, args):
    """A round: slices of quiet, and slices under it."""
    slices, seconds = args.slices, args.seconds
    if disturbance.begin is reloading:
        slices, seconds = 1, max(RELOAD_SECONDS, seconds * slices)
    with contender(rig, reloads=disturbance.begin is reloading) as proxy, \
            Load(rig, proxy.port, RATE, seconds) as asking:
        asking.line()
        asking.measure()  # warm
        quiet = [asking.measure() for _ in range(slices)]
        rigs.settle(proxy)
        with disturbance.begin(rig, proxy) as told:
            before, began, threads = busy_seconds(rig.proxy_cpu), time.monotonic(), rigs.threads_ns(proxy)
            under = [asking.measure() for _ in range(slices)]
            busy = (busy_seconds(rig.proxy_cpu) - before) / (time.monotonic() - began)
            spent = {name: ns - threads.get(name, 0) for name, ns in rigs.threads_ns(proxy).items()}
            what = told()
    return {"quiet": [result["latency_us"] for result in quiet], "under": [result["latency_us"] for result in under],
            "told": what, "busy": busy, "errors": sum(result["errors"] for result in quiet + under), "threads_ns": spent}


def the_other_way_round(rig, contender, seconds):
    """Requests without end on 64 connections, and 48 clients at a time that want in. Neither goes before the other, or it would be
    the load that shares the CPU out."""
    with contender(rig) as proxy, Load(rig, proxy.port, ("keepalive", "-c", "64"), seconds + 1, measures=False) as asking, \
            Load(rig, proxy.port, CROWD, seconds, measures=False) as coming:
        asking.line()
        coming.line()
        coming.begin()
        alone = coming.result()
        asking.begin()
        time.sleep(0.5)
        before, busy, began = rigs.threads_ns(proxy), busy_seconds(rig.proxy_cpu), time.monotonic()
        came = coming.measure()
        took = time.monotonic() - began
        spent = {name: ns - before.get(name, 0) for name, ns in rigs.threads_ns(proxy).items()}
        busy = (busy_seconds(rig.proxy_cpu) - busy) / took
        asked = asking.result()
    gates = sum(ns for name, ns in spent.items() if name.startswith("gate-"))
    return {"alone": alone["operations"] / alone["seconds"], "came": came["operations"] / came["seconds"], "busy": busy,
            "gates": gates / max(1, sum(spent.values())), "latency_us": came["latency_us"],
            "asked": asked["operations"] / asked["seconds"], "errors": alone["errors"] + came["errors"] + asked["errors"]}


# ---- one after the other ----

def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def measure_way(rig, names, disturbance, args):
    """As it stands in the JSON."""
    results = {contender.name: [] for contender in names}
    for _ in range(args.rounds):
        for contender in names:
            try:
                results[contender.name].append(one(rig, contender, disturbance, args))
            except Failed as failed:
                print(f"{contender.name}, {disturbance.name}: {failed}", file=sys.stderr)
    return {"name": disturbance.name, "what": disturbance.what, "results": results}


def measure_ways(rig, names, args):
    """(the ways as they stand in the JSON, those whose bar sallyport misses)."""
    ways, missed = [], []
    if args.chosen:
        print(pages.markdown(isolation_page.WAYS_HEAD, []), flush=True)
    for disturbance in args.chosen:
        way = measure_way(rig, names, disturbance, args)
        for name, rounds in way["results"].items():
            if rounds:
                print_row(isolation_page.way_row(way, name))
            if name == "sallyport" and not (rounds and isolation_page.is_met(rounds)):
                missed.append(disturbance.name)
        ways.append(way)
    return ways, missed


def measure_round(rig, names, args):
    """({proxy: [result]}, what sallyport misses)."""
    print("\n" + pages.markdown(isolation_page.ROUND_HEAD, []), flush=True)
    results = {contender.name: [] for contender in names}
    for _ in range(args.rounds):
        for contender in names:
            results[contender.name].append(the_other_way_round(rig, contender, 2 * args.seconds))
    for name, rounds in results.items():
        print_row(isolation_page.round_row(name, rounds))
    ours = results.get("sallyport")
    return results, ["share"] if ours and isolation_page.middle(ours, "gates") < isolation_page.SHARE_BAR else []


def notes(args):
    """What could not be done as it was meant."""
    if held_at_most() == HELD_AT_MOST or "idle" not in [disturbance.name for disturbance in args.chosen]:
        return []
    return [f"{HELD_AT_MOST:,} idle connections are meant; {held_at_most():,} there are: {rigs.why_no_more()}."]


def make_material(rig, chosen):
    wanted = {disturbance.name for disturbance in chosen}
    if "reload" in wanted:
        pki.large_crls(rig.pki, 1_000_000)
    if "lists" in wanted:
        for name, size in LISTS.items():
            rigs.make_certificate_list(rig.pki, f"list-{name}", size)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rigs.options(parser)
    parser.add_argument("--only", action="append", choices=[d.name for d in DISTURBANCES] + ["round"])
    parser.add_argument("--proxies", help="of " + ", ".join(c.name for c in contenders.ALL))
    parser.add_argument("--rounds", type=int, help="of each (3; quick: 1)")
    parser.add_argument("--slices", type=int, help="of a round, quiet, and as many under it (4; quick: 1)")
    parser.add_argument("--seconds", type=float, help="of a slice (1; quick: 0.8)")
    parser.add_argument("--report", metavar="FILE", help="bring this page's part up to date")
    parser.add_argument("--share", type=int, help="sallyport's handshake_share (its default)")
    parser.add_argument("--check", action="store_true", help="exit 1 when sallyport misses a bar")
    args = parser.parse_args()
    if args.report and (args.only or args.proxies):
        parser.error("a page takes all rows")
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.slices = args.slices or (1 if args.quick else 4)
    args.seconds = args.seconds or (0.8 if args.quick else 1.0)
    args.chosen = [d for d in DISTURBANCES if not args.only or d.name in args.only]
    return args


def main():
    args, around, missed_round = options(), {}, []
    with rigs.rig(args) as rig, rigs.backend(rig, False) as rig.bulk_port:
        names = [roomy(c, args.share) for c in contenders.ALL if c.available(rig)
                 and (not args.proxies or c.name in args.proxies.split(","))]
        versions = {c.name: c.version(rig) for c in names}
        print("; ".join(f"{name} {version}" for name, version in versions.items())
              + f"; {args.rounds} rounds of {args.slices} slices of {args.seconds:g} s\n", flush=True)
        make_material(rig, args.chosen)
        ways, missed = measure_ways(rig, names, args)
        if not args.only or "round" in args.only:
            around, missed_round = measure_round(rig, names, args)
        done = {"kind": "isolation", "machine": machine.describe(), "versions": versions, "ways": ways, "round": around,
                "notes": notes(args),
                "options": {"rounds": args.rounds, "slices": args.slices, "seconds": args.seconds, "quick": args.quick}}
    print("".join(f"\n{note}\n" for note in done["notes"]), end="")
    if args.json:
        Path(args.json).write_text(json.dumps(done, indent=1) + "\n")
    if args.report:
        isolation_page.update(Path(args.report), done)
    missed += missed_round
    if missed:
        print(f"\nsallyport misses its bar: {', '.join(missed)}")
    return 1 if missed and args.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
