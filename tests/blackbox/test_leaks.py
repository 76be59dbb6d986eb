"""After a hundred thousand exchanges of every kind a gate holds what it held before: descriptors, allocations, memory."""

import concurrent.futures
import os
import re

import pytest

from lib import preload, traffic
from lib.patience import until
from lib.tls_backend import Backends

# What a sanitizer would make of all of them takes too long; it has the leak checker at the end instead.
SHARE = {"asan": 0.02, "tsan": 0.01}.get(os.environ.get("SP_PRESET"), 1)
THREADS = 4
BATCH = 50
UNDER_WAY = ["connections_open", "handshakes_open", "sessions_open", "requests_in_flight", "tunnels_open", "upstream_idle_connections"]


@pytest.fixture
def site(own_world):
    made = traffic.Site(Backends(own_world.folder / "backends"))
    yield made
    made.close()


@pytest.fixture
def allocations(tmp_path):
    return preload.Allocations(preload.build("allocations", tmp_path), tmp_path / "page")


@pytest.fixture
def gate(start_gate, own_world, site, nginx, allocations):
    """`main` is nginx, which is quick; `flaky` has an endpoint that takes no connections beside it; the rest is a Site's."""
    settings = site.settings(own_world, upstream={"ejection": "off"})
    settings["workers"] = 4
    settings["upstreams"]["flaky"] = {
        "endpoints": ["127.0.0.1:1", nginx.endpoint], "timeouts": {"idle": "300ms"}, "ejection": "off"}
    settings["upstreams"]["quick"] = {"endpoints": [nginx.endpoint], "timeouts": {"idle": "300ms"}}
    settings["rules"][:0] = [
        {"name": "flaky", "from": ["billing"], "host": "flaky.internal", "upstream": "flaky"},
        {"name": "quick", "from": ["billing"], "host": "quick.internal", "upstream": "quick"},
    ]
    return start_gate(settings, of=own_world, under=allocations.under)


# ---- many at once, on one connection ----

def in_batches(host, line, status, body=b""):
    """Drives so many requests, a batch in flight at a time; each is answered with `status`."""
    request = b"%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (line, host, len(body), body)
    wanted = b"HTTP/1.1 %d " % status

    def drive(gate, count):
        with traffic.Talker(gate) as talker:
            while count > 0:
                size = min(BATCH, count)
                talker.client.send(request * size)
                for _ in range(size):
                    answer = talker.client.response()
                    assert answer.status == status, (wanted, answer)
                count -= size
    return drive


def one_by_one(kind):
    def drive(gate, count):
        for _ in range(count):
            kind(gate)
    return drive


def short_tunnel(listener, upgrade):
    def drive(gate, count):
        for number in range(count):
            with traffic.Talker(gate, listener=listener) as talker:
                if upgrade:
                    talker.send("GET", f"/chat/{traffic.key()}", b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
                    assert talker.client.head().status == 101
                talker.client.send(b"there and back")
                got = b""
                while len(got) < 14:
                    got += talker.client.tls.recv(100)
                if number % 2:
                    talker.client.reset()
    return drive


def fails(path, *statuses):
    """Each on a connection of its own."""
    def drive(gate, count):
        for _ in range(count):
            with traffic.Talker(gate) as talker:
                talker.send("GET", f"{path}/{traffic.key()}")
                try:
                    assert talker.client.response().status in statuses
                except traffic.BROKEN:
                    assert not statuses
    return drive


# What, how many of them.
KINDS = {
    "kept alive": (in_batches(b"quick.internal", b"GET /small.txt", 200), 60_000),
    "with a body": (in_batches(b"quick.internal", b"POST /swallow", 200, b"x" * 300), 10_000),
    "denied": (in_batches(b"billing.internal", b"GET /denied/x", 403), 10_000),
    "no endpoint": (in_batches(b"billing.internal", b"GET /nobody/x", 502), 7_000),
    "tried again": (in_batches(b"flaky.internal", b"GET /small.txt", 200), 5_000),
    "malformed": (one_by_one(lambda gate: malformed(gate)), 400),
    "closed by the backend": (fails("/closes", 502), 500),
    "broken by the backend": (fails("/breaks"), 500),
    "over TLS": (one_by_one(traffic.over_tls), 400),
    "refused in the handshake": (one_by_one(traffic.unknown), 1_000),
    "gone": (one_by_one(traffic.gone), 300),
    "in chunks": (one_by_one(traffic.posted_in_chunks), 200),
    "answered early": (one_by_one(traffic.early), 200),
    "ended by close": (one_by_one(traffic.ended_by_close), 200),
    "new connections": (fails("/bytes/10", 200), 2_000),
    "upgraded": (short_tunnel("internal", True), 1_000),
    "bytes": (short_tunnel("bytes", False), 1_000),
}


def malformed(gate):
    with traffic.Talker(gate) as talker:
        talker.client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert talker.client.response().status == 400


def run(gate, share):
    """All kinds, in threads of which each has its part; returns how many exchanges that were."""
    done = 0
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for drive, count in KINDS.values():
            part = max(1, round(count * share / THREADS))
            for future in [pool.submit(drive, gate, part) for _ in range(THREADS)]:
                future.result()
            done += part * THREADS
    return done


def held(gate, allocations):
    """Once nothing is under way and nothing is kept: descriptors, allocations and their bytes, and anonymous memory in KiB."""
    def under_way():
        values = gate.metrics()
        return {name: values[f"sallyport_{name}"] for name in UNDER_WAY if values[f"sallyport_{name}"] != 0}
    until(lambda: not under_way(), f"all to be over; under way is {under_way()}")
    seen = []

    def is_steady():
        seen.append((len(os.listdir(f"/proc/{gate.process.pid}/fd")), *allocations.now()))
        return len(seen) >= 10 and len(set(seen[-10:])) == 1
    until(is_steady, "nothing to come or go")
    with open(f"/proc/{gate.process.pid}/smaps_rollup") as file:
        return *seen[-1], int(re.search(r"^Anonymous:\s+(\d+) kB$", file.read(), re.M)[1])


def test_a_hundred_thousand_exchanges_leave_nothing_behind(gate, allocations):
    run(gate, SHARE / 20)  # what is made once and kept: pools, caches, threads' own memory
    before = held(gate, allocations)
    assert run(gate, SHARE) >= SHARE * 99_000
    after = held(gate, allocations)
    print(before, after)
    assert after[0] == before[0], f"{after[0] - before[0]} descriptors more"
