"""The demonstration tries itself, and what it prints for people to type does what it says."""

import os
import re
import signal
import subprocess

import pytest

from lib import gate as gates
from lib.patience import PATIENCE, until


def environment(folder):
    return {**os.environ, "TMPDIR": str(folder)}


@pytest.fixture
def tried(tmp_path):
    """What --run-once says, and that it leaves nothing behind."""
    result = gates.run("demo", "--run-once", timeout=PATIENCE * 3, cwd=tmp_path, env=environment(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == []
    return result.stdout


def case(output, title):
    """The lines of one case, below its title."""
    found = re.search(rf"^ *[0-9]+ {re.escape(title)} +ok *\n((?:.+\n|\n(?! *[0-9]+ ))*)", output, re.MULTILINE)
    assert found, output
    return found.group(1)


def test_the_demo_comes_out_as_it_should_and_leaves_nothing_behind(tried):
    assert "All came out as they should." in tried and "DIFFERS" not in tried
    for word in ("revoked", "no_certificate", "no_rule", "misdirected", "200", "403", "421"):
        assert word in tried


def test_the_demo_shows_a_revocation_reaching_an_open_connection_and_nobody_else(tried):
    ended = case(tried, "a new CRL lists the auditor, whose first connection is still open")
    assert re.search(r"connection closed, [0-9]+\.[0-9] ms after the rename", ended)
    assert re.search(r"session_ended +reason=revoked +subject=\"CN=Ann Auditor,O=Demo\".* requests=1 ", ended)
    assert "session resumed" in case(tried, "the auditor comes back with her session ticket")
    again = case(tried, "she comes back, with her session ticket")
    assert "certificate_revoked" in again and "refused  reason=revoked" in again
    assert "200 OK" in case(tried, "billing's first connection goes on being served")
    assert 'sallyport_sessions_ended_total{reason="revoked"} 1\n' in tried


def test_the_demo_shows_two_names_with_two_client_policies(tried):
    assert "unknown_ca" in case(tried, "a partner, whose certificate another CA issued")
    assert "X-Client-Issuer: CN=Partner Root,O=Demo" in case(
        tried, "the partner under the name that has a client CA of its own")
    assert "421 Misdirected Request" in case(tried, "billing asks for that host over a connection to localhost")


def test_the_demo_shows_rules_and_limits(tried):
    denied = case(tried, "an auditor asks for a draft, which a rule denies")
    assert "404 Not Found" in denied and "reason=denied" in denied and "rule=drafts-are-private" in denied
    limited = case(tried, "the partner again, who may order once in half a minute")
    assert "429 Too Many Requests" in limited and "reason=caller_rate" in limited
    assert 1 <= int(re.search(r"^ +Retry-After: ([0-9]+)$", limited, re.MULTILINE).group(1)) <= 30


def test_the_demo_shows_what_becomes_of_a_request_behind_the_decision(tried):
    rewritten = case(tried, "a prefix is taken away before anything is decided")
    assert "X-Forwarded-Prefix: /archive" in rewritten and "rewritten_from=/archive/v1/invoices/42" in rewritten
    raw = case(tried, "a listener of mode tcp passes on what it does not read")
    assert re.search(r"^ +GET /whatever HTTP/1.1$", raw, re.MULTILINE) and re.search(r"^ +log +tcp +caller=billing", raw, re.MULTILINE)
    stopped = case(tried, "one of the two backends is stopped, and no request fails")
    after = case(tried, "the next, which would have been the other one's turn")
    assert "200 OK" in stopped and "200 OK" in after
    assert (stopped + after).count("  tries=2  ") == 1, "one of them met the backend that is gone"


def printed_command(output, about):
    """The shell lines below the comment that says `about`."""
    return re.search(rf"^  # [^\n]*{about}[^\n]*\n(.*?)\n\n", output, re.MULTILINE | re.DOTALL).group(1)


def test_the_commands_that_the_demo_prints_explain_and_revoke_the_auditor(tmp_path):
    folder = tmp_path / "it's here"  # the commands are quoted, too
    folder.mkdir()
    log = tmp_path / "output"
    with log.open("wb") as output:
        demo = subprocess.Popen([gates.binary(), "demo"], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                cwd=tmp_path, env=environment(folder))
    reader = None
    try:
        until(lambda: "Ctrl-C" in log.read_text() or demo.poll() is not None, "the demo to be ready")
        text = log.read_text()
        explained = subprocess.run(["bash", "-c", printed_command(text, "why an auditor may not write")], stdin=subprocess.DEVNULL,
                                   capture_output=True, text=True, timeout=PATIENCE, env=gates.environment())
        assert explained.returncode == 3 and "methods: wanted GET, found POST" in explained.stdout, explained
        assert "refused: no_rule, answered 403" in explained.stdout and explained.stderr == ""
        reader = subprocess.Popen(["bash", "-c", printed_command(text, "once a second")], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: "200 GET /v1/invoices/42" in log.read_text(), "the auditor to be served")
        subprocess.run(["bash", "-c", printed_command(text, "a new CRL lists her")], check=True, timeout=PATIENCE)
        seen, said = reader.communicate(timeout=PATIENCE)
        assert seen.startswith("200, new connections: 1\n") and seen.endswith("000, new connections: 1\n")
        assert "200, new connections: 1" not in seen[1:] and "certificate revoked" in said
        until(lambda: "refused  reason=revoked" in log.read_text(), "her refusal")
        assert "session_ended  reason=revoked" in log.read_text()
    finally:
        if reader is not None:
            reader.kill()
            reader.wait()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE) == 0, log.read_text()
    assert list(folder.iterdir()) == []
