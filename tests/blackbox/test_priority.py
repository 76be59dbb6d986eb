"""How the CPU is shared by those who are in and those who want in: by the priorities of threads, as the kernel shows them."""

import os
import pathlib

import pytest

from lib import gate as gates
from lib.patience import until


def nice_values(gate):
    """By the first word of the thread's name: those of all threads of that kind, over the process's own."""
    found = {}
    for task in pathlib.Path(f"/proc/{gate.process.pid}/task").iterdir():
        kind = (task / "comm").read_text().strip().partition("-")[0]
        nice = int((task / "stat").read_text().rpartition(")")[2].split()[16])
        found.setdefault(kind, set()).add(nice - os.getpriority(os.PRIO_PROCESS, gate.process.pid))
    return found


def shown(gate, gate_nice, worker_nice):
    """When all threads have taken their names and priorities, which each does for itself."""
    def taken():
        now = nice_values(gate)
        return now if now.get("gate") == {gate_nice} and now.get("worker") == {worker_nice} and "builder" in now else None
    return until(taken, "the priorities")


@pytest.mark.parametrize(
    "settings, gate_nice, worker_nice",
    [
        ({"gates": 2}, 3, 0),
        ({"gates": 2, "handshake_share": 9}, 7, 0),
        ({"gates": 2, "handshake_share": 50}, 0, 4),
        ({"gates": 2, "handshake_share": 80}, 0, 10),
        ({"gates": 1, "handshake_share": 20}, 0, 0),
    ],
    ids=["default", "small", "half", "large", "one gate of three threads"],
)
def test_gates_have_the_share_that_is_configured(start_gate, world, backend, settings, gate_nice, worker_nice):
    gate = start_gate(gates.config(world, backend.endpoint, **settings))
    assert shown(gate, gate_nice, worker_nice)["builder"] == {0}, "nobody else is lowered"


def test_another_share_needs_a_restart_and_says_so(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, gates=2))
    shown(gate, 3, 0)
    since = len(gate.events.records)
    assert gate.reload(gates.config(world, backend.endpoint, gates=2, handshake_share=50))["event"] == "reloaded"
    assert gate.wait_event("restart_needed", since)["key"] == "handshake_share"
    shown(gate, 3, 0)
