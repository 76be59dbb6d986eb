"""Backends that answer wrongly, half, too much or twice: each time a 502 with its own reason while nothing of an answer has gone
out, a cut one after that, and a connection that nobody uses again."""

import itertools
import os
import socket
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE, until

H = b"Host: billing.internal\r\n"
POST = b"POST / HTTP/1.1\r\n" + H
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NONE = b"Content-Length: 0\r\n\r\n"

HEADS = {
    "bad_status_line": [
        b"garbage\r\n\r\n", b"\r\n" + OK + NONE, b"HTTP/1.1 200\n\n", b"HTTP/1.1 99 X\r\n" + NONE, b"HTTP/1.1 600 X\r\n" + NONE,
        b"HTTP/1.1 20x OK\r\n" + NONE, b"HTTP/2 200 OK\r\n" + NONE, b"HTTP/3.0 200 OK\r\n" + NONE, b"http/1.1 200 OK\r\n" + NONE,
        b"\x16\x03\x01\x00\x05hello\n", b"+OK ready\r\n", b"SSH-2.0-OpenSSH\r\n",
        # response splitting by the reason phrase
        b"HTTP/1.1 200 O\rK\r\n" + NONE, b"HTTP/1.1 200 OK\nSet-Cookie: x\r\n" + NONE, b"HTTP/1.1 200 O\x00K\r\n" + NONE,
        b"HTTP/1.1 200 \x1b[31mOK\r\n" + NONE],
    "bad_response_header": [
        OK + b"X-A: b\r\n c\r\n" + NONE, OK + b"X-A : b\r\n" + NONE, OK + b"no colon\r\n" + NONE, OK + b": b\r\n" + NONE,
        OK + b"X\xc3\xa4: b\r\n" + NONE, OK + b"Connection: a b\r\n" + NONE,
        # response splitting by a value
        OK + b"X-A: b\x00c\r\n" + NONE, OK + b"X-A: b\rSet-Cookie: x\r\n" + NONE, OK + b"X-A: b\nSet-Cookie: x\r\n" + NONE,
        OK + b"X-A: b\r\r\n" + NONE, OK + b"X-A: b\n\n<html>"],
    "bad_response_framing": [
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        OK + b"Content-Length: -1\r\n\r\n", OK + b"Content-Length: 2, 3\r\n\r\nok!", OK + b"Content-Length: 0x2\r\n\r\nok",
        OK + b"Content-Length: 99999999999999999999\r\n\r\n", OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"Transfer-Encoding: chunked, identity\r\n\r\n", OK + b"Transfer-Encoding: xchunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + OK + NONE],
    "bad_upgrade": [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + OK + NONE],
    "too_many_interim": [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + OK + NONE, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000 + OK + NONE,
        (b"HTTP/1.1 102 Processing\r\nX-A: " + b"a" * 8000 + b"\r\n\r\n") * 40],
    "response_too_large": [
        OK + b"X: " + b"a" * 40000 + b"\r\n\r\n", OK + b"X: a\r\n" * 300 + b"\r\n", OK[:-2] + b"K" * 40000,
        b"HTTP/1.1 100 Continue\r\nX: " + b"a" * 40000],
    "backend_closed": [
        b"", b"H", b"HTTP/1.1 200 OK", OK, OK + b"Content-Le", OK + b"Content-Length: 5\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 2"],
}
SENT = [(reason, sent) for reason, answers in HEADS.items() for sent in answers]
BODIES = [
    ("bad_response_chunk", CHUNKED + b"zz\r\nhello\r\n"), ("bad_response_chunk", CHUNKED + b"5\nhello\r\n"),
    ("bad_response_chunk", CHUNKED + b"-5\r\nhello\r\n"), ("bad_response_chunk", CHUNKED + b"0x5\r\nhello\r\n"),
    ("bad_response_chunk", CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n"), ("bad_response_chunk", CHUNKED + b"fffffffffffffffff\r\nhello"),
    ("bad_response_chunk", CHUNKED + b"5;" + b"a" * 300 + b"\r\nhello\r\n"), ("bad_response_chunk", CHUNKED + b"5;a\nb\r\nhello\r\n"),
    ("bad_response_chunk", CHUNKED + b"5\r\nhello\r\n0\r\nX\r\n\r\n"), ("bad_response_chunk", CHUNKED + b"0\r\nX: a\x00\r\n\r\n"),
    ("bad_response_chunk", CHUNKED + b"5\r\nhello\r\n0\r\nX: " + b"a" * 9000), ("bad_response_chunk", CHUNKED + b"0\r\n" + b"X: a\r\n" * 40),
    ("bad_response_chunk", CHUNKED + b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n"),
    ("backend_closed", OK + b"Content-Length: 100\r\n\r\n"), ("backend_closed", OK + b"Content-Length: 100\r\n\r\nhalf"),
    ("backend_closed", CHUNKED), ("backend_closed", CHUNKED + b"5"), ("backend_closed", CHUNKED + b"5\r\nhel"),
    ("backend_closed", CHUNKED + b"5\r\nhello\r\n"), ("backend_closed", CHUNKED + b"5\r\nhello\r\n0\r\n"),
    ("backend_closed", CHUNKED + b"5\r\nhello\r\n0\r\nX: a\r\n"),
]
BIG = b"10000\r\n" + b"x" * 65536 + b"\r\n"


def shown(value):
    return repr(value[:44]) if isinstance(value, bytes) else None


def answering(sent, end="close"):
    """Says it whole, or as much as the gate takes, then ends the connection, or would take another request on it ("open")."""
    def answer(talk, request):
        try:
            talk.send(sent)
            if end == "reset":
                talk.reset()
        except OSError:
            return False
        return end == "open"
    return answer


def going_on(reason):
    """Only an end of the connection shows that an answer is not complete."""
    return "close" if reason == "backend_closed" else "open"


def get_fresh(gate, world):
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/next").status == 200


def assert_not_reused(gate, world, backend):
    """Nothing came on the connection of the exchange that failed, the first, any more."""
    get_fresh(gate, world)
    failed, *others = backend.requests
    assert failed.line.startswith("POST") and others[-1].line.split()[1] == "/next"
    assert failed.connection not in [other.connection for other in others]


# ---- heads ----

@pytest.mark.parametrize("reason,sent", SENT, ids=shown)
def test_a_head_that_is_no_clear_http_becomes_502_with_its_own_reason(module_gate, world, shared_backend, reason, sent):
    shared_backend.answers = [answering(sent, going_on(reason))]
    with raw.Client(module_gate, world.clients["billing"]) as client:
        answer = client.ask(POST + b"Content-Length: 0\r\n\r\n", "POST")
        assert answer.status == 502 and b"request id" in answer.body, answer
        record = module_gate.wait_access(peer=client.peer)
        assert (record["reason"], record["status"]) == (reason, 502), record
        assert client.get("/next").status == 200  # the client's connection is fine
    assert_not_reused(module_gate, world, shared_backend)


@pytest.mark.parametrize("reason,sent", SENT, ids=shown)
def test_it_becomes_502_while_the_request_still_streams_too(module_gate, world, shared_backend, reason, sent):
    shared_backend.reads_bodies = False
    shared_backend.answers = [answering(sent, going_on(reason))]
    try:
        with raw.Client(module_gate, world.clients["billing"]) as client:
            client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            answer = client.response("POST")
            assert answer.status == 502 and answer.one("Connection") == "close"
            assert module_gate.wait_access(peer=client.peer)["reason"] == reason
    finally:
        shared_backend.reads_bodies = True
    assert_not_reused(module_gate, world, shared_backend)


@pytest.mark.parametrize("sent", [sent for sent in HEADS["backend_closed"] if not sent.startswith(b"HTTP/1.1 10")], ids=repr)
def test_a_reset_at_any_byte_of_the_head_is_502(module_gate, world, shared_backend, sent):
    shared_backend.answers = [answering(sent, "reset")]
    with raw.Client(module_gate, world.clients["billing"]) as client:
        assert client.ask(POST + b"Content-Length: 5\r\n\r\nhello", "POST").status == 502
        assert module_gate.wait_access(peer=client.peer)["reason"] == "backend_closed"
    assert_not_reused(module_gate, world, shared_backend)


def test_the_request_is_not_repeated_once_a_byte_of_an_answer_has_come(module_gate, world, shared_backend):
    shared_backend.answers = [answering(b"H", "reset")]
    with raw.Client(module_gate, world.clients["billing"]) as client:
        assert client.get().status == 502
    assert len(shared_backend.requests) == 1


@pytest.fixture
def listening():
    """A backend that does to each connection what the test says, without reading a request."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(PATIENCE)
    done = []

    def serve(act):
        def run():
            try:
                while True:
                    sock, _ = server.accept()
                    done.append(sock)
                    act(sock)
            except OSError:
                pass
        threading.Thread(target=run, daemon=True).start()
        return "127.0.0.1:%d" % server.getsockname()[1]

    yield serve
    server.close()
    for sock in done:
        sock.close()


def hang_up(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


@pytest.mark.parametrize("act", [socket.socket.close, hang_up], ids=["close", "reset"])
def test_a_backend_that_hangs_up_at_once_is_502(start_gate, world, listening, act):
    gate = start_gate(gates.config(world, listening(act)))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.ask(POST + b"Content-Length: 5\r\n\r\nhello", "POST").status == 502
        # a reset may come before the gate has looked whether it is connected: then it never was
        reasons = ("backend_closed", "no_endpoint") if act is hang_up else ("backend_closed",)
        assert gate.wait_access(peer=client.peer)["reason"] in reasons


def test_a_backend_that_speaks_first_is_502(start_gate, world, listening):
    """Its greeting may come before the request has gone out, or behind it and in place of an answer."""
    gate = start_gate(gates.config(world, listening(lambda sock: sock.sendall(b"220 mail.example ESMTP\r\n"))))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.ask(POST + b"Content-Length: 0\r\n\r\n", "POST").status == 502
        assert gate.wait_access(peer=client.peer)["reason"] in ("unasked_response", "bad_status_line")


def test_a_head_that_comes_too_slowly_is_504(start_gate, world, backend):
    gate = start_gate(gates.config(world, upstreams={
        "main": {"endpoints": [backend.endpoint], "timeouts": {"response": "400ms"}}}))
    gone = threading.Event()

    def drip(talk, request):
        try:
            for byte in itertools.chain(OK, itertools.cycle(b"X: a\r\n")):
                talk.send(bytes([byte]))
                if gone.wait(0.02):
                    break
        except OSError:
            gone.set()
        return False

    backend.answers = [drip]
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 504
        assert gate.wait_access(peer=client.peer)["reason"] == "response_timeout"
    until(gone.is_set, "the slow backend's connection to end")


# ---- bodies ----

@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("reason,sent", BODIES, ids=shown)
def test_a_body_that_breaks_is_never_shown_as_whole(module_gate, world, shared_backend, reason, sent, large, end):
    if large:
        if not sent.startswith(CHUNKED):
            sent = sent.replace(b"100", b"1000000") + b"x" * 200000
        else:
            sent = CHUNKED + BIG * 4 + sent[len(CHUNKED):]
    shared_backend.answers = [answering(sent, end)]
    with raw.Client(module_gate, world.clients["billing"]) as client:
        client.send(POST + b"Content-Length: 0\r\n\r\n")
        try:
            assert client.response("POST").status == 502  # if nothing had gone out yet
        except (raw.Closed, OSError):
            pass
        record = module_gate.wait_access(peer=client.peer)
        # a reset throws away what has not been read
        assert record["reason"] == reason or (end == "reset" and record["reason"] == "backend_closed"), record
    assert_not_reused(module_gate, world, shared_backend)


# ---- more than was asked for ----

def test_an_answer_that_ends_by_a_reset_is_not_shown_as_whole_while_the_request_still_streams(gate, world, backend):
    """The kernel tells of a reset once; here the write that is stuck is told, and the reader sees an end."""
    go = threading.Event()

    def half(talk, request):
        talk.send(OK + b"\r\nhalf of it")
        go.wait(PATIENCE)
        return False  # with much of the body unread

    backend.answers = [half]
    backend.reads_bodies = False
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(POST + b"Content-Length: 1000000000\r\n\r\n")
        assert client.head().status == 200
        client.tls.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                client.tls.send(bytes(1 << 20))
        client.tls.settimeout(PATIENCE)
        go.set()
        with pytest.raises((raw.Closed, OSError)):
            client._chunked()


@pytest.mark.parametrize("method,sent", [
    ("GET", OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Length: 4\r\n\r\nevil"),
    ("GET", CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + OK + b"Content-Length: 4\r\n\r\nevil"),
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\nevil"), ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil"),
    ("HEAD", OK + b"Content-Length: 4\r\n\r\nevil"), ("HEAD", CHUNKED + b"4\r\nevil\r\n0\r\n\r\n"),
    ("GET", OK + b"Content-Length: 2\r\n\r\nok\r\n"),
], ids=shown)
def test_what_comes_behind_an_answer_is_nobodys_answer(module_gate, world, shared_backend, method, sent):
    shared_backend.answers = [sent]
    with raw.Client(module_gate, world.clients["billing"]) as client:
        answer = client.ask(method.encode() + b" / HTTP/1.1\r\n" + H + b"\r\n", method)
        assert answer.status in (200, 204, 304) and answer.body in (b"", b"ok")
        assert client.get("/next").body == b"ok"
    first, second = shared_backend.requests
    assert first.connection != second.connection


def test_an_answer_that_comes_later_and_unasked_is_nobodys_answer(gate, world, backend):
    """The second answer reaches a connection that lies idle."""
    go, gone = threading.Event(), threading.Event()

    def twice(talk, request):
        talk.send(backends.OK)
        go.wait(PATIENCE)
        talk.send(OK + b"Content-Length: 4\r\n\r\nevil")
        gone.set()
        return True

    backend.answers = [twice]
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().body == b"ok"
        until(lambda: gate.metrics()["sallyport_upstream_idle_connections"] == 1, "the connection to be kept")
        go.set()
        until(gone.is_set, "the second answer")
        until(lambda: gate.metrics()["sallyport_upstream_idle_connections"] == 0, "the connection to be given up")
        assert client.get().body == b"ok"
    assert backend.requests[0].connection != backend.requests[1].connection


# ---- nothing is left ----

def test_faults_leave_nothing_behind(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint))
    folder = f"/proc/{gate.process.pid}/fd"
    everything = [sent for _, sent in SENT + BODIES]

    def run(answers):
        with raw.Client(gate, world.clients["billing"]) as client:
            for sent, end in itertools.product(answers, ("close", "reset")):
                backend.answers = [answering(sent, end)]
                client.send(POST + b"Content-Length: 0\r\n\r\n")
                try:
                    client.response("POST")
                except (raw.Closed, OSError):
                    client.again()

    run([SENT[0][1]])
    get_fresh(gate, world)
    idle = len(os.listdir(folder))
    for _ in range(3):
        run(everything)
    get_fresh(gate, world)
    until(lambda: len(os.listdir(folder)) <= idle, f"the descriptors to be {idle} again")
    numbers = gate.metrics()
    assert numbers["sallyport_requests_in_flight"] == 0 and numbers["sallyport_upstream_idle_connections"] <= 1
