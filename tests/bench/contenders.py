"""The proxies that are measured: how each is started, watched, reloaded and stopped.

All do the same work (configs.py) with one worker on one CPU, and write an access log of one line a request only where
the scenario asks for it. hitch passes bytes on (L4); sallyport is measured beside it with a listener of `mode: tcp`.
"""
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import configs
from tools import Failed, pki_of

STARTING_SECONDS = 30
RELOADING_SECONDS = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def process_clock_ns(pid):
    """CPU time of a process with all its threads, also those that have ended. The number is the kernel's name for that
    clock: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


class Proxy:
    """One running proxy.

    log       with an access log
    defaults  sessions and tickets as the proxy has them by default (without: switched off as far as it can)
    keys      "ecdsa" or "rsa", which PKI
    crls      the file of CRLs, if not the PKI's own; several, with ", " between them, for whom takes several
    reloads   it is to be reloaded: HAProxy needs a master for that
    """
    name = ""
    logs_to_stdout = False
    takes_der = False  # for CRLs
    reload_signal = signal.SIGHUP
    told_again_seconds = RELOADING_SECONDS  # after which a reload that has shown no effect is asked for again

    def __init__(self, bench, log=False, defaults=False, keys="ecdsa", crls=None, reloads=False):
        self.bench, self.log, self.defaults, self.reloads = bench, log, defaults, reloads
        self.dir, self.pki, self.port = bench.dir, pki_of(bench, keys), free_port()
        self.crls = crls or self.pki / "crls.pem"
        self.access = self.dir / f"{self.name}-access.log"
        self.output = self.dir / f"{self.name}-output.log"
        self.config = self.dir / f"{self.name}.conf"
        self.generation = 0
        self.write_config()
        with open(self.access if self.logs_to_stdout and log else self.output, "wb") as stdout, \
                open(self.output, "ab") as stderr:
            self.process = subprocess.Popen(["taskset", "-c", str(bench.proxy_cpu), *self.command(bench)],
                                            cwd=self.dir, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        self.await_port()

    def write_config(self):
        self.config.write_text(self.configure(self.bench, self.log, self.defaults))

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

    # ---- watching ----

    def pids(self):
        """The process and all that descend from it and live."""
        found, unseen = [], [self.process.pid]
        while unseen:
            pid = unseen.pop()
            try:
                tasks = list(Path(f"/proc/{pid}/task").iterdir())
                children = [child for task in tasks for child in (task / "children").read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.append(pid)
            unseen += map(int, children)
        return found

    def cpu_ns(self):
        """CPU time of all living threads so far, in ns; right to the tick only while the proxy has nothing to do."""
        return sum(int(path.read_text().split()[0])
                   for pid in self.pids() for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))

    def whole_cpu_ns(self):
        """CPU time of the tree so far, of ended threads and processes, too (of ended processes to 10 ms)."""
        total = 0
        for pid in self.pids():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += process_clock_ns(pid) + sum(map(int, fields[13:15])) * 10**9 // os.sysconf("SC_CLK_TCK")
            except OSError:
                continue  # it has just ended, and its parent's figure has it
        return total

    def memory_bytes(self):
        """Resident memory, pages that are shared counted in proportion."""
        total = 0
        for pid in self.pids():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue  # it has just ended
            total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
        return total

    # ---- reloading ----

    def mark(self):
        """What has more in it once a reload has been carried out: who serves."""
        return set(self.pids())

    def reload(self):
        """Tells it to read a configuration anew that differs from the one before, and waits until it has. It is told again
        if nothing comes of it: HAProxy's master hears nothing while it begins anew."""
        before, self.generation, began = self.mark(), self.generation + 1, time.monotonic()
        told = 0
        self.write_config()
        while not self.mark() - before:
            since = time.monotonic() - began
            if since > RELOADING_SECONDS or self.process.poll() is not None:
                raise Failed("not reloaded, it said:\n" + self.output.read_text(errors="replace")[-2000:])
            if since >= told * self.told_again_seconds:
                self.process.send_signal(self.reload_signal)
                told += 1
            time.sleep(0.01)

    def count_said(self, text):
        """A mark of those whose own word counts: as many different things as they have said this."""
        return set(range(self.output.read_text(errors="replace").count(text)))

    # ---- the end ----

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
        return configs.NGINX.format(dir=self.dir, pki=self.pki, crls=self.crls, port=self.port,
                                    backend=bench.backend_port, access=self.access if log else "off",
                                    sessions="" if defaults else "ssl_session_tickets off; ssl_session_cache off;",
                                    generation=self.generation)

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
    reload_signal = signal.SIGUSR2
    told_again_seconds = 1

    def configure(self, bench, log, defaults):
        return configs.HAPROXY.format(pki=self.pki, crls=self.crls, port=self.port, backend=bench.backend_port,
                                      sessions="" if defaults else "tune.ssl.cachesize 0",
                                      tickets="" if defaults else "no-tls-tickets",
                                      log_global="log stdout format raw local0" if log else "",
                                      log_defaults="log global\n    option httplog" if log else "",
                                      generation=self.generation)

    def command(self, bench):
        return ["haproxy", "-W" if self.reloads else "-db", "-f", str(self.config)]

    def mark(self):
        return self.count_said("Loading success")

    @staticmethod
    def available(bench):
        return shutil.which("haproxy") is not None

    @staticmethod
    def version(bench):
        return subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout.split()[2]


class Sallyport(Proxy):
    name = "sallyport"
    mode = "http"
    takes_der = True

    def configure(self, bench, log, defaults):
        is_http = self.mode == "http"
        return configs.SALLYPORT.format(pki=self.pki, crls=self.crls, port=self.port, backend=bench.backend_port,
                                        mode=self.mode, level="info" if self.reloads else "warn",
                                        access=self.access if log else "off",
                                        tickets="" if defaults else ", tickets: {count: 0}",
                                        path='path: "/**", ' if is_http else "",
                                        identity=", identity_headers: [nginx]" if is_http else "",
                                        generation=self.generation)

    def command(self, bench):
        return [str(bench.sallyport), "run", "-c", str(self.config)]

    def mark(self):
        return self.count_said('"reloaded"')  # its processes stay

    @staticmethod
    def available(bench):
        return bench.sallyport is not None

    @staticmethod
    def version(bench):
        return subprocess.run([str(bench.sallyport), "version"], capture_output=True, text=True).stdout.split()[-1]


class SallyportTcp(Sallyport):
    mode = "tcp"


class Hitch(Proxy):
    name = "hitch"

    def configure(self, bench, log, defaults):
        return configs.HITCH.format(pki=self.pki, port=self.port, backend=bench.backend_port,
                                    log=f'log-level = 2\nlog-filename = "{self.access}"' if log else "log-level = 1",
                                    user='user = "nobody"\ngroup = "nogroup"' if os.geteuid() == 0 else "")

    def command(self, bench):
        return ["hitch", f"--config={self.config}"]

    @staticmethod
    def available(bench):
        return shutil.which("hitch") is not None

    @staticmethod
    def version(bench):
        done = subprocess.run(["hitch", "--version"], capture_output=True, text=True)
        return (done.stdout + done.stderr).split()[-1]


ALL = (Nginx, Haproxy, Sallyport)
L4 = (Hitch, SallyportTcp)
