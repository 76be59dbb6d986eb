"""What is measured: a row a scenario, with the targets that --check holds sallyport to."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a scenario. `target`: what sallyport's may be at most, as a multiple of the better peer's; with
    `absolute`, in itself. None: told, not judged."""
    key: str
    what: str
    unit: str
    target: float = None
    absolute: bool = False


def cpu(target, unit="µs"):
    return (Figure("value", "CPU time", unit, target),)


def memory(target):
    return (Figure("value", "memory", "KiB", target),)


CRL = (
    Figure("start_cpu", "start until it serves, CPU time", "s", 0.15),
    Figure("reload_cpu", "reload until the new CRL is in force, CPU time", "s", 0.15),
    Figure("start_grown", "memory after the start, over a small CRL", "MB", 0.15),
    Figure("reload_grown", "memory after the reload, over a small CRL", "MB", 0.15),
    Figure("peak_grown", "largest memory meanwhile, over a small CRL", "MB", 0.15),
)
RELOADS = (
    Figure("failed", "requests failed", "", 0, absolute=True),
    Figure("p99_ms", "p99 from when each was due", "ms"),
)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`kind`: how it is measured (measuring.py, reloading.py). `load`: mode and options of sp_load. `per`: the figure of
    its answer that CPU time is divided by. `defaults`: sessions and tickets as each proxy has them by default. `keys`:
    of which PKI. `l4`: beside hitch. `logs`: without and with an access log, or one of them. `quick`: which of these
    are part of --quick. `der`: whoever takes CRLs in DER, as CAs publish them, gets them so; else all get the same PEM."""
    name: str
    what: str
    figures: tuple
    load: tuple = ()
    kind: str = "cpu"
    per: str = "operations"
    defaults: bool = False
    keys: str = "ecdsa"
    l4: bool = False
    der: bool = False
    logs: tuple = (False, True)
    quick: tuple = (False,)


HANDSHAKE = ("handshake", "-c", "8")
KEPT = ("keepalive", "-c", "32")
TLS_1_2 = ("--tls", "1.2")

ALL = (
    Scenario("full-1.3", "full TLS 1.3 handshake, ECDSA, one request", cpu(0.55), HANDSHAKE),
    Scenario("full-1.3-defaults", "the same, sessions and tickets by default", cpu(0.55), HANDSHAKE, defaults=True, quick=()),
    Scenario("full-1.3-new", "the same, a client not seen lately", cpu(None), (*HANDSHAKE, "--clients", "4000"), quick=()),
    Scenario("full-1.2", "full TLS 1.2 handshake, ECDSA, one request", cpu(0.65), (*HANDSHAKE, *TLS_1_2)),
    Scenario("full-1.2-defaults", "the same, sessions and tickets by default", cpu(0.65), (*HANDSHAKE, *TLS_1_2),
             defaults=True, quick=()),
    Scenario("full-1.3-rsa", "full TLS 1.3 handshake, RSA-2048, one request", cpu(0.65), HANDSHAKE, keys="rsa"),
    Scenario("full-1.3-rsa-defaults", "the same, sessions and tickets by default", cpu(0.65), HANDSHAKE, defaults=True,
             keys="rsa", quick=()),
    Scenario("resumed-1.3", "resumed TLS 1.3 handshake, one request", cpu(0.40), (*HANDSHAKE, "--resume"), defaults=True),
    Scenario("resumed-1.2", "resumed TLS 1.2 handshake, one request", cpu(None), (*HANDSHAKE, "--resume", *TLS_1_2),
             defaults=True, quick=()),
    Scenario("keepalive", "GET on a kept connection, 128 bytes", cpu(0.70), KEPT, quick=(False, True)),
    Scenario("rate", "the same, 2,000 a second", cpu(None), ("rate", "-c", "32", "--rate", "2000"), quick=()),
    Scenario("download", "GET of 8 MB, a MB", cpu(0.75), ("download", "-c", "4", "--mb", "8"), per="mb"),
    Scenario("upload", "POST of 8 MB, a MB", cpu(0.75), ("upload", "-c", "4", "--mb", "8"), per="mb"),
    Scenario("l4-full", "L4: full TLS 1.3 handshake, one request", cpu(0.85), HANDSHAKE, defaults=True, l4=True),
    Scenario("l4-keepalive", "L4: request through, kept connection", cpu(0.85), KEPT, defaults=True, l4=True),
    Scenario("memory-2000", "an idle connection, 2,000 held", memory(0.70), ("idle", "-c", "2000"), "memory", logs=(False,)),
    Scenario("memory-new-2000", "the same, each by another client", memory(None), ("idle", "-c", "2000", "--clients", "2000"),
             "memory", logs=(False,), quick=()),
    Scenario("memory-10000", "an idle connection, 10,000 held", memory(0.70), ("idle", "-c", "10000"), "memory",
             logs=(False, True), quick=()),
    Scenario("crl", "a CRL of 1,000,000 entries", CRL, kind="crl", logs=(False,)),
    Scenario("crl-der", "the same, in DER for whoever takes it", CRL, kind="crl", der=True, logs=(False,), quick=()),
    Scenario("reloads", "reloads under 1,500 requests a second", RELOADS, kind="reloads", defaults=True),
)
