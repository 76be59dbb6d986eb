"""Behind load balancers: who speaks the PROXY protocol must, nobody else may, and the client's address is then the client's.

The balancers are addresses of the loopback network, the tests themselves or a real HAProxy; the clients' addresses are made up."""

import contextlib
import json
import os
import socket
import ssl

import pytest

from lib import gate as gates
from lib import haproxy, raw
from lib.patience import PATIENCE, until

BALANCER = "127.0.0.2"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "192.0.2.10:51234"
LINE = b"PROXY TCP4 192.0.2.10 198.51.100.5 51234 443\r\n"


def block(command=0x21, family=0x11, body=None):
    """A header of version 2."""
    if body is None:
        body = socket.inet_aton("192.0.2.10") + socket.inet_aton("198.51.100.5") + b"\xc8\x22\x01\xbb"
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def line(address, port=51234):
    return b"PROXY TCP4 %s 198.51.100.5 %d 443\r\n" % (address.encode(), port)


def settings(world, backend, *, of=("127.0.0.2", "127.0.0.4/30"), **changes):
    listener = {key: changes.pop(key) for key in ("address", "timeouts") if key in changes}
    made = gates.config(world, backend.endpoint, log={"level": "debug"}, **changes)
    made["listeners"] = [gates.listener(world, proxy_protocol={"from": list(of)}, **listener)]
    return made


@pytest.fixture(scope="module")
def fronted(start_module_gate, world, module_backend):
    return start_module_gate(settings(world, module_backend))


class Connection:
    """A connection as a load balancer makes it; `via` is what the log calls the balancer's end."""

    def __init__(self, gate, source=BALANCER):
        self.gate = gate
        self.sock = socket.create_connection(gate.address(), timeout=PATIENCE, source_address=(source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = self.sock.getsockname()
        self.via = ("[%s]:%d" if ":" in address[0] else "%s:%d") % address[:2]
        self.since = len(gate.events.records), len(gate.accesses.records)

    def send(self, data):
        self.sock.sendall(data)
        return self

    def refusal(self, **fields):
        return self.gate.wait_event("refused", since=self.since[0], **(fields or {"via": self.via}))

    def access(self, **fields):
        return self.gate.wait_access(since=self.since[1], **(fields or {"via": self.via}))

    def secure(self, who="billing"):
        """TLS from here on; returns what reads responses."""
        tls = raw.context(self.gate.world, self.gate.world.clients[who] if who else None)
        self.sock = tls.wrap_socket(self.sock, server_hostname="billing.internal")
        return raw.Reader(self.sock)

    def ask(self, who="billing", path="/"):
        """One request; (response, its access record)"""
        reader = self.secure(who)
        self.sock.sendall(b"GET %s HTTP/1.1\r\nHost: billing.internal\r\n\r\n" % path.encode())
        return reader.response(), self.access()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- what is said is believed ----

SAID = {
    "a line": (LINE, CLIENT),
    "a line of IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n", "[2001:db8::1]:51234"),
    "a block": (block(), CLIENT),
    "a block of IPv6": (
        block(family=0x21, body=socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + b"\xc8\x22\x01\xbb"), "[2001:db8::1]:51234"),
    "IPv4 as IPv6": (
        block(family=0x21, body=socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.10") * 2 + b"\xc8\x22\x01\xbb"), CLIENT),
    "a block with TLVs": (block(body=block()[16:] + b"\x04\0\x05.....\x05\0\x04uniq\xe0\0\x01x"), CLIENT),
    "a block of four kilobytes": (block(body=block()[16:] + b"\x04\x0f\xe1" + bytes(4065)), CLIENT),
}


@pytest.mark.parametrize("said", SAID)
def test_the_clients_address_is_what_the_balancer_says(fronted, shared_backend, said):
    header, client = SAID[said]
    with Connection(fronted) as connection:
        answer, record = connection.send(header).ask()
    assert answer.status == 200
    assert (record["peer"], record["via"]) == (client, connection.via)


OWN = {
    "an unknown line": b"PROXY UNKNOWN\r\n",
    "an unknown line with addresses": b"PROXY UNKNOWN 192.0.2.10 198.51.100.5 51234 443\r\n",
    "a local block": block(0x20, 0x00, b""),
    "a local block with an address": block(0x20),
    "a block of a unix socket": block(family=0x31, body=bytes(216)),
    "a block of datagrams": block(family=0x12),
    "an unspecified block": block(family=0x00, body=b""),
}


@pytest.mark.parametrize("said", OWN)
def test_without_a_clients_address_it_is_the_balancers_own(fronted, shared_backend, said):
    with Connection(fronted) as connection:
        answer, record = connection.send(OWN[said]).ask()
    assert answer.status == 200
    assert record["peer"] == record["via"] == connection.via


def test_a_block_of_addresses_counts_like_one(fronted, shared_backend):
    for source in ("127.0.0.5", "127.0.0.7"):
        with Connection(fronted, source) as connection:
            assert connection.send(LINE).ask()[1]["peer"] == CLIENT


def test_who_comes_without_a_balancer_is_as_ever(fronted, shared_backend, world):
    with raw.Client(fronted, world.clients["billing"]) as client:
        assert client.get().status == 200
        record = fronted.wait_access(peer=client.peer)
    assert "via" not in record


@pytest.mark.parametrize("header", [LINE, block()], ids=["line", "block"])
def test_a_header_may_come_in_pieces(fronted, shared_backend, header):
    with Connection(fronted) as connection:
        for at in range(len(header)):
            connection.send(header[at:at + 1])
        answer, record = connection.ask()
    assert (answer.status, record["peer"]) == (200, CLIENT)


def client_hello(context):
    """A TLS client over nothing, with its first message: (object, incoming, outgoing, bytes)"""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="billing.internal")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing, outgoing.read()


@pytest.mark.parametrize("header", [LINE, block()], ids=["line", "block"])
@pytest.mark.parametrize("ahead", [1, 5, 20, 100000], ids=["a byte", "a record's head", "20 bytes", "all"])
def test_what_comes_behind_the_header_is_left_to_tls(fronted, shared_backend, world, header, ahead):
    tls, incoming, outgoing, hello = client_hello(raw.context(world, world.clients["billing"]))
    with Connection(fronted) as connection:
        connection.send(header + hello[:ahead]).send(hello[ahead:])
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.send(outgoing.read())
                incoming.write(connection.sock.recv(65536))
        tls.write(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        connection.send(outgoing.read())
        assert connection.access()["status"] == 200
        assert connection.access()["peer"] == CLIENT


def test_a_refusal_behind_a_balancer_names_both(fronted):
    with Connection(fronted) as connection:
        with contextlib.suppress(ssl.SSLError, OSError):
            connection.send(line("192.0.2.77")).ask(None)
        event = connection.refusal()
    assert (event["reason"], event["peer"], event["via"]) == ("no_certificate", "192.0.2.77:51234", connection.via)


# ---- what is not ----

BAD = {
    "no port": (b"PROXY TCP4 192.0.2.10 198.51.100.5 51234\r\n", "two ports"),
    "no address": (b"PROXY TCP4 192.0.2.1000 198.51.100.5 51234 443\r\n", "source"),
    "another family": (b"PROXY TCP6 192.0.2.10 198.51.100.5 51234 443\r\n", "IPv6"),
    "a line without an end": (b"PROXY UNKNOWN " + b"x" * 200, "no end"),
    "an LF alone": (b"PROXY TCP4 192.0.2.10 198.51.100.5 51234 443\n", "alone"),
    "another version": (block(0x31), "0x31"),
    "another command": (block(0x22), "0x22"),
    "a family that is none": (block(family=0x51), "family"),
    "an address cut off": (block(body=b"\xc0\0\2\x0a"), "too few"),
    "a TLV beyond the end": (block(body=block()[16:] + b"\x04\0\x09x"), "beyond the end"),
    "a wrong checksum": (block(body=block()[16:] + b"\x03\0\x04abcd"), "CRC32C"),
    "too long": (block(body=bytes(5000)), "more than"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_malformed_header_is_refused_and_says_why(fronted, what):
    header, why = BAD[what]
    before = fronted.refusals("bad_proxy_header")
    with Connection(fronted) as connection:
        event = connection.send(header).refusal()
        assert event["reason"] == "bad_proxy_header" and why in event["detail"], event
        assert event["peer"] == event["via"] == connection.via and event["level"] == "warn"
        with contextlib.suppress(ConnectionError):
            assert connection.sock.recv(100) == b""
    assert fronted.refusals("bad_proxy_header") == before + 1


NONE = {
    "TLS": (None, "ClientHello"),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "474554"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", "505249"),
    "SSH": (b"SSH-2.0-OpenSSH\r\n", "535348"),
    "blank lines": (b"\r\n\r\n\r\n\r\n", "0d0a0d0a0d"),
}


@pytest.mark.parametrize("what", NONE)
def test_a_balancer_must_send_a_header(fronted, world, what):
    data, why = NONE[what]
    with Connection(fronted) as connection:
        event = connection.send(data or client_hello(raw.context(world))[3]).refusal()
    assert event["reason"] == "no_proxy_header" and why in event["detail"], event


@pytest.mark.parametrize("header", [LINE, block()], ids=["line", "block"])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.3", "127.0.0.8"])
def test_nobody_else_may_send_one(fronted, header, source):
    with Connection(fronted, source) as connection:
        event = connection.send(header).refusal(peer=connection.via)
    assert event["reason"] == "not_tls" and "PROXY" in event["detail"]
    assert "via" not in event


def test_a_second_header_is_no_tls(fronted):
    with Connection(fronted) as connection:
        event = connection.send(LINE + line("192.0.2.66")).refusal()
    assert (event["reason"], event["peer"]) == ("not_tls", CLIENT)
    assert "PROXY" in event["detail"]


@pytest.mark.parametrize("sent", [b"P", LINE[:-1], SIGNATURE, block()[:-1]], ids=["a letter", "a line", "a signature", "a block"])
def test_a_connection_that_ends_in_the_middle_of_its_header_is_told_so(fronted, sent):
    with Connection(fronted) as connection:
        connection.send(sent)
        connection.sock.shutdown(socket.SHUT_WR)
        event = connection.refusal()
    assert event["reason"] == "bad_proxy_header" and "ended" in event["detail"]


def test_a_header_that_comes_too_slowly_meets_the_deadline_of_the_handshake(start_gate, world, backend):
    gate = start_gate(settings(world, backend, timeouts={"handshake": "500ms"}))
    for sent in (b"", b"PROXY TCP4", block()[:20]):
        with Connection(gate) as connection:
            event = connection.send(sent).refusal()
        assert event["reason"] == "handshake_timeout" and "PROXY" in event["detail"]
    with Connection(gate) as connection:  # the time is not counted anew behind it
        event = connection.send(LINE).refusal()
    assert (event["reason"], event["peer"]) == ("handshake_timeout", CLIENT)


def test_a_probe_is_no_refusal_worth_a_warning(fronted):
    with Connection(fronted) as connection:
        connection.close()
        event = connection.refusal()
    assert (event["reason"], event["level"]) == ("no_data", "debug")


def test_a_thousand_probes_leave_nothing_behind(start_gate, world, backend):
    gate = start_gate(settings(world, backend))

    def descriptors():
        return len(os.listdir(f"/proc/{gate.process.pid}/fd"))

    before = descriptors()
    for number in range(1000):
        with Connection(gate) as connection:
            if number % 2:
                connection.send((LINE, block(), LINE[:20], block(0x31), b"GET /")[number // 2 % 5])
    gate.wait_metric("sallyport_handshakes_open", lambda value: value == 0)
    until(lambda: descriptors() <= before, f"{before} descriptors; there are {descriptors()}")
    assert gate.metrics()["sallyport_connections_open"] == 0


# ---- what goes by the client's address ----

def test_a_rule_by_source_sees_the_client(start_gate, world, backend):
    rules = [{"name": "near", "from": ["billing"], "source": ["192.0.2.0/24"], "upstream": "main"},
             {"name": "balancers", "from": ["billing"], "source": ["127.0.0.0/8"], "path": "/own", "upstream": "main"}]
    gate = start_gate(settings(world, backend, rules=rules))
    for header, path, status in ((LINE, "/", 200), (line("198.51.100.7"), "/", 403), (line("198.51.100.7"), "/own", 403),
                                 (block(0x20, 0x00, b""), "/own", 200)):
        with Connection(gate) as connection:
            assert connection.send(header).ask(path=path)[0].status == status


def test_the_backend_is_told_of_the_client(fronted, shared_backend):
    with Connection(fronted) as connection:
        connection.send(LINE).ask()
    assert shared_backend.requests[-1].one("X-Forwarded-For") == "192.0.2.10"


@pytest.mark.parametrize("header,said", [
    (LINE, LINE), (block(), LINE),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n", b"PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n"),
    (b"PROXY UNKNOWN\r\n", None),
], ids=["line", "block", "ipv6", "unknown"])
def test_both_ends_of_the_clients_connection_are_said_on(start_gate, world, backend, header, said):
    made = settings(world, backend)
    made["upstreams"]["main"]["proxy_protocol"] = "v1"
    gate = start_gate(made)
    with Connection(gate) as connection:
        if said is None:
            said = b"PROXY TCP4 %s %s %d %d\r\n" % (
                BALANCER.encode(), gate.address()[0].encode(), connection.sock.getsockname()[1], gate.address()[1])
        connection.send(header).ask()
    assert backend.requests[-1].line.encode() + b"\r\n" == said


def test_audit_and_session_events_name_both(start_gate, world, backend, tmp_path):
    made = settings(world, backend, audit={"output": str(tmp_path / "audit.log"), "allowed": True})
    gate = start_gate(made)

    def records():
        return [json.loads(text) for text in (tmp_path / "audit.log").read_text().splitlines()]

    with Connection(gate) as connection, Connection(gate) as refused:
        refused.send(line("192.0.2.77") + b"no TLS").refusal()
        connection.send(LINE).ask()
        made["listeners"][0]["client_auth"]["require"] = {"max_validity": "1s"}
        assert gate.reload(made)["event"] == "reloaded"
        event = gate.wait_event("session_ended", via=connection.via)
        assert event["peer"] == CLIENT
        until(lambda: len(records()) >= 3, "three audit records")
    assert [(r["decision"], r["peer"], r["via"]) for r in records()] == [
        ("refused", "192.0.2.77:51234", refused.via), ("allowed", CLIENT, connection.via), ("ended", CLIENT, connection.via)]


def test_clients_behind_one_balancer_are_capped_each_by_his_own_address(start_gate, world, backend):
    gate = start_gate(settings(world, backend, limits={"handshakes_per_address": 2}))
    with contextlib.ExitStack() as stack:
        def connect(header=b""):
            return stack.enter_context(Connection(gate)).send(header)

        for _ in range(5):  # the balancer itself is not, with a header or before it
            connect()
            connect(block(0x20, 0x00, b""))
        first = [connect(line("192.0.2.10", port)) for port in (1, 2)]
        gate.wait_metric("sallyport_handshakes_open", lambda value: value == 12)
        event = connect(line("192.0.2.10", 3)).refusal(peer="192.0.2.10:3")
        assert (event["reason"], event["detail"]) == ("too_many_from_address", "limits.handshakes_per_address")
        assert connect(line("192.0.2.11")).ask()[0].status == 200
        first[0].close()
        gate.wait_metric("sallyport_handshakes_open", lambda value: value == 11)
        assert connect(line("192.0.2.10", 4)).ask()[0].status == 200


def test_a_client_that_fails_too_often_is_turned_away_and_his_balancer_is_not(start_gate, world, backend):
    gate = start_gate(settings(world, backend, limits={"handshake_failures": "3/h"}))

    def fail(header):
        with Connection(gate) as connection:
            return connection.send(header + b"no TLS").refusal()["reason"]

    for _ in range(6):
        assert fail(b"") == "no_proxy_header"
        assert fail(block(0x20, 0x00, b"")) == "not_tls"
    assert [fail(line("192.0.2.10", port)) for port in range(1, 6)] == ["not_tls"] * 3 + ["too_many_failures"] * 2
    with Connection(gate) as connection:
        assert connection.send(line("192.0.2.11")).ask()[0].status == 200
    for header in (block(0x20, 0x00, b""), line(BALANCER)):  # its own address has nothing to its account, whoever names it
        with Connection(gate) as connection:
            assert connection.send(header).ask()[0].status == 200


def test_a_reload_changes_who_is_a_balancer(start_gate, world, backend):
    gate = start_gate(settings(world, backend))
    with Connection(gate) as connection:
        assert connection.send(LINE).ask()[1]["peer"] == CLIENT
    assert gate.reload(settings(world, backend, of=["127.0.0.3"]))["event"] == "reloaded"
    with Connection(gate) as connection:
        assert connection.send(LINE).refusal(peer=connection.via)["reason"] == "not_tls"
    with Connection(gate, "127.0.0.3") as connection:
        assert connection.send(LINE).ask()[1]["peer"] == CLIENT


@pytest.mark.parametrize("address,source", [("[::1]:0", "::1"), ("[::]:0", "127.0.0.2")], ids=["ipv6", "ipv4 at [::]"])
def test_a_balancer_is_known_whatever_the_listener_is_bound_to(start_gate, world, backend, address, source):
    gate = start_gate(settings(world, backend, of=["::1", "127.0.0.2"], address=address))
    host, port = gate.address()
    gate.address = lambda name="internal": (source if host == "::1" else "127.0.0.1", port)
    with Connection(gate, source) as connection:
        answer, record = connection.send(b"PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n").ask()
    assert (answer.status, record["peer"], record["via"]) == (200, "[2001:db8::1]:51234", connection.via)


def test_a_block_that_is_none_is_a_mistake_in_the_configuration(world, backend, tmp_path):
    for wrong in ("10.0.0.1/8", "balancer.example", "127.0.0.1:80"):
        file = tmp_path / "sallyport.yaml"
        file.write_text(gates.yaml.safe_dump(settings(world, backend, of=[wrong])))
        done = gates.run("check", "-c", file)
        assert done.returncode == 2 and "proxy_protocol" in done.stdout + done.stderr, done


# ---- a real one ----

@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_says_who_its_client_is(fronted, shared_backend, world, tmp_path, options):
    with haproxy.HAProxy(tmp_path / "haproxy", fronted, options) as balancer:
        sock = balancer.connect()
        peer = fronted.note(sock)
        with raw.context(world, world.clients["billing"]).wrap_socket(sock, server_hostname="billing.internal") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
            assert raw.Reader(tls).response().status == 200
        record = fronted.wait_access(peer=peer)
    assert record["via"].startswith("127.0.0.2:")


def test_haproxys_own_checks_are_probes(start_gate, world, backend, tmp_path):
    gate = start_gate(settings(world, backend))
    with haproxy.HAProxy(tmp_path / "haproxy", gate, "send-proxy-v2 check inter 100ms"):
        event = gate.wait_event("refused", reason="no_data")
        gate.wait_event("refused", since=gate.events.records.index(event) + 1, reason="no_data")
    assert event["via"] == event["peer"] and event["via"].startswith("127.0.0.2:")
    assert {e["reason"] for e in gate.events.records if e.get("event") == "refused"} == {"no_data"}
