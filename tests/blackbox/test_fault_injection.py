"""The gate when system calls do less than was asked, or fail, and when there is no memory. faults.c makes it so. What is only slow
costs nobody anything; what really fails costs the one exchange that it hit, which gets an answer that says so or no end, and afterwards
everything is as it was."""

import concurrent.futures
import copy
import json
import os
import signal

import pytest

from lib import gate as gates
from lib import preload, traffic
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
HARD = ["read_ECONNRESET", "read_ETIMEDOUT", "read_ENOMEM", "write_ECONNRESET", "write_ENOBUFS", "write_ENOMEM", "accept_ECONNABORTED",
        "accept_EMFILE", "accept_ENOBUFS", "accept_ENOMEM", "socket_EMFILE", "socket_ENFILE", "socket_ENOBUFS", "socket_ENOMEM",
        "connect_EADDRNOTAVAIL", "connect_ENETUNREACH", "connect_ENOBUFS", "watch_ENOMEM", "watch_ENOSPC", "open_EMFILE", "alloc"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preload.build("faults", tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = traffic.Site(Backends(tmp_path_factory.mktemp("site") / "backends"))
    yield made
    made.close()


@pytest.fixture
def faults(library, tmp_path):
    return preload.Faults(library, tmp_path / "page")


@pytest.fixture
def start(start_gate, world, site, faults):
    """start(...) -> a gate in front of `site`, which `faults` befall."""
    return lambda **changes: start_gate(site.settings(world, **changes), of=world, under=faults.under)


def endpoints(gate):
    """upstream -> what the admin page says of its endpoints"""
    return {upstream["name"]: upstream["endpoints"] for upstream in json.loads(gate.admin("/upstreams")[2])["upstreams"]}


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
    until(lambda: not under_way(), f"all to be over; under way is {under_way()}")
    counts = []  # until what it takes to ask is gone as well

    def is_steady():
        counts.append(descriptors(gate))
        return counts[-10:] == [min(counts)] * 10
    until(is_steady, "no descriptor to come or go")
    return counts[-1]


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


# ---- one call at a time ----

def survives(gate, kind):
    """True: it went well; False: it broke, as it may. Either way the gate is there."""
    try:
        kind(gate)
        return True
    except traffic.BROKEN:
        return False
    finally:
        assert gate.process.poll() is None, gate.report()


def calls(most):
    """Which call shall fail: the first ones, then less and less closely."""
    nth = 1
    while nth <= most:
        yield nth
        nth = max(nth + 1, round(nth * (2 if SLOW else 1.25)))


def fail_one_after_another(gate, faults, name, kinds, most=60):
    """For each kind the first call of an exchange fails, in another one the second, and so on, up to the last that it makes."""
    for kind in kinds:
        for nth in calls(most):
            faults.fail_once(name, nth)
            survives(gate, kind)
            if faults.is_pending(name):
                break
            traffic.head_only(gate)
    faults.off()


@pytest.mark.parametrize("name", [name for name in HARD if name != "open_EMFILE"])
def test_a_call_that_fails_costs_one_exchange_at_most(start, faults, name):
    gate = start(upstream={"ejection": "off"})
    for kind in traffic.KINDS:
        kind(gate)
    before = at_rest(gate)
    fail_one_after_another(gate, faults, name, traffic.KINDS)
    assert faults.done()[name] > 0
    assert all(record.get("reason") for record in gate.accesses.records if record.get("status", 0) >= 500)
    assert at_rest(gate) == before


OF_BACKENDS = (traffic.unreachable, traffic.broken_off, traffic.gone)
OURS = [name for name in HARD if name.startswith(("socket_", "watch_", "alloc")) or name == "connect_ENOBUFS"]


@pytest.mark.parametrize("name", OURS)
def test_what_the_gate_lacks_itself_is_no_fault_of_anybody_else(start, faults, name):
    gate = start(upstream={"ejection": {"failures": 2, "base": "1m", "max": "1m"}})
    kinds = [kind for kind in traffic.KINDS if kind not in OF_BACKENDS]
    fail_one_after_another(gate, faults, name, kinds)
    for kind in kinds:
        kind(gate)
    # A client that was refused does not wait for what else it had asked for.
    broken = [record for record in gate.accesses.records if record.get("reason") not in (None, "denied", "client_gone")]
    assert {record["reason"] for record in broken} <= {"overloaded"}, broken
    assert {record["status"] for record in broken if "mode" not in record} <= {503}, broken
    assert {e["reason"] for e in gate.events.records if e["event"] == "refused"} <= {"out_of_memory", "no_certificate"}
    assert not [e for e in gate.events.records if e["event"] == "endpoint_ejected"]


@pytest.mark.parametrize("kind", [traffic.kept_alive, traffic.raw_bytes, traffic.over_tls])
def test_memory_may_end_before_anything_is_kept_for_the_next(start_gate, world, site, library, tmp_path, kind):
    """The first exchange of a gate allocates what later ones find there."""
    for nth in calls(240):  # a gate that is not quite there yet allocates for itself as well
        faults = preload.Faults(library, tmp_path / f"page{nth}")
        gate = start_gate(site.settings(world), of=world, under=faults.under)
        faults.fail_once("alloc", nth)
        survives(gate, kind)
        is_past = faults.is_pending("alloc")
        faults.off()
        kind(gate)
        gate.stop()
        assert {record["reason"] for record in gate.accesses.records if "reason" in record} <= {"overloaded"}
        if is_past:
            return
    raise AssertionError("so many allocations for one exchange")


# ---- for want of descriptors, for want of memory ----

def test_without_memory_to_accept_with_clients_wait_until_there_is_some(start, faults):
    gate = start()
    for name in ("accept_ENOMEM", "accept_ENOBUFS"):
        faults.fail_once(name, 1)
        traffic.kept_alive(gate)
    assert gate.metrics()["sallyport_accept_paused_total"] == 2
    assert not [e for e in gate.events.records if e["event"] == "refused"]


def test_without_descriptors_a_client_is_told_why(start, faults):
    gate = start()
    faults.fail_once("accept_EMFILE", 1)
    assert not survives(gate, traffic.kept_alive)
    assert "LimitNOFILE" in gate.wait_event("refused", reason="too_many_connections")["detail"]
    traffic.kept_alive(gate)


@pytest.mark.parametrize("name, text", [("socket_EMFILE", "Too many open files"), ("socket_ENOMEM", "Cannot allocate memory"),
                                        ("connect_ENOBUFS", "No buffer space available")])
def test_without_a_connection_to_be_had_it_is_the_gate_that_is_overloaded(start, faults, name, text):
    gate = start(check=CHECK)
    until(lambda: all(e["checks"]["ok"] > 0 for name in ("main", "secure") for e in endpoints(gate)[name]), "checks")
    faults.set(**{name: 1})
    until(lambda: all(text in e["checks"]["failure"] for name in ("main", "secure") for e in endpoints(gate)[name]), "checks that cannot be made")
    with pytest.raises(traffic.Refused, match="503"):
        traffic.posted(gate)
    record = gate.wait_access(status=503)
    assert record["reason"] == "overloaded" and text in record["detail"]
    faults.off()
    assert not [e for e in gate.events.records if e["event"].startswith("endpoint_")]
    traffic.posted(gate)


# The kernel forgets a descriptor that is not waited for, and may have no memory to take it up again.
@pytest.mark.parametrize("ask", [traffic.kept_alive, lambda gate: gate.metrics()], ids=["listener", "admin page"])
@pytest.mark.parametrize("name", ["watch_ENOMEM", "watch_ENOSPC"])
def test_who_rests_from_accepting_comes_back_though_there_is_no_memory_yet(start, faults, name, ask):
    gate = start()
    faults.fail_once("accept_ENOMEM", 1)
    faults.fail_once(name, 1)
    ask(gate)
    assert not faults.is_pending("accept_ENOMEM") and not faults.is_pending(name)


@pytest.fixture
def one_more(site, world):
    """The configuration with another listener."""
    settings = site.settings(world)
    settings["listeners"].append(gates.listener(world, "late"))
    return settings


def test_a_listener_that_there_is_no_memory_for_is_served_once_there_is(start, faults, one_more):
    gate = start()
    traffic.kept_alive(gate)  # those that it begins with are served
    faults.fail_once("watch_ENOMEM", 1)
    assert gate.reload(one_more)["event"] == "reloaded"
    gate.wait_event("listener_failed", listener="late")
    with traffic.Talker(gate, listener="late") as talker:
        talker.get(f"/bytes/5/{traffic.key()}")


def test_a_listener_that_was_never_served_goes_with_its_configuration(start, faults, site, world, one_more):
    gate = start()
    traffic.kept_alive(gate)
    before = at_rest(gate)
    faults.set(watch_ENOMEM=1)
    assert gate.reload(one_more)["event"] == "reloaded"
    gate.wait_event("listener_failed", listener="late")
    assert gate.reload(site.settings(world))["event"] == "reloaded"
    faults.off()
    assert at_rest(gate) == before


# ---- everything at once ----

def test_a_storm_of_faults_leaves_nothing_behind(start, faults):
    gate = start(check=CHECK, upstream={"ejection": {"failures": 5, "base": "100ms", "max": "200ms"}})
    for kind in traffic.KINDS:
        kind(gate)
    before = at_rest(gate)
    well, rounds = [], 0
    while rounds < (2 if SLOW else 6) or not all(faults.done()[name] for name in ("alloc", "read_ECONNRESET", "socket_EMFILE")):
        rounds += 1
        assert rounds < 60, faults.done()
        faults.set(**{name: 0.02 if name.startswith(("accept_", "socket_", "connect_", "watch_")) else 0.003 for name in HARD},
                   **HARMLESS["all of it"])
        run_all(gate, 1 if SLOW else 3, lambda kind: well.append(survives(gate, kind)))
        since = len(gate.events.records)
        gate.signal(signal.SIGHUP)
        gate.wait_event(("reloaded", "reload_failed"), since)
    faults.off()
    assert 0 < sum(well) < len(well), f"{sum(well)} of {len(well)} went well"
    until(lambda: all(survives(gate, kind) for kind in traffic.KINDS), "all to go well again")
    assert gate.reload()["event"] == "reloaded"
    assert at_rest(gate) == before


# ---- reloads ----

@pytest.mark.parametrize("name", ["open_EMFILE", "alloc"])
def test_a_reload_that_fails_leaves_everything_as_it_was(start, faults, name):
    gate = start()
    before = at_rest(gate)
    outcomes = set()
    for nth in calls(100000):
        faults.fail_once(name, nth)
        outcomes.add(gate.reload()["event"])
        if faults.is_pending(name):
            break
        traffic.head_only(gate)
    faults.off()
    assert "reload_failed" in outcomes
    assert gate.reload()["event"] == "reloaded"
    traffic.kept_alive(gate)
    assert at_rest(gate) == before
