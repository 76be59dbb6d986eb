"""Virtual hosts: the name that a client asks for decides what it is shown and how it has to prove itself."""

import socket
import ssl

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE

VERSIONS = {"tls1.2": {"maximum": ssl.TLSVersion.TLSv1_2}, "tls1.3": {"minimum": ssl.TLSVersion.TLSv1_3}}


def files(credential):
    return {"chain": str(credential.chain_file), "key": str(credential.key_file)}


def hosts(world):
    """One that anybody may ask, one that another authority vouches for, one that differs in its certificate alone."""
    auth = {"ca": [str(world.ca_file)], "crl": [str(world.crl_folder)]}
    stranger_ca = world._write("stranger-ca.pem", world.stranger_root.pem)
    return [
        {"names": ["lax.internal", "*.lax.internal"], "client_auth": {"mode": "optional", **auth}},
        {"names": ["partner.internal"], "client_auth": {"ca": [str(stranger_ca)], "crl_missing": "accept"}},
        {"names": ["second.internal"], "certificates": [files(world.other_server)]},
    ]


def settings(world, endpoint, **tls):
    listener = gates.listener(world)
    listener["tls"].update(hosts=hosts(world), **tls)
    callers = {"someone": [{"any": "authenticated"}], "nobody": [{"any": "anonymous"}]}
    rules = [{"name": "all", "from": ["someone", "nobody"], "upstream": "main"}]
    return gates.config(world, endpoint, listeners=[listener], callers=callers, rules=rules)


@pytest.fixture(scope="module")
def host_gate(start_module_gate, world, module_backend):
    return start_module_gate(settings(world, module_backend.endpoint))


class Visit:
    """One handshake and one request, with Host as asked for by SNI."""

    def __init__(self, gate, credential, name, **options):
        self.status = self.shown = None
        context = raw.context(gate.world, credential, **options)
        context.check_hostname = False
        with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
            self.peer = gate.note(plain)
            try:
                with context.wrap_socket(plain, server_hostname=name) as tls:
                    self.shown = {value for _, value in tls.getpeercert()["subjectAltName"]}
                    tls.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
                                % (name or "billing.internal").encode())
                    self.status = raw.Reader(tls).response().status
            except (ssl.SSLError, ConnectionError, raw.Closed):
                pass


OUTCOMES = [
    # name, who -> status, or the reason of the refusal
    ("billing.internal", "billing", 200),
    ("billing.internal", None, "no_certificate"),
    ("billing.internal", "stranger", "untrusted_issuer"),
    (None, "billing", 200),
    (None, None, "no_certificate"),
    ("lax.internal", None, 200),
    ("LAX.internal.", None, 200),
    ("x.lax.internal", None, 200),
    ("y.x.lax.internal", None, "no_certificate"),
    ("lax.internal", "billing", 200),
    ("lax.internal", "revoked", "revoked"),
    ("partner.internal", "stranger", 200),
    ("partner.internal", "billing", "untrusted_issuer"),
    ("partner.internal", None, "no_certificate"),
    ("second.internal", "billing", 200),
    ("second.internal", None, "no_certificate"),
    ("nobody.internal", "billing", 200),
    ("nobody.internal", None, "no_certificate"),
]


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("name,who,outcome", OUTCOMES)
def test_each_host_lets_in_whom_it_trusts_and_nobody_else(host_gate, world, name, who, outcome, version):
    visit = Visit(host_gate, world.clients[who] if who else None, name, **version)
    if outcome == 200:
        assert visit.status == 200, host_gate.refused(visit.peer)
    else:
        assert visit.status is None
        assert host_gate.wait_event("refused", peer=visit.peer)["reason"] == outcome


@pytest.mark.parametrize("name,shown", [
    ("billing.internal", "billing.internal"), ("lax.internal", "billing.internal"), ("second.internal", "second.internal"),
    ("nobody.internal", "billing.internal"), (None, "billing.internal")])
def test_each_host_shows_its_own_certificate_or_the_listener_s(host_gate, world, name, shown):
    assert shown in Visit(host_gate, world.clients["billing"], name).shown


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_an_unknown_name_is_refused_where_the_operator_says_so(start_gate, world, backend, version):
    gate = start_gate(settings(world, backend.endpoint, unknown_sni="reject"))
    for name in ("billing.internal", "x.wild.internal", "x.lax.internal", "second.internal", None):
        assert Visit(gate, world.clients["billing"], name, **version).status == 200, name
    for name in ("nobody.internal", "y.x.lax.internal", "internal"):
        visit = Visit(gate, world.clients["billing"], name, **version)
        assert visit.status is None
        event = gate.wait_event("refused", peer=visit.peer)
        assert event["reason"] == "unknown_sni" and event["sni"] == name
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            raw.Client(gate, world.clients["billing"], sni=name, **version)


def test_a_host_that_becomes_strict_by_a_reload_is_strict_from_then_on(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint))
    assert Visit(gate, None, "lax.internal").status == 200
    changed = settings(world, backend.endpoint)
    changed["listeners"][0]["tls"]["hosts"][0]["client_auth"]["mode"] = "required"
    assert gate.reload(changed)["event"] == "reloaded"
    visit = Visit(gate, None, "lax.internal")
    assert visit.status is None
    assert gate.wait_event("refused", peer=visit.peer)["reason"] == "no_certificate"
    assert Visit(gate, world.clients["billing"], "lax.internal").status == 200
