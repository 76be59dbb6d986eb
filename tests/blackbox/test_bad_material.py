"""A revocation list or CA file that is no good gives one line that names the file, what is wrong and what happens now, and takes nothing
away from what is in force; and a good one that comes after it is put in force whatever the bad one claimed."""

import datetime

import pytest
import yaml

from lib import gate as gates
from lib import pki, raw


@pytest.fixture
def world(own_world):
    return own_world


def put(path, data):
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    beside.rename(path)


def issued(world, number, revoked=(), **options):
    last = options.pop("last", pki.NOW - pki.HOUR + datetime.timedelta(seconds=number))
    return world.issuing.crl([world.clients["revoked"], *revoked], number=number, last=last, **options)


def reason_of(gate, credential):
    """None: served."""
    with raw.Client(gate, credential) as client:
        try:
            assert client.get().status == 200
            return None
        except (raw.Closed, OSError):
            return gate.wait_event(("refused", "session_ended"), peer=client.peer)["reason"]


def change(gate, act, event="material_changed"):
    """(the event, the warnings and errors about files that came with it)"""
    since = len(gate.events.records)
    act()
    found = gate.wait_event(event, since)
    at = gate.events.records.index(found, since)
    names = ("material_warning", "material_failed")
    return found, [e for e in gate.events.records[since:at + 1] if e["event"] in names]


# name -> (what the file holds then, what the daemon says, what `check` says, its exit code)
BAD_CRLS = {
    "empty": (lambda world: b"", "the file is empty; what was loaded at", "the file is empty", 2),
    "truncated": (lambda world: issued(world, 9)[:-60], "CRL 1 cannot be parsed", "CRL 1 cannot be parsed", 2),
    "the second one truncated": (lambda world: world.narrow.crl() + issued(world, 9)[:-60],
                                 "CRL 2 cannot be parsed", "CRL 2 cannot be parsed", 2),
    "no CRL": (lambda world: b"hello\n", "there is no CRL in the file; what was loaded at", "there is no CRL", 2),
    "another key's": (lambda world: issued(world, 9, key=world.stranger_root.key),
                      "not signed by the key that signed the one before; the one loaded at", "signature verifies under no CA", 0),
    "of the future": (lambda world: issued(world, 9, last=pki.NOW + pki.HOUR), "not in force before", "until then it does not count", 0),
    "older": (lambda world: issued(world, 0), "goes back in time", None, 0),
}


@pytest.fixture
def with_issuing(world):
    """The CA of the bundle that the test is about signs clients, so that `check` can verify its CRL."""
    world.ca_file.write_bytes(world.root.pem + world.issuing.pem)
    put(world.crl_folder / "issuing.pem", issued(world, 1))
    return world.crl_folder / "issuing.pem"


@pytest.mark.parametrize("kind", BAD_CRLS)
def test_a_bad_crl_is_one_line_and_the_good_one_stays(start_gate, world, backend, with_issuing, kind):
    make, said, _, _ = BAD_CRLS[kind]
    gate = start_gate(gates.config(world, backend.endpoint), of=world)
    _, lines = change(gate, lambda: put(with_issuing, make(world)))
    assert len(lines) == 1, lines
    assert str(with_issuing) in lines[0]["detail"] and said in lines[0]["detail"] and "stays in force" in lines[0]["detail"], lines
    assert lines[0]["level"] == "warn" and lines[0]["line"] > 0
    assert reason_of(gate, world.clients["billing"]) is None
    assert reason_of(gate, world.clients["revoked"]) == "revoked"
    _, lines = change(gate, lambda: put(with_issuing, issued(world, 2, [world.clients["billing"]])))
    assert lines == []
    assert reason_of(gate, world.clients["billing"]) == "revoked", "the good one that came after it"


@pytest.mark.parametrize("kind", BAD_CRLS)
def test_check_names_a_bad_crl_in_one_line(world, backend, with_issuing, tmp_path, kind):
    make, _, said, code = BAD_CRLS[kind]
    with_issuing.write_bytes(make(world))
    file = tmp_path / "check.yaml"
    file.write_text(yaml.safe_dump(gates.config(world, backend.endpoint)))
    ran = gates.run("check", "-c", file)
    assert ran.returncode == code, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if str(with_issuing) in line]
    assert len(lines) == (0 if said is None else 1), ran.stderr
    assert said is None or said in lines[0], lines


@pytest.mark.parametrize("stale,said", [
    ("reject", "clients of this CA are refused (crl_stale)"),
    ({"grace": "1s"}, "clients of this CA are refused (crl_stale)"),
    ({"grace": "30d"}, "(crl_stale: grace)"),
    ("accept", "it counts all the same (crl_stale: accept)"),
])
def test_check_says_what_comes_of_a_stale_crl(world, backend, with_issuing, tmp_path, stale, said):
    with_issuing.write_bytes(issued(world, 2, last=pki.NOW - 2 * pki.DAY, next=pki.NOW - pki.DAY))
    listener = gates.listener(world)
    listener["client_auth"]["crl_stale"] = stale
    file = tmp_path / "check.yaml"
    file.write_text(yaml.safe_dump(gates.config(world, backend.endpoint, listeners=[listener])))
    ran = gates.run("check", "-c", file)
    assert ran.returncode == 0, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if f"{with_issuing} is stale: its nextUpdate was" in line]
    assert len(lines) == 1 and said in lines[0], ran.stderr


@pytest.mark.parametrize("kind", ["of nobody known", "of the future"])
def test_what_a_bad_crl_claims_does_not_keep_out_a_good_one(start_gate, world, backend, kind):
    """The CA is one that only clients send along, and none has come: nobody knows whose CRL that is."""
    file = world.crl_folder / "issuing.pem"
    gate = start_gate(gates.config(world, backend.endpoint), of=world)
    bad = issued(world, 99, key=world.stranger_root.key) if kind == "of nobody known" else issued(world, 99, last=pki.NOW + pki.HOUR)
    change(gate, lambda: put(file, bad))
    change(gate, lambda: put(file, issued(world, 2, [world.clients["auditor"]])))
    assert reason_of(gate, world.clients["billing"]) is None
    assert reason_of(gate, world.clients["auditor"]) == "revoked"


BAD_BUNDLES = {
    "empty": (lambda world: b"", "the file is empty"),
    "truncated": (lambda world: world.root.pem[:-60], "PEM block"),
    "no certificate": (lambda world: world.root.crl(), "there is no certificate in the file"),
    "ended": (lambda world: pki.Authority.root("Old", not_before=pki.NOW - 9 * pki.DAY, not_after=pki.NOW - pki.DAY).pem,
              "no CA of client_auth.ca is valid now"),
    "of the future": (lambda world: pki.Authority.root("New", not_before=pki.NOW + pki.DAY).pem, "no CA of client_auth.ca is valid now"),
}


@pytest.mark.parametrize("kind", BAD_BUNDLES)
def test_a_bad_ca_file_is_named_and_the_good_one_stays(start_gate, world, backend, kind):
    make, said = BAD_BUNDLES[kind]
    gate = start_gate(gates.config(world, backend.endpoint), of=world)
    failed, _ = change(gate, lambda: put(world.ca_file, make(world)), event="material_failed")
    assert failed["level"] == "error" and said in failed["detail"] and failed["line"] > 0, failed
    assert str(world.ca_file) in failed["detail"] or "client_auth.ca" in failed["detail"]
    assert "loaded before" in failed["in_force"]
    assert reason_of(gate, world.clients["billing"]) is None
    assert reason_of(gate, world.clients["revoked"]) == "revoked"
