"""Endpoints that are ill are found out, left out and taken back, by checks and by what becomes of requests; and when all seem ill,
none is left out."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from lib import gate as gates
from lib import raw
from lib.backend import RecordingBackend
from lib.patience import PATIENCE, until

CHECK = {"path": "/healthz", "interval": "50ms", "timeout": "5s", "healthy_after": 2, "unhealthy_after": 2}
NO_EJECTION = {"ejection": "off"}


class Patient(RecordingBackend):
    """Answers with its own name, and at /healthz as `health` says: a status, or None for a connection that is closed."""

    def __init__(self, name):
        super().__init__()
        self.name, self.health, self.checks, self.served = name, 200, [], 0
        self.default = self.answer

    def answer(self, talk, request):
        if request.line.startswith("GET /healthz "):
            self.checks.append(request)
            if self.health is None:
                return False
            talk.send(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % self.health)
            return False
        self.served += 1
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + self.name.encode())
        return True


@pytest.fixture
def patients():
    made = [Patient(name) for name in "abc"]
    yield made
    for one in made:
        one.close()


def settings(world, *endpoints, check=CHECK, **upstream):
    made = gates.config(world)
    made["upstreams"]["main"] = {"endpoints": list(endpoints), **({"health_check": check} if check else {}), **upstream}
    return made


def states(gate):
    status, headers, body = gate.admin("/upstreams")
    assert status == 200 and headers["Content-Type"] == "application/json"
    (main,) = [u for u in json.loads(body)["upstreams"] if u["name"] == "main"]
    return {e["address"]: e for e in main["endpoints"]}


def state(gate, endpoint):
    return states(gate)[endpoint]["state"]


def wait_state(gate, endpoint, wanted):
    until(lambda: state(gate, endpoint) == wanted, f"{endpoint} to be {wanted}; it is {states(gate)[endpoint]}")


def who_answers(gate, world, times=6):
    """The names of the backends that answer `times` requests."""
    answers = set()
    with raw.Client(gate, world.clients["billing"]) as client:
        for _ in range(times):
            answer = client.get()
            assert answer.status == 200, answer
            answers.add(answer.body.decode())
    return answers


def wait_answers(gate, world, wanted):
    until(lambda: who_answers(gate, world) == set(wanted), f"answers of {wanted}")


# ---- active checks ----

def test_endpoints_that_let_every_check_run_into_its_time_out_do_not_hold_up_those_of_another_upstream(
        start_gate, world, patients):
    a = patients[0]
    made = settings(world, a.endpoint)
    with socket.create_server(("0.0.0.0", 0), backlog=1024) as silent:  # accepts by the kernel alone
        port = silent.getsockname()[1]
        check = {**CHECK, "interval": "1m", "timeout": "1m"}
        made["upstreams"]["other"] = {
            "endpoints": [f"127.0.1.{i}:{port}" for i in range(1, 201)], "health_check": check}
        made["rules"][1]["upstream"] = "other"
        gate = start_gate(made)
        # The places that others have are taken for a minute. They take them within six seconds.
        until(lambda: open_checks(port) >= 64, "checks of the other upstream")
        begun = len(a.checks)
        until(lambda: len(a.checks) >= begun + 20, "more checks")
        a.health = 500
        gate.wait_event("endpoint_down", endpoint=a.endpoint)


def open_checks(port):
    with open("/proc/net/tcp") as table:
        return sum(line.split()[2].endswith(":%04X" % port) and line.split()[3] == "01" for line in table)


@pytest.mark.parametrize("illness,reason", [(500, "status 500"), (302, "status 302"), (None, "ended")])
def test_an_endpoint_that_says_it_is_ill_is_left_out_until_it_is_well(start_gate, world, patients, illness, reason):
    a, b, _ = patients
    gate = start_gate(settings(world, a.endpoint, b.endpoint))
    wait_answers(gate, world, "ab")
    a.health = illness
    event = gate.wait_event("endpoint_down", upstream="main", endpoint=a.endpoint)
    assert event["level"] == "warn" and reason in event["reason"] and event["checks"] == 2
    wait_answers(gate, world, "b")
    assert state(gate, a.endpoint) == "down" and state(gate, b.endpoint) == "up"
    assert reason in states(gate)[a.endpoint]["checks"]["failure"]
    metrics = gate.metrics()
    assert metrics[f'sallyport_upstream_endpoint_state{{upstream="main",endpoint="{a.endpoint}",host="127.0.0.1",state="down"}}'] == 1
    assert metrics[f'sallyport_upstream_endpoint_state{{upstream="main",endpoint="{b.endpoint}",host="127.0.0.1",state="up"}}'] == 1
    assert metrics['sallyport_upstream_checks_total{result="failed"}'] >= 2
    a.health = 200
    assert gate.wait_event("endpoint_up", endpoint=a.endpoint)["checks"] == 2
    wait_answers(gate, world, "ab")


def test_a_check_is_a_request_of_its_own(start_gate, world, patients):
    a = patients[0]
    gate = start_gate(settings(world, a.endpoint, check={**CHECK, "host": "health.internal", "status": "200-299"}))
    request = until(lambda: a.checks and a.checks[0], "a check")
    assert request.line == "GET /healthz HTTP/1.1"
    assert request.one("Host") == "health.internal"
    assert request.one("User-Agent").startswith("sallyport")
    assert not [name for name in request.names() if name.startswith("x-client")]
    a.health = 204
    checks = states(gate)[a.endpoint]["checks"]["ok"]
    until(lambda: states(gate)[a.endpoint]["checks"]["ok"] > checks + 3, "checks that go well")
    assert state(gate, a.endpoint) == "up"


def test_the_first_answer_counts_at_once(start_gate, world, patients):
    a, b, _ = patients
    a.health = 503
    check = {**CHECK, "unhealthy_after": 100}
    gate = start_gate(settings(world, a.endpoint, b.endpoint, check=check))
    assert gate.wait_event("endpoint_down", endpoint=a.endpoint)["checks"] == 1
    wait_answers(gate, world, "b")


def test_an_endpoint_that_was_killed_is_left_out_and_found_again(start_gate, world, patients):
    a, b, c = patients
    gate = start_gate(settings(world, a.endpoint, b.endpoint, c.endpoint, check={"interval": "50ms", "unhealthy_after": 2}))
    wait_answers(gate, world, "abc")
    a.close()
    event = gate.wait_event("endpoint_down", endpoint=a.endpoint)
    assert "refused" in event["reason"].lower()
    wait_answers(gate, world, "bc")


def test_an_endpoint_that_stands_still_is_left_out(start_gate, world, patients, tmp_path):
    """Stopped by SIGSTOP it still takes connections, and says nothing."""
    (tmp_path / "healthz").write_text("well")
    served = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", tmp_path, "0"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = served.stdout.readline().split(" port ")[1].split()[0]
        endpoint = f"127.0.0.1:{port}"
        gate = start_gate(settings(world, endpoint, patients[0].endpoint, check={**CHECK, "timeout": "300ms"}))
        until(lambda: states(gate)[endpoint]["checks"]["ok"] > 2, "checks that go well")
        since = len(gate.events.records)
        os.kill(served.pid, signal.SIGSTOP)
        event = gate.wait_event("endpoint_down", since, endpoint=endpoint)
        assert "300ms" in event["reason"]
        wait_answers(gate, world, "a")
        os.kill(served.pid, signal.SIGCONT)
        gate.wait_event("endpoint_up", since, endpoint=endpoint)
    finally:
        os.kill(served.pid, signal.SIGCONT)
        served.kill()
        served.wait()
        served.stdout.close()


def test_one_that_flaps_counts_only_what_comes_in_a_row(start_gate, world, patients):
    a, b, _ = patients
    gate = start_gate(settings(world, a.endpoint, b.endpoint, check={**CHECK, "unhealthy_after": 3}))
    until(lambda: states(gate)[a.endpoint]["checks"]["ok"] > 0, "a first check")
    since = len(gate.events.records)
    turns = [0]

    def flap(talk, request):
        if request.line.startswith("GET /healthz "):
            turns[0] += 1
            a.health = 200 if turns[0] % 3 == 0 else 500
        return a.answer(talk, request)

    a.default = flap
    until(lambda: turns[0] > 12, "checks of one that flaps")
    assert not [e for e in gate.events.records[since:] if e["event"] == "endpoint_down"]
    assert state(gate, a.endpoint) == "up"


def test_a_check_may_ask_at_another_port(start_gate, world, patients):
    a, b, _ = patients
    gate = start_gate(settings(world, a.endpoint, check={**CHECK, "port": int(b.endpoint.rpartition(":")[2])}))
    until(lambda: b.checks, "a check at the other port")
    b.health = 500
    gate.wait_event("endpoint_down", endpoint=a.endpoint)
    assert not a.checks


@pytest.mark.parametrize("version,begins", [("v1", b"PROXY UNKNOWN\r\nGET /healthz "),
                                            ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0")])
def test_a_check_says_a_proxy_header_of_nobody_first(start_gate, world, version, begins):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        start_gate(settings(world, "127.0.0.1:%d" % listener.getsockname()[1], proxy_protocol=version))
        sock, _ = listener.accept()
        with sock:
            came = b""
            while b"GET /healthz " not in came:
                came += sock.recv(4096)
            assert came.startswith(begins)


# ---- all of them ----

def test_when_all_are_ill_all_are_used(start_gate, world, patients):
    gate = start_gate(settings(world, *(p.endpoint for p in patients)))
    wait_answers(gate, world, "abc")
    for patient in patients:
        patient.health = 500
    event = gate.wait_event("upstream_panic", upstream="main")
    assert event["level"] == "error" and event["endpoints"] == 3
    wait_answers(gate, world, "abc")
    assert gate.metrics()['sallyport_upstream_panic{upstream="main"}'] == 1
    assert {e["state"] for e in states(gate).values()} == {"down"}
    patients[1].health = 200
    gate.wait_event("upstream_recovered", upstream="main")
    wait_answers(gate, world, "b")
    assert gate.metrics()['sallyport_upstream_panic{upstream="main"}'] == 0


def test_without_a_panic_threshold_none_that_is_ill_is_used(start_gate, world, patients):
    a = patients[0]
    a.health = 500
    gate = start_gate(settings(world, a.endpoint, panic_threshold=0))
    gate.wait_event("endpoint_down", endpoint=a.endpoint)

    def refused():
        with raw.Client(gate, world.clients["billing"]) as client:
            return client.get().status >= 500
    until(refused, "a request that nobody may answer")
    assert not [e for e in gate.events.records if e["event"] == "upstream_panic"]


def test_backups_are_asked_when_no_other_is_well(start_gate, world, patients):
    a, b, c = patients
    gate = start_gate(settings(world, a.endpoint, b.endpoint, {"address": c.endpoint, "backup": True}))
    wait_answers(gate, world, "ab")
    a.health = b.health = 500
    wait_answers(gate, world, "c")
    b.health = 200
    wait_answers(gate, world, "b")


def test_a_drained_endpoint_gets_nothing(start_gate, world, patients):
    a, b, _ = patients
    gate = start_gate(settings(world, a.endpoint, {"address": b.endpoint, "weight": 0}))
    assert who_answers(gate, world, 10) == {"a"}
    assert state(gate, b.endpoint) == "drained"
    assert gate.reload(settings(world, a.endpoint, b.endpoint))["event"] == "reloaded"
    wait_answers(gate, world, "ab")


# ---- reloads ----

def test_one_that_comes_back_gets_its_share_by_and_by(start_gate, world, patients):
    a, b, c = patients
    gate = start_gate(settings(world, a.endpoint, b.endpoint, slow_start="1h"))
    wait_answers(gate, world, "ab")

    def shares():
        before = a.served, b.served, c.served
        who_answers(gate, world, 240)  # of ten turns one at random is taken: none of 120 never happens
        return [now - then for now, then in zip((a.served, b.served, c.served), before)]

    assert min(shares()[:2]) > 80, "at the start none is newer than the other"
    a.health = 500
    gate.wait_event("endpoint_down", endpoint=a.endpoint)
    a.health = 200
    gate.wait_event("endpoint_up", endpoint=a.endpoint)
    wait_answers(gate, world, "ab")
    assert 0 < shares()[0] < 60
    # so with one that a reload brings
    assert gate.reload(settings(world, a.endpoint, b.endpoint, c.endpoint, slow_start="1h"))["event"] == "reloaded"
    wait_answers(gate, world, "abc")
    came_back, stayed, new = shares()
    assert 0 < came_back < 60 and 0 < new < 60 and stayed > 120
    assert gate.reload(settings(world, a.endpoint, b.endpoint, c.endpoint))["event"] == "reloaded"
    until(lambda: min(shares()) > 48, "equal shares")
    # and one that was drained
    drained = [{"address": a.endpoint, "weight": 0}, b.endpoint]
    for endpoints in (drained, [a.endpoint, b.endpoint]):
        assert gate.reload(settings(world, *endpoints, slow_start="1h"))["event"] == "reloaded"
        wait_answers(gate, world, "b" if endpoints is drained else "ab")
    assert 0 < shares()[0] < 60


def test_a_reload_keeps_what_is_known_of_endpoints(start_gate, world, patients):
    a, b, c = patients
    check = {**CHECK, "interval": "1h"}
    a.health = 500
    gate = start_gate(settings(world, a.endpoint, b.endpoint, check=CHECK))
    gate.wait_event("endpoint_down", endpoint=a.endpoint)
    for endpoints in [(b, a, c), (a, c)]:
        since = len(gate.events.records)
        gate.reload(settings(world, *(p.endpoint for p in endpoints), check=check))
        wait_answers(gate, world, {p.name for p in endpoints if p is not a})
        assert state(gate, a.endpoint) == "down"
        assert not [e for e in gate.events.records[since:] if e["event"] in ("endpoint_up", "endpoint_down")]
    assert set(states(gate)) == {a.endpoint, c.endpoint}
    gate.reload(settings(world, a.endpoint, c.endpoint, check=None))
    wait_answers(gate, world, "ac")


# ---- ejection ----

def fail_times(gate, world, times):
    for _ in range(times):
        with raw.Client(gate, world.clients["billing"]) as client:
            client.ask(b"POST / HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 0\r\n\r\n", "POST")


def test_an_endpoint_on_which_requests_fail_in_a_row_is_left_out_for_a_while(start_gate, world, patients):
    a, b, _ = patients
    a.default = lambda talk, request: talk.reset() or False
    gate = start_gate(settings(world, a.endpoint, b.endpoint, check=None,
                               ejection={"failures": 3, "base": "1s", "max": "1m"}, retries={"attempts": 1}))
    until(lambda: fail_times(gate, world, 2) or any(e["event"] == "endpoint_ejected" for e in gate.events.records),
          "an ejection")
    first = gate.wait_event("endpoint_ejected", endpoint=a.endpoint)
    assert first["level"] == "warn" and first["failures"] >= 3 and first["for_ms"] == 1000
    assert first["reason"] == "backend_closed"
    assert who_answers(gate, world, 4) == {"b"} or state(gate, a.endpoint) != "ejected"
    gate.wait_event("endpoint_returned", endpoint=a.endpoint)
    # On probation: one more failure, and it is left out for twice as long.
    since = len(gate.events.records)
    until(lambda: fail_times(gate, world, 2) or any(e["event"] == "endpoint_ejected" for e in gate.events.records[since:]),
          "another ejection")
    again = gate.wait_event("endpoint_ejected", since, endpoint=a.endpoint)
    assert again["failures"] <= 5 and again["for_ms"] == 2000
    assert gate.metrics()["sallyport_upstream_ejections_total"] == 2
    assert states(gate)[a.endpoint]["ejections"] == 2
    a.default = a.answer
    gate.wait_event("endpoint_returned", since, endpoint=a.endpoint)
    wait_answers(gate, world, "ab")
    assert states(gate)[a.endpoint]["failed_in_a_row"] == 0


def test_an_ejection_ends_when_the_checks_have_seen_it_down_and_up_again(start_gate, world, patients):
    """It was restarted: what its requests came to before says nothing of it now, and to the rest of the operators' tools it is up."""
    a, b, _ = patients
    a.default = lambda talk, request: a.answer(talk, request) if "/healthz" in request.line else talk.reset() or False
    gate = start_gate(settings(world, a.endpoint, b.endpoint, ejection={"failures": 1, "base": "1h", "max": "1h"}))
    until(lambda: fail_times(gate, world, 2) or states(gate)[a.endpoint]["ejections"], "an ejection")
    a.default, a.health = a.answer, 500
    gate.wait_event("endpoint_down", endpoint=a.endpoint)
    assert not [e for e in gate.events.records if e["event"] == "endpoint_returned"]
    a.health = 200
    gate.wait_event("endpoint_up", endpoint=a.endpoint)
    gate.wait_event("endpoint_returned", endpoint=a.endpoint)
    wait_answers(gate, world, "ab")


def test_one_that_is_ejected_is_asked_rather_than_that_a_request_fails(start_gate, world, patients):
    a, b, c = patients
    ejection = {"failures": 1, "base": "1h", "max": "1h"}
    a.default = lambda talk, request: talk.reset() or False
    gate = start_gate(settings(world, a.endpoint, b.endpoint, c.endpoint, check=None, ejection=ejection, panic_threshold=0))
    until(lambda: fail_times(gate, world, 2) or states(gate)[a.endpoint]["ejections"], "an ejection")
    gate.wait_event("endpoint_ejected", endpoint=a.endpoint)
    a.default = a.answer
    b.close()
    c.close()
    assert who_answers(gate, world, 1) == {"a"}


def test_all_being_ejected_is_a_panic_too(start_gate, world, patients):
    a = patients[0]
    a.default = lambda talk, request: talk.reset() or False
    gate = start_gate(settings(world, a.endpoint, check=None, ejection={"failures": 2, "base": "1h", "max": "1h"},
                               retries={"attempts": 1}))
    fail_times(gate, world, 3)
    gate.wait_event("endpoint_ejected", endpoint=a.endpoint)
    gate.wait_event("upstream_panic", upstream="main")
    a.default = a.answer
    wait_answers(gate, world, "a")
    gate.reload(settings(world, a.endpoint, check=None, ejection="off"))
    gate.wait_event("endpoint_returned", endpoint=a.endpoint)
    assert state(gate, a.endpoint) == "up"


def test_answers_of_the_backend_eject_nobody_whatever_their_status(start_gate, world, patients):
    a = patients[0]
    a.default = b"HTTP/1.1 503 Said\r\nContent-Length: 0\r\n\r\n"
    gate = start_gate(settings(world, a.endpoint, check=None, ejection={"failures": 1, "base": "1s", "max": "1s"}))
    fail_times(gate, world, 5)
    assert state(gate, a.endpoint) == "up" and states(gate)[a.endpoint]["ejections"] == 0
