"""Who is which caller: every field of an entry against certificates that really have it, or nearly, through real handshakes; and lists of
identities, which count from the moment that their file says so."""

import hashlib
import pathlib

import pytest
from cryptography.hazmat.primitives import serialization

from lib import gate as gates
from lib import pki, raw
from lib.patience import until
from lib.pki import dns, email, ip, uri

SPIFFE = "spiffe://corp.example/ns/billing/sa/batch"


def spki(credential):
    return hashlib.sha256(credential.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def colons(digits):
    return ":".join(digits[i:i + 2] for i in range(0, len(digits), 2)).upper()


def qc(**options):
    return {"extensions": [(pki.qc_statements(**options), False)]}


def who(subject="somebody", **options):
    return subject, options


# name: the caller's entries (or what makes them, of the certificate that is meant), who it is, who it is not
CASES = {
    "uri": ([{"uri": SPIFFE}], who(sans=[uri("urn:x"), uri(SPIFFE)]), who(sans=[uri(SPIFFE + "2"), dns("batch")])),
    "uri-star": ([{"uri": "spiffe://corp.example/ns/*/sa/b*h"}], who(sans=[uri(SPIFFE)]),
                 who(sans=[uri("spiffe://corp.example/ns/a/b/sa/batch")])),
    "uri-below": ([{"uri": "spiffe://corp.example/ns/billing/**"}], who(sans=[uri(SPIFFE)]),
                  who(sans=[uri("spiffe://corp.example.evil/ns/billing/sa/batch")])),
    "dns": ([{"dns": "Batch.corp.example"}], who(sans=[dns("a.example"), dns("BATCH.corp.example")]),
            who("batch.corp.example", sans=[uri("https://batch.corp.example")])),
    "dns-star": ([{"dns": "*.corp.example"}], who(sans=[dns("a.corp.example")]), who(sans=[dns("a.b.corp.example")])),
    "email": ([{"email": "ann@audit.example"}], who(sans=[email("ann@AUDIT.example")]), who(sans=[email("Ann@audit.example")])),
    "email-star": ([{"email": "*@audit.example"}], who(sans=[email("bob@audit.example")]),
                   who([("emailAddress", "bob@audit.example")])),
    "ip": ([{"ip": "192.0.2.7"}], who(sans=[ip("10.0.0.1"), ip("192.0.2.7")]), who(sans=[ip("192.0.2.8"), dns("192.0.2.7")])),
    "ip-block": ([{"ip": "2001:db8::/32"}], who(sans=[ip("2001:db8:1::7")]), who(sans=[ip("2001:db9::7")])),
    "subject": ([{"subject": {"CN": "a", "OU": ["dev", "ops"]}}], who([("OU", "ops"), ("OU", "sec"), ("CN", "a"), ("OU", "dev")]),
                who([("OU", "ops"), ("OU", "sec"), ("CN", "a")])),
    "subject-in-one-rdn": ([{"subject": {"O": "A", "OU": "b"}}], who([[("O", "A"), ("OU", "b"), ("CN", "c")]]),
                           who([[("O", "b"), ("OU", "A"), ("CN", "c")]])),
    "subject-by-oid": ([{"subject": {"2.5.4.97": "PSDDE-BAFIN-1"}}], who([("organizationIdentifier", "PSDDE-BAFIN-1")]),
                       who([("organizationIdentifier", "PSDDE-BAFIN-2")])),
    "subject-by-other-names": ([{"subject": {"givenName": "Ann", "surname": "Söhne", "title": "Dr", "postalCode": "10115"}}],
                               who([("2.5.4.42", "Ann"), ("2.5.4.4", "Söhne"), ("2.5.4.12", "Dr"), ("2.5.4.17", "10115")]),
                               who([("2.5.4.42", "Söhne"), ("2.5.4.4", "Ann"), ("2.5.4.12", "Dr"), ("2.5.4.17", "10115")])),
    "subject-of-no-name": ([{"subject": {"1.3.6.1.4.1.99999.7": "v"}}], who([("1.3.6.1.4.1.99999.7", "v")]),
                           who([("1.3.6.1.4.1.99999.8", "v")])),
    "issuer": ([{"issuer": {"CN": "Issuing CA", "O": "Example Corp"}, "dns": "issued.example"}], who(sans=[dns("issued.example")]),
               who([("CN", "Issuing CA"), ("O", "Example Corp")])),
    "serial": ([{"serial": "0F:3A:01", "issuer": {"CN": "Issuing CA"}}], who(serial=0x0f3a01), who(serial=0x0f3a02)),
    "fingerprint": (lambda it: [{"fingerprint_sha256": colons(it.sha256_hex)}], who(), who()),
    "key": (lambda it: [{"spki_sha256": spki(it)}], who(), who()),
    "policy": ([{"policy": "1.3.6.1.4.1.99999.1"}], who(policies=["1.2.3", "1.3.6.1.4.1.99999.1"]),
               who(policies=["1.3.6.1.4.1.99999.2", "2.5.29.32.0"])),
    "qc-type": ([{"qc_type": "web"}], who(**qc(type="web")), who(**qc(type="eseal"))),
    "qc-type-unqualified": ([{"qc_type": "web", "dns": "q.example"}], who(sans=[dns("q.example")], **qc(type="web")),
                            who(sans=[dns("q.example")], **qc(type="web", compliance=False))),
    "psd2": ([{"psd2_roles": ["PSP_AI", "PSP_PI"], "psd2_authority": "DE-BAFIN"}], who(**qc(roles=["PSP_PI", "PSP_IC", "PSP_AI"])),
             who(**qc(roles=["PSP_AI", "PSP_IC"]))),
    "psd2-authority": ([{"psd2_authority": "AT-FMA", "subject": {"CN": "tpp"}}],
                       who("tpp", **qc(roles=["PSP_AI"], nca=("FMA", "AT-FMA"))), who("tpp", **qc(roles=["PSP_AI"], nca=("AT-FMA", "X")))),
    "all-fields": ([{"uri": "urn:all", "dns": "all.example", "subject": {"CN": "all"}}],
                   who("all", sans=[uri("urn:all"), dns("all.example")]), who("all", sans=[uri("urn:all"), dns("some.example")])),
    "any-entry": ([{"uri": "urn:first"}, {"uri": "urn:second"}], who(sans=[uri("urn:second")]), who(sans=[uri("urn:third")])),
    "by-caller": ([{"caller": "any-entry", "dns": "*.example"}], who(sans=[uri("urn:first"), dns("a.example")]),
                  who(sans=[uri("urn:third"), dns("a.example")])),
    "by-caller-of-a-caller": ([{"caller": "by-caller"}], who(sans=[uri("urn:second"), dns("b.example")]), who(sans=[uri("urn:second")])),
}


@pytest.fixture(scope="module")
def people(world, tmp_path_factory):
    """case -> (who it is, who it is not)"""
    folder = tmp_path_factory.mktemp("people")
    return {name: tuple(world.issuing.issue(subject, **options).save(folder, f"{name}-{number}")
                        for number, (subject, options) in enumerate(some)) for name, (_, *some) in CASES.items()}


@pytest.fixture(scope="module")
def gate(start_module_gate, world, module_backend, people):
    callers = {name: entries(people[name][0]) if callable(entries) else entries for name, (entries, *_) in CASES.items()}
    return start_module_gate(gates.config(
        world, module_backend.endpoint, callers=callers,
        rules=[{"name": name, "from": [name], "path": f"/{name}", "upstream": "main"} for name in CASES]))


@pytest.mark.parametrize("case", CASES)
def test_who_has_it_is_that_caller_and_who_nearly_has_it_is_not(gate, people, case):
    has, has_not = people[case]
    with raw.Client(gate, has) as client:
        assert client.get(f"/{case}").status == 200
    with raw.Client(gate, has_not) as client:
        assert client.get(f"/{case}").status == 403
        assert gate.wait_access(peer=client.peer)["reason"] == "no_rule"


def test_the_names_of_an_issuer_are_a_set_too(start_gate, own_world, backend, tmp_path):
    """Two CAs with the same names of other types, in one RDN and in several, in either order; the caller asks for three of them."""
    cas = {"has": [[("OU", "b"), ("O", "Corp")], ("OU", "c"), ("OU", "a"), ("CN", "One CA")],
           "has-in-one": [[("CN", "Two CA"), ("OU", "a"), ("OU", "b"), ("O", "Corp")]],
           "lacks-one": [("O", "Corp"), ("OU", "a"), ("OU", "c"), ("CN", "Three CA")],
           "has-it-elsewhere": [("O", "b"), ("OU", "a"), ("OU", "Corp"), ("CN", "Four CA")]}
    people = {}
    for name, subject in cas.items():
        ca = own_world.root.lower(subject)
        (own_world.crl_folder / f"{name}.pem").write_bytes(ca.crl())
        people[name] = ca.issue("x").save(tmp_path, name)
    gate = start_gate(gates.config(
        own_world, backend.endpoint, callers={"those": [{"issuer": {"OU": ["b", "a"], "O": "Corp"}}]},
        rules=[{"name": "those", "from": ["those"], "upstream": "main"}]), of=own_world)
    for name, credential in people.items():
        with raw.Client(gate, credential) as client:
            assert client.get().status == (200 if name in ("has", "has-in-one") else 403), name


# ---- clients without a certificate ----

def test_an_anonymous_client_is_only_who_may_be_anonymous(start_gate, world, backend):
    listener = gates.listener(world)
    listener["client_auth"]["mode"] = "optional"
    callers = {"anonymous": [{"any": "anonymous"}], "authenticated": [{"any": "authenticated"}],
               "anybody": [{"caller": "anonymous"}, {"caller": "authenticated"}], "named": [{"caller": "anybody", "uri": "spiffe://corp.example/**"}]}
    gate = start_gate(gates.config(
        world, backend.endpoint, listeners=[listener], callers=callers,
        rules=[{"name": name, "from": [name], "path": f"/{name}", "upstream": "main"} for name in callers]))
    for credential, wanted in ((None, {"anonymous", "anybody"}), (world.clients["auditor"], {"authenticated", "anybody"}),
                               (world.clients["billing"], {"authenticated", "anybody", "named"})):
        with raw.Client(gate, credential) as client:
            assert {name for name in callers if client.get(f"/{name}").status == 200} == wanted


# ---- lists ----

def put(path, text):
    """As those do who know how: beside it first, then renamed."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.rename(path)


@pytest.fixture
def allowed(own_world):
    path = pathlib.Path(own_world.folder) / "allow.txt"
    path.write_text("# who may\r\n\r\nemail:ann@audit.example.com\r\n")
    return path


@pytest.fixture
def listed(start_gate, own_world, backend, allowed):
    """A gate that lets in who is on the list, and another caller only from among them."""
    callers = {"listed": [{"file": str(allowed)}], "batch": [{"file": str(allowed), "dns": "*.billing.internal"}]}
    return start_gate(gates.config(own_world, backend.endpoint, callers=callers, rules=[
        {"name": "batch", "from": ["batch"], "path": "/batch", "upstream": "main"},
        {"name": "listed", "from": ["listed"], "path": "/listed", "upstream": "main"}]), of=own_world)


def change(gate, allowed, text, event="material_changed"):
    since = len(gate.events.records)
    put(allowed, text)
    return gate.wait_event(event, since)


def statuses(gate, credential):
    with raw.Client(gate, credential) as client:
        return client.get("/listed").status, client.get("/batch").status


EVERY_KIND = """\
uri:spiffe://corp.example/ns/*/sa/batch
dns:*.nowhere.example
ip:192.0.2.0/24
subject.OU:ops
"""


def test_a_line_more_lets_in_and_a_line_less_keeps_out_without_a_signal(listed, own_world, allowed):
    clients = own_world.clients
    assert statuses(listed, clients["auditor"]) == (200, 403)
    assert statuses(listed, clients["billing"]) == (403, 403)
    assert change(listed, allowed, EVERY_KIND)["generation"] == 2
    assert statuses(listed, clients["auditor"]) == (403, 403)
    assert statuses(listed, clients["billing"]) == (200, 200)
    assert statuses(listed, clients["two_names"]) == (200, 403)


def test_who_is_taken_off_the_list_is_refused_on_the_connection_that_is_open(listed, own_world, allowed):
    with raw.Client(listed, own_world.clients["auditor"]) as client:
        assert client.get("/listed").status == 200
        change(listed, allowed, EVERY_KIND)
        until(lambda: client.get("/listed").status == 403, "the list in force on an open connection")
        change(listed, allowed, EVERY_KIND + "email:*@audit.example.com\n")
        until(lambda: client.get("/listed").status == 200, "the list in force on an open connection")


def test_a_broken_list_keeps_the_one_before_and_is_named_with_its_line(listed, own_world, allowed):
    event = change(listed, allowed, EVERY_KIND + "\nspiffe://corp.example/ns/billing\n", "material_failed")
    assert (event["file"], event["line"], event["column"]) == (str(allowed), 6, 1), event
    assert "expected a line such as" in event["detail"], event
    assert statuses(listed, own_world.clients["auditor"]) == (200, 403)
    assert statuses(listed, own_world.clients["billing"]) == (403, 403)
    change(listed, allowed, EVERY_KIND)
    assert statuses(listed, own_world.clients["billing"]) == (200, 200)


def test_a_list_that_is_gone_keeps_the_one_before(listed, own_world, allowed):
    since = len(listed.events.records)
    allowed.rename(allowed.with_name("elsewhere"))
    event = listed.wait_event("material_failed", since)
    assert "allow.txt" in event["detail"] and "No such file" in event["detail"], event
    assert statuses(listed, own_world.clients["auditor"]) == (200, 403)


@pytest.mark.parametrize("text, said", [
    ("uri:urn:x\nurl:urn:y\n", ":2:1: error: \"url:urn:y\": expected a line such as"),
    ("ip:10.0.0.1/8\n", ":1:4: error: \"10.0.0.1/8\": expected no bit set behind the prefix"),
    ("nonsense\n" * 100, ": and 80 more lines are wrong"),
    ("# nobody\n", ":1:1: warning: no identity in it"),
    (None, "cannot be opened: No such file"),
])
def test_check_tells_what_is_wrong_with_a_list(own_world, tmp_path, allowed, text, said):
    file = tmp_path / "sallyport.yaml"
    settings = gates.config(own_world, "127.0.0.1:1", callers={"listed": [{"file": str(allowed)}]},
                            rules=[{"name": "r", "from": ["listed"], "upstream": "main"}])
    file.write_text(gates.yaml.safe_dump(settings))
    if text is None:
        allowed.unlink()
    else:
        allowed.write_text(text)
    checked = gates.run("check", "-c", str(file))
    assert checked.returncode == (0 if "warning" in said else 2), checked.stderr
    assert said in checked.stderr, checked.stderr


def test_a_hundred_thousand_on_a_list_are_told_apart(start_gate, own_world, backend, allowed, tmp_path):
    allowed.write_text("".join(f"uri:spiffe://corp.example/ns/n{n % 100}/sa/s{n}\n" for n in range(100_000)))
    gate = start_gate(gates.config(
        own_world, backend.endpoint, callers={"listed": [{"file": str(allowed)}]},
        rules=[{"name": "listed", "from": ["listed"], "upstream": "main"}]), of=own_world)
    for name, wanted in ((uri("spiffe://corp.example/ns/n0/sa/s0"), 200), (uri("spiffe://corp.example/ns/n99/sa/s99999"), 200),
                         (uri("spiffe://corp.example/ns/n98/sa/s99999"), 403), (uri("spiffe://corp.example/ns/n0/sa/s100000"), 403)):
        with raw.Client(gate, own_world.issuing.issue("x", sans=[name]).save(tmp_path, "x")) as client:
            assert client.get().status == wanted
