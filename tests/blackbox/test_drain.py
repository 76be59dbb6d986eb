"""Whatever goes from under an exchange (its endpoint, its upstream, its listener, the process), it comes to its end: a download, an
upload and an upgraded connection that are under way at once are all there, whole, and what comes next goes elsewhere."""

import signal
import threading

import pytest

from lib import gate as gates
from lib import raw
from lib.backend import RecordingBackend
from lib.patience import PATIENCE, until

H = b"Host: billing.internal\r\n"
PART = b"x" * 10_000


class Busy(RecordingBackend):
    """Gives half of a download until `go` is set, tells how long an upload was, and echoes where it was asked to upgrade."""

    def __init__(self):
        super().__init__()
        self.reads_bodies, self.default, self.go = False, self.answer, threading.Event()

    def answer(self, talk, request):
        if request.one("Upgrade"):
            talk.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            while talk.buffer or talk.more():
                talk.send(talk.take(len(talk.buffer)))
            return False
        if request.line.startswith("POST "):
            return self.say(talk, len(talk.take(int(request.one("Content-Length")))))
        if request.line.startswith("GET /download "):
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (2 * len(PART), PART))
            assert self.go.wait(PATIENCE)
            talk.send(PART)
            return True
        return self.say(talk, 0)

    @staticmethod
    def say(talk, number):
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(number)), number))


@pytest.fixture
def pair():
    made = Busy(), Busy()
    yield made
    for one in made:
        one.go.set()
        one.close()


def settings(world, *endpoints):
    made = gates.config(world, *endpoints)
    made["rules"][0]["upgrade"] = ["websocket"]
    return made


class Exchanges:
    """One of each kind, under way over `gate`."""

    def __init__(self, gate, world):
        self.download, self.upload, self.socket = (raw.Client(gate, world.clients["billing"]) for _ in range(3))
        self.download.send(b"GET /download HTTP/1.1\r\n" + H + b"\r\n")
        assert self.download.head().status == 200
        self.upload.send(b"POST /upload HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % (2 * len(PART)) + PART)
        self.socket.send(b"GET /socket HTTP/1.1\r\n" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert self.socket.head().status == 101
        self.echo(b"before")

    def echo(self, said):
        self.socket.send(said)
        assert self.socket._exactly(len(said)) == said

    def end(self, backend):
        self.echo(b"after")
        backend.go.set()
        assert self.download._exactly(2 * len(PART)) == 2 * PART
        self.upload.send(PART)
        answer = self.upload.response()
        assert answer.status == 200 and answer.body == b"%d" % (2 * len(PART))
        self.echo(b"at the end")
        for client in (self.download, self.upload, self.socket):
            client.close()


def weight_0(made, old, new):
    made["upstreams"]["main"]["endpoints"] = [{"address": old.endpoint, "weight": 0}, new.endpoint]


def removed(made, old, new):
    made["upstreams"]["main"]["endpoints"] = [new.endpoint]


def another_upstream(made, old, new):
    made["upstreams"] = {"other": {"endpoints": [new.endpoint]}}
    for rule in made["rules"]:
        rule["upstream"] = "other"


def another_listener(made, old, new):
    made["listeners"][0]["name"] = "other"
    removed(made, old, new)


@pytest.mark.parametrize("change, listener", [(weight_0, "internal"), (removed, "internal"), (another_upstream, "internal"),
                                              (another_listener, "other")], ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_under_way_is_finished_where_it_is_and_the_next_goes_elsewhere(start_gate, world, pair, change, listener):
    old, new = pair
    gate = start_gate(settings(world, old.endpoint))
    exchanges = Exchanges(gate, world)
    changed = settings(world, old.endpoint)
    change(changed, old, new)
    assert gate.reload(changed)["event"] == "reloaded"

    def go_elsewhere():
        seen = len(old.requests), len(new.requests)
        for _ in range(4):
            with raw.Client(gate, world.clients["billing"], listener=listener) as client:
                assert client.get("/next").status == 200
        return (len(old.requests), len(new.requests)) == (seen[0], seen[1] + 4)

    until(go_elsewhere, "all requests to go elsewhere")
    exchanges.end(old)
    assert not [record for record in gate.accesses.records if record["path"] in ("/download", "/upload") and "reason" in record]


def test_a_process_that_is_told_to_end_finishes_all_kinds_of_exchanges(start_gate, world, pair):
    old, _ = pair
    gate = start_gate(settings(world, old.endpoint))
    exchanges = Exchanges(gate, world)
    gate.signal(signal.SIGTERM)
    gate.wait_event("draining", connections=3)
    exchanges.end(old)
    assert gate.wait_exit() == 0
    assert gate.wait_event("drained")["cut"] == 0
