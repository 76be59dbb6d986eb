"""The tools around a measurement: the load generator, the backend, and how busy a CPU is."""
import contextlib
import json
import os
import subprocess
import threading
from pathlib import Path

GRACE_SECONDS = 60  # a load that takes so much longer than it should is ended


class Failed(Exception):
    """A measurement that could not be made; the others can."""


class Load:
    """sp_load with --sync: it opens its connections, says so, and loads the proxy whenever it is told to."""

    def __init__(self, bench, port, args, seconds):
        chain, key = bench.pki / "client-chain.pem", bench.pki / "client.key"
        command = ["taskset", "-c", str(bench.load_cpu), str(bench.tools / "sp_load"), *args,
                   "--connect", f"127.0.0.1:{port}", "--cert", str(chain), "--key", str(key),
                   "--ca", str(bench.pki / "root.pem"), "--issuer", str(bench.pki / "intermediate.pem"),
                   "--issuer-key", str(bench.pki / "intermediate.key"), "--seconds", str(seconds), "--sync"]
        self.seconds = seconds
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        """What it says next."""
        watchdog = threading.Timer(self.seconds + GRACE_SECONDS, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if not line:
            raise Failed(f"sp_load ended early, exit status {self.process.wait()}: see its message above")
        return line.strip()

    def measure(self):
        """One measured part (or the end of holding), and its result."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, and line() tells
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        return json.loads(self.line())

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
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
