"""A client that sends what it is told, byte for byte, and reads answers strictly: what is no well-formed HTTP/1.1 fails the test."""

import re
import socket
import ssl

from .patience import PATIENCE

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\x20-\x7e]*)\Z")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x20-\x7e\x80-\xff\t]*)\Z")


class Closed(Exception):
    """The peer ended the connection where a response was to begin."""


class Response:
    def __init__(self, status, reason, fields, body):
        self.status, self.reason, self.fields, self.body = status, reason, fields, body

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:200]!r}>"


class Reader:
    """Reads responses off anything with recv()."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()
        self.ended = False

    def _more(self):
        if self.ended:
            return False
        data = self.sock.recv(65536)
        self.ended = not data
        self.buffer += data
        return bool(data)

    def _line(self):
        while (end := self.buffer.find(b"\n")) < 0:
            if not self._more():
                raise Closed(f"after {bytes(self.buffer)!r}")
        line = bytes(self.buffer[:end + 1])
        del self.buffer[:end + 1]
        assert line.endswith(b"\r\n") and b"\r" not in line[:-2], f"not a CRLF line: {line!r}"
        return line[:-2]

    def _exactly(self, count):
        while len(self.buffer) < count:
            if not self._more():
                raise Closed(f"{count - len(self.buffer)} bytes of the body are missing")
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def _fields(self):
        fields = []
        while line := self._line():
            field = FIELD.match(line)
            assert field, f"no header line: {line!r}"
            fields.append((field[1].decode(), field[2].decode("latin-1")))
        return fields

    def _chunked(self, trailers=None):
        body = b""
        while True:
            size = self._line()
            assert re.fullmatch(rb"[0-9a-fA-F]+", size), f"no chunk size: {size!r}"
            if int(size, 16) == 0:
                came = self._fields()
                assert not came or trailers is not None, f"trailers that nobody asked for: {came}"
                if trailers is not None:
                    trailers.extend(came)
                return body
            body += self._exactly(int(size, 16))
            assert self._line() == b""

    def head(self):
        line = self._line()
        match = STATUS_LINE.match(line)
        assert match, f"no status line: {line!r}"
        return Response(int(match[1]), match[2].decode(), self._fields(), b"")

    def response(self, method="GET", interim=None, trailers=None):
        """The next final response. 1xx ones before it go into the list `interim`, fields behind its body into `trailers`."""
        answer = self.head()
        while 100 <= answer.status < 200 and answer.status != 101:
            if interim is not None:
                interim.append(answer)
            answer = self.head()
        coding, length = answer.one("Transfer-Encoding"), answer.one("Content-Length")
        assert coding is None or (coding == "chunked" and length is None), f"unclear framing: {answer}"
        if method == "HEAD" or answer.status in (204, 304):
            assert coding is None or method == "HEAD", f"a body announced: {answer}"
        elif coding:
            answer.body = self._chunked(trailers)
        elif length is not None:
            answer.body = self._exactly(int(length))
        else:
            while self._more():
                pass
            answer.body, self.buffer = bytes(self.buffer), bytearray()
        return answer

    def expect_end(self):
        """Nothing more comes and the connection ends."""
        try:
            while self._more():
                pass
        except (ConnectionError, ssl.SSLError):
            self.ended = True
        assert not self.buffer, f"bytes after the end: {bytes(self.buffer)!r}"


def context(world, credential=None, *, maximum=None, minimum=None, ciphers=None, alpn=None, ca=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
    made.load_verify_locations(ca or world.server_ca_file)
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # so that a socket's suppress_ragged_eofs alone says what that is
    if minimum:
        made.minimum_version = minimum
    if maximum:
        made.maximum_version = maximum
    if credential:
        made.load_cert_chain(credential.chain_file, credential.key_file)
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


class Client(Reader):
    """One TLS connection to a gate."""

    def __init__(self, gate, credential=None, *, sni="billing.internal", listener="internal", **options):
        self._arguments = gate, credential, sni, listener, options
        self._connect(*self._arguments)

    def _connect(self, gate, credential, sni, listener, options):
        self.plain = socket.create_connection(gate.address(listener), timeout=PATIENCE)
        self.peer = gate.note(self.plain)
        try:
            self.tls = context(gate.world, credential, **options).wrap_socket(self.plain, server_hostname=sni)
        except BaseException:
            self.plain.close()
            raise
        super().__init__(self.tls)

    def send(self, data):
        self.tls.sendall(data)

    def ask(self, data, method="GET", **options):
        self.send(data)
        return self.response(method, **options)

    def get(self, path="/", host="billing.internal", more=b""):
        return self.ask(b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (path.encode(), host.encode(), more))

    def again(self):
        """A new connection in place of this one."""
        self.close()
        self._connect(*self._arguments)

    def close(self):
        self.tls.close()

    def reset(self):
        """Ends the connection by RST, as a client that is gone."""
        self.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.tls.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
