"""`sallyport test`: cases of a policy, what comes out otherwise than they expect, and the exit code that a pipeline looks at."""

import json
import pathlib
import shutil
import subprocess

import pytest
import yaml

from lib import gate as gates

ROOT = pathlib.Path(__file__).resolve().parents[2]
BILLING = {"uri": "spiffe://corp.example/ns/billing/x"}
NEEDED = {"identity": BILLING}


@pytest.fixture
def file(world, tmp_path):
    """A configuration without the server's key, and without CAs and CRLs that could be read: none of it is needed for fields."""
    made = gates.config(world, "backend.nowhere.invalid:80")
    made["listeners"][0]["tls"]["certificates"][0] = {"chain": "/nowhere/server.pem", "key": "/nowhere/server.key"}
    made["listeners"][0]["client_auth"].update(ca=["/nowhere/ca.pem"], crl=["/nowhere/"])
    path = tmp_path / "sallyport.yaml"
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


def run(file, *cases, options=()):
    files = []
    for number, some in enumerate(cases):
        files.append(file.parent / f"cases{number}.yaml")
        files[-1].write_text(some if isinstance(some, str) else json.dumps({"cases": some}, indent=1))
    return gates.run("test", "-c", file, *options, *files)


def case(expect, name="a", **more):
    return {"name": name, **NEEDED, **more, "expect": expect}


def test_the_shipped_cases_pass_against_the_shipped_configuration(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("pki"))
    subprocess.run([ROOT / "certs" / "make-dev-pki", tmp_path / "conf" / "pki"], check=True, stdout=subprocess.DEVNULL)
    told = gates.run("test", "-c", tmp_path / "conf/sallyport.yaml", tmp_path / "conf/policy-tests.yaml")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "not ok" not in told.stdout and told.stdout.rstrip().endswith(", 0 not as expected")


@pytest.mark.parametrize("expect", [
    {"allowed": True}, {"allowed": "billing-all"}, {"allowed": True, "upstream": "main"},
    {"allowed": "billing-all", "upstream": "main"},
])
def test_what_comes_out_as_expected_ends_in_0(file, expect):
    told = run(file, [case(expect)])
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    assert told.stdout == "ok      a\nrules that decided no case: audit-read\n1 case, 0 not as expected\n"


@pytest.mark.parametrize("expect,who,words", [
    ({"refused": True}, BILLING, ["expected  refused\n", "got       allowed by rule billing-all, to upstream main\n"]),
    ({"allowed": "audit-read"}, BILLING, ["expected  allowed by rule audit-read\n", "got       allowed by rule billing-all"]),
    ({"allowed": True}, {"dns": "x.example"}, ["expected  allowed by any rule\n", "got       refused: no_rule, answered 403\n",
                                               "nearest   billing-all: does not match\n", "from: wanted billing, found none"]),
    ({"refused": "denied"}, {"dns": "x.example"}, ["expected  refused: denied\n", "got       refused: no_rule"]),
    ({"refused": True, "status": 404}, {"dns": "x.example"}, ["expected  refused, answered 404\n", "answered 403\n"]),
])
def test_a_difference_is_told_with_its_place_and_ends_in_1(file, expect, who, words):
    told = run(file, [case({"allowed": True}, name="good"), case(expect, name="bad", identity=who)])
    assert (told.returncode, told.stderr) == (1, "")
    assert "ok      good\n" in told.stdout and "not ok  bad (" in told.stdout and "2 cases, 1 not as expected\n" in told.stdout
    for word in words:
        assert word in told.stdout, told.stdout


def test_quiet_leaves_out_what_is_as_expected(file):
    told = run(file, [case({"allowed": True}, name="good"), case({"refused": True}, name="bad")], options=["--quiet"])
    assert told.returncode == 1 and "good" not in told.stdout and "not ok  bad" in told.stdout


def test_several_files_are_one_run(file):
    told = run(file, [case({"allowed": True})], [case({"allowed": True}), case({"refused": True}, name="b")])
    assert told.returncode == 1 and told.stdout.endswith("3 cases, 1 not as expected\n")


def test_json_says_the_same(file):
    told = json.loads(run(file, [case({"allowed": True}), case({"refused": True}, name="b")], options=["--json"]).stdout)
    assert (told["passed"], told["failed"], told["rules_not_decided"]) == (1, 1, ["audit-read"])
    assert [(found["name"], found["ok"], found["line"]) for found in told["cases"]] == [("a", True, 3), ("b", False, 12)]
    assert told["cases"][1]["found"]["rule"] == "billing-all"


def test_certificates_are_files_beside_the_cases_and_time_may_be_another(world, tmp_path):
    made = tmp_path / "sallyport.yaml"
    made.write_text(yaml.safe_dump(gates.config(world, "127.0.0.1:9")))
    shutil.copy(world.clients["billing"].chain_file, tmp_path / "billing.pem")
    cases = [{"name": "now", "cert": "billing.pem", "expect": {"allowed": "billing-all"}},
             {"name": "later", "cert": "billing.pem", "time": "2099-01-01T00:00:00Z", "expect": {"refused": "expired"}},
             {"name": "revoked", "cert": str(world.clients["revoked"].chain_file), "expect": {"refused": "revoked"}},
             {"name": "nobody", "anonymous": True, "expect": {"refused": "no_certificate"}}]
    told = run(made, cases)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("cases,words", [
    ("cases: [", "not YAML"),
    ("cases:\n  - {name: a}\n", "cases0.yaml:2:5: error: cases[0].expect: required key is missing"),
    ([case({"allowed": "billing-al"})], 'cases0.yaml:3:3: error: case "a": there is no rule "billing-al"'),
    ([case({"allowed": True, "upstream": "x"})], 'there is no upstream "x"'),
    ([case({"refused": "no_rul"})], 'there is no reason "no_rul"'),
    ([case({"allowed": True}, listener="x")], 'there is no listener "x"'),
    ([case({"allowed": True}, time="noon")], 'expected a time such as'),
    ([{"name": "a", "cert": "nowhere.pem", "expect": {"allowed": True}}], "/nowhere/ca.pem"),
    ([case({"allowed": True}, identity={"ip": "10.0.0.300"})], 'case "a": this identity: ip: expected an address, such as 192.0.2.1 or 2001:db8::1, found "10.0.0.300"'),
])
def test_a_file_that_cannot_be_used_ends_in_2(file, cases, words):
    told = run(file, cases)
    assert (told.returncode, told.stdout) == (2, ""), told.stderr
    assert words in told.stderr


@pytest.mark.parametrize("arguments,words", [
    ([], "-c is missing"), (["x.yaml"], "-c is missing"), (["-c", "x.yaml"], "a file of cases is missing"),
    (["-c", "x.yaml", "--nonsense", "y.yaml"], "unknown option"), (["-c"], "-c: its value is missing"),
    (["-c", "/nowhere.yaml", "y.yaml"], "/nowhere.yaml"),
])
def test_bad_usage_ends_in_2(arguments, words):
    told = gates.run("test", *arguments)
    assert (told.returncode, told.stdout) == (2, "") and words in told.stderr
