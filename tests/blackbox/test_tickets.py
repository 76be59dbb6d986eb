"""Resumption: who comes back is judged as in a full handshake and looks the same to the backend; a session opens only the policy that
it was made under, and only for so long. All of it for sessions that the daemon keeps and for those that clients keep, as tickets
sealed with the keys of a file. The clients are `openssl s_client`, curl and Python's ssl."""

import base64
import os
import re
import socket
import ssl
import subprocess

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE, until

VERSIONS = ["tls1_2", "tls1_3"]
KINDS = ["kept", "sealed"]
REQUEST = "GET /resumed HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"


def key_line():
    return base64.b64encode(os.urandom(80)).decode()


def write_keys(path, *lines):
    """As an operator should: whole, and only for the owner."""
    made = path.with_suffix(".new")
    made.touch(mode=0o600)
    made.write_text("".join(line + "\n" for line in lines))
    made.rename(path)
    return path


def settings(world, endpoint, *, tickets=None, hosts=None, auth=None, families=("plain", "rfc9440")):
    listener = gates.listener(world)
    listener["tls"].update({k: v for k, v in (("tickets", tickets), ("hosts", hosts)) if v is not None})
    listener["client_auth"].update(auth or {})
    callers = {"someone": [{"any": "authenticated"}], "nobody": [{"any": "anonymous"}]}
    rules = [{"name": "all", "from": ["someone", "nobody"], "upstream": "main"}]
    return gates.config(world, endpoint, listeners=[listener], callers=callers, rules=rules, log={"level": "debug"},
                        upstreams={"main": {"endpoints": [endpoint], "identity_headers": list(families)}})


class SClient:
    """`openssl s_client` with a file for its session. Each visit writes the session that it ends with."""

    def __init__(self, world, folder, credential, version):
        self.world, self.file, self.credential, self.version = world, folder / "session.pem", credential, version

    def visit(self, gate, name="billing.internal"):
        host, port = gate.address()
        since = len(gate.events.records)
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", name, f"-{self.version}", "-ign_eof",
                   "-CAfile", self.world.server_ca_file, "-sess_out", self.file]
        if self.credential:
            chain = self.credential.chain_file
            command += ["-cert", chain, "-cert_chain", chain, "-key", self.credential.key_file]
        if self.file.exists():
            command += ["-sess_in", self.file]
        done = subprocess.run(list(map(str, command)), input=(REQUEST % name).encode(), capture_output=True, timeout=PATIENCE)
        said = (done.stdout + done.stderr).decode("latin-1")
        status = re.search(r"HTTP/1\.1 (\d+) ", said)  # what s_client itself has to say may stand before it on its line
        return Visit("\nReused, " in said, int(status[1]) if status else None, said, gate, since)


class Visit:
    def __init__(self, resumed, status, said, gate, since):
        self.resumed, self.status, self.said, self.gate, self.since = resumed, status, said, gate, since

    def refusal(self):
        return self.gate.wait_event("refused", since=self.since)["reason"]


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(params=KINDS)
def tickets(request, tmp_path):
    """`tls.tickets` of a listener whose sessions the daemon keeps, and of one whose clients keep them."""
    return {"keys": str(write_keys(tmp_path / "fleet.keys", key_line()))} if request.param == "sealed" else {}


@pytest.fixture
def client(world, tmp_path, version):
    return SClient(world, tmp_path, world.clients["billing"], version)


def identity_of(request):
    return [(name, value) for name, value in request.fields if name.lower().startswith(("x-client-", "client-cert"))]


def test_a_resumed_client_looks_to_the_backend_as_it_did_before(start_gate, world, backend, client, tickets):
    gate = start_gate(settings(world, backend.endpoint, tickets=tickets))
    first, second, third = (client.visit(gate) for _ in range(3))
    assert [first.resumed, second.resumed, third.resumed] == [False, True, True]
    assert [first.status, second.status, third.status] == [200, 200, 200]
    full, *resumed = map(identity_of, backend.requests)
    assert {"client-cert", "client-cert-chain"} <= {name.lower() for name, _ in full}
    assert len(resumed) == 2 and all(fields == full for fields in resumed)


def test_python_s_ssl_resumes_too(start_gate, world, backend, tickets):
    gate = start_gate(settings(world, backend.endpoint, tickets=tickets))
    context = raw.context(world, world.clients["billing"])
    session = None
    for number in range(4):
        with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname="billing.internal", session=session) as tls:
                tls.sendall((REQUEST % "billing.internal").encode())
                assert raw.Reader(tls).response().status == 200
                assert tls.session_reused == (number > 0)
                session = tls.session


def test_a_listener_without_tickets_resumes_nothing(start_gate, world, backend, client, tickets):
    gate = start_gate(settings(world, backend.endpoint, tickets={"count": 0, **tickets}))
    first, second = client.visit(gate), client.visit(gate)
    assert not first.resumed and not second.resumed and second.status == 200
    assert "TLS session ticket:" not in first.said


def two_hosts(world):
    auth = {"mode": "optional", "ca": [str(world.ca_file)], "crl": [str(world.crl_folder)]}
    return [{"names": ["lax.internal"], "client_auth": auth}]


@pytest.mark.parametrize("here,there", [("billing.internal", "lax.internal"), ("lax.internal", "billing.internal")])
def test_a_session_of_one_host_resumes_nothing_at_another(start_gate, world, backend, client, tickets, here, there):
    gate = start_gate(settings(world, backend.endpoint, tickets=tickets, hosts=two_hosts(world)))
    assert client.visit(gate, here).status == 200
    assert client.visit(gate, here).resumed
    visit = client.visit(gate, there)
    assert not visit.resumed and visit.status == 200


def test_who_was_let_in_without_a_certificate_resumes_nothing_where_one_is_required(start_gate, world, backend, client, tickets):
    gate = start_gate(settings(world, backend.endpoint, tickets=tickets, hosts=two_hosts(world)))
    client.credential = None
    assert not client.visit(gate, "lax.internal").resumed
    assert client.visit(gate, "lax.internal").resumed
    visit = client.visit(gate, "billing.internal")
    assert not visit.resumed and visit.status is None and visit.refusal() == "no_certificate"


@pytest.mark.parametrize("change", [{"mode": "optional"}, {"depth": 3}, {"crl_missing": "accept"}], ids=lambda c: next(iter(c)))
def test_another_policy_makes_sessions_worthless_and_the_same_one_keeps_them(start_gate, world, backend, client, tickets, change):
    gate = start_gate(settings(world, backend.endpoint, tickets=tickets))
    client.visit(gate)
    assert gate.reload(settings(world, backend.endpoint, tickets=tickets, families=["plain"]))["event"] == "reloaded"
    assert client.visit(gate).resumed
    assert gate.reload(settings(world, backend.endpoint, tickets=tickets, auth=change))["event"] == "reloaded"
    visit = client.visit(gate)
    assert not visit.resumed and visit.status == 200


def test_a_client_that_is_revoked_does_not_resume_and_is_told_why(start_gate, own_world, backend, tmp_path, version, tickets):
    gate = start_gate(settings(own_world, backend.endpoint, tickets=tickets), of=own_world)
    client = SClient(own_world, tmp_path, own_world.clients["billing"], version)
    assert not client.visit(gate).resumed
    assert client.visit(gate).resumed
    own_world.write_crls([own_world.clients["revoked"], own_world.clients["billing"]])
    assert gate.reload()["event"] == "reloaded"
    visit = client.visit(gate)
    assert not visit.resumed and visit.status is None and visit.refusal() == "revoked"
    assert "SSL alert number 44" in visit.said


CALLERS = {
    "denied by a rule": ({"match": [{"uri": "spiffe://corp.example/ns/billing/**"}]}, [403, 403], "denied"),
    "below a requirement": ({"match": [{"any": "authenticated"}], "require": {"key_types": ["rsa"]}}, [403, 403], "key_not_allowed"),
    "over a limit": ({"match": [{"any": "authenticated"}], "limits": {"rate": "1/h", "burst": 1}}, [200, 429], "caller_rate"),
}


@pytest.mark.parametrize("why", CALLERS)
def test_who_resumes_is_judged_by_rules_requirements_and_limits_like_anybody(start_gate, world, backend, client, tickets, why):
    caller, statuses, reason = CALLERS[why]
    gate = start_gate(settings(world, backend.endpoint, tickets=tickets))
    assert client.visit(gate).status == 200
    changed = settings(world, backend.endpoint, tickets=tickets)
    changed["callers"]["someone"] = caller
    if reason == "denied":
        changed["rules"].insert(0, {"name": "closed", "from": ["someone"], "deny": 403})
    assert gate.reload(changed)["event"] == "reloaded"
    visits = [client.visit(gate) for _ in statuses]
    assert [(visit.resumed, visit.status) for visit in visits] == [(True, status) for status in statuses]
    assert gate.wait_access(status=statuses[-1])["reason"] == reason


@pytest.mark.parametrize("limit", ["lifetime", "max_session_age"])
def test_resuming_again_and_again_prolongs_nothing(start_gate, world, backend, client, tickets, limit):
    """With a fresh session each time, until a visit is not resumed: that must come. (A session that is resumed at the very end of its
    age may be closed before its answer.)"""
    gate = start_gate(settings(
        world, backend.endpoint, tickets={"lifetime": "3s", **tickets} if limit == "lifetime" else tickets,
        auth={"max_session_age": "3s"} if limit == "max_session_age" else None))
    client.visit(gate)
    seen = []

    def comes_back():
        visit = client.visit(gate)
        assert visit.status == 200 or (visit.resumed and limit == "max_session_age"), visit.said
        seen.append(visit.resumed)
        return not visit.resumed

    until(comes_back, "a visit that is not resumed")
    assert seen[0] and not seen[-1]


def test_two_daemons_with_the_same_keys_resume_each_other_s_sessions(start_gate, world, backend, client, tmp_path):
    shared = {"keys": str(write_keys(tmp_path / "ticket.keys", key_line()))}
    gate, other, stranger = (start_gate(settings(world, backend.endpoint, tickets=tickets)) for tickets in (shared, shared, None))
    assert not client.visit(gate).resumed
    assert client.visit(other).resumed
    assert client.visit(gate).resumed
    full, *resumed = map(identity_of, backend.requests)
    assert all(fields == full for fields in resumed)
    assert not client.visit(stranger).resumed


def test_keys_are_rotated_without_a_restart(start_gate, world, backend, client, tmp_path):
    old, new = key_line(), key_line()
    path = write_keys(tmp_path / "ticket.keys", "# of this week", old)
    made = settings(world, backend.endpoint, tickets={"keys": str(path)})
    gate = start_gate(made)
    client.visit(gate)
    kept = client.file.read_bytes()
    write_keys(path, new, "", old)
    assert gate.reload()["event"] == "reloaded"
    assert client.visit(gate).resumed
    client.file.write_bytes(kept)
    write_keys(path, new)
    assert gate.reload()["event"] == "reloaded"
    assert not client.visit(gate).resumed
    assert client.visit(gate).resumed


BAD_KEYS = [
    ("", 0o600, "holds no key"),
    ("# nothing\n\n", 0o600, "holds no key"),
    ("no base64 here\n", 0o600, "line 1: is not base64"),
    (f"\n{base64.b64encode(bytes(48)).decode()}\n", 0o600, "line 2: has 48 bytes; a key has 80"),
    (f"{base64.b64encode(bytes(80)).decode()}\n", 0o640, "others than its owner may use it (mode 0640)"),
    (None, 0, "No such file"),
]


@pytest.mark.parametrize("text,mode,says", BAD_KEYS)
def test_a_bad_key_file_is_named_and_changes_nothing(start_gate, world, backend, tmp_path, text, mode, says):
    path = tmp_path / "bad.keys"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    bad = settings(world, backend.endpoint, tickets={"keys": str(path)})
    gate = start_gate(settings(world, backend.endpoint))
    assert gate.reload(bad)["event"] == "reload_failed"
    checked = gates.run("check", "-c", gate.file)
    assert checked.returncode != 0
    said = checked.stdout + checked.stderr
    assert str(path) in said and says in said
    assert "AAAA" not in said, "a key in a message"
    with raw.Client(gate, world.clients["billing"]) as visitor:
        assert visitor.get().status == 200


# What only the daemon's own sessions have.

def counted(gate, name):
    return int(gate.metrics()[name])


def test_sessions_are_kept_across_gates_and_reloads_and_counted(start_gate, world, backend, client):
    made = settings(world, backend.endpoint)
    made["gates"] = 2
    gate = start_gate(made)
    assert not client.visit(gate).resumed
    assert "TLS session ticket:" in client.visit(gate).said or client.version == "tls1_2"
    for _ in range(8):  # whichever gate accepts it
        assert client.visit(gate).resumed
    assert gate.reload()["event"] == "reloaded"
    assert client.visit(gate).resumed
    assert counted(gate, "sallyport_handshakes_resumed_total") == 10
    assert counted(gate, "sallyport_tls_sessions") == (11 if client.version == "tls1_3" else 1)
    assert counted(gate, "sallyport_tls_sessions_evicted_total") == 0


def test_the_bound_on_sessions_holds_and_follows_a_reload(start_gate, world, backend, tmp_path, version):
    made = settings(world, backend.endpoint)
    made["limits"] = {"sessions": 2}
    gate = start_gate(made)
    visitors = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        visitors.append(SClient(world, folder, world.clients["billing"], version))
        assert visitors[-1].visit(gate).status == 200
    assert counted(gate, "sallyport_tls_sessions") == 2
    assert counted(gate, "sallyport_tls_sessions_evicted_total") == 1
    assert visitors[2].visit(gate).resumed
    visit = visitors[0].visit(gate)  # its session had to go
    assert not visit.resumed and visit.status == 200
    made["limits"]["sessions"] = 0
    assert gate.reload(made)["event"] == "reloaded"
    until(lambda: counted(gate, "sallyport_tls_sessions") == 0, "no session is kept")
    visit = visitors[0].visit(gate)
    assert not visit.resumed and visit.status == 200
    assert counted(gate, "sallyport_tls_sessions") == 0


def test_a_session_may_be_shown_twice_and_comes_through_an_abrupt_end(start_gate, world, backend, client):
    gate = start_gate(settings(world, backend.endpoint))
    host, port = gate.address()
    context = raw.context(world, world.clients["billing"])
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2 if client.version == "tls1_2" else ssl.TLSVersion.TLSv1_3
    with socket.create_connection((host, port), timeout=PATIENCE) as plain:
        tls = context.wrap_socket(plain, server_hostname="billing.internal")
        tls.sendall((REQUEST % "billing.internal").replace("close", "keep-alive").encode())
        assert raw.Reader(tls).response().status == 200
        session = tls.session
        os.close(tls.detach())  # without close_notify
    for _ in range(2):
        with socket.create_connection((host, port), timeout=PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname="billing.internal", session=session) as tls:
                assert tls.session_reused
                tls.sendall((REQUEST % "billing.internal").encode())
                assert raw.Reader(tls).response().status == 200


def test_curl_comes_back_to_its_session(start_gate, world, backend, version):
    """Two connections of one process, which is how long curl keeps a session."""
    gate = start_gate(settings(world, backend.endpoint))
    host, port = gate.address()
    credential = world.clients["billing"]
    url = f"https://billing.internal:{port}/resumed"
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", "Connection: close", "--cacert", world.server_ca_file,
               "--cert", credential.chain_file, "--key", credential.key_file, "--resolve", f"billing.internal:{port}:{host}",
               f"--{version.replace('tls1_', 'tlsv1.')}", url, "-o", "/dev/null", url]
    if version == "tls1_2":
        command[1:1] = ["--tls-max", "1.2"]
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=PATIENCE)
    assert done.stdout.split() == [b"200", b"200"], done.stderr
    assert counted(gate, "sallyport_handshakes_resumed_total") == 1
