"""What isolation.py and growth.py share: the tools built and started, who has which CPU and before whom, and material that is
larger than the benchmark's own PKI.

Load and backend share a CPU with whoever disturbs. So that a latency is the proxy's and not the load's, those that measure go
before those that disturb there: by real-time priority where that is allowed (root), else by nice values.
"""
import contextlib
import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pki
import tools

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOLS = ("sp_load", "sp_bench_backend", "sallyport")
DESCRIPTORS = 262_144  # enough for 100,000 connections
OWN_DESCRIPTORS = 256


def options(parser):
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--build-dir", default=str(ROOT / "build" / "bench"), help="where to build (build/bench)")
    parser.add_argument("--no-build", action="store_true", help="take what is in --build-dir as it is")
    parser.add_argument("--json", metavar="FILE", help="write every single figure there")


def build(args):
    folder = Path(args.build_dir).resolve()
    if not args.no_build:
        for command in (["cmake", "--preset", "release", "-B", str(folder), "-DSP_BENCH=ON"],
                        ["cmake", "--build", str(folder), "--target", *TOOLS]):
            if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode != 0:
                raise SystemExit("the build failed")
    return folder


def before_others(cpu, measures):
    """The words in front of a command: on which CPU, and whether before or behind the others there."""
    words = ["taskset", "-c", str(cpu)]
    if os.geteuid() == 0:
        return words + (["chrt", "--fifo", "10"] if measures else [])
    return words + ([] if measures else ["nice", "-n", "19"])


@contextlib.contextmanager
def backend(rig, measures):
    """Its port."""
    process = subprocess.Popen([*before_others(rig.load_cpu, measures), str(rig.tools / "sp_bench_backend")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline().split()[1])
    finally:
        process.stdin.close()
        process.wait()


def raise_limit():
    """Of descriptors, for whom we start, too. Beyond the hard limit there is more for who has CAP_SYS_RESOURCE, and root may
    be without."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for wanted in (max(hard, DESCRIPTORS), hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return


def client_room():
    """Connections that sallyport lets in: it keeps a quarter of its descriptors for backends, and some for itself."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - limit // 4 - OWN_DESCRIPTORS


def why_no_more():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (f"a process may have {limit:,} descriptors on this machine, and nobody there may raise that limit; sallyport keeps"
            " a quarter of them for backends")


@contextlib.contextmanager
def rig(args):
    """Everything that a measurement needs, and nothing of it left behind."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit("two CPUs are needed: one for the proxy, one for load and backend")
    folder = build(args)
    raise_limit()
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="sp-bench-") as temporary:
        made = tools.Bench(Path(temporary), Path(temporary) / "pki", folder / "tests" / "bench",
                   folder / "src" / "cli" / "sallyport", cpus[0], cpus[1])
        made.pki.mkdir()
        pki.make(made.pki)
        with backend(made, True) as made.backend_port:
            yield made


class Load(tools.Load):
    """`measures`: it goes before the others on its CPU. `cert`: another chain to show. Ends when it is left,
    whatever it is at."""

    def __init__(self, rig, port, args, seconds, measures=True, cert=None):
        self.seconds = seconds
        command = [*before_others(rig.load_cpu, measures), str(rig.tools / "sp_load"), *map(str, args),
                   "--connect", f"127.0.0.1:{port}", "--cert", str(cert or rig.pki / "client-chain.pem"),
                   "--key", str(rig.pki / "client.key"), "--issuer", str(rig.pki / "intermediate.pem"),
                   "--issuer-key", str(rig.pki / "intermediate.key"), "--seconds", str(seconds), "--sync"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def result(self):
        """Of the part that has begun."""
        return json.loads(self.line())

    def __exit__(self, *unused):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def settle(proxy, quiet_ns=20_000):
    """The proxy's CPU clock once it stands still."""
    before = proxy.cpu_ns()
    for _ in range(100):
        time.sleep(0.02)
        now = proxy.cpu_ns()
        if now - before < quiet_ns:
            return now
        before = now
    return before


def settle_descriptors(proxy, quiet_seconds=0.5, most_seconds=60):
    """Until it has taken in all that the kernel had for it: it has no more of them than a while ago."""
    before, since, end = descriptors(proxy), time.monotonic(), time.monotonic() + most_seconds
    while time.monotonic() < min(end, since + quiet_seconds):
        time.sleep(0.05)
        now = descriptors(proxy)
        if now > before:
            before, since = now, time.monotonic()
    settle(proxy)


def threads_ns(proxy):
    """CPU time so far by the name of the thread."""
    times = {}
    for pid in proxy.pids():
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                name = (task / "comm").read_text().strip()
                times[name] = times.get(name, 0) + int((task / "schedstat").read_text().split()[0])
    return times


def descriptors(proxy):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in proxy.pids())


# ---- material ----

def make_certificate_list(folder, out, at_most):
    """The client's chain with strangers behind it, so that the whole list is just under `at_most` bytes as TLS counts. Lists share
    their strangers."""
    def size(name):
        return len(ssl.PEM_cert_to_DER_cert((folder / name).read_text())) + 5

    total, parts = 8 + size("client.pem") + size("intermediate.pem"), [folder / "client-chain.pem"]
    while True:
        stranger = folder / f"stranger-{len(parts)}.pem"
        if not stranger.exists():
            pki.openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        "/dev/null", "-subj", f"/CN=stranger {len(parts)}", "-days", "30", "-out", stranger.name)
        total += size(stranger.name)
        if total > at_most:
            break
        parts.append(stranger)
    (folder / f"{out}.pem").write_text("".join(part.read_text() for part in parts))
