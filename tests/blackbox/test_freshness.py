"""What comes to an end by itself is told before it hurts, when it hurts, and when it is over: as events, as metrics and by `check`."""

import datetime
import re
import time

import pytest

from lib import gate as gates
from lib import pki, raw

DAY = datetime.timedelta(days=1)


def seconds(count):
    return datetime.timedelta(seconds=count)


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def unix(when):
    return int(when.replace(tzinfo=datetime.timezone.utc).timestamp())


class Small:
    """One root, one client, one CRL: whatever is said is about them."""

    def __init__(self, world, folder, **root):
        self.folder = folder
        self.root = pki.Authority.root("Only Root", **root)
        self.client = self.root.issue(
            "one", sans=[pki.uri("spiffe://corp.example/ns/billing/sa/one")]).save(folder, "one")
        self.ca = folder / "only-ca.pem"
        self.ca.write_bytes(self.root.pem)
        self.crl = folder / "only.crl"
        self.server = world.server
        self.number = 0

    def write_crl(self, last, next):
        self.number += 1
        fresh = self.folder / "fresh.crl"
        fresh.write_bytes(self.root.crl(last=last, next=next, number=self.number))
        fresh.rename(self.crl)

    def listener(self, world, **auth):
        return gates.listener(world, client_auth={
            "mode": "required", "ca": [str(self.ca)], "crl": [str(self.crl)], **auth})


@pytest.fixture
def small(world, tmp_path):
    made = Small(world, tmp_path)
    made.write_crl(now() - seconds(3630), now() + DAY - seconds(20))
    return made


def events_of(gate, *names):
    return [event["event"] for event in gate.events.records if event.get("event") in names]


CRL_EVENTS = "crl_expiring", "crl_stale", "crl_fresh", "crl_file_broken"


def sample(gate, family, **labels):
    """The value of the one sample of `family` that has these labels, or None."""
    found = []
    for name, value in gate.metrics().items():
        if name.startswith(family + "{") and all(f'{key}="{value}"' in name for key, value in labels.items()):
            found.append(value)
    assert len(found) <= 1
    return found[0] if found else None


# ---- CRLs ----

def test_a_crl_is_told_of_before_its_end_and_at_its_end_and_when_a_new_one_is_there(start_gate, world, backend, small):
    last, end = now() - seconds(3600), now() + seconds(5)
    small.write_crl(last, end)
    settings = gates.config(world, backend.endpoint, listeners=[small.listener(world, crl_warn_before="3s")])
    gate = start_gate(settings, of=world)
    labels = {"listener": "internal", "issuer": "CN=Only Root", "source": str(small.crl)}
    assert sample(gate, "sallyport_crl_this_update_timestamp_seconds", **labels) == unix(last)
    assert sample(gate, "sallyport_crl_next_update_timestamp_seconds", **labels) == unix(end)
    assert sample(gate, "sallyport_crl_entries", **labels) == 0
    assert abs(sample(gate, "sallyport_crl_loaded_timestamp_seconds", **labels) - time.time()) < 600
    with raw.Client(gate, small.client) as client:
        assert client.get().status == 200

    told = gate.wait_event("crl_expiring")
    assert told["level"] == "warn" and "then clients of this CA are refused (crl_stale: reject)" in told["detail"]
    assert {key: told[key] for key in labels} == labels
    assert told["next_update"] == end.isoformat() + "Z"
    told = gate.wait_event("crl_stale")
    assert told["level"] == "error" and "clients of this CA are refused (crl_stale: reject)" in told["detail"]
    assert unix(end) <= time.time()

    assert gate.reload(settings)["event"] == "reloaded"  # what was said is remembered
    small.write_crl(now() - seconds(1), now() + DAY)
    assert gate.reload(settings)["event"] == "reloaded"
    assert gate.wait_event("crl_fresh")["level"] == "info"
    with raw.Client(gate, small.client) as client:
        assert client.get().status == 200
    assert gate.reload(settings)["event"] == "reloaded"
    gate.stop()
    assert events_of(gate, *CRL_EVENTS) == ["crl_expiring", "crl_stale", "crl_fresh"]


@pytest.mark.parametrize("choice,words", [
    ("reject", "are refused (crl_stale: reject)"),
    ("accept", "are let in nevertheless (crl_stale: accept)"),
    ({"grace": "30d"}, "(crl_stale: grace), then refused"),
    ({"grace": "1h"}, "are refused (crl_stale: its grace is over)"),
], ids=["reject", "accept", "grace", "grace that is over"])
def test_a_stale_crl_is_told_with_what_it_means_now(start_gate, world, backend, small, choice, words):
    small.write_crl(now() - 9 * DAY, now() - DAY)
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[small.listener(world, crl_stale=choice)]))
    told = gate.wait_event("crl_stale")
    assert told["detail"].startswith("ended 1 d ago; clients of this CA ") and told["detail"].endswith(words), told


def test_without_a_choice_a_tenth_of_its_life_is_the_time_to_warn(start_gate, world, backend, small):
    small.write_crl(now() - 9 * DAY, now() + seconds(6 * 3600 - 20))
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[small.listener(world)]))
    assert gate.wait_event("crl_expiring")["detail"].startswith("ends in 5 h 59 min; then ")


def test_a_fresh_crl_is_no_news(start_gate, world, backend, small):
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[small.listener(world)]))
    assert gate.reload(gates.config(world, backend.endpoint, listeners=[small.listener(world)]))["event"] == "reloaded"
    gate.stop()
    assert events_of(gate, *CRL_EVENTS, "ca_expiring", "certificate_expiring") == []


def test_a_crl_file_that_broke_is_told_and_its_last_good_copy_holds(start_gate, world, backend, small):
    settings = gates.config(world, backend.endpoint, listeners=[small.listener(world)])
    gate = start_gate(settings)
    small.crl.write_bytes(b"-----BEGIN X509 CRL-----\nnonsense\n")
    assert gate.reload(settings)["event"] == "reloaded"
    told = gate.wait_event("crl_file_broken")
    assert told["level"] == "error" and told["issuer"] == "CN=Only Root" and str(small.crl) in told["source"]
    assert gate.reload(settings)["event"] == "reloaded"
    with raw.Client(gate, small.client) as client:
        assert client.get().status == 200
    small.write_crl(now() - seconds(1), now() + DAY)
    assert gate.reload(settings)["event"] == "reloaded"
    gate.wait_event("crl_fresh")
    gate.stop()
    assert events_of(gate, *CRL_EVENTS) == ["crl_file_broken", "crl_fresh"]


def test_one_crl_that_several_hosts_share_is_one(start_gate, world, backend, small):
    small.write_crl(now() - 9 * DAY, now() - DAY)
    listener = small.listener(world, crl_stale="accept")
    strict = small.listener(world, crl_stale="reject")["client_auth"]
    listener["tls"]["hosts"] = [{"names": ["second.internal"]}, {"names": ["third.internal"], "client_auth": strict}]
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[listener]))
    assert "crl_stale: reject" in gate.wait_event("crl_stale")["detail"]
    assert sample(gate, "sallyport_crl_entries", source=str(small.crl)) == 0
    gate.stop()
    assert events_of(gate, *CRL_EVENTS) == ["crl_stale"]


def test_a_name_that_is_hard_to_print_leaves_the_page_readable(start_gate, world, backend, small):
    folder = small.folder / 'a "quoted\\" folder'
    folder.mkdir()
    small.crl = small.crl.rename(folder / "zoë.crl")
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[small.listener(world)]))
    status, _, page = gate.admin("/metrics")
    lines = [line for line in page.splitlines() if line.startswith("sallyport_crl_entries")]
    assert status == 200 and len(lines) == 1
    assert lines[0].endswith(r'a \"quoted\\\" folder/zo\\xc3\\xab.crl"} 0')


# ---- CAs and certificates ----

def ending(world, folder, left):
    return world.server_root.issue(
        "billing.internal", eku=pki.SERVER, sans=[pki.dns("billing.internal"), pki.dns("b.internal")],
        not_after=now() + left).save(folder, "ending")


def with_certificate(world, backend, small, credential, **changes):
    listener = small.listener(world)
    listener["tls"] = {"certificates": [{"chain": str(credential.chain_file), "key": str(credential.key_file)}]}
    return gates.config(world, backend.endpoint, listeners=[listener], **changes)


def test_a_server_certificate_is_told_of_before_its_end_and_at_its_end(start_gate, world, backend, small, tmp_path):
    server = ending(world, tmp_path, seconds(5))
    gate = start_gate(with_certificate(world, backend, small, server, certificate_warn_before="3s"))
    labels = {"listener": "internal", "names": "b.internal,billing.internal"}
    assert sample(gate, "sallyport_certificate_not_after_timestamp_seconds", **labels, file=str(server.chain_file)) == \
        unix(server.cert.not_valid_after)
    told = gate.wait_event("certificate_expiring")
    assert told["level"] == "warn" and {key: told[key] for key in labels} == labels
    assert told["source"] == str(server.chain_file) and told["not_after"] == server.cert.not_valid_after.isoformat() + "Z"
    told = gate.wait_event("certificate_expired")
    assert told["level"] == "error" and "clients refuse it" in told["detail"]
    ending(world, tmp_path, 30 * DAY)
    assert gate.reload()["event"] == "reloaded"
    gate.stop()
    assert events_of(gate, "certificate_expiring", "certificate_expired") == ["certificate_expiring", "certificate_expired"]


def test_a_ca_is_told_of_before_its_end_and_at_its_end(start_gate, world, backend, tmp_path):
    small = Small(world, tmp_path, not_after=now() + seconds(5))
    small.write_crl(now() - seconds(3600), now() + DAY)
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[small.listener(world)], certificate_warn_before="3s"))
    assert sample(gate, "sallyport_ca_not_after_timestamp_seconds", listener="internal", subject="CN=Only Root",
                  file=str(small.ca)) == unix(small.root.cert.not_valid_after)
    assert gate.wait_event("ca_expiring")["subject"] == "CN=Only Root"
    assert gate.wait_event("ca_expired")["level"] == "error"


def test_a_ca_without_a_crl_is_a_gap_until_it_has_one(start_gate, world, backend, small):
    other = pki.Authority.root("Other Root")
    small.ca.write_bytes(small.root.pem + other.pem)
    settings = gates.config(world, backend.endpoint, listeners=[small.listener(world)])
    gate = start_gate(settings)
    assert sample(gate, "sallyport_ca_without_crl", subject="CN=Other Root", file=str(small.ca)) == 1
    assert sample(gate, "sallyport_ca_without_crl", subject="CN=Only Root") is None
    small.crl.write_bytes(small.crl.read_bytes() + other.crl())
    assert gate.reload(settings)["event"] == "reloaded"
    gate.wait_metric("sallyport_configuration_generation", lambda n: n >= 2)
    assert sample(gate, "sallyport_ca_without_crl", subject="CN=Other Root") is None


# ---- many ----

def test_a_page_with_hundreds_of_crls_is_complete(start_gate, world, backend, small):
    roots = [pki.Authority.root(f"Root {number}") for number in range(300)]
    small.ca.write_bytes(small.root.pem + b"".join(root.pem for root in roots))
    small.crl.write_bytes(small.crl.read_bytes() + b"".join(root.crl([number]) for number, root in enumerate(roots, 1)))
    gate = start_gate(gates.config(world, backend.endpoint, listeners=[small.listener(world)]))
    metrics = gate.metrics()
    for family in ("crl_this_update_timestamp_seconds", "crl_next_update_timestamp_seconds", "crl_entries",
                   "crl_loaded_timestamp_seconds", "ca_not_after_timestamp_seconds"):
        assert sum(name.startswith(f"sallyport_{family}{{") for name in metrics) == 301, family
    assert not any(name.startswith("sallyport_ca_without_crl") for name in metrics)


# ---- check ----

def check(small, settings, tmp_path):
    file = tmp_path / "check.yaml"
    gates.Gate.write(type("Place", (), {"file": file}), settings)
    ran = gates.run("check", "-c", file)
    assert ran.returncode == 0, ran.stderr
    return ran


def test_check_lists_every_ca_with_its_crl_and_every_certificate(world, backend, small, tmp_path):
    ran = check(small, gates.config(world, backend.endpoint, listeners=[small.listener(world)]), tmp_path)
    day = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z"
    assert re.search(rf"""listener internal on 127.0.0.1:0, client certificates required
  certificate   \*.wild.internal, billing.internal, localhost
    file        {re.escape(str(world.server.chain_file))}
    ends        {day} \(in [0-9]+ d[^)]*\)
  CA            CN=Only Root
    file        {re.escape(str(small.ca))}
    ends        {day} \(in [0-9]+ d[^)]*\)
    CRL         {re.escape(str(small.crl))}, 0 entries, number 01
      issued    {day} \(1 h[^)]* ago\)
      ends      {day} \(in 23 h 59 min\)
""", ran.stdout), ran.stdout
    assert "\n!" not in ran.stdout and ran.stderr == "" and "ok, 0 warnings" in ran.stdout


def marked(ran):
    return [re.sub(r" +", " ", line) for line in ran.stdout.splitlines() if line.startswith("!")]


def test_check_marks_and_warns_of_what_nears_its_end(world, backend, tmp_path):
    small = Small(world, tmp_path, not_after=now() + 3 * DAY - seconds(20))
    small.write_crl(now() - 9 * DAY, now() + seconds(7200 - 20))
    server = ending(world, tmp_path, 2 * DAY - seconds(20))
    ran = check(small, with_certificate(world, backend, small, server), tmp_path)
    lines = marked(ran)
    assert [line.split()[1] for line in lines] == ["certificate", "ends", "CA", "ends", "CRL", "ends"], ran.stdout
    assert "in 1 d 23 h" in lines[1] and "in 2 d 23 h" in lines[3] and "in 1 h 59 min" in lines[5]
    for words in (f"certificate {server.chain_file}: ends in 1 d 23 h", f"CA CN=Only Root in {small.ca}: ends in 2 d 23 h",
                  str(small.crl)):
        assert any("warning" in line and words in line for line in ran.stderr.splitlines()), ran.stderr
    assert "ok, 3 warnings" in ran.stdout


def test_check_marks_and_warns_of_what_is_past_its_end_and_of_gaps(world, backend, small, tmp_path):
    other = pki.Authority.root("CA without CRL")
    small.ca.write_bytes(small.root.pem + other.pem)
    small.write_crl(now() - 9 * DAY, now() - DAY)
    server = ending(world, tmp_path, -seconds(3600))
    ran = check(small, with_certificate(world, backend, small, server), tmp_path)
    out = "\n".join(marked(ran))
    assert re.search(r"! ended \S+ \(1 h[^)]* ago\): clients refuse it", out), ran.stdout
    assert re.search(r"! ended \S+ \(1 d ago\): clients are refused \(crl_stale\)", out), ran.stdout
    assert re.search(r"! CRL none; what is not covered is refused \(crl_missing: reject\)", out), ran.stdout
    for words in ("expired at", "is stale", "no CRL for CA CN=CA without CRL"):
        assert words in ran.stderr, ran.stderr
