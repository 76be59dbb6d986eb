"""`sallyport verify`: the verdict of a listener on a certificate, its reason, and the exit code that says so."""

import datetime
import json

import pytest

from lib import gate as gates


def verify(world, credential, *options, revocation=True, intermediates=True):
    made = ["--ca", world.ca_file, *(["--crl", world.crl_folder] if revocation else [])]
    return gates.run("verify", *made, *options, credential.chain_file if intermediates else credential.leaf_file)


@pytest.fixture(scope="module")
def files(world, tmp_path_factory):
    """Clients' leaves on their own, and what is above them."""
    folder = tmp_path_factory.mktemp("verify")
    for name, credential in world.clients.items():
        credential.leaf_file = folder / f"{name}-leaf.pem"
        credential.leaf_file.write_bytes(credential.pem)
        credential.above_file = folder / f"{name}-above.pem"
        credential.above_file.write_text("".join(credential.chain_file.read_text().partition("-----END CERTIFICATE-----\n")[2:]))
    return folder


VERDICTS = [
    ("billing", 0, None),
    ("revoked", 3, "revoked"),
    ("under_retired", 3, "revoked"),
    ("expired", 3, "expired"),
    ("server_only", 3, "wrong_purpose"),
    ("stranger", 3, "untrusted_issuer"),
    ("no_crl", 3, "crl_missing"),
    ("stale_crl", 3, "crl_stale"),
    ("below_narrow", 3, "path_length"),
    ("weak", 3, "weak_key"),
    ("nul_in_uri", 3, "hostile_name"),
]


@pytest.mark.parametrize("who,code,reason", VERDICTS)
def test_the_verdict_is_the_exit_code_and_the_reason_is_told(world, who, code, reason):
    told = verify(world, world.clients[who])
    assert told.returncode == code, told.stdout + told.stderr
    last = told.stdout.splitlines()[-2:]
    if reason:
        assert last[0].startswith(f"refused: {reason}: ")
        assert last[1].strip(), "no meaning"
    else:
        assert last[-1] == "accepted"
    as_json = json.loads(verify(world, world.clients[who], "--json").stdout)
    assert (as_json["accepted"], as_json["reason"]) == (code == 0, reason)


def test_the_chain_is_shown_with_what_the_crls_say_of_each(world):
    told = json.loads(verify(world, world.clients["billing"], "--json").stdout)
    assert told["revocation_checked"] is True and told["purpose"] == "client"
    chain = told["chain"]
    assert [step["anchor"] for step in chain] == [False] * (len(chain) - 1) + [True]
    for step, above in zip(chain, chain[1:]):
        assert step["issuer"] == above["subject"]
        assert step["revocation"]["reason"] is None and step["revocation"]["detail"].startswith("not listed in ")
        assert step["not_before"] < step["not_after"]
    assert chain[-1]["revocation"] is None
    text = verify(world, world.clients["billing"]).stdout
    for step in chain:
        assert step["subject"] in text and step["serial"] in text and step["not_after"] in text
    assert "(anchor)" in text


def test_without_a_crl_revocation_is_not_looked_at_and_that_is_said(world):
    told = verify(world, world.clients["revoked"], revocation=False)
    assert told.returncode == 0
    assert "revocation was not looked at" in told.stdout
    told = json.loads(verify(world, world.clients["revoked"], "--json", revocation=False).stdout)
    assert told["revocation_checked"] is False and told["chain"][0]["revocation"] is None
    told = verify(world, world.clients["billing"], "--crl-missing", "reject", revocation=False)
    assert told.returncode == 3
    assert "refused: crl_missing: " in told.stdout


@pytest.mark.parametrize("who,options,code", [
    ("no_crl", ["--crl-missing", "accept"], 0),
    ("stale_crl", ["--crl-stale", "accept"], 0),
    ("stale_crl", ["--crl-stale", "365d"], 0),
    ("stale_crl", ["--crl-stale", "1s"], 3),
    ("billing", ["--depth", "0"], 3),
    ("server_only", ["--purpose", "server"], 0),
    ("billing", ["--purpose", "server"], 3),
    ("billing", ["--purpose", "any"], 0),
])
def test_an_option_changes_the_verdict(world, who, options, code):
    told = verify(world, world.clients[who], *options)
    assert told.returncode == code, told.stdout + told.stderr


@pytest.mark.parametrize("hours,reason", [(-1, None), (1, "expired")])
def test_time_is_rfc3339_or_seconds_and_decides(world, hours, reason):
    billing = world.clients["billing"]
    when = billing.cert.not_valid_after + datetime.timedelta(hours=hours)
    text = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    seconds = int(when.replace(tzinfo=datetime.timezone.utc).timestamp())
    east = (when + datetime.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.25+02:00")
    for given in [text, east, f"@{seconds}"]:
        told = json.loads(verify(world, billing, "--time", given, "--json", revocation=False).stdout)
        assert (told["time"], told["reason"]) == (text, reason)


def test_an_intermediate_may_be_given_beside_the_leaf(world, files):
    billing = world.clients["billing"]
    assert verify(world, billing, intermediates=False).returncode == 3
    assert verify(world, billing, "--intermediates", billing.above_file, intermediates=False).returncode == 0


def test_an_intermediate_is_an_anchor_only_if_that_is_asked_for(world, files):
    billing = world.clients["billing"]
    only = ["verify", "--ca", billing.above_file]
    told = gates.run(*only, billing.leaf_file)
    assert told.returncode == 2 and "trust_intermediates" in told.stderr
    assert gates.run(*only, "--trust-intermediates", billing.leaf_file).returncode == 0


@pytest.mark.parametrize("arguments,words", [
    ([], "--ca is missing"),
    (["{leaf}"], "--ca is missing"),
    (["--ca", "{ca}"], "exactly one certificate file"),
    (["--ca", "{ca}", "{leaf}", "{leaf}"], "exactly one certificate file"),
    (["--ca", "{ca}", "--crl-missing", "perhaps", "{leaf}"], "--crl-missing: perhaps"),
    (["--ca", "{ca}", "--crl-stale", "12", "{leaf}"], "--crl-stale: 12"),
    (["--ca", "{ca}", "--depth", "11", "{leaf}"], "--depth: 11"),
    (["--ca", "{ca}", "--depth", "-1", "{leaf}"], "--depth: -1"),
    (["--ca", "{ca}", "--purpose", "mail", "{leaf}"], "--purpose: mail"),
    (["--ca", "{ca}", "--time", "2026-02-30T00:00:00Z", "{leaf}"], "--time: 2026-02-30"),
    (["--ca", "{ca}", "--time", "2026-02-03 ", "{leaf}"], "--time: 2026-02-03"),
    (["--ca", "{ca}", "--time", "@-5", "{leaf}"], "--time: @-5"),
    (["--ca", "{ca}", "--nonsense", "{leaf}"], "--nonsense: unknown option"),
    (["--ca", "{ca}", "{leaf}", "--crl"], "--crl: its value is missing"),
    (["--ca", "{nothing}", "{leaf}"], "nothing.pem"),
    (["--ca", "{ca}", "{nothing}"], "nothing.pem"),
    (["--ca", "{ca}", "--crl", "{nothing}", "{leaf}"], "nothing.pem"),
    (["--ca", "{ca}", "--intermediates", "{nothing}", "{leaf}"], "nothing.pem"),
    (["--ca", "{leaf}", "{leaf}"], "is not a CA"),
    (["--ca", "{ca}", "--crl", "{leaf}", "{leaf}"], ""),
])
def test_bad_usage_and_bad_files_are_told_and_end_in_2(world, files, arguments, words):
    known = {"ca": world.ca_file, "leaf": world.clients["billing"].leaf_file, "nothing": files / "nothing.pem"}
    told = gates.run("verify", *[argument.format(**known) for argument in arguments])
    assert told.returncode == 2, told.stdout + told.stderr
    assert words in told.stderr and told.stderr
    assert told.stdout == ""


def test_json_is_well_formed_whatever_a_certificate_holds(world):
    for name, credential in world.clients.items():
        told = verify(world, credential, "--json")
        assert told.returncode in (0, 3), (name, told.stderr)
        found = json.loads(told.stdout)
        assert set(found) == {
            "accepted", "reason", "detail", "meaning", "time", "purpose", "revocation_checked", "chain"}
        assert told.stdout.isascii() and told.stdout.count("\n") == 1
