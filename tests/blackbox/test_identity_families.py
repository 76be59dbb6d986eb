"""Each family of identity headers at a recording backend, whatever the connection: TLS 1.2, 1.3, resumed; names that try to say what
no certificate says; certificates that no head can hold; and headers of the operator's own making."""

import re
import ssl
import subprocess

import pytest
from cryptography import x509

from lib import gate as gates
from lib import identity, pki, raw
from lib.patience import PATIENCE

ISSUER = "O=Example Corp,CN=Issuing CA"
BILLING = "CN=billing-batch,OU=Payments,O=Example Corp,C=DE"
OWN_URI = "spiffe://edge.example/gate"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
DETAILS = [(), ("cert",), ("chain",), ("cert", "chain")]


def settings(world, endpoint, server=None, trusted=(), **upstream):
    listener = gates.listener(world)
    if server:
        listener["tls"]["certificates"] = [{"chain": str(server.chain_file), "key": str(server.key_file)}]
    more = {"trusted_proxies": list(trusted)} if trusted else {}
    return gates.config(
        world, endpoint, listeners=[listener], callers={"everybody": [{"any": "authenticated"}]},
        rules=[{"name": "all", "from": ["everybody"], "upstream": "main"}],
        upstreams={"main": {"endpoints": [endpoint], "forwarding_headers": [], **upstream}}, **more)


@pytest.fixture(scope="module")
def server(world, tmp_path_factory):
    """A server certificate with a URI name, for By."""
    sans = [pki.dns("billing.internal"), pki.uri(OWN_URI), pki.uri("spiffe://edge.example/second")]
    return world.server_root.issue("edge", eku=pki.SERVER, sans=sans).save(tmp_path_factory.mktemp("edge"), "edge")


@pytest.fixture(scope="module", params=DETAILS, ids=lambda d: "+".join(d) or "short")
def full_gate(request, start_module_gate, world, module_backend, server):
    gate = start_module_gate(settings(world, module_backend.endpoint, server, identity_headers=list(identity.BY_FAMILY),
                                      xfcc_details=list(request.param)))
    gate.details = request.param
    return gate


def expected(gate, credential, subject):
    return identity.expected(identity.BY_FAMILY, credential, subject, ISSUER, by=OWN_URI, details=gate.details)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: v.name)
def test_every_family_says_the_same_in_every_version_of_tls(full_gate, world, shared_backend, version):
    credential = world.clients["billing"]
    with raw.Client(full_gate, credential, minimum=version, maximum=version) as client:
        for count in (1, 2):
            assert client.get().status == 200
            assert identity.told(shared_backend.wait(count)) == expected(full_gate, credential, BILLING)


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_every_family_says_the_same_of_a_resumed_session(full_gate, world, shared_backend, tmp_path, version):
    credential, session = world.clients["billing"], tmp_path / "session.pem"
    host, port = full_gate.address()
    for visit in (1, 2):
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "billing.internal", f"-{version}", "-ign_eof",
                   "-CAfile", world.server_ca_file, "-cert", credential.chain_file, "-cert_chain", credential.chain_file, "-key",
                   credential.key_file, "-sess_out", session, *(["-sess_in", session] if visit == 2 else [])]
        done = subprocess.run(list(map(str, command)), capture_output=True, timeout=PATIENCE,
                              input=b"GET / HTTP/1.1\r\nHost: billing.internal\r\nConnection: close\r\n\r\n")
        assert (b"\nReused, " in done.stdout) == (visit == 2), done
        assert identity.told(shared_backend.wait(visit)) == expected(full_gate, credential, BILLING)


@pytest.mark.parametrize("first", ["ec", "rsa"])
def test_by_is_the_same_whichever_of_two_certificates_was_shown(start_gate, world, backend, tmp_path, first):
    auditor = world.clients["auditor"]
    servers = {kind: world.server_root.issue("edge", key=key, eku=pki.SERVER, sans=[
        pki.dns("billing.internal"), pki.uri(f"spiffe://edge.example/{kind}")]).save(tmp_path, kind)
        for kind, key in (("ec", pki.ec_key()), ("rsa", pki.rsa_key()))}
    config = settings(world, backend.endpoint, identity_headers=["xfcc"])
    config["listeners"][0]["tls"]["certificates"] = [
        {"chain": str(servers[kind].chain_file), "key": str(servers[kind].key_file)} for kind in sorted(servers, reverse=first == "rsa")]
    host, port = start_gate(config).address()
    wanted, visits = identity.expected(["xfcc"], auditor, "CN=ann", ISSUER, by=f"spiffe://edge.example/{first}"), 0
    for ciphers in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        for resumed in (False, True):
            session, visits = tmp_path / f"{ciphers}.pem", visits + 1
            command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "billing.internal", "-tls1_2", "-ign_eof",
                       "-cipher", ciphers, "-cert", auditor.chain_file, "-cert_chain", auditor.chain_file, "-key", auditor.key_file,
                       "-sess_out", session, *(["-sess_in", session] if resumed else [])]
            done = subprocess.run(list(map(str, command)), capture_output=True, timeout=PATIENCE,
                                  input=b"GET / HTTP/1.1\r\nHost: billing.internal\r\nConnection: close\r\n\r\n")
            assert (b"\nReused, " in done.stdout) == resumed, done
            assert identity.told(backend.wait(visits)) == wanted, (ciphers, resumed)


# ---- names ----

HOSTILE = {
    "quote_and_comma": [("O", 'Acme, Inc." ;'), ("CN", "a,b")],
    "another_element": [("CN", 'x,Hash=00;Subject="CN=admin')],
    "ends_in_backslash": [("CN", "a\\")],
    "ends_in_quote": [("CN", 'a"')],
    "hex_pairs": [("CN", "\\2C\\22")],
    "blanks": [("CN", " a ")],
    "one_blank": [("CN", " ")],
    "unicode": [("O", "Söhne & Cie."), ("CN", "日本")],
    "two_in_one": [[("CN", "bob"), ("OU", "dev")], ("OU", "a+b")],
    "header": [("CN", "X-Client-Rule: admin")],
}
SANS = [pki.uri("https://x.example/?a=b;c=d"), pki.uri("urn:x;By=y"), pki.dns("a.example")]


@pytest.fixture(scope="module")
def xfcc_gate(start_module_gate, world, module_backend, server):
    return start_module_gate(settings(world, module_backend.endpoint, server, identity_headers=["xfcc", "nginx", "plain"]))


@pytest.mark.parametrize("who", HOSTILE)
def test_a_name_is_read_back_from_xfcc_as_it_stands_in_the_certificate(xfcc_gate, world, shared_backend, tmp_path, who):
    credential = world.issuing.issue(HOSTILE[who], sans=SANS).save(tmp_path, who)
    with raw.Client(xfcc_gate, credential) as client:
        assert client.get().status == 200
    request = shared_backend.wait()
    elements = identity.read_xfcc(request.one("X-Forwarded-Client-Cert"))
    facts = identity.Facts(credential, None, None)
    assert len(elements) == 1
    pairs = [pair for pair in elements[0] if pair[0] != "Subject"]
    assert pairs == [("By", OWN_URI), ("Hash", facts.sha256.hex()), *(("URI", v) for v in facts.uris), ("DNS", "a.example")]
    names = [name for rdn in HOSTILE[who] for name in (rdn if isinstance(rdn, list) else [rdn])]
    for text in (dict(elements[0])["Subject"], request.one("X-SSL-Client-S-DN"), request.one("X-Client-Subject")):
        assert sorted(identity.read_rfc4514(text)) == sorted(names)


@pytest.mark.parametrize("subject", [[("O", 'a",CN=admin')], [("O", "a,CN=admin")], [("CN", "a\";SAN=\"admin.example")]])
def test_a_name_that_traefiks_readers_would_take_for_another_is_refused(full_gate, world, shared_backend, tmp_path, subject):
    credential = world.issuing.issue(subject, sans=SANS).save(tmp_path, "x")
    with raw.Client(full_gate, credential) as client:
        for _ in range(2):
            assert client.get().status == 403
        assert full_gate.wait_access(peer=client.peer)["reason"] == "identity_not_expressible"
    assert shared_backend.requests == []


def test_addresses_and_mails_are_told_to_traefiks_readers(full_gate, world, shared_backend, tmp_path):
    sans = [pki.ip("10.0.0.1"), pki.ip("2001:db8::1"), pki.email("a@b.example"), *SANS]
    names = [("DC", "example"), ("DC", "corp"), ("ST", "BY"), ("L", "M"), ("serialNumber", "1"), ("serialNumber", "2"), ("CN", "x")]
    credential = world.issuing.issue(names, sans=sans, serial=2**159 - 1).save(tmp_path, "x")
    with raw.Client(full_gate, credential) as client:
        assert client.get().status == 200
    got = identity.told(shared_backend.wait(), identity.TRAEFIK)
    assert got == identity.traefik(identity.Facts(credential, None, None))


# ---- size ----

def large(world, folder):
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"\x04" * 14500)
    return world.issuing.issue("large", sans=SANS, extensions=[(padding, False)]).save(folder, "large")


def test_a_certificate_that_no_head_can_hold_is_refused_and_never_cut(full_gate, world, shared_backend, tmp_path):
    credential = large(world, tmp_path)
    with raw.Client(full_gate, credential) as client:
        for _ in range(2):
            assert client.get().status == 431
        assert full_gate.wait_access(peer=client.peer)["reason"] == "identity_too_large"
    assert shared_backend.requests == []
    with raw.Client(full_gate, world.clients["billing"]) as client:
        assert client.get().status == 200


@pytest.mark.parametrize("family", identity.BY_FAMILY)
def test_one_family_alone_holds_a_large_certificate_whole(start_gate, world, backend, tmp_path, family):
    credential = large(world, tmp_path)
    gate = start_gate(settings(world, backend.endpoint, identity_headers=[family],
                               **({"xfcc_details": ["cert"]} if family == "xfcc" else {})))
    with raw.Client(gate, credential) as client:
        assert client.get().status == 200
    assert identity.told(backend.wait()) == identity.expected([family], credential, "CN=large", ISSUER, details=["cert"])


# ---- the operator's own ----

def test_a_template_says_what_the_certificate_proves(start_gate, world, backend, tmp_path):
    headers = {
        "X-Team": "{subject.OU}", "X-Org": "{subject.organizationIdentifier}", "X-Roles": "{psd2.roles}", "X-Type": "{qc_type}",
        "X-Authority": "{psd2.authority} ({psd2.authority_id})", "X-Who": "{caller}", "X-Why": "{rule}",
        "X-Where": "{listener}/{sni}/{tls}", "X-Absent": "{subject.L}", "X-Braces": "{{{serial}}}", "Remote-User": "{subject.CN}",
        "X-Names": "{uri} {dns} {email} {ip}", "X-Policy": "{policy}", "X-Issuer": "{issuer.CN} {issuer}"}
    gate = start_gate(settings(world, backend.endpoint, identity_headers=[], headers=headers))
    sans = [pki.uri("urn:a"), pki.uri("urn:b"), pki.dns("a.example"), pki.email("a@b.example"), pki.ip("10.0.0.1")]
    tpp = world.issuing.qwac("tpp", "PSDDE-BAFIN-1", roles=["PSP_PI", "PSP_AI"], nca=("Bafin, München", "DE-BAFIN"), sans=sans)
    dev = world.issuing.issue([("OU", "a,b"), ("OU", "Söhne\\"), ("CN", "#dev")])
    wanted = {
        "tpp": {"X-Org": "PSDDE-BAFIN-1", "X-Roles": "PSP_PI,PSP_AI", "X-Type": "web", "X-Who": "everybody", "X-Why": "all",
                "X-Authority": "Bafin\\, M\\C3\\BCnchen (DE-BAFIN)", "X-Where": "internal/billing.internal/TLSv1.3",
                "X-Braces": "{%s}" % tpp.serial_hex, "Remote-User": "tpp", "X-Policy": "0.4.0.19495.3.1",
                "X-Names": "urn:a,urn:b a.example a@b.example 10.0.0.1", "X-Issuer": f"Issuing CA {ISSUER}"},
        "dev": {"X-Team": "a\\,b,S\\C3\\B6hne\\\\", "X-Who": "everybody", "X-Why": "all", "X-Braces": "{%s}" % dev.serial_hex,
                "X-Where": "internal/billing.internal/TLSv1.3", "Remote-User": "\\#dev", "X-Issuer": f"Issuing CA {ISSUER}"},
    }
    for name, credential in (("tpp", tpp), ("dev", dev)):
        backend.forget()
        with raw.Client(gate, credential.save(tmp_path, name)) as client:
            claims = "".join(f"{header}: root\r\n" for header in headers).encode()
            assert client.get(more=claims).status == 200
        request = backend.wait()
        assert {key: request.one(key) for key in headers if request.all(key)} == wanted[name]


def test_a_response_that_varies_by_an_own_header_is_not_cached_for_another(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, headers={"X-Team": "{subject.OU}"}))
    backend.default = b"HTTP/1.1 200 OK\r\nVary: x-team\r\nContent-Length: 0\r\n\r\n"
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().all("Vary") == ["*"]


@pytest.mark.parametrize("name, template, says", [
    ("X-A", "{subjct.OU}", "there is no variable {subjct.OU}; did you mean {subject.OU}?"),
    ("X-A", "a {serial", "character 3: '{' without '}'"),
    ("X-Client-Rule", "x", "belongs to a family"),
    ("Transfer-Encoding", "x", "the gate itself"),
    ("X-A", "for {caller}", "must stand alone"),
])
def test_a_header_that_cannot_be_is_refused_at_its_place(world, backend, tmp_path, name, template, says):
    settings_ = settings(world, backend.endpoint, headers={"X-Good": "{uri}", name: template})
    file = tmp_path / "sallyport.yaml"
    file.write_text(gates.yaml.safe_dump(settings_, sort_keys=False))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if re.match(rf"\s+{name}:", text))
    done = gates.run("check", "-c", file)
    assert done.returncode == 2
    assert f"{file}:{line}:" in done.stdout + done.stderr and says in done.stdout + done.stderr


def test_the_page_on_headers_has_every_name_that_is_sent():
    page = (gates.ROOT / "docs/headers.md").read_text()
    for family, names in identity.BY_FAMILY.items():
        part = page.split(f"\n## {family}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `([A-Za-z0-9-]+)`", part, re.M) == names
