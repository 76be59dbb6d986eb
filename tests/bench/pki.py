"""The throwaway PKIs of the benchmark, made with plain openssl: ECDSA P-256 throughout, or RSA-2048 throughout,

    root -> intermediate -> client        (both with a CRL of a few hundred entries, none of them ours)
                         -> server
                         -> revoked       (as the client; only the CRLs of large_crls() name it)

Clients and the server send leaf + intermediate; the proxies trust the root alone, so that each full handshake builds
and verifies a chain of three and looks into two CRLs.
"""
import base64
import hashlib
import subprocess
from pathlib import Path

CRL_ENTRIES = 300
KEY_COMMANDS = {
    "ecdsa": ("ecparam", "-name", "prime256v1", "-genkey", "-noout"),
    "rsa": ("genrsa", "-traditional"),  # 2048 bits
}

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
    "revoked": "/C=US/O=Example Corp/OU=Payments/CN=billing-batch",
}


def openssl(folder, *args):
    done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"openssl {' '.join(map(str, args))} failed in {folder}:\n{done.stderr}")


def issue(folder, name, issuer, keys="ecdsa"):
    openssl(folder, *KEY_COMMANDS[keys], "-out", f"{name}.key")
    openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", SUBJECTS[name], "-config", "root.cnf",
            "-out", f"{name}.csr")
    signed_by = (["-signkey", "root.key"] if issuer is None else
                 ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"])
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed_by, "-days", "30", "-sha256",
            "-extfile", "root.cnf", "-extensions", "client" if name == "revoked" else name, "-out", f"{name}.pem")


def revoke_others(folder, name):
    """A CRL of `name` over serials that none of our certificates has (ours are 20 random octets)."""
    lines = [f"R\t401231235959Z\t240101000000Z\t{0x10000 + 7919 * i:08X}\tunknown\t/CN=revoked {i}\n"
             for i in range(CRL_ENTRIES)]
    (folder / f"{name}.index").write_text("".join(lines))
    (folder / f"{name}.index.attr").write_text("unique_subject = no\n")
    if not (folder / f"{name}.crlnumber").exists():
        (folder / f"{name}.crlnumber").write_text("01\n")
    openssl(folder, "ca", "-gencrl", "-config", f"{name}.cnf", "-cert", f"{name}.pem", "-keyfile", f"{name}.key",
            "-out", f"crl/{name}.crl")


def join(folder, out, *parts):
    (folder / out).write_text("".join((folder / part).read_text() for part in parts))


def make(folder: Path, keys="ecdsa"):
    """Fills `folder`, which must exist. The names that the rest uses:
    root.pem, crl/ (root.crl, intermediate.crl), crls.pem (both), {server,client,revoked}-chain.pem and .key,
    server-all.pem (chain and key, as HAProxy wants it)."""
    (folder / "crl").mkdir()
    for name in ("root", "intermediate"):
        (folder / f"{name}.cnf").write_text(CONFIG.format(dir=folder, name=name))
    issue(folder, "root", None, keys)
    issue(folder, "intermediate", "root", keys)
    for name in ("client", "server", "revoked"):
        issue(folder, name, "intermediate", keys)
    for name in ("root", "intermediate"):
        revoke_others(folder, name)
    join(folder, "crls.pem", "crl/root.crl", "crl/intermediate.crl")
    for name in ("server", "client", "revoked"):
        join(folder, f"{name}-chain.pem", f"{name}.pem", "intermediate.pem")
    join(folder, "server-all.pem", "server-chain.pem", "server.key")


def make_all(folder: Path):
    """The PKI of each kind of key where tools.pki_of() looks for it."""
    for keys in KEY_COMMANDS:
        where = folder if keys == "ecdsa" else folder.with_name(f"{folder.name}-{keys}")
        where.mkdir()
        make(where, keys)


# ---- CRLs of a million entries ----

def read_der(data, at=0):
    """(where the value begins, where it ends) of the element at `at`."""
    length, begin = data[at + 1], at + 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[at + 2:begin], "big")
    return begin, begin + length


def elements(data):
    """The elements that a sequence is made of, each whole."""
    (at, end), found = read_der(data), []
    while at < end:
        after = read_der(data, at)[1]
        found.append(data[at:after])
        at = after
    return found


def sequence(*parts):
    body = b"".join(parts)
    size = len(body).to_bytes(4, "big").lstrip(b"\0") or b"\0"
    return b"\x30" + (size if len(body) < 0x80 else bytes([0x80 | len(size)]) + size) + body


def entries(count, more):
    """`count` entries of random serials of 20 octets, and those of `more` (whole INTEGERs)."""
    date = b"\x17\x0d240101000000Z"
    noise = hashlib.shake_128(b"serials").digest(19 * count)
    begin = b"\x30\x25\x02\x14\x40"  # 0x40: positive and of full length
    size = len(begin) + 19 + len(date)
    many = bytearray((begin + bytes(19) + date) * count)
    for place in range(19):
        many[len(begin) + place::size] = noise[place::19]
    return sequence(bytes(many), *(sequence(serial, date) for serial in more))


def serial_of(folder, name):
    """The serial of a certificate as an INTEGER."""
    openssl(folder, "x509", "-in", f"{name}.pem", "-outform", "DER", "-out", f"{name}.der")
    return elements(elements((folder / f"{name}.der").read_bytes())[0])[1]


def large_crl(folder, count, more):
    """A CRL of the intermediate in DER, newer than all before: a small one whose list of entries is exchanged."""
    revoke_others(folder, "intermediate")
    openssl(folder, "crl", "-in", "crl/intermediate.crl", "-outform", "DER", "-out", "small.der")
    inner, algorithm, _signature = elements((folder / "small.der").read_bytes())
    version, inner_algorithm, issuer, this_update, next_update, _few, *extensions = elements(inner)
    inner = sequence(version, inner_algorithm, issuer, this_update, next_update, entries(count, more), *extensions)
    (folder / "large.tbs").write_bytes(inner)
    openssl(folder, "dgst", "-sha256", "-sign", "intermediate.key", "-out", "large.sig", "large.tbs")
    signature = b"\0" + (folder / "large.sig").read_bytes()
    assert len(signature) < 0x80  # of an ECDSA key
    return sequence(inner, algorithm, b"\x03" + bytes([len(signature)]) + signature)


def large_crls(folder: Path, count):
    """The intermediate's CRL with `count` entries, and a newer one that names the `revoked` client, too: large-1.der and
    large-2.der; and large-1.pem and large-2.pem, which are as crls.pem is."""
    root = (folder / "crl" / "root.crl").read_text()
    for number, more in ((1, ()), (2, (serial_of(folder, "revoked"),))):
        crl = large_crl(folder, count, more)
        (folder / f"large-{number}.der").write_bytes(crl)
        text = base64.encodebytes(crl).decode()  # lines of 76 characters, which every reader of PEM takes
        (folder / f"large-{number}.pem").write_text(f"{root}-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n")
