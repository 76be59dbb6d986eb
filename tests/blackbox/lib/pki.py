"""A certificate authority for tests: good certificates and every wrong kind, by python3-cryptography, because `openssl` refuses to make
some of them. Keys are made here, live in the test's temporary folder and go with it.

    ca = Authority.root([("CN", "Root"), ("O", "Corp")])
    ca.issue("x", sans=[uri("spiffe://corp/x"), dns("a.example"), email("a@b.example"), ip("10.0.0.1"), ip("2001:db8::1")])
    ca.issue([("CN", "x"), ("OU", "a"), [("O", "A"), ("OU", "b")]])     # the last two are one RDN
    ca.issue([("CN", "x"), ("2.5.4.97", "PSDDE-BAFIN-1")])              # by OID, or as "organizationIdentifier"
    ca.issue("x", eku=())                                               # none; or ("clientAuth", "1.3.6.1.4.1.311.20.2.2")
    ca.issue("x", policies=["1.3.6.1.4.1.99999.1"])
    ca.issue("x", valid_for=365 * DAY)                                  # or not_before=, not_after=, serial=
    ca.issue("x", key=rsa_key(3072))                                    # ec_key(ec.SECP384R1()), ed25519_key(), ed448_key()
    ca.issue("x", digest=hashes.SHA384())                               # of the signature
    ca.issue("x", extensions=[(qc_statements(type="web", roles=["PSP_AI"], nca=("BaFin", "DE-BAFIN")), False)])
    ca.qwac("tpp", "PSDDE-BAFIN-1", roles=["PSP_AI"])                   # all of that as a payment service provider has it
"""

import datetime
import functools
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)

ATTRIBUTES = {
    "CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME, "L": NameOID.LOCALITY_NAME, "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "DC": NameOID.DOMAIN_COMPONENT, "UID": NameOID.USER_ID, "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS, "organizationIdentifier": x509.ObjectIdentifier("2.5.4.97"),
}
USAGES = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING, "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timeStamping": ExtendedKeyUsageOID.TIME_STAMPING, "OCSPSigning": ExtendedKeyUsageOID.OCSP_SIGNING,
    "anyExtendedKeyUsage": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}


def oid_of(known, kind):
    if isinstance(kind, x509.ObjectIdentifier):
        return kind
    return known[kind] if kind in known else x509.ObjectIdentifier(kind)


def name_of(attributes):
    """[("CN", "x"), ("O", "y")], or "x" for a lone CN. A list within it is one RDN of several attributes."""
    if isinstance(attributes, str):
        attributes = [("CN", attributes)]
    rdns = [rdn if isinstance(rdn, list) else [rdn] for rdn in attributes]
    return x509.Name([x509.RelativeDistinguishedName(
        [x509.NameAttribute(oid_of(ATTRIBUTES, kind), value) for kind, value in rdn]) for rdn in rdns])


def uri(value):
    return x509.UniformResourceIdentifier(value)


def dns(value):
    return x509.DNSName(value)


def email(value):
    return x509.RFC822Name(value)


def ip(value):
    return x509.IPAddress(ipaddress.ip_address(value))


def rsa_key(bits=2048):
    return rsa.generate_private_key(65537, bits)


def ec_key(curve=None):
    return ec.generate_private_key(curve or ec.SECP256R1())


def ed25519_key():
    return ed25519.Ed25519PrivateKey.generate()


def ed448_key():
    return ed448.Ed448PrivateKey.generate()


# ---- QCStatements (RFC 3739 §3.2.6, ETSI EN 319 412-5, ETSI TS 119 495 §5.1), which no library encodes ----

QC_TYPES = {"esign": "0.4.0.1862.1.6.1", "eseal": "0.4.0.1862.1.6.2", "web": "0.4.0.1862.1.6.3"}
PSD2_ROLES = {"PSP_AS": "0.4.0.19495.1.1", "PSP_PI": "0.4.0.19495.1.2", "PSP_AI": "0.4.0.19495.1.3", "PSP_IC": "0.4.0.19495.1.4"}


def der(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([0x80 | len(digits)]) + digits) + content


def der_sequence(*parts):
    return der(0x30, *parts)


def der_utf8(text):
    return der(0x0c, text.encode())


def der_oid(dotted):
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = b""
    for arc in [first * 40 + second, *rest]:
        septets = [arc & 127]
        while arc := arc >> 7:
            septets.insert(0, arc & 127 | 128)
        content += bytes(septets)
    return der(0x06, content)


def qc_statements(*, compliance=True, type="web", roles=None, nca=("BaFin", "DE-BAFIN"), more=()):
    """The extension. `roles` None: no PSD2 statement. `nca` is (NCAName, NCAId); `more` are whole statements as DER."""
    statements = []
    if compliance:
        statements.append(der_sequence(der_oid("0.4.0.1862.1.1")))
    if type is not None:
        statements.append(der_sequence(der_oid("0.4.0.1862.1.6"), der_sequence(der_oid(QC_TYPES[type]))))
    if roles is not None:
        listed = [der_sequence(der_oid(PSD2_ROLES[role]), der_utf8(role)) for role in roles]
        statements.append(der_sequence(
            der_oid("0.4.0.19495.2"), der_sequence(der_sequence(*listed), *(der_utf8(text) for text in nca))))
    return x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"), der_sequence(*statements, *more))


def pem_of_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Credential:
    """A certificate, its key and the certificates above it that go with it on the wire."""

    def __init__(self, cert, key, chain=()):
        self.cert, self.key, self.chain = cert, key, list(chain)
        self.chain_file = self.key_file = None

    @property
    def der(self):
        return self.cert.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)

    @property
    def serial_hex(self):
        digits = f"{self.cert.serial_number:x}"
        return digits if len(digits) % 2 == 0 else "0" + digits

    @property
    def sha256_hex(self):
        return self.cert.fingerprint(hashes.SHA256()).hex()

    def chain_ders(self):
        return [c.public_bytes(serialization.Encoding.DER) for c in self.chain]

    def chain_pem(self):
        return self.pem + b"".join(c.public_bytes(serialization.Encoding.PEM) for c in self.chain)

    def save(self, folder, name):
        """Writes NAME.pem (with its chain) and NAME.key for programs that want files."""
        folder = pathlib.Path(folder)
        self.chain_file, self.key_file = folder / f"{name}.pem", folder / f"{name}.key"
        self.chain_file.write_bytes(self.chain_pem())
        self.key_file.write_bytes(pem_of_key(self.key))
        self.key_file.chmod(0o600)
        return self


class Authority(Credential):
    """A CA: issues certificates, lower CAs and CRLs."""

    @classmethod
    def root(cls, name, *, key=None, **options):
        key = key or ec_key()
        return cls(build(name_of(name), key, name_of(name), key, is_ca=True, **options), key)

    @property
    def chain_for_issued(self):
        """What an issued certificate brings along: everything up to, but without, the root."""
        return [] if self.cert.issuer == self.cert.subject else [self.cert, *self.chain]

    def lower(self, name, *, key=None, **options):
        key = key or ec_key()
        cert = build(name_of(name), key, self.cert.subject, self.key, is_ca=True, **options)
        return Authority(cert, key, self.chain_for_issued)

    def issue(self, name, *, key=None, eku=CLIENT, **options):
        key = key or ec_key()
        cert = build(name_of(name), key, self.cert.subject, self.key, eku=eku, **options)
        return Credential(cert, key, self.chain_for_issued)

    def qwac(self, name, organization_identifier, *, roles=("PSP_AI",), nca=("BaFin", "DE-BAFIN"), **options):
        """A qualified certificate for website authentication of a payment service provider, as it uses it as a client."""
        subject = [("C", "DE"), ("O", f"{name} GmbH"), ("organizationIdentifier", organization_identifier), ("CN", name)]
        options.setdefault("eku", ("serverAuth", "clientAuth"))
        options.setdefault("policies", ["0.4.0.19495.3.1"])  # QCP-w-psd2
        return self.issue(subject, extensions=[(qc_statements(type="web", roles=roles, nca=nca), False)], **options)

    def crl(self, revoked=(), *, last=NOW - HOUR, next=NOW + DAY, number=1, key=None):
        """A CRL as PEM that lists the given credentials or serial numbers."""
        serials = [item if isinstance(item, int) else item.cert.serial_number for item in revoked]
        entries = [x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(last).build() for serial in serials]
        # all at once: one by one, each of them would copy those before it
        builder = (x509.CertificateRevocationListBuilder(self.cert.subject, last, next, revoked_certificates=entries)
                   .add_extension(x509.CRLNumber(number), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False))
        key = key or self.key
        return builder.sign(key, digest_for(key, hashes.SHA256())).public_bytes(serialization.Encoding.PEM)


def build(subject, key, issuer, issuer_key, *, is_ca=False, path_length=None, eku=None, sans=(), constraints=None,
          not_before=NOW - DAY, not_after=NOW + 30 * DAY, valid_for=None, serial=None, policies=(), extensions=(),
          basic=True, digest=hashes.SHA256()):
    """One certificate. Everything about it can be wrong, if asked. What an extension cannot be made of by `cryptography` goes in by
    x509.UnrecognizedExtension, in `extensions`."""
    if valid_for is not None:
        not_after = not_before + valid_for
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
               .serial_number(serial or x509.random_serial_number())
               .not_valid_before(not_before).not_valid_after(not_after))
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), True)
    if is_ca:
        builder = builder.add_extension(key_usage(key_cert_sign=True, crl_sign=True), True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage([oid_of(USAGES, usage) for usage in eku]), False)
    if policies:
        builder = builder.add_extension(x509.CertificatePolicies(
            [x509.PolicyInformation(x509.ObjectIdentifier(policy), None) for policy in policies]), False)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), False)
    if constraints:
        builder = builder.add_extension(constraints, True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, digest_for(issuer_key, digest))


def digest_for(key, wanted):
    return None if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else wanted


def key_usage(**given):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: given.get(name, False) for name in names})


# One a process: it takes longer to make than everything else of a World.
worlds_rsa_key = functools.cache(rsa_key)


class World:
    """The PKI of a test session: one root for clients with several CAs below, one for servers, one that nobody trusts."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.crl_folder = self.folder / "crl"
        self.crl_folder.mkdir()
        self.root = Authority.root([("CN", "Client Root"), ("O", "Example Corp")])
        self.issuing = self.root.lower([("CN", "Issuing CA"), ("O", "Example Corp")])
        self.server_root = Authority.root("Server Root")
        self.stranger_root = Authority.root("Stranger Root")
        self.server = self.server_root.issue(
            "billing.internal", eku=SERVER,
            sans=[dns("billing.internal"), dns("*.wild.internal"), dns("localhost")]).save(self.folder, "server")
        self.other_server = self.server_root.issue(
            "second.internal", eku=SERVER, sans=[dns("second.internal")]).save(self.folder, "second")
        self.clients = {}
        self._make_clients()
        self._make_wrong_clients()
        for name, credential in self.clients.items():
            credential.save(self.folder, name)
        self.ca_file = self._write("clients-ca.pem", self.root.pem)
        self.server_ca_file = self._write("server-ca.pem", self.server_root.pem)
        self.write_crls()

    def _write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def _make_clients(self):
        issue = self.issuing.issue
        self.clients.update(
            billing=issue([("C", "DE"), ("O", "Example Corp"), ("OU", "Payments"), ("CN", "billing-batch")],
                          sans=[uri("spiffe://corp.example/ns/billing/sa/batch"), dns("batch.billing.internal"),
                                dns("batch2.billing.internal"), email("batch@corp.example")]),
            auditor=issue("ann", sans=[email("ann@audit.example.com")]),
            stranger_here=issue("nobody-in-particular", sans=[uri("spiffe://corp.example/ns/other/sa/x")]),
            no_eku=issue("no-eku", eku=None, sans=[uri("spiffe://corp.example/ns/billing/sa/no-eku")]),
            empty_subject=issue([], sans=[uri("spiffe://corp.example/ns/billing/sa/nameless")]),
            two_names=issue([("OU", "dev"), ("OU", "ops"), ("CN", "first"), ("CN", "second")],
                            sans=[uri("spiffe://corp.example/ns/billing/sa/two")]),
            awkward=issue([("O", 'Acme, "Inc." + Söhne; <x>=y\\z'), ("CN", "#awkward ")],
                          sans=[uri("spiffe://corp.example/ns/billing/sa/awkward")]),
            tpp=self.issuing.qwac("tpp", "PSDDE-BAFIN-123456", roles=["PSP_AI", "PSP_PI"],
                                  sans=[uri("spiffe://corp.example/ns/billing/sa/tpp")]),
            rsa=issue("rsa", key=worlds_rsa_key(),
                      sans=[uri("spiffe://corp.example/ns/billing/sa/rsa")]),
        )

    def _make_wrong_clients(self):
        issue, clients = self.issuing.issue, self.clients
        good = [uri("spiffe://corp.example/ns/billing/sa/wrong")]
        self.retired = self.root.lower("Retired CA")
        self.without_crl = self.root.lower("CA without CRL")
        self.with_stale_crl = self.root.lower("CA with stale CRL")
        self.with_foreign_crl = self.root.lower("CA whose CRL another signed")
        self.narrow = self.root.lower("Narrow CA", path_length=0)
        self.constrained = self.root.lower(
            "Constrained CA", constraints=x509.NameConstraints([dns("allowed.example")], None))
        clients.update(
            revoked=issue("revoked", sans=good),
            expired=issue("expired", sans=good, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
            not_yet_valid=issue("not-yet-valid", sans=good, not_before=NOW + DAY),
            server_only=issue("server-only", eku=SERVER, sans=good),
            stranger=self.stranger_root.issue("stranger", sans=good),
            under_retired=self.retired.issue("under-retired", sans=good),
            no_crl=self.without_crl.issue("no-crl", sans=good),
            stale_crl=self.with_stale_crl.issue("stale-crl", sans=good),
            foreign_crl=self.with_foreign_crl.issue("foreign-crl", sans=good),
            below_narrow=self.narrow.lower("Too low CA").issue("below-narrow", sans=good),
            outside_constraint=self.constrained.issue("outside", sans=[dns("x.elsewhere.example")]),
            weak=issue("weak", key=worlds_rsa_key(1024), sans=good),
            nul_in_uri=issue("nul-in-uri", sans=[uri("spiffe://corp.example/ns/billing/\0evil")]),
            crlf_in_uri=issue("crlf", sans=[uri("spiffe://corp.example/ns/billing/x\r\nX-Client-Rule: admin")]),
            nul_in_dns=issue("nul-in-dns", sans=[dns("batch.billing.internal\0.evil.example")]),
            nul_in_cn=issue("billing-batch\0.evil", sans=good),
            unknown_critical=issue("unknown-critical", sans=good, extensions=[
                (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)]),
        )
        leaf = issue("leaf-as-ca", sans=good)
        clients["below_leaf"] = Credential(
            *(lambda c: (c.cert, c.key))(Authority(leaf.cert, leaf.key).issue("below-leaf", sans=good)),
            [leaf.cert, *leaf.chain])
        clients["no_chain"] = Credential(clients["billing"].cert, clients["billing"].key)
        deep = self.issuing
        for level in range(8):
            deep = deep.lower(f"Deep CA {level}")
        clients["deep"] = deep.issue("deep", sans=good)
        padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"\x04" * 24000)
        clients["huge"] = issue("huge", sans=good, extensions=[(padding, False)])

    def write_crls(self, revoked_by_issuing=None):
        """The CRL folder as it is at first, or with other certificates revoked by the issuing CA."""
        revoked = [self.clients["revoked"]] if revoked_by_issuing is None else revoked_by_issuing
        crls = {
            "root": self.root.crl([self.retired]),
            "issuing": self.issuing.crl(revoked),
            "retired": self.retired.crl(),
            "stale": self.with_stale_crl.crl(last=NOW - 9 * DAY, next=NOW - DAY),
            "foreign": self.with_foreign_crl.crl(key=self.stranger_root.key),
            "narrow": self.narrow.crl(),
            "constrained": self.constrained.crl(),
        }
        for name, data in crls.items():
            (self.crl_folder / f"{name}.pem").write_bytes(data)
