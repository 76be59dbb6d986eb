"""The log: what an access record says, and that a log that cannot be written never holds up a request."""

import os
import re
import signal

import pytest

from lib import gate as gates
from lib import raw
from lib.patience import until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")


def test_an_access_record_says_who_did_what_and_how_it_went(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        answer = client.ask(b"POST /v1/x?secret=1 HTTP/1.1\r\nHost: billing.internal:8443\r\nContent-Length: 5\r\n\r\nhello",
                            "POST")
        assert answer.status == 200
        record = gate.wait_access(peer=client.peer)
    expected = {
        "listener": "internal", "peer": client.peer, "tls": "TLSv1.3", "sni": "billing.internal",
        "subject": "CN=billing-batch,OU=Payments,O=Example Corp,C=DE", "caller": "billing", "rule": "billing-all",
        "method": "POST", "path": "/v1/x", "status": 200, "bytes_in": 5, "bytes_out": 2, "upstream": "main",
        "endpoint": backend.endpoint,
    }
    assert {key: record.get(key) for key in expected} == expected
    assert record["host"].startswith("billing.internal")
    assert TIME.search(record["time"]) and record["id"] == backend.wait().one("X-Request-Id")
    assert "reason" not in record and "secret" not in str(record)
    for key in ("duration_ms", "connect_ms", "response_ms"):
        assert record[key] >= 0
    assert record["duration_ms"] >= record["response_ms"]


def test_a_refused_request_says_why_and_names_no_backend(gate, world):
    with raw.Client(gate, world.clients["stranger_here"]) as client:
        answer = client.get("/v1/invoices/7?secret=1")
        record = gate.wait_access(peer=client.peer)
    assert answer.status == 403 and record["status"] == 403 and record["reason"] == "no_rule"
    assert record["id"] == answer.one("X-Request-Id")
    assert "rule" not in record and "caller" not in record and "endpoint" not in record
    assert record["subject"] == "CN=nobody-in-particular"
    assert "reason" not in answer.body.decode() and "rule" not in answer.body.decode()


def test_there_is_one_record_for_each_request(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        for number in range(50):
            client.get(f"/{number}")
        gate.wait_access(path="/49")
    paths = [record["path"] for record in gate.accesses.records]
    assert paths == [f"/{number}" for number in range(50)]
    assert len({record["id"] for record in gate.accesses.records}) == 50


def test_text_lines_are_lines_too(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, log={"format": "text"}), ready=False)
    until(lambda: any(" ready" in line for line in gate.events.noise), "ready, as text")
    assert all("=" in line or " ready" in line for line in gate.events.noise)
    gate.events.noise.clear()
    gate.signal(signal.SIGTERM)
    assert gate.wait_exit() == 0
    gate.events.noise.clear()


def requests_pass(gate, world, count=300):
    with raw.Client(gate, world.clients["billing"]) as client:
        for number in range(count):
            assert client.get("/" + "x" * 2000).status == 200


def test_a_full_disk_costs_log_lines_and_no_request(start_gate, world, backend):
    gate = start_gate(gates.config(world, backend.endpoint, log={"access": "/dev/full"}))
    requests_pass(gate, world, 50)
    gate.wait_metric("sallyport_log_write_failures_total", lambda n: n > 0)
    requests_pass(gate, world, 50)

    def lost():
        metrics = gate.metrics()
        return metrics["sallyport_log_write_failures_total"] + metrics["sallyport_log_dropped_total"]

    until(lambda: lost() == 100, "each lost line to be counted")


def test_a_reader_that_does_not_read_costs_log_lines_and_no_request(start_gate, world, backend):
    unread, pipe = os.pipe()
    gate = start_gate(gates.config(world, backend.endpoint), stdout=pipe)
    os.close(pipe)
    try:
        until(lambda: requests_pass(gate, world) or gate.metrics()["sallyport_log_dropped_total"] > 0, "dropped lines")
        requests_pass(gate, world, 50)
        gate.stop()
    finally:
        os.close(unread)


def test_a_reader_that_is_gone_costs_log_lines_and_no_request(start_gate, world, backend):
    unread, pipe = os.pipe()
    gate = start_gate(gates.config(world, backend.endpoint), stdout=pipe)
    os.close(pipe)
    os.close(unread)
    requests_pass(gate, world, 50)
    gate.wait_metric("sallyport_log_write_failures_total", lambda n: n > 0)
    requests_pass(gate, world, 10)


@pytest.mark.parametrize("number", [signal.SIGUSR1])
def test_log_files_are_reopened_on_usr1(start_gate, world, backend, tmp_path, number):
    file, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    gate = start_gate(gates.config(world, backend.endpoint, log={"access": str(file)}))
    with raw.Client(gate, world.clients["billing"]) as client:
        client.get("/before")
        until(lambda: file.exists() and "/before" in file.read_text(), "the first record")
        assert file.stat().st_mode & 0o777 == 0o640
        file.rename(moved)
        gate.signal(number)
        until(file.exists, "the new file")
        client.get("/after")
        until(lambda: "/after" in file.read_text(), "the record in the new file")
    assert "/after" not in moved.read_text()


def test_a_log_file_that_cannot_be_opened_stops_the_start_with_a_message(start_gate, world, backend, tmp_path):
    gate = start_gate(gates.config(world, backend.endpoint, log={"access": str(tmp_path / "none" / "x.log")}), ready=False)
    gate.stopped = True
    assert gate.wait_exit() in (1, 2)
    assert "none/x.log" in gate.report()


def test_no_line_holds_a_key_or_a_certificate(gate, world, backend):
    with raw.Client(gate, world.clients["billing"]) as client:
        client.get("/x?token=very-secret", more=b"Authorization: Bearer very-secret\r\n")
        gate.wait_access(peer=client.peer)
    text = str(gate.accesses.records) + str(gate.events.records)
    assert "very-secret" not in text and "BEGIN" not in text
