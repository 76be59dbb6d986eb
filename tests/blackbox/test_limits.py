"""Limits per caller: requests a time, requests at once, connections; who shares a bucket with whom; and what somebody is held to who has
not proven anything yet."""

import contextlib
import socket
import ssl
import threading

import pytest

from lib import gate as gates
from lib import pki, raw
from lib.patience import PATIENCE, until

H = b"Host: billing.internal\r\n"
SPIFFE = "spiffe://corp.example/ns/billing/sa/"


def limited(world, *endpoints, limits, callers=None, **changes):
    """The usual configuration with limits for billing."""
    settings = gates.config(world, *endpoints, **changes)
    settings["callers"]["billing"] = {"match": settings["callers"]["billing"], "limits": limits}
    settings["callers"].update(callers or {})
    return settings


@pytest.fixture
def start(start_gate, world, backend):
    """start(limits, ...) -> a gate in front of `backend` that holds billing to them."""
    return lambda limits, of=world, **changes: start_gate(limited(of, backend.endpoint, limits=limits, **changes), of=of)


def member(world, folder, name, *, called=None, **options):
    """A client of billing; with `called` one that has another certificate for the same names."""
    made = world.issuing.issue(called or name, sans=[pki.uri(SPIFFE + (called or name)), pki.dns(f"{called or name}.example")],
                               **options)
    return made.save(folder, name)


def statuses(client, count, path="/"):
    return [client.get(path).status for _ in range(count)]


def expect_limited(gate, limit, count, rule="billing-all"):
    """Counted with the record, which comes after the answer."""
    gate.wait_metric(f'sallyport_limited_total{{rule="{rule}",limit="{limit}"}}', lambda value: value == count)


class Held:
    """A backend's answer that does not come before it is let go."""

    def __init__(self, backend):
        self.backend, self.over = backend, threading.Event()

    def _answer(self, talk, request):
        self.over.wait(PATIENCE * 2)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def begin(self, client, path=b"/"):
        """A request that has come to the backend when this returns."""
        seen = len(self.backend.requests)
        self.backend.answers.append(self._answer)
        client.send(b"GET " + path + b" HTTP/1.1\r\n" + H + b"\r\n")
        self.backend.wait(seen + 1)


@pytest.fixture
def hold(backend):
    """hold(client) -> the answer to a request of it that is in flight."""
    made = []

    def begin(client):
        made.append(Held(backend))
        made[-1].begin(client)
        return made[-1]

    yield begin
    for held in made:
        held.over.set()


# ---- requests a time ----

def test_a_burst_is_granted_exactly_over_two_workers_and_many_connections(start, world, backend):
    gate = start({"rate": "1/h", "burst": 37})
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(8)]
    got = [[] for _ in clients]

    def ask(client, into):
        into += statuses(client, 10)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(clients, got)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for some in got for status in some) == [200] * 37 + [429] * 43
    assert len(backend.requests) == 37
    assert gate.refusals("caller_rate") == 43
    expect_limited(gate, "rate", 43)
    for client in clients:
        client.close()


def test_who_is_refused_is_told_when_to_come_again_and_keeps_the_connection(start, world):
    gate = start({"rate": "1/h", "burst": 1})
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        answer = client.get("/x?secret")
        assert answer.status == 429 and answer.reason == "Too Many Requests"
        assert 3000 < int(answer.one("Retry-After")) <= 3600
        assert answer.one("Connection") is None
        record = gate.wait_access(peer=client.peer, status=429)
        assert record["reason"] == "caller_rate" and record["caller"] == "billing" and record["rule"] == "billing-all"
        assert "upstream" not in record
        assert client.ask(b"HEAD / HTTP/1.1\r\n" + H + b"\r\n", method="HEAD").one("Retry-After")


def test_retry_after_is_a_second_at_least(start, world):
    gate = start({"rate": "2/s", "burst": 1})
    with raw.Client(gate, world.clients["billing"]) as client:
        refused = until(lambda: next((a for a in [client.get()] if a.status == 429), None), "a refusal")
        assert refused.one("Retry-After") == "1"
        until(lambda: client.get().status == 200, "the next token")


def test_other_answers_say_nothing_of_coming_again(start, world):
    gate = start({"rate": "1/h", "burst": 5})
    with raw.Client(gate, world.clients["auditor"]) as client:
        answer = client.get("/nowhere")
        assert answer.status == 403 and answer.one("Retry-After") is None


def test_a_client_that_comes_back_finds_its_bucket_as_it_left_it(start, world):
    gate = start({"rate": "1/h", "burst": 3})
    for expected in (200, 200, 200, 429, 429):
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status == expected


def test_what_no_rule_allows_and_what_rules_only_report_costs_nothing(start, world):
    reporting = {"name": "trial", "from": ["billing"], "deny": 403, "mode": "report"}
    denying = {"name": "closed", "from": ["billing"], "path": "/closed", "deny": 418}
    rules = [reporting, denying, {"name": "open", "from": ["billing"], "path": "/open", "upstream": "main"}]
    gate = start({"rate": "1/h", "burst": 2}, rules=rules)
    with raw.Client(gate, world.clients["billing"]) as client:
        assert statuses(client, 5, "/closed") == [418] * 5
        assert statuses(client, 5, "/elsewhere") == [403] * 5
        assert client.ask(b"GET /open/../x HTTP/1.1\r\n" + H + b"\r\n").status == 400
        client.again()
        assert statuses(client, 4, "/open") == [200, 200, 429, 429]


def test_limits_of_one_caller_do_not_touch_another(start, world):
    both = {"match": [{"dns": "batch.billing.internal"}], "limits": {"rate": "1/h", "burst": 4}}
    rules = [{"name": "as-batch", "from": ["batch"], "path": "/batch", "upstream": "main"},
             {"name": "as-billing", "from": ["billing"], "path": "/billing", "upstream": "main"},
             {"name": "as-auditor", "from": ["auditors"], "upstream": "main"}]
    gate = start({"rate": "1/h", "burst": 2}, callers={"batch": both}, rules=rules)
    with raw.Client(gate, world.clients["billing"]) as client, raw.Client(gate, world.clients["auditor"]) as other:
        assert statuses(client, 4, "/billing") == [200, 200, 429, 429]
        assert statuses(client, 6, "/batch") == [200] * 4 + [429] * 2
        assert statuses(other, 20) == [200] * 20
        expect_limited(gate, "rate", 2, "as-billing")
        expect_limited(gate, "rate", 2, "as-batch")
        expect_limited(gate, "rate", 0, "as-auditor")


# ---- who shares a bucket ----

SAME_NAMES, OTHER = "shares", "has its own"


@pytest.mark.parametrize("per, renewed, other", [
    (None, SAME_NAMES, OTHER), ("identity", SAME_NAMES, OTHER), ("uri", SAME_NAMES, OTHER), ("dns", SAME_NAMES, OTHER),
    ("subject.CN", SAME_NAMES, OTHER), ("certificate", OTHER, OTHER), ("caller", SAME_NAMES, SAME_NAMES),
    ("email", SAME_NAMES, OTHER),  # nobody has one: by identity
])
def test_who_shares_a_bucket(start, world, tmp_path, per, renewed, other):
    limits = {"rate": "1/h", "burst": 2, **({"per": per} if per else {})}
    gate = start(limits)
    clients = [member(world, tmp_path, "a"), member(world, tmp_path, "renewed", called="a"), member(world, tmp_path, "b")]
    with raw.Client(gate, clients[0]) as client:
        assert statuses(client, 3) == [200, 200, 429]
    for credential, expected in zip(clients[1:], (renewed, other)):
        with raw.Client(gate, credential) as client:
            assert statuses(client, 3) == ([429] * 3 if expected == SAME_NAMES else [200, 200, 429])


def test_clients_without_a_certificate_share_one_bucket(start, world):
    listener = gates.listener(world)
    listener["client_auth"]["mode"] = "optional"
    guests = {"match": [{"any": "anonymous"}], "limits": {"rate": "1/h", "burst": 3}}
    gate = start({"rate": "1/h", "burst": 1}, listeners=[listener], callers={"guests": guests},
                 rules=[{"name": "all", "from": ["guests", "billing"], "upstream": "main"}])
    with raw.Client(gate) as client, raw.Client(gate) as other, raw.Client(gate, world.clients["billing"]) as known:
        assert statuses(client, 2) == [200, 200]
        assert statuses(other, 2) == [200, 429]
        assert statuses(known, 2) == [200, 429]


# ---- requests at once ----

def test_requests_at_once_are_bounded_until_one_ends(start, world, hold):
    gate = start({"concurrent_requests": 2})
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(3)]
    answers = [hold(client) for client in clients[:2]]
    refused = clients[2].get()
    assert refused.status == 429 and refused.one("Retry-After") == "1"
    assert gate.wait_access(peer=clients[2].peer, status=429)["reason"] == "caller_requests"
    assert gate.refusals("caller_requests") == 1
    expect_limited(gate, "concurrent_requests", 1)
    answers[0].over.set()
    assert clients[0].response().status == 200
    assert clients[2].get().status == 200, "its place is free when its answer is there"
    answers[1].over.set()
    assert clients[1].response().status == 200
    for client in clients:
        client.close()


def client_gone(gate, world, client, settings):
    client.reset()


def client_finishes(gate, world, client, settings):
    client.close()


def revoked(gate, world, client, settings):
    world.write_crls([client._arguments[1]])
    assert gate.reload()["event"] == "reloaded"


def rule_gone(gate, world, client, settings):
    """The rules that let it in allow it no more; what lets in the other client is new."""
    settings["rules"] = [{"name": "others", "from": ["billing"], "path": "/probe", "upstream": "main"}]
    assert gate.reload(settings)["event"] == "reloaded"


@pytest.mark.parametrize("break_off", [client_gone, client_finishes, revoked, rule_gone])
def test_a_request_that_is_broken_off_is_given_back_once(start_gate, own_world, backend, hold, tmp_path, break_off):
    world = own_world
    settings = limited(world, backend.endpoint, limits={"concurrent_requests": 1, "per": "caller"})
    first, second = member(world, tmp_path, "first"), member(world, tmp_path, "second")
    gate = start_gate(settings, of=world)
    client = raw.Client(gate, first)
    with raw.Client(gate, second) as probe, raw.Client(gate, second) as another:
        hold(client)
        assert probe.get("/probe").status == 429
        break_off(gate, world, client, settings)
        until(lambda: probe.get("/probe").status == 200, "the place of what was broken off")
        held = Held(backend)
        held.begin(another, b"/probe")
        assert probe.get("/probe").status == 429, "it was given back more than once"
        held.over.set()
        assert another.response().status == 200
    client.close()


def test_a_backend_that_breaks_off_and_a_retry_count_once(start, world, backend, hold):
    gate = start({"concurrent_requests": 1})
    with raw.Client(gate, world.clients["billing"]) as client, raw.Client(gate, world.clients["billing"]) as other:
        assert client.get().status == 200
        backend.answers.append(lambda talk, request: talk.reset() or False)  # on the kept connection: it is repeated
        assert client.get().status == 200
        backend.answers += [lambda talk, request: talk.reset() or False] * 2
        assert client.get().status in (200, 502)
        backend.forget()
        until(lambda: client.get().status == 200, "the place of the one before")
        held = hold(client)
        assert other.get().status == 429
        held.over.set()
        assert client.response().status == 200


def test_a_reload_while_a_request_is_in_flight_keeps_the_count_right(start_gate, world, backend, hold):
    settings = limited(world, backend.endpoint, limits={"concurrent_requests": 2})
    gate = start_gate(settings)
    with raw.Client(gate, world.clients["billing"]) as client, raw.Client(gate, world.clients["billing"]) as other:
        held = hold(client)
        assert other.get().status == 200
        settings["callers"]["billing"]["limits"] = {"concurrent_requests": 1}
        assert gate.reload(settings)["event"] == "reloaded"
        assert other.get().status == 429
        held.over.set()
        assert client.response().status == 200
        until(lambda: other.get().status == 200, "the place of the request of before the reload")
        held = hold(client)
        assert other.get().status == 429
        held.over.set()
        assert client.response().status == 200


# ---- connections ----

def expect_turned_away(gate, credential, reason, path="/"):
    """A connection that is closed in good order before a request is served; returns its event."""
    with raw.Client(gate, credential) as client:
        with contextlib.suppress(OSError):
            client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        client.expect_end()
        event = gate.wait_event("session_ended", peer=client.peer)
    assert event["reason"] == reason and event["requests"] == 0 and event["cut"] == 0
    return event


def is_let_in(gate, credential):
    with raw.Client(gate, credential) as client:
        try:
            return client.get().status == 200
        except (raw.Closed, OSError):
            return False


def test_connections_are_bounded_for_each_client(start, world, backend, tmp_path):
    gate = start({"connections": 2})
    other = member(world, tmp_path, "other")
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(2)]
    for client in clients:
        assert client.get().status == 200
    event = expect_turned_away(gate, world.clients["billing"], "caller_connections")
    assert "billing" in event["detail"] and event["serial"] == world.clients["billing"].serial_hex
    assert gate.refusals("caller_connections") == 1
    assert gate.metrics()['sallyport_sessions_ended_total{reason="caller_connections"}'] == 1
    expect_limited(gate, "connections", 1, "")
    assert is_let_in(gate, other)
    assert len(backend.requests) == 3
    assert statuses(clients[0], 3) == [200] * 3, "who is in goes on"
    clients[0].close()
    until(lambda: is_let_in(gate, world.clients["billing"]), "the place of the connection that was closed")
    clients[1].close()


def test_a_caller_whose_connections_are_bounded_together(start, world, tmp_path):
    gate = start({"connections": 1, "per": "caller"})
    with raw.Client(gate, member(world, tmp_path, "a")) as client:
        assert client.get().status == 200
        expect_turned_away(gate, member(world, tmp_path, "b"), "caller_connections")
        assert is_let_in(gate, world.clients["no_eku"]) is False
    until(lambda: is_let_in(gate, world.clients["billing"]), "the only place")


def test_connections_beyond_a_new_bound_stay_and_the_next_is_turned_away(start_gate, world, backend):
    settings = limited(world, backend.endpoint, limits={"connections": 5})
    gate = start_gate(settings)
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(3)]
    assert [client.get().status for client in clients] == [200] * 3
    settings["callers"]["billing"]["limits"] = {"connections": 3}
    assert gate.reload(settings)["event"] == "reloaded"
    expect_turned_away(gate, world.clients["billing"], "caller_connections")
    assert [client.get().status for client in clients] == [200] * 3
    for client in clients:
        client.close()


def test_connections_from_before_there_were_limits_count(start_gate, world, backend):
    settings = gates.config(world, backend.endpoint)
    gate = start_gate(settings)
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        assert gate.reload(limited(world, backend.endpoint, limits={"connections": 1}))["event"] == "reloaded"
        # Every session is visited within a second of the reload, though it asks for nothing.
        until(lambda: not is_let_in(gate, world.clients["billing"]), "the idle connection to be counted")
        assert client.get().status == 200
    until(lambda: is_let_in(gate, world.clients["billing"]), "its place")


# ---- a reload ----

def test_other_numbers_act_at_once_and_buckets_are_kept(start_gate, world, backend):
    settings = limited(world, backend.endpoint, limits={"rate": "1/h", "burst": 2})
    gate = start_gate(settings)

    def reload(limits):
        billing = settings["callers"]["billing"]
        billing["limits"] = limits
        if limits is None:
            del billing["limits"]
        assert gate.reload(settings)["event"] == "reloaded"

    with raw.Client(gate, world.clients["billing"]) as client, raw.Client(gate, world.clients["billing"]) as other:
        assert statuses(client, 3) == [200, 200, 429]
        reload({"rate": "1/h", "burst": 5})
        assert statuses(client, 2) + statuses(other, 3) == [200, 200, 200, 429, 429]
        reload(None)
        assert statuses(client, 20) == [200] * 20
        reload({"rate": "1/h", "burst": 5})
        assert statuses(client, 2) + statuses(other, 2) == [429] * 4, "it owed that much before"
        reload({"rate": "1/h", "burst": 2, "per": "certificate"})
        assert statuses(client, 2) + statuses(other, 2) == [200, 200, 429, 429], "another key, another bucket"


def test_a_renewal_of_files_leaves_buckets_alone(start_gate, own_world, backend):
    gate = start_gate(limited(own_world, backend.endpoint, limits={"rate": "1/h", "burst": 2}), of=own_world)
    with raw.Client(gate, own_world.clients["billing"]) as client:
        assert statuses(client, 1) == [200]
        own_world.write_crls([own_world.clients["rsa"]])
        gate.wait_event("material_changed")
        assert statuses(client, 3) == [200, 429, 429]


# ---- the table ----

def test_a_full_table_turns_away_who_is_new_and_keeps_who_is_counted(start_gate, world, backend, tmp_path):
    settings = limited(world, backend.endpoint, limits={"rate": "1/h", "burst": 3})
    settings["limits"] = {"tracked_callers": 64}
    gate = start_gate(settings)
    key = pki.ec_key()
    clients = [raw.Client(gate, member(world, tmp_path, f"client-{number}", key=key)) for number in range(64)]
    assert [client.get().status for client in clients] == [200] * 64
    event = expect_turned_away(gate, world.clients["billing"], "limit_table_full")
    assert "billing" in event["detail"] and gate.refusals("limit_table_full") == 1
    assert statuses(clients[0], 3) == [200, 200, 429]
    with raw.Client(gate, world.clients["auditor"]) as nobody_counts:
        assert nobody_counts.get("/v1/invoices/1").status == 200
    settings["callers"]["everybody"] = {"match": [{"any": "authenticated"}], "limits": {"rate": "1/h", "burst": 3}}
    settings["rules"].append({"name": "everybody", "from": ["everybody"], "path": "/all", "upstream": "main"})
    assert gate.reload(settings)["event"] == "reloaded"
    answer = clients[1].get("/all")
    assert answer.status == 503, "nobody is served beyond limits that could not be counted"
    assert gate.wait_access(peer=clients[1].peer, status=503)["detail"].startswith("limits.tracked_callers")
    settings["limits"]["tracked_callers"] = 1024
    since = len(gate.events.records)
    assert gate.reload(settings)["event"] == "reloaded"
    assert gate.wait_event("restart_needed", since)["key"] == "limits.tracked_callers"
    for client in clients:
        client.close()


# ---- before anybody has proven anything ----

def connect_from(gate, source, credential=None):
    """What became of a connection: "served", or the reason of its refusal."""
    plain = socket.create_connection(gate.address(), timeout=PATIENCE, source_address=(source, 0))
    peer = gate.note(plain)
    with plain, contextlib.suppress(ssl.SSLError, OSError):
        with raw.context(gate.world, credential).wrap_socket(plain, server_hostname="billing.internal") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
            if tls.recv(1):
                return "served"
    return gate.wait_event("refused", peer=peer)["reason"]


def speak_from(gate, source, data, reason):
    with socket.create_connection(gate.address(), timeout=PATIENCE, source_address=(source, 0)) as plain:
        peer = gate.note(plain)
        if data:
            plain.sendall(data)
        with contextlib.suppress(OSError):  # it may be refused, and reset, before it has ended
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(4096):
                pass
        if reason:
            assert gate.wait_event("refused", peer=peer)["reason"] == reason


def with_failures(world, backend, rate):
    return gates.config(world, backend.endpoint, limits={"handshake_failures": rate})


def test_an_address_whose_handshakes_fail_is_turned_away_and_others_are_not(start_gate, world, backend):
    settings = with_failures(world, backend, "3/h")
    gate = start_gate(settings)
    good, bad = world.clients["billing"], world.clients["revoked"]
    for _ in range(3):
        assert connect_from(gate, "127.0.0.2", good) == "served"
    assert connect_from(gate, "127.0.0.2", bad) == "revoked"
    assert connect_from(gate, "127.0.0.2", good) == "served"
    assert connect_from(gate, "127.0.0.2") == "no_certificate"
    assert connect_from(gate, "127.0.0.2", world.clients["stranger"]) == "untrusted_issuer"
    for credential in (bad, good, None):
        assert connect_from(gate, "127.0.0.2", credential) == "too_many_failures"
    assert connect_from(gate, "127.0.0.3", good) == "served"
    assert gate.refusals("too_many_failures") == 3
    settings["limits"]["handshake_failures"] = "off"
    assert gate.reload(settings)["event"] == "reloaded"
    assert connect_from(gate, "127.0.0.2", good) == "served"


@pytest.mark.parametrize("data, reason, counts", [
    (b"GET / HTTP/1.1\r\n\r\n", "plain_http", True),
    (b"\x00" * 64, "not_tls", True),
    (b"", None, False),  # a probe
    (b"\x16\x03\x01\x02\x00\x01", "client_closed", False),
], ids=["plain-http", "noise", "probe", "half-a-hello"])
def test_what_is_a_failure(start_gate, world, backend, data, reason, counts):
    gate = start_gate(with_failures(world, backend, "2/h"))
    for _ in range(2):
        speak_from(gate, "127.0.0.2", data, reason)
    assert connect_from(gate, "127.0.0.2", world.clients["billing"]) == ("too_many_failures" if counts else "served")


@pytest.mark.parametrize("name, reason", [("no_crl", "crl_missing"), ("stale_crl", "crl_stale"), ("foreign_crl", "crl_invalid")])
def test_what_the_operator_left_undone_is_no_failure_of_the_client(start_gate, world, backend, name, reason):
    gate = start_gate(with_failures(world, backend, "1/h"))
    for _ in range(3):
        assert connect_from(gate, "127.0.0.2", world.clients[name]) == reason


def test_without_the_key_nobody_is_turned_away_for_failures(gate, world):
    for _ in range(20):
        assert connect_from(gate, "127.0.0.2") == "no_certificate"
    assert connect_from(gate, "127.0.0.2", world.clients["billing"]) == "served"
