"""What two connections make of one exchange: ends of bodies, trailers, interim answers, Expect, early answers, and who closes."""

import http.client
import http.server
import socket
import socketserver
import subprocess
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE

H = b"Host: billing.internal\r\n"
POST = b"POST / HTTP/1.1\r\n" + H
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\r\n"


@pytest.fixture
def client(module_gate, world):
    with raw.Client(module_gate, world.clients["billing"]) as made:
        yield made


@pytest.fixture(scope="module")
def passing_gate(start_module_gate, world, module_backend):
    """A gate that passes trailers on, and whose rule edits a few names."""
    settings = gates.config(world, module_backend.endpoint)
    settings["upstreams"]["main"].update(trailers="pass", headers={"X-Team": "{subject.OU}"})
    settings["rules"] = [
        {"name": "keyed", "from": ["billing"], "path": "/keyed", "headers": [{"name": "X-Key"}], "upstream": "main"},
        {"name": "all", "from": ["billing"], "upstream": "main", "request_headers": {"remove": ["X-Debug"]},
         "response_headers": {"remove": ["X-Secret"], "set": {"X-Env": "prod"}}}]
    return start_module_gate(settings)


@pytest.fixture
def passing(passing_gate, world):
    with raw.Client(passing_gate, world.clients["billing"]) as made:
        yield made


# ---- the end of a body ----

@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
                                  CHUNKED + b"5\r\nuntil\r\n8\r\n the end\r\n0\r\n\r\n"], ids=repr)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_each_client_can_tell_where_a_body_ends(client, shared_backend, version, sent):
    shared_backend.answers = [lambda talk, request: talk.send(sent) or False]
    answer = client.ask(b"GET / HTTP/" + version + b"\r\n" + H + b"\r\n")
    assert answer.body == b"until the end"
    if version == b"1.1":
        assert answer.one("Transfer-Encoding") == "chunked" and answer.one("Connection") is None
        assert client.get().status == 200
    else:
        assert answer.one("Transfer-Encoding") is None and answer.one("Connection") == "close"
        client.expect_end()


@pytest.mark.parametrize("sent,kept", [
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", True),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, close\r\n\r\nok", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
])
def test_a_backends_connection_is_kept_only_if_it_is_willing(client, shared_backend, sent, kept):
    shared_backend.answers = [lambda talk, request: talk.send(sent) or True]
    for _ in range(2):
        answer = client.get()
        assert answer.body == b"ok" and answer.one("Connection") is None
    first, second = shared_backend.requests
    assert (first.connection == second.connection) == kept


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n", b"GET / HTTP/1.0\r\n" + H + b"\r\n"], ids=repr)
def test_a_client_that_closes_says_so_for_its_own_connection_alone(module_gate, world, shared_backend, sent):
    for _ in range(2):
        with raw.Client(module_gate, world.clients["billing"]) as client:
            assert client.ask(sent).one("Connection") == "close"
            client.expect_end()
    first, second = shared_backend.requests
    assert first.connection == second.connection and first.one("Connection") is None


@pytest.mark.parametrize("framing,want", [
    (b"Content-Length: 1000\r\n", "1000"), (b"Transfer-Encoding: chunked\r\n", None), (b"", None)])
def test_an_answer_to_head_says_what_a_body_would_be_and_has_none(client, shared_backend, framing, want):
    shared_backend.answers = [b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n"] * 2
    for _ in range(2):
        answer = client.ask(b"HEAD / HTTP/1.1\r\n" + H + b"\r\n", "HEAD")
        assert answer.status == 200 and answer.one("Content-Length") == want
    assert shared_backend.requests[0].connection == shared_backend.requests[1].connection


# ---- trailers ----

def test_trailers_of_a_request_go_on_but_for_what_is_judged_or_said_by_us(passing, shared_backend):
    body = (b"5\r\nhello\r\n0\r\nX-Sum: 12\r\nContent-Digest: sha-256=:a:\r\nX-Client-Rule: admin\r\nClient-Cert: :a:\r\n"
            b"X_Client_Rule: admin\r\nX-Team: x\r\nX_Sum: 1\r\nX.Sum: 1\r\nX-Key: 1\r\nx-debug: 1\r\nX-Hop: 1\r\nX-Forwarded-For: ::1\r\n"
            b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: a\r\nCookie: a\r\nX-Request-Id: 1\r\n"
            b"Content-Type: a\r\n\r\n")
    assert passing.ask(POST + b"Connection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n" + body, "POST").status == 200
    request = shared_backend.wait()
    assert request.body == b"hello"
    assert request.trailers == [("X-Sum", "12"), ("Content-Digest", "sha-256=:a:")]
    assert passing.get().status == 200


def test_trailers_that_come_in_pieces_go_on_whole(passing, shared_backend):
    sent = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 12\r\nY:\r\n\r\n"
    shared_backend.reads_bodies = True
    for at in range(len(sent) - 24, len(sent)):
        passing.send(sent[:at])
        passing.send(sent[at:])
        assert passing.response("POST").status == 200
        assert shared_backend.requests[-1].trailers == [("X-Sum", "12"), ("Y", "")]


@pytest.mark.parametrize("sent", [b"0\r\nX\r\n\r\n", b"0\r\nX: a\r\n b\r\n\r\n", b"0\r\nX: a\x00\r\n\r\n", b"0\r\nX: a\n\r\n",
                                  b"0\r\nX : a\r\n\r\n", b"0\r\n" + b"X: a\r\n" * 33 + b"\r\n", b"0\r\nX: " + b"a" * 9000], ids=lambda s: repr(s[:30]))
def test_malformed_and_endless_trailers_of_a_request_are_400(passing, passing_gate, shared_backend, sent):
    answer = passing.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + sent, "POST")
    assert answer.status == 400
    assert passing_gate.wait_access(peer=passing.peer)["reason"] == "bad_chunk"
    assert shared_backend.requests == []


@pytest.mark.parametrize("te,want", [
    (b"TE: trailers\r\n", [("X-Sum", "12"), ("ETag", '"e"')]), (b"TE: gzip;q=0.1, trailers\r\nConnection: TE\r\n", [("X-Sum", "12"), ("ETag", '"e"')]),
    (b"TE: gzip\r\n", []), (b"", [])])
def test_trailers_of_an_answer_go_to_clients_that_take_them(passing, shared_backend, te, want):
    shared_backend.answers = [
        CHUNKED[:-2] + b"Connection: X-Hop\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 12\r\nX-Secret: 1\r\nX-Env: 1\r\nX-Hop: 1\r\n"
        b"Content-Length: 7\r\nSet-Cookie: a\r\nETag: \"e\"\r\n\r\n"]
    got = []
    answer = passing.ask(b"GET / HTTP/1.1\r\n" + H + te + b"\r\n", trailers=got)
    assert answer.body == b"hello" and answer.one("X-Env") == "prod" and got == want
    request = shared_backend.wait()
    assert request.one("TE") == ("trailers" if want else None)
    assert request.one("Connection") == ("TE" if want else None)
    assert passing.get().status == 200
    assert shared_backend.requests[1].connection == request.connection


def test_trailers_have_no_place_where_the_body_is_not_chunked(passing, shared_backend):
    shared_backend.answers = [CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 12\r\n\r\n"]
    answer = passing.ask(b"GET / HTTP/1.0\r\n" + H + b"TE: trailers\r\n\r\n")
    assert answer.body == b"hello"


def test_trailers_are_dropped_where_nobody_asked_for_them_to_be_passed(client, shared_backend):
    shared_backend.answers = [CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 12\r\n\r\n"]
    answer = client.ask(POST + b"TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 12\r\n\r\n", "POST")
    assert answer.body == b"hello"
    request = shared_backend.wait()
    assert request.trailers == [] and request.one("TE") is None


# ---- interim answers ----

@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_early_hints_go_to_clients_that_know_them(client, shared_backend, version):
    shared_backend.answers = [EARLY + b"HTTP/1.1 102 Processing\r\n\r\n" + EARLY + backends.OK]
    interim = []
    answer = client.ask(b"GET / HTTP/" + version + b"\r\n" + H + b"\r\n", interim=interim)
    assert answer.status == 200 and answer.body == b"ok"
    assert [i.status for i in interim] == ([103, 102, 103] if version == b"1.1" else [])
    for hints in interim[::2]:
        assert hints.fields == [("Link", "</a.css>; rel=preload")]


def test_early_hints_reach_the_client_before_the_answer_is_there(gate, world, backend):
    go = threading.Event()
    backend.answers = [lambda talk, request: talk.send(EARLY) or go.wait(PATIENCE) and talk.send(backends.OK)]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        assert client.head().status == 103
        go.set()
        assert client.response().status == 200


def test_as_many_interim_answers_as_are_taken_reach_a_slow_client_in_order(client, shared_backend):
    """More of them than its connection's buffer holds."""
    numbered = b"".join(b"HTTP/1.1 103 Early Hints\r\nX-N: %d\r\nX-A: %s\r\n\r\n" % (n, b"a" * 12000) for n in range(16))
    shared_backend.answers = [numbered + backends.OK]
    interim = []
    assert client.ask(b"GET / HTTP/1.1\r\n" + H + b"\r\n", interim=interim).status == 200
    assert [i.one("X-N") for i in interim] == [str(n) for n in range(16)]


def test_a_continue_that_nobody_asked_for_is_not_relayed(client, shared_backend):
    shared_backend.answers = [b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + backends.OK]
    interim = []
    assert client.ask(POST + b"Content-Length: 2\r\n\r\nhi", "POST", interim=interim).status == 200
    assert interim == []


# ---- Expect, and answers that come early ----

@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"413 Content Too Large", b"200 OK"])
@pytest.mark.parametrize("framing", [b"Content-Length: 1000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_in_place_of_a_continue_ends_the_clients_connection(gate, world, backend, status, framing):
    """Whether the body still comes, nobody knows."""
    backend.reads_bodies = False
    backend.answers = [b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno"]
    with raw.Client(gate, world.clients["billing"]) as client:
        interim = []
        answer = client.ask(POST + b"Expect: 100-continue\r\n" + framing + b"\r\n", "POST", interim=interim)
        assert answer.status == int(status[:3]) and interim == []
        assert answer.one("Connection") == "close"
        client.expect_end()
    assert backend.wait().one("Expect") == "100-continue"
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
    assert backend.requests[1].connection != backend.requests[0].connection


def test_a_continue_is_relayed_once_with_what_it_says(gate, world, backend):
    def answer(talk, request):
        talk.send(b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        assert talk.take(5) == b"hello"
        talk.send(backends.OK)

    backend.reads_bodies, backend.answers = False, [answer]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        head = client.head()
        assert head.status == 100 and head.one("X-A") == "b"
        client.send(b"hello")
        assert client.head().status == 200


@pytest.mark.parametrize("status", [b"200 OK", b"303 See Other", b"413 Content Too Large"])
def test_an_early_answer_comes_at_once_and_leaves_neither_connection_in_doubt(gate, world, backend, status):
    backend.reads_bodies = False
    backend.answers = [lambda talk, request: talk.send(
        b"HTTP/1.1 " + status + b"\r\nContent-Length: 3\r\n\r\nbig") or talk.more()]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(POST + b"Content-Length: 1000000\r\n\r\nstart")
        answer = client.response("POST")
        assert answer.status == int(status[:3]) and answer.body == b"big" and answer.one("Connection") == "close"
        client.send(b"the rest of it")
        client.expect_end()
        assert gate.wait_access(peer=client.peer)["status"] == int(status[:3])
    backend.reads_bodies = True
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/next").status == 200
    assert backend.requests[-1].line.startswith("GET /next") and backend.requests[-1].connection != 0


def test_a_body_streams_both_ways_at_once(gate, world, backend):
    """An answer that begins before the request has ended, and ends behind it."""
    def echo(talk, request):
        talk.send(CHUNKED)
        while (size := int(talk.through(b"\r\n"), 16)) > 0:
            data = talk.take(size + 2)
            talk.send(b"%x\r\n" % size + data)
        talk.through(b"\r\n")
        talk.send(b"0\r\n\r\n")

    backend.reads_bodies, backend.answers = False, [echo]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two", b"three" * 10000):
            client.send(b"%x\r\n%s\r\n" % (len(word), word))
            if word == b"one":
                assert client.head().status == 200
            got = b""
            while len(got) < len(word):
                size = int(client._line(), 16)
                got += client._exactly(size)
                assert client._line() == b""
            assert got == word
        client.send(b"0\r\n\r\n")
        assert client._line() == b"0" and client._line() == b""


# ---- real peers ----

class Old(http.server.BaseHTTPRequestHandler):
    """As Python has it: HTTP/1.0, a body ends with the connection."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"an old " * 10000)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.send_response(201)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"%010d" % len(self.rfile.read(length)))

    def log_message(self, *_):
        pass


class OldServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@pytest.fixture
def old_backend():
    server = OldServer(("127.0.0.1", 0), Old)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "127.0.0.1:%d" % server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_real_http_1_0_server_serves_as_well(start_gate, world, old_backend):
    gate = start_gate(gates.config(world, old_backend))
    host, port = gate.address()
    client = http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=raw.context(world, world.clients["billing"]))
    client._create_connection = lambda *_: socket.create_connection((host, port), timeout=PATIENCE)
    client.host = "billing.internal"
    for _ in range(3):
        client.request("GET", "/")
        assert client.getresponse().read() == b"an old " * 10000
        client.request("POST", "/", body=b"x" * 300000)
        answer = client.getresponse()
        assert answer.status == 201 and answer.read() == b"0000300000"
    client.close()


def curl(gate, world, *arguments):
    credential = world.clients["billing"]
    host, port = gate.address()
    done = subprocess.run(
        ["curl", "-sS", "-i", "--no-alpn", "--cacert", world.server_ca_file, "--cert", credential.chain_file, "--key", credential.key_file,
         "--resolve", f"billing.internal:{port}:{host}", f"https://billing.internal:{port}/up", *arguments],
        capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(b"y" * 20000000)
    return path


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_gets_hints_trailers_and_a_continue(passing_gate, world, shared_backend, upload, version):
    shared_backend.answers = [EARLY + CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 12\r\n\r\n"]
    said = curl(passing_gate, world, version, "-H", "TE: trailers", "-H", "Expect: 100-continue", "-T", upload)
    assert b"hello" in said
    assert (b"103 Early Hints" in said) == (b"X-Sum: 12" in said) == (version == "--http1.1")
    assert shared_backend.wait().body == b"y" * 20000000


def test_curl_hears_why_its_large_upload_is_not_taken(gate, world, backend, upload):
    backend.reads_bodies = False
    backend.answers = [lambda talk, request: talk.send(
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig") or False]
    assert b"HTTP/1.1 413 " in curl(gate, world, "-H", "Expect:", "-T", upload)
