"""The pages for operators."""

import re
import socket
import ssl
import time

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?)$')


def families_of(text):
    """name -> (type, samples), checking that the text is what Prometheus reads."""
    families, current = {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in families, f"{current} comes twice"
            families[current] = [None, []]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == current and kind in ("counter", "gauge")
            families[name][0] = kind
        else:
            match = SAMPLE.match(line)
            assert match and match[1] == current, f"no sample of {current}: {line!r}"
            families[current][1].append((match[2] or "", float(match[4])))
    return families


def test_metrics_are_what_prometheus_reads(gate, world):
    with raw.Client(gate, world.clients["billing"]) as client:
        client.get()
    status, headers, text = gate.admin("/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = families_of(text)
    for name, (kind, samples) in families.items():
        assert name.startswith("sallyport_") and samples
        assert name.endswith("_total") == (kind == "counter"), name
        labels = [label for label, _ in samples]
        assert len(set(labels)) == len(labels)
    assert len(families["sallyport_refusals_total"][1]) > 40
    assert families["sallyport_build_info"][1][0][1] == 1
    assert abs(families["sallyport_configuration_loaded_timestamp_seconds"][1][0][1] - time.time()) < 3600


def test_what_happens_is_counted(gate, world, backend):
    before = gate.metrics()
    with raw.Client(gate, world.clients["billing"]) as client:
        for _ in range(3):
            client.ask(b"POST / HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 5\r\n\r\nhello", "POST")
        gate.wait_metric("sallyport_requests_in_flight", lambda n: n == 0)
        open_now = gate.metrics()
        assert open_now["sallyport_connections_open"] == 1 and open_now["sallyport_sessions_open"] == 1
    after = gate.wait_metric("sallyport_connections_open", lambda n: n == 0) and gate.metrics()
    grown = {name: after[name] - before[name] for name in after}
    assert grown["sallyport_connections_accepted_total"] == 1
    assert grown["sallyport_handshakes_total"] == 1
    assert grown["sallyport_requests_total"] == 3
    assert grown['sallyport_responses_total{class="2xx"}'] == 3
    assert grown["sallyport_request_body_bytes_total"] == 15
    assert grown["sallyport_response_body_bytes_total"] == 6


def test_how_a_client_came_in_is_counted(gate, world):
    names = ["sallyport_handshakes_total", "sallyport_handshakes_resumed_total", "sallyport_chain_cache_hits_total",
             "sallyport_chain_cache_misses_total"]

    def counted():
        metrics = gate.metrics()
        return [metrics[name] for name in names]

    context, session = raw.context(world, world.clients["billing"], maximum=ssl.TLSVersion.TLSv1_2), None
    for expected in ([1, 0, 0, 1], [2, 0, 1, 1], [3, 1, 2, 1]):
        with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
            resumed = session if expected[1] else None
            with context.wrap_socket(plain, server_hostname="billing.internal", session=resumed) as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\nConnection: close\r\n\r\n")
                assert tls.recv(65536).startswith(b"HTTP/1.1 200")
                assert tls.session_reused == bool(expected[1])
                session = tls.session
        assert counted() == expected


def test_health_and_readiness_are_told(gate):
    assert gate.admin("/healthz")[0] == 200
    assert gate.admin("/readyz")[0] == 200


@pytest.mark.parametrize("path", ["/", "/metricsx", "/metrics/", "/admin"])
def test_there_is_no_other_page(gate, path):
    assert gate.admin(path)[0] == 404


def test_a_page_is_not_written_to(gate):
    assert gate.admin("/metrics", "POST")[0] == 405


def test_head_of_a_page_has_no_body(gate):
    status, headers, text = gate.admin("/metrics", "HEAD")
    assert status == 200 and text == "" and int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("sent", [b"garbage\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\nHost: x\n\n"])
def test_the_admin_listener_is_as_strict(gate, sent):
    with socket.create_connection(gate.address("admin"), timeout=PATIENCE) as sock:
        sock.sendall(sent)
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_it_can_be_a_unix_socket(start_gate, world, backend, tmp_path):
    gate = start_gate(gates.config(world, backend.endpoint, admin={"address": f"unix:{tmp_path}/admin.sock"}))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(gate.address("admin"))
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        assert raw.Reader(sock).response().status == 200


def test_it_is_not_open_to_the_world(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, admin={"address": "0.0.0.0:0"}), ready=False)
    gate.stopped = True
    assert gate.wait_exit() == 2
    assert "loopback" in gate.report()
