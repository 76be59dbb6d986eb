"""What operators have behind their proxies today, nginx and HAProxy, behind this one: nothing that they serve is lost."""

import contextlib
import gzip
import hashlib
import json
import os
import re
import signal

import pytest

from lib import gate as gates
from lib import haproxy, raw
from lib.dns import SRV, A, Dns
from lib.load import Load
from lib.nginx_server import NginxServer, nginx_version
from lib.patience import until
from lib.tls_backend import Backends

BIG = 24 * 1024 * 1024
PAGE = b"<html>" + b"a page that shrinks " * 500 + b"</html>\n"

SERVER = """
    keepalive_requests 10000;
    client_body_buffer_size 64k;
    error_page 404 /missing.html;
    location = /count { return 200 "$connection $connection_requests"; }
    location /store/ { dav_methods PUT DELETE; create_full_put_path on; }
    location /zipped/ { alias {folder}/www/; gzip on; gzip_types *; gzip_min_length 100; gzip_proxied any; }
    location /endless/ { alias {folder}/www/; gzip on; gzip_types *; gzip_min_length 100; gzip_proxied any; chunked_transfer_encoding off; }
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


def test_an_answer_that_only_its_end_delimits_comes_whole(client, served):
    for _ in range(2):
        answer = client.get("/endless/page.html", more=b"Accept-Encoding: gzip\r\n")
        assert answer.one("Transfer-Encoding") == "chunked" and gzip.decompress(answer.body) == PAGE
    record = served.wait_access(peer=client.peer, path="/endless/page.html")
    assert record["status"] == 200 and "reason" not in record


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


# ---- PROXY headers ----

ADDRESSES = 'location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port"; }'


def settings_of(world, endpoint, **upstream):
    made = gates.config(world, workers=1)
    made["upstreams"]["main"] = {"endpoints": [endpoint], **upstream}
    return made


def name_of(address):
    return "%s:%d" % address[:2]


# Before TLS, nginx takes 107 bytes of header, and more since 1.23.2
@pytest.mark.parametrize("version,secured", [
    ("v1", False), ("v2", False), ("v1", True), *([("v2", True)] if nginx_version() >= (1, 23, 2) else [])])
def test_nginx_learns_the_clients_address_from_a_proxy_header(start_gate, own_world, tmp_path, version, secured):
    listen, http, upstream = "proxy_protocol", "", {"proxy_protocol": version}
    if secured:
        made = Backends(own_world.folder / "backends")
        server = made.issue().save(made.folder, "server")
        (made.folder / "clients.pem").write_bytes(made.proxies.pem)
        listen = "ssl proxy_protocol"
        http = (f"ssl_certificate {server.chain_file}; ssl_certificate_key {server.key_file}; ssl_verify_client on; "
                f"ssl_client_certificate {made.folder}/clients.pem;")
        upstream["tls"] = made.tls()
    nginx = NginxServer(tmp_path / "nginx", ADDRESSES, listen=listen, http=http)
    try:
        gate = start_gate(settings_of(own_world, nginx.endpoint, proxy_protocol_client_cert=version == "v2",
                                      health_check={"path": "/", "interval": "50ms"}, **upstream), of=own_world)
        for _ in range(3):
            with raw.Client(gate, own_world.clients["billing"]) as client:
                for _ in range(2):
                    answer = client.get()
                    assert answer.body.decode() == f"{client.peer} {name_of(gate.address())}"
        page = until(lambda: '"ok":0' not in (body := gate.admin("/upstreams")[2]) and body, "a check that goes well")
        assert '"state":"up"' in page
        assert not [e for e in gate.events.records if e["event"] == "endpoint_down"]
    finally:
        nginx.stop()


TELLS = """
    mode http
    http-request return status 200 content-type text/plain lf-string "src=%[src]:%[src_port] dst=%[dst]:%[dst_port] sni=%[fc_pp_authority]"
"""


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_learns_the_clients_address_and_the_name_that_it_asked_for(start_gate, world, tmp_path, version):
    behind = haproxy.HAProxyBehind(tmp_path / "haproxy", TELLS, "accept-proxy")
    try:
        gate = start_gate(settings_of(world, behind.endpoint, proxy_protocol=version, health_check={"path": "/", "interval": "50ms"}))
        with raw.Client(gate, world.clients["billing"]) as client:
            said = client.get().body.decode()
            sni = "billing.internal" if version == "v2" else ""
            assert said == f"src={client.peer} dst={name_of(gate.address())} sni={sni}"
        until(lambda: '"ok":0' not in gate.admin("/upstreams")[2], "a check that goes well")
        assert not [e for e in gate.events.records if e["event"] == "endpoint_down"]
    finally:
        behind.stop()


@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_haproxy_relays_to_nginx(start_gate, world, tmp_path, mode):
    """A chain of four, each with a PROXY header for the next."""
    nginx = NginxServer(tmp_path / "nginx", ADDRESSES, listen="proxy_protocol")
    behind = haproxy.HAProxyBehind(tmp_path / "behind", f"mode {mode}\n    default_backend b\nbackend b\n    mode {mode}\n"
                                   f"    server s {nginx.endpoint} send-proxy-v2", "accept-proxy")
    try:
        settings = settings_of(world, behind.endpoint, proxy_protocol="v2")
        settings["listeners"] = [gates.listener(world, proxy_protocol={"from": ["127.0.0.2"]})]
        gate = start_gate(settings)
        with haproxy.HAProxy(tmp_path / "front", gate, "send-proxy-v2") as front:
            for _ in range(3):
                with front.connect() as plain:
                    tls = raw.context(world, world.clients["billing"]).wrap_socket(plain, server_hostname="billing.internal")
                    tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
                    answer = raw.Reader(tls).response()
                    assert answer.body.decode().split()[0] == name_of(tls.getsockname())
                    assert gate.wait_access(peer=name_of(tls.getsockname()))["via"].startswith("127.0.0.2:")
    finally:
        behind.stop()
        nginx.stop()


def test_a_tcp_listener_carries_http_to_a_haproxy_that_speaks_it(start_gate, world, tmp_path):
    behind = haproxy.HAProxyBehind(tmp_path / "haproxy", TELLS, "accept-proxy")
    try:
        settings = settings_of(world, behind.endpoint, proxy_protocol="v2")
        settings["listeners"] = [gates.listener(world, mode="tcp")]
        settings["rules"] = [{"name": "all", "from": ["billing"], "upstream": "main"}]
        gate = start_gate(settings)
        with raw.Client(gate, world.clients["billing"]) as client:
            for _ in range(3):
                assert client.get().body.decode() == f"src={client.peer} dst={name_of(gate.address())} sni=billing.internal"
    finally:
        behind.stop()


# ---- restarts, deaths ----

LOADED = 'location /load { return 200 "loaded"; } location /healthz { return 200 "well"; }'


@pytest.fixture
def pair_of_nginx(tmp_path):
    made = [NginxServer(tmp_path / f"nginx{number}", LOADED) for number in range(2)]
    yield made
    for one in made:
        one.stop()


def settings_of_pair(world, pair, **upstream):
    made = gates.config(world)
    made["upstreams"]["main"] = {
        "endpoints": [one.endpoint for one in pair],
        "health_check": {"path": "/healthz", "interval": "100ms", "timeout": "400ms", "healthy_after": 2, "unhealthy_after": 2},
        "ejection": {"failures": 3, "base": "500ms", "max": "2s"}, **upstream}
    return made


@contextlib.contextmanager
def loaded(gate, world):
    load = Load(gate, world.clients["billing"], threads=4)
    try:
        load.wait_more(40)
        yield load
    finally:
        load.stop()


def events_of(gate, *names, **fields):
    return [e for e in gate.events.records if e["event"] in names and all(e.get(k) == v for k, v in fields.items())]


def test_a_reload_of_nginx_costs_no_request(start_gate, world, pair_of_nginx):
    """Its old workers end their kept-alive connections at any moment."""
    nginx, _ = pair_of_nginx
    gate = start_gate(settings_of_pair(world, [nginx]))
    with loaded(gate, world) as load:
        for _ in range(4):
            nginx.reload()
            load.wait_more(40)
    assert load.failures == []
    assert not events_of(gate, "endpoint_down", "endpoint_ejected", "upstream_panic")


def test_a_rolling_restart_costs_no_request(start_gate, world, pair_of_nginx):
    gate = start_gate(settings_of_pair(world, pair_of_nginx))
    with loaded(gate, world) as load:
        for one in pair_of_nginx:
            since = len(gate.events.records)
            one.quit()
            gate.wait_event("endpoint_down", since, endpoint=one.endpoint)
            load.wait_more(40)
            one.start()
            gate.wait_event("endpoint_up", since, endpoint=one.endpoint)
            load.wait_more(40)
    assert load.failures == []
    assert not events_of(gate, "upstream_panic")


def test_one_of_two_that_is_killed_costs_no_request(start_gate, world, pair_of_nginx):
    gate = start_gate(settings_of_pair(world, pair_of_nginx))
    victim = pair_of_nginx[0]
    with loaded(gate, world) as load:
        victim.kill()
        gate.wait_event("endpoint_down", endpoint=victim.endpoint)
        load.wait_more(100)
        victim.start()
        gate.wait_event("endpoint_up", endpoint=victim.endpoint)
        load.wait_more(40)
    assert load.failures == []
    down = events_of(gate, "endpoint_down")
    assert len(down) == 1 and down[0]["upstream"] == "main" and down[0]["reason"]


def test_one_of_two_that_stands_still_costs_only_what_it_had_taken(start_gate, world, pair_of_nginx):
    """A request that a backend has, and may be at work on, is not given to another; all others are."""
    gate = start_gate(settings_of_pair(world, pair_of_nginx, timeouts={"connect": "300ms", "response": "1500ms"}))
    victim = pair_of_nginx[0]
    with loaded(gate, world) as load:
        victim.signal_all(signal.SIGSTOP)
        gate.wait_event("endpoint_down", endpoint=victim.endpoint)
        until(lambda: endpoint_requests(gate, victim.endpoint) == 0, "what it had taken to be given up")
        load.wait_more(100)
        victim.signal_all(signal.SIGCONT)
        gate.wait_event("endpoint_up", endpoint=victim.endpoint)
        load.wait_more(40)
    until(lambda: sum(r["status"] == 504 for r in gate.accesses.records) == len(load.failures), "a record of each failure")
    failed = [record for record in gate.accesses.records if record["status"] != 200]
    assert len(failed) <= 4 and all(r["reason"] == "response_timeout" and r["endpoint"] == victim.endpoint for r in failed)


def endpoint_requests(gate, endpoint):
    (main,) = json.loads(gate.admin("/upstreams")[2])["upstreams"]
    return {e["address"]: e["requests"] for e in main["endpoints"]}[endpoint]


def test_an_endpoint_that_leaves_dns_and_then_ends_costs_no_request(start_gate, world, pair_of_nginx):
    ports = [one.port for one in pair_of_nginx]
    with contextlib.closing(Dns({"_app._tcp.test": srv_records(*ports), "host.test": [(A, 60, "127.0.0.1")]})) as dns:
        settings = settings_of_pair(world, [])
        settings["resolver"] = {"servers": [dns.address]}
        settings["upstreams"]["main"]["endpoints"] = ["srv:_app._tcp.test"]
        gate = start_gate(settings)
        with loaded(gate, world) as load:
            for gone, port in zip(pair_of_nginx, reversed(ports)):
                since = len(gate.events.records)
                dns.zone["_app._tcp.test"] = srv_records(port)
                assert str(port) in gate.wait_event("name_resolved", since, count=1)["addresses"]
                load.wait_more(20)
                gone.quit()
                load.wait_more(20)
                gone.start()
                dns.zone["_app._tcp.test"] = srv_records(*ports)
                gate.wait_event("name_resolved", since, count=2)
                load.wait_more(20)
        assert load.failures == []


def srv_records(*ports):
    return [(SRV, 1, (0, 1, port, "host.test")) for port in ports]


def test_reloads_that_move_an_upstream_cost_no_request(start_gate, world, pair_of_nginx):
    one, other = pair_of_nginx
    gate = start_gate(settings_of_pair(world, [one]))
    with loaded(gate, world) as load:
        for now, gone in [(other, one), (one, other), (other, one)]:
            assert gate.reload(settings_of_pair(world, [now]))["event"] == "reloaded"
            load.wait_more(20)
            gone.quit()
            load.wait_more(20)
            gone.start()
        assert gate.reload(settings_of_pair(world, [one, other], balance="least_requests"))["event"] == "reloaded"
        load.wait_more(40)
    assert load.failures == []
