"""The proxies that are measured: how each is configured, started, watched and stopped.

All do the same work: client certificates required and verified against the root with CRLs for the full chain, one
worker, kept-alive HTTP/1.1 to one backend over TCP, the client's identity in headers (attributes and the whole
certificate), an access log of one line a request only where the scenario asks for it.
"""
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

STARTING_SECONDS = 15

NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log warn;
events {{ worker_connections 12000; }}
http {{
    access_log {access};
    client_body_temp_path {dir}/nginx-body;
    proxy_temp_path {dir}/nginx-proxy;
    fastcgi_temp_path {dir}/nginx-fastcgi;
    uwsgi_temp_path {dir}/nginx-uwsgi;
    scgi_temp_path {dir}/nginx-scgi;
    keepalive_requests 1000000;
    keepalive_timeout 3600s;
    client_max_body_size 0;
    upstream app {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {pki}/server-chain.pem;
        ssl_certificate_key {pki}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_verify_client on;
        ssl_verify_depth 3;
        ssl_client_certificate {pki}/root.pem;
        ssl_crl {pki}/crls.pem;
        {sessions}
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
            proxy_set_header X-SSL-Client-S-DN $ssl_client_s_dn;
            proxy_set_header X-SSL-Client-I-DN $ssl_client_i_dn;
            proxy_set_header X-SSL-Client-Serial $ssl_client_serial;
            proxy_set_header X-SSL-Client-Fingerprint $ssl_client_fingerprint;
            proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    tune.maxrewrite 4096
    maxconn 12000
    no strict-limits
    {sessions}
    {log_global}
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout http-keep-alive 1h
    timeout server 30s
    http-reuse always
    {log_defaults}
frontend bench
    bind 127.0.0.1:{port} ssl crt {pki}/server-all.pem ca-file {pki}/root.pem crl-file {pki}/crls.pem verify required ssl-min-ver TLSv1.2 {tickets}
    http-request set-header X-SSL-Client-Verify %[ssl_c_verify]
    http-request set-header X-SSL-Client-S-DN %[ssl_c_s_dn(,0,rfc2253)]
    http-request set-header X-SSL-Client-I-DN %[ssl_c_i_dn(,0,rfc2253)]
    http-request set-header X-SSL-Client-Serial %[ssl_c_serial,hex]
    http-request set-header X-SSL-Client-Fingerprint %[ssl_c_sha1,hex]
    http-request set-header X-SSL-Client-Cert %[ssl_c_der,base64]
    default_backend app
backend app
    server one 127.0.0.1:{backend}
"""

SALLYPORT = """\
workers: 1
gates: 1
log: {{level: warn, format: json, output: stderr, access: "{access}"}}
limits: {{connections: 12000, handshakes_per_address: 12000}}
listeners:
  - name: bench
    address: "127.0.0.1:{port}"
    mode: http
    tls: {{certificates: [{{chain: {pki}/server-chain.pem, key: {pki}/server.key}}], min_version: "1.2",
          tickets: {{count: {tickets}}}}}
    client_auth: {{mode: required, ca: [{pki}/root.pem], crl: [{pki}/crl/], crl_missing: reject, crl_stale: reject}}
    timeouts: {{idle: 1h}}
callers: {{anyone: [{{any: authenticated}}]}}
rules: [{{name: all, from: [anyone], path: "/**", upstream: app}}]
upstreams: {{app: {{endpoints: ["127.0.0.1:{backend}"], identity_headers: [plain, rfc9440]}}}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """One running proxy. `log`: with an access log. `defaults`: sessions and tickets as the proxy has them by default
    (without: switched off as far as its configuration can)."""
    name = ""

    def __init__(self, bench, log=False, defaults=False):
        self.dir, self.pki, self.port = bench.dir, bench.pki, free_port()
        self.access = self.dir / f"{self.name}-access.log"
        self.output = self.dir / f"{self.name}-output.log"
        self.config = self.dir / f"{self.name}.conf"
        self.config.write_text(self.configure(bench, log, defaults))
        with open(self.access if self.logs_to_stdout and log else self.output, "wb") as stdout, \
                open(self.output, "ab") as stderr:
            self.process = subprocess.Popen(["taskset", "-c", str(bench.proxy_cpu), *self.command(bench)],
                                            cwd=self.dir, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        self.await_port()

    logs_to_stdout = False

    def await_port(self):
        end = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.stop()
        raise SystemExit(f"{self.name} does not listen; its configuration is {self.config}, it said:\n"
                         + self.output.read_text(errors="replace")[-2000:])

    def pids(self):
        """The process and its children, which is all that the proxies here have."""
        found = [self.process.pid]
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            found += [int(pid) for pid in (task / "children").read_text().split()]
        return found

    def cpu_ns(self):
        """CPU time of all threads so far, in ns; right to the tick only while the proxy has nothing to do."""
        return sum(int(path.read_text().split()[0])
                   for pid in self.pids() for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))

    def memory_bytes(self):
        """Resident memory, pages that are shared counted in proportion."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                for pid in reversed(self.pids()):
                    os.kill(pid, signal.SIGKILL)
                self.process.wait()
        self.access.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


class Nginx(Proxy):
    name = "nginx"

    def configure(self, bench, log, defaults):
        return NGINX.format(dir=self.dir, pki=self.pki, port=self.port, backend=bench.backend_port,
                            access=self.access if log else "off",
                            sessions="" if defaults else "ssl_session_tickets off; ssl_session_cache off;")

    def command(self, bench):
        return ["nginx", "-p", str(self.dir), "-e", str(self.dir / "nginx-error.log"), "-c", str(self.config)]

    @staticmethod
    def available(bench):
        return shutil.which("nginx") is not None

    @staticmethod
    def version(bench):
        return subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().split("/")[-1]


class Haproxy(Proxy):
    name = "haproxy"
    logs_to_stdout = True

    def configure(self, bench, log, defaults):
        return HAPROXY.format(pki=self.pki, port=self.port, backend=bench.backend_port,
                              sessions="" if defaults else "tune.ssl.cachesize 0",
                              tickets="" if defaults else "no-tls-tickets",
                              log_global="log stdout format raw local0" if log else "",
                              log_defaults="log global\n    option httplog" if log else "")

    def command(self, bench):
        return ["haproxy", "-db", "-f", str(self.config)]

    @staticmethod
    def available(bench):
        return shutil.which("haproxy") is not None

    @staticmethod
    def version(bench):
        return subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout.split()[2]


class Sallyport(Proxy):
    name = "sallyport"

    def configure(self, bench, log, defaults):
        return SALLYPORT.format(pki=self.pki, port=self.port, backend=bench.backend_port,
                                access=self.access if log else "off", tickets=1 if defaults else 0)

    def command(self, bench):
        return [str(bench.sallyport), "run", "-c", str(self.config)]

    @staticmethod
    def available(bench):
        return bench.sallyport is not None

    @staticmethod
    def version(bench):
        return subprocess.run([str(bench.sallyport), "version"], capture_output=True, text=True).stdout.split()[-1]


ALL = (Nginx, Haproxy, Sallyport)
