"""Each key that bounds something does so where the operator put it: neither sooner nor later."""

import contextlib
import signal
import socket
import ssl
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import pki, raw
from lib.patience import PATIENCE

HEAD = b"GET /%s HTTP/1.1\r\nHost: billing.internal\r\n%s\r\n"


def upstream(backend, **changes):
    return {"main": {"endpoints": [backend.endpoint], **changes}}


# ---- limits ----

@pytest.mark.parametrize(
    "limit, fits, too_large, status, reason",
    [
        ({"target_bytes": 128}, HEAD % (b"a" * 127, b""), HEAD % (b"a" * 128, b""), 414, "target_too_long"),
        ({"headers": 8}, HEAD % (b"", b"a: b\r\n" * 7), HEAD % (b"", b"a: b\r\n" * 8), 431, "header_too_large"),
        ({"header_bytes": "1KiB"}, HEAD % (b"", b"a: %s\r\n" % (b"b" * 900)), HEAD % (b"", b"a: %s\r\n" % (b"b" * 1000)), 431,
         "header_too_large"),
    ],
    ids=["target_bytes", "headers", "header_bytes"],
)
def test_a_head_is_bounded_where_the_operator_says(start_gate, world, backend, limit, fits, too_large, status, reason):
    gate = start_gate(gates.config(world, backend.endpoint, limits=limit))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.ask(fits).status == 200
        assert client.ask(too_large).status == status
        assert gate.wait_access(peer=client.peer, status=status)["reason"] == reason
    assert len(backend.requests) == 1


def test_the_head_of_an_answer_is_bounded_too(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, limits={"header_bytes": "1KiB"}))
    backend.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"y" * 1100 + b"\r\n\r\n"]
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 502
        assert gate.wait_access(peer=client.peer)["reason"] == "response_too_large"


def test_handshakes_are_bounded_apart_from_who_is_in(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, limits={"handshakes": 2}))
    with raw.Client(gate, world.clients["billing"]) as inside, contextlib.ExitStack() as waiting:
        assert inside.get().status == 200
        for _ in range(2):
            waiting.enter_context(socket.create_connection(gate.address()))
        gate.wait_metric("sallyport_handshakes_open", lambda n: n == 2)
        with pytest.raises((ssl.SSLError, OSError)):
            raw.Client(gate, world.clients["billing"])
        assert gate.wait_event("refused", reason="too_many_handshakes")["detail"] == "limits.handshakes"
        assert inside.get().status == 200


def test_an_identity_that_fits_no_head_is_refused_and_never_cut(start_gate, world, backend, tmp_path):
    sans = [pki.uri(f"spiffe://corp.example/ns/billing/sa/{number}/" + "a" * 200) for number in range(45)]
    wordy = world.issuing.issue("wordy", sans=sans).save(tmp_path, "wordy")
    gate = start_gate(gates.config(world, backend.endpoint, upstreams=upstream(backend, identity_headers=["plain", "rfc9440"])))
    with raw.Client(gate, wordy) as client:
        assert client.get().status == 200
        assert len(backend.wait().all("X-Client-SAN-URI")) == 45
        assert client.ask(HEAD % (b"", b"a: %s\r\n" % (b"b" * 14000))).status == 431
        assert gate.wait_access(peer=client.peer, status=431)["reason"] == "identity_too_large"
    assert len(backend.requests) == 1


# ---- time ----

def test_a_client_that_takes_nothing_of_its_answer_is_cut(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[gates.listener(world, timeouts={"write": "200ms"})]))
    backend.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50000000]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(HEAD % (b"", b""))
        record = gate.wait_access(peer=client.peer)
        assert (record["reason"], record["status"]) == ("client_gone", 200) and "timeouts.write" in record["detail"]


def test_a_backend_that_stops_in_the_middle_of_its_answer_has_its_time_too(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, upstreams=upstream(backend, timeouts={"response": "200ms"})))
    backend.answers = [lambda talk, request: talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") or talk.more() and False]
    with raw.Client(gate, world.clients["billing"]) as client:
        with pytest.raises((raw.Closed, OSError)):
            client.get()
        record = gate.wait_access(peer=client.peer)
        assert (record["reason"], record["bytes_out"]) == ("response_timeout", 3)


def test_a_connection_that_does_not_come_about_in_time_is_504(start_gate, world):
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # the queue, and more: what comes now is not answered
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        gate = start_gate(gates.config(world, upstreams={
            "main": {"endpoints": ["127.0.0.1:%d" % full.getsockname()[1]], "timeouts": {"connect": "200ms"}}}))
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status == 504
            assert gate.wait_access(peer=client.peer)["reason"] == "connect_timeout"
        assert gate.metrics()["sallyport_upstream_connect_failures_total"] == 1


def test_what_the_end_of_a_drain_cuts_is_named(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, drain_timeout="200ms"))
    backend.answers = [lambda talk, request: talk.more() and False]
    with raw.Client(gate, world.clients["billing"]) as client, socket.create_connection(gate.address()) as half:
        peer = gate.note(half)
        half.sendall(b"\x16")
        gate.wait_metric("sallyport_handshakes_open", lambda n: n == 1)
        client.send(HEAD % (b"", b""))
        backend.wait()
        gate.signal(signal.SIGTERM)
        assert gate.wait_access(peer=client.peer)["reason"] == "shutting_down"
        assert gate.wait_event("refused", peer=peer)["reason"] == "shutting_down"
        assert gate.wait_exit() == 0


# ---- kept connections ----

def test_no_more_connections_are_kept_than_max_idle(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, workers=1, upstreams=upstream(backend, max_idle=2)))
    go = threading.Event()
    backend.default = lambda talk, request: (go.wait(), talk.send(backends.OK))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(raw.Client(gate, world.clients["billing"])) for _ in range(4)]
        for client in clients:
            client.send(HEAD % (b"", b""))
        backend.wait(4)
        go.set()
        assert [client.response().status for client in clients] == [200] * 4
        gate.wait_metric("sallyport_upstream_idle_connections", lambda n: n == 2)
        gate.wait_metric("sallyport_requests_in_flight", lambda n: n == 0)
        assert gate.metrics()["sallyport_upstream_idle_connections"] == 2


def test_an_unused_connection_is_closed_after_its_idle_time(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, upstreams=upstream(backend, timeouts={"idle": "100ms"})))
    ended = threading.Event()

    def answer(talk, request):
        talk.send(backends.OK)
        if not talk.more():
            ended.set()
        return False

    backend.default = answer
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        assert ended.wait(PATIENCE)
        assert gate.metrics()["sallyport_upstream_reuses_total"] == 0


# ---- who comes in ----

def test_min_version_is_the_least_that_is_spoken(start_gate, world, backend):
    tls = {**gates.listener(world)["tls"], "min_version": "1.3"}
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[gates.listener(world, tls=tls)]))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200 and client.tls.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        raw.Client(gate, world.clients["billing"], maximum=ssl.TLSVersion.TLSv1_2)
    assert gate.wait_event("refused")["reason"] == "protocol_version"


def test_a_fingerprint_is_one_certificate_and_no_other(start_gate, world, backend):
    gate = start_gate(gates.config(
        world, backend.endpoint, callers={"one": [{"fingerprint_sha256": world.clients["auditor"].sha256_hex}]},
        rules=[{"name": "one", "from": ["one"], "upstream": "main"}]))
    for who, status in (("auditor", 200), ("billing", 403)):
        with raw.Client(gate, world.clients[who]) as client:
            assert client.get().status == status


def test_an_output_that_is_off_has_no_line(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, log={"access": "off"}))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
    gate.stop()
    assert gate.accesses.records == [] and gate.accesses.noise == []
