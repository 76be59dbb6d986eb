"""What an idle connection holds: memory of the gate, after its handshake and a request."""

import contextlib
import os
import ssl

from lib import gate as gates
from lib import raw

HELD = 400
# 16.5 KiB, of which OpenSSL has 13, and 2 more with the session that is kept for the client's return. A certificate for itself would
# be 6, buffers of TLS 17 each way, a block 32; pages that are half full make less than one. Sanitizers surround each of its
# allocations, or shadow it: 31 and some 100. OpenSSL 3.5 takes 9 more.
PLAIN = 22 if ssl.OPENSSL_VERSION_INFO < (3, 2) else 31
KIB_EACH = {"asan": 40, "tsan": 160}.get(os.environ.get("SP_PRESET", ""), PLAIN)


def test_an_idle_connection_holds_what_it_needs_and_no_more(start_gate, world, nginx):
    gate = start_gate(gates.config(world, nginx.endpoint))
    with contextlib.ExitStack() as stack:
        def hold(count):
            for _ in range(count):
                client = stack.enter_context(raw.Client(gate, world.clients["billing"]))
                assert client.get("/headers").status == 200
            return gate.memory_kib("VmRSS")

        before = hold(60)  # the threads have what they need themselves
        assert hold(HELD) - before < HELD * KIB_EACH
        assert gate.metrics()["sallyport_connections_open"] >= HELD
