"""Libraries of C that are preloaded into a gate, and the page that each shares with the test."""

import mmap
import pathlib
import struct
import subprocess

from . import gate as gates


def build(name, folder):
    made = pathlib.Path(folder) / f"{name}.so"
    source = pathlib.Path(__file__).parent / f"{name}.c"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def under(library, **environment):
    """The beginning of a gate's command."""
    options = gates.environment()["ASAN_OPTIONS"]
    return ["env", f"LD_PRELOAD={library}", f"ASAN_OPTIONS={options}:verify_asan_link_order=0",
            *(f"{name}={value}" for name, value in environment.items())]


def make_page(file):
    file = pathlib.Path(file)
    file.write_bytes(bytes(mmap.PAGESIZE))
    with open(file, "r+b") as opened:
        return mmap.mmap(opened.fileno(), mmap.PAGESIZE)


class Faults:
    """System calls and allocations that fail when the test says so: faults.c, which says what they do. Switched off at first."""

    HEAD, ROW = struct.Struct("II"), struct.Struct("32sIIQ")

    def __init__(self, library, file, seed=1):
        self.page = make_page(file)
        self.under = under(library, SP_TEST_FAULTS=file)
        self.HEAD.pack_into(self.page, 0, seed, 0)

    def _rows(self):
        """name -> where it is. The gate has written them by the time it is ready."""
        count = self.HEAD.unpack_from(self.page, 0)[1]
        assert count > 0, "the gate runs without faults.so"
        at = [self.HEAD.size + i * self.ROW.size for i in range(count)]
        return {self.page[a:a + 32].rstrip(b"\0").decode(): a for a in at}

    def set(self, **chances):
        """Each call of these kinds fails with that chance, all others succeed."""
        rows = self._rows()
        assert set(chances) <= set(rows)
        for name, at in rows.items():
            struct.pack_into("II", self.page, at + 32, round(chances.get(name, 0) * 1_000_000), 0)

    def off(self):
        self.set()

    def fail_once(self, name, nth):
        """The nth call from now on, and no other."""
        struct.pack_into("I", self.page, self._rows()[name] + 36, nth)

    def is_pending(self, name):
        return struct.unpack_from("I", self.page, self._rows()[name] + 36)[0] > 0

    def done(self):
        """name -> how many calls have failed so far"""
        return {name: struct.unpack_from("Q", self.page, at + 40)[0] for name, at in self._rows().items()}
