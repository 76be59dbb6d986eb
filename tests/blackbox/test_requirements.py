"""What a listener requires of certificates beside that they verify: each requirement refuses in the handshake, with its own reason,
what does not meet it; and it reaches sessions from before it was required. Every certificate here is made with the field in question."""

import copy
import re
import socket
import ssl

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from lib import gate as gates
from lib import pki, raw
from lib.patience import PATIENCE, until
from lib.pki import DAY, NOW, dns, email, ip, uri

VERSIONS = [{"maximum": ssl.TLSVersion.TLSv1_2}, {"minimum": ssl.TLSVersion.TLSv1_3}]
versions = pytest.mark.parametrize("version", VERSIONS, ids=["tls1.2", "tls1.3"])

CONVENTION = {"uri": {"presence": "must", "patterns": ["spiffe://corp.example/ns/**"]},
              "dns": {"presence": "may", "patterns": ["*.corp.example"]},
              "email": {"presence": "must_not"},
              "ip": {"patterns": ["10.0.0.0/8", "2001:db8::/32"]}}

# One listener each.
REQUIREMENTS = {
    "none": {},
    "validity": {"max_validity": "90d"},
    "key-type": {"key_types": ["ec", "ed25519"]},
    "key-size": {"min_rsa_bits": 3072, "min_ec_bits": 384},
    "signature": {"signature_algorithms": ["ecdsa-with-SHA384", "1.2.840.10045.4.3.4"]},
    "eku": {"eku": ["clientAuth", "1.3.6.1.4.1.311.20.2.2"]},
    "client-eku": {"client_eku": "required"},
    "policies": {"policies": ["1.3.6.1.4.1.99999.1", "0.4.0.19495.3.1"]},
    "names": {"names": CONVENTION},
}

NAMES = [uri("spiffe://corp.example/ns/a/sa/b")]

MET = {
    "validity-of-90-days": ("validity", {"not_before": NOW - DAY, "valid_for": 90 * DAY}),
    "an-ec-key": ("key-type", {}),
    "an-ed25519-key": ("key-type", {"key": pki.ed25519_key}),
    "a-key-of-p384": ("key-size", {"key": lambda: pki.ec_key(pki.ec.SECP384R1())}),
    "a-key-of-3072-bits": ("key-size", {"key": lambda: pki.rsa_key(3072)}),
    "a-type-of-key-without-a-least-size": ("key-size", {"key": pki.ed25519_key}),
    "a-signature-by-name": ("signature", {"digest": hashes.SHA384()}),
    "a-signature-by-oid": ("signature", {"digest": hashes.SHA512()}),
    "both-ekus": ("eku", {"eku": ("serverAuth", "1.3.6.1.4.1.311.20.2.2", "clientAuth")}),
    "client-auth": ("client-eku", {}),
    "both-policies": ("policies", {"policies": ["0.4.0.19495.3.1", "1.3.6.1.4.1.99999.1", "1.2.3"]}),
    "all-names": ("names", {"sans": [*NAMES, dns("a.corp.example"), ip("10.1.2.3"), ip("2001:db8::7")]}),
    "the-least-names": ("names", {"sans": NAMES}),
}

BAD, UNSUPPORTED = "BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE"

# listener, certificate, reason, alert, and what the detail has to name: what was asked and what was found
NOT_MET = {
    "a-second-too-long": ("validity", {"not_before": NOW - DAY, "valid_for": 90 * DAY + DAY / 86400},
                          "validity_too_long", BAD, "max_validity is 90d.*90 d, 1 s too long"),
    "a-year-too-long": ("validity", {"valid_for": 500 * DAY}, "validity_too_long", BAD, "500 d"),
    "an-rsa-key": ("key-type", {"key": pki.rsa_key}, "key_not_allowed", BAD, "rsa.*ec ed25519"),
    "a-key-of-p256": ("key-size", {}, "key_not_allowed", BAD, "384.*256"),
    "a-key-of-2048-bits": ("key-size", {"key": pki.rsa_key}, "key_not_allowed", BAD, "3072.*2048"),
    "another-signature": ("signature", {}, "signature_not_allowed", BAD, "ecdsa-with-SHA384.*signed with ecdsa-with-SHA256"),
    "one-eku-of-two": ("eku", {}, "eku_missing", UNSUPPORTED, r"1\.3\.6\.1\.4\.1\.311\.20\.2\.2"),
    "no-eku-at-all": ("eku", {"eku": ()}, "eku_missing", UNSUPPORTED, "none"),
    "no-client-eku": ("client-eku", {"eku": ()}, "client_eku_missing", UNSUPPORTED, "no extendedKeyUsage"),
    "any-eku-is-not-for-clients": ("client-eku", {"eku": ("anyExtendedKeyUsage",)}, "wrong_purpose", UNSUPPORTED, ""),
    "one-policy-of-two": ("policies", {"policies": ["1.3.6.1.4.1.99999.1"]}, "policy_missing", BAD, r"0\.4\.0\.19495\.3\.1"),
    "any-policy": ("policies", {"policies": ["2.5.29.32.0"]}, "policy_missing", BAD, r"2\.5\.29\.32\.0"),
    "no-policy": ("policies", {}, "policy_missing", BAD, "none"),
    "no-uri": ("names", {"sans": [dns("a.corp.example")]}, "name_convention", BAD, "uri is must"),
    "another-uri": ("names", {"sans": [*NAMES, uri("spiffe://evil.example/ns/a")]}, "name_convention", BAD, "evil"),
    "a-uri-that-begins-alike": ("names", {"sans": [uri("spiffe://corp.example.evil/ns/a")]}, "name_convention", BAD, "evil"),
    "a-dns-name-too-deep": ("names", {"sans": [*NAMES, dns("x.a.corp.example")]}, "name_convention", BAD, "x.a.corp.example"),
    "an-email": ("names", {"sans": [*NAMES, email("a@corp.example")]}, "name_convention", BAD, "email is must_not.*a@corp"),
    "another-address": ("names", {"sans": [*NAMES, ip("10.1.2.3"), ip("11.0.0.1")]}, "name_convention", BAD, "11.0.0.1"),
    "another-address-of-ipv6": ("names", {"sans": [*NAMES, ip("2001:db9::1")]}, "name_convention", BAD, "2001:db9::1"),
}


def listener_of(world, name, require):
    made = gates.listener(world, name)
    if require:
        made["client_auth"]["require"] = require
    return made


def settings(world, endpoint, requirements):
    return gates.config(
        world, endpoint, listeners=[listener_of(world, name, require) for name, require in requirements.items()],
        callers={"someone": [{"any": "authenticated"}]}, rules=[{"name": "all", "from": ["someone"], "upstream": "main"}])


@pytest.fixture(scope="module")
def gate(start_module_gate, world, module_backend):
    return start_module_gate(settings(world, module_backend.endpoint, REQUIREMENTS))


def make(world, folder, options, name="client"):
    options = dict(options)
    if "key" in options:
        options["key"] = options["key"]()
    return world.issuing.issue(name, **options).save(folder, "client")


def refusal(gate, credential, listener, **options):
    """(the event, the alert that the client was sent)"""
    with socket.create_connection(gate.address(listener), timeout=PATIENCE) as plain:
        peer = gate.note(plain)
        with pytest.raises(ssl.SSLError) as broken:
            with raw.context(gate.world, credential, **options).wrap_socket(plain, server_hostname="billing.internal") as tls:
                tls.recv(1)
        return gate.wait_event("refused", peer=peer), re.search("ALERT_(.*)", broken.value.reason)[1]


@versions
@pytest.mark.parametrize("case", MET)
def test_who_meets_it_is_let_in(gate, world, tmp_path, version, case):
    listener, options = MET[case]
    with raw.Client(gate, make(world, tmp_path, options), listener=listener, **version) as client:
        assert client.get().status == 200


@versions
@pytest.mark.parametrize("case", NOT_MET)
def test_who_does_not_is_refused_with_the_requirements_own_reason(gate, world, tmp_path, version, case):
    listener, options, reason, alert, detail = NOT_MET[case]
    credential = make(world, tmp_path, options)
    before = gate.refusals(reason)
    event, sent = refusal(gate, credential, listener, **version)
    assert event["reason"] == reason, event
    assert re.search(detail, event["detail"]), event
    assert sent == alert
    assert gate.refusals(reason) == before + 1
    if reason != "wrong_purpose":  # that is asked everywhere
        with raw.Client(gate, credential, listener="none", **version) as client:
            assert client.get().status == 200


def test_who_is_revoked_is_told_so_whatever_else_is_required(gate, world):
    assert refusal(gate, world.clients["revoked"], "names")[0]["reason"] == "revoked"


# ---- of a caller ----

@pytest.fixture(scope="module")
def caller_gate(start_module_gate, world, module_backend):
    """A caller for each case, known by the CN, with the requirement that the case is about."""
    callers = {case: {"match": [{"subject": {"CN": case}}], "require": copy.deepcopy(REQUIREMENTS[of])}
               for case, (of, *_) in {**MET, **NOT_MET}.items()}
    return start_module_gate(gates.config(
        world, module_backend.endpoint, callers={**callers, "someone": [{"any": "authenticated"}]},
        rules=[{"name": "known", "from": list(callers), "path": "/known", "upstream": "main"},
               {"name": "all", "from": ["someone"], "upstream": "main"}]))


@pytest.mark.parametrize("case", MET)
def test_who_meets_what_its_caller_requires_is_served(caller_gate, world, tmp_path, case):
    with raw.Client(caller_gate, make(world, tmp_path, MET[case][1], case)) as client:
        assert client.get("/known").status == 200


@pytest.mark.parametrize("case", [case for case in NOT_MET if NOT_MET[case][2] != "wrong_purpose"])
def test_who_does_not_meet_what_its_caller_requires_is_answered_403_for_the_same_reason(caller_gate, world, tmp_path, case):
    _, options, reason, _, detail = NOT_MET[case]
    with raw.Client(caller_gate, make(world, tmp_path, options, case)) as client:
        for path in ("/known", "/by-another-rule"):
            assert client.get(path).status == 403
            access = caller_gate.wait_access(peer=client.peer, path=path)
            assert access["reason"] == reason and re.search(detail, access["detail"]) and case in access["detail"], access
    with raw.Client(caller_gate, make(world, tmp_path, options, "somebody-else")) as client:
        assert client.get().status == 200


# ---- sessions from before ----

def test_a_requirement_ends_the_sessions_that_do_not_meet_it(start_gate, world, backend, tmp_path):
    gate = start_gate(settings(world, backend.endpoint, {"internal": {}}))
    good, bad = world.clients["billing"], world.clients["no_eku"]
    with raw.Client(gate, good) as stays, raw.Client(gate, bad) as goes:
        assert stays.get().status == goes.get().status == 200
        assert gate.reload(settings(world, backend.endpoint, {"internal": {"client_eku": "required"}}))["event"] == "reloaded"
        assert gate.wait_event("session_ended", peer=goes.peer)["reason"] == "client_eku_missing"
        goes.expect_end()
        assert stays.get().status == 200


@versions
def test_a_ticket_from_before_does_not_open_what_is_required_now(start_gate, world, backend, version):
    gate = start_gate(settings(world, backend.endpoint, {"internal": {}}))
    context = raw.context(world, world.clients["no_eku"], **version)

    def visit(session):
        with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
            peer = gate.note(plain)
            with context.wrap_socket(plain, server_hostname="billing.internal", session=session) as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
                answered = tls.recv(65536).startswith(b"HTTP/1.1 200 ")
                return peer, answered, tls.session, tls.session_reused

    _, answered, session, _ = visit(None)
    assert answered
    assert visit(session)[1:4:2] == (True, True)
    assert gate.reload(settings(world, backend.endpoint, {"internal": {"client_eku": "required"}}))["event"] == "reloaded"
    since = len(gate.events.records)
    with pytest.raises(ssl.SSLError):
        visit(session)
    assert gate.wait_event("refused", since)["reason"] == "client_eku_missing"


# ---- certificates of payment service providers ----

@versions
def test_a_qwac_with_psd2_roles_is_let_in(gate, world, tmp_path, version):
    both = world.issuing.qwac("tpp", "PSDDE-BAFIN-1", policies=["1.3.6.1.4.1.99999.1", "0.4.0.19495.3.1"]).save(tmp_path, "tpp")
    for listener, credential in (("none", world.clients["tpp"]), ("client-eku", world.clients["tpp"]), ("policies", both)):
        with raw.Client(gate, credential, listener=listener, **version) as client:
            assert client.get().status == 200


STATEMENT = pki.der_sequence(pki.der_oid("0.4.0.1862.1.1"))
MALFORMED = {
    "statements-twice": (pki.qc_statements(more=[STATEMENT]), "certificate_invalid", "twice"),
    "rubbish-behind": (pki.qc_statements(more=[b"\x05\x00"]), "certificate_invalid", "malformed"),
    "a-role-with-anothers-name": (pki.qc_statements(more=[pki.der_sequence(
        pki.der_oid("0.4.0.19495.2"), pki.der_sequence(
            pki.der_sequence(pki.der_sequence(pki.der_oid("0.4.0.19495.1.3"), pki.der_utf8("PSP_PI"))),
            pki.der_utf8("BaFin"), pki.der_utf8("DE-BAFIN")))]), "certificate_invalid", "the OID of another"),
    "a-line-break-in-the-authority": (pki.qc_statements(roles=["PSP_AI"], nca=("BaFin", "DE\r\nX-Client-Rule: all")),
                                      "hostile_name", r"DE\\x0d\\x0aX-Client"),
    "an-empty-authority": (pki.qc_statements(roles=["PSP_AI"], nca=("", "DE-BAFIN")), "certificate_invalid", "1 to 256"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_statements_that_cannot_be_read_in_one_way_refuse_the_certificate(gate, world, tmp_path, case):
    extension, reason, detail = MALFORMED[case]
    event, alert = refusal(gate, make(world, tmp_path, {"extensions": [(extension, False)]}), "none")
    assert (event["reason"], alert) == (reason, BAD)
    assert re.search(detail, event["detail"]), event


def test_policies_without_a_policy_refuse_the_certificate(gate, world, tmp_path):
    policies = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.32"), b"\x30\x00")
    event, _ = refusal(gate, make(world, tmp_path, {"extensions": [(policies, False)]}), "none")
    assert event["reason"] == "certificate_invalid" and "certificatePolicies" in event["detail"]


# ---- the transition of client_eku ----

def test_clients_without_client_eku_are_counted_by_their_issuer(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, {"internal": {}, "strict": {"client_eku": "required"}}))
    name = 'sallyport_client_eku_missing_total{issuer="O=Example Corp,CN=Issuing CA"}'
    assert name not in gate.metrics()
    for _ in range(2):
        with raw.Client(gate, world.clients["no_eku"]) as client:
            assert client.get().status == 200
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
    refusal(gate, world.clients["no_eku"], "strict")
    until(lambda: gate.metrics().get(name) == 2, "two clients to be counted")
    assert gate.metrics()['sallyport_client_eku_missing_total{issuer="other"}'] == 0


# ---- mistakes ----

MISTAKES = {
    "an-unknown-signature-algorithm": ({"signature_algorithms": ["ecdsa-with-SHA257"]}, "ecdsa-with-SHA257"),
    "a-digest-for-a-signature-algorithm": ({"signature_algorithms": ["SHA256"]}, "SHA256"),
    "an-unknown-eku": ({"eku": ["clientAuht"]}, "clientAuht"),
    "a-policy-that-is-no-oid": ({"policies": ["1.2.03"]}, "1.2.03"),
    "an-unknown-key-type": ({"key_types": ["dsa"]}, "dsa"),
    "a-star-in-the-authority": ({"names": {"uri": {"patterns": ["spiffe://*/x"]}}}, "spiffe://*/x"),
    "bits-behind-the-prefix": ({"names": {"ip": {"patterns": ["10.0.0.1/8"]}}}, "10.0.0.1/8"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_refused_at_load_with_its_place(world, tmp_path, case):
    require, word = MISTAKES[case]
    file = tmp_path / "x.yaml"
    file.write_text(yaml.safe_dump(settings(world, "127.0.0.1:1", {"internal": require}), sort_keys=False))
    line = 1 + next(at for at, text in enumerate(file.read_text().splitlines()) if word in text)
    done = gates.run("check", "-c", file)
    assert done.returncode == 2
    said = [text for text in (done.stdout + done.stderr).splitlines() if f"x.yaml:{line}:" in text and word in text]
    assert len(said) == 1 and "error" in said[0], done.stdout + done.stderr
