"""Mode tcp in front of real servers: PostgreSQL and Redis with their own clients, which come through stunnel or socat."""

import hashlib
import random
import signal
import struct
import subprocess
import time

import pytest

from lib import databases
from lib import gate as gates
from lib.databases import Failed, Socat, Stunnel, Talk, talk_psql
from lib.patience import PATIENCE, until

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def postgres():
    made = databases.Postgres()
    yield made
    made.stop()


@pytest.fixture
def make_redis():
    """make_redis() -> Redis, any number of them."""
    made = []

    def make():
        made.append(databases.Redis())
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def redis(make_redis):
    return make_redis()


def listener(world, **changes):
    return gates.listener(world, mode="tcp", **changes)


def settings(world, server, *, upstream=None, listeners=None, **changes):
    changes.setdefault("rules", [{"name": "billing-db", "from": ["billing"], "upstream": "main"}])
    changes.setdefault("upstreams", {"main": {"endpoints": [server.endpoint], **(upstream or {})}})
    return gates.config(world, listeners=listeners or [listener(world)], **changes)


@pytest.fixture
def gate(start_gate, world, postgres):
    return start_gate(settings(world, postgres))


@pytest.fixture
def tunnel(gate, world):
    with Stunnel(gate, world.clients["billing"]) as made:
        yield made


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- PostgreSQL ----

@pytest.mark.parametrize("client", [Stunnel, Socat])
def test_a_query_is_answered_through_the_gate(gate, world, postgres, client):
    before = postgres.connections_by_network()
    with client(gate, world.clients["billing"]) as tunnel:
        answer = tunnel.psql("-c", "select 6 * 7, current_user, application_name from pg_stat_activity "
                             "where pid = pg_backend_pid()")
        record = gate.wait_access(mode="tcp")  # before the TLS client ends, which would break the connection
    assert answer == "42|tester|sp-test\n"
    assert (record["caller"], record["upstream"], record["endpoint"]) == ("billing", "main", postgres.endpoint)
    assert "reason" not in record and record["bytes_in"] > 100 and record["bytes_out"] > 100
    assert postgres.connections_by_network() == before + 1


def test_a_table_of_megabytes_goes_in_and_comes_out_the_same(tunnel, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    source = random.Random(5)
    there.write_text("".join(f"{i}\t{source.randbytes(96).hex()}\n" for i in range(150_000)))
    assert there.stat().st_size > 28 * MIB
    tunnel.psql("-c", "create table whole (id int, payload text)", "-c", f"\\copy whole from '{there}'",
                "-c", f"\\copy (select * from whole order by id) to '{back}'", "-c", "drop table whole")
    assert digest(back) == digest(there)


def test_a_result_of_a_million_rows_arrives_whole(tunnel):
    answer = tunnel.psql("-c", "select md5(i::text) from generate_series(1, 1000000) i")
    expected = hashlib.sha256()
    for i in range(1, 1_000_001):
        expected.update(hashlib.md5(b"%d" % i).hexdigest().encode() + b"\n")
    assert len(answer) == 33_000_000 and hashlib.sha256(answer.encode()).hexdigest() == expected.hexdigest()


@pytest.mark.parametrize("how", [[], ["-C"]], ids=["kept", "anew_each_time"])
def test_pgbench_with_eight_clients_sees_no_error(gate, tunnel, postgres, how):
    if not postgres.ask_past_the_gate("select to_regclass('pgbench_accounts')"):
        databases.run(*tunnel.client("pgbench", "-i", "-q", "-I", "dtgp", "-s", "2", databases.DATABASE))
    transactions = 20 if how else 200
    said = databases.run(
        *tunnel.client("pgbench", "-n", "-c", "8", "-j", "2", "-t", str(transactions), *how, databases.DATABASE))
    assert f"number of transactions actually processed: {8 * transactions}/{8 * transactions}" in said
    assert "number of failed transactions: 0" in said
    gate.wait_metric("sallyport_tunnels_open", lambda n: n == 0)
    assert gate.metrics()["sallyport_tunnels_total"] >= (8 * transactions if how else 8)
    assert [record for record in gate.accesses.records if "reason" in record] == []


def test_a_query_is_cancelled_by_a_second_connection_as_psql_does(tunnel, postgres):
    with talk_psql(tunnel, "sp-cancel") as psql:
        psql.say("select pg_sleep(600);")
        postgres.wait_activity("sp-cancel", "state = 'active' and query like '%pg_sleep(600)%'")
        psql.process.send_signal(signal.SIGINT)
        assert psql.read_to_the_end() == ["Cancel request sent", "ERROR:  canceling statement due to user request"]


def test_a_transaction_ends_when_the_certificate_of_its_client_is_revoked(start_gate, own_world, postgres):
    postgres.ask_past_the_gate("drop table if exists moved; create table moved (amount int)")
    gate = start_gate(settings(own_world, postgres), of=own_world)
    with Stunnel(gate, own_world.clients["billing"]) as tunnel, talk_psql(tunnel, "sp-revoked") as psql:
        assert psql.ask("begin; insert into moved values (1); select count(*) from moved;") == ["1"]
        own_world.write_crls([own_world.clients["billing"]])
        record = gate.wait_access(mode="tcp")
        assert record["reason"] == "revoked"
        postgres.wait_activity("sp-revoked", "gone")
        psql.say("commit;")
        assert any("server closed the connection unexpectedly" in line for line in psql.read_to_the_end())
        assert psql.process.returncode == 2
        before = postgres.connections_by_network()
        with pytest.raises(Failed):
            tunnel.psql("-c", "select 1")
        assert gate.wait_event("refused")["reason"] == "revoked"
        assert postgres.connections_by_network() == before
    postgres.wait_log("sp-revoked LOG:  unexpected EOF on client connection with an open transaction")
    assert postgres.ask_past_the_gate("select count(*) from moved") == "0"


def test_who_is_refused_never_reaches_the_server(gate, world, postgres):
    before = postgres.connections_by_network()
    with Stunnel(gate, world.clients["auditor"]) as tunnel:
        with pytest.raises(Failed, match="server closed the connection unexpectedly"):
            tunnel.psql("-c", "select 1")
        record = gate.wait_access(mode="tcp")
        assert record["reason"] == "no_rule" and record["bytes_in"] == 0 and "endpoint" not in record
    assert postgres.connections_by_network() == before


def test_a_query_goes_on_while_the_configuration_is_read_again(gate, tunnel, world, postgres):
    """The query waits for a lock that the test holds, so that it is certain to be under way the whole time."""
    with hold_lock(postgres, 1) as release, talk_psql(tunnel, "sp-reload") as psql:
        psql.say("select 'after', pg_advisory_lock(1);")
        postgres.wait_activity("sp-reload", "wait_event = 'advisory'")
        made = settings(world, postgres, rules=[
            {"name": "others", "from": ["auditors"], "upstream": "main"},
            {"name": "billing-db", "from": ["billing"], "upstream": "main"}])
        for _ in range(3):
            assert gate.reload(made)["event"] == "reloaded"
        release()
        assert psql.read_to("after|") == []
        assert psql.ask("select 'and on';") == ["and on"]
    assert "reason" not in gate.wait_access(mode="tcp")


def test_a_drain_lets_a_query_end_and_then_is_over(gate, tunnel, postgres):
    with hold_lock(postgres, 2) as release, talk_psql(tunnel, "sp-drain") as psql:
        psql.say("select 'in time', pg_advisory_lock(2);\n\\q")
        postgres.wait_activity("sp-drain", "wait_event = 'advisory'")
        gate.signal(signal.SIGTERM)
        gate.wait_event("draining")
        before = postgres.connections_by_network()
        with pytest.raises(Failed):
            tunnel.psql("-c", "select 1")
        assert gate.process.poll() is None
        began = time.monotonic()
        release()
        assert psql.read_to_the_end() == ["in time|"]
        gate.wait_exit()
        assert time.monotonic() - began < 25  # drain_timeout is 30 s: nobody waited for it
    assert "reason" not in gate.wait_access(mode="tcp")
    assert gate.wait_event("drained")["cut"] == 0
    assert postgres.connections_by_network() == before


class hold_lock:
    """Held past the gate, until the function that it gives is called."""

    def __init__(self, postgres, number):
        self.number = number
        self.talk = Talk(databases.program("psql"), "-XAtq", "-h", postgres.folder, "-p", postgres.port,
                         "-U", databases.ROLE, databases.DATABASE)

    def __enter__(self):
        assert self.talk.ask(f"select 'held', pg_advisory_lock({self.number});") == ["held|"]
        return lambda: self.talk.ask(f"select pg_advisory_unlock({self.number});")

    def __exit__(self, *_):
        self.talk.close()


def startup_message():
    """PostgreSQL's first, without the SSLRequest: of a client that begins with TLS at once (sslnegotiation=direct)."""
    parameters = b"user\0%s\0database\0%s\0\0" % (databases.ROLE.encode(), databases.DATABASE.encode())
    return struct.pack(">ii", 8 + len(parameters), 3 << 16) + parameters


def test_a_client_that_begins_with_tls_finds_its_protocol_by_alpn(start_gate, world, postgres):
    made = listener(world)
    made["tls"]["alpn"] = ["postgresql"]
    gate = start_gate(settings(world, postgres, listeners=[made]))
    assert "ALPN protocol: postgresql" in (said := s_client(gate, world, "postgresql"))
    assert "server_version" in said and "\x00\x00\x00\x08\x00\x00\x00\x00" in said  # ParameterStatus; AuthenticationOk
    before = postgres.connections_by_network()
    assert "alert no application protocol" in s_client(gate, world, "h2")
    assert gate.wait_event("refused")["reason"] == "no_alpn"
    assert postgres.connections_by_network() == before


def s_client(gate, world, protocol):
    credential = world.clients["billing"]
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", "%s:%d" % gate.address(), "-servername", "billing.internal", "-ign_eof",
         "-alpn", protocol, "-cert", credential.chain_file, "-cert_chain", credential.chain_file,
         "-key", credential.key_file, "-CAfile", world.server_ca_file, "-verify_return_error"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    terminate = b"X" + struct.pack(">i", 4)
    return process.communicate(startup_message() + terminate, timeout=PATIENCE)[0].decode("latin-1")


def test_a_client_that_first_asks_in_plain_is_told_apart(gate, world, postgres):
    host, port = gate.address()
    before = postgres.connections_by_network()
    with pytest.raises(Failed):
        databases.run(databases.program("psql"), f"host={host} port={port} user={databases.ROLE} sslmode=require",
                      "-c", "select 1")
    refused = gate.wait_event("refused")
    assert refused["reason"] == "not_tls" and "SSLRequest" in refused["detail"]
    assert postgres.connections_by_network() == before


# ---- Redis ----

def test_redis_cli_speaks_tls_to_the_gate_by_itself(start_gate, world, redis):
    gate = start_gate(settings(world, redis))
    port, credential = gate.address()[1], world.clients["billing"]

    def ask(name):
        return databases.run(
            "redis-cli", "-h", "127.0.0.1", "-p", str(port), "--tls", "--sni", name, "--cacert", world.server_ca_file,
            "--cert", credential.chain_file, "--key", credential.key_file, "PING")

    assert ask("billing.internal") == "PONG\n"
    # It closes without close_notify, which nobody can tell from a connection that was cut
    assert gate.wait_access(mode="tcp")["reason"] == "client_gone"


@pytest.mark.parametrize("client", [Stunnel, Socat])
def test_a_hundred_thousand_commands_are_pipelined(start_gate, world, redis, client):
    gate = start_gate(settings(world, redis))
    commands = "".join(f"INCRBY sum {i}\r\n" for i in range(1, 100_001))
    with client(gate, world.clients["billing"]) as tunnel:
        said = databases.run("redis-cli", "-s", tunnel.path, "--pipe", input=commands)
        assert "errors: 0, replies: 100000" in said
        assert tunnel.redis("GET", "sum") == str(100_000 * 100_001 // 2)


def test_a_value_of_megabytes_goes_in_and_comes_out_the_same(start_gate, world, redis):
    gate = start_gate(settings(world, redis))
    value = random.Random(7).randbytes(32 * MIB)
    with Stunnel(gate, world.clients["billing"]) as tunnel:
        databases.run("redis-cli", "-e", "-s", tunnel.path, "-x", "SET", "big", input=value, text=False)
        got = databases.run("redis-cli", "-s", tunnel.path, "--raw", "GET", "big", text=False)
    assert hashlib.sha256(got[:-1]).hexdigest() == hashlib.sha256(value).hexdigest()  # it adds a newline


def test_a_subscription_is_held_past_every_other_timeout_and_ended_by_the_tunnels(start_gate, world, redis):
    short = {"header": "300ms", "idle": "300ms", "body": "300ms", "write": "300ms"}
    gate = start_gate(settings(
        world, redis, listeners=[listener(world, timeouts={**short, "tunnel": "2s"})],
        upstream={"timeouts": {"response": "300ms", "exchange": "300ms", "idle": "300ms"}}))
    with Stunnel(gate, world.clients["billing"]) as tunnel, Talk("redis-cli", "-s", tunnel.path, "SUBSCRIBE", "news") as client:
        client.read_to("news")
        began = time.monotonic()
        until(lambda: time.monotonic() > began + 1, "three times the other timeouts")
        assert redis.ask_past_the_gate("PUBLISH", "news", "heard") == "1"
        client.read_to("heard")
        record = gate.wait_access(mode="tcp")
    assert record["reason"] == "tunnel_idle" and record["duration_ms"] >= 3000
    until(lambda: redis.ask_past_the_gate("PUBLISH", "news", "to nobody") == "0", "Redis to know that its subscriber is gone")


def test_new_connections_go_to_the_server_that_is_left(start_gate, world, make_redis):
    servers = {"one": make_redis(), "two": make_redis()}
    for name, server in servers.items():
        server.ask_past_the_gate("SET", "name", name)
    upstreams = {"main": {"endpoints": [s.endpoint for s in servers.values()], "ejection": {"failures": 2, "base": "200ms"}}}
    gate = start_gate(settings(world, servers["one"], upstreams=upstreams, workers=1))  # each goes round for itself
    with Stunnel(gate, world.clients["billing"]) as tunnel:
        until(lambda: tunnel.redis("GET", "name") == "one", "the first one's turn")
        until(lambda: tunnel.redis("GET", "name") == "two", "the second one's turn")
        open_to = {}
        with Talk("redis-cli", "-s", tunnel.path) as a, Talk("redis-cli", "-s", tunnel.path) as b:
            for talk in (a, b):
                talk.say("GET name")
                open_to[talk.lines.get(timeout=PATIENCE).strip('"')] = talk
            assert set(open_to) == {"one", "two"}
            servers["one"].kill()
            assert [tunnel.redis("GET", "name") for _ in range(12)] == ["two"] * 12
            open_to["two"].say("GET name")
            assert open_to["two"].lines.get(timeout=PATIENCE).strip('"') == "two"
        assert servers["one"].start(servers["one"].port)
        servers["one"].ask_past_the_gate("SET", "name", "one again")
        until(lambda: tunnel.redis("GET", "name") == "one again", "the first one's turn, when it is there again")
    reasons = {record.get("reason") for record in gate.accesses.records if record["upstream"] == "main"}
    assert reasons <= {None, "backend_closed", "client_gone"}  # the last of a client that the test has ended


# ---- several servers ----

def test_one_listener_leads_to_different_servers_by_name_and_by_caller(start_gate, world, postgres, make_redis):
    cache, audit = make_redis(), make_redis()
    cache.ask_past_the_gate("SET", "name", "cache")
    audit.ask_past_the_gate("SET", "name", "audit")
    gate = start_gate(settings(world, postgres, rules=[
        {"name": "pg", "from": ["billing"], "host": "billing.internal", "upstream": "pg"},
        {"name": "cache", "from": ["billing"], "host": "cache.wild.internal", "upstream": "cache"},
        {"name": "audit", "from": ["auditors"], "host": "cache.wild.internal", "upstream": "audit"}],
        upstreams={"pg": {"endpoints": [postgres.endpoint]}, "cache": {"endpoints": [cache.endpoint]},
                   "audit": {"endpoints": [audit.endpoint]}}))
    with Stunnel(gate, world.clients["billing"]) as tunnel:
        assert tunnel.psql("-c", "select 'pg'") == "pg\n"
    with Stunnel(gate, world.clients["billing"], sni="cache.wild.internal") as tunnel:
        assert tunnel.redis("GET", "name") == "cache"
    with Stunnel(gate, world.clients["auditor"], sni="cache.wild.internal") as tunnel:
        assert tunnel.redis("GET", "name") == "audit"
    before = postgres.connections_by_network()
    with Stunnel(gate, world.clients["auditor"]) as tunnel, pytest.raises(Failed):
        tunnel.psql("-c", "select 1")
    gate.wait_access(reason="no_rule")
    assert postgres.connections_by_network() == before


def test_two_listeners_lead_to_different_servers(start_gate, world, postgres, redis):
    gate = start_gate(settings(
        world, postgres, listeners=[listener(world), listener(world, name="cache")], rules=[
            {"name": "pg", "from": ["billing"], "listener": "internal", "upstream": "pg"},
            {"name": "cache", "from": ["billing", "auditors"], "listener": "cache", "upstream": "cache"}],
        upstreams={"pg": {"endpoints": [postgres.endpoint]}, "cache": {"endpoints": [redis.endpoint]}}))
    with Stunnel(gate, world.clients["billing"]) as tunnel:
        assert tunnel.psql("-c", "select 1") == "1\n"
    with Stunnel(gate, world.clients["auditor"], listener="cache") as tunnel:
        assert tunnel.redis("PING") == "PONG"
    before = postgres.connections_by_network()
    with Stunnel(gate, world.clients["auditor"]) as tunnel, pytest.raises(Failed):
        tunnel.psql("-c", "select 1")
    assert gate.wait_access(reason="no_rule")["listener"] == "internal"
    assert postgres.connections_by_network() == before


# ---- many, and nothing left ----

def test_what_connections_cost_is_given_back(start_gate, world, redis):
    gate = start_gate(settings(world, redis))

    def descriptors():
        return len(list((databases.pathlib.Path("/proc") / str(gate.process.pid) / "fd").iterdir()))

    with Stunnel(gate, world.clients["billing"]) as tunnel:
        assert tunnel.redis("PING") == "PONG"
        gate.wait_metric("sallyport_tunnels_open", lambda n: n == 0)
        before = descriptors()
        said = databases.run("redis-benchmark", "-s", tunnel.path, "-c", "40", "-n", "400", "-k", "0", "-q", "-t", "ping_mbulk")
        assert "requests per second" in said
        gate.wait_metric("sallyport_tunnels_open", lambda n: n == 0)
        until(lambda: descriptors() <= before, "descriptors to be given back")
    assert gate.metrics()["sallyport_tunnels_total"] >= 401
    # redis-benchmark leaves while connections of its own, more than it needed, have only just been made
    broken = [record for record in gate.accesses.records if "reason" in record]
    assert all((record["reason"], record["bytes_out"]) == ("client_gone", 0) for record in broken) and len(broken) <= 40
