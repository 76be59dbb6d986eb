"""Upgrade: what a rule lists goes on, no byte before the backend's 101, and then a tunnel."""

import asyncio
import base64
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest
import websockets

from lib import gate as gates
from lib import raw, tcp
from lib.patience import PATIENCE, until

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ASK = (b"GET /chat HTTP/1.1\r\nHost: billing.internal\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture
def backend():
    made = tcp.TcpBackend()
    yield made
    made.close()


def settings(world, backend, *, upgrade=("websocket",), timeouts=None, **changes):
    made = gates.config(world, backend.endpoint, **changes)
    for rule in made["rules"]:
        rule["upgrade"] = list(upgrade)
    if timeouts:
        made["listeners"][0]["timeouts"] = timeouts
    return made


@pytest.fixture
def gate(start_gate, world, backend):
    return start_gate(settings(world, backend))


def head_of(sock):
    data = bytearray()
    while not data.endswith(b"\r\n\r\n"):
        data += tcp.exactly(sock, 1)
    return bytes(data)


@pytest.fixture
def pair(gate, world, backend):
    """A client and its backend after the change."""
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK)
        sock = backend.take()
        head_of(sock)
        sock.sendall(AGREE)
        assert client.head().status == 101
        yield client, sock


def stat_of(gate):
    """What /proc tells of it behind its name: state, parent, ..."""
    with open(f"/proc/{gate.process.pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()


def test_a_backend_that_breaks_right_behind_its_101_ends_the_client(gate, world, backend):
    """The kernel reports all in one go, and the break never again."""
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK)
        sock = backend.take()
        head_of(sock)
        gate.signal(signal.SIGSTOP)
        until(lambda: stat_of(gate)[0] == "T", "a gate that stands still")
        sock.sendall(AGREE + b"my last word")
        tcp.reset(sock)
        gate.signal(signal.SIGCONT)
        assert tcp.is_over(client.tls)
        assert gate.wait_access(peer=client.peer)["reason"] == "backend_closed"


# ---- real ones ----

def frame(payload, opcode=2):
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    assert len(payload) < 65536
    size = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, len(payload)) if len(payload) > 125 else \
        struct.pack(">BB", 0x80 | opcode, 0x80 | len(payload))
    return size + mask + masked


def read_frame(client):
    first, size = client._exactly(2)
    if size == 126:
        size = struct.unpack(">H", client._exactly(2))[0]
    return first & 15, client._exactly(size)


class Echo:
    """A WebSocket server of Debian's python3-websockets, on a thread of its own."""

    def __init__(self):
        async def serve(talk, *_):
            async for message in talk:
                await talk.send(message)

        async def run():
            self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
            async with websockets.serve(serve, "127.0.0.1", 0, compression=None) as server:
                self.endpoint = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
                started.set()
                await self.stopping.wait()

        started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        self.thread.start()
        assert started.wait(PATIENCE)

    def close(self):
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join()


@pytest.fixture(scope="module")
def echo():
    made = Echo()
    yield made
    made.close()


def talk_websocket(client, messages):
    client.send(ASK)
    answer = client.head()
    assert answer.status == 101 and answer.one("Upgrade") == "websocket" and answer.one("Connection").lower() == "upgrade"
    digest = hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==" + MAGIC).digest()
    assert answer.one("Sec-WebSocket-Accept") == base64.b64encode(digest).decode()
    for message in messages:
        client.send(frame(message))
        assert read_frame(client) == (2, message)
    client.send(frame(struct.pack(">H", 1000), opcode=8))
    assert read_frame(client) == (8, struct.pack(">H", 1000))
    client.tls.unwrap()


def test_a_websocket_goes_through(start_gate, world, echo):
    gate = start_gate(settings(world, echo))
    with raw.Client(gate, world.clients["billing"]) as client:
        talk_websocket(client, [os.urandom(size) for size in (0, 1, 125, 126, 4000, 65000)])
    record = gate.wait_access(peer=client.peer)
    assert record["status"] == 101 and record["upgrade"] == "websocket" and record["path"] == "/chat"
    assert "reason" not in record and record["bytes_out"] > 69000 and record["bytes_in"] > 69000


def test_a_websocket_goes_through_an_nginx_behind(start_gate, world, echo, nginx_relay):
    gate = start_gate(settings(world, nginx_relay(echo.endpoint)))
    with raw.Client(gate, world.clients["billing"]) as client:
        talk_websocket(client, [b"through both", os.urandom(60000)])


@pytest.fixture
def nginx_relay(tmp_path):
    """nginx_relay(endpoint): an nginx that relays WebSockets to it."""
    running = []

    def start(endpoint):
        # Its folder is under tmp_path: a unix socket needs no port
        place = "unix:%s/nginx.sock" % tmp_path
        (tmp_path / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log stderr warn;
            events {{ worker_connections 64; }}
            http {{
                access_log off;
                client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
                uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
                server {{
                    listen {place};
                    location / {{
                        proxy_pass http://{endpoint}; proxy_http_version 1.1; proxy_set_header Host $host;
                        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
                    }}
                }}
            }}""")
        running.append(subprocess.Popen(["/usr/sbin/nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)],
                                        stderr=subprocess.DEVNULL))

        def is_up():
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(place[5:]) == 0

        until(is_up, "nginx")
        return type("Relay", (), {"endpoint": place})

    yield start
    for process in running:
        process.terminate()
        process.wait()


# ---- what is asked ----

def test_the_backend_is_asked_for_the_one_protocol(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK)
        sock = backend.take()
        head = head_of(sock).lower()
        assert b"\r\nupgrade: websocket\r\n" in head and b"\r\nconnection: upgrade\r\n" in head
        assert b"\r\nsec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n" in head
        assert b"\r\nx-client-rule: billing-all\r\n" in head


@pytest.mark.parametrize("what,request_bytes", [
    ("an unlisted protocol", ASK.replace(b"websocket", b"irc")),
    ("two of them", ASK.replace(b"Upgrade: websocket", b"Upgrade: websocket, irc")),
    ("h2c", ASK.replace(b"websocket", b"h2c")),
    ("h2c with settings", ASK.replace(b"Upgrade: websocket", b"Upgrade: websocket\r\nHTTP2-Settings: AAMAAABkAAQAAP__")),
    ("POST", ASK.replace(b"GET ", b"POST ").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")),
    ("a body", ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nab")),
])
def test_what_is_not_allowed_is_refused_and_the_backend_hears_nothing(gate, world, backend, what, request_bytes):
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.ask(request_bytes).status == 403
        assert gate.wait_access(peer=client.peer)["reason"] == "upgrade_not_allowed"
    assert not backend.has_more()


def test_without_a_list_nothing_may_be_asked_for(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint))
    with raw.Client(gate, world.clients["billing"]) as client:
        assert client.ask(ASK).status == 403


@pytest.mark.parametrize("request_bytes", [
    ASK.replace(b"Connection: Upgrade\r\n", b""),
    ASK.replace(b"HTTP/1.1", b"HTTP/1.0"),
])
def test_an_upgrade_that_asks_for_nothing_is_an_ordinary_request(gate, world, backend, request_bytes):
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(request_bytes)
        sock = backend.take()
        assert b"upgrade" not in head_of(sock).lower().replace(b"upgrade-insecure", b"")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"


def test_a_backend_that_declines_gives_an_ordinary_answer(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK)
        sock = backend.take()
        head_of(sock)
        sock.sendall(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
        assert client.response().status == 426
        client.send(b"GET /next HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        assert head_of(sock).startswith(b"GET /next ")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.response().body == b"ok"


@pytest.mark.parametrize("answer", [AGREE, AGREE.replace(b"websocket", b"irc"), AGREE.replace(b"Upgrade: websocket\r\n", b"")])
def test_a_change_that_nobody_asked_for_is_refused(gate, world, backend, answer):
    ask = ASK if answer != AGREE else b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n"
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ask)
        sock = backend.take()
        head_of(sock)
        sock.sendall(answer)
        assert client.response().status == 502
        assert gate.wait_access(peer=client.peer)["reason"] == "bad_upgrade"
        assert tcp.is_over(sock)


def test_no_byte_goes_on_before_the_backend_agrees(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK + b"too early")
        sock = backend.take()
        head_of(sock)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(PATIENCE)
        sock.sendall(AGREE + b"first word")
        assert client.head().status == 101
        assert client._exactly(10) == b"first word"
        assert tcp.exactly(sock, 9) == b"too early"


def test_what_came_early_is_no_request_to_a_backend_that_declines(gate, world, backend):
    smuggled = b"GET /admin HTTP/1.1\r\nHost: billing.internal\r\n\r\n"
    with raw.Client(gate, world.clients["auditor"]) as client:
        client.send(ASK.replace(b"/chat", b"/v1/invoices/7") + smuggled)
        sock = backend.take()
        head_of(sock)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")
        assert client.response().status == 400
        assert client.response().status == 403
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)


# ---- the tunnel ----

def test_the_backends_connection_carries_nothing_else_afterwards(gate, world, backend, pair):
    client, sock = pair
    client.send(b"bye")
    assert tcp.exactly(sock, 3) == b"bye"
    client.close()
    assert tcp.is_over(sock)
    with raw.Client(gate, world.clients["billing"]) as other:
        other.send(b"GET / HTTP/1.1\r\nHost: billing.internal\r\n\r\n")
        fresh = backend.take()
        head_of(fresh)
        fresh.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert other.response().status == 200


def test_either_side_may_end_its_direction_first(gate, pair):
    client, sock = pair
    sock.sendall(b"last")
    sock.shutdown(1)
    assert client._exactly(4) == b"last"
    client.expect_end()
    client.send(b"more")
    assert tcp.exactly(sock, 4) == b"more"
    client.tls.unwrap()
    assert tcp.to_the_end(sock) == b""
    assert "reason" not in gate.wait_access(peer=client.peer)


def test_a_tunnel_that_is_idle_ends(start_gate, world, backend):
    gate = start_gate(settings(world, backend, timeouts={"tunnel": "300ms"}))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK)
        sock = backend.take()
        head_of(sock)
        sock.sendall(AGREE)
        assert client.head().status == 101
        assert tcp.is_over(sock) and tcp.is_over(client.tls)
        assert gate.wait_access(peer=client.peer)["reason"] == "tunnel_idle"


def test_rules_that_list_it_no_more_end_it(gate, world, backend, pair):
    client, sock = pair
    assert gate.reload(settings(world, backend, upgrade=["irc"]))["event"] == "reloaded"
    assert tcp.is_over(sock) and tcp.is_over(client.tls)
    record = gate.wait_access(peer=client.peer)
    assert record["reason"] == "upgrade_not_allowed" and record["status"] == 101


def test_a_change_of_rules_that_still_allow_it_leaves_it_alone(gate, world, backend, pair):
    client, sock = pair
    made = settings(world, backend, upgrade=["websocket", "irc"])
    assert gate.reload(made)["event"] == "reloaded"
    client.send(b"still")
    assert tcp.exactly(sock, 5) == b"still"


def test_who_is_refused_before_the_backend_agrees_has_no_tunnel(start_gate, world, backend):
    """`finish` lets a request be answered; what begins with the answer is another matter."""
    gate = start_gate(settings(world, backend, revocation_in_flight="finish"))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK)
        sock = backend.take()
        head_of(sock)
        assert gate.reload(settings(world, backend, revocation_in_flight="finish", upgrade=["irc"]))["event"] == "reloaded"
        sock.sendall(AGREE)
        assert tcp.is_over(client.tls) and tcp.is_over(sock)
        assert gate.wait_access(peer=client.peer)["reason"] == "upgrade_not_allowed"


def test_the_time_of_an_exchange_does_not_end_a_tunnel(start_gate, world, backend):
    made = settings(world, backend)
    made["upstreams"]["main"]["timeouts"] = {"exchange": "300ms"}
    gate = start_gate(made)
    with raw.Client(gate, world.clients["billing"]) as client:
        client.send(ASK)
        sock = backend.take()
        head_of(sock)
        sock.sendall(AGREE)
        assert client.head().status == 101
        sock.settimeout(0.7)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        client.send(b"still")
        assert tcp.exactly(sock, 5) == b"still"


def test_an_upgraded_connection_is_counted_as_a_tunnel(gate, pair):
    client, sock = pair
    assert gate.metrics()["sallyport_tunnels_open"] == 1
    client.close()
    gate.wait_metric("sallyport_tunnels_open", lambda n: n == 0)
