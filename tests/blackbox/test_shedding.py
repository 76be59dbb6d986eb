"""Past limits.requests and limits.memory the newest is turned away, and what was admitted goes on."""

import threading

import pytest

from lib import gate as gates
from lib import raw, tcp
from lib.patience import PATIENCE, until

GET = b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n"


class Holding:
    """A backend that answers nobody before it is told to."""

    def __init__(self, backend):
        self.backend, self.go = backend, threading.Event()
        backend.default = self._answer

    def _answer(self, talk, _):
        assert self.go.wait(PATIENCE)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def wait(self, count):
        until(lambda: len(self.backend.requests) >= count, f"{count} requests at the backend")


@pytest.fixture
def holding(backend):
    made = Holding(backend)
    yield made
    made.go.set()


def clients(gate, world, count):
    return [raw.Client(gate, world.clients["billing"]) for _ in range(count)]


def shed(client, gate, reason):
    answer = client.ask(GET)
    assert answer.status == 503 and answer.one("Retry-After") == "1"
    record = gate.wait_access(peer=client.peer, status=503)
    assert record["reason"] == reason


@pytest.mark.parametrize("limits,count,reason", [
    ({"requests": 3}, 3, "too_many_requests"),
    ({"memory": "1MiB"}, 5, "out_of_buffers"),  # of 192 KiB each
])
def test_the_newest_is_turned_away_and_the_admitted_go_on(start_gate, world, backend, holding, limits, count, reason):
    gate = start_gate(gates.config(world, backend.endpoint, limits=limits))
    admitted = clients(gate, world, count)
    late, = clients(gate, world, 1)
    for client in admitted:
        client.send(GET)
    holding.wait(count)
    for _ in range(3):
        shed(late, gate, reason)
    assert gate.refusals(reason) == 3
    holding.go.set()
    for client in admitted:
        assert client.response().body == b"ok"
    assert late.ask(GET).status == 200  # on the same connection
    for client in [*admitted, late]:
        client.close()


def test_connections_on_which_nothing_is_under_way_cost_nothing_of_it(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, limits={"memory": "1MiB"}))
    idle = clients(gate, world, 40)
    for client in idle:
        assert client.get().status == 200
    for client in idle:
        assert client.get().status == 200
        client.close()


def test_heads_that_are_not_complete_count_by_what_they_hold(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, limits={"memory": "1MiB"}))
    slow = clients(gate, world, 24)
    for client in slow:
        client.send(GET[:-2])
    until(lambda: gate.refusals("out_of_buffers") == 8 or None, "the last eight to be turned away: 64 KiB each, so sixteen fit")
    with raw.Client(gate, world.clients["billing"]) as late:
        shed(late, gate, "out_of_buffers")
        for client in slow:
            client.close()
        until(lambda: late.ask(GET).status == 200 or None, "room again")


def test_what_was_admitted_never_fails_for_want_of_buffers(start_gate, world, nginx):
    """Many at once, each as large as it gets, under a limit for some of them: every one is either turned away or answered whole."""
    gate = start_gate(gates.config(world, nginx.endpoint, limits={"memory": "1MiB"}))
    results = []

    def ask():
        with raw.Client(gate, world.clients["billing"]) as client:
            answer = client.get("/big.bin")
            results.append((answer.status, len(answer.body)))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16 and {status for status, _ in results} <= {200, 503}
    assert {size for status, size in results if status == 200} == {48 * 1024 * 1024}
    until(lambda: gate.metrics()["sallyport_requests_in_flight"] == 0 or None, "all to be over")
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/small.txt").status == 200


def test_connections_in_mode_tcp_are_closed(start_gate, world):
    backend = tcp.TcpBackend()
    made = gates.config(world, backend.endpoint, limits={"requests": 1})
    made["listeners"] = [gates.listener(world, mode="tcp")]
    made["rules"] = made["rules"][:1]
    gate = start_gate(made)
    try:
        with raw.Client(gate, world.clients["billing"]) as first:
            sock = backend.take()
            with raw.Client(gate, world.clients["billing"]) as second:
                assert tcp.is_over(second.tls)
                assert gate.wait_access(peer=second.peer)["reason"] == "too_many_requests"
            sock.sendall(b"still here")
            assert tcp.exactly(first.tls, 10) == b"still here"
    finally:
        backend.close()


def test_while_every_endpoint_is_full_requests_wait_and_the_last_are_turned_away(start_gate, world, backend, holding):
    made = gates.config(world, backend.endpoint, workers=1)
    made["upstreams"]["main"].update(max_connections=1, queue={"max": 1, "timeout": "30s"})
    gate = start_gate(made)
    first, second, third = clients(gate, world, 3)
    first.send(GET)
    holding.wait(1)
    second.send(GET)
    until(lambda: gate.metrics()["sallyport_requests_in_flight"] == 2 or None, "the second to wait")
    shed(third, gate, "queue_full")
    holding.go.set()
    assert first.response().body == b"ok" and second.response().body == b"ok"
    assert third.ask(GET).status == 200
    assert gate.metrics()["sallyport_upstream_connects_total"] <= 2
    for client in (first, second, third):
        client.close()


def test_who_waits_too_long_is_turned_away(start_gate, world, backend, holding):
    made = gates.config(world, backend.endpoint, workers=1)
    made["upstreams"]["main"].update(max_connections=1, queue={"max": 10, "timeout": "200ms"})
    gate = start_gate(made)
    first, second = clients(gate, world, 2)
    first.send(GET)
    holding.wait(1)
    shed(second, gate, "queue_timeout")
    holding.go.set()
    assert first.response().body == b"ok"
    first.close()
    second.close()


def test_who_gives_up_waiting_leaves_his_place(start_gate, world, backend, holding):
    made = gates.config(world, backend.endpoint, workers=1)
    made["upstreams"]["main"].update(max_connections=1, queue={"max": 1, "timeout": "30s"})
    gate = start_gate(made)
    first, second, third = clients(gate, world, 3)
    first.send(GET)
    holding.wait(1)
    second.send(GET)
    until(lambda: gate.metrics()["sallyport_requests_in_flight"] == 2 or None, "the second to wait")
    second.reset()
    assert gate.wait_access(peer=second.peer)["reason"] == "client_gone"
    third.send(GET)
    until(lambda: gate.metrics()["sallyport_requests_in_flight"] == 2 or None, "the third to wait")
    holding.go.set()
    assert first.response().body == b"ok" and third.response().body == b"ok"
    first.close()
    third.close()
