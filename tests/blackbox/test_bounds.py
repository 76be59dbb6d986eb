"""What somebody who has proven nothing can make the gate hold or compute is bounded, and each bound says its own name."""

import base64
import contextlib
import os
import re
import select
import socket
import ssl
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from lib import gate as gates
from lib import pki, raw
from lib.patience import PATIENCE

VERSIONS = [{"maximum": ssl.TLSVersion.TLSv1_2}, {"minimum": ssl.TLSVersion.TLSv1_3}]
versions = pytest.mark.parametrize("version", VERSIONS, ids=["tls1.2", "tls1.3"])


def idle(gate, source="127.0.0.1"):
    """A connection that says nothing."""
    sock = socket.create_connection(gate.address(), timeout=PATIENCE, source_address=(source, 0))
    return sock, gate.note(sock)


def knock(gate, credential, **options):
    """The refusal of a client that must not get in."""
    with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
        peer = gate.note(plain)
        with contextlib.suppress(ssl.SSLError, OSError):
            with raw.context(gate.world, credential, **options).wrap_socket(plain, server_hostname="billing.internal") as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
                assert not tls.recv(1)
        return gate.wait_event("refused", peer=peer)


def read_to_end(sock):
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


# ---- what verifying costs ----

@versions
def test_a_list_of_certificates_is_bounded_in_bytes(module_gate, world, tmp_path, version):
    client = world.clients["billing"]
    junk = [world.stranger_root.issue(f"junk-{number}").cert for number in range(40)]
    long = pki.Credential(client.cert, client.key, [*client.chain, *junk]).save(tmp_path, "long")
    assert 16384 < len(b"".join(long.chain_ders())) < 60000
    before = module_gate.refusals("too_large")
    assert knock(module_gate, long, **version)["reason"] == "too_large"
    assert module_gate.refusals("too_large") == before + 1


@versions
def test_a_chain_is_bounded_in_depth(module_gate, world, version):
    event = knock(module_gate, world.clients["deep"], **version)
    assert event["reason"] == "chain_too_long"


def der(tag, content):
    size = len(content).to_bytes(2, "big")
    return bytes([tag]) + (b"\x82" + size if len(content) > 127 else size[1:]) + content


class HugeKey:
    """RSA of 8676 bits in no time: its primes are Mersenne's, and nobody tests them again."""

    p, q, e = 2**4253 - 1, 2**4423 - 1, 65537

    def public_key(self):
        return rsa.RSAPublicNumbers(self.e, self.p * self.q).public_key()

    def private_bytes(self, *_):
        p, q, e = self.p, self.q, self.e
        d = pow(e, -1, (p - 1) * (q - 1))
        numbers = (0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
        body = b"".join(der(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers)
        label = b"RSA PRIVATE KEY"
        return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, base64.encodebytes(der(0x30, body)), label)


@versions
def test_a_key_is_bounded_in_size(module_gate, world, tmp_path, version):
    big = world.issuing.issue("big", key=HugeKey(), sans=[pki.uri("spiffe://corp.example/ns/billing/sa/big")])
    event = knock(module_gate, big.save(tmp_path, "big"), **version)
    assert event["reason"] == "key_too_large", event


# ---- the ClientHello ----

def record(payload):
    return b"\x16\x03\x01" + len(payload).to_bytes(2, "big") + payload


@pytest.mark.parametrize("piece", [16000, 16], ids=["large records", "small records"])
def test_a_client_hello_is_bounded_in_bytes(module_gate, piece):
    sock, peer = idle(module_gate)
    with sock:
        with contextlib.suppress(OSError):
            sock.sendall(record(b"\x01" + (120000).to_bytes(3, "big")))
            for _ in range(120000 // piece):
                sock.sendall(record(b"\x03" * piece))
        event = module_gate.wait_event("refused", peer=peer)
        read_to_end(sock)
    assert event["reason"] == "hello_too_large", event


def test_a_client_hello_that_is_announced_as_huge_is_refused_at_once(module_gate):
    sock, peer = idle(module_gate)
    with sock:
        sock.sendall(record(b"\x01\xff\xff\xff" + b"\x03" * 60))
        event = module_gate.wait_event("refused", peer=peer)
        read_to_end(sock)
    assert event["reason"] == "hello_too_large", event


def test_a_hello_of_any_length_in_the_range_of_clients_is_let_in(module_gate, world):
    """A long list of protocols makes it thirty times as long as usual."""
    with raw.Client(module_gate, world.clients["billing"], alpn=["http/1.1", *(f"proto-{n:0200}" for n in range(70))]) as client:
        assert client.get().status == 200


# ---- time ----

def slow_gate(start_gate, world, backend):
    return start_gate(gates.config(world, backend.endpoint, listeners=[gates.listener(world, timeouts={"handshake": "400ms"})]))


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        made.wrap_bio(incoming, outgoing, server_hostname="billing.internal").do_handshake()
    return outgoing.read()


def test_a_hello_that_trickles_has_the_same_deadline_however_often_a_byte_comes(start_gate, world, backend):
    gate = slow_gate(start_gate, world, backend)
    sock, peer = idle(gate)
    over = threading.Event()

    def trickle():
        with contextlib.suppress(OSError):
            for byte in client_hello():
                sock.send(bytes([byte]))
                if over.wait(0.02):
                    return

    with sock:
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            event = gate.wait_event("refused", peer=peer)
        finally:
            over.set()
            thread.join()
    assert event["reason"] == "handshake_timeout"
    gate.wait_metric("sallyport_handshakes_open", lambda n: n == 0)


@versions
def test_a_client_that_falls_silent_after_its_hello_has_the_same_deadline(start_gate, world, backend, version):
    gate = slow_gate(start_gate, world, backend)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = raw.context(world, world.clients["billing"], **version).wrap_bio(incoming, outgoing, server_hostname="billing.internal")
    sock, peer = idle(gate)
    with sock:
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(outgoing.read())
        assert sock.recv(65536)  # the gate's answer; nothing more is said
        event = gate.wait_event("refused", peer=peer)
    assert event["reason"] == "handshake_timeout" and "in the middle" in event["detail"]
    assert event["sni"] == "billing.internal"


# ---- how many ----

def capped(start_gate, world, backend, **limits):
    return start_gate(gates.config(world, backend.endpoint, gates=2, limits=limits))


def test_connections_and_handshakes_are_told_apart(start_gate, world, backend):
    gate = capped(start_gate, world, backend, connections=3, handshakes=2)
    with raw.Client(gate, world.clients["billing"]) as inside, contextlib.ExitStack() as stack:
        assert inside.get().status == 200
        first, _ = idle(gate)
        stack.enter_context(first)
        gate.wait_metric("sallyport_handshakes_open", lambda n: n == 1)
        second, _ = idle(gate)
        stack.enter_context(second)
        gate.wait_metric("sallyport_handshakes_open", lambda n: n == 2)
        sock, peer = idle(gate)
        stack.enter_context(sock)
        assert gate.wait_event("refused", peer=peer)["reason"] == "too_many_connections"
        gate.reload(gates.config(world, backend.endpoint, gates=2, limits={"connections": 10, "handshakes": 2}))
        sock, peer = idle(gate)
        stack.enter_context(sock)
        assert gate.wait_event("refused", peer=peer)["reason"] == "too_many_handshakes"
        assert inside.get().status == 200
    assert gate.refusals("too_many_connections") == 1 and gate.refusals("too_many_handshakes") == 1


def test_one_address_takes_no_more_handshakes_than_its_share_and_leaves_the_others_alone(start_gate, world, backend):
    gate = capped(start_gate, world, backend, handshakes_per_address=3)
    with raw.Client(gate, world.clients["billing"]) as inside, contextlib.ExitStack() as stack:
        assert inside.get().status == 200  # no handshake any more: not counted
        held = [stack.enter_context(idle(gate)[0]) for _ in range(3)]
        gate.wait_metric("sallyport_handshakes_open", lambda n: n == 3)
        for _ in range(20):
            sock, peer = idle(gate)
            with sock:
                event = gate.wait_event("refused", peer=peer)
                read_to_end(sock)
            assert (event["reason"], event["detail"]) == ("too_many_from_address", "limits.handshakes_per_address")
        assert gate.refusals("too_many_from_address") == 20
        other, peer = idle(gate, "127.0.0.2")
        stack.enter_context(other)
        gate.wait_metric("sallyport_handshakes_open", lambda n: n == 4)
        assert gate.refused(peer) == []
        held[0].close()
        gate.wait_metric("sallyport_handshakes_open", lambda n: n == 3)
        with raw.Client(gate, world.clients["billing"]) as again:
            assert again.get().status == 200
        assert inside.get().status == 200


def test_an_ipv6_address_has_a_share_too_and_a_unix_socket_none(start_gate, world, backend, tmp_path):
    path = tmp_path / "in.sock"
    gate = start_gate(gates.config(
        world, backend.endpoint, limits={"handshakes_per_address": 2},
        listeners=[gates.listener(world, "six", address="[::1]:0"), gates.listener(world, "unix", address=f"unix:{path}")]))
    with contextlib.ExitStack() as stack:
        for number in range(1, 3):
            stack.enter_context(socket.create_connection(gate.address("six")))
            gate.wait_metric("sallyport_handshakes_open", lambda n, number=number: n == number)
        stack.enter_context(socket.create_connection(gate.address("six")))
        assert gate.wait_event("refused", listener="six")["reason"] == "too_many_from_address"
        for number in range(3, 9):
            stack.enter_context(sock := socket.socket(socket.AF_UNIX))
            sock.connect(gate.address("unix"))
            gate.wait_metric("sallyport_handshakes_open", lambda n, number=number: n == number)
    assert gate.refusals("too_many_from_address") == 1


# ---- after the handshake ----

def test_key_updates_without_end_close_the_connection(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint))
    host, port = gate.address()
    credential = world.clients["billing"]
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "billing.internal", "-tls1_3", "-cert",
         credential.chain_file, "-cert_chain", credential.chain_file, "-key", credential.key_file, "-CAfile", world.server_ca_file],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        gate.wait_metric("sallyport_sessions_open", lambda n: n == 1)
        os.set_blocking(client.stdout.fileno(), False)
        for _ in range(1100):
            try:
                client.stdin.write(b"k\n")
                client.stdin.flush()
            except BrokenPipeError:
                break
            if not wait_for(client, rb"KEYUPDATE"):
                break
        event = gate.wait_event("session_ended")
        assert event["reason"] == "too_many_key_updates", event
        gate.wait_metric("sallyport_sessions_open", lambda n: n == 0)
    finally:
        client.kill()
        client.communicate()


def wait_for(client, pattern):
    """False if the client has ended; else it has written what is waited for."""
    seen = b""
    while not re.search(pattern, seen):
        assert select.select([client.stdout], [], [], PATIENCE)[0], "s_client says nothing"
        got = client.stdout.read()
        if got == b"" or (got is None and client.poll() is not None):
            return False
        seen += got or b""
    return True

