#!/usr/bin/env python3
"""Measures what an operation costs each proxy in CPU time, and an idle connection in memory, beside nginx.

Builds the release and the tools, makes a PKI, and loads the proxies interleaved (A B C A B C ...), each with one worker
on one CPU, load and backend on another. README.md beside this file says how to read what it prints.
Needs Python's standard library, openssl, nginx, taskset, and the packages of the build; HAProxy is measured if it is
installed.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import contenders
import pki
from tools import Failed, Load, busy_seconds, start_backend

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SLICE_SECONDS = 0.3
OTHERS_MAX = 0.08  # a slice is repeated if others took more of the proxy's CPU than this
TRIES = 3


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    unit: str
    load: tuple          # mode and options of sp_load
    per: str = "operations"  # the figure of sp_load's answer that the CPU time is divided by
    log: bool = False    # with an access log
    defaults: bool = False  # TLS sessions and tickets as the proxy's defaults have them
    bar: float = 0       # sallyport's promise as a multiple of nginx; 0: none
    quick: bool = True


SCENARIOS = (
    Scenario("keepalive", "GET on a kept-alive connection", "µs/op", ("keepalive", "-c", "32"), bar=1.00),
    Scenario("keepalive-log", "the same with an access log", "µs/op", ("keepalive", "-c", "32"), log=True),
    Scenario("handshake-1.3", "full TLS 1.3 handshake, one request", "µs/op", ("handshake", "-c", "8"), bar=0.85),
    Scenario("handshake-1.3-defaults", "the same, tickets by default", "µs/op", ("handshake", "-c", "8"),
             defaults=True, bar=0.85, quick=False),
    Scenario("handshake-1.2", "full TLS 1.2 handshake, one request", "µs/op",
             ("handshake", "-c", "8", "--tls", "1.2")),
    Scenario("handshake-1.3-new", "full TLS 1.3 handshake of a client not seen lately", "µs/op",
             ("handshake", "-c", "8", "--clients", "4000")),
    Scenario("resumed-1.3", "TLS 1.3 handshake resumed by ticket, one request", "µs/op",
             ("handshake", "-c", "8", "--resume"), defaults=True),
    Scenario("resumed-1.2", "the same, TLS 1.2", "µs/op", ("handshake", "-c", "8", "--resume", "--tls", "1.2"),
             defaults=True, quick=False),
    Scenario("download", "GET of 8 MB", "µs/MB", ("download", "-c", "4", "--mb", "8"), per="mb"),
    Scenario("upload", "POST of 8 MB", "µs/MB", ("upload", "-c", "4", "--mb", "8"), per="mb"),
    Scenario("rate", "GET, 2000 a second", "µs/op", ("rate", "-c", "32", "--rate", "2000"), quick=False),
    Scenario("memory-2000", "idle connections, 2000 held", "KiB/conn", ("idle", "-c", "2000"), per="held", bar=1.00),
    Scenario("memory-10000", "idle connections, 10000 held", "KiB/conn", ("idle", "-c", "10000"), per="held",
             bar=1.00, quick=False),
)


@dataclasses.dataclass
class Bench:
    """What all measurements share."""
    dir: Path
    pki: Path
    tools: Path       # where sp_load and sp_bench_backend are
    sallyport: Path   # None: is not measured
    proxy_cpu: int
    load_cpu: int
    backend_port: int = 0


def build(args):
    """The release and the tools; returns their folder."""
    folder = Path(args.build_dir).resolve()
    if not args.no_build:
        targets = ["sp_load", "sp_bench_backend"] + ([] if args.without_sallyport else ["sallyport"])
        for command in (["cmake", "--preset", "release", "-B", str(folder), "-DSP_BENCH=ON"],
                        ["cmake", "--build", str(folder), "--target", *targets]):
            print("+", " ".join(command), file=sys.stderr)
            if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode != 0:
                raise SystemExit("the build failed")
    return folder


@contextlib.contextmanager
def named(proxy):
    """Says whose measurement failed."""
    try:
        yield
    except Failed as failed:
        raise Failed(f"{proxy.name}: {failed}") from None


def settled_cpu(proxy):
    """The proxy's CPU clock once it stands still, so that what belongs to the part before is in it."""
    before = proxy.cpu_ns()
    for _ in range(20):
        time.sleep(0.02)
        now = proxy.cpu_ns()
        if now - before < 20_000:  # a timer may tick
            return now
        before = now
    return before


def take_slice(bench, proxy, load):
    """A fraction of a second of load on one proxy."""
    before, busy, began = settled_cpu(proxy), busy_seconds(bench.proxy_cpu), time.monotonic()
    result = load.measure()
    spent = (settled_cpu(proxy) - before) / 1e9
    others = busy_seconds(bench.proxy_cpu) - busy - spent
    return result | {"cpu_seconds": spent, "others": max(0.0, others / (time.monotonic() - began))}


def quietest_slice(bench, proxy, load, tries):
    """Of several tries the one in which others took least of the CPU, whatever it says."""
    best = None
    for _ in range(tries):
        result = take_slice(bench, proxy, load)
        if best is None or result["errors"] or result["others"] < best["others"]:
            best = result
        if best["errors"] or best["others"] <= OTHERS_MAX:
            break
    return best


def sum_up(scenario, slices):
    done, spent = sum(s[scenario.per] for s in slices), sum(s["cpu_seconds"] for s in slices)
    return {
        "value": spent * 1e6 / done if done else float("nan"),
        "done": done,
        "cpu_seconds": spent,
        "errors": sum(s["errors"] for s in slices),
        "others": statistics.mean(s["others"] for s in slices),
        "latency_us": {key: statistics.median(s["latency_us"][key] for s in slices) for key in ("p50", "p90", "p99")},
        "slices": slices,
    }


def measure_cpu(bench, names, scenario, args):
    """One round: all proxies freshly started and loaded in turns, a slice each, so that what disturbs the machine for
    a second or more disturbs them alike. {name: result}"""
    with contextlib.ExitStack() as stack:
        running = []
        for contender in names:
            proxy = stack.enter_context(contender(bench, log=scenario.log, defaults=scenario.defaults))
            load = stack.enter_context(Load(bench, proxy.port, scenario.load, SLICE_SECONDS))
            with named(proxy):
                load.line()  # "ready"
                load.measure()  # warm
            running.append((proxy, load, []))
        for _ in range(max(1, round(args.seconds / SLICE_SECONDS))):
            for proxy, load, slices in running:
                with named(proxy):
                    slices.append(quietest_slice(bench, proxy, load, args.tries))
        return {proxy.name: sum_up(scenario, slices) for proxy, _, slices in running}


def measure_memory(bench, contender, scenario):
    with contender(bench) as proxy, named(proxy):
        with Load(bench, proxy.port, ("keepalive", "-c", "8"), SLICE_SECONDS) as warm:
            warm.line()
            warm.measure()
        settled_cpu(proxy)
        before = proxy.memory_bytes()
        with Load(bench, proxy.port, (*scenario.load, "--hold-seconds", "120"), 240) as load:
            held = int(load.line().split()[1])
            settled_cpu(proxy)
            grown = proxy.memory_bytes() - before
            errors = load.measure()["errors"]
    return {"value": grown / 1024 / held if held else float("nan"), "held": held, "base_bytes": before,
            "grown_bytes": grown, "errors": errors, "others": 0.0}


def measure_scenario(bench, scenario, names, args):
    """Rounds of all contenders: {name: [result, ...]}."""
    results = {contender.name: [] for contender in names}
    most = (1 if args.quick else 2) if scenario.per == "held" else args.rounds  # memory hardly varies
    rounds = min(args.rounds, most)
    for number in range(rounds):
        if sys.stderr.isatty():
            print(f"\r\033[K{scenario.name} {number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
        by_name = ({c.name: measure_memory(bench, c, scenario) for c in names} if scenario.per == "held" else
                   measure_cpu(bench, names, scenario, args))
        for name, result in by_name.items():
            results[name].append(result)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return results


# ---- the table ----

def values(results):
    return [result["value"] for result in results]


def spread(numbers):
    """Half the range, in percent of the median."""
    middle = statistics.median(numbers)
    return (max(numbers) - min(numbers)) / 2 / middle * 100 if middle else 0


def ratios(results, reference):
    """Round by round, so that what disturbs a whole round cancels out."""
    return [mine / other for mine, other in zip(values(results), values(reference))]


def columns(names):
    head = f"{'scenario':<24}{'unit':<10}"
    for contender in names:
        head += f"{contender.name:>16}" + ("" if contender is names[0] else f"{'ratio (range)':>20}")
    return head + f"{'bar':>7}{'errors':>8}{'others':>8}"


def row(scenario, results, names):
    line = f"{scenario.name:<24}{scenario.unit:<10}"
    for contender in names:
        mine = results[contender.name]
        cell = f"{statistics.median(values(mine)):.1f} ±{spread(values(mine)):.0f}%"
        line += f"{cell:>16}"
        if contender is not names[0]:
            by_round = ratios(mine, results[names[0].name])
            cell = f"{statistics.median(by_round):.2f} ({min(by_round):.2f}-{max(by_round):.2f})"
            line += f"{cell:>20}"
    rounds = [result for per_proxy in results.values() for result in per_proxy]
    errors, others = sum(r["errors"] for r in rounds), statistics.median(r["others"] for r in rounds)
    return line + f"{f'{scenario.bar:.2f}' if scenario.bar else '':>7}{errors:>8}{others:>8.0%}"


def latency_row(scenario, results, names):
    line = f"{'':<24}{'p50/p99':<10}"
    for contender in names:
        p50, p99 = (statistics.median(result["latency_us"][key] for result in results[contender.name])
                    for key in ("p50", "p99"))
        line += f"{f'{p50:.0f}/{p99:.0f} µs':>16}" + ("" if contender is names[0] else " " * 20)
    return line


def over_bar(scenario, results):
    if not scenario.bar or "sallyport" not in results or "nginx" not in results:
        return False
    return statistics.median(ratios(results["sallyport"], results["nginx"])) > scenario.bar


# ---- the whole ----

def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes: short rounds, fewer scenarios")
    parser.add_argument("--only", action="append", metavar="SCENARIO", choices=[s.name for s in SCENARIOS],
                        help="this scenario alone (may be repeated): " + ", ".join(s.name for s in SCENARIOS))
    parser.add_argument("--proxies", metavar="A,B", help="of " + ", ".join(c.name for c in contenders.ALL)
                        + "; ratios are to the first (default: all that are installed)")
    parser.add_argument("--without-sallyport", action="store_true", help="measure the others alone")
    parser.add_argument("--rounds", type=int, help="of each proxy in each scenario (5; quick: 2)")
    parser.add_argument("--seconds", type=float, help="of load in a round (3; quick: 0.9), in slices of 0.3")
    parser.add_argument("--proxy-cpu", type=int, help="the CPU that the proxies run on (the first allowed)")
    parser.add_argument("--load-cpu", type=int, help="the CPU of load and backend (the second allowed)")
    parser.add_argument("--build-dir", default=str(ROOT / "build" / "bench"), help="where to build (build/bench)")
    parser.add_argument("--no-build", action="store_true", help="take what is in --build-dir as it is")
    parser.add_argument("--json", metavar="FILE", help="write every single result there")
    parser.add_argument("--check", action="store_true", help="exit 1 also when a bar is missed")
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = args.seconds or (0.9 if args.quick else 3.0)
    args.tries = 1 if args.quick else TRIES
    return args


def choose_cpus(args):
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("two CPUs are needed: one for the proxy, one for load and backend")
    proxy = allowed[0] if args.proxy_cpu is None else args.proxy_cpu
    load = next(cpu for cpu in allowed if cpu != proxy) if args.load_cpu is None else args.load_cpu
    return proxy, load


def choose_proxies(bench, args):
    wanted = args.proxies.split(",") if args.proxies else None
    by_name = {contender.name: contender for contender in contenders.ALL}
    for name in wanted or []:
        if name not in by_name:
            raise SystemExit(f"no such proxy: {name}; there are {', '.join(by_name)}")
        if not by_name[name].available(bench):
            raise SystemExit(f"{name} is not there to be measured")
    found = [by_name[name] for name in wanted] if wanted else [c for c in contenders.ALL if c.available(bench)]
    if not wanted and contenders.Nginx not in found:
        raise SystemExit("nginx is needed for comparison: apt-get install nginx-light")
    return found


def raise_limits():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 65536), max(hard, 65536)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(bench, args, names):
    chosen = [s for s in SCENARIOS if (s.name in args.only if args.only else s.quick or not args.quick)]
    print("; ".join(f"{c.name} {c.version(bench)}" for c in names)
          + f"; proxies on CPU {bench.proxy_cpu}, load and backend on {bench.load_cpu}; {args.rounds} rounds of"
          f" {args.seconds:g} s", flush=True)
    print(columns(names), flush=True)
    everything, bad = {}, False
    for scenario in chosen:
        try:
            results = measure_scenario(bench, scenario, names, args)
        except Failed as failed:
            print(f"{scenario.name:<24}no measurement: {failed}", flush=True)
            bad = True
            continue
        print(row(scenario, results, names), flush=True)
        if scenario.load[0] == "rate":
            print(latency_row(scenario, results, names), flush=True)
        everything[scenario.name] = results
        bad |= any(result["errors"] for per_proxy in results.values() for result in per_proxy)
        if over_bar(scenario, results):
            print(f"  {scenario.what}: over the bar of {scenario.bar:.2f}", flush=True)
            bad |= args.check
    if args.json:
        Path(args.json).write_text(json.dumps(everything, indent=1) + "\n")
    return 1 if bad else 0


def main():
    args = options()
    proxy_cpu, load_cpu = choose_cpus(args)
    folder = build(args)
    raise_limits()
    with tempfile.TemporaryDirectory(prefix="sp-bench-") as temporary:
        work = Path(temporary)
        bench = Bench(dir=work, pki=work / "pki", tools=folder / "tests" / "bench",
                      sallyport=None if args.without_sallyport else folder / "src" / "cli" / "sallyport",
                      proxy_cpu=proxy_cpu, load_cpu=load_cpu)
        if bench.sallyport is not None and not bench.sallyport.exists():
            raise SystemExit(f"{bench.sallyport} does not exist; --without-sallyport measures the others alone")
        names = choose_proxies(bench, args)
        bench.pki.mkdir()
        pki.make(bench.pki)
        backend = start_backend(bench)
        try:
            return run(bench, args, names)
        finally:
            backend.stdin.close()
            backend.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))  # by way of every clean-up
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
