"""A real HAProxy: as the load balancer in front (TCP as it is, its own address, a PROXY header in front of each connection), and
as a backend."""

import pathlib
import socket
import subprocess

from .patience import PATIENCE

TEMPLATE = """
global
    maxconn 200
defaults
    mode tcp
    timeout connect 30s
    timeout client 60s
    timeout server 60s
frontend front
    bind fd@{fd}
    default_backend gate
backend gate
    source {source}
    server gate {host}:{port} {options}
"""

BEHIND = """
global
    maxconn 200
    hard-stop-after 20s
defaults
    timeout connect 30s
    timeout client 60s
    timeout server 60s
    timeout http-request 60s
frontend front
    bind fd@{fd} {bind}
    {frontend}
"""


class HAProxy:
    def __init__(self, folder, gate, options, *, source="127.0.0.2", listener="internal"):
        """`options` of its server line: "send-proxy", ...; it listens before it runs, so that nobody comes too early."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        host, port = gate.address(listener)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.address = listening.getsockname()
            (self.folder / "haproxy.cfg").write_text(
                TEMPLATE.format(fd=listening.fileno(), source=source, host=host, port=port, options=options))
            self.process = subprocess.Popen(
                ["haproxy", "-db", "-f", self.folder / "haproxy.cfg"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=open(self.folder / "stderr", "ab"), pass_fds=[listening.fileno()])

    def connect(self):
        return socket.create_connection(self.address, timeout=PATIENCE)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class HAProxyBehind:
    """A frontend that is the test's own. `bind`: what follows the address there; `frontend`: the rest of it, and any section
    after it."""

    def __init__(self, folder, frontend, bind=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.endpoint = "127.0.0.1:%d" % listening.getsockname()[1]
            (self.folder / "haproxy.cfg").write_text(BEHIND.format(fd=listening.fileno(), bind=bind, frontend=frontend))
            self.process = subprocess.Popen(
                ["haproxy", "-db", "-f", self.folder / "haproxy.cfg"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=open(self.folder / "stderr", "ab"), pass_fds=[listening.fileno()])

    def stop(self):
        self.process.kill()
        self.process.wait()
