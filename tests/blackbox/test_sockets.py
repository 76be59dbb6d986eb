"""What becomes of listening sockets, of their files, and of those who came through one that is gone."""

import contextlib
import signal
import socket

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE, until

H = b"Host: billing.internal\r\n"
GET = b"GET / HTTP/1.1\r\n" + H + b"\r\n"


@contextlib.contextmanager
def shaken(world, plain, credential):
    """The rest of a connection that has been made already."""
    plain.settimeout(PATIENCE)
    with raw.context(world, credential).wrap_socket(plain, server_hostname="billing.internal") as tls:
        yield tls


def is_closed(client):
    return client.tls.recv(1) == b""


# ---- files of unix sockets ----

def unix_settings(world, backend, path, **changes):
    return gates.config(world, backend.endpoint, gates=2, listeners=[
        gates.listener(world), gates.listener(world, "local", address=f"unix:{path}")], **changes)


def test_the_files_of_unix_sockets_go_with_the_process(start_gate, world, backend, tmp_path):
    listener, admin = tmp_path / "in.sock", tmp_path / "admin.sock"
    gate = start_gate(unix_settings(world, backend, listener, admin={"address": f"unix:{admin}"}))
    assert listener.is_socket() and admin.is_socket()
    gate.stop()
    assert not listener.exists() and not admin.exists()


def test_the_file_of_a_unix_socket_goes_with_its_listener(start_gate, world, backend, tmp_path):
    path = tmp_path / "in.sock"
    gate = start_gate(unix_settings(world, backend, path))
    assert gate.reload(gates.config(world, backend.endpoint))["event"] == "reloaded"
    assert not path.exists()
    assert gate.reload(unix_settings(world, backend, path))["event"] == "reloaded"
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(path))
        with shaken(world, plain, world.clients["billing"]) as tls:
            tls.sendall(GET)
            assert raw.Reader(tls).response().status == 200


def test_a_file_that_somebody_else_put_in_its_place_stays(start_gate, world, backend, tmp_path):
    path = tmp_path / "in.sock"
    gate = start_gate(unix_settings(world, backend, path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        gate.stop()
        assert path.is_socket()


def test_a_reload_that_fails_leaves_nothing_bound(start_gate, world, backend, tmp_path):
    path = tmp_path / "in.sock"
    gate = start_gate(gates.config(world, backend.endpoint))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = unix_settings(world, backend, path)
        settings["listeners"].append(
            gates.listener(world, "taken", address="127.0.0.1:%d" % taken.getsockname()[1]))
        assert gate.reload(settings)["event"] == "reload_failed"
    assert not path.exists()
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200


def test_a_start_that_fails_leaves_no_file(start_gate, world, backend, tmp_path):
    path = tmp_path / "in.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = unix_settings(world, backend, path, admin={"address": "127.0.0.1:%d" % taken.getsockname()[1]})
        gate = start_gate(settings, ready=False)
        gate.stopped = True
        assert gate.wait_exit() == 1
    assert not path.exists()


# ---- those who came through a listener that is gone ----

@pytest.fixture
def two(start_gate, world, backend):
    return start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world), gates.listener(world, "second")]))


def test_an_idle_connection_of_a_listener_that_is_gone_is_closed_soon(two, world, backend):
    with raw.Client(two, world.clients["billing"], listener="second") as client:
        assert client.get().status == 200
        assert two.reload(gates.config(world, backend.endpoint))["event"] == "reloaded"
        assert is_closed(client)


def test_a_handshake_begun_at_a_listener_that_is_gone_still_leads_to_an_answer(two, world, backend):
    with socket.create_connection(two.address("second")) as plain:
        until(lambda: two.metrics()["sallyport_handshakes_open"] == 1 or None, "the connection to be accepted")
        assert two.reload(gates.config(world, backend.endpoint))["event"] == "reloaded"
        with shaken(world, plain, world.clients["billing"]) as tls:
            tls.sendall(GET)
            answer = raw.Reader(tls).response()
    assert answer.status == 200
    assert answer.one("Connection") == "close"


# ---- the drain ----

def test_a_handshake_that_ends_in_the_drain_may_still_ask_once(gate, world, backend):
    with socket.create_connection(gate.address()) as plain:
        until(lambda: gate.metrics()["sallyport_handshakes_open"] == 1 or None, "the connection to be accepted")
        gate.signal(signal.SIGTERM)
        gate.wait_event("draining")
        with shaken(world, plain, world.clients["billing"]) as tls:
            tls.sendall(GET)
            answer = raw.Reader(tls).response()
    assert answer.status == 200
    assert answer.one("Connection") == "close"


def test_one_who_is_let_in_during_the_drain_and_says_nothing_does_not_hold_it_up(gate, world, backend):
    with socket.create_connection(gate.address()) as plain:
        until(lambda: gate.metrics()["sallyport_handshakes_open"] == 1 or None, "the connection to be accepted")
        gate.signal(signal.SIGTERM)
        gate.wait_event("draining")
        with shaken(world, plain, world.clients["billing"]) as tls:
            assert tls.recv(1) == b""
    assert gate.wait_event("drained")["cut"] == 0


# ---- who is to blame for a wait ----

def test_a_client_that_waits_for_the_backends_continue_is_not_the_slow_one(start_gate, world, backend):
    settings = gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, timeouts={"body": "100ms"})])
    settings["upstreams"]["main"]["timeouts"] = {"response": "1s"}
    backend.reads_bodies = False
    backend.answers.append(lambda talk, request: talk.more())  # until the gate closes
    gate = start_gate(settings)
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.response("POST").status == 504
    assert gate.wait_access(peer=client.peer)["reason"] == "response_timeout"
