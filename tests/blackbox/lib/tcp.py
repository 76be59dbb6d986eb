"""Backends that speak no HTTP: each connection that comes is the test's own to read and write, so that it decides what
happens on both ends and in which order."""

import queue
import socket
import ssl
import threading

from .patience import PATIENCE


class TcpBackend:
    """Accepts and hands over. `take()` is the next connection, with a timeout set."""

    def __init__(self, receive_buffer=None):
        self.listener = socket.socket(socket.AF_INET)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self._made, self._all = queue.Queue(), []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            self._all.append(sock)
            self._made.put(sock)

    def take(self):
        try:
            return self._made.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError("no connection came to the backend") from None

    def has_more(self):
        return not self._made.empty()

    def close(self):
        # close() alone leaves the thread in accept, and the port open
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in self._all:
            sock.close()


def exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        part = sock.recv(count - len(data))
        assert part, f"ended after {bytes(data[-200:])!r}, {count - len(data)} bytes early"
        data += part
    return bytes(data)


def to_the_end(sock):
    data = bytearray()
    try:
        while part := sock.recv(65536):
            data += part
    except ssl.SSLZeroReturnError:  # so Python says it to who has ended his own direction
        pass
    return bytes(data)


def is_over(sock):
    """The peer ended the connection, in one way or another; what it still said is dropped."""
    try:
        to_the_end(sock)
    except (ConnectionError, ssl.SSLError):
        pass
    return True


def end_direction(tls):
    """close_notify, and on reading."""
    tls.settimeout(0)
    try:
        tls.unwrap()
        raise AssertionError("the other side ended as well")
    except ssl.SSLWantReadError:
        pass
    tls.settimeout(PATIENCE)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
