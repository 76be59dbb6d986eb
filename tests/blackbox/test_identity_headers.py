"""What a backend is told of who is calling: exactly what the certificate proves, and never what the client claims."""

import pytest

from lib import gate as gates
from lib import identity, raw

PLAIN, RFC9440 = identity.PLAIN, identity.RFC9440
OWN = ["X-Team", "X-Who"]  # of the operator's own making, of an upstream that these requests do not go to
FAMILIES = identity.ALL + OWN
CLAIM = "spoofed-by-the-client"

EVERYBODY = {"callers": {"everybody": [{"any": "authenticated"}]},
             "rules": [{"name": "all", "from": ["everybody"], "upstream": "main"}]}


@pytest.fixture(scope="module", params=[["plain"], ["rfc9440"], ["xfcc", "nginx", "traefik", "alb"], list(identity.BY_FAMILY), []],
                ids=lambda p: "+".join(p) or "none")
def family_gate(request, start_module_gate, world, module_backend):
    gate = start_module_gate(gates.config(world, module_backend.endpoint, **EVERYBODY, upstreams={
        "main": {"endpoints": [module_backend.endpoint], "identity_headers": request.param, "forwarding_headers": []},
        "other": {"endpoints": [module_backend.endpoint], "headers": {"X-Team": "{subject.OU}", "X-Who": "{caller}"}}}))
    gate.families = request.param
    return gate


def identity_of(request):
    return identity.told(request, FAMILIES)


ISSUER = "O=Example Corp,CN=Issuing CA"
PEOPLE = {
    "billing": "CN=billing-batch,OU=Payments,O=Example Corp,C=DE",
    "auditor": "CN=ann",
    "empty_subject": "",
    "two_names": "CN=second,CN=first,OU=ops,OU=dev",
    "awkward": 'CN=\\#awkward\\ ,O=Acme\\, \\"Inc.\\" \\+ S\\C3\\B6hne\\; \\<x\\>=y\\\\z',
}


@pytest.mark.parametrize("who", PEOPLE)
def test_the_backend_gets_exactly_what_the_certificate_proves(family_gate, world, shared_backend, who):
    credential = world.clients[who]
    with raw.Client(family_gate, credential) as client:
        answer = client.get()
        if who == "awkward" and "traefik" in family_gate.families:  # which cannot say a quote
            assert answer.status == 403
            assert family_gate.wait_access(peer=client.peer)["reason"] == "identity_not_expressible"
            return
        assert answer.status == 200
    wanted = identity.expected(family_gate.families, credential, PEOPLE[who], ISSUER)
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
        upstreams={"main": {"endpoints": [backend.endpoint], "identity_headers": list(identity.BY_FAMILY), "forwarding_headers": []}}))
    with raw.Client(gate) as client:
        for more in (b"", "".join(f"{name}: {CLAIM}\r\n" for name in identity.ALL if name != "Early-Data").encode()):
            assert client.get(more=more).status == 200
    for request in backend.requests:
        assert identity_of(request) == {
            "x-client-verify": ["NONE"], "x-ssl-client-verify": ["NONE"], "x-client-rule": ["open"]}
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
