"""Prefixes of paths taken away or replaced: before the decision, which is made on what the backend gets."""

import json

import pytest

from lib import gate as gates
from lib import raw

RULES = [
    {"name": "no-admin", "path": "/admin/**", "deny": 404},
    {"name": "v1", "from": ["everybody"], "path": "/v1/**", "upstream": "main"},
    {"name": "root", "from": ["everybody"], "path": "/", "upstream": "main"},
    {"name": "prefixed", "from": ["everybody"], "path": "/billing/**", "upstream": "main"},
    {"name": "v2", "from": ["everybody"], "host": "billing.internal", "path": "/v2/**", "upstream": "main"},
]
REWRITES = [{"prefix": "/billing"}, {"host": "*.internal", "prefix": "/old", "replace": "/v2"}, {"prefix": "/deep/a", "replace": "/v1/x"}]


def settings(world, endpoint, rewrites=REWRITES, **changes):
    return gates.config(
        world, endpoint, listeners=[gates.listener(world, rewrite=rewrites)], callers={"everybody": [{"any": "authenticated"}]},
        rules=RULES, upstreams={"main": {"endpoints": [endpoint], "identity_headers": [], "forwarding_headers": ["x_forwarded"]}}, **changes)


@pytest.fixture(scope="module")
def gate(world, start_module_gate, module_backend):
    return start_module_gate(settings(world, module_backend.endpoint))


CASES = [
    # target, status, rule, sent, prefix
    ("/billing/v1/x?a=/billing/b", 200, "v1", "/v1/x?a=/billing/b", "/billing"),
    ("/billing", 200, "root", "/", "/billing"),
    ("/billing/", 200, "root", "/", "/billing"),
    ("/billing?q", 200, "root", "/?q", "/billing"),
    ("/billing/billing/x", 200, "prefixed", "/billing/x", "/billing"),  # once
    ("https://billing.internal/billing/v1/x", 200, "v1", "/v1/x", "/billing"),
    ("/old/x", 200, "v2", "/v2/x", None),
    ("/deep/a/y", 200, "v1", "/v1/x/y", None),
    ("/v1/x", 200, "v1", "/v1/x", None),
    # the decision is made on the result
    ("/billing/admin/x", 404, "no-admin", None, None),
    ("/billings/v1/x", 403, None, None, None),
    ("/deep/ab", 403, None, None, None),
    # before anything is taken away, the path has one reading
    ("/billing/../admin/x", 400, None, None, None),
    ("/billing//admin/x", 400, None, None, None),
    ("/billing/%2e%2e/admin", 400, None, None, None),
    ("/billing%2fadmin/x", 400, None, None, None),
    ("//billing/v1/x", 400, None, None, None),
]


@pytest.mark.parametrize("target,status,rule,sent,prefix", CASES)
def test_what_is_judged_is_what_is_sent(gate, module_backend, target, status, rule, sent, prefix):
    module_backend.forget()
    with raw.Client(gate, gate.world.clients["auditor"]) as client:
        answer = client.ask(f"GET {target} HTTP/1.1\r\nHost: billing.internal\r\nX-Forwarded-Prefix: /evil\r\n\r\n".encode())
        assert answer.status == status
        record = gate.wait_access(peer=client.peer)
    assert record.get("rule") == rule
    if sent is None:
        assert module_backend.requests == []
        return
    request = module_backend.wait()
    assert request.line == f"GET {sent} HTTP/1.1"
    assert request.one("X-Forwarded-Prefix") == prefix
    assert record["path"] == sent.partition("?")[0]
    before = target.partition("?")[0].replace("https://billing.internal", "")
    assert record.get("rewritten_from") == (before if before != record["path"] else None)


def test_options_of_the_whole_server_has_no_path_to_rewrite(world, start_gate, backend):
    made = settings(world, backend.endpoint, [{"prefix": "/", "replace": "/all"}])
    made["rules"] = [{"name": "all", "from": ["everybody"], "upstream": "main"}]
    gate = start_gate(made)
    with raw.Client(gate, world.clients["auditor"]) as client:
        assert client.ask(b"OPTIONS * HTTP/1.1\r\nHost: billing.internal\r\n\r\n", method="OPTIONS").status == 200
        assert backend.wait().line == "OPTIONS * HTTP/1.1"
        backend.forget()
        assert client.get().status == 200
        assert backend.wait().line == "GET /all/ HTTP/1.1"


def test_a_request_that_is_sent_twice_is_rewritten_alike(world, start_gate, backend):
    """A kept-alive connection that turns out closed: the head is made once more, long after the first time."""
    gate = start_gate(settings(world, backend.endpoint))

    def close(talk, _):
        return False

    with raw.Client(gate, world.clients["auditor"]) as client:
        assert client.get("/billing/v1/a").status == 200
        backend.answers = [close]
        assert client.get("/billing/v1/b").status == 200
    assert [request.line for request in backend.requests] == ["GET /v1/a HTTP/1.1", "GET /v1/b HTTP/1.1", "GET /v1/b HTTP/1.1"]
    assert [request.one("X-Forwarded-Prefix") for request in backend.requests] == ["/billing"] * 3


def test_explain_tells_what_is_judged_and_sent(world, tmp_path):
    file = tmp_path / "sallyport.yaml"
    file.write_text(json.dumps(settings(world, "127.0.0.1:9")))
    arguments = ["explain", "-c", file, "--identity", "subject.CN=x", "--host", "billing.internal", "--path", "/billing/v1/x"]
    told = json.loads(gates.run(*arguments, "--json").stdout)
    assert (told["request"]["path"], told["request"]["rewritten"], told["rule"]) == ("/billing/v1/x", "/v1/x", "v1")
    assert ["X-Forwarded-Prefix", "/billing"] in told["headers"]
    text = gates.run(*arguments).stdout
    assert "\nrewritten   /v1/x: so it is judged and sent\n" in text and "  X-Forwarded-Prefix: /billing\n" in text


@pytest.mark.parametrize("rewrite,words", [
    ({"prefix": "billing"}, "prefix"), ({"prefix": "/a//b"}, "prefix"), ({"prefix": "/a/../b"}, "prefix"), ({"prefix": "/a?b"}, "prefix"),
    ({"prefix": "/a", "replace": "/b/../c"}, "replace"), ({"prefix": "/a", "replace": "/a"}, "nothing"), ({"host": "a.*", "prefix": "/a"}, "host")])
def test_a_rewrite_that_could_be_read_in_two_ways_is_refused(world, tmp_path, rewrite, words):
    file = tmp_path / "sallyport.yaml"
    file.write_text(json.dumps(settings(world, "127.0.0.1:9", [rewrite])))
    told = gates.run("check", "-c", file)
    assert told.returncode != 0 and "rewrite[0]" in told.stdout + told.stderr
