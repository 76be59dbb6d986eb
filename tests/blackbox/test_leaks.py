"""A hundred thousand exchanges of every common kind, on thousands of connections, leave neither a descriptor nor memory behind."""

import os
import threading

from lib import gate as gates
from lib import raw
from lib.patience import until

H = b" HTTP/1.1\r\nHost: billing.internal\r\n"
# what is asked in one go on one connection, and what is answered
KINDS = [
    (b"GET /headers" + H + b"\r\n", "GET", 200),
    (b"HEAD /headers" + H + b"\r\n", "HEAD", 200),
    (b"GET /empty" + H + b"\r\n", "GET", 204),
    (b"GET /not-there" + H + b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n", "GET", 404),
    (b"POST /swallow" + H + b"Content-Length: 5\r\n\r\nhello", "POST", 200),
    (b"POST /swallow" + H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n", "POST", 200),
    (b"GET /headers" + H + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET", 403),
]
ROUND, THREADS = 25 * len(KINDS), 4
GROWTH_KIB = 6 * 1024  # 61 bytes an exchange


def run(gate, world, exchanges):
    failures = []

    def one():
        try:
            for _ in range(exchanges // THREADS // ROUND + 1):
                with raw.Client(gate, world.clients["billing"]) as client:
                    client.send(b"".join(sent for sent, _, _ in KINDS) * (ROUND // len(KINDS)))
                    for at in range(ROUND):
                        _, method, status = KINDS[at % len(KINDS)]
                        answer = client.response(method)
                        assert answer.status == status, answer
        except Exception as failure:  # an assertion of another thread would not be seen
            failures.append(repr(failure))

    threads = [threading.Thread(target=one) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def descriptors(gate):
    return len(os.listdir(f"/proc/{gate.process.pid}/fd"))


def test_a_hundred_thousand_exchanges_leave_nothing_behind(start_gate, world, nginx):
    settings = gates.config(world, log={"access": "off"})
    dead = "127.0.0.1:1"  # so that some of them are tried again
    settings["upstreams"]["main"] = {"endpoints": [nginx.endpoint, {"address": dead, "weight": 1}],
                                     "ejection": {"failures": 5, "base": "200ms", "max": "200ms"}}
    gate = start_gate(settings)
    run(gate, world, 15_000)
    until(lambda: gate.metrics()["sallyport_connections_open"] == 0, "the clients to be gone")
    before, memory = descriptors(gate), gate.memory_kib("VmRSS")
    run(gate, world, 100_000)
    until(lambda: gate.metrics()["sallyport_connections_open"] == 0, "the clients to be gone")
    assert descriptors(gate) <= before + 8, "idle connections to the backend, a few more or less"
    assert gate.memory_kib("VmRSS") - memory < GROWTH_KIB
    assert gate.metrics()['sallyport_upstream_retries_total{cause="connect"}'] > 0
