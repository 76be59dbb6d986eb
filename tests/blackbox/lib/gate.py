"""The program under test: writes its configuration, starts it, reads its logs, and looks at how it ends.

The gate is $SALLYPORT_BIN; without that the newest build that there is. Listeners bind port 0 and the log tells what became of it,
so that any number of gates and suites run beside each other."""

import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import yaml

from .patience import PATIENCE, until

ROOT = pathlib.Path(__file__).resolve().parents[3]


def binary():
    given = os.environ.get("SALLYPORT_BIN")
    built = [ROOT / "build" / preset / "src/cli/sallyport" for preset in ("asan", "dev", "release")]
    for path in [pathlib.Path(given)] if given else built:
        if path.is_file():
            return path
    raise AssertionError(f"there is no gate to test: {given or ', '.join(map(str, built))}; run tests/run blackbox")


def config(world, *endpoints, **changes):
    """A configuration that lets billing do everything and auditors read invoices. `changes` replace whole top-level keys."""
    made = {
        "workers": 2,
        "gates": 1,
        "drain_timeout": "30s",
        "admin": {"address": "127.0.0.1:0"},
        "listeners": [listener(world)],
        "callers": {
            "billing": [{"uri": "spiffe://corp.example/ns/billing/**"}],
            "auditors": [{"email": "*@audit.example.com"}],
        },
        "rules": [
            {"name": "billing-all", "from": ["billing"], "upstream": "main"},
            {"name": "audit-read", "from": ["auditors"], "host": "billing.internal", "path": "/v1/invoices/**",
             "methods": ["GET"], "upstream": "main"},
        ],
        "upstreams": {"main": {"endpoints": list(endpoints), "identity_headers": ["plain"]}},
    }
    made.update(changes)
    return made


def listener(world, name="internal", **changes):
    made = {
        "name": name,
        "address": "127.0.0.1:0",
        "tls": {"certificates": [{"chain": str(world.server.chain_file), "key": str(world.server.key_file)}]},
        "client_auth": {"mode": "required", "ca": [str(world.ca_file)], "crl": [str(world.crl_folder)]},
    }
    made.update(changes)
    return made


def environment():
    """AddressSanitizer keeps freed memory back to catch its use, up to 256 MiB: too much where the gate's memory is measured."""
    options = os.environ.get("ASAN_OPTIONS", "halt_on_error=1:exitcode=99")
    return {**os.environ, "ASAN_OPTIONS": options + ":quarantine_size_mb=8"}


class Lines:
    """What comes out of one pipe, line by line: parsed if it is JSON, else kept as noise."""

    def __init__(self, pipe):
        self.records, self.noise, self.ended = [], [], False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe):
        for line in pipe:
            with self._changed:
                try:
                    self.records.append(json.loads(line))
                except ValueError:
                    self.noise.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        pipe.close()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait(self, wanted, what, since=0, patience=PATIENCE):
        """The first record from the since-th on for which wanted(record) holds."""
        end = time.monotonic() + patience
        with self._changed:
            at = since
            while True:
                while at < len(self.records):
                    if wanted(self.records[at]):
                        return self.records[at]
                    at += 1
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    raise AssertionError(f"no {what} in the log{' before it ended' if self.ended else ''}; it has:\n"
                                         + "\n".join(map(str, [*self.records[-20:], *self.noise[-60:]])))
                self._changed.wait(left)

    def join(self):
        self._thread.join(PATIENCE)


class Gate:
    """One running gate. `stop()` (which the fixture calls) fails the test if it did not end well."""

    def __init__(self, world, folder, settings, *, stdout=None, limits=(), ready=True, arguments=(), under=()):
        self.world, self.folder = world, pathlib.Path(folder)
        self.file = self.folder / "sallyport.yaml"
        self.write(settings)
        self.names = [item["name"] for item in settings.get("listeners", [])] if isinstance(settings, dict) else []

        def lower_limits():
            for which, value in limits:
                resource.setrlimit(which, (value, value))

        self.process = subprocess.Popen(
            [*under, binary(), "run", "-c", self.file, *arguments], stdin=subprocess.DEVNULL, stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment(), preexec_fn=lower_limits if limits else None)
        self.events = Lines(self.process.stderr)
        self.accesses = Lines(self.process.stdout) if stdout is None else None
        self.marks = {}
        self.expected_status = 0
        self.stopped = False
        if ready:
            self.wait_event("ready")

    def write(self, settings):
        text = settings if isinstance(settings, str) else yaml.safe_dump(settings, sort_keys=False)
        self.file.write_text(text)

    # ---- what the log says ----

    def note(self, sock):
        """A connection begins: what the log says of its peer from here on is about it and not about an earlier one that the kernel
        gave the same port. Returns the peer as the log calls it."""
        peer = "%s:%d" % sock.getsockname()[:2]
        self.marks[peer] = len(self.events.records), len(self.accesses.records) if self.accesses else 0
        return peer

    def wait_event(self, event, since=0, patience=PATIENCE, **fields):
        """The first event of that name (or one of several) whose fields have these values."""
        names = (event,) if isinstance(event, str) else event
        since = max(since, self.marks.get(fields.get("peer"), (0, 0))[0])
        return self.events.wait(
            lambda e: e.get("event") in names and all(e.get(k) == v for k, v in fields.items()),
            f"{' or '.join(names)} {fields or ''}", since, patience)

    def wait_access(self, since=0, patience=PATIENCE, **fields):
        since = max(since, self.marks.get(fields.get("peer"), (0, 0))[1])
        return self.accesses.wait(
            lambda e: all(e.get(k) == v for k, v in fields.items()), f"access record {fields}", since, patience)

    def refused(self, peer):
        """All refusals of that peer so far."""
        return [e for e in self.events.records[self.marks[peer][0]:] if e.get("event") == "refused" and e.get("peer") == peer]

    # ---- where it is ----

    def address(self, name="internal"):
        """(host, port) of a listener, or the path of a unix socket."""
        text = self.wait_event("listening", listener=name)["address"]
        if text.startswith("unix:"):
            return text[5:]
        host, _, port = text.rpartition(":")
        return host.strip("[]"), int(port)

    # ---- the admin listener ----

    def admin(self, path, method="GET"):
        """(status, headers, body) of an admin page."""
        host, port = self.address("admin")
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """name with labels -> value"""
        status, _, text = self.admin("/metrics")
        assert status == 200
        values = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    def refusals(self, reason):
        return self.metrics()[f'sallyport_refusals_total{{reason="{reason}"}}']

    def wait_metric(self, name, wanted):
        return until(lambda: wanted(self.metrics().get(name)) or None, f"{name}; it is {self.metrics().get(name)}")

    # ---- the process ----

    def memory_kib(self, field="VmHWM"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.M)[1])

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, settings=None):
        """HUP, with a new file if given; returns the event that says what came of it."""
        if settings is not None:
            self.write(settings)
        since = len(self.events.records)
        self.signal(signal.SIGHUP)
        return self.wait_event(("reloaded", "reload_failed"), since)

    def wait_exit(self, patience=PATIENCE):
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the gate did not end within {patience:.0f} s:\n{self.report()}") from None
        self.events.join()
        if self.accesses:
            self.accesses.join()
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()

    def report(self):
        return "\n".join([*map(str, self.events.records[-20:]), *self.events.noise])

    def stop(self):
        """TERM; fails unless it ends with the expected status and has written nothing but log lines."""
        if self.stopped:
            return
        self.stopped = True
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.wait_exit()
        assert not self.events.noise, "the gate wrote what is no log line:\n" + "\n".join(self.events.noise)
        assert status == self.expected_status, f"the gate ended with status {status}:\n{self.report()}"


def is_port_open(address):
    try:
        socket.create_connection(address, timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def run(*arguments, timeout=PATIENCE, **options):
    """One of the other subcommands, to its end."""
    return subprocess.run([binary(), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, **options)
