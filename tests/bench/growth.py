#!/usr/bin/env python3
"""How what sallyport costs grows with what there is: connections, callers, rules, revoked certificates, header bytes, endpoints,
workers. A table for each, three to five points, and all curves as one SVG (--svg).

CPU is that of all the daemon's threads, by its own accounting, on a CPU of its own; memory is the proportional set size.
"""
import argparse
import contextlib
import json
import re
import socket
import ssl
import statistics
import subprocess
import sys
from pathlib import Path

import contenders
import pki
import rig as rigs
from rig import Load
from tools import Failed

KEEPALIVE, HANDSHAKE = ("keepalive", "-c", "32"), ("handshake", "-c", "8")
MIB = 1 << 20


def shaped(edit):
    """A sallyport whose configuration is what `edit` makes of the benchmark's."""
    class Shaped(contenders.Sallyport):
        def configure(self, bench, log, defaults):
            text = super().configure(bench, log, defaults)
            limits = "limits: {connections: 200000, handshakes_per_address: 200000}"
            return edit(re.sub(r"limits: \{[^}]*\}", limits, text))

    return Shaped


def cost(rig, proxy, load, args, per="operations"):
    """µs of CPU an operation: the median of the rounds."""
    with Load(rig, proxy.port, load, args.seconds) as running:
        running.line()
        running.measure()  # warm
        found = []
        for _ in range(args.rounds):
            before = rigs.settle(proxy)
            result = running.measure()
            if result["errors"]:
                raise Failed(f"{result['errors']} errors")
            found.append((rigs.settle(proxy) - before) / 1000 / result[per])
    return statistics.median(found)


def started(proxy):
    """What the start cost so far: seconds of CPU, MiB."""
    return {"start, CPU s": rigs.settle(proxy) / 1e9, "memory, MiB": proxy.memory_bytes() / MIB}


# ---- the curves: each gives {column: figure} for a point ----

def connections(rig, count, args):
    with shaped(str)(rig) as proxy:
        with Load(rig, proxy.port, ("keepalive", "-c", "8"), 0.2) as warm:
            warm.line()
            warm.measure()
        rigs.settle(proxy)
        before = proxy.memory_bytes()
        with Load(rig, proxy.port, ("idle", "-c", count, "--hold-seconds", "120"), 240) as held:
            there = int(held.line().split()[1])
            rigs.settle(proxy)
            grown = proxy.memory_bytes() - before
            return {"KiB a connection": grown / 1024 / there, "GET, µs": cost(rig, proxy, KEEPALIVE, args)}


def callers(rig, count, args):
    many = "".join(f'  c{n}: [{{uri: "spiffe://corp.example/ns/n{n % 100}/sa/s{n}"}}]\n' for n in range(count))
    names = ", ".join(f"c{n}" for n in range(count))

    def edit(text):
        text = re.sub(r"(?m)^callers: .*$", lambda _: "callers:\n  anyone: [{any: authenticated}]\n" + many, text)
        return text.replace("rules: [", f"rules: [{{name: many, from: [{names}], host: many.example, upstream: app}}, ", 1)

    with shaped(edit)(rig) as proxy:
        return started(proxy) | {"GET, µs": cost(rig, proxy, KEEPALIVE, args), "handshake, µs": cost(rig, proxy, HANDSHAKE, args)}


def rules(rig, count, args):
    many = "".join(f'{{name: r{n}, from: [anyone], host: h{n % 100}.example, path: "/v1/n{n}/**", upstream: app}}, '
                   for n in range(count))
    with shaped(lambda text: text.replace("rules: [", f"rules: [{many}", 1))(rig) as proxy:
        return started(proxy) | {"GET, µs": cost(rig, proxy, KEEPALIVE, args), "handshake, µs": cost(rig, proxy, HANDSHAKE, args)}


def crl_entries(rig, count, args):
    crls = rig.pki / "crls.pem"
    if count:
        pki.large_crls(rig.pki, count)
        crls = rig.pki / "large-1.pem"
    with shaped(str)(rig, crls=crls) as proxy:
        return started(proxy) | {"handshake, µs": cost(rig, proxy, HANDSHAKE, args)}


def header_bytes(rig, count, args):
    """Asked by one connection, one request after the other: sp_load sends small heads only."""
    context = ssl.create_default_context(cafile=str(rig.pki / "root.pem"))
    context.load_cert_chain(rig.pki / "client-chain.pem", rig.pki / "client.key")
    fields = "".join(f"X-Field-{n}: {'v' * 60}\r\n" for n in range(max(1, min(80, (count - 60) // 75))))
    fields += f"X-Rest: {'r' * max(0, count - 60 - len(fields))}\r\n"
    request = f"GET /small HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode()
    asked = int(1500 * max(args.seconds, 0.3))
    with shaped(str)(rig) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as client:
        def ask(times):
            for _ in range(times):
                client.sendall(request)
                answer = client.recv(65536)
                while not answer.endswith(b".\n"):
                    more = client.recv(65536)
                    if not more or not answer.startswith(b"HTTP/1.1 200"):
                        raise Failed(f"answered {answer[:40]!r}")
                    answer += more
        ask(50)
        found = []
        for _ in range(args.rounds):
            before = rigs.settle(proxy)
            ask(asked)
            found.append((rigs.settle(proxy) - before) / 1000 / asked)
    return {"GET, µs": statistics.median(found)}


def endpoints(rig, count, args):
    """Each a backend of its own."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            backend = stack.enter_context(subprocess.Popen(
                [*rigs.before_others(rig.load_cpu, True), str(rig.tools / "sp_bench_backend")], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True))
            ports.append(int(backend.stdout.readline().split()[1]))
        many = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        proxy = stack.enter_context(shaped(lambda text: re.sub(r"endpoints: \[[^]]*\]", f"endpoints: [{many}]", text))(rig))
        return started(proxy) | {"GET, µs": cost(rig, proxy, KEEPALIVE, args)}


def workers(rig, count, args):
    with shaped(lambda text: text.replace("workers: 1", f"workers: {count}", 1))(rig) as proxy:
        return started(proxy) | {"GET, µs": cost(rig, proxy, KEEPALIVE, args)}


# name, measure, points, points of --quick, why the curve is as it is
CURVES = (
    ("connections held", connections, (100, 1000, 10_000, 50_000), (100, 1000),
     "Flat: a connection is memory of its own and an entry in epoll; nothing walks over them but a reload."),
    ("callers", callers, (10, 1000, 10_000, 100_000), (10, 10_000),
     "A request is flat: who somebody is, is looked up in a table, once a connection. Start and memory grow with the file."),
    ("rules", rules, (10, 100, 1000, 10_000), (10, 1000),
     "Logarithmic at most: rules are indexed by host and path. Start and memory grow with the file."),
    ("CRL entries", crl_entries, (0, 10_000, 100_000, 1_000_000), (0, 100_000),
     "A handshake is logarithmic: serials are sorted and searched by halves. Start and memory grow with the list, by 25 bytes an entry."),
    ("header bytes", header_bytes, (200, 1000, 4000, 12_000), (200, 4000),
     "Linear in bytes, as it must be: each is decrypted, looked at and sent on."),
    ("endpoints", endpoints, (1, 10, 100, 1000), (1, 100),
     "Choosing one does not look at all; what grows is the number of connections to backends, each used less often and so found in no cache."),
    ("workers", workers, (1, 2), (1, 2),
     "Flat: workers share nothing that a request touches. On one CPU, as here, two of them only take turns."),
)


# ---- tables and picture ----

def print_table(name, why, points, figures):
    columns = list(figures[0])
    print(f"\n| {name} | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
    for point, row in zip(points, figures):
        print(f"| {point:,} | " + " | ".join(f"{row[c]:.2f}" if row[c] < 10 else f"{row[c]:,.1f}" for c in columns) + " |")
    print(f"\n{why}", flush=True)


def panel(name, points, figures, x, y):
    """One small picture: every column over its own first point, so that flat is flat whatever the unit."""
    colours, width, height = ("#1b6ca8", "#c4572e", "#3a8f5c", "#7d5ba6"), 240, 120
    columns = list(figures[0])
    grown = {c: [row[c] / figures[0][c] if figures[0][c] else 1 for row in figures] for c in columns}
    top = max(2.0, *(v for values in grown.values() for v in values))
    out = [f'<text x="{x}" y="{y - 8}" class="h">{name}</text>',
           f'<path d="M{x} {y}V{y + height}H{x + width}" fill="none" stroke="#888"/>',
           f'<text x="{x - 6}" y="{y + 8}" text-anchor="end">{top:.3g}×</text>',
           f'<text x="{x - 6}" y="{y + height}" text-anchor="end">0</text>']
    for n, point in enumerate(points):
        at = x + 10 + n * (width - 20) / max(1, len(points) - 1)
        out.append(f'<text x="{at:.0f}" y="{y + height + 14}" text-anchor="middle">{point:,}</text>')
    for n, column in enumerate(columns):
        dots = [(x + 10 + i * (width - 20) / max(1, len(points) - 1), y + height - v / top * height)
                for i, v in enumerate(grown[column])]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in dots)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colours[n]}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colours[n]}"/>' for a, b in dots]
        out.append(f'<text x="{x}" y="{y + height + 30 + 13 * n}" fill="{colours[n]}">{column} ({figures[0][column]:.3g} first)</text>')
    return out


def draw(curves):
    rows = (len(curves) + 2) // 3
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {rows * 235 + 10}" font-family="sans-serif" '
             'font-size="11" fill="#333">', "<style>.h{font-weight:bold;font-size:13px}</style>",
             '<rect width="100%" height="100%" fill="#fff"/>']
    for n, (name, points, figures) in enumerate(curves):
        parts += panel(name, points, figures, 55 + n % 3 * 310, 40 + n // 3 * 235)
    return "\n".join([*parts, "</svg>"]) + "\n"


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    rigs.options(parser)
    parser.add_argument("--only", action="append", choices=[c[0] for c in CURVES])
    parser.add_argument("--svg", metavar="FILE", help="draw the curves there")
    parser.add_argument("--seconds", type=float, help="of each measurement (1; quick: 0.4)")
    parser.add_argument("--rounds", type=int, help="of each (5; quick: 2)")
    args = parser.parse_args()
    args.seconds = args.seconds or (0.4 if args.quick else 1.0)
    args.rounds = args.rounds or (2 if args.quick else 5)
    return args


def main():
    args, curves, failed = options(), [], False
    with rigs.rig(args) as rig:
        room = rigs.resource.getrlimit(rigs.resource.RLIMIT_NOFILE)[0] * 7 // 10
        for name, measure, points, quick, why in CURVES:
            if args.only and name not in args.only:
                continue
            points = quick if args.quick else points
            if measure is connections:  # as far as descriptors go
                points = tuple(sorted({min(point, room) for point in points}))
            try:
                figures = [measure(rig, point, args) for point in points]
            except Failed as failure:
                print(f"{name}: {failure}", file=sys.stderr)
                failed = True
                continue
            print_table(name, why, points, figures)
            curves.append((name, points, figures))
    if args.svg:
        Path(args.svg).write_text(draw(curves))
    if args.json:
        Path(args.json).write_text(json.dumps(curves, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
