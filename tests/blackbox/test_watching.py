"""Files that change are put in force without a signal; what is not good changes nothing, and is named once."""

import ctypes
import datetime
import os
import pathlib
import ssl

import pytest

from lib import gate as gates
from lib import pki, raw
from lib.load import Load
from lib.patience import until

OK, FAILED = 'sallyport_renewals_total{result="ok"}', 'sallyport_renewals_total{result="failed"}'


@pytest.fixture
def world(own_world):
    return own_world


@pytest.fixture
def gate(start_gate, world, backend):
    return start_gate(gates.config(world, backend.endpoint), of=world)


def put(path, data):
    """As those do who know how: beside it first, then renamed."""
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    beside.rename(path)


def newer(world, revoked, number):
    """The issuing CA's CRL, newer with each number."""
    return world.issuing.crl([world.clients["revoked"], *revoked], number=number,
                             last=pki.NOW - pki.HOUR + datetime.timedelta(seconds=number))


def renew(gate, change, event="material_changed"):
    """Makes the change; returns the event that says what came of it."""
    since = len(gate.events.records)
    change()
    return gate.wait_event(event, since)


def reason_of(gate, credential):
    """None: served. Else why not, as the log says."""
    try:
        client = raw.Client(gate, credential)
    except (OSError, ssl.SSLError):
        return "no handshake"
    with client:
        try:
            assert client.get().status == 200
            return None
        except (raw.Closed, OSError):
            return gate.wait_event(("refused", "session_ended"), peer=client.peer)["reason"]


def events(gate, *names):
    return [e for e in gate.events.records if e["event"] in names]


def served_certificate(gate, world):
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        return client.tls.getpeercert(binary_form=True)


def test_a_new_crl_revokes_without_a_signal(gate, world):
    file = world.crl_folder / "issuing.pem"
    assert reason_of(gate, world.clients["billing"]) is None
    event = renew(gate, lambda: put(file, newer(world, [world.clients["billing"]], 2)))
    assert event["generation"] == 2 and event["level"] == "info" and event["file"] == str(world.crl_folder)
    assert reason_of(gate, world.clients["billing"]) == "revoked"
    metrics = gate.metrics()
    assert metrics[OK] == 1 and metrics[FAILED] == 0
    assert metrics["sallyport_configuration_generation"] == 2


def mount(world, folder, stamp, crl):
    """What kubelet makes of a secret: ..STAMP/ with the files, and the links if they are not there yet."""
    (folder / f"..{stamp}").mkdir(parents=True)
    files = {"tls.crt": world.server.chain_file.read_bytes(), "tls.key": world.server.key_file.read_bytes(),
             "ca.crt": world.ca_file.read_bytes(), "root.crl": world.root.crl([world.retired]), "issuing.crl": crl}
    for name, data in files.items():
        (folder / f"..{stamp}" / name).write_bytes(data)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(f"..{stamp}")
    (folder / "..data_tmp").rename(folder / "..data")


@pytest.mark.parametrize("named", ["files", "folder"])
def test_a_secret_that_kubernetes_swaps_is_put_in_force(start_gate, world, backend, tmp_path, named):
    secret = tmp_path / "secret"
    mount(world, secret, "2026_a", newer(world, [], 1))
    listener = gates.listener(
        world, tls={"certificates": [{"chain": str(secret / "tls.crt"), "key": str(secret / "tls.key")}]},
        client_auth={"mode": "required", "ca": [str(secret / "ca.crt")],
                     "crl": [str(secret / "root.crl"), str(secret / "issuing.crl")]})
    if named == "folder":
        crls = tmp_path / "crls"
        crls.mkdir()
        for name in ("root.crl", "issuing.crl"):
            (crls / name).symlink_to(secret / name)
        listener["client_auth"]["crl"] = [str(crls)]
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[listener]), of=world)
    assert reason_of(gate, world.clients["billing"]) is None
    renew(gate, lambda: mount(world, secret, "2026_b", newer(world, [world.clients["billing"]], 2)))
    assert reason_of(gate, world.clients["billing"]) == "revoked"
    renew(gate, lambda: mount(world, secret, "2026_c", newer(world, [], 3)))
    assert reason_of(gate, world.clients["billing"]) is None


def test_a_half_written_crl_changes_nothing_is_named_once_and_taken_when_it_is_whole(gate, world):
    file = world.crl_folder / "issuing.pem"
    whole = newer(world, [world.clients["billing"]], 2)
    half = ("material_warning", "material_failed")
    event = renew(gate, lambda: file.write_bytes(whole[:len(whole) // 2]), half)
    assert "issuing.pem" in event["detail"]
    assert reason_of(gate, world.clients["billing"]) is None
    assert reason_of(gate, world.clients["revoked"]) == "revoked"

    tries = gate.metrics()[OK] + gate.metrics()[FAILED]
    file.write_bytes(whole[:len(whole) // 2])  # stirred, but no better
    until(lambda: gate.metrics()[OK] + gate.metrics()[FAILED] > tries, "another try")
    assert len([e for e in events(gate, *half) if "issuing.pem" in e["detail"]]) == 1

    def finish():
        with file.open("ab") as out:
            out.write(whole[len(whole) // 2:])

    renew(gate, finish)
    until(lambda: reason_of(gate, world.clients["billing"]) == "revoked", "the whole CRL in force")
    assert len([e for e in events(gate, *half) if "issuing.pem" in e["detail"]]) == 1


def test_a_broken_crl_holds_up_no_other(gate, world):
    renew(gate, lambda: put(world.crl_folder / "narrow.pem", b"no CRL at all\n"), ("material_warning", "material_failed"))
    put(world.crl_folder / "issuing.pem", newer(world, [world.clients["billing"]], 2))
    until(lambda: reason_of(gate, world.clients["billing"]) == "revoked", "the good CRL in force")


@pytest.mark.parametrize("first", ["chain", "key"])
def test_a_certificate_and_its_key_rotate_under_load_whichever_comes_first(gate, world, first):
    fresh = world.server_root.issue("billing.internal", eku=pki.SERVER, sans=[pki.dns("billing.internal")])
    files = [(world.server.chain_file, fresh.chain_pem()), (world.server.key_file, pki.pem_of_key(fresh.key))]
    if first == "key":
        files.reverse()
    assert served_certificate(gate, world) == world.server.der
    load = Load(gate, world.clients["billing"])
    try:
        load.wait_more(20)
        event = renew(gate, lambda: put(*files[0]), "material_failed")
        assert event["level"] == "error" and event["line"] > 0
        load.wait_more(20)
        assert served_certificate(gate, world) == world.server.der
        renew(gate, lambda: put(*files[1]))
        assert served_certificate(gate, world) == fresh.der
        load.wait_more(20)
    finally:
        load.stop()
    assert load.failures == []


def test_a_broken_ca_file_changes_nothing_is_tried_again_by_itself_and_named_once(gate, world):
    good = world.ca_file.read_bytes()
    event = renew(gate, lambda: put(world.ca_file, b"-----BEGIN CERTIFICATE-----\nbroken\n"), "material_failed")
    assert "clients-ca.pem" in event["detail"]
    assert reason_of(gate, world.clients["billing"]) is None
    gate.wait_metric(FAILED, lambda count: count >= 3)
    assert gate.metrics()["sallyport_configuration_generation"] == 1
    assert len(events(gate, "material_failed")) == 1
    renew(gate, lambda: put(world.ca_file, good))
    assert reason_of(gate, world.clients["billing"]) is None


@pytest.mark.parametrize("broken", ["ca", "chain", "key"])
def test_a_crl_is_put_in_force_while_another_file_cannot_be_used(gate, world, broken):
    file = {"ca": world.ca_file, "chain": world.server.chain_file, "key": world.server.key_file}[broken]
    whole = pathlib.Path(file).read_bytes()
    shown = served_certificate(gate, world)
    renew(gate, lambda: put(file, whole[: len(whole) // 2]), "material_failed")
    event = renew(gate, lambda: put(world.crl_folder / "issuing.pem", newer(world, [world.clients["billing"]], 2)))
    assert event["generation"] == 2
    assert reason_of(gate, world.clients["billing"]) == "revoked"
    assert reason_of(gate, world.clients["rsa"]) is None
    assert gate.metrics()[OK] == 1
    event = renew(gate, lambda: put(file, whole))
    assert event["generation"] == 3
    assert reason_of(gate, world.clients["billing"]) == "revoked"
    with raw.Client(gate, world.clients["rsa"]) as client:
        assert client.tls.getpeercert(binary_form=True) == shown


def test_a_new_ca_is_trusted_and_an_old_one_no_more(gate, world):
    renew(gate, lambda: put(world.ca_file, world.stranger_root.pem))
    assert reason_of(gate, world.clients["billing"]) not in (None, "revoked")


def test_a_crl_that_is_removed_from_its_folder_is_missing(gate, world):
    renew(gate, (world.crl_folder / "issuing.pem").unlink)
    assert reason_of(gate, world.clients["billing"]) == "crl_missing"
    renew(gate, lambda: put(world.crl_folder / "issuing.pem", newer(world, [], 2)))
    assert reason_of(gate, world.clients["billing"]) is None


def test_no_crl_goes_back_in_time_under_another_name(gate, world):
    file, billing = world.crl_folder / "issuing.pem", world.clients["billing"]
    renew(gate, lambda: put(file, newer(world, [billing], 5)))
    assert reason_of(gate, billing) == "revoked"  # and its intermediate has shown the key that the CRL is proven by
    put(world.crl_folder / "z-older.pem", newer(world, [], 3))
    event = renew(gate, file.unlink, "material_warning")
    assert "z-older.pem: it goes back in time: CRLNumber 03 " in event["detail"], event
    gate.wait_metric(OK, lambda n: n >= 2)
    assert reason_of(gate, billing) == "revoked"
    gate.reload()
    assert reason_of(gate, billing) == "revoked"
    since = len(gate.events.records)
    put(world.crl_folder / "a-newer.pem", newer(world, [], 6))
    gate.wait_event("material_changed", since)
    assert reason_of(gate, billing) is None
    assert not [e for e in gate.events.records[since:] if e["event"] == "material_warning"]


def test_a_configuration_in_the_middle_of_being_edited_is_not_read(gate, world, backend):
    gate.write("listeners: [")
    renew(gate, lambda: put(world.crl_folder / "issuing.pem", newer(world, [world.clients["billing"]], 2)))
    assert reason_of(gate, world.clients["billing"]) == "revoked"
    assert events(gate, "configuration_error", "material_failed") == []
    assert gate.reload()["event"] == "reload_failed"
    renew(gate, lambda: put(world.crl_folder / "issuing.pem", newer(world, [], 3)))
    assert gate.reload(gates.config(world, backend.endpoint))["event"] == "reloaded"


def test_after_a_reload_it_is_the_new_files_that_are_watched(gate, world, backend, tmp_path):
    other = tmp_path / "other-ca.pem"
    other.write_bytes(world.ca_file.read_bytes())
    settings = gates.config(world, backend.endpoint)
    settings["listeners"][0]["client_auth"]["ca"] = [str(other)]
    assert gate.reload(settings)["event"] == "reloaded"
    renewals = len(events(gate, "material_changed"))
    put(world.ca_file, b"nobody's any more\n")
    event = renew(gate, lambda: put(other, other.read_bytes()))
    assert event["file"] == str(other)
    assert len(events(gate, "material_changed")) == renewals + 1
    assert events(gate, "material_failed") == []


class Opens:
    """How often a file is opened by its name, from now on."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.name, self.fd = path.name, libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0 and libc.inotify_add_watch(self.fd, bytes(path.parent), 0x20) >= 0  # IN_OPEN

    def count(self):
        data, at, names = os.read(self.fd, 1 << 16), 0, []
        while at < len(data):
            size = int.from_bytes(data[at + 12:at + 16], "little")
            names.append(data[at + 16:at + 16 + size].rstrip(b"\0").decode())
            at += 16 + size
        return names.count(self.name)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        os.close(self.fd)


def test_a_crl_that_is_replaced_as_the_signal_comes_is_read_once(gate, world):
    file = world.crl_folder / "issuing.pem"
    for number in range(2, 8):
        with Opens(file) as opens:
            put(file, newer(world, [], number))
            assert gate.reload()["event"] == "reloaded"
            since = len(gate.events.records)
            event = renew(gate, lambda: put(world.ca_file, world.ca_file.read_bytes()))
            assert event["file"] == str(world.ca_file)
            assert [e["event"] for e in gate.events.records[since:]].count("material_changed") == 1
            assert opens.count() == 1


def test_a_change_whose_reload_fails_is_put_in_force_all_the_same(gate, world, backend):
    put(world.crl_folder / "issuing.pem", newer(world, [world.clients["billing"]], 2))
    since = len(gate.events.records)
    broken = gates.config(world, backend.endpoint)
    broken["no_such_key"] = 1
    assert gate.reload(broken)["event"] == "reload_failed"
    assert gate.wait_event("material_changed", since)["generation"] == 2
    assert reason_of(gate, world.clients["billing"]) == "revoked"


def test_what_fails_is_put_right_by_a_reload_too(gate, world, backend, tmp_path):
    renew(gate, lambda: put(world.ca_file, b"broken\n"), "material_failed")
    assert gate.reload()["event"] == "reload_failed"
    other = tmp_path / "other-ca.pem"
    other.write_bytes(world.root.pem)
    settings = gates.config(world, backend.endpoint)
    settings["listeners"][0]["client_auth"]["ca"] = [str(other)]
    assert gate.reload(settings)["event"] == "reloaded"
    failed = gate.metrics()[FAILED]
    renew(gate, lambda: put(other, world.root.pem))
    assert gate.metrics()[FAILED] == failed


def test_fifty_changes_leave_no_descriptor_behind(gate, world):
    file = world.crl_folder / "issuing.pem"

    def descriptors():
        return len(os.listdir(f"/proc/{gate.process.pid}/fd"))

    for number in range(2, 52):
        generation = renew(gate, lambda: put(file, newer(world, [], number)))["generation"]
        if number == 6:
            early = descriptors()
    assert generation >= 51
    until(lambda: descriptors() <= early, "no more descriptors than there were early on")  # one may be open just now
