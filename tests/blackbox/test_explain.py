"""`sallyport explain`: what the daemon would do and why, told without it; and that the daemon then does exactly that."""

import datetime
import json
import random
import subprocess

import pytest
import yaml

from lib import gate as gates
from lib import raw
from lib.patience import PATIENCE

RULES = [
    {"name": "soon", "from": ["everybody"], "path": "/reports/**", "upstream": "main", "mode": "report"},
    {"name": "no-admin", "path": "/admin/**", "deny": 404},
    {"name": "tenant", "from": ["billing"], "path": "/tenant/*", "headers": [{"name": "X-Tenant", "equals": "acme"}],
     "upstream": "rich"},
    {"name": "write", "from": ["billing"], "not_from": ["batch"], "host": "billing.internal", "path": "/v1/**",
     "methods": ["POST", "PUT"], "upstream": "main"},
    {"name": "read", "from": ["billing", "auditors"], "path": "/v1/**", "methods": ["GET"], "upstream": "rich"},
    {"name": "elsewhere", "from": ["everybody"], "source": ["192.0.2.0/24"], "upstream": "main"},
    {"name": "here", "from": ["everybody"], "path": "/here", "source": ["127.0.0.0/8"], "upstream": "main"},
    {"name": "forms", "from": ["everybody"], "path": "/forms", "upstream": "all"},
]
CALLERS = {
    "billing": [{"uri": "spiffe://corp.example/ns/billing/**"}],
    "batch": [{"subject": {"CN": "billing-batch", "O": "Example Corp"}}],
    "auditors": [{"dns": "audit.example.com"}, {"email": "*@audit.example.com", "subject": {"CN": "ann"}}],
    "long-lived": {"match": [{"subject": {"CN": "rsa"}}], "require": {"key_types": ["ec"]}},
    "everybody": [{"any": "authenticated"}],
}


def settings(world, endpoint, **changes):
    """A policy with every kind of condition, and upstreams that are told who it is in every way."""
    upstream = {"endpoints": [endpoint]}
    upstreams = {
        "main": {**upstream, "identity_headers": ["plain"]},
        "rich": {**upstream, "identity_headers": ["plain", "rfc9440", "xfcc"],
                 "headers": {"X-Team": "{subject.OU}", "X-Who": "{caller}"}},
        "all": {**upstream, "identity_headers": ["rfc9440", "plain", "xfcc", "nginx", "traefik", "alb"]},
    }
    made = gates.config(world, endpoint, callers=CALLERS, rules=RULES, upstreams=upstreams)
    made["listeners"][0]["tls"]["hosts"] = [{"names": ["partner.internal"], "client_auth": {
        "ca": [str(world.ca_file)], "crl_missing": "accept"}}]
    made.update(changes)
    return json.loads(json.dumps(made))  # nothing is shared, which YAML would write as an alias


@pytest.fixture(scope="module")
def file(world, tmp_path_factory):
    """The configuration alone. The server's key is not there: nobody needs it to explain."""
    made = settings(world, "127.0.0.1:9")
    made["listeners"][0]["tls"]["certificates"][0]["key"] = "/nowhere/server.key"
    path = tmp_path_factory.mktemp("explain") / "sallyport.yaml"
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


def explain(file, *options, code=None, **run):
    told = gates.run("explain", "-c", file, *options, **run)
    assert told.returncode in (0, 3) if code is None else told.returncode == code, told.stdout + told.stderr
    return told.stdout


def account(file, *options, **run):
    text = explain(file, *options, "--json", **run)
    assert text.isascii() and text.count("\n") == 1
    return json.loads(text)


def cert(world, who):
    return "--cert", world.clients[who].chain_file


BY_CERTIFICATE = [
    ("revoked", "revoked"), ("under_retired", "revoked"), ("expired", "expired"), ("not_yet_valid", "not_yet_valid"),
    ("server_only", "wrong_purpose"), ("stranger", "untrusted_issuer"), ("no_crl", "crl_missing"),
    ("stale_crl", "crl_stale"), ("weak", "weak_key"), ("crlf_in_uri", "hostile_name"),
]


@pytest.mark.parametrize("who,reason", BY_CERTIFICATE)
def test_a_certificate_that_is_not_let_in_is_refused_for_its_reason(world, file, who, reason):
    text = explain(file, *cert(world, who), code=3)
    assert f"\nrefused: {reason}, in the handshake\n" in text
    told = account(file, *cert(world, who), code=3)
    assert (told["allowed"], told["stage"], told["reason"], told["status"]) == (False, "handshake", reason, None)
    assert told["certificate"]["accepted"] is False and told["identity"] is None and told["headers"] == []


def test_the_chain_is_shown_with_what_the_crls_say(world, file):
    told = account(file, *cert(world, "under_retired"), code=3)
    verdicts = [step["revocation"] and step["revocation"]["reason"] for step in told["certificate"]["chain"]]
    assert "revoked" in verdicts and verdicts[-1] is None
    text = explain(file, *cert(world, "under_retired"), code=3)
    assert "(anchor)" in text and "revocation: revoked: " in text


REQUESTS = [
    # who, options, stage, status, reason, rule
    ("billing", ["--path", "/v1/x"], "upstream", None, None, "read"),
    ("two_names", ["--path", "/v1/x", "--method", "POST"], "upstream", None, None, "write"),
    ("billing", ["--path", "/v1/x", "--method", "POST"], "rules", 403, "no_rule", None),
    ("auditor", ["--path", "/v1/x"], "upstream", None, None, "read"),
    ("stranger_here", ["--path", "/v1/x"], "rules", 403, "no_rule", None),
    ("stranger_here", ["--path", "/admin/x"], "rules", 404, "denied", "no-admin"),
    ("billing", ["--path", "/tenant/a", "--header", "X-Tenant: acme"], "upstream", None, None, "tenant"),
    ("billing", ["--path", "/tenant/a", "--header", "X-Tenant: other"], "rules", 403, "no_rule", None),
    ("billing", ["--path", "/tenant/a", "--header", "X-Tenant: acme", "--header", "x-tenant: b"], "rules", 400,
     "ambiguous_header", None),
    ("billing", ["--path", "/x", "--source", "192.0.2.7"], "upstream", None, None, "elsewhere"),
    ("billing", ["--path", "/x", "--source", "[2001:db8::1]:77"], "rules", 403, "no_rule", None),
    ("rsa", ["--path", "/v1/x"], "rules", 403, "key_not_allowed", None),
    ("billing", ["--sni", "billing.internal", "--host", "partner.internal"], "request", 421, "misdirected", None),
    ("no_crl", ["--host", "partner.internal", "--path", "/v1/x"], "upstream", None, None, "read"),
    ("billing", ["--path", "/v1/../x"], "request", 400, "ambiguous_path", None),
    ("billing", ["--path", "v1"], "request", 400, "bad_target", None),
    ("billing", ["--host", "a b"], "request", 400, "bad_host", None),
    ("billing", ["--method", "CONNECT"], "request", 405, "unsupported_method", None),
    ("billing", ["--header", "X_Tenant: acme"], "request", 400, "bad_header_name", None),
    ("billing", ["--header", "Connection: X-Client-Verify"], "request", 400, "protected_header", None),
]


@pytest.mark.parametrize("who,options,stage,status,reason,rule", REQUESTS)
def test_a_request_comes_to_its_end_where_the_daemon_would_end_it(world, file, who, options, stage, status, reason, rule):
    told = account(file, *cert(world, who), *options)
    assert (told["stage"], told["status"], told["reason"], told["rule"]) == (stage, status, reason, rule)
    assert told["allowed"] == (reason is None)
    assert (told["meaning"] is None) == told["allowed"]


def test_a_trusted_proxys_own_headers_are_looked_at_as_the_daemon_does(world, tmp_path):
    made = settings(world, "127.0.0.1:9", limits={"body_bytes": 100}, trusted_proxies=[
        {"from": ["auditors"], "identity_headers": ["rfc9440"], "xfcc": "forward_only"}])
    file = tmp_path / "trusting.yaml"
    file.write_text(json.dumps(made))
    for fields, outcome in (
            (["Client-Cert: :YQ==:"], (None, None)),
            (["Client-Cert: :YQ==:", "client-cert: :Yg==:"], ("ambiguous_header", 400)),
            (["Client-Cert: :\u00e9:"], ("bad_header", 400)),
            (["Content-Length: 100"], (None, None)),
            (["Content-Length: 101"], ("body_too_large", 413))):
        options = [text for field in fields for text in ("--header", field)]
        told = account(file, *cert(world, "auditor"), "--path", "/v1/x", *options)
        assert (told["reason"], told["status"]) == outcome, fields


def misses(rule):
    return {miss["condition"]: (miss["wanted"], miss["found"]) for miss in rule["misses"]}


def test_the_nearest_rules_are_shown_with_what_failed(world, file):
    told = account(file, *cert(world, "billing"), "--path", "/v1/x", "--method", "DELETE", code=3)
    nearest = [rule["rule"] for rule in told["rules"] if not rule["matches"]]
    assert nearest[0] == "read" and len(nearest) == 3 and "no-admin" not in nearest
    wanted, found = misses(told["rules"][0])["methods"]
    assert "GET" in wanted and found == "DELETE" and len(told["rules"][0]["misses"]) == 1
    text = explain(file, *cert(world, "billing"), "--path", "/v1/x", "--method", "DELETE", code=3)
    assert "  read: does not match\n    methods: wanted GET, found DELETE\n" in text
    assert "callers     billing, batch, everybody\n" in text
    one = account(file, *cert(world, "billing"), "--path", "/v1/x", "--method", "DELETE", "--nearest", "1", code=3)
    assert [rule["rule"] for rule in one["rules"]] == ["read"]


def test_why_it_is_not_a_caller_is_told_by_the_entry_that_came_nearest(world, file):
    told = account(file, *cert(world, "stranger_here"), "--path", "/v1/x", code=3)
    read = next(rule for rule in told["rules"] if rule["rule"] == "read")
    assert list(misses(read)) == ["from"]
    callers = {caller["caller"]: caller for caller in read["callers"]}
    assert set(callers) == {"billing", "auditors"}
    assert misses(callers["billing"])["uri"] == (
        "spiffe://corp.example/ns/billing/**", "spiffe://corp.example/ns/other/sa/x")
    assert callers["auditors"]["entry"] == 1 and "dns" in misses(callers["auditors"])


def test_a_rule_in_report_mode_is_shown_and_decides_nothing(world, file):
    told = account(file, *cert(world, "billing"), "--path", "/reports/1", code=3)
    assert (told["rules"][0]["rule"], told["rules"][0]["matches"], told["rules"][0]["decides"]) == ("soon", True, False)
    text = explain(file, *cert(world, "billing"), "--path", "/reports/1", code=3)
    assert "soon: matches, but only reports: it would allow, to upstream main" in text


def test_time_may_be_another(world, file):
    end = world.clients["billing"].cert.not_valid_after
    for moved, reason in ((datetime.timedelta(hours=-60), None), (datetime.timedelta(hours=2), "expired")):
        when = (end + moved).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = account(file, *cert(world, "billing"), "--path", "/v1/x", "--host", "partner.internal", "--time", when)
        assert (told["reason"], told["time"]) == (reason, when)


def test_an_identity_is_tried_without_a_certificate(file):
    told = account(file, "--identity", "uri=spiffe://corp.example/ns/billing/x", "--identity", "subject.CN=x",
                   "--identity", "subject.OU=dev", "--path", "/v1/x", code=0)
    assert (told["rule"], told["upstream"], told["certificate"]) == ("read", "rich", None)
    assert told["identity"]["uri"] == ["spiffe://corp.example/ns/billing/x"]
    assert ["X-Team", "dev"] in told["headers"]
    assert any("no certificate was judged" in note for note in told["notes"])


def test_what_an_identity_lacks_has_no_header(file):
    told = account(file, "--identity", "subject.CN=x", "--path", "/forms", code=0)
    assert told["headers"] == [
        ["Host", "billing.internal"], ["X-Client-Rule", "forms"], ["X-Forwarded-For", "unknown"], ["X-Forwarded-Proto", "https"],
        ["X-Forwarded-Host", "billing.internal"], ["Via", "1.1 sallyport"], ["X-Client-Verify", "SUCCESS"], ["X-Client-Subject", "CN=x"], ["X-SSL-Client-Verify", "SUCCESS"],
        ["X-SSL-Client-S-DN", "CN=x"], ["X-Forwarded-Tls-Client-Cert-Info", "Subject%3D%22CN%3Dx%22"],
        ["X-Amzn-Mtls-Clientcert-Subject", "CN=x"], ["X-Forwarded-Client-Cert", 'Subject="CN=x"']]


def test_what_a_callers_require_asks_is_looked_at_as_far_as_the_identity_tells_it(file, tmp_path):
    made = yaml.safe_load(file.read_text())
    for fields, reason in (([], None), (["eku=clientAuth"], "eku_missing"), (["eku=1.2.3"], None), (["policies=1.2.4"], "policy_missing")):
        made["callers"]["everybody"] = {"match": [{"any": "authenticated"}], "require": {"eku": ["1.2.3"], "policies": ["1.2.5"], "max_validity": "1d"}}
        path = tmp_path / "strict.yaml"
        path.write_text(json.dumps(made))
        options = [text for field in ["subject.CN=x", *fields] for text in ("--identity", field)]
        told = account(path, *options, "--path", "/forms")
        assert told["reason"] == reason, fields
        assert any("require of its callers" in note for note in told["notes"])


def test_nobody_is_let_in_only_where_that_is_optional(world, file, tmp_path):
    assert account(file, "--anonymous", code=3)["reason"] == "no_certificate"
    made = settings(world, "127.0.0.1:9")
    made["listeners"][0]["client_auth"]["mode"] = "optional"
    made["callers"] = {**CALLERS, "nobody": [{"any": "anonymous"}]}
    made["rules"] = [*RULES, {"name": "open", "from": ["nobody"], "path": "/open", "upstream": "main"}]
    lax = tmp_path / "lax.yaml"
    lax.write_text(json.dumps(made))
    assert account(lax, "--anonymous", "--path", "/open", code=0)["rule"] == "open"


# ---- what is done to what passes, and connections without requests ----------------------------------------------------

@pytest.fixture(scope="module")
def forwarding(world, tmp_path_factory):
    """Edits, an upgrade, and a listener of mode tcp."""
    made = settings(world, "127.0.0.1:9")
    made["listeners"].append({**gates.listener(world, "db"), "mode": "tcp"})
    made["rules"] = [
        {"name": "live", "from": ["billing"], "path": "/live", "upgrade": ["websocket"], "upstream": "main"},
        {"name": "edited", "from": ["billing"], "path": "/edited", "upstream": "main",
         "request_headers": {"remove": ["X-Debug"], "set": {"X-Env": "prod"}, "add": {"X-Tag": "gate"}},
         "response_headers": {"remove": ["Server"], "set": {"X-Frame-Options": "DENY"}, "add": {"X-Tag": "answer"}}},
        {"name": "invoices", "from": ["billing"], "listener": "db", "host": "invoices.internal", "upstream": "main"},
        {"name": "paths", "from": ["billing"], "path": "/**", "upstream": "main"}]
    path = tmp_path_factory.mktemp("forwarding") / "sallyport.yaml"
    path.write_text(json.dumps(made))
    return path


WHO = ["--identity", "uri=spiffe://corp.example/ns/billing/x"]


def test_edits_are_shown_by_what_comes_of_them(forwarding):
    told = account(forwarding, *WHO, "--path", "/edited", "--header", "x-debug: 1", "--header", "X-ENV: dev", "--header", "X-Tag: theirs", code=0)
    names = [name.lower() for name, _ in told["headers"]]
    assert "x-debug" not in names
    assert [field for field in told["headers"] if field[0].lower() in ("x-env", "x-tag")] == [
        ["X-Tag", "theirs"], ["X-Env", "prod"], ["X-Tag", "gate"]]
    assert told["response_edits"] == [
        {"edit": "remove", "name": "Server", "value": None}, {"edit": "set", "name": "X-Frame-Options", "value": "DENY"},
        {"edit": "add", "name": "X-Tag", "value": "answer"}]
    text = explain(forwarding, *WHO, "--path", "/edited", code=0)
    assert "what becomes of the answer's headers\n  remove Server\n  set X-Frame-Options: DENY\n  add X-Tag: answer\n" in text
    assert "what becomes of" not in explain(forwarding, *WHO, "--path", "/other", code=0)


def test_where_it_comes_from_is_told_as_the_backend_hears_it(forwarding):
    told = account(forwarding, *WHO, "--path", "/x", "--source", "[2001:db8::1]:77", "--header", "X-Forwarded-For: 6.6.6.6", code=0)
    assert ["X-Forwarded-For", "2001:db8::1"] in told["headers"]
    assert "6.6.6.6" not in [value for name, value in told["headers"]]


@pytest.mark.parametrize("path,options,outcome", [
    ("/live", ["--upgrade", "websocket"], ("upstream", None)),
    ("/live", ["--upgrade", "WebSocket"], ("upstream", None)),
    ("/live", ["--upgrade", "other"], ("rules", "upgrade_not_allowed")),
    ("/live", ["--upgrade", "h2c"], ("rules", "upgrade_not_allowed")),
    ("/live", ["--upgrade", "websocket", "--method", "POST"], ("rules", "upgrade_not_allowed")),
    ("/x", ["--upgrade", "websocket"], ("rules", "upgrade_not_allowed")),
])
def test_an_upgrade_is_judged_by_the_rule_that_allows_the_request(forwarding, path, options, outcome):
    told = account(forwarding, *WHO, "--path", path, *options)
    assert (told["stage"], told["reason"]) == outcome
    assert told["status"] == (403 if outcome[1] else None)
    assert (["Connection", "upgrade"] in told["headers"]) == (outcome[1] is None)


def test_a_connection_of_mode_tcp_is_judged_by_its_name_alone(forwarding):
    told = account(forwarding, *WHO, "--listener", "db", "--sni", "invoices.internal", code=0)
    assert (told["mode"], told["request"], told["rule"], told["headers"]) == ("tcp", None, "invoices", [])
    told = account(forwarding, *WHO, "--listener", "db", "--sni", "other.internal", code=3)
    assert (told["stage"], told["reason"], told["status"]) == ("rules", "no_rule", None)
    assert {"path": ("/live", "none, in mode tcp")} in [misses(rule) for rule in told["rules"]]
    text = explain(forwarding, *WHO, "--listener", "db", "--sni", "other.internal", code=3)
    assert "arrives at  listener db of mode tcp, asking for other.internal\n" in text and "request  " not in text
    assert "refused: no_rule, closed without a word\n" in text


@pytest.mark.parametrize("options", [
    ["--path", "/"], ["--method", "GET"], ["--host", "a"], ["--header", "A: b"], ["--upgrade", "websocket"]])
def test_a_connection_of_mode_tcp_asks_for_nothing_else(forwarding, options):
    told = gates.run("explain", "-c", forwarding, *WHO, "--listener", "db", *options)
    assert told.returncode == 2 and "mode tcp" in told.stderr


def test_a_line_about_a_connection_of_mode_tcp_is_tried_again(forwarding):
    line = {"event": "access", "listener": "db", "peer": "127.0.0.1:7", "sni": "invoices.internal", "mode": "tcp", "subject": "CN=x",
            "sans": "URI:spiffe://corp.example/ns/billing/x"}
    told = account(forwarding, "--log", json.dumps(line), code=0)
    assert (told["mode"], told["rule"], told["log"]["not_tried"]) == ("tcp", "invoices", None)


def test_cases_may_be_of_connections_and_upgrades(forwarding, tmp_path):
    who = {"uri": "spiffe://corp.example/ns/billing/x"}
    cases = [
        {"name": "tcp", "identity": who, "listener": "db", "sni": "invoices.internal", "expect": {"allowed": "invoices"}},
        {"name": "from", "identity": who, "listener": "db", "request": {"source": "10.0.0.1"}, "expect": {"refused": "no_rule"}},
        {"name": "upgrade", "identity": who, "request": {"path": "/live", "upgrade": "websocket"}, "expect": {"allowed": "live"}},
        {"name": "other", "identity": who, "request": {"path": "/live", "upgrade": "x"}, "expect": {"refused": "upgrade_not_allowed"}}]
    file = tmp_path / "cases.yaml"
    file.write_text(json.dumps({"cases": cases}))
    told = gates.run("test", "-c", forwarding, file)
    assert told.returncode == 0, told.stdout + told.stderr
    cases[1]["request"]["path"] = "/"
    file.write_text(json.dumps({"cases": cases}))
    told = gates.run("test", "-c", forwarding, file)
    assert told.returncode == 2 and "cases.yaml" in told.stderr and "mode tcp" in told.stderr


@pytest.mark.parametrize("arguments,words", [
    ([], "-c is missing"),
    (["-c", "{file}"], "who it is"),
    (["-c", "{file}", "--anonymous", "--cert", "x.pem"], "who it is"),
    (["-c", "{file}", "--anonymous", "x"], "every argument"),
    (["-c", "{file}", "--anonymous", "--nonsense"], "--nonsense: unknown option"),
    (["-c", "{file}", "--anonymous", "--path"], "its value is missing"),
    (["-c", "{file}", "--anonymous", "--header", "x"], "--header: x: expected 'NAME: VALUE'"),
    (["-c", "{file}", "--anonymous", "--nearest", "-1"], "--nearest: -1"),
    (["-c", "{file}", "--anonymous", "--time", "noon"], "--time: noon"),
    (["-c", "{file}", "--identity", "urii=x"], 'did you mean "uri"?'),
    (["-c", "{file}", "--identity", "ip=10.0.0.300"], "this identity: ip: "),
    (["-c", "{file}", "--cert", "/nowhere.pem"], "/nowhere.pem"),
    (["-c", "/nowhere.yaml", "--anonymous"], "/nowhere.yaml"),
    (["-c", "{file}", "--anonymous", "--listener", "other"], "no listener"),
    (["-c", "{file}", "--identity", "uri=spiffe://a/b", "--source", "here"], "here: not an address"),
    (["-c", "{file}", "--identity", "uri=spiffe://a/b", "--path", "/a\r\nb: c"], "a line end"),
    (["-c", "{file}", "--log", "nonsense"], "--log: "),
    (["-c", "{file}", "--log", "{{}}", "--path", "/"], "stands in the line"),
])
def test_bad_usage_and_bad_files_are_told_and_end_in_2(file, arguments, words):
    told = gates.run("explain", *[argument.format(file=file) for argument in arguments])
    assert told.returncode == 2, told.stdout + told.stderr
    assert words in told.stderr and told.stdout == ""


# ---- the daemon does what was told -------------------------------------------------------------------------------------

PATHS = ["/v1/x", "/v1/x/y", "/tenant/a", "/admin/a", "/reports/1", "/here", "/forms", "/none"]
METHODS = ["GET", "POST", "PUT", "DELETE"]
HOSTS = ["billing.internal", "BILLING.internal.", "partner.internal", "other.internal"]
FIELDS = [{}, {"X-Tenant": "acme"}, {"X-Tenant": "other"}, {"X-Tenant": ["acme", "acme"]}, {"X-Client-Verify": "SUCCESS"}]
LET_IN = ["billing", "auditor", "stranger_here", "no_eku", "empty_subject", "two_names", "awkward", "rsa"]


def make_cases(world, count):
    """A seeded choice of certificates and requests, all by way of the listener's own name."""
    chance = random.Random(4)
    cases = []
    for number in range(count):
        who = chance.choice(LET_IN)
        request = {"method": chance.choice(METHODS), "host": chance.choice(HOSTS), "path": chance.choice(PATHS),
                   "headers": chance.choice(FIELDS), "source": "127.0.0.1"}
        cases.append({"name": f"{number} {who}", "cert": str(world.clients[who].chain_file), "sni": "billing.internal",
                      "request": request, "expect": {"allowed": True}, "who": who})
    return cases


def flat(headers):
    return [(name, value) for name, values in headers.items()
            for value in (values if isinstance(values, list) else [values])]


def ask(client, request):
    lines = [f"{request['method']} {request['path']} HTTP/1.1", f"Host: {request['host']}", "Content-Length: 0",
             *(f"{name}: {value}" for name, value in flat(request["headers"]))]
    return client.ask(("\r\n".join(lines) + "\r\n\r\n").encode(), method=request["method"])


def told_by_gate(gate, backend):
    """What the backend was sent, in its order, but for what explain cannot know: the request's id, and the port that the kernel chose."""
    unknown = ("content-length", "x-request-id")
    fields = [[name, value] for name, value in backend.wait().fields if name.lower() not in unknown]
    assert ["X-Forwarded-Port", str(gate.address()[1])] in fields
    return [field for field in fields if field[0] != "X-Forwarded-Port"]


def test_the_daemon_does_what_explain_tells(world, start_gate, backend):
    gate = start_gate(settings(world, backend.endpoint))
    cases = make_cases(world, 160)
    whos = [case.pop("who") for case in cases]
    file = gate.folder / "cases.yaml"
    file.write_text(json.dumps({"cases": cases}))
    told = gates.run("test", "-c", gate.file, "--json", file)
    assert told.returncode == 1, told.stderr  # not all of them are allowed
    accounts = json.loads(told.stdout)["cases"]
    assert [found["name"] for found in accounts] == [case["name"] for case in cases]
    ends = set()
    clients = {who: raw.Client(gate, world.clients[who]) for who in LET_IN}
    for case, who, found in zip(cases, whos, accounts):
        found = found["found"]
        backend.forget()
        client = clients[who]
        since = len(gate.accesses.records)
        answer = ask(client, case["request"])
        record = gate.wait_access(since, peer=client.peer)
        assert (record.get("rule"), record.get("caller"), record.get("reason")) == (
            found["rule"], found["caller"], found["reason"]), case
        assert answer.status == (found["status"] or 200), case
        if found["allowed"]:
            assert record["upstream"] == found["upstream"], case
            assert told_by_gate(gate, backend) == found["headers"], case
        else:
            assert not backend.requests, case
        ends.add((found["stage"], found["rule"], found["reason"]))
        if answer.one("Connection") == "close":
            client.close()
            clients[who] = raw.Client(gate, world.clients[who])
    for client in clients.values():
        client.close()
    assert {"read", "write", "here", "forms", "no-admin"} <= {rule for _, rule, _ in ends}
    assert {None, "no_rule", "denied", "misdirected", "key_not_allowed"} <= {reason for _, _, reason in ends}


def test_the_gate_refuses_for_the_reason_that_explain_tells(world, start_gate, backend):
    gate = start_gate(settings(world, backend.endpoint))
    for who, reason in BY_CERTIFICATE:
        since = len(gate.events.records)
        with pytest.raises((raw.Closed, OSError)):
            with raw.Client(gate, world.clients[who]) as client:
                client.get()
        assert gate.wait_event("refused", since)["reason"] == reason


# ---- a line of the log ---------------------------------------------------------------------------------------------------

def as_text(record):
    """The same record as `log.format: text` writes it."""
    def spelt(value):
        value = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"' if not value or set(value) & set(' "=') else value
    head = [record[key] for key in ("time", "level", "event") if key in record]
    return " ".join([*head, *(f"{key}={spelt(value)}" for key, value in record.items() if key not in ("time", "level", "event"))])


FORMS = {"json": json.dumps, "text": as_text, "journal": lambda record: "Nov 22 host sallyport[7]: " + json.dumps(record)}


@pytest.fixture(scope="module")
def refusals(world, start_module_gate, module_backend):
    """What a gate logs of a request that no rule allows, and of a revoked certificate."""
    gate = start_module_gate(settings(world, module_backend.endpoint))
    with raw.Client(gate, world.clients["auditor"]) as client:
        assert client.ask(b"POST /v1/x HTTP/1.1\r\nHost: billing.internal\r\nContent-Length: 0\r\n\r\n").status == 403
        request = gate.wait_access(peer=client.peer)
    with pytest.raises((raw.Closed, OSError)):
        with raw.Client(gate, world.clients["revoked"]) as client:
            client.get()
    return request, gate.wait_event("refused", reason="revoked")


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_request_of_the_log_is_explained_against_the_present_file(world, file, refusals, tmp_path, form):
    line = FORMS[form](refusals[0])
    told = account(file, "--log", line, code=3)
    assert (told["log"]["reason"], told["reason"], told["status"]) == ("no_rule", "no_rule", 403)
    assert told["log"]["meaning"] and told["log"]["advice"] and told["log"]["time"] == refusals[0]["time"]
    assert told["callers"] == ["auditors", "everybody"] and told["request"]["path"] == "/v1/x"
    assert told["identity"]["serial"] == world.clients["auditor"].serial_hex
    assert [(rule["rule"], list(misses(rule))) for rule in told["rules"]][:2] == [("write", ["from"]), ("read", ["methods"])]
    changed = settings(world, "127.0.0.1:9")
    changed["rules"] = [*RULES, {"name": "new", "from": ["auditors"], "methods": ["POST"], "upstream": "main"}]
    mended = tmp_path / "mended.yaml"
    mended.write_text(json.dumps(changed))
    told = account(mended, "--log", line, code=0)
    assert (told["log"]["reason"], told["allowed"], told["rule"]) == ("no_rule", True, "new")
    text = explain(file, "--log", line, code=3)
    assert text.startswith("the log says that it was refused: no_rule\n") and "\nby the present file\n" in text


def test_a_line_may_come_from_standard_input(file, refusals):
    told = subprocess.run([gates.binary(), "explain", "-c", file, "--log", "-", "--json"], capture_output=True, text=True,
                          input=json.dumps(refusals[0]) + "\n", timeout=PATIENCE)
    assert told.returncode == 3 and json.loads(told.stdout)["reason"] == "no_rule"


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_handshake_of_the_log_is_judged_anew_only_with_its_certificate(world, file, refusals, form):
    line = FORMS[form](refusals[1])
    told = account(file, "--log", line, code=3)
    assert told["log"]["reason"] == "revoked" and "--cert" in told["log"]["not_tried"]
    assert "reason" not in told, "it was judged without what it could be judged by"
    assert "refused: revoked\n" in explain(file, "--log", line, code=3)
    told = account(file, "--log", line, *cert(world, "revoked"), code=3)
    assert (told["log"]["not_tried"], told["reason"], told["stage"]) == (None, "revoked", "handshake")
    told = account(file, "--log", line, *cert(world, "auditor"), code=3)
    assert (told["log"]["reason"], told["reason"]) == ("revoked", "no_rule")


def test_a_client_of_a_unix_socket_has_no_address(world, file):
    line = {"event": "access", "listener": "internal", "peer": "unix:", "sni": "billing.internal", "method": "GET",
            "host": "billing.internal", "path": "/here", "subject": "CN=x", "reason": "no_rule"}
    told = account(file, "--log", json.dumps(line), code=3)
    assert (told["source"], told["reason"]) == (None, "no_rule")


def test_a_text_line_may_have_a_journals_prefix(file, refusals):
    told = account(file, "--log", "Nov 22 11:12:13 host sallyport[7]: " + as_text(refusals[0]), code=3)
    assert (told["log"]["reason"], told["reason"]) == ("no_rule", "no_rule")


@pytest.mark.parametrize("line,words", [
    ({}, 'this one has no "event"'),
    ({"event": "listening", "listener": "internal"}, 'found "listening": it is about no client'),
    ({"event": "access", "reason": "martian", "method": "GET", "path": "/"}, 'there is no reason "martian"'),
])
def test_a_line_that_says_nothing_of_a_client_is_not_taken_for_one_that_was_let_through(file, line, words):
    told = gates.run("explain", "-c", file, "--log", json.dumps(line))
    assert (told.returncode, told.stdout) == (2, "") and words in told.stderr


def refused_line(reason, **fields):
    return json.dumps({"event": "access", "listener": "internal", "sni": "billing.internal", "method": "GET", "host": "billing.internal",
                       "path": "/v1/x", "subject": "CN=x", "sans": "URI:spiffe://corp.example/ns/billing/x", "status": 400,
                       "reason": reason, **fields})


@pytest.mark.parametrize("reason,words", [
    ("bad_header", "--header"), ("ambiguous_header", "--header"), ("body_too_large", "--header"), ("bad_host", "the detail"),
    ("key_not_allowed", "--cert"),
])
def test_what_a_line_does_not_tell_is_not_judged_as_if_it_were_in_order(file, reason, words):
    told = account(file, "--log", refused_line(reason), code=3)
    assert words in told["log"]["not_tried"] and list(told) == ["log"]


def test_header_fields_may_be_given_beside_a_line(file):
    line = refused_line("bad_header_name")
    assert account(file, "--log", line, "--header", "X_Tenant: a", code=3)["reason"] == "bad_header_name"
    assert account(file, "--log", line, "--header", "X-Tenant: a", code=0)["rule"] == "read"


def test_a_list_of_names_that_was_cut_is_said_to_be_and_its_last_one_is_whole(file):
    told = account(file, "--log", refused_line("no_rule", sans="DNS:a.example,URI:spiffe://corp.example/y..."))
    assert (told["identity"]["dns"], told["identity"]["uri"]) == (["a.example"], ["spiffe://corp.example/y"])
    assert any("cut" in note for note in told["log"]["notes"])


def test_no_byte_of_a_line_moves_a_cursor(file):
    line = refused_line("no_rule", path="/a\x1b[31m\u009b31m\u00e9", detail="\x1b[2J\x07")
    told = subprocess.run([gates.binary(), "explain", "-c", file, "--log", line], capture_output=True, timeout=PATIENCE)
    text = told.stdout.decode()
    assert r"/a\x1b[31m\xc2\x9b31m\u00e9".replace(r"\u00e9", "\u00e9") in text and r"\x1b[2J\x07" in text
    assert not [c for c in text if ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160]
