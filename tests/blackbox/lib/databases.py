"""Real servers that speak no HTTP, PostgreSQL and Redis, and how their own clients come to a gate in mode tcp: by way of stunnel or
socat, which make TLS of what they say.

All live in short folders of their own, not below pytest's: PostgreSQL refuses to run as root, and its user could not get in there;
and the path of a unix socket may have 107 bytes. Servers listen on a free port, and on a unix socket that is the test's way past
the gate. It is made after the port is theirs, so whoever answers there is the right one."""

import os
import pathlib
import pwd
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from .patience import PATIENCE, until

DATABASE = "postgres"
ROLE = "tester"


class Failed(Exception):
    """A client program said that it did not work; the text is all that it said."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def short_folder(user=None):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-db-"))
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    return folder


def run(*arguments, patience=PATIENCE, **options):
    """A client to its end: what it wrote, as text unless `text` says otherwise."""
    options.setdefault("text", True)
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(
        [*map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=patience, **options)
    if done.returncode != 0:
        raise Failed(f"{arguments[0]} ended with {done.returncode}: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")
    return done.stdout


class Server:
    """One process in the foreground, on a port that was free a moment ago; should another take it in between, on the next."""

    user = None

    def __init__(self):
        self.folder = short_folder(self.user)
        self.log = self.folder / "log"
        self.prepare()
        for _ in range(20):
            if self.start(free_port()):
                return
        raise AssertionError(f"it does not start:\n{self.log.read_text()}")

    def prepare(self):
        pass

    def start(self, port):
        self.port, self.endpoint = port, f"127.0.0.1:{port}"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self.as_user())
        until(lambda: self.answers() or self.process.poll() is not None, f"{type(self).__name__} to answer")
        return self.process.poll() is None

    def as_user(self):
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def answers(self):
        try:
            self.ask_past_the_gate()
        except Failed:
            return False
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- PostgreSQL ----

def program(name):
    """One of PostgreSQL's where Debian has them; of the newest, should there be several."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    assert found, "there is no PostgreSQL under /usr/lib/postgresql; tests/run installs it"
    return found[-1].with_name(name)


class Postgres(Server):
    stop_signal = signal.SIGINT  # "fast": whoever is connected is disconnected
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    def prepare(self):
        run(program("initdb"), "-D", self.folder / "data", "-U", ROLE, "-A", "trust", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync", cwd=self.folder, **self.as_user())

    def command(self, port):
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": self.folder, "fsync": "off",
            "log_connections": "on", "log_disconnections": "on", "log_line_prefix": "%a ", "max_connections": 60,
            "shared_buffers": "32MB", "dynamic_shared_memory_type": "mmap", "autovacuum": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [program("postgres"), "-D", self.folder / "data", *options]

    def ask_past_the_gate(self, sql="select 1"):
        return run(program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", self.port, "-U", ROLE, DATABASE, "-c",
                   sql).rstrip("\n")

    def connections_by_network(self):
        """All since its start; who comes by the unix socket is [local]."""
        return self.log.read_text(errors="replace").count("connection received: host=127.0.0.1")

    def wait_log(self, text):
        until(lambda: text in self.log.read_text(errors="replace"), f"{text!r} in PostgreSQL's log")

    def wait_activity(self, name, condition):
        """Until one of the connections of that application fits; there is none under condition "gone"."""
        sql = f"select count(*) from pg_stat_activity where application_name = '{name}'"
        if condition != "gone":
            sql += f" and {condition}"
        wanted = (lambda n: n == 0) if condition == "gone" else (lambda n: n > 0)
        until(lambda: wanted(int(self.ask_past_the_gate(sql))), f"{name} to be {condition}")


# ---- Redis ----

class Redis(Server):
    stop_signal = signal.SIGTERM

    def command(self, port):
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", self.folder / "own.sock",
                "--save", "", "--appendonly", "no", "--dir", self.folder]

    def ask_past_the_gate(self, *command):
        return redis(self.folder / "own.sock", *(command or ("PING",)))

    def connections(self):
        """All since its start, this one too."""
        lines = self.ask_past_the_gate("INFO", "stats").splitlines()
        return int(next(line for line in lines if line.startswith("total_connections_received:")).partition(":")[2])


def redis(path, *command, **options):
    """One command by redis-cli, which answers errors with status 1 here."""
    return run("redis-cli", "-e", "-s", path, *command, **options).rstrip("\n")


# ---- the way to the gate ----

def is_listening(path):
    """Asked of the kernel: to connect would make a connection to the gate, and the file is there a moment too early."""
    lines = (line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines())
    return any(line[-1] == str(path) and int(line[3], 16) & 0x10000 for line in lines if len(line) == 8)


class Tunnel:
    """A TLS client in front of the gate with a credential of the world's; `path` is a unix socket that PostgreSQL's clients find by
    their host (the folder) and port, and redis-cli by -s."""

    port = 5432

    def __init__(self, gate, credential, *, listener="internal", sni="billing.internal"):
        self.folder = short_folder()
        self.path = self.folder / f".s.PGSQL.{self.port}"
        self.gate, self.credential, self.sni = gate, credential, sni
        self.address = "%s:%d" % gate.address(listener)
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.folder / "log", "ab"),
            start_new_session=True)
        try:
            until(lambda: is_listening(self.path) or self.process.poll() is not None, "the TLS client to listen")
            assert self.process.poll() is None, f"the TLS client does not start:\n{(self.folder / 'log').read_text()}"
        except AssertionError:
            self.close()
            raise

    def close(self):
        """It and what it has forked, one for each connection."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- clients ----

    def client(self, which, *arguments, name="sp-test"):
        """A command line of one of PostgreSQL's."""
        return ["env", f"PGAPPNAME={name}", program(which), "-h", self.folder, "-p", str(self.port), "-U", ROLE, *arguments]

    def psql(self, *arguments, **options):
        """-c and the like, in a connection of its own."""
        return run(*self.client("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", DATABASE, *arguments), **options)

    def redis(self, *command, **options):
        return redis(self.path, *command, **options)


class Stunnel(Tunnel):
    def command(self):
        (self.folder / "conf").write_text(
            "foreground = yes\npid =\n"
            f"[gate]\nclient = yes\naccept = {self.path}\nconnect = {self.address}\nsni = {self.sni}\n"
            f"cert = {self.credential.chain_file}\nkey = {self.credential.key_file}\n"
            f"CAfile = {self.gate.world.server_ca_file}\nverifyChain = yes\ncheckHost = {self.sni}\n")
        return ["stunnel4", self.folder / "conf"]


class Socat(Tunnel):
    def command(self):
        return ["socat", f"UNIX-LISTEN:{self.path},fork",
                f"OPENSSL:{self.address},cert={self.credential.chain_file},key={self.credential.key_file},"
                f"cafile={self.gate.world.server_ca_file},commonname={self.sni},snihost={self.sni}"]


class Talk:
    """A client program that stays, and is told what to do line by line. What it says, on either stream, comes out by `read_to`."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.said = queue.Queue(), []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def say(self, text):
        try:
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; what it said will tell

    def read_to(self, wanted):
        """Lines up to, but without, the first that is `wanted`."""
        came = []
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"{wanted!r} did not come, but {came}") from None
            if line == wanted:
                return came
            assert line is not None, f"it ended without {wanted!r}: {came}"
            came.append(line)

    def read_to_the_end(self):
        came = []
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            came.append(line)
        self.process.wait(PATIENCE)
        return came

    def ask(self, sql):
        """psql only: the lines of the answer."""
        self.say(f"{sql}\n\\echo -- answered")
        return self.read_to("-- answered")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def talk_psql(tunnel, name="sp-talk"):
    return Talk(*tunnel.client("psql", "-XAtq", DATABASE, name=name))
