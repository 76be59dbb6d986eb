"""Which endpoint gets a request, how many connections an endpoint gets, and who waits when it has them all."""

import collections
import selectors
import signal
import socket
import subprocess
import sys
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE, until


def settings(world, endpoints, **upstream):
    return gates.config(world, upstreams={"main": {"endpoints": endpoints, "identity_headers": [], **upstream}})


def weighed(backend, **more):
    return {"address": backend.endpoint, **more}


def saying(name):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name.encode())


@pytest.fixture
def make_backends():
    made = []

    def make(names):
        for name in names:
            one = backends.RecordingBackend()
            one.default = saying(name)
            made.append(one)
        return made[-len(names):]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def three(make_backends):
    return make_backends("abc")


def who_answers(client, count=1, more=b""):
    said = collections.Counter()
    for _ in range(count):
        answer = client.get(more=more)
        assert answer.status == 200, answer
        said[answer.body.decode()] += 1
    return said


def the_one(client, more=b""):
    (name,) = who_answers(client, more=more)
    return name


class Held:
    """Answers that wait until they are let go; how many requests wait for one."""

    def __init__(self, answer=backends.OK):
        self.answer, self._go, self.waiting = answer, threading.Event(), 0

    def __call__(self, talk, _request):
        self.waiting += 1
        assert self._go.wait(PATIENCE)
        talk.send(self.answer)

    def let_go(self):
        self._go.set()


# ---- round robin, weights, backups ----

def test_endpoints_take_turns(start_gate, world, three):
    gate = start_gate(settings(world, [one.endpoint for one in three]))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert who_answers(client, 30) == {"a": 10, "b": 10, "c": 10}


def test_turns_go_by_weight_and_one_of_weight_0_gets_none(start_gate, world, three):
    a, b, c = three
    gate = start_gate(settings(world, [weighed(a, weight=3), weighed(b), weighed(c, weight=0)]))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert who_answers(client, 40) == {"a": 30, "b": 10}


def test_an_endpoint_is_drained_by_a_reload_and_what_it_does_is_finished(start_gate, world, three):
    a, b, _ = three
    held = Held(saying("a"))
    a.default = b.default = held
    gate = start_gate(settings(world, [weighed(a), weighed(b, weight=0)]))
    with raw.Client(gate, world.clients["billing"]) as early, raw.Client(gate, world.clients["billing"]) as client:
        early.send(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        a.wait()
        b.default = saying("b")
        assert gate.reload(settings(world, [weighed(a, weight=0), weighed(b)]))["event"] == "reloaded"
        assert who_answers(client, 10) == {"b": 10}
        held.let_go()
        assert early.response().body == b"a"
        assert the_one(early) == "b"


def test_a_backup_is_asked_only_while_no_other_can_be(start_gate, world, three):
    a, b, _ = three
    gate = start_gate(settings(world, [weighed(a), weighed(b, backup=True)]))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert who_answers(client, 10) == {"a": 10}
        a.close()
        assert who_answers(client, 10) == {"b": 10}


def test_a_dead_endpoint_costs_no_request(start_gate, world, three):
    a, b, c = three
    gate = start_gate(settings(world, [one.endpoint for one in three]))
    with raw.Client(gate, world.clients["billing"]) as client:
        who_answers(client, 6)
        b.close()
        assert set(who_answers(client, 30)) == {"a", "c"}
        record = gate.wait_access(peer=client.peer, tries=2, status=200)
        assert record["upstream"] == "main" and record["endpoint"] in (a.endpoint, c.endpoint)


def test_without_any_endpoint_the_answer_is_502(start_gate, world, three):
    gate = start_gate(settings(world, [one.endpoint for one in three]))
    for one in three:
        one.close()
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 502
        assert gate.wait_access(peer=client.peer)["reason"] == "no_endpoint"


# ---- least requests ----

def test_the_endpoint_with_fewer_requests_is_asked_whichever_worker_asks(start_gate, world, three):
    a, b, _ = three
    slow = Held()
    a.default = b.default = slow
    gate = start_gate(settings(world, [a.endpoint, b.endpoint], balance="least_requests"))
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(6)]
    clients[0].send(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
    until(lambda: slow.waiting, "the first request")
    busy, idle = (a, b) if a.requests else (b, a)
    idle.default = saying("idle")
    for client in clients[1:]:  # on both workers
        assert who_answers(client, 10) == {"idle": 10}
    assert len(busy.requests) == 1
    slow.let_go()
    assert clients[0].response().status == 200
    for client in clients:
        client.close()


# ---- hash ----

@pytest.mark.parametrize("by", ["caller", "address", "header:X-Tenant"])
def test_equal_keys_go_to_equal_endpoints_from_any_connection(start_gate, world, three, by):
    gate = start_gate(settings(world, [one.endpoint for one in three], balance="hash", hash_by=by))
    said = set()
    for _ in range(6):
        with raw.Client(gate, world.clients["billing"]) as client:
            said |= set(who_answers(client, 3, b"X-Tenant: blue\r\n"))
    assert len(said) == 1


def test_only_the_keys_of_one_that_dies_go_elsewhere(start_gate, world, three):
    gate = start_gate(settings(world, [one.endpoint for one in three], balance="hash", hash_by="header:X-Tenant"))
    keys = [b"X-Tenant: %d\r\n" % i for i in range(60)]
    with raw.Client(gate, world.clients["billing"]) as client:
        before = [the_one(client, key) for key in keys]
        assert set(before) == {"a", "b", "c"}
        three[1].close()
        after = [the_one(client, key) for key in keys]
    assert {name for name, was in zip(after, before) if was == "b"} == {"a", "c"}
    assert all(name == was for name, was in zip(after, before) if was != "b")


# ---- max_connections ----

class CountingBackend:
    """Counts the connections that are open at one time, in one thread that sees an end before the beginnings that came with it.
    Answers wait until so many requests are there at a time, once; then each is answered as it comes."""

    def __init__(self, hold_until):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.hold_until, self.most, self.open, self.answered = hold_until, 0, set(), 0
        self._held = []
        self._closing, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with selectors.DefaultSelector() as waiting:
            self._selector = waiting
            for one in (self.listener, self._wake):
                waiting.register(one, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in waiting.select()]
                if self._wake in ready:
                    return
                for one in ready:
                    if one is not self.listener:
                        self._read(one)
                if self.listener in ready:
                    # What ended before the connection that waits was opened is ready by now.
                    for key, _ in waiting.select(0):
                        if key.fileobj not in (self.listener, self._wake):
                            self._read(key.fileobj)
                    self._accept()

    def _accept(self):
        sock, _ = self.listener.accept()
        self._selector.register(sock, selectors.EVENT_READ)
        self.open.add(sock)
        self.most = max(self.most, len(self.open))

    def _read(self, sock):
        try:
            data = sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(sock)
            self.open.discard(sock)
            sock.close()
            return
        assert data.endswith(b"\r\n\r\n")
        self._held.append(sock)
        if len(self._held) >= self.hold_until:
            self.hold_until = 1
            self.answered += len(self._held)
            for one in self._held:
                one.sendall(backends.OK)
            self._held.clear()

    def close(self):
        self._closing.close()
        self._thread.join(PATIENCE)
        for one in (self.listener, self._wake, *self.open):
            one.close()


@pytest.fixture
def counting():
    made = CountingBackend(hold_until=3)
    yield made
    made.close()


def test_two_workers_together_never_open_more_connections_than_an_endpoint_may_have(start_gate, world, counting):
    gate = start_gate(settings(world, [weighed(counting, max_connections=3)], queue={"max": 100, "timeout": "60s"}))
    failed, clients = [], [raw.Client(gate, world.clients["billing"]) for _ in range(12)]

    def ask(client):
        for _ in range(15):
            answer = client.get()
            if answer.status != 200:
                failed.append(answer)

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
        assert not thread.is_alive()
    assert not failed
    assert counting.answered == 12 * 15
    assert counting.most == 3
    for client in clients:
        client.close()


def test_past_the_queue_the_newest_is_turned_away_and_who_waits_is_served_in_turn(start_gate, world, backend):
    held = Held()
    backend.answers = [held]
    gate = start_gate(settings(world, [weighed(backend, max_connections=1)], queue={"max": 2, "timeout": "60s"}))
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(4)]
    clients[0].send(b"GET /0 HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
    backend.wait()
    for number in (1, 2):
        clients[number].send(b"GET /%d HTTP/1.1\r\nHost: billing.internal\r\n\r\n" % number)
        until(lambda n=number: gate.metrics()["sallyport_requests_in_flight"] == n + 1, "the request to wait")
    answer = clients[3].get("/3")
    assert (answer.status, answer.one("Retry-After")) == (503, "1")
    assert gate.wait_access(peer=clients[3].peer)["reason"] == "queue_full"
    held.let_go()
    for client in clients[:3]:
        assert client.response().status == 200
    assert [request.line.split()[1] for request in backend.requests] == ["/0", "/1", "/2"]
    assert clients[3].get("/3").status == 200
    for client in clients:
        client.close()


def test_who_waits_too_long_gets_503_and_the_queue_goes_on(start_gate, world, backend):
    held = Held()
    backend.answers = [held]
    gate = start_gate(settings(world, [weighed(backend, max_connections=1)], queue={"max": 5, "timeout": "200ms"}))
    with raw.Client(gate, world.clients["billing"]) as first, raw.Client(gate, world.clients["billing"]) as second:
        first.send(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        backend.wait()
        answer = second.get()
        assert (answer.status, answer.one("Retry-After")) == (503, "1")
        assert gate.wait_access(peer=second.peer)["reason"] == "queue_timeout"
        held.let_go()
        assert first.response().status == 200
        assert second.get().status == 200


def test_a_client_that_goes_while_it_waits_leaves_its_place_to_the_next(start_gate, world, backend):
    held = Held()
    backend.answers = [held]
    gate = start_gate(settings(world, [weighed(backend, max_connections=1)], queue={"max": 5, "timeout": "60s"}))
    first, gone, last = (raw.Client(gate, world.clients["billing"]) for _ in range(3))
    for number, client in enumerate((first, gone, last)):
        client.send(b"GET /%d HTTP/1.1\r\nHost: billing.internal\r\n\r\n" % number)
        until(lambda n=number: gate.metrics()["sallyport_requests_in_flight"] == n + 1, "the request to wait")
    gone.reset()
    assert gate.wait_access(peer=gone.peer)["reason"] == "client_gone"
    held.let_go()
    assert first.response().status == 200
    assert last.response().status == 200
    assert [request.line.split()[1] for request in backend.requests] == ["/0", "/2"]
    first.close()
    last.close()


def test_a_kept_connection_of_one_worker_is_given_up_for_a_request_of_the_other(start_gate, world, backend):
    gate = start_gate(settings(world, [weighed(backend, max_connections=1)], queue={"max": 5, "timeout": "60s"}))
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(4)]  # two on each
    for _ in range(5):
        for client in clients:
            assert client.get().status == 200
    for client in clients:
        client.close()


# ---- an endpoint that stands still ----

FROZEN_BACKEND = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"frozen")
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.fixture
def frozen():
    """A backend in a process of its own, that can be stopped. `.endpoint`"""
    process = subprocess.Popen([sys.executable, "-c", FROZEN_BACKEND], stdout=subprocess.PIPE)
    process.endpoint = "127.0.0.1:%d" % int(process.stdout.readline())
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_an_endpoint_that_stands_still_is_left_out_and_comes_back(start_gate, world, frozen, make_backends):
    (well,) = make_backends(["well"])
    gate = start_gate(settings(
        world, [frozen.endpoint, well.endpoint], timeouts={"response": "500ms"},
        ejection={"failures": 2, "base": "1s", "max": "1s"}))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert who_answers(client, 10) == {"frozen": 5, "well": 5}
        frozen.send_signal(signal.SIGSTOP)
        statuses = collections.Counter(client.get().status for _ in range(20))
        assert set(statuses) == {200, 504}
        assert 2 <= statuses[504] <= 20 // 2
        frozen.send_signal(signal.SIGCONT)
        until(lambda: the_one(client) == "frozen", "the endpoint to come back")
