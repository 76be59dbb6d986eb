"""What operators have behind their proxies today, nginx and HAProxy, behind this one: nothing that they serve is lost."""

import gzip
import hashlib
import os
import re
import socket

import pytest

from lib import gate as gates
from lib import haproxy, raw
from lib.nginx_server import NginxServer

BIG = 24 * 1024 * 1024
PAGE = b"<html>" + b"a page that shrinks " * 500 + b"</html>\n"

SERVER = """
    keepalive_requests 10000;
    client_body_buffer_size 64k;
    error_page 404 /missing.html;
    location = /count { return 200 "$connection $connection_requests"; }
    location /store/ { dav_methods PUT DELETE; create_full_put_path on; }
    location /zipped/ { alias {folder}/www/; gzip on; gzip_types *; gzip_min_length 100; gzip_proxied any; }
    location /refused { return 403 "not here"; }
    location /broken { return 500; }
    location /small_only { client_max_body_size 10; dav_methods PUT; }
    location /moved { return 301 https://elsewhere.example/there; }
    location /closes { keepalive_timeout 0; return 200 "closed"; }
    location /drops { return 444; }
"""


@pytest.fixture(scope="module")
def big():
    return hashlib.shake_128(b"big").digest(BIG)


@pytest.fixture(scope="module")
def server(tmp_path_factory, big):
    made = NginxServer(tmp_path_factory.mktemp("real") / "nginx", SERVER)
    (made.folder / "www/big.bin").write_bytes(big)
    (made.folder / "www/page.html").write_bytes(PAGE)
    (made.folder / "www/missing.html").write_bytes(b"a page about what is not there\n")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def served(start_module_gate, world, server):
    return start_module_gate(gates.config(world, server.endpoint, workers=1))


@pytest.fixture
def client(served, world):
    with raw.Client(served, world.clients["billing"]) as made:
        yield made


def ask(client, method, path, more=b"", body=b""):
    return client.ask(b"%s %s HTTP/1.1\r\nHost: billing.internal\r\n%s\r\n%s" % (method.encode(), path.encode(), more, body), method)


# ---- what nginx serves ----

def test_nginx_sees_one_connection_for_many_requests(served, world, client):
    seen = [tuple(map(int, client.get("/count").body.split())) for _ in range(50)]
    for _ in range(3):  # whoever the client is
        with raw.Client(served, world.clients["billing"]) as other:
            seen += [tuple(map(int, other.get("/count").body.split())) for _ in range(10)]
    assert len({connection for connection, _ in seen}) == 1
    assert [number for _, number in seen] == list(range(seen[0][1], seen[0][1] + 80))


@pytest.mark.parametrize("framing", ["length", "chunked", "expect"])
def test_a_large_file_goes_up_and_comes_down_as_it_was(client, server, big, framing):
    path = f"/store/{framing}-{os.getpid()}.bin"
    if framing == "chunked":
        client.send(b"PUT %s HTTP/1.1\r\nHost: billing.internal\r\nTransfer-Encoding: chunked\r\n\r\n" % path.encode())
        for at in range(0, BIG, 100_000):
            part = big[at:at + 100_000]
            client.send(b"%x\r\n%s\r\n" % (len(part), part))
        client.send(b"0\r\n\r\n")
        answer = client.response("PUT")
    else:
        client.send(b"PUT %s HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: %d\r\n%s\r\n"
                    % (path.encode(), BIG, b"Expect: 100-continue\r\n" if framing == "expect" else b""))
        if framing == "expect":
            assert client.head().status == 100
        client.send(big)
        answer = client.response("PUT")
    assert answer.status == 201
    assert (server.folder / "www" / path[1:]).read_bytes() == big
    assert client.get(path).body == big
    assert ask(client, "DELETE", path).status == 204
    answer = client.get(path)
    assert answer.status == 404 and answer.body == b"a page about what is not there\n"


def test_who_expects_and_is_refused_need_not_send(client, served):
    answer = ask(client, "PUT", "/small_only", b"Content-Length: 1000000\r\nExpect: 100-continue\r\n")
    assert answer.status == 413 and b"413" in answer.body
    assert "reason" not in served.wait_access(peer=client.peer)


def test_a_body_that_nginx_refuses_half_way_does_not_hide_its_answer(client, big):
    client.send(b"PUT /small_only HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: %d\r\n\r\n" % BIG)
    try:
        for at in range(0, BIG, 65536):
            client.send(big[at:at + 65536])
    except OSError:
        pass
    assert client.response("PUT").status == 413


def test_ranges(client, big):
    answer = client.get("/big.bin", more=b"Range: bytes=1000-1999\r\n")
    assert answer.status == 206 and answer.body == big[1000:2000]
    assert answer.one("Content-Range") == f"bytes 1000-1999/{BIG}"
    answer = client.get("/big.bin", more=b"Range: bytes=-10\r\n")
    assert answer.status == 206 and answer.body == big[-10:]
    answer = client.get("/big.bin", more=b"Range: bytes=0-4,10-14\r\n")
    assert answer.status == 206 and answer.one("Content-Type").startswith("multipart/byteranges")
    assert big[:5] in answer.body and big[10:15] in answer.body
    assert client.get("/big.bin", more=b"Range: bytes=%d-\r\n" % BIG).status == 416


def test_a_page_that_nginx_compresses_comes_as_nginx_made_it(client):
    answer = client.get("/zipped/page.html", more=b"Accept-Encoding: gzip\r\n")
    assert answer.one("Content-Encoding") == "gzip" and answer.one("Transfer-Encoding") == "chunked"
    assert gzip.decompress(answer.body) == PAGE
    answer = client.get("/zipped/page.html")
    assert answer.one("Content-Encoding") is None and answer.body == PAGE


def test_head_and_not_modified_have_no_body_and_keep_the_connection(client, big):
    first = client.get("/page.html")
    for path, length in [("/page.html", len(PAGE)), ("/big.bin", BIG), ("/nowhere", None)]:
        answer = ask(client, "HEAD", path)
        assert answer.status == (200 if length else 404)
        assert length is None or int(answer.one("Content-Length")) == length
    assert ask(client, "HEAD", "/zipped/page.html", b"Accept-Encoding: gzip\r\n").one("Content-Encoding") == "gzip"
    answer = client.get("/page.html", more=b"If-None-Match: %s\r\n" % first.one("ETag").encode())
    assert answer.status == 304 and answer.one("ETag") == first.one("ETag")
    answer = client.get("/page.html", more=b"If-Modified-Since: %s\r\n" % first.one("Last-Modified").encode())
    assert answer.status == 304
    assert client.get("/page.html").body == PAGE


@pytest.mark.parametrize("path,status,body", [
    ("/refused", 403, rb"not here"), ("/broken", 500, rb".*500 Internal Server Error.*nginx.*"),
    ("/nowhere", 404, rb"a page about what is not there\n")])
def test_error_pages_are_nginxs_own(client, served, path, status, body):
    answer = client.get(path)
    assert answer.status == status and re.fullmatch(body, answer.body, re.S)
    record = served.wait_access(peer=client.peer)
    assert record["status"] == status and "reason" not in record
    assert client.get("/page.html").body == PAGE


def test_a_redirect_is_the_clients_to_follow(client):
    answer = client.get("/moved")
    assert answer.status == 301 and answer.one("Location") == "https://elsewhere.example/there"


def test_an_nginx_that_closes_after_each_answer_costs_the_client_nothing(client):
    for _ in range(5):
        answer = client.get("/closes")
        assert answer.status == 200 and answer.body == b"closed" and answer.one("Connection") is None


def test_an_nginx_that_hangs_up_is_told_apart(client, served):
    assert client.get("/drops").status == 502
    assert served.wait_access(peer=client.peer)["reason"] == "backend_closed"
