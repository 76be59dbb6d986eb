"""Traffic of every kind whose bytes can all be told from each other: backends whose answers follow from the request alone, and for each
kind of exchange a function that drives one and looks at every byte. A fault that the gate owns up to is a `Refused`, or breaks the
connection; anything else that is not as it should be fails the test."""

import copy
import hashlib
import itertools
import os
import socket
import ssl
import threading

from . import backend as backends
from . import gate as gates
from . import raw, tcp

HOST = b"Host: billing.internal\r\n"
KIB = 1024


class Refused(Exception):
    """The gate's own answer, or a handshake that it refused."""


# What a client may see of a fault: all of them say that something is missing. A timeout does not.
BROKEN = (Refused, raw.Closed, ConnectionError, ssl.SSLError)


def pattern(key, count):
    return hashlib.shake_128(key.encode()).digest(count)


def pieces(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)]


def chunked(parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Backend(backends.RecordingBackend):
    """The first segment of a path says what it does. Keeps nothing of what it was asked. `tls`: a context, or None."""

    def __init__(self, tls=None):
        self.tls = tls
        super().__init__()

    def _serve(self, talk):
        try:
            talk.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                talk.sock = self.tls.wrap_socket(talk.sock, server_side=True)
        except OSError:
            return
        super()._serve(talk)

    def _one(self, talk):
        if not talk.buffer and not talk.more():
            return False
        request = backends.Request(talk.through(b"\r\n\r\n"), talk.number)
        path = request.line.split(" ")[1]
        what, *rest = path.split("/")[1:]
        return getattr(self, what)(talk, request, path, *rest)

    def _answer(self, talk, path, body=b"", framing=None, status="200 OK", more=""):
        framing = f"Content-Length: {len(body)}\r\n" if framing is None else framing
        talk.send(f"HTTP/1.1 {status}\r\nX-Path: {path}\r\n{framing}{more}\r\n".encode() + body)
        return True

    def health(self, talk, request, path):
        return self._answer(talk, path)

    def bytes(self, talk, request, path, count, key):
        body = pattern(path, int(count))
        if request.line.startswith("HEAD"):
            return self._answer(talk, path, framing=f"Content-Length: {len(body)}\r\n")
        return self._answer(talk, path, body)

    def chunked(self, talk, request, path, count, key):
        return self._answer(talk, path, chunked(pieces(pattern(path, int(count)), 5003)), "Transfer-Encoding: chunked\r\n")

    def ended(self, talk, request, path, count, key):
        """The end of the connection is the end of the body."""
        self._answer(talk, path, pattern(path, int(count)), "", more="Connection: close\r\n")
        return False

    def echo(self, talk, request, path, key):
        self._read_body(talk, request)
        return self._answer(talk, path, request.body)

    def early(self, talk, request, path, key):
        """Answers before the body has come; what comes is dropped."""
        self._answer(talk, path, b"too much", status="413 Content Too Large", more="Connection: close\r\n")
        while talk.more():
            talk.buffer.clear()
        return False

    def closes(self, talk, request, path, key):
        return False

    def breaks(self, talk, request, path, key):
        """In the middle of a body, which must not look whole."""
        self._answer(talk, path, pattern(path, 5000), "Content-Length: 9000\r\n")
        return False

    def chat(self, talk, request, path, key):
        self._answer(talk, path, framing="", status="101 Switching Protocols", more="Connection: Upgrade\r\nUpgrade: websocket\r\n")
        repeat(talk.sock, bytes(talk.buffer))
        return False


def repeat(sock, data=b""):
    while data or (data := sock.recv(64 * KIB)):
        sock.sendall(data)
        data = b""
    sock.shutdown(socket.SHUT_WR)


class Repeater:
    """A backend of bytes: what comes goes back."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    @staticmethod
    def _serve(sock):
        with sock:
            sock.settimeout(raw.PATIENCE * 2)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                repeat(sock)
            except OSError:
                pass

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


class Site:
    """The backends behind a gate and its configuration. `of`: lib.tls_backend.Backends, whose PKI the backend with TLS uses."""

    def __init__(self, of):
        self.of = of
        credential = of.issue().save(of.folder, "site")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(credential.chain_file, credential.key_file)
        context.load_verify_locations(cadata=of.proxies.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        self.plain, self.secure, self.repeater = [Backend(), Backend()], Backend(context), Repeater()

    def settings(self, world, *, upstream=None, check=None, **changes):
        """`upstream`: what all of them have; `check`: a health check for those that speak HTTP."""
        def shared(checked):
            return copy.deepcopy({"timeouts": {"idle": "300ms"}, **(upstream or {}), **({"health_check": check} if checked and check else {})})

        return gates.config(
            world,
            listeners=[gates.listener(world), gates.listener(world, "bytes", mode="tcp")],
            rules=[
                {"name": "denied", "path": "/denied/**", "deny": 403},
                {"name": "chat", "from": ["billing"], "path": "/chat/**", "upgrade": ["websocket"], "upstream": "main"},
                {"name": "secure", "from": ["billing"], "host": "secure.internal", "upstream": "secure"},
                {"name": "nobody", "from": ["billing"], "path": "/nobody/**", "upstream": "nobody"},
                {"name": "main", "from": ["billing"], "path": "/**", "upstream": "main"},
                {"name": "bytes", "from": ["billing"], "listener": ["bytes"], "upstream": "bytes"},
            ],
            upstreams={
                "main": {"endpoints": [backend.endpoint for backend in self.plain], "identity_headers": ["plain"], **shared(True)},
                "secure": {"endpoints": [self.secure.endpoint], "tls": self.of.tls(), **shared(True)},
                "bytes": {"endpoints": [self.repeater.endpoint], **shared(False)},
                "nobody": {"endpoints": ["127.0.0.1:1"], **shared(False)},
            },
            **changes)

    def close(self):
        for backend in [*self.plain, self.secure, self.repeater]:
            backend.close()


# ---- the client's side ----

_numbers = itertools.count()


def key():
    """Of one request: in its path, and its id in the log."""
    return f"exchange-{os.getpid()}-{next(_numbers)}"


class Talker:
    """A client that takes what the gate owns up to for a Refused."""

    def __init__(self, gate, credential="billing", listener="internal", sni="billing.internal"):
        self.client = raw.Client(gate, gate.world.clients[credential] if credential else None, listener=listener, sni=sni)
        self.client.tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.tls.suppress_ragged_eofs = False  # an end without close_notify is none
        self.host = sni

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def send(self, method, path, more=b"", body=b""):
        self.client.send(b"%s %s HTTP/1.1\r\nHost: %s\r\nX-Request-Id: %s\r\n%s\r\n%s" % (
            method.encode(), path.encode(), self.host.encode(), path.rpartition("/")[2].encode(), more, body))

    def expect(self, path, body, status=200, method="GET", interim=None):
        """The answer to `path` and to no other, to the byte."""
        answer = self.client.response(method, interim)
        if answer.status in (502, 503, 504) and answer.one("X-Path") is None:
            assert answer.one("X-Request-Id"), answer
            raise Refused(f"{path}: {answer.status}")
        assert (answer.status, answer.one("X-Path")) == (status, path), (path, answer)
        assert answer.body == body, f"{path}: {len(answer.body)} bytes of {len(body)}, or other ones"
        return answer

    def get(self, path, **options):
        self.send("GET", path)
        return self.expect(path, pattern(path, int(path.split("/")[2])), **options)

    def post(self, path, body, more=None):
        self.send("POST", path, b"Content-Length: %d\r\n" % len(body) if more is None else more, body)


def kept_alive(gate):
    with Talker(gate) as talker:
        for count in (0, 1, 100, 20000):
            talker.get(f"/bytes/{count}/{key()}")


def pipelined(gate):
    paths = [f"/bytes/{count}/{key()}" for count in (10, 0, 3000, 1, 40000, 7)]
    with Talker(gate) as talker:
        talker.client.send(b"".join(
            b"GET %s HTTP/1.1\r\n%sX-Request-Id: %s\r\n\r\n" % (p.encode(), HOST, p.rpartition("/")[2].encode()) for p in paths))
        for path in paths:
            talker.expect(path, pattern(path, int(path.split("/")[2])))


def posted(gate):
    with Talker(gate) as talker:
        for count in (1, 5000, 70000):
            path = f"/echo/{key()}"
            body = pattern(path, count)
            talker.post(path, body)
            talker.expect(path, body)


def posted_in_chunks(gate):
    with Talker(gate) as talker:
        path = f"/echo/{key()}"
        body = pattern(path, 150000)
        talker.post(path, chunked(pieces(body, 7001)), b"Transfer-Encoding: chunked\r\n")
        talker.expect(path, body)
        talker.get(f"/bytes/5/{key()}")


def big(gate):
    with Talker(gate) as talker:
        talker.get(f"/bytes/{1024 * KIB}/{key()}")
        talker.get(f"/chunked/{300 * KIB}/{key()}")


def ended_by_close(gate):
    with Talker(gate) as talker:
        talker.get(f"/ended/{200 * KIB}/{key()}")
        talker.get(f"/bytes/5/{key()}")


def early(gate):
    with Talker(gate) as talker:
        path = f"/early/{key()}"
        talker.post(path, pattern(path, 300 * KIB))
        answer = talker.expect(path, b"too much", 413)
        if answer.one("Connection") == "close":  # unless all of it had come by then
            talker.client.expect_end()


def expected(gate):
    with Talker(gate) as talker:
        path, interim = f"/echo/{key()}", []
        talker.send("POST", path, b"Content-Length: 500\r\nExpect: 100-continue\r\n")
        head = talker.client.head()
        if head.status == 100:
            talker.client.send(pattern(path, 500))
            talker.expect(path, pattern(path, 500), interim=interim)
        else:
            assert head.status in (502, 503, 504) and head.one("X-Path") is None, head
            raise Refused(path)


def head_only(gate):
    with Talker(gate) as talker:
        for path in (f"/bytes/5000/{key()}", f"/bytes/9000/{key()}"):
            talker.send("HEAD", path)
            answer = talker.expect(path, b"", method="HEAD")
            assert answer.one("Content-Length") == path.split("/")[2]


def _repeated(client, label):
    """64 KiB at a time there and back, then our end and the other side's."""
    for number in range(3):
        data = pattern(f"{label}{number}", 64 * KIB - number)
        client.send(data)
        got = bytearray()
        while len(got) < len(data):
            part = client.tls.recv(len(data) - len(got))
            assert part, f"a good end after {len(got)} bytes of {len(data)}"
            got += part
        assert got == data
    client.tls.settimeout(0)
    try:
        client.tls.unwrap()  # the other side was that quick
    except ssl.SSLWantReadError:
        client.tls.settimeout(raw.PATIENCE)
        assert tcp.to_the_end(client.tls) == b""


def upgraded(gate):
    with Talker(gate) as talker:
        path = f"/chat/{key()}"
        talker.send("GET", path, b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        head = talker.client.head()
        if head.status != 101:
            assert head.status in (502, 503, 504) and head.one("X-Path") is None, head
            raise Refused(path)
        assert not talker.client.buffer
        _repeated(talker.client, path)


def raw_bytes(gate):
    with Talker(gate, listener="bytes") as talker:
        _repeated(talker.client, key())


def over_tls(gate):
    with Talker(gate) as talker:
        talker.host = "secure.internal"
        talker.get(f"/bytes/30000/{key()}")
        path = f"/echo/{key()}"
        body = pattern(path, 50000)
        talker.post(path, body)
        talker.expect(path, body)


def denied(gate):
    with Talker(gate) as talker:
        for _ in range(2):
            path = f"/denied/{key()}"
            talker.send("GET", path)
            answer = talker.client.response()
            if answer.status == 503:
                raise Refused(path)
            assert answer.status == 403, answer


def unknown(gate):
    """A client without a certificate."""
    try:
        with Talker(gate, credential=None) as talker:
            talker.get(f"/bytes/5/{key()}")
    except BROKEN:
        return
    raise AssertionError("somebody without a certificate was served")


def unreachable(gate):
    with Talker(gate) as talker:
        path = f"/nobody/{key()}"
        talker.send("GET", path)
        answer = talker.client.response()
        assert answer.status in (502, 503), answer


def broken_off(gate):
    """By the backend."""
    with Talker(gate) as talker:
        path = f"/closes/{key()}"
        talker.send("GET", path)
        assert talker.client.response().status in (502, 503)
        path = f"/breaks/{key()}"
        talker.send("GET", path)
        try:
            answer = talker.client.response()
            assert answer.one("X-Path") is None and answer.status in (502, 503), answer
        except (raw.Closed, ConnectionError, ssl.SSLError):
            pass


def gone(gate):
    """A client that does not wait for its answer, and one that stops in the middle of its request."""
    talker = Talker(gate)
    talker.send("GET", f"/bytes/{1024 * KIB}/{key()}")
    talker.client.tls.recv(1)
    talker.client.reset()
    talker = Talker(gate)
    talker.post(f"/echo/{key()}", b"half of it", b"Content-Length: 20\r\n")
    talker.client.reset()


KINDS = [kept_alive, pipelined, posted, posted_in_chunks, big, ended_by_close, early, expected, head_only, upgraded, raw_bytes, over_tls,
         denied, unknown, unreachable, broken_off, gone]
