#!/usr/bin/env python3
"""Measures what those who are in feel of those who misbehave, and the other way round.

16 connections ask 500 times a second; their latency, from when each request should have been sent, is taken while nothing
else goes on and then while others do their worst, for each proxy in turn (A B C A B C ...), all of it on one CPU. Then the
other way round: a closed loop of requests takes all the CPU there is, and new clients want in. README.md beside this file
says how to read what it prints.
"""
import argparse
import contextlib
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import contenders
import pki
import rig as rigs
from rig import Load
from tools import Failed, busy_seconds

RATE = ("rate", "-c", "16", "--rate", "500")
STORM = ("handshake", "-c", "16")
LIMIT = 200_000
HELD_AT_MOST = 100_000
MEDIAN_BAR, P99_BAR, SHARE_BAR = 1.5, 2.0, 0.20
LISTS = {"sallyport": 16_384, "nginx": 102_400, "haproxy": 102_400}  # bytes: what each allows


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
            return text + (f"handshake_share: {share}\n" if share and self.name == "sallyport" else "")

    return Roomy


# ---- what others do meanwhile: each begins when it is entered, and yields something to say of it at the end ----

@contextlib.contextmanager
def load(rig, proxy, seconds, args, cert=None):
    """sp_load, behind all others of its CPU, for longer than is measured."""
    with Load(rig, proxy.port, args, seconds + 2, measures=False, cert=cert) as running:
        running.line()
        running.begin()
        time.sleep(0.3)
        yield lambda: running.result()


@contextlib.contextmanager
def storm(rig, proxy, seconds):
    with load(rig, proxy, seconds, STORM) as result:
        yield lambda: (lambda r: f"{r['operations'] / r['seconds']:.0f} handshakes/s" + told_errors(r))(result())


@contextlib.contextmanager
def long_lists(rig, proxy, seconds):
    with load(rig, proxy, seconds, STORM, rig.pki / f"list-{proxy.name}.pem") as result:
        yield lambda: (lambda r: f"{r['operations'] / r['seconds']:.0f} lists/s" + told_errors(r))(result())


@contextlib.contextmanager
def download(rig, proxy, seconds):
    with load(rig, proxy, seconds, ("download", "-c", "4", "--mb", "8")) as result:
        yield lambda: (lambda r: f"{r['mb'] / r['seconds']:.0f} MB/s" + told_errors(r))(result())


@contextlib.contextmanager
def idle(rig, proxy, seconds):
    """As many as descriptors allow: sallyport keeps a quarter for backends, and all are to hold the same."""
    before = rigs.descriptors(proxy)
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(HELD_AT_MOST, room * 7 // 10)
    holder = subprocess.Popen([*rigs.before_others(rig.load_cpu, False), sys.executable, str(rigs.HERE / "hold.py"),
                               str(proxy.port), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        rigs.settle(proxy)
        held = rigs.descriptors(proxy) - before
        yield lambda: f"{held} held"
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


@contextlib.contextmanager
def reloading(rig, proxy, seconds):
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

def one(rig, contender, disturbance, seconds):
    with contender(rig, reloads=disturbance.begin is reloading) as proxy, \
            Load(rig, proxy.port, RATE, seconds) as asking:
        asking.line()
        asking.measure()  # warm
        quiet = asking.measure()
        rigs.settle(proxy)
        with disturbance.begin(rig, proxy, seconds) as told:
            before, began, threads = busy_seconds(rig.proxy_cpu), time.monotonic(), rigs.threads_ns(proxy)
            under = asking.measure()
            busy = (busy_seconds(rig.proxy_cpu) - before) / (time.monotonic() - began)
            spent = {name: ns - threads.get(name, 0) for name, ns in rigs.threads_ns(proxy).items()}
            what = told()
    return {"quiet": quiet["latency_us"], "under": under["latency_us"], "told": what, "busy": busy,
            "errors": quiet["errors"] + under["errors"], "threads_ns": spent}


def the_other_way_round(rig, contender, seconds):
    """Requests without end on 64 connections, and 16 clients at a time that want in."""
    with contender(rig) as proxy, Load(rig, proxy.port, ("keepalive", "-c", "64"), seconds + 1, measures=False) as asking, \
            Load(rig, proxy.port, STORM, seconds, measures=False) as coming:
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


# ---- the tables ----

def middle(results, *keys):
    def dig(result):
        for key in keys:
            result = result[key]
        return result
    return statistics.median(map(dig, results))


def row(disturbance, name, results):
    quiet50, quiet99 = middle(results, "quiet", "p50"), middle(results, "quiet", "p99")
    under50, under99 = middle(results, "under", "p50"), middle(results, "under", "p99")
    grown50 = statistics.median(r["under"]["p50"] / r["quiet"]["p50"] for r in results)
    grown99 = statistics.median(r["under"]["p99"] / r["quiet"]["p99"] for r in results)
    met = grown50 <= MEDIAN_BAR and grown99 <= P99_BAR
    return (f"| {disturbance.what} | {name} | {quiet50:.0f} / {quiet99:.0f} | {under50:.0f} / {under99:.0f} "
            f"| {grown50:.2f} / {grown99:.2f} | {'yes' if met else 'no'} | {middle(results, 'busy'):.0%} "
            f"| {results[-1]['told']} | {sum(r['errors'] for r in results)} |"), met


def print_ways(rig, names, args, kept):
    print("| meanwhile | proxy | quiet p50 / p99, µs | under it, µs | grown p50 / p99 | within 1.5 / 2 | CPU busy "
          "| how much of it | errors |\n|---|---|---|---|---|---|---|---|---|", flush=True)
    missed = []
    for disturbance in args.chosen:
        results = {contender.name: [] for contender in names}
        for _ in range(args.rounds):
            for contender in names:
                try:
                    results[contender.name].append(one(rig, contender, disturbance, args.seconds))
                except Failed as failed:
                    print(f"{contender.name}, {disturbance.name}: {failed}", file=sys.stderr)
        for name, measured in results.items():
            if measured:
                line, met = row(disturbance, name, measured)
                print(line, flush=True)
                if name == "sallyport" and not met:
                    missed.append(disturbance.name)
        kept[disturbance.name] = results
    return missed


def print_round(rig, names, args, kept):
    print("\n| new clients while requests take all the CPU | handshakes/s alone | meanwhile | requests/s beside them "
          "| p50 / p99 of getting in, ms | the gates' share of the proxy's CPU | CPU busy | errors |\n"
          "|---|---|---|---|---|---|---|---|", flush=True)
    missed = []
    for contender in names:
        results = [the_other_way_round(rig, contender, args.seconds) for _ in range(args.rounds)]
        share = middle(results, "gates")
        print(f"| {contender.name} | {middle(results, 'alone'):.0f} | {middle(results, 'came'):.0f} "
              f"| {middle(results, 'asked'):.0f} "
              f"| {middle(results, 'latency_us', 'p50') / 1000:.1f} / {middle(results, 'latency_us', 'p99') / 1000:.1f} "
              f"| {f'{share:.0%}' if contender.name == 'sallyport' else ''} | {middle(results, 'busy'):.0%} "
              f"| {sum(r['errors'] for r in results)} |", flush=True)
        if contender.name == "sallyport" and share < SHARE_BAR:
            missed.append("share")
        kept[f"round-{contender.name}"] = results
    return missed


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
    parser.add_argument("--rounds", type=int, help="of each (5; quick: 1)")
    parser.add_argument("--seconds", type=float, help="of each measurement (4; quick: 1.5)")
    parser.add_argument("--share", type=int, help="sallyport's handshake_share (its default)")
    parser.add_argument("--check", action="store_true", help="exit 1 when sallyport misses a bar")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.seconds = args.seconds or (1.5 if args.quick else 4.0)
    args.chosen = [d for d in DISTURBANCES if not args.only or d.name in args.only]
    return args


def main():
    args, kept = options(), {}
    with rigs.rig(args) as rig:
        names = [roomy(c, args.share) for c in contenders.ALL if c.available(rig)
                 and (not args.proxies or c.name in args.proxies.split(","))]
        print("; ".join(f"{c.name} {c.version(rig)}" for c in names)
              + f"; {args.rounds} rounds of {args.seconds:g} s\n", flush=True)
        make_material(rig, args.chosen)
        missed = print_ways(rig, names, args, kept) if args.chosen else []
        if not args.only or "round" in args.only:
            missed += print_round(rig, names, args, kept)
    if args.json:
        Path(args.json).write_text(json.dumps(kept, indent=1) + "\n")
    if missed:
        print(f"\nsallyport misses its bar: {', '.join(missed)}")
    return 1 if missed and args.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
