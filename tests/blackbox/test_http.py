"""HTTP as strict as it must be: what two readers could take differently is answered with an error and never reaches a backend;
what passes, passes byte for byte."""

import signal
import time

import pytest

from lib import gate as gates
from lib import raw

H = b"Host: billing.internal\r\n"


@pytest.fixture
def client(module_gate, world):
    with raw.Client(module_gate, world.clients["billing"]) as made:
        yield made


def get(target=b"/", more=b"", version=b"HTTP/1.1", host=H):
    return b"GET %s %s\r\n%s%s\r\n" % (target, version, host, more)


def post(more, body=b""):
    return b"POST / HTTP/1.1\r\n" + H + more + b"\r\n" + body


# (what is sent, the status, the reason in the log; None where several fit)
REFUSED = [
    # the request line
    (b"GET  / HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b" GET / HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b"GET / HTTP/1.1 \r\n" + H + b"\r\n", 400, None),
    (b"GET /\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b"GET\t/\tHTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b"GET / HTTP/1.1\n" + H + b"\r\n", 400, None),
    (b"G(T / HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505, "http_version"),
    (b"GET / HTTP/1.2\r\n" + H + b"\r\n", 505, "http_version"),
    (b"GET / http/1.1\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b"GET / HTTP/01.1\r\n" + H + b"\r\n", 400, "bad_request_line"),
    (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 405, "unsupported_method"),
    (b"TRACE / HTTP/1.1\r\n" + H + b"\r\n", 405, "unsupported_method"),
    (get(more=b"Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n"), 400, "bad_header"),
    (get(more=b"Max-Forwards: 1\r\nMax-Forwards: 1\r\n"), 400, "bad_header"),
    # header lines
    (get(more=b"X-A : b\r\n"), 400, "bad_header"),
    (get(more=b" X-A: b\r\n"), 400, "bad_header"),
    (get(more=b"X-A: b\r\n c\r\n"), 400, "bad_header"),
    (get(more=b"X-A: b\r\n\tc\r\n"), 400, "bad_header"),
    (get(more=b"X-A: b\n"), 400, "bad_header"),
    (get(more=b"X-A: b\rc\r\n"), 400, "bad_header"),
    (get(more=b"X-A: b\0c\r\n"), 400, "bad_header"),
    (get(more=b"X-A: b\x01c\r\n"), 400, "bad_header"),
    (get(more=b"X-A: b\x7fc\r\n"), 400, "bad_header"),
    (get(more=b"X\0A: b\r\n"), 400, "bad_header"),
    (get(more=b"X\xc3\xa4: b\r\n"), 400, "bad_header"),
    (get(more=b": b\r\n"), 400, "bad_header"),
    (get(more=b"no colon here\r\n"), 400, "bad_header"),
    (get(more=b"X_A: b\r\n"), 400, "bad_header_name"),
    (get(more=b"X.A: b\r\n"), 400, "bad_header_name"),
    (get(more=b"Content_Length: 5\r\n"), 400, "bad_header_name"),
    # Host
    (get(host=b""), 400, "bad_host"),
    (get(host=b"", version=b"HTTP/1.0"), 400, "bad_host"),
    (get(host=H + H), 400, "bad_host"),
    (get(host=H + b"Host: evil.example\r\n"), 400, "bad_host"),
    (get(host=b"Host: \r\n"), 400, "bad_host"),
    (get(host=b"Host: a b\r\n"), 400, "bad_host"),
    (get(host=b"Host: user@billing.internal\r\n"), 400, "bad_host"),
    (get(host=b"Host: billing.internal/x\r\n"), 400, "bad_host"),
    (get(host=b"Host: billing.internal:99999\r\n"), 400, "bad_host"),
    (get(host=b"Host: billing.internal:x\r\n"), 400, "bad_host"),
    (get(host=b"Host: billing.internal, evil.example\r\n"), 400, "bad_host"),
    (get(host=b"Host: [::1\r\n"), 400, "bad_host"),
    (get(b"https://evil.example/", host=H), 400, None),
    # the target
    (get(b"relative"), 400, "bad_target"),
    (get(b"/a b"), 400, "bad_request_line"),
    (get(b"/a#b"), 400, None),
    (get(b"/\xc3\xa4"), 400, None),
    (get(b"/a\x00b"), 400, None),
    (get(b"/a\x7fb"), 400, None),
    (get(b"/a%"), 400, "bad_target"),
    (get(b"/a%2"), 400, "bad_target"),
    (get(b"/a%zz"), 400, "bad_target"),
    (get(b"/a/../b"), 400, "ambiguous_path"),
    (get(b"/.."), 400, "ambiguous_path"),
    (get(b"/a/./b"), 400, "ambiguous_path"),
    (get(b"/a/%2e%2e/b"), 400, "ambiguous_path"),
    (get(b"/a/%2E./b"), 400, "ambiguous_path"),
    (get(b"//a"), 400, "ambiguous_path"),
    (get(b"/a//b"), 400, "ambiguous_path"),
    (get(b"/a%2fb"), 400, "ambiguous_path"),
    (get(b"/a%2Fb"), 400, "ambiguous_path"),
    (get(b"/a%5cb"), 400, "ambiguous_path"),
    (get(b"/a\\b"), 400, "ambiguous_path"),
    (get(b"/a%00b"), 400, "ambiguous_path"),
    (get(b"/a;b"), 400, "ambiguous_path"),
    (get(b"/%61dmin"), 400, "ambiguous_path"),
    (b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400, "bad_target"),
    (get(b"http://billing.internal/"), 421, "misdirected"),
    (get(b"/" + b"a" * 9000), 414, "target_too_long"),
    (get(more=b"X-A: " + b"a" * 17000 + b"\r\n"), 431, "header_too_large"),
    (get(more=b"".join(b"X-%d: a\r\n" % i for i in range(101))), 431, "header_too_large"),
    # framing
    (post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400, "bad_framing"),
    (post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400, "bad_framing"),
    (post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400, "bad_framing"),
    (post(b"Content-Length: 5, 6\r\n", b"hello"), 400, "bad_framing"),
    (post(b"Content-Length: +5\r\n", b"hello"), 400, "bad_framing"),
    (post(b"Content-Length: -5\r\n", b"hello"), 400, "bad_framing"),
    (post(b"Content-Length: 0x5\r\n", b"hello"), 400, "bad_framing"),
    (post(b"Content-Length: 5 5\r\n", b"hello"), 400, "bad_framing"),
    (post(b"Content-Length: \r\n", b"hello"), 400, "bad_framing"),
    (post(b"Content-Length: 99999999999999999999\r\n"), 400, None),
    (post(b"Transfer-Encoding: gzip\r\n"), 501, "unsupported_coding"),
    (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501, "unsupported_coding"),
    (post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), None, None),
    (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), None, None),
    (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), None, None),
    (post(b"Transfer-Encoding: \r\n", b"0\r\n\r\n"), None, None),
    (post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400, None),
    (b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, None),
    (post(b"Expect: something-else\r\nContent-Length: 0\r\n"), None, "bad_expectation"),
    # what Connection may not take away
    (get(more=b"Connection: X-Client-Rule\r\n"), 400, "protected_header"),
    (get(more=b"Connection: close, x-forwarded-for\r\n"), 400, "protected_header"),
    (get(more=b"Connection: Client-Cert\r\n"), 400, "protected_header"),
    (get(more=b"Connection: Host\r\n"), 400, "protected_header"),
    (post(b"Connection: Content-Length\r\nContent-Length: 2\r\n", b"ok"), 400, "protected_header"),
]


@pytest.mark.parametrize("sent,status,reason", REFUSED, ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else "")
def test_a_request_with_two_readings_is_refused_and_reaches_nobody(
        client, module_gate, shared_backend, sent, status, reason):
    since = len(module_gate.accesses.records)
    answer = client.ask(sent, "GET")
    if status is None:
        assert answer.status in (400, 417, 501), answer
    else:
        assert answer.status == status, answer
    assert answer.one("Content-Type").startswith("text/plain")
    record = module_gate.wait_access(since, peer=client.peer)
    assert record["status"] == answer.status
    if reason:
        assert record["reason"] == reason, record
    request_id = answer.one("X-Request-Id")
    assert request_id and record["id"] == request_id
    assert f"request id: {request_id}" in answer.body.decode()
    assert shared_backend.requests == []


@pytest.mark.parametrize("sent,told", [
    (get(b"/a/../b?token=secret"), ("GET", None, "/a/../b")),
    (get(b"https://user:secret@billing.internal//c"), ("GET", None, "//c")),
    (post(b"Content-Length: x\r\n"), ("POST", "billing.internal", "/")),
    (get(b"/v", version=b"HTTP/2.0"), ("GET", None, "/v")),
    (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", ("CONNECT", None, "a.example:443")),
    (get(b"/" + b"a" * 9000), ("GET", None, "/" + "a" * 511 + "...[+7680]")),
    (b"secret=1&more=2 HTTP/1.1\r\n\r\n", (None, None, None)),
], ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "")
def test_the_record_of_a_refused_head_tells_what_was_asked_and_no_secret(client, module_gate, sent, told):
    client.ask(sent)
    record = module_gate.wait_access(peer=client.peer)
    assert (record.get("method"), record.get("host"), record.get("path")) == told
    assert "secret" not in str(record)


def test_a_refused_head_request_is_answered_without_a_body(client, module_gate):
    answer = client.ask(b"HEAD //a HTTP/1.1\r\n" + H + b"\r\n", "HEAD")
    assert answer.status == 400 and int(answer.one("Content-Length")) > 0
    client.expect_end()
    assert module_gate.wait_access(peer=client.peer)["method"] == "HEAD"


BAD_BODIES = [
    b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"g\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n", b"10000000000000000\r\n", b"5\r\nhello\n0\r\n\r\n", b"0\r\nX-Client-Rule : x\r\n\r\n",
    b"0\r\nbroken trailer\r\n\r\n", b"0\r\nX: a\x00b\r\n\r\n", b"5;a\x00b\r\nhello\r\n0\r\n\r\n", b"5;a=\"\nb\"\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"x" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda b: repr(b[:40]))
def test_a_malformed_chunk_never_completes_a_request(client, module_gate, shared_backend, body):
    since = len(module_gate.accesses.records)
    client.send(post(b"Transfer-Encoding: chunked\r\n", body))
    try:
        assert client.response("POST").status == 400
        client.expect_end()
    except (raw.Closed, OSError):
        pass  # the backend had been asked already: then the connection is cut
    record = module_gate.wait_access(since, peer=client.peer)
    assert record["reason"] in ("bad_chunk", "bad_header", "header_too_large"), record
    assert shared_backend.requests == []


# What passes: (the target, and the one that the backend must see)
TARGETS = [
    (b"/", b"/"), (b"/a/b/c", b"/a/b/c"), (b"/a?b=c&d=%2f%00..//;", b"/a?b=c&d=%2f%00..//;"), (b"/a?", b"/a?"),
    (b"/%20%C3%A4", b"/%20%C3%A4"), (b"/a:b@c!$&'()*+,=-._~", b"/a:b@c!$&'()*+,=-._~"), (b"/...", b"/..."),
    (b"/a.", b"/a."), (b"/.well-known/x", b"/.well-known/x"), (b"https://billing.internal/abs?q", b"/abs?q"),
    (b"/" + b"a" * 4000, b"/" + b"a" * 4000),
]


@pytest.mark.parametrize("target,seen", TARGETS, ids=lambda t: repr(t[:40]))
def test_the_path_that_was_judged_is_the_path_that_the_backend_gets(client, shared_backend, target, seen):
    assert client.ask(get(target)).status == 200
    assert shared_backend.wait().head.split(b"\r\n")[0] == b"GET " + seen + b" HTTP/1.1"


def test_options_of_the_server_itself_passes(client, shared_backend):
    assert client.ask(b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", "OPTIONS").status == 200
    assert shared_backend.wait().line == "OPTIONS * HTTP/1.1"


def test_headers_pass_byte_for_byte_in_their_order_and_hop_by_hop_ones_do_not(client, shared_backend):
    more = (b"X-One: a,  b\r\nx-ONE: \xc3\xa4\"quoted\"\r\nCookie: a=b; c=d\r\nX-Empty:\r\nX-Tab: a\tb\r\n"
            b"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
            b"Proxy-Connection: x\r\nProxy-Authorization: Basic x\r\nUpgrade: websocket\r\n"
            b"Authorization: Bearer t\r\n")
    assert client.ask(get(more=more)).status == 200
    request = shared_backend.wait()
    passed = [line for line in request.head.split(b"\r\n") if line.lower().startswith((b"x-one", b"cookie", b"x-empty",
                                                                                      b"x-tab", b"authorization"))]
    assert [line.replace(b": ", b":", 1) for line in passed] == [
        b"X-One:a,  b", b"x-ONE:\xc3\xa4\"quoted\"", b"Cookie:a=b; c=d", b"X-Empty:", b"X-Tab:a\tb",
        b"Authorization:Bearer t"]
    gone = {"x-mine", "keep-alive", "te", "proxy-connection", "proxy-authorization", "upgrade", "http2-settings",
            "trailer", "transfer-encoding"}
    assert not gone & set(request.names()), request.fields
    assert request.one("Host") == "billing.internal"


def test_a_chunked_body_arrives_whole_without_its_extensions_and_trailers(client, shared_backend):
    body = b"5;ext=1\r\nhello\r\n6 ; x=\"y\"\r\n world\r\n0\r\nX-Client-Rule: admin\r\nX-Trailer: 1\r\n\r\n"
    answer = client.ask(post(b"Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n",
                             body.replace(b"6 ; x", b"6;x")), "POST")
    assert answer.status == 200
    request = shared_backend.wait()
    assert request.body == b"hello world"
    assert b"admin" not in request.head and "x-trailer" not in request.names()


def test_equal_content_lengths_are_refused_like_differing_ones(client, shared_backend):
    assert client.ask(post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), "POST").status == 400
    assert shared_backend.requests == []


def test_a_request_in_pieces_of_one_byte_is_the_same_request(client, shared_backend):
    for byte in post(b"Content-Length: 5\r\n", b"hello"):
        client.send(bytes([byte]))
    assert client.response("POST").status == 200
    assert shared_backend.wait().body == b"hello"


def test_pipelined_requests_are_answered_in_order(client, shared_backend):
    shared_backend.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % i for i in range(5)]
    client.send(get(b"/1") + get(b"/2") + post(b"Content-Length: 3\r\n", b"abc") + get(b"/4") + get(b"/5"))
    assert [client.response().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert [r.line.split()[1] for r in shared_backend.requests] == ["/1", "/2", "/", "/4", "/5"]


def test_what_follows_a_refused_request_is_never_taken_for_a_request(client, module_gate, shared_backend):
    client.send(post(b"Content-Length: 44\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + get(b"/smuggled"))
    assert client.response().status == 400
    client.expect_end()
    assert shared_backend.requests == []


@pytest.mark.parametrize("version,more,stays", [
    (b"HTTP/1.1", b"", True), (b"HTTP/1.1", b"Connection: close\r\n", False), (b"HTTP/1.0", b"", False),
    (b"HTTP/1.0", b"Connection: keep-alive\r\n", None)])
def test_a_connection_stays_open_as_the_client_wishes(client, shared_backend, version, more, stays):
    answer = client.ask(get(version=version, more=more))
    assert answer.status == 200
    says_close = (answer.one("Connection") or "").lower() == "close"
    if stays:
        assert not says_close and client.get().status == 200
    elif stays is False:
        assert says_close
        client.expect_end()


def test_head_has_the_length_of_get_and_no_body(client, shared_backend):
    shared_backend.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n"]
    answer = client.ask(b"HEAD / HTTP/1.1\r\n" + H + b"\r\n", "HEAD")
    assert answer.status == 200 and answer.one("Content-Length") == "4711"
    assert client.get().status == 200


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_have_none(client, shared_backend, status):
    shared_backend.answers = [b"HTTP/1.1 %d X\r\nETag: \"a\"\r\n\r\n" % status]
    answer = client.get()
    assert answer.status == status and answer.one("ETag") == '"a"'
    assert client.get().status == 200


def test_a_refusal_leaves_the_connection_usable_when_the_request_was_clear(module_gate, world, shared_backend):
    with raw.Client(module_gate, world.clients["auditor"]) as client:
        assert client.get("/none").status == 403
        assert client.get("/v1/invoices/7").status == 200
        answer = client.ask(b"HEAD /none HTTP/1.1\r\n" + H + b"\r\n", "HEAD")
        assert answer.status == 403 and answer.body == b""
        assert client.get("/v1/invoices/8").status == 200


def test_the_rule_decides_by_caller_host_path_and_method(module_gate, world, shared_backend):
    cases = [
        ("auditor", "GET", "billing.internal", "/v1/invoices/7", 200),
        ("auditor", "GET", "BILLING.internal:8443", "/v1/invoices/7", 200),
        ("auditor", "HEAD", "billing.internal", "/v1/invoices/7", 403),
        ("auditor", "POST", "billing.internal", "/v1/invoices/7", 403),
        ("auditor", "GET", "billing.internal", "/v1/invoices", 403),
        ("auditor", "GET", "billing.internal", "/V1/invoices/7", 403),
        ("stranger_here", "GET", "billing.internal", "/v1/invoices/7", 403),
        ("billing", "DELETE", "billing.internal", "/anything", 200),
    ]
    for who, method, host, path, status in cases:
        with raw.Client(module_gate, world.clients[who]) as client:
            answer = client.ask(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), method)
            record = module_gate.wait_access(peer=client.peer)
            assert answer.status == status, (who, method, host, path)
            assert record.get("reason") == (None if status == 200 else "no_rule")


def test_a_host_that_no_rule_names_is_refused_whatever_the_handshake_was_for(module_gate, world, shared_backend):
    with raw.Client(module_gate, world.clients["auditor"]) as client:
        assert client.get("/v1/invoices/7", host="evil.example").status == 403
    assert shared_backend.requests == []


def test_a_body_over_the_limit_is_413(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, limits={"body_bytes": "1KiB"}))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.ask(post(b"Content-Length: 1024\r\n", b"x" * 1024), "POST").status == 200
        assert client.ask(post(b"Content-Length: 1025\r\n"), "POST").status == 413
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(post(b"Transfer-Encoding: chunked\r\n", b"401\r\n" + b"x" * 1025 + b"\r\n0\r\n\r\n"))
        try:
            assert client.response("POST").status == 413
        except (raw.Closed, OSError):
            pass
        assert gate.wait_access(peer=client.peer)["reason"] == "body_too_large"
    assert len(backend.requests) == 1


@pytest.mark.parametrize("sent", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: bill", b"\r\n"])
def test_a_head_that_does_not_come_whole_in_time_is_408(start_gate, world, backend, sent):
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, timeouts={"header": "200ms"})]))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(sent)
        assert client.response().status == 408
        client.expect_end()
        assert gate.wait_access(peer=client.peer)["reason"] == "request_timeout"


def test_a_body_that_stops_coming_is_408(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, timeouts={"body": "200ms"})]))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(post(b"Content-Length: 10\r\n", b"half"))
        try:
            assert client.response("POST").status == 408
        except (raw.Closed, OSError):
            pass
        assert gate.wait_access(peer=client.peer)["reason"] == "request_timeout"


@pytest.mark.parametrize("request_of_it, wait, at", [
    (post(b"Content-Length: 10\r\n", b"ten bytes."), "body", -5),
    (get(), "header", 10),
], ids=["body", "header"])
def test_nobody_is_blamed_for_the_time_that_the_gate_stood_still(start_gate, world, backend, request_of_it, wait, at):
    """What it waited for came in time; the gate finds it together with the end of that time."""
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, timeouts={wait: "3s"})]))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        client.send(request_of_it[:at])
        gate.wait_metric("sallyport_requests_in_flight", lambda now: now == (wait == "body"))
        gate.signal(signal.SIGSTOP)
        client.send(request_of_it[at:])
        time.sleep(3.3)
        gate.signal(signal.SIGCONT)
        assert client.response("POST").status == 200


def test_an_idle_connection_is_closed_in_silence(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, timeouts={"idle": "200ms"})]))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        client.expect_end()
    assert len(gate.accesses.records) == 1
