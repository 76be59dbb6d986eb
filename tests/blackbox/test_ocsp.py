"""OCSP: a client's certificate is asked about before it is let in, without holding up anybody else; our own certificates come with
a response, as long as there is one that says good."""

import base64
import contextlib
import os
import subprocess

import pytest

from lib import gate as gates
from lib import ocsp, pki, raw
from lib.patience import PATIENCE, until


@pytest.fixture
def responder(tmp_path, world):
    """Knows `billing` as good and `auditor` as revoked; no others."""
    made = ocsp.Responder(
        tmp_path / "responder", world.issuing, good=[world.clients["billing"]], revoked=[world.clients["auditor"]])
    yield made
    made.stop()


def listener_that_asks(world, url, name="internal", **more):
    made = gates.listener(world, name)
    made["client_auth"].update({"ocsp_url": url, "ocsp_timeout": "20s", **more})
    return made


def asking(world, backend, url, **more):
    return gates.config(world, backend.endpoint, listeners=[
        listener_that_asks(world, url, **more), gates.listener(world, "unasked")])


def expect_refused(gate, credential, reason, **options):
    """The handshake may look done to the client; it gets no answer, and the log says why. Returns the event."""
    with raw.Client(gate, credential, **options) as client:
        # An alert cannot be sent any more after the handshake, but a reset, which loses what was sent, need not be.
        with pytest.raises(raw.Closed if reason.startswith("ocsp_") else (raw.Closed, OSError)):
            client.get()
        return gate.wait_event("refused", peer=client.peer, reason=reason)


# ---- clients ----

def test_a_good_client_passes_and_a_revoked_and_an_unknown_one_do_not(start_gate, world, backend, responder):
    gate = start_gate(asking(world, backend, responder.url))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
    event = expect_refused(gate, world.clients["auditor"], "ocsp_revoked")
    assert "keyCompromise" in event["detail"] and "CN=ann" in event["subject"], event
    assert event["sans"] == "email:ann@audit.example.com" and event["serial"] == world.clients["auditor"].serial_hex
    event = expect_refused(gate, world.clients["stranger_here"], "ocsp_unknown")
    assert "does not know" in event["detail"], event
    assert gate.refusals("ocsp_revoked") == 1 and gate.refusals("ocsp_unknown") == 1


def test_what_is_revoked_by_crl_is_refused_without_asking(start_gate, world, backend, responder):
    gate = start_gate(asking(world, backend, responder.url))
    expect_refused(gate, world.clients["revoked"], "revoked")
    assert gate.metrics()["sallyport_ocsp_queries_total"] == 0


def test_an_answer_is_remembered(start_gate, world, backend, responder):
    gate = start_gate(asking(world, backend, responder.url))
    for _ in range(5):
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status == 200
    for _ in range(3):
        expect_refused(gate, world.clients["auditor"], "ocsp_revoked")
    metrics = gate.metrics()
    assert metrics["sallyport_ocsp_queries_total"] == 2 and metrics["sallyport_ocsp_cache_hits_total"] == 6
    until(lambda: responder.requests == 2, "both questions in the responder's output")


@pytest.mark.parametrize("who,status", [("billing", 200), ("auditor", None)])
def test_a_request_sent_meanwhile_waits_for_the_answer(start_gate, world, backend, responder, who, status):
    gate = start_gate(asking(world, backend, responder.url))
    responder.pause()
    with raw.Client(gate, world.clients[who]) as client:
        client.send(b"GET /waits HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        gate.wait_metric("sallyport_ocsp_queries_total", lambda value: value == 1)
        assert gate.metrics()["sallyport_requests_total"] == 0 and gate.metrics()["sallyport_sessions_open"] == 0
        responder.go_on()
        if status:
            assert client.response().status == status
        else:
            gate.wait_event("refused", peer=client.peer, reason="ocsp_revoked")
            assert gate.metrics()["sallyport_requests_total"] == 0


def test_all_who_wait_for_one_answer_are_let_in_together(start_gate, world, backend, responder):
    gate = start_gate(asking(world, backend, responder.url))
    responder.pause()
    clients = [raw.Client(gate, world.clients["billing"]) for _ in range(6)]
    try:
        gate.wait_metric("sallyport_handshakes_open", lambda value: value == 6)
        gate.wait_metric("sallyport_ocsp_queries_total", lambda value: value == 1)
        responder.go_on()
        assert [client.get().status for client in clients] == [200] * 6
    finally:
        for client in clients:
            client.close()
    assert gate.metrics()["sallyport_ocsp_queries_total"] == 1


def test_a_delegated_responder_counts_and_one_without_the_right_does_not(start_gate, world, backend, tmp_path):
    for name, eku, status in (("right", ocsp.SIGNING, 200), ("wrong", pki.CLIENT, None)):
        responder = ocsp.Responder(tmp_path / name, world.issuing, good=[world.clients["billing"]],
                                   signer=world.issuing.issue("OCSP responder", eku=eku))
        try:
            gate = start_gate(asking(world, backend, responder.url))
            if status:
                with raw.Client(gate, world.clients["billing"]) as client:
                    assert client.get().status == status
            else:
                event = expect_refused(gate, world.clients["billing"], "ocsp_unreachable")
                assert "signed by neither" in event["detail"], event
        finally:
            responder.stop()


def test_a_responder_of_another_ca_does_not_count(start_gate, world, backend, tmp_path):
    """It answers "good" about a certificate of that serial number, in the name of the wrong CA."""
    responder = ocsp.Responder(tmp_path / "foreign", world.issuing, good=[world.clients["billing"]],
                               signer=world.stranger_root.issue("OCSP responder", eku=ocsp.SIGNING))
    try:
        gate = start_gate(asking(world, backend, responder.url))
        expect_refused(gate, world.clients["billing"], "ocsp_unreachable")
    finally:
        responder.stop()


def test_others_are_served_while_a_responder_hangs(start_gate, world, backend, responder):
    gate = start_gate(asking(world, backend, responder.url, ocsp_timeout="60s"))
    with raw.Client(gate, world.clients["billing"]) as known:
        assert known.get().status == 200
        responder.pause()
        with raw.Client(gate, world.clients["auditor"]) as waiting:
            gate.wait_metric("sallyport_handshakes_open", lambda value: value == 1)
            for options in ({}, {"listener": "unasked"}):
                with raw.Client(gate, world.clients["billing"], **options) as other:
                    assert other.get().status == 200
            assert known.get().status == 200
            assert gate.refused(waiting.peer) == [], "the responder was not waited for"
            responder.go_on()
            gate.wait_event("refused", peer=waiting.peer, reason="ocsp_revoked")


def test_a_fleet_that_comes_at_once_waits_its_turn(start_gate, world, backend, tmp_path):
    """As after a restart: nothing is remembered, and there are far more clients than are asked about at once."""
    fleet = [world.issuing.issue(f"fleet-{number}").save(tmp_path, f"fleet-{number}") for number in range(100)]
    responder = ocsp.Responder(tmp_path / "responder", world.issuing, good=fleet)
    try:
        gate = start_gate(asking(world, backend, responder.url))
        responder.pause()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(raw.Client(gate, member)) for member in fleet]
            gate.wait_metric("sallyport_handshakes_open", lambda value: value == len(fleet))
            responder.go_on()
            for client in clients:  # none of them is a caller that a rule knows
                assert client.get().status == 403, gate.refused(client.peer)
    finally:
        responder.stop()


@pytest.mark.parametrize("way", ["reject", "accept"])
def test_a_responder_that_hangs_is_waited_for_no_longer_than_said(start_gate, world, backend, responder, way):
    responder.pause()
    gate = start_gate(asking(world, backend, responder.url, ocsp_timeout="300ms", ocsp_unreachable=way))
    if way == "reject":
        event = expect_refused(gate, world.clients["billing"], "ocsp_unreachable")
        assert event["detail"], event
    else:
        for _ in range(3):
            with raw.Client(gate, world.clients["billing"]) as client:
                assert client.get("/invoices").status == 200
        event = gate.wait_event("ocsp_unreachable")
        assert event["url"] == responder.url and event["let_in"] == 1 and event["detail"]
        metrics = gate.metrics()
        assert metrics["sallyport_ocsp_unreachable_accepted_total"] == 3
        assert sum(e["event"] == "ocsp_unreachable" for e in gate.events.records) == 1
        expect_refused(gate, world.clients["revoked"], "revoked")
    gate.wait_metric("sallyport_ocsp_failures_total", lambda value: value >= 1)


def test_a_responder_that_is_not_there_and_one_that_is_no_responder(start_gate, world, backend):
    host, port = "127.0.0.1", 9  # discard: nobody listens
    gate = start_gate(asking(world, backend, f"http://{host}:{port}/"))
    event = expect_refused(gate, world.clients["billing"], "ocsp_unreachable")
    assert "127.0.0.1:9" in event["detail"], event
    backend.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                       b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]
    gate = start_gate(asking(world, backend, f"http://{backend.endpoint}/"))
    event = expect_refused(gate, world.clients["billing"], "ocsp_unreachable")
    assert "not an OCSP response" in event["detail"], event
    event = expect_refused(gate, world.clients["no_eku"], "ocsp_unreachable")
    assert "HTTP status 500" in event["detail"], event


def test_a_client_that_goes_while_it_is_asked_about_is_noticed(start_gate, world, backend, responder):
    gate = start_gate(asking(world, backend, responder.url))
    responder.pause()
    with raw.Client(gate, world.clients["billing"]) as client:
        peer = client.peer
        gate.wait_metric("sallyport_handshakes_open", lambda value: value == 1)
    event = gate.wait_event("refused", peer=peer)
    assert event["reason"] == "client_closed" and "OCSP" in event["detail"], event
    gate.wait_metric("sallyport_connections_open", lambda value: value == 0)
    responder.go_on()
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200


def test_a_gate_ends_well_while_a_question_is_under_way(start_gate, world, backend, responder):
    gate = start_gate({**asking(world, backend, responder.url, ocsp_timeout="60s"), "drain_timeout": "100ms"})
    responder.pause()
    with raw.Client(gate, world.clients["billing"]) as client:
        gate.wait_metric("sallyport_handshakes_open", lambda value: value == 1)
        gate.stop()
        assert [e["reason"] for e in gate.refused(client.peer)] in (["ocsp_unreachable"], ["shutting_down"])


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_who_comes_back_by_a_ticket_is_asked_about_too(start_gate, world, backend, responder, tmp_path, version):
    """The second gate opens the tickets of the first and remembers no answer of it; by then the responder says something else."""
    keys, session, client = tmp_path / "tickets", tmp_path / "session.pem", world.clients["billing"]
    keys.touch(mode=0o600)
    keys.write_text(base64.b64encode(os.urandom(80)).decode() + "\n")
    settings = asking(world, backend, responder.url)
    settings["listeners"][0]["tls"]["tickets"] = {"keys": str(keys)}

    def visit(gate):
        command = ["openssl", "s_client", "-connect", "%s:%d" % gate.address(), "-servername", "billing.internal", version,
                   "-ign_eof", "-CAfile", world.server_ca_file, "-cert", client.chain_file, "-cert_chain", client.chain_file,
                   "-key", client.key_file, "-sess_out", session, *(["-sess_in", session] if session.exists() else [])]
        request = b"GET / HTTP/1.1\r\nHost: billing.internal\r\nConnection: close\r\n\r\n"
        done = subprocess.run(list(map(str, command)), input=request, capture_output=True, timeout=PATIENCE)
        return (done.stdout + done.stderr).decode("latin-1")

    first = start_gate(settings)
    assert "HTTP/1.1 200" in visit(first)
    first.stop()
    responder.stop()
    other = ocsp.Responder(tmp_path / "other", world.issuing, revoked=[client], port=responder.port)
    try:
        second = start_gate(settings)
        said = visit(second)
        assert "\nReused, " in said and "HTTP/1.1" not in said, said
        assert second.wait_event("refused")["reason"] == "ocsp_revoked"
    finally:
        other.stop()


def test_asking_begins_with_a_reload(start_gate, world, backend, responder):
    gate = start_gate(gates.config(world, backend.endpoint))
    with raw.Client(gate, world.clients["auditor"]) as client:
        assert client.get("/v1/invoices/1").status == 200
    assert gate.reload(asking(world, backend, responder.url))["event"] == "reloaded"
    expect_refused(gate, world.clients["auditor"], "ocsp_revoked")


# ---- staples ----

@pytest.fixture
def shown(tmp_path, world):
    """The server's certificate with its CA in the file, which OCSP needs; and a place for the response."""
    chain = tmp_path / "chain.pem"
    chain.write_bytes(world.server.pem + world.server_root.pem)
    return {"chain": str(chain), "key": str(world.server.key_file), "staple_file": str(tmp_path / "server.ocsp")}


def stapling(world, backend, shown):
    return gates.config(world, backend.endpoint, listeners=[gates.listener(world, tls={"certificates": [shown]})])


def replace(shown, data):
    """As programs that care do: written beside, then renamed."""
    beside = shown["staple_file"] + ".new"
    with open(beside, "wb") as file:
        file.write(data)
    subprocess.run(["mv", beside, shown["staple_file"]], check=True)


def ask_for_staple(gate, world, version="-tls1_3"):
    """What `openssl s_client -status` says of it."""
    credential = world.clients["billing"]
    return subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % gate.address(), "-servername", "billing.internal", version,
         "-status", "-CAfile", world.server_ca_file, "-cert", credential.chain_file, "-key", credential.key_file],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE).stdout


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_staple_is_sent_and_a_replaced_one_is_too(start_gate, world, backend, shown, version):
    replace(shown, ocsp.response(world.server, world.server_root, this=pki.NOW - 2 * pki.HOUR))
    gate = start_gate(stapling(world, backend, shown))
    said = ask_for_staple(gate, world, version)
    stamp = (pki.NOW - 2 * pki.HOUR).strftime("This Update: %b %e %H:%M:%S %Y GMT")
    assert "OCSP Response Status: successful" in said and "Cert Status: good" in said and stamp in said, said
    replace(shown, ocsp.response(world.server, world.server_root, this=pki.NOW - pki.HOUR))
    stamp = (pki.NOW - pki.HOUR).strftime("This Update: %b %e %H:%M:%S %Y GMT")
    until(lambda: stamp in ask_for_staple(gate, world, version), "the new staple")


def test_who_does_not_ask_gets_none_and_is_served(start_gate, world, backend, shown):
    replace(shown, ocsp.response(world.server, world.server_root))
    gate = start_gate(stapling(world, backend, shown))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200


STAPLES_NOT_SENT = {
    "expired": (dict(this=pki.NOW - 2 * pki.DAY, next=pki.NOW - pki.DAY), "ended at"),
    "revoked": (dict(revoked=True), "REVOKED"),
}


@pytest.mark.parametrize("kind", STAPLES_NOT_SENT)
def test_a_staple_that_says_nothing_good_is_told_and_not_sent(start_gate, world, backend, shown, kind):
    options, words = STAPLES_NOT_SENT[kind]
    replace(shown, ocsp.response(world.server, world.server_root, **options))
    gate = start_gate(stapling(world, backend, shown))
    assert any(words in e["detail"] for e in gate.events.records if e["event"] == "configuration_warning"), gate.report()
    assert "OCSP response: no response sent" in ask_for_staple(gate, world)
    checked = gates.run("check", "-c", gate.file)
    assert checked.returncode == 0 and words in checked.stderr, checked


WRONG_STAPLES = {
    "garbage": lambda world: b"garbage",
    "empty": lambda world: b"",
    "of another certificate": lambda world: ocsp.response(world.other_server, world.server_root),
    "signed by another CA": lambda world: ocsp.response(world.server, world.server_root, signer=world.root),
    "signed by a CA of the same name": lambda world: ocsp.response(
        world.server, world.server_root, signer=pki.Authority.root("Server Root")),
    "from the future": lambda world: ocsp.response(world.server, world.server_root, this=pki.NOW + pki.DAY / 2),
    "not there": None,
}


@pytest.mark.parametrize("kind", WRONG_STAPLES)
def test_a_wrong_staple_file_is_an_error_that_names_it(world, backend, shown, tmp_path, kind):
    if WRONG_STAPLES[kind]:
        replace(shown, WRONG_STAPLES[kind](world))
    file = tmp_path / "sallyport.yaml"
    file.write_text(gates.yaml.safe_dump(stapling(world, backend, shown)))
    checked = gates.run("check", "-c", file)
    assert checked.returncode == 2 and "server.ocsp" in checked.stderr and "error:" in checked.stderr, checked


def test_a_chain_without_the_issuer_cannot_be_stapled_for(world, backend, shown, tmp_path):
    replace(shown, ocsp.response(world.server, world.server_root))
    shown["chain"] = str(world.server.chain_file)
    file = tmp_path / "sallyport.yaml"
    file.write_text(gates.yaml.safe_dump(stapling(world, backend, shown)))
    checked = gates.run("check", "-c", file)
    assert checked.returncode == 2 and "issuer is not in the file" in checked.stderr, checked
