"""The audit stream: every refusal as one JSON line with all that it takes to explain it, wherever it goes; counters by rule; and
that nothing which a client sends, by certificate or by request, can make a line of its own."""

import json
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from lib import gate as gates
from lib import pki, raw
from lib.patience import PATIENCE, until


class Audit:
    """The audit records in a file."""

    def __init__(self, path):
        self.path = path

    def lines(self):
        return self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []

    def records(self):
        return [json.loads(line) for line in self.lines()]

    def wait(self, **fields):
        def found():
            return [r for r in self.records() if all(r.get(k) == v for k, v in fields.items())]

        until(found, f"an audit record with {fields}")
        return found()[0]


@pytest.fixture
def audit(tmp_path):
    return Audit(tmp_path / "audit.log")


def audited(world, backend, audit, allowed=False, **changes):
    return gates.config(world, backend.endpoint, audit={"output": str(audit.path), "allowed": allowed}, **changes)


def refuse_handshake(gate, credential):
    """Returns the peer."""
    try:
        with raw.Client(gate, credential) as client:
            peer = client.peer
            client.get()
    except (OSError, raw.Closed):
        pass
    return gate.wait_event("refused")["peer"]


# ---- what a record says ----

def test_a_refused_handshake_is_recorded_with_its_certificate(start_gate, world, backend, audit):
    gate = start_gate(audited(world, backend, audit))
    revoked = world.clients["revoked"]
    refuse_handshake(gate, revoked)
    event, record = gate.wait_event("refused", reason="revoked"), audit.wait(reason="revoked")
    expected = {"event": "decision", "decision": "refused", "reason": "revoked", "listener": "internal", "sni": "billing.internal",
                "tls": "TLSv1.3", "subject": "CN=revoked", "issuer": "O=Example Corp,CN=Issuing CA", "serial": revoked.serial_hex,
                "sha256": revoked.sha256_hex, "sans": "URI:spiffe://corp.example/ns/billing/sa/wrong", "generation": 1,
                "peer": event["peer"], "detail": event["detail"]}
    assert {key: record.get(key) for key in expected} == expected
    assert set(record) == {"time", *expected}
    assert event["sha256"] == revoked.sha256_hex


def test_a_refused_request_is_recorded_with_its_certificate_and_request_line(start_gate, world, backend, audit):
    gate = start_gate(audited(world, backend, audit))
    credential = world.clients["stranger_here"]
    with raw.Client(gate, credential) as client:
        answer = client.get("/v1/invoices/7?secret=1")
        access = gate.wait_access(peer=client.peer)
    assert answer.status == 403
    record = audit.wait(reason="no_rule")
    certificate = {"subject": "CN=nobody-in-particular", "issuer": "O=Example Corp,CN=Issuing CA", "serial": credential.serial_hex,
                   "sha256": credential.sha256_hex, "sans": "URI:spiffe://corp.example/ns/other/sa/x"}
    expected = {"event": "decision", "decision": "refused", "reason": "no_rule", "listener": "internal", "peer": client.peer,
                "sni": "billing.internal", "tls": "TLSv1.3", "method": "GET", "host": "billing.internal", "path": "/v1/invoices/7",
                "status": 403, "id": answer.one("X-Request-Id"), "generation": 1, **certificate}
    assert {key: record.get(key) for key in expected} == expected
    assert "secret" not in str(record) and not {"rule", "caller", "upstream"} & set(record)
    assert {key: access.get(key) for key in certificate} == certificate


def test_allowed_requests_are_recorded_only_when_asked_for(start_gate, world, backend, audit, tmp_path):
    quiet = Audit(tmp_path / "quiet.log")
    for to, allowed in ((quiet, False), (audit, True)):
        gate = start_gate(audited(world, backend, to, allowed))
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get("/let-in?secret=1").status == 200
            access = gate.wait_access(peer=client.peer)
            assert not {"sans", "issuer", "serial", "sha256", "reports"} & set(access)
        with raw.Client(gate, world.clients["stranger_here"]) as client:
            assert client.get("/refused").status == 403
        to.wait(reason="no_rule")
    assert [record["decision"] for record in quiet.records()] == ["refused"]
    record = audit.wait(decision="allowed")
    expected = {"rule": "billing-all", "caller": "billing", "upstream": "main", "status": 200, "path": "/let-in",
                "sans": "URI:spiffe://corp.example/ns/billing/sa/batch,DNS:batch.billing.internal,DNS:batch2.billing.internal,"
                        "email:batch@corp.example",
                "sha256": world.clients["billing"].sha256_hex}
    assert {key: record.get(key) for key in expected} == expected
    assert "reason" not in record


def test_a_backend_that_fails_is_no_refusal(start_gate, world, audit, tmp_path):
    gate = start_gate(gates.config(world, f"unix:{tmp_path}/nobody.sock", audit={"output": str(audit.path), "allowed": True}))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/").status == 502
    record = audit.wait(reason="no_endpoint")
    assert record["decision"] == "allowed" and record["rule"] == "billing-all" and record["status"] == 502


@pytest.mark.parametrize("sent,decision", [
    (b"GET /half HTTP/1.1\r\nHost: billing", "ended"),
    (b"GET /half HTTP/1.1\r\nHost: x\r\nHost: billing", "ended"),
    (b"GET /half HTTP/1.1\r\nBad Name: x\r\n\r\n", "refused"),
], ids=["gone", "gone-before-what-was-wrong-was-seen", "wrong"])
def test_a_client_that_leaves_before_it_is_judged_was_refused_by_nobody(start_gate, world, backend, audit, sent, decision):
    gate = start_gate(audited(world, backend, audit))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(sent)
        client.close()
        record = audit.wait(peer=client.peer)
    assert record["decision"] == decision and (record["reason"] == "client_gone") == (decision == "ended"), record
    assert "rule" not in record


def test_a_connection_that_is_ended_is_recorded(start_gate, own_world, backend, audit):
    gate = start_gate(audited(own_world, backend, audit), of=own_world)
    billing = own_world.clients["billing"]
    with raw.Client(gate, billing) as client:
        assert client.get("/").status == 200
        own_world.write_crls([billing])
        gate.signal(signal.SIGHUP)
        record = audit.wait(decision="ended")
        expected = {"reason": "revoked", "listener": "internal", "peer": client.peer, "serial": billing.serial_hex,
                    "sha256": billing.sha256_hex, "issuer": "O=Example Corp,CN=Issuing CA", "tls": "TLSv1.3"}
        assert {key: record.get(key) for key in expected} == expected
        assert record["generation"] >= 2


def test_a_request_that_is_broken_off_by_new_rules_is_recorded_as_ended_and_not_as_refused(start_gate, world, backend, audit):
    settings = audited(world, backend, audit)
    gate, over = start_gate(settings), threading.Event()
    backend.answers.append(lambda talk, request: over.wait(PATIENCE) and False)
    try:
        with raw.Client(gate, world.clients["billing"]) as client:
            client.send(b"GET /v1/slow HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
            backend.wait()
            settings["rules"] = [rule for rule in settings["rules"] if rule["name"] != "billing-all"]
            assert gate.reload(settings)["event"] == "reloaded"
            request, session = audit.wait(path="/v1/slow"), audit.wait(generation=2)
    finally:
        over.set()
    assert (request["decision"], request["reason"], request["rule"]) == ("ended", "no_rule", "billing-all")
    assert (session["decision"], session["reason"], "path" in session) == ("ended", "no_rule", False)
    assert len(audit.records()) == 2


def test_limits_are_recorded_as_what_they_refuse(start_gate, world, backend, audit):
    settings = audited(world, backend, audit)
    settings["callers"]["billing"] = {"match": settings["callers"]["billing"],
                                      "limits": {"rate": "1/h", "burst": 1, "connections": 1}}
    gate = start_gate(settings)
    with raw.Client(gate, world.clients["billing"]) as client:
        assert [client.get("/").status for _ in range(2)] == [200, 429]
        try:
            with raw.Client(gate, world.clients["billing"]) as second:
                second.get("/")
        except (OSError, raw.Closed):
            pass
        record = audit.wait(reason="caller_rate")
        assert (record["decision"], record["status"], record["rule"], record["caller"]) == ("refused", 429, "billing-all", "billing")
        assert audit.wait(reason="caller_connections")["decision"] == "ended"
    assert len(audit.records()) == 2
    metrics = gate.metrics()
    assert metrics['sallyport_limited_total{rule="billing-all",limit="rate"}'] == 1
    assert metrics['sallyport_limited_total{rule="",limit="connections"}'] == 1


def test_rules_in_report_mode_are_recorded_and_decide_nothing(start_gate, world, backend, audit):
    rules = [
        {"name": "would-deny", "from": ["billing"], "path": "/old/**", "deny": 403, "mode": "report"},
        {"name": "would-allow", "from": ["billing"], "upstream": "main", "mode": "report"},
        {"name": "decides", "from": ["billing"], "methods": ["GET"], "upstream": "main"},
        {"name": "forbids", "from": ["billing"], "methods": ["DELETE"], "deny": 404},
    ]
    gate = start_gate(audited(world, backend, audit, True, rules=rules))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/old/x").status == 200
        assert client.get("/new").status == 200
        assert client.ask(b"DELETE /new HTTP/1.1\r\nHost: billing.internal\r\n\r\n", "DELETE").status == 404
        assert client.ask(b"PUT /new HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 0\r\n\r\n", "PUT").status == 403
        gate.wait_access(method="PUT")
    audit.wait(method="PUT")
    for records in (audit.records(), gate.accesses.records):
        assert [(r.get("rule"), r["reports"], r.get("reason")) for r in records] == [
            ("decides", "would-deny:deny,would-allow:allow", None), ("decides", "would-allow:allow", None),
            ("forbids", "would-allow:allow", "denied"), (None, "would-allow:allow", "no_rule")]
    assert [r["decision"] for r in audit.records()] == ["allowed", "allowed", "refused", "refused"]
    metrics = gate.metrics()
    counted = {name: value for name, value in metrics.items() if name.startswith("sallyport_decisions_total") and value}
    assert counted == {
        'sallyport_decisions_total{rule="would-deny",decision="denied",mode="report"}': 1,
        'sallyport_decisions_total{rule="would-allow",decision="allowed",mode="report"}': 4,
        'sallyport_decisions_total{rule="decides",decision="allowed",mode="enforce"}': 2,
        'sallyport_decisions_total{rule="forbids",decision="denied",mode="enforce"}': 1,
        'sallyport_decisions_total{rule="",decision="refused",mode="enforce"}': 1,
    }


# ---- counters by rule ----

def test_a_rule_that_stays_over_a_reload_goes_on_counting(start_gate, world, backend):
    settings = gates.config(world, backend.endpoint)
    gate = start_gate(settings)
    name = 'sallyport_decisions_total{rule="%s",decision="allowed",mode="enforce"}'
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/1").status == 200
        metrics = gate.metrics()
        assert metrics[name % "billing-all"] == 1 and metrics[name % "audit-read"] == 0
        settings["rules"] = [{"name": "new", "from": ["auditors"], "upstream": "main"}, settings["rules"][0]]
        gate.write(settings)
        gate.signal(signal.SIGHUP)
        gate.wait_event("reloaded")
        assert client.get("/2").status == 200
    gate.wait_metric(name % "billing-all", lambda n: n == 2)
    metrics = gate.metrics()
    assert metrics[name % "new"] == 0 and name % "audit-read" not in metrics


def test_no_identity_is_a_label(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint))
    for who in ("billing", "stranger_here"):
        with raw.Client(gate, world.clients[who]) as client:
            client.get("/some-path")
    text = gate.admin("/metrics")[2]
    for label in (f'endpoint="{backend.endpoint}"', 'host="127.0.0.1"'):  # the backend's own, and nobody's name
        text = text.replace(label, "")
    for secret in ("billing-batch", "nobody-in-particular", "corp.example", "some-path", "127.0.0.1"):
        assert secret not in text, secret


# ---- where it goes ----

def test_an_audit_file_is_reopened_on_usr1(start_gate, world, backend, audit, tmp_path):
    gate = start_gate(audited(world, backend, audit, True))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.get("/before")
        audit.wait(path="/before")
        assert audit.path.stat().st_mode & 0o777 == 0o640
        audit.path.rename(tmp_path / "audit.log.1")
        gate.signal(signal.SIGUSR1)
        until(audit.path.exists, "the new file")
        client.get("/after")
        audit.wait(path="/after")
    assert "/after" not in (tmp_path / "audit.log.1").read_text()


def test_a_reload_moves_the_audit_and_turns_it_off(start_gate, world, backend, audit, tmp_path):
    gate, moved = start_gate(audited(world, backend, audit, True)), Audit(tmp_path / "moved.log")
    with raw.Client(gate, world.clients["billing"]) as client:
        for number, output in enumerate((str(moved.path), "off"), 1):
            assert client.get(f"/{number}").status == 200
            (audit if number == 1 else moved).wait(path=f"/{number}")
            gate.write(gates.config(world, backend.endpoint, audit={"output": output, "allowed": output != "off"}))
            gate.signal(signal.SIGHUP)
            gate.wait_event("reloaded", generation=number + 1)
            until(lambda: output == "off" or moved.path.exists(), "the new file")
        assert client.get("/3").status == 200
        gate.wait_access(path="/3")
    gate.stop()
    assert [r["path"] for r in audit.records()] == ["/1"] and [r["path"] for r in moved.records()] == ["/2"]


def test_an_audit_that_cannot_be_written_is_told_and_holds_up_nobody(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, audit={"output": "/dev/full", "allowed": True}))
    with raw.Client(gate, world.clients["billing"]) as client:
        for _ in range(20):
            assert client.get("/").status == 200
        event = gate.wait_event("log_failed", output="audit")
        assert event["error"] == "No space left on device" and event["level"] == "error"
    gate.wait_metric("sallyport_audit_write_failures_total", lambda n: n == 20)
    assert gate.metrics()["sallyport_log_write_failures_total"] == 0


@pytest.fixture(scope="module")
def redirect(tmp_path_factory):
    made = tmp_path_factory.mktemp("redirect") / "redirect.so"
    source = pathlib.Path(__file__).parent / "lib" / "redirect.c"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


class Service:
    """What syslog and journald are to a program: a datagram socket."""

    def __init__(self, folder, redirect):
        self.folder, self.redirect = folder, redirect
        self.start()

    def start(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(PATIENCE)
        self.sock.bind(str(self.folder / "service"))

    def stop(self):
        self.sock.close()
        (self.folder / "service").unlink()

    def until(self, text):
        """All that came, up to the first with `text` in it."""
        came = []
        while not came or text not in came[-1]:
            came.append(self.sock.recv(65536).decode())
        return came

    @property
    def under(self):
        options = gates.environment()["ASAN_OPTIONS"]
        return ["env", f"LD_PRELOAD={self.redirect}", f"SP_TEST_SERVICE={self.folder / 'service'}",
                f"ASAN_OPTIONS={options}:verify_asan_link_order=0"]


@pytest.fixture
def service(tmp_path_factory, redirect):
    made = Service(tmp_path_factory.mktemp("s"), redirect)
    yield made
    made.sock.close()


SYSLOG = re.compile(r"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d sallyport\[\d+\]: (.*)", re.DOTALL)


def test_syslog_gets_all_three_streams_and_may_be_restarted(start_gate, world, backend, service):
    gate = start_gate(gates.config(world, backend.endpoint, audit={"output": "syslog", "allowed": True},
                                   log={"access": "syslog"}), under=service.under)
    with raw.Client(gate, world.clients["billing"]) as client:
        client.get("/one")
        parsed = [SYSLOG.fullmatch(line) for line in [*service.until("/one"), *service.until("/one")]]
        records = {json.loads(match[2])["event"]: match[1] for match in parsed}
        assert records == {"access": "30", "decision": "85"}
        service.stop()
        client.get("/lost")
        assert gate.wait_event("log_failed")["count"] > 0
        gate.wait_metric("sallyport_audit_write_failures_total", lambda n: n == 2)  # the access record among them
        service.start()
        client.get("/two")
        assert all("/lost" not in line for line in service.until("/two"))


def test_a_syslog_that_does_not_read_holds_up_nobody(start_gate, world, backend, service):
    gate = start_gate(gates.config(world, backend.endpoint, audit={"output": "syslog", "allowed": True}), under=service.under)
    with raw.Client(gate, world.clients["billing"]) as client:
        until(lambda: [client.get("/x") for _ in range(100)] and gate.metrics()["sallyport_audit_dropped_total"] > 0, "dropped records")
        assert gate.wait_event("audit_dropped")["level"] == "error"
        assert client.get("/last").status == 200
        gate.wait_access(path="/last")
    assert gate.metrics()["sallyport_log_dropped_total"] == 0
    service.stop()


def test_journald_gets_a_message_with_its_fields(start_gate, world, backend, service):
    gate = start_gate(gates.config(world, backend.endpoint, audit={"output": "journald", "allowed": True}), under=service.under)
    with raw.Client(gate, world.clients["billing"]) as client:
        client.get("/one")
        (text,) = service.until("/one")
    fields = dict(line.split("=", 1) for line in text.split("\n")[:-1])
    assert json.loads(fields.pop("MESSAGE"))["path"] == "/one"
    assert fields == {"PRIORITY": "5", "SYSLOG_FACILITY": "10", "SYSLOG_IDENTIFIER": "sallyport"}


@pytest.mark.parametrize("output", ["syslog", "journald"])
def test_a_service_that_is_not_there_stops_the_start_with_a_message(start_gate, world, backend, service, output):
    service.stop()
    gate = start_gate(gates.config(world, backend.endpoint, audit={"output": output}), under=service.under, ready=False)
    gate.stopped = True
    assert gate.wait_exit() == 1
    assert f"log output {output} (" in gate.report() and "No such file or directory" in gate.report()
    service.start()


# ---- nobody writes lines but us ----

HOSTILE = {
    "nul": b"a\0b", "newline": b'a\n{"event":"decision","decision":"allowed"}', "crlf": b"a\r\nb", "tab": b"a\tb", "escape": b"\x1b[2J\x1b[31mred",
    "bell_and_backspace": b"\a\b\b", "del": b"\x7f", "c1": b"\x9b31m", "quotes": b'"," :{}\\"', "backslashes": b"\\u0041\\n\\", "utf8": "Zoë €😀".encode(),
    "rtl_override": "\u202egnp.exe".encode(), "line_separators": "\u2028\u2029\u0085".encode(), "bom": b"\xef\xbb\xbf", "overlong": b"\xc0\xaf\xe0\x80\xaf",
    "surrogate": b"\xed\xa0\x80\xed\xb0\x80", "lone_continuation": b"\x80\xbf", "cut_short": b"\xe2\x82", "above_unicode": b"\xf4\x90\x80\x80",
    "latin1": b"\xe9\xff\xfe", "format": b"%s%n%999999d", "spaces": b"a b=c", "cut_marker": b"x...[+5]", "long": b"l" * 6000,
}


def as_logged(value):
    """Well-formed UTF-8 comes back as it is, any other byte as the character of its number."""
    out, at = "", 0
    while at < len(value):
        for size in (4, 3, 2, 1):
            try:
                out += value[at:at + size].decode("utf-8")
                at += size
                break
            except UnicodeDecodeError:
                if size == 1:
                    out += chr(value[at])
                    at += 1
    return out


def send_hostile(gate, credential, value):
    """In every place of a request that comes into a log. Each on a connection of its own, as most are refused."""
    requests = [
        b"GET /" + value + b" HTTP/1.1\r\nHost: billing.internal\r\n\r\n",
        b"GET /" + value.replace(b" ", b"+") + b" HTTP/1.1\r\nHost: billing.internal\r\n\r\n",
        value + b" / HTTP/1.1\r\nHost: billing.internal\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: billing.internal\r\nX-Request-Id: " + value + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: billing.internal\r\n" + value + b": x\r\n\r\n",
    ]
    for request in requests:
        with raw.Client(gate, credential) as client:
            client.send(request)
            try:
                while client.sock.recv(65536):
                    if b"\n" not in value:
                        break
            except OSError:
                pass


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_hostile_request_is_one_line_in_every_stream(start_gate, world, backend, audit, tmp_path, form):
    access = tmp_path / "access.log"
    gate = start_gate(audited(world, backend, audit, True, log={"access": str(access), "format": form, "level": "debug"}), ready=False)
    until(lambda: access.exists(), "the start")
    if form == "text":
        until(lambda: any(" ready " in line for line in gate.events.noise), "ready, as text")
        port = re.search(r"listener=internal address=127.0.0.1:(\d+)", "\n".join(gate.events.noise))[1]
        gate.address = lambda name="internal": ("127.0.0.1", int(port))
    for value in HOSTILE.values():
        send_hostile(gate, world.clients["billing"], value)
    if form == "text":
        gate.events.noise.clear()
    gate.signal(signal.SIGTERM)
    assert gate.wait_exit() == 0
    gate.stopped = True
    lines = access.read_bytes().split(b"\n")[:-1]
    ids = {record["id"] for record in audit.records()}
    assert len(audit.lines()) == len(lines) == len(ids) >= 6 * len(HOSTILE)
    for line in [*lines, *audit.lines()]:
        assert re.fullmatch(rb"[\x20-\x7e]+", line), line
    for line in audit.lines():
        assert json.loads(line)["event"] == "decision"
        assert len(re.findall(rb'"decision":', line)) == 1 or rb'\"decision\":' in line
    if form == "json":
        assert all(json.loads(line)["event"] == "access" for line in lines)
    else:
        assert all(re.match(rb"\d{4}-\d\d-\d\dT[0-9:.]+Z access id=", line) for line in lines)


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_path_comes_back_as_it_was_sent(start_gate, world, backend, audit, kind):
    value = HOSTILE[kind].replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b"").replace(b"\0", b"")
    gate = start_gate(audited(world, backend, audit, True))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET /" + value + b"?query HTTP/1.1\r\nHost: billing.internal\r\nConnection: close\r\n\r\n")
        raw.Reader(client.sock).response()
        access = gate.wait_access(peer=client.peer)
    record = audit.wait(peer=client.peer)
    for told in (access["path"], record["path"]) if "path" in record else ():
        sent = as_logged(b"/" + value)
        cut = re.fullmatch(r"(.*)\.\.\.\[\+(\d+)\]", told, re.DOTALL)
        if cut and told != sent:
            assert sent.startswith(cut[1]) and len(sent) - len(cut[1]) == int(cut[2])
        elif record.get("reason") in ("bad_request_line", "bad_target"):
            assert sent.startswith(told)  # as far as it was read
        else:
            assert told == sent
    assert "query" not in str(record)


def encoded(kind, text, oid=NameOID.COMMON_NAME):
    return x509.NameAttribute(oid, text, _type=kind, _validate=False)


SUBJECTS = {
    "bmp": [encoded(_ASN1Type.BMPString, "Zoë \u202egnp.\u2028")],
    "bmp_newline": [encoded(_ASN1Type.BMPString, 'x\n{"event":"decision"}')],
    "t61": [encoded(_ASN1Type.T61String, "caf\u00e9 \x9b31m")],
    "utf8": [encoded(_ASN1Type.UTF8String, "Zoë 😀 \u202e\u2066")],
    "utf8_controls": [encoded(_ASN1Type.UTF8String, "a\x1b[31m\r\nb\0c\x7f\u0085")],
    "quotes": [encoded(_ASN1Type.UTF8String, '","decision":"allowed"')],
    "universal": [encoded(_ASN1Type.UniversalString, "u\u202e")],
    "many": [encoded(_ASN1Type.UTF8String, "\n\"\\" * 20) for _ in range(30)],
}
SANS = {
    "uri_newline": [pki.uri('spiffe://corp.example/ns/billing/x\n{"event":"decision","decision":"allowed"}')],
    "uri_quotes": [pki.uri('spiffe://corp.example/ns/billing/","decision":"allowed')],
    "uri_comma": [pki.uri("spiffe://corp.example/ns/billing/a,DNS:forged.example")],
    "dns_escape": [pki.dns("\x1b[31m.example")],
    "email_nul": [pki.email("a\0b@audit.example.com")],
    "long": [pki.uri("spiffe://corp.example/ns/billing/" + "x" * 900)],
    "many": [pki.dns(f"n{i}.example") for i in range(200)],
}


def hostile_certificate(world, subject=(), sans=()):
    key = pki.ec_key()
    cert = pki.build(x509.Name(list(subject)), key, world.issuing.cert.subject, world.issuing.key, eku=pki.CLIENT, sans=list(sans))
    return pki.Credential(cert, key, world.issuing.chain_for_issued)


def records_of(gate, audit, credential):
    """A request by it, and one line of each stream: refused in the handshake or by no rule."""
    try:
        with raw.Client(gate, credential) as client:
            client.get("/")
    except (OSError, raw.Closed):
        pass
    record = audit.wait(serial=credential.serial_hex)
    assert len(audit.lines()) == 1
    for line in audit.lines():
        assert re.fullmatch(rb"[\x20-\x7e]+", line), line
    if record["reason"] in ("no_rule", "identity_not_expressible") or "status" in record:
        return record, gate.wait_access(serial=credential.serial_hex) if record["decision"] == "refused" else None
    return record, gate.wait_event("refused", serial=credential.serial_hex)


@pytest.mark.parametrize("kind", sorted(SUBJECTS))
def test_a_hostile_subject_is_one_line(start_gate, world, backend, audit, tmp_path, kind):
    gate = start_gate(audited(world, backend, audit, True))
    credential = hostile_certificate(world, SUBJECTS[kind]).save(tmp_path, "hostile")
    record, told = records_of(gate, audit, credential)
    assert record["decision"] == "refused" and record["sha256"] == credential.sha256_hex
    assert all(0x20 <= ord(c) <= 0x7e for c in record["subject"])
    assert told["subject"] == record["subject"] and told["serial"] == record["serial"]


@pytest.mark.parametrize("kind", sorted(SANS))
def test_hostile_names_are_one_line_and_cannot_pass_for_others(start_gate, world, backend, audit, tmp_path, kind):
    gate = start_gate(audited(world, backend, audit, True, rules=[{"name": "r", "from": ["auditors"], "upstream": "main"}]))
    credential = hostile_certificate(world, sans=SANS[kind]).save(tmp_path, "hostile")
    record, told = records_of(gate, audit, credential)
    assert record["decision"] == "refused" and told["sans"] == record["sans"]
    assert all(0x20 <= ord(c) <= 0x7e for c in record["sans"])
    if kind == "many":
        assert record["sans"].endswith("...")
    else:
        assert record["sans"].count(",") == 0
    if kind == "uri_comma":
        assert record["sans"] == r"URI:spiffe://corp.example/ns/billing/a\x2cDNS:forged.example"


@pytest.mark.parametrize("sni", [b'a"\n{}.example', b"\x1b[31m", "zoë.example".encode(), b"\xff\xfe", b"a" * 255])
def test_a_hostile_server_name_is_one_line(start_gate, world, backend, audit, sni):
    gate = start_gate(audited(world, backend, audit))
    with socket.create_connection(gate.address(), timeout=PATIENCE) as sock:
        sock.sendall(client_hello(sni))
        try:
            while sock.recv(65536):
                pass
        except OSError:
            pass
        peer = "%s:%d" % sock.getsockname()[:2]
    record, event = audit.wait(peer=peer), gate.wait_event("refused", peer=peer)
    assert record["decision"] == "refused" and record.get("sni") == event.get("sni")
    assert len(audit.lines()) == 1 and re.fullmatch(rb"[\x20-\x7e]+", audit.lines()[0])


def client_hello(sni):
    """The least that is one, of TLS 1.2, without a cipher that anybody has."""
    def vector(size, data):
        return len(data).to_bytes(size, "big") + data

    name = vector(2, vector(2, b"\0" + vector(2, sni)))
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x00\x05") + vector(1, b"\0") + vector(2, b"\0\0" + name)
    return b"\x16\x03\x01" + vector(2, b"\x01" + vector(3, body))
