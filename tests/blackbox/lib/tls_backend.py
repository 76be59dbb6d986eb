"""A real nginx that speaks TLS, as a backend that has to prove who it is and may ask who we are. What it saw of the
connection is its answer: one `name=value` a line."""

import pathlib
import socket
import subprocess

from . import pki
from .patience import PATIENCE, until

TEMPLATE = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols {protocols};
        ssl_session_cache shared:backend:1m;
        keepalive_requests {keepalive_requests};
        {more}
        location / {{
            return 200 "connection=$connection\\nreused=$ssl_session_reused\\nsni=$ssl_server_name\\nclient=$ssl_client_s_dn\\nprotocol=$ssl_protocol\\nalpn=$ssl_alpn_protocol\\n";
        }}
    }}
}}
"""


class TlsNginx:
    def __init__(self, folder, credential, *, clients=None, protocols="TLSv1.2 TLSv1.3", keepalive_requests=1000):
        """`clients`: the authority that clients' certificates have to come from; None: nobody is asked for one."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.folder / name).mkdir()
        self.more = ""
        if clients is not None:
            (self.folder / "clients.pem").write_bytes(clients.pem)
            self.more = f"ssl_verify_client on; ssl_client_certificate {self.folder}/clients.pem;"
        self.settings = {"protocols": protocols, "keepalive_requests": keepalive_requests}
        self.port = None
        self.start(credential)

    def start(self, credential):
        """On a port that is free now, and on that one again; should another take it in between, on the next."""
        credential.save(self.folder, "server")
        for _ in range(20):
            port = self.port or free_port()
            (self.folder / "nginx.conf").write_text(TEMPLATE.format(
                folder=self.folder, port=port, chain=credential.chain_file, key=credential.key_file, more=self.more,
                **self.settings))
            self.process = subprocess.Popen(
                ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=open(self.folder / "stderr", "ab"))
            until(lambda: self._listens(port) or self.process.poll() is not None, "nginx")
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

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def restart(self, credential):
        self.stop()
        self.start(credential)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def saw(response):
    """What the backend saw of us, by name."""
    assert response.status == 200, response
    return dict(line.split("=", 1) for line in response.body.decode().splitlines())


class Backends:
    """A PKI of backends and of us as their client, in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.root = pki.Authority.root("Backend Root")
        self.proxies = pki.Authority.root("Proxy Root")
        self.ours = self.proxies.issue("sallyport").save(self.folder, "ours")
        self.ca_file, self.crl_file = self.folder / "backend-ca.pem", self.folder / "backend.crl"
        self.ca_file.write_bytes(self.root.pem)
        self.crl_file.write_bytes(self.root.crl())

    def issue(self, name="backend.internal", **options):
        options.setdefault("sans", [pki.dns(name)])
        return self.root.issue(name, eku=options.pop("eku", pki.SERVER), **options)

    def tls(self, **changes):
        """An upstream's `tls`; None takes a key away."""
        made = {"ca": [str(self.ca_file)], "name": "backend.internal",
                "certificate": {"chain": str(self.ours.chain_file), "key": str(self.ours.key_file)}, **changes}
        return {key: value for key, value in made.items() if value is not None}
