"""What a backend is told of who is calling: exactly what the certificate proves, and never what the client claims."""

import base64
import hashlib

import pytest

from lib import gate as gates
from lib import raw

PLAIN = ["X-Client-Verify", "X-Client-Subject", "X-Client-Issuer", "X-Client-Serial", "X-Client-SAN-URI",
         "X-Client-SAN-DNS", "X-Client-SAN-Email", "X-Client-Cert-SHA256", "X-Client-Not-After", "X-Client-Rule",
         "X-Client-Cert-Thumbprint"]
RFC9440 = ["Client-Cert", "Client-Cert-Chain"]
OTHERS = ["X-Forwarded-Client-Cert", "X-SSL-Client-Verify", "X-SSL-Client-S-DN", "X-SSL-Client-I-DN", "X-SSL-Client-Serial",
          "X-SSL-Client-Fingerprint", "X-SSL-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info",
          "X-Amzn-Mtls-Clientcert-Serial-Number", "X-Amzn-Mtls-Clientcert-Issuer", "X-Amzn-Mtls-Clientcert-Subject",
          "X-Amzn-Mtls-Clientcert-Validity", "X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert", "Forwarded", "X-Forwarded-For",
          "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri",
          "X-Forwarded-Method", "X-Forwarded-Server", "Early-Data"]
FAMILIES = PLAIN + RFC9440 + OTHERS
CLAIM = "spoofed-by-the-client"

EVERYBODY = {"callers": {"everybody": [{"any": "authenticated"}]},
             "rules": [{"name": "all", "from": ["everybody"], "upstream": "main"}]}


@pytest.fixture(scope="module", params=[["plain"], ["rfc9440"], ["plain", "rfc9440"], []], ids=lambda p: "+".join(p) or "none")
def family_gate(request, start_module_gate, world, module_backend):
    gate = start_module_gate(gates.config(world, module_backend.endpoint, **EVERYBODY, upstreams={
        "main": {"endpoints": [module_backend.endpoint], "identity_headers": request.param}}))
    gate.families = request.param
    return gate


def identity_of(request):
    """The identity headers that came, lower case -> values in order."""
    known = {name.lower() for name in FAMILIES}
    got = {}
    for name, value in request.fields:
        if name.lower() in known:
            got.setdefault(name.lower(), []).append(value)
    return got


def expected_plain(credential, rule, subject, issuer, uris=(), dns=(), emails=()):
    digest = hashlib.sha256(credential.der).digest()
    wanted = {
        "x-client-verify": ["SUCCESS"],
        "x-client-subject": [subject] if subject else None,
        "x-client-issuer": [issuer],
        "x-client-serial": [credential.serial_hex],
        "x-client-san-uri": list(uris),
        "x-client-san-dns": list(dns),
        "x-client-san-email": list(emails),
        "x-client-cert-sha256": [digest.hex()],
        "x-client-not-after": [credential.cert.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")],
        "x-client-rule": [rule],
        "x-client-cert-thumbprint": [base64.urlsafe_b64encode(digest).decode().rstrip("=")],
    }
    return {name: values for name, values in wanted.items() if values}


def expected_rfc9440(credential):
    def sequence(der):
        return ":" + base64.b64encode(der).decode() + ":"
    wanted = {"client-cert": [sequence(credential.der)]}
    if credential.chain:
        wanted["client-cert-chain"] = [", ".join(map(sequence, credential.chain_ders()))]
    return wanted


ISSUER = "O=Example Corp,CN=Issuing CA"
PEOPLE = {
    "billing": {"subject": "CN=billing-batch,OU=Payments,O=Example Corp,C=DE",
                "uris": ["spiffe://corp.example/ns/billing/sa/batch"],
                "dns": ["batch.billing.internal", "batch2.billing.internal"], "emails": ["batch@corp.example"]},
    "auditor": {"subject": "CN=ann", "emails": ["ann@audit.example.com"]},
    "empty_subject": {"subject": "", "uris": ["spiffe://corp.example/ns/billing/sa/nameless"]},
    "two_names": {"subject": "CN=second,CN=first,OU=ops,OU=dev", "uris": ["spiffe://corp.example/ns/billing/sa/two"]},
    "awkward": {"subject": 'CN=\\#awkward\\ ,O=Acme\\, \\"Inc.\\" \\+ S\\C3\\B6hne\\; \\<x\\>=y\\\\z',
                "uris": ["spiffe://corp.example/ns/billing/sa/awkward"]},
}


@pytest.mark.parametrize("who", PEOPLE)
def test_the_backend_gets_exactly_what_the_certificate_proves(family_gate, world, shared_backend, who):
    credential = world.clients[who]
    with raw.Client(family_gate, credential) as client:
        assert client.get().status == 200
    wanted = {}
    if "plain" in family_gate.families:
        wanted.update(expected_plain(credential, "all", issuer=ISSUER, **PEOPLE[who]))
    if "rfc9440" in family_gate.families:
        wanted.update(expected_rfc9440(credential))
    assert identity_of(shared_backend.wait()) == wanted


def spellings(name):
    yield name
    yield name.lower()
    yield name.upper()
    for mark in "_.":
        yield name.replace("-", mark)
        yield name.lower().replace("-", mark, 1)


def is_claim(request):
    return CLAIM in request.head.decode("latin-1")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_claim_of_the_client_never_passes_under_any_spelling(family_gate, world, shared_backend, name):
    with raw.Client(family_gate, world.clients["billing"]) as client:
        client.get()
        honest = identity_of(shared_backend.wait())
        for spelling in spellings(name):
            shared_backend.forget()
            answer = client.get(more=f"{spelling}: {CLAIM}\r\nX-Innocent: 1\r\n".encode())
            if answer.status == 200:
                request = shared_backend.wait()
                assert not is_claim(request), spelling
                assert identity_of(request) == honest, spelling
                assert request.one("X-Innocent") == "1"
            else:
                assert answer.status == 400 and shared_backend.requests == [], spelling
                client.again()


@pytest.mark.parametrize("name", FAMILIES)
def test_connection_cannot_delete_what_the_gate_says(family_gate, world, shared_backend, name):
    for spelling in (name, name.lower(), name.replace("-", "_")):
        with raw.Client(family_gate, world.clients["billing"]) as client:
            answer = client.get(more=f"Connection: {spelling}, keep-alive\r\n".encode())
        assert answer.status == 400, spelling
    assert shared_backend.requests == []


@pytest.mark.parametrize("name", PLAIN + RFC9440)
def test_a_claim_in_a_trailer_never_passes(family_gate, world, shared_backend, name):
    with raw.Client(family_gate, world.clients["billing"]) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: billing.internal\r\nTransfer-Encoding: chunked\r\nTrailer: %s\r\n\r\n"
                    b"2\r\nhi\r\n0\r\n%s: %s\r\n\r\n" % (name.encode(), name.encode(), CLAIM.encode()))
        assert client.response("POST").status == 200
    request = shared_backend.wait()
    assert not is_claim(request) and request.body == b"hi"


def test_two_claims_and_a_claim_beside_the_truth_leave_the_truth(family_gate, world, shared_backend):
    with raw.Client(family_gate, world.clients["billing"]) as client:
        client.get()
        honest = identity_of(shared_backend.wait())
        more = "".join(f"{name}: {CLAIM}\r\n" * 2 for name in PLAIN).encode()
        assert client.get(more=more).status == 200
    request = shared_backend.wait(2)
    assert identity_of(request) == honest and not is_claim(request)


def test_an_anonymous_caller_has_no_identity_and_may_not_bring_one(start_gate, world, backend):
    auth = {"mode": "optional", "ca": [str(world.ca_file)], "crl": [str(world.crl_folder)]}
    gate = start_gate(gates.config(
        world, backend.endpoint, listeners=[gates.listener(world, client_auth=auth)],
        callers={"nobody": [{"any": "anonymous"}]}, rules=[{"name": "open", "from": ["nobody"], "upstream": "main"}],
        upstreams={"main": {"endpoints": [backend.endpoint], "identity_headers": ["plain", "rfc9440"]}}))
    with raw.Client(gate) as client:
        for more in (b"", "".join(f"{name}: {CLAIM}\r\n" for name in FAMILIES[:60] if name != "Early-Data").encode()):
            assert client.get(more=more).status == 200
    for request in backend.requests:
        assert identity_of(request) == {"x-client-verify": ["NONE"], "x-client-rule": ["open"]}
        assert not is_claim(request)


def test_the_request_id_of_the_log_is_the_one_that_the_backend_gets(family_gate, world, shared_backend):
    with raw.Client(family_gate, world.clients["billing"]) as client:
        since = len(family_gate.accesses.records)
        client.get()
        record = family_gate.wait_access(since, peer=client.peer)
    assert shared_backend.wait().one("X-Request-Id") == record["id"]


@pytest.mark.parametrize("sent", ["a b", "x" * 1000, "a\"b", "../../etc", "a,b"])
def test_a_request_id_that_is_not_well_formed_is_replaced(family_gate, world, shared_backend, sent):
    with raw.Client(family_gate, world.clients["billing"]) as client:
        client.get(more=f"X-Request-Id: {sent}\r\n".encode())
    assert shared_backend.wait().one("X-Request-Id") != sent


def test_a_response_cannot_be_cached_for_another_identity(family_gate, world, shared_backend):
    shared_backend.default = b"HTTP/1.1 200 OK\r\nVary: Accept, Client-Cert\r\nContent-Length: 0\r\n\r\n"
    with raw.Client(family_gate, world.clients["billing"]) as client:
        assert client.get().all("Vary") == ["*"]
