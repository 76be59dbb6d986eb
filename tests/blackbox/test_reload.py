"""A reload changes what the operator changed and drops nothing; a bad file changes nothing and says why."""

import contextlib
import random
import signal
import socket
import threading

import pytest

from lib import gate as gates
from lib import raw
from lib.load import Load
from lib.patience import until

H = b"Host: billing.internal\r\n"


def test_reloads_under_load_cost_no_request(gate, world, backend):
    load = Load(gate, world.clients["billing"])
    try:
        for generation in range(2, 12):
            load.wait_more(10)
            event = gate.reload(gates.config(world, backend.endpoint))
            assert event["event"] == "reloaded", event
            assert event["generation"] == generation
        load.wait_more(10)
    finally:
        load.stop()
    assert load.failures == [] and load.done > 100
    metrics = gate.metrics()
    assert metrics['sallyport_reloads_total{result="ok"}'] == 10
    assert metrics["sallyport_configuration_generation"] == 11


BAD_FILES = [
    ("listeners: [", "sallyport.yaml"),
    ("", None),
    ("listenrs: []\n", "listeners"),
]


@pytest.mark.parametrize("text,word", BAD_FILES)
def test_a_bad_file_leaves_the_old_one_in_force_and_says_why(gate, world, backend, text, word):
    event = gate.reload(text)
    assert event["event"] == "reload_failed" and event["level"] == "error"
    errors = [e for e in gate.events.records if e["event"] == "configuration_error"]
    assert errors and all(e["detail"] for e in errors)
    if word:
        assert any(word in str(e) for e in errors), errors
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
    metrics = gate.metrics()
    assert metrics['sallyport_reloads_total{result="failed"}'] == 1
    assert metrics["sallyport_configuration_generation"] == 1
    assert gate.reload(gates.config(world, backend.endpoint))["event"] == "reloaded"


@pytest.mark.parametrize("breaks", ["unknown upstream", "missing CA file", "key of another certificate", "unreadable CRL"])
def test_a_file_that_names_what_is_not_good_leaves_the_old_one_in_force(gate, world, backend, tmp_path, breaks):
    settings = gates.config(world, backend.endpoint)
    listener = settings["listeners"][0]
    if breaks == "unknown upstream":
        settings["rules"][0]["upstream"] = "nowhere"
    elif breaks == "missing CA file":
        listener["client_auth"]["ca"] = [str(tmp_path / "none.pem")]
    elif breaks == "key of another certificate":
        listener["tls"]["certificates"][0]["key"] = str(world.other_server.key_file)
    else:
        (tmp_path / "bad.crl").write_text("no CRL at all\n")
        listener["client_auth"]["crl"] = [str(tmp_path / "bad.crl")]
    assert gate.reload(settings)["event"] == "reload_failed"
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200


# What is wrong in a new file that otherwise is good, and says something else everywhere: (its path, the value, what is told)
WRONG_PARTS = {
    "a rule": (("rules", 1, "from"), ["evrybody"], "rules[1].from"),
    "a contradiction": (("rules", 1, "not_from"), ["everybody"], "rules[1].not_from"),
    "a path": (("rules", 1, "path"), "/a/**/b", "rules[1].path"),
    "a block": (("rules", 1, "source"), "10.0.0.1/8", "rules[1].source"),
    "a pattern": (("callers", "other"), [{"uri": "spiffe://x/**/y"}], "callers.other[0]"),
    "an attribute": (("callers", "other"), [{"subject": {"CNN": "x"}}], "callers.other[0]"),
    "an OID": (("callers", "other"), [{"policy": "1.02.3"}], "callers.other[0].policy"),
    "a list": (("callers", "other"), [{"file": "allow.txt"}], "allow.txt"),
    "a list that is not there": (("callers", "other"), [{"file": "none.txt"}], "none.txt"),
    "a limit": (("callers", "everybody", "limits", "rate"), "0/s", "limits.rate"),
    "a requirement": (("listeners", 0, "client_auth", "require"), {"eku": ["clientAuht"]}, "require.eku"),
    "a template": (("upstreams", "main", "headers", "X-Bad"), "{subjekt}", "upstreams.main.headers"),
    "a trusted proxy": (("trusted_proxies",), [{"from": ["nobody"], "xfcc": "forward_only"}], "trusted_proxies[0]"),
    "an audit file": (("audit", "output"), "/nowhere/audit.log", "/nowhere/audit.log"),
}


def put(settings, path, value):
    for key in path[:-1]:
        settings = settings[key]
    settings[path[-1]] = value


@pytest.mark.parametrize("wrong", WRONG_PARTS)
def test_a_file_with_one_wrong_part_changes_nothing_of_what_is_in_force(start_gate, world, backend, tmp_path, wrong):
    def settings(word, *rules, **everybody):
        return gates.config(
            world, backend.endpoint, callers={"everybody": {"match": [{"any": "authenticated"}], **everybody}},
            rules=[*rules, {"name": "all", "from": ["everybody"], "upstream": "main"}],
            upstreams={"main": {"endpoints": [backend.endpoint], "headers": {"X-Version": word}}},
            audit={"output": str(tmp_path / f"{word}.log"), "allowed": True})

    def served(client):
        backend.forget()
        assert client.get().status == 200
        assert backend.wait().one("X-Version") == "before"
        assert gate.wait_access(peer=client.peer)["rule"] == "all"

    gate = start_gate(settings("before"))
    (gate.folder / "allow.txt").write_text("uri:urn:x\nurl:urn:y\n")
    path, value, told = WRONG_PARTS[wrong]
    after = settings("after", {"name": "closed", "deny": 404}, limits={"rate": "1/h"})
    mended = settings("after", {"name": "closed", "deny": 404}, limits={"rate": "1/h"})
    put(after, path, value)
    with raw.Client(gate, world.clients["billing"]) as stays:
        served(stays)
        assert gate.reload(after)["event"] == "reload_failed"
        errors = [e for e in gate.events.records if e["event"] in ("configuration_error", "reload_failed")]
        assert any(told in e.get("file", "") + e["detail"] for e in errors), errors
        for _ in range(2):
            served(stays)
            with raw.Client(gate, world.clients["billing"]) as comes:
                served(comes)
    assert not (tmp_path / "after.log").exists()
    lines = until(lambda: len(found := (tmp_path / "before.log").read_text().splitlines()) == 5 and found, "five audit records")
    assert all('"generation":1' in line for line in lines)
    assert gate.reload(mended)["event"] == "reloaded"
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 404


def test_a_rule_that_is_gone_refuses_at_once_also_on_open_connections(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        settings = gates.config(world, backend.endpoint)
        del settings["rules"][0]
        assert gate.reload(settings)["event"] == "reloaded"
        until(lambda: is_refused(gate, world, client), "the open connection to be refused")
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 403


def is_refused(gate, world, client):
    """By 403, or because the gate has closed the connection."""
    try:
        return client.get().status == 403
    except (raw.Closed, OSError):
        return True


def test_a_new_rule_allows_on_open_connections(gate, world, backend):
    with raw.Client(gate, world.clients["stranger_here"]) as client:
        assert client.get().status == 403
        settings = gates.config(world, backend.endpoint)
        settings["callers"]["strangers"] = [{"uri": "spiffe://corp.example/ns/other/**"}]
        settings["rules"].append({"name": "new", "from": ["strangers"], "upstream": "main"})
        assert gate.reload(settings)["event"] == "reloaded"
        until(lambda: client.get().status == 200, "the new rule on an open connection")


def test_a_certificate_revoked_since_is_refused_at_the_next_handshake(start_gate, own_world, backend):
    world = own_world
    gate = start_gate(gates.config(world, backend.endpoint), of=world)
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
    world.write_crls([world.clients["billing"]])
    assert gate.reload()["event"] == "reloaded"

    def is_turned_away():
        try:
            with raw.Client(gate, world.clients["billing"]) as client:
                client.get()
            return False
        except (raw.Closed, OSError):
            return True

    until(is_turned_away, "the revoked certificate to be refused")
    assert gate.wait_event("refused")["reason"] == "revoked"


def test_an_exchange_in_flight_that_is_still_allowed_ends_as_it_began(gate, world, backend):
    released = threading.Event()

    def answer(talk, request):
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        released.wait(60)
        talk.send(b"later")

    backend.answers = [answer]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        assert client.head().status == 200
        settings = gates.config(world, "127.0.0.1:9")
        settings["rules"][0]["name"] = "another"
        assert gate.reload(settings)["event"] == "reloaded"
        released.set()
        assert client._exactly(10) == b"firstlater"


def test_a_listener_can_come_and_go(gate, world, backend):
    settings = gates.config(world, backend.endpoint)
    settings["listeners"].append(gates.listener(world, "second"))
    first = gate.address()
    assert gate.reload(settings)["event"] == "reloaded"
    second = gate.address("second")
    for name in ("internal", "second"):
        with raw.Client(gate, world.clients["billing"], listener=name) as client:
            assert client.get().status == 200
    del settings["listeners"][1]
    assert gate.reload(settings)["event"] == "reloaded"
    until(lambda: not gates.is_port_open(second), "the second listener to close")
    assert gate.address() == first
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200


def port_of_every_address():
    """A free one of those that the kernel gives to nobody by itself: another test's connection from 127.0.0.2 may have the port that
    the gate was given on 127.0.0.1."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest = int(file.read().split()[0])
    for port in random.sample(range(max(1024, lowest - 10000), max(2048, lowest)), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
    raise AssertionError("no port is free")


def test_an_address_can_be_widened_on_its_port(start_gate, world, backend):
    port = port_of_every_address()

    def settings(host):
        return gates.config(world, backend.endpoint, listeners=[gates.listener(world, address=f"{host}:{port}")])

    gate = start_gate(settings("127.0.0.1"))
    for host in ("0.0.0.0", "127.0.0.1"):
        told = gate.reload(settings(host))
        assert told["event"] == "reloaded", told
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status == 200


def test_many_hups_at_once_end_in_the_last_file(gate, world, backend):
    settings = gates.config(world, backend.endpoint)
    for _ in range(20):
        gate.signal(signal.SIGHUP)
    del settings["rules"][0]
    gate.reload(settings)
    with raw.Client(gate, world.clients["billing"]) as client:
        until(lambda: client.get().status == 403, "the last file to be in force")
