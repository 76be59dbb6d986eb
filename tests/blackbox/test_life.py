"""Start, limits and end of the process."""

import resource
import signal
import socket
import threading

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE, until

H = b"Host: billing.internal\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_ends_before_the_process_does(gate, world, backend, number):
    released = threading.Event()

    def answer(talk, request):
        released.wait(60)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    backend.answers = [answer]
    address = gate.address()
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        backend.wait()
        gate.signal(number)
        gate.wait_event("draining")
        until(lambda: not gates.is_port_open(address), "the listener to close")
        assert gate.process.poll() is None
        released.set()
        answer = client.response()
        assert answer.status == 200 and answer.body == b"done"
        assert answer.one("Connection").lower() == "close"
        client.expect_end()
    assert gate.wait_exit() == 0


def test_an_idle_connection_does_not_hold_up_the_end(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        gate.signal(signal.SIGTERM)
        assert gate.wait_exit() == 0
        client.expect_end()


def test_a_drain_has_a_deadline(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, drain_timeout="300ms"))
    backend.answers = [lambda talk, request: talk.more() and False]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        backend.wait()
        gate.signal(signal.SIGTERM)
        gate.wait_exit()
    gate.stopped = True
    assert gate.process.returncode in (0, 1)


def test_a_service_manager_is_told_how_it_stands_and_how_long_the_end_may_take(start_gate, world, backend, tmp_path):
    settings = gates.config(world, backend.endpoint, drain_timeout="10m")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)

        def told():
            return dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())

        gate = start_gate(settings, under=("env", f"NOTIFY_SOCKET={tmp_path / 'notify'}"))
        assert told() == {"READY": "1"}
        gate.reload()
        assert told()["RELOADING"] == "1"
        assert told() == {"READY": "1"}
        gate.signal(signal.SIGTERM)
        stopping = told()
    assert stopping["STOPPING"] == "1"
    assert 600 < int(stopping["EXTEND_TIMEOUT_USEC"]) / 1e6 < 660


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_vanishes_ends_its_request_at_once(gate, world, backend, how):
    backend.answers = [lambda talk, request: talk.more() and False]
    client = raw.Client(gate, world.clients["billing"])
    client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    backend.wait()
    getattr(client, how)()
    assert gate.wait_access(reason="client_gone")["status"] == 0


def test_a_second_signal_cuts_and_says_how_many(gate, world, backend):
    backend.answers = [lambda talk, request: talk.more() and False]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        backend.wait()
        gate.signal(signal.SIGTERM)
        gate.wait_event("draining")
        gate.signal(signal.SIGTERM)
        assert gate.wait_event("drained")["cut"] == 1
        gate.wait_exit()
    gate.stopped = True


def test_a_stop_on_the_heels_of_a_reload_ends_well(gate, world, backend):
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(8)]
    for client in clients:
        assert client.get().status == 200
    gate.signal(signal.SIGHUP)
    gate.wait_event("reloaded")
    gate.signal(signal.SIGTERM)
    assert gate.wait_exit() == 0
    for client in clients:
        client.close()


def test_readiness_ends_when_the_drain_begins(gate, world, backend):
    released = threading.Event()
    backend.answers = [lambda talk, request: released.wait(60) and talk.send(b"HTTP/1.1 204 X\r\n\r\n")]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        backend.wait()
        gate.signal(signal.SIGTERM)
        gate.wait_event("draining")
        assert gate.admin("/readyz")[0] == 503
        assert gate.admin("/healthz")[0] == 200
        released.set()
        assert client.response().status == 204


def test_a_second_one_on_the_same_address_fails_and_says_so(start_gate, gate, world, backend):
    host, port = gate.address()
    second = start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, address=f"{host}:{port}")]), ready=False)
    second.stopped = True
    until(lambda: second.process.poll() is not None or any(e["event"] == "ready" for e in second.events.records),
          "the second one to end or to be ready")
    if second.process.poll() is None:
        second.kill()
        raise AssertionError("two gates serve the same address")
    assert second.wait_exit() == 1
    assert f"{host}:{port}" in second.report() and "in use" in second.report().lower()
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200


def test_the_exit_status_tells_usage_and_configuration_from_failure(world, backend, tmp_path):
    good = tmp_path / "good.yaml"
    gates.Gate.write(type("Place", (), {"file": good}), gates.config(world, backend.endpoint))
    bad = tmp_path / "bad.yaml"
    bad.write_text(good.read_text() + "unknown: 1\n")
    for arguments, status in [
            (["check", "-c", good], 0), (["check", "-c", bad], 2), (["run", "-c", bad], 2), (["-t", "-c", good], 0),
            (["-t", "-c", bad], 2), (["check", "-c", tmp_path / "none.yaml"], 2), (["nonsense"], 2), ([], 2),
            (["run", "--nonsense"], 2), (["version"], 0)]:
        result = gates.run(*arguments)
        assert result.returncode == status, (arguments, result)
        assert status == 0 or result.stderr.strip(), f"{arguments} failed without a word"


def test_a_quiet_check_says_only_what_is_wrong(world, backend, tmp_path):
    file = tmp_path / "sallyport.yaml"
    gates.Gate.write(type("Place", (), {"file": file}), gates.config(world, backend.endpoint))
    told = gates.run("check", "-c", file)
    quiet = gates.run("check", "--quiet", "-c", file)
    assert told.stdout and (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", told.stderr)
    file.write_text(file.read_text() + "unknown: 1\n")
    told, quiet = gates.run("check", "-c", file), gates.run("check", "--quiet", "-c", file)
    assert "unknown" in told.stderr and (quiet.returncode, quiet.stdout, quiet.stderr) == (2, "", told.stderr)


@pytest.mark.parametrize("count", [1, 2])
def test_check_counts_what_a_policy_has_and_what_of_it_only_reports(world, backend, tmp_path, count):
    named = [f"one{number}" for number in range(count)]
    file = tmp_path / "sallyport.yaml"
    gates.Gate.write(type("Place", (), {"file": file}), gates.config(
        world, upstreams={name: {"endpoints": [backend.endpoint]} for name in named},
        callers={name: {"match": [{"dns": f"{name}.example"}], "limits": {"connections": 5}} for name in named},
        rules=[{"name": name, "from": [name], "upstream": name, "mode": "report"} for name in named]))
    told = gates.run("check", "-c", file).stdout
    s = "" if count == 1 else "s"
    assert (f"\n{count} caller{s}, {count} rule{s}, {count} upstream{s}\n{count} caller{s} with limits\n"
            f"{count} rule{s} in report mode, deciding nothing\n") in told


def test_all_errors_of_a_file_are_told_at_once_with_their_places(world, backend, tmp_path):
    settings = gates.config(world, backend.endpoint)
    settings["listeners"][0]["client_auth"]["crl_mising"] = "reject"
    settings["rules"][0]["upstream"] = "mian"
    settings["wrkers"] = 1
    file = tmp_path / "bad.yaml"
    gates.Gate.write(type("Place", (), {"file": file}), settings)
    result = gates.run("check", "-c", file)
    assert result.returncode == 2
    for word in ('"crl_missing"', '"main"', '"workers"'):
        assert word in result.stderr, result.stderr
    for line in [line for line in result.stderr.splitlines() if "error:" in line]:
        assert line.startswith(f"{file}:") and line.split(":")[1].isdigit(), line


@pytest.mark.parametrize("pattern", ["spiffe://*/x", "spiffe://corp.example/**/x"])
def test_a_bad_pattern_is_an_error_of_the_file(world, backend, tmp_path, pattern):
    settings = gates.config(world, backend.endpoint)
    settings["callers"]["billing"][0]["uri"] = pattern
    file = tmp_path / "bad.yaml"
    gates.Gate.write(type("Place", (), {"file": file}), settings)
    result = gates.run("check", "-c", file)
    assert result.returncode == 2 and "callers.billing[0].uri" in result.stderr


def connect_all(gate, count):
    """Plain connections, some of which the gate has no descriptor for."""
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(gate.address(), timeout=PATIENCE)
        sockets.append(sock)
    return sockets


def test_want_of_descriptors_neither_spins_nor_ends_the_process(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint), limits=[(resource.RLIMIT_NOFILE, 64)])
    sockets = connect_all(gate, 120)
    try:
        began, clock = gate.cpu_seconds(), threading.Event()
        # An accept that spins burns a whole CPU; a second of watching is the measure here, not a wait for something.
        clock.wait(1.0)
        assert gate.cpu_seconds() - began < 0.5
    finally:
        for sock in sockets:
            sock.close()

    def works():
        try:
            with raw.Client(gate, world.clients["billing"]) as client:
                return client.get().status == 200
        except (raw.Closed, OSError):
            return False

    until(works, "the gate to serve again")
    assert gate.metrics()["sallyport_accept_paused_total"] >= 1


def test_several_listeners_serve_side_by_side(start_gate, world, backend, tmp_path):
    gate = start_gate(gates.config(world, backend.endpoint, gates=2, listeners=[
        gates.listener(world, "four"), gates.listener(world, "six", address="[::1]:0")]))
    for name in ("four", "six"):
        with raw.Client(gate, world.clients["billing"], listener=name) as client:
            assert client.get().status == 200
    assert {gate.accesses.wait(lambda e: e["listener"] == name, name)["status"] for name in ("four", "six")} == {200}


def test_a_listener_can_be_a_unix_socket(start_gate, world, backend, tmp_path):
    path = tmp_path / "in.sock"
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, address=f"unix:{path}")]))
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(PATIENCE)
        plain.connect(str(path))
        with raw.context(world, world.clients["billing"]).wrap_socket(plain, server_hostname="billing.internal") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
            assert raw.Reader(tls).response().status == 200


def test_idle_connections_need_no_cpu(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        began = gate.cpu_seconds()
        threading.Event().wait(1.0)
        assert gate.cpu_seconds() - began < 0.25
