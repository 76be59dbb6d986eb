"""What is tried again when a backend fails, and what is not: connects always, broken requests only where it can do no harm."""

import socket
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import raw, tcp
from lib.patience import PATIENCE, until

CAUSES = ("stale", "connect", "reset")


@pytest.fixture
def make_backend():
    made = []

    def make():
        made.append(backends.RecordingBackend())
        return made[-1]

    yield make
    for one in made:
        one.close()


def dead_endpoint():
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return "127.0.0.1:%d" % probe.getsockname()[1]


def settings(world, endpoints, *, retries=None, **upstream):
    made = gates.config(world, workers=1)
    made["upstreams"]["main"] = {"endpoints": endpoints, "identity_headers": ["plain"], **upstream}
    if retries:
        made["upstreams"]["main"]["retries"] = retries
    return made


def resets(talk, _):
    talk.reset()
    return False


def closes(*_):
    return False


def retries_of(gate):
    numbers = gate.metrics()
    return {cause: numbers[f'sallyport_upstream_retries_total{{cause="{cause}"}}'] for cause in CAUSES}


def total(*made):
    return sum(len(backend.requests) for backend in made)


# ---- connects ----

def test_a_connect_that_fails_goes_to_the_next_endpoint_whatever_the_method(start_gate, world, backend):
    gate = start_gate(settings(world, [dead_endpoint(), backend.endpoint], ejection="off"))
    with raw.Client(gate, world.clients["billing"]) as client:
        for number in range(8):
            answer = client.ask(b"POST /%d HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 4\r\n\r\nbody" % number)
            assert answer.status == 200
        until(lambda: len(gate.accesses.records) == 8, "eight records")
    assert len(backend.requests) == 8 and all(request.body == b"body" for request in backend.requests)
    tried = [record.get("tries", 1) for record in gate.accesses.records]
    assert 2 in tried and set(tried) <= {1, 2}
    assert all(record["endpoint"] == backend.endpoint for record in gate.accesses.records)
    assert retries_of(gate)["connect"] == tried.count(2)


def test_no_more_endpoints_are_asked_than_attempts_say(start_gate, world):
    gate = start_gate(settings(world, [dead_endpoint() for _ in range(5)], retries={"attempts": 2}, ejection="off"))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 502
        record = gate.wait_access(peer=client.peer)
        assert record["reason"] == "no_endpoint" and record["tries"] == 2 and "refused" in record["detail"]
    assert gate.metrics()["sallyport_upstream_connect_failures_total"] == 2


def test_an_endpoint_that_takes_no_connection_in_time_is_passed_by(start_gate, world, backend):
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    held = []
    try:
        for _ in range(4):  # its queue is full then: the kernel answers nothing
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex(full.getsockname())
        endpoint = "127.0.0.1:%d" % full.getsockname()[1]
        gate = start_gate(settings(world, [endpoint, backend.endpoint], timeouts={"connect": "200ms"}, ejection="off"))
        with raw.Client(gate, world.clients["billing"]) as client:
            for _ in range(4):
                assert client.get().status == 200
        gate = start_gate(settings(world, [endpoint], timeouts={"connect": "200ms"}, retries={"attempts": 1}))
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status == 504
            assert gate.wait_access(peer=client.peer)["reason"] == "connect_timeout"
    finally:
        for sock in [*held, full]:
            sock.close()


# ---- resets ----

@pytest.mark.parametrize("fault", [resets, closes])
def test_a_request_that_breaks_before_an_answer_goes_to_another_endpoint(start_gate, world, make_backend, fault):
    broken, good = make_backend(), make_backend()
    broken.default = fault
    gate = start_gate(settings(world, [broken.endpoint, good.endpoint], retries={"budget": 100}, ejection="off"))
    with raw.Client(gate, world.clients["billing"]) as client:
        for number in range(4):
            assert client.get(f"/{number}").status == 200
    assert [r.line.split()[1] for r in good.requests] == ["/0", "/1", "/2", "/3"]
    assert retries_of(gate)["reset"] == len(broken.requests) > 0


@pytest.mark.parametrize("retries,method,status", [
    ({}, b"POST", 502),
    ({"methods": "any"}, b"POST", 200),
    ({"on": ["connect"]}, b"GET", 502),
    ({"attempts": 1}, b"GET", 502),
    ({}, b"PATCH", 502),
    ({}, b"DELETE", 200),
])
def test_whether_it_is_repeated_is_the_methods_and_the_operators_to_say(start_gate, world, make_backend, retries, method, status):
    broken = make_backend()
    broken.answers = [resets]
    gate = start_gate(settings(world, [broken.endpoint], retries=retries or None, ejection="off"))
    with raw.Client(gate, world.clients["billing"]) as client:
        answer = client.ask(method + b" / HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 3\r\n\r\nabc")
        assert answer.status == status
        if status == 502:
            assert gate.wait_access(peer=client.peer)["reason"] == "backend_closed"
    assert len(broken.requests) == (2 if status == 200 else 1)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_small_body_is_sent_again_as_it_was(start_gate, world, make_backend, chunked):
    backend = make_backend()
    backend.answers = [resets, resets]
    gate = start_gate(settings(world, [backend.endpoint], ejection="off"))
    body = bytes(range(256)) * 40
    with raw.Client(gate, world.clients["billing"]) as client:
        head = b"PUT / HTTP/1.1\r\nHost: billing.internal\r\n"
        if chunked:
            client.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(body), 1000):
                part = body[at:at + 1000]
                client.send(b"%x\r\n%s\r\n" % (len(part), part))
            client.send(b"0\r\n\r\n")
        else:
            client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert client.response().status == 200
        record = gate.wait_access(peer=client.peer)
        assert record["tries"] == 3 and record["bytes_in"] == len(body)
    assert [request.body for request in backend.requests] == [body] * 3


def test_a_body_that_was_half_sent_goes_on_where_the_other_one_broke(start_gate, world):
    backend = tcp.TcpBackend()
    try:
        gate = start_gate(settings(world, [backend.endpoint], ejection="off"))
        with raw.Client(gate, world.clients["billing"]) as client:
            client.send(b"PUT / HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 10\r\n\r\nfirst")
            first = backend.take()
            data = b""
            while not data.endswith(b"first"):
                data += tcp.exactly(first, 1)
            tcp.reset(first)
            second = backend.take()
            data = b""
            while not data.endswith(b"first"):
                data += tcp.exactly(second, 1)
            client.send(b"later")
            assert tcp.exactly(second, 5) == b"later"
            second.sendall(backends.OK)
            assert client.response().status == 200
    finally:
        backend.close()


def test_a_body_that_is_too_large_to_keep_is_not_sent_again(start_gate, world, make_backend):
    backend = make_backend()
    backend.answers = [resets]
    gate = start_gate(settings(world, [backend.endpoint], retries={"body": "1KiB"}, ejection="off"))
    with raw.Client(gate, world.clients["billing"]) as client:
        answer = client.ask(b"PUT / HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 1025\r\n\r\n" + bytes(1025))
        assert answer.status == 502
    assert len(backend.requests) == 1


def test_once_an_answer_has_begun_nothing_is_repeated(start_gate, world, make_backend):
    backend = make_backend()
    backend.answers = [lambda talk, request: talk.send(b"HTTP/1.1 200 O") or talk.reset() or False]
    gate = start_gate(settings(world, [backend.endpoint], ejection="off"))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 502
    assert len(backend.requests) == 1


def test_a_backend_that_answers_nothing_in_time_is_not_asked_again(start_gate, world, make_backend):
    backend, other = make_backend(), make_backend()
    silent = threading.Event()
    for one in (backend, other):
        one.default = lambda talk, request: silent.wait(PATIENCE) and False
    gate = start_gate(settings(world, [backend.endpoint, other.endpoint], timeouts={"response": "200ms"}, ejection="off"))
    try:
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status == 504
            record = gate.wait_access(peer=client.peer)
            assert record["reason"] == "response_timeout" and "tries" not in record
        assert total(backend, other) == 1
    finally:
        silent.set()


def test_an_outage_is_not_multiplied(start_gate, world, make_backend):
    backend = make_backend()
    backend.default = resets
    gate = start_gate(settings(world, [backend.endpoint], retries={"attempts": 3, "budget": 20}, ejection="off"))
    asked = 200
    with raw.Client(gate, world.clients["billing"]) as client:
        for _ in range(asked):
            assert client.get().status == 502
    extra = retries_of(gate)["reset"]
    # a fifth, and the few a second that are always allowed; the time that this took is not ours to say
    assert len(backend.requests) == asked + extra
    assert 0 < extra < asked


# ---- kept-alive connections that turn out closed ----

def test_a_kept_connection_that_closes_is_tried_once_more_without_a_budget(start_gate, world, make_backend):
    backend = make_backend()

    def closes_when_asked_again(talk, request):
        return False if getattr(talk, "asked", False) else setattr(talk, "asked", True) or talk.send(backends.OK) or True

    backend.default = closes_when_asked_again
    gate = start_gate(settings(world, [backend.endpoint], retries={"attempts": 1, "budget": 0}, ejection="off"))
    with raw.Client(gate, world.clients["billing"]) as client:
        for number in range(10):
            answer = client.ask(b"PUT /%d HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 4\r\n\r\nbody" % number)
            assert answer.status == 200
    found = retries_of(gate)
    assert found["stale"] == 9 and found["reset"] == 0
    assert all(request.body == b"body" for request in backend.requests)
    assert all("tries" not in record for record in gate.accesses.records)


# ---- the whole exchange ----

def test_an_exchange_that_takes_too_long_is_answered_504(start_gate, world, make_backend):
    backend, silent = make_backend(), threading.Event()
    backend.default = lambda talk, request: silent.wait(PATIENCE) and False
    gate = start_gate(settings(world, [backend.endpoint], timeouts={"exchange": "300ms"}))
    try:
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status == 504
            assert gate.wait_access(peer=client.peer)["reason"] == "exchange_timeout"
    finally:
        silent.set()


def test_an_answer_that_goes_on_too_long_is_cut(start_gate, world, make_backend):
    backend, over = make_backend(), threading.Event()

    def trickles(talk, _):
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not over.wait(0.01):
            talk.send(b"x")
        return False

    backend.default = trickles
    gate = start_gate(settings(world, [backend.endpoint], timeouts={"exchange": "300ms"}))
    try:
        with raw.Client(gate, world.clients["billing"]) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
            assert client.head().status == 200
            assert tcp.is_over(client.tls)
            assert gate.wait_access(peer=client.peer)["reason"] == "exchange_timeout"
    finally:
        over.set()


# ---- balancing by hash ----

def test_one_caller_stays_with_one_endpoint(start_gate, world, make_backend):
    made = [make_backend() for _ in range(4)]
    gate = start_gate(settings(world, [one.endpoint for one in made], balance="hash", hash_by="caller"))
    for _ in range(3):
        with raw.Client(gate, world.clients["billing"]) as client:
            for _ in range(4):
                assert client.get().status == 200
    assert sorted(len(one.requests) for one in made) == [0, 0, 0, 12]


def test_a_header_spreads_and_keeps(start_gate, world, make_backend):
    made = [make_backend() for _ in range(4)]
    gate = start_gate(settings(world, [one.endpoint for one in made], balance="hash", hash_by="header:X-Tenant"))
    with raw.Client(gate, world.clients["billing"]) as client:
        for number in range(64):
            for _ in range(2):
                assert client.get(f"/{number}", more=b"X-Tenant: tenant-%d\r\n" % number).status == 200
    assert all(one.requests for one in made)
    for one in made:
        paths = [request.line.split()[1] for request in one.requests]
        assert all(paths.count(path) == 2 for path in paths)


# ---- PROXY header in mode http ----

def test_with_a_proxy_header_each_client_has_its_own_connections(start_gate, world):
    backend = tcp.TcpBackend()
    gate = start_gate(settings(world, [backend.endpoint], proxy_protocol="v1"))
    try:
        with raw.Client(gate, world.clients["billing"]) as client:
            for _ in range(2):
                client.send(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
                sock = backend.take()
                data = b""
                while not data.endswith(b"\r\n\r\n"):
                    data += tcp.exactly(sock, 1)
                host, port = client.tls.getsockname()
                assert data.startswith(b"PROXY TCP4 %s 127.0.0.1 %d " % (host.encode(), port))
                assert data.split(b"\r\n")[1] == b"GET / HTTP/1.1"
                sock.sendall(backends.OK)
                assert client.response().status == 200
                assert tcp.is_over(sock)
    finally:
        backend.close()
