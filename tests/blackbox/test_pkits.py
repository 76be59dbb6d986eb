"""Every path of NIST PKITS outside certificate policies and DSA has the verdict that NIST gives it: by `sallyport verify`, and for half
of them in a real handshake, with the same CRLs loaded all at once."""

import json
import socket
import ssl

import pytest

from lib import gate as gates
from lib import pkits
from lib.patience import PATIENCE

CASES = pkits.cases()
IDS = [case.number for case in CASES]
# number -> why ours is another verdict than NIST's
KNOWINGLY_OTHER = {}


def arguments(case):
    made = ["--ca", pkits.ANCHOR, "--crl-missing", "reject"]
    for path in case.certs:
        made += ["--intermediates", path]
    for path in case.crls:
        made += ["--crl", path]
    return [*made, case.leaf]


def test_the_table_has_every_case_outside_of_policies_and_dsa():
    assert len(set(IDS)) == 158
    assert len(set(IDS) - set(KNOWINGLY_OTHER)) >= 157


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_path_has_its_verdict(case):
    judged = gates.run("verify", "--json", *arguments(case))
    assert judged.returncode in (0, 3), judged.stderr
    told = json.loads(judged.stdout)
    assert told["accepted"] == (judged.returncode == 0)
    assert told["accepted"] == (case.accepted != (case.number in KNOWINGLY_OTHER)), told
    assert told["accepted"] or (told["reason"] and told["detail"] and told["meaning"])


# ---- as clients ----


@pytest.fixture(scope="module")
def pkits_gate(start_module_gate, world, module_backend, tmp_path_factory):
    # signers of CRLs are believed if the operator knows them; the chain comes from the client
    signers = tmp_path_factory.mktemp("pkits") / "signers.pem"
    signers.write_text("".join(pkits.pem_of(path) for path in pkits.signers()))
    listener = gates.listener(world)
    listener["client_auth"] = {
        "mode": "required", "ca": [str(pkits.ANCHOR)], "intermediates": [str(signers)], "crl": [str(pkits.DATA / "crls")], "crl_missing": "reject"}
    return start_module_gate(gates.config(
        world, module_backend.endpoint, listeners=[listener], callers={"all": [{"any": "authenticated"}]},
        rules=[{"name": "all", "from": ["all"], "upstream": "main"}]))


def knock(gate, chain, key):
    """(peer, the first bytes of the answer or None)"""
    context = ssl.create_default_context(cafile=gate.world.ca_file)
    context.load_cert_chain(chain, key)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(gate.address(), timeout=PATIENCE) as plain:
        peer = gate.note(plain)
        try:
            with context.wrap_socket(plain, server_hostname="billing.internal") as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: billing.internal\r\nConnection: close\r\n\r\n")
                return peer, tls.recv(65536) or None
        except (ssl.SSLError, ConnectionError):
            return peer, None


@pytest.mark.filterwarnings("ignore:Parsed a negative serial number")
@pytest.mark.parametrize("case", CASES[::2], ids=IDS[::2])
def test_a_client_has_the_same_verdict(pkits_gate, tmp_path, case):
    peer, answer = knock(pkits_gate, *case.save_credential(tmp_path))
    if case.accepted != (case.number in KNOWINGLY_OTHER):
        assert answer is not None, pkits_gate.refused(peer)
        assert answer.startswith(b"HTTP/1.1 200 ")
    else:
        assert answer is None
        assert pkits_gate.wait_event("refused", peer=peer)["reason"]
