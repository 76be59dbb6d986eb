"""NIST's Public Key Interoperability Test Suite, as the Debian package python3-cryptography-vectors installs it: certificates, keys
and CRLs with a known verdict on each path. Which files a case is made of stands in pkits/cases.txt."""

import pathlib
import ssl

from cryptography.hazmat.primitives.serialization import pkcs12

from . import pki

DATA = pathlib.Path("/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data")
TABLE = pathlib.Path(__file__).resolve().parents[1] / "pkits/cases.txt"


class Case:
    def __init__(self, line):
        self.number, verdict, self.name, certs, crls = (field.strip() for field in line.split("|"))
        assert verdict in ("accept", "refuse"), line
        self.accepted = verdict == "accept"
        self.leaf = DATA / "certs" / f"{self.name}.crt"
        self.certs = [DATA / "certs" / f"{name}.crt" for name in certs.split()]
        self.crls = [DATA / "crls" / f"{name}.crl" for name in crls.split()]

    def save_credential(self, folder):
        """(chain file, key file): what a client of this case presents."""
        packed = (DATA / "pkcs12" / f"{self.name}.p12").read_bytes()
        key, _, _ = pkcs12.load_key_and_certificates(packed, b"password")
        chain, key_file = folder / f"{self.name}.pem", folder / f"{self.name}.key"
        chain.write_text("".join(map(pem_of, [self.leaf, *self.certs])))
        key_file.write_bytes(pki.pem_of_key(key))
        return chain, key_file


def pem_of(path):
    """Rewrapped, never parsed: some of these no parser of Python's takes."""
    return ssl.DER_cert_to_PEM_cert(path.read_bytes())


ANCHOR = DATA / "certs/TrustAnchorRootCertificate.crt"


SIGNERS = ("CRLSigning", "CRLCert", "cRLIssuer", "WithOld", "WithNew", "indirectCRLCA")


def signers():
    """Certificates that sign CRLs for certificates that another key or another CA has signed."""
    return sorted({path for case in cases() for path in case.certs if any(word in path.stem for word in SIGNERS)})


def cases():
    lines = TABLE.read_text().splitlines()
    return [Case(line) for line in lines if line and not line.startswith("#")]
