"""The first request of a connection, and the last.

Of the first, part may come in the same segment as the client's last message of the handshake. A client with Nagle's algorithm sends
the rest when what it has sent is acknowledged; if nothing of ours carries that, its kernel and ours wait for each other 40 ms.
"""

import socket
import ssl
import struct
import threading
import time

import pytest

from lib import gate as gates
from lib import raw, tcp
from lib.patience import PATIENCE

TRIES = 8
SECONDS = 0.03  # under the 40 ms; one try of all is enough, for a busy machine is slow, too
HEAD = b"POST /a HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 4\r\n\r\n"


class Held:
    """TLS by hand: what it would send is held until it is told to."""

    def __init__(self, gate, context, session=None):
        self.sock = socket.create_connection(gate.address(), PATIENCE)  # with Nagle's algorithm
        self.received, self.sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.received, self.sent, server_hostname="billing.internal", session=session)

    def until(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.flush()
                self.received.write(self.sock.recv(65536))

    def flush(self):
        if self.sent.pending:
            self.sock.sendall(self.sent.read())

    def send(self, data):
        self.tls.write(data)
        self.flush()


def seconds_of(gate, context, first, second, answer, session):
    """From the first part of what is said, which goes with the handshake's last message, to the answer."""
    held = Held(gate, context, session)
    with held.sock:
        held.until(held.tls.do_handshake)
        assert held.sent.pending
        began = time.monotonic()
        held.send(first)
        held.send(second)
        assert held.until(lambda: held.tls.read(len(answer))) == answer
        return time.monotonic() - began, held.tls.session


def fastest(gate, world, first, second, answer, resumes):
    context = raw.context(world, world.clients["billing"])
    session, found = None, []
    for _ in range(TRIES):
        seconds, session = seconds_of(gate, context, first, second, answer, session if resumes else None)
        found.append(seconds)
    return min(found)


@pytest.mark.parametrize("resumes", [False, True], ids=["full", "resumed"])
@pytest.mark.parametrize("first,second", [(HEAD, b"body"), (HEAD[:30], HEAD[30:] + b"body")], ids=["body", "head"])
def test_the_rest_of_a_request_is_not_waited_for_without_a_word(module_gate, world, first, second, resumes):
    assert fastest(module_gate, world, first, second, b"HTTP/1.1 200", resumes) < SECONDS


def answer_each(backend, question, answer):
    for _ in range(TRIES):
        sock = backend.take()
        assert tcp.exactly(sock, len(question)) == question
        sock.sendall(answer)


def test_nor_is_the_rest_of_what_is_said_through_a_tunnel(start_gate, world):
    backend = tcp.TcpBackend()
    threading.Thread(target=answer_each, args=(backend, b"question", b"answer"), daemon=True).start()
    try:
        settings = gates.config(world, backend.endpoint, listeners=[gates.listener(world, mode="tcp")])
        settings["rules"] = [{"name": "billing-db", "from": ["billing"], "upstream": "main"}]
        gate = start_gate(settings)
        assert fastest(gate, world, b"que", b"stion", b"answer", True) < SECONDS
    finally:
        backend.close()


DATA_SEGMENTS_IN = 152  # tcpi_data_segs_in of struct tcp_info, linux/tcp.h


def segments_of(client):
    """Segments with data in them that have come so far."""
    return struct.unpack_from("I", client.tls.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), DATA_SEGMENTS_IN)[0]


def test_the_last_answer_comes_in_one_segment_with_its_end(module_gate, world):
    with raw.Client(module_gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        before = segments_of(client)
        assert client.get(more=b"Connection: close\r\n").status == 200
        assert tcp.to_the_end(client.tls) == b""
        assert segments_of(client) - before == 1
