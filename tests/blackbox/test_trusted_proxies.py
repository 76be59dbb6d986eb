"""A proxy in front that may speak for its own clients: by its certificate and its address, in the families that it was trusted with,
and in nothing else. Whoever is not trusted says nothing."""

import pytest

from lib import gate as gates
from lib import identity, raw

ISSUER = "O=Example Corp,CN=Issuing CA"
EDGE = "CN=billing-batch,OU=Payments,O=Example Corp,C=DE"
THEIRS = 'By=spiffe://edge.example/e;Hash=00aa;Subject="CN=real,O=A\\2C B";URI=spiffe://corp.example/real'


def settings(world, endpoint, proxies, families=tuple(identity.BY_FAMILY)):
    return gates.config(
        world, endpoint, trusted_proxies=proxies,
        callers={"everybody": [{"any": "authenticated"}], "edge": [{"uri": "spiffe://corp.example/ns/billing/sa/batch"}]},
        rules=[{"name": "all", "from": ["everybody"], "upstream": "main"}],
        upstreams={"main": {"endpoints": [endpoint], "identity_headers": list(families), "forwarding_headers": [], "headers": {"X-Who": "{caller}"}}})


def claims(names):
    return "".join(f"{name}: claim-{i}\r\n" for i, name in enumerate(names)).encode()


def honest(credential, subject, families=tuple(identity.BY_FAMILY)):
    return identity.expected(families, credential, subject, ISSUER)


def visit(gate, backend, credential, more):
    backend.forget()
    with raw.Client(gate, credential) as client:
        answer = client.get(more=more)
        if answer.status != 200:
            assert backend.requests == []
            return answer.status, gate.wait_access(peer=client.peer)["reason"]
    return identity.told(backend.wait(), [*identity.ALL, "X-Who"])


@pytest.mark.parametrize("family", [name for name in identity.BY_FAMILY if name != "xfcc"])
def test_what_it_was_trusted_with_goes_on_as_it_said_it_and_nothing_else_does(start_gate, world, backend, family):
    gate = start_gate(settings(world, backend.endpoint, [{"from": ["edge"], "identity_headers": [family]}]))
    names = [name for name in identity.ALL if name != "Early-Data"]
    got = visit(gate, backend, world.clients["billing"], claims([*names, "X-Who"]))
    passed = {name.lower() for name in identity.BY_FAMILY[family]} - {"x-client-rule"}
    if family == "alb":
        passed.add("x-amzn-mtls-clientcert")
    wanted = honest(world.clients["billing"], EDGE, [f for f in identity.BY_FAMILY if f != family])
    wanted.update({name.lower(): [f"claim-{i}"] for i, name in enumerate(names) if name.lower() in passed})
    wanted.update({"x-client-rule": ["all"], "x-who": ["everybody"]})
    assert got == wanted


def test_whoever_is_not_that_caller_says_nothing(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, [
        {"from": ["edge"], "identity_headers": ["plain", "rfc9440", "nginx", "traefik", "alb"], "xfcc": "append_forward"}]))
    auditor = world.clients["auditor"]
    got = visit(gate, backend, auditor, claims([n for n in identity.ALL if n != "Early-Data"]))
    assert got == {**honest(auditor, "CN=ann"), "x-who": ["everybody"]}


@pytest.mark.parametrize("source, trusted", [("127.0.0.0/8", True), ("10.0.0.0/8", False), ("::1", False)])
def test_its_address_counts_as_well(start_gate, world, backend, source, trusted):
    gate = start_gate(settings(world, backend.endpoint, [
        {"from": ["edge"], "source": source, "identity_headers": ["rfc9440"]}], ["rfc9440"]))
    got = visit(gate, backend, world.clients["billing"], b"Client-Cert: :AAAA:\r\n")
    theirs = {"client-cert": [":AAAA:"]}
    assert got == {**(theirs if trusted else honest(world.clients["billing"], EDGE, ["rfc9440"])), "x-who": ["everybody"]}


@pytest.mark.parametrize("mode, sent, becomes", [
    ("sanitize_set", THEIRS, "{ours}"), ("sanitize_set", None, "{ours}"),
    ("append_forward", THEIRS, "{theirs},{ours}"), ("append_forward", None, "{ours}"),
    ("forward_only", THEIRS, "{theirs}"), ("forward_only", None, None),
])
def test_xfcc_has_three_modes(start_gate, world, backend, mode, sent, becomes):
    gate = start_gate(settings(world, backend.endpoint, [{"from": ["edge"], "identity_headers": ["nginx"], "xfcc": mode}], ["xfcc"]))
    more = f"X-Forwarded-Client-Cert: {sent}\r\n".encode() if sent else b""
    ours = honest(world.clients["billing"], EDGE, ["xfcc"])["x-forwarded-client-cert"][0]
    for _ in range(2):
        got = visit(gate, backend, world.clients["billing"], more).get("x-forwarded-client-cert")
        assert got == (None if becomes is None else [becomes.format(theirs=THEIRS, ours=ours)])
    if mode == "append_forward" and sent:
        elements = identity.read_xfcc(got[0])
        assert [dict(e)["Subject"] for e in elements] == ["CN=real,O=A\\2C B", EDGE]
    # from anybody else nothing goes on, whatever the mode
    auditor = world.clients["auditor"]
    assert visit(gate, backend, auditor, more) == {**honest(auditor, "CN=ann", ["xfcc"]), "x-who": ["everybody"]}


@pytest.mark.parametrize("mode", ["append_forward", "forward_only"])
def test_two_fields_of_a_proxy_are_one_too_many(start_gate, world, backend, mode):
    gate = start_gate(settings(world, backend.endpoint, [
        {"from": ["edge"], "identity_headers": ["rfc9440"], "xfcc": mode}], ["xfcc"]))
    twice = f"X-Forwarded-Client-Cert: {THEIRS}\r\nx-forwarded-client-cert: Hash=00bb\r\n".encode()
    assert visit(gate, backend, world.clients["billing"], twice) == (400, "ambiguous_header")
    assert visit(gate, backend, world.clients["billing"], b"Client-Cert: :AA==:\r\nClient-Cert: :AA==:\r\n") == (400, "ambiguous_header")
    assert "x-who" in visit(gate, backend, world.clients["auditor"], twice)  # dropped: nobody is confused by it


@pytest.mark.parametrize("value", [b"a\tb", "Söhne".encode(), b"\xff"])
def test_what_goes_on_is_printable_ascii(start_gate, world, backend, value):
    gate = start_gate(settings(world, backend.endpoint, [{"from": ["edge"], "identity_headers": ["plain"]}]))
    more = b"X-Client-Subject: CN=x" + value + b"y\r\n"
    assert visit(gate, backend, world.clients["billing"], more) == (400, "bad_header")


@pytest.mark.parametrize("theirs", ['Hash=00;Subject="CN=a', '"', 'Hash=00;Subject="CN=a\\"', 'URI=a"'])
def test_what_would_swallow_our_element_is_not_continued(start_gate, world, backend, theirs):
    gate = start_gate(settings(world, backend.endpoint, [{"from": ["edge"], "xfcc": "append_forward"}], ["xfcc"]))
    more = f"X-Forwarded-Client-Cert: {theirs}\r\n".encode()
    assert visit(gate, backend, world.clients["billing"], more) == (400, "bad_header")
    assert "x-forwarded-client-cert" in visit(gate, backend, world.clients["auditor"], more)  # it was stripped


@pytest.mark.parametrize("spelling", ["Client_Cert", "client.cert", "CLIENT!CERT", "X-Client-Subject-DN"])
def test_only_the_exact_name_goes_on(start_gate, world, backend, spelling):
    gate = start_gate(settings(world, backend.endpoint, [
        {"from": ["edge"], "identity_headers": ["rfc9440", "plain"]}], ["nginx"]))
    backend.forget()
    with raw.Client(gate, world.clients["billing"]) as client:
        answer = client.get(more=f"{spelling}: claim\r\n".encode())
        assert answer.status in (200, 400)
    if answer.status == 200:
        assert b"claim" not in backend.wait().head


def test_a_proxy_cannot_delete_what_the_gate_says_either(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, [{"from": ["edge"], "identity_headers": ["rfc9440"]}]))
    for name in ("Client-Cert", "X-Client-Rule", "X-Who"):
        assert visit(gate, backend, world.clients["billing"], f"Connection: {name}\r\n".encode()) == (400, "protected_header")
