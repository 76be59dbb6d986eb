"""Who may do what is checked before it is live: whatever is contradictory, unknown or cannot be read is refused with its place, by
`check` and by a reload, and what is in force stays. The place is marked in each case by '^'; of a pattern in a caller it is the entry."""

import pytest
import yaml

from lib import gate as gates
from lib import raw

WRONG = {
    # callers
    "an unknown field": ("callers", "{c: [{^urn: x}]}", 'unknown key; did you mean "uri"?'),
    "an unknown attribute": ("callers", "{c: [^{subject: {CNN: x}}]}", "attribute"),
    "an attribute that is no word": ("callers", "{c: [{subject: {^C N: x}}]}", "expected one such as CN, O or OU, or a dotted OID"),
    "a bad URI pattern": ("callers", '{c: [^{uri: "spiffe://x/**/y"}]}', "**"),
    "a wildcard in an authority": ("callers", '{c: [^{uri: "spiffe://*.x/y"}]}', "*"),
    "a bad e-mail pattern": ("callers", "{c: [^{email: a*@b.example}]}", "*"),
    "a block with bits behind its prefix": ("callers", "{c: [^{ip: 10.0.0.1/8}]}", "10.0.0.1/8"),
    "a prefix that is too long": ("callers", "{c: [^{ip: 10.0.0.0/33}]}", "10.0.0.0/33"),
    "a bad OID": ("callers", "{c: [{policy: ^1.02.3}]}", "expected an OID"),
    "a bad serial": ("callers", "{c: [{serial: ^0x1F}]}", "expected a serial number in hex"),
    "a bad role": ("callers", "{c: [{psd2_roles: [PSP_AI, ^PSP_AA]}]}", "expected PSP_AS, PSP_PI, PSP_AI or PSP_IC"),
    "roles for a signature": ("callers", "{c: [{qc_type: ^esign, psd2_roles: [PSP_AI]}]}", "never for esign"),
    "a caller that is not there": ("callers", "{c: [{caller: ^audit}], audits: [{any: authenticated}]}", 'did you mean "audits"?'),
    "a circle of callers": ("callers", "{c: [{caller: d}], d: [{caller: ^c}]}", "c -> d -> c"),
    "a rate without a time": ("callers", "{c: {match: [{uri: 'a:b'}], limits: {rate: ^100}}}", "100/s, 30/m or 1000/h"),
    "a burst without a rate": ("callers", "{c: {match: [{uri: 'a:b'}], limits: {connections: 1, burst: ^5}}}", "give rate"),
    "no limit at all": ("callers", "{c: {match: [{uri: 'a:b'}], limits: ^{per: caller}}}", "nothing is limited"),
    "a requirement that nothing meets": ("callers", "{c: {match: [{uri: 'a:b'}], require: {key_types: [ec], min_rsa_bits: ^2048}}}",
                                         "accepts no RSA key"),
    "patterns of names that must not be": (
        "callers", "{c: {match: [{uri: 'a:b'}], require: {names: {dns: {presence: must_not, patterns: ^[a.b]}}}}}", "need no patterns"),
    # rules
    "nobody": ("rules", "[^{name: r, upstream: main}]", "only a rule with deny may be for everybody"),
    "neither": ("rules", "[^{name: r, from: [c]}]", "expected a name, or deny with a status"),
    "both": ("rules", "[{name: r, from: [c], upstream: main, deny: ^403}]", "either upstream or deny"),
    "a status that is none": ("rules", "[{name: r, deny: ^302}]", "400 to 599"),
    "meant and not meant": ("rules", "[{name: r, from: [c], not_from: [^c], upstream: main}]", '"c" is also in from'),
    "a field twice": ("rules", "[{name: r, from: [c], upstream: main, headers: [{name: X-A}, ^{name: x-a}]}]", "given twice"),
    "a method twice": ("rules", "[{name: r, from: [c], upstream: main, methods: [GET, ^GET]}]", "given twice"),
    "no such listener": ("rules", "[{name: r, from: [c], upstream: main, listener: ^internel}]", 'did you mean "internal"?'),
    "a bad host": ("rules", "[{name: r, from: [c], upstream: main, host: ^a.*.b}]", "a.*.b"),
    "a bad path": ("rules", "[{name: r, from: [c], upstream: main, path: ^/a/**/b}]", "**"),
    "a bad block": ("rules", "[{name: r, from: [c], upstream: main, source: [10.0.0.0/8, ^192.0.2.1/24]}]", "192.0.2.1/24"),
    # the rest
    "an anonymous proxy": ("trusted_proxies", "[{from: [^nobody], xfcc: forward_only}]", "must prove who it is"),
    "a proxy that may say nothing": ("trusted_proxies", "[^{from: [c], forwarded: replace}]", "it may say nothing"),
    "details of a field that is not told": ("upstreams", '{main: {endpoints: ["127.0.0.1:1"], xfcc_details: ^[cert]}}', "does not name xfcc"),
    "an unknown variable": ("upstreams", '{main: {endpoints: ["127.0.0.1:1"], headers: {^X-A: "{subjekt}"}}}', "subjekt"),
    "a field of ours": ("upstreams", '{main: {endpoints: ["127.0.0.1:1"], headers: {^X-Forwarded-For: a}}}', "X-Forwarded-For"),
    "an unknown output": ("audit", "{output: ^[syslog]}", "expected a word or a path"),
}


def written(world, section, text):
    """Every top-level key on a line of its own; the mark is taken out: (the text, line, column)"""
    settings = gates.config(world, "127.0.0.1:1", callers={"c": [{"uri": "spiffe://x/y"}], "nobody": [{"any": "anonymous"}]},
                            rules=[{"name": "r", "from": ["c"], "upstream": "main"}])
    if section == "callers":
        settings["rules"] = [{"name": "r", "deny": 403}]
        settings["upstreams"] = {"main": {"endpoints": ["127.0.0.1:1"]}}
    lines = {key: yaml.safe_dump(value, default_flow_style=True, width=100000).removesuffix("\n").removesuffix("\n...")
             for key, value in settings.items()}
    lines[section] = text.replace("^", "", 1)
    line = list(lines).index(section) + 1
    return "".join(f"{key}: {value}\n" for key, value in lines.items()), line, len(section) + 2 + text.index("^") + 1


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_meant_is_refused_with_its_place(world, tmp_path, name):
    section, text, said = WRONG[name]
    file = tmp_path / "sallyport.yaml"
    made, line, column = written(world, section, text)
    file.write_text(made)
    checked = gates.run("check", "-c", str(file))
    errors = [found for found in checked.stderr.splitlines() if ": error: " in found]
    assert checked.returncode == 2
    assert len(errors) == 1, checked.stderr
    assert errors[0].startswith(f"{file}:{line}:{column}: error: {section}"), errors[0]
    assert said in errors[0]


def test_everything_that_is_wrong_is_told_at_once(world, tmp_path):
    file = tmp_path / "sallyport.yaml"
    made, line, _ = written(world, "callers", "{c: [{^urn: x}, {caller: d}], e: {match: [{serial: zz}], limits: {}}}")
    file.write_text(made)
    checked = gates.run("check", "-c", str(file))
    errors = [found for found in checked.stderr.splitlines() if ": error: " in found]
    assert checked.returncode == 2
    assert [found.removeprefix(f"{file}:{line}:").split(": ")[2] for found in errors] == [
        "callers.c[0].urn", "callers.c[1].caller", "callers.e.match[0].serial", "callers.e.limits"]


def test_a_reload_with_a_contradiction_changes_nothing(start_gate, world, backend):
    settings = gates.config(world, backend.endpoint)
    gate = start_gate(settings)
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.get().status == 200
        shut = {"name": "shut", "deny": 403}
        assert gate.reload({**settings, "rules": [shut, {**settings["rules"][0], "not_from": ["billing"]}]})["event"] == "reload_failed"
        assert client.get().status == 200
        assert gate.reload({**settings, "rules": [shut, settings["rules"][0]]})["event"] == "reloaded"
        assert client.get().status == 403
