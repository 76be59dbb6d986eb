"""What a CRL of a million entries costs at start and at a reload, and what reloads cost those who are being served."""
import contextlib
import os
import shutil
import socket
import ssl
import threading
import time

import pki
from measuring import named
from tools import Failed, Load

LARGE_ENTRIES = 1_000_000
QUIET_SECONDS = 0.4      # a tree of processes that has done nothing for so long has done what it was told
QUIET_NS = 2_000_000     # "nothing"
SETTLING_SECONDS = 120
SAMPLE_SECONDS = 0.02
RELOAD_SECONDS = 0.25    # from one reload to the next, at least
RELOADS = {"quick": 10, "full": 200}
KEPT = ("rate", "-c", "16", "--rate", "1400")
NEW = ("rate", "-c", "16", "--rate", "100", "--per-connection", "1")
TOLERANT = ("--reconnect", "--max-errors", "1000000")


# ---- a CRL of a million entries ----

def settled_tree_ns(proxy):
    """CPU time of all its processes once they stand still."""
    end, since, before = time.monotonic() + SETTLING_SECONDS, time.monotonic(), proxy.whole_cpu_ns()
    while time.monotonic() < end:
        time.sleep(QUIET_SECONDS / 4)
        now = proxy.whole_cpu_ns()
        if now - before > QUIET_NS:
            before, since = now, time.monotonic()
        elif time.monotonic() - since >= QUIET_SECONDS:
            return now
    raise Failed(f"still busy after {SETTLING_SECONDS} s")


def let_in(bench, port, name):
    """Whether the client of that name gets an answer."""
    context = ssl.create_default_context(cafile=bench.pki / "root.pem")
    context.load_cert_chain(bench.pki / f"{name}-chain.pem", bench.pki / f"{name}.key")
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return tls.recv(12) == b"HTTP/1.1 200"
    except OSError:  # of which ssl.SSLError is one
        return False


def judge(bench, proxy, revoked_is_let_in):
    if not let_in(bench, proxy.port, "client"):
        raise Failed("a good client is refused")
    if let_in(bench, proxy.port, "revoked") != revoked_is_let_in:
        raise Failed("the CRL in force is not the newest" if revoked_is_let_in is False else "a client is taken for revoked")


class Peak:
    """The largest memory of a proxy while this is entered."""

    def __init__(self, proxy):
        self.proxy, self.bytes, self.over = proxy, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, self.proxy.memory_bytes())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.over.set()
        self.thread.join()


def put(source, target):
    """A copy under another name, at once."""
    new = target.with_suffix(".new")
    shutil.copyfile(source, new)
    os.rename(new, target)


def start_and_reload(bench, contender, first, second, revoked_at_end):
    """{figure: value}, in seconds and bytes."""
    crls = bench.dir / f"{contender.name}-crls{first.suffix}"
    put(first, crls)
    both = crls if first.suffix == ".pem" else f"{bench.pki / 'crl' / 'root.crl'}, {crls}"  # in a .pem are both
    with contender(bench, crls=both, reloads=True, defaults=True) as proxy, named(proxy), Peak(proxy) as peak:
        started_ns = settled_tree_ns(proxy)
        judge(bench, proxy, True)
        settled_ns, memory = settled_tree_ns(proxy), proxy.memory_bytes()
        put(second, crls)
        proxy.reload()
        reloaded_ns = settled_tree_ns(proxy)
        judge(bench, proxy, not revoked_at_end)
        return {"start_cpu": started_ns / 1e9, "reload_cpu": (reloaded_ns - settled_ns) / 1e9, "start_bytes": memory,
                "reload_bytes": proxy.memory_bytes(), "peak_bytes": max(peak.bytes, memory)}


def measure_one_crl(bench, contender, scenario):
    form = "der" if scenario.der and contender.takes_der else "pem"
    small, large = (bench.pki / "crls.pem",) * 2, [bench.pki / f"large-{number}.{form}" for number in (1, 2)]
    base = start_and_reload(bench, contender, *small, revoked_at_end=False)
    full = start_and_reload(bench, contender, *large, revoked_at_end=True)
    grown = {key: (full[f"{key}_bytes"] - base[f"{key}_bytes"]) / 1e6 for key in ("start", "reload", "peak")}
    return {"start_cpu": full["start_cpu"], "reload_cpu": full["reload_cpu"],
            **{f"{key}_grown": value for key, value in grown.items()}, "errors": 0, "small": base, "large": full}


def measure_crl(bench, contenders, scenario, _log, _args):
    if not (bench.pki / "large-2.pem").exists():
        pki.large_crls(bench.pki, LARGE_ENTRIES)
    return {contender.name: [measure_one_crl(bench, contender, scenario)] for contender in contenders}


# ---- reloads under load ----

def measure_one_reloads(bench, contender, log, count):
    longest = count * 5
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(contender(bench, log=log, defaults=True, reloads=True))
        stack.enter_context(named(proxy))
        loads = [stack.enter_context(Load(bench, proxy.port, (*load, *TOLERANT), longest)) for load in (KEPT, NEW)]
        for load in loads:
            load.line()  # "ready"
        for load in loads:
            load.begin()
        for _ in range(count):
            due = time.monotonic() + RELOAD_SECONDS
            proxy.reload()
            time.sleep(max(0.0, due - time.monotonic()))
        kept, new = (load.cut_short() for load in loads)
    return {"failed": kept["errors"] + new["errors"], "p99_ms": kept["latency_us"]["p99"] / 1e3, "reloads": count,
            "done": kept["operations"] + new["operations"], "seconds": kept["seconds"],
            "per_second": (kept["operations"] + new["operations"]) / kept["seconds"],
            "latency_us": kept["latency_us"], "kinds": {"kept": kept["error_kinds"], "new": new["error_kinds"]},
            "reopened": kept["reconnects"], "errors": 0}


def measure_reloads(bench, contenders, _scenario, log, args):
    count = RELOADS["quick" if args.quick else "full"]
    return {contender.name: [measure_one_reloads(bench, contender, log, count)] for contender in contenders}
