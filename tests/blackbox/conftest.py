"""Fixtures of the black-box tests: a PKI for the session, gates and backends for a test or a module."""

import itertools
import time

import pytest

from lib import backend as backends
from lib import gate as gates
from lib import nginx as nginxes
from lib import pki
from lib.patience import until


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return pki.World(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def own_world(tmp_path):
    """A PKI of the test's own, for those that change its files."""
    folder = tmp_path / "pki"
    folder.mkdir()
    return pki.World(folder)


def let_age(folder):
    """A gate that starts within the file system's clock tick of a file's making reads it once more a moment later, since
    nothing would tell it of a change in that tick. That is not the change that a test waits for."""
    newest = max(path.stat().st_ctime for path in folder.rglob("*"))
    until(lambda: time.time() > newest + 0.05, "the files to be older than a tick")


def make_start(world, folder):
    running, counter = [], itertools.count()

    def start(settings, *, of=None, **options):
        place = folder / f"gate{next(counter)}"
        place.mkdir()
        gate = gates.Gate.__new__(gates.Gate)
        running.append(gate)
        let_age((of or world).folder)
        gate.__init__(of or world, place, settings, **options)
        return gate

    return start, running


def stop_all(running):
    """All are stopped, whatever one of them says; then the first complaint is raised."""
    complaints = []
    for gate in running:
        try:
            if hasattr(gate, "stopped"):
                gate.stop()
            elif hasattr(gate, "process"):
                gate.kill()
        except AssertionError as complaint:
            complaints.append(complaint)
    if complaints:
        raise complaints[0]


@pytest.fixture
def start_gate(world, tmp_path):
    """start_gate(settings) -> Gate, any number of times; all must end well."""
    start, running = make_start(world, tmp_path)
    yield start
    stop_all(running)


@pytest.fixture(scope="module")
def start_module_gate(world, tmp_path_factory):
    start, running = make_start(world, tmp_path_factory.mktemp("gates"))
    yield start
    stop_all(running)


@pytest.fixture
def backend():
    made = backends.RecordingBackend()
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_backend():
    made = backends.RecordingBackend()
    yield made
    made.close()


@pytest.fixture
def gate(start_gate, world, backend):
    """A gate of the test's own in front of `backend`."""
    return start_gate(gates.config(world, backend.endpoint))


@pytest.fixture(scope="module")
def module_gate(start_module_gate, world, module_backend):
    """A gate that the tests of a module share, in front of `shared_backend`."""
    return start_module_gate(gates.config(world, module_backend.endpoint))


@pytest.fixture
def shared_backend(module_backend):
    """The module's backend, with nothing left of the test before."""
    module_backend.forget()
    return module_backend


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    made = nginxes.Nginx(tmp_path_factory.mktemp("nginx"))
    yield made
    made.stop()
