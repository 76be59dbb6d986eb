"""Endpoints given by name are what DNS says they are today: each address an endpoint, asked again when its time is over; and
while DNS has nothing to say, what it said last."""

import json
import socket

import pytest

from lib import gate as gates
from lib import pki, raw
from lib.backend import RecordingBackend
from lib.dns import A, AAAA, SRV, Dns
from lib.load import Load
from lib.patience import until
from lib.tls_backend import Backends, TlsNginx, free_port, saw


def listeners_on_one_port(count):
    for _ in range(50):
        made = [socket.create_server(("127.0.0.1", 0))]
        try:
            for i in range(2, count + 1):
                made.append(socket.create_server((f"127.0.0.{i}", made[0].getsockname()[1])))
            return made
        except OSError:
            for listener in made:
                listener.close()
    raise AssertionError("no port is free on all addresses")


@pytest.fixture
def hosts():
    """Backends on one port of 127.0.0.1, 127.0.0.2 and 127.0.0.3, each of which answers with the last digit of its own."""
    made = [RecordingBackend(listener=listener) for listener in listeners_on_one_port(3)]
    for digit, host in enumerate(made, 1):
        host.default = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % digit
    yield made
    for host in made:
        host.close()


@pytest.fixture
def dns():
    made = Dns()
    yield made
    made.close()


def port_of(hosts):
    return int(hosts[0].endpoint.rpartition(":")[2])


def records(*digits, ttl=1):
    return [(A, ttl, f"127.0.0.{digit}") for digit in digits]


def settings(world, dns, *endpoints, **upstream):
    made = gates.config(world, resolver={"servers": [dns.address]})
    made["upstreams"]["main"] = {"endpoints": list(endpoints), **upstream}
    return made


def who_answers(gate, world, times=8):
    answers = set()
    with raw.Client(gate, world.clients["billing"]) as client:
        for _ in range(times):
            answer = client.get()
            answers.add(answer.body.decode() if answer.status == 200 else answer.status)
    return answers


def wait_answers(gate, world, *digits):
    wanted = {str(digit) for digit in digits}
    until(lambda: who_answers(gate, world) == wanted, f"answers of {wanted}")


def page(gate):
    return json.loads(gate.admin("/upstreams")[2])


def name_state(gate):
    (name,) = page(gate)["names"]
    return name["state"]


def endpoints(gate):
    return {e["address"]: e for e in page(gate)["upstreams"][0]["endpoints"]}


def test_every_address_of_a_name_is_an_endpoint_and_a_change_is_followed(start_gate, world, dns, hosts):
    port = port_of(hosts)
    dns.zone["app.test"] = records(1, 2)
    gate = start_gate(settings(world, dns, f"app.test:{port}"))
    event = gate.wait_event("name_resolved", name=f"app.test:{port}")
    assert event["addresses"] == f"127.0.0.1:{port} 127.0.0.2:{port}" and event["count"] == 2
    assert who_answers(gate, world) == {"1", "2"}
    assert {e["host"] for e in endpoints(gate).values()} == {"app.test"}
    dns.zone["app.test"] = records(2, 3)
    wait_answers(gate, world, 2, 3)
    assert set(endpoints(gate)) == {f"127.0.0.{digit}:{port}" for digit in (2, 3)}
    metrics = gate.metrics()
    assert metrics[f'sallyport_upstream_name_addresses{{name="app.test:{port}"}}'] == 2
    assert metrics['sallyport_upstream_name_lookups_total{result="ok"}'] >= 1
    # Nothing is told while nothing changes.
    asked, since = len(dns.asked), len(gate.events.records)
    until(lambda: len(dns.asked) > asked + 2, "another look-up")
    assert not [e for e in gate.events.records[since:] if e["event"].startswith("name_")]


def test_changing_addresses_cost_no_request(start_gate, world, dns, hosts):
    dns.zone["app.test"] = records(1, 2)
    gate = start_gate(settings(world, dns, f"app.test:{port_of(hosts)}"))
    load = Load(gate, world.clients["billing"])
    try:
        for digits in [(2, 3), (1,), (1, 2, 3)]:
            since = len(gate.events.records)
            dns.zone["app.test"] = records(*digits)
            gate.wait_event("name_resolved", since, count=len(digits))
            load.wait_more(20)
    finally:
        load.stop()
    assert load.failures == []


def test_the_last_answer_serves_while_dns_is_down(start_gate, world, dns, hosts):
    port = port_of(hosts)
    dns.zone["app.test"] = records(1, 2)
    gate = start_gate(settings(world, dns, f"app.test:{port}"))
    since = len(gate.events.records)
    dns.silent = True
    event = gate.wait_event("name_failed", since, name=f"app.test:{port}")
    assert event["level"] == "warn" and event["addresses"] == 2 and event["detail"] and event["in_use"]
    assert who_answers(gate, world) == {"1", "2"}
    assert name_state(gate) == "failing"
    assert gate.metrics()[f'sallyport_upstream_name_failing{{name="app.test:{port}"}}'] == 1
    assert gate.reload()["event"] == "reloaded"
    assert who_answers(gate, world) == {"1", "2"}
    dns.zone["app.test"] = records(3)
    dns.silent = False
    wait_answers(gate, world, 3)
    assert len([e for e in gate.events.records if e["event"] == "name_failed"]) == 1
    assert gate.metrics()[f'sallyport_upstream_name_failing{{name="app.test:{port}"}}'] == 0


@pytest.mark.parametrize("gone", [None, []], ids=["it exists no more", "it has no address"])
def test_a_name_that_is_gone_keeps_its_last_addresses_and_is_warned_of(start_gate, world, dns, hosts, gone):
    dns.zone["app.test"] = records(1)
    gate = start_gate(settings(world, dns, f"app.test:{port_of(hosts)}"))
    if gone is None:
        del dns.zone["app.test"]
    else:
        dns.zone["app.test"] = gone
    gate.wait_event("name_failed")
    assert who_answers(gate, world) == {"1"}
    dns.zone["app.test"] = records(2)
    wait_answers(gate, world, 2)


def test_a_name_that_means_nothing_yet_is_a_warning_and_is_asked_for_until_it_does(start_gate, world, dns, hosts):
    port = port_of(hosts)
    gate = start_gate(settings(world, dns, f"late.test:{port}"))
    (warning,) = [e for e in gate.events.records if e["event"] == "configuration_warning" and "late.test" in e["detail"]]
    assert f'"late.test:{port}"' in warning["detail"] and warning["line"] > 0
    assert who_answers(gate, world, 1) < {502, 503}
    dns.zone["late.test"] = records(2)
    wait_answers(gate, world, 2)


def test_a_silent_server_holds_up_the_start_for_a_few_seconds_only(start_gate, world, dns, hosts):
    dns.silent = True
    gate = start_gate(settings(world, dns, f"app.test:{port_of(hosts)}", hosts[2].endpoint))
    assert any("app.test" in e["detail"] for e in gate.events.records if e["event"] == "configuration_warning")
    assert who_answers(gate, world) == {"3"}
    dns.zone["app.test"] = records(1)
    dns.silent = False
    wait_answers(gate, world, 1, 3)


def test_a_reload_brings_new_names_with_their_addresses_and_forgets_old_ones(start_gate, world, dns, hosts):
    port = port_of(hosts)
    dns.zone.update({"one.test": records(1), "two.test": records(2)})
    gate = start_gate(settings(world, dns, f"one.test:{port}"))
    assert who_answers(gate, world) == {"1"}
    assert gate.reload(settings(world, dns, f"two.test:{port}"))["event"] == "reloaded"
    assert who_answers(gate, world) == {"2"}
    until(lambda: [n["name"] for n in page(gate)["names"]] == [f"two.test:{port}"], "the old name to be forgotten")
    asked = len(dns.asked)
    until(lambda: len([a for a in dns.asked[asked:] if a[0] == "two.test"]) > 2, "look-ups of the new name")
    assert not [a for a in dns.asked[asked + 2:] if a[0] == "one.test"]


def test_a_name_in_two_upstreams_is_asked_for_once(start_gate, world, dns, hosts):
    port = port_of(hosts)
    dns.zone["app.test"] = records(1, ttl=600)
    made = settings(world, dns, f"app.test:{port}")
    made["upstreams"]["other"] = {"endpoints": [f"app.test:{port}"]}
    made["rules"][1]["upstream"] = "other"
    gate = start_gate(made)
    assert who_answers(gate, world) == {"1"}
    assert sorted(a for a in dns.asked if a[0] == "app.test") == [("app.test", A), ("app.test", AAAA)]


def test_services_say_ports_weights_and_who_is_a_backup(start_gate, world, dns, hosts):
    port = port_of(hosts)
    dns.zone.update({f"h{i}.test": records(i) for i in (1, 2, 3)})
    dns.zone["_api._tcp.test"] = [(SRV, 1, (10, 3, port, "h1.test")), (SRV, 1, (10, 1, port, "h2.test")),
                                  (SRV, 1, (20, 0, port, "h3.test"))]
    gate = start_gate(settings(world, dns, "srv:_api._tcp.test"))
    assert who_answers(gate, world) == {"1", "2"}
    known = endpoints(gate)
    assert known[f"127.0.0.1:{port}"]["weight"] == 3 and not known[f"127.0.0.1:{port}"]["backup"]
    assert known[f"127.0.0.2:{port}"]["weight"] == 1
    assert known[f"127.0.0.3:{port}"]["backup"]
    before = [len(host.requests) for host in hosts]
    with raw.Client(gate, world.clients["billing"]) as client:
        for _ in range(40):
            assert client.get().status == 200
    served = [len(host.requests) - was for host, was in zip(hosts, before)]
    assert served == [30, 10, 0]
    dns.zone["_api._tcp.test"] = [(SRV, 1, (5, 1, port, "h3.test"))]
    wait_answers(gate, world, 3)


def test_a_service_is_verified_and_asked_for_by_the_names_of_its_targets(start_gate, own_world, dns, tmp_path):
    """One address may be several endpoints then."""
    backends = Backends(own_world.folder / "backends")
    nginx = TlsNginx(tmp_path / "nginx", backends.issue("h1.test", sans=[pki.dns("h1.test"), pki.dns("h2.test")]))
    try:
        dns.zone.update({f"h{i}.test": records(1, ttl=600) for i in (1, 2, 3)})
        targets = [(SRV, 1, (0, 1, nginx.port, name)) for name in ("H1.test", "h2.test", "h3.test")]
        dns.zone["_api._tcp.test"] = targets[:2]
        made = settings(own_world, dns, "srv:_api._tcp.test", tls=backends.tls(name=None))
        gate = start_gate(made, of=own_world)
        with raw.Client(gate, own_world.clients["billing"]) as client:
            seen = [saw(client.get())["sni"] for _ in range(8)]
        assert sorted(seen) == ["h1.test"] * 4 + ["h2.test"] * 4
        assert sorted((e["host"], e["address"]) for e in page(gate)["upstreams"][0]["endpoints"]) == [
            ("h1.test", nginx.endpoint), ("h2.test", nginx.endpoint)]
        samples = [name for name in gate.metrics() if name.startswith("sallyport_upstream_endpoint_requests{")]
        assert len(samples) == 2 and 'host="h1.test"' in "".join(samples)
        dns.zone["_api._tcp.test"] = targets[2:]
        until(lambda: [e["host"] for e in page(gate)["upstreams"][0]["endpoints"]] == ["h3.test"], "the third target")
        with raw.Client(gate, own_world.clients["billing"]) as client:
            assert client.get().status == 502
            record = gate.wait_access(peer=client.peer)
        assert record["reason"] == "backend_tls" and "it is not h3.test" in record["detail"]
    finally:
        nginx.stop()


def test_addresses_of_a_family_stay_while_nobody_can_say_what_they_are(start_gate, world, dns):
    port = free_port()
    dns.zone["app.test"] = [(A, 1, "127.0.0.1"), (AAAA, 1, "::1")]
    gate = start_gate(settings(world, dns, f"app.test:{port}"))
    assert set(endpoints(gate)) == {f"127.0.0.1:{port}", f"[::1]:{port}"}
    dns.fails = {AAAA}
    dns.zone["app.test"] = [(A, 1, "127.0.0.2")]
    both = {f"127.0.0.2:{port}", f"[::1]:{port}"}
    until(lambda: set(endpoints(gate)) == both, "the new address beside the one that is not spoken of")
    asked = len(dns.asked)
    until(lambda: len(dns.asked) > asked + 6, "more look-ups")
    assert set(endpoints(gate)) == both
    dns.fails = set()
    until(lambda: set(endpoints(gate)) == {f"127.0.0.2:{port}"}, "the one that is said to be gone to go")


def test_a_service_keeps_the_targets_of_which_nobody_can_say(start_gate, world, dns, hosts):
    port = port_of(hosts)
    dns.zone.update({"h1.test": records(1), "h2.test": records(2)})
    dns.zone["_api._tcp.test"] = [(SRV, 1, (0, 1, port, "h1.test")), (SRV, 1, (0, 1, port, "h2.test"))]
    gate = start_gate(settings(world, dns, "srv:_api._tcp.test"))
    assert who_answers(gate, world) == {"1", "2"}
    dns.zone["h3.test"] = records(3)
    dns.zone["_api._tcp.test"] = [(SRV, 1, (0, 1, port, "h3.test"))]
    wait_answers(gate, world, 3)


def test_the_machines_own_table_is_looked_at_first(start_gate, world, dns, hosts):
    gate = start_gate(settings(world, dns, f"localhost:{port_of(hosts)}"))
    assert "1" in who_answers(gate, world)
    assert not [a for a in dns.asked if a[0] == "localhost"]


def test_check_warns_of_a_name_that_has_no_address(world, dns, tmp_path):
    import yaml
    dns.zone["good.test"] = records(1)
    file = tmp_path / "sallyport.yaml"
    file.write_text(yaml.safe_dump(settings(world, dns, "good.test:80", "bad.test:80", "srv:_bad._tcp.test")))
    told = gates.run("check", "-c", file)
    assert told.returncode == 0, told
    text = told.stdout + told.stderr
    assert 'cannot resolve "bad.test:80"' in text and 'cannot resolve "srv:_bad._tcp.test"' in text
    assert "good.test" not in text.replace("upstreams", "")
