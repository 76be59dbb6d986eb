"""Certificates of every kind of key, as CA, as intermediate and as the client's own, however the operator has configured OpenSSL."""

import ssl

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lib import gate as gates
from lib import pki, raw

KINDS = {
    "P-256": pki.ec_key,
    "P-384": lambda: pki.ec_key(ec.SECP384R1()),
    "P-521": lambda: pki.ec_key(ec.SECP521R1()),
    "RSA-2048": pki.rsa_key,
    "RSA-3072": lambda: pki.rsa_key(3072),
    "Ed25519": pki.ed25519_key,
    "Ed448": pki.ed448_key,
}
VERSIONS = {"tls1.2": {"maximum": ssl.TLSVersion.TLSv1_2}, "tls1.3": {"minimum": ssl.TLSVersion.TLSv1_3}}
URI = "spiffe://corp.example/ns/billing/sa/keys"
# What the operator may have written into OpenSSL's own configuration; None: nothing.
OPENSSL = {
    "as-installed": None,
    "with-another-provider": "openssl_conf = init\n[init]\nproviders = list\n[list]\ndefault = on\nlegacy = on\n[on]\nactivate = 1\n",
    "with-other-generators": "openssl_conf = init\n[init]\nrandom = random\n[random]\nrandom = HASH-DRBG\ndigest = SHA2-512\n",
}


class Material:
    def __init__(self, folder):
        self.cas, self.crls, self.good, self.revoked = [], [], {}, {}
        for kind, key in KINDS.items():
            root = pki.Authority.root(f"{kind} Root", key=key())
            issuing = root.lower(f"{kind} Issuing", key=key())
            self.good[kind], self.revoked[kind] = (
                issuing.issue(f"{kind} {name}", key=key(), sans=[pki.uri(URI)]).save(folder, f"{kind}-{name}")
                for name in ("good", "revoked"))
            self.cas.append(folder / f"{kind}-root.pem")
            self.cas[-1].write_bytes(root.pem)
            self.crls.append(folder / f"{kind}.crl")
            self.crls[-1].write_bytes(root.crl() + issuing.crl([self.revoked[kind]]))


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material(tmp_path_factory.mktemp("kinds"))


def start_with(start, world, backend, openssl, material, folder):
    """Of the gate's environment alone: this process has read its configuration long ago."""
    auth = {"mode": "required", "ca": [str(path) for path in material.cas], "crl": [str(path) for path in material.crls]}
    with pytest.MonkeyPatch.context() as patch:
        if openssl is not None:
            (folder / "openssl.cnf").write_text(openssl)
            patch.setenv("OPENSSL_CONF", str(folder / "openssl.cnf"))
        return start(gates.config(world, backend.endpoint, gates=2, listeners=[gates.listener(world, client_auth=auth)]))


@pytest.fixture(scope="module", params=OPENSSL)
def gate(request, start_module_gate, world, module_backend, material, tmp_path_factory):
    return start_with(
        start_module_gate, world, module_backend, OPENSSL[request.param], material, tmp_path_factory.mktemp("openssl"))


def fetch(gate, credential, **options):
    with raw.Client(gate, credential, **options) as client:
        return client.get("/").status


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_any_kind_of_key_is_let_in_unless_it_is_revoked(gate, material, kind, version):
    assert fetch(gate, material.good[kind], **VERSIONS[version]) == 200
    refused = gate.refusals("revoked")
    with pytest.raises((ssl.SSLError, ConnectionError, raw.Closed)):
        fetch(gate, material.revoked[kind], **VERSIONS[version])
    gate.wait_metric('sallyport_refusals_total{reason="revoked"}', lambda count: count == refused + 1)


def test_what_openssls_configuration_says_of_tls_is_obeyed(start_gate, world, module_backend, material, tmp_path):
    """The server's key is ECDSA, and the operator wants none of it."""
    strict = ("openssl_conf = init\n[init]\nssl_conf = tls\n[tls]\nsystem_default = all\n"
              "[all]\nSignatureAlgorithms = RSA-PSS+SHA256:RSA+SHA256\n")
    gate = start_with(start_gate, world, module_backend, strict, material, tmp_path)
    with pytest.raises((ssl.SSLError, ConnectionError, raw.Closed)):
        fetch(gate, material.good["RSA-2048"])
    gate.wait_metric('sallyport_refusals_total{reason="no_shared_cipher"}', lambda count: count == 1)
