"""Requests to real backends and back: whole, streamed, and with every way in which either side can go away."""

import hashlib
import socket
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import nginx as nginxes
from lib import raw
from lib.patience import until

H = b"Host: billing.internal\r\n"
MIB = 1024 * 1024
# How much the gate may grow while a body many times as large goes through. Sanitizers keep freed memory for a while.
GROWTH_KIB = 24 * 1024


@pytest.fixture(scope="module")
def nginx_gate(start_module_gate, world, nginx):
    return start_module_gate(gates.config(world, nginx.endpoint))


@pytest.fixture
def client(nginx_gate, world):
    with raw.Client(nginx_gate, world.clients["billing"]) as made:
        yield made


def md5_of_body(client, request):
    """Asks and hashes the body as it comes, without keeping it; for Content-Length and chunked answers."""
    client.send(request)
    head, digest = client.head(), hashlib.md5()
    assert head.status == 200
    if head.one("Transfer-Encoding") == "chunked":
        while size := int(client._line(), 16):
            digest.update(client._exactly(size))
            client._line()
        client._line()
    else:
        left = int(head.one("Content-Length"))
        while left:
            part = client._exactly(min(left, 65536))
            digest.update(part)
            left -= len(part)
    return head, digest.hexdigest()


# ---- nginx ----

def test_nginx_learns_who_is_calling(client):
    answer = client.get("/headers?q=1")
    assert answer.body.decode() == ("rule=billing-all\nuris=spiffe://corp.example/ns/billing/sa/batch\n"
                                    "host=billing.internal\nuri=/headers?q=1\n")


def test_many_requests_use_few_connections_to_the_backend(nginx_gate, client):
    before = nginx_gate.metrics()
    for _ in range(50):
        assert client.get("/small.txt").body == b"a small file\n"
    after = nginx_gate.metrics()
    assert after["sallyport_upstream_connects_total"] - before["sallyport_upstream_connects_total"] <= 2
    assert after["sallyport_upstream_reuses_total"] - before["sallyport_upstream_reuses_total"] >= 48


def test_a_unix_socket_serves_as_well(start_gate, world, nginx):
    gate = start_gate(gates.config(world, nginx.unix_endpoint))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/small.txt").body == b"a small file\n"
        assert gate.wait_access(peer=client.peer)["endpoint"] == nginx.unix_endpoint


@pytest.mark.parametrize("path,method,status", [
    ("/small.txt", "HEAD", 200), ("/empty", "GET", 204), ("/moved", "GET", 302), ("/absent", "GET", 404)])
def test_plain_answers_come_as_they_are(client, path, method, status):
    for _ in range(2):
        answer = client.ask(f"{method} {path} HTTP/1.1\r\nHost: billing.internal\r\n\r\n".encode(), method)
        assert answer.status == status
    if path == "/moved":
        assert answer.one("Location").endswith("/elsewhere")


def test_not_modified_is_relayed_without_a_body(client):
    etag = client.get("/small.txt").one("ETag")
    answer = client.get("/small.txt", more=f"If-None-Match: {etag}\r\n".encode())
    assert answer.status == 304 and answer.one("ETag") == etag
    assert client.get("/small.txt").status == 200


def test_a_range_is_relayed(client):
    answer = client.get("/small.txt", more=b"Range: bytes=2-6\r\n")
    assert answer.status == 206 and answer.body == b"small"


@pytest.mark.parametrize("path", ["/big.bin", "/chunked"])
def test_a_large_download_arrives_whole_and_needs_no_memory(nginx_gate, client, nginx, path):
    client.get("/small.txt")
    before = nginx_gate.memory_kib("VmHWM")
    head, digest = md5_of_body(client, b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), H))
    assert digest == nginx.big
    assert (head.one("Transfer-Encoding") == "chunked") == (path == "/chunked")
    assert nginx_gate.memory_kib("VmHWM") - before < GROWTH_KIB
    assert client.get("/small.txt").status == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_upload_arrives_whole_and_needs_no_memory(nginx_gate, client, nginx, chunked):
    client.get("/small.txt")
    before = nginx_gate.memory_kib("VmHWM")
    name = f"upload-{chunked}.bin"
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % nginxes.BIG
    client.send(b"PUT /store/%s HTTP/1.1\r\n%s%s\r\n" % (name.encode(), H, framing))
    with open(nginx.folder / "www/big.bin", "rb") as file:
        while block := file.read(50000):
            client.send(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
    if chunked:
        client.send(b"0\r\n\r\n")
    assert client.response("PUT").status in (201, 204)
    with open(nginx.folder / "www/store" / name, "rb") as file:
        assert hashlib.file_digest(file, "md5").hexdigest() == nginx.big
    assert nginx_gate.memory_kib("VmHWM") - before < GROWTH_KIB
    assert client.get("/small.txt").status == 200


def test_a_client_that_reads_slowly_holds_up_its_backend_and_nobody_else(nginx_gate, world, client, nginx):
    before = nginx_gate.memory_kib("VmHWM")
    with raw.Client(nginx_gate, world.clients["billing"]) as slow:
        slow.send(b"GET /big.bin HTTP/1.1\r\n" + H + b"\r\n")
        assert slow.head().status == 200
        for _ in range(20):
            assert client.get("/small.txt").status == 200
        assert nginx_gate.memory_kib("VmHWM") - before < GROWTH_KIB
        digest = hashlib.md5()
        for _ in range(nginxes.BIG // 65536):
            digest.update(slow._exactly(65536))
    assert digest.hexdigest() == nginx.big


def test_a_backend_that_closes_its_kept_connections_costs_no_request(start_gate, world, tmp_path):
    folder = tmp_path / "nginx"
    folder.mkdir()
    backend = nginxes.Nginx(folder, keepalive_requests=3)
    try:
        gate = start_gate(gates.config(world, backend.endpoint))
        with raw.Client(gate, world.clients["billing"]) as client:
            for _ in range(40):
                assert client.get("/small.txt").status == 200
    finally:
        backend.stop()


def test_a_backend_that_was_killed_and_comes_back_is_used_again(start_gate, world, tmp_path):
    path = tmp_path / "b.sock"
    backend = backends.RecordingBackend(path)
    gate = start_gate(gates.config(world, backend.endpoint))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        backend.close()
        assert client.get().status in (502, 503)
        record = gate.accesses.wait(lambda e: e["status"] != 200, "the failed request")
        assert record["reason"] in ("no_endpoint", "backend_closed"), record
        path.unlink()
        again = backends.RecordingBackend(path)
        try:
            assert client.get().status == 200
        finally:
            again.close()


# ---- a backend that does as the test says ----

def test_a_continue_is_asked_for_and_relayed(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"POST / HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response("POST").status == 200
    assert backend.wait().body == b"hello"


def test_a_refused_request_is_not_continued(gate, world, backend):
    with raw.Client(gate, world.clients["stranger_here"]) as client:
        interim = []
        answer = client.ask(b"POST / HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "POST",
                            interim=interim)
        assert answer.status == 403 and interim == []
    assert backend.requests == []


def test_a_body_is_passed_on_while_it_comes(gate, world, backend):
    backend.reads_bodies = False
    halves = []

    def answer(talk, request):
        halves.append(talk.take(5))
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        halves.append(talk.take(5))
        talk.send(b"later")

    backend.answers = [answer]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 10\r\n\r\nhello")
        assert client.head().status == 200
        assert client._exactly(5) == b"first"
        client.send(b"world")
        assert client._exactly(5) == b"later"
    assert halves == [b"hello", b"world"]


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"])
def test_a_body_that_ends_with_the_connection_is_relayed_whole(gate, world, backend, sent):
    backend.answers = [lambda talk, request: talk.send(sent) or False]
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().body == b"until the end"
        assert client.get().status == 200


def test_interim_answers_do_not_confuse_the_final_one(gate, world, backend):
    backend.answers = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + backends.OK]
    with raw.Client(gate, world.clients["billing"]) as client:
        interim = []
        answer = client.ask(b"GET / HTTP/1.1\r\n" + H + b"\r\n", interim=interim)
        assert answer.status == 200 and answer.body == b"ok"
        assert all(a.status == 103 for a in interim)


def test_hop_by_hop_fields_of_the_backend_stay_on_its_side(gate, world, backend):
    backend.answers = [b"HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nX-Yours: 2\r\n"
                       b"Proxy-Authenticate: Basic\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"]
    with raw.Client(gate, world.clients["billing"]) as client:
        answer = client.get()
    names = [name.lower() for name, _ in answer.fields]
    assert not {"x-mine", "keep-alive", "proxy-authenticate"} & set(names)
    assert answer.one("X-Yours") == "2" and answer.all("Set-Cookie") == ["a=1", "b=2"]


def test_bytes_after_an_answer_are_not_the_next_answer(gate, world, backend):
    backend.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"]
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().body == b"ok"
        assert client.get().body == b"ok"
    assert backend.requests[0].connection != backend.requests[1].connection


def test_a_backend_killed_in_the_middle_of_an_answer_cuts_that_answer_alone(gate, world, backend):
    def answer(talk, request):
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome")
        talk.reset()
        return False

    backend.answers = [answer]
    with raw.Client(gate, world.clients["billing"]) as hit, raw.Client(gate, world.clients["billing"]) as other:
        hit.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        with pytest.raises((raw.Closed, OSError)):
            hit.response()
        assert other.get().status == 200
        assert gate.wait_access(peer=hit.peer)["reason"] == "backend_closed"


def test_a_kept_connection_that_turns_out_closed_costs_no_safe_request(gate, world, backend):
    backend.answers = [lambda talk, request: talk.send(backends.OK) or False]  # closed without having said so
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/1").status == 200
        assert client.get("/2").status == 200
    assert [r.line.split()[1] for r in backend.requests] == ["/1", "/2"]
    numbers = gate.metrics()  # found closed before, or only when it was written to
    assert numbers["sallyport_upstream_connects_total"] == 2
    assert numbers["sallyport_upstream_reuses_total"] == numbers['sallyport_upstream_retries_total{cause="stale"}'] <= 1


def test_a_backend_that_takes_no_connection_is_502_or_503(start_gate, world):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gate = start_gate(gates.config(world, "127.0.0.1:%d" % unused.getsockname()[1]))
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get().status in (502, 503)
            record = gate.wait_access(peer=client.peer)
            assert record["reason"] == "no_endpoint" and "response_ms" not in record
        assert gate.metrics()["sallyport_upstream_connect_failures_total"] >= 1


def test_an_endpoint_that_is_down_is_passed_over(start_gate, world, backend):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gate = start_gate(gates.config(world, "127.0.0.1:%d" % unused.getsockname()[1], backend.endpoint))
        with raw.Client(gate, world.clients["billing"]) as client:
            for _ in range(6):
                assert client.get().status == 200


def test_endpoints_take_turns(start_gate, world, backend):
    second = backends.RecordingBackend()
    try:
        gate = start_gate(gates.config(world, backend.endpoint, second.endpoint, workers=1))
        with raw.Client(gate, world.clients["billing"]) as client:
            for _ in range(10):
                assert client.get().status == 200
        assert len(backend.requests) == len(second.requests) == 5
    finally:
        second.close()


def test_a_backend_that_does_not_answer_in_time_is_504(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, upstreams={
        "main": {"endpoints": [backend.endpoint], "timeouts": {"response": "200ms"}}}))
    backend.answers = [lambda talk, request: talk.more() and False]
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 504
        assert gate.wait_access(peer=client.peer)["reason"] == "response_timeout"
        assert client.get().status == 200


def test_a_client_gone_in_the_middle_of_its_upload_is_noted_and_its_backend_let_go(gate, world, backend):
    backend.reads_bodies = False
    gone = threading.Event()

    def answer(talk, request):
        try:
            while talk.more():
                pass
        except OSError:
            pass
        gone.set()
        return False

    backend.answers = [answer]
    client = raw.Client(gate, world.clients["billing"])
    client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1000000\r\n\r\nstart")
    backend.wait()
    client.reset()
    record = gate.wait_access(peer=client.peer)
    assert record["reason"] == "client_gone", record
    until(gone.is_set, "the backend's connection to end")


def test_a_client_gone_while_its_answer_comes_is_noted_and_its_backend_let_go(gate, world, backend):
    gone = threading.Event()

    def answer(talk, request):
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                talk.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            gone.set()
        return False

    backend.answers = [answer]
    client = raw.Client(gate, world.clients["billing"])
    client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    assert client.head().status == 200
    client.reset()
    assert gate.wait_access(peer=client.peer)["reason"] == "client_gone"
    until(gone.is_set, "the backend's connection to end")


def test_an_answer_before_the_whole_request_reaches_the_client(gate, world, backend):
    backend.reads_bodies = False
    backend.answers = [lambda talk, request: talk.send(
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig") or False]
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1000000\r\n\r\nstart")
        answer = client.response("POST")
        assert answer.status == 413 and answer.body == b"big"


def test_many_clients_at_once_each_get_their_own_answer(gate, world, backend):
    def echo(talk, request):
        body = request.line.split()[1].encode()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    backend.default = echo
    wrong = []

    def ask(number):
        with raw.Client(gate, world.clients["billing"]) as client:
            for i in range(20):
                path = f"/{number}/{i}"
                answer = client.get(path)
                if answer.body.decode() != path:
                    wrong.append((path, answer))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(backend.requests) == 240
