"""The throwaway PKI of the benchmark, made with plain openssl: ECDSA P-256 throughout,

    root -> intermediate -> client        (both with a CRL of a few hundred entries, none of them ours)
                         -> server

Clients and the server send leaf + intermediate; the proxies trust the root alone, so that each full handshake builds
and verifies a chain of three and looks into two CRLs.
"""
import subprocess
from pathlib import Path

CRL_ENTRIES = 300

CONFIG = """\
[ca]
default_ca = this
[this]
dir = {dir}
database = $dir/{name}.index
crlnumber = $dir/{name}.crlnumber
default_md = sha256
default_crl_days = 30
crl_extensions = crl_ext
[crl_ext]
authorityKeyIdentifier = keyid:always
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = URI:spiffe://corp.example/ns/billing/sa/batch,DNS:billing.corp.example
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = DNS:localhost,IP:127.0.0.1
"""

SUBJECTS = {
    "root": "/C=US/O=Example Corp/CN=Bench Root",
    "intermediate": "/C=US/O=Example Corp/CN=Bench Intermediate",
    "client": "/C=US/O=Example Corp/OU=Payments/CN=billing-batch",
    "server": "/C=US/O=Example Corp/CN=localhost",
}


def openssl(folder, *args):
    done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"openssl {' '.join(map(str, args))} failed in {folder}:\n{done.stderr}")


def issue(folder, name, issuer):
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", SUBJECTS[name], "-config", "root.cnf",
            "-out", f"{name}.csr")
    signed_by = (["-signkey", "root.key"] if issuer is None else
                 ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"])
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed_by, "-days", "30", "-sha256",
            "-extfile", "root.cnf", "-extensions", name, "-out", f"{name}.pem")


def revoke_others(folder, name):
    """A CRL of `name` over serials that none of our certificates has (ours are 20 random octets)."""
    lines = [f"R\t401231235959Z\t240101000000Z\t{0x10000 + 7919 * i:08X}\tunknown\t/CN=revoked {i}\n"
             for i in range(CRL_ENTRIES)]
    (folder / f"{name}.index").write_text("".join(lines))
    (folder / f"{name}.index.attr").write_text("unique_subject = no\n")
    (folder / f"{name}.crlnumber").write_text("01\n")
    openssl(folder, "ca", "-gencrl", "-config", f"{name}.cnf", "-cert", f"{name}.pem", "-keyfile", f"{name}.key",
            "-out", f"crl/{name}.crl")


def join(folder, out, *parts):
    (folder / out).write_text("".join((folder / part).read_text() for part in parts))


def make(folder: Path):
    """Fills `folder`, which must exist. The names that the rest uses:
    root.pem, crl/ (root.crl, intermediate.crl), crls.pem (both), {server,client}-chain.pem, {server,client}.key,
    server-all.pem (chain and key, as HAProxy wants it)."""
    (folder / "crl").mkdir()
    for name in ("root", "intermediate"):
        (folder / f"{name}.cnf").write_text(CONFIG.format(dir=folder, name=name))
    issue(folder, "root", None)
    issue(folder, "intermediate", "root")
    issue(folder, "client", "intermediate")
    issue(folder, "server", "intermediate")
    for name in ("root", "intermediate"):
        revoke_others(folder, name)
    join(folder, "crls.pem", "crl/root.crl", "crl/intermediate.crl")
    for name in ("server", "client"):
        join(folder, f"{name}-chain.pem", f"{name}.pem", "intermediate.pem")
    join(folder, "server-all.pem", "server-chain.pem", "server.key")
