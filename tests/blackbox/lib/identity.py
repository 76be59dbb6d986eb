"""What a backend must be told of a client, worked out from the certificate by `cryptography` and the formats' own descriptions, with
nothing of the gate's; and a reader of X-Forwarded-Client-Cert, from its grammar."""

import base64
import hashlib
import re
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

PLAIN = ["X-Client-Verify", "X-Client-Subject", "X-Client-Issuer", "X-Client-Serial", "X-Client-SAN-URI",
         "X-Client-SAN-DNS", "X-Client-SAN-Email", "X-Client-Cert-SHA256", "X-Client-Not-After", "X-Client-Rule",
         "X-Client-Cert-Thumbprint"]
RFC9440 = ["Client-Cert", "Client-Cert-Chain"]
XFCC = ["X-Forwarded-Client-Cert"]
NGINX = ["X-SSL-Client-Verify", "X-SSL-Client-S-DN", "X-SSL-Client-I-DN", "X-SSL-Client-Serial", "X-SSL-Client-Fingerprint",
         "X-SSL-Client-Cert"]
TRAEFIK = ["X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info"]
ALB = ["X-Amzn-Mtls-Clientcert-Serial-Number", "X-Amzn-Mtls-Clientcert-Issuer", "X-Amzn-Mtls-Clientcert-Subject",
       "X-Amzn-Mtls-Clientcert-Validity", "X-Amzn-Mtls-Clientcert-Leaf"]
OTHERS = ["X-Amzn-Mtls-Clientcert", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
          "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Server", "Early-Data"]
BY_FAMILY = {"plain": PLAIN, "rfc9440": RFC9440, "xfcc": XFCC, "nginx": NGINX, "traefik": TRAEFIK, "alb": ALB}
ALL = [name for names in BY_FAMILY.values() for name in names] + OTHERS


def told(request, names=ALL):
    """The identity headers that came, lower case -> values in order."""
    known = {name.lower() for name in names}
    got = {}
    for name, value in request.fields:
        if name.lower() in known:
            got.setdefault(name.lower(), []).append(value)
    return got


def expected(families, credential, subject, issuer, **details):
    """The same for one that must have been told in all of `families`. `subject` and `issuer` as RFC 4514 writes them."""
    wanted = {}
    for family in families:
        wanted.update(MAKERS[family](Facts(credential, subject, issuer), **details))
    return {name: values for name, values in wanted.items() if values and values != [""]}


class Facts:
    def __init__(self, credential, subject, issuer):
        self.credential, self.cert, self.der = credential, credential.cert, credential.der
        self.subject, self.issuer = subject, issuer
        try:
            names = self.cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = []
        self.uris = [n.value for n in names if isinstance(n, x509.UniformResourceIdentifier)]
        self.dns = [n.value for n in names if isinstance(n, x509.DNSName)]
        self.emails = [n.value for n in names if isinstance(n, x509.RFC822Name)]
        self.ips = [str(n.value) for n in names if isinstance(n, x509.IPAddress)]
        self.sha256 = hashlib.sha256(self.der).digest()

    def time(self, which):
        return getattr(self.cert, which).strftime("%Y-%m-%dT%H:%M:%SZ")

    def pem(self, safe=""):
        return urllib.parse.quote(self.cert.public_bytes(serialization.Encoding.PEM), safe=safe)

    def chain_pem(self):
        return urllib.parse.quote(self.credential.chain_pem(), safe="")


def plain(f, rule="all", **_):
    return {
        "x-client-verify": ["SUCCESS"],
        "x-client-subject": [f.subject],
        "x-client-issuer": [f.issuer],
        "x-client-serial": [f.credential.serial_hex],
        "x-client-san-uri": f.uris,
        "x-client-san-dns": f.dns,
        "x-client-san-email": f.emails,
        "x-client-cert-sha256": [f.sha256.hex()],
        "x-client-not-after": [f.time("not_valid_after")],
        "x-client-rule": [rule],
        "x-client-cert-thumbprint": [base64.urlsafe_b64encode(f.sha256).decode().rstrip("=")],
    }


def sequence(der):
    return ":" + base64.b64encode(der).decode() + ":"


def rfc9440(f, **_):
    return {"client-cert": [sequence(f.der)], "client-cert-chain": [", ".join(map(sequence, f.credential.chain_ders()))]}


def nginx(f, **_):
    return {
        "x-ssl-client-verify": ["SUCCESS"],
        "x-ssl-client-s-dn": [f.subject],
        "x-ssl-client-i-dn": [f.issuer],
        "x-ssl-client-serial": [f.credential.serial_hex.upper()],
        "x-ssl-client-fingerprint": [f.cert.fingerprint(hashes.SHA1()).hex()],
        "x-ssl-client-cert": [f.pem()],
    }


def alb(f, **_):
    return {
        "x-amzn-mtls-clientcert-serial-number": [f.credential.serial_hex.upper()],
        "x-amzn-mtls-clientcert-issuer": [f.issuer],
        "x-amzn-mtls-clientcert-subject": [f.subject],
        "x-amzn-mtls-clientcert-validity":
            [f"NotBefore={f.time('not_valid_before')};NotAfter={f.time('not_valid_after')}"],
        "x-amzn-mtls-clientcert-leaf": [f.pem(safe="+=/")],
    }


TRAEFIK_TYPES = [("DC", "0.9.2342.19200300.100.1.25"), ("C", "2.5.4.6"), ("ST", "2.5.4.8"), ("L", "2.5.4.7"), ("O", "2.5.4.10"),
                 ("OU", "2.5.4.11"), ("SN", "2.5.4.5"), ("CN", "2.5.4.3")]


def traefik_name(name, types):
    pairs = []
    for key, oid in types:
        values = [a.value for a in name.get_attributes_for_oid(x509.ObjectIdentifier(oid))]
        pairs += [f"{key}={value}" for value in (values[-1:] if key in ("SN", "CN") else values)]
    return ",".join(pairs)


def traefik(f, **_):
    fields = [("Subject", traefik_name(f.cert.subject, TRAEFIK_TYPES)),
              ("Issuer", traefik_name(f.cert.issuer, [t for t in TRAEFIK_TYPES if t[0] != "OU"])),
              ("SerialNumber", str(f.cert.serial_number)), ("NB", unix(f.cert.not_valid_before)),
              ("NA", unix(f.cert.not_valid_after)), ("SAN", ",".join(f.dns + f.emails + f.ips + f.uris))]
    info = ";".join(f'{key}="{value}"' for key, value in fields if value)
    return {
        "x-forwarded-tls-client-cert":
            [",".join(base64.b64encode(der).decode() for der in [f.der, *f.credential.chain_ders()])],
        "x-forwarded-tls-client-cert-info": [urllib.parse.quote_plus(info)],
    }


def unix(naive):
    return str((naive - naive.__class__(1970, 1, 1)) // (naive.resolution * 1000000))


def xfcc_element(f, by=None, details=()):
    pairs = [f"By={by}"] if by else []
    pairs.append(f"Hash={f.sha256.hex()}")
    pairs += [f'Cert="{f.pem()}"'] if "cert" in details else []
    pairs += [f'Chain="{f.chain_pem()}"'] if "chain" in details else []
    subject = re.sub(r"\\([^0-9A-Fa-f])", lambda m: f"\\{ord(m[1]):02X}", f.subject)
    pairs.append(f'Subject="{subject}"')
    pairs += [f"URI={quoted(v)}" for v in f.uris] + [f"DNS={quoted(v)}" for v in f.dns]
    return ";".join(pairs)


def quoted(value):
    return f'"{value}"' if re.search("[,;=]", value) else value


def xfcc(f, by=None, details=(), **_):
    return {"x-forwarded-client-cert": [xfcc_element(f, by, details)]}


MAKERS = {"plain": plain, "rfc9440": rfc9440, "xfcc": xfcc, "nginx": nginx, "traefik": traefik, "alb": alb}


# ---- reading ----

PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:\\"|[^"])*)"|([^",;=]*))([,;]|\Z)')


def read_xfcc(text):
    """A list of elements, each a list of (key, value): elements are separated by ',', pairs by ';'; a value in double quotes may
    hold both, and a quote as \\"."""
    elements, at = [[]], 0
    while at < len(text):
        pair = PAIR.match(text, at)
        assert pair, f"no pair at {text[at:at + 80]!r}"
        value = pair[3] if pair[2] is None else pair[2].replace('\\"', '"')
        elements[-1].append((pair[1], value))
        at = pair.end()
        assert pair[4] == "" or at < len(text), f"nothing behind the separator: {text!r}"
        if pair[4] == ",":
            elements.append([])
    return elements


def read_rfc4514(text):
    """[(type, value)] as the certificate has them, first to last; names of one RDN in the order of the text."""
    rdns = re.findall(r"((?:\\.|[^,\\])+)(?:,|\Z)", text)
    names = []
    for rdn in reversed(rdns):
        for attribute in re.findall(r"((?:\\.|[^+\\])+)(?:\+|\Z)", rdn):
            kind, _, value = attribute.partition("=")
            raw = re.sub(rb"\\([0-9A-Fa-f]{2})|\\(.)", lambda m: bytes.fromhex(m[1].decode()) if m[1] else m[2],
                         value.encode("latin-1"))
            names.append((kind, raw.decode()))
    return names
