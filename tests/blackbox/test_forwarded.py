"""Where a request came from, as backends are told: X-Forwarded-*, Forwarded, Via and traceparent. Nobody but the gate, and a proxy
that is trusted with it, says any of it."""

import re
import socket

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE

NAMES = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri",
         "X-Forwarded-Method", "X-Forwarded-Server", "X-Real-IP", "Forwarded"]
ALL = ["x_forwarded", "forwarded", "via"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def settings(world, endpoint, told=None, proxies=None, **changes):
    upstream = {"endpoints": [endpoint], "identity_headers": []}
    if told is not None:
        upstream["forwarding_headers"] = told
    more = {"trusted_proxies": proxies} if proxies else {}
    return gates.config(
        world, endpoint, callers={"everybody": [{"any": "authenticated"}], "edge": [{"uri": "spiffe://corp.example/ns/billing/sa/batch"}]},
        rules=[{"name": "all", "from": ["everybody"], "upstream": "main"}], upstreams={"main": upstream}, **more, **changes)


def visit(gate, backend, credential, more=b"", answers=()):
    """What the backend was sent, without what the client said on purpose: Host and the request's own id."""
    backend.forget()
    backend.answers = list(answers)
    with raw.Client(gate, credential) as client:
        answer = client.get(more=more)
        assert answer.status == 200, answer
        record = gate.wait_access(peer=client.peer)
    request = backend.wait()
    fields = [(name, value) for name, value in request.fields if name.lower() not in ("x-request-id", "host")]
    return fields, request, record, gate.address()[1], answer


def ours(peer, port, told):
    source, _, source_port = peer.rpartition(":")
    lines = []
    if "x_forwarded" in told:
        lines += [("X-Forwarded-For", source), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "billing.internal"),
                  ("X-Forwarded-Port", str(port))]
    if "forwarded" in told:
        lines += [("Forwarded", f'for="{source}:{source_port}";proto=https;host=billing.internal;by=_sallyport')]
    if "via" in told:
        lines += [("Via", "1.1 sallyport")]
    return lines


def spoofs():
    """Each name as it is, in another case, and in the spellings that some backends read as the same."""
    made = []
    for name in NAMES:
        made += [name, name.upper(), name.replace("-", "!"), name.replace("-", "+").lower()]
    return "".join(f"{name}: 6.6.6.6\r\n" for name in made).encode()


@pytest.mark.parametrize("told", [None, [], ["x_forwarded"], ["forwarded"], ["via"], ALL])
def test_a_backend_is_told_what_it_asked_for_and_nothing_of_what_the_client_says(start_gate, world, backend, told):
    gate = start_gate(settings(world, backend.endpoint, told))
    said = ["x_forwarded", "via"] if told is None else told
    for more in (b"", spoofs()):
        got, request, record, port, _ = visit(gate, backend, world.clients["auditor"], more)
        assert got == ours(record["peer"], port, said)
        assert b"6.6.6.6" not in request.head


@pytest.mark.parametrize("name", NAMES + ["x-forwarded-FOR", "Via"])
def test_connection_cannot_take_it_away(start_gate, world, backend, name):
    gate = start_gate(settings(world, backend.endpoint, ALL))
    with raw.Client(gate, world.clients["auditor"]) as client:
        answer = client.get(more=f"Connection: {name}\r\n".encode())
        assert answer.status == 400
        assert gate.wait_access(peer=client.peer)["reason"] == "protected_header"
    assert backend.requests == []


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x.forwarded.for", "X-Forwarded_For"])
def test_a_name_that_backends_read_otherwise_is_refused(start_gate, world, backend, name):
    gate = start_gate(settings(world, backend.endpoint, ALL))
    with raw.Client(gate, world.clients["auditor"]) as client:
        assert client.get(more=f"{name}: 6.6.6.6\r\n".encode()).status == 400
    assert backend.requests == []


def test_a_trusted_proxy_is_continued_and_nobody_else_is(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, ALL, [{"from": ["edge"], "identity_headers": ["rfc9440"]}]))
    more = (b"X-Forwarded-For: 192.0.2.9\r\nx-forwarded-for: 2001:db8::9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: www.example\r\n"
            b"X-Forwarded-Port: 80\r\nForwarded: for=\"[2001:db8::9]\"\r\nVia: 1.0 edge\r\nX-Real-IP: 6.6.6.6\r\n")
    got, _, record, _, _ = visit(gate, backend, world.clients["billing"], more)
    source = record["peer"].rpartition(":")[0]
    assert got == [
        ("Via", "1.0 edge"), ("X-Forwarded-For", f"192.0.2.9, 2001:db8::9, {source}"), ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "www.example"), ("X-Forwarded-Port", "80"),
        ("Forwarded", f'for="[2001:db8::9]", for="{record["peer"]}";proto=https;host=billing.internal;by=_sallyport'),
        ("Via", "1.1 sallyport")]
    got, _, record, port, _ = visit(gate, backend, world.clients["auditor"], more)
    assert got == [("Via", "1.0 edge"), *ours(record["peer"], port, ALL)]


def test_what_of_a_proxys_words_is_malformed_is_replaced(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, ALL, [{"from": ["edge"], "identity_headers": ["rfc9440"]}]))
    more = (b"X-Forwarded-For: 192.0.2.9, evil\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/b\r\nX-Forwarded-Port: 0\r\n"
            b"Forwarded: for=\"192.0.2.9\r\nVia: junk\r\nX-Forwarded-Prefix: //evil.example\r\n")
    got, _, record, port, _ = visit(gate, backend, world.clients["billing"], more)
    assert got == ours(record["peer"], port, ALL)


def test_a_proxy_may_be_trusted_with_identities_alone(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, ALL, [
        {"from": ["edge"], "identity_headers": ["rfc9440"], "forwarded": "replace"}]))
    got, _, record, port, _ = visit(gate, backend, world.clients["billing"], b"X-Forwarded-For: 192.0.2.9\r\nForwarded: for=a\r\n")
    assert got == ours(record["peer"], port, ALL)


def test_a_client_of_a_unix_socket_is_unknown(start_gate, world, backend, tmp_path):
    gate = start_gate(settings(world, backend.endpoint, ALL, listeners=[gates.listener(world, address=f"unix:{tmp_path}/s")]))
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(PATIENCE)
        plain.connect(gate.address())
        with raw.context(world, world.clients["auditor"]).wrap_socket(plain, server_hostname="billing.internal") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
            assert raw.Reader(tls).response().status == 200
    request = backend.wait()
    assert [request.one("X-Forwarded-For"), request.one("X-Forwarded-Port")] == ["unknown", None]
    assert request.one("Forwarded") == "for=unknown;proto=https;host=billing.internal;by=_sallyport"


def test_an_answer_tells_by_which_way_it_came_and_its_id(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint))
    inner = b"HTTP/1.1 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 2\r\n\r\nok"
    _, request, record, _, answer = visit(gate, backend, world.clients["auditor"], answers=[inner])
    assert answer.all("Via") == ["1.1 inner", "1.1 sallyport"]
    assert answer.one("X-Request-Id") == request.one("X-Request-Id") == record["id"]
    own = b"HTTP/1.1 200 OK\r\nX-Request-Id: its-own\r\nContent-Length: 2\r\n\r\nok"
    assert visit(gate, backend, world.clients["auditor"], answers=[own])[4].all("X-Request-Id") == ["its-own"]


def test_a_request_that_goes_round_is_stopped(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint))
    with raw.Client(gate, world.clients["auditor"]) as client:
        assert client.get(more=b"Via: " + b", ".join([b"1.1 sallyport"] * 15) + b"\r\n").status == 200
        assert client.get(more=b"Via: 1.1 sallyport\r\n" * 16).status == 508
        assert gate.wait_access(peer=client.peer, status=508)["reason"] == "request_loop"
    assert len(backend.requests) == 1


def test_a_gate_that_is_its_own_backend_ends_with_508(start_gate, world, backend):
    """By way of a plain hop in between, which a real loop has as well: it is a backend that passes the request on to the gate."""
    gate = start_gate(settings(world, backend.endpoint))

    def again(talk, request):
        with raw.Client(gate, world.clients["auditor"]) as inner:
            inner.tls.sendall(request.head + b"\r\n" if not request.head.endswith(b"\r\n\r\n") else request.head)
            answer = inner.response()
        talk.send(b"HTTP/1.1 %d Loop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % answer.status)
        return False

    backend.default = again
    with raw.Client(gate, world.clients["auditor"]) as client:
        try:
            assert client.get().status == 508
        except socket.timeout:  # a loop without an end
            pytest.fail("the request still goes round")
    assert len(backend.requests) == 16


# ---- the trace -----------------------------------------------------------------------------------------------------------

def test_a_trace_goes_on_as_it_came_and_is_logged(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, []))
    got, _, record, _, _ = visit(gate, backend, world.clients["auditor"], f"traceparent: {PARENT}\r\ntracestate: a=1,b=2\r\n".encode())
    assert got == [("traceparent", PARENT), ("tracestate", "a=1,b=2")]
    assert record["trace"] == TRACE
    got, _, record, _, _ = visit(gate, backend, world.clients["auditor"])
    assert got == [] and "trace" not in record


@pytest.mark.parametrize("said", [
    "", "x", PARENT.upper(), PARENT + "-x", PARENT.replace("00-", "ff-", 1), f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01",
    PARENT + "\r\ntraceparent: " + PARENT])
def test_a_broken_trace_is_begun_anew(start_gate, world, backend, said):
    gate = start_gate(settings(world, backend.endpoint, []))
    seen = set()
    for _ in range(2):
        got, _, record, _, _ = visit(gate, backend, world.clients["auditor"], f"traceparent: {said}\r\ntracestate: a=1\r\n".encode())
        (name, value), = got
        match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", value)
        assert name == "traceparent" and match and match[1] == record["trace"] != TRACE
        seen.add(match[1])
    assert len(seen) == 2


# ---- what may go no further ----------------------------------------------------------------------------------------------

def options(gate, credential, fields, path="/x"):
    with raw.Client(gate, credential) as client:
        return client.ask(f"OPTIONS {path} HTTP/1.1\r\nHost: billing.internal\r\n{fields}\r\n".encode(), method="OPTIONS")


def test_max_forwards_ends_here_or_counts_down(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint))
    for path in ("/x", "*"):
        answer = options(gate, world.clients["auditor"], "Max-Forwards: 0\r\n", path)
        assert answer.status == 200
    assert backend.requests == []
    assert options(gate, world.clients["auditor"], "Max-Forwards: 1\r\n").status == 200
    assert backend.wait().one("Max-Forwards") == "0"


def test_who_may_not_ask_learns_nothing_by_max_forwards(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint))
    assert options(gate, world.clients["stranger_here"], "Max-Forwards: 0\r\n").status == 403
