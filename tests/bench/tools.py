"""The tools around a measurement: the load generator, the backend, and how busy a CPU is."""
import contextlib
import dataclasses
import json
import os
import subprocess
import threading
from pathlib import Path

GRACE_SECONDS = 60  # a load that takes so much longer than it should is ended


class Failed(Exception):
    """A measurement that could not be made; the others can."""


@dataclasses.dataclass
class Bench:
    """What all measurements share."""
    dir: Path
    pki: Path
    tools: Path       # where sp_load and sp_bench_backend are
    sallyport: Path   # None: is not measured
    proxy_cpu: int
    load_cpu: int
    backend_port: int = 0
    bulk_port: int = 0  # of a backend for /big alone, where there is one


def pki_of(bench, keys):
    """The folder of the PKI with that kind of key."""
    return bench.pki if keys == "ecdsa" else bench.pki.with_name(f"{bench.pki.name}-{keys}")


class Load:
    """sp_load with --sync: it opens its connections, says so, and loads the proxy whenever it is told to."""

    def __init__(self, bench, port, args, seconds, keys="ecdsa"):
        pki = pki_of(bench, keys)
        chain, key = pki / "client-chain.pem", pki / "client.key"
        command = ["taskset", "-c", str(bench.load_cpu), str(bench.tools / "sp_load"), *args,
                   "--connect", f"127.0.0.1:{port}", "--cert", str(chain), "--key", str(key),
                   "--ca", str(pki / "root.pem"), "--issuer", str(pki / "intermediate.pem"),
                   "--issuer-key", str(pki / "intermediate.key"), "--seconds", str(seconds), "--sync"]
        self.seconds = seconds
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        """What it says next."""
        watchdog = threading.Timer(self.seconds + GRACE_SECONDS, self.process.kill)
        watchdog.start()
        try:
            line = self.process.stdout.readline()
        finally:
            watchdog.cancel()  # also when we are ended meanwhile
        if not line:
            raise Failed(f"sp_load ended early, exit status {self.process.wait()}: see its message above")
        return line.strip()

    def begin(self):
        """Begins a measured part (or ends the holding)."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, and line() tells
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def measure(self):
        """One measured part, and its result."""
        self.begin()
        return json.loads(self.line())

    def cut_short(self):
        """Ends the part that has begun, and its result."""
        self.process.terminate()
        return json.loads(self.line())

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.terminate()  # it may be in the middle of a part, if something else has failed
        self.process.wait()
        self.process.stdout.close()


def start_backend(bench):
    process = subprocess.Popen(["taskset", "-c", str(bench.load_cpu), str(bench.tools / "sp_bench_backend")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    bench.backend_port = int(process.stdout.readline().split()[1])
    return process


def busy_seconds(cpu):
    """What that CPU has worked so far, for whomever; what the hypervisor gave to others counts as work, too."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise SystemExit(f"/proc/stat knows no CPU {cpu}")
