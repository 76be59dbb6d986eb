"""A backend that keeps what it received, byte for byte, and answers what the test says, well-formed or not."""

import re
import socket
import threading
import time

from .patience import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Request:
    """One request as it came: head and body with their framing, and on which connection (counted from 0)."""

    def __init__(self, head, connection):
        self.head, self.body, self.connection, self.trailers = head, b"", connection, []
        lines = head.split(b"\r\n")
        self.line = lines[0].decode("latin-1")
        self.fields = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(b":")
                self.fields.append((name.decode("latin-1"), value.strip(b" ").decode("latin-1")))

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def names(self):
        return [key.lower() for key, _ in self.fields]


class Conversation:
    """A backend's side of one connection, for answers that are functions."""

    def __init__(self, sock, number):
        self.sock, self.number, self.buffer = sock, number, bytearray()

    def more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def take(self, count):
        while len(self.buffer) < count:
            if not self.more():
                raise ConnectionError("ended inside a body")
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def through(self, mark):
        while (at := self.buffer.find(mark)) < 0:
            if not self.more():
                raise ConnectionError("ended inside a head")
        return self.take(at + len(mark))

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class RecordingBackend:
    """Answers each request with the next of `answers`, else with `default`. An answer is bytes, or a function of (conversation,
    request) that does as it likes and says with False that the connection is over."""

    def __init__(self, unix_path=None, listener=None):
        if listener:
            self.listener = listener
            self.endpoint = "%s:%d" % listener.getsockname()[:2]
        elif unix_path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(unix_path))
            self.listener.listen(64)
            self.endpoint = f"unix:{unix_path}"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.default = OK
        self.answers = []
        self.requests = []
        self.raw = []
        self.connections = []
        self.reads_bodies = True
        self._changed = threading.Condition()
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self._closing:
                sock.close()
                return
            sock.settimeout(PATIENCE * 2)
            with self._changed:
                number = len(self.connections)
                self.connections.append(sock)
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(Conversation(sock, number),), daemon=True).start()

    def _serve(self, talk):
        try:
            while self._one(talk):
                pass
        except (OSError, ValueError):
            pass
        try:
            talk.sock.close()
        except OSError:
            pass

    def _one(self, talk):
        if not talk.buffer and not talk.more():
            return False
        request = Request(talk.through(b"\r\n\r\n"), talk.number)
        if self.reads_bodies:
            self._read_body(talk, request)
        with self._changed:
            self.requests.append(request)
            answer = self.answers.pop(0) if self.answers else self.default
            self._changed.notify_all()
        if callable(answer):
            return answer(talk, request) is not False
        talk.send(answer)
        return b"connection: close" not in answer.split(b"\r\n\r\n")[0].lower()

    def _read_body(self, talk, request):
        if request.one("Expect"):
            talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length := request.one("Content-Length"):
            request.body = talk.take(int(length))
        elif request.one("Transfer-Encoding"):
            while True:
                line = talk.through(b"\r\n")
                size = int(re.match(rb"[0-9a-fA-F]+", line)[0], 16)
                if size == 0:
                    while (line := talk.through(b"\r\n")) != b"\r\n":
                        name, _, value = line.rstrip(b"\r\n").partition(b":")
                        request.trailers.append((name.decode("latin-1"), value.strip(b" ").decode("latin-1")))
                    return
                data = talk.take(size + 2)
                assert data.endswith(b"\r\n")
                request.body += data[:-2]

    def wait(self, count=1, patience=PATIENCE):
        """Until so many requests have come whole; returns the latest of them."""
        end = time.monotonic() + patience
        with self._changed:
            while len(self.requests) < count:
                left = end - time.monotonic()
                assert left > 0, f"only {len(self.requests)} of {count} requests came to the backend"
                self._changed.wait(left)
            return self.requests[count - 1]

    def wait_connection(self, count=1, patience=PATIENCE):
        end = time.monotonic() + patience
        with self._changed:
            while len(self.connections) < count:
                left = end - time.monotonic()
                assert left > 0, f"only {len(self.connections)} of {count} connections came to the backend"
                self._changed.wait(left)
            return self.connections[count - 1]

    def forget(self):
        with self._changed:
            self.requests.clear()
            self.answers.clear()
            self.default = OK

    def close(self):
        """Ends as a killed process does: nobody listens any more and every connection is gone."""
        self._closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in self.connections:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
