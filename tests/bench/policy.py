#!/usr/bin/env python3
"""What nginx's `map` costs on the keys of sp_bench_policy: a host, a path and a SPIFFE id to one rule.

    tests/bench/policy.py [--sizes 10,100,1000,10000,100000] [--regex-sizes 10,100,1000] [--rounds 5] [--requests 20000]

nginx decides access by such maps where it has to: one variable of identity, host and path, looked up among exact keys, or among
regular expressions where a path is a prefix. Each is measured as the CPU time that a request with a map of N entries takes over
one without any map, by one worker without TLS that answers what the map said; requests go out in batches over one connection, and
every answer is checked. Needs nginx (apt-get install nginx-light). Works in a temporary folder, on a free port of 127.0.0.1.
"""

import argparse
import pathlib
import random
import socket
import statistics
import subprocess
import tempfile
import time

BATCH = 100
CONF = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; keepalive_requests 1000000000; large_client_header_buffers 4 16k;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    map_hash_max_size {slots}; map_hash_bucket_size 256;
    {map}
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{answer}"; }} }}
}}
"""


def identity(i):
    return f"spiffe://corp.example/ns/team-{i}/sa/service-{i}"


def path(i):
    return f"/v1/area-{i % 50}/resource-{i}/items/1"


def map_of(kind, count):
    """The text of the map, and what is looked up in it."""
    if kind == "none":
        return "", "rule-none"
    keys = "$http_x_id|$host|$uri"
    if kind == "exact":
        lines = [f'"{identity(i)}|h-{i % 1000}|{path(i)}" rule-{i};' for i in range(count)]
    else:
        lines = [f'"~^{identity(i)}\\|h-{i % 1000}\\|/v1/area-{i % 50}/resource-{i}/" rule-{i};' for i in range(count)]
    return f'map "{keys}" $rule {{ default none;\n' + "\n".join(lines) + "\n}", "$rule"


class Nginx:
    def __init__(self, kind, count):
        self.kind, self.count = kind, count
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        text, answer = map_of(kind, count)
        file = pathlib.Path(self.folder.name) / "nginx.conf"
        file.write_text(CONF.format(folder=self.folder.name, port=self.port, map=text, answer=answer, slots=max(2048, 4 * count)))
        self.process = subprocess.Popen(["nginx", "-p", self.folder.name, "-c", str(file)], stderr=subprocess.PIPE)
        self.sock = self._connect()
        self.buffer = b""

    def _connect(self):
        end = time.monotonic() + 60
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=60)
            except ConnectionRefusedError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise SystemExit(f"nginx does not start: {self.process.stderr.read().decode()}") from None
                time.sleep(0.05)

    def cpu_us(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1000

    def batch(self, chosen, hit):
        requests = b"".join(
            f"GET {path(i) if hit else path(i) + 'x/none'} HTTP/1.1\r\nHost: h-{i % 1000}\r\n"
            f"X-Id: {identity(i) if hit else identity(i) + 'x'}\r\n\r\n".encode() for i in chosen)
        self.sock.sendall(requests)
        for i in chosen:
            wanted = "rule-none" if self.kind == "none" else f"rule-{i}" if hit else "none"
            self._expect(wanted.encode())

    def _expect(self, wanted):
        while (end := self.buffer.find(b"\r\n\r\n")) < 0 or len(self.buffer) < end + 4 + len(wanted):
            data = self.sock.recv(65536)
            if not data:
                raise SystemExit("nginx closed the connection")
            self.buffer += data
        body, head = self.buffer[end + 4:end + 4 + len(wanted)], self.buffer[:end]
        if not head.startswith(b"HTTP/1.1 200") or body != wanted or b"Content-Length: %d\r\n" % len(wanted) not in head + b"\r\n":
            raise SystemExit(f"a wrong answer: {head!r} {body!r}, expected {wanted!r}")
        self.buffer = self.buffer[end + 4 + len(wanted):]

    def us_each(self, requests, source):
        before = self.cpu_us()
        for number in range(requests // BATCH):
            self.batch([source.randrange(max(self.count, 1)) for _ in range(BATCH)], number % 2 == 0)
        return (self.cpu_us() - before) / (requests // BATCH * BATCH)

    def stop(self):
        self.sock.close()
        self.process.terminate()
        self.process.wait(60)
        self.folder.cleanup()


def measure(kind, count, rounds, requests):
    """(CPU µs a request over no map, its least and most over the rounds), round by round beside each other."""
    none, mapped = Nginx("none", count), Nginx(kind, count)
    source = random.Random(1)
    differences = []
    try:
        for nginx in (none, mapped):
            nginx.us_each(10 * BATCH, source)
        for _ in range(rounds):
            differences.append(-none.us_each(requests, source) + mapped.us_each(requests, source))
    finally:
        none.stop()
        mapped.stop()
    return statistics.median(differences), min(differences), max(differences)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10,100,1000,10000,100000")
    parser.add_argument("--regex-sizes", default="10,100,1000,10000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20000)
    given = parser.parse_args()
    print("| map | entries | CPU µs a request over none (range) |\n|---|---|---|")
    for kind, sizes in (("exact", given.sizes), ("regex", given.regex_sizes)):
        for size in map(int, sizes.split(",")):
            requests = given.requests if kind == "exact" or size < 1000 else max(2 * BATCH, given.requests * 100 // size)
            middle, least, most = measure(kind, size, given.rounds, requests)
            print(f"| {kind} | {size} | {middle:.2f} ({least:.2f} to {most:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
