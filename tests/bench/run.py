#!/usr/bin/env python3
"""Measures what an operation costs each proxy in CPU time, and an idle connection in memory, beside nginx, HAProxy and hitch.

Installs the peers from the distribution, builds the release and the tools, makes a PKI, and loads the proxies interleaved
(A B C A B C ...), each with one worker on one CPU, load and backend on another. README.md beside this file says how to
read what it prints. Here are the options and the order of things; scenarios.py says what is measured, measuring.py and
reloading.py how, contenders.py on whom.
"""
import argparse
import dataclasses
import json
import signal
import sys
import tempfile
from pathlib import Path

import contenders
import figures
import machine
import measuring
import pki
import reloading
import report
import scenarios
import table
from tools import Bench, Failed, start_backend

TRIES = 3
KINDS = {
    "cpu": measuring.measure_cpu,
    "memory": measuring.measure_memory,
    "crl": reloading.measure_crl,
    "reloads": reloading.measure_reloads,
}
ROUNDS_AT_MOST = {"memory": 2, "crl": 3, "reloads": 1}  # those hardly vary, or are long in themselves
PROXIES = {contender.name: contender for contender in (*contenders.ALL, contenders.Hitch)}


def options():
    names = [scenario.name for scenario in scenarios.ALL]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes: one short round, fewer scenarios")
    parser.add_argument("--only", action="append", metavar="SCENARIO", choices=names,
                        help="this scenario alone (may be repeated): " + ", ".join(names))
    parser.add_argument("--log", choices=("off", "on", "both"), help="the access log (both; quick: off, but for keepalive)")
    parser.add_argument("--proxies", metavar="A,B", help="of " + ", ".join(PROXIES) + " (all that are installed)")
    parser.add_argument("--without-sallyport", action="store_true", help="measure the others alone")
    parser.add_argument("--rounds", type=int, help="of each proxy in each scenario (5; quick: 1)")
    parser.add_argument("--seconds", type=float, help="of load in a round (3; quick: 0.6), in slices of 0.3")
    parser.add_argument("--proxy-cpu", type=int, help="the CPU that the proxies run on (the first allowed)")
    parser.add_argument("--load-cpu", type=int, help="the CPU of load and backend (the second allowed)")
    parser.add_argument("--build-dir", default=str(machine.ROOT / "build" / "bench"), help="where to build (build/bench)")
    parser.add_argument("--no-build", action="store_true", help="take what is in --build-dir as it is")
    parser.add_argument("--no-apt", action="store_true", help="install nothing (as SP_NO_APT=1 in the environment)")
    parser.add_argument("--json", metavar="FILE", help="write every single result there")
    parser.add_argument("--report", metavar="FILE", help="bring the tables of this page, and the plot beside it, up to date")
    parser.add_argument("--check", action="store_true", help="exit 1 also when a target is missed")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.seconds = args.seconds or (0.6 if args.quick else 3.0)
    args.tries = 1 if args.quick else TRIES
    return args


# ---- what is chosen ----

def choose_proxies(bench, args):
    """The names of those that are to be measured, and their versions."""
    wanted = args.proxies.split(",") if args.proxies else list(PROXIES)
    for name in wanted:
        if name not in PROXIES:
            raise SystemExit(f"no such proxy: {name}; there are {', '.join(PROXIES)}")
        if args.proxies and not PROXIES[name].available(bench):
            raise SystemExit(f"{name} is not there to be measured")
    return {name: PROXIES[name].version(bench) for name in wanted if PROXIES[name].available(bench)}


def choose_scenarios(args):
    """(scenario, with an access log) of each part of the run."""
    for scenario in scenarios.ALL:
        if args.only and scenario.name not in args.only:
            continue
        logs = scenario.quick if args.quick and not args.only and not args.log else scenario.logs
        for log in logs:
            if args.log in (None, "both") or log == (args.log == "on"):
                yield scenario, log


# ---- the whole ----

def measure(bench, scenario, log, names, args):
    """One scenario as it stands in the JSON."""
    taking_part = [c for c in (contenders.L4 if scenario.l4 else contenders.ALL) if c.name in names]
    rounds = min(args.rounds, ROUNDS_AT_MOST.get(scenario.kind, args.rounds))
    results = {contender.name: [] for contender in taking_part}
    for number in range(rounds):
        if sys.stderr.isatty():
            print(f"\r\033[K{scenario.name} {number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
        for name, found in KINDS[scenario.kind](bench, taking_part, scenario, log, args).items():
            results[name] += found
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return {"name": scenario.name, "what": scenario.what, "log": log,
            "figures": [dataclasses.asdict(figure) for figure in scenario.figures], "results": results}


def run(bench, names, args):
    """(the run as it stands in the JSON, what went wrong)."""
    made, wrong = [], []
    for scenario, log in choose_scenarios(args):
        try:
            made.append(measure(bench, scenario, log, names, args))
        except Failed as failed:
            print(f"{scenario.name:<28}no measurement: {failed}", flush=True)
            wrong.append(f"{scenario.name}: no measurement")
            continue
        print(table.block(made[-1]), flush=True)
        if figures.errors(made[-1]):
            wrong.append(f"{scenario.name}: {figures.errors(made[-1])} errors")
    return {"machine": machine.describe(), "versions": names, "scenarios": made,
            "options": {"rounds": args.rounds, "seconds": args.seconds, "quick": args.quick}}, wrong


def missed(done):
    return [f"{scenario['name']}{' +log' if scenario['log'] else ''}: {figure['what']} over {figures.target_text(figure)}"
            for scenario in done["scenarios"] for figure in scenario["figures"] if figures.is_missed(scenario, figure)]


def conclude(done, wrong, args):
    over = missed(done)
    print(table.NOTE)
    print("targets: " + ("all met" if not over else "missed:\n  " + "\n  ".join(over)))
    if wrong:
        print("wrong:\n  " + "\n  ".join(wrong))
    if args.json:
        Path(args.json).write_text(json.dumps(done, indent=1) + "\n")
    if args.report:
        report.update(Path(args.report), done)
    return 1 if wrong or (args.check and over) else 0


def main():
    args = options()
    proxy_cpu, load_cpu = machine.choose_cpus(args.proxy_cpu, args.load_cpu)
    folder = Path(args.build_dir).resolve()
    if not args.no_apt:
        machine.install()
    if not args.no_build:
        machine.build(folder, ["sp_load", "sp_bench_backend"] + ([] if args.without_sallyport else ["sallyport"]))
    machine.raise_limits()
    with tempfile.TemporaryDirectory(prefix="sp-bench-") as temporary:
        work = Path(temporary)
        bench = Bench(dir=work, pki=work / "pki", tools=folder / "tests" / "bench",
                      sallyport=None if args.without_sallyport else folder / "src" / "cli" / "sallyport",
                      proxy_cpu=proxy_cpu, load_cpu=load_cpu)
        if bench.sallyport is not None and not bench.sallyport.exists():
            raise SystemExit(f"{bench.sallyport} does not exist; --without-sallyport measures the others alone")
        names = choose_proxies(bench, args)
        pki.make_all(bench.pki)
        backend = start_backend(bench)
        try:
            print("; ".join(f"{name} {version}" for name, version in names.items())
                  + f"; proxies on CPU {bench.proxy_cpu}, load and backend on {bench.load_cpu}; {args.rounds} rounds of"
                  f" {args.seconds:g} s\n{table.HEAD}", flush=True)
            return conclude(*run(bench, names, args), args)
        finally:
            backend.stdin.close()
            backend.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))  # by way of every clean-up
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
