"""Revocation lists and staples are fetched from the configured URLs; whatever is not good leaves the last good copy as it is."""

import contextlib
import datetime
import fcntl
import os
import pathlib
import resource
import subprocess
import threading

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import nginx as nginxes
from lib import ocsp, pki, raw
from lib.patience import PATIENCE, until

OK, UNCHANGED, FAILED = (f'sallyport_fetches_total{{result="{result}"}}' for result in ("ok", "unchanged", "failed"))


@pytest.fixture
def world(own_world):
    return own_world


@pytest.fixture(scope="module")
def place(world_of_place, tmp_path_factory):
    """A real server to fetch from, in clear and over TLS."""
    made = nginxes.Nginx(tmp_path_factory.mktemp("place"), tls=world_of_place.server)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def world_of_place(tmp_path_factory):
    return pki.World(tmp_path_factory.mktemp("place-pki"))


@pytest.fixture
def wayward():
    """A server that answers what the test says."""
    made = backends.RecordingBackend()
    made.default = answer(b"", status="404 Not Found")
    yield made
    made.close()


class Shelf:
    """A test's own folder on the server."""

    def __init__(self, place, name):
        self.place, self.name = place, name
        self.folder = place.folder / "www" / name
        self.folder.mkdir()

    def url(self, file, scheme="http"):
        where = f"127.0.0.1:{self.place.port}" if scheme == "http" else f"localhost:{self.place.tls_port}"
        return f"{scheme}://{where}/{self.name}/{file}"

    def put(self, file, data):
        beside = self.folder / f".{file}"
        beside.write_bytes(data)
        beside.rename(self.folder / file)

    def statuses(self, file):
        """Of each answer so far, in order."""
        lines = (self.place.folder / "access.log").read_text().splitlines()
        return [line.split('"')[2].split()[0] for line in lines if f"/{self.name}/{file} " in line]


@pytest.fixture
def shelf(place, tmp_path):
    return Shelf(place, f"{tmp_path.parent.name}-{tmp_path.name}")


def answer(body, status="200 OK", more=b""):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s" % (status.encode(), len(body), more, body)


def number(world, n, revoked=(), **options):
    """The issuing CA's n-th CRL, each newer than the one before."""
    last = pki.NOW - pki.HOUR + datetime.timedelta(seconds=n)
    return world.issuing.crl([world.clients["revoked"], *revoked], number=n, last=last, **options)


def settings(world, backend, tmp_path, *crls, **fetch):
    """With the root's CRL in a file, as the tests are about the other one; unless they give it too."""
    auth = {"mode": "required", "ca": [str(world.ca_file)], "crl": [*crls]}
    if not any("root" in crl for crl in crls):
        auth["crl"].append(str(world.crl_folder / "root.pem"))
    return gates.config(world, backend.endpoint, listeners=[gates.listener(world, client_auth=auth)],
                        fetch={"folder": str(tmp_path / "fetched"), "interval": "1s", **fetch})


def copies(tmp_path):
    """What is kept, by name; notes beside the copies, and what is being written just now, left out."""
    folder = tmp_path / "fetched"
    kept = [p for p in folder.glob("*") if p.suffix != ".meta" and not p.name.startswith(".sallyport-draft-")]
    return {p.name: p.read_bytes() for p in kept}


def reason_of(gate, credential):
    """None: served. Else why not, as the log says."""
    with raw.Client(gate, credential) as client:
        try:
            assert client.get().status == 200
            return None
        except (raw.Closed, OSError):
            return gate.wait_event(("refused", "session_ended"), peer=client.peer)["reason"]


def wait_reason(gate, credential, reason):
    until(lambda: reason_of(gate, credential) == reason, f"a client's verdict to become {reason}")


def test_what_is_not_there_yet_is_fetched_and_then_clients_are_served(start_gate, world, backend, shelf, tmp_path):
    gate = start_gate(settings(world, backend, tmp_path, shelf.url("issuing.crl")), of=world)
    failed = gate.wait_event("fetch_failed")
    assert failed["url"] == shelf.url("issuing.crl") and "404" in failed["cause"] and failed["level"] == "error"
    assert "nothing" in failed["in_force"] and failed["next_try_in"]
    assert reason_of(gate, world.clients["billing"]) == "crl_missing"
    shelf.put("issuing.crl", number(world, 1))
    fetched = gate.wait_event("fetched")
    assert fetched["level"] == "info" and "Issuing CA" in fetched["copy"] and "1 entries" in fetched["copy"], fetched
    wait_reason(gate, world.clients["billing"], None)
    assert reason_of(gate, world.clients["revoked"]) == "revoked"
    assert (tmp_path / "fetched").stat().st_mode & 0o777 == 0o750
    assert gate.metrics()[OK] == 1 and gate.metrics()[FAILED] >= 1
    assert len([e for e in gate.events.records if e["event"] == "fetch_failed"]) == 1, "told once, however often it fails"


def test_a_new_crl_on_the_server_revokes_without_a_signal(start_gate, world, backend, shelf, tmp_path):
    shelf.put("issuing.crl", number(world, 1))
    gate = start_gate(settings(world, backend, tmp_path, shelf.url("issuing.crl")), of=world)
    wait_reason(gate, world.clients["billing"], None)
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        shelf.put("issuing.crl", number(world, 2, [world.clients["billing"]]))
        ended = gate.wait_event("session_ended", peer=client.peer)
        assert ended["reason"] == "revoked"
    assert reason_of(gate, world.clients["billing"]) == "revoked"


def test_a_server_is_asked_whether_there_is_anything_newer(start_gate, world, backend, shelf, tmp_path):
    shelf.put("issuing.crl", number(world, 1))
    gate = start_gate(settings(world, backend, tmp_path, shelf.url("issuing.crl")), of=world)
    until(lambda: len(shelf.statuses("issuing.crl")) >= 3, "the server to be asked three times")
    assert shelf.statuses("issuing.crl")[:3] == ["200", "304", "304"]
    gate.wait_metric(UNCHANGED, lambda n: n >= 1)
    metrics = gate.metrics()
    assert metrics[OK] == 1 and metrics[FAILED] == 0
    source = f'{{url="{shelf.url("issuing.crl")}",file="{next((tmp_path / "fetched").glob("*.crl"))}"}}'
    assert metrics["sallyport_fetch_success_timestamp_seconds" + source] > 0
    assert metrics["sallyport_fetch_next_timestamp_seconds" + source] > 0


def test_a_process_started_anew_asks_on_from_where_the_last_one_was(start_gate, world, backend, shelf, tmp_path):
    shelf.put("issuing.crl", number(world, 1))
    made = settings(world, backend, tmp_path, shelf.url("issuing.crl"))
    start_gate(made, of=world).wait_event("fetched")
    gate = start_gate(made, of=world)
    assert reason_of(gate, world.clients["billing"]) is None
    gate.wait_metric(UNCHANGED, lambda n: n >= 1)
    assert shelf.statuses("issuing.crl").count("200") == 1 and gate.metrics()[OK] == 0


def test_a_copy_that_was_changed_by_hand_is_asked_for_whole(start_gate, world, backend, shelf, tmp_path):
    shelf.put("issuing.crl", number(world, 2))
    gate = start_gate(settings(world, backend, tmp_path, shelf.url("issuing.crl")), of=world)
    gate.wait_event("fetched")
    file = next((tmp_path / "fetched").glob("*.crl"))
    beside = tmp_path / "by-hand"
    beside.write_bytes(number(world, 1))
    beside.rename(file)
    until(lambda: file.read_bytes() == number_on(shelf), "the server's CRL in place of the older one")
    file.unlink()
    until(lambda: file.exists() and file.read_bytes() == number_on(shelf), "the copy that was removed")


def number_on(shelf):
    return (shelf.folder / "issuing.crl").read_bytes()


# ---- answers that are not good ----

def drip(talk, _request):
    """A byte now and then, for ever."""
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    try:
        while not threading.Event().wait(0.05):
            talk.send(b"x")
    except OSError:
        return False


def break_off(talk, _request):
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n-----BEGIN X509 CRL-----\n")
    return False


BAD_ANSWERS = {
    "slow": (lambda world: drip, "timeout"),
    "truncated": (lambda world: break_off, "truncated"),
    "oversized": (lambda world: answer(b"x" * 20000), "too large"),
    "oversized without a length": (lambda world: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 20000, "too large"),
    "HTML": (lambda world: answer(b"\n<!doctype html><title>Sign in</title>"), "HTML"),
    "empty": (lambda world: answer(b""), "empty"),
    "not found": (lambda world: answer(b"", status="404 Not Found"), "404"),
    "an error with a CRL in it": (lambda world: answer(number(world, 9), status="500 Oops"), "500"),
    "204": (lambda world: b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "204"),
    "a certificate": (lambda world: answer(world.issuing.pem), "there is no CRL"),
    "cut off": (lambda world: answer(number(world, 9)[:-60]), "cut off"),
    "bytes": (lambda world: answer(b"\x30\x82\x01\x00" + bytes(range(200))), "cannot be parsed"),
    "older": (lambda world: answer(number(world, 2)), "older"),
    "from the future": (lambda world: answer(world.issuing.crl(last=pki.NOW + pki.HOUR, number=9)), "not in force before"),
    "another key's, of a CA that clients showed": (
        lambda world: answer(number(world, 9, key=world.stranger_root.key)), "signature"),
    "another CA's": (lambda world: answer(world.narrow.crl()), "no CRL of"),
    "redirected without end": (
        lambda world: b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "redirect"),
    "reset": (lambda world: lambda talk, _: talk.reset() or False, "fetch http://"),
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_a_bad_answer_is_named_and_leaves_the_copy(start_gate, world, backend, wayward, tmp_path, kind):
    made, word = BAD_ANSWERS[kind]
    wayward.default = answer(number(world, 5))
    url = f"http://{wayward.endpoint}/issuing.crl"
    gate = start_gate(settings(world, backend, tmp_path, url, max_size="16KiB", timeout="500ms"), of=world)
    gate.wait_event("fetched")
    wait_reason(gate, world.clients["billing"], None)  # who is remembered as the signer from here on
    before = copies(tmp_path)
    wayward.default = made(world)
    # a machine that is slow just now may have met the timeout before
    failed = gate.events.wait(lambda e: e.get("event") == "fetch_failed" and word in e["cause"], f'fetch_failed with "{word}"')
    assert failed["level"] == "warn" and "Issuing CA" in failed["in_force"] and failed["url"] == url
    gate.wait_metric(FAILED, lambda n: n >= 1)
    assert copies(tmp_path) == before and len(before) == 1
    assert reason_of(gate, world.clients["billing"]) is None
    wayward.default = answer(number(world, 10, [world.clients["billing"]]))
    wait_reason(gate, world.clients["billing"], "revoked")


PLACES = {
    "slow": ("trickle.crl", lambda world: b"#" * 12000 + b"\n" + number(world, 9), "timeout"),
    "truncated": ("issuing.crl", lambda world: number(world, 9)[:-60], "cut off"),
    "oversized": ("issuing.crl", lambda world: number(world, 9) + b"#" * 20000, "too large"),
    "another type": ("page.crl", lambda world: b"<!doctype html><title>Sign in</title>", "HTML"),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", PLACES)
def test_what_a_real_server_gives_badly_leaves_the_copy(start_gate, world, backend, world_of_place, shelf, tmp_path, kind, scheme):
    name, bad, word = PLACES[kind]
    shelf.put("good.crl", number(world, 5))
    (shelf.folder / name).symlink_to("good.crl")
    gate = start_gate(settings(world, backend, tmp_path, shelf.url(name, scheme), max_size="16KiB", timeout="1s",
                               ca=str(world_of_place.server_ca_file)), of=world)
    gate.wait_event("fetched")
    wait_reason(gate, world.clients["billing"], None)
    before = copies(tmp_path)
    shelf.put("good.crl", bad(world))
    failed = gate.events.wait(lambda e: e.get("event") == "fetch_failed" and word in e["cause"], f'fetch_failed with "{word}"')
    assert "Issuing CA" in failed["in_force"] and copies(tmp_path) == before
    assert reason_of(gate, world.clients["billing"]) is None
    shelf.put("good.crl", number(world, 10, [world.clients["billing"]]))
    wait_reason(gate, world.clients["billing"], "revoked")


def test_a_crl_that_a_known_ca_did_not_sign_never_gets_in(start_gate, world, backend, wayward, tmp_path):
    wayward.default = answer(world.root.crl(key=world.stranger_root.key))
    issuing = str(world.crl_folder / "issuing.pem")
    made = settings(world, backend, tmp_path, f"http://{wayward.endpoint}/root.crl", issuing)
    gate = start_gate(made, of=world)
    failed = gate.wait_event("fetch_failed")
    assert "signature" in failed["cause"] and "Client Root" in failed["cause"], failed
    assert copies(tmp_path) == {}
    wayward.default = answer(world.root.crl())
    wait_reason(gate, world.clients["billing"], None)


def failures(gate):
    return [(e["level"], e["cause"].rsplit(" ", 1)[-1]) for e in gate.events.records if e["event"] == "fetch_failed"]


def test_a_failure_is_told_anew_when_it_is_another_or_the_copy_has_ended(start_gate, world, backend, wayward, tmp_path):
    ends = datetime.datetime.utcnow().replace(microsecond=0) + datetime.timedelta(seconds=6)
    wayward.default = answer(number(world, 5, next=ends))
    gate = start_gate(settings(world, backend, tmp_path, f"http://{wayward.endpoint}/issuing.crl?secret"), of=world)
    gate.wait_event("fetched")
    for status in ("404 Not Found", "500 Oops"):
        wayward.default = answer(b"", status=status)
        until(lambda: any(status.startswith(cause) for _, cause in failures(gate)), f"a failure by {status}")
    gate.wait_event("fetch_failed", level="error")
    assert failures(gate)[-1] == ("error", "500") and failures(gate)[0] == ("warn", "404")
    assert len(failures(gate)) <= 3, failures(gate)
    assert "secret" not in gate.report()
    assert reason_of(gate, world.clients["billing"]) == "crl_stale"
    wayward.default = answer(number(world, 6))
    wait_reason(gate, world.clients["billing"], None)


def test_a_redirect_is_followed(start_gate, world, backend, wayward, shelf, tmp_path):
    shelf.put("issuing.crl", number(world, 1))
    wayward.default = answer(b"", "302 Found", b"Location: %s\r\n" % shelf.url("issuing.crl").encode())
    gate = start_gate(settings(world, backend, tmp_path, f"http://{wayward.endpoint}/moved"), of=world)
    gate.wait_event("fetched")
    wait_reason(gate, world.clients["billing"], None)


@pytest.mark.parametrize("is_right", [True, False])
def test_over_tls_only_the_ca_that_is_given_counts(start_gate, world, backend, shelf, world_of_place, tmp_path, is_right):
    shelf.put("issuing.crl", number(world, 1))
    ca = world_of_place.server_ca_file if is_right else world.server_ca_file
    gate = start_gate(settings(world, backend, tmp_path, shelf.url("issuing.crl", "https"), ca=str(ca)), of=world)
    if is_right:
        gate.wait_event("fetched")
        wait_reason(gate, world.clients["billing"], None)
    else:
        assert "TLS" in gate.wait_event("fetch_failed")["cause"]
        assert reason_of(gate, world.clients["billing"]) == "crl_missing"
        assert shelf.statuses("issuing.crl") == []


# ---- starts, ends, reloads ----

def keep_a_copy(start_gate, world, backend, wayward, tmp_path):
    """A gate that has fetched a CRL."""
    wayward.default = answer(number(world, 5))
    gate = start_gate(settings(world, backend, tmp_path, f"http://{wayward.endpoint}/issuing.crl"), of=world)
    gate.wait_event("fetched")
    return gate


def test_with_the_server_down_at_the_start_the_copy_serves(start_gate, world, backend, wayward, tmp_path):
    first = keep_a_copy(start_gate, world, backend, wayward, tmp_path)
    first.stop()
    wayward.close()
    gate = start_gate(first.file.read_text(), of=world)
    assert reason_of(gate, world.clients["billing"]) is None
    assert reason_of(gate, world.clients["revoked"]) == "revoked"
    failed = gate.wait_event("fetch_failed")
    assert failed["level"] == "warn" and "Issuing CA" in failed["in_force"], failed
    assert "connect" in failed["cause"], failed


def test_killed_in_the_middle_of_a_transfer_it_leaves_a_folder_that_serves(start_gate, world, backend, wayward, tmp_path):
    gate = keep_a_copy(start_gate, world, backend, wayward, tmp_path)
    before = copies(tmp_path)
    wayward.default = drip
    asked = len(wayward.requests)
    wayward.wait(asked + 1)
    gate.kill()
    gate.stopped = True
    folder = tmp_path / "fetched"
    (folder / ".sallyport-draft-abcdef").write_bytes(b"half a CRL")
    (folder / "somebody-elses").write_bytes(b"stays")
    with open(folder / ".sallyport-draft-ghijkl", "wb") as locked:  # another process is writing it
        fcntl.flock(locked, fcntl.LOCK_EX)
        again = start_gate(gate.file.read_text(), of=world)
        assert reason_of(again, world.clients["billing"]) is None
        until(lambda: not (folder / ".sallyport-draft-abcdef").exists(), "the leftover to be removed")
        assert copies(tmp_path) == {**before, "somebody-elses": b"stays"}
        assert (folder / ".sallyport-draft-ghijkl").exists()


def test_it_ends_at_once_with_a_transfer_under_way(start_gate, world, backend, wayward, tmp_path):
    wayward.default = drip
    made = settings(world, backend, tmp_path, f"http://{wayward.endpoint}/issuing.crl", timeout="10m")
    gate = start_gate(made, of=world)
    wayward.wait()
    gate.stop()


def threads_of(gate):
    names = []
    for task in pathlib.Path(f"/proc/{gate.process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            names.append(task.joinpath("comm").read_text().strip())
    return sorted(names)


def test_a_reload_starts_and_stops_what_is_fetched(start_gate, world, backend, wayward, shelf, tmp_path):
    plain = gates.config(world, backend.endpoint)
    gate = start_gate(plain, of=world)
    assert "fetch" not in threads_of(gate)
    wayward.default = drip
    slow = f"http://{wayward.endpoint}/issuing.crl"
    assert gate.reload(settings(world, backend, tmp_path, slow, timeout="10m"))["event"] == "reloaded"
    wayward.wait()
    assert "fetch" in threads_of(gate)
    shelf.put("issuing.crl", number(world, 1))
    assert gate.reload(settings(world, backend, tmp_path, shelf.url("issuing.crl")))["event"] == "reloaded"
    assert gate.wait_event("fetched")["url"] == shelf.url("issuing.crl")
    wait_reason(gate, world.clients["billing"], None)
    assert gate.reload(plain)["event"] == "reloaded"
    until(lambda: "fetch" not in threads_of(gate), "the thread to end that has nothing to fetch")
    assert reason_of(gate, world.clients["billing"]) is None
    assert len(wayward.requests) == 1


# ---- no room ----

def many(world, n):
    """More than the disk of these tests holds."""
    return number(world, n, range(1, 4000))


def check_full(gate, world, wayward, folder, word):
    gate.wait_event("fetched")
    wait_reason(gate, world.clients["billing"], None)
    before = {p.name: p.read_bytes() for p in folder.glob("*.crl")}
    wayward.default = answer(many(world, 6))
    failed = gate.wait_event("fetch_failed")
    assert word in failed["cause"] and failed["file"] in failed["cause"], failed
    assert {p.name: p.read_bytes() for p in folder.glob("*.crl")} == before
    gate.wait_metric(FAILED, lambda n: n >= 2)
    assert reason_of(gate, world.clients["billing"]) is None
    wayward.default = answer(number(world, 7, [world.clients["billing"]]))
    wait_reason(gate, world.clients["billing"], "revoked")
    assert not list(folder.glob(".sallyport-draft-*"))


def on_a_small_disk(folder, tmp_path):
    """A program that is the gate with `folder` on a file system of 64 KiB; None where none can be mounted."""
    mount = f'mount -t tmpfs -o size=64k none {folder} && exec "$@"'
    if subprocess.run(["unshare", "-Urm", "sh", "-c", mount, "sh", "true"], capture_output=True).returncode != 0:
        return None
    wrapper = tmp_path / "on-a-small-disk"
    wrapper.write_text(f"#!/bin/sh\nexec unshare -Urm sh -c '{mount}' sh {gates.binary()} \"$@\"\n")
    wrapper.chmod(0o755)
    return wrapper


@pytest.mark.parametrize("short_of", ["disk", "file size"])
def test_too_little_room_is_named_and_costs_nothing(start_gate, world, backend, wayward, tmp_path, monkeypatch, short_of):
    folder = tmp_path / "fetched"
    folder.mkdir()
    wayward.default = answer(number(world, 5))
    made = settings(world, backend, tmp_path, f"http://{wayward.endpoint}/issuing.crl")
    wrapper = on_a_small_disk(folder, tmp_path) if short_of == "disk" else None
    if wrapper:
        monkeypatch.setenv("SALLYPORT_BIN", str(wrapper))
        gate = start_gate(made, of=world)
        check_full(gate, world, wayward, pathlib.Path(f"/proc/{gate.process.pid}/root{folder}"), "No space left")
    else:
        gate = start_gate(made, of=world, limits=[(resource.RLIMIT_FSIZE, 65536)])
        check_full(gate, world, wayward, folder, "File too large")


def test_a_folder_that_cannot_be_made_is_named(start_gate, world, backend, wayward, tmp_path):
    wayward.default = answer(number(world, 5))
    made = settings(world, backend, tmp_path, f"http://{wayward.endpoint}/issuing.crl", folder=str(tmp_path / "a/b"))
    gate = start_gate(made, of=world)
    failed = gate.wait_event("fetch_failed")
    assert str(tmp_path / "a/b") in failed["cause"] and "No such file" in failed["cause"], failed


# ---- staples ----

def stapling(world, backend, tmp_path, url):
    chain = tmp_path / "chain.pem"
    chain.write_bytes(world.server.pem + world.server_root.pem)
    shown = {"chain": str(chain), "key": str(world.server.key_file), "staple_url": url}
    return gates.config(world, backend.endpoint, fetch={"folder": str(tmp_path / "fetched"), "interval": "1s"},
                        listeners=[gates.listener(world, tls={"certificates": [shown]})])


def staple_of(gate, world):
    """What `openssl s_client -status` says of it."""
    credential = world.clients["billing"]
    return subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % gate.address(), "-servername", "billing.internal", "-status",
         "-CAfile", world.server_ca_file, "-cert", credential.chain_file, "-key", credential.key_file],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE).stdout


def test_a_staple_is_fetched_from_a_real_responder(start_gate, world, backend, tmp_path):
    responder = ocsp.Responder(tmp_path / "responder", world.server_root, good=[world.server])
    try:
        gate = start_gate(stapling(world, backend, tmp_path, responder.url), of=world)
        fetched = gate.wait_event("fetched")
        assert fetched["file"].endswith(".ocsp") and fetched["copy"].startswith("good"), fetched
        until(lambda: "Cert Status: good" in staple_of(gate, world), "the staple")
    finally:
        responder.stop()


def staple_answer(world, **options):
    return answer(ocsp.response(world.server, world.server_root, **options), more=b"Content-Type: application/ocsp-response\r\n")


BAD_STAPLES = {
    "revoked": (dict(revoked=True), "revoked"),
    "ended": (dict(this=pki.NOW - 2 * pki.DAY, next=pki.NOW - pki.DAY), ""),
    "another key's": (dict(signer="stranger"), "cannot be used"),
}


@pytest.mark.parametrize("kind", BAD_STAPLES)
def test_a_staple_that_is_not_good_never_gets_in(start_gate, world, backend, wayward, tmp_path, kind):
    options, word = dict(BAD_STAPLES[kind][0]), BAD_STAPLES[kind][1]
    if "signer" in options:
        options = dict(signer=world.stranger_root)
    wayward.default = staple_answer(world, **options)
    gate = start_gate(stapling(world, backend, tmp_path, f"http://{wayward.endpoint}/ocsp"), of=world)
    failed = gate.wait_event("fetch_failed")
    assert word in failed["cause"], failed
    assert wayward.wait().line.startswith("POST ") and wayward.wait().one("Content-Type") == "application/ocsp-request"
    assert copies(tmp_path) == {}
    assert "no response sent" in staple_of(gate, world)
    wayward.default = staple_answer(world)
    gate.wait_event("fetched")
    until(lambda: "Cert Status: good" in staple_of(gate, world), "the staple")


def test_a_staple_is_asked_for_anew_when_the_certificate_is_another(start_gate, world, backend, wayward, tmp_path):
    wayward.default = staple_answer(world)
    made = stapling(world, backend, tmp_path, f"http://{wayward.endpoint}/ocsp")
    gate = start_gate(made, of=world)
    gate.wait_event("fetched")
    until(lambda: "Cert Status: good" in staple_of(gate, world), "the staple")
    since = len(gate.events.records)
    world.server = world.server_root.issue("billing.internal", eku=pki.SERVER, key=world.server.key,
                                           sans=[pki.dns("billing.internal")])
    wayward.default = staple_answer(world)
    (tmp_path / "chain.new").write_bytes(world.server.pem + world.server_root.pem)
    os.rename(tmp_path / "chain.new", tmp_path / "chain.pem")
    gate.wait_event("fetched", since)
    until(lambda: "Cert Status: good" in staple_of(gate, world), "the new certificate's staple")
