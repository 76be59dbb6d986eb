"""Whatever would refuse a client from now on reaches the connections that it has open: a new CRL, CA bundle or rule set, and the clock."""

import datetime
import select
import ssl
import subprocess
import threading
import time

import pytest

from lib import gate as gates
from lib import ocsp, pki, raw
from lib.patience import PATIENCE, until

H = b"Host: billing.internal\r\n"
SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
def world(own_world):
    return own_world


@pytest.fixture
def start(start_gate, world, backend):
    """start(**changes) -> a gate over the test's own PKI."""
    return lambda **changes: start_gate(gates.config(world, backend.endpoint, **changes), of=world)


def member(world, name, **options):
    """A client of billing that no other test has."""
    made = world.issuing.issue(name, sans=[pki.uri(f"spiffe://corp.example/ns/billing/sa/{name}")], **options)
    return made.save(world.folder, name)


def revoke(world, gate, *credentials, settings=None):
    world.write_crls(list(credentials))
    event = gate.reload(settings)
    assert event["event"] == "reloaded", event
    return event


def connect(gate, credential, **options):
    client = raw.Client(gate, credential, **options)
    assert client.get().status == 200
    return client


def is_ended(client):
    """Whether the gate ended a connection on which nothing is to come."""
    client.tls.setblocking(False)
    try:
        return client.tls.recv(1) == b""
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    finally:
        client.tls.settimeout(PATIENCE)


def ended_sessions(gate, reason):
    return gate.metrics()[f'sallyport_sessions_ended_total{{reason="{reason}"}}']


class Stream:
    """A backend's answer that goes on, a byte at a time, until it is told to end."""

    def __init__(self, backend):
        self.backend = backend
        self.over, self.sent, self.broken = threading.Event(), 0, False

    def _answer(self, talk, request):
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not self.over.wait(0.005):
                talk.send(b"1\r\nx\r\n")
                self.sent += 1
            talk.send(b"0\r\n\r\n")
        except OSError:
            self.broken = True
            raise

    def begin(self, client, path=b"/"):
        self.backend.answers.append(self._answer)
        client.send(b"GET " + path + b" HTTP/1.1\r\n" + H + b"\r\n")
        assert client.head().status == 200

    def goes_on(self):
        seen = self.sent
        until(lambda: self.sent > seen + 3, "the stream to go on")


def expect_cut(client):
    """The connection ends, and a chunked answer without its last chunk."""
    got = bytearray()
    try:
        while data := client.tls.recv(65536):
            got += data
    except (ConnectionError, ssl.SSLError):
        pass
    assert b"0\r\n\r\n" not in got


# ---- revocation ----

def test_an_idle_connection_is_closed_when_a_crl_lists_its_client(start, world):
    gate = start()
    with connect(gate, world.clients["billing"]) as client, connect(gate, member(world, "other")) as other:
        client.get("/2")
        began = time.monotonic()
        revoke(world, gate, world.clients["billing"])
        assert client.tls.recv(1) == b"", "close_notify"
        event = gate.wait_event("session_ended")
        assert event["reason"] == "revoked" and event["level"] == "warn" and event["peer"] == client.peer
        assert event["listener"] == "internal" and event["sni"] == "billing.internal"
        assert event["requests"] == 2 and event["cut"] == 0 and 0 <= event["age_s"] <= time.monotonic() - began + 60
        assert event["serial"] == world.clients["billing"].serial_hex and "billing-batch" in event["subject"]
        assert event["detail"]
        assert other.get().status == 200
        assert ended_sessions(gate, "revoked") == 1
        gate.wait_metric("sallyport_sessions_open", lambda n: n == 1)


def test_a_connection_that_has_not_asked_anything_yet_is_closed_too(start, world):
    gate = start()
    with raw.Client(gate, world.clients["billing"]) as silent, raw.Client(gate, world.clients["billing"]) as begun:
        begun.send(b"GET / HTTP/1.1\r\nHost:")
        gate.wait_metric("sallyport_sessions_open", lambda n: n == 2)
        revoke(world, gate, world.clients["billing"])
        silent.expect_end()
        begun.expect_end()
        assert ended_sessions(gate, "revoked") == 2


def test_a_download_in_flight_is_cut_and_seen_to_be_incomplete(start, world, backend):
    gate = start()
    stream = Stream(backend)
    with raw.Client(gate, world.clients["billing"]) as client:
        stream.begin(client)
        stream.goes_on()
        revoke(world, gate, world.clients["billing"])
        expect_cut(client)
        record = gate.wait_access(peer=client.peer)
        assert (record["reason"], record["status"]) == ("revoked", 200) and record["detail"]
        event = gate.wait_event("session_ended", peer=client.peer)
        assert (event["reason"], event["cut"], event["requests"]) == ("revoked", 1, 1)
        until(lambda: stream.broken, "the backend's connection to be closed")


def test_an_upload_in_flight_is_cut(start, world, backend):
    gate = start()
    backend.reads_bodies = False
    reached = threading.Event()

    def swallow(talk, request):
        reached.set()
        while talk.more():
            talk.buffer.clear()
        return False

    backend.answers = [swallow]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1000000\r\n\r\nbegin")
        assert reached.wait(PATIENCE)
        revoke(world, gate, world.clients["billing"])
        expect_cut(client)
        record = gate.wait_access(peer=client.peer)
        assert (record["reason"], record["status"]) == ("revoked", 0)


def test_finish_lets_an_exchange_complete_and_closes_then(start, world, backend):
    gate = start(revocation_in_flight="finish")
    with connect(gate, world.clients["billing"]) as client:
        stream = Stream(backend)
        stream.begin(client)
        revoke(world, gate, world.clients["billing"])
        stream.goes_on()
        assert not [e for e in gate.events.records if e["event"] == "session_ended"]
        stream.over.set()
        assert client._chunked().strip(b"x") == b""
        client.expect_end()
        event = gate.wait_event("session_ended", peer=client.peer)
        assert (event["reason"], event["cut"]) == ("revoked", 0)
        assert "reason" not in gate.wait_access(peer=client.peer, path="/", status=200)


def test_finish_says_so_in_an_answer_that_has_not_begun(start, world, backend):
    gate = start(revocation_in_flight="finish")
    released = threading.Event()

    def answer(talk, request):
        released.wait(PATIENCE)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    backend.answers = [answer]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        backend.wait(1)
        revoke(world, gate, world.clients["billing"])
        released.set()
        answer = client.response()
        assert answer.status == 200 and answer.one("Connection") == "close"
        client.expect_end()


def test_a_stream_that_may_finish_is_cut_when_the_setting_changes(start, world, backend):
    gate = start(revocation_in_flight="finish")
    stream = Stream(backend)
    with raw.Client(gate, world.clients["billing"]) as client:
        stream.begin(client)
        revoke(world, gate, world.clients["billing"])
        stream.goes_on()
        assert gate.reload(gates.config(world, backend.endpoint))["event"] == "reloaded"
        expect_cut(client)
        assert gate.wait_event("session_ended", peer=client.peer)["cut"] == 1


def test_half_of_a_thousand_connections_goes_at_once_and_the_other_half_never_notices(start, world, backend):
    gate = start()
    names = [member(world, f"m{number}") for number in range(200)]
    gone, staying = names[::2], names[1::2]
    clients = [(credential, connect(gate, credential)) for _ in range(5) for credential in names]
    loads = [Asking([client for credential, client in clients if credential is one]) for one in staying[:20]]
    try:
        revoke(world, gate, *gone)
        lost = [client for credential, client in clients if credential in gone]
        poll = select.poll()
        for client in lost:
            poll.register(client.tls, select.POLLIN)
        left = {client.tls.fileno() for client in lost}
        while left:
            ready = poll.poll(PATIENCE * 1000)
            assert ready, f"{len(left)} connections are still open"
            for number, _ in ready:
                left.discard(number)
                poll.unregister(number)
        for client in lost:
            client.expect_end()
        until(lambda: ended_sessions(gate, "revoked") == 500, "500 sessions to be counted as ended")
    finally:
        for load in loads:
            load.stop()
    assert [failure for load in loads for failure in load.failures] == []
    asking = {id(client) for load in loads for client in load.clients}
    for credential, client in clients:
        if credential in staying and id(client) not in asking:
            assert client.get().status == 200
    for _, client in clients:
        client.close()


class Asking:
    """Requests on connections that are open already, one after another, until told to stop."""

    def __init__(self, clients):
        self.clients, self.failures, self._stop = clients, [], threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            for client in self.clients:
                try:
                    answer = client.get()
                    if answer.status != 200 or answer.one("Connection"):
                        self.failures.append(repr(answer))
                except Exception as failure:  # whatever it is, it is a failed request
                    self.failures.append(repr(failure))
                    return

    def stop(self):
        self._stop.set()
        self._thread.join()


# ---- trust and rules ----

def test_clients_of_a_ca_that_leaves_the_bundle_are_closed(start, world, backend):
    second = pki.Authority.root("Second Root")
    (world.crl_folder / "second-root.pem").write_bytes(second.crl())
    both = world.folder / "both.pem"
    both.write_bytes(world.root.pem + second.pem)
    theirs = second.issue("theirs", sans=[pki.uri("spiffe://corp.example/ns/billing/sa/theirs")]).save(world.folder, "theirs")

    def settings(ca):
        return gates.config(world, backend.endpoint, listeners=[gates.listener(
            world, client_auth={"mode": "required", "ca": [str(ca)], "crl": [str(world.crl_folder)]})])

    gate = start(**settings(both))
    with connect(gate, theirs) as client, connect(gate, world.clients["billing"]) as other:
        (world.crl_folder / "second-root.pem").unlink()
        assert gate.reload(settings(world.ca_file))["event"] == "reloaded"
        client.expect_end()
        assert gate.wait_event("session_ended", peer=client.peer)["reason"] == "untrusted_issuer"
        assert other.get().status == 200


def test_an_anonymous_connection_goes_when_certificates_become_required(start, world, backend):
    def settings(mode):
        auth = {"mode": mode, "ca": [str(world.ca_file)], "crl": [str(world.crl_folder)]}
        return gates.config(
            world, backend.endpoint, listeners=[gates.listener(world, client_auth=auth)],
            callers={"anyone": [{"any": "anonymous"}], "known": [{"any": "authenticated"}]},
            rules=[{"name": "all", "from": ["anyone", "known"], "upstream": "main"}])

    gate = start(**settings("optional"))
    with connect(gate, None) as client, connect(gate, world.clients["billing"]) as other:
        assert gate.reload(settings("required"))["event"] == "reloaded"
        client.expect_end()
        event = gate.wait_event("session_ended", peer=client.peer)
        assert event["reason"] == "no_certificate" and "subject" not in event
        assert other.get().status == 200


def without_first_rule(world, backend, **changes):
    settings = gates.config(world, backend.endpoint, **changes)
    del settings["rules"][0]
    return settings


def test_a_rule_that_goes_ends_the_exchange_that_it_allowed(start, world, backend):
    gate = start()
    stream = Stream(backend)
    with raw.Client(gate, world.clients["billing"]) as client, connect(gate, world.clients["billing"]) as idle:
        stream.begin(client)
        stream.goes_on()
        assert gate.reload(without_first_rule(world, backend))["event"] == "reloaded"
        expect_cut(client)
        record = gate.wait_access(peer=client.peer)
        assert (record["reason"], record["status"]) == ("no_rule", 200)
        assert gate.wait_event("session_ended", peer=client.peer)["reason"] == "no_rule"
        assert idle.get().status == 403, "an idle connection needs nothing: its next request is judged"


def test_an_exchange_that_another_rule_allows_goes_on(start, world, backend):
    gate = start()
    stream = Stream(backend)
    with raw.Client(gate, world.clients["billing"]) as client:
        stream.begin(client, b"/v1/x")
        settings = without_first_rule(world, backend)
        settings["callers"]["batch"] = [{"dns": "batch.billing.internal"}]
        settings["rules"].append({"name": "batch", "from": ["batch"], "path": "/v1/*", "upstream": "main"})
        assert gate.reload(settings)["event"] == "reloaded"
        stream.goes_on()
        stream.over.set()
        client._chunked()
        assert client.get("/v1/y").status == 200 and client.get("/v2").status == 403


def test_finish_holds_for_rules_as_well(start, world, backend):
    gate = start(revocation_in_flight="finish")
    stream = Stream(backend)
    with raw.Client(gate, world.clients["billing"]) as client:
        stream.begin(client)
        assert gate.reload(without_first_rule(world, backend, revocation_in_flight="finish"))["event"] == "reloaded"
        stream.goes_on()
        stream.over.set()
        client._chunked()
        client.expect_end()


# ---- the clock ----

def test_a_connection_ends_with_its_certificate(start, world, backend):
    gate = start()
    end = datetime.datetime.utcnow().replace(microsecond=0) + 5 * SECOND
    brief = member(world, "brief", not_after=end)
    stream = Stream(backend)
    with raw.Client(gate, brief) as client, raw.Client(gate, brief) as idle, raw.Client(gate, world.clients["billing"]) as other:
        stream.begin(client)
        assert idle.get().status == 200
        assert other.get().status == 200
        expect_cut(client)
        assert datetime.datetime.utcnow() >= end
        idle.expect_end()
        for peer, cut in ((client.peer, 1), (idle.peer, 0)):
            event = gate.wait_event("session_ended", peer=peer)
            assert (event["reason"], event["cut"]) == ("expired", cut)
        assert gate.wait_access(peer=client.peer)["reason"] == "expired"
        assert other.get().status == 200


def aged(world, age, **changes):
    auth = {"mode": "required", "ca": [str(world.ca_file)], "crl": [str(world.crl_folder)]}
    if age:
        auth["max_session_age"] = age
    return {"listeners": [gates.listener(world, client_auth=auth)], **changes}


def test_a_connection_ends_with_its_age(start, world):
    gate = start(**aged(world, "2s"))
    began = time.time()
    with connect(gate, world.clients["billing"]) as client:
        client.expect_end()
        assert time.time() - began >= 1, "seconds are counted whole"
        assert gate.wait_event("session_ended")["reason"] == "session_too_old"


def test_a_new_age_holds_for_connections_that_are_open(start, world, backend):
    gate = start(**aged(world, None))
    with connect(gate, world.clients["billing"]) as client:
        assert gate.reload(gates.config(world, backend.endpoint, **aged(world, "1h")))["event"] == "reloaded"
        assert client.get().status == 200
        assert gate.reload(gates.config(world, backend.endpoint, **aged(world, "1s")))["event"] == "reloaded"
        client.expect_end()
        assert gate.wait_event("session_ended")["reason"] == "session_too_old"


def test_connections_go_when_their_crl_becomes_stale(start, world):
    end = datetime.datetime.utcnow().replace(microsecond=0) + 5 * SECOND
    (world.crl_folder / "issuing.pem").write_bytes(world.issuing.crl(next=end))
    gate = start()
    with connect(gate, world.clients["billing"]) as client:
        client.expect_end()
        assert datetime.datetime.utcnow() >= end
        assert gate.wait_event("session_ended")["reason"] == "crl_stale"


def test_a_client_that_waited_for_a_responder_is_judged_again_when_its_crl_has_become_stale_meanwhile(start, world, tmp_path):
    """However long it waited: longer than any handshake here, as another listener's client shows whose certificate ends later."""
    end = datetime.datetime.utcnow().replace(microsecond=0) + 5 * SECOND
    (world.crl_folder / "issuing.pem").write_bytes(world.issuing.crl(next=end))
    brief = member(world, "brief", not_after=end + 4 * SECOND)
    responder = ocsp.Responder(tmp_path / "responder", world.issuing, good=[world.clients["billing"]])
    asking = gates.listener(world, timeouts={"handshake": "1s"})
    asking["client_auth"].update({"ocsp_url": responder.url, "ocsp_timeout": "60s"})
    lax = gates.listener(world, "lax", client_auth={"mode": "required", "ca": [str(world.ca_file)], "crl_missing": "accept"})
    try:
        gate = start(listeners=[asking, lax])
        responder.pause()
        with raw.Client(gate, world.clients["billing"]) as waiting, connect(gate, brief, listener="lax") as clock:
            gate.wait_metric("sallyport_ocsp_queries_total", lambda value: value == 1)
            clock.expect_end()
            responder.go_on()
            assert gate.wait_event("session_ended", peer=waiting.peer)["reason"] == "crl_stale"
            waiting.expect_end()
    finally:
        responder.stop()


# ---- the brake ----

def braked(gate_settings, percent):
    return {**gate_settings, "revocation_max_kill_percent": percent}


def test_a_change_that_would_close_too_many_closes_none_and_raises_the_alarm(start, world, backend):
    gate = start(revocation_max_kill_percent=50)
    credentials = [member(world, f"b{number}") for number in range(4)]
    clients = [connect(gate, credential) for credential in credentials]
    revoke(world, gate, *credentials[:3])
    alarm = gate.wait_event("revocation_brake")
    assert alarm["level"] == "error"
    assert (alarm["held"], alarm["open"], alarm["percent"], alarm["max_percent"]) == (3, 4, 75, 50)
    gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 3)
    assert [client.get().status for client in clients] == [200] * 4
    with pytest.raises((raw.Closed, OSError)):  # nobody new passes
        connect(gate, credentials[0])
    clients[0].close()
    gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 2)
    # A change that takes one of them back.
    world.write_crls(credentials[1:3])
    clients.append(connect(gate, credentials[3]))
    revoke(world, gate, credentials[2], settings=gates.config(world, backend.endpoint, revocation_max_kill_percent=20))
    gate.wait_event("revocation_brake", held=1)
    gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 1)
    # And the release.
    assert gate.reload(gates.config(world, backend.endpoint, revocation_max_kill_percent=90))["event"] == "reloaded"
    clients[2].expect_end()
    assert gate.wait_event("session_ended")["reason"] == "revoked"
    gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 0)
    assert [clients[number].get().status for number in (1, 3, 4)] == [200] * 3
    for client in clients:
        client.close()


def test_a_change_below_the_brake_closes(start, world):
    gate = start(revocation_max_kill_percent=50)
    credentials = [member(world, f"b{number}") for number in range(4)]
    clients = [connect(gate, credential) for credential in credentials]
    revoke(world, gate, credentials[0])
    clients[0].expect_end()
    assert [client.get().status for client in clients[1:]] == [200] * 3
    assert gate.metrics()["sallyport_revocation_brake_held"] == 0
    assert not [e for e in gate.events.records if e["event"] == "revocation_brake"]
    for client in clients:
        client.close()


def test_the_brake_holds_when_a_crl_becomes_stale_but_not_when_certificates_end(start, world):
    now = datetime.datetime.utcnow().replace(microsecond=0)
    (world.crl_folder / "issuing.pem").write_bytes(world.issuing.crl(next=now + 5 * SECOND))
    gate = start(revocation_max_kill_percent=10)
    brief = member(world, "brief", not_after=now + 8 * SECOND)
    with connect(gate, world.clients["billing"]) as client, connect(gate, brief) as ending:
        assert gate.wait_event("revocation_brake")["held"] == 2
        gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 2)
        ending.expect_end()
        assert gate.wait_event("session_ended")["reason"] == "expired"
        gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 1)
        assert client.get().status == 200


def test_the_brake_counts_exchanges_that_the_rules_would_end(start, world, backend):
    gate = start(revocation_max_kill_percent=10)
    stream = Stream(backend)
    with raw.Client(gate, world.clients["billing"]) as client:
        stream.begin(client)
        assert gate.reload(without_first_rule(world, backend, revocation_max_kill_percent=10))["event"] == "reloaded"
        assert gate.wait_event("revocation_brake")["held"] == 1
        gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 1)
        stream.goes_on()
        stream.over.set()
        client._chunked()
        gate.wait_metric("sallyport_revocation_brake_held", lambda n: n == 0)
        assert client.get().status == 403


# ---- what TLS itself ended ----

def test_key_updates_without_end_have_a_reason_of_their_own(start, world):
    gate = start()
    credential = world.clients["billing"]
    host, port = gate.address()
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "billing.internal", "-quiet", "-no_ign_eof",
         "-cert", credential.chain_file, "-key", credential.key_file, "-cert_chain", credential.chain_file],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0)
    try:
        gate.wait_metric("sallyport_sessions_open", lambda n: n == 1)
        end = time.monotonic() + PATIENCE
        while client.poll() is None and time.monotonic() < end:  # it looks at the first letter of what it reads at once
            try:
                client.stdin.write(b"k\n")
            except BrokenPipeError:
                break
        assert gate.wait_event("session_ended")["reason"] == "too_many_key_updates"
        assert ended_sessions(gate, "too_many_key_updates") == 1
    finally:
        client.kill()
        client.wait()


def test_a_client_that_closes_its_idle_connection_is_no_event(start, world):
    gate = start()
    connect(gate, world.clients["billing"]).close()
    gate.wait_metric("sallyport_sessions_open", lambda n: n == 0)
    assert not [e for e in gate.events.records if e["event"] == "session_ended"]


# ---- hosts of another policy ----

def two_hosts(world, backend):
    """`second.internal` asks for other clients than the rest."""
    second = pki.Authority.root("Second Root")
    (world.crl_folder / "second-root.pem").write_bytes(second.crl())
    (world.folder / "second-ca.pem").write_bytes(second.pem)
    theirs = second.issue("theirs", sans=[pki.uri("spiffe://corp.example/ns/billing/sa/theirs")]).save(world.folder, "theirs")
    made = gates.listener(world)
    made["tls"]["hosts"] = [
        {"names": ["second.internal"],
         "certificates": [{"chain": str(world.other_server.chain_file), "key": str(world.other_server.key_file)}],
         "client_auth": {"mode": "required", "ca": [str(world.folder / "second-ca.pem")], "crl": [str(world.crl_folder)]}},
        {"names": ["alias.internal"]},
    ]
    return gates.config(world, backend.endpoint, listeners=[made]), theirs


MISDIRECTED = ["second.internal", "SECOND.internal", "second.internal.", "second.internal:8443"]


@pytest.mark.parametrize("host", MISDIRECTED)
def test_a_host_of_another_policy_is_answered_421_on_every_request(start, world, backend, host):
    settings, _ = two_hosts(world, backend)
    gate = start(**settings)
    with raw.Client(gate, world.clients["billing"]) as client:
        for _ in range(2):
            assert client.get("/first", host=host).status == 421
            record = gate.wait_access(peer=client.peer, path="/first")
            assert record["reason"] == "misdirected"
            assert "second.internal" in record["detail"] and "billing.internal" in record["detail"]
            assert client.get().status == 200, "the connection goes on"
        assert client.get(host="alias.internal").status == 200, "the same policy under another name"
        assert client.get(host="elsewhere.internal").status == 200
    assert len(backend.requests) == 4


def test_a_client_of_the_second_host_gets_421_for_the_first(start, world, backend):
    settings, theirs = two_hosts(world, backend)
    gate = start(**settings)
    with raw.Client(gate, theirs, sni="second.internal") as client:
        assert client.get(host="second.internal").status == 200
        assert client.get(host="billing.internal").status == 421
        assert client.get(host="second.internal").status == 200


def test_a_host_whose_sessions_must_be_younger_is_of_another_policy(start, world, backend):
    """Else whoever asks for a host without that limit would escape it."""
    made = gates.listener(world)
    auth = {"ca": [str(world.ca_file)], "crl": [str(world.crl_folder)], "max_session_age": "1h"}
    made["tls"]["hosts"] = [{"names": ["young.wild.internal"], "client_auth": auth}]
    gate = start(**gates.config(world, backend.endpoint, listeners=[made]))
    for sni, other in (("billing.internal", "young.wild.internal"), ("young.wild.internal", "billing.internal")):
        with raw.Client(gate, world.clients["billing"], sni=sni) as client:
            assert client.get(host=other).status == 421
            assert client.get(host=sni).status == 200
