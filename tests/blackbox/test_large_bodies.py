"""Bodies of which much is still to come are read in larger pieces than others: the same bytes arrive, whatever their framing and
sizes, whoever is slow, and however many there are."""

import hashlib
import random
import socket
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE

KIB, MIB = 1024, 1024 * 1024
H = b"Host: billing.internal\r\n"
# As many as a worker has runs, and some.
MANY = 80

CONTENTS = random.Random(6).randbytes(8 * MIB)


def contents(size):
    return CONTENTS[:size]


def chunks(body, size):
    parts = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def framed(body, chunk):
    if chunk is None:
        return b"Content-Length: %d\r\n\r\n" % len(body) + body
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunks(body, chunk)


# Around what makes a difference: 64 KiB that are still to come, and 128 KiB that are read at most.
SIZES = [64 * KIB - 1, 64 * KIB, 96 * KIB + 1, 128 * KIB, 160 * KIB + 1, 3 * MIB]
FRAMINGS = [None, 1, 1000, 64 * KIB, 100_000, MIB]


def cases():
    for chunk in FRAMINGS:
        for size in SIZES:
            if chunk != 1 or size < 100_000:
                yield pytest.param(size, chunk, id=f"{size}-{chunk or 'length'}")


@pytest.mark.parametrize("size,chunk", cases())
def test_a_body_arrives_whole_both_ways_and_so_does_what_is_behind_it(module_gate, world, shared_backend, size, chunk):
    shared_backend.answers = [b"HTTP/1.1 200 OK\r\n" + framed(contents(size), chunk)]
    seen = len(shared_backend.requests)
    with raw.Client(module_gate, world.clients["billing"]) as client:
        request = b"POST / HTTP/1.1\r\n" + H + framed(contents(size), chunk) + b"GET /behind HTTP/1.1\r\n" + H + b"\r\n"
        client.send(request)
        assert client.response("POST").body == contents(size)
        assert client.response().body == b"ok"
    posted, behind = shared_backend.requests[seen:]
    assert posted.body == contents(size)
    assert behind.line == "GET /behind HTTP/1.1"


@pytest.mark.parametrize("size", SIZES)
def test_an_answer_that_ends_with_its_connection_arrives_whole(module_gate, world, shared_backend, size):
    shared_backend.answers = [
        lambda talk, request: talk.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + contents(size)) or False]
    with raw.Client(module_gate, world.clients["billing"]) as client:
        assert client.get().body == contents(size)


@pytest.mark.parametrize("sent", [200_000, 3 * MIB - 1])
def test_a_body_that_is_cut_off_is_not_taken_for_a_whole_one(module_gate, world, shared_backend, sent):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (3 * MIB)
    shared_backend.answers = [lambda talk, request: talk.send(head + contents(sent)) or False]
    with raw.Client(module_gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        assert client.head().status == 200
        assert client._exactly(sent) == contents(sent)
        with pytest.raises((raw.Closed, OSError)):
            client._exactly(1)


# ---- many ----

class Slow(raw.Client):
    """A client whose kernel takes little at once."""

    def _connect(self, gate, credential, sni, listener, options):
        self.plain = socket.socket()
        self.plain.settimeout(PATIENCE)
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.plain.connect(gate.address(listener))
        self.peer = gate.note(self.plain)
        self.tls = raw.context(gate.world, credential, **options).wrap_socket(self.plain, server_hostname=sni)
        raw.Reader.__init__(self, self.tls)


@pytest.fixture(scope="module")
def one_worker(start_module_gate, world, module_backend):
    return start_module_gate(gates.config(world, module_backend.endpoint, workers=1))


def digest_of(client, size):
    digest = hashlib.sha256()
    while size:
        part = client._exactly(min(size, 65536))
        digest.update(part)
        size -= len(part)
    return digest.hexdigest()


def test_more_slow_downloads_than_there_are_runs_hold_up_nobody_and_all_arrive_whole(one_worker, world, shared_backend):
    body = contents(3 * MIB)
    want = hashlib.sha256(body).hexdigest()
    answer = b"HTTP/1.1 200 OK\r\n" + framed(body, None)
    shared_backend.answers = [answer] * (MANY + 2)
    slow = [Slow(one_worker, world.clients["billing"]) for _ in range(MANY)]
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        assert client.head().status == 200
    with raw.Client(one_worker, world.clients["billing"]) as fast:
        for _ in range(2):
            fast.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
            assert fast.head().status == 200
            assert digest_of(fast, len(body)) == want
    for client in slow:
        assert digest_of(client, len(body)) == want
        client.close()


def test_more_uploads_to_a_slow_backend_than_there_are_runs_arrive_whole(one_worker, world, shared_backend):
    body = contents(MIB)
    framing = [None, 1000, 100_000, MIB]
    go, got = threading.Event(), []

    def late(talk, request):
        go.wait(PATIENCE)
        shared_backend._read_body(talk, request)
        got.append(hashlib.sha256(request.body).hexdigest())
        talk.send(backends.OK)

    shared_backend.reads_bodies, shared_backend.default = False, late
    clients = [raw.Client(one_worker, world.clients["billing"]) for _ in range(MANY)]
    senders = [threading.Thread(target=client.send, args=(b"PUT / HTTP/1.1\r\n" + H + framed(body, framing[i % 4]),))
               for i, client in enumerate(clients)]
    try:
        for sender in senders:
            sender.start()
        go.set()
        for client, sender in zip(clients, senders):
            sender.join()
            assert client.response("PUT").body == b"ok"
            client.close()
    finally:
        shared_backend.reads_bodies, shared_backend.default = True, backends.OK
    assert got == [hashlib.sha256(body).hexdigest()] * MANY


def test_clients_that_leave_in_the_middle_take_nothing_with_them(one_worker, world, shared_backend):
    body = contents(3 * MIB)
    answer = b"HTTP/1.1 200 OK\r\n" + framed(body, None)
    for _ in range(2):
        shared_backend.answers = [answer] * MANY
        gone = [Slow(one_worker, world.clients["billing"]) for _ in range(MANY)]
        for client in gone:
            client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
            assert client.head().status == 200
        for client in gone:
            client.reset()
    shared_backend.answers = [answer]
    with raw.Client(one_worker, world.clients["billing"]) as client:
        assert client.get().body == body
