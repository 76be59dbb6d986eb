"""The gate when system calls do less than was asked, or fail, and when there is no memory. faults.c makes it so. What is only slow
costs nobody anything; what really fails costs the one exchange that it hit, which gets an answer that says so or no end, and afterwards
everything is as it was."""

import concurrent.futures
import itertools
import os

import pytest

from lib import faults as injected
from lib import traffic
from lib.patience import until
from lib.tls_backend import Backends

SLOW = os.environ.get("SP_PRESET") in ("asan", "tsan")
CHECK = {"path": "/health", "interval": "100ms", "timeout": "30s", "healthy_after": 1}

# What the kernel does to everybody now and then.
HARMLESS = {
    "short reads": {"short_read": 0.7},
    "short writes": {"short_write": 0.7},
    "interrupted calls": {"read_EINTR": 0.3, "write_EINTR": 0.3, "accept_EINTR": 0.3, "connect_EINTR": 0.5, "wait_EINTR": 0.3},
    "calls to be tried again": {"read_EAGAIN": 0.3, "write_EAGAIN": 0.3, "accept_EAGAIN": 0.3},
    "all of it": {"short_read": 0.3, "short_write": 0.3, "read_EINTR": 0.1, "write_EINTR": 0.1, "read_EAGAIN": 0.1,
                  "write_EAGAIN": 0.1, "accept_EINTR": 0.1, "accept_EAGAIN": 0.1, "connect_EINTR": 0.2, "wait_EINTR": 0.2},
}
HARD = ["read_ECONNRESET", "read_ETIMEDOUT", "read_ENOMEM", "write_EPIPE", "write_ENOBUFS", "write_ENOMEM", "accept_ECONNABORTED",
        "accept_EMFILE", "accept_ENOBUFS", "accept_ENOMEM", "socket_EMFILE", "socket_ENFILE", "socket_ENOBUFS", "socket_ENOMEM",
        "connect_EADDRNOTAVAIL", "connect_ENETUNREACH", "connect_ENOBUFS", "watch_ENOMEM", "watch_ENOSPC", "open_EMFILE", "alloc"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return injected.build(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def site(own_world):
    made = traffic.Site(Backends(own_world.folder / "backends"))
    yield made
    made.close()


@pytest.fixture
def faults(library, tmp_path):
    return injected.Faults(library, tmp_path / "page")


@pytest.fixture
def start(start_gate, own_world, site, faults):
    """start(...) -> a gate in front of `site`, which `faults` befall."""
    return lambda **changes: start_gate(site.settings(own_world, **changes), of=own_world, under=faults.under)


def descriptors(gate):
    return len(os.listdir(f"/proc/{gate.process.pid}/fd"))


def run_all(gate, rounds, drive, threads=3):
    """Every kind of exchange so many times, several at once, driven by drive(kind)."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(drive, kind) for _ in range(rounds) for kind in traffic.KINDS]:
            done.result()


def at_rest(gate):
    """Nothing is under way and nothing is kept; returns how many descriptors that takes."""
    def under_way():
        values = gate.metrics()
        return {name: values[f"sallyport_{name}"] for name in UNDER_WAY if values[f"sallyport_{name}"] != 0}
    until(lambda: not under_way(), "all to be over")
    assert not under_way()
    return descriptors(gate)


UNDER_WAY = ["connections_open", "handshakes_open", "sessions_open", "requests_in_flight", "tunnels_open", "upstream_idle_connections"]


@pytest.mark.parametrize("which", HARMLESS)
def test_what_is_harmless_costs_nobody_anything(start, faults, which):
    gate = start(check=CHECK)
    for kind in traffic.KINDS:
        kind(gate)
    faults.set(**HARMLESS[which])
    run_all(gate, 1 if SLOW else 4, lambda kind: kind(gate))
    assert gate.reload()["event"] == "reloaded"
    run_all(gate, 1, lambda kind: kind(gate))
    done = faults.done()
    assert all(done[name] > 0 for name in HARMLESS[which]), done
    faults.off()
    assert not [e for e in gate.events.records if e["event"].startswith("endpoint_") and e["upstream"] != "nobody"]
