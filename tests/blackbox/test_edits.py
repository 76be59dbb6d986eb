"""What a rule does to the fields of what it lets through: remove, set, add, in this order, and never to what only the gate may say."""

import json

import pytest

from lib import gate as gates
from lib import raw


def settings(world, endpoint, request=None, response=None, **upstream):
    rule = {"name": "all", "from": ["everybody"], "upstream": "main", "headers": [{"name": "X-Tenant", "equals": "acme"}]}
    if request:
        rule["request_headers"] = request
    if response:
        rule["response_headers"] = response
    return gates.config(
        world, endpoint, callers={"everybody": [{"any": "authenticated"}]}, rules=[rule],
        upstreams={"main": {"endpoints": [endpoint], "identity_headers": ["plain"], "forwarding_headers": [], **upstream}})


def visit(gate, backend, more=b"", answers=()):
    backend.forget()
    backend.answers = list(answers)
    with raw.Client(gate, gate.world.clients["auditor"]) as client:
        answer = client.get(more=b"X-Tenant: acme\r\n" + more)
    assert answer.status == 200, answer
    request = backend.wait()
    said = [(name, value) for name, value in request.fields if not name.lower().startswith("x-client") and name != "X-Request-Id"]
    return said, request, answer


def test_a_request_is_edited_after_it_was_judged(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, {
        "remove": ["X-Tenant", "X-Debug"], "set": {"X-Env": "prod"}, "add": {"X-Tag": "mine"}}))
    said, request, _ = visit(gate, backend, b"X-Env: dev\r\nx-ENV: test\r\nX!Env: other\r\nx-debug: 1\r\nX-Tag: theirs\r\nAccept: x\r\n")
    assert said == [("Host", "billing.internal"), ("X-Tag", "theirs"), ("Accept", "x"), ("X-Env", "prod"), ("X-Tag", "mine")]
    assert request.one("X-Client-Verify") == "SUCCESS" and request.one("X-Client-Rule") == "all"
    with raw.Client(gate, world.clients["auditor"]) as client:  # the rule still looks at what the client said
        assert client.get(more=b"X-Env: prod\r\n").status == 403


def test_an_answer_is_edited(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, None, {
        "remove": ["Server", "X-Powered-By"], "set": {"X-Frame-Options": "DENY"}, "add": {"Set-Cookie": "b=2"}}))
    _, _, answer = visit(gate, backend, answers=[
        b"HTTP/1.1 200 OK\r\nserver: s\r\nX-POWERED-BY: p\r\nX-Frame-Options: ALLOW\r\nx-frame-options: ALLOW\r\n"
        b"Set-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok"])
    assert answer.all("Server") == answer.all("X-Powered-By") == []
    assert answer.all("X-Frame-Options") == ["DENY"] and answer.all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.body == b"ok"


def test_an_answer_of_our_own_is_not_edited(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, None, {"set": {"X-Frame-Options": "DENY"}}))
    with raw.Client(gate, world.clients["auditor"]) as client:
        answer = client.get()
        assert answer.status == 403 and answer.all("X-Frame-Options") == []


def test_as_many_edits_as_there_may_be_find_room(start_gate, world, backend):
    gate = start_gate(settings(world, backend.endpoint, {
        "set": {f"X-Set-{i}": "1" for i in range(64)}, "add": {f"X-Add-{i}": "2" for i in range(64)}}))
    said, _, _ = visit(gate, backend, b"".join(b"X-N: %d\r\n" % i for i in range(60)))
    assert len([name for name, _ in said if name.startswith("X-Set")]) == 64
    assert len([name for name, _ in said if name.startswith("X-Add")]) == 64
    assert len([name for name, _ in said if name == "X-N"]) == 60


@pytest.mark.parametrize("where", ["request_headers", "response_headers"])
@pytest.mark.parametrize("edit", [
    {"set": {"X-Client-Subject": "CN=root"}}, {"set": {"x_client_subject": "CN=root"}}, {"add": {"X.Client.Rule": "admin"}},
    {"remove": ["X-Client-Verify"]}, {"set": {"Client-Cert": ":AA==:"}}, {"set": {"X-Forwarded-For": "1.2.3.4"}}, {"remove": ["forwarded"]},
    {"set": {"X-SSL-Client-S-DN": "CN=root"}}, {"set": {"Remote-User": "root"}}, {"set": {"X-Original-URL": "/admin"}},
    {"set": {"X-Team": "a"}}, {"remove": ["x_team"]}, {"set": {"Host": "a"}}, {"set": {"Content-Length": "1"}},
    {"remove": ["Transfer-Encoding"]}, {"set": {"Connection": "close"}}, {"set": {"X-Request-Id": "a"}}, {"set": {"x-request_id": "a"}},
    {"remove": ["Vary"]}, {"set": {"X A": "b"}}, {"set": {"X-A": "b\r\nX-Client-Verify: SUCCESS"}}, {"set": {"X-A": ""}}])
def test_what_no_rule_may_touch_is_refused_with_its_place(world, tmp_path, where, edit):
    made = settings(world, "127.0.0.1:9", headers={"X-Team": "t"}, **{})
    made["rules"][0][where] = edit
    file = tmp_path / "sallyport.yaml"
    file.write_text(json.dumps(made, indent=1))
    told = gates.run("check", "-c", file)
    assert told.returncode != 0
    line = next(line for line in told.stderr.splitlines() + told.stdout.splitlines() if where in line or "control character" in line)
    assert f"{file}:" in line and "error" in line


def test_the_way_of_a_request_may_not_be_hidden_but_that_of_an_answer_may(world, tmp_path):
    file = tmp_path / "sallyport.yaml"
    for where, status in (("request_headers", 2), ("response_headers", 0)):
        made = settings(world, "127.0.0.1:9")
        made["rules"][0][where] = {"remove": ["Via"]}
        file.write_text(json.dumps(made, indent=1))
        told = gates.run("check", "-c", file)
        assert told.returncode == status
        assert ("Via is the way of a request" in told.stderr) == (status != 0)
