"""What certs/README.md says of each certificate and each folder of CRLs is what the gate says."""

import pathlib
import re
import subprocess
import types

import pytest

from lib import gate as gates
from lib import raw

ROOT = pathlib.Path(__file__).resolve().parents[2]
# | `client-a.pem`, `client-b.pem` | what it is | let in, or `reason` |
ROWS = re.findall(r"^\| (`client-[^|]*) \|[^|]*\| (?:`([a-z_]+)`|let in) \|$", (ROOT / "certs/README.md").read_text(), re.M)
CLIENTS = [(name, reason) for names, reason in ROWS for name in re.findall(r"`([a-z-]+)\.pem`", names)]


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    """The development PKI, in the shape that the clients of these tests take."""
    folder = tmp_path_factory.mktemp("dev") / "pki"
    subprocess.run([ROOT / "certs" / "make-dev-pki", folder], check=True, stdout=subprocess.DEVNULL)
    server = types.SimpleNamespace(chain_file=folder / "server.pem", key_file=folder / "server.key")
    return types.SimpleNamespace(folder=folder, server=server, ca_file=folder / "root.pem", crl_folder=folder / "crl",
                                 server_ca_file=folder / "root.pem")


def credential(dev, name):
    return types.SimpleNamespace(chain_file=dev.folder / f"{name}.pem", key_file=dev.folder / f"{name}.key")


def verdict(dev, gate, name):
    """None for one who is let in, else the reason."""
    since = len(gate.events.records)
    try:
        with raw.Client(gate, credential(dev, name), sni="localhost") as client:
            assert client.get().status == 403  # the rules know nobody of this PKI
            return None
    except (raw.Closed, OSError):
        return gate.wait_event("refused", since)["reason"]


@pytest.fixture(scope="module")
def dev_gate(dev, start_module_gate, module_backend):
    def start(**client_auth):
        listener = gates.listener(dev)
        listener["client_auth"].update(client_auth)
        return start_module_gate(gates.config(dev, module_backend.endpoint, listeners=[listener]), of=dev)
    return start


def test_each_client_of_the_readme_has_its_verdict(dev, dev_gate):
    made = {path.stem for path in dev.folder.glob("client-*.pem")}
    assert {name for name, _ in CLIENTS} == made
    gate = dev_gate()
    assert [(name, verdict(dev, gate, name) or "") for name, _ in CLIENTS] == CLIENTS


@pytest.mark.parametrize(
    "crls, name, reason",
    [
        ("crl-empty", "client-revoked", None),
        ("crl-stale", "client-good", "crl_stale"),
        ("crl-stale", "client-revoked", "revoked"),
        ("crl-missing", "client-good", "crl_missing"),
    ],
)
def test_each_folder_of_crls_has_its_effect(dev, dev_gate, crls, name, reason):
    assert verdict(dev, dev_gate(crl=[str(dev.folder / crls)]), name) == reason
