"""System calls and allocations of the gate that fail when the test says so: the other half of faults.c, which says what they do."""

import mmap
import pathlib
import struct
import subprocess

from . import gate as gates

HEAD, ROW = struct.Struct("II"), struct.Struct("32sIIQ")


def build(folder):
    made = pathlib.Path(folder) / "faults.so"
    source = pathlib.Path(__file__).parent / "faults.c"
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


class Faults:
    """Of the one gate that is started with `under`. Switched off at first."""

    def __init__(self, library, file, seed=1):
        self.library, self.file = library, pathlib.Path(file)
        self.file.write_bytes(bytes(mmap.PAGESIZE))
        with open(self.file, "r+b") as opened:
            self.page = mmap.mmap(opened.fileno(), mmap.PAGESIZE)
        HEAD.pack_into(self.page, 0, seed, 0)

    @property
    def under(self):
        options = gates.environment()["ASAN_OPTIONS"]
        return ["env", f"LD_PRELOAD={self.library}", f"SP_TEST_FAULTS={self.file}",
                f"ASAN_OPTIONS={options}:verify_asan_link_order=0"]

    def _rows(self):
        """name -> where it is. The gate has written them by the time it is ready."""
        count = HEAD.unpack_from(self.page, 0)[1]
        assert count > 0, "the gate runs without faults.so"
        at = [HEAD.size + i * ROW.size for i in range(count)]
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
