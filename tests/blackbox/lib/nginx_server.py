"""A real nginx with a master process, as operators run it: it is reloaded, ended gracefully, killed and stopped. Its server block is the
test's own; it keeps its port over restarts, as a service does."""

import os
import pathlib
import re
import signal
import socket
import subprocess

from .patience import PATIENCE, until

TEMPLATE = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    default_type application/octet-stream;
    {http}
    server {{
        listen 127.0.0.1:{port} {listen};
        root {folder}/www;
        {server}
    }}
}}
"""


class NginxServer:
    def __init__(self, folder, server, *, listen="", http=""):
        """`listen`: what follows the address there. In all of them {folder} is its folder."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        for name in ("www", "body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.folder / name).mkdir()
        self.parts = {"server": server, "listen": listen, "http": http}
        self.port = None
        self.start()

    def write(self, port):
        parts = {name: text.replace("{folder}", str(self.folder)) for name, text in self.parts.items()}
        (self.folder / "nginx.conf").write_text(TEMPLATE.format(
            folder=self.folder, port=port, user="" if os.geteuid() else "user root;", **parts))

    def start(self):
        """On the port that it had, else on one that is free now; should another take it in between, on the next."""
        for _ in range(20):
            port = self.port or free_port()
            self.write(port)
            self.process = subprocess.Popen(
                ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=open(self.folder / "stderr", "ab"), start_new_session=True)
            until(lambda: (self.workers() and self._listens(port)) or self.process.poll() is not None, "nginx")
            if self.process.poll() is None:
                self.port, self.endpoint = port, f"127.0.0.1:{port}"
                return
        raise AssertionError("nginx does not start:\n" + (self.folder / "stderr").read_text())

    def _listens(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            return True
        except OSError:
            return False

    def workers(self):
        """Their pids, those of workers on their way out among them."""
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return {int(pid) for pid in path.read_text().split()}
        except OSError:
            return set()

    def signal(self, number):
        self.process.send_signal(number)

    def signal_all(self, number):
        """To master and workers at once."""
        os.killpg(self.process.pid, number)

    def reload(self):
        """HUP: returns once other workers serve and those that did are gone."""
        before = self.workers()
        self.signal(signal.SIGHUP)
        until(lambda: self.workers() and not self.workers() & before, "nginx to have new workers")

    def quit(self):
        """Gracefully: what is on its way is answered."""
        self.signal(signal.SIGQUIT)
        self.process.wait(PATIENCE)

    def kill(self):
        """As the kernel does when memory is short."""
        if self.process.poll() is None:
            self.signal_all(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.signal_all(signal.SIGCONT)
        self.kill()


def nginx_version():
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return tuple(map(int, re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said).groups()))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
