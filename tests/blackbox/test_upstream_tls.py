"""TLS towards backends: who they are is verified before a byte of a request goes out, by files that may change at any time."""

import contextlib
import datetime
import pathlib
import select
import signal
import socket
import ssl
import threading

import pytest
import yaml

from lib import gate as gates
from lib import pki, raw, tcp
from lib.patience import PATIENCE, until
from lib.tls_backend import Backends, TlsNginx, saw


@pytest.fixture
def backends(own_world):
    """Beside the world's own files, so that a gate waits for these to age as well."""
    return Backends(own_world.folder / "backends")


@pytest.fixture
def serve(tmp_path):
    """serve(credential) -> TlsNginx, any number of times."""
    running = []

    def start(credential, **options):
        running.append(TlsNginx(tmp_path / f"backend{len(running)}", credential, **options))
        return running[-1]

    yield start
    for made in running:
        made.stop()


@pytest.fixture
def in_front(start_gate, own_world):
    """in_front(endpoint, tls) -> a gate."""
    def start(endpoint, tls, **upstream):
        settings = gates.config(own_world, workers=1)
        settings["upstreams"]["main"] = {"endpoints": [endpoint], **({"tls": tls} if tls else {}), **upstream}
        return start_gate(settings, of=own_world)
    return start


def ask(gate):
    with raw.Client(gate, gate.world.clients["billing"]) as client:
        return client.get()


def detail_of_refusal(gate):
    """The request is refused for the backend's sake; what the log says of it."""
    with raw.Client(gate, gate.world.clients["billing"]) as client:
        assert client.get().status == 502
        record = gate.wait_access(peer=client.peer)
    assert record["reason"] == "backend_tls", record
    return record["detail"]


def renew(gate, path, data, event="material_changed"):
    since = len(gate.events.records)
    beside = pathlib.Path(path).with_name(f".{pathlib.Path(path).name}.new")
    beside.write_bytes(data)
    beside.rename(path)
    return gate.wait_event(event, since)


# ---- who it is ----

@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_a_backend_that_proves_itself_is_told_who_we_are(backends, serve, in_front, protocol):
    nginx = serve(backends.issue(), clients=backends.proxies, protocols=protocol)
    gate = in_front(nginx.endpoint, backends.tls())
    seen = saw(ask(gate))
    assert seen["protocol"] == protocol and seen["client"] == "CN=sallyport" and seen["sni"] == "backend.internal"
    assert seen["alpn"] == "http/1.1"
    assert gate.wait_access(status=200)["endpoint"] == nginx.endpoint


GOOD = {
    "by the name that is configured": ({}, {}),
    "by its address": ({"sans": [pki.ip("127.0.0.1")]}, {"name": None}),
    "by a wildcard": ({"sans": [pki.dns("*.internal.example")]}, {"name": "x.internal.example"}),
    "by its SPIFFE ID": ({"sans": [pki.uri("spiffe://corp/backend/billing")]}, {"name": None, "uri": "spiffe://corp/backend/*"}),
}


@pytest.mark.parametrize("which", GOOD)
def test_a_backend_is_known(backends, serve, in_front, which):
    certificate, tls = GOOD[which]
    nginx = serve(backends.issue(**certificate))
    assert ask(in_front(nginx.endpoint, backends.tls(**tls))).status == 200


BAD = {
    "another name": ({"sans": [pki.dns("other.internal")]}, {}, "DNS:other.internal"),
    "a name in the common name alone": ({"sans": []}, {}, "wrong_name"),
    "another address": ({"sans": [pki.ip("127.0.0.2")]}, {"name": None}, "wrong_name"),
    "another SPIFFE ID": ({"sans": [pki.uri("spiffe://corp/frontend/x")]}, {"name": None, "uri": "spiffe://corp/backend/*"},
                          "spiffe://corp/frontend/x"),
    "a NUL in its name": ({"sans": [pki.dns("backend.internal\0.evil.example")]}, {}, "hostile_name"),
    "past its end": ({"not_before": pki.NOW - 9 * pki.DAY, "not_after": pki.NOW - pki.DAY}, {}, "expired"),
    "for clients only": ({"eku": pki.CLIENT}, {}, "wrong_purpose"),
}


@pytest.mark.parametrize("which", BAD)
def test_a_backend_that_is_somebody_else_gets_no_request(backends, serve, in_front, which):
    certificate, tls, said = BAD[which]
    nginx = serve(backends.issue(**certificate))
    gate = in_front(nginx.endpoint, backends.tls(**tls))
    assert said in detail_of_refusal(gate)


def test_a_backend_of_another_authority_is_refused_unless_nobody_asks(backends, serve, in_front):
    nginx = serve(pki.Authority.root("Stranger").issue("x", eku=pki.SERVER, sans=[pki.dns("backend.internal")]))
    assert "untrusted_issuer" in detail_of_refusal(in_front(nginx.endpoint, backends.tls()))
    assert ask(in_front(nginx.endpoint, {"verify": False})).status == 200


# ---- what is not TLS ----

class PlainBackend:
    """Answers in plain HTTP; `early`: before it was asked anything. Keeps what it received."""

    def __init__(self, early):
        self.early, self.received = early, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                with sock, contextlib.suppress(OSError):
                    sock.settimeout(PATIENCE)
                    if not self.early:
                        self.received += sock.recv(65536)
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                    while data := sock.recv(65536):
                        self.received += data

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("early", [True, False])
def test_what_a_backend_says_in_plain_is_never_an_answer(backends, in_front, early):
    plain = PlainBackend(early)
    try:
        gate = in_front(plain.endpoint, backends.tls(), retries={"attempts": 1})
        assert detail_of_refusal(gate)
        with raw.Client(gate, gate.world.clients["billing"]) as client:
            answer = client.get()
        assert answer.status == 502 and b"evil" not in answer.body
        assert b"GET" not in plain.received and b"spiffe" not in plain.received
    finally:
        plain.close()


@pytest.mark.parametrize("protocol", [None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["plain", "tls1.2", "tls1.3"])
def test_an_answer_that_came_before_the_rest_of_the_request_was_refused_arrives(backends, in_front, tmp_path, protocol):
    """The gate is told of the reset by its own writing."""
    backend, tls = tcp.TcpBackend(), None
    if protocol:
        shown = backends.issue().save(tmp_path, "backend")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = tls.maximum_version = protocol
        tls.load_cert_chain(shown.chain_file, shown.key_file)
    try:
        gate = in_front(backend.endpoint, backends.tls()) if tls else in_front(backend.endpoint, None)
        with raw.Client(gate, gate.world.clients["billing"]) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 1000000\r\n\r\n")
            sock = backend.take()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the answer is on its way before the reset is
            sock = tls.wrap_socket(sock, server_side=True) if tls else sock
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += tcp.exactly(sock, 1)
            client.send(b"never read")
            assert select.select([sock], [], [], PATIENCE)[0]
            gate.signal(signal.SIGSTOP)
            client.send(b"and more")
            sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            sock.close()
            gate.signal(signal.SIGCONT)
            answer = client.response("POST")
            assert answer.status == 413 and answer.body == b"big"
            assert "reason" not in gate.wait_access(peer=client.peer)
    finally:
        backend.close()


# ---- files that change ----

def test_an_authority_that_takes_over_is_believed_from_then_on_and_the_old_one_no_more(backends, serve, in_front):
    fresh = pki.Authority.root("Backend Root 2")
    nginx = serve(backends.issue())
    gate = in_front(nginx.endpoint, backends.tls())
    assert ask(gate).status == 200
    renew(gate, backends.ca_file, fresh.pem)
    assert "untrusted_issuer" in detail_of_refusal(gate)
    nginx.restart(fresh.issue("x", eku=pki.SERVER, sans=[pki.dns("backend.internal")]))
    assert ask(gate).status == 200


def test_a_ca_file_that_cannot_be_read_changes_nothing_and_a_new_crl_counts_all_the_same(backends, serve, in_front):
    credential = backends.issue()
    nginx = serve(credential)
    gate = in_front(nginx.endpoint, backends.tls(crl=[str(backends.crl_file)]))
    assert ask(gate).status == 200
    renew(gate, backends.ca_file, b"no certificate", event="material_failed")
    assert ask(gate).status == 200
    renew(gate, backends.crl_file, revoking(backends, credential))
    assert "revoked" in detail_of_refusal(gate)


def revoking(backends, *credentials):
    return backends.root.crl(credentials, number=2, last=pki.NOW - pki.HOUR + datetime.timedelta(seconds=2))


def test_a_backend_that_is_revoked_is_asked_no_more_not_even_on_the_connection_that_was_kept(backends, serve, in_front):
    credential = backends.issue()
    nginx = serve(credential)
    gate = in_front(nginx.endpoint, backends.tls(crl=[str(backends.crl_file)]))
    first = saw(ask(gate))
    assert saw(ask(gate))["connection"] == first["connection"], "it is not kept"
    renew(gate, backends.crl_file, revoking(backends, credential))
    assert "revoked" in detail_of_refusal(gate)
    renew(gate, backends.crl_file, backends.root.crl(number=3, last=pki.NOW - pki.HOUR + datetime.timedelta(seconds=3)))
    assert saw(ask(gate))["reused"] == ".", "a session from before is resumed"


def test_a_reload_that_changes_nothing_keeps_connections(backends, serve, in_front, own_world):
    nginx = serve(backends.issue())
    gate = in_front(nginx.endpoint, backends.tls(crl=[str(backends.crl_file)]))
    first = saw(ask(gate))
    renew(gate, own_world.crl_folder / "root.pem", own_world.root.crl(
        [own_world.retired], number=2, last=pki.NOW - pki.HOUR + datetime.timedelta(seconds=2)))
    assert saw(ask(gate))["connection"] == first["connection"]


def test_our_certificate_is_changed_without_a_restart(backends, serve, in_front):
    nginx = serve(backends.issue(), clients=backends.proxies)
    gate = in_front(nginx.endpoint, backends.tls())
    assert saw(ask(gate))["client"] == "CN=sallyport"
    fresh = backends.proxies.issue("sallyport-2")
    pathlib.Path(backends.ours.key_file).write_bytes(pki.pem_of_key(fresh.key))
    backends.ours.chain_file.write_bytes(fresh.chain_pem())
    assert until(lambda: saw(ask(gate))["client"] == "CN=sallyport-2", "the new certificate")


# ---- coming back ----

@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_sessions_are_resumed(backends, serve, in_front, protocol):
    nginx = serve(backends.issue(), protocols=protocol, keepalive_requests=1)
    gate = in_front(nginx.endpoint, backends.tls())
    answers = [saw(ask(gate)) for _ in range(4)]
    assert len({a["connection"] for a in answers}) == 4
    assert [a["reused"] for a in answers] == [".", "r", "r", "r"]


# ---- health ----

@pytest.mark.parametrize("asks", [{"path": "/", "status": 200}, {}], ids=["with a request", "by connecting alone"])
def test_a_backend_that_is_somebody_else_is_not_healthy(backends, serve, in_front, asks):
    nginx = serve(backends.issue("other.internal"))
    check = {**asks, "interval": "50ms", "timeout": "5s", "healthy_after": 1, "unhealthy_after": 1}
    gate = in_front(nginx.endpoint, backends.tls(), health_check=check)
    assert "wrong_name" in gate.wait_event("endpoint_down", endpoint=nginx.endpoint)["reason"]
    nginx.restart(backends.issue())
    gate.wait_event("endpoint_up", endpoint=nginx.endpoint)
    assert ask(gate).status == 200


# ---- what the operator is told ----

def test_what_nears_its_end_is_told(backends, serve, in_front):
    soon = backends.proxies.issue("ends-soon", not_after=pki.NOW + pki.DAY).save(backends.folder, "ours")
    nginx = serve(backends.issue(), clients=backends.proxies)
    gate = in_front(nginx.endpoint, backends.tls(crl=[str(backends.crl_file)]))
    told = gate.wait_event("certificate_expiring", upstream="main")
    assert told["names"] == "CN=ends-soon" and told["source"] == str(soon.chain_file)
    assert "then backends refuse it" in told["detail"]
    names = [name for name in gate.metrics() if name.startswith("sallyport_upstream_") and "timestamp" in name]
    assert len(names) == 3, names


def test_check_lists_what_backends_are_judged_by_and_shown(backends, own_world, tmp_path):
    soon = backends.proxies.issue("ends-soon", not_after=pki.NOW + pki.DAY).save(backends.folder, "ours")
    settings = gates.config(own_world)
    settings["upstreams"]["main"] = {"endpoints": ["127.0.0.1:9"], "tls": backends.tls(crl=[str(backends.crl_file)])}
    file = tmp_path / "sallyport.yaml"
    file.write_text(yaml.safe_dump(settings))
    ran = gates.run("check", "-c", file)
    assert ran.returncode == 0, ran.stderr
    listed = ran.stdout[ran.stdout.index("upstream main over TLS, backends known by backend.internal"):]
    for text in ("CN=ends-soon", str(soon.chain_file), "CN=Backend Root", str(backends.ca_file), str(backends.crl_file)):
        assert text in listed, text
    assert f"certificate {soon.chain_file}: ends in" in ran.stderr


BROKEN = {
    "ca": (b"no certificate", "backend-ca.pem"),
    "crl": (b"no list", "backend.crl"),
    "certificate": (b"no certificate", "ours.pem"),
}


@pytest.mark.parametrize("which", BROKEN)
def test_check_names_the_file_that_is_wrong(backends, own_world, tmp_path, which):
    data, name = BROKEN[which]
    (backends.folder / name).write_bytes(data)
    settings = gates.config(own_world)
    settings["upstreams"]["main"] = {"endpoints": ["127.0.0.1:9"], "tls": backends.tls(crl=[str(backends.crl_file)])}
    file = tmp_path / "sallyport.yaml"
    file.write_text(yaml.safe_dump(settings))
    ran = gates.run("check", "-c", file)
    assert ran.returncode == 2 and str(backends.folder / name) in ran.stderr
