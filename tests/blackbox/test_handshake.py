"""Who is let in and who is not: every refusal is one log line and one count, with its name and what is known of the client."""

import socket
import ssl
import struct
import subprocess

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE

TLS_1_2 = {"maximum": ssl.TLSVersion.TLSv1_2}
TLS_1_3 = {"minimum": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def strict_gate(start_module_gate, world, module_backend):
    return start_module_gate(gates.config(world, module_backend.endpoint, log={"level": "debug"}))


def knock(gate, credential, **options):
    """Tries to get in and asks for a page; returns (peer, what came back or None)."""
    with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
        peer = gate.note(plain)
        context = raw.context(gate.world, credential, **options)
        try:
            with context.wrap_socket(plain, server_hostname="billing.internal") as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\nConnection: close\r\n\r\n")
                return peer, tls.recv(65536) or None
        except (ssl.SSLError, ConnectionError):
            return peer, None


REFUSED = [
    ("revoked", "revoked"),
    ("under_retired", "revoked"),
    ("expired", "expired"),
    ("not_yet_valid", "not_yet_valid"),
    ("server_only", "wrong_purpose"),
    ("stranger", "untrusted_issuer"),
    ("no_chain", "untrusted_issuer"),
    ("no_crl", "crl_missing"),
    ("stale_crl", "crl_stale"),
    ("foreign_crl", "crl_missing"),
    ("deep", "chain_too_long"),
    ("below_narrow", "path_length"),
    ("below_leaf", "not_a_ca"),
    ("outside_constraint", "name_constraint"),
    ("weak", "weak_key"),
    ("huge", "too_large"),
    ("nul_in_uri", "hostile_name"),
    ("crlf_in_uri", "hostile_name"),
    ("nul_in_dns", "hostile_name"),
    ("nul_in_cn", "hostile_name"),
    ("unknown_critical", "certificate_invalid"),
]
# A CRL that another key signed speaks of nobody: the gate may call it missing or invalid, never let the client in.
ALSO = {"foreign_crl": {"crl_missing", "crl_invalid"}}


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["tls1.2", "tls1.3"])
@pytest.mark.parametrize("who,reason", REFUSED)
def test_a_client_that_may_not_come_in_is_refused_with_one_line_and_one_count(strict_gate, world, who, reason, version):
    credential = world.clients[who]
    allowed = ALSO.get(who, {reason})
    before = strict_gate.metrics()
    peer, answer = knock(strict_gate, credential, **version)
    assert answer is None, f"{who} got {answer!r}"
    event = strict_gate.wait_event("refused", peer=peer)
    assert event["reason"] in allowed, event
    assert event["level"] == "warn" and event["listener"] == "internal"
    if event["reason"] != "too_large":  # then the certificate was never read
        assert event["sni"] == "billing.internal"
        assert event["serial"].lower().lstrip("0") == f"{credential.cert.serial_number:x}"
        assert "CN=" in event["issuer"] and "subject" in event
    # Another refusal behind it on the same gate thread: whatever the first one logged has been read by then.
    second, _ = knock(strict_gate, None)
    strict_gate.wait_event("refused", peer=second)
    assert len(strict_gate.refused(peer)) == 1
    after = strict_gate.metrics()
    name = f'sallyport_refusals_total{{reason="{event["reason"]}"}}'
    assert after[name] - before[name] == 1
    assert after["sallyport_handshakes_total"] == before["sallyport_handshakes_total"]


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["tls1.2", "tls1.3"])
def test_a_client_without_a_certificate_is_refused(strict_gate, version):
    peer, answer = knock(strict_gate, None, **version)
    assert answer is None
    event = strict_gate.wait_event("refused", peer=peer)
    assert event["reason"] == "no_certificate"
    assert "subject" not in event and "serial" not in event


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["tls1.2", "tls1.3"])
@pytest.mark.parametrize("who", ["billing", "auditor", "no_eku", "empty_subject", "two_names", "awkward", "rsa"])
def test_a_client_with_a_good_certificate_is_let_in(strict_gate, world, who, version):
    done = strict_gate.metrics()["sallyport_handshakes_total"]
    peer, answer = knock(strict_gate, world.clients[who], **version)
    assert answer is not None and answer.startswith(b"HTTP/1.1 ")
    assert strict_gate.refused(peer) == []
    assert strict_gate.metrics()["sallyport_handshakes_total"] == done + 1


def test_the_log_names_the_sans_of_who_was_refused(strict_gate, world):
    peer, _ = knock(strict_gate, world.clients["revoked"])
    event = strict_gate.wait_event("refused", peer=peer)
    assert "spiffe://corp.example/ns/billing/sa/wrong" in event["sans"]
    assert "revoked" in event["subject"] and "Issuing CA" in event["issuer"]


def test_a_hostile_name_cannot_make_a_second_line_in_the_log(strict_gate, world):
    peer, _ = knock(strict_gate, world.clients["crlf_in_uri"])
    event = strict_gate.wait_event("refused", peer=peer)
    assert "\r" not in event["sans"] and "\n" not in event["sans"]
    assert strict_gate.events.noise == []


@pytest.mark.parametrize("name,options,reason", [
    ("too old", {"maximum": ssl.TLSVersion.TLSv1_1, "minimum": ssl.TLSVersion.TLSv1}, "protocol_version"),
    ("no common cipher", {**TLS_1_2, "ciphers": "AES128-GCM-SHA256:@SECLEVEL=0"}, "no_shared_cipher"),
    ("another protocol inside", {"alpn": ["imap"]}, "no_alpn"),
])
def test_a_handshake_without_common_ground_is_refused(strict_gate, world, name, options, reason):
    peer, answer = knock(strict_gate, world.clients["billing"], **options)
    assert answer is None
    assert strict_gate.wait_event("refused", peer=peer)["reason"] == reason


def test_a_client_that_distrusts_the_gate_is_named(strict_gate, world):
    peer, answer = knock(strict_gate, world.clients["billing"], ca=world.ca_file)
    assert answer is None
    assert strict_gate.wait_event("refused", peer=peer)["reason"] == "client_alert"


def open_plain(gate):
    sock = socket.create_connection(gate.address(), timeout=PATIENCE)
    return sock, gate.note(sock)


def read_all(sock):
    data = b""
    try:
        while block := sock.recv(65536):
            data += block
    except ConnectionError:
        pass
    return data


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS"])
def test_plain_http_on_the_tls_port_is_answered_400_and_named(strict_gate, method):
    sock, peer = open_plain(strict_gate)
    with sock:
        sock.sendall(method + b" / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")
    assert strict_gate.wait_event("refused", peer=peer)["reason"] == "plain_http"


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\0\0\0\0\0", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
                                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_is_no_tls_is_named(strict_gate, data):
    sock, peer = open_plain(strict_gate)
    with sock:
        sock.sendall(data)
        answer = read_all(sock)
    event = strict_gate.wait_event("refused", peer=peer)
    assert event["reason"] in ({"not_tls", "plain_http"} if data.startswith(b"PRI") else {"not_tls"})
    assert answer == b"" or event["reason"] == "plain_http" or answer[0] == 0x15


def test_a_probe_is_counted_and_told_at_debug_level_only(strict_gate):
    before = strict_gate.refusals("no_data")
    sock, peer = open_plain(strict_gate)
    sock.close()
    event = strict_gate.wait_event("refused", peer=peer)
    assert event["reason"] == "no_data" and event["level"] == "debug"
    assert strict_gate.refusals("no_data") == before + 1


def client_hello():
    """The first flight of a real client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="billing.internal")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("sent, reason", [(1, "not_tls"), (40, "client_closed")])
def test_a_client_that_goes_away_in_the_middle_is_named(strict_gate, sent, reason, reset):
    """A reset that comes along with the bytes before it is seen by nobody who does not ask, and waits for the deadline."""
    sock, peer = open_plain(strict_gate)
    with sock:
        sock.sendall(client_hello()[:sent])
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert strict_gate.wait_event("refused", peer=peer)["reason"] == reason


@pytest.mark.parametrize("sent", [0, 1, 40, None], ids=["nothing", "a byte", "half", "a whole hello"])
def test_one_deadline_covers_the_whole_handshake(start_gate, world, backend, sent):
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[
        gates.listener(world, timeouts={"handshake": "300ms"})]))
    sock, peer = open_plain(gate)
    with sock:
        sock.sendall(client_hello()[:sent])
        event = gate.wait_event("refused", peer=peer)
        read_all(sock)
    assert event["reason"] == "handshake_timeout"


def test_a_hello_that_comes_byte_by_byte_is_one_hello(strict_gate, world):
    sock, peer = open_plain(strict_gate)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tls = raw.context(world, world.clients["billing"]).wrap_bio(incoming, outgoing, server_hostname="billing.internal")
    with sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    sock.send(bytes([byte]))
                incoming.write(sock.recv(65536))
        tls.write(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        for byte in outgoing.read():
            sock.send(bytes([byte]))
        while True:
            try:
                assert tls.read(65536).startswith(b"HTTP/1.1 200")
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))
    assert strict_gate.refused(peer) == []


def test_the_certificate_is_chosen_by_the_name_asked_for(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[gates.listener(world, tls={"certificates": [
        {"chain": str(c.chain_file), "key": str(c.key_file)} for c in (world.server, world.other_server)]})]))
    for sni, shown in (("billing.internal", world.server), ("second.internal", world.other_server),
                       ("SECOND.internal", world.other_server), ("a.wild.internal", world.server),
                       ("nobody.example", world.server), (None, world.server)):
        context = raw.context(world, world.clients["billing"])
        context.check_hostname = False
        with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname=sni) as tls:
                assert tls.getpeercert(True) == shown.der, sni


def test_an_optional_listener_takes_a_client_without_a_certificate_and_no_bad_one(start_gate, world, backend):
    auth = {"mode": "optional", "ca": [str(world.ca_file)], "crl": [str(world.crl_folder)]}
    gate = start_gate(gates.config(
        world, backend.endpoint, listeners=[gates.listener(world, client_auth=auth)],
        callers={"nobody": [{"any": "anonymous"}], "somebody": [{"any": "authenticated"}]},
        rules=[{"name": "open", "from": ["nobody"], "path": "/open", "upstream": "main"},
               {"name": "closed", "from": ["somebody"], "path": "/closed", "upstream": "main"}]))
    with raw.Client(gate) as client:
        assert client.get("/open").status == 200
        assert backend.wait(1).one("X-Client-Verify") == "NONE"
        assert client.get("/closed").status == 403
    with raw.Client(gate, world.clients["stranger_here"]) as client:
        assert client.get("/closed").status == 200
        assert client.get("/open").status == 403
    peer, answer = knock(gate, world.clients["revoked"])
    assert answer is None and gate.wait_event("refused", peer=peer)["reason"] == "revoked"


@pytest.mark.parametrize("choice,who,is_let_in", [
    ({"crl_missing": "accept"}, "no_crl", True),
    ({"crl_missing": "accept"}, "revoked", False),
    ({"crl_stale": "accept"}, "stale_crl", True),
    ({"crl_stale": {"grace": "2h"}}, "stale_crl", False),
    ({"crl_stale": {"grace": "48h"}}, "stale_crl", True),
    ({"depth": 10}, "deep", False),  # long enough now, but its CAs have no CRL
    ({"depth": 10, "crl_missing": "accept"}, "deep", True),
    ({"depth": 0, "crl_missing": "accept"}, "billing", False),
])
def test_what_the_operator_chose_about_crls_and_depth_holds(start_gate, world, backend, choice, who, is_let_in):
    auth = {"mode": "required", "ca": [str(world.ca_file)], "crl": [str(world.crl_folder)], **choice}
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[gates.listener(world, client_auth=auth)]))
    _, answer = knock(gate, world.clients[who])
    assert (answer is not None) == is_let_in


def test_at_the_limit_of_connections_the_newest_is_turned_away_and_the_others_go_on(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, limits={"connections": 2}))
    with raw.Client(gate, world.clients["billing"]) as first, raw.Client(gate, world.clients["billing"]) as second:
        assert first.get().status == 200 and second.get().status == 200
        peer, answer = knock(gate, world.clients["billing"])
        assert answer is None
        assert gate.wait_event("refused", peer=peer)["reason"] == "too_many_connections"
        assert first.get().status == 200 and second.get().status == 200
    gate.wait_metric("sallyport_connections_open", lambda n: n == 0)
    assert knock(gate, world.clients["billing"])[1] is not None


# ---- clients that people use ----

def test_a_refused_client_that_is_still_sending_reads_why(strict_gate, world):
    """In TLS 1.3 its handshake is over before our alert comes, so its request and body are on their way."""
    with raw.Client(strict_gate, world.clients["revoked"], **TLS_1_3) as client:
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
            client.send(b"x" * 1024)
            strict_gate.wait_event("refused", peer=client.peer, reason="revoked")
            client.send(b"x" * 16384)  # it has not looked yet: were we gone, this would bring a reset
            client.send(b"x" * 16384)
            client.tls.recv(1)


def curl(gate, credential, *arguments, path="/"):
    host, port = gate.address()
    return subprocess.run(
        ["curl", "-sS", "-i", "--max-time", str(int(PATIENCE)), "--cacert", gate.world.server_ca_file,
         "--cert", credential.chain_file, "--key", credential.key_file,
         "--resolve", f"billing.internal:{port}:{host}", *arguments, f"https://billing.internal:{port}{path}"],
        capture_output=True, text=True, timeout=PATIENCE * 2, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("version", ["--tls-max=1.2", "--tlsv1.3"])
def test_curl_is_let_in_with_a_good_certificate_and_refused_with_a_revoked_one(strict_gate, world, version):
    arguments = version.split("=")
    good = curl(strict_gate, world.clients["billing"], *arguments)
    assert good.returncode == 0 and good.stdout.startswith("HTTP/1.1 200"), good.stderr
    bad = curl(strict_gate, world.clients["revoked"], *arguments)
    assert bad.returncode in (35, 52, 55, 56), bad.stdout + bad.stderr
    assert "HTTP/" not in bad.stdout


@pytest.mark.parametrize("who,alert", [
    ("revoked", 44), ("under_retired", 44), ("expired", 45), ("not_yet_valid", 42), ("stranger", 48), ("no_chain", 48),
    ("server_only", 43), ("deep", 48), ("below_narrow", 48), ("outside_constraint", 46), ("no_crl", 80), ("stale_crl", 80),
    ("foreign_crl", 80)])
def test_openssl_s_client_is_told_by_the_alert_that_fits(strict_gate, world, who, alert):
    host, port = strict_gate.address()
    credential = world.clients[who]
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "billing.internal", "-cert",
         credential.chain_file, "-cert_chain", credential.chain_file, "-key", credential.key_file, "-CAfile",
         world.server_ca_file, "-tls1_2"],
        input="", capture_output=True, text=True, timeout=PATIENCE * 2)
    assert f"SSL alert number {alert}\n" in result.stderr, result.stderr
