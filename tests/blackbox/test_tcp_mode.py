"""Listeners in mode tcp: who may come is decided once, then bytes go both ways as they are."""

import hashlib
import re
import select
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from lib import gate as gates
from lib import raw, tcp
from lib.patience import PATIENCE, until

KIB = 1024
MIB = 1024 * KIB
GROWTH_KIB = 24 * 1024


@pytest.fixture
def backend():
    made = tcp.TcpBackend()
    yield made
    made.close()


def listener(world, **changes):
    return gates.listener(world, mode="tcp", **changes)


def settings(world, backend, *, upstream=None, listeners=None, **changes):
    made = gates.config(world, backend.endpoint, **changes)
    made["listeners"] = listeners or [listener(world)]
    made["rules"] = changes.get("rules", [{"name": "billing-db", "from": ["billing"], "upstream": "main"}])
    made["upstreams"] = {"main": {"endpoints": [backend.endpoint], **(upstream or {})}}
    return made


@pytest.fixture
def gate(start_gate, world, backend):
    return start_gate(settings(world, backend))


@pytest.fixture
def pair(gate, world, backend):
    """A client and its backend, connected."""
    with raw.Client(gate, world.clients["billing"]) as client:
        yield client, backend.take()


# ---- bytes ----

def test_bytes_go_both_ways_as_they_are(gate, pair):
    client, sock = pair
    every = bytes(range(256)) * 64
    client.send(every)
    assert tcp.exactly(sock, len(every)) == every
    sock.sendall(every[::-1])
    assert tcp.exactly(client.tls, len(every)) == every[::-1]


def test_a_backend_that_speaks_first_is_heard(pair):
    client, sock = pair
    sock.sendall(b"220 mail.internal ready\r\n")
    assert tcp.exactly(client.tls, 25) == b"220 mail.internal ready\r\n"
    client.send(b"QUIT\r\n")
    assert tcp.exactly(sock, 6) == b"QUIT\r\n"


def test_what_comes_with_the_handshake_is_not_lost(start_gate, world, backend):
    gate = start_gate(settings(world, backend))
    for number in range(20):
        with raw.Client(gate, world.clients["billing"]) as client:
            client.send(b"hello %d\n" % number)
            tcp.end_direction(client.tls)
            assert tcp.to_the_end(backend.take()) == b"hello %d\n" % number


def test_many_megabytes_arrive_whole_in_both_directions_at_once(pair):
    client, sock = pair
    block, blocks = bytes(range(256)) * 256, 256
    whole, digests = len(block) * blocks, {"up": hashlib.sha256(), "down": hashlib.sha256()}

    def drain_backend():
        left = whole
        while left:
            part = sock.recv(min(left, MIB))
            assert part
            digests["up"].update(part)
            left -= len(part)

    def pour_backend():
        for _ in range(blocks):
            sock.sendall(block)

    threads = [threading.Thread(target=drain_backend), threading.Thread(target=pour_backend)]
    for thread in threads:
        thread.start()
    # One TLS socket for both directions: it is not to be used by two threads at once
    to_send, to_read = whole, whole
    client.tls.setblocking(False)
    while to_send or to_read:
        moved = 0
        try:
            if to_send:
                moved = client.tls.send(block[(whole - to_send) % len(block):])
                to_send -= moved
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            if to_read:
                part = client.tls.recv(MIB)
                assert part
                digests["down"].update(part)
                to_read -= len(part)
                moved += len(part)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        if not moved:
            select.select([client.tls], [client.tls] if to_send else [], [], PATIENCE)
    for thread in threads:
        thread.join()
    want = hashlib.sha256(block * blocks).digest()
    assert {way: digest.digest() for way, digest in digests.items()} == {"up": want, "down": want}


# ---- the ends ----

def test_a_client_that_has_said_all_still_hears_the_answer(gate, pair):
    client, sock = pair
    client.send(b"all I have")
    tcp.end_direction(client.tls)
    assert tcp.to_the_end(sock) == b"all I have"
    sock.sendall(b"and the answer")
    sock.close()
    assert tcp.to_the_end(client.tls) == b"and the answer"
    record = gate.wait_access(peer=client.peer)
    assert "reason" not in record and record["bytes_in"] == 10 and record["bytes_out"] == 14


def test_a_backend_that_has_said_all_still_hears_the_client(gate, pair):
    client, sock = pair
    sock.sendall(b"my last word")
    sock.shutdown(1)
    assert tcp.to_the_end(client.tls) == b"my last word"
    client.send(b"and mine")
    assert tcp.exactly(sock, 8) == b"and mine"
    client.tls.unwrap()
    assert tcp.to_the_end(sock) == b""
    assert "reason" not in gate.wait_access(peer=client.peer)


def test_a_backend_that_breaks_ends_the_client_without_close_notify(gate, pair):
    client, sock = pair
    client.send(b"x")
    assert tcp.exactly(sock, 1) == b"x"
    tcp.reset(sock)
    assert tcp.is_over(client.tls)
    assert gate.wait_access(peer=client.peer)["reason"] == "backend_closed"


def test_a_client_that_breaks_ends_the_backend(gate, pair):
    client, sock = pair
    client.send(b"x")
    assert tcp.exactly(sock, 1) == b"x"
    client.reset()
    assert tcp.is_over(sock)
    assert gate.wait_access(peer=client.peer)["reason"] == "client_gone"


def test_a_client_that_breaks_right_behind_its_words_ends_the_backend(gate, pair):
    """The kernel reports both in one go, and the break never again."""
    client, sock = pair
    gate.signal(signal.SIGSTOP)
    client.send(b"my last word")
    client.reset()
    gate.signal(signal.SIGCONT)
    assert tcp.exactly(sock, 12) == b"my last word"
    assert tcp.is_over(sock)
    assert gate.wait_access(peer=client.peer)["reason"] == "client_gone"


def test_a_backend_that_breaks_right_behind_its_words_ends_the_client(gate, pair):
    client, sock = pair
    client.send(b"x")
    assert tcp.exactly(sock, 1) == b"x"
    gate.signal(signal.SIGSTOP)
    sock.sendall(b"my last word")
    tcp.reset(sock)
    gate.signal(signal.SIGCONT)
    assert tcp.exactly(client.tls, 12) == b"my last word"
    assert tcp.is_over(client.tls)
    assert gate.wait_access(peer=client.peer)["reason"] == "backend_closed"


def fill(client):
    """Until nobody takes any more of it."""
    client.tls.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            client.tls.send(bytes(MIB))
    client.tls.settimeout(PATIENCE)


def test_a_backend_that_breaks_while_it_is_written_to_does_not_look_as_if_it_had_said_all(gate, pair):
    client, sock = pair
    fill(client)
    sock.sendall(b"half of it")
    assert tcp.exactly(client.tls, 10) == b"half of it"
    sock.close()  # with much that it has not read, which makes it a reset
    client.tls.suppress_ragged_eofs = False
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tcp.to_the_end(client.tls)
    assert gate.wait_access(peer=client.peer)["reason"] == "backend_closed"


def test_the_last_words_of_a_backend_that_takes_no_more_arrive_whole(gate, pair):
    client, sock = pair
    fill(client)
    words = bytes(range(256)) * 64
    gate.signal(signal.SIGSTOP)  # it sees words, end and reset at one time
    sock.sendall(words)
    sock.shutdown(socket.SHUT_WR)
    sock.close()
    gate.signal(signal.SIGCONT)
    assert tcp.to_the_end(client.tls) == words
    assert "reason" not in gate.wait_access(peer=client.peer)


def test_what_a_client_said_last_arrives_whole_when_both_have_ended(gate, pair):
    """Nobody is connected any more by then, which is no reset."""
    client, sock = pair
    sock.sendall(b"my last word")
    sock.shutdown(socket.SHUT_WR)
    assert tcp.to_the_end(client.tls) == b"my last word"
    words = bytes(range(256)) * 15000  # more than goes on before it is read
    client.send(words)
    client.tls.unwrap().close()
    assert tcp.to_the_end(sock) == words
    assert "reason" not in gate.wait_access(peer=client.peer)


def test_a_client_that_breaks_is_gone_while_its_backend_reads_nothing(gate, pair):
    client, sock = pair
    fill(client)
    client.reset()
    assert gate.wait_access(peer=client.peer)["reason"] == "client_gone"
    assert tcp.is_over(sock)


def wait_until_still(ask, enough):
    """Until it is enough, or no more for a second: kernels do not give every connection the same room."""
    last, since = ask(), time.monotonic()
    while last < enough and time.monotonic() - since < 1:
        time.sleep(0.02)
        now = ask()
        if now != last:
            last, since = now, time.monotonic()


@pytest.mark.parametrize("room", [8 * KIB, 24 * KIB, 40 * KIB])
def test_a_client_that_breaks_right_behind_more_than_its_backend_takes_is_gone(gate, world, backend, room):
    """The kernel reports both in one go, and the words are stuck."""
    name = 'sallyport_tunnel_bytes_total{direction="in"}'
    with raw.Client(gate, world.clients["billing"]) as client:
        fill(client)
        taken = int(gate.metrics()[name])
        client.reset()
        gate.wait_access(peer=client.peer)
    backend.take()
    with raw.Client(gate, world.clients["billing"]) as client:
        sock = backend.take()
        before = gate.metrics()[name]
        client.send(bytes(max(taken - room, 1)))
        wait_until_still(lambda: gate.metrics()[name], before + taken - room)
        gate.signal(signal.SIGSTOP)
        client.send(bytes(56 * KIB))
        client.reset()
        gate.signal(signal.SIGCONT)
        assert gate.wait_access(peer=client.peer)["reason"] == "client_gone"
        assert tcp.is_over(sock)


def test_a_tunnel_of_which_nothing_comes_for_its_time_ends(start_gate, world, backend):
    gate = start_gate(settings(world, backend, listeners=[listener(world, timeouts={"tunnel": "300ms"})]))
    with raw.Client(gate, world.clients["billing"]) as client:
        sock = backend.take()
        assert tcp.is_over(sock) and tcp.is_over(client.tls)
        assert gate.wait_access(peer=client.peer)["reason"] == "tunnel_idle"


def kernel_timers(*ends):
    """By the socket's own end and its peer's: which of its timers runs. The kernel writes addresses and ports in hex."""
    def text(end):
        return "%08X:%04X" % (struct.unpack("=I", socket.inet_aton(end[0]))[0], end[1])
    with open("/proc/self/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    return [[row[5] for row in rows if row[1:3] == [text(own), text(peer)]] for own, peer in ends]


def test_both_sides_of_a_tunnel_are_asked_by_the_kernel_whether_they_are_there(pair):
    client, sock = pair
    sides = [(client.tls.getpeername(), client.tls.getsockname()), (sock.getpeername(), sock.getsockname())]

    def are_asked():
        timers = kernel_timers(*sides)
        assert all(len(timer) == 1 for timer in timers), timers
        return all(re.match("02:0000(0|1)...$", timer[0]) for timer in timers)  # the timer of keepalive, within a minute or so
    until(are_asked, "both timers")


# ---- backpressure ----

@pytest.mark.parametrize("stopped", ["client", "backend"])
def test_a_side_that_does_not_read_holds_the_other_back_and_costs_no_memory(start_gate, world, backend, stopped):
    gate = start_gate(settings(world, backend))
    with raw.Client(gate, world.clients["billing"]) as client:
        sock = backend.take()
        before = gate.memory_kib("VmRSS")
        writer = client.tls if stopped == "backend" else sock
        writer.settimeout(1)
        sent, block = 0, bytes(MIB)
        with pytest.raises(TimeoutError):
            while sent < 512 * MIB:
                sent += writer.send(block)
        assert sent < 512 * MIB
        assert gate.memory_kib("VmRSS") - before < GROWTH_KIB


# ---- who may ----

def test_who_is_refused_is_closed_and_the_backend_hears_nothing(gate, world, backend):
    with raw.Client(gate, world.clients["auditor"]) as client:
        assert tcp.is_over(client.tls)
        record = gate.wait_access(peer=client.peer)
        assert record["reason"] == "no_rule" and record["mode"] == "tcp" and record["caller"] == "auditors"
        assert "status" not in record and "upstream" not in record
    assert not backend.has_more()


def test_the_name_that_was_asked_for_chooses_the_rule(start_gate, world, backend):
    other = tcp.TcpBackend()
    made = settings(world, backend, rules=[
        {"name": "a", "from": ["billing"], "host": "billing.internal", "upstream": "main"},
        {"name": "b", "from": ["billing"], "host": "a.wild.internal", "upstream": "other"}])
    made["upstreams"]["other"] = {"endpoints": [other.endpoint]}
    gate = start_gate(made)
    try:
        for sni, expected in (("billing.internal", backend), ("a.wild.internal", other)):
            with raw.Client(gate, world.clients["billing"], sni=sni) as client:
                expected.take().sendall(b"!")
                assert tcp.exactly(client.tls, 1) == b"!"
    finally:
        other.close()


def test_a_rule_that_looks_at_paths_never_lets_a_connection_in(start_gate, world, backend):
    gate = start_gate(settings(world, backend, listeners=[listener(world), gates.listener(world, name="web")], rules=[
        {"name": "paths", "from": ["billing"], "path": "/**", "upstream": "main"},
        {"name": "methods", "from": ["billing"], "methods": ["GET"], "upstream": "main"}]))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert tcp.is_over(client.tls)
        assert gate.wait_access(peer=client.peer)["reason"] == "no_rule"


def test_nobody_to_connect_to_is_told_in_the_record(start_gate, world, backend):
    made = settings(world, backend)
    backend.close()
    gate = start_gate(made)
    with raw.Client(gate, world.clients["billing"]) as client:
        assert tcp.is_over(client.tls)
        record = gate.wait_access(peer=client.peer)
        assert record["reason"] == "no_endpoint" and record["upstream"] == "main" and "tries" not in record


def test_limits_of_its_caller_count_connections(start_gate, world, backend):
    made = settings(world, backend)
    made["callers"]["billing"] = {"match": made["callers"]["billing"], "limits": {"concurrent_requests": 1}}
    gate = start_gate(made)
    with raw.Client(gate, world.clients["billing"]) as first:
        sock = backend.take()
        with raw.Client(gate, world.clients["billing"]) as second:
            assert tcp.is_over(second.tls)
            assert gate.wait_access(peer=second.peer)["reason"] == "caller_requests"
        sock.sendall(b"still here")
        assert tcp.exactly(first.tls, 10) == b"still here"


def test_a_client_that_is_revoked_loses_its_connection(start_gate, own_world, backend):
    made = settings(own_world, backend, revocation_in_flight="finish")
    gate = start_gate(made, of=own_world)
    with raw.Client(gate, own_world.clients["billing"]) as client:
        sock = backend.take()
        client.send(b"x")
        assert tcp.exactly(sock, 1) == b"x"
        own_world.write_crls([own_world.clients["billing"]])
        assert tcp.is_over(sock) and tcp.is_over(client.tls)
        assert gate.wait_event("session_ended", peer=client.peer)["reason"] == "revoked"
        assert gate.wait_access(peer=client.peer)["reason"] == "revoked"


def test_a_client_that_is_revoked_while_it_waits_does_not_come_in(start_gate, own_world, backend):
    upstream = {"max_connections": 1, "queue": {"max": 4, "timeout": "60s"}}
    gate = start_gate(settings(own_world, backend, revocation_in_flight="finish", upstream=upstream), of=own_world)
    with raw.Client(gate, own_world.clients["rsa"]) as first, raw.Client(gate, own_world.clients["billing"]) as client:
        sock = backend.take()
        gate.wait_metric("sallyport_requests_in_flight", lambda n: n == 2)
        own_world.write_crls([own_world.clients["billing"]])
        assert tcp.is_over(client.tls)
        assert gate.wait_access(peer=client.peer)["reason"] == "revoked"
        first.send(b"still here")
        assert tcp.exactly(sock, 10) == b"still here"
        assert not backend.has_more()


def test_rules_that_change_end_what_they_would_not_let_in(gate, world, backend, pair):
    client, sock = pair
    made = settings(world, backend, rules=[{"name": "nobody", "from": ["auditors"], "upstream": "main"}])
    assert gate.reload(made)["event"] == "reloaded"
    assert tcp.is_over(sock) and tcp.is_over(client.tls)
    assert gate.wait_access(peer=client.peer)["reason"] == "no_rule"


# ---- counting ----

def test_tunnels_are_counted_while_they_are_open_and_by_their_bytes(gate, pair):
    client, sock = pair
    client.send(b"12345")
    assert tcp.exactly(sock, 5)
    sock.sendall(b"123")
    assert tcp.exactly(client.tls, 3)
    numbers = gate.metrics()
    assert numbers["sallyport_tunnels_open"] == 1 and numbers["sallyport_tunnels_total"] == 1
    gate.wait_metric('sallyport_tunnel_bytes_total{direction="in"}', lambda n: n == 5)
    gate.wait_metric('sallyport_tunnel_bytes_total{direction="out"}', lambda n: n == 3)
    sock.close()
    client.close()
    gate.wait_metric("sallyport_tunnels_open", lambda n: n == 0)
    assert gate.metrics()['sallyport_decisions_total{rule="billing-db",decision="allowed",mode="enforce"}'] == 1


# ---- PROXY headers ----

def parse_v2(sock):
    head = tcp.exactly(sock, 16)
    assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n" and head[12] == 0x21 and head[13] == 0x11
    rest = tcp.exactly(sock, struct.unpack(">H", head[14:])[0])
    addresses, tlvs, at = rest[:12], {}, 12
    while at < len(rest):
        kind, length = struct.unpack_from(">BH", rest, at)
        tlvs[kind] = rest[at + 3:at + 3 + length]
        at += 3 + length
    source, destination, source_port, destination_port = struct.unpack(">4s4sHH", addresses)
    return source, source_port, destination, destination_port, tlvs


def sub_tlvs(value):
    flags, verify = struct.unpack_from(">BI", value)
    found, at = {}, 5
    while at < len(value):
        kind, length = struct.unpack_from(">BH", value, at)
        found[kind] = value[at + 3:at + 3 + length]
        at += 3 + length
    return flags, verify, found


def test_the_backend_is_told_by_proxy_v1_whose_connection_it_is(start_gate, world, backend):
    gate = start_gate(settings(world, backend, upstream={"proxy_protocol": "v1"}))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"payload")
        sock = backend.take()
        ours, theirs = client.tls.getsockname(), client.tls.getpeername()
        line = b"PROXY TCP4 %s %s %d %d\r\n" % (ours[0].encode(), theirs[0].encode(), ours[1], theirs[1])
        assert tcp.exactly(sock, len(line) + 7) == line + b"payload"


@pytest.mark.parametrize("with_certificate", [False, True])
def test_the_backend_is_told_by_proxy_v2_who_the_client_has_proven_to_be(start_gate, world, backend, with_certificate):
    upstream = {"proxy_protocol": "v2", "proxy_protocol_client_cert": with_certificate}
    gate = start_gate(settings(world, backend, upstream=upstream))
    credential = world.clients["billing"]
    with raw.Client(gate, credential) as client:
        client.send(b"payload")
        sock = backend.take()
        ours, theirs = client.tls.getsockname(), client.tls.getpeername()
        source, source_port, destination, destination_port, tlvs = parse_v2(sock)
        assert (source, source_port) == (bytes([127, 0, 0, 1]), ours[1])
        assert (destination, destination_port) == (bytes([127, 0, 0, 1]), theirs[1])
        assert tlvs[2] == b"billing.internal" and len(tlvs[3]) == 4
        flags, verify, ssl_tlvs = sub_tlvs(tlvs[0x20])
        assert flags & 0b111 in (0b011, 0b111) and verify == 0
        assert ssl_tlvs[0x22] == b"billing-batch"
        assert ssl_tlvs[0x21] == client.tls.version().encode() and ssl_tlvs[0x23] == client.tls.cipher()[0].encode()
        assert (ssl_tlvs.get(0x28) == credential.der) == with_certificate
        assert ssl_tlvs[0x26] in (b"x25519", b"secp256r1") and ssl_tlvs[0x27] == b"ecdsa_secp256r1_sha256"
        assert tcp.exactly(sock, 7) == b"payload"


# ---- drain ----

def test_a_drain_leaves_a_tunnel_until_its_deadline(start_gate, world, backend):
    gate = start_gate(settings(world, backend, drain_timeout="1s"))
    with raw.Client(gate, world.clients["billing"]) as client:
        sock = backend.take()
        gate.signal(15)
        gate.wait_event("draining")
        client.send(b"still")
        assert tcp.exactly(sock, 5) == b"still"
        assert tcp.is_over(sock) and tcp.is_over(client.tls)
        assert gate.wait_access(peer=client.peer)["reason"] == "shutting_down"
    gate.wait_exit()


def test_a_listener_that_goes_leaves_its_tunnels_for_the_time_of_a_drain(start_gate, world, backend):
    made = settings(world, backend, listeners=[listener(world), listener(world, name="other")], drain_timeout="1s")
    gate = start_gate(made)
    with raw.Client(gate, world.clients["billing"]) as client:
        sock = backend.take()
        made["listeners"] = [listener(world, name="other")]
        assert gate.reload(made)["event"] == "reloaded"
        client.send(b"still")
        assert tcp.exactly(sock, 5) == b"still"
        assert tcp.is_over(sock) and tcp.is_over(client.tls)
        assert gate.wait_access(peer=client.peer)["reason"] == "listener_removed"


def test_a_connection_that_waited_while_its_listener_went_has_the_time_of_a_drain(start_gate, world, backend):
    upstream = {"max_connections": 1, "queue": {"max": 4, "timeout": "30s"}}
    made = settings(world, backend, upstream=upstream, drain_timeout="1s",
                    listeners=[listener(world), listener(world, name="other")])
    gate = start_gate(made)
    with raw.Client(gate, world.clients["billing"]) as first, raw.Client(gate, world.clients["billing"]) as second:
        gate.wait_metric("sallyport_requests_in_flight", lambda n: n == 2)
        made["listeners"] = [listener(world, name="other")]
        assert gate.reload(made)["event"] == "reloaded"
        for _ in range(2):
            assert tcp.is_over(backend.take())
        for client in (first, second):
            assert gate.wait_access(peer=client.peer)["reason"] == "listener_removed"
