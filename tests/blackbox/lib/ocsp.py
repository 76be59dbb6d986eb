"""OCSP: the responder that comes with openssl, and responses made by python3-cryptography to be stapled."""

import re
import signal
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from . import pki
from .gate import Lines
from .patience import PATIENCE, until

SIGNING = (ExtendedKeyUsageOID.OCSP_SIGNING,)


def index_line(credential, revoked):
    """A line of what `openssl ca` calls its database."""
    end = credential.cert.not_valid_after.strftime("%y%m%d%H%M%SZ")
    since = (pki.NOW - pki.HOUR).strftime("%y%m%d%H%M%SZ") + ",keyCompromise" if revoked else ""
    return f"{'R' if revoked else 'V'}\t{end}\t{since}\t{credential.serial_hex.upper()}\tunknown\t/CN={credential.serial_hex}\n"


class Responder:
    """`openssl ocsp`, one request at a time. It knows the given certificates of one CA and no other."""

    def __init__(self, folder, authority, *, good=(), revoked=(), signer=None, port=0):
        folder.mkdir()
        signer = (signer or pki.Authority(authority.cert, authority.key)).save(folder, "signer")
        (folder / "ca.pem").write_bytes(authority.pem)
        (folder / "index").write_text(
            "".join([index_line(c, False) for c in good] + [index_line(c, True) for c in revoked]))
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", "openssl", "ocsp", "-index", folder / "index", "-CA", folder / "ca.pem", "-rsigner", signer.chain_file,
             "-rkey", signer.key_file, "-port", str(port), "-text", "-nmin", "10"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.out = Lines(self.process.stdout)
        self.stopped = False
        self.port = self._port()
        self.url = f"http://127.0.0.1:{self.port}/"

    def _port(self):
        line = until(lambda: next((n for n in self.out.noise if n.startswith("ACCEPT ")), None), "the responder's port")
        return int(re.search(r":(\d+) PID=", line)[1])

    @property
    def requests(self):
        return sum("OCSP Request Data:" in line for line in self.out.noise)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if not self.stopped:
            self.stopped = True
            self.process.kill()
            self.process.wait(PATIENCE)
            self.out.join()


def response(credential, issuer, *, this=pki.NOW - pki.HOUR, next=pki.NOW + pki.DAY, revoked=False, signer=None):
    """DER, signed by the issuer or by whom is given."""
    signer = signer or issuer
    made = ocsp.OCSPResponseBuilder().add_response(
        credential.cert, issuer.cert, hashes.SHA1(),
        ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD, this, next,
        this if revoked else None, x509.ReasonFlags.key_compromise if revoked else None,
    ).responder_id(ocsp.OCSPResponderEncoding.NAME, signer.cert).sign(signer.key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)
