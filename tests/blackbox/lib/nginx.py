"""A real nginx as backend: its own configuration, folder and pid file, in the foreground, without root."""

import hashlib
import pathlib
import socket
import subprocess

from .patience import PATIENCE, until

BIG = 48 * 1024 * 1024

TEMPLATE = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    keepalive_timeout 60s;
    default_type application/octet-stream;
    server {{
        listen unix:{folder}/http.sock;
        listen 127.0.0.1:{port} default_server;
        {tls}
        keepalive_requests {keepalive_requests};
        root {folder}/www;
        location /headers {{ return 200 "rule=$http_x_client_rule\\nuris=$http_x_client_san_uri\\nhost=$host\\nuri=$request_uri\\n"; }}
        location /empty {{ return 204; }}
        location /moved {{ return 302 /elsewhere; }}
        location /slow {{ limit_rate 1m; try_files /big.bin =404; }}
        location ~ /trickle[^/]*$ {{ limit_rate_after 2k; limit_rate 64; }}
        location ~ /page[^/]*$ {{ default_type text/html; }}
        location /chunked {{
            alias {folder}/www/big.bin;
            sub_filter_types *;
            sub_filter "no such text anywhere" "x";
        }}
        location /upload {{
            proxy_pass http://127.0.0.1:{port}/swallow;
            proxy_request_buffering on;
        }}
        location /swallow {{ return 200 "length=$http_content_length\\n"; }}
        location /store/ {{ dav_methods PUT; client_body_in_file_only off; create_full_put_path on; }}
    }}
}}
"""


class Nginx:
    def __init__(self, folder, keepalive_requests=1000, tls=None):
        """`tls`: a credential, saved; it is served over TLS too then."""
        self.tls = tls
        self.folder = pathlib.Path(folder)
        for name in ("www", "body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.folder / name).mkdir()
        self.big = self._make_big()
        (self.folder / "www/small.txt").write_text("a small file\n")
        self.keepalive_requests = keepalive_requests
        self.start()

    def _make_big(self):
        """A file that repeats nowhere near; returns its MD5."""
        digest, counter = hashlib.md5(), 0
        with open(self.folder / "www/big.bin", "wb") as file:
            while counter * 65536 < BIG:
                block = hashlib.shake_128(counter.to_bytes(8, "big")).digest(65536)
                file.write(block)
                digest.update(block)
                counter += 1
        return digest.hexdigest()

    def start(self):
        """On a port that is free now; should another take it in between, on the next."""
        for _ in range(20):
            with socket.socket() as probe, socket.socket() as other:
                probe.bind(("127.0.0.1", 0))
                other.bind(("127.0.0.1", 0))
                self.port, self.tls_port = probe.getsockname()[1], other.getsockname()[1]
            (self.folder / "http.sock").unlink(missing_ok=True)
            tls = "" if self.tls is None else (
                f"listen 127.0.0.1:{self.tls_port} ssl; ssl_certificate {self.tls.chain_file}; "
                f"ssl_certificate_key {self.tls.key_file};")
            text = TEMPLATE.format(
                folder=self.folder, port=self.port, keepalive_requests=self.keepalive_requests, tls=tls)
            (self.folder / "nginx.conf").write_text(text)
            self.process = subprocess.Popen(
                ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=open(self.folder / "stderr", "ab"))
            if until(lambda: self._answers() or self.process.poll() is not None, "nginx") and self.process.poll() is None:
                self.endpoint = f"127.0.0.1:{self.port}"
                self.unix_endpoint = f"unix:{self.folder}/http.sock"
                return
        raise AssertionError("nginx does not start:\n" + (self.folder / "stderr").read_text())

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as probe:
                probe.sendall(b"GET /small.txt HTTP/1.0\r\n\r\n")
                return b"a small file" in probe.recv(65536) + probe.recv(65536)
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

