"""Rules, through real handshakes: what each condition asks, what denying and reporting come to, and what a change of rules means for
whoever is connected. How callers are recognised and what certificates must be like is tested elsewhere."""

import threading

import pytest
import yaml

from lib import backend as backends
from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE, until

EVERYBODY = {"everybody": [{"any": "authenticated"}], "billing": [{"uri": "spiffe://corp.example/ns/billing/**"}],
             "batch": [{"dns": "batch.billing.internal"}], "auditors": [{"email": "*@audit.example.com"}]}


def settings(world, backend, *rules, **changes):
    """`rules` are mappings; what they do not say is: everybody may, to `main`."""
    made = []
    for number, rule in enumerate(rules):
        whole = {"name": f"rule-{number}", "from": ["everybody"], **rule}
        if "deny" not in whole:
            whole["upstream"] = "main"
        made.append({key: value for key, value in whole.items() if value is not None})
    return gates.config(world, backend.endpoint, callers=changes.pop("callers", EVERYBODY), rules=made, **changes)


def ask(gate, world, who="billing", path="/", more=b"", **options):
    """(status, rule and reason as the access record has them)"""
    with raw.Client(gate, world.clients[who], **options) as client:
        status = client.get(path, more=more).status
        record = gate.wait_access(peer=client.peer)
    assert record["status"] == status
    return status, record.get("rule"), record.get("reason")


def test_the_first_rule_that_matches_decides_and_none_is_403(start_gate, world, backend):
    gate = start_gate(settings(
        world, backend,
        {"name": "closed", "path": "/admin/**", "not_from": ["auditors"], "deny": 404},
        {"name": "audit", "from": ["auditors"], "path": "/*/log", "methods": ["GET"]},
        {"name": "wide", "from": ["billing"], "host": "*.internal"}))
    assert ask(gate, world, "billing", "/admin/x") == (404, "closed", "denied")
    assert ask(gate, world, "auditor", "/admin/log") == (200, "audit", None)
    assert ask(gate, world, "auditor", "/admin/x/log") == (403, None, "no_rule")
    assert ask(gate, world, "billing", "/other") == (200, "wide", None)
    assert ask(gate, world, "auditor", "/other") == (403, None, "no_rule")


def test_a_caller_that_is_excluded_goes_on_to_the_next_rule(start_gate, world, backend):
    gate = start_gate(settings(
        world, backend, {"name": "first", "from": ["billing"], "not_from": ["batch"]}, {"name": "second", "from": ["billing"]}))
    assert ask(gate, world, "billing") == (200, "second", None)
    assert ask(gate, world, "rsa") == (200, "first", None)
    assert ask(gate, world, "auditor") == (403, None, "no_rule")


def test_a_rule_for_a_listener_concerns_no_other(start_gate, world, backend):
    made = settings(world, backend, {"name": "inner", "listener": "internal"},
                    {"name": "both", "listener": ["internal", "public"], "path": "/both"})
    made["listeners"].append(gates.listener(world, "public"))
    gate = start_gate(made)
    assert ask(gate, world) == (200, "inner", None)
    assert ask(gate, world, listener="public") == (403, None, "no_rule")
    assert ask(gate, world, path="/both", listener="public") == (200, "both", None)


def test_a_source_is_the_address_that_the_client_comes_from(start_gate, world, backend):
    gate = start_gate(settings(
        world, backend, {"name": "far", "source": ["10.0.0.0/8", "2001:db8::/32"]},
        {"name": "near", "source": "127.0.0.0/8", "path": "/near"}))
    assert ask(gate, world, path="/near") == (200, "near", None)
    assert ask(gate, world, more=b"X-Forwarded-For: 10.1.2.3\r\nForwarded: for=10.1.2.3\r\n") == (403, None, "no_rule")


HEADER_CASES = [
    (b"X-Tenant: acme\r\n", (200, "acme", None)),
    (b"x-tenant:acme \r\n", (200, "acme", None)),
    (b"X-Tenant: Acme\r\n", (403, None, "no_rule")),
    (b"X-Tenant: acme, umbrella\r\n", (403, None, "no_rule")),
    (b"X-Tenant: umbrella\r\n", (403, None, "no_rule")),
    (b"X-Tenant: umbrella\r\nX-Debug:\r\n", (200, "debugging", None)),
    (b"", (403, None, "no_rule")),
    (b"X-Tenant: acme\r\nX-Tenant: acme\r\n", (400, None, "ambiguous_header")),
    (b"X-Tenant: umbrella\r\nX-Other: 1\r\nx-TENANT: acme\r\n", (400, None, "ambiguous_header")),
    (b"X-Other: 1\r\nX-Other: 2\r\nX-Tenant: acme\r\n", (200, "acme", None)),
    (b"X-Tenant: acme\r\nConnection: x-tenant\r\n", (400, None, "protected_header")),
    (b"X-Tenant: acme\r\nConnection: keep-alive, X-Debug\r\n", (400, None, "protected_header")),
    (b"X-Tenant: acme\r\nX_Tenant: umbrella\r\n", (400, None, "bad_header_name")),
]


@pytest.fixture(scope="module")
def header_gate(start_module_gate, world, module_backend):
    return start_module_gate(settings(
        world, module_backend, {"name": "acme", "headers": [{"name": "X-Tenant", "equals": "acme"}]},
        {"name": "debugging", "headers": [{"name": "X-Debug"}]}))


@pytest.mark.parametrize("sent,wanted", HEADER_CASES)
def test_a_rule_looks_at_a_field_that_is_single_and_stays(header_gate, world, shared_backend, sent, wanted):
    assert ask(header_gate, world, more=sent) == wanted
    requests = shared_backend.requests
    assert len(requests) == (1 if wanted[0] == 200 else 0)


SPELLINGS = [
    ("/v1/users:delete", ["/v1/users:delete", "/v1/users%3Adelete", "/v1/users%3adelete"]),
    ("/v2/users%3Adelete", ["/v2/users:delete", "/v2/users%3adelete"]),
    ("/caf%C3%A9/**", ["/caf%c3%a9/x", "/caf%C3%a9/"]),
    ("/a!*", ["/a%21b", "/a!"]),
    ("/%2A", ["/*", "/%2a"]),
    ("/%40*/x", ["/@ann/x", "/%40ann/x"]),
]


def test_a_rule_for_a_path_is_not_evaded_by_another_spelling_of_it(start_gate, world, backend):
    denied = [{"name": f"no-{number}", "path": pattern, "deny": 451} for number, (pattern, _) in enumerate(SPELLINGS)]
    gate = start_gate(settings(world, backend, *denied, {"name": "open", "path": "/**"}))
    for number, (_, paths) in enumerate(SPELLINGS):
        for path in paths:
            assert ask(gate, world, path=path) == (451, f"no-{number}", "denied"), path
    for path in ["/v1/users%3Blist", "/caf%C3%A8/x", "/b", "/%2Aa", "/%3a"]:
        assert ask(gate, world, path=path) == (200, "open", None), path
        assert backend.requests[-1].line.split()[1] == path


@pytest.mark.parametrize("pattern,hosts", [
    ("closed.internal.", ["closed.internal", "Closed.Internal.:8443"]),
    ("*.Closed.internal.", ["a.closed.internal", "a.closed.internal."]),
    ("[2001:DB8:0:0::1]", ["[2001:db8::1]", "[2001:db8:0::1]:8443"]),
    ("[::ffff:102:304]", ["[::ffff:1.2.3.4]"]),
])
def test_a_rule_for_a_host_is_for_it_however_either_is_spelled(start_gate, world, backend, pattern, hosts):
    gate = start_gate(settings(world, backend, {"name": "closed", "host": pattern, "deny": 451}, {"name": "open"}))
    for host in hosts:
        with raw.Client(gate, world.clients["billing"]) as client:
            assert client.get("/", host=host).status == 451, host


def test_everybody_is_denied_by_a_rule_without_from(start_gate, world, backend):
    made = settings(world, backend, {"name": "internals", "from": None, "path": "/internal/**", "deny": 451},
                    {"name": "open", "from": ["everybody", "anybody"]},
                    callers={**EVERYBODY, "anybody": [{"any": "anonymous"}]})
    made["listeners"][0]["client_auth"]["mode"] = "optional"
    gate = start_gate(made)
    assert ask(gate, world, "billing", "/internal/x") == (451, "internals", "denied")
    with raw.Client(gate) as anonymous:
        assert anonymous.get("/internal/").status == 451
        assert anonymous.get("/x").status == 200
    assert [request.line.split()[1] for request in backend.requests] == ["/x"]


# ---- report mode ----


def test_a_rule_that_reports_decides_nothing_and_is_told_and_counted(start_gate, world, backend):
    gate = start_gate(settings(
        world, backend, {"name": "would-deny", "deny": 403, "mode": "report", "from": None},
        {"name": "would-allow", "mode": "report", "path": "/new/**"}, {"name": "decides", "path": "/old/**"}))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get("/old/x").status == 200
        allowed = gate.wait_access(peer=client.peer, path="/old/x")
        assert client.get("/new/x").status == 403
        refused = gate.wait_access(peer=client.peer, path="/new/x")
    assert (allowed["rule"], allowed["reports"]) == ("decides", "would-deny:deny")
    assert "rule" not in refused and refused["reason"] == "no_rule"
    assert refused["reports"] == "would-deny:deny,would-allow:allow"
    metrics = gate.metrics()
    counted = {name: value for name, value in metrics.items() if name.startswith("sallyport_decisions_total") and value}
    assert sum(value for name, value in counted.items() if 'rule="would-deny"' in name) == 2, counted
    assert sum(value for name, value in counted.items() if 'rule="would-allow"' in name) == 1, counted


def test_the_whole_file_may_report_and_then_nothing_is_allowed(start_gate, world, backend):
    made = settings(world, backend, {"name": "all"}, rule_mode="report")
    gate = start_gate(made)
    assert ask(gate, world) == (403, None, "no_rule")
    made["rules"][0]["mode"] = "enforce"
    assert gate.reload(made)["event"] == "reloaded"
    until(lambda: ask(gate, world) == (200, "all", None), "the rule to decide")


# ---- rules that change while somebody is connected ----


class Slow:
    """An answer that comes when the test says so."""

    def __init__(self):
        self.may_answer = threading.Event()

    def __call__(self, talk, request):
        assert self.may_answer.wait(PATIENCE)
        talk.send(backends.OK)


@pytest.mark.parametrize("mode,goes_on", [("report", True), ("enforce", False)])
def test_a_new_rule_that_denies_ends_what_is_under_way_unless_it_only_reports(start_gate, world, backend, mode, goes_on):
    gate = start_gate(settings(world, backend, {"name": "open"}))
    slow = Slow()
    backend.answers.append(slow)
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        backend.wait()
        changed = settings(world, backend, {"name": "closed", "deny": 403, "mode": mode}, {"name": "open"})
        assert gate.reload(changed)["event"] == "reloaded"
        if goes_on:
            until(lambda: gate.metrics()["sallyport_configuration_generation"] == 2, "the new rules")
            slow.may_answer.set()
            assert client.response().status == 200
            assert client.get("/next").status == 200
            assert gate.wait_access(peer=client.peer, path="/next")["reports"] == "closed:deny"
        else:
            assert gate.wait_event("session_ended", peer=client.peer)["reason"] == "denied"
            slow.may_answer.set()
            client.expect_end()


def test_a_caller_that_no_longer_meets_its_requirements_is_ended_and_refused(start_gate, world, backend):
    gate = start_gate(settings(world, backend, {"name": "open"}))
    strict = {**EVERYBODY, "billing": {"match": EVERYBODY["billing"], "require": {"key_types": ["ec"]}}}
    with raw.Client(gate, world.clients["rsa"]) as weak, raw.Client(gate, world.clients["billing"]) as strong:
        assert weak.get().status == strong.get().status == 200
        assert gate.reload(settings(world, backend, {"name": "open"}, callers=strict))["event"] == "reloaded"
        ended = gate.wait_event("session_ended", peer=weak.peer)
        assert ended["reason"] == "key_not_allowed" and "billing" in ended["detail"], ended
        weak.expect_end()
        assert strong.get().status == 200
    with raw.Client(gate, world.clients["rsa"]) as weak:
        assert weak.get("/any").status == weak.get("/thing").status == 403
        assert gate.wait_access(peer=weak.peer, path="/any")["reason"] == "key_not_allowed"
        assert gate.reload(settings(world, backend, {"name": "open"}, {"name": "more"}, callers=strict))["event"] == "reloaded"
        weak.expect_end()


# ---- what `check` says ----


def test_check_tells_what_is_probably_not_meant(world, backend, tmp_path, start_gate):
    made = settings(
        world, backend, {"name": "wide"}, {"name": "behind", "from": ["billing"], "path": "/v1/*"},
        {"name": "nobody", "from": ["batch"], "not_from": ["everybody"]})
    made["callers"] = {**EVERYBODY, "unused": [{"dns": "x.example"}]}
    gate = start_gate(made)
    said = gates.run("check", "-c", gate.file)
    assert said.returncode == 0, said.stderr
    assert '"behind": is never reached: rules[0] "wide"' in said.stderr
    assert '"nobody": can never match' in said.stderr
    assert said.stderr.count("callers.unused") == 1
    assert said.stderr.count("callers.auditors") == 1


BAD_RULES = [
    ({"headers": [{"name": "X-Forwarded-For", "equals": "1"}]}, "rules[0].headers"),
    ({"headers": [{"name": "Host"}]}, "rules[0].headers"),
    ({"headers": [{"name": "Connection"}]}, "rules[0].headers"),
    ({"source": "10.0.0.1/8"}, "rules[0].source"),
    ({"listener": "nowhere"}, "nowhere"),
    ({"not_from": ["everybody"]}, "not_from"),
    ({"not_from": ["nobody"]}, "nobody"),
    ({"deny": 200}, "deny"),
    ({"from": None}, "from"),
    ({"mode": "perhaps"}, "mode"),
]


@pytest.mark.parametrize("rule,word", BAD_RULES)
def test_a_rule_that_cannot_be_is_refused_with_its_place(world, backend, tmp_path, rule, word):
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(settings(world, backend, rule), sort_keys=False))
    said = gates.run("check", "-c", file)
    assert said.returncode == 2, said.stderr
    errors = [line for line in said.stderr.splitlines() if ": error: " in line]
    assert errors and word in errors[0], said.stderr
    assert errors[0].startswith(f"{file}:") and errors[0].split(":")[1].isdigit()
